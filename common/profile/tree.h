/*
 * Tree: the merged stacks of an aggregate as sorted preorder columns.
 *
 * Node 0 is the root (depth 0, frame 0, self = samples without a stack). The others follow in
 * preorder with depth ≥ 1; siblings rise strictly in the order of symbols_frame_cmp. In this form
 * two trees merge like two sorted lists, with no hashing and no pointers, whatever table their
 * frame ids come from, as long as all are given in (or remapped to) one table.
 *
 * Canonical: every leaf but the root has a nonzero self in some column. tree_of_stacks makes
 * canonical trees, and tree_zip of canonical ones, so equal content is equal columns.
 * A tree has one value column, or two when it is a difference: column 0 is a, column 1 is b.
 */
#ifndef HEARTH_PROFILE_TREE_H
#define HEARTH_PROFILE_TREE_H

#include "profile/profile.h"

enum { TREE_COLUMNS_MAX = 2, TREE_DEPTH_MAX = (1 << 24) - 1 };

struct tree {
    uint32_t n;                         /* nodes, the root included; 0: never filled */
    uint32_t n_columns;
    size_t cap;
    uint32_t *depth;
    uint32_t *frame;
    int64_t *self[TREE_COLUMNS_MAX];
    uint64_t saturated;                 /* additions that hit the end of int64_t */
};

/* A zeroed tree is valid and empty. */
void tree_deinit(struct tree *t);

/* Replaces out, which is not t, by t. */
void tree_copy(struct tree *out, const struct tree *t);

/* The tree of value[i] on stack[i], i < n, which need not differ; st may have others, too. Costs what
 * these have of nodes, not what st has. Replaces out. */
void tree_of_stacks(struct tree *out, struct stacks *st, const struct symbols *sym,
                    const uint32_t *stack, const int64_t *value, size_t n);
/* The tree of a profile's values of one type, whatever their labels and spans. */
void tree_of_profile(struct tree *out, const struct profile *p, uint32_t type);

/*
 * k-way merge. Input i (one-column) is added to column column_of[i] of out (NULL: all to 0), out has
 * n_columns. All frame ids are of sym. out must not be an input. k = 0 gives the bare root.
 */
void tree_zip(struct tree *out, uint32_t n_columns, const struct tree *const *in,
              const uint8_t *column_of, size_t k, const struct symbols *sym);
/* a − b, column 0 of each: windows are additive. */
void tree_subtract(struct tree *out, const struct tree *a, const struct tree *b,
                   const struct symbols *sym);
/* Replaces every frame id by map[id], in place (symbols_merge made the map). */
void tree_remap(struct tree *t, const uint32_t *map);
/*
 * The same where map makes one of several frames: siblings that become one are one node, with the
 * sum of their values and the children of all. rank[frame id] orders what map gives, and is equal
 * exactly where map is: siblings of the result rise by it, so that it is canonical only if that is
 * the order of symbols_frame_cmp. map[0] is 0. t has a root and is not pruned; replaces out, which
 * is not t.
 */
void tree_group(struct tree *out, const struct tree *t, const uint32_t *map, const uint32_t *rank);

/* total[i] = self of i and all below it, per column; one reverse sweep. total has t->n entries. */
void tree_totals(const struct tree *t, uint32_t column, int64_t *total);

/*
 * Sums by a key of the caller's, for tables of functions: group[frame id] is an index below n_groups.
 * Self is that of the group's nodes; total counts a stack once however often the group recurs in it.
 * The root is in no group. Not for pruned trees. Returns how many additions to self saturated.
 */
uint64_t tree_by_group(const struct tree *t, uint32_t column, const uint32_t *group,
                       uint32_t n_groups, int64_t *self, int64_t *total);

/*
 * What a screen shows: at most max_nodes nodes, those with the greatest weight |total| (of a
 * difference: the greater of |a|, |b|, and |b − a|), of equals the first in preorder; a node never
 * without its parent. A parent's hidden children become one child with frame TREE_OTHER, last among
 * its siblings, with their exact summed total as self; it counts among max_nodes (at least 2 are
 * shown: the root and its rest). Returns the number of hidden nodes. out must not be t.
 */
enum { TREE_OTHER = UINT32_MAX };
uint32_t tree_prune(struct tree *out, const struct tree *t, uint32_t max_nodes);

/*
 * The stored form, uncompressed (wire/aggregate.h wraps it); one value column only:
 *
 *   varints: n; step, the greatest common divisor of the self values; bytes of columns 1 to 4
 *   1 up          of each chain: how many levels its first node's parent is above the node before it
 *   2 length      of each chain: nodes but its last
 *   3 frame       of nodes 1 … n−1: zigzag difference to the parent's frame id
 *   4 leaf self   of nodes without children, in order: zigzag(self / step)
 *   5 inner self  of the others, those with a self only: how far it is from the one before (the first:
 *                 from the root), zigzag(self / step)
 *
 * A chain is a leaf with the nodes above it that have no leaf before it below them; the root is in none. Ids
 * rise with first use, so a child's is near its parent's; nearly all inner values are 0, and leaves have
 * a weight of their own.
 */
void tree_encode(const struct tree *t, struct buf *out);
/* Checks everything (depth steps, 0 < frame < n_frames; the order is the writer's word). 0, and the
 * sum of all values as if there were no end of int64_t, then cut to it; or -EBADMSG. */
int tree_decode(struct tree *t, struct bytes in, uint32_t n_frames, int64_t *ret_sum);

/*
 * A stored tree that is only to be merged: its nodes as the numbers that merging compares, so that
 * they are written once and not twice. A zeroed one is empty. Good only as long as the ranks are that
 * it was decoded with.
 */
struct tree_run {
    size_t n, cap;    /* nodes; words */
    uint64_t *word;   /* key and value of each node, and behind them KEY_END (tree_zip.c) */
    uint64_t any_bit; /* of all values */
    int64_t sum;      /* of them, as tree_decode has it */
};

void tree_run_deinit(struct tree_run *r);
/* As tree_decode; ranks are of n_frames frames or more. */
int tree_decode_run(struct tree_run *r, struct bytes in, uint32_t n_frames,
                    const struct ranks *ranks);
/* As tree_zip with one column, of k runs of sym's ranks (symbols_rank was called behind the last
 * frame) and one tree more (n is 0: none). */
void tree_zip_runs(struct tree *out, const struct tree *more, const struct tree_run *const *in,
                   size_t k, const struct symbols *sym);

#endif
