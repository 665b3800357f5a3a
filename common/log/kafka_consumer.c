/*
 * A member of the consumer group (eager, range, static): librdkafka runs the group's protocol in
 * the background, we answer its rebalance events and decide where each partition begins.
 *
 *   idle ──ASSIGN──▶ owning ──REVOKE──▶ revoking ──released──▶ idle        (and the next ASSIGN)
 *     any ──fatal error, lost──▶ the handle is destroyed; a new one follows after a backoff
 *     any ──close──▶ REVOKE, released, then the handle says that it has left
 *
 * Where a partition begins is given to librdkafka by assigning: whenever a start (or a gap) has
 * moved a position, all started partitions are assigned again, each at its next offset. What was
 * fetched for the old assignment is dropped by librdkafka; what is given twice (it refetches after
 * a pause) is dropped here, by offset. librdkafka's seek would be an alternative with more corners.
 *
 * A paused partition keeps its messages in a backlog of BACKLOG_BYTES; only then librdkafka is told
 * to pause, which drops what it has prefetched.
 */
#include "base/backoff.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "base/xalloc.h"
#include "log/kafka_client.h"
#include "log/log_impl.h"

#include <errno.h>
#include <stdlib.h>

enum {
    BACKLOG_BYTES = 1 << 20,
    TURN_MESSAGES = 64,
    COMMIT_EVERY_MS = 5000,
    WATERMARKS_TIMEOUT_MS = 5000,
    CENSUS_TIMEOUT_MS = 5000,
    REOPEN_MIN_MS = 500,
    REOPEN_MAX_MS = 30000,
};

enum { M_MESSAGES, M_REPEATED, M_GAPS, M_MISSING, M_REBALANCES, M_REOPENED, N_METRICS };

static struct metric metrics[N_METRICS] = {
    [M_MESSAGES] = METRIC_COUNTER("hearth_kafka_messages_total", "messages consumed"),
    [M_REPEATED] =
        METRIC_COUNTER("hearth_kafka_refetched_total", "messages fetched again and dropped"),
    [M_GAPS] = METRIC_COUNTER("hearth_kafka_gaps_total", "times that offsets were gone from Kafka"),
    [M_MISSING] = METRIC_COUNTER("hearth_kafka_missing_total", "offsets that were gone from Kafka"),
    [M_REBALANCES] =
        METRIC_COUNTER("hearth_kafka_rebalances_total", "partitions were given or taken"),
    [M_REOPENED] = METRIC_COUNTER("hearth_kafka_consumers_reopened_total",
                                  "consumers made anew after a fatal error"),
};

struct part {
    bool owned, started, paused;
    bool fetch_paused;   /* librdkafka was told to */
    bool begin;          /* from the earliest offset, not yet known */
    uint64_t next;       /* lowest offset that may come next from librdkafka */
    struct list backlog; /* struct held, oldest first */
    size_t backlog_bytes;
    uint64_t flushed, committed;
};

/* A message that waits in the backlog. */
struct held {
    struct list link;
    rd_kafka_event_t *event;
    const rd_kafka_message_t *m;
};

enum consumer_state { IDLE, OWNING, REVOKING };

