/*
 * Item: one series and type in one window on its way through a flush: the columns of deltas that belong
 * to it, what the store has for it, and the aggregate that replaces that. Pure.
 */
#ifndef HEARTH_AGGREGATOR_ITEM_H
#define HEARTH_AGGREGATOR_ITEM_H

#include "aggregator/cache.h"
#include "aggregator/delta.h"

struct item_source {
    const struct delta *delta;
    uint32_t type;
};

struct item {
    struct flush *flush;                /* for callbacks */
    struct roster_entry *entry;
    int64_t t_s;
    struct item_source *sources;
    size_t n_sources, cap_sources;

    const struct cached *cached;        /* the stored aggregate as a tree, or */
    bool index_read, blob_read;
    bool has_index;                     /* a live blob is pointed at */
    struct index_entry index;
    struct buf blob;                    /* as read; empty: there is none */

    bool merged, put;
    struct aggregate result;
};

/* One item for each series, type and window in the deltas, sources filled in. */
struct items {
    struct item *at;
    size_t n;
};
struct items items_of(const struct deltas *deltas);
void items_deinit(struct items *items);

/* Symbols of a generation that is not the current one: its table, and the map to the current one. */
struct old_symbols {
    struct flush *flush;
    struct service *service;
    uint64_t generation;
    bool read;
    struct symbols *symbols;            /* NULL: the store does not have them whole */
    uint32_t *map;
};

/* Deltas + stored = result. The service is loaded; old: the generation of the blob, if it is not the
 * current one. 0, or -EBADMSG: the blob does not decode, and the result is that of the deltas alone. */
int item_merge(struct item *it, struct zcodec *z, const struct old_symbols *old);

#endif
