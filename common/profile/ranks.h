/*
 * Ranks: the order of a table's frames (symbols_frame_cmp) as numbers, so that merging trees
 * compares numbers. A table keeps its own (symbols_rank). One thread, as the table.
 */
#ifndef HEARTH_PROFILE_RANKS_H
#define HEARTH_PROFILE_RANKS_H

#include "profile/order.h"

struct symbols;

/* A zeroed one is of no frames. */
struct ranks {
    struct order frames; /* their ids in order */
    uint32_t *rank;      /* [frame id] how many frames come before it */
    size_t rank_cap;
};

void ranks_deinit(struct ranks *r);
void ranks_update(struct ranks *r, const struct symbols *s);

#endif