struct kafka_consumer {
    struct log_consumer base;
    uv_loop_t *loop;
    rd_kafka_conf_t *conf; /* each handle is made from a copy */
    char *topic;
    const struct log_consumer_events *events;
    void *ctx;
    struct kafka_client *client; /* NULL between two handles */
    uv_timer_t timer;            /* until the next handle */
    struct backoff backoff;
    enum consumer_state state;
    uint32_t n_topic;   /* partitions of the topic; 0: not known yet */
    bool counting;      /* a census is on its way */
    struct part *parts; /* by number of partition */
    size_t n_parts, cap_parts;
    uint32_t *owned;
    size_t n_owned, cap_owned;
    bool moved;        /* a position was: assign again */
    bool lost;         /* the handle is of no use any more */
    bool destroying;   /* the last handle is on its way out */
    bool leaving;      /* closing, and librdkafka knows */
    int64_t commit_ms; /* when offsets were committed last */
    bool closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

static struct kafka_consumer *consumer_of(struct log_consumer *base)
{
    return container_of(base, struct kafka_consumer, base);
}

static rd_kafka_t *rk_of(const struct kafka_consumer *c)
{
    return kafka_client_rk(c->client);
}

static void poke(struct kafka_consumer *c)
{
    if (c->client)
        kafka_client_poke(c->client);
}

/* ---- partitions -------------------------------------------------------------------------------
 */

static void parts_reserve(struct kafka_consumer *c, size_t n)
{
    if (n <= c->n_parts)
        return;
    /* Lists cannot move: they are empty here, as partitions are known before any is started. */
    c->parts = xreallocarray(c->parts, n, sizeof *c->parts);
    memset(c->parts + c->n_parts, 0, (n - c->n_parts) * sizeof *c->parts);
    c->n_parts = n;
    for (size_t i = 0; i < n; i++)
        list_init(&c->parts[i].backlog);
}

static void backlog_drop(struct part *p)
{
    struct list *link;

    while ((link = list_pop(&p->backlog)) != NULL) {
        struct held *h = container_of(link, struct held, link);

        rd_kafka_event_destroy(h->event);
        free(h);
    }
    p->backlog_bytes = 0;
}

static void parts_stop(struct kafka_consumer *c)
{
    for (size_t i = 0; i < c->n_parts; i++) {
        backlog_drop(&c->parts[i]);
        c->parts[i] = (struct part){0};
        list_init(&c->parts[i].backlog);
    }
}

static struct part *part_owned(struct kafka_consumer *c, int32_t partition)
{
    if (partition < 0 || (size_t)partition >= c->n_parts || !c->parts[partition].owned)
        return NULL;
    return &c->parts[partition];
}

static rd_kafka_topic_partition_list_t *list_of_one(struct kafka_consumer *c, uint32_t partition)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);

    rd_kafka_topic_partition_list_add(list, c->topic, (int32_t)partition);
    return list;
}

static void fetch_pause(struct kafka_consumer *c, uint32_t partition, bool pause)
{
    rd_kafka_topic_partition_list_t *list = list_of_one(c, partition);

    c->parts[partition].fetch_paused = pause;
    if (pause)
        rd_kafka_pause_partitions(rk_of(c), list);
    else
        rd_kafka_resume_partitions(rk_of(c), list);
    rd_kafka_topic_partition_list_destroy(list);
}

/* ---- positions --------------------------------------------------------------------------------
 */

/* All started partitions, each from its next offset on. */
static void assign_started(struct kafka_consumer *c)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)c->n_owned);
    rd_kafka_resp_err_t err;

    c->moved = false;
    for (size_t i = 0; i < c->n_owned; i++) {
        struct part *p = &c->parts[c->owned[i]];

        if (!p->started)
            continue;
        rd_kafka_topic_partition_list_add(list, c->topic, (int32_t)c->owned[i])->offset =
            p->begin ? RD_KAFKA_OFFSET_BEGINNING : (int64_t)p->next;
    }
    err = rd_kafka_assign(rk_of(c), list);
    if (err)
        LOG(LOG_ERROR, "kafka_assign_failed", F_STR("error", rd_kafka_err2str(err)));
    rd_kafka_topic_partition_list_destroy(list);
    for (size_t i = 0; i < c->n_owned; i++) /* assigning again forgets a pause */
        if (c->parts[c->owned[i]].fetch_paused)
            fetch_pause(c, c->owned[i], true);
}

static void commit(struct kafka_consumer *c)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)c->n_owned);

    c->commit_ms = clock_mono_ms();
    for (size_t i = 0; i < c->n_owned; i++) {
        struct part *p = &c->parts[c->owned[i]];

        if (p->flushed == p->committed)
            continue;
        p->committed = p->flushed;
        rd_kafka_topic_partition_list_add(list, c->topic, (int32_t)c->owned[i])->offset =
            (int64_t)p->flushed;
    }
    if (list->cnt > 0)
        rd_kafka_commit(rk_of(c), list, 1);
    rd_kafka_topic_partition_list_destroy(list);
}

/* ---- the group --------------------------------------------------------------------------------
 */

