/*
 * Ids of the wire → indexes, where the first of two equal ids holds: an array while ids are about
 * as small as they are many, else a hash table. Filled first, then built, then searched.
 */
#ifndef HEARTH_FORMATS_JFR_IDS_H
#define HEARTH_FORMATS_JFR_IDS_H

#include "base/hash.h"
#include "profile/table.h"

struct jfr_ids {
    uint64_t *id; /* [index] */
    size_t id_cap;
    uint32_t n;
    uint32_t *dense; /* [id] index, or JFR_NONE */
    size_t dense_cap;
    uint64_t dense_n; /* 0: use the table */
    struct table sparse;
    const uint64_t *secret; /* hash_secret(), once built */
};

void jfr_ids_deinit(struct jfr_ids *m);
void jfr_ids_reset(struct jfr_ids *m);
void jfr_ids_add(struct jfr_ids *m, uint64_t id); /* under the next index */
void jfr_ids_build(struct jfr_ids *m);
size_t jfr_ids_bytes(const struct jfr_ids *m);
uint32_t jfr_ids_find_sparse(const struct jfr_ids *m, uint64_t id);

/* The index, or UINT32_MAX. */
static inline uint32_t jfr_ids_find(const struct jfr_ids *m, uint64_t id)
{
    if (m->dense_n)
        return id < m->dense_n ? m->dense[id] : UINT32_MAX;
    return jfr_ids_find_sparse(m, id);
}

#endif
