/*
 * A whole aggregator under test: a real local log, a real LMDB store behind a layer that makes it fail
 * (the call never arrives; it arrives and the answer is lost), one producer, up to two aggregators on one
 * loop. What was acknowledged is known here, and what the store says is read as query reads it.
 */
#ifndef TESTS_AGGREGATOR_RIG_H
#define TESTS_AGGREGATOR_RIG_H

#include "aggregator/aggregator.h"
#include "aggregator/idmap.h"
#include "aggregator/metrics.h"
#include "base/clock.h"
#include "base/xalloc.h"
#include "lib/random.h"
#include "log/log_local.h"
#include "store/catalogue.h"
#include "store/keys.h"
#include "store/store_impl.h"
#include "wire/aggregate.h"
#include "wire/record.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { RIG_PARTITIONS = 2, RIG_AGGREGATORS = 2, RIG_NAMES = 400, RIG_WAIT_MS = 60000 };
#define RIG_TYPE "process_cpu:cpu:nanoseconds:cpu:nanoseconds"

/* ---- a store that fails ----------------------------------------------------------------------- */

struct faulty {
    struct store base;
    struct store *inner;
    uint64_t *rng;
    unsigned per_mille;                 /* of calls that fail; 0: none */
};

enum fault { FAULT_NONE, FAULT_BEFORE, FAULT_AFTER };

/* A call on its way: what it was for, and what is to become of it. */
struct faulty_call {
    enum fault fault;
    store_cb *cb;
    store_meta_cb *meta_cb;
    void *ctx;
    uv_timer_t timer;
};

static inline struct faulty *faulty_of(struct store *s)
{
    return (struct faulty *)s;
}

static inline struct faulty_call *call_new(struct faulty *f, store_cb *cb, store_meta_cb *meta_cb,
                                           void *ctx)
{
    struct faulty_call *c = xcalloc(1, sizeof *c);

    *c = (struct faulty_call){.cb = cb, .meta_cb = meta_cb, .ctx = ctx};
    if (random_below(f->rng, 1000) < f->per_mille)
        c->fault = random_below(f->rng, 2) ? FAULT_BEFORE : FAULT_AFTER;
    return c;
}

static inline void on_faulty(void *ctx, int r, const struct store_reply *reply)
{
    struct faulty_call *c = ctx;
    bool lost = c->fault != FAULT_NONE && r != -ECANCELED;

    c->cb(c->ctx, lost ? -ETIMEDOUT : r, lost ? NULL : reply);
    free(c);
}

static inline void on_faulty_meta(void *ctx, int r, const struct store_meta *meta)
{
    struct faulty_call *c = ctx;
    bool lost = c->fault != FAULT_NONE && r != -ECANCELED;

    c->meta_cb(c->ctx, lost ? -ETIMEDOUT : r, lost ? NULL : meta);
    free(c);
}

static inline void faulty_get(struct store *s, const struct bytes *keys, size_t n, store_cb *cb,
                              void *ctx)
{
    store_get(faulty_of(s)->inner, keys, n, on_faulty, call_new(faulty_of(s), cb, NULL, ctx));
}

static inline void faulty_hash(struct store *s, struct bytes key, store_cb *cb, void *ctx)
{
    store_hash(faulty_of(s)->inner, key, on_faulty, call_new(faulty_of(s), cb, NULL, ctx));
}

static inline void faulty_hash_get(struct store *s, struct bytes key, const struct bytes *fields,
                                   size_t n, store_cb *cb, void *ctx)
{
    store_hash_get(faulty_of(s)->inner, key, fields, n, on_faulty,
                   call_new(faulty_of(s), cb, NULL, ctx));
}

/* A write that never arrives becomes a read. */
static inline void faulty_put(struct store *s, const struct store_put *puts, size_t n, store_cb *cb,
                              void *ctx)
{
    struct faulty_call *c = call_new(faulty_of(s), cb, NULL, ctx);

    if (c->fault == FAULT_BEFORE)
        store_get(faulty_of(s)->inner, &puts[0].key, 1, on_faulty, c);
    else
        store_put(faulty_of(s)->inner, puts, n, on_faulty, c);
}

