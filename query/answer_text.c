/* The other forms of an answer: tables for people, folded stacks, pprof. */
#include "query/answer.h"

#include "formats/folded.h"
#include "formats/pprof.h"
#include "query/top.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

struct scale {
    double factor;
    const char *unit;
};

/* Rising; the largest unit that leaves at least one before the point. */
static const struct scale time_scales[] = {
    {1, "ns"}, {1e3, "us"}, {1e6, "ms"}, {1e9, "s"}, {60e9, "min"}, {3600e9, "h"}, {0, NULL},
};
static const struct scale byte_scales[] = {
    {1, "B"}, {0x1p10, "KiB"}, {0x1p20, "MiB"}, {0x1p30, "GiB"}, {0x1p40, "TiB"}, {0, NULL},
};
static const struct scale no_scales[] = {{1, ""}, {0, NULL}};

static const struct scale *scales_of(struct bytes unit)
{
    if (bytes_equal(unit, BYTES_LIT("nanoseconds")))
        return time_scales;
    return bytes_equal(unit, BYTES_LIT("bytes")) ? byte_scales : no_scales;
}

/* "1.25s", "-3.0MiB", "42", right-aligned in ten columns; sign: also for positive values. */
static void value_text(long double value, struct bytes unit, bool sign, struct buf *out)
{
    const struct scale *scale = scales_of(unit);
    int decimals;
    char text[40];

    while (scale[1].unit && fabsl(value) >= scale[1].factor)
        scale++;
    decimals = scale->factor > 1 || value != truncl(value) ? 2 : 0; /* a mean may be no integer */
    snprintf(text, sizeof text, sign ? "%+.*Lf%s" : "%.*Lf%s", decimals, value / scale->factor,
             scale->unit);
    buf_printf(out, " %*s", sign ? 10 : 9, text); /* apart, however wide */
}

static void share_text(int64_t value, int64_t sum, struct buf *out)
{
    if (sum)
        buf_printf(out, " %6.2f%%", 100.0 * (double)value / (double)sum);
    else
        buf_printf(out, " %7s", "-");
}

static void name_text(const struct answer *a, uint32_t frame, struct buf *out)
{
    size_t begin = out->len;
    struct bytes file = symbols_frame_file(a->symbols, frame);

    symbols_frame_name(a->symbols, frame, out);
    if (file.len > 0)
        buf_printf(out, "  (%.*s)", (int)file.len, (const char *)file.data);
    for (size_t i = begin; i < out->len; i++)
        if (out->data[i] < ' ' || out->data[i] == 0x7f)
            out->data[i] = '_'; /* names come from agents, and terminals obey control bytes */
    buf_append_str(out, "\n");
}

static void row_text(const struct answer *a, const struct top *top, const struct top_row *row,
                     struct bytes unit, struct buf *out)
{
    value_text(top_shown(top, 0, row->self[0]), unit, false, out);
    share_text(row->self[0], top->sum[0], out);
    value_text(top_shown(top, 0, row->total[0]), unit, false, out);
    share_text(row->total[0], top->sum[0], out);
    buf_append_str(out, "  ");
    name_text(a, row->frame, out);
}

static void row_diff_text(const struct answer *a, const struct top *top, const struct top_row *row,
                          enum top_sort sort, struct bytes unit, struct buf *out)
{
    const int64_t *v = sort == TOP_BY_SELF ? row->self : row->total;
    long double first = top_shown(top, 0, v[0]), second = top_shown(top, 1, v[1]);

    value_text(first, unit, false, out);
    value_text(second, unit, false, out);
    value_text(second - first, unit, true, out);
    buf_append_str(out, "  ");
    name_text(a, row->frame, out);
}

static void head_text(const struct answer *a, const struct top *top, struct bytes unit,
                      struct buf *out)
{
    for (uint32_t s = 0; s < a->n_sides; s++) {
        const struct answer_side *side = &a->sides[s];
        bool snapshot = profile_type_kind(buf_bytes(&side->type)) == TYPE_SNAPSHOT;

        if (a->n_sides > 1)
            buf_append_str(out, s ? "b: " : "a: ");
        if (side->service.len > 0)
            buf_printf(out, "%.*s  ", (int)side->service.len, (const char *)side->service.data);
        buf_printf(out, "%.*s  ", (int)side->type.len, (const char *)side->type.data);
        buf_append_str(out, "total");
        value_text(top_shown(top, s, top->sum[s]), unit, false, out);
        buf_printf(out, "  %s %" PRIu64 " profile%s", snapshot ? "mean of" : "in", side->profiles,
                   side->profiles == 1 ? "" : "s");
        if (side->gaps)
            buf_printf(out, "  (%" PRIu64 " windows are lost)", side->gaps);
        buf_append_str(out, "\n");
    }
}

void answer_top_text(const struct answer *a, enum top_sort sort, uint32_t limit, struct buf *out)
{
    struct bytes unit = profile_type_unit(buf_bytes(&a->sides[0].type));
    bool self = sort == TOP_BY_SELF;
    struct top top;

    top_init(&top, a, sort);
    head_text(a, &top, unit, out);
    if (a->n_sides == 1)
        buf_append_str(out, "      self    self%     total   total%  function\n");
    else
        buf_printf(out, "  %8s  %8s %10s  function\n", self ? "self a" : "total a",
                   self ? "self b" : "total b", "b - a");
    for (size_t i = 0; i < top.n && i < limit; i++) {
        if (a->n_sides == 1)
            row_text(a, &top, &top.rows[i], unit, out);
        else
            row_diff_text(a, &top, &top.rows[i], sort, unit, out);
    }
    if (top.n > limit)
        buf_printf(out, "… and %zu more\n", top.n - limit);
    top_deinit(&top);
}

/* The whole tree, or a pruned copy in `pruned`. */
static const struct tree *at_most(const struct answer *a, uint32_t max_nodes, struct tree *pruned)
{
    if (a->tree.n <= max_nodes)
        return &a->tree;
    tree_prune(pruned, &a->tree, max_nodes);
    return pruned;
}

void answer_folded(const struct answer *a, uint32_t max_nodes, struct buf *out)
{
    struct tree pruned = {0};

    folded_write(at_most(a, max_nodes, &pruned), a->symbols, out);
    tree_deinit(&pruned);
}

/* Part i of a five-part type name. */
static struct bytes type_part(struct bytes type, int i)
{
    const uint8_t *end = type.data + type.len, *at = type.data, *colon;

    while (at && i-- > 0) {
        colon = memchr(at, ':', (size_t)(end - at));
        at = colon ? colon + 1 : end;
    }
    colon = at ? memchr(at, ':', (size_t)(end - at)) : NULL;
    return bytes_of(at, (size_t)((colon ? colon : end) - at));
}

void answer_pprof(const struct answer *a, uint32_t max_nodes, struct buf *out)
{
    const struct answer_side *side = &a->sides[a->n_sides - 1];
    struct bytes type = buf_bytes(&side->type);
    struct tree pruned = {0};

    pprof_write_tree(at_most(a, max_nodes, &pruned), a->symbols, type_part(type, 1),
                     type_part(type, 2), side->range.from_ns, side->duration_ns, out);
    tree_deinit(&pruned);
}
