#include "collector/collector_metrics.h"

#include <string.h>

/* The codes of struct failure that uploads meet, from reading the request to the log. */
#define REASONS                                                                                    \
    "malformed|unknown_format|inflated_too_large|limit_exceeded|sample_too_large|tags_too_large|"   \
    "no_sample_types|bad_multipart|bad_sample_type_config|no_profile|bad_time|future_profile|"      \
    "no_service|bad_name|bad_tag|tag_too_long|too_many_tags|content_encoding|bad_parameter|"        \
    "cumulative_unsupported|prev_profile_unsupported|log_unavailable|publish_timeout|other"

static const double seconds[] = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
                                 0.05,   0.1,     0.25,   0.5,   1,      2.5,   5,    10,
                                 30,     0};
static const double ages[] = {0.1, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 900, 3600, 86400, 0};

struct metric collector_metrics[M_COLLECTOR_N] = {
    [M_UPLOADS] = METRIC_COUNTER_BY("hearth_collector_uploads_total",
                                    "uploads acknowledged by the log", "route", "api|pyroscope"),
    [M_REFUSED] = METRIC_COUNTER_BY("hearth_collector_refused_total",
                                    "uploads refused after they were read", "reason", REASONS),
    [M_BODY_BYTES] =
        METRIC_COUNTER("hearth_collector_body_bytes_total", "bytes of uploads, as sent"),
    [M_IN_WORK] = METRIC_GAUGE("hearth_collector_in_work", "uploads read and not yet answered"),
    [M_DECODE_SECONDS] = METRIC_HISTOGRAM("hearth_collector_decode_seconds",
                                          "time to inflate and read a profile", seconds),
    [M_ENCODE_SECONDS] = METRIC_HISTOGRAM("hearth_collector_encode_seconds",
                                          "time to encode a profile's records", seconds),
    [M_SAMPLES] = METRIC_COUNTER("hearth_collector_samples_total",
                                 "samples of the profiles read, as sent"),
    [M_REPAIRED] = METRIC_COUNTER_BY("hearth_collector_repaired_total",
                                     "what was repaired or set aside in profiles", "what",
                                     "zero_samples|duplicate_ids|dangling_refs|bad_strings|"
                                     "labels_set_aside|utf8_repaired|strings_cut"),
    [M_RECORDS] = METRIC_COUNTER("hearth_collector_records_total", "records handed to the log"),
    [M_RECORD_BYTES] =
        METRIC_COUNTER("hearth_collector_record_bytes_total", "bytes of records handed to the log"),
    [M_RESENT] = METRIC_COUNTER("hearth_collector_resent_total",
                                "publishes that failed and were tried again"),
    [M_GIVEN_UP] = METRIC_COUNTER("hearth_collector_given_up_total",
                                  "records not acknowledged in time; their uploads were refused"),
    [M_PUBLISH_SECONDS] = METRIC_HISTOGRAM("hearth_collector_publish_seconds",
                                           "time from a record's encoding to the log's word",
                                           seconds),
    [M_FRESHNESS_SECONDS] = METRIC_HISTOGRAM("hearth_collector_freshness_seconds",
                                             "age of profiles (their end) when they arrived", ages),
    [M_SERIES_OTHER] = METRIC_COUNTER_BY(
        "hearth_collector_series_other_total",
        "uploads put under __other__ because of too many distinct names", "cap",
        "series|services"),
};

void collector_count_refused(const char *code)
{
    const char *at = REASONS;
    unsigned i = 0;

    for (;; i++) {
        size_t n = strcspn(at, "|");

        if ((strncmp(at, code, n) == 0 && code[n] == '\0') || at[n] == '\0')
            break;
        at += n + 1;
    }
    metric_add(&collector_metrics[M_REFUSED], i, 1);
}
