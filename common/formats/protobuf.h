/*
 * Protobuf on the wire: the walk over a message's fields, for readers that decode streams of bytes
 * from outside without building objects. Groups, field number 0 and tags of more than
 * five bytes are malformed.
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

/* Called for every field of millions of samples: inlined, what the caller does not use costs
 * nothing.
 */
static inline __attribute__((always_inline)) enum pb_step pb_next(struct cursor *c,
                                                                  struct pb_field *f)
{
    enum { TAG_BYTES_MAX = 5 };
    const uint8_t *begin = c->at;
    uint64_t tag, len;
    bool ok;

    if (begin == c->end)
        return PB_END;
    if (!varint_get(c, &tag) || tag >> 3 == 0 || c->at - begin > TAG_BYTES_MAX)
        return PB_MALFORMED;
    f->number = tag >> 3;
    f->type = (enum pb_type)(tag & 7);
    f->value = 0;
    f->data = BYTES_LIT("");
    switch (f->type) {
    case PB_VARINT:
        ok = varint_get(c, &f->value);
        break;
    case PB_LEN:
        ok = varint_get(c, &len) && cursor_take(c, len, &f->data);
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

            if (!varint_get(&c, &out[number]))
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

/*
 * The short way. Nearly all messages are spelled alike: fields in rising order, tags and lengths as
 * short as they can be. Those are read in a straight line, a field after the other, each of which
 * may be absent:
 *
 *     if (pb_ends_number(message)) {
 *         id = pb_take(&c, 1);
 *         name = pb_take(&c, 2);
 *     }
 *     if (c.at != c.end)
 *         it is spelled otherwise: read it by pb_numbers() or pb_next()
 *
 * The last byte of the message ends a number (pb_ends_number), so no number in it can run over its
 * end, and none is asked whether it does. The cursor stays in registers as long as nobody is given
 * its address: the long way gets a copy.
 */
static inline bool pb_ends_number(struct bytes s)
{
    return s.len > 0 && s.data[s.len - 1] < 0x80;
}

/* The number that stands next, in bytes that end a number. One of more than ten bytes leaves a rest
 * that nobody can take. */
static inline uint64_t pb_take_number(struct cursor *c)
{
    const uint8_t *at = c->at;
    struct varint v;

    if (at[0] < 0x80) {
        c->at = at + 1;
        return at[0];
    }
    if (at[1] < 0x80) {
        c->at = at + 2;
        return (uint64_t)(at[0] & 0x7f) | (uint64_t)at[1] << 7;
    }
    v = varint_long(*c);
    c->at = v.end ? v.end : c->end - 1;
    return v.value;
}

/* Varint field `number` (1 … 15) if it stands next, else 0. */
static inline uint64_t pb_take(struct cursor *c, unsigned number)
{
    if (cursor_left(c) < 2 || *c->at != (number << 3 | PB_VARINT))
        return 0;
    c->at++;
    return pb_take_number(c);
}

/* Passes varint field `number` (1 … 15) if it stands next; not one of more than ten bytes, which is
 * none. */
static inline void pb_skip(struct cursor *c, unsigned number)
{
    enum { BYTES_MAX = 10 };
    const uint8_t *at = c->at + 1;

    if (cursor_left(c) < 2 || *c->at != (number << 3 | PB_VARINT))
        return;
    while (*at >= 0x80)
        at++;
    if (at - c->at <= BYTES_MAX)
        c->at = at + 1;
}

/* Whether the next field is `number` (1 … 15) with bytes, of which there may be 16383; takes it. */
static inline bool pb_take_bytes(struct cursor *c, unsigned number, struct bytes *ret)
{
    const uint8_t *at = c->at;
    size_t left = cursor_left(c), head = 2, len;

    if (left < 3 || at[0] != (number << 3 | PB_LEN))
        return false;
    len = at[1];
    if (len >= 0x80) {
        if (at[2] >= 0x80)
            return false;
        len = (len & 0x7f) | (size_t)at[2] << 7;
        head = 3;
    }
    if (len > left - head)
        return false;
    *ret = bytes_of(at + head, len);
    c->at = at + head + len;
    return true;
}

#endif
