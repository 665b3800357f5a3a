/*
 * A source's intervals are a sorted array of [from, to) that never touch. The next sequence nearly
 * always extends the last one, and low eats the front, so there is mostly one.
 */
#include "aggregator/dedup.h"

#include "aggregator/idmap.h"
#include "base/list.h"
#include "base/varint.h"
#include "base/xalloc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { DEDUP_VERSION = 1, SOURCE_HEX = 32 };

struct interval {
    uint64_t from, to; /* [from, to) */
};

struct source {
    struct hash128 id;
    uint64_t low;
    int64_t last_ms;
    struct interval *seen;
    size_t n, cap;
    struct list changed; /* in dedup.changed, or alone */
    struct list by_age;  /* in dedup.by_age: oldest record first */
};

struct dedup {
    struct idmap sources;
    struct list changed, by_age, gone;
};

struct dedup *dedup_new(void)
{
    struct dedup *d = xcalloc(1, sizeof *d);

    list_init(&d->changed);
    list_init(&d->by_age);
    list_init(&d->gone);
    return d;
}

static void source_free(struct source *s)
{
    free(s->seen);
    free(s);
}

void dedup_free(struct dedup *d)
{
    struct source *s;
    size_t at = 0;

    if (!d)
        return;
    while ((s = idmap_next(&d->sources, &at)))
        source_free(s);
    idmap_deinit(&d->sources);
    free(d);
}

size_t dedup_sources(const struct dedup *d)
{
    return d->sources.n;
}

static struct source *source_new(struct dedup *d, struct hash128 id)
{
    struct source *s = xcalloc(1, sizeof *s);

    s->id = id;
    list_init(&s->changed);
    list_init(&s->by_age);
    idmap_put(&d->sources, id, s);
    return s;
}

/* Index of the first interval that ends at or after seq: the only one that may hold or touch it
 * from the left. */
