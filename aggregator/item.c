/*
 * Everything is brought to the frame ids of the service's current generation and then goes through
 * one tree_zip. Figures are added once for each delta, even if an agent names a type twice in one
 * profile.
 */
#include "aggregator/item.h"

#include "aggregator/service.h"
#include "base/xalloc.h"

#include <errno.h>
#include <stdlib.h>

/* ---- items of deltas ----------------------------------------------------------------------- */

static struct item *item_of(struct items *items, struct idmap *known, struct roster_entry *entry,
                            int64_t t_s)
{
    struct hash128 id = window_id(entry->kid, t_s);
    struct item *it = idmap_get(known, id);

    if (it)
        return it;
    it = &items->at[items->n++];
    *it = (struct item){.entry = entry, .t_s = t_s};
    idmap_put(known, id, it);
    return it;
}

static size_t columns_of(const struct deltas *deltas)
{
    const struct delta *d;
    size_t n = 0, at = 0;

    while ((d = idmap_next(&deltas->map, &at)))
        n += d->n_types;
    return n;
}

struct items items_of(const struct deltas *deltas)
{
    struct items items = {.at = xcalloc(columns_of(deltas) + 1, sizeof *items.at)};
    struct idmap known = {0};
    const struct delta *d;
    size_t at = 0;

    while ((d = idmap_next(&deltas->map, &at))) {
        for (uint32_t type = 0; type < d->n_types; type++) {
            struct item *it = item_of(&items, &known, d->entries[type], d->t_s);

            XGROW(it->sources, it->cap_sources, it->n_sources + 1);
            it->sources[it->n_sources++] = (struct item_source){d, type};
        }
    }
    idmap_deinit(&known);
    return items;
}

void items_deinit(struct items *items)
{
    for (size_t i = 0; i < items->n; i++) {
        free(items->at[i].sources);
        buf_deinit(&items->at[i].blob);
        aggregate_deinit(&items->at[i].result);
    }
    free(items->at);
    *items = (struct items){0};
}

/* ---- merge --------------------------------------------------------------------------------- */

static void add_deltas(struct item *it, struct tree *trees)
{
    const struct service *service = it->entry->service;

    for (size_t i = 0; i < it->n_sources; i++) {
        const struct item_source *s = &it->sources[i];

        tree_of_profile(&trees[i], &s->delta->profile, s->type);
        if (service->staging)
            tree_remap(&trees[i], service->staging_map);
        /* Columns of one delta stand side by side. */
        if (i == 0 || it->sources[i - 1].delta != s->delta)
            aggregate_add_figures(&it->result, &s->delta->figures);
    }
}

static int read_blob(struct item *it, struct zcodec *z, const struct old_symbols *old,
                     struct aggregate *out)
{
    const struct symbols *symbols = old ? old->symbols : it->entry->service->symbols;
    int r = symbols ? aggregate_decode(z, out, buf_bytes(&it->blob), symbols_n_frames(symbols))
                    : -EBADMSG;

    if (r == 0 && old)
        tree_remap(&out->tree, old->map);
    return r;
}

/* The stored aggregate: of the cache, or decoded. NULL: there is none, or *ret_r. */
static const struct aggregate *stored_of(struct item *it, struct zcodec *z,
                                         const struct old_symbols *old, struct aggregate *decoded,
                                         int *ret_r)
{
    *ret_r = 0;
    if (it->cached && it->cached->aggregate.generation == service_current(it->entry->service))
        return &it->cached->aggregate;
    if (it->cached)
        *ret_r = -EBADMSG; /* the generation was lost while this flush loaded it */
    if (it->blob.len == 0)
        return NULL;
    *ret_r = read_blob(it, z, old, decoded);
    return *ret_r == 0 ? decoded : NULL;
}

int item_merge(struct item *it, struct zcodec *z, const struct old_symbols *old)
{
    const struct service *service = it->entry->service;
    struct tree *trees = xcalloc(it->n_sources, sizeof *trees);
    const struct tree **in = xcalloc(it->n_sources + 1, sizeof *in);
    struct aggregate decoded = {0};
    const struct aggregate *stored;
    size_t k = it->n_sources;
    int r;

    add_deltas(it, trees);
    for (size_t i = 0; i < it->n_sources; i++)
        in[i] = &trees[i];
    stored = stored_of(it, z, old, &decoded, &r);
    if (stored) {
        aggregate_add_figures(&it->result, stored);
        in[k++] = &stored->tree;
    }
    symbols_rank(service->symbols);
    tree_zip(&it->result.tree, 1, in, NULL, k, service->symbols);
    it->result.generation = service_current(service);
    it->merged = true;
    for (size_t i = 0; i < it->n_sources; i++)
        tree_deinit(&trees[i]);
    aggregate_deinit(&decoded);
    free(in);
    free(trees);
    return r;
}
