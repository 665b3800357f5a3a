/*
 * Bytes: a borrowed view (struct bytes, by value) and an owned, growing buffer (struct buf).
 *
 * A view is valid as long as its owner says, by convention during the call. A zeroed buf is empty
 * and valid; its memory doubles as it grows and aborts when the machine has none: whoever appends
 * bytes whose number the network chooses checks a cap first. No locks; one thread at a time.
 */
#ifndef HEARTH_BASE_BYTES_H
#define HEARTH_BASE_BYTES_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
    const uint8_t *data;
    size_t len;
};

#define BYTES_LIT(s) ((struct bytes){(const uint8_t *)(s), sizeof(s) - 1})

static inline struct bytes bytes_of(const void *data, size_t len)
{
    return (struct bytes){data, len};
}

static inline struct bytes bytes_str(const char *s)
{
    return (struct bytes){(const uint8_t *)s, s ? strlen(s) : 0};
}

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* Lexicographic order of unsigned bytes; a prefix comes first. */
int bytes_cmp(struct bytes a, struct bytes b);
bool bytes_starts(struct bytes s, struct bytes prefix);

/* The four bytes at p, the eight bytes at p: little-endian. */
static inline uint32_t load32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof v);
    return le32toh(v);
}

static inline uint64_t load64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof v);
    return le64toh(v);
}

struct buf {
    uint8_t *data;
    size_t len, cap;
};

void buf_deinit(struct buf *b);                 /* frees and zeroes: the buf can be used again */
int buf_try_reserve(struct buf *b, size_t more); /* room for more bytes after len; 0 or -ENOMEM */
void buf_grow(struct buf *b, size_t more);      /* private: there is no room */
void buf_append(struct buf *b, const void *data, size_t len);
void buf_append_bytes(struct buf *b, struct bytes s);
void buf_append_str(struct buf *b, const char *s);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* NUL behind the bytes; valid until the next change. */
const char *buf_cstr(struct buf *b);

/* As buf_try_reserve, but aborts. */
static inline void buf_reserve(struct buf *b, size_t more)
{
    if (more > b->cap - b->len)
        buf_grow(b, more);
}

static inline void buf_append_u8(struct buf *b, uint8_t c)
{
    buf_reserve(b, 1);
    b->data[b->len++] = c;
}

static inline void buf_reset(struct buf *b)     /* empties, keeps the memory */
{
    b->len = 0;
}

static inline struct bytes buf_bytes(const struct buf *b)
{
    return (struct bytes){b->data, b->len};
}

/* The value of a hexadecimal digit, or -1. */
static inline int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

#endif
