/*
 * How it works. Preorder falls into *chains*: a leaf, and above it the nodes that no leaf before it
 * stands under. A chain begins some levels above the leaf before it, and each of its nodes is the
 * child of the one before, so two numbers a leaf say what depths a tree has.
 *
 * Reading goes over the chains first, and notes where each begins and its leaf's value; then over
 * all nodes in one loop, for how long a chain is cannot be foreseen, and a loop of its own for each
 * would end with a branch mispredicted.
 *
 * Before that it counts the numbers in each column. When they are as many as there are nodes and
 * chains, and each column ends with a number's last byte, no number is asked whether it is still
 * inside. Nearly all are one byte, and frames as often two; longer ones take the slow path.
 */
#include "base/err.h"
#include "base/varint.h"
#include "base/xalloc.h"
#include "profile/tree_int.h"

#include <errno.h>
#include <stdlib.h>

enum column { UP, LENGTH, FRAME, LEAF, INNER, COLUMNS };

/* At least 1. */
static uint64_t step_of(const struct tree *t)
{
    uint64_t step = 0;

    for (uint32_t i = 0; i < t->n && step != 1; i++)
        step = step_with(step, t->self[0][i]);
    return step ? step : 1;
}

static bool is_leaf(const struct tree *t, uint32_t i)
{
    return i + 1 == t->n || t->depth[i + 1] <= t->depth[i];
}

