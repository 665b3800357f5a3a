/*
 * Merge: the pool's side of a reading. Blobs are decoded under their generation's read lock and
 * added up per side and generation, in that generation's frame ids; only what comes out is
 * translated. Rounds of one reading follow each other; within one, first what is new of symbols,
 * then the sides, which may go on at once. Else one thread at a time.
 */
#ifndef HEARTH_QUERY_MERGE_H
#define HEARTH_QUERY_MERGE_H

#include "query/answer.h"
#include "query/generations.h"
#include "wire/aggregate.h"

/* A generation that a reading holds. */
struct held {
    struct generation *generation; /* referenced */
    bool fresh;                    /* asked for its tail in this reading */
    bool broken;
    struct chunks chunks; /* read, not applied yet */
};

/* The sum of what one side has in one generation. */
struct accumulator {
    uint8_t side;
    uint32_t held;
    struct tree sum;
};

struct blob {
    uint32_t accumulator;
    struct buf bytes;
};

struct merge {
    uint32_t n_sides;
    struct zcodec *z[SIDES_MAX];
    struct held *held;
    size_t n_held, cap_held;
    struct accumulator *accumulators;
    size_t n_accumulators, cap_accumulators;
    struct blob *blobs; /* of this round */
    size_t n_blobs, cap_blobs;
    struct generation *borrowed; /* by the answer; read-locked */
};

void merge_init(struct merge *m, uint32_t n_sides);
void merge_deinit(struct merge *m); /* the held generations have been put back */

/* A round. Whether there is anything to do in a step is asked first: most rounds bring no
 * symbols. */
bool merge_has_symbols(const struct merge *m);
void merge_symbols(struct merge *m);
bool merge_has_blobs(const struct merge *m, uint32_t side);
/* Adds the round's blobs of a side to its sums and their figures to a->sides[side]. Blobs that
 * cannot be read count as gaps. */
void merge_side(struct merge *m, struct answer *a, uint32_t side);
/* Forgets the blobs; returns the bytes of the sums. */
size_t merge_end_round(struct merge *m);

/* The tree of all sums. Where they are of one generation it has that one's frames, and the answer
 * borrows its table: it is locked until merge_let_go, on the same thread. */
void merge_finish(struct merge *m, struct answer *a);
void merge_let_go(struct merge *m, struct answer *a);

#endif
