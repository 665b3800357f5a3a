/*
 * How it works. A sorted preorder list of (depth, frame) *is* the tree, so every operation is a
 * sweep.
 *
 * Merging two: the next node of the result is the deeper of the two cursors, for the shallower
 * one's tree has no more nodes below the current path; at equal depth both have the same parent,
 * and the smaller frame comes first; equal frames are one node, and both cursors step. This reads
 * and writes memory in order, hashes nothing and follows no pointer. k trees are merged in a
 * balanced cascade of such pairs, log2 k passes over each node, with at most one temporary tree a
 * level.
 *
 * Totals: going backwards, all of a node's children are done before it is reached, and what they
 * owe their parent waits in one cell per depth.
 *
 * Values may cancel (heap deltas are negative), which can leave leaves without weight; a last
 * backward sweep drops those, and only runs if the merge saw one. So equal content is equal
 * columns.
 */
#include "profile/tree.h"

#include "base/err.h"
#include "base/varint.h"
#include "base/xalloc.h"
#include "profile/profile.h"

#include <errno.h>
#include <stdlib.h>

void tree_deinit(struct tree *t)
{
    free(t->depth);
    free(t->frame);
    for (size_t c = 0; c < TREE_COLUMNS_MAX; c++)
        free(t->self[c]);
    *t = (struct tree){0};
}

/* Makes t an empty tree of n_columns with room for n nodes. Memory is kept from use to use. */
static void tree_begin(struct tree *t, uint32_t n_columns, size_t n)
{
    CHECK(n_columns >= 1 && n_columns <= TREE_COLUMNS_MAX);
    if (n > t->cap || t->n_columns < n_columns) {
        size_t cap = n > t->cap ? n : t->cap;

        tree_deinit(t);
        t->depth = xreallocarray(NULL, cap, sizeof *t->depth);
        t->frame = xreallocarray(NULL, cap, sizeof *t->frame);
        for (uint32_t c = 0; c < n_columns; c++)
            t->self[c] = xreallocarray(NULL, cap, sizeof *t->self[c]);
        t->cap = cap;
    }
    t->n = 0;
    t->n_columns = n_columns;
    t->saturated = 0;
}

static void push(struct tree *t, uint32_t depth, uint32_t frame)
{
    t->depth[t->n] = depth;
    t->frame[t->n] = frame;
    t->n++;
}

static bool has_weight(const struct tree *t, uint32_t node)
{
    for (uint32_t c = 0; c < t->n_columns; c++)
        if (t->self[c][node])
            return true;
    return false;
}

static void copy_node(struct tree *to, uint32_t at, const struct tree *from, uint32_t node)
{
    to->depth[at] = from->depth[node];
    to->frame[at] = from->frame[node];
    for (uint32_t c = 0; c < from->n_columns; c++)
        to->self[c][at] = from->self[c][node];
}

/*
 * Drops leaves without weight, and what thereby becomes one. Going backwards, a node has something
 * kept below it exactly if the node kept last is deeper: whatever stands between them was dropped,
 * and a kept node's ancestors are all kept.
 */
static void drop_weightless(struct tree *t)
{
    uint32_t kept = t->n; /* nodes [kept, n) are kept */
    size_t n;

    for (uint32_t i = t->n; i-- > 0;) {
        bool inner = kept < t->n && t->depth[kept] > t->depth[i];

        if (i == 0 || inner || has_weight(t, i))
            copy_node(t, --kept, t, i);
    }
    n = t->n - kept;
    memmove(t->depth, t->depth + kept, n * sizeof *t->depth);
    memmove(t->frame, t->frame + kept, n * sizeof *t->frame);
    for (uint32_t c = 0; c < t->n_columns; c++)
        memmove(t->self[c], t->self[c] + kept, n * sizeof *t->self[c]);
    t->n = (uint32_t)n;
}

/* --- from stacks --------------------------------------------------------------------------------
 */

/* Children as runs of one array: node p's are child[begin[p] .. begin[p + 1]). */
struct children {
    uint32_t *begin, *child;
};

struct sort_context {
    const struct symbols *sym;
    const struct stack_node *nodes;
};

static int child_cmp(const void *a, const void *b, void *vctx)
{
    const struct sort_context *ctx = vctx;

    return symbols_frame_cmp(ctx->sym, ctx->nodes[*(const uint32_t *)a].frame,
                             ctx->nodes[*(const uint32_t *)b].frame);
}

