/*
 * Names are printed, not packed: a person with redis-cli can read them, and the one {p} in each
 * keeps all keys of a partition in one slot of a Redis cluster.
 */
#include "store/keys.h"

#include "base/err.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

__attribute__((format(printf, 1, 2))) static struct key key_printf(const char *fmt, ...)
{
    struct key k;
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(k.text, sizeof k.text, fmt, args);
    va_end(args);
    CHECK(n > 0 && (size_t)n < sizeof k.text);
    k.len = (size_t)n;
    return k;
}

struct key key_conf(void)
{
    return key_printf("h:conf");
}

struct key key_meta(uint32_t p)
{
    return key_printf("h:{%" PRIu32 "}:meta", p);
}

struct key key_dedup(uint32_t p)
{
    return key_printf("h:{%" PRIu32 "}:dd", p);
}

struct key key_catalogue(uint32_t p)
{
    return key_printf("h:{%" PRIu32 "}:cat", p);
}

struct key key_generations(uint32_t p)
{
    return key_printf("h:{%" PRIu32 "}:gen", p);
}

struct key key_symbols(uint32_t p, struct hash128 sid, uint64_t generation)
{
    char hex[33];

    hash128_hex(sid, hex);
    return key_printf("h:{%" PRIu32 "}:sym:%s:%" PRIu64, p, hex, generation);
}

struct key key_index(uint32_t p, uint32_t res_s, struct hash128 kid)
{
    char hex[33];

    hash128_hex(kid, hex);
    return key_printf("h:{%" PRIu32 "}:ix:%" PRIu32 ":%s", p, res_s, hex);
}

struct key key_blob(uint32_t p, uint32_t res_s, int64_t t_s, struct hash128 kid, uint64_t epoch,
                    uint64_t seq)
{
    char hex[33];

    hash128_hex(kid, hex);
    return key_printf("h:{%" PRIu32 "}:a:%" PRIu32 ":%" PRId64 ":%s:%" PRIu64 "-%" PRIu64, p, res_s,
                      t_s, hex, epoch, seq);
}

size_t index_entry_write(const struct index_entry *e, char out[64])
{
    int n = snprintf(out, 64, "%" PRIu64 "-%" PRIu64 ":%" PRId64, e->epoch, e->seq, e->expires_ms);

    CHECK(n > 0 && n < 64);
    return (size_t)n;
}

/* Decimal digits up to end (or, with end = 0, to the end of input), which is passed over. */
static bool take_number(struct bytes *in, char end, uint64_t *ret)
{
    uint64_t v = 0;
    size_t i = 0;

    for (; i < in->len && in->data[i] >= '0' && in->data[i] <= '9'; i++)
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, in->data[i] - '0', &v))
            return false;
    if (i == 0 || (end ? i == in->len || in->data[i] != (uint8_t)end : i != in->len))
        return false;
    i += end != 0;
    *in = bytes_of(in->data + i, in->len - i);
    *ret = v;
    return true;
}

int index_entry_read(struct index_entry *e, struct bytes in)
{
    uint64_t epoch, seq, expires;

    if (!take_number(&in, '-', &epoch) || !take_number(&in, ':', &seq) ||
        !take_number(&in, 0, &expires) || expires > INT64_MAX)
        return -EBADMSG;
    *e = (struct index_entry){epoch, seq, (int64_t)expires};
    return 0;
}
