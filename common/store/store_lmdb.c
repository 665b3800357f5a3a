/*
 * The store on the local environment. Each call becomes one operation with an arena of its own that
 * holds the copied arguments and the reply. Reads run on libuv's pool; writes go to the
 * environment's writer and come back through the mailbox of the loop.
 *
 * Happy path: submit, run elsewhere, deliver on the loop, free. store_close() takes back what has
 * not begun and waits for the rest; every operation ends in deliver().
 */
#include "base/clock.h"
#include "base/mailbox.h"
#include "base/xalloc.h"
#include "store/keys.h"
#include "store/lmdb_env.h"
#include "store/store_impl.h"

#include <errno.h>
#include <stdlib.h>

_Static_assert(STORE_KEY_MAX + KV_KEY_EXTRA <= KV_KEY_MAX, "every key fits LMDB");

struct lmdb_store {
    struct store base;
    uv_loop_t *loop;
    struct lmdb_env *env;
    struct mailbox *mailbox;
    struct msg closing;        /* posted by store_close */
    struct list reads;         /* operations on the pool */
    size_t pending;            /* operations not yet delivered, and `closing` */
    void (*closed)(void *ctx); /* not NULL: closing */
    void *closed_ctx;
};

struct op {
    struct msg msg;
    struct list link; /* in reads */
    struct lmdb_job job;
    uv_work_t work;
    struct lmdb_store *store;
    struct arena arena;
    int (*read)(struct op *op, struct kv_txn *t);
    store_cb *cb; /* one of the two */
    store_meta_cb *meta_cb;
    void *ctx;
    int r;
    int invalid; /* -errno found when the arguments were copied */

    struct bytes key, field, value; /* arguments, by the kind of call */
    const struct bytes *names;
    const struct store_put *puts;
    struct store_commit commit;
    size_t n;
    uint64_t token;
    int64_t now_ms;

    struct bytes *fields, *values; /* reply */
    size_t reply_cap;
    struct store_reply reply;
    struct store_meta meta;
};

/* ---- the way of an operation ------------------------------------------------------------------
 */

static struct op *op_new(struct store *s, void *ctx)
{
    struct op *op = xcalloc(1, sizeof *op);

    op->store = container_of(s, struct lmdb_store, base);
    op->ctx = ctx;
    op->now_ms = clock_wall_ms();
    arena_init(&op->arena, 1024);
    op->store->pending++;
    return op;
}

static void finish_close(struct lmdb_store *s);

static void deliver(struct op *op, int r)
{
    struct lmdb_store *s = op->store;

    if (s->closed)
        r = -ECANCELED;
    if (op->meta_cb)
        op->meta_cb(op->ctx, r, r < 0 ? NULL : &op->meta);
    else
        op->cb(op->ctx, r, r < 0 ? NULL : &op->reply);
    arena_deinit(&op->arena);
    free(op);
    s->pending--;
}

static void check_key(struct op *op, struct bytes key, struct bytes field)
{
    if (!store_key_fits(key, field))
        op->invalid = -EINVAL;
}

static const struct bytes *copy_names(struct op *op, const struct bytes *names, size_t n)
{
    struct bytes *copy = arena_alloc(&op->arena, n * sizeof *copy);

    for (size_t i = 0; i < n; i++)
        copy[i] = arena_copy(&op->arena, names[i]);
    op->n = n;
    return copy;
}

/* ---- reads ------------------------------------------------------------------------------------
 */

static void on_read(uv_work_t *work)
{
    struct op *op = work->data;
    struct kv_txn *t;

    op->r = op->invalid ? op->invalid : kv_begin_read(lmdb_env_kv(op->store->env), &t);
    if (op->r < 0)
        return;
    op->r = op->read(op, t);
    kv_abort(t);
}

static void on_read_done(uv_work_t *work, int status)
{
    struct op *op = work->data;
    struct lmdb_store *s = op->store;

    list_remove(&op->link);
    deliver(op, status < 0 ? status : op->r);
    finish_close(s);
}

static void submit_read(struct op *op, int (*read)(struct op *, struct kv_txn *))
{
    op->read = read;
    op->work.data = op;
    list_append(&op->store->reads, &op->link);
    CHECK(uv_queue_work(op->store->loop, &op->work, on_read, on_read_done) == 0);
}

/* The value under `names[i]` goes to values[i]; r is what the lookup said. */
static int keep_value(struct op *op, size_t i, int r, struct bytes value)
{
    if (r == -ENOENT)
        op->values[i] = bytes_of(NULL, 0);
    else if (r == 0)
        op->values[i] = arena_copy(&op->arena, value);
    return r == -ENOENT ? 0 : r;
}

