/*
 * Shard: all that the owner of a partition knows about it: what the store says (epoch, sequence,
 * offset, dedup table, generations, catalogue) and what has been counted since. From a record to the
 * right row, with no I/O and no clock: equal records in equal order give equal shards.
 */
#ifndef HEARTH_AGGREGATOR_SHARD_H
#define HEARTH_AGGREGATOR_SHARD_H

#include "aggregator/aggregator.h"
#include "aggregator/cache.h"
#include "aggregator/dedup.h"
#include "aggregator/delta.h"
#include "aggregator/roster.h"
#include "aggregator/service.h"

enum { SERVICES_MAX = 100000, FRESHNESS_SAMPLES_MAX = 4096 };

struct shard {
    uint32_t id;                        /* the partition */
    const struct aggregator_options *o;
    uint32_t res_s;

    uint64_t epoch, token, seq;         /* seq: of the last commit */
    uint64_t flushed_offset;            /* LOG_BEGIN: none */
    uint64_t next_offset;               /* of the next record to count; LOG_BEGIN: the first there is */
    int64_t stream_ms;                  /* greatest time of receipt seen */

    struct dedup *dedup;
    struct idmap services;              /* sid → struct service */
    struct roster roster;
    struct deltas deltas;
    struct cache cache;
    uint32_t n_generations;             /* begun under this epoch */
    bool symbols_full;                  /* of some service: flush, so that its generation ends */
    size_t symbols_bytes;               /* of all services, when shard_unload() was called last */

    int64_t ends_ns[FRESHNESS_SAMPLES_MAX];     /* of profiles counted since the last commit */
    uint32_t n_ends;
};

/* meta: as acquired, with our epoch and token. o stays the caller's. */
struct shard *shard_new(uint32_t id, const struct aggregator_options *o,
                        const struct store_meta *meta);
void shard_free(struct shard *s);

/* What the store has; entries that do not decode are skipped and their number is returned. */
size_t shard_load_dedup(struct shard *s, const struct store_reply *reply);
size_t shard_load_generations(struct shard *s, const struct store_reply *reply);
size_t shard_load_catalogue(struct shard *s, const struct store_reply *reply);

/* SHARD_PART: counted too, but a further part of a profile. */
enum shard_verdict { SHARD_COUNTED, SHARD_PART, SHARD_DUPLICATE, SHARD_LATE, SHARD_BAD };
/* Counts one record. now_ms only says when a service was last touched. f: what is bad. */
enum shard_verdict shard_add(struct shard *s, struct record_decoder *d, const struct log_message *m,
                             int64_t now_ms, struct failure *f);
/* Records below offset are gone from the log. */
void shard_skip(struct shard *s, uint64_t offset);

/* Something to commit, be it only an offset. */
bool shard_changed(const struct shard *s);
uint64_t shard_new_generation(struct shard *s);
/* The last commit stands: seq and next_offset are stored, the deltas are in it. */
void shard_committed(struct shard *s);
/* Frees symbols of services not touched since before_ms, then of those touched least recently, until
 * the others take at most bytes_max; and services that are empty. Between flushes, without deltas. */
void shard_unload(struct shard *s, int64_t before_ms, size_t bytes_max);

#endif
