/*
 * How it works. Nodes are kept in order of weight while they fit, each parent's (other) counted in.
 * Keeping one more never lowers the number shown: it adds the node, adds an (other) if it has
 * children (all still hidden), and takes its parent's away if it was the last one hidden there. So
 * there is a weight above which all are kept, and it is found without sorting:
 *
 *   1. Backwards once: totals, weights, and for each bucket of weights what the number shown grows
 *      by when all nodes of the bucket are kept. There are eight buckets an octave.
 *   2. From the heaviest bucket down, as long as a whole bucket fits.
 *   3. Only the bucket that does not fit is sorted, and its nodes are kept one by one.
 *   4. Forwards once: what is kept, and the hidden weight of each parent as its (other).
 *
 * Values of both signs can make a child heavier than its parent; a heavy child lifts its parents,
 * so a node's weight is never less than a child's.
 */
#include "base/err.h"
#include "base/xalloc.h"
#include "profile/profile.h"
#include "profile/tree_int.h"

#include <stdlib.h>

/* Weights are cut to WEIGHT_MAX, so that FIRST can be added to them: then all have an eighth of an
 * octave, also the smallest. */
enum { FIRST = 8, BUCKETS = 61 * 8 };
#define WEIGHT_MAX (UINT64_MAX - FIRST)

/* The least weight in a bucket; of one beyond the last, none can have it. */
static uint64_t floor_of(unsigned bucket)
{
    return bucket < BUCKETS ? ((uint64_t)(FIRST + bucket % 8) << bucket / 8) - FIRST : UINT64_MAX;
}

struct prune {
    const struct tree *t;
    uint32_t depths; /* the greatest, and room for one more */
    int64_t *total[TREE_COLUMNS_MAX];
    uint64_t *weight;
    uint32_t *size; /* nodes at and below */
    uint32_t grows[BUCKETS];       /* the number shown, by the bucket that is kept … */
    uint32_t shrinks[BUCKETS + 1]; /* … the last counts what nobody asks for */
    uint64_t floor;                /* what weighs as much is kept … */
    uint64_t below;                /* … and of what weighs as much as this, some */
    uint32_t n_shown;              /* by them; at most max_nodes */
    uint64_t threshold;            /* above it, or at it up to node `last`: kept */
    uint32_t last;
};

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Eight buckets an octave: order-preserving. */
static inline unsigned bucket_of(uint64_t weight)
{
    unsigned log = 63 - (unsigned)__builtin_clzll(weight + FIRST);

    return (log - 3) * 8 + (unsigned)((weight + FIRST) >> (log - 3) & 7);
}

/* What a node's children have left for it, one cell per depth. */
struct owed {
    int64_t total[TREE_COLUMNS_MAX];
    uint64_t weight; /* the greatest */
    uint32_t size;
    unsigned lightest; /* bucket; BUCKETS: no children */
};

static const struct owed nothing = {.lightest = BUCKETS};

/* max(|a|, |b|, |b − a|) */
static inline uint64_t weight_of(int64_t a, int64_t b)
{
    uint64_t wa = magnitude(a), wb = magnitude(b);
    uint64_t weight = (a ^ b) < 0 ? wa + wb : max_u64(wa, wb);

    return weight < WEIGHT_MAX ? weight : WEIGHT_MAX;
}

/* Inlined with constant columns. Whether a node has children cannot be foreseen: that is no branch.
 */
static inline __attribute__((always_inline)) void weigh(struct prune *p, struct owed *owed,
                                                        const uint32_t columns)
{
    const struct tree *t = p->t;
    uint64_t saturated = 0;

    for (uint32_t i = t->n; i-- > 0;) {
        struct owed *here = &owed[t->depth[i]], below = here[1];
        int64_t a = add_saturating(t->self[0][i], below.total[0], &saturated), b = 0;
        uint64_t weight;
        unsigned bucket;

        here[1] = nothing;
        p->total[0][i] = a;
        here->total[0] = add_saturating(here->total[0], a, &saturated);
        if (columns > 1) {
            b = add_saturating(t->self[1][i], below.total[1], &saturated);
            p->total[1][i] = b;
            here->total[1] = add_saturating(here->total[1], b, &saturated);
        }
        weight = max_u64(weight_of(a, b), below.weight);
        p->weight[i] = weight;
        p->size[i] = below.size + 1;
        bucket = bucket_of(weight);
        /* With children: its (other) too, until the lightest of its children is kept. */
        p->grows[bucket] += 1 + (below.lightest != BUCKETS);
        p->shrinks[below.lightest]++;
        here->weight = max_u64(here->weight, weight);
        here->size += below.size + 1;
        here->lightest = bucket < here->lightest ? bucket : here->lightest;
    }
}

static void weigh_all(struct prune *p)
{
    struct owed *owed = xreallocarray(NULL, p->depths, sizeof *owed);

    for (uint32_t d = 0; d < p->depths; d++)
        owed[d] = nothing;
    if (p->t->n_columns == 1)
        weigh(p, owed, 1);
    else
        weigh(p, owed, 2);
    free(owed);
}

static void find_lowest(struct prune *p, uint32_t max_nodes)
{
    unsigned lowest = BUCKETS;

    while (lowest > 0) {
        uint32_t shown = p->n_shown + p->grows[lowest - 1] - p->shrinks[lowest - 1];

        if (shown > max_nodes)
            break;
        p->n_shown = shown;
        lowest--;
    }
    p->floor = floor_of(lowest);
    p->below = lowest > 0 ? floor_of(lowest - 1) : 0;
}

