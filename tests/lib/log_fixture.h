/*
 * A log under test: a bounded loop, a producer that notes what was acknowledged where, a consumer
 * that notes what came. The same over both implementations. Header-only: each test program has one
 * translation unit.
 *
 * Every wait has a bound that only ends a hopeless run; a handle left open fails the test.
 */
#ifndef HEARTH_TESTS_LIB_LOG_FIXTURE_H
#define HEARTH_TESTS_LIB_LOG_FIXTURE_H

#include "base/clock.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/xalloc.h"
#include "log/log_kafka.h"
#include "log/log_local.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum log_kind { LOG_LOCAL, LOG_KAFKA };
enum { FIXTURE_PARTITIONS = 4, FIXTURE_WAIT_MS = 60000, FIXTURE_RECORDS = 20000 };

struct record_seen {
    uint32_t partition;
    uint64_t offset;
    int64_t time_ms;
    uint64_t hash; /* of the value */
    size_t len;
};

struct gap_seen {
    uint32_t partition;
    uint64_t wanted, first;
};

struct world {
    enum log_kind kind;
    uv_loop_t loop;
    uv_timer_t bound;
    bool late;
    char dir[64];
    struct log_local_options local_options;
    struct log_local *local;
    struct log_kafka_options kafka_options;
    char *topic, *group;
    struct log_producer *producer;
    struct record_seen *acked;
    size_t n_acked, cap_acked, n_sent, n_failed;
};

struct member {
    struct world *w;
    struct log_consumer *c;
    const char *instance;
    uint64_t start[FIXTURE_PARTITIONS]; /* where to begin; goes on with what came */
    bool owned[FIXTURE_PARTITIONS];
    size_t n_owned, n_assigned, n_revoked, n_lost;
    bool hold_release, must_release, closed;
    size_t pause_after; /* pause a partition when this many came; 0: never */
    bool flush_all;     /* tell the log that each record is flushed */
    struct record_seen *seen;
    size_t n_seen, cap_seen;
    struct gap_seen gaps[16];
    size_t n_gaps;
};

/* ---- the loop ---------------------------------------------------------------------------------
 */

static inline void on_bound(uv_timer_t *t)
{
    ((struct world *)t->data)->late = true;
}

