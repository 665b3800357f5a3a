/*
 * How it works. Rows are appended as events are read and never looked at until the end. A profile
 * declares only those types of its family that some row counts. docs/formats.md publishes the table
 * of sources and types.
 */
#include "formats/jfr/journal.h"

#include "base/xalloc.h"
#include "formats/jfr/frames.h"

#include <stdlib.h>

enum { FAMILY_TYPES = 8 };

struct family {
    const char *hint; /* the family of its types, for profile/types.h */
    const char *period_type, *period_unit;
    struct {
        const char *name, *unit;
    } types[FAMILY_TYPES];
};

enum family_id {
    FAMILY_CPU,
    FAMILY_WALL,
    FAMILY_ALLOC,
    FAMILY_LIVE,
    FAMILY_MALLOC,
    FAMILY_MUTEX,
    FAMILY_BLOCK,
    FAMILY_IO,
    FAMILY_EXCEPTION,
    FAMILY_METHOD,
    FAMILY_OTHER,
    N_FAMILIES,
};

/* clang-format off */
static const struct family families[N_FAMILIES] = {
    [FAMILY_CPU] = {"process_cpu", "cpu", "nanoseconds", {{"cpu", "nanoseconds"}}},
    [FAMILY_WALL] = {"wall", "wall", "nanoseconds",
        {{"wall", "nanoseconds"}, {"native", "nanoseconds"}}},
    [FAMILY_ALLOC] = {"memory", "space", "bytes",
        {{"alloc_in_new_tlab_objects", "count"}, {"alloc_in_new_tlab_bytes", "bytes"},
         {"alloc_outside_tlab_objects", "count"}, {"alloc_outside_tlab_bytes", "bytes"},
         {"alloc_sample_objects", "count"}, {"alloc_sample_bytes", "bytes"},
         {"alloc_objects", "count"}, {"alloc_space", "bytes"}}},
    [FAMILY_LIVE] = {"memory", "objects", "count",
        {{"live", "count"}, {"inuse_objects", "count"}, {"inuse_space", "bytes"}}},
    [FAMILY_MALLOC] = {"memory", "", "", {{"malloc_objects", "count"}, {"malloc_bytes", "bytes"}}},
    [FAMILY_MUTEX] = {"java_mutex", "mutex", "count",
        {{"contentions", "count"}, {"delay", "nanoseconds"}}},
    [FAMILY_BLOCK] = {"java_block", "block", "count",
        {{"contentions", "count"}, {"delay", "nanoseconds"}}},
    [FAMILY_IO] = {"io", "", "",
        {{"file-io-read-time", "nanoseconds"}, {"file-io-read-size", "bytes"},
         {"file-io-write-time", "nanoseconds"}, {"file-io-write-size", "bytes"},
         {"socket-read-time", "nanoseconds"}, {"socket-read-size", "bytes"},
         {"socket-write-time", "nanoseconds"}, {"socket-write-size", "bytes"}}},
    [FAMILY_EXCEPTION] = {"exception", "", "", {{"exception", "count"}}},
    [FAMILY_METHOD] = {"method", "", "", {{"method_calls", "count"}, {"method_time", "nanoseconds"}}},
    [FAMILY_OTHER] = {"", "", "", {{"", "count"}}}, /* named by the recording */
};

