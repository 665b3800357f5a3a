/*
 * A worker only hands things on: what the consumer says goes to the partition it concerns, a timer
 * tells all partitions to flush. The life of one partition is in partition.c, a flush in flush.c,
 * and what is counted in shard.c, which knows neither loop nor store.
 *
 * Closing: consumer (which revokes everything: flushed, given back), then store, then the timer.
 */
#include "aggregator/aggregator.h"

#include "aggregator/metrics.h"
#include "aggregator/partition.h"
#include "base/clock.h"
#include "base/logger.h"
#include "base/xalloc.h"
#include "store/keys.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { LAGGING_MS = 30 * 1000, FIELDS_AGREED = 3 };
#define HASH_VERSION        "1"

#define AGGREGATOR_ROW(...) OPTION_ROW(struct aggregator_options, __VA_ARGS__)
const struct option_row aggregator_option_rows[] = {AGGREGATOR_OPTIONS(AGGREGATOR_ROW){0}};

struct aggregator {
    struct partition_host host;
    struct aggregator_options o;
    struct partition **partitions;
    size_t n_partitions, cap_partitions;
    uint32_t *waiting; /* assigned, but nothing is agreed on yet */
    size_t n_waiting, cap_waiting;
    size_t n_releasing;
    bool assigned; /* at least once */
    bool revoking; /* the consumer waits for log_consumer_released */
    uv_timer_t tick;
    int64_t lag_reported;

    char n_text[16], window_text[24]; /* partitions, seconds: as agreed on in the store */
    unsigned agreed, agreeing;
    bool disagreed;

    bool closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* ---- what all programs agree on ------------------------------------------------------------ */

static void begin_waiting(struct aggregator *a);

static void agreed(struct aggregator *a, int r, const struct store_reply *reply, const char *ours,
                   const char *what)
{
    a->agreeing--;
    if (r != 0)
        return; /* the next tick asks again */
    if (bytes_equal(reply->values[0], bytes_str(ours))) {
        a->agreed++;
        begin_waiting(a);
        return;
    }
    a->disagreed = true;
    LOG(LOG_ERROR, "store_disagrees", F_STR("what", what), F_STR("ours", ours),
        F_BYTES("stored", reply->values[0]),
        F_STR("hint",
              "the settings changed under a store that is in use: set them back, or empty it"));
}

static void on_agreed_n(void *ctx, int r, const struct store_reply *reply)
{
    struct aggregator *a = ctx;

    agreed(a, r, reply, a->n_text, "partitions of the log");
}

static void on_agreed_hash(void *ctx, int r, const struct store_reply *reply)
{
    agreed(ctx, r, reply, HASH_VERSION, "version of the hash");
}

static void on_agreed_window(void *ctx, int r, const struct store_reply *reply)
{
    struct aggregator *a = ctx;

    agreed(a, r, reply, a->window_text, "seconds of a base window (option window)");
}

/* In h:conf: how many partitions there are, for readers; how keys are hashed; how wide a window is,
 * since windows of another width would be neither found nor swept. */
static void agree(struct aggregator *a)
{
    uint32_t n = log_consumer_partitions(a->host.consumer);
    struct key key = key_conf();

    if (a->agreed == FIELDS_AGREED || a->agreeing > 0 || a->disagreed || n == 0)
        return;
    snprintf(a->n_text, sizeof a->n_text, "%" PRIu32, n);
    a->agreed = 0;
    a->agreeing = FIELDS_AGREED;
    store_agree(a->host.store, key_bytes(&key), BYTES_LIT("n"), bytes_str(a->n_text), on_agreed_n,
                a);
    store_agree(a->host.store, key_bytes(&key), BYTES_LIT("hash"), BYTES_LIT(HASH_VERSION),
                on_agreed_hash, a);
    snprintf(a->window_text, sizeof a->window_text, "%" PRId64, a->host.o->window / MS_PER_S);
    store_agree(a->host.store, key_bytes(&key), BYTES_LIT("window"), bytes_str(a->window_text),
                on_agreed_window, a);
}

struct asking {
    const struct aggregator_options *o;
    struct failure *f;
    bool answered;
    int r;
};

static void on_stored_window(void *ctx, int r, const struct store_reply *reply)
{
    struct asking *a = ctx;
    struct bytes stored = r == 0 ? reply->values[0] : (struct bytes){0};
    char ours[24], hint[120];

    a->answered = true;
    snprintf(ours, sizeof ours, "%" PRId64, a->o->window / MS_PER_S);
    if (r != 0)
        a->r = fail(a->f, 500, "store", NULL, "the store cannot be read: %s", strerror(-r));
    else if (stored.data && !bytes_equal(stored, bytes_str(ours))) {
        snprintf(hint, sizeof hint, "set window to %.*ss again, or begin with an empty store",
                 (int)(stored.len < 20 ? stored.len : 20), (const char *)stored.data);
        a->r = fail(a->f, 400, "store_disagrees", hint,
                    "the option window is %ss, but what is stored is in windows of %.*ss", ours,
                    (int)(stored.len < 20 ? stored.len : 20), (const char *)stored.data);
    }
}

int aggregator_check_store(uv_loop_t *loop, struct store *store, const struct aggregator_options *o,
                           struct failure *f)
{
    struct asking a = {.o = o, .f = f};
    struct key key = key_conf();

