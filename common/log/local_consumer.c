/*
 * A consumer reads what is committed with pread(2) on its own loop, a bounded amount per turn; the
 * log's thread wakes it after each commit.
 *
 *   idle ──assigned──▶ owning ──group changes, or close──▶ revoking ──released──▶ idle
 *
 * The group is eager: when a consumer joins or leaves, everyone gives everything back, and the last
 * one to do so deals the partitions out again. So no partition ever has two owners, without any
 * message between consumers but "look again".
 *
 * A record that cannot be read (bit rot, a segment deleted under a consumer that never started) is
 * a gap: the consumer hears of it and goes on behind it. An error of the system (too many files,
 * EIO) is logged and tried again a moment later.
 */
#include "base/logger.h"
#include "base/metrics.h"
#include "base/xalloc.h"
#include "log/local_impl.h"

#include <errno.h>
#include <stdlib.h>

enum { TURN_MESSAGES = 64, TURN_BYTES = 4 << 20, RETRY_MS = 200 };

enum { M_GAPS, M_MISSING, N_METRICS };
static struct metric metrics[N_METRICS] = {
    [M_GAPS] = METRIC_COUNTER("hearth_log_local_gaps_total", "times that records were missing"),
    [M_MISSING] = METRIC_COUNTER("hearth_log_local_missing_total", "records that were missing"),
};

struct cursor_state {
    bool started, paused;
    uint64_t next; /* offset of the next message */
    struct segment_reader reader;
    bool open;
};

enum consumer_state { IDLE, OWNING, REVOKING };

struct local_consumer {
    struct log_consumer base;
    struct log_local *log;
    const struct log_consumer_events *events;
    void *ctx;
    uv_async_t async;
    uv_timer_t retry;
    unsigned n_open_handles;
    enum consumer_state state;
    bool closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
    uint32_t *owned; /* numbers of the partitions it has */
    size_t n_owned;
    size_t turn;                  /* which of them comes first in the next turn */
    struct cursor_state *cursors; /* by partition */

    struct list link; /* these under the log's lock */
    bool dealt;       /* first, n: a new hand, not yet picked up */
    uint32_t dealt_first, dealt_n;
};

static struct local_consumer *consumer_of(struct log_consumer *base)
{
    return container_of(base, struct local_consumer, base);
}

/* ---- the group (all under the log's lock) -----------------------------------------------------
 */

void local_wake_consumers(struct log_local *l)
{
    list_for_each (it, &l->consumers)
        uv_async_send(&container_of(it, struct local_consumer, link)->async);
}

static uint32_t members(const struct log_local *l)
{
    uint32_t n = 0;

    list_for_each (it, &l->consumers)
        n++;
    return n;
}

/* Ranges in the order of joining, the first ones one larger where it does not divide. */
static void deal(struct log_local *l)
{
    uint32_t n = members(l), at = 0, i = 0;

    if (!l->rebalancing || l->n_holders > 0)
        return;
    list_for_each (it, &l->consumers) {
        struct local_consumer *c = container_of(it, struct local_consumer, link);

        c->dealt_first = at;
        c->dealt_n = l->n_partitions / n + (i++ < l->n_partitions % n);
        c->dealt = c->dealt_n > 0;
        l->n_holders += c->dealt;
        at += c->dealt_n;
    }
    l->rebalancing = false;
    local_wake_consumers(l);
}

static void rebalance(struct log_local *l)
{
    l->rebalancing = true;
    local_wake_consumers(l);
    deal(l);
}

static void give_back(struct log_local *l)
{
    l->n_holders--;
    deal(l);
}

/* ---- owning and revoking ----------------------------------------------------------------------
 */

static void cursor_stop(struct cursor_state *k)
{
    if (k->open)
        segment_reader_close(&k->reader);
    *k = (struct cursor_state){0};
}

static void hand_take(struct local_consumer *c, uint32_t first, uint32_t n)
{
    c->n_owned = n;
    for (uint32_t i = 0; i < n; i++)
        c->owned[i] = first + i;
    c->state = OWNING;
    LOG(LOG_INFO, "log_assigned", F_INT("first", first), F_INT("partitions", n));
    c->events->assigned(c->ctx, c->owned, n);
}

static void revoke_all(struct local_consumer *c)
{
    c->state = REVOKING;
    for (size_t i = 0; i < c->n_owned; i++)
        cursor_stop(&c->cursors[c->owned[i]]);
    c->events->revoked(c->ctx, c->owned, c->n_owned, false);
}

static void consumer_released(struct log_consumer *base)
{
    struct local_consumer *c = consumer_of(base);

    CHECK(c->state == REVOKING);
    c->state = IDLE;
    c->n_owned = 0;
    uv_mutex_lock(&c->log->lock);
    give_back(c->log);
    uv_async_send(&c->async);
    uv_mutex_unlock(&c->log->lock);
}