/* The family a source counts in, and the first of its types; sources of one `rivals` exclude each other. */
static const struct {
    enum family_id family;
    uint8_t type, n_types;
    uint8_t rivals;
} sources[JFR_N_SOURCES] = {
    [JFR_CPU_DATADOG]        = {FAMILY_CPU,       0, 1, 1},
    [JFR_CPU_TIME]           = {FAMILY_CPU,       0, 1, 1},
    [JFR_CPU_SAMPLE]         = {FAMILY_CPU,       0, 1, 1},
    [JFR_CPU_OF_WALL]        = {FAMILY_CPU,       0, 1, 1},
    [JFR_WALL_DATADOG]       = {FAMILY_WALL,      0, 1, 2},
    [JFR_WALL_CLOCK]         = {FAMILY_WALL,      0, 1, 2},
    [JFR_WALL_SAMPLE]        = {FAMILY_WALL,      0, 1, 2},
    [JFR_NATIVE_SAMPLE]      = {FAMILY_WALL,      1, 1, 0},
    [JFR_ALLOC_IN_NEW_TLAB]  = {FAMILY_ALLOC,     0, 2, 0},
    [JFR_ALLOC_OUTSIDE_TLAB] = {FAMILY_ALLOC,     2, 2, 0},
    [JFR_ALLOC_SAMPLE]       = {FAMILY_ALLOC,     4, 2, 0},
    [JFR_ALLOC_DATADOG]      = {FAMILY_ALLOC,     6, 2, 0},
    [JFR_LIVE]               = {FAMILY_LIVE,      0, 1, 0},
    [JFR_LIVE_DATADOG]       = {FAMILY_LIVE,      1, 2, 0},
    [JFR_MALLOC]             = {FAMILY_MALLOC,    0, 2, 0},
    [JFR_MUTEX]              = {FAMILY_MUTEX,     0, 2, 0},
    [JFR_BLOCK]              = {FAMILY_BLOCK,     0, 2, 0},
    [JFR_FILE_READ]          = {FAMILY_IO,        0, 2, 0},
    [JFR_FILE_WRITE]         = {FAMILY_IO,        2, 2, 0},
    [JFR_SOCKET_READ]        = {FAMILY_IO,        4, 2, 0},
    [JFR_SOCKET_WRITE]       = {FAMILY_IO,        6, 2, 0},
    [JFR_EXCEPTION]          = {FAMILY_EXCEPTION, 0, 1, 0},
    [JFR_METHOD]             = {FAMILY_METHOD,    0, 2, 0},
    [JFR_OTHER_EVENT]        = {FAMILY_OTHER,     0, 1, 0},
};
/* clang-format on */

void jfr_journal_deinit(struct jfr_journal *j)
{
    free(j->row);
    free(j->label);
    free(j->set_end);
    free(j->span);
    free(j->endpoint);
    table_deinit(&j->sets);
    table_deinit(&j->spans);
    jfr_ids_deinit(&j->roots);
}

size_t jfr_journal_bytes(const struct jfr_journal *j)
{
    return j->row_cap * sizeof *j->row + j->label_cap * sizeof *j->label +
           j->set_cap * sizeof *j->set_end + j->span_cap * sizeof *j->span +
           j->endpoint_cap * sizeof *j->endpoint + table_bytes(&j->sets) + table_bytes(&j->spans) +
           jfr_ids_bytes(&j->roots);
}

void jfr_journal_begin(struct jfr_journal *j, struct reading *rd)
{
    j->rd = rd;
    j->secret = hash_secret();
    j->n_rows = j->n_labels = 0;
    table_reset(&j->sets);
    table_reset(&j->spans);
    jfr_ids_reset(&j->roots);
    XGROW(j->set_end, j->set_cap, 1);
    XGROW(j->span, j->span_cap, 1);
    j->set_end[0] = 0;
    j->span[0] = (struct span){0};
    j->n_sets = j->n_spans = 1;
    memset(j->n_of, 0, sizeof j->n_of);
    j->event[0] = '\0';
    memset(j->interval, 0, sizeof j->interval);
    j->begin_ns = j->end_ns = 0;
}

/* --- while events are read -----------------------------------------------------------------------
 */

static void sort(struct jfr_label *labels, size_t n)
{
    for (size_t i = 1; i < n; i++)
        for (size_t k = i; k > 0 && labels[k].key < labels[k - 1].key; k--) {
            struct jfr_label other = labels[k];

            labels[k] = labels[k - 1];
            labels[k - 1] = other;
        }
}

static const struct jfr_label *set_at(const struct jfr_journal *j, uint32_t set, size_t *ret_n)
{
    uint32_t begin = set ? j->set_end[set - 1] : 0;

    *ret_n = j->set_end[set] - begin;
    return j->label ? j->label + begin : NULL;
}

uint32_t jfr_journal_labels(struct jfr_journal *j, struct jfr_label *labels, size_t n)
{
    const struct jfr_label *set;
    uint64_t hash;
    size_t n_set;

    if (n == 0)
        return 0;
    sort(labels, n);
    hash = hash_keyed(j->secret, bytes_of(labels, n * sizeof *labels));
    for (struct probe p = table_probe(&j->sets, hash); table_next(&j->sets, &p);) {
        set = set_at(j, p.id, &n_set);
        if (n_set == n && memcmp(set, labels, n * sizeof *labels) == 0)
            return p.id;
    }
    XGROW(j->label, j->label_cap, (size_t)j->n_labels + n);
    memcpy(j->label + j->n_labels, labels, n * sizeof *labels);
    j->n_labels += (uint32_t)n;
    XGROW(j->set_end, j->set_cap, (size_t)j->n_sets + 1);
    j->set_end[j->n_sets] = j->n_labels;
    table_insert(&j->sets, hash, j->n_sets);
    return j->n_sets++;
}

