/*
 * How it works. Rows stand in columns: stack, label set, span, and one column of values per type,
 * all with room for the same number of rows. A row without labels or span, which most are, is
 * found by an array over stack ids, a sparse one, for the stacks may be many profiles'; the others
 * by a table. Label sets are sorted runs in one array, and spans an array; both are numbered in
 * order of appearance and found by tables of their own. The column of spans appears with the first
 * row that has one: where nobody traces, nobody pays.
 */
#include "profile/profile.h"

#include "base/err.h"
#include "base/hash.h"
#include "base/xalloc.h"
#include "profile/sparse.h"
#include "profile/table.h"

#include <stdlib.h>

enum { ROWS_MAX = SPARSE_NONE - 1 };

struct profile_index {
    const uint64_t *secret;
    size_t row_stack_cap, row_labels_cap, row_span_cap;
    uint32_t *row_span; /* the profile's, kept while it has none */
    size_t values_cap[PROFILE_TYPES_MAX];
    size_t rows_cap;         /* the least of all but the spans', of the types in use */
    struct sparse plain_row; /* [stack] its row without labels and span */
    struct table labelled;   /* (stack, labels, span) → row */

    struct label *label; /* the sets, one behind the other */
    size_t n_label, label_cap;
    size_t *set_end; /* [set] end in label; set 0 is empty */
    uint32_t n_sets;
    size_t set_cap;
    struct table sets;

    struct span *span; /* span 0 is none */
    uint32_t n_spans;
    size_t span_cap;
    struct table spans;
};

static void forget_rows(struct profile_index *ix)
{
    ix->rows_cap = 0; /* found anew */
    sparse_reset(&ix->plain_row);
    SETTLE(ix->label, ix->label_cap, ix->n_label);
    SETTLE(ix->set_end, ix->set_cap, ix->n_sets);
    SETTLE(ix->span, ix->span_cap, ix->n_spans);
    ix->n_label = 0;
    ix->n_sets = ix->n_spans = 1;
    table_reset(&ix->labelled);
    table_reset(&ix->sets);
    table_reset(&ix->spans);
}

void profile_init(struct profile *p, struct symbols *symbols, struct stacks *stacks)
{
    struct profile_index *ix = xcalloc(1, sizeof *ix);

    ix->secret = hash_secret();
    XGROW(ix->set_end, ix->set_cap, 1);
    ix->set_end[0] = 0;
    XGROW(ix->span, ix->span_cap, 1);
    ix->span[0] = (struct span){0};
    forget_rows(ix);
    *p = (struct profile){.symbols = symbols, .stacks = stacks, .index = ix};
}

void profile_deinit(struct profile *p)
{
    struct profile_index *ix = p->index;

    if (!ix)
        return;
    for (size_t i = 0; i < PROFILE_TYPES_MAX; i++)
        free(p->values[i]);
    free(p->row_stack);
    free(p->row_labels);
    free(ix->row_span);
    sparse_deinit(&ix->plain_row);
    free(ix->label);
    free(ix->set_end);
    free(ix->span);
    table_deinit(&ix->labelled);
    table_deinit(&ix->sets);
    table_deinit(&ix->spans);
    free(ix);
    *p = (struct profile){0};
}

void profile_reset(struct profile *p)
{
    struct profile_index *ix = p->index;
    struct profile fresh = {
        .symbols = p->symbols, .stacks = p->stacks, .locations = p->locations, .index = ix};

    fresh.row_stack = SETTLE(p->row_stack, ix->row_stack_cap, p->n_rows);
    fresh.row_labels = SETTLE(p->row_labels, ix->row_labels_cap, p->n_rows);
    SETTLE(ix->row_span, ix->row_span_cap, p->row_span ? p->n_rows : 0);
    for (size_t t = 0; t < PROFILE_TYPES_MAX; t++)
        SETTLE(p->values[t], ix->values_cap[t], t < p->n_types ? p->n_rows : 0);
    memcpy(fresh.values, p->values, sizeof fresh.values);
    forget_rows(ix);
    *p = fresh;
}

int profile_set_types(struct profile *p, const struct sample_type *types, uint32_t n)
{
    CHECK(n <= PROFILE_TYPES_MAX);
    if (p->n_types == 0 && p->n_rows == 0) {
        memcpy(p->types, types, n * sizeof *types);
        p->n_types = n;
        p->index->rows_cap = 0;
        return 0;
    }
    if (p->n_types != n)
        return PROFILE_E_TYPES;
    for (uint32_t i = 0; i < n; i++)
        if (p->types[i].name != types[i].name || p->types[i].unit != types[i].unit)
            return PROFILE_E_TYPES;
    return 0;
}

/* The column's memory is kept for a later type, behind those in use. */
void profile_drop_type(struct profile *p, uint32_t type)
{
    size_t *cap = p->index->values_cap, dropped_cap;
    int64_t *dropped;

    CHECK(type < p->n_types);
    dropped = p->values[type];
    dropped_cap = cap[type];
    p->index->rows_cap = 0;
    for (p->n_types--; type < p->n_types; type++) {
        p->types[type] = p->types[type + 1];
        p->values[type] = p->values[type + 1];
        cap[type] = cap[type + 1];
    }
    p->values[type] = dropped;
    cap[type] = dropped_cap;
}

