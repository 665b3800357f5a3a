/* Entries are flat: the struct, then its texts, in one allocation. */
#include "aggregator/roster.h"

#include "aggregator/service.h"
#include "base/xalloc.h"

#include <stdlib.h>

void roster_init(struct roster *r, uint32_t res_s, uint32_t series_max)
{
    *r = (struct roster){.series_max = series_max, .res_s = res_s};
    list_init(&r->changed);
    list_init(&r->by_sweep);
}

void roster_deinit(struct roster *r)
{
    struct roster_entry *e;
    size_t at = 0;

    while ((e = idmap_next(&r->entries, &at)))
        free(e);
    idmap_deinit(&r->entries);
}

static struct bytes put(uint8_t **at, struct bytes s)
{
    struct bytes copy = bytes_of(*at, s.len);

    if (s.len > 0)
        memcpy(*at, s.data, s.len);
    *at += s.len;
    return copy;
}

static struct roster_entry *entry_new(struct roster *r, struct hash128 kid,
                                      const struct placement *at, struct bytes type)
{
    struct buf tags = {0};
    struct roster_entry *e;
    uint8_t *text;

    tags_encode(&at->series, &tags);
    e = xcalloc(1, sizeof *e + at->tenant.len + at->name.len + type.len + tags.len);
    text = (uint8_t *)(e + 1);
    e->kid = kid;
    e->service = at->service;
    e->tenant = put(&text, at->tenant);
    e->name = put(&text, at->name);
    e->type = put(&text, type);
    e->tags = put(&text, buf_bytes(&tags));
    buf_deinit(&tags);
    list_init(&e->changed);
    list_init(&e->by_sweep);
    list_append(&r->by_sweep, &e->by_sweep);
    idmap_put(&r->entries, kid, e);
    at->service->n_series++;
    return e;
}

int roster_load(struct roster *r, struct hash128 kid, const struct catalogue_entry *e,
                struct service *service)
{
    struct placement at = {service, e->tenant, e->service, e->series};
    struct roster_entry *entry;

    if (idmap_get(&r->entries, kid))
        return 0;
    entry = entry_new(r, kid, &at, e->type);
    entry->first_s = e->first_s;
    entry->last_s = e->last_s;
    return 0;
}

/* ---- placing ------------------------------------------------------------------------------- */

/* The service is a label like the others where a series is named. */
static bool kid_of(const struct placement *at, struct bytes type, struct hash128 *ret)
{
    struct tags labels = at->series;

    if (tags_add(&labels, BYTES_LIT("service"), at->name) != 0)
        return false;
    *ret = series_id(SERIES_PLAIN, at->tenant, type, &labels);
    return true;
}

/* The known entry, or a new one if the service has fewer than max. */
static struct roster_entry *known_or_new(struct roster *r, const struct placement *at,
                                         struct bytes type, uint32_t max)
{
    struct hash128 kid;
    struct roster_entry *e;

    if (!kid_of(at, type, &kid))
        return NULL;
    e = idmap_get(&r->entries, kid);
    if (!e && at->service->n_series < max)
        e = entry_new(r, kid, at, type);
    return e;
}

struct roster_entry *roster_place(struct roster *r, const struct placement *at, struct bytes type)
{
    struct placement other = *at;
    struct roster_entry *e = known_or_new(r, at, type, r->series_max);

    if (e)
        return e;
    other.series.n = 0; /* the service's name was short enough: opening checked */
    tags_add(&other.series, BYTES_LIT("env"), BYTES_LIT(OTHER));
    tags_add(&other.series, BYTES_LIT("version"), BYTES_LIT(OTHER));
    e = known_or_new(r, &other, type, 2 * r->series_max);
    return e ? e : known_or_new(r, &other, BYTES_LIT(OTHER), UINT32_MAX);
}

void roster_seen(struct roster *r, struct roster_entry *e, int64_t t_s)
{
    bool first = e->first_s == 0 && e->last_s == 0;

    if (!first && t_s >= e->first_s && t_s + r->res_s <= e->last_s)
        return;
    if (first || t_s < e->first_s)
        e->first_s = t_s;
    if (first || t_s + r->res_s > e->last_s)
        e->last_s = t_s + r->res_s;
    list_remove(&e->changed);
    list_append(&r->changed, &e->changed);
}

/* ---- stored form --------------------------------------------------------------------------- */

static void entry_op(const struct roster_entry *e, uint32_t res_s, struct key key, struct ops *ops)
{
    struct catalogue_entry entry = {
        .first_s = e->first_s,
        .last_s = e->last_s,
        .tenant = e->tenant,
        .service = e->name,
        .type = e->type,
        .res_s = res_s,
    };
    struct buf value = {0};
    char hex[33];

    tags_decode(&entry.series, e->tags);
    catalogue_encode(&entry, &value);
    hash128_hex(e->kid, hex);
    ops_hset(ops, key, bytes_str(hex), buf_bytes(&value));
    buf_deinit(&value);
}

void roster_ops(const struct roster *r, struct key key, struct ops *ops)
{
    list_for_each (it, &r->changed)
        entry_op(container_of(it, struct roster_entry, changed), r->res_s, key, ops);
}

void roster_committed(struct roster *r)
{
    while (list_pop(&r->changed))
        ;
}

/* ---- sweep --------------------------------------------------------------------------------- */

struct roster_entry *roster_next_sweep(struct roster *r, int64_t before_ms)
{
    struct roster_entry *e;

    if (list_empty(&r->by_sweep))
        return NULL;
    e = container_of(r->by_sweep.next, struct roster_entry, by_sweep);
    return e->swept_ms < before_ms ? e : NULL;
}

void roster_swept(struct roster *r, struct roster_entry *e, int64_t now_ms)
{
    e->swept_ms = now_ms;
    list_remove(&e->by_sweep);
    list_append(&r->by_sweep, &e->by_sweep);
}

void roster_remove(struct roster *r, struct roster_entry *e)
{
    idmap_remove(&r->entries, e->kid);
    list_remove(&e->changed);
    list_remove(&e->by_sweep);
    e->service->n_series--;
    free(e);
}
