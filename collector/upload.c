/*
 * Happy path: the tenant's quota → codec thread (the protocol's unpack, decode, encode) → publish
 * every record → all acknowledged: done. Any failure ends it with its reason; a record that was
 * given up ends it with a 503 when the last of its siblings has been heard of.
 *
 * The body stays charged to the budget until the answer: the records of an upload are of its size,
 * so the budget bounds what waits for a slow log, too.
 */
#include "collector/upload.h"

#include "base/clock.h"
#include "base/logger.h"
#include "collector/collector_int.h"

#include <stdio.h>
#include <stdlib.h>

int upload_init(struct upload *u, struct collector *c, enum upload_route route, struct bytes tenant,
                struct failure *f)
{
    const struct collector_options *o = c->options;

    memset(u, 0, sizeof *u);
    u->collector = c;
    u->route = route;
    u->rules = (struct intake_rules){
        .series_tags = o->series_tags,
        .default_service = o->default_service,
        .now_ns = clock_wall_ns(),
        .future_max_ms = o->future_max,
    };
    return intake_begin(&u->job.intake, &u->rules, tenant, f);
}

void upload_count_refused(enum upload_route route, const char *service, const struct failure *f)
{
    collector_count_refused(f->code);
    LOG(LOG_INFO, "upload_refused", F_STR("route", upload_route_name(route)),
        F_STR("code", f->code), F_STR("service", service), F_STR("message", f->message));
}

static void count_good(const struct upload *u, const struct upload_result *result)
{
    metric_add(&collector_metrics[M_UPLOADS], u->route, 1);
    if (result->n_profiles)
        metric_observe(&collector_metrics[M_FRESHNESS_SECONDS],
                       (double)(u->rules.now_ns - result->end_ns) / 1e9);
}

/* done may free the upload, and with the last upload the collector may go. */
static void end(struct upload *u, const struct failure *failure)
{
    struct collector *c = u->collector;
    struct codec_job job = u->job;
    size_t bytes = job.body.len;
    struct upload_result result = {
        .failure = failure,
        .types = buf_bytes(&job.types),
        .stats = &job.stats,
        .n_profiles = job.n_profiles,
        .start_ns = job.start_ns,
        .end_ns = job.end_ns,
    };

    if (failure && !job.service[0]) /* no profile was read, but the request may name it */
        snprintf(job.service, sizeof job.service, "%.*s", (int)job.intake.service.len,
                 (const char *)job.intake.service.data);
    if (failure)
        upload_count_refused(u->route, job.service, failure);
    else
        count_good(u, &result);
    u->done(u->ctx, &result);
    codec_job_deinit(&job);
    metric_add(&collector_metrics[M_IN_WORK], 0, -1);
    collector_upload_gone(c, bytes);
}

static void on_published(void *ctx, int r)
{
    struct upload *u = ctx;
    struct failure f;

    u->given_up |= r != 0;
    if (--u->n_unheard)
        return;
    if (!u->given_up) {
        end(u, NULL);
        return;
    }
    fail(&f, 503, "publish_timeout", "setting: publish_timeout",
         "the log did not acknowledge the profile within %lld ms",
         (long long)u->collector->options->publish_timeout);
    end(u, &f);
}

/* A record's partition was chosen among those that there were: their number never shrinks. */
static void publish(struct upload *u)
{
    u->n_unheard = u->job.n_records;
    for (size_t i = 0; i < u->job.n_records; i++)
        publisher_send(u->collector->publisher, u->job.records[i].partition,
                       &u->job.records[i].value, on_published, u);
}

static void count_decoded(const struct codec_job *job)
{
    metric_observe(&collector_metrics[M_DECODE_SECONDS], job->decode_s);
    metric_observe(&collector_metrics[M_ENCODE_SECONDS], job->encode_s);
    metric_add(&collector_metrics[M_SAMPLES], 0, job->stats.samples);
    for (unsigned i = 0; i < COLLECTOR_N_REPAIRS; i++)
        metric_add(&collector_metrics[M_REPAIRED], i, collector_repaired(&job->stats, i, NULL));
}

void upload_on_decoded(struct codec_job *job, void *ctx)
{
    struct upload *u = container_of(job, struct upload, job);
    struct failure f = job->failure;

    (void)ctx;
    count_decoded(job);
    if (f.code[0])
        end(u, &f);
    else if (job->n_records == 0)
        end(u, NULL);
    else
        publish(u);
}

static int find_log(struct upload *u, struct failure *f)
{
    u->job.n_partitions = log_producer_partitions(u->collector->log);
    u->job.spread = (uint32_t)u->collector->options->spread;
    if (u->job.n_partitions)
        return 0;
    return fail(f, 503, "log_unavailable", "settings: kafka_brokers, kafka_topic",
                "the log is not reachable yet");
}

void upload_send(struct upload *u)
{
    struct collector *c = u->collector;
    struct failure f;

    collector_upload_came(c, u->job.body.len);
    metric_add(&collector_metrics[M_IN_WORK], 0, 1);
    metric_add(&collector_metrics[M_BODY_BYTES], 0, (int64_t)u->job.body.len);
    if (quota_take(c->quota, u->job.intake.tenant, u->job.body.len, clock_mono_ms(), &f) ||
        find_log(u, &f))
        end(u, &f);
    else
        codecs_submit(c->codecs, &u->job);
}
