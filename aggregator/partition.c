/*
 * Happy path: acquire, load, start; then a flush every interval. One store operation chain runs at
 * a time (`busy`), so whoever wants the partition to end only says so, and the end of the chain
 * looks.
 *
 *   from         event                      to
 *   ACQUIRING    epoch taken                LOADING
 *   LOADING      tables read                RUNNING     (log_consumer_start)
 *   RUNNING      something to flush         FLUSHING    (log_consumer_pause)
 *   FLUSHING     committed                  RUNNING     (log_consumer_resume)
 *   FLUSHING     fenced                     ACQUIRING
 *   any          store fails                the same, again after a delay
 *   any          release, and not busy      CLOSING     (after a last flush, if RUNNING and not
 * lost)
 */
#include "aggregator/partition.h"

#include "aggregator/flush.h"
#include "aggregator/metrics.h"
#include "base/backoff.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/logger.h"
#include "base/xalloc.h"

#include <errno.h>
#include <stdlib.h>

enum state { ACQUIRING, LOADING, RUNNING, FLUSHING, CLOSING };
enum {
    RETRY_MIN_MS = 20,
    RETRY_MAX_MS = 2000,
    RELEASE_MAX_MS = 5000,
    CONFIRM_EVERY_MS = 10 * 1000,
    IDLE_SERVICE_MS = 10 * 60 * 1000,
};

struct partition {
    struct partition_host *host;
    uint32_t id;
    enum state state;
    bool busy;    /* store calls are out, or the timer waits to repeat one */
    bool waiting; /* the latter */
    bool started; /* records were asked for */
    uv_timer_t timer;
    struct backoff backoff;

    struct shard *shard; /* LOADING and later */
    struct flush *flush; /* FLUSHING */
    int64_t flush_began_ms, committed_ms;
    size_t counted_bytes; /* our part of host->delta_bytes */
    size_t counted_symbols, counted_cache;
    unsigned loading; /* tables still on their way */
    int load_error;

    bool releasing, lost;
    int64_t release_by_ms;
    void (*released)(void *ctx);
    void *released_ctx;
};

static void acquire(struct partition *p);
static void load(struct partition *p);
static void next(struct partition *p);

static void move(struct partition *p, enum state to)
{
    static const bool legal[][CLOSING + 1] = {
        [ACQUIRING] = {[LOADING] = true, [CLOSING] = true},
        [LOADING] = {[RUNNING] = true, [ACQUIRING] = true, [CLOSING] = true},
        [RUNNING] = {[FLUSHING] = true, [CLOSING] = true},
        [FLUSHING] = {[RUNNING] = true, [ACQUIRING] = true, [CLOSING] = true},
        [CLOSING] = {false},
    };
    bool loaded = to == RUNNING || to == FLUSHING;

    CHECK(legal[p->state][to]);
    count(M_PARTITIONS, (int64_t)loaded - (int64_t)partition_loaded(p));
    p->state = to;
}

/* Our part of what a worker has, and of the gauge, is `now`. */
static void account_for(size_t now, size_t *ours, size_t *all, enum aggregator_metric gauge)
{
    *all += now - *ours;
    count(gauge, (int64_t)now - (int64_t)*ours);
    *ours = now;
}

static void account(struct partition *p)
{
    account_for(p->shard ? p->shard->deltas.bytes : 0, &p->counted_bytes, &p->host->delta_bytes,
                M_DELTA_BYTES);
}

/* What is kept from flush to flush. */
static void account_kept(struct partition *p)
{
    account_for(p->shard ? p->shard->symbols_bytes : 0, &p->counted_symbols,
                &p->host->symbols_bytes, M_SYMBOLS_BYTES);
    account_for(p->shard ? p->shard->cache.bytes : 0, &p->counted_cache, &p->host->cache_bytes,
                M_CACHE_BYTES);
}

static void drop_shard(struct partition *p)
{
    flush_free(p->flush);
    p->flush = NULL;
    shard_free(p->shard);
    p->shard = NULL;
    account(p);
    account_kept(p);
}

