/*
 * Collector, aggregator and query in one process, over a local log and LMDB in one directory. The
 * main thread's loop serves HTTP for the collector and for query; the aggregator has a thread and a
 * loop of its own, because a flush may work for a while.
 *
 * Stop, in the order of a profile's way, so that nothing that was acknowledged is left behind: the
 * listeners close and running requests end; the collector drains into the log; the aggregator
 * flushes and lets go of the log; query lets go of the store; then log and store close. Whatever
 * happens instead (kill -9), the log has what was acknowledged.
 */
#include "aggregator/aggregator.h"
#include "aggregator/metrics.h"
#include "base/clock.h"
#include "base/logger.h"
#include "base/xalloc.h"
#include "cli/cli.h"
#include "collector/collector.h"
#include "collector/socket.h"
#include "log/log_local.h"
#include "net/daemon.h"
#include "net/grpc.h"
#include "net/http_address.h"
#include "query/query.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define NAME              "standalone"
#define DEFAULT_LISTEN    "127.0.0.1:4040,127.0.0.1:8126,127.0.0.1:4318"
#define DEFAULT_GRPC      "127.0.0.1:4317"
#define DEFAULT_ADMIN     "127.0.0.1:4050"
#define READY_EVERY_MS    20
#define LOG_SHARE_OF_DISK 4 /* the log gets at most a fourth of disk_max */

#define STANDALONE_OPTIONS(X)                                                                      \
    X(STRING, data_dir, NULL, 0, 0, NULL,                                                          \
      "where everything is kept; unset: $XDG_DATA_HOME/hearth or ~/.local/share/hearth")           \
    X(LIST, listen, NULL, 0, 0, NULL,                                                              \
      "addresses for agents, API and page: HOST:PORT or unix:PATH; may be repeated; "              \
      "unset: " DEFAULT_LISTEN)                                                                    \
    X(STRING, grpc_listen, NULL, 0, 0, NULL,                                                       \
      "address for agents that speak gRPC (OTLP), or off; unset: " DEFAULT_GRPC                    \
      ", but off where listen is given")                                                           \
    X(STRING, socket, NULL, 0, 0, NULL,                                                            \
      "unix socket for agents: a path, off, or auto: /var/run/datadog/apm.socket if nobody "       \
      "answers there; unset: auto, but off where listen is given")                                 \
    X(STRING, socket_mode, "0666", 0, 0, NULL, "permissions of unix sockets, in octal")            \
    X(STRING, admin, NULL, 0, 0, NULL,                                                             \
      "address of /healthz, /readyz and /metrics, or off; unset: " DEFAULT_ADMIN                   \
      ", but off where listen is given")                                                           \
    X(SIZE, disk_max, "10GiB", INT64_C(64) << 20, INT64_C(1) << 50, NULL,                          \
      "disk space for log and store together; the oldest windows go first")

struct standalone_options {
    STANDALONE_OPTIONS(OPTION_FIELD)
};
#define STANDALONE_ROW(...) OPTION_ROW(struct standalone_options, __VA_ARGS__)
static const struct option_row standalone_option_rows[] = {STANDALONE_OPTIONS(STANDALONE_ROW){0}};

/* The aggregator's thread. ready is written by it and read by /readyz; the rest belongs to it
 * between start and join. */
struct worker {
    uv_thread_t thread;
    uv_loop_t loop;
    uv_async_t stop;
    uv_timer_t watch;
    struct store *store; /* until it is the aggregator's */
    struct aggregator *aggregator;
    atomic_bool ready;
    uv_async_t ended; /* on the main loop */
};

struct standalone {
    struct options *options;
    struct standalone_options o;
    struct daemon_options daemon_options;
    struct collector_options collector_options;
    struct aggregator_options aggregator_options;
    struct query_options query_options;
    struct log_local_options log_options;
    char *data_dir, *log_dir, *store_dir;

    uv_loop_t loop;
    struct daemon *daemon;
    struct lmdb_env *env;
    struct log_local *log;
    struct log_producer *producer;
    struct http_server *http;
    struct grpc_server *grpc;  /* NULL: off */
    unsigned n_servers;        /* that have not closed */
    struct body_budget budget; /* of bodies, by both */
    struct collector *collector;
    struct query *query;
    struct worker worker;
    char address[256]; /* of the page, for people */
};

