/*
 * How it works. The next node of the result is the deepest one under the cursors, for a shallower
 * one's tree has no more nodes below the current path; at equal depth all have the same parent, and
 * the smallest frame comes first; equal frames are one node, and their cursors all step. This reads
 * and writes memory in order, hashes nothing and follows no pointer.
 *
 * That order is made one number: key = (greatest depth − depth) above the frame's rank (ranks.h).
 * Each input node's key is looked up once; from then on merging is comparing numbers, and equal
 * keys are the same node. There is no branch that depends on the data, since which tree comes next
 * cannot be foreseen: every step looks at all cursors, and a mask says which of them take part.
 *
 * k trees are merged in a balanced cascade, four at a time, depth first, so that what was just
 * written is read next while it is in the cache: log4 k passes over each node at most, and fewer as
 * equal nodes become one. A step waits for the keys that the step before it moved to, not for the
 * arithmetic; so four at a time cost hardly more than two, and two merges of four go on side by
 * side.
 *
 * Values may cancel (heap deltas are negative), which can leave leaves without weight; a backward
 * sweep drops those. Neither that nor a sum beyond int64_t can come of values that are all small
 * and not negative, which nearly all are: their merges ask for nothing of it.
 */
#include "base/err.h"
#include "base/xalloc.h"
#include "profile/profile.h"
#include "profile/tree_int.h"

#include <stdlib.h>

enum { WAYS = 4, LEVELS_MAX = 32 };

/* Nodes are words: the key, then a value of each column. Sorted, and behind them KEY_END, which has
 * room for values, too: a step reads those of all cursors, and masks them. */
struct run {
    size_t n, cap;      /* nodes; words */
    uint64_t *word;     /* its own */
    const uint64_t *at; /* where the nodes stand: there, or in an input that is a run */
};

struct zip {
    const struct ranks *ranks;
    uint32_t n_columns;
    bool plain; /* no value is negative, and no sum of all can overflow */
    struct run level[LEVELS_MAX][2][WAYS];
    uint64_t saturated;
    bool weightless; /* a node without weight came of some with weight */
};

static void run_begin(struct run *r, size_t n, uint32_t n_columns)
{
    size_t words = (n + 1) * (1 + n_columns);

    CHECK(n < UINT32_MAX);
    r->n = 0;
    if (words > r->cap) {
        free(r->word);
        r->cap = words + words / 2;
        r->word = xreallocarray(NULL, r->cap, sizeof *r->word);
    }
    r->at = r->word;
}

/* A one-column tree, in the column where the result wants it. Inlined with constant columns. */
static INLINE void fill_run(const struct zip *z, struct run *r, const struct tree *t,
                            uint32_t column, const uint32_t n_columns)
{
    const uint32_t *rank = z->ranks->rank;
    uint64_t *to = r->word;

    for (uint32_t i = 0; i < t->n; i++, to += 1 + n_columns) {
        to[0] = key_of(rank, t->depth[i], t->frame[i]);
        if (n_columns > 1)
            to[2 - column] = 0;
        to[1 + column] = (uint64_t)t->self[0][i];
    }
    *to = KEY_END;
}

/* One of the inputs: a tree, or a run, which is taken where it is. */
struct input {
    const struct tree *tree;
    const struct tree_run *run; /* if tree is NULL; of results of one column */
    uint32_t column;
};

static void run_of_input(const struct zip *z, struct run *r, const struct input *in)
{
    const struct tree *t = in->tree;
    uint32_t column = in->column;

    if (!t) {
        r->n = in->run->n;
        r->at = in->run->word;
        return;
    }
    run_begin(r, t->n, z->n_columns);
    r->n = t->n;
    if (z->n_columns == 1)
        fill_run(z, r, t, 0, 1);
    else
        fill_run(z, r, t, column, 2);
}

/* --- four at a time -----------------------------------------------------------------------------
 */

static inline uint64_t mask_of(bool b)
{
    return 0 - (uint64_t)b;
}