static size_t interval_at(const struct source *s, uint64_t seq)
{
    size_t lo = 0, hi = s->n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (s->seen[mid].to < seq)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static void interval_remove(struct source *s, size_t i, size_t n)
{
    if (n == 0)
        return;
    memmove(&s->seen[i], &s->seen[i + n], (s->n - i - n) * sizeof *s->seen);
    s->n -= n;
}

static void interval_insert(struct source *s, size_t i, uint64_t seq)
{
    XGROW(s->seen, s->cap, s->n + 1);
    memmove(&s->seen[i + 1], &s->seen[i], (s->n - i) * sizeof *s->seen);
    s->seen[i] = (struct interval){seq, seq + 1};
    s->n++;
}

static void raise_low(struct source *s, uint64_t low)
{
    size_t n = 0;

    if (low <= s->low)
        return;
    s->low = low;
    while (n < s->n && s->seen[n].to <= low)
        n++;
    interval_remove(s, 0, n);
    if (s->n > 0 && s->seen[0].from < low)
        s->seen[0].from = low;
}

static void mark_seen(struct source *s, size_t i, uint64_t seq)
{
    bool extends = i < s->n && s->seen[i].to == seq;
    bool meets = i + extends < s->n && s->seen[i + extends].from == seq + 1;

    if (extends && meets) {
        s->seen[i].to = s->seen[i + 1].to;
        interval_remove(s, i + 1, 1);
    } else if (extends) {
        s->seen[i].to = seq + 1;
    } else if (meets) {
        s->seen[i].from = seq;
    } else {
        interval_insert(s, i, seq);
    }
}

static void touch(struct dedup *d, struct source *s, int64_t time_ms)
{
    if (s->last_ms < time_ms)
        s->last_ms = time_ms;
    list_remove(&s->changed);
    list_append(&d->changed, &s->changed);
    list_remove(&s->by_age);
    list_append(&d->by_age, &s->by_age);
}

int dedup_add(struct dedup *d, struct hash128 source, uint64_t seq, uint64_t low, int64_t time_ms)
{
    struct source *s = idmap_get(&d->sources, source);
    size_t i;

    if (!s)
        s = source_new(d, source);
    touch(d, s, time_ms);
    raise_low(s, low);
    if (seq < s->low || seq == UINT64_MAX)
        return DEDUP_E_SEEN;
    i = interval_at(s, seq);
    if (i < s->n && s->seen[i].from <= seq && seq < s->seen[i].to)
        return DEDUP_E_SEEN;
    mark_seen(s, i, seq);
    if (s->n > DEDUP_INTERVALS_MAX)
        raise_low(s, s->seen[1].from);
    return 0;
}

/* ---- stored form --------------------------------------------------------------------------- */

static void source_encode(const struct source *s, struct buf *out)
{
    uint64_t at = s->low;

    buf_append_u8(out, DEDUP_VERSION);
    buf_varint(out, s->low);
    buf_varint(out, zigzag(s->last_ms));
    buf_varint(out, s->n);
    for (size_t i = 0; i < s->n; i++) {
        buf_varint(out, s->seen[i].from - at);
        buf_varint(out, s->seen[i].to - s->seen[i].from);
        at = s->seen[i].to;
    }
}

static bool intervals_decode(struct source *s, struct cursor *c, uint64_t n)
{
    uint64_t at = s->low, gap, len;

    XGROW(s->seen, s->cap, n);
    for (s->n = 0; s->n < n; s->n++) {
        struct interval *v = &s->seen[s->n];

        if (!varint_get(c, &gap) || !varint_get(c, &len) || len == 0 || (s->n > 0 && gap == 0) ||
            __builtin_add_overflow(at, gap, &v->from) ||
            __builtin_add_overflow(v->from, len, &v->to))
            return false;
        at = v->to;
    }
    return cursor_left(c) == 0;
}

static bool source_decode(struct source *s, struct bytes value)
{
    struct cursor c = cursor_of(value);
    struct bytes version;
    uint64_t last, n;

    if (!cursor_take(&c, 1, &version) || version.data[0] != DEDUP_VERSION ||
        !varint_get(&c, &s->low) || !varint_get(&c, &last) || !varint_get(&c, &n) ||
        n > DEDUP_INTERVALS_MAX)
        return false;
    s->last_ms = unzigzag(last);
    return intervals_decode(s, &c, n);
}

/* Oldest first, so that forgetting looks at the front only. */
static void insert_by_age(struct dedup *d, struct source *s)
{
    struct list *after = d->by_age.prev;

    while (after != &d->by_age && container_of(after, struct source, by_age)->last_ms > s->last_ms)
        after = after->prev;
    list_append(after->next, &s->by_age);
}

int dedup_load(struct dedup *d, struct bytes field, struct bytes value)
{
    struct hash128 id;
    struct source *s;

    if (!hash128_unhex(field, &id) || idmap_get(&d->sources, id))
        return -EBADMSG;
    s = source_new(d, id);
    if (source_decode(s, value)) {
        insert_by_age(d, s);
        return 0;
    }
    idmap_remove(&d->sources, id);
    source_free(s);
    return -EBADMSG;
}

static void forget_ops(struct dedup *d, struct key key, int64_t before_ms, struct ops *ops)
{
    list_for_each_safe (it, &d->by_age) {
        struct source *s = container_of(it, struct source, by_age);
        char hex[SOURCE_HEX + 1];

        if (s->last_ms >= before_ms)
            break;
        hash128_hex(s->id, hex);
        ops_hdel(ops, key, bytes_str(hex));
        list_remove(&s->changed);
        list_remove(&s->by_age);
        list_append(&d->gone, &s->by_age);
    }
}

void dedup_ops(struct dedup *d, struct key key, int64_t forget_before_ms, struct ops *ops)
{
    struct buf value = {0};

    forget_ops(d, key, forget_before_ms, ops);
    list_for_each (it, &d->changed) {
        const struct source *s = container_of(it, struct source, changed);
        char hex[SOURCE_HEX + 1];

        hash128_hex(s->id, hex);
        buf_reset(&value);
        source_encode(s, &value);
        ops_hset(ops, key, bytes_str(hex), buf_bytes(&value));
    }
    buf_deinit(&value);
}

void dedup_committed(struct dedup *d)
{
    struct list *it;

    while (list_pop(&d->changed))
        ;
    while ((it = list_pop(&d->gone))) {
        struct source *s = container_of(it, struct source, by_age);

        idmap_remove(&d->sources, s->id);
        source_free(s);
    }
}
