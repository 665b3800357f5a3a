/* How it works: what is new is sorted by itself and put between the old, from the last on. */
#include "profile/order.h"

#include "base/xalloc.h"

#include <stdlib.h>
#include <string.h>

void order_deinit(struct order *o)
{
    free(o->id);
    *o = (struct order){0};
}

struct sorting {
    order_cmp *cmp;
    const void *table;
};

static int id_cmp(const void *a, const void *b, void *vs)
{
    const struct sorting *s = vs;

    return s->cmp(s->table, *(const uint32_t *)a, *(const uint32_t *)b);
}

/* The ids from first on, sorted. The caller frees. */
static uint32_t *sorted_ids(uint32_t first, uint32_t n, struct sorting *s)
{
    uint32_t *id = xreallocarray(NULL, n - first, sizeof *id);

    for (uint32_t i = first; i < n; i++)
        id[i - first] = i;
    qsort_r(id, n - first, sizeof *id, id_cmp, s);
    return id;
}

/* How many of the first n come before id. */
static uint32_t place_of(const struct order *o, uint32_t n, uint32_t id, const struct sorting *s)
{
    uint32_t low = 0;

    while (low < n) {
        uint32_t middle = low + (n - low) / 2;

        if (s->cmp(s->table, o->id[middle], id) < 0)
            low = middle + 1;
        else
            n = middle;
    }
    return low;
}

/* From the last on, so that each old one moves once. */
void order_update(struct order *o, uint32_t n, order_cmp *cmp, const void *table)
{
    struct sorting s = {cmp, table};
    uint32_t old = o->n, *new_ids;

    if (n == old)
        return;
    new_ids = sorted_ids(old, n, &s);
    XGROW(o->id, o->cap, n);
    for (uint32_t left = n - o->n; left > 0; left--) {
        uint32_t place = place_of(o, old, new_ids[left - 1], &s);

        memmove(o->id + place + left, o->id + place, (old - place) * sizeof *o->id);
        o->id[place + left - 1] = new_ids[left - 1];
        old = place;
    }
    o->n = n;
    free(new_ids);
}
