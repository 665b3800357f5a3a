/*
 * A delta is found by a hash over its series, window and types: the list of types is part of it
 * because a profile has one list, and an agent may send the same series with several (cpu alone,
 * cpu with wall). The flush adds up what shares a series and type.
 */
#include "aggregator/delta.h"

#include "aggregator/service.h"
#include "base/varint.h"
#include "base/xalloc.h"

#include <errno.h>
#include <stdlib.h>

static void delta_free(struct delta *d)
{
    profile_deinit(&d->profile);
    free(d);
}

void deltas_reset(struct deltas *ds)
{
    struct delta *d;
    size_t at = 0;

    while ((d = idmap_next(&ds->map, &at)))
        delta_free(d);
    idmap_deinit(&ds->map);
    ds->bytes = 0;
}

static struct hash128 delta_id(const struct delta_place *at)
{
    struct buf b = {0};
    struct hash128 id;

    buf_varint(&b, (uint64_t)at->t_s);
    for (uint32_t i = 0; i < at->n_types; i++) {
        buf_append(&b, &at->entries[i]->kid, sizeof at->entries[i]->kid);
        buf_varbytes(&b, at->types[i]);
    }
    id = hash128(buf_bytes(&b));
    buf_deinit(&b);
    return id;
}

static struct delta *delta_new(struct hash128 id, const struct delta_place *at)
{
    struct delta *d = xcalloc(1, sizeof *d);

    d->id = id;
    d->service = at->service;
    d->t_s = at->t_s;
    d->n_types = at->n_types;
    memcpy(d->entries, at->entries, at->n_types * sizeof *at->entries);
    profile_init(&d->profile, at->service->symbols, at->service->stacks);
    return d;
}

/* A profile in several parts counts once, by its first. */
static void add_figures(struct delta *d, const struct record_header *h, uint64_t offset)
{
    struct aggregate one = {
        .profiles = h->part == 0,
        .duration_ns = h->part == 0 ? h->end_ns - h->start_ns : 0,
        .start_ns = h->start_ns,
        .end_ns = h->end_ns,
        .first_offset = offset,
        .last_offset = offset,
    };

    sketch_add(&one.instances, instance_hash(h));
    aggregate_add_figures(&d->figures, &one);
}

int deltas_add(struct deltas *ds, struct record_decoder *decoder, const struct record_header *h,
               const struct delta_place *at)
{
    struct hash128 id = delta_id(at);
    struct delta *d = idmap_get(&ds->map, id);
    size_t shared_before = service_bytes(at->service);
    bool made = !d;
    int r;

    if (made)
        d = delta_new(id, at);
    r = record_read(decoder, &d->profile, false, false);
    ds->bytes += service_bytes(at->service) - shared_before;
    if (r != 0) {
        if (made)
            delta_free(d);
        return -EBADMSG;
    }
    if (made)
        idmap_put(&ds->map, id, d);
    add_figures(d, h, at->offset);
    ds->bytes -= d->bytes;
    d->bytes = sizeof *d + profile_bytes(&d->profile);
    ds->bytes += d->bytes;
    return 0;
}

uint64_t instance_hash(const struct record_header *h)
{
    struct bytes id = tags_get(&h->instance, "runtime-id");
    struct buf b = {0};
    uint64_t hash;

    if (id.len > 0)
        return hash64(id);
    buf_varbytes(&b, tags_get(&h->instance, "host"));
    buf_append_bytes(&b, tags_get(&h->instance, "pid"));
    hash = hash64(buf_bytes(&b));
    buf_deinit(&b);
    return hash;
}