static void on_assign(struct kafka_consumer *c, const rd_kafka_topic_partition_list_t *list)
{
    size_t n = (size_t)list->cnt;

    XGROW(c->owned, c->cap_owned, n);
    for (size_t i = 0; i < n; i++) {
        c->owned[i] = (uint32_t)list->elems[i].partition;
        parts_reserve(c, c->owned[i] + (size_t)1);
        c->parts[c->owned[i]].owned = true;
    }
    c->n_owned = n;
    c->state = OWNING;
    backoff_reset(&c->backoff);
    LOG(LOG_INFO, "kafka_assigned", F_STR("topic", c->topic), F_INT("partitions", n));
    if (n > 0)
        c->events->assigned(c->ctx, c->owned, n);
    assign_started(c); /* an empty one too: the group waits for an answer */
}

static void revoke_all(struct kafka_consumer *c, bool lost)
{
    for (size_t i = 0; !lost && i < c->n_owned; i++)
        CHECK(c->parts[c->owned[i]].owned);
    c->state = REVOKING;
    for (size_t i = 0; i < c->n_owned; i++)
        backlog_drop(&c->parts[c->owned[i]]);
    LOG(LOG_INFO, "kafka_revoked", F_STR("topic", c->topic), F_INT("partitions", c->n_owned),
        F_STR("lost", lost ? "true" : "false"));
    if (c->n_owned > 0)
        c->events->revoked(c->ctx, c->owned, c->n_owned, lost);
    else
        log_consumer_released(&c->base);
}

static void on_rebalance(struct kafka_consumer *c, rd_kafka_event_t *event)
{
    metric_add(&metrics[M_REBALANCES], 0, 1);
    if (c->lost)
        return; /* destroying the handle ends the matter */
    if (rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS)
        on_assign(c, rd_kafka_event_topic_partition_list(event));
    else if (c->state == OWNING)
        revoke_all(c, rd_kafka_assignment_lost(rk_of(c)));
    else
        rd_kafka_assign(rk_of(c), NULL);
}

static void handle_close(struct kafka_consumer *c);

static void consumer_released(struct log_consumer *base)
{
    struct kafka_consumer *c = consumer_of(base);

    CHECK(c->state == REVOKING);
    if (!c->lost) {
        commit(c);
        rd_kafka_assign(rk_of(c), NULL);
    }
    parts_stop(c);
    c->n_owned = 0;
    c->moved = false;
    c->state = IDLE;
    poke(c);
}

/* Another consumer has our name, or librdkafka cannot go on: only a new handle can. */
static void on_fatal(struct kafka_consumer *c)
{
    char why[200];
    rd_kafka_resp_err_t err = rd_kafka_fatal_error(rk_of(c), why, sizeof why);

    if (c->lost)
        return;
    c->lost = true;
    LOG(LOG_ERROR,
        err == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID ? "kafka_instance_taken" : "kafka_fatal",
        F_STR("error", rd_kafka_err2str(err)), F_STR("text", why),
        F_STR("hint", err == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID
                          ? "another aggregator runs with the same --instance"
                          : ""));
    if (c->state == OWNING)
        revoke_all(c, true);
}

/* ---- gaps -------------------------------------------------------------------------------------
 */

struct watermarks {
    struct kafka_job job;
    char *topic;
    uint32_t partition;
    int64_t low, high;
    rd_kafka_resp_err_t err;
};

static void watermarks_run(struct kafka_job *job, rd_kafka_t *rk)
{
    struct watermarks *m = container_of(job, struct watermarks, job);

    m->err = rd_kafka_query_watermark_offsets(rk, m->topic, (int32_t)m->partition, &m->low,
                                              &m->high, WATERMARKS_TIMEOUT_MS);
    free(m->topic);
}

static void report_gap(struct kafka_consumer *c, uint32_t partition, uint64_t first)
{
    struct part *p = &c->parts[partition];
    uint64_t wanted = p->next;

    LOG(LOG_ERROR, "kafka_gap", F_STR("topic", c->topic), F_INT("partition", partition),
        F_INT("wanted", wanted), F_INT("first", first));
    metric_add(&metrics[M_GAPS], 0, 1);
    metric_add(&metrics[M_MISSING], 0, first > wanted ? (int64_t)(first - wanted) : 0);
    p->next = first;
    c->events->gap(c->ctx, partition, wanted, first);
}

