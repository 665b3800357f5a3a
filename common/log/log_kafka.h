/*
 * The Kafka log: log.h on librdkafka, driven by the loop (an eventfd that librdkafka writes,
 * drained by uv_poll). Several aggregators share a topic through its consumer group; where to begin
 * comes from the caller, never from Kafka's committed offsets, which are written for lag displays
 * only.
 *
 * The topic is never made by accident: hearth-collector and hearth-aggregator report an unknown
 * topic and wait; log_kafka_create_topic (`hearth create-topic`) makes it.
 */
#ifndef HEARTH_LOG_LOG_KAFKA_H
#define HEARTH_LOG_LOG_KAFKA_H

#include "base/options.h"
#include "log/log.h"

#define LOG_KAFKA_OPTIONS(X)                                                                       \
    X(LIST, kafka_brokers, "127.0.0.1:9092", 0, 0, NULL, "addresses of some of the Kafka brokers") \
    X(STRING, kafka_topic, "hearth.profiles", 0, 0, NULL, "topic of the records")                  \
    X(STRING, kafka_group, "hearth", 0, 0, NULL, "consumer group of the aggregators")              \
    X(SIZE, kafka_queue_bytes, "4MiB", 1 << 20, INT64_C(1) << 31, NULL,                            \
      "records on their way to the brokers, in memory")                                            \
    X(DURATION, kafka_linger, "1ms", 0, 1000, NULL, "longest wait for more records in a request")  \
    X(DURATION, kafka_message_timeout, "10s", 1000, 3600000, NULL,                                 \
      "give a record back to be sent again after this long")                                       \
    X(DURATION, kafka_session_timeout, "10s", 1000, 1800000, NULL,                                 \
      "an aggregator that is silent this long loses its partitions")                               \
    X(SIZE, kafka_fetch_bytes, "32MiB", 1 << 20, INT64_C(1) << 31, NULL,                           \
      "fetched records of a consumer, in memory")                                                  \
    X(ENUM, kafka_security_protocol, "plaintext", 0, 0, "plaintext|ssl|sasl_plaintext|sasl_ssl",   \
      "how to talk to the brokers")                                                                \
    X(ENUM, kafka_sasl_mechanism, "SCRAM-SHA-512", 0, 0, "PLAIN|SCRAM-SHA-256|SCRAM-SHA-512",      \
      "SASL mechanism")                                                                            \
    X(STRING, kafka_sasl_username, NULL, 0, 0, NULL, "SASL user name")                             \
    X(STRING, kafka_sasl_password, NULL, 0, 0, NULL,                                               \
      "SASL password; better given as HEARTH_KAFKA_SASL_PASSWORD")                                 \
    X(STRING, kafka_ssl_ca, NULL, 0, 0, NULL,                                                      \
      "file with the certificates of the brokers' authorities; unset: the system's")               \
    X(STRING, kafka_ssl_certificate, NULL, 0, 0, NULL, "file with the client's certificate")       \
    X(STRING, kafka_ssl_key, NULL, 0, 0, NULL, "file with the client's private key")

struct log_kafka_options {
    LOG_KAFKA_OPTIONS(OPTION_FIELD)
};
extern const struct option_row log_kafka_option_rows[];

/* Do the settings go together, and does librdkafka take them? Asks no broker and reads no file. 0
 * or FAILURE. */
int log_kafka_check(const struct log_kafka_options *o, struct failure *f);

/*
 * Makes the topic unless it is there, and waits until every broker reports all its partitions with
 * a leader: a record that is produced before that can fail. Blocks; for the command line.
 * replication: 0 takes the broker's default. An existing topic with another number of partitions is
 * a failure.
 */
int log_kafka_create_topic(const struct log_kafka_options *o, uint32_t partitions, int replication,
                           int timeout_ms, struct failure *f);

#endif
