/*
 * A record's way: stamped and standing (in its partition's list, in the order of seq) → with the
 * log → acknowledged, gone; or failed, waiting for its backoff, with the log again; or given up.
 * What is given up while the log has it is kept until the log lets go of its bytes.
 *
 * One timer, running only while records stand, looks at deadlines and backoffs. All records have
 * the same timeout, so those nearest to it are at the front of the list of all.
 */
#include "collector/publisher.h"

#include "base/backoff.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/logger.h"
#include "base/xalloc.h"
#include "collector/collector_metrics.h"
#include "wire/record.h"

#include <errno.h>
#include <stdlib.h>

enum { TICK_MS = 50, RETRY_MIN_MS = 100, RETRY_MAX_MS = 2000 };

struct partition {
    uint64_t next_seq;
    struct list standing; /* of struct sending, by seq */
};

struct sending {
    struct log_publish pub;
    struct publisher *publisher;
    struct list standing, all, waiting;
    struct buf value;
    uint64_t seq;
    int64_t sent_ms, retry_ms;
    struct backoff backoff;
    bool with_log, given_up;
    publisher_done_cb *done;
    void *ctx;
};

struct publisher {
    struct log_producer *log;
    struct hash128 source;
    int64_t timeout_ms;
    struct partition **partitions;
    size_t n_partitions, cap_partitions;
    struct list all;     /* not given up, oldest first */
    struct list waiting; /* of these, the ones to be sent again */
    uv_timer_t timer;
    size_t n_sendings;
    bool closing, timer_closed;
};

struct publisher *publisher_new(uv_loop_t *loop, struct log_producer *log, int64_t timeout_ms)
{
    struct publisher *p = xcalloc(1, sizeof *p);

    p->log = log;
    p->timeout_ms = timeout_ms;
    p->source = (struct hash128){random_u64(), random_u64()};
    list_init(&p->all);
    list_init(&p->waiting);
    uv_timer_init(loop, &p->timer);
    p->timer.data = p;
    return p;
}

static void try_free(struct publisher *p)
{
    if (!p->timer_closed || p->n_sendings)
        return;
    for (size_t i = 0; i < p->n_partitions; i++)
        free(p->partitions[i]);
    free(p->partitions);
    free(p);
}

static void sending_free(struct sending *s)
{
    struct publisher *p = s->publisher;

    list_remove(&s->standing);
    list_remove(&s->all);
    list_remove(&s->waiting);
    buf_deinit(&s->value);
    free(s);
    p->n_sendings--;
    try_free(p);
}

static void retry_later(struct sending *s)
{
    s->retry_ms = clock_mono_ms() + backoff_next(&s->backoff);
    list_append(&s->publisher->waiting, &s->waiting);
}

static void on_done(struct log_publish *pub, int r, uint64_t offset)
{
    struct sending *s = container_of(pub, struct sending, pub);
    publisher_done_cb *done = s->done;
    void *ctx = s->ctx;

    (void)offset;
    s->with_log = false;
    if (s->given_up) {
        sending_free(s);
        return;
    }
    if (r) {
        LOG(LOG_DEBUG, "publish_failed", F_INT("partition", pub->partition), F_INT("seq", s->seq),
            F_STR("error", uv_strerror(r)));
        metric_add(&collector_metrics[M_RESENT], 0, 1);
        retry_later(s);
        return;
    }
    metric_observe(&collector_metrics[M_PUBLISH_SECONDS],
                   (double)(clock_mono_ms() - s->sent_ms) / MS_PER_S);
    sending_free(s);
    done(ctx, 0);
}

static void try_publish(struct sending *s)
{
    if (log_publish(s->publisher->log, &s->pub) == LOG_E_FULL)
        retry_later(s);
    else
        s->with_log = true;
}

