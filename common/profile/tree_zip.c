/*
 * How it works. The next node of the result is the deepest one under the cursors, for a shallower
 * one's tree has no more nodes below the current path; at equal depth all have the same parent, and
 * the smallest frame comes first; equal frames are one node, and their cursors all step. This reads
 * and writes memory in order, hashes nothing and follows no pointer.
 *
 * That order is made one number: key = (greatest depth − depth) above the upper 40 bits of the
 * frame's content hash. Each input node's key is looked up once; from then on merging is comparing
 * numbers, without a branch that depends on the data, since which tree comes next cannot be
 * foreseen. Equal keys are the same frame, or two whose hashes share 40 bits: then, and only then,
 * frames are compared.
 *
 * k trees are merged in a balanced cascade, four at a time, depth first, so that what was just
 * written is read next while it is in the cache: log4 k passes over each node at most, and fewer as
 * equal nodes become one. (Two at a time takes twice the passes, and a step costs nearly the same:
 * it waits for the next keys, not for the arithmetic.) A level of the cascade keeps its runs from
 * group to group.
 *
 * Values may cancel (heap deltas are negative), which can leave leaves without weight; a backward
 * sweep drops those, and only runs if a merge saw a node without weight that was not one before.
 */
#include "base/err.h"
#include "base/xalloc.h"
#include "profile/profile.h"
#include "profile/tree_int.h"

#include <stdlib.h>

enum { KEY_HASH_BITS = 40, WAYS = 4, LEVELS_MAX = 32 };

struct node {
    uint64_t key;
    uint32_t frame;
    int64_t self[TREE_COLUMNS_MAX];
};

/* Sorted nodes, and behind them one whose key no node has. */
struct run {
    size_t n, cap;
    struct node *node;
};

#define KEY_END UINT64_MAX

struct zip {
    const struct symbols *sym;
    uint32_t n_columns;
    struct run level[LEVELS_MAX][WAYS];
    uint64_t saturated;
    bool weightless; /* a node without weight came of some with weight */
};

static void run_begin(struct run *r, size_t n)
{
    CHECK(n < UINT32_MAX);
    r->n = 0;
    if (n < r->cap)
        return;
    free(r->node);
    r->cap = n + n / 2 + 1;
    r->node = xreallocarray(NULL, r->cap, sizeof *r->node);
}

static inline uint64_t key_of(const uint64_t *hash, uint32_t depth, uint32_t frame)
{
    return (uint64_t)(TREE_DEPTH_MAX - depth) << KEY_HASH_BITS |
           hash[frame] >> (64 - KEY_HASH_BITS);
}

/* A one-column tree, in the column where the result wants it. */
static void run_of_tree(const struct zip *z, struct run *r, const struct tree *t, uint32_t column)
{
    const uint64_t *hash = symbols_frame_hashes(z->sym);

    run_begin(r, t->n);
    r->n = t->n;
    for (uint32_t i = 0; i < t->n; i++) {
        struct node *node = &r->node[i];

        node->key = key_of(hash, t->depth[i], t->frame[i]);
        node->frame = t->frame[i];
        node->self[!column] = 0;
        node->self[column] = t->self[0][i];
    }
    r->node[r->n].key = KEY_END;
}

/* Of the nodes with the least key, takes those with the least frame only: their hashes share 40
 * bits. Returns that frame. */
static uint32_t take_least_frame(const struct zip *z, struct node *const at[WAYS],
                                 uint64_t take[WAYS])
{
    uint32_t least = 0;

    for (unsigned w = 0; w < WAYS; w++)
        if (take[w] && (!least || symbols_frame_cmp(z->sym, at[w]->frame, least) < 0))
            least = at[w]->frame;
    for (unsigned w = 0; w < WAYS; w++)
        if (at[w]->frame != least)
            take[w] = 0;
    return least;
}

static inline uint64_t mask_of(bool b)
{
    return 0 - (uint64_t)b;
}

static inline struct node *step(struct node *at, uint64_t take)
{
    return (struct node *)(void *)((char *)at + (sizeof *at & take));
}

