/*
 * A stage is a number of steps and a function that issues one of them, or says that it is not
 * needed. At most IN_FLIGHT_MAX are on their way; the callback of each makes room for the next, and
 * the last one begins the next stage. Nothing of the shard changes until the commit has been
 * answered, but for what no reader can see (symbols that grow, generations begun): a flush that is
 * refused takes the shard with it.
 *
 * All of an aggregate's life in the store is bounded by times, in rising order: the index entry
 * says until when to look for the blob, the blob lives SLACK_MS longer, the generation that it
 * names longer again. So whoever follows a live pointer finds what it points at.
 */
#include "aggregator/flush.h"

#include "aggregator/item.h"
#include "aggregator/metrics.h"
#include "base/clock.h"
#include "base/logger.h"
#include "base/xalloc.h"
#include "profile/translation.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    IN_FLIGHT_MAX = 64,
    ZSTD_LEVEL = 1, /* open windows are written again in seconds */
    REPLACED_TTL_MS = 60 * 1000,
    SLACK_MS = 60 * 1000,
};
#define SWEEP_EVERY_MS INT64_C(3600000)
#define KEEP_MAX_MS    (INT64_C(3650) * 24 * 3600 * 1000) /* "unlimited" */

enum stage { STAGE_INDEX, STAGE_BLOBS, STAGE_SYMBOLS, STAGE_PUT, STAGE_COMMIT, STAGES };

/* A service that has something in this flush. */
struct touched {
    struct flush *flush;
    struct service *service;
};

/* One series whose index is looked through for what has expired. */
struct sweep {
    struct roster_entry *entry; /* NULL: none this time */
    bool read;
    size_t n_live;
    int64_t *expired; /* windows */
    size_t n_expired, cap_expired;
};

struct flush {
    struct shard *shard;
    struct store *store;
    struct zcodec *z;
    flush_cb *done;
    void *ctx;
    int64_t now_ms; /* of the beginning; all expiries count from here */

    enum stage stage;
    size_t next_step, n_in_flight;
    int error; /* first of the stage */

    struct items items;
    struct touched *touched;
    size_t n_touched;
    struct old_symbols *old;
    size_t n_old, cap_old;
    struct sweep sweep;
    struct ops ops;
    bool ops_made;
};

static void pump(struct flush *f);

/* ---- making one ---------------------------------------------------------------------------- */

static int by_service(const void *a, const void *b)
{
    const struct item *x = a, *y = b;

    return x->entry->service < y->entry->service ? -1 : x->entry->service > y->entry->service;
}

/* Items of one service stand together, so its symbols stay in the processor's cache. */
static void find_services(struct flush *f)
{
    const struct service *last = NULL;

    qsort(f->items.at, f->items.n, sizeof *f->items.at, by_service);
    f->touched = xcalloc(f->items.n + 1, sizeof *f->touched);
    for (size_t i = 0; i < f->items.n; i++) {
        struct service *service = f->items.at[i].entry->service;

        if (service != last)
            f->touched[f->n_touched++] = (struct touched){f, service};
        last = service;
    }
}

static void find_cached(struct flush *f)
{
    for (size_t i = 0; i < f->items.n; i++) {
        struct item *it = &f->items.at[i];
        const struct cached *c = cache_get(&f->shard->cache, it->entry->kid, it->t_s);

        it->flush = f;
        if (!c || c->entry.expires_ms <= f->now_ms ||
            c->aggregate.generation != service_current(it->entry->service) ||
            it->entry->service->rolled)
            continue;
        it->cached = c;
        it->index = c->entry;
        it->has_index = it->index_read = it->blob_read = true;
    }
}

struct flush *flush_new(struct shard *shard, struct store *store, struct zcodec *z, flush_cb *done,
                        void *ctx)
{
    struct flush *f = xcalloc(1, sizeof *f);

    f->shard = shard;
    f->store = store;
    f->z = z;
    f->done = done;
    f->ctx = ctx;
    f->now_ms = clock_wall_ms();
    f->items = items_of(&shard->deltas);
    find_services(f);
    find_cached(f);
    f->sweep.entry = roster_next_sweep(&shard->roster, f->now_ms - SWEEP_EVERY_MS);
    ops_init(&f->ops);
    return f;
}

