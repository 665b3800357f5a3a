/*
 * The collector's assembly: routes, codec threads, publisher, caps; and its end, which waits until
 * the last upload has its answer.
 */
#include "collector/collector.h"

#include "base/xalloc.h"
#include "collector/collector_int.h"
#include "collector/protocols/otlp.h"
#include "collector/protocols/protocols.h"
#include "collector/upload.h"

#include <malloc.h>
#include <stdlib.h>

#define COLLECTOR_ROW(...) OPTION_ROW(struct collector_options, __VA_ARGS__)
const struct option_row collector_option_rows[] = {COLLECTOR_OPTIONS(COLLECTOR_ROW){0}};

static struct decode_limits decode_limits_of(const struct collector_options *o)
{
    return (struct decode_limits){
        .inflated_max_bytes = (size_t)o->inflated_max,
        .profile =
            {
                .samples_max = (uint32_t)o->samples_max,
                .depth_max = (uint32_t)o->depth_max,
                .locations_max = (uint32_t)o->locations_max,
                .functions_max = (uint32_t)o->functions_max,
                .strings_max = (uint32_t)o->strings_max,
                .labels_max = (uint32_t)o->labels_max,
                .values_max = (uint32_t)o->values_max,
                .lines_max = (uint32_t)o->lines_max,
                .nodes_max = (uint32_t)o->stack_nodes_max,
            },
    };
}

static struct quota_limits quota_limits_of(const struct collector_options *o)
{
    return (struct quota_limits){
        .uploads_per_s = o->tenant_uploads_per_s,
        .bytes_per_s = o->tenant_bytes_per_s,
        .burst_ms = o->tenant_burst,
    };
}

void collector_metrics_register(void)
{
    metrics_register(collector_metrics, M_COLLECTOR_N);
}

struct collector *collector_new(uv_loop_t *loop, struct http_server *http, struct log_producer *log,
                                const struct collector_options *o)
{
    struct collector *c = xcalloc(1, sizeof *c);
    const struct decode_limits limits = decode_limits_of(o);
    const struct quota_limits quota = quota_limits_of(o);

    collector_metrics_register();
    c->options = o;
    c->log = log;
    c->series_cap = series_cap_new((uint32_t)o->services_max, (uint32_t)o->series_max);
    c->codecs = codecs_new(loop, (unsigned)o->codec_threads, &limits, c->series_cap,
                           (uint32_t)o->profiles_max, upload_on_decoded, c);
    c->quota = quota_new(&quota);
    c->retries = retries_new((uint32_t)o->retries_max);
    c->publisher = publisher_new(loop, log, o->publish_timeout);
    c->pull = pull_new(loop, c, o, &limits.profile);
    api_routes(http, c);
    ingest_routes(http, c);
    push_routes(http, c);
    datadog_routes(http, c);
    otlp_routes(http, c);
    stream_routes(http, c);
    return c;
}

void collector_grpc_methods(struct collector *c, struct grpc_server *grpc)
{
    otlp_grpc_method(grpc, c);
}

bool collector_ready(const struct collector *c, struct buf *why)
{
    if (log_producer_ready(c->log))
        return true;
    buf_append_str(why, "the log is not reachable");
    return false;
}

static void try_finish(struct collector *c)
{
    void (*closed)(void *ctx) = c->closed;
    void *ctx = c->closed_ctx;

    if (!closed || c->n_uploads || c->pull)
        return;
    codecs_close(c->codecs);
    publisher_close(c->publisher);
    series_cap_free(c->series_cap);
    quota_free(c->quota);
    retries_free(c->retries);
    free(c);
    closed(ctx);
}

void collector_upload_came(struct collector *c, size_t bytes)
{
    c->n_uploads++;
    c->bytes_in_work += bytes;
    if (c->bytes_in_work > c->bytes_peak)
        c->bytes_peak = c->bytes_in_work;
}

/* What a rush took is given back when it is over: else a node pays for it until the next one. */
void collector_upload_gone(struct collector *c, size_t bytes)
{
    enum { RUSH_BYTES = 4 << 20 };

    c->n_uploads--;
    c->bytes_in_work -= bytes;
    if (c->n_uploads == 0) {
        if (c->bytes_peak > RUSH_BYTES)
            malloc_trim(0);
        c->bytes_peak = 0;
    }
    try_finish(c);
}

static void on_pull_closed(void *ctx)
{
    struct collector *c = ctx;

    c->pull = NULL;
    try_finish(c);
}

void collector_close(struct collector *c, void (*closed)(void *ctx), void *ctx)
{
    c->closed = closed;
    c->closed_ctx = ctx;
    /* HTTP's grace is over: of those who would hear that a record was acknowledged none is left. */
    publisher_hurry(c->publisher);
    if (c->pull)
        pull_close(c->pull, on_pull_closed, c);
    else
        try_finish(c);
}
