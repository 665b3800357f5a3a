/* What an aggregator counts; /metrics prints it. Shared by the workers of a process. */
#ifndef HEARTH_AGGREGATOR_METRICS_H
#define HEARTH_AGGREGATOR_METRICS_H

#include "base/metrics.h"

enum aggregator_metric {
    M_RECORDS, M_PROFILES, M_BYTES, M_DUPLICATES, M_LATE, M_BAD, M_GAP, M_FRESHNESS,
    M_LAG, M_PARTITIONS, M_DELTA_BYTES, M_SYMBOLS_BYTES, M_CACHE_BYTES, M_FLUSHES,
    M_FLUSH_SECONDS, M_FENCED, M_RETRIES, M_BLOBS, M_BLOB_BYTES, M_MISSING, M_SATURATED, AGGREGATOR_METRICS_N,
};
extern struct metric aggregator_metrics[AGGREGATOR_METRICS_N];

void aggregator_metrics_register(void);

static inline void count(enum aggregator_metric m, int64_t delta)
{
    metric_add(&aggregator_metrics[m], 0, delta);
}

#endif