void flush_free(struct flush *f)
{
    if (!f)
        return;
    items_deinit(&f->items);
    for (size_t i = 0; i < f->n_old; i++) {
        symbols_free(f->old[i].symbols);
        free(f->old[i].map);
    }
    free(f->old);
    free(f->touched);
    free(f->sweep.expired);
    ops_deinit(&f->ops);
    free(f);
}

/* A call of the current stage has returned. */
static void step_done(struct flush *f, int r)
{
    f->n_in_flight--;
    if (r != 0 && f->error == 0)
        f->error = r;
    pump(f);
}

/* ---- INDEX --------------------------------------------------------------------------------- */

static void generation_lost(const struct service *service, uint64_t generation)
{
    char hex[33];

    hash128_hex(service->sid, hex);
    LOG(LOG_ERROR, "symbols_lost", F_STR("service", hex), F_INT("generation", generation));
}

static void on_symbols(void *ctx, int r, const struct store_reply *reply)
{
    struct touched *t = ctx;
    struct symbols *symbols;

    if (r == 0) {
        symbols = symbols_of_chunks(t->flush->z, reply);
        if (symbols) {
            service_adopt(t->service, symbols);
        } else {
            generation_lost(t->service, service_current(t->service));
            service_begin(t->service, shard_new_generation(t->flush->shard));
        }
    }
    step_done(t->flush, r);
}

static bool issue_symbols(struct flush *f, struct touched *t)
{
    struct service *service = t->service;
    struct key key;

    if (service->loaded)
        return false;
    if (service->rolled || service->n_generations == 0) {
        service_begin(service, shard_new_generation(f->shard));
        return false;
    }
    key = key_symbols(f->shard->id, service->sid, service_current(service));
    store_hash(f->store, key_bytes(&key), on_symbols, t);
    return true;
}

static void on_index(void *ctx, int r, const struct store_reply *reply)
{
    struct item *it = ctx;

    if (r == 0) {
        it->index_read = true;
        it->has_index = reply->n == 1 && reply->values[0].data &&
                        index_entry_read(&it->index, reply->values[0]) == 0 &&
                        it->index.expires_ms > it->flush->now_ms;
    }
    step_done(it->flush, r);
}

static bool issue_index(struct flush *f, struct item *it)
{
    struct key key = key_index(f->shard->id, f->shard->res_s, it->entry->kid);
    char field[24];
    struct bytes name;

    if (it->index_read)
        return false;
    snprintf(field, sizeof field, "%" PRId64, it->t_s);
    name = bytes_str(field);
    store_hash_get(f->store, key_bytes(&key), &name, 1, on_index, it);
    return true;
}

static bool window_read(struct bytes field, int64_t *ret_t_s)
{
    int64_t t = 0;

    if (field.len == 0 || field.len > 18)
        return false;
    for (size_t i = 0; i < field.len; i++) {
        if (field.data[i] < '0' || field.data[i] > '9')
            return false;
        t = t * 10 + (field.data[i] - '0');
    }
    *ret_t_s = t;
    return true;
}

static void note_expired(struct sweep *s, struct bytes field, int64_t now_ms, struct bytes value)
{
    struct index_entry entry;
    int64_t t_s;

    if (index_entry_read(&entry, value) == 0 && entry.expires_ms > now_ms) {
        s->n_live++;
        return;
    }
    if (!window_read(field, &t_s))
        return;
    XGROW(s->expired, s->cap_expired, s->n_expired + 1);
    s->expired[s->n_expired++] = t_s;
}

static void on_sweep(void *ctx, int r, const struct store_reply *reply)
{
    struct flush *f = ctx;

    f->sweep.read = r == 0;
    for (size_t i = 0; r == 0 && i < reply->n; i++)
        note_expired(&f->sweep, reply->fields[i], f->now_ms, reply->values[i]);
    step_done(f, r);
}

static bool issue_sweep(struct flush *f)
{
    struct key key;

    if (!f->sweep.entry || f->sweep.read)
        return false;
    key = key_index(f->shard->id, f->shard->res_s, f->sweep.entry->kid);
    store_hash(f->store, key_bytes(&key), on_sweep, f);
    return true;
}

