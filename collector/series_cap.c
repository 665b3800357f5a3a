/*
 * Open-addressed sets of 64-bit hashes: one of services, one of (service, series) pairs with a
 * count per service beside it. Two generations of both: a lookup in the older one moves what it
 * finds to the newer, and once a day the older is dropped. So a name that is in use is never
 * counted as new, and a cap speaks of a day, not of the life of the process.
 */
#include "collector/series_cap.h"

#include "base/clock.h"
#include "base/xalloc.h"

#include <pthread.h>
#include <stdlib.h>

#define GENERATION_MS (INT64_C(24) * 3600 * MS_PER_S)

/* key 0: free. value: of a service, its number of series. */
struct slot {
    uint64_t key;
    uint32_t value;
};

struct set {
    struct slot *slots;
    size_t n, cap;
};

struct generation {
    struct set services, series;
};

struct series_cap {
    uint32_t services_max, series_max;
    pthread_mutex_t lock; /* of all that follows */
    int64_t since_ms;
    struct generation now, before;
    struct buf scratch;
};

static struct slot *probe(const struct set *s, uint64_t key)
{
    size_t i = hash_mix(key) & (s->cap - 1);

    while (s->slots[i].key && s->slots[i].key != key)
        i = (i + 1) & (s->cap - 1);
    return &s->slots[i];
}

static void grow(struct set *s)
{
    struct set bigger = {.cap = s->cap ? s->cap * 2 : 16};

    bigger.slots = xcalloc(bigger.cap, sizeof *bigger.slots);
    for (size_t i = 0; i < s->cap; i++)
        if (s->slots[i].key)
            *probe(&bigger, s->slots[i].key) = s->slots[i];
    bigger.n = s->n;
    free(s->slots);
    *s = bigger;
}

static struct slot *find(const struct set *s, uint64_t key)
{
    struct slot *slot = s->cap ? probe(s, key) : NULL;

    return slot && slot->key ? slot : NULL;
}

static struct slot *insert(struct set *s, uint64_t key)
{
    struct slot *slot;

    if (s->n + 1 > s->cap / 2)
        grow(s);
    slot = probe(s, key);
    if (!slot->key) {
        slot->key = key;
        s->n++;
    }
    return slot;
}

static void generation_deinit(struct generation *g)
{
    free(g->services.slots);
    free(g->series.slots);
    *g = (struct generation){0};
}

struct series_cap *series_cap_new(uint32_t services_max, uint32_t series_max)
{
    struct series_cap *c = xcalloc(1, sizeof *c);

    c->services_max = services_max;
    c->series_max = series_max;
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

void series_cap_free(struct series_cap *c)
{
    if (!c)
        return;
    generation_deinit(&c->now);
    generation_deinit(&c->before);
    buf_deinit(&c->scratch);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static void turn(struct series_cap *c, int64_t now_ms)
{
    if (now_ms - c->since_ms < GENERATION_MS)
        return;
    generation_deinit(&c->before);
    c->before = c->now;
    c->now = (struct generation){0};
    c->since_ms = now_ms;
}

static uint64_t nonzero(uint64_t h)
{
    return h ? h : 1;
}

/* Secret, so that nobody can aim names at one slot. */
static uint64_t key_of(struct series_cap *c, struct hash128 service, const struct tags *series)
{
    uint64_t h = (service.lo ^ hash_secret()[0]) * hash_secret()[1];

    if (!series)
        return nonzero(hash_mix(h));
    buf_reset(&c->scratch);
    tags_encode(series, &c->scratch);
    return nonzero(hash_mix(h ^ hash64(buf_bytes(&c->scratch)) * hash_secret()[2]));
}

static enum series_verdict admit(struct series_cap *c, uint64_t service_key, uint64_t series_key)
{
    struct slot *s = find(&c->now.services, service_key);

    if (!s) {
        if (c->now.services.n >= c->services_max && !find(&c->before.services, service_key))
            return SERVICE_OTHER;
        s = insert(&c->now.services, service_key);
    }
    if (find(&c->now.series, series_key))
        return SERIES_KNOWN;
    if (s->value >= c->series_max && !find(&c->before.series, series_key))
        return SERIES_OTHER;
    s->value++;
    insert(&c->now.series, series_key);
    return SERIES_KNOWN;
}

enum series_verdict series_cap_admit(struct series_cap *c, struct bytes tenant,
                                     struct bytes service, const struct tags *series,
                                     int64_t now_ms)
{
    struct hash128 id = service_id(tenant, service);
    enum series_verdict v;

    pthread_mutex_lock(&c->lock);
    turn(c, now_ms);
    v = admit(c, key_of(c, id, NULL), key_of(c, id, series));
    pthread_mutex_unlock(&c->lock);
    return v;
}

uint32_t series_cap_limit(const struct series_cap *c, enum series_verdict v)
{
    return v == SERVICE_OTHER ? c->services_max : c->series_max;
}
