/*
 * Delta: what one series has gathered in one window since the last flush, for one list of profile
 * types. Rows per stack, one value column a type; labels of samples are not kept. Pure.
 */
#ifndef HEARTH_AGGREGATOR_DELTA_H
#define HEARTH_AGGREGATOR_DELTA_H

#include "aggregator/roster.h"
#include "wire/aggregate.h"
#include "wire/record.h"

struct delta {
    struct hash128 id;
    struct service *service;
    int64_t t_s;                        /* start of the window */
    uint32_t n_types;
    struct roster_entry *entries[PROFILE_TYPES_MAX];    /* what each column counts under */
    struct profile profile;             /* its symbols and stacks are the service's at the time */
    struct aggregate figures;           /* without a tree or generation */
    size_t bytes;
};

/* All deltas of a partition. A zeroed one is empty. */
struct deltas {
    struct idmap map;
    size_t bytes;           /* memory, with what the services' symbols and stacks grew by */
};

void deltas_reset(struct deltas *d);    /* frees all */

/* Where a record belongs, besides what its header says. types and entries: [n_types]. */
struct delta_place {
    struct service *service;            /* touched */
    int64_t t_s;
    const struct bytes *types;
    struct roster_entry *const *entries;
    uint32_t n_types;
    uint64_t offset;
};
/* Adds the record that d has open. 0 or -EBADMSG, and then nothing was added. */
int deltas_add(struct deltas *ds, struct record_decoder *d, const struct record_header *h,
               const struct delta_place *at);

/* Who sent it: runtime-id, else host and pid, else host. */
uint64_t instance_hash(const struct record_header *h);

#endif
