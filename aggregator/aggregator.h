/*
 * Aggregator worker: log in, store out. One thread, one loop, one consumer, one store connection; a
 * process may run several, which share nothing.
 *
 * In memory are only *deltas*: what has been counted since the last flush. A flush merges each
 * delta with the blob that the store has for that series, type and window, writes the result under
 * a new name, and makes all of it count in one atomic commit together with the offset and the dedup
 * table. So recovery, late profiles and reopened windows are no special cases: the stored state is
 * always a function of a prefix of the log, and a crash costs only what can be read again.
 */
#ifndef HEARTH_AGGREGATOR_AGGREGATOR_H
#define HEARTH_AGGREGATOR_AGGREGATOR_H

#include "base/options.h"
#include "log/log.h"
#include "store/store.h"

#define AGGREGATOR_OPTIONS(X)                                                                      \
    X(DURATION, window, "1m", 1000, 3600000, NULL, "width of the base windows")                    \
    X(DURATION, late_max, "24h", 0, INT64_MAX, NULL,                                               \
      "count profiles up to this long after their time; later ones are dropped and counted")       \
    X(DURATION, flush_interval, "2s", 50, 60000, NULL, "time between flushes of open windows")     \
    X(DURATION, keep_base, "7d", 60000, INT64_MAX, NULL,                                           \
      "how long base windows are kept after their last change")                                    \
    X(SIZE, delta_max, "256MiB", 1 << 20, INT64_C(1) << 40, NULL,                                  \
      "flush early at this much memory of a worker's deltas; trees kept for the next take as much") \
    X(SIZE, generation_max, "32MiB", 4096, 512 << 20, NULL,                                        \
      "symbols of a service begin a new generation at this size")                                  \
    X(SIZE, symbols_max, "512MiB", 1 << 20, INT64_C(1) << 40, NULL,                                \
      "after a flush, forget symbols of services touched least recently above this much a worker") \
    X(INT, series_per_service_max, "20000", 1, 10000000, NULL,                                     \
      "distinct series and types of a service in a partition; the rest goes to __other__")         \
    X(DURATION, source_forget, "7d", 60000, INT64_MAX, NULL,                                       \
      "forget the sequence of a silent source after this long")

struct aggregator_options {
    AGGREGATOR_OPTIONS(OPTION_FIELD)
};
extern const struct option_row aggregator_option_rows[];

/* For options_check; ctx: the struct aggregator_options. */
void aggregator_check(void *ctx, struct options *options);

/*
 * Was the store made with windows of this width? For a store that is there at once: runs the loop,
 * on which nothing else may be, until it has answered. 0, also when the store is new, or FAILURE.
 * Without it a worker that disagrees takes no partitions, logs it and is not ready.
 */
int aggregator_check_store(uv_loop_t *loop, struct store *store, const struct aggregator_options *o,
                           struct failure *f);

struct aggregator;

/* store and the consumer that `consumer_new` makes belong to the worker and are closed with it. On
 * failure store stays the caller's. consumer_new must not call events before it has returned. */
typedef int aggregator_consumer_cb(uv_loop_t *loop, const struct log_consumer_events *events,
                                   void *events_ctx, struct log_consumer **ret, void *ctx,
                                   struct failure *f);
int aggregator_new(uv_loop_t *loop, struct store *store, aggregator_consumer_cb *consumer_new,
                   void *consumer_ctx, const struct aggregator_options *o, struct aggregator **ret,
                   struct failure *f);
bool aggregator_ready(const struct aggregator *a, struct buf *why); /* owns, loaded, not lagging */
/* Flushes, releases, closes consumer and store; then closed, once; frees. */
void aggregator_close(struct aggregator *a, void (*closed)(void *ctx), void *ctx);

#endif