static inline uint64_t least_of(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* What the taken nodes have in a column. */
static inline int64_t sum_of(struct zip *z, struct node *const at[WAYS], const uint64_t take[WAYS],
                             uint32_t c)
{
    int64_t a = add_saturating(at[0]->self[c] & (int64_t)take[0], at[1]->self[c] & (int64_t)take[1],
                               &z->saturated);
    int64_t b = add_saturating(at[2]->self[c] & (int64_t)take[2], at[3]->self[c] & (int64_t)take[3],
                               &z->saturated);

    return add_saturating(a, b, &z->saturated);
}

/* Whether any of them has something there. */
static inline bool any_of(struct node *const at[WAYS], const uint64_t take[WAYS], uint32_t c)
{
    return (at[0]->self[c] & take[0]) | (at[1]->self[c] & take[1]) | (at[2]->self[c] & take[2]) |
           (at[3]->self[c] & take[3]);
}

/*
 * Merges four runs; some may be empty. Every step looks at all cursors; a mask says which take
 * part, and the others add nothing and stay. Inlined with constant columns. out has room for all.
 */
static inline __attribute__((always_inline)) void merge_loop(struct zip *z, struct run *out,
                                                             const struct run in[WAYS],
                                                             const uint32_t columns)
{
    struct node *at[WAYS] = {in[0].node, in[1].node, in[2].node, in[3].node};
    struct node *to = out->node;
    bool weightless = false;

    for (;; to++) {
        uint64_t take[WAYS];
        uint64_t least =
            least_of(least_of(at[0]->key, at[1]->key), least_of(at[2]->key, at[3]->key));
        uint32_t any, all;

        if (least == KEY_END)
            break;
        take[0] = mask_of(at[0]->key == least);
        take[1] = mask_of(at[1]->key == least);
        take[2] = mask_of(at[2]->key == least);
        take[3] = mask_of(at[3]->key == least);
        any = (at[0]->frame & (uint32_t)take[0]) | (at[1]->frame & (uint32_t)take[1]) |
              (at[2]->frame & (uint32_t)take[2]) | (at[3]->frame & (uint32_t)take[3]);
        all = (at[0]->frame | (uint32_t)~take[0]) & (at[1]->frame | (uint32_t)~take[1]) &
              (at[2]->frame | (uint32_t)~take[2]) & (at[3]->frame | (uint32_t)~take[3]);
        if (__builtin_expect(any != all, 0))
            any = take_least_frame(z, at, take);
        to->key = least;
        to->frame = any;
        for (uint32_t c = 0; c < columns; c++) {
            to->self[c] = sum_of(z, at, take, c);
            weightless |= (to->self[c] == 0) & any_of(at, take, c);
        }
        at[0] = step(at[0], take[0]);
        at[1] = step(at[1], take[1]);
        at[2] = step(at[2], take[2]);
        at[3] = step(at[3], take[3]);
    }
    to->key = KEY_END;
    out->n = (size_t)(to - out->node);
    z->weightless |= weightless;
}

static void merge_four(struct zip *z, struct run *out, const struct run in[WAYS])
{
    run_begin(out, in[0].n + in[1].n + in[2].n + in[3].n);
    if (z->n_columns == 1)
        merge_loop(z, out, in, 1);
    else
        merge_loop(z, out, in, 2);
}

struct input {
    const struct tree *tree;
    uint32_t column;
};

/* Brings k inputs down to the level's four runs, some of them empty when there are not that many.
 */
static void zip_level(struct zip *z, const struct input *in, size_t k, unsigned level)
{
    static const struct tree nothing = {.n = 0};
    struct run *run = z->level[level];
    size_t begin = 0;

    CHECK(level + 1 < LEVELS_MAX);
    for (unsigned w = 0; w < WAYS; w++) {
        size_t end = k * (w + 1) / WAYS, n = end - begin;
        const struct input *part = in + begin;

        begin = end;
        if (n > 1) {
            zip_level(z, part, n, level + 1);
            merge_four(z, &run[w], z->level[level + 1]);
        } else {
            run_of_tree(z, &run[w], n ? part->tree : &nothing, n ? part->column : 0);
        }
    }
}

/* Replaces out by the run; a run of nothing is the bare root. */
static void tree_of_run(struct tree *out, const struct run *r, uint32_t n_columns)
{
    tree_begin(out, n_columns, r->n + 1);
    out->depth[0] = out->frame[0] = 0;
    for (uint32_t c = 0; c < n_columns; c++)
        out->self[c][0] = 0;
    for (size_t i = 0; i < r->n; i++) {
        const struct node *node = &r->node[i];

        out->depth[i] = TREE_DEPTH_MAX - (uint32_t)(node->key >> KEY_HASH_BITS);
        out->frame[i] = node->frame;
        for (uint32_t c = 0; c < n_columns; c++)
            out->self[c][i] = node->self[c];
    }
    out->n = r->n ? (uint32_t)r->n : 1;
}

/* --- two trees ----------------------------------------------------------------------------------
 *
 * Differences are of two large trees: their columns are merged where they stand, straight into the
 * result's, by keys of their own.
 */

enum pair_kind { PAIR_ADD, PAIR_SUBTRACT, PAIR_SIDES /* each in a column of its own */ };

static uint64_t *keys_of(const struct zip *z, const struct tree *t)
{
    const uint64_t *hash = symbols_frame_hashes(z->sym);
    uint64_t *key = xreallocarray(NULL, (size_t)t->n + 1, sizeof *key);

    for (uint32_t i = 0; i < t->n; i++)
        key[i] = key_of(hash, t->depth[i], t->frame[i]);
    key[t->n] = KEY_END;
    return key;
}

static inline int64_t subtract_saturating(int64_t a, int64_t b, uint64_t *saturated)
{
    int64_t r;

    if (!__builtin_sub_overflow(a, b, &r))
        return r;
    ++*saturated;
    return a < 0 ? INT64_MIN : INT64_MAX;
}

static inline __attribute__((always_inline)) void pair_loop(
    struct zip *z, struct tree *out, const struct tree *a, const struct tree *b,
    const uint64_t *a_key, const uint64_t *b_key, const enum pair_kind kind)
{
    const uint32_t *a_frame = a->frame, *b_frame = b->frame;
    const int64_t *a_self = a->self[0], *b_self = b->self[0];
    uint32_t *depth = out->depth, *frame = out->frame, i = 0, j = 0, n = 0;
    int64_t *self0 = out->self[0], *self1 = out->self[1];

    for (;; n++) {
        uint64_t least = least_of(a_key[i], b_key[j]);
        bool from_a = a_key[i] == least, from_b = b_key[j] == least;
        int64_t va, vb;

        if (least == KEY_END)
            break;
        if (from_a && from_b && a_frame[i] != b_frame[j]) {
            int order = symbols_frame_cmp(z->sym, a_frame[i], b_frame[j]);

            from_a = order <= 0;
            from_b = order >= 0;
        }
        depth[n] = TREE_DEPTH_MAX - (uint32_t)(least >> KEY_HASH_BITS);
        frame[n] = *(from_a ? a_frame + i : b_frame + j);
        /* index 0 is there, and is not counted */
        va = a_self[from_a ? i : 0] & (int64_t)mask_of(from_a);
        vb = b_self[from_b ? j : 0] & (int64_t)mask_of(from_b);
        if (kind == PAIR_SIDES) {
            self0[n] = va;
            self1[n] = vb;
        } else {
            self0[n] = kind == PAIR_ADD ? add_saturating(va, vb, &z->saturated)
                                        : subtract_saturating(va, vb, &z->saturated);
            z->weightless |= self0[n] == 0 && (va | vb) != 0;
        }
        i += from_a;
        j += from_b;
    }
    out->n = n;
}

static void merge_pair(struct zip *z, struct tree *out, const struct tree *a, const struct tree *b,
                       enum pair_kind kind)
{
    uint64_t *a_key = keys_of(z, a), *b_key = keys_of(z, b);

    CHECK((uint64_t)a->n + b->n < UINT32_MAX);
    tree_begin(out, z->n_columns, (size_t)a->n + b->n);
    if (kind == PAIR_ADD)
        pair_loop(z, out, a, b, a_key, b_key, PAIR_ADD);
    else if (kind == PAIR_SUBTRACT)
        pair_loop(z, out, a, b, a_key, b_key, PAIR_SUBTRACT);
    else
        pair_loop(z, out, a, b, a_key, b_key, PAIR_SIDES);
    free(a_key);
    free(b_key);
}

/* --- all together -------------------------------------------------------------------------------
 */

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

static void zip_many(struct zip *z, struct tree *out, const struct input *in, size_t k)
{
    struct run result = {0};

    zip_level(z, in, k, 0);
    merge_four(z, &result, z->level[0]);
    tree_of_run(out, &result, z->n_columns);
    free(result.node);
    for (size_t l = 0; l < LEVELS_MAX; l++)
        for (size_t w = 0; w < WAYS; w++)
            free(z->level[l][w].node);
}

static void zip_end(const struct zip *z, struct tree *out)
{
    out->saturated = z->saturated;
    if (z->weightless)
        drop_weightless(out);
}

void tree_zip(struct tree *out, uint32_t n_columns, const struct tree *const *in,
              const uint8_t *column_of, size_t k, const struct symbols *sym)
{
    struct zip z = {.sym = sym, .n_columns = n_columns};
    struct input *inputs = xcalloc(k, sizeof *inputs);

    CHECK(n_columns >= 1 && n_columns <= TREE_COLUMNS_MAX);
    for (size_t i = 0; i < k; i++) {
        inputs[i] = (struct input){in[i], column_of ? column_of[i] : 0};
        CHECK(in[i] != out && in[i]->n_columns <= 1 && inputs[i].column < n_columns);
        z.saturated += in[i]->saturated;
    }
    if (k == 2 && in[0]->n && in[1]->n && n_columns == 1)
        merge_pair(&z, out, in[0], in[1], PAIR_ADD);
    else if (k == 2 && in[0]->n && in[1]->n && inputs[0].column < inputs[1].column)
        merge_pair(&z, out, in[0], in[1], PAIR_SIDES);
    else
        zip_many(&z, out, inputs, k);
    zip_end(&z, out);
    free(inputs);
}

void tree_subtract(struct tree *out, const struct tree *a, const struct tree *b,
                   const struct symbols *sym)
{
    uint32_t nothing = 0;
    int64_t none = 0;
    const struct tree root = {
        .n = 1, .n_columns = 1, .depth = &nothing, .frame = &nothing, .self = {&none}};
    struct zip z = {.sym = sym, .n_columns = 1};

    CHECK(out != a && out != b);
    z.saturated = a->saturated + b->saturated;
    merge_pair(&z, out, a->n ? a : &root, b->n ? b : &root, PAIR_SUBTRACT);
    zip_end(&z, out);
}
