/*
 * Growing is by doubling, so that n appended bytes cost n copies at most; the smallest allocation
 * is one cache line. Everything that can grow goes through grow_to(), which is the only place where
 * the size can overflow.
 */
#include "base/bytes.h"

#include "base/err.h"
#include "base/xalloc.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUF_BYTES_MIN = 64 };

int bytes_cmp(struct bytes a, struct bytes b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common > 0 ? memcmp(a.data, b.data, common) : 0;

    if (order != 0)
        return order;
    return (a.len > b.len) - (a.len < b.len);
}

bool bytes_starts(struct bytes s, struct bytes prefix)
{
    return s.len >= prefix.len && bytes_equal(bytes_of(s.data, prefix.len), prefix);
}

void buf_deinit(struct buf *b)
{
    free(b->data);
    *b = (struct buf){0};
}

static int grow_to(struct buf *b, size_t want)
{
    size_t cap = b->cap > BUF_BYTES_MIN / 2 ? b->cap : BUF_BYTES_MIN / 2;
    uint8_t *data;

    cap = cap <= SIZE_MAX / 2 ? cap * 2 : SIZE_MAX;
    if (cap < want)
        cap = want;
    data = realloc(b->data, cap);
    if (!data)
        return -ENOMEM;
    b->data = data;
    b->cap = cap;
    return 0;
}

int buf_try_reserve(struct buf *b, size_t more)
{
    if (more <= b->cap - b->len)
        return 0;
    if (more > SIZE_MAX - b->len)
        return -ENOMEM;
    return grow_to(b, b->len + more);
}

void buf_grow(struct buf *b, size_t more)
{
    if (buf_try_reserve(b, more) < 0)
        xalloc_failed(more);
}

void buf_append(struct buf *b, const void *data, size_t len)
{
    if (len == 0)
        return;
    buf_reserve(b, len);
    memcpy(b->data + b->len, data, len);
    b->len += len;
}

void buf_append_bytes(struct buf *b, struct bytes s)
{
    buf_append(b, s.data, s.len);
}

void buf_append_str(struct buf *b, const char *s)
{
    buf_append(b, s, strlen(s));
}

__attribute__((format(printf, 2, 0))) static int print_into(struct buf *b, const char *fmt,
                                                            va_list args)
{
    va_list again;
    int n;

    va_copy(again, args);
    n = vsnprintf(b->cap ? (char *)b->data + b->len : NULL, b->cap - b->len, fmt, again);
    va_end(again);
    return n;
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list args;
    int n;

    va_start(args, fmt);
    n = print_into(b, fmt, args);
    CHECK(n >= 0);
    if ((size_t)n >= b->cap - b->len) { /* did not fit with its NUL: once more, with room */
        buf_reserve(b, (size_t)n + 1);
        print_into(b, fmt, args);
    }
    va_end(args);
    b->len += (size_t)n;
}

const char *buf_cstr(struct buf *b)
{
    buf_reserve(b, 1);
    b->data[b->len] = '\0';
    return (const char *)b->data;
}
