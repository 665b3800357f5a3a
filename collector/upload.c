/*
 * Happy path: intake (what the request says) → the caps on series → codec thread → publish every
 * part → all acknowledged: 200. Any failure answers with its reason and ends there; a part that was
 * given up answers 503 when the last of its siblings has been heard of.
 *
 * The body stays charged to the budget until the answer: the records of an upload are of its size,
 * so the budget bounds what waits for a slow log, too.
 */
#include "collector/upload.h"

#include "base/clock.h"
#include "base/logger.h"
#include "base/xalloc.h"

#include <stdlib.h>
#include <yajl/yajl_gen.h>

struct upload {
    struct collector *collector;
    struct http_request *req;
    enum upload_route route;
    struct intake intake;
    struct codec_job job;
    size_t n_unheard; /* records that the log has not spoken about */
    bool given_up;
};

static void upload_end(struct upload *u)
{
    struct collector *c = u->collector;

    codec_job_deinit(&u->job);
    free(u);
    metric_add(&collector_metrics[M_IN_WORK], 0, -1);
    collector_upload_gone(c);
}

static void refuse(struct upload *u, const struct failure *f)
{
    collector_count_refused(f->code);
    LOG(LOG_INFO, "upload_refused", F_STR("code", f->code), F_BYTES("service", u->intake.service),
        F_STR("message", f->message));
    http_respond_failure(u->req, f);
    upload_end(u);
}

static void put_str(yajl_gen g, const char *s)
{
    yajl_gen_string(g, (const unsigned char *)s, strlen(s));
}

static void put_int(yajl_gen g, const char *key, int64_t v)
{
    put_str(g, key);
    yajl_gen_integer(g, v);
}

static void put_types(yajl_gen g, struct bytes types)
{
    put_str(g, "types");
    yajl_gen_array_open(g);
    for (size_t at = 0; at < types.len; at += strlen((const char *)types.data + at) + 1)
        put_str(g, (const char *)types.data + at);
    yajl_gen_array_close(g);
}

/* What was not as it should be in the profile, in the order of M_REPAIRED's label values. */
static const struct {
    const char *name;
    size_t offset;
} repairs[] = {
#define REPAIR(field) {#field, offsetof(struct pprof_stats, field)},
    COLLECTOR_REPAIRS(REPAIR)
#undef REPAIR
};

enum { N_REPAIRS = sizeof repairs / sizeof *repairs };

static uint32_t repaired(const struct pprof_stats *st, unsigned i)
{
    return *(const uint32_t *)((const char *)st + repairs[i].offset);
}

static void put_repairs(yajl_gen g, const struct pprof_stats *st)
{
    put_str(g, "repaired");
    yajl_gen_map_open(g);
    for (unsigned i = 0; i < N_REPAIRS; i++)
        if (repaired(st, i))
            put_int(g, repairs[i].name, repaired(st, i));
    yajl_gen_map_close(g);
}

static void put_summary(const struct upload *u, struct buf *out)
{
    yajl_gen g = yajl_gen_alloc(NULL);
    const unsigned char *text;
    size_t len;

    CHECK(g);
    yajl_gen_map_open(g);
    put_str(g, "status");
    put_str(g, "ok");
    put_int(g, "profiles", 1);
    put_int(g, "samples", u->job.stats.samples);
    put_int(g, "from", u->job.start_ns);
    put_int(g, "until", u->job.end_ns);
    put_types(g, buf_bytes(&u->job.types));
    put_repairs(g, &u->job.stats);
    yajl_gen_map_close(g);
    yajl_gen_get_buf(g, &text, &len);
    buf_append(out, text, len);
    buf_append_u8(out, '\n');
    yajl_gen_free(g);
}

/* Pyroscope's clients want 200 and nothing else; people and scripts want to see what was read. */
static void answer_ok(struct upload *u)
{
    struct buf body = {0};

    if (u->route == ROUTE_API)
        put_summary(u, &body);
    metric_add(&collector_metrics[M_UPLOADS], u->route, 1);
    metric_observe(&collector_metrics[M_FRESHNESS_SECONDS],
                   (double)(u->intake.times.now_ns - u->job.end_ns) / 1e9);
    http_respond_buf(u->req, 200, "application/json", &body, NULL);
    upload_end(u);
}

