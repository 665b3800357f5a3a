/*
 * The aggregator is made before the thread starts, on the loop that the thread will run, so that
 * what is wrong with the options is known at once. Two things cross threads: stop goes in through
 * an async handle, readiness comes out through a small text under a lock, renewed by a timer.
 */
#include "aggregator/worker.h"

#include "base/xalloc.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { READY_EVERY_MS = 100 };

struct worker {
    uv_loop_t loop;
    uv_thread_t thread;
    uv_async_t stop;
    uv_timer_t look;
    struct aggregator *aggregator;
    const struct worker_options *o; /* valid while starting */
    const char *instance;
    atomic_bool stopped;

    uv_mutex_t lock;
    bool ready;
    struct buf why;
};

static void look(struct worker *w)
{
    struct buf why = {0};
    bool ready = aggregator_ready(w->aggregator, &why);

    uv_mutex_lock(&w->lock);
    w->ready = ready;
    buf_deinit(&w->why);
    w->why = why;
    uv_mutex_unlock(&w->lock);
}

static void on_look(uv_timer_t *t)
{
    look(t->data);
}

static void on_closed(void *ctx)
{
    struct worker *w = ctx;

    uv_close((uv_handle_t *)&w->stop, NULL);
    uv_close((uv_handle_t *)&w->look, NULL);
}

static void on_stop(uv_async_t *a)
{
    struct worker *w = a->data;

    if (!w->aggregator)
        return;
    uv_timer_stop(&w->look);
    aggregator_close(w->aggregator, on_closed, w);
    w->aggregator = NULL;
}

static void run(void *arg)
{
    struct worker *w = arg;

    uv_run(&w->loop, UV_RUN_DEFAULT);
    atomic_store(&w->stopped, true);
}

static int consumer_new(uv_loop_t *loop, const struct log_consumer_events *events, void *events_ctx,
                        struct log_consumer **ret, void *ctx, struct failure *f)
{
    struct worker *w = ctx;

    return log_kafka_consumer_new(loop, w->o->kafka, w->instance, events, events_ctx, ret, f);
}

static void on_store_closed(void *ctx)
{
    (void)ctx;
}

static int make(struct worker *w, struct failure *f)
{
    struct store *store;
    int r = store_redis_new(&w->loop, w->o->redis, &store, f);

    if (r != 0)
        return r;
    r = aggregator_new(&w->loop, store, consumer_new, w, w->o->aggregator, &w->aggregator, f);
    if (r != 0)
        store_close(store, on_store_closed, NULL);
    return r;
}

static void worker_free(struct worker *w)
{
    uv_run(&w->loop, UV_RUN_DEFAULT);
    uv_loop_close(&w->loop);
    uv_mutex_destroy(&w->lock);
    buf_deinit(&w->why);
    free(w);
}

int worker_start(const struct worker_options *o, const char *instance, struct worker **ret,
                 struct failure *f)
{
    struct worker *w = xcalloc(1, sizeof *w);
    int r;

    w->o = o;
    w->instance = instance;
    CHECK(uv_loop_init(&w->loop) == 0 && uv_mutex_init(&w->lock) == 0);
    buf_append_str(&w->why, "starting");
    r = make(w, f);
    if (r != 0) {
        worker_free(w);
        return r;
    }
    uv_async_init(&w->loop, &w->stop, on_stop);
    uv_timer_init(&w->loop, &w->look);
    w->stop.data = w->look.data = w;
    uv_timer_start(&w->look, on_look, 0, READY_EVERY_MS);
    CHECK(uv_thread_create(&w->thread, run, w) == 0);
    *ret = w;
    return 0;
}

bool worker_ready(struct worker *w, struct buf *why)
{
    bool ready;

    uv_mutex_lock(&w->lock);
    ready = w->ready;
    if (!ready)
        buf_append_bytes(why, buf_bytes(&w->why));
    uv_mutex_unlock(&w->lock);
    return ready;
}

void worker_stop(struct worker *w)
{
    uv_async_send(&w->stop);
}

bool worker_stopped(const struct worker *w)
{
    return atomic_load(&w->stopped);
}

void worker_join(struct worker *w)
{
    uv_thread_join(&w->thread);
    worker_free(w);
}
