/* Tree, inside: what tree.c, tree_zip.c, tree_prune.c, tree_group.c and tree_code.c share. */
#ifndef HEARTH_PROFILE_TREE_INT_H
#define HEARTH_PROFILE_TREE_INT_H

#include "profile/step.h"
#include "profile/tree.h"

/* Inlined with constants, so that what does not concern them costs nothing. */
#define INLINE inline __attribute__((always_inline))

/* Makes t an empty tree of n_columns with room for n nodes. Memory is kept from use to use. */
void tree_begin(struct tree *t, uint32_t n_columns, size_t n);
uint32_t tree_max_depth(const struct tree *t);
/* Drops leaves without weight, and what thereby becomes one. */
void tree_drop_weightless(struct tree *t);
/* The table's ranks, or where they are not of all its frames, some made in `own`, a zeroed one. */
const struct ranks *tree_ranks(const struct symbols *sym, struct ranks *own);

static inline bool has_weight(const struct tree *t, uint32_t node)
{
    for (uint32_t c = 0; c < t->n_columns; c++)
        if (t->self[c][node])
            return true;
    return false;
}

static inline void copy_node(struct tree *to, uint32_t at, const struct tree *from, uint32_t node)
{
    to->depth[at] = from->depth[node];
    to->frame[at] = from->frame[node];
    for (uint32_t c = 0; c < from->n_columns; c++)
        to->self[c][at] = from->self[c][node];
}

/*
 * A node as one number, which rises in preorder: how far its depth is from the greatest that there
 * can be, above its frame's rank (tree_zip.c). KEY_END is behind all.
 */
#define KEY_END UINT64_MAX

static inline uint64_t key_of(const uint32_t *rank, uint32_t depth, uint32_t frame)
{
    return (uint64_t)(TREE_DEPTH_MAX - depth) << 32 | rank[frame];
}

static inline uint32_t depth_of(uint64_t key)
{
    return TREE_DEPTH_MAX - (uint32_t)(key >> 32);
}

#endif
