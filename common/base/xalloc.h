/*
 * Allocation that cannot fail: for sizes that the program chooses. It aborts with a message when
 * memory is gone. Sizes chosen outside go through a cap first, or through buf_try_reserve.
 */
#ifndef HEARTH_BASE_XALLOC_H
#define HEARTH_BASE_XALLOC_H

#include <stddef.h>

void *xmalloc(size_t n) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t n, size_t size) __attribute__((malloc, returns_nonnull));
void *xrealloc(void *p, size_t n) __attribute__((returns_nonnull));
/* Overflow-checked n * size. */
void *xreallocarray(void *p, size_t n, size_t size) __attribute__((returns_nonnull));
char *xstrdup(const char *s) __attribute__((malloc, returns_nonnull));
char *xstrndup(const char *s, size_t n) __attribute__((malloc, returns_nonnull));
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2), returns_nonnull));

/* Grows an array to hold at least want elements, doubling. cap is updated. */
#define XGROW(ptr, cap, want) ((ptr) = xgrow((ptr), &(cap), (want), sizeof *(ptr)))
void *xgrow(void *p, size_t *cap, size_t want, size_t size) __attribute__((returns_nonnull));

/* The way all of these end when there is no memory: a line on stderr, abort. */
void xalloc_failed(size_t n) __attribute__((noreturn));

/*
 * Sets glibc's mmap and trim thresholds at program start, before threads: fresh dictionaries
 * otherwise fault their pages again and again. arenas 0: leaves their number alone and keeps freed
 * memory for the next window (the aggregator, query). arenas > 0: at most that many, and freed
 * memory goes back to the machine beyond a few MiB (the collector, which promises a small RSS).
 */
void xalloc_tune(int arenas);

#endif