static inline uint64_t least_of(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* A merge of four runs on its way. */
struct merging {
    const uint64_t *a, *b, *c, *d;
    uint64_t *to;
    uint64_t saturated;
    bool weightless;
};

static INLINE struct merging merging_begin(struct run *out, const struct run in[WAYS],
                                           const uint32_t n_columns)
{
    run_begin(out, in[0].n + in[1].n + in[2].n + in[3].n, n_columns);
    return (struct merging){in[0].at, in[1].at, in[2].at, in[3].at, out->word, 0, false};
}

static INLINE void merging_end(struct zip *z, struct run *out, const struct merging *m,
                               const uint32_t n_columns)
{
    *m->to = KEY_END;
    out->n = (size_t)(m->to - out->word) / (1 + n_columns);
    z->saturated += m->saturated;
    z->weightless |= m->weightless;
}

/* The sum of four values; with care: saturating, and noting one that came to nothing. */
static INLINE uint64_t sum_of(struct merging *m, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                              const bool plain)
{
    int64_t sum;

    if (plain)
        return a + b + c + d;
    sum = add_saturating(add_saturating((int64_t)a, (int64_t)b, &m->saturated),
                         add_saturating((int64_t)c, (int64_t)d, &m->saturated), &m->saturated);
    m->weightless |= (sum == 0) & ((a | b | c | d) != 0);
    return (uint64_t)sum;
}

/* The next node; false: there is none. Inlined with constant columns and care. */
static INLINE bool merging_step(struct merging *m, const uint32_t n_columns, const bool plain)
{
    const uint32_t words = 1 + n_columns;
    uint64_t least = least_of(least_of(*m->a, *m->b), least_of(*m->c, *m->d));
    uint64_t a = mask_of(*m->a == least), b = mask_of(*m->b == least);
    uint64_t c = mask_of(*m->c == least), d = mask_of(*m->d == least);

    if (least == KEY_END)
        return false;
    m->to[0] = least;
    for (uint32_t i = 1; i <= n_columns; i++)
        m->to[i] = sum_of(m, m->a[i] & a, m->b[i] & b, m->c[i] & c, m->d[i] & d, plain);
    m->to += words;
    m->a += words & a;
    m->b += words & b;
    m->c += words & c;
    m->d += words & d;
    return true;
}

static INLINE void merge_loop(struct zip *z, struct run *out, const struct run in[WAYS],
                              const uint32_t n_columns, const bool plain)
{
    struct merging m = merging_begin(out, in, n_columns);

    while (merging_step(&m, n_columns, plain))
        ;
    merging_end(z, out, &m, n_columns);
}

/* Two merges side by side, as long as both go on. */
static INLINE void merge_loops(struct zip *z, struct run out[2], struct run (*in)[WAYS],
                               const uint32_t n_columns, const bool plain)
{
    struct merging m0 = merging_begin(&out[0], in[0], n_columns);
    struct merging m1 = merging_begin(&out[1], in[1], n_columns);

    for (bool both = true; both;) {
        bool first = merging_step(&m0, n_columns, plain);

        both = merging_step(&m1, n_columns, plain) && first;
    }
    while (merging_step(&m0, n_columns, plain))
        ;
    while (merging_step(&m1, n_columns, plain))
        ;
    merging_end(z, &out[0], &m0, n_columns);
    merging_end(z, &out[1], &m1, n_columns);
}

static void merge_four(struct zip *z, struct run *out, const struct run in[WAYS])
{
    if (z->n_columns > 1)
        merge_loop(z, out, in, 2, false);
    else if (z->plain)
        merge_loop(z, out, in, 1, true);
    else
        merge_loop(z, out, in, 1, false);
}

static void merge_twice_four(struct zip *z, struct run out[2], struct run (*in)[WAYS])
{
    if (z->n_columns == 1 && z->plain) {
        merge_loops(z, out, in, 1, true);
        return;
    }
    merge_four(z, &out[0], in[0]);
    merge_four(z, &out[1], in[1]);
}

/* --- many ---------------------------------------------------------------------------------------
 */

/* Some of the inputs. */
struct part {
    const struct input *in;
    size_t n;
};

static struct part part_of(struct part whole, unsigned way)
{
    size_t begin = whole.n * way / WAYS, end = whole.n * (way + 1) / WAYS;

    return (struct part){whole.in + begin, end - begin};
}

/* Brings a part down to four runs, some of them empty when it has not that many inputs. What has to
 * be merged first uses the runs of the next level, in pairs that are merged together. */
static void zip_level(struct zip *z, struct part whole, struct run out[WAYS], unsigned level)
{
    static const struct tree bare = {.n = 0};
    const struct input nothing = {.tree = &bare};

    CHECK(level < LEVELS_MAX);
    for (unsigned way = 0; way < WAYS; way += 2) {
        struct run(*deeper)[WAYS] = z->level[level];
        bool many[2];

        for (unsigned i = 0; i < 2; i++) {
            struct part part = part_of(whole, way + i);
            const struct input *one = part.n ? part.in : &nothing;

            many[i] = part.n > 1;
            if (many[i])
                zip_level(z, part, deeper[i], level + 1);
            else
                run_of_input(z, &out[way + i], one);
        }
        if (many[0] && many[1])
            merge_twice_four(z, &out[way], deeper);
        else if (many[0] || many[1])
            merge_four(z, &out[way + many[1]], deeper[many[1]]);
    }
}

/* Replaces out by the run; a run of nothing is the bare root. */
static void tree_of_run(const struct zip *z, struct tree *out, const struct run *r)
{
    const uint32_t *frame = z->ranks->frames.id;
    const uint64_t *from = r->at;

    tree_begin(out, z->n_columns, r->n + 1);
    out->depth[0] = out->frame[0] = 0;
    for (uint32_t c = 0; c < z->n_columns; c++)
        out->self[c][0] = 0;
    for (size_t i = 0; i < r->n; i++, from += 1 + z->n_columns) {
        out->depth[i] = depth_of(from[0]);
        out->frame[i] = frame[(uint32_t)from[0]];
        for (uint32_t c = 0; c < z->n_columns; c++)
            out->self[c][i] = (int64_t)from[1 + c];
    }
    out->n = r->n ? (uint32_t)r->n : 1;
}

static uint64_t any_bit(const struct input *in)
{
    uint64_t bits = 0;

    if (!in->tree)
        return in->run->any_bit;
    for (uint32_t i = 0; i < in->tree->n; i++)
        bits |= (uint64_t)in->tree->self[0][i];
    return bits;
}

/* Sums of k values below 2^62 / k do not overflow, and of values that are not negative none cancel.
 */
static bool is_plain(const struct input *in, size_t k)
{
    uint64_t bits = 0;

    for (size_t i = 0; i < k; i++)
        bits |= any_bit(&in[i]);
    return bits < (UINT64_C(1) << 62) / (k + 1);
}

static void zip_many(struct zip *z, struct tree *out, const struct input *in, size_t k)
{
    struct run result = {0}, four[WAYS] = {{0}};

    z->plain = is_plain(in, k);
    zip_level(z, (struct part){in, k}, four, 0);
    merge_four(z, &result, four);
    tree_of_run(z, out, &result);
    free(result.word);
    for (size_t w = 0; w < WAYS; w++) {
        free(four[w].word);
        for (size_t l = 0; l < LEVELS_MAX; l++) {
            free(z->level[l][0][w].word);
            free(z->level[l][1][w].word);
        }
    }
}

/* --- two trees ----------------------------------------------------------------------------------
 *
 * Differences are of two large trees: their columns are merged where they stand, straight into the
 * result's, by keys of their own.
 */

enum pair_kind { PAIR_ADD, PAIR_SUBTRACT, PAIR_SIDES /* each in a column of its own */ };

static uint64_t *keys_of(const struct zip *z, const struct tree *t)
{
    uint64_t *key = xreallocarray(NULL, (size_t)t->n + 1, sizeof *key);
    const uint32_t *rank = z->ranks->rank;

    for (uint32_t i = 0; i < t->n; i++)
        key[i] = key_of(rank, t->depth[i], t->frame[i]);
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

static INLINE void pair_loop(struct zip *z, struct tree *out, const struct tree *a,
                             const struct tree *b, const uint64_t *a_key, const uint64_t *b_key,
                             const enum pair_kind kind)
{
    const uint32_t *frame_of = z->ranks->frames.id;
    const int64_t *a_self = a->self[0], *b_self = b->self[0];
    uint32_t *depth = out->depth, *frame = out->frame, i = 0, j = 0, n = 0;
    int64_t *self0 = out->self[0], *self1 = out->self[1];

    for (;; n++) {
        uint64_t least = least_of(a_key[i], b_key[j]);
        bool from_a = a_key[i] == least, from_b = b_key[j] == least;
        int64_t va, vb;

        if (least == KEY_END)
            break;
        depth[n] = depth_of(least);
        frame[n] = frame_of[(uint32_t)least];
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

static void zip_end(const struct zip *z, struct tree *out)
{
    out->saturated = z->saturated;
    if (z->weightless)
        tree_drop_weightless(out);
}

void tree_zip(struct tree *out, uint32_t n_columns, const struct tree *const *in,
              const uint8_t *column_of, size_t k, const struct symbols *sym)
{
    struct ranks own = {0};
    struct zip z = {.ranks = tree_ranks(sym, &own), .n_columns = n_columns};
    struct input *inputs = xcalloc(k, sizeof *inputs);

    CHECK(n_columns >= 1 && n_columns <= TREE_COLUMNS_MAX);
    for (size_t i = 0; i < k; i++) {
        inputs[i] = (struct input){.tree = in[i], .column = column_of ? column_of[i] : 0};
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
    ranks_deinit(&own);
}

void tree_zip_runs(struct tree *out, const struct tree *more, const struct tree_run *const *in,
                   size_t k, const struct symbols *sym)
{
    struct zip z = {.ranks = symbols_ranks(sym), .n_columns = 1, .saturated = more->saturated};
    struct input *inputs = xcalloc(k + 1, sizeof *inputs);

    CHECK(z.ranks->frames.n == symbols_n_frames(sym) && out != more && more->n_columns <= 1);
    inputs[0] = (struct input){.tree = more};
    for (size_t i = 0; i < k; i++)
        inputs[i + 1] = (struct input){.run = in[i]};
    zip_many(&z, out, inputs, k + 1);
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
    struct ranks own = {0};
    struct zip z = {.ranks = tree_ranks(sym, &own), .n_columns = 1};

    CHECK(out != a && out != b);
    z.saturated = a->saturated + b->saturated;
    merge_pair(&z, out, a->n ? a : &root, b->n ? b : &root, PAIR_SUBTRACT);
    zip_end(&z, out);
    ranks_deinit(&own);
}