static size_t index_steps(const struct flush *f)
{
    return 1 + f->n_touched + f->items.n;
}

static bool index_issue(struct flush *f, size_t i)
{
    if (i == 0)
        return issue_sweep(f);
    i -= 1;
    if (i < f->n_touched)
        return issue_symbols(f, &f->touched[i]);
    return issue_index(f, &f->items.at[i - f->n_touched]);
}

/* ---- BLOBS --------------------------------------------------------------------------------- */

static void blob_missing(const struct item *it)
{
    char hex[33];

    hash128_hex(it->entry->kid, hex);
    count(M_MISSING, 1);
    LOG(LOG_ERROR, "blob_missing", F_STR("kid", hex), F_INT("window", it->t_s),
        F_INT("epoch", it->index.epoch), F_INT("seq", it->index.seq));
}

static void on_blob(void *ctx, int r, const struct store_reply *reply)
{
    struct item *it = ctx;

    if (r == 0) {
        it->blob_read = true;
        if (reply->n == 1 && reply->values[0].data)
            buf_append_bytes(&it->blob, reply->values[0]);
        else
            blob_missing(it);
    }
    step_done(it->flush, r);
}

static struct key blob_key(const struct flush *f, const struct item *it, uint64_t epoch,
                           uint64_t seq)
{
    return key_blob(f->shard->id, f->shard->res_s, it->t_s, it->entry->kid, epoch, seq);
}

static size_t item_steps(const struct flush *f)
{
    return f->items.n;
}

static bool blob_issue(struct flush *f, size_t i)
{
    struct item *it = &f->items.at[i];
    struct bytes name;
    struct key key;

    if (!it->has_index || it->blob_read)
        return false;
    key = blob_key(f, it, it->index.epoch, it->index.seq);
    name = key_bytes(&key);
    store_get(f->store, &name, 1, on_blob, it);
    return true;
}

/* ---- SYMBOLS ------------------------------------------------------------------------------- */

static struct old_symbols *old_find(struct flush *f, const struct service *service,
                                    uint64_t generation)
{
    for (size_t i = 0; i < f->n_old; i++)
        if (f->old[i].service == service && f->old[i].generation == generation)
            return &f->old[i];
    return NULL;
}

/* The generation of a blob if it is not the service's current one, else 0. */
static uint64_t old_generation(const struct item *it)
{
    struct aggregate a;

    if (it->blob.len == 0 || aggregate_peek(&a, buf_bytes(&it->blob)) != 0 ||
        a.generation == service_current(it->entry->service))
        return 0;
    return a.generation;
}

static void find_old(struct flush *f)
{
    for (size_t i = 0; i < f->items.n; i++) {
        struct service *service = f->items.at[i].entry->service;
        uint64_t generation = old_generation(&f->items.at[i]);

        if (!generation || old_find(f, service, generation))
            continue;
        XGROW(f->old, f->cap_old, f->n_old + 1);
        f->old[f->n_old++] = (struct old_symbols){f, service, generation};
    }
}

static void on_old_symbols(void *ctx, int r, const struct store_reply *reply)
{
    struct old_symbols *old = ctx;

    if (r == 0) {
        old->read = true;
        old->symbols = symbols_of_chunks(old->flush->z, reply);
        if (!old->symbols) {
            generation_lost(old->service, old->generation);
        } else {
            old->map = xcalloc(symbols_n_frames(old->symbols) + 1, sizeof *old->map);
            symbols_merge(old->service->symbols, old->symbols, 0, old->map);
        }
    }
    step_done(old->flush, r);
}

static size_t old_steps(const struct flush *f)
{
    return f->n_old;
}

static bool old_issue(struct flush *f, size_t i)
{
    struct old_symbols *old = &f->old[i];
    struct key key;

    if (old->read)
        return false;
    key = key_symbols(f->shard->id, old->service->sid, old->generation);
    store_hash(f->store, key_bytes(&key), on_old_symbols, old);
    return true;
}

/* ---- PUT ----------------------------------------------------------------------------------- */

static int64_t expires_ms(const struct flush *f)
{
    int64_t keep = f->shard->o->keep_base;

    return f->now_ms + (keep < KEEP_MAX_MS ? keep : KEEP_MAX_MS);
}

