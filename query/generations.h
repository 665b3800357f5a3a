/*
 * Generations: the symbols that blobs name, cached between queries under a byte budget.
 *
 * A generation only grows, so a cached one is brought up to date by its tail: the chunk named by
 * the next frame id is asked for, and only if it is there is the whole read again. That holds while
 * the partition has the same owner; under a new epoch the tail may have been written anew (a
 * fail-over that lost the end), so it is read from the beginning.
 *
 * The list and the references belong to the loop thread. The symbols are shared with pool threads:
 * one applies chunks under the write lock, many read under the read lock.
 */
#ifndef HEARTH_QUERY_GENERATIONS_H
#define HEARTH_QUERY_GENERATIONS_H

#include "base/hash.h"
#include "base/list.h"
#include "profile/by_function.h"
#include "store/store.h"
#include "wire/zcodec.h"

#include <pthread.h>

struct generation {
    struct list link; /* private: least recently used first; out of the list when stale */
    uint32_t partition;
    struct hash128 sid;
    uint64_t number, epoch;
    uint32_t refs; /* queries that hold it */
    pthread_rwlock_t lock;
    struct symbols *symbols;   /* under lock, as the next */
    struct by_function by_function;
    _Atomic uint32_t n_frames; /* of symbols, to be read without it */
    _Atomic size_t bytes;
    _Atomic bool broken; /* a chunk was missing or bad: not to be used again */
};

struct generations {
    struct list all;
    size_t max_bytes;
};

void generations_init(struct generations *gs, size_t max_bytes);
void generations_deinit(struct generations *gs); /* no references are left */
/* The cached generation, or a new, empty one; referenced. Loop thread, as the next. */
struct generation *generation_get(struct generations *gs, uint32_t partition, struct hash128 sid,
                                  uint64_t number, uint64_t epoch);
void generation_put(struct generations *gs, struct generation *g);

/* Copies of chunks as the store gave them, on their way from the loop to a pool thread. */
struct chunks {
    struct chunk {
        uint64_t first_frame;
        struct buf bytes;
    } * at;
    size_t n, cap;
};
/* Takes the reply of store_hash (fields and values). */
void chunks_add(struct chunks *c, const struct store_reply *reply);
void chunks_deinit(struct chunks *c);
/* Any thread: decodes those that the generation does not have yet. 0, or -EBADMSG: a chunk is
 * missing or bad, and what stands behind it is not there. */
int generation_apply(struct generation *g, struct zcodec *z, struct chunks *c);

#endif
