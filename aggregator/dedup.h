/*
 * Dedup: which records of each source a partition has counted, so that resends are harmless.
 *
 * A record carries (source, seq, low). low is the source's smallest sequence not yet acknowledged on
 * the partition when the record went out: whatever is below it stands in the log already, before this
 * record, so it is a duplicate if it comes again. At or above the greatest low seen, what was counted
 * is kept as intervals. A source is forgotten when the partition's time (of receipt) has passed its
 * last record by long enough.
 *
 * Pure. What changed since the last commit is remembered, and written as one hash field a source.
 */
#ifndef HEARTH_AGGREGATOR_DEDUP_H
#define HEARTH_AGGREGATOR_DEDUP_H

#include "aggregator/ops.h"
#include "base/hash.h"

enum { DEDUP_INTERVALS_MAX = 4096 };

struct dedup;

struct dedup *dedup_new(void);
void dedup_free(struct dedup *d);

enum { DEDUP_E_SEEN = 1 };
/* 0: it is new, and counted as seen from now on. A source with more gaps than
 * DEDUP_INTERVALS_MAX has its lowest one closed: what would still come there is a duplicate. */
int dedup_add(struct dedup *d, struct hash128 source, uint64_t seq, uint64_t low, int64_t time_ms);
size_t dedup_sources(const struct dedup *d);

/* A field of the stored table. 0 or -EBADMSG. */
int dedup_load(struct dedup *d, struct bytes field, struct bytes value);
/* Adds to ops what has changed, and the removal of sources whose last record is before
 * forget_before_ms; dedup_committed then makes that the state. Between the two nothing is added. */
void dedup_ops(struct dedup *d, struct key key, int64_t forget_before_ms, struct ops *ops);
void dedup_committed(struct dedup *d);

#endif
