/*
 * JFR on the wire: numbers, strings and arrays over a bounds-checked cursor.
 *
 * A chunk whose header says so has its integers compressed, all but single bytes: base 128, little
 * end first, nine bytes at most, the ninth with eight bits. Otherwise they are big-endian in the
 * width of their type. float and double are big-endian always. Views are of the input.
 */
#ifndef HEARTH_FORMATS_JFR_WIRE_H
#define HEARTH_FORMATS_JFR_WIRE_H

#include "base/bytes.h"

struct jfr_cursor {
    const uint8_t *at, *end;
    bool compressed;
};

enum jfr_encoding {
    JFR_NULL = 0,
    JFR_EMPTY = 1,
    JFR_POOLED = 2, /* by its key in the pool of java.lang.String */
    JFR_UTF8 = 3,
    JFR_CHARS = 4, /* UTF-16 units, each a number */
    JFR_LATIN1 = 5,
};

/* A string as it stands; jfr_text_utf8() makes it readable. */
struct jfr_text {
    enum jfr_encoding encoding;
    bool compressed;    /* JFR_CHARS */
    uint64_t key;       /* JFR_POOLED */
    struct bytes bytes; /* the others' content */
};

static inline size_t jfr_left(const struct jfr_cursor *c)
{
    return (size_t)(c->end - c->at);
}

bool jfr_varint_long(struct jfr_cursor *c, uint64_t *ret);

/* Numbers of one and two bytes, which nearly all are, without a loop. */
static inline bool jfr_varint(struct jfr_cursor *c, uint64_t *ret)
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
    return jfr_varint_long(c, ret);
}

/* width bytes, big end first. */
static inline bool jfr_fixed(struct jfr_cursor *c, unsigned width, uint64_t *ret)
{
    uint64_t v = 0;

    if (jfr_left(c) < width)
        return false;
    for (unsigned i = 0; i < width; i++)
        v = v << 8 | *c->at++;
    *ret = v;
    return true;
}

/* An integer of a type that is width bytes wide when it is not compressed. */
static inline bool jfr_number(struct jfr_cursor *c, unsigned width, uint64_t *ret)
{
    return c->compressed ? jfr_varint(c, ret) : jfr_fixed(c, width, ret);
}

static inline bool jfr_int(struct jfr_cursor *c, uint64_t *ret)
{
    return jfr_number(c, 4, ret);
}

static inline bool jfr_long(struct jfr_cursor *c, uint64_t *ret)
{
    return jfr_number(c, 8, ret);
}

static inline bool jfr_skip(struct jfr_cursor *c, uint64_t n)
{
    if (n > jfr_left(c))
        return false;
    c->at += n;
    return true;
}

/* Passes n compressed numbers. */
bool jfr_skip_varints(struct jfr_cursor *c, uint64_t n);
bool jfr_read_text(struct jfr_cursor *c, struct jfr_text *ret);
/* The text as UTF-8: a view of it where it is that already, or of scratch, which is emptied first.
 * May hold bytes that are no UTF-8, as the input may; of a huge one the begin. A pooled or absent
 * one is empty. */
struct bytes jfr_text_utf8(const struct jfr_text *t, struct buf *scratch);

/* What frames a checkpoint, the metadata and any event. */
struct jfr_event {
    uint64_t type;
    struct bytes body; /* behind the type */
    size_t begin;      /* in the chunk */
};
/* The event at c, which then stands behind it. False: its size is none, or passes the end. */
bool jfr_next_event(struct jfr_cursor *c, const uint8_t *chunk, struct jfr_event *ret);

static inline struct jfr_cursor jfr_cursor_of(struct bytes s, bool compressed)
{
    return (struct jfr_cursor){s.data, s.data ? s.data + s.len : NULL, compressed};
}

#endif