static void on_put(void *ctx, int r, const struct store_reply *reply)
{
    struct item *it = ctx;

    (void)reply;
    it->put = r == 0;
    step_done(it->flush, r);
}

static void merge(struct flush *f, struct item *it)
{
    uint64_t generation = old_generation(it);
    const struct old_symbols *old = generation ? old_find(f, it->entry->service, generation) : NULL;

    if (item_merge(it, f->z, old) != 0)
        blob_missing(it);
    count(M_SATURATED, (int64_t)it->result.tree.saturated);
    buf_deinit(&it->blob);
}

static bool put_issue(struct flush *f, size_t i)
{
    struct item *it = &f->items.at[i];
    struct key key = blob_key(f, it, f->shard->epoch, f->shard->seq + 1);
    struct buf value = {0};
    struct store_put put;

    if (it->put)
        return false;
    if (!it->merged)
        merge(f, it);
    aggregate_encode(f->z, &it->result, ZSTD_LEVEL, &value);
    put = (struct store_put){key_bytes(&key), buf_bytes(&value),
                             expires_ms(f) - f->now_ms + SLACK_MS};
    count(M_BLOBS, 1);
    count(M_BLOB_BYTES, (int64_t)value.len);
    store_put(f->store, &put, 1, on_put, it);
    buf_deinit(&value);
    return true;
}

/* ---- COMMIT -------------------------------------------------------------------------------- */

static void index_op(struct flush *f, struct key key, int64_t t_s, const struct index_entry *entry)
{
    char field[24], value[64];
    size_t len;

    snprintf(field, sizeof field, "%" PRId64, t_s);
    if (!entry) {
        ops_hdel(&f->ops, key, bytes_str(field));
        return;
    }
    len = index_entry_write(entry, value);
    ops_hset(&f->ops, key, bytes_str(field), bytes_of(value, len));
}

static struct index_entry new_entry(const struct flush *f)
{
    return (struct index_entry){f->shard->epoch, f->shard->seq + 1, expires_ms(f)};
}

static void item_ops(struct flush *f, const struct item *it)
{
    struct index_entry entry = new_entry(f);

    index_op(f, key_index(f->shard->id, f->shard->res_s, it->entry->kid), it->t_s, &entry);
    if (it->has_index)
        ops_expire(&f->ops, blob_key(f, it, it->index.epoch, it->index.seq), REPLACED_TTL_MS);
}

static bool has_item(const struct flush *f, const struct roster_entry *entry)
{
    for (size_t i = 0; i < f->items.n; i++)
        if (f->items.at[i].entry == entry)
            return true;
    return false;
}

/* The series has no window left, and gets none now. */
static bool sweep_empties(const struct flush *f)
{
    return f->sweep.n_live == 0 && !has_item(f, f->sweep.entry);
}

static void sweep_ops(struct flush *f)
{
    const struct roster_entry *entry = f->sweep.entry;
    struct key index;
    char hex[33];

    if (!entry)
        return;
    index = key_index(f->shard->id, f->shard->res_s, entry->kid);
    for (size_t i = 0; i < f->sweep.n_expired; i++)
        index_op(f, index, f->sweep.expired[i], NULL);
    if (!sweep_empties(f))
        return;
    hash128_hex(entry->kid, hex);
    ops_del(&f->ops, index);
    ops_hdel(&f->ops, key_catalogue(f->shard->id), bytes_str(hex));
}

static bool is_touched(const struct flush *f, const struct service *service)
{
    for (size_t i = 0; i < f->n_touched; i++)
        if (f->touched[i].service == service)
            return true;
    return false;
}

static void service_all_ops(struct flush *f)
{
    struct shard *s = f->shard;
    struct service *service;
    size_t at = 0;

    for (size_t i = 0; i < f->n_touched; i++)
        service_ops(f->touched[i].service, f->z, s->id, f->now_ms, expires_ms(f) + 2 * SLACK_MS,
                    &f->ops);
    while ((service = idmap_next(&s->services, &at)))
        if (service_has_expired(service, f->now_ms) && !is_touched(f, service))
            service_ops(service, f->z, s->id, f->now_ms, 0, &f->ops);
}

