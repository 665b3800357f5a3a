/*
 * XXH3 compiled in (XXH_INLINE_ALL), because most of what is hashed is shorter than a call into a
 * shared library is worth. XXH3's values are stable across versions and processors.
 */
#include "base/hash.h"

#include "base/err.h"

#include <errno.h>
#include <pthread.h>
#include <sys/random.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { HASH_SECRETS = 64 };

uint64_t hash64(struct bytes s)
{
    return XXH3_64bits(s.data, s.len);
}

struct hash128 hash128(struct bytes s)
{
    XXH128_hash_t h = XXH3_128bits(s.data, s.len);

    return (struct hash128){.hi = h.high64, .lo = h.low64};
}

void hash128_hex(struct hash128 h, char out[33])
{
    static const char digits[] = "0123456789abcdef";

    for (unsigned i = 0; i < 16; i++) {
        unsigned shift = 60 - 4 * i;

        out[i] = digits[h.hi >> shift & 15];
        out[16 + i] = digits[h.lo >> shift & 15];
    }
    out[32] = '\0';
}

static bool unhex_u64(const uint8_t *text, uint64_t *ret)
{
    *ret = 0;
    for (int i = 0; i < 16; i++) {
        uint8_t c = text[i];
        unsigned digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;

        if (digit == 16)
            return false;
        *ret = *ret << 4 | digit;
    }
    return true;
}

bool hash128_unhex(struct bytes hex, struct hash128 *ret)
{
    return hex.len == 32 && unhex_u64(hex.data, &ret->hi) && unhex_u64(hex.data + 16, &ret->lo);
}

/* Up to 256 bytes come whole once the kernel's pool is ready; only the wait for that can be broken.
 */
static void fill_random(void *out, size_t len)
{
    for (size_t done = 0; done < len;) {
        size_t piece = len - done < 256 ? len - done : 256;
        ssize_t n = getrandom((uint8_t *)out + done, piece, 0);

        CHECK(n > 0 || errno == EINTR);
        done += n > 0 ? (size_t)n : 0;
    }
}

static uint64_t secrets[HASH_SECRETS];

static void draw_secrets(void)
{
    fill_random(secrets, sizeof secrets);
    for (unsigned i = 0; i < HASH_SECRETS; i++)
        secrets[i] |= 1; /* odd: multiplying by it loses no bit */
}

const uint64_t *hash_secret(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, draw_secrets);
    return secrets;
}

uint64_t random_u64(void)
{
    uint64_t x;

    fill_random(&x, sizeof x);
    return x;
}
