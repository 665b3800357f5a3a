/*
 * Token buckets: a tenant's two levels rise with time up to what a burst holds and fall with each
 * upload. They are kept in a table of fixed size, eight places to a hash; a tenant that finds no
 * place of its own takes that of the one heard of the longest ago.
 */
#include "collector/quota.h"

#include "base/hash.h"
#include "base/xalloc.h"

#include <stdio.h>
#include <stdlib.h>

enum { SETS = 1024, WAYS = 8 };

struct bucket {
    uint64_t key; /* 0: free */
    int64_t filled_ms;
    int64_t uploads, bytes; /* in thousandths; below 0: owed */
};

struct quota {
    struct quota_limits limits;
    struct bucket *buckets; /* [SETS][WAYS]; NULL: nothing is limited */
};

struct quota *quota_new(const struct quota_limits *limits)
{
    struct quota *q = xcalloc(1, sizeof *q);

    q->limits = *limits;
    if (limits->uploads_per_s || limits->bytes_per_s)
        q->buckets = xcalloc((size_t)SETS * WAYS, sizeof *q->buckets);
    return q;
}

void quota_free(struct quota *q)
{
    if (!q)
        return;
    free(q->buckets);
    free(q);
}

/* So many a second for so many ms, in thousandths. */
static int64_t risen(int64_t per_s, int64_t ms)
{
    int64_t r;

    return __builtin_mul_overflow(per_s, ms, &r) ? INT64_MAX : r;
}

/* Secret, so that nobody can aim names at another's place. */
static uint64_t key_of(struct bytes tenant)
{
    uint64_t h = hash_mix((hash64(tenant) ^ hash_secret()[0]) * hash_secret()[1]);

    return h ? h : 1;
}

static struct bucket *find(struct quota *q, struct bytes tenant, int64_t now_ms)
{
    uint64_t key = key_of(tenant);
    struct bucket *set = &q->buckets[key % SETS * WAYS], *oldest = set;

    for (int i = 0; i < WAYS; i++) {
        if (set[i].key == key)
            return &set[i];
        if (oldest->key && (!set[i].key || set[i].filled_ms < oldest->filled_ms))
            oldest = &set[i];
    }
    *oldest = (struct bucket){.key = key,
                              .filled_ms = now_ms,
                              .uploads = risen(q->limits.uploads_per_s, q->limits.burst_ms),
                              .bytes = risen(q->limits.bytes_per_s, q->limits.burst_ms)};
    return oldest;
}

static int64_t fill(const struct quota *q, int64_t level, int64_t per_s, int64_t passed_ms)
{
    int64_t full = risen(per_s, q->limits.burst_ms);

    if (__builtin_add_overflow(level, risen(per_s, passed_ms), &level))
        return full;
    return level < full ? level : full;
}

static int refuse(const struct quota *q, struct bytes tenant, const char *what, int64_t per_s,
                  const char *setting, struct failure *f)
{
    char hint[80];

    snprintf(hint, sizeof hint, "settings: %s, tenant_burst", setting);
    return fail(f, 429, "rate_limited", hint,
                "the tenant \"%.*s\" sends more than %lld %s a second, on the average over %lld s",
                (int)tenant.len, (const char *)tenant.data, (long long)per_s, what,
                (long long)q->limits.burst_ms / 1000);
}

int quota_take(struct quota *q, struct bytes tenant, size_t n_bytes, int64_t now_ms,
               struct failure *f)
{
    const struct quota_limits *max = &q->limits;
    struct bucket *b;
    int64_t passed_ms;

    if (!q->buckets)
        return 0;
    b = find(q, tenant, now_ms);
    passed_ms = now_ms - b->filled_ms;
    b->uploads = fill(q, b->uploads, max->uploads_per_s, passed_ms);
    b->bytes = fill(q, b->bytes, max->bytes_per_s, passed_ms);
    b->filled_ms = now_ms;
    if (max->uploads_per_s && b->uploads < 1000)
        return refuse(q, tenant, "uploads", max->uploads_per_s, "tenant_uploads_per_s", f);
    if (max->bytes_per_s && b->bytes <= 0)
        return refuse(q, tenant, "bytes", max->bytes_per_s, "tenant_bytes_per_s", f);
    b->uploads -= max->uploads_per_s ? 1000 : 0;
    b->bytes -= max->bytes_per_s ? (int64_t)n_bytes * 1000 : 0;
    return 0;
}
