#include "aggregator/cache.h"

#include "base/xalloc.h"

#include <stdlib.h>

void cache_init(struct cache *c, size_t bytes_max)
{
    *c = (struct cache){.bytes_max = bytes_max};
    list_init(&c->lru);
}

static void cached_drop(struct cache *c, struct cached *e)
{
    idmap_remove(&c->map, e->id);
    list_remove(&e->lru);
    c->bytes -= e->bytes;
    aggregate_deinit(&e->aggregate);
    free(e);
}

static struct cached *oldest(struct cache *c)
{
    return container_of(c->lru.next, struct cached, lru);
}

void cache_deinit(struct cache *c)
{
    while (!list_empty(&c->lru))
        cached_drop(c, oldest(c));
    idmap_deinit(&c->map);
}

void cache_limit(struct cache *c, size_t bytes_max)
{
    c->bytes_max = bytes_max;
    while (c->bytes > c->bytes_max)
        cached_drop(c, oldest(c));
}

struct cached *cache_get(struct cache *c, struct hash128 kid, int64_t t_s)
{
    struct cached *e = idmap_get(&c->map, window_id(kid, t_s));

    if (e) {
        list_remove(&e->lru);
        list_append(&c->lru, &e->lru);
    }
    return e;
}

static size_t tree_bytes(const struct tree *t)
{
    return t->cap * (2 * sizeof(uint32_t) + t->n_columns * sizeof(int64_t));
}

void cache_put(struct cache *c, struct hash128 kid, int64_t t_s, const struct index_entry *entry,
               struct aggregate *taken)
{
    struct cached *e = cache_get(c, kid, t_s);

    if (e)
        cached_drop(c, e);
    e = xcalloc(1, sizeof *e);
    e->id = window_id(kid, t_s);
    e->entry = *entry;
    e->aggregate = *taken;
    *taken = (struct aggregate){0};
    e->bytes = sizeof *e + tree_bytes(&e->aggregate.tree);
    idmap_put(&c->map, e->id, e);
    list_append(&c->lru, &e->lru);
    c->bytes += e->bytes;
    cache_limit(c, c->bytes_max);
}
