/*
 * One partition of the local log: its segments, oldest first, the newest being written.
 *
 * The writer (the log's thread) appends and commits. What it has committed it publishes as a
 * *view*: the segments with their sizes, and the end. The view is under the log's lock, which the
 * writer holds only to change it; readers on other threads ask it where an offset is and read the
 * files themselves.
 */
#ifndef HEARTH_LOG_LOCAL_PARTITION_H
#define HEARTH_LOG_LOCAL_PARTITION_H

#include "base/list.h"
#include "log/segment.h"

#include <uv.h>

struct view_segment {
    uint64_t base;
    int64_t created_ms;
    uint64_t bytes; /* committed ones */
};

struct local_partition {
    uint32_t number;
    int dirfd;
    uv_mutex_t *lock; /* the log's */

    /* under the lock */
    struct view_segment *view;
    size_t n_view, cap_view;
    uint64_t bytes;   /* of all of them */
    uint64_t end;     /* offset of the next record to be committed */
    uint64_t flushed; /* records below may be deleted */

    /* the writer's */
    struct segment tail; /* closed after an error: the next append begins a new one */
    struct list pending; /* struct local_record: appended, not yet committed */
};

/* A record on its way; the value stays valid until it is committed or failed. */
struct local_record {
    struct list link;
    struct bytes value;
    uint64_t offset;
    int r;
};

/* Opens and recovers; dirfd becomes the partition's even if it fails. */
int partition_open(struct local_partition *p, uint32_t number, int dirfd, uv_mutex_t *lock);
void partition_close(struct local_partition *p);

/* Appends to the tail, which ends at segment_bytes; on success rec is in p->pending. Records that a
 * full segment committed go to done. */
int partition_append(struct local_partition *p, struct local_record *rec, uint64_t segment_bytes,
                     struct list *done);
/* Syncs what is pending and publishes it; moves the records to the end of done with their r. False:
 * there was nothing. */
bool partition_commit(struct local_partition *p, struct list *done);

/* Bytes of all committed segments, and of what is pending. */
uint64_t partition_bytes(const struct local_partition *p);
/* The age of the oldest segment that holds nothing unflushed; false if there is none. */
bool partition_oldest(struct local_partition *p, int64_t *ret_created_ms);
/* Deletes that segment. */
int partition_drop_oldest(struct local_partition *p);

/* ---- for readers, any thread ------------------------------------------------------------------
 */

struct partition_place {
    uint64_t first, end;  /* offsets that the partition has: [first, end) */
    uint64_t base, limit; /* the segment with the offset, its committed bytes */
    uint64_t segment_end; /* offset behind the segment's last */
};

/* Where offset is; base is valid only if offset is in [first, end). */
struct partition_place partition_find(struct local_partition *p, uint64_t offset);

#endif