    store_hash_get(store, key_bytes(&key), &BYTES_LIT("window"), 1, on_stored_window, &a);
    while (!a.answered)
        uv_run(loop, UV_RUN_ONCE);
    return a.r;
}

/* ---- partitions ---------------------------------------------------------------------------- */

static struct partition **find(struct aggregator *a, uint32_t id)
{
    for (size_t i = 0; i < a->n_partitions; i++)
        if (partition_id(a->partitions[i]) == id)
            return &a->partitions[i];
    return NULL;
}

/* A store made for other settings is not written to: what is assigned waits until all is agreed on.
 */
static void begin_waiting(struct aggregator *a)
{
    if (a->agreed < FIELDS_AGREED)
        return;
    XGROW(a->partitions, a->cap_partitions, a->n_partitions + a->n_waiting);
    while (a->n_waiting > 0) {
        uint32_t id = a->waiting[--a->n_waiting];

        CHECK(!find(a, id));
        a->partitions[a->n_partitions++] = partition_new(&a->host, id);
    }
}

static void on_assigned(void *ctx, const uint32_t *partitions, size_t n)
{
    struct aggregator *a = ctx;

    a->assigned = true;
    XGROW(a->waiting, a->cap_waiting, a->n_waiting + n);
    memcpy(a->waiting + a->n_waiting, partitions, n * sizeof *partitions);
    a->n_waiting += n;
    agree(a);
    begin_waiting(a);
}

static void stop_waiting(struct aggregator *a, uint32_t id)
{
    for (size_t i = 0; i < a->n_waiting; i++)
        if (a->waiting[i] == id)
            a->waiting[i--] = a->waiting[--a->n_waiting];
}

static void all_released(struct aggregator *a)
{
    if (a->n_releasing > 0 || !a->revoking)
        return;
    a->revoking = false;
    log_consumer_released(a->host.consumer);
}

static void on_released(void *ctx)
{
    struct aggregator *a = ctx;

    a->n_releasing--;
    all_released(a);
}

static void on_revoked(void *ctx, const uint32_t *partitions, size_t n, bool lost)
{
    struct aggregator *a = ctx;

    a->revoking = true;
    for (size_t i = 0; i < n; i++) {
        struct partition **at = find(a, partitions[i]), *p = at ? *at : NULL;

        stop_waiting(a, partitions[i]);
        if (!p)
            continue;
        *at = a->partitions[--a->n_partitions];
        a->n_releasing++;
        partition_release(p, lost, on_released, a);
    }
    all_released(a);
}

static void on_message(void *ctx, const struct log_message *m)
{
    struct partition **at = find(ctx, m->partition);

    if (at)
        partition_message(*at, m);
}

static void on_gap(void *ctx, uint32_t partition, uint64_t wanted, uint64_t first)
{
    struct partition **at = find(ctx, partition);

    if (at)
        partition_gap(*at, wanted, first);
}

static const struct log_consumer_events consumer_events = {
    .assigned = on_assigned,
    .revoked = on_revoked,
    .message = on_message,
    .gap = on_gap,
};

/* ---- the timer ----------------------------------------------------------------------------- */

static void report_lag(struct aggregator *a)
{
    int64_t lag = 0;
    uint64_t records;

    for (size_t i = 0; i < a->n_partitions; i++)
        if (partition_lag(a->partitions[i], &records))
            lag += (int64_t)records;
    count(M_LAG, lag - a->lag_reported);
    a->lag_reported = lag;
}

static void on_tick(uv_timer_t *t)
{
    struct aggregator *a = t->data;

    if (a->host.store_went_back) {
        a->host.store_went_back = false;
        a->agreed = 0;
    }
    if (!a->closing)
        agree(a);
    for (size_t i = 0; i < a->n_partitions; i++)
        partition_flush(a->partitions[i]);
    report_lag(a);
}

/* ---- readiness ----------------------------------------------------------------------------- */

static bool not_ready(struct buf *why, const char *text, int64_t n)
{
    if (n >= 0)
        buf_printf(why, "%s: %" PRId64, text, n);
    else
        buf_append_str(why, text);
    return false;
}

static bool is_lagging(const struct partition *p, int64_t now_ms)
{
    uint64_t records;

    return partition_lag(p, &records) && records > 0 &&
           now_ms - partition_stream_ms(p) > LAGGING_MS;
}

bool aggregator_ready(const struct aggregator *a, struct buf *why)
{
    int64_t loading = 0, lagging = 0, now_ms = clock_wall_ms();

    for (size_t i = 0; i < a->n_partitions; i++) {
        loading += !partition_loaded(a->partitions[i]);
        lagging += is_lagging(a->partitions[i], now_ms);
    }
    if (a->disagreed)
        return not_ready(why, "the store was made with other settings (the log names which)", -1);
    if (!store_ready(a->host.store))
        return not_ready(why, "the store does not answer", -1);
    if (!a->assigned)
        return not_ready(why, "no partitions assigned yet", -1);
    if (a->agreed < FIELDS_AGREED)
        return not_ready(why, "not agreed with the store on its settings yet", -1);
    if (loading > 0)
        return not_ready(why, "partitions that are still loading", loading);
    if (lagging > 0)
        return not_ready(why, "partitions that are more than 30 s behind the log", lagging);
    return true;
}

/* ---- life ---------------------------------------------------------------------------------- */

static int check_options(const struct aggregator_options *o, struct failure *f)
{
    if (o->window % MS_PER_S != 0)
        return fail(f, 400, "bad_option", "give whole seconds, such as 10s or 1m",
                    "option window: %" PRId64 " ms is not a whole number of seconds", o->window);
    if (o->keep_base < o->window)
        return fail(f, 400, "bad_option", NULL, "option keep_base is shorter than one window");
    return 0;
}

void aggregator_check(void *ctx, struct options *options)
{
    struct failure f;

    if (check_options(ctx, &f))
        options_refuse(options, &f);
}

static void host_init(struct aggregator *a, uv_loop_t *loop, struct store *store)
{
    a->host = (struct partition_host){
        .loop = loop,
        .store = store,
        .o = &a->o,
        .decoder = record_decoder_new(),
        .z = zcodec_new(),
    };
}

static void aggregator_free(struct aggregator *a)
{
    record_decoder_free(a->host.decoder);
    zcodec_free(a->host.z);
    free(a->partitions);
    free(a->waiting);
    free(a);
}

int aggregator_new(uv_loop_t *loop, struct store *store, aggregator_consumer_cb *consumer_new,
                   void *consumer_ctx, const struct aggregator_options *o, struct aggregator **ret,
                   struct failure *f)
{
    struct aggregator *a;
    int r = check_options(o, f);

