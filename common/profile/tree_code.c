/*
 * How it works. All four columns are read side by side in one pass, for whether a value stands
 * among the leaves' or the inner nodes' is known only when the next node's depth is. Nearly all
 * numbers are one byte, and frames as often two; longer ones take the slow path.
 */
#include "base/err.h"
#include "base/varint.h"
#include "base/xalloc.h"
#include "profile/tree_int.h"

#include <errno.h>
#include <stdlib.h>

enum column { POPS, FRAME, LEAF, INNER, COLUMNS };

static uint64_t gcd(uint64_t a, uint64_t b)
{
    while (b) {
        uint64_t rest = a % b;

        a = b;
        b = rest;
    }
    return a;
}

/* What every value is a multiple of: samples of 10 ms, objects of 16 bytes. At least 1. */
static uint64_t step_of(const struct tree *t)
{
    uint64_t step = 0;

    for (uint32_t i = 0; i < t->n && step != 1; i++)
        if (t->self[0][i])
            step = gcd(magnitude(t->self[0][i]), step);
    return step ? step : 1;
}

static int64_t divided(int64_t v, uint64_t step)
{
    uint64_t m = magnitude(v) / step;

    return v < 0 ? (int64_t)(0 - m) : (int64_t)m;
}

static bool is_leaf(const struct tree *t, uint32_t i)
{
    return i + 1 == t->n || t->depth[i + 1] <= t->depth[i];
}

/* A column's bytes are known when it is written, so they are written apart and joined. */
static void put_nodes(struct buf column[COLUMNS], const struct tree *t, uint64_t step)
{
    uint32_t *path = xreallocarray(NULL, (size_t)tree_max_depth(t) + 1, sizeof *path);

    path[0] = 0;
    for (uint32_t i = 0; i < t->n; i++) {
        uint32_t d = t->depth[i];

        if (i > 0) {
            buf_varint(&column[POPS], t->depth[i - 1] + 1 - d);
            buf_varint(&column[FRAME], zigzag((int64_t)t->frame[i] - path[d - 1]));
            path[d] = t->frame[i];
        }
        buf_varint(&column[is_leaf(t, i) ? LEAF : INNER], zigzag(divided(t->self[0][i], step)));
    }
    free(path);
}

void tree_encode(const struct tree *t, struct buf *out)
{
    struct buf column[COLUMNS] = {{0}};
    uint64_t step = step_of(t);

    CHECK(t->n == 0 || t->n_columns == 1);
    if (t->n)
        put_nodes(column, t, step);
    else
        buf_varint(&column[LEAF], 0);
    buf_varint(out, t->n ? t->n : 1);
    buf_varint(out, step);
    for (enum column c = POPS; c < INNER; c++)
        buf_varint(out, column[c].len);
    for (enum column c = POPS; c < COLUMNS; c++) {
        buf_append_bytes(out, buf_bytes(&column[c]));
        buf_deinit(&column[c]);
    }
}

/* The numbers before the columns, and the columns. */
static bool header_get(struct bytes in, uint64_t *ret_n, uint64_t *ret_step,
                       struct bytes column[COLUMNS])
{
    struct cursor c = cursor_of(in);
    uint64_t len[COLUMNS];

    if (!varint_get(&c, ret_n) || !varint_get(&c, ret_step))
        return false;
    for (enum column i = POPS; i < INNER; i++)
        if (!varint_get(&c, &len[i]))
            return false;
    for (enum column i = POPS; i < INNER; i++)
        if (!cursor_take(&c, len[i], &column[i]))
            return false;
    return cursor_take(&c, cursor_left(&c), &column[INNER]);
}

void tree_seams(struct bytes encoded, size_t seams[TREE_SEAMS])
{
    struct bytes column[COLUMNS];
    uint64_t n, step;

    CHECK(header_get(encoded, &n, &step, column));
    for (int i = 0; i < TREE_SEAMS; i++)
        seams[i] = (size_t)(column[i + 1].data - encoded.data);
}

/* Frame ids from the root to the current node. */
struct path {
    uint32_t *frame;
    size_t cap;
    uint32_t few[256]; /* most trees need no more */
};

static void path_init(struct path *p)
{
    p->frame = p->few;
    p->cap = sizeof p->few / sizeof *p->few;
    p->frame[0] = 0;
}

static void path_deinit(struct path *p)
{
    if (p->frame != p->few)
        free(p->frame);
}