/* ---- the end ------------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *h)
{
    struct partition *p = h->data;
    void (*released)(void *ctx) = p->released;
    void *ctx = p->released_ctx;

    free(p);
    released(ctx);
}

static void finish(struct partition *p)
{
    move(p, CLOSING);
    drop_shard(p);
    p->host->n_partitions--;
    uv_close((uv_handle_t *)&p->timer, on_closed);
}

static bool must_end(const struct partition *p)
{
    return p->releasing && (p->lost || clock_mono_ms() >= p->release_by_ms);
}

void partition_release(struct partition *p, bool lost, void (*released)(void *ctx), void *ctx)
{
    CHECK(!p->releasing);
    p->releasing = true;
    p->lost = lost;
    p->release_by_ms = clock_mono_ms() + RELEASE_MAX_MS;
    p->released = released;
    p->released_ctx = ctx;
    if (p->waiting && (lost || p->state == ACQUIRING || p->state == LOADING)) {
        uv_timer_stop(&p->timer);
        p->busy = p->waiting = false;
    }
    if (!p->busy)
        next(p);
}

/* ---- trying again -------------------------------------------------------------------------- */

static void on_retry(uv_timer_t *t)
{
    struct partition *p = t->data;

    p->busy = p->waiting = false;
    next(p);
}

static void retry_later(struct partition *p, int r, const char *what)
{
    uint32_t delay_ms = backoff_next(&p->backoff);

    count(M_RETRIES, 1);
    LOG(LOG_WARN, "store_failed", F_INT("partition", p->id), F_STR("what", what),
        F_STR("error", strerror(-r)), F_INT("retry_ms", delay_ms));
    if (must_end(p)) {
        p->busy = false;
        next(p);
        return;
    }
    p->busy = p->waiting = true;
    uv_timer_start(&p->timer, on_retry, delay_ms, 0);
}

/* ---- acquire and load ---------------------------------------------------------------------- */

static void on_acquired(void *ctx, int r, const struct store_meta *meta)
{
    struct partition *p = ctx;

    p->busy = false;
    if (r < 0) {
        retry_later(p, r, "acquire");
        return;
    }
    backoff_reset(&p->backoff);
    p->shard = shard_new(p->id, p->host->o, meta);
    move(p, LOADING);
    next(p);
}

static void acquire(struct partition *p)
{
    p->busy = true;
    store_acquire(p->host->store, p->id, random_u64(), clock_wall_ms(), on_acquired, p);
}

static void loaded(struct partition *p)
{
    const struct shard *s = p->shard;

    p->busy = false;
    if (p->load_error != 0) {
        struct store_meta meta = {s->epoch, s->token, s->seq, s->flushed_offset, 0};
        struct shard *again = shard_new(p->id, p->host->o, &meta);

        shard_free(p->shard);
        p->shard = again;
        retry_later(p, p->load_error, "load");
        return;
    }
    backoff_reset(&p->backoff);
    if (p->releasing) {
        next(p);
        return;
    }
    move(p, RUNNING);
    LOG(LOG_INFO, "partition_running", F_INT("partition", p->id), F_INT("epoch", s->epoch),
        F_INT("offset", s->next_offset == LOG_BEGIN ? -1 : (int64_t)s->next_offset),
        F_INT("series", s->roster.entries.n), F_INT("sources", dedup_sources(s->dedup)));
    log_consumer_start(p->host->consumer, p->id, s->next_offset);
    if (p->started)
        log_consumer_resume(p->host->consumer, p->id); /* it was paused by the flush that failed */
    p->started = true;
    p->committed_ms = clock_mono_ms();
}

static void table_read(struct partition *p, int r, size_t bad, const char *table)
{
    if (bad > 0)
        LOG(LOG_ERROR, "stored_entries_bad", F_INT("partition", p->id), F_STR("table", table),
            F_INT("entries", bad));
    if (r < 0)
        p->load_error = r;
    if (--p->loading == 0)
        loaded(p);
}

