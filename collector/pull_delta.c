/*
 * How it works. Both profiles are read into one pair of tables, with all labels, so that equal
 * stacks have equal ids; a third takes the columns that stay, first the rows of now, then those of
 * before with the sign turned.
 */
#include "collector/pull_delta.h"

#include "base/xalloc.h"
#include "profile/types.h"

#include <stdlib.h>

struct delta {
    struct symbols *sym;
    struct stacks *st;
    struct profile now, before, out;
    uint32_t column[PROFILE_TYPES_MAX]; /* of out: the column of now */
    bool flows[PROFILE_TYPES_MAX];      /* of out: does it add up? */
};

static bool is_flow(const struct profile *p, uint32_t type, struct bytes family)
{
    struct profile_type full;

    profile_type_of(&full, symbols_text(p->symbols, p->types[type].name),
                    symbols_text(p->symbols, p->types[type].unit),
                    symbols_text(p->symbols, p->period_type.name),
                    symbols_text(p->symbols, p->period_type.unit), family);
    return full.kind == TYPE_FLOW;
}

static bool same_types(const struct profile *a, const struct profile *b)
{
    if (a->n_types != b->n_types)
        return false;
    for (uint32_t i = 0; i < a->n_types; i++)
        if (a->types[i].name != b->types[i].name || a->types[i].unit != b->types[i].unit)
            return false;
    return true;
}

/* Is before the same process, earlier? Counts from its start only rise. */
static bool goes_on(const struct delta *d, struct bytes family)
{
    if (!same_types(&d->now, &d->before))
        return false;
    for (uint32_t i = 0; i < d->now.n_types; i++)
        if (is_flow(&d->now, i, family) && profile_total(&d->now, i) < profile_total(&d->before, i))
            return false;
    return true;
}

static void choose_types(struct delta *d, struct bytes family, bool with_flows)
{
    struct sample_type types[PROFILE_TYPES_MAX];
    uint32_t n = 0;

    for (uint32_t i = 0; i < d->now.n_types; i++) {
        bool flow = is_flow(&d->now, i, family);

        if (flow && !with_flows)
            continue;
        d->column[n] = i;
        d->flows[n] = flow;
        types[n++] = d->now.types[i];
    }
    CHECK(profile_set_types(&d->out, types, n) == 0); /* it is new */
}

/* minus: only what adds up, with the sign turned. */
static void add_rows(struct delta *d, const struct profile *p, bool minus)
{
    int64_t values[PROFILE_TYPES_MAX];

    for (uint32_t row = 0; row < p->n_rows; row++) {
        for (uint32_t i = 0; i < d->out.n_types; i++) {
            int64_t v = p->values[d->column[i]][row];

            values[i] = !minus ? v : d->flows[i] && v != INT64_MIN ? -v : 0;
        }
        profile_add(&d->out, p->row_stack[row], profile_copy_labels(&d->out, p, p->row_labels[row]),
                    values);
    }
}

static void set_times(struct delta *d, bool goes_on)
{
    const struct profile *now = &d->now, *before = &d->before;

    d->out.period_type = now->period_type;
    d->out.period = now->period;
    d->out.time_ns = now->time_ns;
    d->out.duration_ns = now->duration_ns;
    if (!goes_on || before->time_ns <= 0 || before->time_ns >= now->time_ns)
        return;
    d->out.time_ns = before->time_ns;
    d->out.duration_ns = now->time_ns - before->time_ns;
}

static int read_both(struct delta *d, struct bytes now, struct bytes before,
                     const struct profile_limits *limits, struct failure *f)
{
    struct pprof_reader *r = pprof_reader_new();
    int e = pprof_read(r, now, limits, PPROF_LABELS_ALL, &d->now, NULL, f);

    if (e == 0 && before.len > 0)
        e = pprof_read(r, before, limits, PPROF_LABELS_ALL, &d->before, NULL, f);
    pprof_reader_free(r);
    return e;
}

static void subtract(struct delta *d, bool has_before, struct bytes family, struct buf *out)
{
    bool minus = has_before && goes_on(d, family);

    choose_types(d, family, has_before);
    if (d->out.n_types == 0)
        return;
    add_rows(d, &d->now, false);
    if (minus)
        add_rows(d, &d->before, true);
    set_times(d, minus);
    pprof_write(&d->out, out);
}

int pull_delta(struct bytes now, struct bytes before, struct bytes family,
               const struct profile_limits *limits, struct buf *out, struct failure *f)
{
    struct delta d = {.sym = symbols_new(), .st = stacks_new()};
    int e;

    profile_init(&d.now, d.sym, d.st);
    profile_init(&d.before, d.sym, d.st);
    profile_init(&d.out, d.sym, d.st);
    e = read_both(&d, now, before, limits, f);
    if (e == 0)
        subtract(&d, before.len > 0, family, out);
    profile_deinit(&d.now);
    profile_deinit(&d.before);
    profile_deinit(&d.out);
    stacks_free(d.st);
    symbols_free(d.sym);
    return e;
}