/* live[node]: something in its subtree has weight. A parent's id is smaller than its children's. */
static uint32_t mark_live(bool *live, const struct stack_node *nodes, uint32_t n)
{
    uint32_t n_live = 1;

    for (uint32_t i = n; i-- > 1;) {
        n_live += live[i];
        live[nodes[i].parent] |= live[i];
    }
    live[0] = true;
    return n_live;
}

static struct children sort_children(const struct stack_node *nodes, uint32_t n, const bool *live,
                                     uint32_t n_live, const struct symbols *sym)
{
    struct children ch = {xcalloc((size_t)n + 2, sizeof *ch.begin),
                          xreallocarray(NULL, n_live, sizeof *ch.child)};
    struct sort_context ctx = {sym, nodes};
    uint32_t *end = ch.begin + 1; /* while filling, end[p] runs from p's begin to its end */

    for (uint32_t i = 1; i < n; i++)
        if (live[i])
            ch.begin[nodes[i].parent + 2]++;
    for (uint32_t p = 0; p < n; p++)
        ch.begin[p + 2] += ch.begin[p + 1];
    for (uint32_t i = 1; i < n; i++)
        if (live[i])
            ch.child[end[nodes[i].parent]++] = i;
    for (uint32_t p = 0; p < n; p++)
        if (ch.begin[p + 1] - ch.begin[p] > 1)
            qsort_r(ch.child + ch.begin[p], ch.begin[p + 1] - ch.begin[p], sizeof *ch.child,
                    child_cmp, &ctx);
    return ch;
}

/* Preorder over the sorted children, with a stack of our own: stacks may be deep. */
static void emit_preorder(struct tree *out, const struct children *ch,
                          const struct stack_node *nodes, const int64_t *self)
{
    struct visit {
        uint32_t node, depth;
    } *todo = NULL;
    size_t n = 0, cap = 0;

    XGROW(todo, cap, 1);
    todo[n++] = (struct visit){0, 0};
    while (n > 0) {
        struct visit v = todo[--n];
        uint32_t begin = ch->begin[v.node], end = ch->begin[v.node + 1];

        out->self[0][out->n] = self[v.node];
        push(out, v.depth, nodes[v.node].frame);
        XGROW(todo, cap, n + (end - begin));
        while (end > begin)
            todo[n++] = (struct visit){ch->child[--end], v.depth + 1};
    }
    free(todo);
}

void tree_of_stacks(struct tree *out, const struct stacks *st, const struct symbols *sym,
                    const int64_t *values, uint32_t n_stacks)
{
    uint32_t n = stacks_n_nodes(st), n_live;
    const struct stack_node *nodes = stacks_nodes(st);
    int64_t *self = xcalloc(n, sizeof *self);
    bool *live = xcalloc(n, sizeof *live);
    struct children ch;

    CHECK(n_stacks <= stacks_count(st));
    for (uint32_t i = 0; i < n_stacks; i++) {
        uint32_t leaf = stacks_leaf(st, i);

        self[leaf] = values[i];
        live[leaf] = values[i] != 0;
    }
    n_live = mark_live(live, nodes, n);
    ch = sort_children(nodes, n, live, n_live, sym);
    tree_begin(out, 1, n_live);
    emit_preorder(out, &ch, nodes, self);
    free(ch.begin);
    free(ch.child);
    free(self);
    free(live);
}

/* --- merging ------------------------------------------------------------------------------------
 */

/* An input of the merge: a tree whose columns stand where the result wants them. */
struct operand {
    uint32_t n;
    const uint32_t *depth, *frame;
    const int64_t *self[TREE_COLUMNS_MAX]; /* NULL: all zero */
};

enum merge_sign { MERGE_ADD, MERGE_SUBTRACT };

struct merge {
    struct tree *out;
    const struct symbols *sym;
    const uint64_t *hashes;
    enum merge_sign sign;
    bool weightless_leaf; /* one came out */
};

static struct operand operand_of(const struct tree *t)
{
    struct operand o = {.n = t->n, .depth = t->depth, .frame = t->frame};

    for (uint32_t c = 0; c < t->n_columns; c++)
        o.self[c] = t->self[c];
    return o;
}

static struct operand operand_in_column(const struct tree *t, uint32_t column)
{
    struct operand o = {.n = t->n, .depth = t->depth, .frame = t->frame};

    o.self[column] = t->self[0];
    return o;
}

