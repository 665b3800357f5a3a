/*
 * Happy path: the topic's partitions are learnt by a metadata request on the thread pool; each
 * record goes to librdkafka by reference, and its delivery report becomes done.
 *
 * A record that fails (time-out, a leader on the move, a broker that has not heard of a new topic
 * yet) is given back with an error: sending again is the caller's, who knows its deadline.
 * Idempotence is off: librdkafka 2.0.2 can turn it into a fatal error, and records carry a sequence
 * of their own.
 *
 * Closing fails what is queued at once, gives what is on the wire CLOSE_MS to be answered, then
 * fails that too. A fatal error goes the same way, and a new handle follows.
 */
#include "base/list.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "base/xalloc.h"
#include "log/kafka_client.h"
#include "log/log_impl.h"

#include <errno.h>
#include <stdlib.h>

enum { PROBE_TIMEOUT_MS = 3000, PROBE_EVERY_MS = 500, CLOSE_MS = 3000, REOPEN_MS = 1000 };

enum { M_RECORDS, M_FAILED, N_METRICS };
enum { FAILED_TIMEOUT, FAILED_TOPIC, FAILED_SIZE, FAILED_CANCELED, FAILED_OTHER };

static struct metric metrics[N_METRICS] = {
    [M_RECORDS] = METRIC_COUNTER("hearth_kafka_records_total", "records acknowledged by Kafka"),
    [M_FAILED] = METRIC_COUNTER_BY("hearth_kafka_failed_total",
                                   "records that Kafka did not acknowledge; most are sent again",
                                   "reason", "timeout|topic|size|canceled|other"),
};

struct kafka_producer {
    struct log_producer base;
    uv_loop_t *loop;
    rd_kafka_conf_t *conf; /* each handle is made from a copy */
    char *topic;
    struct kafka_client *client; /* NULL between two handles */
    rd_kafka_topic_t *rkt;
    uv_timer_t timer; /* next probe; bound of closing; next handle */
    uint32_t n_partitions;
    bool connected, probing;
    bool ending;     /* this handle is; a new one follows unless closing */
    bool destroying; /* the last one is still on its way out */
    bool closing;
    struct list in_flight; /* struct kafka_item, with librdkafka */
    struct list refused;   /* struct kafka_item: done is due in the next turn */
    void (*closed)(void *ctx);
    void *closed_ctx;
};

struct kafka_item {
    struct list link;
    struct log_publish *pub;
    int r;
};

static struct kafka_producer *producer_of(struct log_producer *base)
{
    return container_of(base, struct kafka_producer, base);
}

static void on_timer(uv_timer_t *timer);

static void timer_set(struct kafka_producer *p, unsigned ms)
{
    uv_timer_start(&p->timer, on_timer, ms, 0);
}

/* ---- what librdkafka says ----------------------------------------------------------------------
 */

static unsigned reason_of(int r)
{
    switch (r) {
    case -ETIMEDOUT:
        return FAILED_TIMEOUT;
    case -ENOENT:
        return FAILED_TOPIC;
    case -EMSGSIZE:
        return FAILED_SIZE;
    case -ECANCELED:
        return FAILED_CANCELED;
    default:
        return FAILED_OTHER;
    }
}

static void item_done(struct kafka_item *item, int r, uint64_t offset)
{
    struct log_publish *pub = item->pub;

    list_remove(&item->link);
    free(item);
    metric_add(&metrics[r == 0 ? M_RECORDS : M_FAILED], r == 0 ? 0 : reason_of(r), 1);
    pub->done(pub, r, offset);
}

static void report_failed(int r, rd_kafka_resp_err_t err)
{
    if (r != -ECANCELED)
        LOG(LOG_WARN, "kafka_publish_failed", F_STR("error", rd_kafka_err2str(err)));
}

static void on_delivered(struct kafka_producer *p, const rd_kafka_message_t *m)
{
    int r = kafka_errno(m->err);

    if (r == 0 && m->offset < 0)
        r = -EIO; /* acknowledged, but not where: as good as not */
    if (r != 0)
        report_failed(r, m->err);
    p->connected = r == 0 || (p->connected && r != -ETIMEDOUT && r != -ENOENT);
    item_done(m->_private, r, r == 0 ? (uint64_t)m->offset : 0);
}

static void handle_end(struct kafka_producer *p);

static void on_error(struct kafka_producer *p, rd_kafka_event_t *event)
{
    rd_kafka_resp_err_t err = rd_kafka_event_error(event);

    LOG(LOG_WARN, "kafka_error", F_STR("error", rd_kafka_err2str(err)),
        F_STR("text", rd_kafka_event_error_string(event)));
    if (err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
        p->connected = false;
    if (rd_kafka_event_error_is_fatal(event))
        handle_end(p);
}

static void on_event(void *ctx, rd_kafka_event_t *event)
{
    struct kafka_producer *p = ctx;
    const rd_kafka_message_t *m;

    if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_DR)
        while ((m = rd_kafka_event_message_next(event)) != NULL)
            on_delivered(p, m);
    else if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR)
        on_error(p, event);
    rd_kafka_event_destroy(event);
}

