/*
 * CreateTopics answers when the controller knows the topic; a broker that has not heard of it yet
 * tells a producer that it has no partitions, and records that were accepted already then fail. So
 * the end of the work is that every broker itself, asked over a socket of our own (librdkafka
 * cannot choose whom it asks), reports all partitions with a leader. Behind TLS or SASL that small
 * question is not ours to ask: there librdkafka asks whom it likes, several times in a row.
 */
#include "base/clock.h"
#include "base/xalloc.h"
#include "log/kafka_client.h"

#include <endian.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ASK_EVERY_MS = 50, ASK_TIMEOUT_MS = 2000, ANSWER_BYTES_MAX = 1 << 20, ASKS_IN_A_ROW = 10 };
enum { API_METADATA = 3, API_VERSION = 1 };

struct work {
    const struct log_kafka_options *o;
    rd_kafka_t *rk;
    int64_t deadline_ms;
    struct failure *f;
};

static int left_ms(const struct work *w)
{
    int64_t left = w->deadline_ms - clock_mono_ms();

    return left > 0 ? (int)left : 0;
}

static int at_most(int ms, int max)
{
    return ms < max ? ms : max;
}

static int timed_out(struct work *w, const char *what)
{
    fail(w->f, 504, "kafka_timeout", "kafka_brokers is the setting of their addresses",
         "%s: no success in time, brokers %s", what, w->o->kafka_brokers);
    return -ETIMEDOUT;
}

/* ---- one broker's own view --------------------------------------------------------------------
 */