/* A node of the bucket that does not fit as a whole. */
struct candidate {
    uint64_t weight;
    uint32_t node, parent;
};

/* Heaviest first; of equals the first in preorder, so that a parent comes before its children. */
static int candidate_cmp(const void *va, const void *vb)
{
    const struct candidate *a = va, *b = vb;

    if (a->weight != b->weight)
        return a->weight > b->weight ? -1 : 1;
    return (a->node > b->node) - (a->node < b->node);
}

/* The candidates, and n_hidden[i]: children of node i below the kept buckets. */
static struct candidate *find_candidates(const struct prune *p, uint32_t *n_hidden, uint32_t *ret_n)
{
    const struct tree *t = p->t;
    uint32_t *at = xcalloc(p->depths, sizeof *at); /* the last node of each depth */
    struct candidate *out = NULL;
    size_t cap = 0;
    uint32_t n = 0;

    for (uint32_t i = 0, step; i < t->n; i += step) {
        uint32_t d = t->depth[i], parent = d ? at[d - 1] : 0;

        at[d] = i;
        step = p->weight[i] < p->below ? p->size[i] : 1;
        if (p->weight[i] >= p->floor)
            continue;
        n_hidden[parent] += i > 0;
        if (p->weight[i] < p->below)
            continue;
        XGROW(out, cap, (size_t)n + 1);
        out[n++] = (struct candidate){p->weight[i], i, parent};
    }
    free(at);
    *ret_n = n;
    return out;
}

/* Sets the threshold: what is kept of the bucket below the lowest. */
static void keep_candidates(struct prune *p, uint32_t max_nodes)
{
    uint32_t *n_hidden = xcalloc(p->t->n, sizeof *n_hidden), n;
    struct candidate *order = find_candidates(p, n_hidden, &n);

    p->threshold = UINT64_MAX;
    qsort(order, n, sizeof *order, candidate_cmp);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t node = order[i].node, parent = order[i].parent;
        bool last_hidden = node != 0 && n_hidden[parent] == 1;
        uint32_t shown = p->n_shown + 1 + (n_hidden[node] > 0) - last_hidden;

        if (shown > max_nodes)
            break;
        p->n_shown = shown;
        p->threshold = order[i].weight;
        p->last = node;
        n_hidden[parent] -= node != 0;
    }
    free(order);
    free(n_hidden);
}

static inline bool is_kept(const struct prune *p, uint32_t i)
{
    uint64_t weight = p->weight[i];

    return weight >= p->floor || weight > p->threshold || (weight == p->threshold && i <= p->last);
}

struct prune_out {
    struct tree *out;
    int64_t (*pending)[TREE_COLUMNS_MAX]; /* [depth] hidden weight below the open node there */
    uint32_t open;                        /* depth of the innermost open node */
    uint32_t n_kept;
};

/* Closes the open nodes at depth d and below; each gets its (other) as last child. */
static void close_from(struct prune_out *o, uint32_t d)
{
    struct tree *out = o->out;

    for (uint32_t level = o->open + 1; level-- > d;) {
        for (uint32_t c = 0; c < out->n_columns; c++) {
            out->self[c][out->n] = o->pending[level][c];
            o->pending[level][c] = 0;
        }
        if (has_weight(out, out->n)) {
            out->depth[out->n] = level + 1;
            out->frame[out->n++] = TREE_OTHER;
        }
    }
}

static void hide(struct prune_out *o, const struct prune *p, uint32_t i)
{
    int64_t *pending = o->pending[p->t->depth[i] - 1];

    for (uint32_t c = 0; c < o->out->n_columns; c++)
        pending[c] = add_saturating(pending[c], p->total[c][i], &o->out->saturated);
}

/* Returns the number of nodes kept. */
static uint32_t emit_pruned(const struct prune *p, struct tree *out)
{
    const struct tree *t = p->t;
    struct prune_out o = {out, xcalloc(p->depths, sizeof *o.pending), 0, 0};
    uint32_t i = 0;

    while (i < t->n) {
        uint32_t d = t->depth[i];

        if (i > 0) {
            close_from(&o, d);
            o.open = d - 1;
        }
        if (is_kept(p, i)) {
            copy_node(out, out->n++, t, i++);
            o.open = d;
            o.n_kept++;
            continue;
        }
        hide(&o, p, i);
        i += p->size[i];
    }
    close_from(&o, 0);
    free(o.pending);
    return o.n_kept;
}

uint32_t tree_prune(struct tree *out, const struct tree *t, uint32_t max_nodes)
{
    struct prune p = {.t = t};
    uint32_t n_kept;

    CHECK(out != t && t->n_columns > 0);
    max_nodes = max_nodes < 2 ? 2 : max_nodes; /* the root and its (other) */
    if (t->n <= max_nodes) {
        tree_copy(out, t);
        return 0;
    }
    p.depths = tree_max_depth(t) + 2;
    for (uint32_t c = 0; c < t->n_columns; c++)
        p.total[c] = xreallocarray(NULL, t->n, sizeof *p.total[c]);
    p.weight = xreallocarray(NULL, t->n, sizeof *p.weight);
    p.size = xreallocarray(NULL, t->n, sizeof *p.size);
    weigh_all(&p);
    find_lowest(&p, max_nodes);
    keep_candidates(&p, max_nodes);
    tree_begin(out, t->n_columns, (size_t)max_nodes + 1);
    out->saturated = t->saturated;
    n_kept = emit_pruned(&p, out);
    for (uint32_t c = 0; c < t->n_columns; c++)
        free(p.total[c]);
    free(p.weight);
    free(p.size);
    return t->n - n_kept;
}
