/*
 * Metrics: counters, gauges and histograms in one process-wide registry, printed as Prometheus
 * text. A module declares a table of families; each family has at most one label, whose values are
 * listed in the table (reasons, codes), so that every series exists from the start and cardinality
 * is fixed. Updates are relaxed atomics, from any thread.
 *
 *   enum { M_UPLOADS, M_DROPPED };
 *   static struct metric collector_metrics[] = {
 *       [M_UPLOADS] = METRIC_COUNTER("hearth_collector_uploads_total", "uploads acknowledged"),
 *       [M_DROPPED] = METRIC_COUNTER_BY("hearth_collector_dropped_total", "uploads refused",
 *                                       "reason", "too_large|malformed|overload"),
 *   };
 *   metrics_register(collector_metrics, 2);
 *   metric_add(&collector_metrics[M_DROPPED], 1, 1);      (label value 1: malformed)
 */
#ifndef HEARTH_BASE_METRICS_H
#define HEARTH_BASE_METRICS_H

#include "base/bytes.h"

enum metric_kind { METRIC_KIND_COUNTER, METRIC_KIND_GAUGE, METRIC_KIND_HISTOGRAM };
enum { METRIC_SERIES_MAX = 48 };    /* label values of a family, or buckets of a histogram */

struct metric {
    const char *name, *help;
    enum metric_kind kind;
    const char *label, *values;         /* label name and its values separated by '|', or NULL */
    bool in_ms;                         /* cells hold ms; printed as seconds, Prometheus' unit */
    const double *bounds;               /* histogram: rising upper bounds > 0, 0-terminated */
    _Atomic int64_t cells[METRIC_SERIES_MAX + 1];
    _Atomic double sum;                 /* histogram */
};

#define METRIC_COUNTER(n, h)             {.name = (n), .help = (h), .kind = METRIC_KIND_COUNTER}
#define METRIC_COUNTER_BY(n, h, l, v)                                                              \
    {.name = (n), .help = (h), .kind = METRIC_KIND_COUNTER, .label = (l), .values = (v)}
#define METRIC_GAUGE(n, h)               {.name = (n), .help = (h), .kind = METRIC_KIND_GAUGE}
/* Set in milliseconds, printed in seconds: the name ends in _seconds. */
#define METRIC_GAUGE_MS(n, h)                                                                      \
    {.name = (n), .help = (h), .kind = METRIC_KIND_GAUGE, .in_ms = true}
#define METRIC_HISTOGRAM(n, h, b)                                                                  \
    {.name = (n), .help = (h), .kind = METRIC_KIND_HISTOGRAM, .bounds = (b)}

/* The table must live as long as the process. Registering it again does nothing. */
void metrics_register(struct metric *table, size_t n);
void metric_add(struct metric *m, unsigned label_value, int64_t delta);
void metric_set(struct metric *m, unsigned label_value, int64_t value);
int64_t metric_get(const struct metric *m, unsigned label_value);
void metric_observe(struct metric *m, double value);
/* Appends the exposition of every registered family, and process_* (RSS, CPU, fds, start). */
void metrics_render(struct buf *out);
/* The registered families for people (--metrics): name, kind, help, label and its values. */
void metrics_describe(struct buf *out);

#endif
