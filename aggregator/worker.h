/*
 * Worker: an aggregator on a thread and a loop of its own, from Kafka to Redis. Workers of a process
 * share nothing but its metrics. All functions are for the thread that made it.
 */
#ifndef HEARTH_AGGREGATOR_WORKER_H
#define HEARTH_AGGREGATOR_WORKER_H

#include "aggregator/aggregator.h"
#include "log/log_kafka.h"
#include "store/store_redis.h"

struct worker_options {
    const struct aggregator_options *aggregator;
    const struct log_kafka_options *kafka;
    const struct store_redis_options *redis;
};

struct worker;

/* instance: the member id in the consumer group. 0, or FAILURE. */
int worker_start(const struct worker_options *o, const char *instance, struct worker **ret,
                 struct failure *f);
/* As of a moment ago. */
bool worker_ready(struct worker *w, struct buf *why);
/* Begins to drain; worker_join then waits for the end and frees. */
void worker_stop(struct worker *w);
bool worker_stopped(const struct worker *w);
void worker_join(struct worker *w);

#endif
