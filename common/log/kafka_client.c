/*
 * librdkafka's threads write an eventfd when the handle's queue becomes non-empty; uv_poll wakes
 * the loop, which drains a bounded number of events per turn and writes the eventfd itself when
 * there is more. librdkafka writes once per period between two polls and ignores write errors, so a
 * timer polls too: it bounds what a lost wake-up costs, and keeps max.poll.interval.ms alive.
 *
 * rd_kafka_destroy can block for as long as a broker thread needs to notice, so it runs on the
 * thread pool, after the last blocking call there has returned.
 */
#include "log/kafka_client.h"

#include "base/list.h"
#include "base/logger.h"
#include "base/xalloc.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { TURN_EVENTS = 64 };

struct kafka_client {
    uv_loop_t *loop;
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;
    int fd;
    uv_poll_t poll;
    uv_timer_t tick;
    unsigned n_open_handles, n_jobs;
    const struct kafka_client_events *events;
    void *ctx;
    bool closing;
    uv_work_t destroy;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* ---- configuration ----------------------------------------------------------------------------
 */

static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    (void)rk;
    if (level <= 4)
        LOG(LOG_WARN, "kafka_client", F_STR("facility", facility), F_STR("text", text));
    else
        LOG(LOG_DEBUG, "kafka_client", F_STR("facility", facility), F_STR("text", text));
}

int kafka_conf_set(rd_kafka_conf_t *conf, const struct kafka_setting *settings, struct failure *f)
{
    char why[200];

    for (; settings->name; settings++) {
        if (!settings->value)
            continue;
        if (rd_kafka_conf_set(conf, settings->name, settings->value, why, sizeof why) ==
            RD_KAFKA_CONF_OK)
            continue;
        fail(f, 500, "kafka_setting_bad", NULL, "librdkafka refuses %s: %s", settings->name, why);
        return -EINVAL;
    }
    return 0;
}

int kafka_conf_set_int(rd_kafka_conf_t *conf, const char *name, int64_t value, struct failure *f)
{
    char text[24];
    const struct kafka_setting settings[] = {{name, text}, {0}};

    snprintf(text, sizeof text, "%" PRId64, value);
    return kafka_conf_set(conf, settings, f);
}

static int security_check(const struct log_kafka_options *o, bool sasl, bool ssl, struct failure *f)
{
    if (sasl && (!o->kafka_sasl_username || !o->kafka_sasl_password))
        fail(f, 500, "kafka_sasl_incomplete", "set kafka_sasl_username and kafka_sasl_password",
             "kafka_security_protocol %s needs a user name and a password",
             o->kafka_security_protocol);
    else if (!sasl && (o->kafka_sasl_username || o->kafka_sasl_password))
        fail(f, 500, "kafka_sasl_unused", "set kafka_security_protocol to sasl_ssl",
             "a SASL user or password is set, but kafka_security_protocol is %s",
             o->kafka_security_protocol);
    else if (!ssl && (o->kafka_ssl_ca || o->kafka_ssl_certificate || o->kafka_ssl_key))
        fail(f, 500, "kafka_ssl_unused", "set kafka_security_protocol to ssl or sasl_ssl",
             "a kafka_ssl_… file is set, but kafka_security_protocol is %s",
             o->kafka_security_protocol);
    else
        return 0;
    return -EINVAL;
}

static int security_set(rd_kafka_conf_t *conf, const struct log_kafka_options *o, struct failure *f)
{
    bool sasl = strncmp(o->kafka_security_protocol, "sasl_", 5) == 0;
    bool ssl = strstr(o->kafka_security_protocol, "ssl") != NULL;
    const struct kafka_setting settings[] = {
        {"security.protocol", o->kafka_security_protocol},
        {"sasl.mechanisms", sasl ? o->kafka_sasl_mechanism : NULL},
        {"sasl.username", o->kafka_sasl_username},
        {"sasl.password", o->kafka_sasl_password},
        {"ssl.ca.location", o->kafka_ssl_ca},
        {"ssl.certificate.location", o->kafka_ssl_certificate},
        {"ssl.key.location", o->kafka_ssl_key},
        {0},
    };
    int r = security_check(o, sasl, ssl, f);

    return r < 0 ? r : kafka_conf_set(conf, settings, f);
}

rd_kafka_conf_t *kafka_conf_new(const struct log_kafka_options *o, struct failure *f)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    const struct kafka_setting settings[] = {
        {"bootstrap.servers", o->kafka_brokers},
        {"allow.auto.create.topics", "false"}, /* a typo must not make a topic */
        {"socket.nagle.disable", "true"},
        {"socket.keepalive.enable", "true"},
        {"socket.timeout.ms", "10000"},
        {"reconnect.backoff.max.ms", "2000"},
        {"log.connection.close", "false"},
        {0},
    };

    kafka_tsan_threads();
    rd_kafka_conf_set_log_cb(conf, on_log);
    if (kafka_conf_set(conf, settings, f) == 0 && security_set(conf, o, f) == 0)
        return conf;
    rd_kafka_conf_destroy(conf);
    return NULL;
}

int log_kafka_check(const struct log_kafka_options *o, struct failure *f)
{
    rd_kafka_conf_t *conf = kafka_conf_new(o, f);

    if (!conf)
        return FAILURE;
    rd_kafka_conf_destroy(conf);
    return 0;
}

int kafka_errno(rd_kafka_resp_err_t err)
{
    switch (err) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
        return 0;
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
        return -ETIMEDOUT;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
        return -EMSGSIZE;
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
        return -ENOENT;
    case RD_KAFKA_RESP_ERR__PURGE_QUEUE:
    case RD_KAFKA_RESP_ERR__PURGE_INFLIGHT:
        return -ECANCELED;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
        return -EACCES;
    default:
        return -EIO;
    }
}