static int64_t forget_before_ms(const struct shard *s)
{
    return s->o->source_forget < s->stream_ms ? s->stream_ms - s->o->source_forget : 0;
}

/* What expired goes first: a window that is swept and written again in one commit stays. */
static void make_ops(struct flush *f)
{
    struct shard *s = f->shard;

    if (f->ops_made)
        return;
    sweep_ops(f);
    for (size_t i = 0; i < f->items.n; i++)
        item_ops(f, &f->items.at[i]);
    service_all_ops(f);
    dedup_ops(s->dedup, key_dedup(s->id), forget_before_ms(s), &f->ops);
    roster_ops(&s->roster, key_catalogue(s->id), &f->ops);
    f->ops_made = true;
}

static void observe_freshness(const struct shard *s)
{
    int64_t now_ns = clock_wall_ns();

    for (uint32_t i = 0; i < s->n_ends; i++)
        metric_observe(&aggregator_metrics[M_FRESHNESS],
                       (double)(now_ns - s->ends_ns[i]) / (double)NS_PER_S);
}

static void fill_cache(struct flush *f)
{
    struct index_entry entry = new_entry(f);

    for (size_t i = 0; i < f->items.n; i++) {
        struct item *it = &f->items.at[i];

        cache_put(&f->shard->cache, it->entry->kid, it->t_s, &entry, &it->result);
    }
}

static void end_sweep(struct flush *f)
{
    if (!f->sweep.entry)
        return;
    if (sweep_empties(f))
        roster_remove(&f->shard->roster, f->sweep.entry);
    else
        roster_swept(&f->shard->roster, f->sweep.entry, f->now_ms);
}

static void committed(struct flush *f)
{
    struct shard *s = f->shard;
    struct service *service;
    size_t at = 0;

    observe_freshness(s);
    fill_cache(f);
    shard_committed(s);
    while ((service = idmap_next(&s->services, &at)))
        service_committed(service, (size_t)s->o->generation_max);
    end_sweep(f);
}

static void on_commit(void *ctx, int r, const struct store_reply *reply)
{
    struct flush *f = ctx;

    (void)reply;
    if (r == 0)
        committed(f);
    step_done(f, r);
}

static size_t one_step(const struct flush *f)
{
    (void)f;
    return 1;
}

static bool commit_issue(struct flush *f, size_t i)
{
    const struct shard *s = f->shard;
    struct store_commit c = {
        .partition = s->id,
        .epoch = s->epoch,
        .token = s->token,
        .prev_seq = s->seq,
        .seq = s->seq + 1,
        .offset = s->next_offset,
        .now_ms = f->now_ms,
    };

    (void)i;
    make_ops(f);
    c.ops = f->ops.at;
    c.n_ops = f->ops.n;
    store_commit(f->store, &c, on_commit, f);
    return true;
}

/* ---- stages -------------------------------------------------------------------------------- */

static const struct {
    size_t (*steps)(const struct flush *f);
    bool (*issue)(struct flush *f, size_t i); /* false: not needed */
} stages[] = {
    [STAGE_INDEX] = {index_steps, index_issue}, [STAGE_BLOBS] = {item_steps, blob_issue},
    [STAGE_SYMBOLS] = {old_steps, old_issue},   [STAGE_PUT] = {item_steps, put_issue},
    [STAGE_COMMIT] = {one_step, commit_issue},
};

/* Issues what may be issued. When a stage is through, the next; when all are, or one failed and all
 * its calls have returned, the end. */
static void pump(struct flush *f)
{
    for (;;) {
        size_t n = stages[f->stage].steps(f);

        while (f->error == 0 && f->next_step < n && f->n_in_flight < IN_FLIGHT_MAX)
            f->n_in_flight += stages[f->stage].issue(f, f->next_step++);
        if (f->n_in_flight > 0)
            return;
        if (f->error != 0 || f->stage == STAGE_COMMIT) {
            f->done(f->ctx, f->error);
            return;
        }
        f->stage++;
        f->next_step = 0;
        if (f->stage == STAGE_SYMBOLS)
            find_old(f);
    }
}

void flush_run(struct flush *f)
{
    f->error = 0;
    f->next_step = 0;
    pump(f);
}
