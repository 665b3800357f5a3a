#include "query/top.h"

#include "base/xalloc.h"

#include <math.h>
#include <stdlib.h>

long double top_shown(const struct top *top, uint32_t side, int64_t value)
{
    return (long double)value / (long double)top->mean_of[side];
}

struct top_order {
    const struct answer *a;
    const struct top *top;
    enum top_sort sort;
};

/* |b − a| of two sides, |v| of one. */
static long double weight(const struct top_order *o, const int64_t values[SIDES_MAX])
{
    long double first = top_shown(o->top, 0, values[0]);

    return fabsl(o->a->n_sides == 1 ? first : top_shown(o->top, 1, values[1]) - first);
}

static int order(long double x, long double y)
{
    return x > y ? -1 : x < y;
}

static int row_cmp(const void *va, const void *vb, void *ctx)
{
    const struct top_order *o = ctx;
    const struct top_row *x = va, *y = vb;
    int self = order(weight(o, x->self), weight(o, y->self));
    int total = order(weight(o, x->total), weight(o, y->total));
    int first = o->sort == TOP_BY_SELF ? self : total;
    int second = o->sort == TOP_BY_SELF ? total : self;

    if (first || second)
        return first ? first : second;
    return symbols_frame_cmp(o->a->symbols, x->frame, y->frame);
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

/* Frame ids as groups: at function granularity they are the functions. */
static void fill(struct top *top, const struct answer *a, uint32_t n)
{
    uint32_t *group = xreallocarray(NULL, n, sizeof *group);
    int64_t *self = xcalloc(n, sizeof *self), *total = xcalloc(n, sizeof *total);

    for (uint32_t i = 0; i < n; i++)
        group[i] = i;
    for (uint32_t s = 0; s < a->n_sides; s++) {
        tree_by_group(&a->tree, s, group, n, self, total);
        top->sum[s] = sum_of(&a->tree, s);
        for (uint32_t i = 1; i < n; i++) {
            top->rows[i].self[s] = self[i];
            top->rows[i].total[s] = total[i];
        }
    }
    free(group);
    free(self);
    free(total);
}

static uint64_t mean_of(const struct answer_side *s)
{
    bool snapshot = profile_type_kind(buf_bytes(&s->type)) == TYPE_SNAPSHOT;

    return snapshot && s->profiles ? s->profiles : 1;
}

void top_init(struct top *top, const struct answer *a, enum top_sort sort)
{
    uint32_t n = symbols_n_frames(a->symbols);
    struct top_order o = {a, top, sort};

    *top = (struct top){.rows = xcalloc(n, sizeof *top->rows)};
    for (uint32_t s = 0; s < SIDES_MAX; s++)
        top->mean_of[s] = mean_of(&a->sides[s]);
    fill(top, a, n);
    for (uint32_t i = 1; i < n; i++) {
        top->rows[i].frame = i;
        if (has_weight(&top->rows[i]))
            top->rows[top->n++] = top->rows[i];
    }
    qsort_r(top->rows, top->n, sizeof *top->rows, row_cmp, &o);
}

void top_deinit(struct top *top)
{
    free(top->rows);
    *top = (struct top){0};
}