static void reply_values(struct op *op, size_t n)
{
    op->values = arena_calloc(&op->arena, n * sizeof *op->values);
    op->reply = (struct store_reply){.n = n, .values = op->values};
}

static int read_blobs(struct op *op, struct kv_txn *t)
{
    int r = 0;

    reply_values(op, op->n);
    for (size_t i = 0; i < op->n && r == 0; i++) {
        struct bytes value;

        r = kv_blob_get(t, op->names[i], op->now_ms, &value);
        r = keep_value(op, i, r, value);
    }
    return r;
}

static void lmdb_get(struct store *s, const struct bytes *keys, size_t n, store_cb *cb, void *ctx)
{
    struct op *op = op_new(s, ctx);

    op->cb = cb;
    op->names = copy_names(op, keys, n);
    for (size_t i = 0; i < n; i++)
        check_key(op, keys[i], bytes_of(NULL, 0));
    submit_read(op, read_blobs);
}

static int read_fields(struct op *op, struct kv_txn *t)
{
    int r = 0;

    reply_values(op, op->n);
    for (size_t i = 0; i < op->n && r == 0; i++) {
        struct bytes value;

        r = kv_hash_get(t, op->key, op->names[i], &value);
        r = keep_value(op, i, r, value);
    }
    return r;
}

static void lmdb_hash_get(struct store *s, struct bytes key, const struct bytes *fields, size_t n,
                          store_cb *cb, void *ctx)
{
    struct op *op = op_new(s, ctx);

    op->cb = cb;
    op->key = arena_copy(&op->arena, key);
    op->names = copy_names(op, fields, n);
    for (size_t i = 0; i < n; i++)
        check_key(op, key, fields[i]);
    submit_read(op, read_fields);
}

/* The arrays of a whole hash grow on the heap until their size is known. */
static int add_field(void *ctx, struct bytes field, struct bytes value)
{
    struct op *op = ctx;
    size_t cap = op->reply_cap;

    XGROW(op->fields, cap, op->n + 1);
    XGROW(op->values, op->reply_cap, op->n + 1);
    op->fields[op->n] = arena_copy(&op->arena, field);
    op->values[op->n++] = arena_copy(&op->arena, value);
    return 0;
}

static const struct bytes *to_arena(struct op *op, struct bytes *grown)
{
    size_t size = op->n * sizeof *grown;
    struct bytes *copy = arena_alloc(&op->arena, size);

    if (size > 0)
        memcpy(copy, grown, size);
    free(grown);
    return copy;
}

static int read_hash(struct op *op, struct kv_txn *t)
{
    int r = kv_hash_each(t, op->key, add_field, op);

    op->reply.n = op->n;
    op->reply.fields = to_arena(op, op->fields);
    op->reply.values = to_arena(op, op->values);
    return r;
}

static void lmdb_hash(struct store *s, struct bytes key, store_cb *cb, void *ctx)
{
    struct op *op = op_new(s, ctx);

    op->cb = cb;
    op->key = arena_copy(&op->arena, key);
    check_key(op, key, bytes_of(NULL, 0));
    submit_read(op, read_hash);
}

/* ---- writes -----------------------------------------------------------------------------------
 */

/* On the writer's thread, or on the loop's when the job was taken back. */
static void on_written(struct lmdb_job *job)
{
    struct op *op = container_of(job, struct op, job);

    CHECK(mailbox_post(op->store->mailbox, &op->msg) == 0);
}

static int refuse(struct lmdb_job *job, struct kv_txn *t)
{
    (void)t;
    job->r = 0;
    return 0;
}

static void submit_write(struct op *op, int (*run)(struct lmdb_job *, struct kv_txn *))
{
    op->job.run = op->invalid ? refuse : run;
    op->job.done = on_written;
    op->job.owner = op->store;
    op->job.bytes = op->arena.used_bytes;
    lmdb_env_submit(op->store->env, &op->job);
}

static int write_blobs(struct lmdb_job *job, struct kv_txn *t)
{
    struct op *op = container_of(job, struct op, job);
    int r = 0;

    for (size_t i = 0; i < op->n && r == 0; i++) {
        const struct store_put *put = &op->puts[i];

        r = kv_blob_put(t, put->key, put->value, op->now_ms + put->ttl_ms);
    }
    job->r = 0;
    return r;
}

/* A time to live may be "for ever" (INT64_MAX). */
static int64_t ttl_bounded(int64_t ttl_ms)
{
    const int64_t most_ms = INT64_C(1) << 52;

    return ttl_ms < most_ms ? ttl_ms : most_ms;
}

