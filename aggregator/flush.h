/*
 * Flush: what a shard has counted goes to the store, and counts there from one atomic commit on
 * (docs/flush.md). A flush is a row of stages, each a batch of store calls:
 *
 *   INDEX    symbols of services not loaded yet, index entries of the windows touched
 *   BLOBS    what these point at, where the cache does not have it
 *   SYMBOLS  older generations that some blob names
 *   PUT      merge, write each aggregate under a name of its own
 *   COMMIT   point at them, and everything else, if we are still the owner
 *
 * The shard must not be touched while a flush exists, unless it is thrown away with it. When a stage
 * fails, done says so once all its calls have returned, and flush_run goes on from that stage later;
 * calls that have succeeded are not repeated.
 */
#ifndef HEARTH_AGGREGATOR_FLUSH_H
#define HEARTH_AGGREGATOR_FLUSH_H

#include "aggregator/shard.h"

struct flush;

/* r: 0 (committed; the shard has been told), STORE_E_FENCED, or -errno: may be run again. */
typedef void flush_cb(void *ctx, int r);

struct flush *flush_new(struct shard *shard, struct store *store, struct zcodec *z, flush_cb *done,
                        void *ctx);
/* done comes later, once. */
void flush_run(struct flush *f);
/* Not while it runs. */
void flush_free(struct flush *f);

#endif
