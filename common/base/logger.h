/*
 * The program's own log, to stderr: one event a line, logfmt or JSON. An event is a name and typed
 * fields; values are escaped, so text from outside cannot forge a line. The same event from the
 * same place is printed at most a few times a second; the rest is counted and the count is printed
 * with the next one that passes. Any thread.
 *
 *     LOG(LOG_WARN, "kafka_down", F_STR("broker", name), F_INT("waiting_ms", ms));
 *
 * (common/log is another thing: the durable log of records between the programs.)
 */
#ifndef HEARTH_BASE_LOGGER_H
#define HEARTH_BASE_LOGGER_H

#include "base/bytes.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct log_field {
    const char *key;
    enum { LOG_FIELD_STR, LOG_FIELD_INT, LOG_FIELD_FLOAT } kind;
    struct bytes str;
    int64_t num;
    double real;
};

#define F_STR(k, s)   ((struct log_field){.key = (k), .kind = LOG_FIELD_STR, .str = bytes_str(s)})
#define F_BYTES(k, b) ((struct log_field){.key = (k), .kind = LOG_FIELD_STR, .str = (b)})
#define F_INT(k, n)   ((struct log_field){.key = (k), .kind = LOG_FIELD_INT, .num = (int64_t)(n)})
#define F_FLOAT(k, d) ((struct log_field){.key = (k), .kind = LOG_FIELD_FLOAT, .real = (d)})

/* Repeats are counted per call site; the line that passes next says repeats=<how many were not>. */
struct log_site {
    _Atomic int64_t window_ms;      /* second in which `printed` counts */
    _Atomic unsigned printed, suppressed;
};

#define LOG(level, event, ...)                                                                     \
    do {                                                                                           \
        static struct log_site log_site_;                                                          \
        const struct log_field log_fields_[] = {{0}, ##__VA_ARGS__};                               \
        if ((level) >= logger_level())                                                             \
            logger_write(&log_site_, (level), (event), log_fields_ + 1,                            \
                         sizeof log_fields_ / sizeof *log_fields_ - 1);                            \
    } while (0)

enum log_level logger_level(void);
/* site NULL: never suppressed. Values are cut at 1 KiB. Keys and event names are the program's. */
void logger_write(struct log_site *site, enum log_level level, const char *event,
                  const struct log_field *fields, size_t n);

/* Before threads start. program is printed with each line. */
void logger_init(const char *program, enum log_level level, bool json);
/* "debug" … "error"; -EINVAL otherwise. */
int log_level_parse(const char *s, enum log_level *ret);

#endif
