/*
 * JFR recordings from text, for tests. A recording is chunks; a chunk is its classes, pools and
 * events in the order in which they are written:
 *
 *     recording_chunk(&r, flags);
 *     recording_classes(&r, "1 long  2 java.lang.String  9 jdk.ActiveSetting id:1 name:2 value:2");
 *     recording_pools(&r, 1, "10L 2  1L 'a'  2L 'b'");       a class, a count, keys and values
 *     recording_event(&r, 9, "20L 'period' '20 ms'");
 *     recording_end(&r);
 *
 * A field is name:class, with @ before the class for a reference to its pool, [] behind it for an
 * array, and /UNIT for what a time counts. Values are tokens: 5 an int, 5L a long, 5S a short, 5B a
 * byte, 1.5F and 1.5D reals, 'text' a string in UTF-8, L'text' in Latin-1 and C'text' as characters
 * (both byte for byte), & and a number the key of one, ~ none, = the empty one.
 */
#ifndef TESTS_LIB_JFR_BUILD_H
#define TESTS_LIB_JFR_BUILD_H

#include "base/bytes.h"

#include <stdlib.h>

enum { RECORDING_UNCOMPRESSED = 1 };

struct recording {
    struct buf out;
    size_t begin; /* of the chunk */
    size_t metadata_at, pools_at;
    bool compressed;
};

static inline void put_fixed(struct buf *b, uint64_t v, unsigned width)
{
    while (width-- > 0)
        buf_append_u8(b, (uint8_t)(v >> 8 * width));
}

static inline void put_number(struct buf *b, bool compressed, uint64_t v, unsigned width)
{
    if (!compressed || width == 1) {
        put_fixed(b, v, width);
        return;
    }
    for (unsigned i = 0; i < 8 && v >= 0x80; i++, v >>= 7)
        buf_append_u8(b, (uint8_t)(v | 0x80));
    buf_append_u8(b, (uint8_t)v);
}

static inline void put_string(struct buf *b, bool compressed, char encoding, const char *s,
                              size_t n)
{
    buf_append_u8(b, encoding == 'L' ? 5 : encoding == 'C' ? 4 : 3);
    put_number(b, compressed, n, 4);
    for (size_t i = 0; i < n; i++)
        put_number(b, compressed, (uint8_t)s[i], encoding == 'C' ? 2 : 1);
}

static inline void put_real(struct buf *b, double v, bool wide)
{
    float f = (float)v;
    uint64_t bits = 0;
    uint32_t half;

    memcpy(&bits, &v, sizeof bits);
    memcpy(&half, &f, sizeof half);
    put_fixed(b, wide ? bits : half, wide ? 8 : 4);
}

/* One number token; returns where it ends. */
static inline const char *put_token(struct buf *b, bool compressed, const char *at)
{
    char *end, *real_end;
    double real = strtod(at, &real_end);
    uint64_t v = strtoull(at, &end, 10);

    if (at[0] == '-')
        v = (uint64_t)strtoll(at, &end, 10);
    if (*real_end == 'F' || *real_end == 'D') {
        put_real(b, real, *real_end == 'D');
        return real_end + 1;
    }
    if (*end == 'L' || *end == 'S' || *end == 'B') {
        put_number(b, compressed, v, *end == 'L' ? 8 : *end == 'S' ? 2 : 1);
        return end + 1;
    }
    put_number(b, compressed, v & UINT32_MAX, 4);
    return end;
}

static inline void put_values(struct buf *b, bool compressed, const char *at)
{
    while (*at) {
        bool marked = (*at == 'L' || *at == 'C') && at[1] == '\'';

        if (*at == ' ') {
            at++;
        } else if (*at == '~' || *at == '=') {
            buf_append_u8(b, *at++ == '=');
        } else if (*at == '&') {
            buf_append_u8(b, 2);
            put_number(b, compressed, strtoull(at + 1, (char **)&at, 10), 8);
        } else if (*at == '\'' || marked) {
            const char *text = at + 1 + marked, *end = strchr(text, '\'');

            put_string(b, compressed, marked ? *at : 'U', text, (size_t)(end - text));
            at = end + 1;
        } else {
            at = put_token(b, compressed, at);
        }
    }
}

/* An event of a body; its size counts itself. */
static inline size_t put_event(struct recording *r, uint64_t type, struct bytes body)
{
    size_t begin = r->out.len, size_bytes = r->compressed ? 1 : 4;
    struct buf head = {0};
    size_t n;

    put_number(&head, r->compressed, type, 8);
    n = head.len + body.len;
    while (r->compressed && (n + size_bytes) >> 7 * size_bytes)
        size_bytes++;
    put_number(&r->out, r->compressed, n + size_bytes, 4);
    buf_append_bytes(&r->out, buf_bytes(&head));
    buf_append_bytes(&r->out, body);
    buf_deinit(&head);
    return begin - r->begin;
}

static inline void recording_chunk(struct recording *r, unsigned flags)
{
    static const uint8_t header[68] = "FLR\0\0\2\0\1";

    r->begin = r->out.len;
    r->metadata_at = r->pools_at = 0;
    r->compressed = !(flags & RECORDING_UNCOMPRESSED);
    buf_append(&r->out, header, sizeof header);
}

static inline size_t recording_event(struct recording *r, uint64_t type, const char *values)
{
    struct buf body = {0};
    size_t at;

    put_values(&body, r->compressed, values);
    at = put_event(r, type, buf_bytes(&body));
    buf_deinit(&body);
    return at;
}