/* ---- the aggregator's thread ------------------------------------------------------------------
 */

static void on_aggregator_closed(void *ctx)
{
    struct worker *w = ctx;

    uv_close((uv_handle_t *)&w->stop, NULL);
    uv_close((uv_handle_t *)&w->watch, NULL);
}

static void on_worker_stop(uv_async_t *async)
{
    struct worker *w = async->data;

    uv_timer_stop(&w->watch);
    aggregator_close(w->aggregator, on_aggregator_closed, w);
}

static void on_watch(uv_timer_t *timer)
{
    struct worker *w = timer->data;
    struct buf why = {0};

    atomic_store(&w->ready, aggregator_ready(w->aggregator, &why));
    buf_deinit(&why);
}

static void run_worker(void *ctx)
{
    struct worker *w = ctx;

    uv_run(&w->loop, UV_RUN_DEFAULT);
    uv_async_send(&w->ended);
}

static int make_consumer(uv_loop_t *loop, const struct log_consumer_events *events,
                         void *events_ctx, struct log_consumer **ret, void *ctx, struct failure *f)
{
    struct standalone *s = ctx;

    (void)f;
    *ret = log_local_consumer_new(loop, s->log, events, events_ctx);
    return 0;
}

static void on_worker_ended(uv_async_t *async);

/* Before anything is listened on: uploads would be taken, and not be counted. */
static int worker_open(struct standalone *s, struct failure *f)
{
    struct worker *w = &s->worker;

    uv_loop_init(&w->loop);
    w->store = store_lmdb_new(&w->loop, s->env);
    if (aggregator_check_store(&w->loop, w->store, &s->aggregator_options, f) == 0)
        return 0;
    snprintf(f->hint + strlen(f->hint), sizeof f->hint - strlen(f->hint),
             ": without %.100s all that the log still has is counted anew", s->store_dir);
    return FAILURE;
}

static int worker_start(struct standalone *s, struct failure *f)
{
    struct worker *w = &s->worker;

    if (aggregator_new(&w->loop, w->store, make_consumer, s, &s->aggregator_options, &w->aggregator,
                       f) != 0)
        return FAILURE;
    w->stop.data = w->watch.data = w;
    w->ended.data = s;
    uv_async_init(&w->loop, &w->stop, on_worker_stop);
    uv_timer_init(&w->loop, &w->watch);
    uv_timer_start(&w->watch, on_watch, 0, READY_EVERY_MS);
    uv_async_init(&s->loop, &w->ended, on_worker_ended);
    if (uv_thread_create(&w->thread, run_worker, w) != 0)
        return fail(f, 500, "no_thread", NULL, "cannot start the aggregator's thread");
    return 0;
}

/* ---- stop -------------------------------------------------------------------------------------
 */

static void on_query_closed(void *ctx)
{
    struct standalone *s = ctx;

    log_local_close(s->log);
    lmdb_env_close(s->env);
    daemon_exit(s->daemon, 0);
}

static void on_worker_ended(uv_async_t *async)
{
    struct standalone *s = async->data;

    uv_thread_join(&s->worker.thread);
    uv_loop_close(&s->worker.loop);
    uv_close((uv_handle_t *)async, NULL);
    query_close(s->query, on_query_closed, s);
}

static void on_producer_closed(void *ctx)
{
    struct standalone *s = ctx;

    uv_async_send(&s->worker.stop);
}

static void on_collector_closed(void *ctx)
{
    struct standalone *s = ctx;

    log_producer_close(s->producer, on_producer_closed, s);
}

static void on_server_closed(void *ctx)
{
    struct standalone *s = ctx;

    if (--s->n_servers == 0)
        collector_close(s->collector, on_collector_closed, s);
}

static void on_stop(void *ctx)
{
    struct standalone *s = ctx;

    uint32_t grace_ms = (uint32_t)(s->daemon_options.drain_timeout / 2);

    http_server_close(s->http, grace_ms, on_server_closed, s);
    if (s->grpc)
        grpc_server_close(s->grpc, grace_ms, on_server_closed, s);
}

