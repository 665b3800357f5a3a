/*
 * Roster: the series of a partition by kid, as the catalogue in the store has them, and which kid a
 * profile type of a record counts under.
 *
 * Every key has a cap: a service with too many series and types has the rest counted under env and
 * version "__other__", then under the type "__other__"; a partition with too many services under the
 * service "__other__". So totals always match, and the overflow is visible. Pure.
 */
#ifndef HEARTH_AGGREGATOR_ROSTER_H
#define HEARTH_AGGREGATOR_ROSTER_H

#include "aggregator/idmap.h"
#include "aggregator/ops.h"
#include "base/list.h"
#include "store/catalogue.h"

#define OTHER "__other__"

struct service;

struct roster_entry {
    struct hash128 kid;
    struct service *service;
    int64_t first_s, last_s;            /* of event time; 0, 0: none yet */
    struct bytes tenant, name, type, tags;  /* name of the service; tags in canonical form */
    struct list changed;                /* in roster.changed, or alone */
    struct list by_sweep;               /* least recently swept first */
    int64_t swept_ms;
};

struct roster {
    uint32_t series_max;                /* of one service */
    uint32_t res_s;
    struct idmap entries;
    struct list changed, by_sweep;
};

void roster_init(struct roster *r, uint32_t res_s, uint32_t series_max);
void roster_deinit(struct roster *r);

/* An entry of the stored catalogue. service is that of its tenant and name. 0 or -EBADMSG. */
int roster_load(struct roster *r, struct hash128 kid, const struct catalogue_entry *e,
                struct service *service);

/* A profile's series before and after the caps. */
struct placement {
    struct service *service;
    struct bytes tenant, name;
    struct tags series;
};
/* The entry that the type counts under, made if new; and the entry of the first type decides the tags
 * of all. */
struct roster_entry *roster_place(struct roster *r, const struct placement *at, struct bytes type);
/* The entry has a window at t_s. */
void roster_seen(struct roster *r, struct roster_entry *e, int64_t t_s);

/* Changed entries as ops; roster_committed then makes that the state. */
void roster_ops(const struct roster *r, struct key key, struct ops *ops);
void roster_committed(struct roster *r);

/* The entry longest not swept, if that is before before_ms, else NULL. */
struct roster_entry *roster_next_sweep(struct roster *r, int64_t before_ms);
void roster_swept(struct roster *r, struct roster_entry *e, int64_t now_ms);
/* Nothing of it is left in the store: forgets it and frees it. */
void roster_remove(struct roster *r, struct roster_entry *e);

#endif
