/*
 * Happy path: append to the tail, fdatasync, publish. A full tail is committed and a new segment
 * begun.
 *
 * After a failed fdatasync the kernel may have dropped the dirty pages and will report success the
 * next time, so the tail is abandoned: what it held unsynced is written again, from the records
 * that are still in memory, into a new segment that begins at the first uncommitted offset. A
 * segment ends where the next one begins, so whatever the abandoned file holds behind that offset
 * is never read. If the new one fails too, the records are failed.
 *
 * At no moment is a partition without a segment: the newest base is what keeps offsets from being
 * given twice.
 */
#include "log/local_partition.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/logger.h"
#include "base/xalloc.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- the view ---------------------------------------------------------------------------------
 */

static struct view_segment *view_last(const struct local_partition *p)
{
    return p->n_view > 0 ? &p->view[p->n_view - 1] : NULL;
}

/* Takes the place of an abandoned segment with the same base. */
static void view_push(struct local_partition *p, uint64_t base, int64_t created_ms, uint64_t bytes)
{
    uv_mutex_lock(p->lock);
    if (p->n_view > 0 && view_last(p)->base == base)
        p->bytes -= p->view[--p->n_view].bytes;
    XGROW(p->view, p->cap_view, p->n_view + 1);
    p->view[p->n_view++] = (struct view_segment){base, created_ms, bytes};
    p->bytes += bytes;
    uv_mutex_unlock(p->lock);
}

static void view_commit(struct local_partition *p)
{
    uv_mutex_lock(p->lock);
    p->bytes += p->tail.bytes - view_last(p)->bytes;
    view_last(p)->bytes = p->tail.bytes;
    p->end = p->tail.next;
    uv_mutex_unlock(p->lock);
}

struct partition_place partition_find(struct local_partition *p, uint64_t offset)
{
    struct partition_place place = {0};
    size_t low = 0, high;

    uv_mutex_lock(p->lock);
    high = p->n_view;
    while (high - low > 1) {
        size_t mid = low + (high - low) / 2;

        if (p->view[mid].base <= offset)
            low = mid;
        else
            high = mid;
    }
    place.end = place.segment_end = p->end;
    place.first = p->end;
    if (p->n_view > 0) {
        place.first = p->view[0].base;
        place.base = p->view[low].base;
        place.limit = p->view[low].bytes;
        if (low + 1 < p->n_view)
            place.segment_end = p->view[low + 1].base;
    }
    uv_mutex_unlock(p->lock);
    return place;
}

/* ---- the tail ---------------------------------------------------------------------------------
 */

static int tail_begin(struct local_partition *p)
{
    int r = segment_create(p->dirfd, p->end, clock_wall_ms(), &p->tail);

    if (r < 0)
        return r;
    view_push(p, p->tail.base, p->tail.created_ms, p->tail.bytes);
    return 0;
}

static bool tail_empty(const struct local_partition *p)
{
    return p->tail.next == p->tail.base;
}

static void report_failed_sync(const struct local_partition *p, int r)
{
    LOG(LOG_ERROR, "log_sync_failed", F_INT("partition", p->number), F_INT("segment", p->tail.base),
        F_STR("error", strerror(-r)));
}

static int pending_append_again(struct local_partition *p)
{
    int r;

    segment_close(&p->tail);
    r = tail_begin(p);
    for (struct list *it = p->pending.next; r == 0 && it != &p->pending; it = it->next) {
        struct local_record *rec = container_of(it, struct local_record, link);

        rec->offset = p->tail.next;
        r = segment_append(&p->tail, clock_wall_ms(), rec->value);
    }
    return r < 0 ? r : segment_sync(&p->tail);
}

bool partition_commit(struct local_partition *p, struct list *done)
{
    int r;

    if (list_empty(&p->pending))
        return false;
    r = segment_sync(&p->tail);
    if (r < 0) {
        report_failed_sync(p, r);
        r = pending_append_again(p);
    }
    if (r == 0)
        view_commit(p);
    else
        segment_close(&p->tail);
    list_for_each (it, &p->pending)
        container_of(it, struct local_record, link)->r = r;
    list_splice(done, &p->pending);
    return true;
}

int partition_append(struct local_partition *p, struct local_record *rec, uint64_t segment_bytes,
                     struct list *done)
{
    uint64_t need = SEGMENT_RECORD_BYTES + rec->value.len;
    int r;

    if (p->tail.fd >= 0 && !tail_empty(p) && p->tail.bytes + need > segment_bytes) {
        partition_commit(p, done);
        segment_close(&p->tail);
    }
    if (p->tail.fd < 0) {
        r = tail_begin(p);
        if (r < 0)
            return r;
    }
    rec->offset = p->tail.next;
    r = segment_append(&p->tail, clock_wall_ms(), rec->value);
    if (r == 0)
        list_append(&p->pending, &rec->link);
    return r;
}