static void watermarks_done(struct kafka_job *job, void *ctx)
{
    struct watermarks *m = container_of(job, struct watermarks, job);
    struct kafka_consumer *c = ctx;
    struct part *p = part_owned(c, (int32_t)m->partition);

    if (!p || !p->started || c->state != OWNING)
        return;
    if (m->err)
        LOG(LOG_WARN, "kafka_watermarks_failed", F_STR("error", rd_kafka_err2str(m->err)));
    else if (!p->begin && ((int64_t)p->next < m->low || (int64_t)p->next > m->high))
        report_gap(c, m->partition, (uint64_t)m->low);
    c->moved = true; /* from where it is now; if that is wrong too, we hear of it again */
    poke(c);
}

static void on_out_of_range(struct kafka_consumer *c, int32_t partition)
{
    struct watermarks *m;

    if (!part_owned(c, partition))
        return;
    m = xcalloc(1, sizeof *m);
    m->topic = xstrdup(c->topic);
    m->partition = (uint32_t)partition;
    m->job.run = watermarks_run;
    m->job.done = watermarks_done;
    kafka_client_run(c->client, &m->job);
}

/* ---- messages ---------------------------------------------------------------------------------
 */

static bool can_deliver(const struct kafka_consumer *c, const struct part *p)
{
    return c->state == OWNING && !c->closing && !c->lost && p->started && !p->paused;
}

static void deliver(struct kafka_consumer *c, const rd_kafka_message_t *m)
{
    rd_kafka_timestamp_type_t type;
    struct log_message msg = {
        .partition = (uint32_t)m->partition,
        .offset = (uint64_t)m->offset,
        .time_ms = rd_kafka_message_timestamp(m, &type),
        .value = bytes_of(m->payload, m->len),
    };

    metric_add(&metrics[M_MESSAGES], 0, 1);
    c->events->message(c->ctx, &msg);
}

static void hold(struct kafka_consumer *c, struct part *p, rd_kafka_event_t *event,
                 const rd_kafka_message_t *m)
{
    struct held *h = xcalloc(1, sizeof *h);

    h->event = event;
    h->m = m;
    list_append(&p->backlog, &h->link);
    p->backlog_bytes += m->len;
    if (p->backlog_bytes > BACKLOG_BYTES && !p->fetch_paused)
        fetch_pause(c, (uint32_t)m->partition, true);
}

static void on_fetch(struct kafka_consumer *c, rd_kafka_event_t *event)
{
    const rd_kafka_message_t *m = rd_kafka_event_message_next(event);
    struct part *p = m && !m->err ? part_owned(c, m->partition) : NULL;

    if (m && m->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET)
        on_out_of_range(c, m->partition);
    if (!p || !p->started || c->state != OWNING) {
        rd_kafka_event_destroy(event);
        return;
    }
    if (!p->begin && (uint64_t)m->offset < p->next) {
        metric_add(&metrics[M_REPEATED], 0, 1);
        rd_kafka_event_destroy(event);
        return;
    }
    p->begin = false;
    p->next = (uint64_t)m->offset + 1;
    if (!can_deliver(c, p) || !list_empty(&p->backlog)) {
        hold(c, p, event, m);
        return;
    }
    deliver(c, m);
    rd_kafka_event_destroy(event);
}

/* The oldest of the backlog; false if it must stay. */
static bool backlog_step(struct kafka_consumer *c, uint32_t partition)
{
    struct part *p = &c->parts[partition];
    struct held *h;

    if (!can_deliver(c, p) || list_empty(&p->backlog))
        return false;
    h = container_of(list_pop(&p->backlog), struct held, link);
    p->backlog_bytes -= h->m->len;
    deliver(c, h->m); /* may revoke, start again, pause: p is looked up anew afterwards */
    rd_kafka_event_destroy(h->event);
    free(h);
    p = &c->parts[partition];
    if (can_deliver(c, p) && list_empty(&p->backlog) && p->fetch_paused)
        fetch_pause(c, partition, false);
    return true;
}

/* True if messages are left for the next turn. */
static bool backlogs_serve(struct kafka_consumer *c)
{
    size_t n = 0;

    for (size_t i = 0; i < c->n_owned; i++)
        while (i < c->n_owned && backlog_step(c, c->owned[i]))
            if (++n == TURN_MESSAGES)
                return true;
    return false;
}

