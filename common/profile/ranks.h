/*
 * Ranks: the order of a table's frames (symbols_frame_cmp) as numbers, so that merging trees
 * compares numbers. A table keeps its own (symbols_rank); frames are only added, so ranks are
 * brought up to date by sorting what is new and merging it in. One thread, as the table.
 */
#ifndef HEARTH_PROFILE_RANKS_H
#define HEARTH_PROFILE_RANKS_H

#include <stddef.h>
#include <stdint.h>

struct symbols;

/* A zeroed one is of no frames. */
struct ranks {
    uint32_t n;      /* frames of the table it is of: ids below n */
    uint32_t *rank;  /* [frame id] how many frames come before it */
    uint32_t *frame; /* [rank] its id */
    size_t rank_cap, frame_cap;
};

void ranks_deinit(struct ranks *r);
void ranks_update(struct ranks *r, const struct symbols *s);

#endif
