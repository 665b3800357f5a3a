/* Open addressing, linear probing, at most three quarters full. Removing shifts the rest of the run
 * back, so there are no tombstones and a map that has lived for weeks probes like a new one. */
#include "aggregator/idmap.h"

#include "base/err.h"
#include "base/xalloc.h"

#include <stdlib.h>

enum { CAP_MIN = 16 };

static size_t home(const struct idmap *m, struct hash128 id)
{
    return hash_mix(id.lo * hash_secret()[0] ^ id.hi) & (m->cap - 1);
}

void idmap_deinit(struct idmap *m)
{
    free(m->slots);
    *m = (struct idmap){0};
}

/* The slot of id, or the free one where it would go. cap > n. */
static struct idmap_slot *find(const struct idmap *m, struct hash128 id)
{
    size_t i = home(m, id);

    while (m->slots[i].value && !hash128_equal(m->slots[i].id, id))
        i = (i + 1) & (m->cap - 1);
    return &m->slots[i];
}

void *idmap_get(const struct idmap *m, struct hash128 id)
{
    return m->cap ? find(m, id)->value : NULL;
}

static void grow(struct idmap *m)
{
    struct idmap old = *m;

    m->cap = old.cap ? old.cap * 2 : CAP_MIN;
    m->slots = xcalloc(m->cap, sizeof *m->slots);
    for (size_t i = 0; i < old.cap; i++)
        if (old.slots[i].value)
            *find(m, old.slots[i].id) = old.slots[i];
    free(old.slots);
}

void idmap_put(struct idmap *m, struct hash128 id, void *value)
{
    struct idmap_slot *slot;

    if (m->n + 1 > m->cap - m->cap / 4)
        grow(m);
    slot = find(m, id);
    CHECK(value && !slot->value);
    *slot = (struct idmap_slot){id, value};
    m->n++;
}

static void close_gap(struct idmap *m, size_t gap)
{
    size_t mask = m->cap - 1;

    for (size_t i = (gap + 1) & mask; m->slots[i].value; i = (i + 1) & mask) {
        size_t from_home = (i - home(m, m->slots[i].id)) & mask;

        if (from_home < ((i - gap) & mask))
            continue; /* its home lies behind the gap */
        m->slots[gap] = m->slots[i];
        gap = i;
    }
    m->slots[gap].value = NULL;
}

void *idmap_remove(struct idmap *m, struct hash128 id)
{
    struct idmap_slot *slot = m->cap ? find(m, id) : NULL;
    void *value = slot ? slot->value : NULL;

    if (!value)
        return NULL;
    close_gap(m, (size_t)(slot - m->slots));
    m->n--;
    return value;
}

void *idmap_next(const struct idmap *m, size_t *at)
{
    while (*at < m->cap) {
        void *value = m->slots[(*at)++].value;

        if (value)
            return value;
    }
    return NULL;
}
