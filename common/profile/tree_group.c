/*
 * How it works. Nodes of one parent whose frames become one are one node, and its children are the
 * children of all of them: so the result is walked in preorder with the nodes still to come on a
 * stack, those of one parent sorted by rank. Each is one number, rank above index, and what becomes
 * one node lies together on top. Most nodes are alone, and the only child of their parent: they go
 * straight from the input to the result.
 */
#include "base/err.h"
#include "base/xalloc.h"
#include "profile/tree_int.h"

#include <stdlib.h>

enum { SORT_SMALL = 16 };

struct group {
    const struct tree *t;
    const uint32_t *map, *rank;
    uint32_t *end; /* [node] the first behind all that is below it */
    struct tree *out;
    uint64_t *todo; /* the next one last */
    size_t n_todo, cap_todo;
    bool weightless; /* several with weight came to none */
};

/* The nodes on the path end where one stands that is not below them. */
static void find_ends(struct group *g)
{
    const uint32_t *const depth = g->t->depth, n = g->t->n;
    uint32_t *const path = xreallocarray(NULL, (size_t)tree_max_depth(g->t) + 1, sizeof *path);
    uint32_t *const end = g->end, open = 0;

    path[0] = 0;
    for (uint32_t i = 1; i < n; i++) {
        const uint32_t d = depth[i];

        for (; open >= d; open--)
            end[path[open]] = i;
        path[open = d] = i;
    }
    for (uint32_t d = 0; d <= open; d++)
        end[path[d]] = n;
    free(path);
}

static inline uint64_t item_of(const struct group *g, uint32_t node)
{
    return (uint64_t)g->rank[g->t->frame[node]] << 32 | node;
}

static int item_cmp(const void *va, const void *vb)
{
    uint64_t a = *(const uint64_t *)va, b = *(const uint64_t *)vb;

    return (a < b) - (a > b);
}

/* Greatest first. Nearly all are few, most of them two, whose order cannot be foreseen. */
static void sort_items(uint64_t *item, size_t n)
{
    if (n == 2) {
        uint64_t a = item[0], b = item[1];

        item[0] = a > b ? a : b;
        item[1] = a > b ? b : a;
        return;
    }
    if (n > SORT_SMALL) {
        qsort(item, n, sizeof *item, item_cmp);
        return;
    }
    for (size_t i = 1; i < n; i++) {
        uint64_t moved = item[i];
        size_t at = i;

        for (; at > 0 && item[at - 1] < moved; at--)
            item[at] = item[at - 1];
        item[at] = moved;
    }
}

static inline bool has_children(const struct group *g, uint32_t node)
{
    return g->end[node] > node + 1;
}

static void push_children(struct group *g, uint32_t node)
{
    for (uint32_t child = node + 1; child < g->end[node]; child = g->end[child]) {
        if (g->n_todo == g->cap_todo)
            XGROW(g->todo, g->cap_todo, g->n_todo + 1);
        g->todo[g->n_todo++] = item_of(g, child);
    }
}

static inline void emit(struct group *g, uint32_t node)
{
    struct tree *out = g->out;

    copy_node(out, out->n, g->t, node);
    out->frame[out->n++] = g->map[g->t->frame[node]];
}

/* Adds a node to the one written last. */
static void add_member(struct group *g, uint32_t node)
{
    struct tree *out = g->out;
    uint32_t last = out->n - 1;

    for (uint32_t c = 0; c < out->n_columns; c++)
        out->self[c][last] =
            add_saturating(out->self[c][last], g->t->self[c][node], &out->saturated);
    g->weightless |= has_weight(g->t, node) && !has_weight(out, last);
}

/* A node, and what is below it as long as it is an only child. */
static void emit_alone(struct group *g, uint32_t node)
{
    size_t below = g->n_todo;

    for (emit(g, node); has_children(g, node); emit(g, node)) {
        if (g->end[node + 1] != g->end[node]) {
            push_children(g, node);
            sort_items(g->todo + below, g->n_todo - below);
            return;
        }
        node++;
    }
}

/* How many on top become one node with the topmost: of its parent, for others are less deep. */
static size_t count_members(const struct group *g)
{
    const uint32_t *depth = g->t->depth;
    uint64_t top = g->todo[g->n_todo - 1];
    size_t n = 1;

    while (n < g->n_todo && g->todo[g->n_todo - 1 - n] >> 32 == top >> 32 &&
           depth[(uint32_t)g->todo[g->n_todo - 1 - n]] == depth[(uint32_t)top])
        n++;
    return n;
}

/* Their children come on top of them first, and then take their place. */
static void emit_together(struct group *g, size_t n)
{
    size_t top = g->n_todo, n_children;

    emit(g, (uint32_t)g->todo[top - 1]);
    push_children(g, (uint32_t)g->todo[top - 1]);
    for (size_t i = 2; i <= n; i++) {
        add_member(g, (uint32_t)g->todo[top - i]);
        push_children(g, (uint32_t)g->todo[top - i]);
    }
    n_children = g->n_todo - top;
    sort_items(g->todo + top, n_children);
    memmove(g->todo + top - n, g->todo + top, n_children * sizeof *g->todo);
    g->n_todo -= n;
}

/* What comes after the next two is asked for: large trees do not fit a cache. */
static inline void prefetch(const struct group *g)
{
    enum { AHEAD = 3 };

    if (g->n_todo >= AHEAD) {
        uint32_t node = (uint32_t)g->todo[g->n_todo - AHEAD];

        __builtin_prefetch(&g->end[node]);
        __builtin_prefetch(&g->t->depth[node]);
        __builtin_prefetch(&g->t->frame[node]);
        for (uint32_t c = 0; c < g->t->n_columns; c++)
            __builtin_prefetch(&g->t->self[c][node]);
    }
}

static void emit_all(struct group *g)
{
    emit_alone(g, 0);
    while (g->n_todo > 0) {
        size_t n = count_members(g);

        prefetch(g);
        if (n > 1)
            emit_together(g, n);
        else
            emit_alone(g, (uint32_t)g->todo[--g->n_todo]);
    }
}

void tree_group(struct tree *out, const struct tree *t, const uint32_t *map, const uint32_t *rank)
{
    struct group g = {.t = t, .map = map, .rank = rank, .out = out};

    CHECK(out != t && t->n > 0 && map[0] == 0);
    tree_begin(out, t->n_columns, t->n);
    out->saturated = t->saturated;
    g.end = xreallocarray(NULL, t->n, sizeof *g.end);
    find_ends(&g);
    emit_all(&g);
    if (g.weightless)
        tree_drop_weightless(out);
    free(g.end);
    free(g.todo);
}
