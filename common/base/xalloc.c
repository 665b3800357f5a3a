/*
 * Thin checks over glibc's allocator. Nothing here tries to recover: a size that the program chose
 * and the machine cannot give is a machine that has no memory left for a clean way out either.
 */
#include "base/xalloc.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void xalloc_failed(size_t n)
{
    fprintf(stderr, "hearth: out of memory: %zu bytes\n", n);
    abort();
}

static void *must(void *p, size_t n)
{
    if (!p)
        xalloc_failed(n);
    return p;
}

static size_t product(size_t n, size_t size)
{
    size_t total;

    if (__builtin_mul_overflow(n, size, &total))
        xalloc_failed(SIZE_MAX);
    return total;
}

void *xmalloc(size_t n)
{
    return must(malloc(n ? n : 1), n);
}

void *xcalloc(size_t n, size_t size)
{
    size_t total = product(n, size);

    return must(calloc(1, total ? total : 1), total);
}

void *xrealloc(void *p, size_t n)
{
    return must(realloc(p, n ? n : 1), n);
}

void *xreallocarray(void *p, size_t n, size_t size)
{
    return xrealloc(p, product(n, size));
}

char *xstrdup(const char *s)
{
    return xstrndup(s, strlen(s));
}

char *xstrndup(const char *s, size_t n)
{
    size_t len = strnlen(s, n);
    char *copy = xmalloc(len + 1);

    memcpy(copy, s, len);
    copy[len] = '\0';
    return copy;
}

char *xasprintf(const char *fmt, ...)
{
    va_list args;
    char *s = NULL;
    int n;

    va_start(args, fmt);
    n = vasprintf(&s, fmt, args);
    va_end(args);
    return must(n < 0 ? NULL : s, 0);
}

void *xgrow(void *p, size_t *cap, size_t want, size_t size)
{
    size_t n = *cap > 4 ? *cap : 4;

    if (p && want <= *cap)
        return p;
    while (n < want && n <= SIZE_MAX / 2)
        n *= 2;
    p = xreallocarray(p, n < want ? want : n, size);
    *cap = n < want ? want : n;
    return p;
}

/*
 * glibc starts with both thresholds at 128 KiB: a dictionary that doubles past it is mapped,
 * faulted page by page and unmapped again in every window. That cost more than the merge itself
 * (635 -> 262 microseconds a profile when raised). Setting a threshold also ends glibc's own
 * adjusting of it, so a process behaves the same in its tenth hour as in its first minute. 32 MiB
 * is the greatest mmap threshold that glibc accepts.
 */
void xalloc_tune(int arenas)
{
    enum { MIB = 1 << 20 };
    int small = arenas > 0;

    mallopt(M_MMAP_THRESHOLD, small ? 1 * MIB : 32 * MIB);
    mallopt(M_TRIM_THRESHOLD, small ? 4 * MIB : 256 * MIB);
    if (small)
        mallopt(M_ARENA_MAX, arenas);
}