static inline void recording_pools(struct recording *r, unsigned n, const char *values)
{
    struct buf body = {0};

    put_values(&body, r->compressed, "0L 0L 0L 0B");
    put_number(&body, r->compressed, n, 4);
    put_values(&body, r->compressed, values);
    r->pools_at = put_event(r, 1, buf_bytes(&body));
    buf_deinit(&body);
}

/* --- classes: strings first, then the tree of elements, both made while the text is read */

struct classes {
    struct buf strings, tree;
    unsigned n_strings, n_classes;
    bool compressed;
};

static inline void class_string(struct classes *k, const char *s, size_t n)
{
    put_string(&k->strings, k->compressed, 'U', s, n);
    put_number(&k->tree, k->compressed, k->n_strings++, 4);
}

static inline void class_number(struct classes *k, unsigned v)
{
    put_number(&k->tree, k->compressed, v, 4);
}

/* Words that elements and attributes share come first, in this order. */
enum {
    W_ROOT,
    W_METADATA,
    W_CLASS,
    W_FIELD,
    W_ANNOTATION,
    W_NAME,
    W_ID,
    W_POOL,
    W_TRUE,
    W_DIM,
    W_ONE,
    W_VALUE,
    W_UNIT_ID,
    W_WORDS
};

static inline void class_field(struct classes *k, const char *at, const char *end)
{
    const char *colon = memchr(at, ':', (size_t)(end - at)), *class = colon + 1;
    const char *unit = memchr(class, '/', (size_t)(end - class));
    bool pooled = *class == '@', array = memchr(class, '[', (size_t)(end - class)) != NULL;

    class += pooled;
    class_number(k, W_FIELD);
    class_number(k, 2 + pooled + array);
    class_number(k, W_NAME);
    class_string(k, at, (size_t)(colon - at));
    class_number(k, W_CLASS);
    class_string(k, class, strspn(class, "0123456789"));
    if (pooled) {
        class_number(k, W_POOL);
        class_number(k, W_TRUE);
    }
    if (array) {
        class_number(k, W_DIM);
        class_number(k, W_ONE);
    }
    class_number(k, unit != NULL);
    if (!unit)
        return;
    class_number(k, W_ANNOTATION);
    class_number(k, 2);
    class_number(k, W_CLASS);
    class_number(k, W_UNIT_ID);
    class_number(k, W_VALUE);
    class_string(k, unit + 1, (size_t)(end - unit - 1));
    class_number(k, 0);
}

/* "9 name field:1 field:2": returns where the next class begins. */
static inline const char *class_element(struct classes *k, const char *at)
{
    size_t id = strspn(at, "0123456789"), name, n_fields = 0;
    const char *field, *end;

    class_number(k, W_CLASS);
    class_number(k, 2);
    class_number(k, W_ID);
    class_string(k, at, id);
    at += id + strspn(at + id, " ");
    name = strcspn(at, " ");
    class_number(k, W_NAME);
    class_string(k, at, name);
    at += name + strspn(at + name, " ");
    for (field = at; *field && !strchr("0123456789", *field); n_fields++) {
        end = field + strcspn(field, " ");
        field = end + strspn(end, " ");
    }
    class_number(k, (unsigned)n_fields);
    while (n_fields-- > 0) {
        end = at + strcspn(at, " ");
        class_field(k, at, end);
        at = end + strspn(end, " ");
    }
    k->n_classes++;
    return at;
}

static inline void recording_classes(struct recording *r, const char *text)
{
    static const char *const words[W_WORDS] = {
        "root",         "metadata", "class",     "field", "annotation", "name", "id",
        "constantPool", "true",     "dimension", "1",     "value",      "999",
    };
    struct classes k = {.compressed = r->compressed};
    struct buf body = {0};

    for (; k.n_strings < W_WORDS; k.n_strings++)
        put_string(&k.strings, k.compressed, 'U', words[k.n_strings], strlen(words[k.n_strings]));
    for (const char *at = text + strspn(text, " "); *at;)
        at = class_element(&k, at);
    put_values(&body, r->compressed, "0L 0L 1L");
    put_number(&body, r->compressed, k.n_strings, 4);
    buf_append_bytes(&body, buf_bytes(&k.strings));
    put_number(&body, r->compressed, W_ROOT, 4);
    put_number(&body, r->compressed, 0, 4);
    put_number(&body, r->compressed, 1, 4);
    put_number(&body, r->compressed, W_METADATA, 4);
    put_number(&body, r->compressed, 0, 4);
    put_number(&body, r->compressed, k.n_classes, 4);
    buf_append_bytes(&body, buf_bytes(&k.tree));
    r->metadata_at = put_event(r, 0, buf_bytes(&body));
    buf_deinit(&body);
    buf_deinit(&k.strings);
    buf_deinit(&k.tree);
}

static inline void put_at(struct recording *r, size_t at, uint64_t v)
{
    for (unsigned i = 0; i < 8; i++)
        r->out.data[r->begin + at + i] = (uint8_t)(v >> 8 * (7 - i));
}

/* Fills in the header: from second 1 on, 2 s long, a tick is 10 ns. */
static inline void recording_end(struct recording *r)
{
    put_at(r, 8, r->out.len - r->begin);
    put_at(r, 16, r->pools_at);
    put_at(r, 24, r->metadata_at);
    put_at(r, 32, 1000000000);
    put_at(r, 40, 2000000000);
    put_at(r, 48, 5000);
    put_at(r, 56, 100000000);
    r->out.data[r->begin + 67] = r->compressed;
}

#endif