/* Runs the loop until cond is true. */
#define WAIT(w, cond)                                                                              \
    do {                                                                                           \
        uv_timer_start(&(w)->bound, on_bound, FIXTURE_WAIT_MS, 20);                               \
        (w)->late = false;                                                                         \
        while (!(cond) && !(w)->late)                                                              \
            uv_run(&(w)->loop, UV_RUN_ONCE);                                                       \
        uv_timer_stop(&(w)->bound);                                                                \
        if (!(cond))                                                                               \
            fail_msg("not reached in %d ms: %s", FIXTURE_WAIT_MS, #cond);                          \
    } while (0)

/* Runs the loop for a while: for what must not happen. */
static inline void linger(struct world *w, unsigned ms)
{
    uv_timer_start(&w->bound, on_bound, ms, 20);
    w->late = false;
    while (!w->late)
        uv_run(&w->loop, UV_RUN_ONCE);
    uv_timer_stop(&w->bound);
}

static inline void on_flag(void *ctx)
{
    *(bool *)ctx = true;
}

static inline void report_handle(uv_handle_t *h, void *arg)
{
    (void)arg;
    fprintf(stderr, "open handle: %s\n", uv_handle_type_name(h->type));
}

static inline void loop_end(struct world *w)
{
    uv_close((uv_handle_t *)&w->bound, NULL);
    uv_run(&w->loop, UV_RUN_NOWAIT);
    uv_run(&w->loop, UV_RUN_NOWAIT);
    if (uv_loop_close(&w->loop) != 0) {
        uv_walk(&w->loop, report_handle, NULL);
        fail_msg("the loop has open handles");
    }
}

/* ---- the log ----------------------------------------------------------------------------------
 */

static inline void remove_tree(const char *dir)
{
    char *command = xasprintf("rm -rf -- '%s'", dir);

    assert_int_equal(system(command), 0);
    free(command);
}

static inline void local_open(struct world *w)
{
    struct failure f;
    int r = log_local_open(w->dir, &w->local_options, &w->local, &f);

    if (r != 0)
        fail_msg("log_local_open: %d: %s (%s)", r, f.message, f.hint);
}

static inline void producer_open(struct world *w)
{
    struct failure f;

    if (w->kind == LOG_LOCAL)
        w->producer = log_local_producer_new(&w->loop, w->local);
    else if (log_kafka_producer_new(&w->loop, &w->kafka_options, &w->producer, &f) != 0)
        fail_msg("log_kafka_producer_new: %s", f.message);
}

static inline void producer_shut(struct world *w)
{
    bool closed = false;

    if (!w->producer)
        return;
    log_producer_close(w->producer, on_flag, &closed);
    WAIT(w, closed);
    w->producer = NULL;
}

static inline struct log_kafka_options kafka_defaults(const char *brokers)
{
    return (struct log_kafka_options){
        .kafka_brokers = (char *)(uintptr_t)brokers,
        .kafka_queue_bytes = 4 << 20,
        .kafka_linger = 1,
        .kafka_message_timeout = 10000,
        .kafka_session_timeout = 6000,
        .kafka_fetch_bytes = 8 << 20,
        .kafka_security_protocol = (char *)(uintptr_t) "plaintext",
    };
}

static inline void world_base(struct world *w, enum log_kind kind)
{
    *w = (struct world){.kind = kind};
    assert_int_equal(uv_loop_init(&w->loop), 0);
    uv_timer_init(&w->loop, &w->bound);
    w->bound.data = w;
}

static inline void world_local(struct world *w)
{
    world_base(w, LOG_LOCAL);
    w->local_options = (struct log_local_options){FIXTURE_PARTITIONS, 1 << 30, 16 << 20};
    snprintf(w->dir, sizeof w->dir, "/tmp/hearth-log-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
}

/* A topic and a group of their own. */
static inline void world_kafka(struct world *w)
{
    struct failure f;

    world_base(w, LOG_KAFKA);
    w->kafka_options = kafka_defaults(getenv("HEARTH_TEST_KAFKA"));
    w->topic = xasprintf("log-%d-%016llx", getpid(), (unsigned long long)random_u64());
    w->group = xasprintf("group-%s", w->topic);
    w->kafka_options.kafka_topic = w->topic;
    w->kafka_options.kafka_group = w->group;
    if (log_kafka_create_topic(&w->kafka_options, FIXTURE_PARTITIONS, 1, 30000, &f) != 0)
        fail_msg("log_kafka_create_topic: %s", f.message);
}

static inline void world_open(struct world *w, enum log_kind kind)
{
    if (kind == LOG_LOCAL) {
        world_local(w);
        local_open(w);
    } else {
        world_kafka(w);
    }
    producer_open(w);
}

static inline void world_close(struct world *w)
{
    producer_shut(w);
    log_local_close(w->local);
    loop_end(w);
    if (w->kind == LOG_LOCAL)
        remove_tree(w->dir);
    free(w->topic);
    free(w->group);
    free(w->acked);
}

/* Closes producer and log and opens them again: what another process would find. */
static inline void world_restart(struct world *w)
{
    producer_shut(w);
    if (w->kind == LOG_LOCAL) {
        log_local_close(w->local);
        local_open(w);
    }
    producer_open(w);
}

/* ---- producing --------------------------------------------------------------------------------
 */

struct sending {
    struct log_publish pub;
    struct world *w;
    bool once; /* count a failure instead of sending again */
};

static inline void on_sent(struct log_publish *pub, int r, uint64_t offset);

static inline void submit(struct sending *s)
{
    int r = log_publish(s->w->producer, &s->pub);

    /* Full: what is on its way makes room. */
    for (int turns = 0; r == LOG_E_FULL && turns < 100000; turns++) {
        uv_run(&s->w->loop, UV_RUN_ONCE);
        r = log_publish(s->w->producer, &s->pub);
    }
    if (r != 0)
        fail_msg("log_publish: %d", r);
}

struct again {
    uv_timer_t timer;
    struct sending *s;
};

static inline void on_again_closed(uv_handle_t *h)
{
    free(container_of((uv_timer_t *)h, struct again, timer));
}

static inline void on_again(uv_timer_t *t)
{
    struct again *a = container_of(t, struct again, timer);

    if (log_publish(a->s->w->producer, &a->s->pub) != 0)
        return; /* full: at the next tick */
    uv_close((uv_handle_t *)t, on_again_closed);
}

static inline void send_later(struct sending *s)
{
    struct again *a = xcalloc(1, sizeof *a);

    a->s = s;
    uv_timer_init(&s->w->loop, &a->timer);
    uv_timer_start(&a->timer, on_again, 20, 20);
}

static inline void on_sent(struct log_publish *pub, int r, uint64_t offset)
{
    struct sending *s = container_of(pub, struct sending, pub);
    struct world *w = s->w;

    if (r != 0 && !s->once) {
        w->n_failed++;
        send_later(s);
        return;
    }
    if (r == 0) {
        XGROW(w->acked, w->cap_acked, w->n_acked + 1);
        w->acked[w->n_acked++] =
            (struct record_seen){pub->partition, offset, 0, hash64(pub->value), pub->value.len};
    } else {
        w->n_failed++;
        w->n_sent--;
    }
    free((void *)(uintptr_t)pub->value.data);
    free(s);
}

/* A value that no other has: its number, padded to len. */
static inline struct bytes value_new(size_t number, size_t len)
{
    uint8_t *data = xcalloc(1, len < 32 ? 32 : len);
    int n = snprintf((char *)data, 32, "record %zu of %d;", number, getpid());

    for (size_t i = (size_t)n; i < len; i++)
        data[i] = (uint8_t)(number * 31 + i * 7);
    return bytes_of(data, len < 32 ? 32 : len);
}

static inline void send_one(struct world *w, uint32_t partition, size_t len, bool once)
{
    struct sending *s = xcalloc(1, sizeof *s);

    *s = (struct sending){.pub = {partition, value_new(w->n_sent, len), on_sent, NULL}, w, once};
    w->n_sent++;
    submit(s);
}

static inline void send_many(struct world *w, size_t n, size_t len)
{
    for (size_t i = 0; i < n; i++)
        send_one(w, (uint32_t)(i % FIXTURE_PARTITIONS), len, false);
}

static inline void wait_acked(struct world *w)
{
    WAIT(w, w->n_acked == w->n_sent);
}

/* ---- consuming --------------------------------------------------------------------------------
 */

static inline void on_assigned(void *ctx, const uint32_t *partitions, size_t n)
{
    struct member *m = ctx;

    m->n_assigned++;
    for (size_t i = 0; i < n; i++) {
        assert_false(m->owned[partitions[i]]);
        m->owned[partitions[i]] = true;
        m->n_owned++;
        log_consumer_start(m->c, partitions[i], m->start[partitions[i]]);
    }
}

static inline void on_revoked(void *ctx, const uint32_t *partitions, size_t n, bool lost)
{
    struct member *m = ctx;

    m->n_revoked++;
    m->n_lost += lost;
    for (size_t i = 0; i < n; i++) {
        assert_true(m->owned[partitions[i]]);
        m->owned[partitions[i]] = false;
        m->n_owned--;
    }
    if (m->hold_release)
        m->must_release = true;
    else
        log_consumer_released(m->c);
}

static inline void on_message(void *ctx, const struct log_message *msg)
{
    struct member *m = ctx;

    assert_true(m->owned[msg->partition]);
    XGROW(m->seen, m->cap_seen, m->n_seen + 1);
    m->seen[m->n_seen++] = (struct record_seen){msg->partition, msg->offset, msg->time_ms,
                                                hash64(msg->value), msg->value.len};
    m->start[msg->partition] = msg->offset + 1;
    if (m->flush_all)
        log_consumer_flushed(m->c, msg->partition, msg->offset + 1);
    if (m->pause_after && m->n_seen >= m->pause_after)
        log_consumer_pause(m->c, msg->partition);
}

static inline void on_gap(void *ctx, uint32_t partition, uint64_t wanted, uint64_t first)
{
    struct member *m = ctx;

    assert_true(m->n_gaps < 16);
    m->gaps[m->n_gaps++] = (struct gap_seen){partition, wanted, first};
}

static const struct log_consumer_events member_events = {on_assigned, on_revoked, on_message,
                                                         on_gap};

static inline void member_open(struct member *m, struct world *w, const char *instance)
{
    struct failure f;

    m->w = w;
    m->instance = instance;
    m->closed = false;
    if (w->kind == LOG_LOCAL)
        m->c = log_local_consumer_new(&w->loop, w->local, &member_events, m);
    else if (log_kafka_consumer_new(&w->loop, &w->kafka_options, instance, &member_events, m, &m->c,
                                    &f) != 0)
        fail_msg("log_kafka_consumer_new: %s", f.message);
}

static inline struct member member_new(uint64_t start)
{
    struct member m = {0};

    for (uint32_t i = 0; i < FIXTURE_PARTITIONS; i++)
        m.start[i] = start;
    return m;
}

static inline void member_close(struct member *m)
{
    log_consumer_close(m->c, on_flag, &m->closed);
    WAIT(m->w, m->closed);
    m->c = NULL;
}

static inline void member_free(struct member *m)
{
    if (m->c)
        member_close(m);
    free(m->seen);
}

/* ---- what must hold ---------------------------------------------------------------------------
 */

static inline int by_place(const void *a, const void *b)
{
    const struct record_seen *x = a, *y = b;

    if (x->partition != y->partition)
        return x->partition < y->partition ? -1 : 1;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Each partition's offsets rise by one from the first that came. */
static inline void assert_in_order(const struct member *m)
{
    uint64_t next[FIXTURE_PARTITIONS];
    bool begun[FIXTURE_PARTITIONS] = {false};

    for (size_t i = 0; i < m->n_seen; i++) {
        const struct record_seen *s = &m->seen[i];

        if (begun[s->partition])
            assert_int_equal(s->offset, next[s->partition]);
        begun[s->partition] = true;
        next[s->partition] = s->offset + 1;
    }
}

/* All that was acknowledged has had its turn: offsets rise, so the greatest of each partition says it. A
 * count would not: a record that was sent twice is seen twice. */
static inline bool seen_through(const struct world *w, const struct member *m)
{
    uint64_t end[FIXTURE_PARTITIONS] = {0}, got[FIXTURE_PARTITIONS] = {0};

    for (size_t i = 0; i < w->n_acked; i++)
        if (end[w->acked[i].partition] <= w->acked[i].offset)
            end[w->acked[i].partition] = w->acked[i].offset + 1;
    for (size_t i = 0; i < m->n_seen; i++)
        if (got[m->seen[i].partition] <= m->seen[i].offset)
            got[m->seen[i].partition] = m->seen[i].offset + 1;
    for (size_t p = 0; p < FIXTURE_PARTITIONS; p++)
        if (got[p] < end[p])
            return false;
    return true;
}

/* Every acknowledged record came exactly where it was said to be. Others (sent twice, acknowledged
 * once) may have come too. */
static inline void assert_acked_seen(struct world *w, struct record_seen *seen, size_t n_seen)
{
    qsort(w->acked, w->n_acked, sizeof *w->acked, by_place);
    qsort(seen, n_seen, sizeof *seen, by_place);
    for (size_t i = 0, j = 0; i < w->n_acked; i++) {
        while (j < n_seen && by_place(&seen[j], &w->acked[i]) < 0)
            j++;
        if (j == n_seen || by_place(&seen[j], &w->acked[i]) != 0)
            fail_msg("record %u:%llu was acknowledged and never came", w->acked[i].partition,
                     (unsigned long long)w->acked[i].offset);
        if (seen[j].hash != w->acked[i].hash)
            fail_msg("record %u:%llu is another one", w->acked[i].partition,
                     (unsigned long long)w->acked[i].offset);
    }
}

#endif
