/*
 * hearth-collector: agents' uploads in by HTTP, records out to the log. One loop thread, a few
 * codec threads. Stop: the listeners close, running uploads end, then the log, then the loop.
 */
#include "base/logger.h"
#include "base/xalloc.h"
#include "collector/collector.h"
#include "collector/socket.h"
#include "log/log_kafka.h"
#include "log/log_local.h"
#include "net/daemon.h"
#include "net/grpc.h"
#include "net/http_address.h"

#include <stdio.h>
#include <stdlib.h>

#define PROGRAM        "hearth-collector"
#define DEFAULT_LISTEN "127.0.0.1:4040,127.0.0.1:8126,127.0.0.1:4318"
#define DEFAULT_GRPC   "127.0.0.1:4317"

#define MAIN_OPTIONS(X)                                                                            \
    X(LIST, listen, NULL, 0, 0, NULL,                                                              \
      "addresses for agents: ADDRESS:PORT or unix:/PATH; every route is served on each; "          \
      "unset: " DEFAULT_LISTEN)                                                                    \
    X(STRING, grpc_listen, NULL, 0, 0, NULL,                                                       \
      "address for agents that speak gRPC (OTLP), or off; unset: " DEFAULT_GRPC                    \
      ", but off where listen is given")                                                           \
    X(STRING, socket, "auto", 0, 0, NULL,                                                          \
      "unix socket for agents: a path, off, or auto: /var/run/datadog/apm.socket if nobody "       \
      "answers there")                                                                             \
    X(STRING, socket_mode, "0666", 0, 0, NULL, "permissions of unix sockets, in octal")            \
    X(STRING, admin, "127.0.0.1:4050", 0, 0, NULL,                                                 \
      "address of /healthz, /readyz and /metrics, or off")                                         \
    X(STRING, log_dir, NULL, 0, 0, NULL,                                                           \
      "keep records in a local log in this directory instead of Kafka (for tests and "             \
      "measurements)")                                                                             \
    X(INT, connections_max, "1024", 1, 1000000, NULL,                                              \
      "open connections of agents; above, new ones wait")                                          \
    X(DURATION, header_timeout, "10s", 10, 3600000, NULL, "longest wait for a request's header")   \
    X(DURATION, body_timeout, "30s", 10, 3600000, NULL, "longest wait for a request's body")       \
    X(DURATION, idle_timeout, "120s", 10, 3600000, NULL,                                           \
      "close a connection that is silent this long")

#define MAIN_ROW(...) OPTION_ROW(struct main_options, __VA_ARGS__)
struct main_options {
    MAIN_OPTIONS(OPTION_FIELD)
};
static const struct option_row main_option_rows[] = {MAIN_OPTIONS(MAIN_ROW){0}};

struct program {
    struct main_options o;
    struct daemon_options daemon_options;
    struct collector_options collector_options;
    struct log_kafka_options kafka;
    struct log_local_options local;

    uv_loop_t loop;
    struct daemon *daemon;
    struct http_server *http;
    struct grpc_server *grpc;  /* NULL: off */
    unsigned n_servers;        /* that have not closed */
    struct body_budget budget; /* of bodies, by both */
    struct log_local *log_local;
    struct log_producer *log;
    struct collector *collector;
};

static void check_options(void *ctx, struct options *o)
{
    const struct program *p = ctx;
    const struct daemon_listener listeners[] = {
        {"listen", p->o.listen, false},
        {"grpc_listen", p->o.grpc_listen, true},
        {"admin", p->o.admin, true},
    };
    struct failure f;

    daemon_check_listeners(o, listeners, sizeof listeners / sizeof *listeners);
    collector_socket_check(o, p->o.socket, p->o.socket_mode);
    if (!p->o.log_dir && log_kafka_check(&p->kafka, &f))
        options_refuse(o, &f);
}

static void bind_options(struct program *p, struct options *o)
{
    options_bind(o, main_option_rows, &p->o, "Collector");
    options_bind(o, collector_option_rows, &p->collector_options, "Uploads");
    options_bind(o, log_kafka_option_rows, &p->kafka, "Kafka");
    options_bind(o, log_local_option_rows, &p->local, "Local log");
    options_check(o, check_options, p);
    options_check(o, pull_check, &p->collector_options);
}

static struct http_limits limits_of(struct program *p)
{
    struct http_limits l = http_limits_default;

    l.body_bytes_max = (size_t)p->collector_options.body_max;
    l.budget = &p->budget;
    l.connections_max = (uint32_t)p->o.connections_max;
    l.header_timeout_ms = (uint32_t)p->o.header_timeout;
    l.body_timeout_ms = (uint32_t)p->o.body_timeout;
    l.idle_timeout_ms = (uint32_t)p->o.idle_timeout;
    return l;
}