uint32_t jfr_journal_span(struct jfr_journal *j, const struct span *span)
{
    uint64_t hash;

    if (!(span->trace_hi | span->trace_lo | span->root | span->id))
        return 0;
    hash = hash_pair(j->secret, hash_pair(j->secret, span->trace_hi, span->trace_lo),
                     hash_pair(j->secret, span->root, span->id));
    for (struct probe p = table_probe(&j->spans, hash); table_next(&j->spans, &p);)
        if (memcmp(&j->span[p.id], span, sizeof *span) == 0)
            return p.id;
    XGROW(j->span, j->span_cap, (size_t)j->n_spans + 1);
    j->span[j->n_spans] = *span;
    table_insert(&j->spans, hash, j->n_spans);
    return j->n_spans++;
}

int jfr_journal_add(struct jfr_journal *j, const struct jfr_row *row)
{
    if (j->n_rows >= j->rd->limits->samples_max)
        return jfr_above_limit(j->rd, "too many samples", (uint64_t)j->n_rows + 1,
                               j->rd->limits->samples_max, "samples_max");
    if (j->n_rows == j->row_cap)
        XGROW(j->row, j->row_cap, (size_t)j->n_rows + 1);
    j->row[j->n_rows++] = *row;
    j->n_of[row->source]++;
    return 0;
}

void jfr_journal_endpoint(struct jfr_journal *j, uint64_t root, uint32_t endpoint)
{
    if (j->roots.n >= j->rd->limits->strings_max)
        return;
    XGROW(j->endpoint, j->endpoint_cap, (size_t)j->roots.n + 1);
    j->endpoint[j->roots.n] = endpoint;
    jfr_ids_add(&j->roots, root);
}

void jfr_journal_time(struct jfr_journal *j, int64_t begin_ns, int64_t duration_ns)
{
    uint64_t saturated = 0;
    int64_t end_ns = add_saturating(begin_ns, duration_ns, &saturated);

    if (begin_ns <= 0 || duration_ns < 0)
        return;
    if (j->begin_ns == 0 || begin_ns < j->begin_ns)
        j->begin_ns = begin_ns;
    if (end_ns > j->end_ns)
        j->end_ns = end_ns;
}

/* --- at the end ----------------------------------------------------------------------------------
 */

/* The endpoint of a root span; 0 if none was told. The ids hold the first of equal ones, and the
 * last must: they are turned round once, before the first search. */
static uint32_t endpoint_of(const struct jfr_journal *j, uint64_t root)
{
    uint32_t i = root && j->roots.n ? jfr_ids_find(&j->roots, root) : UINT32_MAX;

    return i == UINT32_MAX ? 0 : j->endpoint[i];
}

static void turn_round(struct jfr_journal *j)
{
    for (uint32_t a = 0, b = j->roots.n; a + 1 < b; a++) {
        uint64_t root = j->roots.id[a];
        uint32_t endpoint = j->endpoint[a];

        b--;
        j->roots.id[a] = j->roots.id[b];
        j->endpoint[a] = j->endpoint[b];
        j->roots.id[b] = root;
        j->endpoint[b] = endpoint;
    }
    jfr_ids_build(&j->roots);
}

static bool counts(const struct jfr_journal *j, enum jfr_source source)
{
    if (j->n_of[source] == 0)
        return false;
    for (unsigned s = 0; s < source && sources[source].rivals; s++)
        if (sources[s].rivals == sources[source].rivals && j->n_of[s])
            return false;
    return true;
}

struct emission {
    struct jfr_journal *j;
    enum family_id family;
    uint8_t column[FAMILY_TYPES]; /* of each of the family's types, in the profile */
    bool counts[JFR_N_SOURCES];
    uint32_t endpoint_key;
    struct label *labels;
    /* the last set that was looked up */
    uint32_t set, endpoint, ret;
};

