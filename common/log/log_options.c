/* The option tables of both logs. */
#include "log/log_kafka.h"
#include "log/log_local.h"

#define LOCAL_ROW(...) OPTION_ROW(struct log_local_options, __VA_ARGS__)
#define KAFKA_ROW(...) OPTION_ROW(struct log_kafka_options, __VA_ARGS__)

const struct option_row log_local_option_rows[] = {LOG_LOCAL_OPTIONS(LOCAL_ROW){0}};
const struct option_row log_kafka_option_rows[] = {LOG_KAFKA_OPTIONS(KAFKA_ROW){0}};
