/*
 * Happy path: a loop queues a record; the thread takes the whole queue, appends it, syncs each
 * partition that it touched once (so the slower the disk, the larger the group), publishes the new
 * ends and hands the records back to their loops. A sync costs more than a record, so after records
 * that shared one the next ones are waited for.
 *
 * Everything that can go wrong with a record (no space, an I/O error) is its `r`; the thread goes
 * on. The size of the log is checked before each append: the oldest flushed segment of any
 * partition goes first, and when there is none the record fails with -ENOSPC.
 */
#include "log/local_impl.h"

#include "base/logger.h"
#include "base/metrics.h"
#include "base/xalloc.h"

#include <errno.h>
#include <stdlib.h>

enum { QUEUE_BYTES_MAX = 8 << 20, QUEUE_CROWDED = QUEUE_BYTES_MAX / 4, SEGMENTS_MIN = 4 };
enum { COMPANY_WAIT_MAX_NS = 10 * 1000 * 1000 };

enum { M_BYTES, M_RECORDS, M_FAILED, M_SEGMENTS_DELETED, N_METRICS };
enum { FAILED_FULL, FAILED_IO };

static struct metric metrics[N_METRICS] = {
    [M_BYTES] = METRIC_GAUGE("hearth_log_local_bytes", "size of the local log on disk"),
    [M_RECORDS] = METRIC_COUNTER("hearth_log_local_records_total", "records synced to disk"),
    [M_FAILED] = METRIC_COUNTER_BY("hearth_log_local_failed_total", "records not written", "reason",
                                   "full|io"),
    [M_SEGMENTS_DELETED] =
        METRIC_COUNTER("hearth_log_local_segments_deleted_total", "segments deleted to make room"),
};

struct local_producer {
    struct log_producer base;
    struct log_local *log;
    uv_async_t async;
    struct list link;
    struct list done; /* under the log's lock */
    size_t n_in_flight;
    bool closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

struct local_item {
    struct local_record record; /* in the queue, in a partition's pending, or in done */
    struct local_producer *producer;
    struct log_publish *pub;
};

static struct local_item *item_of(struct list *link)
{
    return container_of(link, struct local_item, record.link);
}

/* ---- the thread -------------------------------------------------------------------------------
 */

static uint64_t total_bytes(const struct log_local *l)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < l->n_partitions; i++)
        sum += partition_bytes(&l->partitions[i]);
    return sum;
}

/* Deletes the oldest flushed segment of all; false if there is none. */
static bool reclaim(struct log_local *l)
{
    struct local_partition *oldest = NULL;
    int64_t oldest_ms = INT64_MAX, ms;

    for (uint32_t i = 0; i < l->n_partitions; i++) {
        if (!partition_oldest(&l->partitions[i], &ms) || (oldest && ms >= oldest_ms))
            continue;
        oldest = &l->partitions[i];
        oldest_ms = ms;
    }
    if (!oldest || partition_drop_oldest(oldest) < 0)
        return false;
    metric_add(&metrics[M_SEGMENTS_DELETED], 0, 1);
    return true;
}

static int append(struct log_local *l, struct local_item *item, struct list *done)
{
    struct local_partition *p = &l->partitions[item->pub->partition];
    uint64_t need = SEGMENT_RECORD_BYTES + item->pub->value.len;
    int r;

    while (total_bytes(l) + need > l->max_bytes)
        if (!reclaim(l))
            return -ENOSPC;
    do
        r = partition_append(p, &item->record, l->segment_bytes, done);
    while (r == -ENOSPC && reclaim(l));
    return r;
}

static void count(const struct local_record *rec)
{
    if (rec->r == 0) {
        metric_add(&metrics[M_RECORDS], 0, 1);
        return;
    }
    metric_add(&metrics[M_FAILED], rec->r == -ENOSPC ? FAILED_FULL : FAILED_IO, 1);
    LOG(LOG_ERROR, "log_append_failed", F_STR("error", strerror(-rec->r)));
}

/* What one write was of. */
struct group {
    uint32_t records, partitions;
};

/* Appends and commits all of batch; what becomes of each is in done. */
static struct group write_batch(struct log_local *l, struct list *batch, struct list *done)
{
    struct group group = {0};
    struct list *link;

    for (; (link = list_pop(batch)) != NULL; group.records++) {
        struct local_item *item = item_of(link);

        item->record.r = append(l, item, done);
        if (item->record.r != 0)
            list_append(done, link);
    }
    for (uint32_t i = 0; i < l->n_partitions; i++)
        group.partitions += partition_commit(&l->partitions[i], done);
    list_for_each (it, done)
        count(&item_of(it)->record);
    metric_set(&metrics[M_BYTES], 0, (int64_t)total_bytes(l));
    return group;
}

