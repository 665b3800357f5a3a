/*
 * How it works. A sorted preorder list of (depth, frame) *is* the tree, so every operation is a
 * sweep. Merging is in tree_zip.c, pruning in tree_prune.c, grouping in tree_group.c, the stored
 * form in tree_code.c; here are what they share, the way from stacks to a tree, and sums.
 *
 * From stacks: leaves are picked and their values added up; from those that have a weight the nodes
 * above are picked, up to one that was before. A node's place among the picked is in its mark. Then
 * the picked are grouped by parent, siblings sorted, and written in preorder.
 *
 * Totals: going backwards, all of a node's children are done before it is reached, and what they
 * owe their parent waits in one cell per depth.
 */
#include "profile/tree.h"

#include "base/err.h"
#include "base/xalloc.h"
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
    if (t->n == 0) {
        tree_begin(out, 1, 1);
        return;
    }
    tree_begin(out, t->n_columns, t->n);
    memcpy(out->depth, t->depth, t->n * sizeof *t->depth);
    memcpy(out->frame, t->frame, t->n * sizeof *t->frame);
    for (uint32_t c = 0; c < t->n_columns; c++)
        memcpy(out->self[c], t->self[c], t->n * sizeof *t->self[c]);
    out->n = t->n;
    out->saturated = t->saturated;
}

/* Going backwards, a node has something kept below it exactly if the node kept last is deeper:
 * whatever stands between them was dropped, and a kept node's ancestors are all kept. */
void tree_drop_weightless(struct tree *t)
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

const struct ranks *tree_ranks(const struct symbols *sym, struct ranks *own)
{
    const struct ranks *ranks = symbols_ranks(sym);

    if (ranks->frames.n == symbols_n_frames(sym))
        return ranks;
    ranks_update(own, sym);
    return own;
}

/* --- from stacks --------------------------------------------------------------------------------
 */

enum { NOT_LIVE = UINT32_MAX };

/* A node of the stacks that the tree may have. */
struct picked {
    uint32_t node;
    uint32_t parent; /* its place; NOT_LIVE until something here or below is found to have weight */
    int64_t self;
};

/* Place 0 is the root's, and so a mark of 0 is both that and "not picked". */
struct pick {
    const struct stack_node *nodes;
    uint32_t *mark; /* [node] its place */
    struct picked *at;
    size_t n, cap;
};

static uint32_t place_of(struct pick *p, uint32_t node)
{
    if (p->mark[node] || node == 0)
        return p->mark[node];
    XGROW(p->at, p->cap, p->n + 1);
    p->at[p->n] = (struct picked){node, NOT_LIVE, 0};
    return p->mark[node] = (uint32_t)p->n++;
}

static void pick_leaves(struct pick *p, const uint32_t *leaf, const uint32_t *stack,
                        const int64_t *value, size_t n, uint64_t *saturated)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t place = place_of(p, leaf[stack[i]]);

        p->at[place].self = add_saturating(p->at[place].self, value[i], saturated);
    }
}

/* The root is its own parent here. */
static void climb(struct pick *p, uint32_t at)
{
    while (p->at[at].parent == NOT_LIVE) {
        uint32_t parent = place_of(p, p->nodes[p->at[at].node].parent);

        p->at[at].parent = parent;
        at = parent;
    }
}

static void pick_above(struct pick *p)
{
    uint32_t n_leaves = (uint32_t)p->n;

    for (uint32_t i = 1; i < n_leaves; i++)
        if (p->at[i].self != 0)
            climb(p, i);
}

static void unmark(struct pick *p)
{
    for (size_t i = 1; i < p->n; i++)
        p->mark[p->at[i].node] = 0;
}

/* Children as runs of one array: those of place p are child[begin[p] .. begin[p + 1]). */
struct children {
    uint32_t *begin, *child;
    uint32_t n;
};

struct sort_context {
    const struct symbols *sym;
    const struct pick *pick;
};

