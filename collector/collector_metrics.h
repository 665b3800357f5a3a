/* The collector's metrics, one table for its files. */
#ifndef HEARTH_COLLECTOR_METRICS_H
#define HEARTH_COLLECTOR_METRICS_H

#include "base/metrics.h"

enum {
    M_UPLOADS,
    M_REFUSED,
    M_BODY_BYTES,
    M_IN_WORK,
    M_DECODE_SECONDS,
    M_ENCODE_SECONDS,
    M_SAMPLES,
    M_REPAIRED,
    M_RECORDS,
    M_RECORD_BYTES,
    M_RESENT,
    M_GIVEN_UP,
    M_PUBLISH_SECONDS,
    M_FRESHNESS_SECONDS,
    M_SERIES_OTHER,
    M_COLLECTOR_N,
};
extern struct metric collector_metrics[M_COLLECTOR_N];

/* Fields of struct pprof_stats that tell of something repaired or set aside. */
#define COLLECTOR_REPAIRS(X)                                                                       \
    X(zero_samples) X(duplicate_ids) X(dangling_refs) X(bad_strings) X(labels_set_aside)           \
    X(utf8_repaired) X(strings_cut)

/* Values of the label "route". */
enum upload_route { ROUTE_API, ROUTE_PYROSCOPE };

/* Counts a refused upload under the failure's code; codes that the table does not name are "other".
 */
void collector_count_refused(const char *code);

#endif
