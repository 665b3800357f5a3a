/*
 * How it works. Acknowledged keys stand in buckets of eight, the newest first: a new one pushes the
 * oldest of its bucket out. Keys are hashes that a peer cannot steer, so buckets fill evenly and a
 * key lives about as long as all do; one pushed out early costs nothing but a retry counted twice.
 * Uploads on their way are few (bodies are under a budget) and stand in short lists.
 */
#include "collector/retries.h"

#include "base/xalloc.h"

#include <pthread.h>
#include <stdlib.h>

enum { WAYS = 8, LISTS = 64 };

struct bucket {
    struct hash128 keys[WAYS]; /* all zeros: free */
};

struct flight {
    struct list link, waits;
    struct hash128 key;
};

struct retries {
    pthread_mutex_t lock; /* over all but a flight's waits */
    struct list flights[LISTS];
    uint32_t n_buckets;
    struct bucket buckets[];
};

struct retries *retries_new(uint32_t n_max)
{
    uint32_t n = n_max / WAYS + (n_max % WAYS != 0);
    struct retries *r;

    n = n ? n : 1;
    r = xcalloc(1, sizeof *r + n * sizeof *r->buckets);
    r->n_buckets = n;
    pthread_mutex_init(&r->lock, NULL);
    for (unsigned i = 0; i < LISTS; i++)
        list_init(&r->flights[i]);
    return r;
}

void retries_free(struct retries *r)
{
    if (!r)
        return;
    for (unsigned i = 0; i < LISTS; i++)
        CHECK(list_empty(&r->flights[i]));
    pthread_mutex_destroy(&r->lock);
    free(r);
}

static bool same(struct hash128 a, struct hash128 b)
{
    return a.hi == b.hi && a.lo == b.lo;
}

static struct bucket *bucket_of(struct retries *r, struct hash128 key)
{
    return &r->buckets[key.hi % r->n_buckets];
}

static bool is_acknowledged(struct retries *r, struct hash128 key)
{
    const struct bucket *b = bucket_of(r, key);

    for (unsigned i = 0; i < WAYS; i++)
        if (same(b->keys[i], key))
            return true;
    return false;
}

static void remember(struct retries *r, struct hash128 key)
{
    struct bucket *b = bucket_of(r, key);

    memmove(&b->keys[1], &b->keys[0], (WAYS - 1) * sizeof *b->keys);
    b->keys[0] = key;
}

static struct list *flights_of(struct retries *r, struct hash128 key)
{
    return &r->flights[key.lo % LISTS];
}

static struct flight *find_flight(struct retries *r, struct hash128 key)
{
    list_for_each (it, flights_of(r, key)) {
        struct flight *fl = container_of(it, struct flight, link);

        if (same(fl->key, key))
            return fl;
    }
    return NULL;
}

static void take_off(struct retries *r, struct hash128 key)
{
    struct flight *fl = xcalloc(1, sizeof *fl);

    fl->key = key;
    list_init(&fl->waits);
    list_append(flights_of(r, key), &fl->link);
}

enum retry retries_begin(struct retries *r, struct hash128 key)
{
    enum retry verdict = RETRY_NEW;

    pthread_mutex_lock(&r->lock);
    if (find_flight(r, key))
        verdict = RETRY_ON_ITS_WAY;
    else if (is_acknowledged(r, key))
        verdict = RETRY_ACKNOWLEDGED;
    else
        take_off(r, key);
    pthread_mutex_unlock(&r->lock);
    return verdict;
}

void retries_end(struct retries *r, struct hash128 key, const struct failure *f)
{
    struct flight *fl;
    struct list *it;

    pthread_mutex_lock(&r->lock);
    fl = find_flight(r, key);
    CHECK(fl);
    list_remove(&fl->link);
    if (!f)
        remember(r, key);
    pthread_mutex_unlock(&r->lock);
    while ((it = list_pop(&fl->waits))) {
        struct retry_wait *w = container_of(it, struct retry_wait, link);

        w->ended(w, f);
    }
    free(fl);
}

void retries_wait(struct retries *r, struct hash128 key, struct retry_wait *w)
{
    struct flight *fl;
    struct failure f;
    bool acknowledged;

    pthread_mutex_lock(&r->lock);
    fl = find_flight(r, key);
    acknowledged = !fl && is_acknowledged(r, key);
    pthread_mutex_unlock(&r->lock);
    list_init(&w->link);
    if (fl) {
        list_append(&fl->waits, &w->link);
        return;
    }
    fail(&f, 503, "retry_failed", "send it again",
         "the same upload was on its way when this one came, and failed");
    w->ended(w, acknowledged ? NULL : &f);
}