/* A column's bytes are known when it is written, so they are written apart and joined. */
static void put_nodes(struct buf column[COLUMNS], const struct tree *t, uint64_t step)
{
    uint32_t *path = xreallocarray(NULL, (size_t)tree_max_depth(t) + 1, sizeof *path);
    uint32_t begin = 1,
             last_inner = 0; /* of the chain; the last node in the column of inner ones */

    path[0] = 0;
    for (uint32_t i = 0; i < t->n; i++) {
        uint32_t d = t->depth[i];

        if (i > 0) {
            if (i == begin)
                buf_varint(&column[UP], t->depth[i - 1] + 1 - d);
            buf_varint(&column[FRAME], zigzag((int64_t)t->frame[i] - path[d - 1]));
            path[d] = t->frame[i];
        }
        if (is_leaf(t, i)) {
            if (i > 0)
                buf_varint(&column[LENGTH], i - begin);
            buf_varint(&column[LEAF], step_encode(t->self[0][i], step));
            begin = i + 1;
        } else if (t->self[0][i]) {
            buf_varint(&column[INNER], i - last_inner);
            buf_varint(&column[INNER], step_encode(t->self[0][i], step));
            last_inner = i;
        }
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
    for (enum column c = UP; c < INNER; c++)
        buf_varint(out, column[c].len);
    for (enum column c = UP; c < COLUMNS; c++) {
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
    for (enum column i = UP; i < INNER; i++)
        if (!varint_get(&c, &len[i]))
            return false;
    for (enum column i = UP; i < INNER; i++)
        if (!cursor_take(&c, len[i], &column[i]))
            return false;
    return cursor_take(&c, cursor_left(&c), &column[INNER]);
}

/* How many numbers it has; SIZE_MAX: it does not end with one. */
static size_t count_numbers(struct bytes column)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint8_t *at = column.data, *end = at + column.len;
    size_t n = 0;

    if (column.len && end[-1] >= 0x80)
        return SIZE_MAX;
    for (; end - at >= 8; at += 8)
        n += (size_t)((~load64(at) >> 7 & ones) * ones >> 56);
    for (; at < end; at++)
        n += *at < 0x80;
    return n;
}

/* The next number of a column that has one; false: it has more than ten bytes. */
static inline bool take(struct cursor *c, uint64_t *ret)
{
    struct varint longer;

    if (*c->at < 0x80) {
        *ret = *c->at++;
        return true;
    }
    longer = varint_long(*c);
    c->at = longer.end;
    *ret = longer.value;
    return longer.end != NULL;
}

/*
 * A frame's difference. Whether it has one byte or two cannot be foreseen: that is no branch. The
 * byte behind may be read, for there is another column behind this one, and it is never empty (the
 * last node is a leaf).
 */
static inline bool take_difference(struct cursor *c, uint32_t *ret)
{
    uint32_t first = c->at[0], second = c->at[1], two = first >> 7;

    if (two & second >> 7) {
        struct varint longer = varint_long(*c);

        c->at = longer.end;
        *ret = (uint32_t)unzigzag(longer.value);
        return longer.end != NULL;
    }
    first = (first & 0x7f) | (second << 7 & (0 - two));
    c->at += 1 + two;
    *ret = first >> 1 ^ (0 - (first & 1));
    return true;
}

/*
 * Where nodes go as they are read: into the columns of a tree, or into a run. Which of them is
 * known where the loops are inlined. A frame out of range is found at the end; until then it must
 * not be looked up.
 */
struct sink {
    uint32_t *depth, *frame;
    int64_t *self;
    uint64_t *word; /* of a run; NULL: a tree */
    const uint32_t *rank;
    uint32_t n_frames;
};

/* What is known of all values once they were read. */
struct tally {
    __int128 sum;
    uint64_t any_bit;
};

/* Before anything is put: no node has a value, and none begins a chain. */
static INLINE void clear(const struct sink *s, size_t n, const bool is_run)
{
    if (is_run) {
        memset(s->word, 0, 2 * n * sizeof *s->word);
    } else {
        memset(s->depth, 0, n * sizeof *s->depth);
        memset(s->self, 0, n * sizeof *s->self);
    }
}

/* Where the node's depth will stand. */
static INLINE void put_up(const struct sink *s, uint32_t at, uint32_t up, const bool is_run)
{
    if (is_run)
        s->word[2 * (size_t)at] = up;
    else
        s->depth[at] = up;
}

static INLINE uint32_t get_up(const struct sink *s, uint32_t at, const bool is_run)
{
    return is_run ? (uint32_t)s->word[2 * (size_t)at] : s->depth[at];
}

static INLINE void put_node(const struct sink *s, uint32_t at, uint32_t depth, uint32_t frame,
                            const bool is_run)
{
    if (is_run) {
        s->word[2 * (size_t)at] = key_of(s->rank, depth, frame < s->n_frames ? frame : 0);
    } else {
        s->depth[at] = depth;
        s->frame[at] = frame;
    }
}

/* At most once a node. */
static INLINE void put_value(const struct sink *s, uint32_t at, int64_t value, struct tally *tally,
                             const bool is_run)
{
    tally->sum += value;
    tally->any_bit |= (uint64_t)value;
    if (is_run)
        s->word[2 * (size_t)at + 1] = (uint64_t)value;
    else
        s->self[at] = value;
}

/* Of a node that is not the last. */
static INLINE bool has_child(const struct sink *s, uint32_t at, const bool is_run)
{
    return is_run ? depth_of(s->word[2 * (size_t)at + 2]) > depth_of(s->word[2 * (size_t)at])
                  : s->depth[at + 1] > s->depth[at];
}

/* Where chains begin, and leaves' values. All cursors are plain variables, so that they stay in
 * registers. */
static INLINE bool chains_get(const struct sink *sink, const struct bytes column[COLUMNS],
                              uint32_t n, uint64_t step, struct tally *ret_tally,
                              uint64_t *ret_deepest, const bool is_run)
{
    const struct sink s = *sink;
    struct tally tally = *ret_tally;
    struct cursor ups = cursor_of(column[UP]), lengths = cursor_of(column[LENGTH]);
    struct cursor leaves = cursor_of(column[LEAF]);
    uint64_t up, length, leaf, depth = 0, deepest = 0;
    uint32_t at = 1;

    while (ups.at < ups.end) {
        if (!take(&ups, &up) || !take(&lengths, &length) || !take(&leaves, &leaf))
            return false;
        /* Only the first chain stands right under the node before it, which is the root. */
        if (up > depth || (up == 0) != (at == 1) || length >= n - at)
            return false;
        put_up(&s, at, (uint32_t)up, is_run);
        depth += 1 - up + length;
        deepest = depth > deepest ? depth : deepest;
        at += (uint32_t)length + 1;
        put_value(&s, at - 1, step_decode(leaf, step), &tally, is_run);
    }
    *ret_tally = tally;
    *ret_deepest = deepest;
    return at == n;
}

/* Depths and frames of all nodes but the root; path: room for the frames from the root down to the
 * deepest. Whether a node begins a chain cannot be foreseen:
 * that is no branch. Only there its parent is looked up in the path, for to read what the node
 * before has just written would be to wait for it. */
static INLINE bool frames_get(const struct sink *sink, struct bytes column, uint32_t n,
                              uint32_t *path, const bool is_run)
{
    const struct sink s = *sink;
    struct cursor c = cursor_of(column);
    uint32_t depth = 0, frame = 0, difference;
    uint32_t greatest = 0; /* frame id − 1, where 0 − 1 is above all */

    for (uint32_t at = 1; at < n; at++) {
        uint32_t up = get_up(&s, at, is_run), goes_on = 0 - (uint32_t)(up == 0);

        if (!take_difference(&c, &difference))
            return false;
        depth += 1 - up;
        frame = (frame & goes_on) | (path[(depth - 1) & ~goes_on] & ~goes_on);
        frame += difference;
        greatest = frame - 1 > greatest ? frame - 1 : greatest;
        path[depth] = frame;
        put_node(&s, at, depth, frame, is_run);
    }
    return n == 1 || greatest < s.n_frames - 1;
}

/* Values of nodes that have children. */
static INLINE bool inner_get(const struct sink *s, struct bytes column, uint32_t n, uint64_t step,
                             struct tally *tally, const bool is_run)
{
    struct cursor c = cursor_of(column);
    uint64_t gap, value, at = 0;
    bool first = true;

    for (; c.at < c.end; first = false) {
        if (!varint_get(&c, &gap) || !varint_get(&c, &value))
            return false;
        if (gap > n || (gap == 0 && !first) || value == 0)
            return false;
        at += gap;
        if (at + 1 >= n || !has_child(s, (uint32_t)at, is_run))
            return false;
        put_value(s, (uint32_t)at, step_decode(value, step), tally, is_run);
    }
    return true;
}

static INLINE bool nodes_get(const struct sink *s, const struct bytes column[COLUMNS], uint32_t n,
                             uint64_t step, struct tally *tally, const bool is_run)
{
    struct cursor leaf = cursor_of(column[LEAF]);
    uint32_t few[256], *path = few; /* most trees need no more */
    uint64_t root = 0, deepest;
    bool good;

    if (n == 1 && !varint_get(&leaf, &root)) /* it is the only leaf */
        return false;
    clear(s, n, is_run);
    put_node(s, 0, 0, 0, is_run);
    put_value(s, 0, step_decode(root, step), tally, is_run);
    if (!chains_get(s, column, n, step, tally, &deepest, is_run) || deepest > TREE_DEPTH_MAX)
        return false;
    if (deepest >= sizeof few / sizeof *few)
        path = xreallocarray(NULL, (size_t)deepest + 1, sizeof *path);
    path[0] = 0;
    good = frames_get(s, column[FRAME], n, path, is_run) &&
           inner_get(s, column[INNER], n, step, tally, is_run);
    if (path != few)
        free(path);
    return good;
}

/* Whether the columns have as many numbers as n nodes need. */
static bool counts_agree(const struct bytes column[COLUMNS], uint64_t n)
{
    size_t leaves = count_numbers(column[LEAF]), chains = n == 1 ? 0 : leaves;

    return leaves > 0 && leaves != SIZE_MAX && (n > 1 || leaves == 1) &&
           count_numbers(column[UP]) == chains && count_numbers(column[LENGTH]) == chains &&
           count_numbers(column[FRAME]) == n - 1;
}

/* Room is made for what is there, not for what is claimed: for each node there is a frame. */
static bool columns_get(struct bytes in, uint32_t n_frames, uint64_t *ret_n, uint64_t *ret_step,
                        struct bytes column[COLUMNS])
{
    return header_get(in, ret_n, ret_step, column) && *ret_n > 0 && *ret_n < UINT32_MAX &&
           n_frames > 0 && counts_agree(column, *ret_n);
}

int tree_decode(struct tree *t, struct bytes in, uint32_t n_frames, int64_t *ret_sum)
{
    struct bytes column[COLUMNS];
    struct sink s = {.n_frames = n_frames};
    struct tally tally = {0};
    uint64_t n, step;

    t->n = 0;
    if (!columns_get(in, n_frames, &n, &step, column))
        return -EBADMSG;
    tree_begin(t, 1, (size_t)n);
    s.depth = t->depth;
    s.frame = t->frame;
    s.self = t->self[0];
    if (!nodes_get(&s, column, (uint32_t)n, step, &tally, false))
        return -EBADMSG;
    t->n = (uint32_t)n;
    *ret_sum = cut_to_int64(tally.sum);
    return 0;
}

/* --- as a run -----------------------------------------------------------------------------------
 */

void tree_run_deinit(struct tree_run *r)
{
    free(r->word);
    *r = (struct tree_run){0};
}

static void run_reserve(struct tree_run *r, size_t words)
{
    if (words <= r->cap)
        return;
    free(r->word);
    r->word = xreallocarray(NULL, words, sizeof *r->word);
    r->cap = words;
}

int tree_decode_run(struct tree_run *r, struct bytes in, uint32_t n_frames,
                    const struct ranks *ranks)
{
    struct bytes column[COLUMNS];
    struct sink s = {.rank = ranks->rank, .n_frames = n_frames};
    struct tally tally = {0};
    uint64_t n, step;

    CHECK(n_frames <= ranks->frames.n);
    r->n = 0;
    if (!columns_get(in, n_frames, &n, &step, column))
        return -EBADMSG;
    run_reserve(r, 2 * ((size_t)n + 1));
    s.word = r->word;
    if (!nodes_get(&s, column, (uint32_t)n, step, &tally, true))
        return -EBADMSG;
    r->sum = cut_to_int64(tally.sum);
    r->any_bit = tally.any_bit;
    r->word[2 * n] = KEY_END;
    r->n = (size_t)n;
    return 0;
}
