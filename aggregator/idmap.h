/*
 * Idmap: hash128 → pointer, for what the store names by a hash: services, series, sources. The values
 * are the caller's. Ids may be chosen by strangers, so slots are found through a secret of the
 * process. One thread.
 */
#ifndef HEARTH_AGGREGATOR_IDMAP_H
#define HEARTH_AGGREGATOR_IDMAP_H

#include "base/hash.h"

struct idmap_slot {
    struct hash128 id;
    void *value;                /* NULL: free */
};

/* A zeroed map is valid and empty. */
struct idmap {
    struct idmap_slot *slots;
    size_t n, cap;
};

void idmap_deinit(struct idmap *m);                         /* not the values */
void *idmap_get(const struct idmap *m, struct hash128 id);  /* NULL: none */
void idmap_put(struct idmap *m, struct hash128 id, void *value);    /* id is new */
void *idmap_remove(struct idmap *m, struct hash128 id);     /* what was there, or NULL */
/* The values in any order: start with *at = 0; NULL ends. No changes meanwhile. */
void *idmap_next(const struct idmap *m, size_t *at);

static inline bool hash128_equal(struct hash128 a, struct hash128 b)
{
    return a.hi == b.hi && a.lo == b.lo;
}

#endif
