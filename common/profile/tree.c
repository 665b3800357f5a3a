/*
 * How it works. A sorted preorder list of (depth, frame) *is* the tree, so every operation is a
 * sweep. Merging is in tree_zip.c, pruning in tree_prune.c, the stored form in tree_code.c; here
 * are what they share, the way from stacks to a tree, and sums.
 *
 * Totals: going backwards, all of a node's children are done before it is reached, and what they
 * owe their parent waits in one cell per depth.
 */
#include "profile/tree.h"

#include "base/err.h"
#include "base/xalloc.h"
#include "profile/profile.h"
#include "profile/tree_int.h"

#include <stdlib.h>

void tree_deinit(struct tree *t)
{
    free(t->depth);
    free(t->frame);
    for (size_t c = 0; c < TREE_COLUMNS_MAX; c++)
        free(t->self[c]);
    *t = (struct tree){0};
}

void tree_begin(struct tree *t, uint32_t n_columns, size_t n)
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

void tree_copy(struct tree *out, const struct tree *t)
{
    tree_begin(out, t->n_columns, t->n);
    memcpy(out->depth, t->depth, t->n * sizeof *t->depth);
    memcpy(out->frame, t->frame, t->n * sizeof *t->frame);
    for (uint32_t c = 0; c < t->n_columns; c++)
        memcpy(out->self[c], t->self[c], t->n * sizeof *t->self[c]);
    out->n = t->n;
    out->saturated = t->saturated;
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

        out->depth[out->n] = v.depth;
        out->frame[out->n] = nodes[v.node].frame;
        out->self[0][out->n++] = self[v.node];
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

void tree_remap(struct tree *t, const uint32_t *map)
{
    for (uint32_t i = 0; i < t->n; i++)
        t->frame[i] = map[t->frame[i]];
}

/* --- sums ---------------------------------------------------------------------------------------
 */

uint32_t tree_max_depth(const struct tree *t)
{
    uint32_t max = 0;

    for (uint32_t i = 0; i < t->n; i++)
        max = t->depth[i] > max ? t->depth[i] : max;
    return max;
}

void tree_totals(const struct tree *t, uint32_t column, int64_t *total)
{
    /* owed[d]: totals of nodes at depth d whose parent is still to come */
    int64_t *owed = xcalloc((size_t)tree_max_depth(t) + 2, sizeof *owed);
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
    uint32_t *path = xcalloc((size_t)tree_max_depth(t) + 1, sizeof *path);
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