/* ---- start ------------------------------------------------------------------------------------
 */

static void check_options(void *ctx, struct options *o)
{
    const struct standalone *s = ctx;
    const struct daemon_listener listeners[] = {
        {"listen", s->o.listen, false},
        {"grpc_listen", s->o.grpc_listen, true},
        {"admin", s->o.admin, true},
    };

    daemon_check_listeners(o, listeners, sizeof listeners / sizeof *listeners);
    collector_socket_check(o, s->o.socket, s->o.socket_mode);
}

static char *default_data_dir(void)
{
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");

    if (data && data[0] == '/')
        return xasprintf("%s/hearth", data);
    if (home && home[0] == '/')
        return xasprintf("%s/.local/share/hearth", home);
    return xstrdup("hearth-data");
}

static int make_dirs(const char *path, struct failure *f)
{
    char *copy = xstrdup(path);
    int r = 0;

    for (char *at = copy + 1; r == 0; at++) {
        char end = *at;

        if (end != '/' && end != '\0')
            continue;
        *at = '\0';
        r = mkdir(copy, 0700) == 0 || errno == EEXIST ? 0 : errno;
        *at = end;
        if (end == '\0')
            break;
    }
    free(copy);
    return r == 0
               ? 0
               : fail(f, 500, "data_dir", "set data_dir", "cannot make %s: %s", path, strerror(r));
}

static int open_data(struct standalone *s, struct failure *f)
{
    struct log_local_options log = s->log_options;

    s->data_dir = s->o.data_dir && s->o.data_dir[0] ? xstrdup(s->o.data_dir) : default_data_dir();
    s->log_dir = xasprintf("%s/log", s->data_dir);
    s->store_dir = xasprintf("%s/store", s->data_dir);
    if (log.log_max_bytes > s->o.disk_max / LOG_SHARE_OF_DISK)
        log.log_max_bytes = s->o.disk_max / LOG_SHARE_OF_DISK;
    if (make_dirs(s->log_dir, f) != 0 || make_dirs(s->store_dir, f) != 0 ||
        lmdb_env_open(s->store_dir, s->o.disk_max - log.log_max_bytes, &s->env, f) != 0)
        return FAILURE;
    return log_local_open(s->log_dir, &log, &s->log, f);
}

static struct http_limits limits_of(struct standalone *s)
{
    struct http_limits limits = http_limits_default;

    limits.body_bytes_max = (size_t)s->collector_options.body_max;
    limits.budget = &s->budget;
    return limits;
}

/* The first TCP listener as something to click on. */
static void note_address(struct standalone *s, const char *address, int port)
{
    const char *colon = strrchr(address, ':');
    size_t len = colon ? (size_t)(colon - address) : 0;
    bool any =
        len == 0 || strncmp(address, "0.0.0.0", len) == 0 || strncmp(address, "[::]", len) == 0;

    if (s->address[0] || strncmp(address, "unix:", 5) == 0)
        return;
    snprintf(s->address, sizeof s->address, "http://%.*s:%d/", any ? 9 : (int)len,
             any ? "127.0.0.1" : address, port);
}

static int listen_http(struct standalone *s, struct failure *f)
{
    bool given = s->o.listen && s->o.listen[0];
    char *list = xstrdup(given ? s->o.listen : DEFAULT_LISTEN), *rest = list, *address;
    const char *socket = s->o.socket ? s->o.socket : given ? "off" : "auto";
    int r = 0, port = 0;

    while (r == 0 && (address = strsep(&rest, ","))) {
        r = *address ? http_listen(s->http, address, "listen", &port, f) : 0;
        if (r == 0 && *address)
            note_address(s, address, port);
    }
    free(list);
    return r ? r : collector_listen_socket(s->http, socket, f);
}

