/* hearth-query: HTTP API and web page over Redis. */
#include "net/daemon.h"
#include "query/query.h"
#include "store/store_redis.h"

#include "base/logger.h"

#include <stdio.h>
#include <stdlib.h>

#define MAIN_OPTIONS(X)                                                                            \
    X(LIST, listen, "127.0.0.1:4041", 0, 0, NULL, "addresses to serve on: HOST:PORT or unix:PATH") \
    X(STRING, admin, "127.0.0.1:4060", 0, 0, NULL,                                                 \
      "address of /healthz, /readyz and /metrics, or off")

struct main_options {
    MAIN_OPTIONS(OPTION_FIELD)
};
#define MAIN_ROW(...) OPTION_ROW(struct main_options, __VA_ARGS__)
static const struct option_row main_option_rows[] = {MAIN_OPTIONS(MAIN_ROW){0}};

struct program {
    uv_loop_t loop;
    struct options *options;
    struct main_options main;
    struct daemon_options daemon_options;
    struct query_options query_options;
    struct store_redis_options redis_options;
    struct daemon *daemon;
    struct http_server *http;
    struct query *query;
};

static bool is_ready(void *ctx, struct buf *why)
{
    return query_ready(((struct program *)ctx)->query, why);
}

static void on_query_closed(void *ctx)
{
    daemon_exit(((struct program *)ctx)->daemon, 0);
}

static void on_http_closed(void *ctx)
{
    struct program *p = ctx;

    query_close(p->query, on_query_closed, p);
}

static void on_stop(void *ctx)
{
    struct program *p = ctx;

    http_server_close(p->http, (uint32_t)p->daemon_options.drain_timeout / 2, on_http_closed, p);
}

static int listen_all(struct program *p, struct failure *f)
{
    char *save = NULL, *list = strdup(p->main.listen);
    int r = 0;

    for (char *at = strtok_r(list, ",", &save); at && r == 0; at = strtok_r(NULL, ",", &save))
        r = http_listen(p->http, at, "listen", NULL, f);
    free(list);
    return r;
}

static int start(struct program *p, struct failure *f)
{
    struct http_limits limits = http_limits_default;
    struct store *store;

    limits.body_bytes_max = 1 << 20; /* reading needs none */
    if (store_redis_new(&p->loop, &p->redis_options, &store, f) != 0)
        return FAILURE;
    p->http = http_server_new(&p->loop, &limits);
    p->query = query_new(&p->loop, p->http, store, &p->query_options);
    p->daemon = daemon_new(&p->loop, "hearth-query", &p->daemon_options, on_stop, p);
    if (daemon_admin(p->daemon, p->main.admin, is_ready, p, f) != 0)
        return FAILURE;
    return listen_all(p, f);
}

static int run(struct program *p)
{
    struct failure f;
    int status;

    uv_loop_init(&p->loop);
    if (start(p, &f) != 0) {
        fprintf(stderr, "hearth-query: %s%s%s\n", f.message, f.hint[0] ? ": " : "", f.hint);
        return EXIT_FAILURE;
    }
    LOG(LOG_INFO, "started", F_STR("version", HEARTH_VERSION), F_STR("listen", p->main.listen));
    status = daemon_run(p->daemon);
    daemon_free(p->daemon);
    uv_run(&p->loop, UV_RUN_DEFAULT); /* the last handles close */
    uv_loop_close(&p->loop);
    return status;
}

static void check_options(void *ctx, struct options *o)
{
    const struct main_options *m = ctx;
    const struct daemon_listener listeners[] = {
        {"listen", m->listen, false},
        {"admin", m->admin, true},
    };

    daemon_check_listeners(o, listeners, sizeof listeners / sizeof *listeners);
}

int main(int argc, char **argv)
{
    static struct program p;
    int status;

    query_metrics_register();
    p.options = options_new();
    options_bind(p.options, main_option_rows, &p.main, "hearth-query");
    options_bind(p.options, query_option_rows, &p.query_options, "Queries");
    options_bind(p.options, store_redis_option_rows, &p.redis_options, "Redis");
    options_check(p.options, store_redis_check, &p.redis_options);
    options_check(p.options, check_options, &p.main);
    if (daemon_options_load(p.options, &p.daemon_options, "hearth-query", &argc, argv, &status) ==
        0)
        status = run(&p);
    options_free(p.options);
    return status;
}
