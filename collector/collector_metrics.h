/* The collector's metrics, one table for its files. */
#ifndef HEARTH_COLLECTOR_METRICS_H
#define HEARTH_COLLECTOR_METRICS_H

#include "base/metrics.h"
#include "formats/reader.h"

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
    M_SKIPPED,
    M_RETRIES,
    M_SCRAPES,
    M_COLLECTOR_N,
};
extern struct metric collector_metrics[M_COLLECTOR_N];

/* Fields of struct decode_stats that tell of something repaired or set aside. */
#define COLLECTOR_REPAIRS(X)                                                                       \
    X(zero_samples) X(duplicate_ids) X(dangling_refs) X(bad_strings) X(labels_set_aside)           \
    X(utf8_repaired) X(strings_cut) X(events_skipped) X(profiles_refused)
#define COLLECTOR_REPAIR_ONE(field) +1
enum { COLLECTOR_N_REPAIRS = COLLECTOR_REPAIRS(COLLECTOR_REPAIR_ONE) };
/* The i-th of them, and its name (may be NULL). */
uint32_t collector_repaired(const struct decode_stats *st, unsigned i, const char **ret_name);

/* Values of the label "route". */
enum upload_route {
    ROUTE_API,
    ROUTE_INGEST,
    ROUTE_PUSH,
    ROUTE_DATADOG,
    ROUTE_OTLP,
    ROUTE_OTLP_GRPC,
    ROUTE_STREAM,
    ROUTE_PULL,
};
const char *upload_route_name(enum upload_route route);

/* Counts a refused upload under the failure's code; codes that the table does not name are "other".
 */
void collector_count_refused(const char *code);
/* Counts a request that was answered and is not a profile (traces, telemetry), or a part of an upload
 * that is none (go.trace, metrics.json), by kind; unknown kinds are "other". */
void collector_count_skipped(const char *kind);
/* Counts the end of a scrape: "ok", a code of collector/scrape.h, or any other: "refused". */
void collector_count_scrape(const char *code);

#endif
