#include "collector/collector_metrics.h"

#include <stddef.h>
#include <string.h>

/* In the order of enum upload_route. */
#define ROUTES "api|ingest|push|datadog|otlp|otlp_grpc|stream|pull"

/* What is known not to be a profile: kinds of requests, and parts of uploads. */
#define SKIPS                                                                                      \
    "traces|stats|telemetry|config|symbols|logs|metrics|evp|debugger|go.trace|timeline|same_type|" \
    "metrics.json|code-provenance.json|events|endpoint_counts|crash|previous|other"

/* The codes of struct failure that uploads meet, from reading the request to the log. */
#define REASONS                                                                                    \
    "malformed|unknown_format|inflated_too_large|limit_exceeded|sample_too_large|tags_too_large|"  \
    "no_sample_types|types_differ|bad_multipart|bad_sample_type_config|bad_event|event_too_large|" \
    "no_event|no_profile|bad_time|future_profile|no_service|bad_name|bad_tenant|bad_tag|"          \
    "tag_too_long|too_many_tags|content_type|content_encoding|bad_parameter|"                      \
    "cumulative_unsupported|prev_profile_unsupported|rate_limited|retry_failed|log_unavailable|"   \
    "publish_timeout|other"

/* How a scrape ends; "refused": what it answered was not taken. */
#define SCRAPES                                                                                    \
    "ok|resolve|not_allowed|connect|timeout|status|too_large|malformed|cancelled|refused"

static const double seconds[] = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                 0.1,    0.25,    0.5,    1,     2.5,    5,     10,   30,    0};
static const double ages[] = {0.1, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 900, 3600, 86400, 0};

struct metric collector_metrics[M_COLLECTOR_N] = {
    [M_UPLOADS] = METRIC_COUNTER_BY("hearth_collector_uploads_total",
                                    "uploads acknowledged by the log", "route", ROUTES),
    [M_REFUSED] = METRIC_COUNTER_BY("hearth_collector_refused_total",
                                    "uploads refused after they were read", "reason", REASONS),
    [M_BODY_BYTES] =
        METRIC_COUNTER("hearth_collector_body_bytes_total", "bytes of uploads, as sent"),
    [M_IN_WORK] = METRIC_GAUGE("hearth_collector_in_work", "uploads read and not yet answered"),
    [M_DECODE_SECONDS] = METRIC_HISTOGRAM("hearth_collector_decode_seconds",
                                          "time to inflate and read a profile", seconds),
    [M_ENCODE_SECONDS] = METRIC_HISTOGRAM("hearth_collector_encode_seconds",
                                          "time to encode a profile's records", seconds),
    [M_SAMPLES] =
        METRIC_COUNTER("hearth_collector_samples_total", "samples of the profiles read, as sent"),
    [M_REPAIRED] = METRIC_COUNTER_BY("hearth_collector_repaired_total",
                                     "what was repaired or set aside in profiles", "what",
                                     "zero_samples|duplicate_ids|dangling_refs|bad_strings|"
                                     "labels_set_aside|utf8_repaired|strings_cut|"
                                     "events_skipped|profiles_refused"),
    [M_RECORDS] = METRIC_COUNTER("hearth_collector_records_total", "records handed to the log"),
    [M_RECORD_BYTES] =
        METRIC_COUNTER("hearth_collector_record_bytes_total", "bytes of records handed to the log"),
    [M_RESENT] = METRIC_COUNTER("hearth_collector_resent_total",
                                "publishes that failed and were tried again"),
    [M_GIVEN_UP] = METRIC_COUNTER("hearth_collector_given_up_total",
                                  "records not acknowledged in time; their uploads were refused"),
    [M_PUBLISH_SECONDS] =
        METRIC_HISTOGRAM("hearth_collector_publish_seconds",
                         "time from a record's encoding to the log's word", seconds),
    [M_FRESHNESS_SECONDS] = METRIC_HISTOGRAM("hearth_collector_freshness_seconds",
                                             "age of profiles (their end) when they arrived", ages),
    [M_SERIES_OTHER] = METRIC_COUNTER_BY(
        "hearth_collector_series_other_total",
        "uploads put under __other__ because of too many distinct names", "cap", "series|services"),
    [M_SKIPPED] =
        METRIC_COUNTER_BY("hearth_collector_skipped_total",
                          "requests and parts of uploads that are no profiles", "kind", SKIPS),
    [M_RETRIES] = METRIC_COUNTER("hearth_collector_retries_total",
                                 "uploads that came again and were counted once"),
    [M_SCRAPES] = METRIC_COUNTER_BY("hearth_collector_scrapes_total",
                                    "scrapes of pull_targets, by their end", "result", SCRAPES),
};

static const struct {
    const char *name;
    size_t offset;
} repairs[] = {
#define REPAIR(field) {#field, offsetof(struct decode_stats, field)},
    COLLECTOR_REPAIRS(REPAIR)
#undef REPAIR
};

uint32_t collector_repaired(const struct decode_stats *st, unsigned i, const char **ret_name)
{
    if (ret_name)
        *ret_name = repairs[i].name;
    return *(const uint32_t *)((const char *)st + repairs[i].offset);
}

const char *upload_route_name(enum upload_route route)
{
    static const char *const names[] = {
        [ROUTE_API] = "api",         [ROUTE_INGEST] = "ingest", [ROUTE_PUSH] = "push",
        [ROUTE_DATADOG] = "datadog", [ROUTE_OTLP] = "otlp",     [ROUTE_OTLP_GRPC] = "otlp_grpc",
        [ROUTE_STREAM] = "stream",   [ROUTE_PULL] = "pull",
    };

    return names[route];
}

/* The place of a word in a list, the last one's if it is not there. */
static unsigned place_in(const char *list, const char *word)
{
    for (unsigned i = 0;; i++) {
        size_t n = strcspn(list, "|");

        if ((strncmp(list, word, n) == 0 && word[n] == '\0') || list[n] == '\0')
            return i;
        list += n + 1;
    }
}

void collector_count_refused(const char *code)
{
    metric_add(&collector_metrics[M_REFUSED], place_in(REASONS, code), 1);
}

void collector_count_skipped(const char *kind)
{
    metric_add(&collector_metrics[M_SKIPPED], place_in(SKIPS, kind), 1);
}

void collector_count_scrape(const char *code)
{
    metric_add(&collector_metrics[M_SCRAPES], place_in(SCRAPES, code), 1);
}
