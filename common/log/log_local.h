/*
 * The local log: log.h on segment files of one directory (docs/local-log.md), for one process.
 *
 *   DIR/lock            flock(2); names the holder
 *   DIR/log.meta        version and number of partitions, fixed at the first start
 *   DIR/p0000/…         the segments of partition 0, named by their first offset
 *
 * One thread of its own appends and syncs (group commit); consumers read what is synced on their own
 * loop. Consumers of one log are a group: they share the partitions evenly, and all partitions are
 * revoked and assigned again when one joins or leaves.
 *
 * The log keeps what fits in log_max_bytes and deletes the oldest flushed segments first. A record is
 * never deleted before log_consumer_flushed (or a log_consumer_start behind it) has passed it: when
 * there is nothing to delete, a record ends with -ENOSPC, which is counted.
 *
 * A start behind the end of the log (the directory was deleted, the store was not) is a gap whose
 * `first` is below `wanted`: messages go on at the earliest.
 */
#ifndef HEARTH_LOG_LOG_LOCAL_H
#define HEARTH_LOG_LOG_LOCAL_H

#include "base/options.h"
#include "log/log.h"

#define LOG_LOCAL_OPTIONS(X)                                                                       \
    X(INT, log_partitions, "4", 1, 1024, NULL, "partitions of the local log, fixed when it is made") \
    X(SIZE, log_max_bytes, "1GiB", 1 << 16, INT64_C(1) << 50, NULL, "largest size of the local log on disk") \
    X(SIZE, log_segment_bytes, "16MiB", 4096, INT64_C(1) << 31, NULL, "size at which a segment file of the local log ends")

struct log_local_options {
    LOG_LOCAL_OPTIONS(OPTION_FIELD)
};
extern const struct option_row log_local_option_rows[];

#endif