static inline void faulty_agree(struct store *s, struct bytes key, struct bytes field,
                                struct bytes value, store_cb *cb, void *ctx)
{
    store_agree(faulty_of(s)->inner, key, field, value, on_faulty,
                call_new(faulty_of(s), cb, NULL, ctx));
}

static inline void faulty_acquire(struct store *s, uint32_t p, uint64_t token, int64_t now_ms,
                                  store_meta_cb *cb, void *ctx)
{
    struct faulty_call *c = call_new(faulty_of(s), NULL, cb, ctx);

    if (c->fault == FAULT_BEFORE)
        store_meta(faulty_of(s)->inner, p, on_faulty_meta, c);
    else
        store_acquire(faulty_of(s)->inner, p, token, now_ms, on_faulty_meta, c);
}

static inline void faulty_meta(struct store *s, uint32_t p, store_meta_cb *cb, void *ctx)
{
    store_meta(faulty_of(s)->inner, p, on_faulty_meta, call_new(faulty_of(s), NULL, cb, ctx));
}

static inline void faulty_commit(struct store *s, const struct store_commit *commit, store_cb *cb,
                                 void *ctx)
{
    struct faulty_call *c = call_new(faulty_of(s), cb, NULL, ctx);
    struct key key = key_meta(commit->partition);
    struct bytes name = key_bytes(&key);

    if (c->fault == FAULT_BEFORE)
        store_hash(faulty_of(s)->inner, name, on_faulty, c);
    else
        store_commit(faulty_of(s)->inner, commit, on_faulty, c);
}

static inline bool faulty_ready(const struct store *s)
{
    return store_ready(((const struct faulty *)s)->inner);
}

struct faulty_closing {
    struct faulty *f;
    void (*closed)(void *ctx);
    void *ctx;
};

static inline void on_inner_closed(void *ctx)
{
    struct faulty_closing c = *(struct faulty_closing *)ctx;

    free(ctx);
    free(c.f);
    c.closed(c.ctx);
}

static inline void faulty_close(struct store *s, void (*closed)(void *ctx), void *ctx)
{
    struct faulty_closing *c = xmalloc(sizeof *c);

    *c = (struct faulty_closing){faulty_of(s), closed, ctx};
    store_close(faulty_of(s)->inner, on_inner_closed, c);
}

static const struct store_ops faulty_ops = {
    .get = faulty_get,
    .hash = faulty_hash,
    .hash_get = faulty_hash_get,
    .put = faulty_put,
    .agree = faulty_agree,
    .acquire = faulty_acquire,
    .meta = faulty_meta,
    .commit = faulty_commit,
    .ready = faulty_ready,
    .close = faulty_close,
};

/* ---- the rig ---------------------------------------------------------------------------------- */

/* One published record; kept so that it can be sent again. */
struct sent {
    struct log_publish pub;             /* first */
    struct rig *rig;
    struct buf value;
    struct sent *original;              /* of a resend */
    bool acked;
    uint64_t seq;
};

struct worker_under_test {
    struct rig *rig;
    struct aggregator *aggregator;      /* NULL: not running */
    bool closing;
};

struct rig {
    uint64_t rng;
    char dir[64];
    uv_loop_t loop;
    uv_timer_t bound;
    bool late;
    struct log_local_options log_options;
    struct log_local *log;
    struct log_producer *producer;
    struct lmdb_env *env;
    struct store *store;                /* ours, without faults */
    struct aggregator_options o;
    struct worker_under_test workers[RIG_AGGREGATORS];
    unsigned per_mille;                 /* of the stores made from now on */

    struct record_encoder *encoder;
    struct hash128 source;
    uint64_t seq[RIG_PARTITIONS];
    struct sent **sent;
    size_t n_sent, cap_sent, n_acked, n_resent;
    int64_t expected[RIG_NAMES];        /* by function f0, f1 …; profiles sent once each */
    int64_t got[RIG_NAMES];
    uint64_t got_profiles;
};

/* It repeats: uv_run first runs what is due, and then waits for more in the same call; a timer that fired
 * once would leave it waiting for ever. */
static inline void on_bound(uv_timer_t *t)
{
    ((struct rig *)t->data)->late = true;
}

