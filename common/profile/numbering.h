/*
 * Numbering: ids of one kind, renumbered from 1 in the order of their first mention. 0 stays 0. It
 * costs what is mentioned: of a large table pages that nobody asks for are not there.
 */
#ifndef HEARTH_PROFILE_NUMBERING_H
#define HEARTH_PROFILE_NUMBERING_H

#include "base/xalloc.h"

#include <stdlib.h>

struct numbering {
    uint32_t *number; /* [id] 0: not mentioned yet */
    uint32_t *order;  /* [number - 1] id */
    uint32_t n;
    size_t cap;
};

/* For ids below n_ids. */
static inline void numbering_init(struct numbering *nb, uint32_t n_ids)
{
    *nb = (struct numbering){.number = xcalloc(n_ids, sizeof *nb->number)};
}

static inline void numbering_deinit(struct numbering *nb)
{
    free(nb->number);
    free(nb->order);
}

static inline uint32_t numbering_of(struct numbering *nb, uint32_t id)
{
    if (id == 0 || nb->number[id])
        return nb->number[id];
    XGROW(nb->order, nb->cap, (size_t)nb->n + 1);
    nb->order[nb->n++] = id;
    return nb->number[id] = nb->n;
}

#endif
