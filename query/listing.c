/*
 * What there is: services, types, labels, series and the state of the partitions, all from the
 * catalogues alone. A listing loads them, walks the entries that the request keeps, collects
 * distinct names, and sorts.
 */
#include "base/clock.h"
#include "base/json_writer.h"
#include "base/xalloc.h"
#include "profile/types.h"
#include "query/query_impl.h"

#include <stdlib.h>

enum { LISTED_MAX = 10000 };

struct listing;
typedef void listing_write(struct listing *l, struct json_writer *j);

struct listing {
    struct query *q;
    struct http_request *http;
    struct buf tenant, service, type;
    struct selector selector;
    struct range range;
    listing_write *write;
    struct catalogue **catalogues;
    size_t n_catalogues;
};

/* A distinct name with when it was seen. */
struct seen {
    struct bytes name, value;
    int64_t first_s, last_s;
};

struct seen_list {
    struct seen *at;
    size_t n, cap;
};

static void listing_free(struct listing *l)
{
    struct query *q = l->q;

    for (size_t i = 0; i < l->n_catalogues; i++)
        catalogue_unref(l->catalogues[i]);
    free(l->catalogues);
    buf_deinit(&l->tenant);
    buf_deinit(&l->service);
    buf_deinit(&l->type);
    selector_deinit(&l->selector);
    free(l);
    query_end(q);
}

static void on_catalogues(void *ctx, int error, struct catalogue **catalogues, size_t n)
{
    struct listing *l = ctx;
    struct json_writer j;
    struct buf out = {0};
    struct failure f;

    if (error != 0) {
        failure_of_store(&f, error);
        http_respond_failure(l->http, &f);
        listing_free(l);
        return;
    }
    l->catalogues = xreallocarray(NULL, n + 1, sizeof *l->catalogues);
    for (size_t i = 0; i < n; i++)
        l->catalogues[l->n_catalogues++] = catalogues[i];
    jw_begin(&j, &out);
    jw_object(&j, NULL);
    l->write(l, &j);
    jw_end(&j);
    respond_json(l->http, &out);
    listing_free(l);
}

static int read_params(struct listing *l, const char *const *names, bool needs_service,
                       struct failure *f)
{
    struct http_request *req = l->http;
    struct range all = {INT64_MIN, INT64_MAX};

    if (request_only(req, names, f) != 0 ||
        request_range(req, "from", "until", clock_wall_ns(), all, &l->range, f) != 0)
        return FAILURE;
    buf_append_bytes(&l->service, http_param(req, "service"));
    buf_append_bytes(&l->type, http_param(req, "type"));
    if (needs_service && l->service.len == 0)
        return fail(f, 400, "parameter_missing", "GET /api/v1/services lists the services",
                    "parameter service is missing");
    return selector_parse(&l->selector, http_param(req, "match"), f);
}

static void start(struct query *q, struct http_request *req, const char *const *names,
                  bool needs_service, listing_write *write)
{
    struct listing *l;
    struct failure f;

    metric_add(&query_metrics[M_REQUESTS], REQUEST_LISTING, 1);
    if (!query_begin(q, req))
        return;
    l = xcalloc(1, sizeof *l);
    l->q = q;
    l->http = req;
    l->write = write;
    if (request_tenant(req, &l->tenant, &f) != 0 || read_params(l, names, needs_service, &f) != 0) {
        http_respond_failure(req, &f);
        listing_free(l);
        return;
    }
    directory_load(q->directory, buf_bytes(&l->tenant), buf_bytes(&l->service), on_catalogues, l);
}

/* ---- walking ----------------------------------------------------------------------------------
 */

static bool was_seen(const struct catalogue_entry *e, struct range r)
{
    int64_t end_s = e->last_s + e->res_s; /* last is the start of a window */

    return e->first_s < r.until_ns / NS_PER_S + 1 && end_s > r.from_ns / NS_PER_S;
}

