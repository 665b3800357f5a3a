/* hearth create-topic: the topic is never made by accident. */
#include "cli/cli.h"
#include "log/log_kafka.h"
#include "net/daemon.h"

#include <stdio.h>

#define TOPIC_OPTIONS(X)                                                                           \
    X(INT, partitions, "32", 1, 4096, NULL, "partitions of the topic, fixed for its life")         \
    X(INT, replication, "0", 0, 100, NULL, "replicas of each partition; 0: the brokers' default")  \
    X(DURATION, timeout, "60s", 1000, 3600000, NULL,                                               \
      "longest wait until every partition has a leader")

struct topic_options {
    TOPIC_OPTIONS(OPTION_FIELD)
};
#define TOPIC_ROW(...) OPTION_ROW(struct topic_options, __VA_ARGS__)
static const struct option_row topic_option_rows[] = {TOPIC_OPTIONS(TOPIC_ROW){0}};

static int create(const struct topic_options *o, const struct log_kafka_options *kafka)
{
    struct failure f;

    if (log_kafka_create_topic(kafka, (uint32_t)o->partitions, (int)o->replication, (int)o->timeout,
                               &f) != 0)
        return complain("create-topic", &f);
    printf("topic %s: %lld partitions\n", kafka->kafka_topic, (long long)o->partitions);
    return 0;
}

int verb_create_topic(int argc, char **argv)
{
    struct options *options = options_new();
    struct topic_options o;
    struct log_kafka_options kafka;
    struct daemon_options daemon;
    int status;

    options_bind(options, topic_option_rows, &o, "Topic");
    options_bind(options, log_kafka_option_rows, &kafka, "Kafka");
    if (daemon_options_load(options, &daemon, "hearth create-topic", &argc, argv, &status) == 0)
        status = create(&o, &kafka);
    options_free(options);
    return status;
}
