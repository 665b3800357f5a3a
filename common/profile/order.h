/*
 * Order: the ids of a table's entries, sorted by content. Entries are only added, so an order is
 * brought up to date by sorting the new ones and putting each in its place. One thread owns it.
 */
#ifndef HEARTH_PROFILE_ORDER_H
#define HEARTH_PROFILE_ORDER_H

#include <stddef.h>
#include <stdint.h>

/* < 0: a comes before b; never 0 for two ids. */
typedef int order_cmp(const void *table, uint32_t a, uint32_t b);

/* A zeroed one is of no entries. */
struct order {
    uint32_t *id; /* [0 … n): all ids below n, in order */
    uint32_t n;
    size_t cap;
};

void order_deinit(struct order *o);
/* Puts ids o->n … n − 1 in their places. */
void order_update(struct order *o, uint32_t n, order_cmp *cmp, const void *table);

#endif