static bool keeps(const struct listing *l, const struct catalogue_entry *e)
{
    return bytes_equal(e->tenant, buf_bytes(&l->tenant)) &&
           (l->service.len == 0 || bytes_equal(e->service, buf_bytes(&l->service))) &&
           (l->type.len == 0 || bytes_equal(e->type, buf_bytes(&l->type))) &&
           was_seen(e, l->range) && selector_matches(&l->selector, e->service, &e->series);
}

/* The next entry that the listing keeps, from (*catalogue, *i) on; NULL at the end. */
static const struct catalogue_entry *next_entry(const struct listing *l, size_t *catalogue,
                                                size_t *i)
{
    for (; *catalogue < l->n_catalogues; ++*catalogue, *i = 0)
        while (*i < l->catalogues[*catalogue]->n) {
            const struct catalogue_entry *e = &l->catalogues[*catalogue]->entries[(*i)++];

            if (keeps(l, e))
                return e;
        }
    return NULL;
}

#define for_each_entry(e, l)                                                                       \
    for (size_t catalogue_ = 0, i_ = 0, once_ = 1; once_; once_ = 0)                               \
        for (const struct catalogue_entry *(e); ((e) = next_entry((l), &catalogue_, &i_)) != NULL;)

static int seen_cmp(const void *a, const void *b)
{
    const struct seen *x = a, *y = b;
    int r = bytes_cmp(x->name, y->name);

    return r ? r : bytes_cmp(x->value, y->value);
}

static void seen_add(struct seen_list *s, struct bytes name, struct bytes value,
                     const struct catalogue_entry *e)
{
    XGROW(s->at, s->cap, s->n + 1);
    s->at[s->n++] = (struct seen){name, value, e->first_s, e->last_s};
}

/* Sorted, equal ones made one. */
static void seen_unite(struct seen_list *s)
{
    size_t n = 0;

    if (s->n > 1)
        qsort(s->at, s->n, sizeof *s->at, seen_cmp);
    for (size_t i = 0; i < s->n; i++) {
        struct seen *last = n ? &s->at[n - 1] : NULL;

        if (!last || seen_cmp(last, &s->at[i]) != 0) {
            s->at[n++] = s->at[i];
            continue;
        }
        last->first_s = s->at[i].first_s < last->first_s ? s->at[i].first_s : last->first_s;
        last->last_s = s->at[i].last_s > last->last_s ? s->at[i].last_s : last->last_s;
    }
    s->n = n;
}

static void write_seen(struct json_writer *j, int64_t first_s, int64_t last_s)
{
    jw_int(j, "first", first_s * MS_PER_S);
    jw_int(j, "last", last_s * MS_PER_S);
}

static size_t at_most(struct json_writer *j, size_t n)
{
    if (n > LISTED_MAX)
        jw_bool(j, "truncated", true);
    return n > LISTED_MAX ? LISTED_MAX : n;
}

/* ---- the listings -----------------------------------------------------------------------------
 */

static void write_services(struct listing *l, struct json_writer *j)
{
    struct seen_list services = {0};
    size_t n;

    for_each_entry(e, l) seen_add(&services, e->service, bytes_of(NULL, 0), e);
    seen_unite(&services);
    n = at_most(j, services.n);
    jw_array(j, "services");
    for (size_t i = 0; i < n; i++) {
        jw_object(j, NULL);
        jw_bytes(j, "name", services.at[i].name);
        write_seen(j, services.at[i].first_s, services.at[i].last_s);
        jw_end(j);
    }
    jw_end(j);
    free(services.at);
}

void listing_services(struct http_request *req, void *ctx)
{
    static const char *const names[] = {"from", "until", "match", NULL};

    start(ctx, req, names, false, write_services);
}

