/*
 * The order of the checks: a record that cannot be opened has no sequence, so it is only skipped.
 * Next comes the dedup table, before anything about the content: a record counted as late or found
 * bad inside has been dealt with, and its resend is a duplicate like any other.
 */
#include "aggregator/shard.h"

#include "aggregator/metrics.h"
#include "base/clock.h"
#include "base/xalloc.h"

#include <errno.h>
#include <stdlib.h>

struct shard *shard_new(uint32_t id, const struct aggregator_options *o,
                        const struct store_meta *meta)
{
    struct shard *s = xcalloc(1, sizeof *s);

    s->id = id;
    s->o = o;
    s->res_s = (uint32_t)(o->window / MS_PER_S);
    s->epoch = meta->epoch;
    s->token = meta->token;
    s->seq = meta->seq;
    s->flushed_offset = s->next_offset = meta->offset;
    s->dedup = dedup_new();
    roster_init(&s->roster, s->res_s, (uint32_t)o->series_per_service_max);
    cache_init(&s->cache, (size_t)o->delta_max);
    return s;
}

static void services_free(struct shard *s)
{
    struct service *service;
    size_t at = 0;

    while ((service = idmap_next(&s->services, &at)))
        service_free(service);
    idmap_deinit(&s->services);
}

void shard_free(struct shard *s)
{
    if (!s)
        return;
    deltas_reset(&s->deltas);
    roster_deinit(&s->roster);
    services_free(s);
    cache_deinit(&s->cache);
    dedup_free(s->dedup);
    free(s);
}

static struct service *service_of(struct shard *s, struct hash128 sid)
{
    struct service *service = idmap_get(&s->services, sid);

    if (!service) {
        service = service_new(sid);
        idmap_put(&s->services, sid, service);
    }
    return service;
}

/* ---- load ---------------------------------------------------------------------------------- */

size_t shard_load_dedup(struct shard *s, const struct store_reply *reply)
{
    size_t bad = 0;

    for (size_t i = 0; i < reply->n; i++)
        bad += dedup_load(s->dedup, reply->fields[i], reply->values[i]) != 0;
    return bad;
}

size_t shard_load_generations(struct shard *s, const struct store_reply *reply)
{
    struct hash128 sid;
    size_t bad = 0;

    for (size_t i = 0; i < reply->n; i++) {
        if (!hash128_unhex(reply->fields[i], &sid) ||
            service_load(service_of(s, sid), reply->values[i]) != 0)
            bad++;
    }
    return bad;
}

static bool load_entry(struct shard *s, struct bytes field, struct bytes value)
{
    struct catalogue_entry e;
    struct hash128 kid, sid;

    if (!hash128_unhex(field, &kid) || catalogue_decode(&e, value) != 0)
        return false;
    sid = service_id(e.tenant, e.service);
    roster_load(&s->roster, kid, &e, service_of(s, sid));
    return true;
}

size_t shard_load_catalogue(struct shard *s, const struct store_reply *reply)
{
    size_t bad = 0;

    for (size_t i = 0; i < reply->n; i++)
        bad += !load_entry(s, reply->fields[i], reply->values[i]);
    return bad;
}

/* ---- count --------------------------------------------------------------------------------- */

static int64_t midpoint_ms(const struct record_header *h)
{
    return (h->start_ns + (h->end_ns - h->start_ns) / 2) / NS_PER_MS;
}

static bool is_late(const struct shard *s, int64_t middle_ms, int64_t received_ms)
{
    return received_ms > middle_ms && received_ms - middle_ms > s->o->late_max;
}

static void place(struct shard *s, const struct record_header *h, struct placement *out)
{
    struct bytes name = h->service;
    struct hash128 sid = service_id(h->tenant, name);

    if (s->services.n >= SERVICES_MAX && !idmap_get(&s->services, sid)) {
        name = BYTES_LIT(OTHER);
        sid = service_id(h->tenant, name);
    }
    out->service = service_of(s, sid);
    out->tenant = h->tenant;
    out->name = name;
    out->series = h->series;
}