/* False: deeper than any tree. */
static bool path_grow(struct path *p)
{
    uint32_t *grown;

    if (p->cap > TREE_DEPTH_MAX)
        return false;
    grown = xreallocarray(NULL, p->cap * 2, sizeof *grown);
    memcpy(grown, p->frame, p->cap * sizeof *grown);
    path_deinit(p);
    p->frame = grown;
    p->cap *= 2;
    return true;
}

/* A number that was read, and what stands behind it; NULL: there is none. In two registers. */
struct number {
    const uint8_t *behind;
    uint64_t v;
};

static __attribute__((noinline)) struct number any_number(const uint8_t *at, const uint8_t *end)
{
    struct cursor c = {at, end};
    struct number n = {NULL, 0};

    if (varint_get(&c, &n.v))
        n.behind = c.at;
    return n;
}

/* Most numbers are below 128. */
static inline struct number small_number(const uint8_t *at, const uint8_t *end)
{
    if (__builtin_expect(at == end || *at >= 0x80, 0))
        return any_number(at, end);
    return (struct number){at + 1, *at};
}

/*
 * One byte or two, which cannot be foreseen: without a branch. The byte behind may be read, for
 * there is another column behind this one, and it is never empty (the last node is a leaf).
 */
static inline struct number short_number(const uint8_t *at, const uint8_t *end)
{
    uint32_t first, second, two;

    if (__builtin_expect(at >= end, 0))
        return (struct number){NULL, 0};
    first = at[0];
    second = at[1];
    two = first >> 7;
    if (__builtin_expect(two & second >> 7, 0))
        return any_number(at, end);
    return (struct number){at + 1 + two, (first & 0x7f) | (second << 7 & (0 - two))};
}

static inline int64_t scaled(uint64_t v, uint64_t step)
{
    return (int64_t)((uint64_t)unzigzag(v) * step);
}

/* The columns' cursors are plain variables, so that they stay in registers. */
static bool nodes_get(struct tree *t, uint32_t n, const struct bytes column[COLUMNS], uint64_t step,
                      uint32_t n_frames, struct path *path)
{
    struct cursor pops = cursor_of(column[POPS]), frames = cursor_of(column[FRAME]);
    struct cursor leaf = cursor_of(column[LEAF]), inner = cursor_of(column[INNER]);
    uint32_t *depths = t->depth, *ids = t->frame, depth = 0;
    int64_t *self = t->self[0];
    struct number last;

    depths[0] = ids[0] = 0;
    for (uint32_t i = 1; i < n; i++) {
        struct number up = small_number(pops.at, pops.end);
        struct number delta = short_number(frames.at, frames.end);
        bool was_leaf = up.v > 0;
        struct number v =
            small_number(was_leaf ? leaf.at : inner.at, was_leaf ? leaf.end : inner.end);
        uint32_t frame;

        if (!up.behind || !delta.behind || !v.behind || up.v > depth)
            return false;
        pops.at = up.behind;
        frames.at = delta.behind;
        leaf.at = was_leaf ? v.behind : leaf.at;
        inner.at = was_leaf ? inner.at : v.behind;
        self[i - 1] = scaled(v.v, step);
        depth += 1 - (uint32_t)up.v;
        frame = path->frame[depth - 1] + (uint32_t)unzigzag(delta.v);
        if (frame - 1 >= n_frames - 1) /* below 1 wraps, too */
            return false;
        if (depth == path->cap && !path_grow(path))
            return false;
        path->frame[depth] = frame;
        depths[i] = depth;
        ids[i] = frame;
    }
    last = small_number(leaf.at, leaf.end);
    self[n - 1] = scaled(last.v, step);
    return last.behind == leaf.end && pops.at == pops.end && frames.at == frames.end &&
           inner.at == inner.end;
}

int tree_decode(struct tree *t, struct bytes in, uint32_t n_frames)
{
    struct bytes column[COLUMNS];
    uint64_t n, step;
    struct path path;
    bool good;

    t->n = 0;
    /* Room is made for what the bytes can hold, not for what they claim: pops takes one a node. */
    if (!header_get(in, &n, &step, column) || n == 0 || n - 1 > column[POPS].len ||
        n >= UINT32_MAX || column[LEAF].len == 0 || n_frames == 0)
        return -EBADMSG;
    tree_begin(t, 1, (size_t)n);
    path_init(&path);
    good = nodes_get(t, (uint32_t)n, column, step, n_frames, &path);
    path_deinit(&path);
    if (!good)
        return -EBADMSG;
    t->n = (uint32_t)n;
    return 0;
}