/* a ± b; what leaves the range stays at its end and is counted. */
static int64_t combine(struct merge *m, int64_t a, int64_t b)
{
    int64_t r;

    if (m->sign == MERGE_ADD)
        return add_saturating(a, b, &m->out->saturated);
    if (__builtin_sub_overflow(a, b, &r)) {
        m->out->saturated++;
        return a < 0 ? INT64_MIN : INT64_MAX;
    }
    return r;
}

/* <0: a's node is next, >0: b's, 0: they are the same node. */
static inline int next_of(const struct merge *m, const struct operand *a, uint32_t i,
                          const struct operand *b, uint32_t j)
{
    uint32_t fa, fb;

    if (i == a->n || j == b->n)
        return i == a->n ? 1 : -1;
    if (a->depth[i] != b->depth[j])
        return a->depth[i] > b->depth[j] ? -1 : 1;
    fa = a->frame[i];
    fb = b->frame[j];
    if (fa == fb)
        return 0;
    if (m->hashes[fa] != m->hashes[fb])
        return m->hashes[fa] < m->hashes[fb] ? -1 : 1;
    return symbols_frame_cmp(m->sym, fa, fb);
}

/* Appends the node with a's node i and b's node j added; NULL: not in that tree. */
static inline void emit_sum(struct merge *m, const struct operand *a, uint32_t i,
                            const struct operand *b, uint32_t j)
{
    struct tree *out = m->out;
    bool after_weightless = out->n > 1 && !has_weight(out, out->n - 1);
    uint32_t depth = a ? a->depth[i] : b->depth[j];

    if (after_weightless && out->depth[out->n - 1] >= depth)
        m->weightless_leaf = true;
    for (uint32_t c = 0; c < out->n_columns; c++) {
        int64_t va = a && a->self[c] ? a->self[c][i] : 0;
        int64_t vb = b && b->self[c] ? b->self[c][j] : 0;

        out->self[c][out->n] = combine(m, va, vb);
    }
    push(out, depth, a ? a->frame[i] : b->frame[j]);
}

static void merge_two(struct tree *out, uint32_t n_columns, const struct operand *a,
                      const struct operand *b, enum merge_sign sign, const struct symbols *sym)
{
    struct merge m = {out, sym, symbols_frame_hashes(sym), sign, false};

    CHECK((uint64_t)a->n + b->n < UINT32_MAX);
    tree_begin(out, n_columns, (size_t)a->n + b->n + 1);
    for (uint32_t i = 0, j = 0; i < a->n || j < b->n;) {
        int next = next_of(&m, a, i, b, j);

        emit_sum(&m, next <= 0 ? a : NULL, i, next >= 0 ? b : NULL, j);
        i += next <= 0;
        j += next >= 0;
    }
    if (out->n == 0) {
        for (uint32_t c = 0; c < n_columns; c++)
            out->self[c][0] = 0;
        push(out, 0, 0);
    }
    if (m.weightless_leaf || (out->n > 1 && !has_weight(out, out->n - 1)))
        drop_weightless(out);
}

static void zip_range(struct tree *out, uint32_t n_columns, const struct operand *in, size_t k,
                      const struct symbols *sym)
{
    static const struct operand nothing;
    struct tree half[2] = {{0}, {0}};
    struct operand sides[2] = {nothing, nothing};
    size_t middle = k / 2;
    uint64_t saturated = 0;

    if (k <= 2) {
        merge_two(out, n_columns, k > 0 ? &in[0] : &nothing, k > 1 ? &in[1] : &nothing, MERGE_ADD,
                  sym);
        return;
    }
    for (int s = 0; s < 2; s++) {
        size_t n = s ? k - middle : middle;

        sides[s] = in[s ? middle : 0];
        if (n > 1) {
            zip_range(&half[s], n_columns, in + (s ? middle : 0), n, sym);
            sides[s] = operand_of(&half[s]);
            saturated += half[s].saturated;
        }
    }
    merge_two(out, n_columns, &sides[0], &sides[1], MERGE_ADD, sym);
    out->saturated += saturated;
    tree_deinit(&half[0]);
    tree_deinit(&half[1]);
}

void tree_zip(struct tree *out, uint32_t n_columns, const struct tree *const *in,
              const uint8_t *column_of, size_t k, const struct symbols *sym)
{
    struct operand *operands = xcalloc(k, sizeof *operands);
    uint64_t saturated = 0;

    for (size_t i = 0; i < k; i++) {
        uint32_t column = column_of ? column_of[i] : 0;

        CHECK(in[i] != out && in[i]->n_columns <= 1 && column < n_columns);
        operands[i] = operand_in_column(in[i], column);
        saturated += in[i]->saturated;
    }
    zip_range(out, n_columns, operands, k, sym);
    out->saturated += saturated;
    free(operands);
}