static int number_cmp(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

/* By ids, not by texts: any order makes equal sets equal, and a text may be long. */
static int label_cmp(const void *va, const void *vb)
{
    const struct label *a = va, *b = vb;
    int c = number_cmp(a->key, b->key);

    if (c == 0)
        c = number_cmp(a->str, b->str);
    if (c == 0)
        c = number_cmp(a->num, b->num);
    return c ? c : number_cmp(a->unit, b->unit);
}

static bool label_same(const struct label *a, const struct label *b)
{
    return a->key == b->key && a->str == b->str && a->num == b->num && a->unit == b->unit;
}

static size_t sort_labels(struct label *labels, size_t n)
{
    size_t kept = 1;

    if (n < 2)
        return n;
    qsort(labels, n, sizeof *labels, label_cmp);
    for (size_t i = 1; i < n; i++)
        if (!label_same(&labels[i], &labels[kept - 1]))
            labels[kept++] = labels[i];
    return kept;
}

static uint64_t hash_labels(const uint64_t *secret, const struct label *labels, size_t n)
{
    uint64_t h = n;

    for (size_t i = 0; i < n; i++) {
        h = hash_pair(secret, h, (uint64_t)labels[i].key << 32 | labels[i].str);
        h = hash_pair(secret, h ^ labels[i].unit, (uint64_t)labels[i].num);
    }
    return h;
}

static bool set_is(const struct profile *p, uint32_t id, const struct label *labels, size_t n)
{
    size_t set_n;
    const struct label *set = profile_label_set(p, id, &set_n);

    if (set_n != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!label_same(&set[i], &labels[i]))
            return false;
    return true;
}

uint32_t profile_labels(struct profile *p, struct label *labels, size_t n)
{
    struct profile_index *ix = p->index;
    uint64_t place;

    if (n == 0)
        return 0;
    n = sort_labels(labels, n);
    place = hash_labels(ix->secret, labels, n);
    for (struct probe at = table_probe(&ix->sets, place); table_next(&ix->sets, &at);)
        if (set_is(p, at.id, labels, n))
            return at.id;

    XGROW(ix->label, ix->label_cap, ix->n_label + n);
    memcpy(ix->label + ix->n_label, labels, n * sizeof *labels);
    ix->n_label += n;
    XGROW(ix->set_end, ix->set_cap, (size_t)ix->n_sets + 1);
    ix->set_end[ix->n_sets] = ix->n_label;
    table_insert(&ix->sets, place, ix->n_sets);
    return ix->n_sets++;
}

const struct label *profile_label_set(const struct profile *p, uint32_t id, size_t *ret_n)
{
    const struct profile_index *ix = p->index;
    size_t begin;

    CHECK(id < ix->n_sets);
    begin = id ? ix->set_end[id - 1] : 0;
    *ret_n = ix->set_end[id] - begin;
    return ix->label ? ix->label + begin : NULL;
}

static int label_text_cmp(const void *va, const void *vb, void *symbols)
{
    const struct label *a = va, *b = vb;
    int c = bytes_cmp(symbols_text(symbols, a->key), symbols_text(symbols, b->key));

    if (c == 0)
        c = bytes_cmp(symbols_text(symbols, a->str), symbols_text(symbols, b->str));
    if (c == 0)
        c = number_cmp(a->num, b->num);
    return c ? c : bytes_cmp(symbols_text(symbols, a->unit), symbols_text(symbols, b->unit));
}

void profile_label_set_by_text(const struct profile *p, uint32_t id, struct label *out)
{
    size_t n;
    const struct label *set = profile_label_set(p, id, &n);

    if (n == 0)
        return;
    memcpy(out, set, n * sizeof *out);
    qsort_r(out, n, sizeof *out, label_text_cmp, p->symbols);
}

uint32_t profile_copy_labels(struct profile *p, const struct profile *from, uint32_t id)
{
    size_t n;
    const struct label *set = profile_label_set(from, id, &n);
    struct label *copy;
    uint32_t r;

    if (n == 0)
        return 0;
    copy = xmalloc(n * sizeof *copy);
    memcpy(copy, set, n * sizeof *copy);
    r = profile_labels(p, copy, n);
    free(copy);
    return r;
}

uint32_t profile_n_label_sets(const struct profile *p)
{
    return p->index->n_sets;
}

uint32_t profile_span(struct profile *p, const struct span *span)
{
    struct profile_index *ix = p->index;
    uint64_t place;

    if (!(span->trace_hi | span->trace_lo | span->root | span->id))
        return 0;
    place = hash_pair(ix->secret, hash_pair(ix->secret, span->trace_hi, span->trace_lo),
                      hash_pair(ix->secret, span->root, span->id));
    for (struct probe at = table_probe(&ix->spans, place); table_next(&ix->spans, &at);)
        if (memcmp(&ix->span[at.id], span, sizeof *span) == 0)
            return at.id;
    XGROW(ix->span, ix->span_cap, (size_t)ix->n_spans + 1);
    ix->span[ix->n_spans] = *span;
    table_insert(&ix->spans, place, ix->n_spans);
    return ix->n_spans++;
}

const struct span *profile_get_span(const struct profile *p, uint32_t id)
{
    CHECK(id < p->index->n_spans);
    return &p->index->span[id];
}

uint32_t profile_n_spans(const struct profile *p)
{
    return p->index->n_spans;
}

/* Of the row that is being made. */
static void set_span(struct profile *p, uint32_t span)
{
    struct profile_index *ix = p->index;

    if (!p->row_span && span == 0)
        return;
    XGROW(ix->row_span, ix->row_span_cap, (size_t)p->n_rows + 1);
    if (!p->row_span)
        memset(ix->row_span, 0, p->n_rows * sizeof *ix->row_span);
    ix->row_span[p->n_rows] = span;
    p->row_span = ix->row_span;
}

/* Room for one more row in all columns but the spans'. */
static void make_room(struct profile *p)
{
    struct profile_index *ix = p->index;
    size_t want = (size_t)p->n_rows + 1;

    CHECK(p->n_rows < ROWS_MAX);
    XGROW(p->row_stack, ix->row_stack_cap, want);
    XGROW(p->row_labels, ix->row_labels_cap, want);
    ix->rows_cap = ix->row_stack_cap < ix->row_labels_cap ? ix->row_stack_cap : ix->row_labels_cap;
    for (uint32_t t = 0; t < p->n_types; t++) {
        XGROW(p->values[t], ix->values_cap[t], want);
        ix->rows_cap = ix->values_cap[t] < ix->rows_cap ? ix->values_cap[t] : ix->rows_cap;
    }
}

static uint32_t new_row(struct profile *p, uint32_t stack, uint32_t labels, uint32_t span)
{
    if (p->n_rows >= p->index->rows_cap)
        make_room(p);
    for (uint32_t t = 0; t < p->n_types; t++)
        p->values[t][p->n_rows] = 0;
    p->row_stack[p->n_rows] = stack;
    p->row_labels[p->n_rows] = labels;
    set_span(p, span);
    return p->n_rows++;
}

static uint32_t plain_row(struct profile *p, uint32_t stack)
{
    uint32_t *row = sparse_at(&p->index->plain_row, stack);

    if (*row == SPARSE_NONE) {
        CHECK(stack < stacks_count(p->stacks));
        *row = new_row(p, stack, 0, 0);
    }
    return *row;
}

static bool row_is(const struct profile *p, uint32_t row, uint32_t stack, uint32_t labels,
                   uint32_t span)
{
    return p->row_stack[row] == stack && p->row_labels[row] == labels &&
           (p->row_span ? p->row_span[row] : 0) == span;
}

static uint32_t labelled_row(struct profile *p, uint32_t stack, uint32_t labels, uint32_t span)
{
    struct profile_index *ix = p->index;
    uint64_t place = hash_pair(ix->secret, stack, (uint64_t)labels << 32 | span);
    uint32_t row;

    CHECK(stack < stacks_count(p->stacks) && labels < ix->n_sets && span < ix->n_spans);
    for (struct probe at = table_probe(&ix->labelled, place); table_next(&ix->labelled, &at);)
        if (row_is(p, at.id, stack, labels, span))
            return at.id;
    row = new_row(p, stack, labels, span);
    table_insert(&ix->labelled, place, row);
    return row;
}

void profile_add_in_span(struct profile *p, uint32_t stack, uint32_t labels, uint32_t span,
                         const int64_t *values)
{
    uint32_t row = labels | span ? labelled_row(p, stack, labels, span) : plain_row(p, stack);

    for (uint32_t t = 0; t < p->n_types; t++)
        p->values[t][row] = add_saturating(p->values[t][row], values[t], &p->saturated);
}

void profile_add(struct profile *p, uint32_t stack, uint32_t labels, const int64_t *values)
{
    profile_add_in_span(p, stack, labels, 0, values);
}

int64_t profile_total(const struct profile *p, uint32_t type)
{
    int64_t total = 0;
    uint64_t saturated = 0;

    CHECK(type < p->n_types);
    for (uint32_t row = 0; row < p->n_rows; row++)
        total = add_saturating(total, p->values[type][row], &saturated);
    return total;
}

size_t profile_bytes(const struct profile *p)
{
    const struct profile_index *ix = p->index;
    size_t bytes = sizeof *ix + table_bytes(&ix->labelled) + table_bytes(&ix->sets) +
                   table_bytes(&ix->spans) + sparse_bytes(&ix->plain_row) +
                   ix->label_cap * sizeof *ix->label + ix->set_cap * sizeof *ix->set_end +
                   ix->span_cap * sizeof *ix->span;

    bytes += (ix->row_stack_cap + ix->row_labels_cap + ix->row_span_cap) * sizeof *p->row_stack;
    for (size_t t = 0; t < PROFILE_TYPES_MAX; t++)
        bytes += ix->values_cap[t] * sizeof *p->values[t];
    return bytes;
}