/* ---- opening ----------------------------------------------------------------------------------
 */

static void report_damage(const struct local_partition *p, uint64_t base,
                          const struct segment_damage *d)
{
    if (d->torn_bytes > 0)
        LOG(LOG_WARN, "log_torn_tail", F_INT("partition", p->number), F_INT("segment", base),
            F_INT("bytes", d->torn_bytes));
    if (d->lost_bytes > 0)
        LOG(LOG_ERROR, "log_damaged", F_INT("partition", p->number), F_INT("segment", base),
            F_INT("bytes", d->lost_bytes));
}

/* The newest segment, which a crash may have torn. A file whose header is not valid is the disk's
 * fault: it is kept under another name, for people. */
static int recover_tail(struct local_partition *p, uint64_t base)
{
    struct segment_damage damage = {0};
    int r = segment_recover(p->dirfd, base, &p->tail, &damage);

    if (r == SEGMENT_E_BAD) {
        LOG(LOG_ERROR, "log_segment_set_aside", F_INT("partition", p->number),
            F_INT("segment", base));
        p->end = base;
        return segment_set_aside(p->dirfd, base);
    }
    if (r < 0)
        return r;
    report_damage(p, base, &damage);
    view_push(p, base, p->tail.created_ms, p->tail.bytes);
    p->end = p->tail.next;
    return 0;
}

/* Older segments are not read here: readers check each record when they come to it. */
static int open_older(struct local_partition *p, uint64_t base)
{
    struct segment_reader reader;
    uint64_t bytes;
    int r = segment_size(p->dirfd, base, &bytes);

    if (r < 0)
        return r;
    r = segment_reader_open(p->dirfd, base, &reader);
    if (r < 0)
        return r;
    if (r == SEGMENT_E_BAD) {
        view_push(p, base, 0, bytes); /* reading it will report the gap */
        return 0;
    }
    view_push(p, base, reader.created_ms, bytes);
    segment_reader_close(&reader);
    return 0;
}

static int open_segments(struct local_partition *p)
{
    uint64_t *bases;
    size_t n;
    int r = segment_list(p->dirfd, &bases, &n);

    if (r < 0)
        return r;
    for (size_t i = 0; r == 0 && i + 1 < n; i++)
        r = open_older(p, bases[i]);
    if (r == 0 && n > 0)
        r = recover_tail(p, bases[n - 1]);
    if (r == 0 && p->tail.fd < 0)
        r = tail_begin(p);
    free(bases);
    return r;
}

int partition_open(struct local_partition *p, uint32_t number, int dirfd, uv_mutex_t *lock)
{
    int r;

    *p = (struct local_partition){.number = number, .dirfd = dirfd, .lock = lock, .tail.fd = -1};
    list_init(&p->pending);
    r = open_segments(p);
    if (r < 0)
        partition_close(p);
    return r;
}

void partition_close(struct local_partition *p)
{
    segment_close(&p->tail);
    if (p->dirfd >= 0)
        close(p->dirfd);
    p->dirfd = -1;
    free(p->view);
    p->view = NULL;
    p->n_view = 0;
}

/* ---- retention --------------------------------------------------------------------------------
 */

uint64_t partition_bytes(const struct local_partition *p)
{
    return p->bytes + (p->tail.fd >= 0 ? p->tail.bytes - view_last(p)->bytes : 0);
}

/* The newest segment too, when all of it is flushed: a new one is begun first. */
bool partition_oldest(struct local_partition *p, int64_t *ret_created_ms)
{
    bool can = false;

    uv_mutex_lock(p->lock);
    if (p->n_view > 1)
        can = p->view[1].base <= p->flushed;
    else if (p->n_view == 1)
        can = list_empty(&p->pending) && p->view[0].base < p->end && p->end <= p->flushed;
    if (can)
        *ret_created_ms = p->view[0].created_ms;
    uv_mutex_unlock(p->lock);
    return can;
}

int partition_drop_oldest(struct local_partition *p)
{
    uint64_t base = p->view[0].base;
    int r = 0;

    if (p->n_view == 1) {
        segment_close(&p->tail);
        r = tail_begin(p);
    }
    if (r < 0)
        return r;
    uv_mutex_lock(p->lock);
    p->bytes -= p->view[0].bytes;
    memmove(p->view, p->view + 1, --p->n_view * sizeof *p->view);
    uv_mutex_unlock(p->lock);
    LOG(LOG_DEBUG, "log_segment_deleted", F_INT("partition", p->number), F_INT("segment", base));
    return segment_delete(p->dirfd, base);
}
