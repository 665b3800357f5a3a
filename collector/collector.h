/*
 * Collector: uploads in, records out. Adds its routes to an HTTP server and publishes to a log.
 *
 * One upload: HTTP body (charged) → codec thread: inflate, decode, normalise, encode → loop: stamp
 * (source, seq, low), publish → answer 200 when the log has acknowledged. A publish that fails is
 * sent again, unchanged, until publish_timeout; then 503 with Retry-After.
 */
#ifndef HEARTH_COLLECTOR_COLLECTOR_H
#define HEARTH_COLLECTOR_COLLECTOR_H

#include "base/options.h"
#include "collector/pull.h"
#include "log/log.h"
#include "net/http.h"

#define COLLECTOR_OPTIONS(X)                                                                       \
    X(SIZE, body_max, "32MiB", 1024, INT64_C(1) << 32, NULL, "largest body of an upload, as sent") \
    X(SIZE, inflated_max, "64MiB", 1024, INT64_C(1) << 32, NULL, "largest profile after inflating")\
    X(INT, samples_max, "1000000", 1, 100000000, NULL, "most samples of one profile")              \
    X(INT, depth_max, "4096", 1, 1000000, NULL, "deepest stack, in frames")                        \
    X(INT, locations_max, "500000", 1, 100000000, NULL, "most locations (places in code) of one profile") \
    X(INT, functions_max, "500000", 1, 100000000, NULL, "most functions of one profile; mappings as many") \
    X(INT, strings_max, "1000000", 1, 100000000, NULL, "most strings of one profile")              \
    X(INT, lines_max, "1000000", 1, 100000000, NULL, "most lines of all locations of one profile") \
    X(INT, labels_max, "100", 1, 10000, NULL, "most labels of one sample, not counting those that are set aside") \
    X(INT, values_max, "8388608", 1, 1000000000, NULL, "most values of one profile: samples times sample types") \
    X(INT, stack_nodes_max, "2000000", 1, 100000000, NULL, "most nodes in the tree of one profile's stacks") \
    X(INT, profiles_max, "10000", 1, 10000000, NULL, "most profiles of one upload (OTLP, JFR, push)") \
    X(SIZE, body_budget, "64MiB", 1024, INT64_C(1) << 40, NULL, "memory of all bodies together")   \
    X(INT, codec_threads, "1", 1, 64, NULL, "threads that decode uploads")                         \
    X(DURATION, future_max, "10m", 0, INT64_MAX, NULL, "refuse profiles that end later than this from now") \
    X(DURATION, publish_timeout, "30s", 100, 3600000, NULL, "answer 503 when the log has not acknowledged by then") \
    X(LIST, series_tags, "region,zone,cluster,namespace", 0, 0, NULL, "tags that make a series, besides env and version") \
    X(INT, spread, "1", 1, 16, NULL, "partitions that one service is spread over")                 \
    X(INT, series_max, "5000", 1, 1000000, NULL, "distinct series of a service; what exceeds it goes to __other__") \
    X(INT, services_max, "5000", 1, 1000000, NULL, "distinct services; what exceeds it goes to __other__") \
    X(INT, tenant_uploads_per_s, "0", 0, 1000000000, NULL, "uploads of a tenant in a second, on the average over tenant_burst; 0: unlimited") \
    X(SIZE, tenant_bytes_per_s, "0", 0, INT64_C(1) << 40, NULL, "bytes of a tenant's uploads in a second, as sent; 0: unlimited") \
    X(DURATION, tenant_burst, "60s", 1000, 86400000, NULL, "how much a tenant may send at once, in time at its rate") \
    X(INT, retries_max, "16384", 8, 10000000, NULL, "acknowledged Datadog uploads to remember, so that one sent again counts once") \
    X(STRING, default_service, "unknown_service", 0, 0, NULL, "service of agents that name none (their own protocols only)") \
    PULL_OPTIONS(X)

struct collector_options {
    COLLECTOR_OPTIONS(OPTION_FIELD)
};
extern const struct option_row collector_option_rows[];

struct collector;
struct grpc_server;

struct collector *collector_new(uv_loop_t *loop, struct http_server *http, struct log_producer *log,
                                const struct collector_options *o);
void collector_metrics_register(void); /* collector_new does it; --metrics needs it before */
/* Adds the methods of those who speak gRPC (OTLP). grpc closes before the collector does. */
void collector_grpc_methods(struct collector *c, struct grpc_server *grpc);
bool collector_ready(const struct collector *c, struct buf *why);
/* After the HTTP server has closed, when nobody waits for an answer any more: ends the uploads in
 * work, gives up what the log has not acknowledged, then closed, once; frees. */
void collector_close(struct collector *c, void (*closed)(void *ctx), void *ctx);

#endif