void tree_subtract(struct tree *out, const struct tree *a, const struct tree *b,
                   const struct symbols *sym)
{
    struct operand oa = operand_in_column(a, 0), ob = operand_in_column(b, 0);

    CHECK(out != a && out != b);
    merge_two(out, 1, &oa, &ob, MERGE_SUBTRACT, sym);
    out->saturated += a->saturated + b->saturated;
}

void tree_remap(struct tree *t, const uint32_t *map)
{
    for (uint32_t i = 0; i < t->n; i++)
        t->frame[i] = map[t->frame[i]];
}

/* --- sums ---------------------------------------------------------------------------------------
 */

static uint32_t max_depth(const struct tree *t)
{
    uint32_t max = 0;

    for (uint32_t i = 0; i < t->n; i++)
        max = t->depth[i] > max ? t->depth[i] : max;
    return max;
}

void tree_totals(const struct tree *t, uint32_t column, int64_t *total)
{
    /* owed[d]: totals of nodes at depth d whose parent is still to come */
    int64_t *owed = xcalloc((size_t)max_depth(t) + 2, sizeof *owed);
    uint64_t saturated = 0;

    CHECK(t->n == 0 || column < t->n_columns);
    for (uint32_t i = t->n; i-- > 0;) {
        uint32_t d = t->depth[i];

        total[i] = add_saturating(t->self[column][i], owed[d + 1], &saturated);
        owed[d + 1] = 0;
        owed[d] = add_saturating(owed[d], total[i], &saturated);
    }
    free(owed);
}

/*
 * A group's total is the sum over its topmost nodes: one that has the same group above it is
 * already in that one's total. open[g] counts the nodes of g on the path to the current node.
 */
void tree_by_group(const struct tree *t, uint32_t column, const uint32_t *group, uint32_t n_groups,
                   int64_t *self, int64_t *total)
{
    int64_t *node_total = xcalloc(t->n, sizeof *node_total);
    uint32_t *path = xcalloc((size_t)max_depth(t) + 1, sizeof *path);
    uint32_t *open = xcalloc(n_groups, sizeof *open);
    uint64_t saturated = 0;
    uint32_t top = 0; /* path[1 .. top] are open */

    memset(self, 0, n_groups * sizeof *self);
    memset(total, 0, n_groups * sizeof *total);
    tree_totals(t, column, node_total);
    for (uint32_t i = 1; i < t->n; i++) {
        uint32_t g = group[t->frame[i]];

        CHECK(g < n_groups);
        for (; top >= t->depth[i]; top--)
            open[path[top]]--;
        top = t->depth[i];
        path[top] = g;
        self[g] = add_saturating(self[g], t->self[column][i], &saturated);
        if (open[g]++ == 0)
            total[g] = add_saturating(total[g], node_total[i], &saturated);
    }
    free(node_total);
    free(path);
    free(open);
}

/* --- pruning ------------------------------------------------------------------------------------
 */

static uint64_t magnitude(int64_t v)
{
    return v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
}

