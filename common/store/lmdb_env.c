/*
 * The writer takes what has queued up, up to a bound, does it all in one transaction and commits
 * that once: a flush of every worker costs one fsync together, not one each. When the transaction
 * fails, each job is tried again alone, so that one that cannot succeed does not take the others
 * with it.
 *
 * The cap. The map, and so the file, has the size max_bytes. Deleting needs free pages too, so
 * pages in use are kept below 7/8 of it by giving up the blobs nearest to their end, in the same
 * transaction; a job that leaves more than 15/16 in use although nothing is left to give up is
 * refused, unless it frees. Free pages may be too scattered for a large value, and pages freed by
 * one transaction can be taken only by the next but one: then LMDB says MAP_FULL, and we give up
 * more, twice as much each time.
 */
#include "store/lmdb_env.h"

#include "base/clock.h"
#include "base/logger.h"
#include "base/xalloc.h"
#include "store/dir_lock.h"
#include "store/store_impl.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    GROUP_JOBS_MAX = 64,
    SWEEP_MS = 1000,
    SWEEP_BLOBS_MAX = 512, /* in one transaction: writes wait meanwhile */
    MAKE_ROOM_TRIES = 8,
};
static const int64_t max_bytes_least = INT64_C(4) << 20;

struct lmdb_env {
    struct kv *kv;
    int lock_fd;
    uv_thread_t writer;
    uv_mutex_t lock;
    uv_cond_t wake;
    struct list queue; /* these two under the lock */
    bool stopping;
    atomic_bool broken;  /* the file could not be written: LMDB wants a restart */
    int64_t sweep_at_ms; /* monotonic; the writer's */
};

struct eviction {
    int64_t blobs, bytes, expires_ms;
};

static int64_t used_soft(const struct lmdb_env *e)
{
    return kv_max_bytes(e->kv) / 8 * 7;
}

static int64_t used_hard(const struct lmdb_env *e)
{
    return kv_max_bytes(e->kv) / 16 * 15;
}

/* ---- the cap ----------------------------------------------------------------------------------
 */

static void report_eviction(const struct lmdb_env *e, const struct eviction *ev)
{
    if (ev->blobs == 0)
        return;
    metric_add(&store_metrics[STORE_M_EVICTED], 0, ev->blobs);
    metric_add(&store_metrics[STORE_M_EVICTED_BYTES], 0, ev->bytes);
    LOG(LOG_WARN, "store_evicted", F_INT("blobs", ev->blobs), F_INT("bytes", ev->bytes),
        F_INT("max_bytes", kv_max_bytes(e->kv)),
        F_INT("ahead_of_end_s", (ev->expires_ms - clock_wall_ms()) / MS_PER_S));
}

/* Gives up the blobs nearest to their end until at most `goal` bytes are in use or none is left. */
static int evict_to(struct kv_txn *t, int64_t goal, struct eviction *ev)
{
    struct kv_usage u;
    int64_t before;
    int r = kv_usage(t, &u);

    before = u.used_bytes;
    while (r == 0 && u.used_bytes > goal) {
        r = kv_drop_first(t, INT64_MAX, &ev->expires_ms);
        if (r < 0)
            break;
        ev->blobs++;
        r = kv_usage(t, &u);
    }
    if (r == 0 || r == -ENOENT)
        ev->bytes += before - u.used_bytes;
    return r == -ENOENT ? 0 : r;
}

/* A transaction of its own that frees `bytes`; for when the map is full. */
static int make_room(struct lmdb_env *e, int64_t bytes)
{
    struct eviction ev = {0};
    struct kv_usage u;
    struct kv_txn *t;
    int r = kv_begin_write(e->kv, &t);

    if (r < 0)
        return r;
    r = kv_usage(t, &u);
    if (r == 0)
        r = evict_to(t, u.used_bytes - bytes, &ev);
    if (r == 0 && ev.blobs == 0)
        r = -ENOSPC;
    if (r < 0) {
        kv_abort(t);
        return r;
    }
    r = kv_commit(t);
    if (r == 0)
        report_eviction(e, &ev);
    return r;
}

static void show_usage(const struct kv_usage *u)
{
    metric_set(&store_metrics[STORE_M_DISK_USED], 0, u->used_bytes);
    metric_set(&store_metrics[STORE_M_BLOBS], 0, u->blobs);
}

/* ---- groups of jobs ---------------------------------------------------------------------------
 */