    if (r != 0)
        return r;
    aggregator_metrics_register();
    a = xcalloc(1, sizeof *a);
    a->o = *o;
    host_init(a, loop, store);
    r = consumer_new(loop, &consumer_events, a, &a->host.consumer, consumer_ctx, f);
    if (r != 0) {
        aggregator_free(a);
        return r;
    }
    uv_timer_init(loop, &a->tick);
    a->tick.data = a;
    uv_timer_start(&a->tick, on_tick, 1, (uint64_t)o->flush_interval);
    *ret = a;
    return 0;
}

static void on_tick_closed(uv_handle_t *h)
{
    struct aggregator *a = h->data;
    void (*closed)(void *ctx) = a->closed;
    void *ctx = a->closed_ctx;

    aggregator_free(a);
    closed(ctx);
}

static void on_store_closed(void *ctx)
{
    struct aggregator *a = ctx;

    uv_close((uv_handle_t *)&a->tick, on_tick_closed);
}

static void on_consumer_closed(void *ctx)
{
    struct aggregator *a = ctx;

    uv_timer_stop(&a->tick);
    count(M_LAG, -a->lag_reported);
    CHECK(a->n_partitions == 0 && a->n_releasing == 0);
    store_close(a->host.store, on_store_closed, a);
}

void aggregator_close(struct aggregator *a, void (*closed)(void *ctx), void *ctx)
{
    CHECK(!a->closing);
    a->closing = true;
    a->closed = closed;
    a->closed_ctx = ctx;
    log_consumer_close(a->host.consumer, on_consumer_closed, a);
}
