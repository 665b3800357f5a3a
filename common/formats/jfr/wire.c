/*
 * How it works. Nothing here trusts a count: a string's length is held against the bytes left, and
 * what is counted one by one consumes at least a byte each.
 */
#include "formats/jfr/wire.h"

enum {
    VARINT_BYTES_MAX = 9,
    TEXT_BYTES_MAX = 3 << 16, /* more than any symbol keeps, in any encoding */
};

bool jfr_varint_long(struct jfr_cursor *c, uint64_t *ret)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < VARINT_BYTES_MAX && c->at < c->end; i++) {
        uint64_t b = *c->at++;

        if (i == VARINT_BYTES_MAX - 1 || b < 0x80) {
            *ret = v | b << (7 * i);
            return true;
        }
        v |= (b & 0x7f) << (7 * i);
    }
    return false;
}

/*
 * Eight bytes at once: each byte below 0x80 ends a number, so long as none is nine bytes long,
 * whose last may be anything. A step ends behind the last end in its eight bytes, so every step
 * begins at a number's begin, and one of nine bytes is met as eight bytes without an end.
 */
bool jfr_skip_varints(struct jfr_cursor *c, uint64_t n)
{
    uint64_t ends, ignored;

    if (n > jfr_left(c))
        return false;
    while (n >= sizeof ends && jfr_left(c) >= VARINT_BYTES_MAX) {
        ends = ~load64(c->at) & UINT64_C(0x8080808080808080);
        if (ends == 0) {
            c->at += VARINT_BYTES_MAX;
            n--;
            continue;
        }
        c->at += sizeof ends - (size_t)__builtin_clzll(ends) / 8;
        n -= (uint64_t)__builtin_popcountll(ends);
    }
    while (n-- > 0)
        if (!jfr_varint(c, &ignored))
            return false;
    return true;
}

static bool skip_chars(struct jfr_cursor *c, uint64_t n)
{
    if (c->compressed)
        return jfr_skip_varints(c, n);
    return n <= jfr_left(c) / 2 && jfr_skip(c, 2 * n);
}

bool jfr_read_text(struct jfr_cursor *c, struct jfr_text *ret)
{
    uint64_t encoding, n = 0;

    *ret = (struct jfr_text){.compressed = c->compressed};
    if (!jfr_fixed(c, 1, &encoding) || encoding > JFR_LATIN1)
        return false;
    ret->encoding = (enum jfr_encoding)encoding;
    if (ret->encoding <= JFR_EMPTY)
        return true;
    if (ret->encoding == JFR_POOLED)
        return jfr_long(c, &ret->key);
    if (!jfr_int(c, &n))
        return false;
    ret->bytes.data = c->at;
    if (ret->encoding == JFR_CHARS ? !skip_chars(c, n) : !jfr_skip(c, n))
        return false;
    ret->bytes.len = (size_t)(c->at - ret->bytes.data);
    return true;
}

/* At out, which has room for four bytes; returns the end. */
static uint8_t *put_char(uint8_t *out, uint32_t c)
{
    if (c < 0x80) {
        *out++ = (uint8_t)c;
        return out;
    }
    if (c < 0x800) {
        *out++ = (uint8_t)(0xc0 | c >> 6);
    } else {
        if (c < 0x10000) {
            *out++ = (uint8_t)(0xe0 | c >> 12);
        } else {
            *out++ = (uint8_t)(0xf0 | c >> 18);
            *out++ = (uint8_t)(0x80 | (c >> 12 & 0x3f));
        }
        *out++ = (uint8_t)(0x80 | (c >> 6 & 0x3f));
    }
    *out++ = (uint8_t)(0x80 | (c & 0x3f));
    return out;
}

static bool is_ascii(struct bytes s)
{
    uint8_t any = 0;

    for (size_t i = 0; i < s.len; i++)
        any |= s.data[i];
    return any < 0x80;
}

/* UTF-16: two surrogates are one character; one alone becomes what is no UTF-8, and is repaired. */
static uint8_t *put_chars(uint8_t *out, struct jfr_cursor c)
{
    uint64_t unit, high = 0;

    while (jfr_left(&c) && jfr_number(&c, 2, &unit)) {
        unit &= 0xffff;
        if (high && unit >= 0xdc00 && unit < 0xe000) {
            out = put_char(out, 0x10000 + (uint32_t)((high - 0xd800) << 10 | (unit - 0xdc00)));
            high = 0;
            continue;
        }
        if (high)
            out = put_char(out, (uint32_t)high);
        high = unit >= 0xd800 && unit < 0xdc00 ? unit : 0;
        if (!high)
            out = put_char(out, (uint32_t)unit);
    }
    return high ? put_char(out, (uint32_t)high) : out;
}

struct bytes jfr_text_utf8(const struct jfr_text *t, struct buf *scratch)
{
    struct bytes in = t->bytes;
    uint8_t *end;

    if (t->encoding == JFR_UTF8 || (t->encoding == JFR_LATIN1 && is_ascii(t->bytes)))
        return t->bytes;
    if (t->bytes.len == 0)
        return BYTES_LIT("");
    if (in.len > TEXT_BYTES_MAX)
        in.len = TEXT_BYTES_MAX;
    buf_reset(scratch);
    buf_reserve(scratch, 3 * in.len + 1); /* a unit is a byte at least, and three at most */
    end = scratch->data;
    if (t->encoding == JFR_LATIN1)
        for (size_t i = 0; i < in.len; i++)
            end = put_char(end, in.data[i]);
    else
        end = put_chars(end, jfr_cursor_of(in, t->compressed));
    scratch->len = (size_t)(end - scratch->data);
    return buf_bytes(scratch);
}

bool jfr_next_event(struct jfr_cursor *c, const uint8_t *chunk, struct jfr_event *ret)
{
    const uint8_t *begin = c->at;
    uint64_t size;

    if (!jfr_int(c, &size) || size > (uint64_t)(c->end - begin) || size < (uint64_t)(c->at - begin))
        return false;
    struct jfr_cursor inside = {c->at, begin + size, c->compressed};
    if (!jfr_long(&inside, &ret->type))
        return false;
    ret->body = bytes_of(inside.at, jfr_left(&inside));
    ret->begin = (size_t)(begin - chunk);
    c->at = begin + size;
    return true;
}