static int run_jobs(struct kv_txn *t, struct list *jobs)
{
    list_for_each (l, jobs) {
        struct lmdb_job *job = container_of(l, struct lmdb_job, link);
        int r = job->run(job, t);

        if (r < 0)
            return r;
    }
    return 0;
}

static int run_in_txn(struct lmdb_env *e, struct kv_txn *t, struct list *jobs, struct eviction *ev)
{
    struct kv_usage before, after;
    int r = kv_usage(t, &before);

    if (r == 0)
        r = run_jobs(t, jobs);
    if (r == 0)
        r = evict_to(t, used_soft(e), ev);
    if (r == 0)
        r = kv_usage(t, &after);
    if (r < 0)
        return r;
    if (after.used_bytes > used_hard(e) && after.used_bytes > before.used_bytes)
        return -EDQUOT; /* making room would not help */
    show_usage(&after);
    return 0;
}

static int try_group(struct lmdb_env *e, struct list *jobs)
{
    struct eviction ev = {0};
    struct kv_txn *t;
    int r = kv_begin_write(e->kv, &t);

    if (r < 0)
        return r;
    r = run_in_txn(e, t, jobs, &ev);
    if (r < 0) {
        kv_abort(t);
        return r;
    }
    r = kv_commit(t);
    if (r == 0)
        report_eviction(e, &ev);
    return r;
}

/* One job alone. */
static int try_with_room(struct lmdb_env *e, struct list *job)
{
    int64_t bytes = kv_max_bytes(e->kv) / 64;
    int r;

    if ((int64_t)container_of(job->next, struct lmdb_job, link)->bytes > used_soft(e))
        return -ENOSPC; /* before anything is given up for it */
    r = try_group(e, job);
    for (int i = 0; r == -ENOSPC && i < MAKE_ROOM_TRIES; i++, bytes *= 2) {
        if (make_room(e, bytes) < 0)
            break;
        r = try_group(e, job);
    }
    return r == -EDQUOT ? -ENOSPC : r;
}

static void finish(struct lmdb_env *e, struct list *jobs, int r)
{
    struct list *l;

    if (r == -EIO || r == -EROFS) {
        atomic_store(&e->broken, true);
        LOG(LOG_ERROR, "store_write_failed", F_STR("error", strerror(-r)));
    }
    if (r == -ENOSPC)
        metric_add(&store_metrics[STORE_M_ERRORS], STORE_REASON_DISK_FULL, 1);
    else if (r < 0)
        metric_add(&store_metrics[STORE_M_ERRORS], STORE_REASON_OTHER, 1);
    while ((l = list_pop(jobs))) {
        struct lmdb_job *job = container_of(l, struct lmdb_job, link);

        if (r < 0)
            job->r = r;
        job->done(job);
    }
}

static void run_group(struct lmdb_env *e, struct list *jobs)
{
    struct list alone, *l;
    int r = try_group(e, jobs);

    if (r == 0) {
        finish(e, jobs, 0);
        return;
    }
    list_init(&alone);
    while ((l = list_pop(jobs))) {
        list_append(&alone, l);
        finish(e, &alone, try_with_room(e, &alone));
    }
}

/* ---- sweep ------------------------------------------------------------------------------------
 */

/* Returns how many ended, or -errno. */
static int sweep_txn(struct kv_txn *t, int64_t now_ms)
{
    struct kv_usage u;
    int64_t expires_ms;
    int n = 0, r = 0;

    while (n < SWEEP_BLOBS_MAX && (r = kv_drop_first(t, now_ms, &expires_ms)) == 0)
        n++;
    if (r < 0 && r != -ENOENT)
        return r;
    r = kv_usage(t, &u);
    if (r == 0)
        show_usage(&u);
    return r < 0 ? r : n;
}

static int sweep(struct lmdb_env *e)
{
    struct kv_txn *t;
    int n = kv_begin_write(e->kv, &t), r = 0;

    if (n < 0)
        return n;
    n = sweep_txn(t, clock_wall_ms());
    if (n > 0)
        r = kv_commit(t);
    else
        kv_abort(t);
    if (r == 0 && n > 0)
        metric_add(&store_metrics[STORE_M_EXPIRED], 0, n);
    return r < 0 ? r : n;
}

static void sweep_if_due(struct lmdb_env *e)
{
    int n;

    if (clock_mono_ms() < e->sweep_at_ms)
        return;
    n = sweep(e);
    if (n < 0)
        LOG(LOG_WARN, "store_sweep_failed", F_STR("error", strerror(-n)));
    /* More is waiting: go on as soon as the jobs that came meanwhile are done. */
    e->sweep_at_ms = n == SWEEP_BLOBS_MAX ? 0 : clock_mono_ms() + SWEEP_MS;
}