static void lmdb_put(struct store *s, const struct store_put *puts, size_t n, store_cb *cb,
                     void *ctx)
{
    struct op *op = op_new(s, ctx);
    struct store_put *copy = arena_alloc(&op->arena, n * sizeof *copy);

    for (size_t i = 0; i < n; i++) {
        check_key(op, puts[i].key, bytes_of(NULL, 0));
        if (puts[i].ttl_ms <= 0)
            op->invalid = -EINVAL;
        copy[i].key = arena_copy(&op->arena, puts[i].key);
        copy[i].value = arena_copy(&op->arena, puts[i].value);
        copy[i].ttl_ms = ttl_bounded(puts[i].ttl_ms);
    }
    op->cb = cb;
    op->puts = copy;
    op->n = n;
    submit_write(op, write_blobs);
}

static int write_agreed(struct lmdb_job *job, struct kv_txn *t)
{
    struct op *op = container_of(job, struct op, job);
    struct bytes there = op->value;
    int r = kv_hash_get(t, op->key, op->field, &there);

    if (r == -ENOENT)
        r = kv_hash_set(t, op->key, op->field, op->value);
    if (r < 0)
        return r;
    reply_values(op, 1);
    job->r = 0;
    return keep_value(op, 0, 0, there);
}

static void lmdb_agree(struct store *s, struct bytes key, struct bytes field, struct bytes value,
                       store_cb *cb, void *ctx)
{
    struct op *op = op_new(s, ctx);

    op->cb = cb;
    op->key = arena_copy(&op->arena, key);
    op->field = arena_copy(&op->arena, field);
    op->value = arena_copy(&op->arena, value);
    check_key(op, key, field);
    submit_write(op, write_agreed);
}

/* ---- meta, acquire, commit --------------------------------------------------------------------
 */

static int load_meta(struct kv_txn *t, struct bytes key, struct store_meta *meta)
{
    struct bytes values[META_FIELDS] = {{NULL, 0}};

    for (int i = 0; i < META_FIELDS; i++) {
        int r = kv_hash_get(t, key, meta_field_names[i], &values[i]);

        if (r < 0 && r != -ENOENT)
            return r;
    }
    return meta_read(meta, values);
}

static int save_meta_field(struct kv_txn *t, struct bytes key, int field, uint64_t v)
{
    struct decimal d = decimal_of(v);

    return kv_hash_set(t, key, meta_field_names[field], decimal_bytes(&d));
}

static int read_meta(struct op *op, struct kv_txn *t)
{
    return load_meta(t, op->key, &op->meta);
}

static void lmdb_meta(struct store *s, uint32_t p, store_meta_cb *cb, void *ctx)
{
    struct op *op = op_new(s, ctx);
    struct key key = key_meta(p);

    op->meta_cb = cb;
    op->key = arena_copy(&op->arena, key_bytes(&key));
    submit_read(op, read_meta);
}

static int write_acquired(struct lmdb_job *job, struct kv_txn *t)
{
    struct op *op = container_of(job, struct op, job);
    uint64_t now_ms = op->now_ms > 0 ? (uint64_t)op->now_ms : 0;
    int r = load_meta(t, op->key, &op->meta);

    if (r < 0)
        return r;
    op->meta.epoch = op->meta.epoch + 1 > now_ms ? op->meta.epoch + 1 : now_ms;
    op->meta.token = op->token;
    job->r = 0;
    r = save_meta_field(t, op->key, META_EPOCH, op->meta.epoch);
    return r < 0 ? r : save_meta_field(t, op->key, META_TOKEN, op->meta.token);
}

static void lmdb_acquire(struct store *s, uint32_t p, uint64_t token, int64_t now_ms,
                         store_meta_cb *cb, void *ctx)
{
    struct op *op = op_new(s, ctx);
    struct key key = key_meta(p);

    op->meta_cb = cb;
    op->key = arena_copy(&op->arena, key_bytes(&key));
    op->token = token;
    op->now_ms = now_ms;
    submit_write(op, write_acquired);
}

static int apply_op(struct kv_txn *t, const struct store_op *o, int64_t now_ms)
{
    switch (o->kind) {
    case STORE_OP_HSET:
        return kv_hash_set(t, o->key, o->field, o->value);
    case STORE_OP_HDEL:
        return kv_hash_del(t, o->key, o->field);
    case STORE_OP_EXPIRE:
        return kv_blob_expire(t, o->key, now_ms + o->ttl_ms);
    case STORE_OP_DEL:
        return kv_del(t, o->key);
    }
    return -EINVAL;
}

