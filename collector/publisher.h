/*
 * Publisher: records in sequence to the log, each until it is acknowledged or given up.
 *
 * Every record gets (source, seq, low) once, when it is first sent: source is new at every start,
 * seq counts per partition, low is the smallest seq of the partition that stands unacknowledged. A
 * record whose publish failed may be in the log all the same; it is sent again byte for byte, so
 * the aggregator counts it once. After the timeout it is given up and its caller told -ETIMEDOUT:
 * low may pass it then, for whatever happens to it later, counted or taken for a duplicate, is
 * right: the agent was told that it failed. Loop thread only.
 */
#ifndef HEARTH_COLLECTOR_PUBLISHER_H
#define HEARTH_COLLECTOR_PUBLISHER_H

#include "log/log.h"

struct publisher;

/* r: 0 acknowledged, or -ETIMEDOUT. Once per record, never from within publisher_send. */
typedef void publisher_done_cb(void *ctx, int r);

struct publisher *publisher_new(uv_loop_t *loop, struct log_producer *log, int64_t timeout_ms);
/* value: a whole record (wire/record.h) to be stamped; taken. partition is below the log's number.
 */
void publisher_send(struct publisher *p, uint32_t partition, struct buf *value_taken,
                    publisher_done_cb *done, void *ctx);
/* From now on no record is waited for: those that stand are given up in a moment. */
void publisher_hurry(struct publisher *p);
/* When every done has come. Records that were given up may still be with the log: its close brings
 * them back, and with the last of them the publisher is freed. */
void publisher_close(struct publisher *p);

#endif
