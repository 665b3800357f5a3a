/*
 * Pull: scrapes net/http/pprof of Go services on a schedule, and hands what it reads to the
 * collector as if the service had sent it.
 *
 * Every pull_interval, from a moment of its own, a target is asked for one profile after the other,
 * never for two at a time. CPU is a profile of pull_cpu, asked for last. What Go counts from the
 * start of the process (allocations, lock contention, blocking) is kept, and what is handed on is
 * what came since the last answer that was counted: nothing between two scrapes is lost, and
 * nothing is counted before the second. What lives (heap in use, goroutines) is handed on as it is.
 *
 * Loop thread. One owner: the collector.
 */
#ifndef HEARTH_COLLECTOR_PULL_H
#define HEARTH_COLLECTOR_PULL_H

#include "base/err.h"
#include "base/options.h"

#include <uv.h>

#define PULL_ALLOW "127.0.0.0/8,::1/128,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7"

/* Part of COLLECTOR_OPTIONS (collector/collector.h). */
#define PULL_OPTIONS(X)                                                                            \
    X(LIST, pull_targets, NULL, 0, 0, NULL,                                                        \
      "Go services to scrape: SERVICE@http://HOST:PORT[/debug/pprof][;TAG=VALUE]…")                \
    X(LIST, pull_profiles, "heap,mutex,block,goroutine,cpu", 0, 0, NULL,                           \
      "what to ask them for: cpu, heap, mutex, block, goroutine")                                  \
    X(DURATION, pull_interval, "15s", 1000, 86400000, NULL, "how often each is asked")             \
    X(DURATION, pull_cpu, "14s", 1000, 3600000, NULL,                                              \
      "how long a CPU profile takes; less than pull_interval")                                     \
    X(DURATION, pull_timeout, "10s", 100, 600000, NULL,                                            \
      "longest wait for an answer, beyond the time that a CPU profile takes")                      \
    X(SIZE, pull_body_max, "8MiB", 1024, INT64_C(1) << 32, NULL, "largest answer to a scrape")     \
    X(LIST, pull_allow, PULL_ALLOW, 0, 0, NULL, "networks whose addresses may be scraped")

struct collector;
struct collector_options;
struct options;
struct profile_limits;
struct pull;

/* For options_check; ctx: the struct collector_options. */
void pull_check(void *ctx, struct options *options);
/* NULL without targets. The options must have passed pull_check. */
struct pull *pull_new(uv_loop_t *loop, struct collector *c, const struct collector_options *o,
                      const struct profile_limits *limits);
/* Ends scrapes, waits for uploads; then closed, once; frees. */
void pull_close(struct pull *p, void (*closed)(void *ctx), void *ctx);

#endif