/* ---- events -----------------------------------------------------------------------------------
 */

static void on_error(struct kafka_consumer *c, rd_kafka_event_t *event)
{
    rd_kafka_resp_err_t err = rd_kafka_event_error(event);
    rd_kafka_topic_partition_t *where;

    if (rd_kafka_event_error_is_fatal(event) || err == RD_KAFKA_RESP_ERR__FATAL) {
        on_fatal(c);
        return;
    }
    if (err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET) {
        where = rd_kafka_event_topic_partition(event);
        if (where)
            on_out_of_range(c, where->partition);
        if (where)
            rd_kafka_topic_partition_destroy(where);
        return;
    }
    if (err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC)
        LOG(LOG_ERROR, "kafka_topic_unknown", F_STR("topic", c->topic),
            F_STR("hint", "create it with `hearth create-topic`"));
    else
        LOG(LOG_WARN, "kafka_error", F_STR("error", rd_kafka_err2str(err)),
            F_STR("text", rd_kafka_event_error_string(event)));
}

static void on_event(void *ctx, rd_kafka_event_t *event)
{
    struct kafka_consumer *c = ctx;

    switch (rd_kafka_event_type(event)) {
    case RD_KAFKA_EVENT_FETCH:
        on_fetch(c, event); /* may keep it */
        return;
    case RD_KAFKA_EVENT_REBALANCE:
        on_rebalance(c, event);
        break;
    case RD_KAFKA_EVENT_ERROR:
        on_error(c, event);
        break;
    default: /* offsets were committed, or not: it is for display only */
        break;
    }
    rd_kafka_event_destroy(event);
}

static void leave(struct kafka_consumer *c)
{
    rd_kafka_error_t *error;

    c->leaving = true;
    error = rd_kafka_consumer_close_queue(rk_of(c), kafka_client_queue(c->client));
    if (!error)
        return;
    LOG(LOG_WARN, "kafka_leave_failed", F_STR("error", rd_kafka_error_string(error)));
    rd_kafka_error_destroy(error);
    c->lost = true;
    if (c->state == OWNING)
        revoke_all(c, true);
}

/* ---- census -------------------------------------------------------------------------------- */

struct census {
    struct kafka_job job;
    char *topic;
    uint32_t n; /* 0: not learnt this time */
};

static void census_run(struct kafka_job *job, rd_kafka_t *rk)
{
    struct census *census = container_of(job, struct census, job);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, census->topic, NULL);
    const struct rd_kafka_metadata *md;

    free(census->topic);
    if (!topic)
        return;
    if (rd_kafka_metadata(rk, 0, topic, &md, CENSUS_TIMEOUT_MS) == 0) {
        if (md->topic_cnt == 1 && !md->topics[0].err)
            census->n = (uint32_t)md->topics[0].partition_cnt;
        rd_kafka_metadata_destroy(md);
    }
    rd_kafka_topic_destroy(topic);
}

static void census_done(struct kafka_job *job, void *ctx)
{
    struct kafka_consumer *c = ctx;

    c->counting = false;
    c->n_topic = container_of(job, struct census, job)->n;
}

/* Once partitions were given, the topic is there and the broker answers: until the number is known.
 */
static void census_start(struct kafka_consumer *c)
{
    struct census *census;

    if (c->n_topic > 0 || c->counting || c->state != OWNING || c->lost)
        return;
    c->counting = true;
    census = xcalloc(1, sizeof *census);
    census->topic = xstrdup(c->topic);
    census->job.run = census_run;
    census->job.done = census_done;
    kafka_client_run(c->client, &census->job);
}

/* ---- turns --------------------------------------------------------------------------------- */

static bool on_turn(void *ctx)
{
    struct kafka_consumer *c = ctx;
    bool more;

    if (c->closing && !c->leaving && !c->lost && c->state != REVOKING)
        leave(c);
    if (c->state == IDLE && (c->lost || (c->leaving && rd_kafka_consumer_closed(rk_of(c))))) {
        handle_close(c);
        return false;
    }
    census_start(c);
    if (c->moved && c->state == OWNING && !c->lost)
        assign_started(c);
    more = backlogs_serve(c);
    if (c->state == OWNING && clock_mono_ms() - c->commit_ms >= COMMIT_EVERY_MS)
        commit(c);
    return more;
}

