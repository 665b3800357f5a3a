/*
 * Two ways to the same value: the crc32 instruction of SSE4.2, eight bytes at a time, where the
 * processor has it, and slicing-by-8 tables elsewhere. The tables are made at
 * the first use: 8 KiB that most machines never touch.
 */
#include "base/crc32c.h"

#include <endian.h>
#include <pthread.h>

enum { SLICES = 8 };
#define POLYNOMIAL 0x82f63b78u /* 0x1edc6f41 with its bits reversed */

static uint32_t table[SLICES][256];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void table_make(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;

        for (int bit = 0; bit < 8; bit++)
            c = c >> 1 ^ (c & 1 ? POLYNOMIAL : 0);
        table[0][i] = c;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (int k = 1; k < SLICES; k++)
            table[k][i] = table[k - 1][i] >> 8 ^ table[0][table[k - 1][i] & 0xff];
}

static uint64_t load64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof v);
    return le64toh(v);
}

uint32_t crc32c_portable(uint32_t crc, struct bytes s)
{
    const uint8_t *p = s.data;
    size_t left = s.len;

    pthread_once(&table_once, table_make);
    crc = ~crc;
    for (; left >= SLICES; left -= SLICES, p += SLICES) {
        uint64_t v = load64(p) ^ crc;

        crc = 0;
        for (int k = 0; k < SLICES; k++)
            crc ^= table[SLICES - 1 - k][v >> (8 * k) & 0xff];
    }
    for (; left > 0; left--, p++)
        crc = crc >> 8 ^ table[0][(crc ^ *p) & 0xff];
    return ~crc;
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, struct bytes s)
{
    const uint8_t *p = s.data;
    size_t left = s.len;
    uint64_t c = ~crc;

    for (; left >= 8; left -= 8, p += 8)
        c = __builtin_ia32_crc32di(c, load64(p));
    for (; left > 0; left--, p++)
        c = __builtin_ia32_crc32qi((uint32_t)c, *p);
    return ~(uint32_t)c;
}

uint32_t crc32c(uint32_t crc, struct bytes s)
{
    if (__builtin_cpu_supports("sse4.2"))
        return crc32c_sse42(crc, s);
    return crc32c_portable(crc, s);
}
#else
uint32_t crc32c(uint32_t crc, struct bytes s)
{
    return crc32c_portable(crc, s);
}
#endif