/* ---- the topic --------------------------------------------------------------------------------
 */

struct probe {
    struct kafka_job job;
    rd_kafka_topic_t *rkt;
    rd_kafka_resp_err_t err, topic_err;
    uint32_t n_partitions;
};

static void probe_run(struct kafka_job *job, rd_kafka_t *rk)
{
    struct probe *probe = container_of(job, struct probe, job);
    const struct rd_kafka_metadata *md;

    probe->err = rd_kafka_metadata(rk, 0, probe->rkt, &md, PROBE_TIMEOUT_MS);
    if (probe->err)
        return;
    if (md->topic_cnt == 1) {
        probe->topic_err = md->topics[0].err;
        probe->n_partitions = (uint32_t)md->topics[0].partition_cnt;
    }
    rd_kafka_metadata_destroy(md);
}

static void report_probe(const struct kafka_producer *p, const struct probe *probe)
{
    if (probe->err)
        LOG(LOG_WARN, "kafka_unreachable", F_STR("error", rd_kafka_err2str(probe->err)),
            F_STR("setting", "kafka_brokers"));
    else if (probe->topic_err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
        LOG(LOG_ERROR, "kafka_topic_unknown", F_STR("topic", p->topic),
            F_STR("hint", "create it with `hearth create-topic`"));
    else if (probe->topic_err)
        LOG(LOG_ERROR, "kafka_topic_unusable", F_STR("topic", p->topic),
            F_STR("error", rd_kafka_err2str(probe->topic_err)));
}

static void probe_done(struct kafka_job *job, void *ctx)
{
    struct probe *probe = container_of(job, struct probe, job);
    struct kafka_producer *p = ctx;

    p->probing = false;
    if (p->ending)
        return;
    report_probe(p, probe);
    p->connected = !probe->err && !probe->topic_err && probe->n_partitions > 0;
    if (p->connected && p->n_partitions == 0)
        LOG(LOG_INFO, "kafka_topic_found", F_STR("topic", p->topic),
            F_INT("partitions", probe->n_partitions));
    if (p->connected)
        p->n_partitions = probe->n_partitions;
    timer_set(p, PROBE_EVERY_MS);
}

static void probe_start(struct kafka_producer *p)
{
    struct probe *probe = xcalloc(1, sizeof *probe);

    p->probing = true;
    probe->rkt = p->rkt;
    probe->job.run = probe_run;
    probe->job.done = probe_done;
    kafka_client_run(p->client, &probe->job);
}

/* ---- handles ----------------------------------------------------------------------------------
 */

static bool on_turn(void *ctx)
{
    struct kafka_producer *p = ctx;
    struct list refused = LIST_INIT(refused);

    list_splice(&refused, &p->refused);
    while (!list_empty(&refused)) {
        struct kafka_item *item = container_of(refused.next, struct kafka_item, link);

        item_done(item, item->r, 0);
    }
    if (p->ending && list_empty(&p->in_flight) && list_empty(&p->refused) && p->client)
        timer_set(p, 0); /* the end of the handle, outside of its own turn */
    return !list_empty(&p->refused);
}

static const struct kafka_client_events client_events = {on_event, on_turn};

static int client_open(struct kafka_producer *p, struct failure *f)
{
    return kafka_client_new(p->loop, RD_KAFKA_PRODUCER, p->conf, &client_events, p, &p->client, f);
}

static int topic_open(struct kafka_producer *p, struct failure *f)
{
    p->ending = false;
    p->rkt = rd_kafka_topic_new(kafka_client_rk(p->client), p->topic, NULL);
    if (!p->rkt) {
        fail(f, 500, "kafka_topic_bad", "kafka_topic is its setting", "%s is no name of a topic",
             p->topic);
        return -EINVAL;
    }
    probe_start(p);
    return 0;
}

static void handle_end(struct kafka_producer *p)
{
    if (p->ending)
        return;
    p->ending = true;
    p->connected = false;
    rd_kafka_purge(kafka_client_rk(p->client),
                   RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_NON_BLOCKING);
    timer_set(p, CLOSE_MS);
    kafka_client_poke(p->client);
}

static void producer_free(struct kafka_producer *p)
{
    rd_kafka_conf_destroy(p->conf);
    free(p->topic);
    free(p);
}

static void on_producer_closed(uv_handle_t *handle)
{
    struct kafka_producer *p = handle->data;
    void (*closed)(void *ctx) = p->closed;
    void *ctx = p->closed_ctx;

    producer_free(p);
    if (closed)
        closed(ctx);
}

static void on_client_closed(void *ctx)
{
    struct kafka_producer *p = ctx;

    p->destroying = false;
    if (p->closing)
        uv_close((uv_handle_t *)&p->timer, on_producer_closed);
    else
        timer_set(p, REOPEN_MS);
}

static void handle_close(struct kafka_producer *p)
{
    struct kafka_client *client = p->client;

    p->client = NULL;
    p->destroying = true;
    if (p->rkt)
        rd_kafka_topic_destroy(p->rkt);
    p->rkt = NULL;
    kafka_client_close(client, on_client_closed, p);
}

static void on_timer(uv_timer_t *timer)
{
    struct kafka_producer *p = timer->data;
    struct failure f;

    if (!p->client) { /* between two handles */
        if (client_open(p, &f) < 0)
            timer_set(p, REOPEN_MS);
        else if (topic_open(p, &f) < 0)
            handle_close(p);
    } else if (!p->ending) {
        if (!p->connected && !p->probing)
            probe_start(p);
        else
            timer_set(p, PROBE_EVERY_MS);
    } else if (p->probing || !list_empty(&p->in_flight)) {
        rd_kafka_purge(kafka_client_rk(p->client), RD_KAFKA_PURGE_F_QUEUE |
                                                       RD_KAFKA_PURGE_F_INFLIGHT |
                                                       RD_KAFKA_PURGE_F_NON_BLOCKING);
        timer_set(p, KAFKA_TICK_MS);
    } else {
        handle_close(p);
    }
}

/* ---- operations -------------------------------------------------------------------------------
 */

static void refuse(struct kafka_producer *p, struct kafka_item *item, int r)
{
    item->r = r;
    list_append(&p->refused, &item->link);
    kafka_client_poke(p->client);
}

static int producer_publish(struct log_producer *base, struct log_publish *pub)
{
    struct kafka_producer *p = producer_of(base);
    struct kafka_item *item;
    rd_kafka_resp_err_t err;

    if (!p->client || p->ending)
        return LOG_E_FULL;
    item = xcalloc(1, sizeof *item);
    item->pub = pub;
    if (rd_kafka_produce(p->rkt, (int32_t)pub->partition, 0, (void *)(uintptr_t)pub->value.data,
                         pub->value.len, NULL, 0, item) == 0) {
        list_append(&p->in_flight, &item->link);
        return 0;
    }
    err = rd_kafka_last_error();
    if (err == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
        free(item);
        return LOG_E_FULL;
    }
    report_failed(kafka_errno(err), err);
    refuse(p, item, kafka_errno(err));
    return 0;
}

static uint32_t producer_partitions(const struct log_producer *base)
{
    return container_of(base, const struct kafka_producer, base)->n_partitions;
}

static bool producer_ready(const struct log_producer *base)
{
    const struct kafka_producer *p = container_of(base, const struct kafka_producer, base);

    return p->connected && !p->ending && p->n_partitions > 0;
}

static void producer_close(struct log_producer *base, void (*closed)(void *ctx), void *ctx)
{
    struct kafka_producer *p = producer_of(base);

    CHECK(!p->closing);
    p->closing = true;
    p->closed = closed;
    p->closed_ctx = ctx;
    if (p->client)
        handle_end(p);
    else if (!p->destroying) /* else on_client_closed goes on */
        uv_close((uv_handle_t *)&p->timer, on_producer_closed);
}

static const struct log_producer_ops producer_ops = {
    .publish = producer_publish,
    .partitions = producer_partitions,
    .ready = producer_ready,
    .close = producer_close,
};

static int configure(rd_kafka_conf_t *conf, const struct log_kafka_options *o, struct failure *f)
{
    const struct kafka_setting settings[] = {
        {"client.id", "hearth-collector"}, {"acks", "all"},
        {"enable.idempotence", "false"},   {"max.in.flight", "5"},
        {"compression.codec", "none"},     {"message.send.max.retries", "10"},
        {"retry.backoff.ms", "50"},        {0},
    };
    int r = kafka_conf_set(conf, settings, f);

    rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR);
    if (r == 0)
        r = kafka_conf_set_int(conf, "linger.ms", o->kafka_linger, f);
    if (r == 0)
        r = kafka_conf_set_int(conf, "queue.buffering.max.kbytes", o->kafka_queue_bytes / 1024, f);
    if (r == 0)
        r = kafka_conf_set_int(conf, "message.timeout.ms", o->kafka_message_timeout, f);
    return r;
}

int log_kafka_producer_new(uv_loop_t *loop, const struct log_kafka_options *o,
                           struct log_producer **ret, struct failure *f)
{
    rd_kafka_conf_t *conf = kafka_conf_new(o, f);
    struct kafka_producer *p;
    int r;

    if (!conf)
        return -EINVAL;
    metrics_register(metrics, N_METRICS);
    r = configure(conf, o, f);
    if (r < 0) {
        rd_kafka_conf_destroy(conf);
        return r;
    }
    p = xcalloc(1, sizeof *p);
    p->base.ops = &producer_ops;
    p->loop = loop;
    p->conf = conf;
    p->topic = xstrdup(o->kafka_topic);
    list_init(&p->in_flight);
    list_init(&p->refused);
    r = client_open(p, f);
    if (r < 0) {
        producer_free(p);
        return r;
    }
    CHECK(uv_timer_init(loop, &p->timer) == 0);
    p->timer.data = p;
    r = topic_open(p, f);
    if (r == 0) {
        *ret = &p->base;
        return 0;
    }
    p->closing = true; /* nobody knows of p yet: it ends by itself on the loop */
    handle_close(p);
    return r;
}