static void on_published(void *ctx, int r)
{
    struct upload *u = ctx;
    struct failure f;

    u->given_up |= r != 0;
    if (--u->n_unheard)
        return;
    if (!u->given_up) {
        answer_ok(u);
        return;
    }
    fail(&f, 503, "publish_timeout", "setting: publish_timeout",
         "the log did not acknowledge the profile within %lld ms",
         (long long)u->collector->options->publish_timeout);
    refuse(u, &f);
}

static bool log_is_known(const struct collector *c, struct failure *f)
{
    if (log_producer_partitions(c->log))
        return true;
    fail(f, 503, "log_unavailable", "settings: kafka_brokers, kafka_topic",
         "the log is not reachable yet");
    return false;
}

static void publish(struct upload *u)
{
    struct collector *c = u->collector;
    struct buf instance = {0};
    struct failure f;
    uint32_t partition;

    if (!log_is_known(c, &f)) {
        refuse(u, &f);
        return;
    }
    intake_instance(&u->intake, &instance);
    partition = partition_of(u->intake.tenant, u->intake.service, buf_bytes(&instance),
                             (uint32_t)c->options->spread, log_producer_partitions(c->log));
    buf_deinit(&instance);
    u->n_unheard = u->job.n_records;
    for (size_t i = 0; i < u->job.n_records; i++)
        publisher_send(c->publisher, partition, &u->job.records[i], on_published, u);
}

static void count_decoded(const struct codec_job *job)
{
    metric_observe(&collector_metrics[M_DECODE_SECONDS], job->decode_s);
    metric_observe(&collector_metrics[M_ENCODE_SECONDS], job->encode_s);
    metric_add(&collector_metrics[M_SAMPLES], 0, job->stats.samples);
    for (unsigned i = 0; i < N_REPAIRS; i++)
        metric_add(&collector_metrics[M_REPAIRED], i, repaired(&job->stats, i));
}

void upload_on_decoded(struct codec_job *job, void *ctx)
{
    struct upload *u = container_of(job, struct upload, job);

    (void)ctx;
    count_decoded(job);
    if (job->failure.code[0])
        refuse(u, &job->failure);
    else
        publish(u);
}

static void cap_series(struct upload *u)
{
    struct collector *c = u->collector;
    struct intake *in = &u->intake;
    enum series_verdict v = series_cap_admit(c->series_cap, in->tenant, in->service, &in->series,
                                             in->times.now_ns / NS_PER_MS);

    if (v == SERIES_KNOWN)
        return;
    metric_add(&collector_metrics[M_SERIES_OTHER], v == SERVICE_OTHER, 1);
    LOG(LOG_WARN, "counted_under_other", F_BYTES("service", in->service),
        F_STR("limit", v == SERVICE_OTHER ? "services_max" : "series_max"),
        F_INT("value", v == SERVICE_OTHER ? c->options->services_max : c->options->series_max));
    for (uint32_t i = 0; i < in->series.n; i++)
        in->series.at[i].value = BYTES_LIT("__other__");
    if (v == SERVICE_OTHER)
        in->service = BYTES_LIT("__other__");
}

static int read_intake(struct upload *u, struct failure *f)
{
    const struct collector_options *o = u->collector->options;
    const struct intake_rules rules = {
        .series_tags = o->series_tags,
        .now_ns = clock_wall_ns(),
        .future_max_ms = o->future_max,
    };

    return u->route == ROUTE_API ? intake_api(&u->intake, u->req, &rules, f)
                                 : intake_pyroscope(&u->intake, u->req, &rules, f);
}

void upload_begin(struct collector *c, struct http_request *req, enum upload_route route)
{
    struct upload *u = xcalloc(1, sizeof *u);
    struct failure f;

    u->collector = c;
    u->req = req;
    u->route = route;
    c->n_uploads++;
    metric_add(&collector_metrics[M_IN_WORK], 0, 1);
    metric_add(&collector_metrics[M_BODY_BYTES], 0, (int64_t)http_body(req).len);
    if (read_intake(u, &f) || !log_is_known(c, &f)) {
        refuse(u, &f);
        return;
    }
    cap_series(u);
    u->job.tenant = u->intake.tenant;
    u->job.body = http_body(req);
    u->job.intake = &u->intake;
    codecs_submit(c->codecs, &u->job);
}
