/* The parts of varint.h that need a buffer; the hot ones are inline there. */
#include "base/varint.h"

/* Of eight readable bytes: which of them ends the number is known at once, and sevens of bits move
 * together in three steps. 0: none of them ends it. */
static inline struct varint varint_of_eight(const uint8_t *at)
{
    uint64_t v, ends, last;

    memcpy(&v, at, sizeof v); /* little endian, as every machine we run on */
    ends = ~v & UINT64_C(0x8080808080808080);
    if (ends == 0)
        return (struct varint){NULL, 0};
    last = ends & (0 - ends); /* the bit that ends it */
    v &= last - 1;
    v = (v & UINT64_C(0x007f007f007f007f)) | (v & UINT64_C(0x7f007f007f007f00)) >> 1;
    v = (v & UINT64_C(0x00003fff00003fff)) | (v & UINT64_C(0x3fff00003fff0000)) >> 2;
    v = (v & UINT64_C(0x000000000fffffff)) | (v & UINT64_C(0x0fffffff00000000)) >> 4;
    return (struct varint){at + (unsigned)__builtin_ctzll(last) / 8 + 1, v};
}

struct varint varint_long(struct cursor c)
{
    uint64_t v = 0;

    if (cursor_left(&c) >= 8) {
        struct varint short_one = varint_of_eight(c.at);

        if (short_one.end)
            return short_one;
    }
    for (unsigned shift = 0; shift < 70 && c.at < c.end; shift += 7) {
        uint8_t b = *c.at++;

        v |= (uint64_t)(b & 0x7f) << shift;
        if (b < 0x80)
            return (struct varint){c.at, v};
    }
    return (struct varint){NULL, 0};
}

void buf_varbytes(struct buf *b, struct bytes s)
{
    buf_varint(b, s.len);
    buf_append_bytes(b, s);
}

bool varbytes_get(struct cursor *c, struct bytes *ret)
{
    uint64_t len;

    return varint_get(c, &len) && cursor_take(c, len, ret);
}
