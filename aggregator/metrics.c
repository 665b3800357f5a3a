#include "aggregator/metrics.h"

static const double freshness_bounds[] = {0.5, 1,  2,   3,   5,   7.5,  10, 15,
                                          30,  60, 120, 300, 900, 3600, 0};
static const double flush_bounds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                      0.25,  0.5,    1,     2.5,  5,     10,   0};

#define NAME(n) "hearth_aggregator_" n

struct metric aggregator_metrics[AGGREGATOR_METRICS_N] = {
    [M_RECORDS] = METRIC_COUNTER(NAME("records_total"), "records read from the log"),
    [M_PROFILES] = METRIC_COUNTER(NAME("profiles_total"), "profiles counted"),
    [M_BYTES] = METRIC_COUNTER(NAME("record_bytes_total"), "bytes of records read from the log"),
    [M_DUPLICATES] =
        METRIC_COUNTER(NAME("duplicates_total"), "records seen before, not counted again"),
    [M_LATE] =
        METRIC_COUNTER(NAME("late_total"), "records dropped because they came later than late_max"),
    [M_BAD] =
        METRIC_COUNTER(NAME("bad_records_total"), "records skipped because they do not decode"),
    [M_GAP] = METRIC_COUNTER(NAME("gap_records_total"), "records that the log no longer had"),
    [M_FRESHNESS] =
        METRIC_HISTOGRAM(NAME("freshness_seconds"),
                         "from the end of a profile until it can be queried", freshness_bounds),
    [M_LAG] = METRIC_GAUGE(NAME("lag_records"), "records in the log that are not read yet"),
    [M_PARTITIONS] = METRIC_GAUGE(NAME("partitions"), "partitions owned and loaded"),
    [M_DELTA_BYTES] =
        METRIC_GAUGE(NAME("delta_bytes"), "memory of what is counted and not flushed"),
    [M_SYMBOLS_BYTES] =
        METRIC_GAUGE(NAME("symbols_bytes"), "memory of symbols kept from flush to flush"),
    [M_CACHE_BYTES] = METRIC_GAUGE(NAME("cache_bytes"), "memory of trees kept from flush to flush"),
    [M_FLUSHES] = METRIC_COUNTER(NAME("flushes_total"), "flushes committed"),
    [M_FLUSH_SECONDS] = METRIC_HISTOGRAM(NAME("flush_seconds"),
                                         "duration of a flush until its commit", flush_bounds),
    [M_FENCED] = METRIC_COUNTER(NAME("fenced_total"),
                                "flushes refused because another owner took the partition"),
    [M_RETRIES] = METRIC_COUNTER(NAME("store_retries_total"),
                                 "store operations that failed and are tried again"),
    [M_BLOBS] = METRIC_COUNTER(NAME("blobs_total"), "aggregates written"),
    [M_BLOB_BYTES] = METRIC_COUNTER(NAME("blob_bytes_total"), "bytes of aggregates written"),
    [M_MISSING] =
        METRIC_COUNTER(NAME("blobs_missing_total"),
                       "aggregates that the index names and the store does not have, or not whole"),
    [M_SATURATED] = METRIC_COUNTER(NAME("saturated_total"), "sums that hit the end of 64 bits"),
};

void aggregator_metrics_register(void)
{
    metrics_register(aggregator_metrics, AGGREGATOR_METRICS_N);
}
