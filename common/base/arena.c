/*
 * Chunks with a bump pointer. A reset moves every chunk to the spare list, where the next round
 * finds it with its pages still mapped: that is what an arena is for here (reference: fresh pages
 * cost more than the merge that writes to them).
 *
 * One round that was far larger than the others must not hold its memory for ever, so high_bytes
 * follows the rounds: up at once, down by an eighth each reset, and a reset frees spare chunks
 * while more than twice that (and a chunk) is held. Rounds that alternate between large and small
 * therefore keep what the large ones need; a single outlier is gone after some dozen resets.
 *
 * Under AddressSanitizer memory that is not handed out is poisoned, so a use after reset is found.
 */
#include "base/arena.h"

#include "base/err.h"
#include "base/xalloc.h"

#include <stdlib.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_POISON 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define ARENA_POISON 1
#endif
#ifdef ARENA_POISON
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n)   ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

enum { ARENA_ALIGN = 16 };

struct arena_chunk {
    struct arena_chunk *next;
    size_t used, cap;
    _Alignas(ARENA_ALIGN) uint8_t data[];
};

void arena_init(struct arena *a, size_t chunk_bytes)
{
    size_t aligned = (chunk_bytes + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);

    *a = (struct arena){.chunk_bytes = aligned ? aligned : ARENA_ALIGN};
}

static void free_chunk(struct arena *a, struct arena_chunk *c)
{
    ASAN_UNPOISON_MEMORY_REGION(c->data, c->cap);
    a->reserved_bytes -= sizeof *c + c->cap;
    free(c);
}

static void free_chunks(struct arena *a, struct arena_chunk **head)
{
    while (*head) {
        struct arena_chunk *c = *head;

        *head = c->next;
        free_chunk(a, c);
    }
}

void arena_deinit(struct arena *a)
{
    free_chunks(a, &a->chunks);
    free_chunks(a, &a->spare);
    *a = (struct arena){.chunk_bytes = a->chunk_bytes};
}

static struct arena_chunk *new_chunk(struct arena *a, size_t n)
{
    size_t cap = n > a->chunk_bytes ? n : a->chunk_bytes;
    struct arena_chunk *c = xmalloc(sizeof *c + cap);

    *c = (struct arena_chunk){.cap = cap};
    a->reserved_bytes += sizeof *c + cap;
    ASAN_POISON_MEMORY_REGION(c->data, cap);
    return c;
}

/* Any spare chunk serves an ordinary request; only a large one has to search. */
static struct arena_chunk *take_chunk(struct arena *a, size_t n)
{
    for (struct arena_chunk **at = &a->spare; *at; at = &(*at)->next) {
        struct arena_chunk *c = *at;

        if (c->cap < n)
            continue;
        *at = c->next;
        return c;
    }
    return new_chunk(a, n);
}

static size_t room(const struct arena_chunk *c)
{
    return c ? c->cap - c->used : 0;
}

/* A large request that leaves less room than the newest chunk has goes behind it. */
static struct arena_chunk *add_chunk(struct arena *a, size_t n)
{
    struct arena_chunk *c = take_chunk(a, n);
    struct arena_chunk **at = room(a->chunks) > c->cap - n ? &a->chunks->next : &a->chunks;

    c->next = *at;
    *at = c;
    return c;
}

void *arena_alloc(struct arena *a, size_t n)
{
    size_t size = (n + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    struct arena_chunk *c = a->chunks;
    void *p;

    if (n > SIZE_MAX / 2)
        xalloc_failed(n);
    if (!c || size > room(c))
        c = add_chunk(a, size);
    p = c->data + c->used;
    c->used += size;
    a->used_bytes += size;
    ASAN_UNPOISON_MEMORY_REGION(p, n);
    return p;
}

void *arena_calloc(struct arena *a, size_t n)
{
    return memset(arena_alloc(a, n), 0, n);
}

struct bytes arena_copy(struct arena *a, struct bytes s)
{
    uint8_t *copy = arena_alloc(a, s.len + 1);

    if (s.len > 0)
        memcpy(copy, s.data, s.len);
    copy[s.len] = '\0';
    return bytes_of(copy, s.len);
}

static void recycle(struct arena *a)
{
    while (a->chunks) {
        struct arena_chunk *c = a->chunks;

        a->chunks = c->next;
        c->used = 0;
        c->next = a->spare;
        a->spare = c;
        ASAN_POISON_MEMORY_REGION(c->data, c->cap);
    }
}

void arena_reset(struct arena *a)
{
    size_t keep_bytes;

    a->high_bytes -= a->high_bytes / 8;
    if (a->high_bytes < a->used_bytes)
        a->high_bytes = a->used_bytes;
    a->used_bytes = 0;
    recycle(a);
    keep_bytes = 2 * a->high_bytes + a->chunk_bytes + sizeof(struct arena_chunk);
    while (a->spare && a->reserved_bytes > keep_bytes) {
        struct arena_chunk *c = a->spare;

        a->spare = c->next;
        free_chunk(a, c);
    }
}

size_t arena_reserved(const struct arena *a)
{
    return a->reserved_bytes;
}