static void hand_back(struct log_local *l, struct list *done)
{
    struct list *link;

    uv_mutex_lock(&l->lock);
    while ((link = list_pop(done)) != NULL) {
        struct local_producer *p = item_of(link)->producer;

        l->queued_bytes -= item_of(link)->record.value.len;
        list_append(&p->done, link);
        uv_async_send(&p->async);
    }
    local_wake_consumers(l);
    uv_mutex_unlock(&l->lock);
}

/* Waits for more records until the time, unless they fill the queue or the log is closed. */
static void wait_for_company(struct log_local *l, uint64_t until_ns)
{
    uint64_t now_ns;

    while (l->queued_bytes < QUEUE_CROWDED && !l->stopping && (now_ns = uv_hrtime()) < until_ns)
        uv_cond_timedwait(&l->wake, &l->lock, until_ns - now_ns);
}

static bool take_queue(struct log_local *l, struct list *batch, uint64_t until_ns)
{
    uv_mutex_lock(&l->lock);
    wait_for_company(l, until_ns);
    while (list_empty(&l->queue) && !l->stopping)
        uv_cond_wait(&l->wake, &l->lock);
    list_splice(batch, &l->queue);
    uv_mutex_unlock(&l->lock);
    return !list_empty(batch);
}

/* How long company is worth waiting for: as long as a sync took, if any was of several records. A
 * slow disk makes groups by itself. */
static uint64_t worth_waiting_ns(struct group group, uint64_t took_ns)
{
    if (group.records <= group.partitions || group.partitions == 0)
        return 0;
    took_ns /= group.partitions;
    return took_ns < COMPANY_WAIT_MAX_NS ? took_ns : COMPANY_WAIT_MAX_NS;
}

static void thread_main(void *arg)
{
    struct log_local *l = arg;
    struct list batch = LIST_INIT(batch), done = LIST_INIT(done);
    uint64_t until_ns = 0;

    while (take_queue(l, &batch, until_ns)) {
        uint64_t start_ns = uv_hrtime(), end_ns;
        struct group group = write_batch(l, &batch, &done);

        end_ns = uv_hrtime();
        hand_back(l, &done);
        until_ns = end_ns + worth_waiting_ns(group, end_ns - start_ns);
    }
}

/* ---- the object -------------------------------------------------------------------------------
 */

static int open_partitions(struct log_local *l, struct failure *f)
{
    l->partitions = xcalloc(l->n_partitions, sizeof *l->partitions);
    for (uint32_t i = 0; i < l->n_partitions; i++) {
        int fd = -1;
        int r = local_dir_partition(&l->dir, i, &fd);

        if (r == 0)
            r = partition_open(&l->partitions[i], i, fd, &l->lock);
        if (r < 0) {
            while (i-- > 0)
                partition_close(&l->partitions[i]);
            fail(f, 500, "log_unusable", NULL, "cannot open partition %u of the log in %s: %s",
                 i + 1, l->dir.path, strerror(-r));
            return r;
        }
    }
    return 0;
}

static int open_files(struct log_local *l, const char *dir, uint32_t partitions, struct failure *f)
{
    int r = local_dir_open(dir, &l->dir, f);

    if (r < 0)
        return r;
    r = local_dir_partitions(&l->dir, partitions, &l->n_partitions, f);
    if (r == 0)
        r = open_partitions(l, f);
    if (r < 0)
        local_dir_close(&l->dir);
    return r;
}

static void limits_init(struct log_local *l, const struct log_local_options *o)
{
    uint64_t fair = (uint64_t)o->log_max_bytes / ((uint64_t)o->log_partitions * SEGMENTS_MIN);

    /* Each partition must have room for several segments, or nothing could ever be deleted. */
    l->max_bytes = (uint64_t)o->log_max_bytes;
    l->segment_bytes =
        (uint64_t)o->log_segment_bytes < fair ? (uint64_t)o->log_segment_bytes : fair;
}

int log_local_open(const char *dir, const struct log_local_options *o, struct log_local **ret,
                   struct failure *f)
{
    struct log_local *l = xcalloc(1, sizeof *l);
    int r;

    metrics_register(metrics, N_METRICS);
    list_init(&l->queue);
    list_init(&l->producers);
    list_init(&l->consumers);
    limits_init(l, o);
    CHECK(uv_mutex_init(&l->lock) == 0 && uv_cond_init(&l->wake) == 0);
    r = open_files(l, dir, (uint32_t)o->log_partitions, f);
    if (r < 0) {
        uv_cond_destroy(&l->wake);
        uv_mutex_destroy(&l->lock);
        free(l->partitions);
        free(l);
        return r;
    }
    metric_set(&metrics[M_BYTES], 0, (int64_t)total_bytes(l));
    CHECK(uv_thread_create(&l->thread, thread_main, l) == 0);
    *ret = l;
    return 0;
}

