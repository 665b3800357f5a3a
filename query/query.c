/* The service's frame: routes, how many requests may run, the way out. */
#include "query/query_impl.h"

#include "base/xalloc.h"

#include <errno.h>
#include <stdlib.h>

#define QUERY_ROW(...) OPTION_ROW(struct query_options, __VA_ARGS__)
const struct option_row query_option_rows[] = {QUERY_OPTIONS(QUERY_ROW){0}};

static const double seconds_bounds[] = {0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 0};

struct metric query_metrics[QUERY_METRICS] = {
    [M_REQUESTS] = METRIC_COUNTER_BY("hearth_query_requests_total", "requests for data", "endpoint",
                                     "flamegraph|diff|top|listing"),
    [M_SECONDS] =
        METRIC_HISTOGRAM("hearth_query_seconds", "time to a merged answer", seconds_bounds),
    [M_GAPS] = METRIC_COUNTER("hearth_query_gaps_total",
                              "windows that the index names and the store has lost"),
    [M_REFUSED] =
        METRIC_COUNTER("hearth_query_refused_total", "requests refused: too many at once"),
};

bool query_begin(struct query *q, struct http_request *req)
{
    struct failure f;

    if (q->active >= QUERIES_MAX) {
        metric_add(&query_metrics[M_REFUSED], 0, 1);
        fail(&f, 503, "overloaded", "try again", "%d queries run already", QUERIES_MAX);
        http_respond_failure(req, &f);
        return false;
    }
    q->active++;
    return true;
}

static void finish_closing(struct query *q);

void query_end(struct query *q)
{
    CHECK(q->active > 0);
    q->active--;
    if (q->closing)
        finish_closing(q);
}

void respond_json(struct http_request *req, struct buf *body)
{
    http_respond_buf(req, 200, "application/json", body,
                     "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n");
}

void failure_of_store(struct failure *f, int r)
{
    fail(f, 503, "store_unavailable", "GET /readyz of the admin listener says more",
         "the store did not answer: %s", strerror(-r));
}

static void on_flamegraph(struct http_request *req, void *ctx)
{
    metric_add(&query_metrics[M_REQUESTS], REQUEST_FLAMEGRAPH, 1);
    read_start(ctx, req, ENDPOINT_FLAMEGRAPH);
}

static void on_diff(struct http_request *req, void *ctx)
{
    metric_add(&query_metrics[M_REQUESTS], REQUEST_DIFF, 1);
    read_start(ctx, req, ENDPOINT_DIFF);
}

static void on_top(struct http_request *req, void *ctx)
{
    metric_add(&query_metrics[M_REQUESTS], REQUEST_TOP, 1);
    read_start(ctx, req, ENDPOINT_TOP);
}

void query_metrics_register(void)
{
    metrics_register(query_metrics, QUERY_METRICS);
}

struct query *query_new(uv_loop_t *loop, struct http_server *http, struct store *store,
                        const struct query_options *o)
{
    struct query *q = xcalloc(1, sizeof *q);

    query_metrics_register();
    q->loop = loop;
    q->store = store;
    q->options = o;
    q->directory = directory_new(store);
    generations_init(&q->generations, (size_t)o->cache_max);
    http_route(http, "GET", "/api/v1/flamegraph", on_flamegraph, q);
    http_route(http, "GET", "/api/v1/diff", on_diff, q);
    http_route(http, "GET", "/api/v1/top", on_top, q);
    http_route(http, "GET", "/api/v1/services", listing_services, q);
    http_route(http, "GET", "/api/v1/types", listing_types, q);
    http_route(http, "GET", "/api/v1/labels", listing_labels, q);
    http_route(http, "GET", "/api/v1/series", listing_series, q);
    http_route(http, "GET", "/api/v1/status", listing_status, q);
    page_routes(q, http);
    return q;
}

bool query_ready(const struct query *q, struct buf *why)
{
    if (store_ready(q->store))
        return true;
    buf_append_str(why, "the store is not reachable, or cannot write");
    return false;
}

static void on_store_closed(void *ctx)
{
    struct query *q = ctx;

    q->closed(q->closed_ctx);
    free(q);
}

static void finish_closing(struct query *q)
{
    if (q->active > 0)
        return;
    q->closing = false;
    directory_free(q->directory);
    generations_deinit(&q->generations);
    store_close(q->store, on_store_closed, q);
}

void query_close(struct query *q, void (*closed)(void *ctx), void *ctx)
{
    q->closing = true;
    q->closed = closed;
    q->closed_ctx = ctx;
    finish_closing(q);
}