static void on_dedup(void *ctx, int r, const struct store_reply *reply)
{
    struct partition *p = ctx;

    table_read(p, r, r == 0 ? shard_load_dedup(p->shard, reply) : 0, "dedup");
}

static void on_generations(void *ctx, int r, const struct store_reply *reply)
{
    struct partition *p = ctx;

    table_read(p, r, r == 0 ? shard_load_generations(p->shard, reply) : 0, "generations");
}

static void on_catalogue(void *ctx, int r, const struct store_reply *reply)
{
    struct partition *p = ctx;

    table_read(p, r, r == 0 ? shard_load_catalogue(p->shard, reply) : 0, "catalogue");
}

static void load(struct partition *p)
{
    struct store *store = p->host->store;
    struct key dedup = key_dedup(p->id), generations = key_generations(p->id);
    struct key catalogue = key_catalogue(p->id);

    p->busy = true;
    p->loading = 3;
    p->load_error = 0;
    store_hash(store, key_bytes(&dedup), on_dedup, p);
    store_hash(store, key_bytes(&generations), on_generations, p);
    store_hash(store, key_bytes(&catalogue), on_catalogue, p);
}

/* ---- count --------------------------------------------------------------------------------- */

static void count_verdict(struct partition *p, enum shard_verdict v, const struct log_message *m,
                          const struct failure *f)
{
    static const enum aggregator_metric metrics[] = {
        [SHARD_PART] = AGGREGATOR_METRICS_N, /* counted with its first part */
        [SHARD_COUNTED] = M_PROFILES,
        [SHARD_DUPLICATE] = M_DUPLICATES,
        [SHARD_LATE] = M_LATE,
        [SHARD_BAD] = M_BAD,
    };

    if (metrics[v] != AGGREGATOR_METRICS_N)
        count(metrics[v], 1);
    if (v == SHARD_BAD)
        LOG(LOG_ERROR, "bad_record", F_INT("partition", p->id), F_INT("offset", m->offset),
            F_STR("reason", f->message));
}

static bool is_full(const struct partition *p)
{
    return p->shard->symbols_full || p->host->delta_bytes > (size_t)p->host->o->delta_max;
}

void partition_message(struct partition *p, const struct log_message *m)
{
    struct failure f = {0};
    struct shard *s = p->shard;

    /* Messages flow in RUNNING only: log.h promises none after pause or before start. */
    CHECK(p->state == RUNNING && (s->next_offset == LOG_BEGIN || m->offset >= s->next_offset));
    count(M_RECORDS, 1);
    count(M_BYTES, (int64_t)m->value.len);
    count_verdict(p, shard_add(s, p->host->decoder, m, clock_wall_ms(), &f), m, &f);
    account(p);
    if (is_full(p))
        partition_flush(p);
}

void partition_gap(struct partition *p, uint64_t wanted, uint64_t first)
{
    count(M_GAP, first > wanted ? (int64_t)(first - wanted) : 0);
    LOG(LOG_ERROR, "log_gap", F_INT("partition", p->id), F_INT("wanted", wanted),
        F_INT("first", first));
    if (p->state == RUNNING)
        shard_skip(p->shard, first);
}

/* ---- flush --------------------------------------------------------------------------------- */

/* What the others leave of a budget, but at least the share of one of n. */
static size_t part_of(size_t max, size_t others, size_t n)
{
    size_t rest = others < max ? max - others : 0;

    return rest > max / n ? rest : max / n;
}

static void keep_to_budgets(struct partition *p)
{
    const struct partition_host *host = p->host;
    const struct aggregator_options *o = host->o;

    cache_limit(
        &p->shard->cache,
        part_of((size_t)o->delta_max, host->cache_bytes - p->counted_cache, host->n_partitions));
    shard_unload(p->shard, clock_wall_ms() - IDLE_SERVICE_MS,
                 part_of((size_t)o->symbols_max, host->symbols_bytes - p->counted_symbols,
                         host->n_partitions));
    account_kept(p);
}