static void on_closed(uv_handle_t *handle)
{
    struct local_consumer *c = handle->data;
    void (*closed)(void *ctx) = c->closed;
    void *ctx = c->closed_ctx;

    if (--c->n_open_handles > 0)
        return;
    free(c->cursors);
    free(c->owned);
    free(c);
    closed(ctx);
}

static void leave(struct local_consumer *c)
{
    uv_mutex_lock(&c->log->lock);
    list_remove(&c->link);
    c->log->n_holders -= c->dealt; /* giving the last hand back may have dealt this one */
    rebalance(c->log);
    uv_mutex_unlock(&c->log->lock);
    uv_close((uv_handle_t *)&c->async, on_closed);
    uv_close((uv_handle_t *)&c->retry, on_closed);
}

/* A hand that the group (or the consumer) no longer wants is given back before anyone hears of it.
 */
static bool hand_pick_up(struct local_consumer *c, uint32_t *first, uint32_t *n)
{
    bool taken = false;

    uv_mutex_lock(&c->log->lock);
    if (c->dealt && (c->log->rebalancing || c->closing)) {
        c->dealt = false;
        give_back(c->log);
    }
    if (c->dealt && !c->closing) {
        c->dealt = false;
        taken = true;
        *first = c->dealt_first;
        *n = c->dealt_n;
    }
    uv_mutex_unlock(&c->log->lock);
    return taken;
}

static bool must_revoke(struct local_consumer *c)
{
    bool rebalancing;

    uv_mutex_lock(&c->log->lock);
    rebalancing = c->log->rebalancing;
    uv_mutex_unlock(&c->log->lock);
    return rebalancing || c->closing;
}

/* ---- messages ---------------------------------------------------------------------------------
 */

static void report_gap(struct local_consumer *c, uint32_t partition, uint64_t first)
{
    struct cursor_state *k = &c->cursors[partition];
    uint64_t wanted = k->next;

    LOG(LOG_ERROR, "log_gap", F_INT("partition", partition), F_INT("wanted", wanted),
        F_INT("first", first));
    metric_add(&metrics[M_GAPS], 0, 1);
    metric_add(&metrics[M_MISSING], 0, first > wanted ? (int64_t)(first - wanted) : 0);
    if (k->open)
        segment_reader_close(&k->reader);
    k->open = false;
    k->next = first;
    c->events->gap(c->ctx, partition, wanted, first);
}

static void report_message(struct local_consumer *c, uint32_t partition,
                           const struct segment_record *rec)
{
    struct log_message m = {partition, rec->offset, rec->time_ms, rec->value};

    c->cursors[partition].next = rec->offset + 1;
    c->events->message(c->ctx, &m);
}

enum { STEP_MORE, STEP_END };

static int reader_at(struct local_consumer *c, struct cursor_state *k, uint64_t base)
{
    int dirfd = c->log->partitions[k - c->cursors].dirfd;
    int r;

    if (k->open && k->reader.base == base)
        return 0;
    if (k->open)
        segment_reader_close(&k->reader);
    r = segment_reader_open(dirfd, base, &k->reader);
    k->open = r == 0;
    return r;
}

/* Reads up to the record that the cursor wants; SEGMENT_E_END if this segment has it no more. */
static int read_wanted(struct cursor_state *k, uint64_t limit, struct segment_record *rec)
{
    int r;

    do
        r = segment_read(&k->reader, limit, rec);
    while (r == 0 && rec->offset < k->next);
    return r;
}

static void on_retry(uv_timer_t *timer);

static int try_again_later(struct local_consumer *c, uint32_t partition, int r)
{
    LOG(LOG_ERROR, "log_read_failed", F_INT("partition", partition), F_STR("error", strerror(-r)));
    uv_timer_start(&c->retry, on_retry, RETRY_MS, 0);
    return STEP_END;
}

/* At most one message or gap of one partition. */
static int step(struct local_consumer *c, uint32_t partition, size_t *bytes)
{
    struct cursor_state *k = &c->cursors[partition];
    struct partition_place place = partition_find(&c->log->partitions[partition], k->next);
    struct segment_record rec;
    int r;

    if (k->next == place.end)
        return STEP_END;
    if (k->next < place.first || k->next > place.end) {
        report_gap(c, partition, place.first);
        return STEP_MORE;
    }
    r = reader_at(c, k, place.base);
    if (r == 0)
        r = read_wanted(k, place.limit, &rec);
    if (r == -ENOENT) /* deleted since; the next look says what is first now */
        return STEP_MORE;
    if (r < 0)
        return try_again_later(c, partition, r);
    if (r > 0 || rec.offset >= place.segment_end) {
        report_gap(c, partition, place.segment_end);
        return STEP_MORE;
    }
    if (rec.offset > k->next) {
        report_gap(c, partition, rec.offset);
        return STEP_MORE;
    }
    *bytes += rec.value.len;
    report_message(c, partition, &rec);
    return STEP_MORE;
}

