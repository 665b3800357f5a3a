/* hearth-aggregator: Kafka in, Redis out. The inventory: options, workers, the admin listener. */
#include "aggregator/metrics.h"
#include "aggregator/worker.h"
#include "base/xalloc.h"
#include "net/daemon.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MAIN_OPTIONS(X)                                                                            \
    X(STRING, admin, "127.0.0.1:4051", 0, 0, NULL,                                                 \
      "address of /healthz, /readyz and /metrics; off: none")                                      \
    X(STRING, instance, NULL, 0, 0, NULL,                                                          \
      "name in the consumer group, unique and the same after a restart; default: host name and "   \
      "admin port")                                                                                \
    X(INT, workers, "1", 1, 64, NULL,                                                              \
      "threads, each with a consumer, a store connection and partitions of its own")

enum { STOPPED_EVERY_MS = 20 };

struct main_options {
    MAIN_OPTIONS(OPTION_FIELD)
};
#define MAIN_ROW(...) OPTION_ROW(struct main_options, __VA_ARGS__)
static const struct option_row main_option_rows[] = {MAIN_OPTIONS(MAIN_ROW){0}};

struct program {
    struct main_options main;
    struct daemon_options daemon_options;
    struct aggregator_options aggregator;
    struct log_kafka_options kafka;
    struct store_redis_options redis;
    struct daemon *daemon;
    struct worker **workers;
    char **instances;
    size_t n_workers;
    uv_timer_t stopped;
};

static void check_options(void *ctx, struct options *o)
{
    const struct program *p = ctx;
    struct failure f;

    daemon_check_listeners(o, &(const struct daemon_listener){"admin", p->main.admin, true}, 1);
    if (log_kafka_check(&p->kafka, &f))
        options_refuse(o, &f);
}

static void bind_options(struct options *o, struct program *p)
{
    options_bind(o, main_option_rows, &p->main, "hearth-aggregator");
    options_bind(o, aggregator_option_rows, &p->aggregator, "Aggregation");
    options_bind(o, log_kafka_option_rows, &p->kafka, "Kafka");
    options_bind(o, store_redis_option_rows, &p->redis, "Redis");
    options_check(o, aggregator_check, &p->aggregator);
    options_check(o, store_redis_check, &p->redis);
    options_check(o, check_options, p);
}

/* "name" for one worker, "name-2" and so on for more. */
static char *instance_name(const struct program *p, size_t i)
{
    char host[256] = "localhost", suffix[24] = "";
    const char *port = strrchr(p->main.admin, ':');

    if (i > 0)
        snprintf(suffix, sizeof suffix, "-%zu", i + 1);
    if (p->main.instance)
        return xasprintf("%s%s", p->main.instance, suffix);
    gethostname(host, sizeof host - 1);
    return xasprintf("%s-%s%s", host, port ? port + 1 : "aggregator", suffix);
}

static bool ready(void *ctx, struct buf *why)
{
    struct program *p = ctx;

    for (size_t i = 0; i < p->n_workers; i++)
        if (!worker_ready(p->workers[i], why))
            return false;
    return true;
}

static void on_stopped_look(uv_timer_t *t)
{
    struct program *p = t->data;

    for (size_t i = 0; i < p->n_workers; i++)
        if (!worker_stopped(p->workers[i]))
            return;
    uv_close((uv_handle_t *)t, NULL);
    daemon_exit(p->daemon, 0);
}

static void on_stop(void *ctx)
{
    struct program *p = ctx;

    for (size_t i = 0; i < p->n_workers; i++)
        worker_stop(p->workers[i]);
    uv_timer_start(&p->stopped, on_stopped_look, 0, STOPPED_EVERY_MS);
}

static int start_workers(struct program *p, struct failure *f)
{
    struct worker_options o = {&p->aggregator, &p->kafka, &p->redis};
    size_t n = (size_t)p->main.workers;
    int r = 0;

    p->workers = xcalloc(n, sizeof *p->workers);
    p->instances = xcalloc(n, sizeof *p->instances);
    for (size_t i = 0; r == 0 && i < n; i++) {
        p->instances[i] = instance_name(p, i);
        r = worker_start(&o, p->instances[i], &p->workers[i], f);
        p->n_workers += r == 0;
    }
    return r;
}

static void end_workers(struct program *p)
{
    for (size_t i = 0; i < p->n_workers; i++) {
        worker_stop(p->workers[i]);
        worker_join(p->workers[i]);
    }
    for (int64_t i = 0; p->instances && i < p->main.workers; i++)
        free(p->instances[i]);
    free(p->instances);
    free(p->workers);
}

static int serve(struct program *p)
{
    uv_loop_t *loop = uv_default_loop();
    struct failure f = {0};
    int status = 1;

    p->daemon = daemon_new(loop, "hearth-aggregator", &p->daemon_options, on_stop, p);
    uv_timer_init(loop, &p->stopped);
    p->stopped.data = p;
    if (daemon_admin(p->daemon, p->main.admin, ready, p, &f) == 0 && start_workers(p, &f) == 0)
        status = daemon_run(p->daemon);
    else
        fprintf(stderr, "hearth-aggregator: %s%s%s\n", f.message, f.hint[0] ? "; " : "", f.hint);
    return status;
}

int main(int argc, char **argv)
{
    struct options *o = options_new();
    struct program p = {0};
    int status;

    xalloc_tune(2);
    aggregator_metrics_register();
    bind_options(o, &p);
    if (daemon_options_load(o, &p.daemon_options, "hearth-aggregator", &argc, argv, &status) == 0) {
        status = serve(&p);
        end_workers(&p);
        daemon_free(p.daemon);
    }
    options_free(o);
    return status;
}
