/*
 * Cache: the aggregates that a partition wrote last, as trees, with the index entry that points at
 * each. A window is flushed every few seconds while it is open; with its tree here a flush reads
 * nothing. Least recently used goes first above the budget. Pure.
 */
#ifndef HEARTH_AGGREGATOR_CACHE_H
#define HEARTH_AGGREGATOR_CACHE_H

#include "aggregator/idmap.h"
#include "base/list.h"
#include "store/keys.h"
#include "wire/aggregate.h"

struct cached {
    struct hash128 id;
    struct index_entry entry;
    struct aggregate aggregate;         /* frame ids of aggregate.generation */
    size_t bytes;
    struct list lru;
};

struct cache {
    struct idmap map;
    struct list lru;                    /* least recently used first */
    size_t bytes, bytes_max;
};

void cache_init(struct cache *c, size_t bytes_max);
void cache_deinit(struct cache *c);
void cache_limit(struct cache *c, size_t bytes_max);    /* another budget, from now on */
/* NULL: not there. Valid until the next put. */
struct cached *cache_get(struct cache *c, struct hash128 kid, int64_t t_s);
/* Takes the aggregate (its tree); replaces what was there. */
void cache_put(struct cache *c, struct hash128 kid, int64_t t_s, const struct index_entry *entry,
               struct aggregate *taken);

/* One id of a series and a window. */
static inline struct hash128 window_id(struct hash128 kid, int64_t t_s)
{
    return (struct hash128){kid.hi, kid.lo ^ hash_mix((uint64_t)t_s)};
}

#endif