/* |b − a|, which can need all 64 bits. */
static uint64_t distance(int64_t a, int64_t b)
{
    return a < b ? (uint64_t)b - (uint64_t)a : (uint64_t)a - (uint64_t)b;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

struct prune {
    const struct tree *t;
    int64_t *total[TREE_COLUMNS_MAX];
    uint64_t *weight; /* greatest in the subtree: never less than a child's */
    uint32_t *parent;
    uint32_t *n_hidden; /* children of a node that are not kept */
    bool *keep;
};

static void prune_init(struct prune *p, const struct tree *t)
{
    *p = (struct prune){.t = t};
    for (uint32_t c = 0; c < t->n_columns; c++) {
        p->total[c] = xreallocarray(NULL, t->n, sizeof *p->total[c]);
        tree_totals(t, c, p->total[c]);
    }
    p->weight = xreallocarray(NULL, t->n, sizeof *p->weight);
    p->parent = xcalloc(t->n, sizeof *p->parent);
    p->n_hidden = xcalloc(t->n, sizeof *p->n_hidden);
    p->keep = xcalloc(t->n, sizeof *p->keep);
}

static void prune_deinit(struct prune *p)
{
    for (size_t c = 0; c < TREE_COLUMNS_MAX; c++)
        free(p->total[c]);
    free(p->weight);
    free(p->parent);
    free(p->n_hidden);
    free(p->keep);
}

static void find_parents(struct prune *p)
{
    const struct tree *t = p->t;
    uint32_t *at = xcalloc((size_t)max_depth(t) + 1, sizeof *at); /* last node of each depth */

    for (uint32_t i = 0; i < t->n; i++) {
        at[t->depth[i]] = i;
        if (i > 0) {
            p->parent[i] = at[t->depth[i] - 1];
            p->n_hidden[p->parent[i]]++;
        }
    }
    free(at);
}

/* Values of both signs can make a child heavier than its parent; a heavy child lifts its parents.
 */
static void find_weights(struct prune *p)
{
    for (uint32_t i = 0; i < p->t->n; i++) {
        int64_t a = p->total[0][i];

        p->weight[i] = magnitude(a);
        if (p->t->n_columns == 2) {
            int64_t b = p->total[1][i];

            p->weight[i] = max_u64(max_u64(p->weight[i], magnitude(b)), distance(a, b));
        }
    }
    for (uint32_t i = p->t->n; i-- > 1;)
        p->weight[p->parent[i]] = max_u64(p->weight[p->parent[i]], p->weight[i]);
}

/* Eight buckets an octave: order-preserving, at most 12 % wide. */
static unsigned bucket_of(uint64_t weight)
{
    unsigned log;

    if (weight < 8)
        return (unsigned)weight;
    log = 63 - (unsigned)__builtin_clzll(weight);
    return log * 8 + (unsigned)(weight >> (log - 3) & 7);
}

struct candidate {
    uint64_t weight;
    uint32_t node;
};

/* Heaviest first; of equals the first in preorder, so that a parent comes before its children. */
static int candidate_cmp(const void *va, const void *vb)
{
    const struct candidate *a = va, *b = vb;

    if (a->weight != b->weight)
        return a->weight > b->weight ? -1 : 1;
    return (a->node > b->node) - (a->node < b->node);
}

/* At least `want` nodes (all, if there are fewer), none lighter than any left out, sorted. */
static struct candidate *heaviest(const struct prune *p, uint32_t want, uint32_t *ret_n)
{
    uint32_t count[64 * 8] = {0}, n = 0, above = 0;
    unsigned lowest = 64 * 8;
    struct candidate *out;

    for (uint32_t i = 0; i < p->t->n; i++)
        count[bucket_of(p->weight[i])]++;
    while (lowest > 0 && above < want)
        above += count[--lowest];
    out = xreallocarray(NULL, above, sizeof *out);
    for (uint32_t i = 0; i < p->t->n; i++)
        if (bucket_of(p->weight[i]) >= lowest)
            out[n++] = (struct candidate){p->weight[i], i};
    qsort(out, n, sizeof *out, candidate_cmp);
    *ret_n = n;
    return out;
}

/*
 * Keeps nodes in order of weight while they fit, each parent's (other) counted in. Keeping one more
 * never lowers that number: it adds the node, adds an (other) if it has children (all still
 * hidden), and takes its parent's away if it was the last one hidden there.
 */
static uint32_t keep_heaviest(struct prune *p, uint32_t max_nodes)
{
    uint32_t n, n_kept = 0, n_shown = 1; /* the 1: as if the root were hidden somewhere */
    struct candidate *order = heaviest(p, max_nodes, &n);

    for (; n_kept < n; n_kept++) {
        uint32_t node = order[n_kept].node, parent = p->parent[node];
        bool last_hidden = node == 0 || p->n_hidden[parent] == 1;
        uint32_t shown = n_shown + 1 + (p->n_hidden[node] > 0) - last_hidden;

        if (shown > max_nodes)
            break;
        n_shown = shown;
        p->keep[node] = true;
        if (node != 0)
            p->n_hidden[parent]--;
    }
    free(order);
    return n_kept;
}

struct prune_out {
    struct tree *out;
    int64_t (*pending)[TREE_COLUMNS_MAX]; /* [depth] hidden weight below the open node there */
    uint32_t open;                        /* depth of the innermost open node */
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
        if (has_weight(out, out->n))
            push(out, level + 1, TREE_OTHER);
    }
}

