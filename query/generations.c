#include "query/generations.h"

#include "base/xalloc.h"
#include "wire/symchunk.h"

#include <errno.h>
#include <stdlib.h>

void generations_init(struct generations *gs, size_t max_bytes)
{
    list_init(&gs->all);
    gs->max_bytes = max_bytes;
}

static void generation_free(struct generation *g)
{
    list_remove(&g->link);
    symbols_free(g->symbols);
    by_function_deinit(&g->by_function);
    pthread_rwlock_destroy(&g->lock);
    free(g);
}

/* Unreferenced ones go, the least recently used first, until the rest fits. */
static void evict(struct generations *gs, size_t max_bytes)
{
    size_t bytes = 0;

    list_for_each (it, &gs->all)
        bytes += container_of(it, struct generation, link)->bytes;
    list_for_each_safe (it, &gs->all) {
        struct generation *g = container_of(it, struct generation, link);

        if (bytes <= max_bytes)
            return;
        if (g->refs > 0)
            continue;
        bytes -= g->bytes;
        generation_free(g);
    }
}

void generations_deinit(struct generations *gs)
{
    evict(gs, 0);
    list_for_each_safe (it, &gs->all) /* those that are empty weigh nothing */
        generation_free(container_of(it, struct generation, link));
}

/* Answers are written under the read lock: among many of them nobody would ever get to apply what
 * is new, were writers not let in first. No thread takes it twice. */
static void lock_init(pthread_rwlock_t *lock)
{
    pthread_rwlockattr_t attr;

    CHECK(pthread_rwlockattr_init(&attr) == 0);
    CHECK(pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP) == 0);
    CHECK(pthread_rwlock_init(lock, &attr) == 0);
    pthread_rwlockattr_destroy(&attr);
}

static struct generation *generation_new(uint32_t partition, struct hash128 sid, uint64_t number,
                                         uint64_t epoch)
{
    struct generation *g = xcalloc(1, sizeof *g);

    list_init(&g->link);
    g->partition = partition;
    g->sid = sid;
    g->number = number;
    g->epoch = epoch;
    g->symbols = symbols_new();
    symbols_rank(g->symbols);
    by_function_update(&g->by_function, g->symbols);
    lock_init(&g->lock);
    return g;
}

static bool is_same(const struct generation *g, uint32_t partition, struct hash128 sid,
                    uint64_t number)
{
    return g->partition == partition && g->number == number && g->sid.hi == sid.hi &&
           g->sid.lo == sid.lo;
}

/* Out of the cache; whoever holds it goes on with it. */
static void retire(struct generation *g)
{
    list_remove(&g->link);
    if (g->refs == 0)
        generation_free(g);
}

static struct generation *find(struct generations *gs, uint32_t partition, struct hash128 sid,
                               uint64_t number, uint64_t epoch)
{
    list_for_each_safe (it, &gs->all) {
        struct generation *g = container_of(it, struct generation, link);

        if (!is_same(g, partition, sid, number))
            continue;
        if (g->epoch == epoch && !g->broken)
            return g;
        retire(g);
    }
    return NULL;
}

struct generation *generation_get(struct generations *gs, uint32_t partition, struct hash128 sid,
                                  uint64_t number, uint64_t epoch)
{
    struct generation *g = find(gs, partition, sid, number, epoch);

    if (!g)
        g = generation_new(partition, sid, number, epoch);
    list_remove(&g->link);
    list_append(&gs->all, &g->link);
    g->refs++;
    return g;
}

void generation_put(struct generations *gs, struct generation *g)
{
    CHECK(g->refs > 0);
    if (--g->refs == 0 && list_empty(&g->link))
        generation_free(g); /* retired meanwhile */
    else
        evict(gs, gs->max_bytes);
}

static bool parse_id(struct bytes text, uint64_t *ret)
{
    uint64_t v = 0;

    if (text.len == 0 || text.len > 10)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        v = v * 10 + (text.data[i] - '0');
    }
    *ret = v;
    return true;
}

void chunks_add(struct chunks *c, const struct store_reply *reply)
{
    for (size_t i = 0; i < reply->n; i++) {
        struct chunk chunk = {0};

        if (!parse_id(reply->fields[i], &chunk.first_frame))
            continue;
        buf_append_bytes(&chunk.bytes, reply->values[i]);
        XGROW(c->at, c->cap, c->n + 1);
        c->at[c->n++] = chunk;
    }
}

void chunks_deinit(struct chunks *c)
{
    for (size_t i = 0; i < c->n; i++)
        buf_deinit(&c->at[i].bytes);
    free(c->at);
    *c = (struct chunks){0};
}

static int by_first_frame(const void *a, const void *b)
{
    const struct chunk *x = a, *y = b;

    return x->first_frame < y->first_frame ? -1 : x->first_frame > y->first_frame;
}

static int apply_sorted(struct generation *g, struct zcodec *z, const struct chunks *c)
{
    for (size_t i = 0; i < c->n; i++) {
        bool empty = symbols_n_frames(g->symbols) <= 1; /* the first chunk may be named 0 or 1 */
        int r;

        if (!empty && c->at[i].first_frame < symbols_n_frames(g->symbols))
            continue;
        r = symchunk_decode(z, g->symbols, buf_bytes(&c->at[i].bytes));
        if (r != 0)
            return r;
    }
    return 0;
}

int generation_apply(struct generation *g, struct zcodec *z, struct chunks *c)
{
    int r;

    if (c->n > 1)
        qsort(c->at, c->n, sizeof *c->at, by_first_frame);
    pthread_rwlock_wrlock(&g->lock);
    r = g->broken ? -EBADMSG : apply_sorted(g, z, c);
    symbols_rank(g->symbols); /* now, for many merge by them under the read lock */
    by_function_update(&g->by_function, g->symbols);
    g->broken = r != 0;
    g->n_frames = symbols_n_frames(g->symbols);
    g->bytes = symbols_bytes(g->symbols) + by_function_bytes(&g->by_function);
    pthread_rwlock_unlock(&g->lock);
    return r;
}
