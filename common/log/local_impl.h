/*
 * Inside the local log: the object that its thread, its producers and its consumers share.
 * Everything below `lock` is under it; the lock is held for list operations only, never over I/O or
 * a callback.
 */
#ifndef HEARTH_LOG_LOCAL_IMPL_H
#define HEARTH_LOG_LOCAL_IMPL_H

#include "log/local_dir.h"
#include "log/local_partition.h"
#include "log/log_impl.h"
#include "log/log_local.h"

struct log_local {
    struct local_dir dir;
    struct local_partition *partitions;
    uint32_t n_partitions;
    uint64_t max_bytes, segment_bytes;
    uv_thread_t thread;

    uv_mutex_t lock;
    uv_cond_t wake;    /* the queue is not empty, or stopping */
    struct list queue; /* struct local_item, oldest first */
    size_t queued_bytes;
    bool stopping;
    struct list producers, consumers; /* open ones */
    bool rebalancing;                 /* waits until holders is 0 */
    size_t n_holders;                 /* consumers with partitions */
};

/* Tells every consumer to look again: new records, or a change in the group. Under the lock. */
void local_wake_consumers(struct log_local *l);

#endif