static int apply_commit(struct op *op, struct kv_txn *t)
{
    const struct store_commit *c = &op->commit;
    int r = 0;

    for (size_t i = 0; i < c->n_ops && r == 0; i++)
        r = apply_op(t, &c->ops[i], op->now_ms);
    if (r == 0)
        r = save_meta_field(t, op->key, META_SEQ, c->seq);
    if (r == 0)
        r = save_meta_field(t, op->key, META_OFFSET, c->offset);
    if (r == 0)
        r = save_meta_field(t, op->key, META_UPDATED, (uint64_t)c->now_ms);
    return r;
}

static int write_commit(struct lmdb_job *job, struct kv_txn *t)
{
    struct op *op = container_of(job, struct op, job);
    const struct store_commit *c = &op->commit;
    struct store_meta m;
    int r = load_meta(t, op->key, &m);

    if (r < 0)
        return r;
    job->r = 0;
    if (m.epoch == 0 || m.epoch != c->epoch || m.token != c->token)
        job->r = STORE_E_FENCED;
    else if (m.seq == c->seq)
        return 0; /* a repeat of what took effect */
    else if (m.seq != c->prev_seq)
        job->r = STORE_E_FENCED;
    return job->r ? 0 : apply_commit(op, t);
}

static struct store_op *copy_ops(struct op *op, const struct store_op *ops, size_t n)
{
    struct store_op *copy = arena_alloc(&op->arena, n * sizeof *copy);

    for (size_t i = 0; i < n; i++) {
        copy[i] = ops[i];
        copy[i].key = arena_copy(&op->arena, ops[i].key);
        copy[i].field = arena_copy(&op->arena, ops[i].field);
        copy[i].value = arena_copy(&op->arena, ops[i].value);
        copy[i].ttl_ms = ttl_bounded(ops[i].ttl_ms);
        check_key(op, ops[i].key, ops[i].field);
        if (ops[i].kind == STORE_OP_EXPIRE && ops[i].ttl_ms <= 0)
            op->invalid = -EINVAL;
    }
    return copy;
}

static void lmdb_commit(struct store *s, const struct store_commit *c, store_cb *cb, void *ctx)
{
    struct op *op = op_new(s, ctx);
    struct key key = key_meta(c->partition);

    op->cb = cb;
    op->key = arena_copy(&op->arena, key_bytes(&key));
    op->commit = *c;
    op->commit.ops = copy_ops(op, c->ops, c->n_ops);
    submit_write(op, write_commit);
}

/* ---- mail, open and close ---------------------------------------------------------------------
 */

static void deliver_write(struct op *op)
{
    int r = op->invalid ? op->invalid : op->job.r;

    if (op->job.run == write_commit)
        store_count_commit(r);
    deliver(op, r);
}

static void on_mail(struct mailbox *m, void *ctx)
{
    struct lmdb_store *s = ctx;
    struct list mail, *l;

    list_init(&mail);
    mailbox_drain(m, &mail);
    while ((l = list_pop(&mail))) {
        if (l == &s->closing.link)
            s->pending--;
        else
            deliver_write(container_of(l, struct op, msg.link));
    }
    finish_close(s);
}

static bool lmdb_ready(const struct store *s)
{
    return lmdb_env_ready(container_of(s, struct lmdb_store, base)->env);
}

static void finish_close(struct lmdb_store *s)
{
    if (!s->closed || s->pending > 0)
        return;
    mailbox_close(s->mailbox);
    s->closed(s->closed_ctx);
    free(s);
}

/* The mailbox brings `closing` back to us, so that closed never comes from within this call. */
static void lmdb_close(struct store *base, void (*closed)(void *ctx), void *ctx)
{
    struct lmdb_store *s = container_of(base, struct lmdb_store, base);

    CHECK(!s->closed);
    s->closed = closed;
    s->closed_ctx = ctx;
    list_for_each (l, &s->reads)
        uv_cancel((uv_req_t *)&container_of(l, struct op, link)->work);
    lmdb_env_cancel(s->env, s);
    s->pending++;
    CHECK(mailbox_post(s->mailbox, &s->closing) == 0);
}

static const struct store_ops lmdb_ops = {
    .get = lmdb_get,
    .hash = lmdb_hash,
    .hash_get = lmdb_hash_get,
    .put = lmdb_put,
    .agree = lmdb_agree,
    .acquire = lmdb_acquire,
    .meta = lmdb_meta,
    .commit = lmdb_commit,
    .ready = lmdb_ready,
    .close = lmdb_close,
};

struct store *store_lmdb_new(uv_loop_t *loop, struct lmdb_env *e)
{
    struct lmdb_store *s = xcalloc(1, sizeof *s);

    s->base.ops = &lmdb_ops;
    s->loop = loop;
    s->env = e;
    list_init(&s->reads);
    s->mailbox = mailbox_new(loop, SIZE_MAX, on_mail, s);
    return &s->base;
}
