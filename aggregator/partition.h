/*
 * Partition: the life of one assigned partition, from taking it in the store to giving it back.
 *
 *   ACQUIRING   a new epoch in the store; what the store says is ours from then on
 *   LOADING     dedup table, generations, catalogue; then records flow from the stored offset
 *   RUNNING     records are counted
 *   FLUSHING    the partition is paused; a flush is on its way, or waits to be tried again
 *
 * A refused commit (fenced) throws the shard away and goes back to ACQUIRING. An unreachable store
 * keeps everything where it is: paused, and tried again with a growing delay.
 */
#ifndef HEARTH_AGGREGATOR_PARTITION_H
#define HEARTH_AGGREGATOR_PARTITION_H

#include "aggregator/aggregator.h"
#include "wire/record.h"
#include "wire/zcodec.h"

/* What the partitions of a worker share. */
struct partition_host {
    uv_loop_t *loop;
    struct store *store;
    struct log_consumer *consumer;
    const struct aggregator_options *o;
    struct record_decoder *decoder;
    struct zcodec *z;
    size_t n_partitions;
    size_t delta_bytes, symbols_bytes, cache_bytes;     /* of all of them */
    bool store_went_back;           /* a commit was refused: the store may have lost more than that */
};

struct partition;

/* Begins to acquire. */
struct partition *partition_new(struct partition_host *host, uint32_t id);
uint32_t partition_id(const struct partition *p);
void partition_message(struct partition *p, const struct log_message *m);
void partition_gap(struct partition *p, uint64_t wanted, uint64_t first);
/* If there is anything to flush and nothing else in the way. */
void partition_flush(struct partition *p);
/*
 * Flushes (unless lost; at most RELEASE_MAX_MS: what is not flushed then is read again by the next
 * owner), then frees p and calls released, once, later. No message comes any more.
 */
void partition_release(struct partition *p, bool lost, void (*released)(void *ctx), void *ctx);

bool partition_loaded(const struct partition *p);
/* Records between what was read and the end of the log, if both are known. */
bool partition_lag(const struct partition *p, uint64_t *ret_records);
/* Receipt of the last record read, Unix ms; 0: none. */
int64_t partition_stream_ms(const struct partition *p);

#endif
