/*
 * The figures stand before the columns so that a reader of sums (a timeline, a merge that only
 * wants to know the generation) need not inflate anything. The total and the number of nodes are
 * written beside the tree they could be computed from, and decode compares them.
 */
#include "wire/aggregate.h"

#include "wire/blob.h"

#include <errno.h>

enum { AGGREGATE_VERSION = 3 };
#define AGGREGATE_MAGIC "HAgg"

void aggregate_deinit(struct aggregate *a)
{
    tree_deinit(&a->tree);
}

static bool is_empty(const struct aggregate *a)
{
    return a->start_ns == 0 && a->end_ns == 0;
}

static int64_t add_clamped(int64_t a, int64_t b)
{
    int64_t r;

    if (__builtin_add_overflow(a, b, &r))
        return a < 0 ? INT64_MIN : INT64_MAX;
    return r;
}

static void widen(struct aggregate *a, const struct aggregate *b)
{
    if (b->start_ns < a->start_ns)
        a->start_ns = b->start_ns;
    if (b->end_ns > a->end_ns)
        a->end_ns = b->end_ns;
    if (b->first_offset < a->first_offset)
        a->first_offset = b->first_offset;
    if (b->last_offset > a->last_offset)
        a->last_offset = b->last_offset;
}

void aggregate_add_figures(struct aggregate *a, const struct aggregate *b)
{
    if (is_empty(b))
        return;
    if (is_empty(a)) {
        a->start_ns = b->start_ns;
        a->end_ns = b->end_ns;
        a->first_offset = b->first_offset;
        a->last_offset = b->last_offset;
    }
    widen(a, b);
    a->profiles += b->profiles;
    a->duration_ns = add_clamped(a->duration_ns, b->duration_ns);
    sketch_union(&a->instances, &b->instances);
}

/* As if there were no end of int64, then cut to it: it does not depend on the order of nodes. */
static int64_t tree_sum(const struct tree *t)
{
    __int128 sum = 0;

    for (uint32_t i = 0; i < t->n; i++)
        sum += t->self[0][i];
    return cut_to_int64(sum);
}

void aggregate_encode(struct zcodec *z, const struct aggregate *a, int level, struct buf *out)
{
    size_t begin = blob_begin(out, AGGREGATE_MAGIC, AGGREGATE_VERSION);
    struct buf columns = {0};

    tree_encode(&a->tree, &columns);
    CHECK(columns.len <= AGGREGATE_RAW_MAX);
    buf_varint(out, a->generation);
    buf_varint(out, a->profiles);
    buf_varint(out, zigzag(a->duration_ns));
    buf_varint(out, zigzag(a->start_ns));
    buf_varint(out, zigzag(a->end_ns));
    buf_varint(out, zigzag(tree_sum(&a->tree)));
    buf_varint(out, a->first_offset);
    buf_varint(out, a->last_offset);
    buf_varint(out, a->tree.n);
    buf_varint(out, columns.len);
    buf_append(out, a->instances.reg, SKETCH_BYTES);
    blob_set_codec(out, begin, zcodec_pack_one(z, buf_bytes(&columns), ZKIND_TREE, level, out));
    blob_end(out, begin);
    buf_deinit(&columns);
}

static bool signed_get(struct cursor *c, int64_t *ret)
{
    uint64_t v;

    if (!varint_get(c, &v))
        return false;
    *ret = unzigzag(v);
    return true;
}

static bool figures_get(struct cursor *c, struct aggregate *a, uint64_t *ret_nodes,
                        uint64_t *ret_raw)
{
    struct bytes registers;

    if (!varint_get(c, &a->generation) || !varint_get(c, &a->profiles) ||
        !signed_get(c, &a->duration_ns) || !signed_get(c, &a->start_ns) ||
        !signed_get(c, &a->end_ns) || !signed_get(c, &a->total) ||
        !varint_get(c, &a->first_offset) || !varint_get(c, &a->last_offset) ||
        !varint_get(c, ret_nodes) || !varint_get(c, ret_raw) ||
        !cursor_take(c, SKETCH_BYTES, &registers))
        return false;
    memcpy(a->instances.reg, registers.data, SKETCH_BYTES);
    return true;
}

int aggregate_peek(struct aggregate *a, struct bytes in)
{
    struct cursor body;
    uint64_t nodes, raw;
    uint8_t codec;

    if (blob_open(in, AGGREGATE_MAGIC, AGGREGATE_VERSION, false, &codec, &body) != 0 ||
        !figures_get(&body, a, &nodes, &raw))
        return -EBADMSG;
    return 0;
}

/* The figures, and the columns of the tree in z's memory. 0 or < 0. */
static int open_columns(struct zcodec *z, struct aggregate *a, struct bytes in, uint64_t *ret_nodes,
                        struct bytes *ret_columns)
{
    struct cursor body;
    uint64_t raw;
    uint8_t codec;

    a->tree.n = 0;
    if (blob_open(in, AGGREGATE_MAGIC, AGGREGATE_VERSION, true, &codec, &body) != 0 ||
        !figures_get(&body, a, ret_nodes, &raw) || raw > AGGREGATE_RAW_MAX)
        return -EBADMSG;
    return zcodec_unpack(z, codec, bytes_of(body.at, cursor_left(&body)), raw, ret_columns);
}

int aggregate_decode(struct zcodec *z, struct aggregate *a, struct bytes in, uint32_t n_frames)
{
    struct bytes columns;
    uint64_t nodes;
    int64_t sum;

    if (open_columns(z, a, in, &nodes, &columns) == 0 &&
        tree_decode(&a->tree, columns, n_frames, &sum) == 0 && a->tree.n == nodes &&
        sum == a->total)
        return 0;
    a->tree.n = 0;
    return -EBADMSG;
}

int aggregate_decode_run(struct zcodec *z, struct aggregate *a, struct tree_run *run,
                         struct bytes in, uint32_t n_frames, const struct ranks *ranks)
{
    struct bytes columns;
    uint64_t nodes;

    if (open_columns(z, a, in, &nodes, &columns) == 0 &&
        tree_decode_run(run, columns, n_frames, ranks) == 0 && run->n == nodes &&
        run->sum == a->total)
        return 0;
    run->n = 0;
    return -EBADMSG;
}