static int open_log(struct program *p, struct failure *f)
{
    if (!p->o.log_dir)
        return log_kafka_producer_new(&p->loop, &p->kafka, &p->log, f);
    if (log_local_open(p->o.log_dir, &p->local, &p->log_local, f))
        return FAILURE;
    p->log = log_local_producer_new(&p->loop, p->log_local);
    return 0;
}

static bool listen_is_given(const struct program *p)
{
    return p->o.listen && p->o.listen[0];
}

/* Addresses first: a busy one is the likeliest mistake, and nothing is accepted before the loop
 * runs. */
static int listen_grpc(struct program *p, const struct http_limits *limits, mode_t mode,
                       struct failure *f)
{
    const char *address = p->o.grpc_listen     ? p->o.grpc_listen
                          : listen_is_given(p) ? "off"
                                               : DEFAULT_GRPC;

    if (http_address_is_off(address))
        return 0;
    p->grpc = grpc_server_new(&p->loop, limits);
    p->n_servers++;
    grpc_unix_mode(p->grpc, mode);
    return grpc_listen(p->grpc, address, "grpc_listen", NULL, f);
}

static int listen_http(struct program *p, struct failure *f)
{
    char *list = xstrdup(listen_is_given(p) ? p->o.listen : DEFAULT_LISTEN), *rest = list, *address;
    int r = 0;

    while (!r && (address = strsep(&rest, ",")))
        if (*address)
            r = http_listen(p->http, address, "listen", NULL, f);
    free(list);
    return r ? r : collector_listen_socket(p->http, p->o.socket, f);
}

static int listen_all(struct program *p, struct failure *f)
{
    const struct http_limits limits = limits_of(p);
    mode_t mode;

    body_budget_init(&p->budget, (size_t)p->collector_options.body_budget);
    if (collector_socket_mode(p->o.socket_mode, &mode, f))
        return FAILURE;
    p->http = http_server_new(&p->loop, &limits);
    p->n_servers++;
    http_unix_mode(p->http, mode);
    return listen_http(p, f) || listen_grpc(p, &limits, mode, f);
}

static bool is_ready(void *ctx, struct buf *why)
{
    struct program *p = ctx;

    return collector_ready(p->collector, why);
}

static void on_log_closed(void *ctx)
{
    struct program *p = ctx;

    if (p->log_local)
        log_local_close(p->log_local);
    daemon_exit(p->daemon, 0);
}

static void on_collector_closed(void *ctx)
{
    struct program *p = ctx;

    log_producer_close(p->log, on_log_closed, p);
}

static void on_server_closed(void *ctx)
{
    struct program *p = ctx;

    if (--p->n_servers == 0)
        collector_close(p->collector, on_collector_closed, p);
}

static void on_stop(void *ctx)
{
    struct program *p = ctx;

    uint32_t grace_ms = (uint32_t)(p->daemon_options.drain_timeout * 8 / 10);

    http_server_close(p->http, grace_ms, on_server_closed, p);
    if (p->grpc)
        grpc_server_close(p->grpc, grace_ms, on_server_closed, p);
}

static int start(struct program *p, struct failure *f)
{
    if (listen_all(p, f) || daemon_admin(p->daemon, p->o.admin, is_ready, p, f) || open_log(p, f))
        return FAILURE;
    p->collector = collector_new(&p->loop, p->http, p->log, &p->collector_options);
    if (p->grpc)
        collector_grpc_methods(p->collector, p->grpc);
    LOG(LOG_INFO, "started", F_STR("listen", listen_is_given(p) ? p->o.listen : DEFAULT_LISTEN),
        F_STR("admin", p->o.admin),
        F_STR("log", p->o.log_dir ? p->o.log_dir : p->kafka.kafka_brokers));
    return 0;
}

int main(int argc, char **argv)
{
    static struct program p;
    struct options *o = options_new();
    struct failure f;
    int status;

    xalloc_tune(1);
    collector_metrics_register();
    bind_options(&p, o);
    if (daemon_options_load(o, &p.daemon_options, PROGRAM, &argc, argv, &status)) {
        options_free(o);
        return status;
    }
    uv_loop_init(&p.loop);
    p.daemon = daemon_new(&p.loop, PROGRAM, &p.daemon_options, on_stop, &p);
    if (start(&p, &f)) {
        fprintf(stderr, PROGRAM ": %s (%s)\n", f.message, f.hint);
        return EXIT_FAILURE;
    }
    status = daemon_run(p.daemon);
    daemon_free(p.daemon);
    uv_loop_close(&p.loop);
    options_free(o);
    return status;
}