static bool can_read(const struct local_consumer *c, uint32_t partition)
{
    const struct cursor_state *k = &c->cursors[partition];

    return c->state == OWNING && !c->closing && k->started && !k->paused;
}

/* A turn's worth, the partitions in rotation. True if there is more to do. */
static bool pump(struct local_consumer *c)
{
    size_t bytes = 0, n = 0, idle = 0;

    while (c->n_owned > 0 && idle < c->n_owned) {
        uint32_t partition = c->owned[c->turn++ % c->n_owned];

        if (n >= TURN_MESSAGES || bytes >= TURN_BYTES)
            return true;
        if (!can_read(c, partition) || step(c, partition, &bytes) == STEP_END) {
            idle++;
            continue;
        }
        idle = 0;
        n++;
    }
    return false;
}

/* ---- the loop ---------------------------------------------------------------------------------
 */

static void look(struct local_consumer *c)
{
    uint32_t first, n;

    if (c->state == OWNING && must_revoke(c))
        revoke_all(c);
    if (c->state == IDLE && hand_pick_up(c, &first, &n))
        hand_take(c, first, n);
    if (c->state == IDLE && c->closing) {
        leave(c);
        return;
    }
    if (pump(c))
        uv_async_send(&c->async);
}

static void on_async(uv_async_t *async)
{
    struct local_consumer *c = async->data;

    if (!uv_is_closing((uv_handle_t *)async))
        look(c);
}

static void on_retry(uv_timer_t *timer)
{
    look(timer->data);
}

/* ---- operations -------------------------------------------------------------------------------
 */

static void consumer_start(struct log_consumer *base, uint32_t partition, uint64_t offset)
{
    struct local_consumer *c = consumer_of(base);
    struct cursor_state *k = &c->cursors[partition];
    struct local_partition *p = &c->log->partitions[partition];

    CHECK(c->state == OWNING && partition < c->log->n_partitions);
    cursor_stop(k);
    k->started = true;
    uv_mutex_lock(&c->log->lock);
    k->next = offset == LOG_BEGIN ? p->view[0].base : offset;
    p->flushed = offset == LOG_BEGIN ? 0 : offset;
    uv_mutex_unlock(&c->log->lock);
    uv_async_send(&c->async);
}

static void consumer_pause(struct log_consumer *base, uint32_t partition)
{
    consumer_of(base)->cursors[partition].paused = true;
}

static void consumer_resume(struct log_consumer *base, uint32_t partition)
{
    struct local_consumer *c = consumer_of(base);

    c->cursors[partition].paused = false;
    uv_async_send(&c->async);
}

static void consumer_flushed(struct log_consumer *base, uint32_t partition, uint64_t offset)
{
    struct log_local *l = consumer_of(base)->log;

    uv_mutex_lock(&l->lock);
    if (offset > l->partitions[partition].flushed)
        l->partitions[partition].flushed = offset;
    uv_mutex_unlock(&l->lock);
}

static bool consumer_end(struct log_consumer *base, uint32_t partition, uint64_t *ret_end)
{
    struct log_local *l = consumer_of(base)->log;

    uv_mutex_lock(&l->lock);
    *ret_end = l->partitions[partition].end;
    uv_mutex_unlock(&l->lock);
    return true;
}

static uint32_t consumer_partitions(const struct log_consumer *base)
{
    return container_of(base, struct local_consumer, base)->log->n_partitions;
}

static void consumer_close(struct log_consumer *base, void (*closed)(void *ctx), void *ctx)
{
    struct local_consumer *c = consumer_of(base);

    CHECK(!c->closing);
    c->closing = true;
    c->closed = closed;
    c->closed_ctx = ctx;
    uv_async_send(&c->async);
}

static const struct log_consumer_ops consumer_ops = {
    .start = consumer_start,
    .released = consumer_released,
    .pause = consumer_pause,
    .resume = consumer_resume,
    .flushed = consumer_flushed,
    .end = consumer_end,
    .partitions = consumer_partitions,
    .close = consumer_close,
};

struct log_consumer *log_local_consumer_new(uv_loop_t *loop, struct log_local *l,
                                            const struct log_consumer_events *events, void *ctx)
{
    struct local_consumer *c = xcalloc(1, sizeof *c);

    metrics_register(metrics, N_METRICS);
    c->base.ops = &consumer_ops;
    c->log = l;
    c->events = events;
    c->ctx = ctx;
    c->owned = xcalloc(l->n_partitions, sizeof *c->owned);
    c->cursors = xcalloc(l->n_partitions, sizeof *c->cursors);
    CHECK(uv_async_init(loop, &c->async, on_async) == 0);
    CHECK(uv_timer_init(loop, &c->retry) == 0);
    c->async.data = c->retry.data = c;
    c->n_open_handles = 2;
    uv_mutex_lock(&l->lock);
    list_append(&l->consumers, &c->link);
    rebalance(l);
    uv_mutex_unlock(&l->lock);
    return &c->base;
}