/* Declares the types that some row of the family counts; false if there are none. */
static bool declare(struct emission *e)
{
    const struct family *family = &families[e->family];
    struct profile *p = e->j->rd->into;
    struct symbols *sym = p->symbols;
    struct sample_type types[FAMILY_TYPES];
    bool used[FAMILY_TYPES] = {0};
    uint32_t n = 0;

    for (unsigned s = 0; s < JFR_N_SOURCES; s++) {
        e->counts[s] = sources[s].family == e->family && counts(e->j, (enum jfr_source)s);
        for (unsigned t = 0; e->counts[s] && t < sources[s].n_types; t++)
            used[sources[s].type + t] = true;
    }
    for (unsigned t = 0; t < FAMILY_TYPES; t++) {
        const char *name = family->types[t].name;

        if (!used[t])
            continue;
        e->column[t] = (uint8_t)n;
        types[n++] =
            (struct sample_type){symbols_string(sym, bytes_str(name[0] ? name : e->j->event)),
                                 symbols_string(sym, bytes_str(family->types[t].unit))};
    }
    if (n)
        profile_set_types(p, types, n);
    return n > 0;
}

static void set_header(struct emission *e)
{
    const struct family *family = &families[e->family];
    struct profile *p = e->j->rd->into;

    p->time_ns = e->j->begin_ns;
    p->duration_ns = e->j->end_ns - e->j->begin_ns;
    p->period_type =
        (struct sample_type){symbols_string(p->symbols, bytes_str(family->period_type)),
                             symbols_string(p->symbols, bytes_str(family->period_unit))};
    for (unsigned s = 0; s < JFR_N_SOURCES; s++)
        if (e->counts[s] && e->j->interval[s] > p->period)
            p->period = e->j->interval[s];
}

static uint32_t labels_of(struct emission *e, uint32_t set, uint32_t endpoint)
{
    const struct jfr_label *at;
    size_t n;

    if (set == e->set && endpoint == e->endpoint)
        return e->ret;
    at = set_at(e->j, set, &n);
    for (size_t i = 0; i < n; i++)
        e->labels[i] = (struct label){.key = at[i].key, .str = at[i].value};
    if (endpoint)
        e->labels[n++] = (struct label){.key = e->endpoint_key, .str = endpoint};
    e->set = set;
    e->endpoint = endpoint;
    return e->ret = profile_labels(e->j->rd->into, e->labels, n);
}

static int emit_row(struct emission *e, const struct jfr_row *row)
{
    struct profile *p = e->j->rd->into;
    const struct span *span = &e->j->span[row->span];
    int64_t values[FAMILY_TYPES] = {0};

    for (unsigned t = 0; t < sources[row->source].n_types; t++)
        values[e->column[sources[row->source].type + t]] = row->value[t];
    profile_add_in_span(p, row->stack, labels_of(e, row->labels, endpoint_of(e->j, span->root)),
                        e->j->rd->with_spans ? profile_span(p, span) : 0, values);
    if ((uint64_t)p->n_rows * p->n_types <= e->j->rd->limits->values_max)
        return 0;
    return jfr_above_limit(e->j->rd, "too many values", (uint64_t)p->n_rows * p->n_types,
                           e->j->rd->limits->values_max, "values_max");
}

static int emit_family(struct emission *e)
{
    struct jfr_journal *j = e->j;
    struct profile_about about = {.format = "jfr", .hint = bytes_str(families[e->family].hint)};

    if (e->family == FAMILY_OTHER)
        about.hint = bytes_str(j->event);
    if (!declare(e))
        return 0;
    set_header(e);
    e->set = e->endpoint = e->ret = 0;
    for (uint32_t i = 0; i < j->n_rows; i++)
        if (e->counts[j->row[i].source] && emit_row(e, &j->row[i]))
            return FAILURE;
    return reading_emit(j->rd, &about);
}

/* Rows of what others measured better. */
static void count_rivals(struct jfr_journal *j)
{
    for (unsigned s = 0; s < JFR_N_SOURCES; s++)
        if (!counts(j, (enum jfr_source)s))
            j->rd->stats->events_skipped += j->n_of[s];
}

int jfr_journal_emit(struct jfr_journal *j)
{
    struct emission e = {.j = j};
    size_t most = 0, n;
    int r = 0;

    turn_round(j);
    count_rivals(j);
    for (uint32_t s = 0; s < j->n_sets; s++) {
        set_at(j, s, &n);
        most = n > most ? n : most;
    }
    e.labels = xreallocarray(NULL, most + 1, sizeof *e.labels);
    e.endpoint_key = symbols_string(j->rd->into->symbols, BYTES_LIT("endpoint"));
    for (unsigned f = 0; r == 0 && f < N_FAMILIES; f++) {
        e.family = (enum family_id)f;
        r = emit_family(&e);
    }
    free(e.labels);
    return r;
}
