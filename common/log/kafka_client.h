/*
 * A librdkafka handle on a libuv loop: configuration from our options, events delivered on the
 * loop, blocking calls on the thread pool, and an end that never blocks the loop. Producer and
 * consumer stand on it; nothing above common/log sees librdkafka.
 */
#ifndef HEARTH_LOG_KAFKA_CLIENT_H
#define HEARTH_LOG_KAFKA_CLIENT_H

#include "log/log_kafka.h"

#include <librdkafka/rdkafka.h>

/* ---- configuration ----------------------------------------------------------------------------
 */

struct kafka_setting {
    const char *name, *value;
};

/* What all handles share: brokers and security. NULL with f when an option does not fit. */
rd_kafka_conf_t *kafka_conf_new(const struct log_kafka_options *o, struct failure *f);
/* settings end with a NULL name. 0 or -EINVAL with f. */
int kafka_conf_set(rd_kafka_conf_t *conf, const struct kafka_setting *settings, struct failure *f);
int kafka_conf_set_int(rd_kafka_conf_t *conf, const char *name, int64_t value, struct failure *f);
/* -errno of a librdkafka error. */
int kafka_errno(rd_kafka_resp_err_t err);

/* ---- the handle -------------------------------------------------------------------------------
 */

struct kafka_client;

struct kafka_client_events {
    /* One event; the receiver destroys it. */
    void (*event)(void *ctx, rd_kafka_event_t *event);
    /* At most once per turn of the loop, after its events, and every KAFKA_TICK_MS without any.
     * True: there is more to do, call again in the next turn. */
    bool (*turn)(void *ctx);
};

enum { KAFKA_TICK_MS = 200 };

/* Makes a handle from a copy of conf. The events must outlive the client. */
int kafka_client_new(uv_loop_t *loop, rd_kafka_type_t type, const rd_kafka_conf_t *conf,
                     const struct kafka_client_events *events, void *ctx, struct kafka_client **ret,
                     struct failure *f);
rd_kafka_t *kafka_client_rk(const struct kafka_client *k);
rd_kafka_queue_t *kafka_client_queue(const struct kafka_client *k);
/* Asks for a turn soon. */
void kafka_client_poke(struct kafka_client *k);
/*
 * Runs a blocking call on the thread pool, then done on the loop. done is skipped when the client
 * has been closed since (ctx must not be needed then); job is freed after it.
 */
struct kafka_job {
    uv_work_t work;
    struct kafka_client *client;
    void (*run)(struct kafka_job *job, rd_kafka_t *rk);
    void (*done)(struct kafka_job *job, void *ctx);
};
void kafka_client_run(struct kafka_client *k, struct kafka_job *job);
/* No events from here on. Destroys the handle on the thread pool, then closed, once. Every event
 * and message of it must have been destroyed. */
void kafka_client_close(struct kafka_client *k, void (*closed)(void *ctx), void *ctx);

/* Nothing, but under ThreadSanitizer (kafka_tsan.c). */
void kafka_tsan_threads(void);

#endif
