#include "query/top.h"

#include "base/xalloc.h"
#include "profile/numbering.h"

#include <math.h>
#include <stdlib.h>

long double top_shown(const struct top *top, uint32_t side, int64_t value)
{
    return (long double)value / (long double)top->mean_of[side];
}

/* |b − a| of two sides, |v| of one. */
static long double weight(const struct top *top, uint32_t n_sides, const int64_t values[SIDES_MAX])
{
    long double first = top_shown(top, 0, values[0]);

    return fabsl(n_sides == 1 ? first : top_shown(top, 1, values[1]) - first);
}

struct top_order {
    const struct symbols *symbols;
    int first; /* which weight comes first */
};

static int row_cmp(const void *va, const void *vb, void *ctx)
{
    const struct top_order *o = ctx;
    const struct top_row *x = va, *y = vb;

    for (int i = 0; i < 2; i++) {
        int which = i ^ o->first;

        if (x->weight[which] != y->weight[which])
            return x->weight[which] > y->weight[which] ? -1 : 1;
    }
    return by_function_cmp(o->symbols, x->frame, y->frame);
}

static bool has_weight(const struct top_row *row)
{
    for (int s = 0; s < SIDES_MAX; s++)
        if (row->self[s] || row->total[s])
            return true;
    return false;
}

static int64_t sum_of(const struct tree *t, uint32_t column)
{
    int64_t sum, *total = xreallocarray(NULL, t->n, sizeof *total);

    tree_totals(t, column, total);
    sum = total[0];
    free(total);
    return sum;
}

/* The functions that a tree has: what it costs follows the tree, however large the table is. All
 * frames of a function get its number. */
static void number_functions(struct numbering *nb, const struct tree *t, const uint32_t *first,
                             uint32_t n_frames)
{
    numbering_init(nb, n_frames);
    for (uint32_t i = 1; i < t->n; i++)
        nb->number[t->frame[i]] = numbering_of(nb, first[t->frame[i]]);
}

static void add_column(struct top *top, const struct answer *a, const struct numbering *nb,
                       uint32_t s)
{
    uint32_t n = nb->n + 1; /* numbers begin at 1 */
    int64_t *self = xcalloc(n, sizeof *self), *total = xcalloc(n, sizeof *total);

    top->saturated += tree_by_group(&a->tree, s, nb->number, n, self, total);
    top->sum[s] = sum_of(&a->tree, s);
    for (uint32_t i = 1; i < n; i++) {
        top->rows[i].self[s] = self[i];
        top->rows[i].total[s] = total[i];
    }
    free(self);
    free(total);
}

static void make_rows(struct top *top, const struct answer *a, const uint32_t *first)
{
    struct numbering nb;

    number_functions(&nb, &a->tree, first, symbols_n_frames(a->symbols));
    top->rows = xcalloc((size_t)nb.n + 1, sizeof *top->rows);
    for (uint32_t s = 0; s < a->n_sides; s++)
        add_column(top, a, &nb, s);
    for (uint32_t i = 1; i <= nb.n; i++) {
        struct top_row row = top->rows[i];

        if (!has_weight(&row))
            continue;
        row.frame = nb.order[i - 1];
        row.weight[0] = weight(top, a->n_sides, row.self);
        row.weight[1] = weight(top, a->n_sides, row.total);
        top->rows[top->n++] = row;
    }
    numbering_deinit(&nb);
}

static uint64_t mean_of(const struct answer_side *s)
{
    bool snapshot = profile_type_kind(buf_bytes(&s->type)) == TYPE_SNAPSHOT;

    return snapshot && s->profiles ? s->profiles : 1;
}

void top_init(struct top *top, const struct answer *a, enum top_sort sort)
{
    struct top_order order = {a->symbols, sort == TOP_BY_SELF ? 0 : 1};
    struct by_function own = {0};

    *top = (struct top){0};
    for (uint32_t s = 0; s < SIDES_MAX; s++)
        top->mean_of[s] = mean_of(&a->sides[s]);
    if (!a->functions)
        by_function_update(&own, a->symbols);
    make_rows(top, a, a->functions ? a->functions->first : own.first);
    qsort_r(top->rows, top->n, sizeof *top->rows, row_cmp, &order);
    by_function_deinit(&own);
}

void top_deinit(struct top *top)
{
    free(top->rows);
    *top = (struct top){0};
}