static int child_cmp(const void *a, const void *b, void *vctx)
{
    const struct sort_context *ctx = vctx;
    const struct pick *p = ctx->pick;

    return symbols_frame_cmp(ctx->sym, p->nodes[p->at[*(const uint32_t *)a].node].frame,
                             p->nodes[p->at[*(const uint32_t *)b].node].frame);
}

static struct children sort_children(const struct pick *p, const struct symbols *sym)
{
    struct children ch = {xcalloc(p->n + 2, sizeof *ch.begin),
                          xreallocarray(NULL, p->n, sizeof *ch.child), 0};
    struct sort_context ctx = {sym, p};
    uint32_t *end = ch.begin + 1; /* while filling, end[p] runs from p's begin to its end */

    for (uint32_t i = 1; i < p->n; i++)
        if (p->at[i].parent != NOT_LIVE)
            ch.begin[p->at[i].parent + 2]++;
    for (uint32_t i = 0; i < p->n; i++)
        ch.begin[i + 2] += ch.begin[i + 1];
    ch.n = ch.begin[p->n + 1];
    for (uint32_t i = 1; i < p->n; i++)
        if (p->at[i].parent != NOT_LIVE)
            ch.child[end[p->at[i].parent]++] = i;
    for (uint32_t i = 0; i < p->n; i++)
        if (ch.begin[i + 1] - ch.begin[i] > 1)
            qsort_r(ch.child + ch.begin[i], ch.begin[i + 1] - ch.begin[i], sizeof *ch.child,
                    child_cmp, &ctx);
    return ch;
}

/* Preorder over the sorted children, with a stack of our own: stacks may be deep. */
static void emit_preorder(struct tree *out, const struct pick *p, const struct children *ch)
{
    struct visit {
        uint32_t place, depth;
    } *todo = NULL;
    size_t n = 0, cap = 0;

    XGROW(todo, cap, 1);
    todo[n++] = (struct visit){0, 0};
    while (n > 0) {
        struct visit v = todo[--n];
        uint32_t begin = ch->begin[v.place], end = ch->begin[v.place + 1];

        out->depth[out->n] = v.depth;
        out->frame[out->n] = p->nodes[p->at[v.place].node].frame;
        out->self[0][out->n++] = p->at[v.place].self;
        XGROW(todo, cap, n + (end - begin));
        while (end > begin)
            todo[n++] = (struct visit){ch->child[--end], v.depth + 1};
    }
    free(todo);
}

void tree_of_stacks(struct tree *out, struct stacks *st, const struct symbols *sym,
                    const uint32_t *stack, const int64_t *value, size_t n)
{
    struct pick p = {.nodes = stacks_nodes(st), .mark = stacks_marks(st)};
    uint64_t saturated = 0;
    struct children ch;

    XGROW(p.at, p.cap, 1);
    p.at[p.n++] = (struct picked){0};
    pick_leaves(&p, stacks_leaves(st), stack, value, n, &saturated);
    pick_above(&p);
    unmark(&p);
    ch = sort_children(&p, sym);
    tree_begin(out, 1, (size_t)ch.n + 1);
    emit_preorder(out, &p, &ch);
    out->saturated = saturated;
    free(ch.begin);
    free(ch.child);
    free(p.at);
}

void tree_of_profile(struct tree *out, const struct profile *p, uint32_t type)
{
    CHECK(type < p->n_types);
    tree_of_stacks(out, p->stacks, p->symbols, p->row_stack, p->values[type], p->n_rows);
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
uint64_t tree_by_group(const struct tree *t, uint32_t column, const uint32_t *group,
                       uint32_t n_groups, int64_t *self, int64_t *total)
{
    int64_t *node_total = xcalloc(t->n, sizeof *node_total);
    uint32_t *path = xcalloc((size_t)tree_max_depth(t) + 1, sizeof *path);
    uint32_t *open = xcalloc(n_groups, sizeof *open);
    uint64_t saturated = 0, of_totals = 0;
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
            total[g] = add_saturating(total[g], node_total[i], &of_totals);
    }
    free(node_total);
    free(path);
    free(open);
    return saturated;
}