static void flushed(struct partition *p)
{
    double seconds = (double)(clock_mono_ms() - p->flush_began_ms) / MS_PER_S;

    flush_free(p->flush);
    p->flush = NULL;
    backoff_reset(&p->backoff);
    count(M_FLUSHES, 1);
    metric_observe(&aggregator_metrics[M_FLUSH_SECONDS], seconds);
    keep_to_budgets(p);
    account(p);
    p->committed_ms = clock_mono_ms();
    move(p, RUNNING);
    log_consumer_flushed(p->host->consumer, p->id, p->shard->flushed_offset);
    if (!p->releasing)
        log_consumer_resume(p->host->consumer, p->id);
}

static void on_flushed(void *ctx, int r)
{
    struct partition *p = ctx;

    p->busy = false;
    if (r == STORE_E_FENCED) {
        count(M_FENCED, 1);
        LOG(LOG_WARN, "fenced", F_INT("partition", p->id), F_INT("epoch", p->shard->epoch));
        p->host->store_went_back = true;
        drop_shard(p);
        move(p, ACQUIRING);
    } else if (r < 0) {
        retry_later(p, r, "flush");
        return;
    } else {
        flushed(p);
    }
    if (p->state == ACQUIRING || p->releasing)
        next(p);
}

static void run_flush(struct partition *p)
{
    p->busy = true;
    flush_run(p->flush);
}

/* A quiet partition commits its offset again now and then: so a store that was emptied, or went
 * back in time, is found out and rebuilt from the log although no record comes. */
static bool must_confirm(const struct partition *p)
{
    return p->shard->next_offset != LOG_BEGIN &&
           clock_mono_ms() - p->committed_ms >= CONFIRM_EVERY_MS;
}

void partition_flush(struct partition *p)
{
    if (p->state != RUNNING || p->busy || (!shard_changed(p->shard) && !must_confirm(p)))
        return;
    log_consumer_pause(p->host->consumer, p->id);
    move(p, FLUSHING);
    p->flush_began_ms = clock_mono_ms();
    p->flush = flush_new(p->shard, p->host->store, p->host->z, on_flushed, p);
    run_flush(p);
}

/* ---- what comes next ----------------------------------------------------------------------- */

/* Not busy: goes on with what the state asks for, or ends. */
static void next(struct partition *p)
{
    CHECK(!p->busy);
    if (p->releasing && (must_end(p) || p->state == ACQUIRING || p->state == LOADING ||
                         (p->state == RUNNING && !shard_changed(p->shard)))) {
        finish(p);
        return;
    }
    switch (p->state) {
    case ACQUIRING:
        acquire(p);
        break;
    case LOADING:
        load(p);
        break;
    case RUNNING:
        partition_flush(p);
        break;
    case FLUSHING:
        run_flush(p);
        break;
    case CLOSING:
        break;
    }
}

struct partition *partition_new(struct partition_host *host, uint32_t id)
{
    struct partition *p = xcalloc(1, sizeof *p);

    p->host = host;
    host->n_partitions++;
    p->id = id;
    p->state = ACQUIRING;
    p->backoff = (struct backoff){.min_ms = RETRY_MIN_MS, .max_ms = RETRY_MAX_MS};
    uv_timer_init(host->loop, &p->timer);
    p->timer.data = p;
    acquire(p);
    return p;
}

uint32_t partition_id(const struct partition *p)
{
    return p->id;
}

bool partition_loaded(const struct partition *p)
{
    return p->state == RUNNING || p->state == FLUSHING;
}

bool partition_lag(const struct partition *p, uint64_t *ret_records)
{
    uint64_t end;

    if (!partition_loaded(p) || !log_consumer_end(p->host->consumer, p->id, &end))
        return false;
    *ret_records = p->shard->next_offset == LOG_BEGIN ? end
                   : end > p->shard->next_offset      ? end - p->shard->next_offset
                                                      : 0;
    return true;
}

int64_t partition_stream_ms(const struct partition *p)
{
    return p->shard ? p->shard->stream_ms : 0;
}
