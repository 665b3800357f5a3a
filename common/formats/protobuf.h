/*
 * Protobuf on the wire: the walk over a message's fields, for readers that decode streams of bytes
 * from outside without building objects. Groups, field number 0 and numbers of more
 * than 29 bits are malformed.
 */
#ifndef HEARTH_FORMATS_PROTOBUF_H
#define HEARTH_FORMATS_PROTOBUF_H

#include "base/varint.h"

enum pb_type { PB_VARINT = 0, PB_FIXED64 = 1, PB_LEN = 2, PB_FIXED32 = 5 };

struct pb_field {
    uint64_t number;
    enum pb_type type;
    uint64_t value;    /* PB_VARINT */
    struct bytes data; /* the others: a view of the input; of a varint empty */
};

enum pb_step { PB_END, PB_FIELD, PB_MALFORMED };

/* Numbers of one and two bytes, which nearly all are, without a loop. */
static inline bool pb_varint(struct cursor *c, uint64_t *ret)
{
    if (c->at < c->end && c->at[0] < 0x80) {
        *ret = *c->at++;
        return true;
    }
    if (c->end - c->at >= 2 && c->at[1] < 0x80) {
        *ret = (uint64_t)(c->at[0] & 0x7f) | (uint64_t)c->at[1] << 7;
        c->at += 2;
        return true;
    }
    return varint_get(c, ret);
}

/* Called for every field of millions of samples: inlined, what the caller does not use costs
 * nothing.
 */
static inline __attribute__((always_inline)) enum pb_step pb_next(struct cursor *c,
                                                                  struct pb_field *f)
{
    uint64_t tag, len;
    bool ok;

    if (c->at == c->end)
        return PB_END;
    if (!pb_varint(c, &tag) || tag >> 3 == 0 || tag > UINT32_MAX)
        return PB_MALFORMED;
    f->number = tag >> 3;
    f->type = (enum pb_type)(tag & 7);
    f->value = 0;
    f->data = BYTES_LIT("");
    switch (f->type) {
    case PB_VARINT:
        ok = pb_varint(c, &f->value);
        break;
    case PB_LEN:
        ok = pb_varint(c, &len) && cursor_take(c, len, &f->data);
        break;
    case PB_FIXED64:
        ok = cursor_take(c, 8, &f->data);
        break;
    case PB_FIXED32:
        ok = cursor_take(c, 4, &f->data);
        break;
    default:
        ok = false;
    }
    return ok ? PB_FIELD : PB_MALFORMED;
}

/* Whether the next field, one there is, is a number of 1 … n - 1 with a tag of one byte. */
static inline bool pb_at_number(const struct cursor *c, unsigned n)
{
    return (*c->at & 0x87) == PB_VARINT && (*c->at >> 3) - 1u < n - 1;
}

/*
 * Reads the varint fields 1 … n - 1 of a flat message into out[number], 0 where absent; of a field
 * given twice the last counts. Unknown fields are skipped; a known one of another type is
 * malformed.
 */
static inline __attribute__((always_inline)) bool pb_numbers(struct bytes message, uint64_t *out,
                                                             unsigned n)
{
    struct cursor c = cursor_of(message);
    struct pb_field f;

    for (unsigned i = 0; i < n; i++)
        out[i] = 0;
    while (c.at < c.end) {
        if (pb_at_number(&c, n)) {
            unsigned number = *c.at++ >> 3;

            if (!pb_varint(&c, &out[number]))
                return false;
        } else if (pb_next(&c, &f) != PB_FIELD || (f.number < n && f.type != PB_VARINT)) {
            return false;
        } else if (f.number < n) {
            out[f.number] = f.value; /* its tag took more bytes than it needs */
        }
    }
    return true;
}
/* The same into an array, whose size says which fields are known. */
#define PB_NUMBERS(message, array) pb_numbers((message), (array), sizeof(array) / sizeof *(array))

#endif
