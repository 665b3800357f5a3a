/*
 * LEB128 varints as protobuf has them, over a bounds-checked cursor. Signed values that are often
 * negative go through zigzag; pprof's int64 do not.
 */
#ifndef HEARTH_BASE_VARINT_H
#define HEARTH_BASE_VARINT_H

#include "base/bytes.h"

struct cursor {
    const uint8_t *at, *end;
};

static inline struct cursor cursor_of(struct bytes s)
{
    return (struct cursor){s.data, s.data ? s.data + s.len : NULL};
}

static inline size_t cursor_left(const struct cursor *c)
{
    return (size_t)(c->end - c->at);
}

/* A number and where it ends; end NULL: there is none, for the input ends, or ten bytes do not end
 * it. Of a number of ten bytes the bits above 64 are lost. */
struct varint {
    const uint8_t *end;
    uint64_t value;
};
/* One of any length. Not inlined, and given the cursor by value, so that the caller's stays in
 * registers. */
struct varint varint_long(struct cursor c);

/* False if there is none; the cursor is then unspecified. Nearly all numbers have one or two bytes.
 */
static inline bool varint_get(struct cursor *c, uint64_t *ret)
{
    const uint8_t *at = c->at;
    struct varint v;

    if (at < c->end && at[0] < 0x80) {
        *ret = at[0];
        c->at = at + 1;
        return true;
    }
    if (cursor_left(c) >= 2 && at[1] < 0x80) {
        *ret = (uint64_t)(at[0] & 0x7f) | (uint64_t)at[1] << 7;
        c->at = at + 2;
        return true;
    }
    v = varint_long(*c);
    c->at = v.end;
    *ret = v.value;
    return v.end != NULL;
}

/* A view of the next n bytes; false if there are fewer. */
static inline bool cursor_take(struct cursor *c, uint64_t n, struct bytes *ret)
{
    if (n > cursor_left(c))
        return false;
    *ret = bytes_of(c->at, (size_t)n);
    c->at += n;
    return true;
}

static inline uint64_t zigzag(int64_t v)
{
    return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
}

static inline int64_t unzigzag(uint64_t v)
{
    return (int64_t)((v >> 1) ^ (0 - (v & 1)));
}

/* out has room for 10 bytes; returns the end. Whether a number has one byte or two is no branch: in a
 * column it cannot be foreseen. */
static inline uint8_t *varint_put(uint8_t *out, uint64_t v)
{
    uint32_t two = v >= 0x80;
    uint16_t bytes = (uint16_t)((v & 0x7f) | two << 7 | v >> 7 << 8); /* little endian */

    if (v < 1 << 14) {
        memcpy(out, &bytes, sizeof bytes);
        return out + 1 + two;
    }
    while (v >= 0x80) {
        *out++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *out++ = (uint8_t)v;
    return out;
}

static inline void buf_varint(struct buf *b, uint64_t v)
{
    buf_reserve(b, 10);
    b->len = (size_t)(varint_put(b->data + b->len, v) - b->data);
}

/* varint length, then the bytes */
void buf_varbytes(struct buf *b, struct bytes s);
bool varbytes_get(struct cursor *c, struct bytes *ret);

#endif