/* ---- turns ------------------------------------------------------------------------------------
 */

void kafka_client_poke(struct kafka_client *k)
{
    uint64_t one = 1;
    ssize_t n = write(k->fd, &one, sizeof one);

    (void)n; /* EAGAIN: the counter is full, so the loop will wake anyway */
}

static void drain_fd(struct kafka_client *k)
{
    uint64_t count;
    ssize_t n = read(k->fd, &count, sizeof count);

    (void)n; /* EAGAIN: the timer was first */
}

static void turn(struct kafka_client *k)
{
    bool more = true;

    drain_fd(k);
    for (int i = 0; i < TURN_EVENTS && !k->closing; i++) {
        rd_kafka_event_t *event = rd_kafka_queue_poll(k->queue, 0);

        if (!event) {
            more = false;
            break;
        }
        k->events->event(k->ctx, event);
    }
    if (!k->closing && k->events->turn(k->ctx))
        more = true;
    if (!k->closing && more)
        kafka_client_poke(k);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    turn(poll->data);
}

static void on_tick(uv_timer_t *tick)
{
    turn(tick->data);
}

/* ---- jobs and the end -------------------------------------------------------------------------
 */

static void on_destroy_work(uv_work_t *work)
{
    struct kafka_client *k = work->data;

    rd_kafka_queue_io_event_enable(k->queue, -1, NULL, 0);
    rd_kafka_queue_destroy(k->queue);
    /* What has to be left in good order has been: a close here would wait for events nobody serves.
     */
    rd_kafka_destroy_flags(k->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}

static void on_destroyed(uv_work_t *work, int status)
{
    struct kafka_client *k = work->data;
    void (*closed)(void *ctx) = k->closed;
    void *ctx = k->closed_ctx;

    (void)status;
    close(k->fd);
    free(k);
    closed(ctx);
}

static void destroy_if_idle(struct kafka_client *k)
{
    if (!k->closing || k->n_open_handles > 0 || k->n_jobs > 0)
        return;
    k->destroy.data = k;
    CHECK(uv_queue_work(k->loop, &k->destroy, on_destroy_work, on_destroyed) == 0);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct kafka_client *k = handle->data;

    k->n_open_handles--;
    destroy_if_idle(k);
}

static void on_job_work(uv_work_t *work)
{
    struct kafka_job *job = container_of(work, struct kafka_job, work);

    job->run(job, job->client->rk);
}

static void on_job_done(uv_work_t *work, int status)
{
    struct kafka_job *job = container_of(work, struct kafka_job, work);
    struct kafka_client *k = job->client;

    (void)status;
    k->n_jobs--;
    if (!k->closing)
        job->done(job, k->ctx);
    free(job);
    destroy_if_idle(k);
}

void kafka_client_run(struct kafka_client *k, struct kafka_job *job)
{
    job->client = k;
    k->n_jobs++;
    CHECK(uv_queue_work(k->loop, &job->work, on_job_work, on_job_done) == 0);
}

void kafka_client_close(struct kafka_client *k, void (*closed)(void *ctx), void *ctx)
{
    CHECK(!k->closing);
    k->closing = true;
    k->closed = closed;
    k->closed_ctx = ctx;
    uv_close((uv_handle_t *)&k->poll, on_handle_closed);
    uv_close((uv_handle_t *)&k->tick, on_handle_closed);
}

/* ---- making -----------------------------------------------------------------------------------
 */

static rd_kafka_queue_t *queue_of(rd_kafka_t *rk, rd_kafka_type_t type)
{
    if (type == RD_KAFKA_PRODUCER)
        return rd_kafka_queue_get_main(rk);
    rd_kafka_poll_set_consumer(rk);
    return rd_kafka_queue_get_consumer(rk);
}

static void handles_open(struct kafka_client *k)
{
    uint64_t one = 1;

    k->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    CHECK(k->fd >= 0);
    CHECK(uv_poll_init(k->loop, &k->poll, k->fd) == 0);
    CHECK(uv_timer_init(k->loop, &k->tick) == 0);
    k->poll.data = k->tick.data = k;
    k->n_open_handles = 2;
    uv_poll_start(&k->poll, UV_READABLE, on_readable);
    uv_timer_start(&k->tick, on_tick, KAFKA_TICK_MS, KAFKA_TICK_MS);
    rd_kafka_queue_io_event_enable(k->queue, k->fd, &one, sizeof one);
    kafka_client_poke(k);
}

int kafka_client_new(uv_loop_t *loop, rd_kafka_type_t type, const rd_kafka_conf_t *conf,
                     const struct kafka_client_events *events, void *ctx, struct kafka_client **ret,
                     struct failure *f)
{
    rd_kafka_conf_t *copy = rd_kafka_conf_dup(conf);
    struct kafka_client *k;
    char why[200];
    rd_kafka_t *rk = rd_kafka_new(type, copy, why, sizeof why);

    if (!rk) {
        rd_kafka_conf_destroy(copy);
        fail(f, 500, "kafka_unusable", NULL, "cannot make a Kafka client: %s", why);
        return -EINVAL;
    }
    k = xcalloc(1, sizeof *k);
    k->loop = loop;
    k->rk = rk;
    k->queue = queue_of(rk, type);
    k->events = events;
    k->ctx = ctx;
    handles_open(k);
    *ret = k;
    return 0;
}

rd_kafka_t *kafka_client_rk(const struct kafka_client *k)
{
    return k->rk;
}

rd_kafka_queue_t *kafka_client_queue(const struct kafka_client *k)
{
    return k->queue;
}
