/*
 * Arena: memory with one lifetime (a batch, a window, a request). Allocate, never free; reset
 * keeps the chunks for the next round, and shrinks when a round needed far more than the recent
 * ones did. Aligned to 16 bytes. One thread owns an arena.
 */
#ifndef HEARTH_BASE_ARENA_H
#define HEARTH_BASE_ARENA_H

#include "base/bytes.h"

struct arena_chunk;

struct arena {
    struct arena_chunk *chunks; /* newest first; the bump pointer is in the newest */
    struct arena_chunk *spare;  /* empty, kept by a reset for the next round */
    size_t chunk_bytes;         /* size of an ordinary chunk */
    size_t used_bytes;          /* handed out since the last reset */
    size_t high_bytes;          /* decaying high-water mark of used_bytes */
    size_t reserved_bytes;      /* held from the allocator */
};

void arena_init(struct arena *a, size_t chunk_bytes);
void arena_deinit(struct arena *a);
void *arena_alloc(struct arena *a, size_t n);
void *arena_calloc(struct arena *a, size_t n);
struct bytes arena_copy(struct arena *a, struct bytes s);   /* NUL behind the copy */
void arena_reset(struct arena *a);
size_t arena_reserved(const struct arena *a);               /* bytes held from the allocator */

#endif