static int connect_to(const char *host, int port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    struct timeval limit = {.tv_sec = ASK_TIMEOUT_MS / MS_PER_S};
    char service[12];
    int fd = -1;

    snprintf(service, sizeof service, "%d", port);
    if (getaddrinfo(host, service, &hints, &found) != 0)
        return -1;
    for (struct addrinfo *a = found; a && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
        if (fd < 0)
            continue;
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
        if (connect(fd, a->ai_addr, a->ai_addrlen) < 0) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(found);
    return fd;
}

static void put16(struct buf *b, uint16_t v)
{
    v = htobe16(v);
    buf_append(b, &v, sizeof v);
}

static void put32(struct buf *b, uint32_t v)
{
    v = htobe32(v);
    buf_append(b, &v, sizeof v);
}

static void put_string(struct buf *b, const char *s)
{
    put16(b, (uint16_t)strlen(s));
    buf_append_str(b, s);
}

static void request_encode(struct buf *b, const char *topic)
{
    uint32_t size;

    put32(b, 0); /* its length, below */
    put16(b, API_METADATA);
    put16(b, API_VERSION);
    put32(b, 1); /* correlation */
    put_string(b, "hearth");
    put32(b, 1); /* one topic */
    put_string(b, topic);
    size = htobe32((uint32_t)b->len - 4);
    memcpy(b->data, &size, sizeof size);
}

static bool receive(int fd, uint8_t *out, size_t n)
{
    while (n > 0) {
        ssize_t got = recv(fd, out, n, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        out += got;
        n -= (size_t)got;
    }
    return true;
}

static bool exchange(int fd, const char *topic, struct buf *answer)
{
    struct buf request = {0};
    uint32_t size;
    bool sent;

    request_encode(&request, topic);
    sent = send(fd, request.data, request.len, MSG_NOSIGNAL) == (ssize_t)request.len;
    buf_deinit(&request);
    if (!sent || !receive(fd, (uint8_t *)&size, sizeof size))
        return false;
    size = be32toh(size);
    if (size > ANSWER_BYTES_MAX)
        return false;
    buf_reserve(answer, size);
    answer->len = size;
    return receive(fd, answer->data, size);
}

/* A bounds-checked walk over the answer; ok turns false at its end. */
struct walk {
    const uint8_t *at, *end;
    bool ok;
};

static void skip(struct walk *k, size_t n)
{
    k->ok = k->ok && (size_t)(k->end - k->at) >= n;
    if (k->ok)
        k->at += n;
}

static int32_t number(struct walk *k, size_t n)
{
    const uint8_t *at = k->at;
    uint32_t v = 0;

    skip(k, n);
    for (size_t i = 0; k->ok && i < n; i++)
        v = v << 8 | at[i];
    return n == 2 ? (int16_t)v : (int32_t)v;
}

static void skip_string(struct walk *k)
{
    int32_t n = number(k, 2);

    skip(k, n > 0 ? (size_t)n : 0);
}

static void skip_numbers(struct walk *k)
{
    int32_t n = number(k, 4);

    skip(k, n > 0 ? (size_t)n * 4 : 0);
}

static bool partitions_led(struct walk *k, uint32_t wanted)
{
    int32_t n = number(k, 4);
    bool led = n >= 0 && (uint32_t)n == wanted;

    for (int32_t i = 0; i < n && k->ok; i++) {
        led = number(k, 2) == 0 && led; /* its error code */
        skip(k, 4);
        led = number(k, 4) >= 0 && led; /* its leader */
        skip_numbers(k);                /* replicas */
        skip_numbers(k);                /* those in sync */
    }
    return led && k->ok;
}

/* Metadata v1: brokers (id, host, port, rack), controller, topics. */
static bool answer_complete(struct bytes answer, uint32_t partitions)
{
    struct walk k = {answer.data, answer.data + answer.len, true};
    int32_t brokers;

    skip(&k, 4); /* correlation */
    brokers = number(&k, 4);
    for (int32_t i = 0; i < brokers && k.ok; i++) {
        skip(&k, 4);
        skip_string(&k);
        skip(&k, 4);
        skip_string(&k);
    }
    skip(&k, 4); /* controller */
    if (number(&k, 4) != 1 || number(&k, 2) != 0)
        return false;
    skip_string(&k);
    skip(&k, 1); /* internal? */
    return partitions_led(&k, partitions);
}

static bool broker_knows(const char *host, int port, const char *topic, uint32_t partitions)
{
    struct buf answer = {0};
    int fd = connect_to(host, port);
    bool knows;

    if (fd < 0)
        return false;
    knows = exchange(fd, topic, &answer) && answer_complete(buf_bytes(&answer), partitions);
    close(fd);
    buf_deinit(&answer);
    return knows;
}

/* ---- waiting for all of them ------------------------------------------------------------------
 */

static bool topic_led(const struct rd_kafka_metadata *md, uint32_t partitions)
{
    const struct rd_kafka_metadata_topic *t = md->topics;
    bool led = md->topic_cnt == 1 && !t->err && (uint32_t)t->partition_cnt == partitions;

    for (int i = 0; led && i < t->partition_cnt; i++)
        led = !t->partitions[i].err && t->partitions[i].leader >= 0;
    return led;
}

static bool all_know(struct work *w, const struct rd_kafka_metadata *md, uint32_t partitions)
{
    bool know = topic_led(md, partitions);

    if (strcmp(w->o->kafka_security_protocol, "plaintext") != 0)
        return know;
    for (int i = 0; know && i < md->broker_cnt; i++)
        know =
            broker_knows(md->brokers[i].host, md->brokers[i].port, w->o->kafka_topic, partitions);
    return know;
}

static int wait_known(struct work *w, rd_kafka_topic_t *rkt, uint32_t partitions)
{
    bool plain = strcmp(w->o->kafka_security_protocol, "plaintext") == 0;
    int wanted = plain ? 1 : ASKS_IN_A_ROW, in_a_row = 0;

    while (left_ms(w) > 0) {
        const struct rd_kafka_metadata *md;

        if (rd_kafka_metadata(w->rk, 0, rkt, &md, at_most(left_ms(w), ASK_TIMEOUT_MS)) == 0) {
            in_a_row = all_know(w, md, partitions) ? in_a_row + 1 : 0;
            rd_kafka_metadata_destroy(md);
            if (in_a_row == wanted)
                return 0;
        }
        poll(NULL, 0, ASK_EVERY_MS);
    }
    return timed_out(w, "waiting for every broker to know the topic");
}

/* ---- creating ---------------------------------------------------------------------------------
 */

static rd_kafka_NewTopic_t *new_topic(struct work *w, uint32_t partitions, int replication)
{
    char why[200];
    rd_kafka_NewTopic_t *t = rd_kafka_NewTopic_new(
        w->o->kafka_topic, (int)partitions, replication > 0 ? replication : -1, why, sizeof why);

    if (!t)
        fail(w->f, 400, "kafka_topic_bad", "kafka_topic is its setting", "%s", why);
    else /* the time of receipt: whether a profile is late must not depend on a node's clock */
        rd_kafka_NewTopic_set_config(t, "message.timestamp.type", "LogAppendTime");
    return t;
}

/* 0, a broker's error, or a local one such as a time-out. */
static rd_kafka_resp_err_t create_once(struct work *w, rd_kafka_NewTopic_t *topic, char *why,
                                       size_t why_bytes)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(w->rk);
    int timeout_ms = at_most(left_ms(w), 10000);
    rd_kafka_event_t *event;
    rd_kafka_resp_err_t err;
    size_t n = 0;

    rd_kafka_CreateTopics(w->rk, &topic, 1, NULL, queue);
    event = rd_kafka_queue_poll(queue, timeout_ms + 1);
    err = event ? rd_kafka_event_error(event) : RD_KAFKA_RESP_ERR__TIMED_OUT;
    snprintf(why, why_bytes, "%s", event ? rd_kafka_event_error_string(event) : "no answer");
    if (event && !err) {
        const rd_kafka_CreateTopics_result_t *result = rd_kafka_event_CreateTopics_result(event);
        const rd_kafka_topic_result_t **topics = rd_kafka_CreateTopics_result_topics(result, &n);

        err = n == 1 ? rd_kafka_topic_result_error(topics[0]) : RD_KAFKA_RESP_ERR__BAD_MSG;
        if (n == 1 && rd_kafka_topic_result_error_string(topics[0]))
            snprintf(why, why_bytes, "%s", rd_kafka_topic_result_error_string(topics[0]));
    }
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    return err;
}

static bool passes(rd_kafka_resp_err_t err)
{
    return err == RD_KAFKA_RESP_ERR__TIMED_OUT || err == RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE ||
           err == RD_KAFKA_RESP_ERR__TRANSPORT || err == RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT ||
           err == RD_KAFKA_RESP_ERR_NOT_CONTROLLER ||
           err == RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR; /* brokers still registering */
}

static int create(struct work *w, uint32_t partitions, int replication)
{
    rd_kafka_NewTopic_t *topic = new_topic(w, partitions, replication);
    rd_kafka_resp_err_t err;
    char why[200] = "";

    if (!topic)
        return -EINVAL;
    do {
        err = create_once(w, topic, why, sizeof why);
        if (err && passes(err))
            poll(NULL, 0, at_most(left_ms(w), ASK_EVERY_MS * 4));
    } while (err && passes(err) && left_ms(w) > 0);
    rd_kafka_NewTopic_destroy(topic);
    if (!err || err == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
        return 0;
    fail(w->f, 502, "kafka_create_failed", NULL,
         "Kafka does not create the topic %s: %s (brokers %s)", w->o->kafka_topic,
         why[0] ? why : rd_kafka_err2str(err), w->o->kafka_brokers);
    return kafka_errno(err);
}

/* An existing topic keeps the number of partitions that it has. */
static int check_existing(struct work *w, rd_kafka_topic_t *rkt, uint32_t partitions,
                          bool *ret_exists)
{
    const struct rd_kafka_metadata *md;
    rd_kafka_resp_err_t err;
    uint32_t have = 0;

    do
        err = rd_kafka_metadata(w->rk, 0, rkt, &md, at_most(left_ms(w), ASK_TIMEOUT_MS));
    while (err && left_ms(w) > 0);
    if (err)
        return timed_out(w, "asking for the topic");
    if (md->topic_cnt == 1 && !md->topics[0].err)
        have = (uint32_t)md->topics[0].partition_cnt;
    rd_kafka_metadata_destroy(md);
    *ret_exists = have > 0;
    if (have == 0 || have == partitions)
        return 0;
    fail(w->f, 409, "kafka_partitions_differ",
         "the number is fixed for a topic's life: ask for what it has, or name another topic",
         "the topic %s has %u partitions, not %u", w->o->kafka_topic, have, partitions);
    return -EEXIST;
}

static int make_known(struct work *w, uint32_t partitions, int replication)
{
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(w->rk, w->o->kafka_topic, NULL);
    bool exists = false;
    int r;

    if (!rkt) {
        fail(w->f, 400, "kafka_topic_bad", "kafka_topic is its setting", "%s is no name of a topic",
             w->o->kafka_topic);
        return -EINVAL;
    }
    r = check_existing(w, rkt, partitions, &exists);
    if (r == 0 && !exists)
        r = create(w, partitions, replication);
    if (r == 0)
        r = wait_known(w, rkt, partitions);
    rd_kafka_topic_destroy(rkt);
    return r;
}

int log_kafka_create_topic(const struct log_kafka_options *o, uint32_t partitions, int replication,
                           int timeout_ms, struct failure *f)
{
    struct work w = {.o = o, .deadline_ms = clock_mono_ms() + timeout_ms, .f = f};
    rd_kafka_conf_t *conf = kafka_conf_new(o, f);
    char why[200];
    int r;

    if (!conf)
        return -EINVAL;
    w.rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    if (!w.rk) {
        rd_kafka_conf_destroy(conf);
        fail(f, 500, "kafka_unusable", NULL, "cannot make a Kafka client: %s", why);
        return -EINVAL;
    }
    r = make_known(&w, partitions, replication);
    rd_kafka_destroy(w.rk);
    return r;
}