/* ---- handles ----------------------------------------------------------------------------------
 */

static const struct kafka_client_events client_events = {on_event, on_turn};

static int subscribe(struct kafka_consumer *c, struct failure *f)
{
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_resp_err_t err;

    rd_kafka_topic_partition_list_add(topics, c->topic, RD_KAFKA_PARTITION_UA);
    err = rd_kafka_subscribe(rk_of(c), topics);
    rd_kafka_topic_partition_list_destroy(topics);
    if (!err)
        return 0;
    fail(f, 500, "kafka_subscribe_failed", "kafka_topic is its setting",
         "cannot subscribe to %s: %s", c->topic, rd_kafka_err2str(err));
    return kafka_errno(err);
}

static void consumer_free(struct kafka_consumer *c)
{
    rd_kafka_conf_destroy(c->conf);
    free(c->topic);
    free(c->parts);
    free(c->owned);
    free(c);
}

static void on_consumer_closed(uv_handle_t *handle)
{
    struct kafka_consumer *c = handle->data;
    void (*closed)(void *ctx) = c->closed;
    void *ctx = c->closed_ctx;

    consumer_free(c);
    if (closed)
        closed(ctx);
}

static void on_reopen(uv_timer_t *timer);

static void on_client_closed(void *ctx)
{
    struct kafka_consumer *c = ctx;

    c->destroying = false;
    if (c->closing)
        uv_close((uv_handle_t *)&c->timer, on_consumer_closed);
    else
        uv_timer_start(&c->timer, on_reopen, backoff_next(&c->backoff) + REOPEN_MIN_MS, 0);
}

static void handle_close(struct kafka_consumer *c)
{
    struct kafka_client *client = c->client;

    parts_stop(c);
    c->client = NULL;
    c->destroying = true;
    c->lost = c->leaving = c->moved = false;
    c->counting = false; /* the done of a job is skipped with its client */
    kafka_client_close(client, on_client_closed, c);
}

static int client_open(struct kafka_consumer *c, struct failure *f)
{
    return kafka_client_new(c->loop, RD_KAFKA_CONSUMER, c->conf, &client_events, c, &c->client, f);
}

static void on_reopen(uv_timer_t *timer)
{
    struct kafka_consumer *c = timer->data;
    struct failure f;

    metric_add(&metrics[M_REOPENED], 0, 1);
    if (client_open(c, &f) == 0 && subscribe(c, &f) == 0)
        return;
    LOG(LOG_ERROR, "kafka_consumer_failed", F_STR("error", f.message));
    if (c->client)
        handle_close(c);
    else
        uv_timer_start(&c->timer, on_reopen, backoff_next(&c->backoff) + REOPEN_MIN_MS, 0);
}

/* ---- operations -------------------------------------------------------------------------------
 */

static void consumer_start(struct log_consumer *base, uint32_t partition, uint64_t offset)
{
    struct kafka_consumer *c = consumer_of(base);
    struct part *p = part_owned(c, (int32_t)partition);

    CHECK(c->state == OWNING && p);
    backlog_drop(p);
    p->started = true;
    p->begin = offset == LOG_BEGIN;
    p->next = p->begin ? 0 : offset;
    p->flushed = p->committed = p->next;
    c->moved = true;
    poke(c);
}

static void consumer_pause(struct log_consumer *base, uint32_t partition)
{
    struct part *p = part_owned(consumer_of(base), (int32_t)partition);

    if (p)
        p->paused = true;
}

static void consumer_resume(struct log_consumer *base, uint32_t partition)
{
    struct kafka_consumer *c = consumer_of(base);
    struct part *p = part_owned(c, (int32_t)partition);

    if (!p || !p->paused)
        return;
    p->paused = false;
    poke(c);
}

static void consumer_flushed(struct log_consumer *base, uint32_t partition, uint64_t offset)
{
    struct part *p = part_owned(consumer_of(base), (int32_t)partition);

    if (p && offset > p->flushed)
        p->flushed = offset;
}

