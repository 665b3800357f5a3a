/*
 * Directory: the catalogues of partitions, read from the store and cached by the partition's meta:
 * they change only when a flush commits. Loop thread only.
 */
#ifndef HEARTH_QUERY_DIRECTORY_H
#define HEARTH_QUERY_DIRECTORY_H

#include "base/hash.h"
#include "store/catalogue.h"
#include "store/store.h"

/* A partition as it was at one commit. Immutable; shared between the cache and queries. */
struct catalogue {
    uint32_t number;
    struct store_meta meta; /* epoch 0: nobody ever owned it */
    size_t n;
    struct hash128 *kids;
    struct catalogue_entry *entries; /* views into bytes */
    struct buf bytes;
    uint32_t refs;
};
void catalogue_unref(struct catalogue *p);

struct directory;

struct directory *directory_new(struct store *store);
void directory_free(struct directory *d); /* nothing is being loaded */

/* r = 0 with n partitions in the order asked for, each referenced for the receiver. */
typedef void directory_cb(void *ctx, int r, struct catalogue **catalogues, size_t n);

/* The partitions where a service may be (base … base + 15), or all if service is empty. Brings them
 * up to date. None (n = 0): no aggregator has ever run. Never calls back from within. */
void directory_load(struct directory *d, struct bytes tenant, struct bytes service,
                    directory_cb *cb, void *ctx);

#endif
