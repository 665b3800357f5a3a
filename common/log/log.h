/*
 * Log: the durable, partitioned, append-only log of records between collectors and aggregators.
 * Two implementations: Kafka (log_kafka.h) and local segment files (log_local.h).
 *
 * Producer: a record is acknowledged (done with r = 0) only when it will survive a crash of this
 * process, and of a machine: Kafka's acks=all, or fdatasync. A failed publish is normal while
 * metadata changes: the caller publishes the same bytes to the same partition again.
 *
 * Consumer: each partition is given to one consumer of the group at a time. `assigned` asks where to
 * begin; messages flow, in offset order, after log_consumer_start; `revoked` must be answered by
 * log_consumer_released once what had to be flushed is flushed (with lost = true the partitions are
 * another's already: write nothing). Between revoked and released no messages come.
 *
 * Every call and callback is on the thread of the loop that the handle was made for.
 */
#ifndef HEARTH_LOG_LOG_H
#define HEARTH_LOG_LOG_H

#include "base/bytes.h"
#include "base/err.h"

#include <uv.h>

struct log_producer;
struct log_consumer;

enum { LOG_E_FULL = 1 };                    /* the queue is: wait for a done, or refuse work */
#define LOG_BEGIN UINT64_MAX                /* start at the earliest offset there is */

/* One record on its way; embedded in the caller's own. value and the struct stay valid and unchanged
 * until done. Done is never called from within log_publish. */
struct log_publish {
    uint32_t partition;
    struct bytes value;
    /* r: 0 with the offset, or -errno: it may or may not be in the log (send it again). */
    void (*done)(struct log_publish *p, int r, uint64_t offset);
    void *private_;                         /* the implementation's */
};

int log_publish(struct log_producer *p, struct log_publish *pub);      /* 0, LOG_E_FULL */
uint32_t log_producer_partitions(const struct log_producer *p);         /* 0: not known yet */
bool log_producer_ready(const struct log_producer *p);                  /* connected, topic known */
/* Refuses new records, fails what is queued, calls every done; then closed, once. */
void log_producer_close(struct log_producer *p, void (*closed)(void *ctx), void *ctx);

struct log_message {
    uint32_t partition;
    uint64_t offset;
    int64_t time_ms;                        /* of receipt: the broker's or the local log's clock */
    struct bytes value;                     /* valid during the callback */
};

struct log_consumer_events {
    void (*assigned)(void *ctx, const uint32_t *partitions, size_t n);
    void (*revoked)(void *ctx, const uint32_t *partitions, size_t n, bool lost);
    void (*message)(void *ctx, const struct log_message *m);
    /* Messages [wanted, first) are gone from the log (retention): count it, alarm; messages go on at
     * first. first < wanted: the log was made anew, and goes on at its earliest. */
    void (*gap)(void *ctx, uint32_t partition, uint64_t wanted, uint64_t first);
};

/* Messages of a partition that is assigned flow from offset on; again: it goes back there. */
void log_consumer_start(struct log_consumer *c, uint32_t partition, uint64_t offset);
void log_consumer_released(struct log_consumer *c);
/* Stops and resumes messages of one partition; nothing is lost or repeated in between. Cheap. */
void log_consumer_pause(struct log_consumer *c, uint32_t partition);
void log_consumer_resume(struct log_consumer *c, uint32_t partition);
/* Tells the log that offsets below are flushed: retention (local) and lag display (Kafka). */
void log_consumer_flushed(struct log_consumer *c, uint32_t partition, uint64_t offset);
/* The offset that the next record will get; false if not known now. */
bool log_consumer_end(struct log_consumer *c, uint32_t partition, uint64_t *ret_end);
uint32_t log_consumer_partitions(const struct log_consumer *c);         /* 0: not known yet */
/* Revokes all (lost = false), waits for released, leaves, then closed, once. */
void log_consumer_close(struct log_consumer *c, void (*closed)(void *ctx), void *ctx);

/* ---- implementations -------------------------------------------------------------------------- */

struct log_ops;                             /* log_impl.h: what an implementation fills in */

struct log_kafka_options;                   /* log_kafka.h: kafka_brokers, kafka_topic, group … */
int log_kafka_producer_new(uv_loop_t *loop, const struct log_kafka_options *o,
                           struct log_producer **ret, struct failure *f);
/* instance: the static member id, unique among the consumers that run, stable over restarts. */
int log_kafka_consumer_new(uv_loop_t *loop, const struct log_kafka_options *o, const char *instance,
                           const struct log_consumer_events *events, void *ctx,
                           struct log_consumer **ret, struct failure *f);

/* The local log is one object of the process, on its own thread; its producers and consumers belong
 * to loops. Freed last. -EAGAIN with f naming the holder when another process has the directory. */
struct log_local;
struct log_local_options;                   /* log_local.h */
int log_local_open(const char *dir, const struct log_local_options *o, struct log_local **ret,
                   struct failure *f);
void log_local_close(struct log_local *l);
struct log_producer *log_local_producer_new(uv_loop_t *loop, struct log_local *l);
struct log_consumer *log_local_consumer_new(uv_loop_t *loop, struct log_local *l,
                                            const struct log_consumer_events *events, void *ctx);

#endif
