/* The parts of varint.h that need a buffer; the hot ones are inline there. */
#include "base/varint.h"

void buf_varint(struct buf *b, uint64_t v)
{
    buf_reserve(b, 10);
    b->len = (size_t)(varint_put(b->data + b->len, v) - b->data);
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
