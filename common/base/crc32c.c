/*
 * Two ways to the same value: the crc32 instruction of SSE4.2, eight bytes at a time, where the
 * processor has it, and slicing-by-8 tables elsewhere. Tables are made at the first use.
 *
 * The instruction takes three cycles, but a new one can begin each cycle, so long inputs are read
 * in three lanes side by side. They are joined by what a CRC is, a linear function of its state:
 * that of A and B is that of A, moved on over as many zeros as B has bytes, xor that of B begun
 * from 0. (So does M. Adler's crc32c.c, 2013.)
 */
#include "base/crc32c.h"

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
enum { LANE = 256, LANES = 3 }; /* long enough that joining is little of it */

static uint32_t over_lane[4][256]; /* by each byte of a state: moved on over LANE zeros */
static pthread_once_t over_lane_once = PTHREAD_ONCE_INIT;

__attribute__((target("sse4.2"))) static void over_lane_make(void)
{
    for (uint32_t i = 0; i < 4 * 256; i++) {
        uint64_t c = (uint64_t)(i & 0xff) << ((i >> 8) * 8);

        for (size_t at = 0; at < LANE; at += 8)
            c = __builtin_ia32_crc32di(c, 0);
        over_lane[i >> 8][i & 0xff] = (uint32_t)c;
    }
}

static uint64_t move_over_lane(uint64_t c)
{
    return over_lane[0][c & 0xff] ^ over_lane[1][c >> 8 & 0xff] ^ over_lane[2][c >> 16 & 0xff] ^
           over_lane[3][c >> 24 & 0xff];
}

__attribute__((target("sse4.2"))) static uint64_t take_lanes(uint64_t c, const uint8_t *p)
{
    uint64_t second = 0, third = 0;

    for (size_t at = 0; at < LANE; at += 8) {
        c = __builtin_ia32_crc32di(c, load64(p + at));
        second = __builtin_ia32_crc32di(second, load64(p + LANE + at));
        third = __builtin_ia32_crc32di(third, load64(p + 2 * LANE + at));
    }
    return move_over_lane(move_over_lane(c) ^ second) ^ third;
}

__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, struct bytes s)
{
    const uint8_t *p = s.data;
    size_t left = s.len;
    uint64_t c = ~crc;

    if (left >= LANES * LANE)
        pthread_once(&over_lane_once, over_lane_make);
    for (; left >= LANES * LANE; left -= LANES * LANE, p += LANES * LANE)
        c = take_lanes(c, p);
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