static bool consumer_end(struct log_consumer *base, uint32_t partition, uint64_t *ret_end)
{
    struct kafka_consumer *c = consumer_of(base);
    int64_t low = RD_KAFKA_OFFSET_INVALID, high = RD_KAFKA_OFFSET_INVALID;

    if (!c->client ||
        rd_kafka_get_watermark_offsets(rk_of(c), c->topic, (int32_t)partition, &low, &high) != 0 ||
        high < 0)
        return false;
    *ret_end = (uint64_t)high;
    return true;
}

static uint32_t consumer_partitions(const struct log_consumer *base)
{
    return container_of(base, const struct kafka_consumer, base)->n_topic;
}

static void consumer_close(struct log_consumer *base, void (*closed)(void *ctx), void *ctx)
{
    struct kafka_consumer *c = consumer_of(base);

    CHECK(!c->closing);
    c->closing = true;
    c->closed = closed;
    c->closed_ctx = ctx;
    if (c->client)
        poke(c);
    else if (!c->destroying) /* else on_client_closed goes on */
        uv_close((uv_handle_t *)&c->timer, on_consumer_closed);
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

static int configure(rd_kafka_conf_t *conf, const struct log_kafka_options *o, const char *instance,
                     struct failure *f)
{
    int64_t session_ms = o->kafka_session_timeout;
    const struct kafka_setting settings[] = {
        {"client.id", "hearth-aggregator"},
        {"group.id", o->kafka_group},
        {"group.instance.id", instance},
        {"partition.assignment.strategy", "range"},
        {"enable.auto.commit", "false"},
        {"enable.auto.offset.store", "false"},
        {"auto.offset.reset", "error"},
        {"fetch.wait.max.ms", "250"},
        {0},
    };
    const struct {
        const char *name;
        int64_t value;
    } numbers[] = {
        {"session.timeout.ms", session_ms},
        {"heartbeat.interval.ms", session_ms / 5 < 3000 ? session_ms / 5 : 3000},
        {"max.poll.interval.ms", session_ms > 60000 ? session_ms : 60000},
        {"queued.max.messages.kbytes", o->kafka_fetch_bytes / 1024},
        {"fetch.max.bytes", o->kafka_fetch_bytes},
    };
    int r = kafka_conf_set(conf, settings, f);

    for (size_t i = 0; r == 0 && i < sizeof numbers / sizeof *numbers; i++)
        r = kafka_conf_set_int(conf, numbers[i].name, numbers[i].value, f);
    rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_REBALANCE |
                                       RD_KAFKA_EVENT_OFFSET_COMMIT | RD_KAFKA_EVENT_FETCH);
    return r;
}

static struct kafka_consumer *consumer_alloc(uv_loop_t *loop, rd_kafka_conf_t *conf,
                                             const char *topic)
{
    struct kafka_consumer *c = xcalloc(1, sizeof *c);

    c->base.ops = &consumer_ops;
    c->loop = loop;
    c->conf = conf;
    c->topic = xstrdup(topic);
    c->backoff = (struct backoff){REOPEN_MIN_MS, REOPEN_MAX_MS, 0};
    return c;
}

int log_kafka_consumer_new(uv_loop_t *loop, const struct log_kafka_options *o, const char *instance,
                           const struct log_consumer_events *events, void *ctx,
                           struct log_consumer **ret, struct failure *f)
{
    rd_kafka_conf_t *conf = kafka_conf_new(o, f);
    struct kafka_consumer *c;
    int r;

    if (!conf)
        return -EINVAL;
    metrics_register(metrics, N_METRICS);
    r = configure(conf, o, instance, f);
    if (r < 0) {
        rd_kafka_conf_destroy(conf);
        return r;
    }
    c = consumer_alloc(loop, conf, o->kafka_topic);
    c->events = events;
    c->ctx = ctx;
    r = client_open(c, f);
    if (r < 0) {
        consumer_free(c);
        return r;
    }
    CHECK(uv_timer_init(loop, &c->timer) == 0);
    c->timer.data = c;
    r = subscribe(c, f);
    if (r == 0) {
        *ret = &c->base;
        return 0;
    }
    c->closing = true; /* nobody knows of c yet: it ends by itself on the loop */
    handle_close(c);
    return r;
}