#define RIG_UNTIL(r, cond)                                                                         \
    do {                                                                                           \
        uv_timer_start(&(r)->bound, on_bound, RIG_WAIT_MS, 10);                                    \
        (r)->late = false;                                                                         \
        while (!(cond) && !(r)->late)                                                              \
            uv_run(&(r)->loop, UV_RUN_ONCE);                                                       \
        uv_timer_stop(&(r)->bound);                                                                \
        if (!(cond))                                                                               \
            fail_msg("not reached in %d ms: %s", RIG_WAIT_MS, #cond);                              \
    } while (0)

static inline void rig_linger(struct rig *r, unsigned ms)
{
    r->late = false;
    uv_timer_start(&r->bound, on_bound, ms, 10);
    while (!r->late)
        uv_run(&r->loop, UV_RUN_ONCE);
    uv_timer_stop(&r->bound);
}

static inline void on_flag(void *ctx)
{
    *(bool *)ctx = true;
}

static inline void rig_open(struct rig *r, uint64_t seed)
{
    char path[128];
    struct failure f;

    *r = (struct rig){.rng = seed};
    snprintf(r->dir, sizeof r->dir, "/tmp/hearth-test-aggregator-XXXXXX");
    assert_non_null(mkdtemp(r->dir));
    uv_loop_init(&r->loop);
    uv_timer_init(&r->loop, &r->bound);
    r->bound.data = r;
    r->log_options = (struct log_local_options){RIG_PARTITIONS, 1 << 28, 1 << 20};
    snprintf(path, sizeof path, "%s/log", r->dir);
    if (log_local_open(path, &r->log_options, &r->log, &f) != 0)
        fail_msg("%s", f.message);
    r->producer = log_local_producer_new(&r->loop, r->log);
    snprintf(path, sizeof path, "%s/store", r->dir);
    if (lmdb_env_open(path, INT64_C(1) << 30, &r->env, &f) != 0)
        fail_msg("%s", f.message);
    r->store = store_lmdb_new(&r->loop, r->env);
    r->o = (struct aggregator_options){
        .window = 60000,
        .late_max = INT64_C(24) * 3600 * 1000,
        .flush_interval = 50,
        .keep_base = INT64_C(7) * 24 * 3600 * 1000,
        .delta_max = 256 << 20,
        .generation_max = 32 << 20,
        .symbols_max = 512 << 20,
        .series_per_service_max = 20000,
        .source_forget = INT64_C(7) * 24 * 3600 * 1000,
    };
    r->encoder = record_encoder_new(1);
    r->source = (struct hash128){random_next(&r->rng), random_next(&r->rng)};
}

/* ---- aggregators ------------------------------------------------------------------------------ */

static inline int rig_consumer_new(uv_loop_t *loop, const struct log_consumer_events *events,
                                   void *events_ctx, struct log_consumer **ret, void *ctx,
                                   struct failure *f)
{
    struct rig *r = ctx;

    (void)f;
    *ret = log_local_consumer_new(loop, r->log, events, events_ctx);
    return 0;
}

static inline void rig_start(struct rig *r, int i)
{
    struct faulty *store = xcalloc(1, sizeof *store);
    struct failure f;

    *store = (struct faulty){{&faulty_ops}, store_lmdb_new(&r->loop, r->env), &r->rng,
                             r->per_mille};
    if (aggregator_new(&r->loop, &store->base, rig_consumer_new, r, &r->o,
                       &r->workers[i].aggregator, &f) != 0)
        fail_msg("%s", f.message);
    r->workers[i].rig = r;
}

static inline void on_aggregator_closed(void *ctx)
{
    struct worker_under_test *w = ctx;

    w->closing = false;
    w->aggregator = NULL;
}

static inline void rig_stop(struct rig *r, int i)
{
    r->workers[i].closing = true;
    aggregator_close(r->workers[i].aggregator, on_aggregator_closed, &r->workers[i]);
    RIG_UNTIL(r, !r->workers[i].closing);
}

static inline bool rig_ready(struct rig *r, int i)
{
    struct buf why = {0};
    bool ready = aggregator_ready(r->workers[i].aggregator, &why);

    buf_deinit(&why);
    return ready;
}

/* Another owner, or one that comes back from the dead: takes the partition's epoch. */
static inline void on_stolen(void *ctx, int res, const struct store_meta *meta)
{
    (void)meta;
    assert_int_equal(res, 0);
    *(bool *)ctx = true;
}

static inline void rig_steal(struct rig *r, uint32_t p)
{
    bool done = false;

    store_acquire(r->store, p, 1, clock_wall_ms(), on_stolen, &done);
    RIG_UNTIL(r, done);
}

/* ---- producing -------------------------------------------------------------------------------- */

static inline void on_published(struct log_publish *pub, int res, uint64_t offset)
{
    struct sent *s = (struct sent *)pub;

    (void)offset;
    assert_int_equal(res, 0);
    s->acked = true;
    s->rig->n_acked++;
}

static inline struct sent *rig_publish(struct rig *r, uint32_t partition, struct bytes value)
{
    struct sent *s = xcalloc(1, sizeof *s);

    s->rig = r;
    buf_append_bytes(&s->value, value);
    s->pub.partition = partition;
    s->pub.value = buf_bytes(&s->value);
    s->pub.done = on_published;
    assert_int_equal(log_publish(r->producer, &s->pub), 0);
    XGROW(r->sent, r->cap_sent, r->n_sent + 1);
    r->sent[r->n_sent++] = s;
    return s;
}

/* What one profile says. */
struct upload {
    uint32_t partition;
    const char *service, *version, *type;
    int name;                           /* stack main;f<name> */
    int64_t value;
    int64_t end_ns;
};

struct emit_to {
    struct rig *rig;
    const struct upload *u;
};

static inline int on_emit(void *ctx, uint32_t part, uint32_t parts, struct bytes value)
{
    struct emit_to *to = ctx;

    (void)part;
    (void)parts;
    rig_publish(to->rig, to->u->partition, value);
    return 0;
}

static inline uint32_t named_frame(struct symbols *s, const char *name)
{
    struct function fn = {.name = symbols_string(s, bytes_str(name))};
    struct frame fr = {.function = symbols_function(s, &fn)};

    return symbols_frame(s, &fr);
}

/* low: everything before it is acknowledged. */
static inline void rig_send_low(struct rig *r, const struct upload *u, uint64_t low)
{
    struct symbols *sym = symbols_new();
    struct stacks *st = stacks_new();
    struct profile p;
    struct bytes type = bytes_str(u->type ? u->type : RIG_TYPE);
    struct sample_type sample_type = {symbols_string(sym, type), 0};
    struct record_header h = {
        .source = r->source,
        .seq = ++r->seq[u->partition],
        .low = low,
        .service = bytes_str(u->service),
        .start_ns = u->end_ns - NS_PER_S,
        .end_ns = u->end_ns,
    };
    struct emit_to to = {r, u};
    struct failure f;
    char name[16];

    snprintf(name, sizeof name, "f%d", u->name);
    tags_add(&h.series, BYTES_LIT("version"), bytes_str(u->version));
    tags_add(&h.instance, BYTES_LIT("host"), BYTES_LIT("a"));
    profile_init(&p, sym, st);
    profile_set_types(&p, &sample_type, 1);
    profile_add(&p,
                stacks_intern(st, (uint32_t[]){named_frame(sym, name), named_frame(sym, "main")},
                              2),
                0, &u->value);
    assert_int_equal(record_encode(r->encoder, &p, &type, &h, on_emit, &to, &f), 0);
    r->expected[u->name] += u->value;
    profile_deinit(&p);
    stacks_free(st);
    symbols_free(sym);
}

static inline void rig_send(struct rig *r, const struct upload *u)
{
    rig_send_low(r, u, 1);
}

/* The same bytes again, as a collector does that has not seen the acknowledgement. */
static inline void rig_resend(struct rig *r, size_t i)
{
    const struct sent *original = r->sent[i];

    r->n_resent++;
    rig_publish(r, original->pub.partition, buf_bytes(&original->value));
}

static inline void rig_acked(struct rig *r)
{
    RIG_UNTIL(r, r->n_acked == r->n_sent);
}

/* ---- reading ---------------------------------------------------------------------------------- */

struct copy {
    bool done;
    struct buf bytes;
    size_t n;
    struct bytes fields[8192], values[8192];
};

static inline void on_copy(void *ctx, int res, const struct store_reply *reply)
{
    struct copy *c = ctx;

    assert_int_equal(res, 0);
    assert_true(reply->n <= 8192);
    for (size_t i = 0; i < reply->n; i++) {
        if (reply->fields)
            buf_append_bytes(&c->bytes, reply->fields[i]);
        buf_append_bytes(&c->bytes, reply->values[i]);
    }
    for (size_t i = 0, at = 0; i < reply->n; i++) {
        c->fields[i] = bytes_of(c->bytes.data + at, reply->fields ? reply->fields[i].len : 0);
        at += c->fields[i].len;
        c->values[i] = bytes_of(reply->values[i].data ? c->bytes.data + at : NULL,
                                reply->values[i].len);
        at += c->values[i].len;
    }
    c->n = reply->n;
    c->done = true;
}

static inline struct copy *rig_hash(struct rig *r, struct key key)
{
    struct copy *c = xcalloc(1, sizeof *c);

    store_hash(r->store, key_bytes(&key), on_copy, c);
    RIG_UNTIL(r, c->done);
    return c;
}

static inline struct copy *rig_get(struct rig *r, struct key key)
{
    struct copy *c = xcalloc(1, sizeof *c);
    struct bytes name = key_bytes(&key);

    store_get(r->store, &name, 1, on_copy, c);
    RIG_UNTIL(r, c->done);
    return c;
}

static inline void copy_free(struct copy *c)
{
    buf_deinit(&c->bytes);
    free(c);
}

static inline int64_t text_number(struct bytes s)
{
    char text[32] = "";

    memcpy(text, s.data, s.len < 31 ? s.len : 31);
    return strtoll(text, NULL, 10);
}

static inline struct symbols *rig_symbols(struct rig *r, struct zcodec *z, struct key key)
{
    struct copy *c = rig_hash(r, key);
    struct symbols *s = symbols_new();

    for (int64_t last = 0;;) {
        size_t best = c->n;

        for (size_t i = 0; i < c->n; i++)
            if (text_number(c->fields[i]) > last &&
                (best == c->n || text_number(c->fields[i]) < text_number(c->fields[best])))
                best = i;
        if (best == c->n)
            break;
        last = text_number(c->fields[best]);
        assert_int_equal(symchunk_decode(z, s, c->values[best]), 0);
    }
    copy_free(c);
    return s;
}

static inline void add_self(struct rig *r, const struct tree *t, const struct symbols *sym)
{
    struct buf name = {0};

    for (uint32_t i = 1; i < t->n; i++) {
        buf_reset(&name);
        symbols_frame_name(sym, t->frame[i], &name);
        if (t->self[0][i] == 0)
            continue;
        assert_int_equal(name.data[0], 'f');
        r->got[text_number(bytes_of(name.data + 1, name.len - 1))] += t->self[0][i];
    }
    buf_deinit(&name);
}

static inline void read_blob(struct rig *r, uint32_t p, struct zcodec *z, const struct key *key,
                             const struct catalogue_entry *e)
{
    struct copy *blob = rig_get(r, *key);
    struct aggregate a = {0};
    struct symbols *sym;

    if (!blob->values[0].data)
        fail_msg("the index points at a blob that is not there: %s", key->text);
    assert_int_equal(aggregate_peek(&a, blob->values[0]), 0);
    sym = rig_symbols(r, z, key_symbols(p, service_id(e->tenant, e->service), a.generation));
    if (aggregate_decode(z, &a, blob->values[0], symbols_n_frames(sym)) != 0)
        fail_msg("a blob does not decode: %s", key->text);
    add_self(r, &a.tree, sym);
    r->got_profiles += a.profiles;
    aggregate_deinit(&a);
    symbols_free(sym);
    copy_free(blob);
}

static inline void read_series(struct rig *r, uint32_t p, struct zcodec *z, struct hash128 kid,
                               const struct catalogue_entry *e)
{
    struct copy *index = rig_hash(r, key_index(p, e->res_s, kid));

    for (size_t i = 0; i < index->n; i++) {
        int64_t t_s = text_number(index->fields[i]);
        struct index_entry entry;
        struct key key;

        assert_int_equal(index_entry_read(&entry, index->values[i]), 0);
        assert_true(t_s >= e->first_s && t_s + e->res_s <= e->last_s);
        key = key_blob(p, e->res_s, t_s, kid, entry.epoch, entry.seq);
        read_blob(r, p, z, &key, e);
    }
    copy_free(index);
}

/* Fills got and got_profiles from the store, as query would. */
static inline void rig_read(struct rig *r)
{
    struct zcodec *z = zcodec_new();

    memset(r->got, 0, sizeof r->got);
    r->got_profiles = 0;
    for (uint32_t p = 0; p < RIG_PARTITIONS; p++) {
        struct copy *cat = rig_hash(r, key_catalogue(p));

        for (size_t i = 0; i < cat->n; i++) {
            struct catalogue_entry e;
            struct hash128 kid;

            assert_true(hash128_unhex(cat->fields[i], &kid));
            assert_int_equal(catalogue_decode(&e, cat->values[i]), 0);
            read_series(r, p, z, kid, &e);
        }
        copy_free(cat);
    }
    zcodec_free(z);
}

static inline uint64_t rig_offset(struct rig *r, uint32_t p)
{
    struct copy *meta = rig_hash(r, key_meta(p));
    uint64_t offset = 0;

    for (size_t i = 0; i < meta->n; i++)
        if (bytes_equal(meta->fields[i], BYTES_LIT("offset")))
            offset = (uint64_t)text_number(meta->values[i]);
    copy_free(meta);
    return offset;
}

/* All that was published is in the store. */
static inline bool rig_is_flushed(struct rig *r)
{
    uint64_t sent[RIG_PARTITIONS] = {0};

    for (size_t i = 0; i < r->n_sent; i++)
        sent[r->sent[i]->pub.partition]++;
    for (uint32_t p = 0; p < RIG_PARTITIONS; p++)
        if (rig_offset(r, p) != sent[p])
            return false;
    return true;
}

static inline void rig_flushed(struct rig *r)
{
    int64_t by_ms = clock_mono_ms() + RIG_WAIT_MS;

    rig_acked(r);
    while (!rig_is_flushed(r)) {
        if (clock_mono_ms() > by_ms)
            fail_msg("not flushed in %d ms", RIG_WAIT_MS);
        rig_linger(r, 10);
    }
}

static inline void rig_assert_exact(struct rig *r)
{
    rig_read(r);
    for (int i = 0; i < RIG_NAMES; i++)
        if (r->got[i] != r->expected[i])
            fail_msg("f%d: stored %" PRId64 ", sent %" PRId64, i, r->got[i], r->expected[i]);
    assert_int_equal(r->got_profiles, r->n_sent - r->n_resent);
}

/* ---- the end ---------------------------------------------------------------------------------- */

static inline void rig_close(struct rig *r)
{
    bool producer_closed = false, store_closed = false;
    char command[96];

    for (int i = 0; i < RIG_AGGREGATORS; i++)
        if (r->workers[i].aggregator)
            rig_stop(r, i);
    log_producer_close(r->producer, on_flag, &producer_closed);
    store_close(r->store, on_flag, &store_closed);
    RIG_UNTIL(r, producer_closed && store_closed);
    log_local_close(r->log);
    lmdb_env_close(r->env);
    uv_close((uv_handle_t *)&r->bound, NULL);
    uv_run(&r->loop, UV_RUN_DEFAULT);
    if (uv_loop_close(&r->loop) != 0)
        fail_msg("the loop has open handles");
    for (size_t i = 0; i < r->n_sent; i++) {
        buf_deinit(&r->sent[i]->value);
        free(r->sent[i]);
    }
    free(r->sent);
    record_encoder_free(r->encoder);
    snprintf(command, sizeof command, "rm -rf -- '%s'", r->dir);
    assert_int_equal(system(command), 0);
}

#endif