static void give_up(struct sending *s)
{
    publisher_done_cb *done = s->done;
    void *ctx = s->ctx;

    metric_add(&collector_metrics[M_GIVEN_UP], 0, 1);
    LOG(LOG_WARN, "publish_given_up", F_INT("partition", s->pub.partition), F_INT("seq", s->seq));
    list_remove(&s->standing);
    list_remove(&s->all);
    list_remove(&s->waiting);
    s->given_up = true;
    if (!s->with_log)
        sending_free(s);
    done(ctx, -ETIMEDOUT);
}

/* Moves those that are over the time to `late`; they are in front. */
static void take_late(struct publisher *p, int64_t now_ms, struct list *late)
{
    list_init(late);
    list_for_each_safe (it, &p->all) {
        if (now_ms - container_of(it, struct sending, all)->sent_ms < p->timeout_ms)
            return;
        list_remove(it);
        list_append(late, it);
    }
}

static void take_due(struct publisher *p, int64_t now_ms, struct list *due)
{
    list_init(due);
    list_for_each_safe (it, &p->waiting) {
        if (container_of(it, struct sending, waiting)->retry_ms > now_ms)
            continue;
        list_remove(it);
        list_append(due, it);
    }
}

static void on_tick(uv_timer_t *timer)
{
    struct publisher *p = timer->data;
    int64_t now_ms = clock_mono_ms();
    struct list taken;

    take_late(p, now_ms, &taken);
    list_for_each_safe (late, &taken)
        give_up(container_of(late, struct sending, all));
    take_due(p, now_ms, &taken);
    for (struct list *l; (l = list_pop(&taken));)
        try_publish(container_of(l, struct sending, waiting));
    if (list_empty(&p->all))
        uv_timer_stop(&p->timer);
}

static struct partition *partition_at(struct publisher *p, uint32_t i)
{
    XGROW(p->partitions, p->cap_partitions, (size_t)i + 1);
    for (; p->n_partitions <= i; p->n_partitions++) {
        p->partitions[p->n_partitions] = xcalloc(1, sizeof **p->partitions);
        list_init(&p->partitions[p->n_partitions]->standing);
    }
    return p->partitions[i];
}

static void stamp(struct publisher *p, struct sending *s, struct partition *part)
{
    uint64_t low;

    s->seq = part->next_seq++;
    list_append(&part->standing, &s->standing);
    low = container_of(part->standing.next, struct sending, standing)->seq;
    record_stamp(s->value.data, s->value.len, p->source, s->seq, low);
}

void publisher_send(struct publisher *p, uint32_t partition, struct buf *value_taken,
                    publisher_done_cb *done, void *ctx)
{
    struct sending *s = xcalloc(1, sizeof *s);

    CHECK(!p->closing);
    s->publisher = p;
    s->value = *value_taken;
    *value_taken = (struct buf){0};
    s->backoff = (struct backoff){.min_ms = RETRY_MIN_MS, .max_ms = RETRY_MAX_MS};
    s->done = done;
    s->ctx = ctx;
    s->sent_ms = clock_mono_ms();
    list_init(&s->waiting);
    list_append(&p->all, &s->all);
    p->n_sendings++;
    stamp(p, s, partition_at(p, partition));
    s->pub = (struct log_publish){
        .partition = partition, .value = buf_bytes(&s->value), .done = on_done};
    metric_add(&collector_metrics[M_RECORDS], 0, 1);
    metric_add(&collector_metrics[M_RECORD_BYTES], 0, (int64_t)s->value.len);
    try_publish(s);
    if (!uv_is_active((uv_handle_t *)&p->timer))
        uv_timer_start(&p->timer, on_tick, TICK_MS, TICK_MS);
}

void publisher_hurry(struct publisher *p)
{
    p->timeout_ms = 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct publisher *p = handle->data;

    p->timer_closed = true;
    try_free(p);
}

void publisher_close(struct publisher *p)
{
    CHECK(list_empty(&p->all));
    p->closing = true;
    uv_close((uv_handle_t *)&p->timer, on_timer_closed);
}