static void write_types(struct listing *l, struct json_writer *j)
{
    struct seen_list types = {0};
    size_t n;

    for_each_entry(e, l) seen_add(&types, e->type, bytes_of(NULL, 0), e);
    seen_unite(&types);
    n = at_most(j, types.n);
    jw_array(j, "types");
    for (size_t i = 0; i < n; i++) {
        bool snapshot = profile_type_kind(types.at[i].name) == TYPE_SNAPSHOT;

        jw_object(j, NULL);
        jw_bytes(j, "name", types.at[i].name);
        jw_bytes(j, "unit", profile_type_unit(types.at[i].name));
        jw_str(j, "kind", snapshot ? "snapshot" : "flow");
        write_seen(j, types.at[i].first_s, types.at[i].last_s);
        jw_end(j);
    }
    jw_end(j);
    free(types.at);
}

void listing_types(struct http_request *req, void *ctx)
{
    static const char *const names[] = {"service", "from", "until", "match", NULL};

    start(ctx, req, names, true, write_types);
}

static void write_labels(struct listing *l, struct json_writer *j)
{
    struct seen_list labels = {0};
    size_t n;

    for_each_entry(e, l) for (uint32_t t = 0; t < e->series.n; t++)
        seen_add(&labels, e->series.at[t].key, e->series.at[t].value, e);
    seen_unite(&labels);
    n = at_most(j, labels.n);
    jw_array(j, "labels");
    for (size_t i = 0; i < n;) {
        struct bytes name = labels.at[i].name;

        jw_object(j, NULL);
        jw_bytes(j, "name", name);
        jw_array(j, "values");
        for (; i < n && bytes_equal(labels.at[i].name, name); i++)
            jw_bytes(j, NULL, labels.at[i].value);
        jw_end(j);
        jw_end(j);
    }
    jw_end(j);
    free(labels.at);
}

void listing_labels(struct http_request *req, void *ctx)
{
    static const char *const names[] = {"service", "type", "from", "until", "match", NULL};

    start(ctx, req, names, true, write_labels);
}

static void write_one_series(const struct catalogue_entry *e, struct json_writer *j)
{
    jw_object(j, NULL);
    jw_bytes(j, "service", e->service);
    jw_bytes(j, "type", e->type);
    jw_object(j, "labels");
    for (uint32_t t = 0; t < e->series.n; t++)
        jw_pair(j, e->series.at[t].key, e->series.at[t].value);
    jw_end(j);
    write_seen(j, e->first_s, e->last_s);
    jw_end(j);
}

static void write_series(struct listing *l, struct json_writer *j)
{
    size_t n = 0;

    jw_array(j, "series");
    for_each_entry(e, l) if (n++ < LISTED_MAX) write_one_series(e, j);
    jw_end(j);
    at_most(j, n);
}

void listing_series(struct http_request *req, void *ctx)
{
    static const char *const names[] = {"service", "type", "from", "until", "match", NULL};

    start(ctx, req, names, true, write_series);
}

static void write_partition(const struct catalogue *s, int64_t now_ms, struct json_writer *j)
{
    jw_object(j, NULL);
    jw_uint(j, "p", s->number);
    jw_uint(j, "epoch", s->meta.epoch);
    jw_uint(j, "seq", s->meta.seq);
    jw_uint(j, "offset", s->meta.seq ? s->meta.offset : 0); /* without a flush there is none */
    jw_int(j, "updated", s->meta.updated_ms);
    if (s->meta.updated_ms > 0)
        jw_int(j, "age_ms", now_ms - s->meta.updated_ms);
    jw_uint(j, "series", s->n);
    jw_end(j);
}

static void write_status(struct listing *l, struct json_writer *j)
{
    int64_t now_ms = clock_wall_ms();

    jw_str(j, "version", HEARTH_VERSION);
    jw_bool(j, "ready", store_ready(l->q->store));
    jw_int(j, "now", now_ms);
    jw_array(j, "partitions");
    for (size_t i = 0; i < l->n_catalogues; i++)
        write_partition(l->catalogues[i], now_ms, j);
    jw_end(j);
}

void listing_status(struct http_request *req, void *ctx)
{
    static const char *const names[] = {NULL};

    start(ctx, req, names, false, write_status);
}
