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

/* False at the end of input, or after ten bytes without an end; the cursor is then unspecified. */
static inline bool varint_get(struct cursor *c, uint64_t *ret)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 70 && c->at < c->end; shift += 7) {
        uint8_t b = *c->at++;

        v |= shift < 64 ? (uint64_t)(b & 0x7f) << shift : 0;
        if (b < 0x80) {
            *ret = v;
            return true;
        }
    }
    return false;
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

/* out has room for 10 bytes; returns the end. */
static inline uint8_t *varint_put(uint8_t *out, uint64_t v)
{
    while (v >= 0x80) {
        *out++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *out++ = (uint8_t)v;
    return out;
}

void buf_varint(struct buf *b, uint64_t v);
/* varint length, then the bytes */
void buf_varbytes(struct buf *b, struct bytes s);
bool varbytes_get(struct cursor *c, struct bytes *ret);

#endif