static int count_record(struct shard *s, struct record_decoder *d, const struct record_header *h,
                        const struct log_message *m, int64_t now_ms)
{
    struct roster_entry *entries[PROFILE_TYPES_MAX];
    struct delta_place at = {.entries = entries, .offset = m->offset};
    struct placement placement;
    int r = record_types(d, &at.types, &at.n_types);

    if (r < 0)
        return r;
    place(s, h, &placement);
    service_touch(placement.service, now_ms);
    at.service = placement.service;
    at.t_s = midpoint_ms(h) / s->o->window * s->res_s;
    for (uint32_t i = 0; i < at.n_types; i++)
        entries[i] = roster_place(&s->roster, &placement, at.types[i]);
    r = deltas_add(&s->deltas, d, h, &at);
    if (symbols_bytes(at.service->symbols) > (size_t)s->o->generation_max)
        s->symbols_full = true;
    for (uint32_t i = 0; r == 0 && i < at.n_types; i++)
        roster_seen(&s->roster, entries[i], at.t_s);
    return r;
}

static void note_end(struct shard *s, const struct record_header *h)
{
    if (h->part == 0 && s->n_ends < FRESHNESS_SAMPLES_MAX)
        s->ends_ns[s->n_ends++] = h->end_ns;
}

enum shard_verdict shard_add(struct shard *s, struct record_decoder *d, const struct log_message *m,
                             int64_t now_ms, struct failure *f)
{
    struct record_header h;

    s->next_offset = m->offset + 1;
    if (s->stream_ms < m->time_ms)
        s->stream_ms = m->time_ms;
    if (record_open(d, m->value, &h, f) != 0)
        return SHARD_BAD;
    if (dedup_add(s->dedup, h.source, h.seq, h.low, m->time_ms) == DEDUP_E_SEEN)
        return SHARD_DUPLICATE;
    if (is_late(s, midpoint_ms(&h), m->time_ms))
        return SHARD_LATE;
    if (count_record(s, d, &h, m, now_ms) != 0) {
        fail(f, 400, "bad_record", NULL, "bad record: its columns do not decode");
        return SHARD_BAD;
    }
    note_end(s, &h);
    return h.part == 0 ? SHARD_COUNTED : SHARD_PART;
}

void shard_skip(struct shard *s, uint64_t offset)
{
    s->next_offset = offset;
}

/* ---- flush --------------------------------------------------------------------------------- */

bool shard_changed(const struct shard *s)
{
    return s->next_offset != s->flushed_offset;
}

uint64_t shard_new_generation(struct shard *s)
{
    return (s->epoch << 16) + ++s->n_generations;
}

void shard_committed(struct shard *s)
{
    s->seq++;
    s->flushed_offset = s->next_offset;
    deltas_reset(&s->deltas);
    dedup_committed(s->dedup);
    roster_committed(&s->roster);
    s->n_ends = 0;
    s->symbols_full = false;
}

static void forget_empty(struct shard *s)
{
    struct service **empty = xcalloc(s->services.n + 1, sizeof(struct service *)), *service;
    size_t n = 0, at = 0;

    while ((service = idmap_next(&s->services, &at)))
        if (service_forgettable(service))
            empty[n++] = service;
    while (n > 0) {
        idmap_remove(&s->services, empty[--n]->sid);
        service_free(empty[n]);
    }
    free(empty);
}

static int by_touch(const void *a, const void *b)
{
    const struct service *const *x = a, *const *y = b;

    return (*x)->touched_ms < (*y)->touched_ms ? -1 : (*x)->touched_ms > (*y)->touched_ms;
}

/* Of bytes of symbols, frees those of services touched least recently, until at most bytes_max are
 * left. Returns these. */
static size_t unload_oldest(struct shard *s, size_t bytes, size_t bytes_max)
{
    struct service **all = xcalloc(s->services.n, sizeof(struct service *)), *service;
    size_t n = 0, at = 0;

    while ((service = idmap_next(&s->services, &at)))
        if (service->symbols)
            all[n++] = service;
    qsort(all, n, sizeof(struct service *), by_touch);
    for (size_t i = 0; i < n && bytes > bytes_max; i++) {
        bytes -= symbols_bytes(all[i]->symbols);
        service_unload(all[i]);
    }
    free(all);
    return bytes;
}

void shard_unload(struct shard *s, int64_t before_ms, size_t bytes_max)
{
    struct service *service;
    size_t at = 0, bytes = 0;

    while ((service = idmap_next(&s->services, &at))) {
        if (service->symbols && service->touched_ms < before_ms)
            service_unload(service);
        if (service->symbols)
            bytes += symbols_bytes(service->symbols);
    }
    s->symbols_bytes = bytes > bytes_max ? unload_oldest(s, bytes, bytes_max) : bytes;
    forget_empty(s);
}