static int listen_grpc(struct standalone *s, mode_t mode, struct failure *f)
{
    struct http_limits limits = limits_of(s);
    const char *address = s->o.grpc_listen                ? s->o.grpc_listen
                          : s->o.listen && s->o.listen[0] ? "off"
                                                          : DEFAULT_GRPC;

    if (http_address_is_off(address))
        return 0;
    s->grpc = grpc_server_new(&s->loop, &limits);
    s->n_servers++;
    grpc_unix_mode(s->grpc, mode);
    collector_grpc_methods(s->collector, s->grpc);
    return grpc_listen(s->grpc, address, "grpc_listen", NULL, f);
}

static int listen_all(struct standalone *s, struct failure *f)
{
    mode_t mode;

    if (collector_socket_mode(s->o.socket_mode, &mode, f))
        return FAILURE;
    http_unix_mode(s->http, mode);
    return listen_http(s, f) || listen_grpc(s, mode, f);
}

static bool is_ready(void *ctx, struct buf *why)
{
    struct standalone *s = ctx;

    if (!collector_ready(s->collector, why) || !query_ready(s->query, why))
        return false;
    if (!atomic_load(&s->worker.ready))
        buf_append_str(why, "the aggregator is not ready");
    return atomic_load(&s->worker.ready);
}

static int listen_admin(struct standalone *s, struct failure *f)
{
    const char *admin = s->o.admin                      ? s->o.admin
                        : s->o.listen && s->o.listen[0] ? "off"
                                                        : DEFAULT_ADMIN;

    lmdb_env_announce(s->env, admin);
    return daemon_admin(s->daemon, admin, is_ready, s, f);
}

static int start(struct standalone *s, struct failure *f)
{
    struct http_limits limits = limits_of(s);

    if (open_data(s, f) != 0 || worker_open(s, f) != 0)
        return FAILURE;
    body_budget_init(&s->budget, (size_t)s->collector_options.body_budget);
    s->producer = log_local_producer_new(&s->loop, s->log);
    s->http = http_server_new(&s->loop, &limits);
    s->n_servers++;
    s->collector = collector_new(&s->loop, s->http, s->producer, &s->collector_options);
    s->query = query_new(&s->loop, s->http, store_lmdb_new(&s->loop, s->env), &s->query_options);
    if (listen_all(s, f) != 0 || listen_admin(s, f) != 0)
        return FAILURE;
    return worker_start(s, f);
}

static void greet(const struct standalone *s)
{
    printf("hearth " HEARTH_VERSION ": data in %s\n", s->data_dir);
    if (s->address[0]) {
        printf("  page   %s\n", s->address);
        printf("  push   hearth push FILE --service NAME --server %.*s\n",
               (int)strlen(s->address) - 1, s->address);
    }
    fflush(stdout);
}

static void standalone_free(struct standalone *s)
{
    free(s->data_dir);
    free(s->log_dir);
    free(s->store_dir);
}

static int run(struct standalone *s)
{
    struct failure f;
    int status;

    uv_loop_init(&s->loop);
    s->daemon = daemon_new(&s->loop, "hearth " NAME, &s->daemon_options, on_stop, s);
    if (start(s, &f) != 0)
        return complain(NAME, &f);
    greet(s);
    status = daemon_run(s->daemon);
    daemon_free(s->daemon);
    uv_run(&s->loop, UV_RUN_DEFAULT); /* the last handles close */
    uv_loop_close(&s->loop);
    standalone_free(s);
    return status;
}

int verb_standalone(int argc, char **argv)
{
    static struct standalone s;
    int status;

    collector_metrics_register();
    aggregator_metrics_register();
    query_metrics_register();
    s.options = options_new();
    options_bind(s.options, standalone_option_rows, &s.o, "Standalone");
    options_bind(s.options, collector_option_rows, &s.collector_options, "Uploads");
    options_bind(s.options, aggregator_option_rows, &s.aggregator_options, "Aggregation");
    options_bind(s.options, query_option_rows, &s.query_options, "Queries");
    options_bind(s.options, log_local_option_rows, &s.log_options, "Local log");
    options_check(s.options, check_options, &s);
    options_check(s.options, pull_check, &s.collector_options);
    options_check(s.options, aggregator_check, &s.aggregator_options);
    if (daemon_options_load(s.options, &s.daemon_options, "hearth " NAME, &argc, argv, &status) ==
        0)
        status = run(&s);
    options_free(s.options);
    return status;
}