/* ---- the thread -------------------------------------------------------------------------------
 */

static void take_group(struct lmdb_env *e, struct list *jobs)
{
    struct list *l;

    for (int n = 0; n < GROUP_JOBS_MAX && (l = list_pop(&e->queue)); n++)
        list_append(jobs, l);
}

/* Waits for a job or for the next sweep; under the lock. */
static void wait_for_work(struct lmdb_env *e)
{
    int64_t wait_ms = e->sweep_at_ms - clock_mono_ms();

    if (!e->stopping && list_empty(&e->queue) && wait_ms > 0)
        uv_cond_timedwait(&e->wake, &e->lock, (uint64_t)(wait_ms * NS_PER_MS));
}

static void writer_main(void *arg)
{
    struct lmdb_env *e = arg;
    struct list jobs;

    list_init(&jobs);
    uv_mutex_lock(&e->lock);
    while (!e->stopping || !list_empty(&e->queue)) {
        wait_for_work(e);
        take_group(e, &jobs);
        uv_mutex_unlock(&e->lock);
        if (!list_empty(&jobs))
            run_group(e, &jobs);
        sweep_if_due(e);
        uv_mutex_lock(&e->lock);
    }
    uv_mutex_unlock(&e->lock);
}

void lmdb_env_submit(struct lmdb_env *e, struct lmdb_job *job)
{
    uv_mutex_lock(&e->lock);
    CHECK(!e->stopping);
    list_append(&e->queue, &job->link);
    uv_cond_signal(&e->wake);
    uv_mutex_unlock(&e->lock);
}

void lmdb_env_cancel(struct lmdb_env *e, const void *owner)
{
    struct list canceled, *l;

    list_init(&canceled);
    uv_mutex_lock(&e->lock);
    list_for_each_safe (it, &e->queue) {
        if (container_of(it, struct lmdb_job, link)->owner != owner)
            continue;
        list_remove(it);
        list_append(&canceled, it);
    }
    uv_mutex_unlock(&e->lock);
    while ((l = list_pop(&canceled))) {
        struct lmdb_job *job = container_of(l, struct lmdb_job, link);

        job->r = -ECANCELED;
        job->done(job);
    }
}

struct kv *lmdb_env_kv(struct lmdb_env *e)
{
    return e->kv;
}

bool lmdb_env_ready(struct lmdb_env *e)
{
    return !atomic_load(&e->broken);
}

/* ---- open and close ---------------------------------------------------------------------------
 */

static void start(struct lmdb_env *e)
{
    list_init(&e->queue);
    CHECK(uv_mutex_init(&e->lock) == 0);
    CHECK(uv_cond_init(&e->wake) == 0);
    CHECK(uv_thread_create(&e->writer, writer_main, e) == 0);
}

int lmdb_env_open(const char *dir, int64_t max_bytes, struct lmdb_env **ret, struct failure *f)
{
    struct lmdb_env *e;
    int r, fd;

    if (max_bytes < max_bytes_least)
        return fail(f, 400, "store_too_small", "raise the cap on disk",
                    "the local store needs at least %lld bytes, not %lld",
                    (long long)max_bytes_least, (long long)max_bytes);
    if (dir_lock(dir, "data_dir", &fd, f) != 0)
        return FAILURE;
    e = xcalloc(1, sizeof *e);
    e->lock_fd = fd;
    r = kv_open(dir, max_bytes, &e->kv);
    if (r < 0) {
        dir_unlock(fd);
        free(e);
        return fail(f, 500, "store_unusable", "set data_dir to another directory",
                    "cannot open the local store in %.128s: %s", dir, strerror(-r));
    }
    store_metrics_register();
    start(e);
    *ret = e;
    return 0;
}

void lmdb_env_announce(struct lmdb_env *e, const char *admin_address)
{
    dir_lock_announce(e->lock_fd, admin_address);
}

void lmdb_env_close(struct lmdb_env *e)
{
    if (!e)
        return;
    uv_mutex_lock(&e->lock);
    e->stopping = true;
    uv_cond_signal(&e->wake);
    uv_mutex_unlock(&e->lock);
    CHECK(uv_thread_join(&e->writer) == 0);
    kv_close(e->kv);
    dir_unlock(e->lock_fd);
    uv_mutex_destroy(&e->lock);
    uv_cond_destroy(&e->wake);
    free(e);
}