static void emit_pruned(const struct prune *p, struct tree *out)
{
    const struct tree *t = p->t;
    struct prune_out o = {out, xcalloc((size_t)max_depth(t) + 2, sizeof *o.pending), 0};
    uint32_t i = 0;

    while (i < t->n) {
        uint32_t d = t->depth[i];

        if (i > 0) {
            close_from(&o, d);
            o.open = d - 1;
        }
        if (p->keep[i]) {
            copy_node(out, out->n++, t, i++);
            o.open = d;
            continue;
        }
        for (uint32_t c = 0; c < t->n_columns; c++)
            o.pending[d - 1][c] =
                add_saturating(o.pending[d - 1][c], p->total[c][i], &out->saturated);
        for (i++; i < t->n && t->depth[i] > d; i++)
            ;
    }
    close_from(&o, 0);
    free(o.pending);
}

static void copy_tree(struct tree *out, const struct tree *t)
{
    tree_begin(out, t->n_columns, t->n);
    for (uint32_t i = 0; i < t->n; i++)
        copy_node(out, i, t, i);
    out->n = t->n;
    out->saturated = t->saturated;
}

uint32_t tree_prune(struct tree *out, const struct tree *t, uint32_t max_nodes)
{
    struct prune p;
    uint32_t n_kept;

    CHECK(out != t && t->n_columns > 0);
    max_nodes = max_nodes < 2 ? 2 : max_nodes; /* the root and its (other) */
    if (t->n <= max_nodes) {
        copy_tree(out, t);
        return 0;
    }
    prune_init(&p, t);
    find_parents(&p);
    find_weights(&p);
    n_kept = keep_heaviest(&p, max_nodes);
    tree_begin(out, t->n_columns, (size_t)max_nodes + 1);
    out->saturated = t->saturated;
    emit_pruned(&p, out);
    prune_deinit(&p);
    return t->n - n_kept;
}

/* --- stored form --------------------------------------------------------------------------------
 */

/*
 * varint n, then three columns: pops of nodes 1 … n−1 (how many levels up from the node before; 0:
 * its child), their frames, and the zigzag self of all nodes, the root's first.
 */
void tree_encode(const struct tree *t, struct buf *out)
{
    uint32_t n = t->n ? t->n : 1;

    CHECK(t->n == 0 || t->n_columns == 1);
    buf_varint(out, n);
    for (uint32_t i = 1; i < n; i++)
        buf_varint(out, t->depth[i - 1] + 1 - t->depth[i]);
    for (uint32_t i = 1; i < n; i++)
        buf_varint(out, t->frame[i]);
    for (uint32_t i = 0; i < n; i++)
        buf_varint(out, t->n ? zigzag(t->self[0][i]) : 0);
}

static int decode_depths(struct tree *t, struct cursor *c, uint32_t n)
{
    uint64_t pops;

    t->depth[0] = 0;
    for (uint32_t i = 1; i < n; i++) {
        if (!varint_get(c, &pops) || pops > t->depth[i - 1])
            return -EBADMSG;
        t->depth[i] = t->depth[i - 1] + 1 - (uint32_t)pops;
    }
    return 0;
}

static int decode_frames(struct tree *t, struct cursor *c, uint32_t n, uint32_t n_frames)
{
    uint64_t frame;

    t->frame[0] = 0;
    for (uint32_t i = 1; i < n; i++) {
        if (!varint_get(c, &frame) || frame == 0 || frame >= n_frames)
            return -EBADMSG;
        t->frame[i] = (uint32_t)frame;
    }
    return 0;
}

static int decode_self(struct tree *t, struct cursor *c, uint32_t n)
{
    uint64_t self;

    for (uint32_t i = 0; i < n; i++) {
        if (!varint_get(c, &self))
            return -EBADMSG;
        t->self[0][i] = unzigzag(self);
    }
    return 0;
}

int tree_decode(struct tree *t, struct bytes in, uint32_t n_frames)
{
    enum { NODE_BYTES_MIN = 3 };
    struct cursor c = cursor_of(in);
    uint64_t n;

    t->n = 0;
    /* Room is made for what the bytes can hold, not for what they claim. */
    if (!varint_get(&c, &n) || n == 0 || n - 1 > cursor_left(&c) / NODE_BYTES_MIN ||
        n >= UINT32_MAX)
        return -EBADMSG;
    tree_begin(t, 1, (size_t)n);
    if (decode_depths(t, &c, (uint32_t)n) < 0 || decode_frames(t, &c, (uint32_t)n, n_frames) < 0 ||
        decode_self(t, &c, (uint32_t)n) < 0 || cursor_left(&c) != 0)
        return -EBADMSG;
    t->n = (uint32_t)n;
    return 0;
}