void log_local_close(struct log_local *l)
{
    if (!l)
        return;
    CHECK(list_empty(&l->producers) && list_empty(&l->consumers));
    uv_mutex_lock(&l->lock);
    l->stopping = true;
    uv_cond_signal(&l->wake);
    uv_mutex_unlock(&l->lock);
    uv_thread_join(&l->thread);
    for (uint32_t i = 0; i < l->n_partitions; i++)
        partition_close(&l->partitions[i]);
    local_dir_close(&l->dir);
    uv_cond_destroy(&l->wake);
    uv_mutex_destroy(&l->lock);
    free(l->partitions);
    free(l);
}

/* ---- producers --------------------------------------------------------------------------------
 */

static struct local_producer *producer_of(struct log_producer *base)
{
    return container_of(base, struct local_producer, base);
}

static int producer_publish(struct log_producer *base, struct log_publish *pub)
{
    struct local_producer *p = producer_of(base);
    struct log_local *l = p->log;
    struct local_item *item;

    CHECK(pub->partition < l->n_partitions);
    if (p->closing)
        return LOG_E_FULL;
    uv_mutex_lock(&l->lock);
    if (l->queued_bytes > 0 && l->queued_bytes + pub->value.len > QUEUE_BYTES_MAX) {
        uv_mutex_unlock(&l->lock);
        return LOG_E_FULL;
    }
    item = xcalloc(1, sizeof *item);
    item->record.value = pub->value;
    item->producer = p;
    item->pub = pub;
    if (list_empty(&l->queue) || l->queued_bytes + pub->value.len >= QUEUE_CROWDED)
        uv_cond_signal(&l->wake);
    l->queued_bytes += pub->value.len;
    p->n_in_flight++;
    list_append(&l->queue, &item->record.link);
    uv_mutex_unlock(&l->lock);
    return 0;
}

static uint32_t producer_partitions(const struct log_producer *base)
{
    return container_of(base, const struct local_producer, base)->log->n_partitions;
}

static bool producer_ready(const struct log_producer *base)
{
    return !container_of(base, const struct local_producer, base)->closing;
}

static void on_producer_closed(uv_handle_t *handle)
{
    struct local_producer *p = handle->data;
    void (*closed)(void *ctx) = p->closed;
    void *ctx = p->closed_ctx;

    free(p);
    closed(ctx);
}

static void producer_end(struct local_producer *p)
{
    uv_mutex_lock(&p->log->lock);
    list_remove(&p->link);
    uv_mutex_unlock(&p->log->lock);
    uv_close((uv_handle_t *)&p->async, on_producer_closed);
}

static void on_done(uv_async_t *async)
{
    struct local_producer *p = async->data;
    struct list done = LIST_INIT(done), *link;

    uv_mutex_lock(&p->log->lock);
    list_splice(&done, &p->done);
    uv_mutex_unlock(&p->log->lock);
    while ((link = list_pop(&done)) != NULL) {
        struct local_item *item = item_of(link);
        struct log_publish *pub = item->pub;
        struct local_record rec = item->record;

        free(item);
        p->n_in_flight--;
        pub->done(pub, rec.r, rec.offset);
    }
    if (p->closing && p->n_in_flight == 0 && !uv_is_closing((uv_handle_t *)async))
        producer_end(p);
}

/* Fails what the thread has not taken yet. */
static void producer_close(struct log_producer *base, void (*closed)(void *ctx), void *ctx)
{
    struct local_producer *p = producer_of(base);
    struct log_local *l = p->log;

    CHECK(!p->closing);
    p->closing = true;
    p->closed = closed;
    p->closed_ctx = ctx;
    uv_mutex_lock(&l->lock);
    list_for_each_safe (it, &l->queue) {
        if (item_of(it)->producer != p)
            continue;
        list_remove(it);
        item_of(it)->record.r = -ECANCELED;
        l->queued_bytes -= item_of(it)->record.value.len;
        list_append(&p->done, it);
    }
    uv_async_send(&p->async);
    uv_mutex_unlock(&l->lock);
}

static const struct log_producer_ops producer_ops = {
    .publish = producer_publish,
    .partitions = producer_partitions,
    .ready = producer_ready,
    .close = producer_close,
};

struct log_producer *log_local_producer_new(uv_loop_t *loop, struct log_local *l)
{
    struct local_producer *p = xcalloc(1, sizeof *p);

    p->base.ops = &producer_ops;
    p->log = l;
    list_init(&p->done);
    CHECK(uv_async_init(loop, &p->async, on_done) == 0);
    p->async.data = p;
    uv_mutex_lock(&l->lock);
    list_append(&l->producers, &p->link);
    uv_mutex_unlock(&l->lock);
    return &p->base;
}
