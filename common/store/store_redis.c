/*
 * The store on Redis. Each call becomes one operation of one or several commands (a GET or SET per
 * key, so that a slow large value holds up nobody and a script touches one slot only), pipelined;
 * it ends when the last of them is done. Answers are copied into the operation and delivered from
 * an idle handle: never from within the call, never from within hiredis, in the order of
 * completion.
 *
 * Scripts go by EVAL with their text, not by EVALSHA: after every fail-over and restart the server
 * knows no hash, and a pipeline could not handle that half-way; the text is shorter than one
 * aggregate. Redis rolls nothing back, so a script checks everything before its first write.
 */
#include "store/store_redis.h"

#include "base/xalloc.h"
#include "store/keys.h"
#include "store/redis_client.h"
#include "store/store_impl.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdlib.h>

/* KEYS: meta. ARGV: token, now_ms. Numbers of this size are exact in a double; the rest stays text.
 */
static const char acquire_script[] =
    "local m = redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'offset', 'updated_ms')\n"
    "local epoch = math.max(tonumber(m[1] or '0') + 1, tonumber(ARGV[2]))\n"
    "local text = string.format('%.0f', epoch)\n"
    "redis.call('HSET', KEYS[1], 'epoch', text, 'token', ARGV[1])\n"
    "return {text, ARGV[1], m[2], m[3], m[4]}\n";

/*
 * KEYS: meta, then the key of each op. ARGV: epoch, token, prev_seq, seq, offset, now_ms, then
 * kind, a and b of each op: S(et) field value, D(elete) field, E(xpire) ttl, X (the key). 1: done,
 * 0: fenced.
 */
static const char commit_script[] =
    "local m = redis.call('HMGET', KEYS[1], 'epoch', 'token', 'seq')\n"
    "if m[1] ~= ARGV[1] or m[2] ~= ARGV[2] then return 0 end\n"
    "local seq = m[3] or '0'\n"
    "if seq == ARGV[4] then return 1 end\n" /* a repeat */
    "if seq ~= ARGV[3] then return 0 end\n"
    "local hashes = {}\n" /* a key of another type would stop us half-way: look first */
    "for i = 2, #KEYS do\n"
    "  local kind = ARGV[3 * i + 1]\n"
    "  if (kind == 'S' or kind == 'D') and not hashes[KEYS[i]] then\n"
    "    local type = redis.call('TYPE', KEYS[i]).ok\n"
    "    if type ~= 'hash' and type ~= 'none' then\n"
    "      return redis.error_reply('WRONGTYPE ' .. KEYS[i] .. ' is a ' .. type)\n"
    "    end\n"
    "    hashes[KEYS[i]] = true\n"
    "  end\n"
    "end\n"
    "for i = 2, #KEYS do\n"
    "  local kind, a, b = ARGV[3 * i + 1], ARGV[3 * i + 2], ARGV[3 * i + 3]\n"
    "  if kind == 'S' then redis.call('HSET', KEYS[i], a, b)\n"
    "  elseif kind == 'D' then redis.call('HDEL', KEYS[i], a)\n"
    "  elseif kind == 'E' then redis.call('PEXPIRE', KEYS[i], a)\n"
    "  else redis.call('UNLINK', KEYS[i]) end\n"
    "end\n"
    "redis.call('HSET', KEYS[1], 'seq', ARGV[4], 'offset', ARGV[5], 'updated_ms', ARGV[6])\n"
    "return 1\n";

enum { OP_ARGS = 3, COMMIT_ARGS = 6 };

#define REDIS_ROW(...) OPTION_ROW(struct store_redis_options, __VA_ARGS__)
const struct option_row store_redis_option_rows[] = {STORE_REDIS_OPTIONS(REDIS_ROW){0}};

struct redis_store {
    struct store base;
    struct redis_client *client;
    uv_idle_t idle;            /* active while done is not empty, or when closing */
    struct list done;          /* operations to deliver */
    void (*closed)(void *ctx); /* not NULL: closing */
    void *closed_ctx;
    bool client_closed;
};

struct op;

/* One command of an operation. */
struct part {
    struct redis_request req;
    struct op *op;
    size_t i;
};

/* What a reply says goes into the operation; returns its r. */
typedef int take_cb(struct op *op, size_t i, const redisReply *reply);

struct op {
    struct list link; /* in done */
    struct redis_store *store;
    struct arena arena; /* parts, arguments, replies */
    struct part *parts;
    size_t left;
    take_cb *take;
    store_cb *cb; /* one of the two */
    store_meta_cb *meta_cb;
    void *ctx;
    int r;
    struct bytes *fields, *values;
    struct store_reply reply;
    struct store_meta meta;
};

/* ---- the way of an operation ------------------------------------------------------------------
 */

static void on_idle(uv_idle_t *idle);

static void op_finish(struct op *op)
{
    list_append(&op->store->done, &op->link);
    uv_idle_start(&op->store->idle, on_idle);
}

static struct op *op_new(struct store *s, take_cb *take, size_t n_parts, void *ctx)
{
    struct op *op = xcalloc(1, sizeof *op);

    op->store = container_of(s, struct redis_store, base);
    op->take = take;
    op->ctx = ctx;
    op->left = n_parts;
    arena_init(&op->arena, 1024);
    op->parts = arena_calloc(&op->arena, n_parts * sizeof *op->parts);
    return op;
}

static void op_refuse(struct op *op, int r)
{
    op->r = r;
    op_finish(op);
}

static void on_part_done(struct redis_request *req, int r, const redisReply *reply)
{
    struct part *part = container_of(req, struct part, req);
    struct op *op = part->op;

    if (r == 0)
        r = op->take(op, part->i, reply);
    if (op->r == 0)
        op->r = r;
    if (--op->left == 0)
        op_finish(op);
}

/* The last send may end the operation: what it delivers comes from on_idle, so op stays valid. */
static void send_part(struct op *op, size_t i, size_t argc, const char **argv, const size_t *lens)
{
    struct part *part = &op->parts[i];

    *part = (struct part){.op = op, .i = i, .req.done = on_part_done};
    if (op->store->closed)
        on_part_done(&part->req, -ECANCELED, NULL);
    else
        redis_client_send(op->store->client, &part->req, argc, argv, lens);
}

static void send_args(struct op *op, size_t i, const struct bytes *args, size_t n)
{
    const char **argv = arena_alloc(&op->arena, n * sizeof *argv);
    size_t *lens = arena_alloc(&op->arena, n * sizeof *lens);

    for (size_t k = 0; k < n; k++) {
        argv[k] = args[k].data ? (const char *)args[k].data : "";
        lens[k] = args[k].len;
    }
    send_part(op, i, n, argv, lens);
}

static void finish_close(struct redis_store *s);
static take_cb take_commit;

static void deliver(struct op *op)
{
    int r = op->store->closed ? -ECANCELED : op->r;

    if (op->take == take_commit)
        store_count_commit(r);
    if (op->meta_cb)
        op->meta_cb(op->ctx, r, r < 0 ? NULL : &op->meta);
    else
        op->cb(op->ctx, r, r < 0 ? NULL : &op->reply);
    arena_deinit(&op->arena);
    free(op);
}

/* Only what is there now: a callback that is refused at once must not keep us here. */
static void on_idle(uv_idle_t *idle)
{
    struct redis_store *s = idle->data;
    struct list now, *l;

    list_init(&now);
    list_splice(&now, &s->done);
    while ((l = list_pop(&now)))
        deliver(container_of(l, struct op, link));
    if (!list_empty(&s->done))
        return;
    uv_idle_stop(idle);
    finish_close(s);
}

/* ---- replies ----------------------------------------------------------------------------------
 */

static int take_value(struct op *op, size_t i, const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_NIL)
        return 0;
    if (reply->type != REDIS_REPLY_STRING)
        return -EBADMSG;
    op->values[i] = arena_copy(&op->arena, bytes_of(reply->str, reply->len));
    return 0;
}

static void reply_values(struct op *op, size_t n)
{
    op->values = arena_calloc(&op->arena, n * sizeof *op->values);
    op->reply = (struct store_reply){.n = n, .values = op->values};
}

static int take_values(struct op *op, size_t i, const redisReply *reply)
{
    int r = 0;

    (void)i;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != op->reply.n)
        return -EBADMSG;
    for (size_t k = 0; k < reply->elements && r == 0; k++)
        r = take_value(op, k, reply->element[k]);
    return r;
}

static int take_hash(struct op *op, size_t i, const redisReply *reply)
{
    (void)i;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements % 2)
        return -EBADMSG;
    reply_values(op, reply->elements / 2);
    op->fields = arena_calloc(&op->arena, op->reply.n * sizeof *op->fields);
    op->reply.fields = op->fields;
    for (size_t k = 0; k < op->reply.n; k++) {
        const redisReply *field = reply->element[2 * k], *value = reply->element[2 * k + 1];

        if (field->type != REDIS_REPLY_STRING || value->type != REDIS_REPLY_STRING)
            return -EBADMSG;
        op->fields[k] = arena_copy(&op->arena, bytes_of(field->str, field->len));
        op->values[k] = arena_copy(&op->arena, bytes_of(value->str, value->len));
    }
    return 0;
}

static int take_status(struct op *op, size_t i, const redisReply *reply)
{
    (void)op, (void)i;
    return reply->type == REDIS_REPLY_STATUS ? 0 : -EBADMSG;
}

/* HSETNX says whether it set the field, HGET what the field has. */
static int take_agreed(struct op *op, size_t i, const redisReply *reply)
{
    if (i == 0)
        return reply->type == REDIS_REPLY_INTEGER ? 0 : -EBADMSG;
    return reply->type == REDIS_REPLY_STRING ? take_value(op, 0, reply) : -EBADMSG;
}

static int take_meta(struct op *op, size_t i, const redisReply *reply)
{
    int r = take_values(op, i, reply);

    return r < 0 ? r : meta_read(&op->meta, op->values);
}

static int take_commit(struct op *op, size_t i, const redisReply *reply)
{
    (void)op, (void)i;
    if (reply->type != REDIS_REPLY_INTEGER)
        return -EBADMSG;
    return reply->integer == 1 ? 0 : STORE_E_FENCED;
}

/* ---- calls ------------------------------------------------------------------------------------
 */

static bool keys_fit(const struct bytes *keys, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!store_key_fits(keys[i], bytes_of(NULL, 0)))
            return false;
    return true;
}

static void redis_get(struct store *s, const struct bytes *keys, size_t n, store_cb *cb, void *ctx)
{
    struct op *op = op_new(s, take_value, n, ctx);

    op->cb = cb;
    reply_values(op, n);
    if (n == 0 || !keys_fit(keys, n)) {
        op_refuse(op, n ? -EINVAL : 0);
        return;
    }
    for (size_t i = 0; i < n; i++)
        send_args(op, i, (struct bytes[]){BYTES_LIT("GET"), keys[i]}, 2);
}

static void redis_hash(struct store *s, struct bytes key, store_cb *cb, void *ctx)
{
    struct op *op = op_new(s, take_hash, 1, ctx);

    op->cb = cb;
    if (!keys_fit(&key, 1))
        op_refuse(op, -EINVAL);
    else
        send_args(op, 0, (struct bytes[]){BYTES_LIT("HGETALL"), key}, 2);
}

static bool fields_fit(struct bytes key, const struct bytes *fields, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!store_key_fits(key, fields[i]))
            return false;
    return true;
}

static void redis_hash_get(struct store *s, struct bytes key, const struct bytes *fields, size_t n,
                           store_cb *cb, void *ctx)
{
    struct op *op = op_new(s, take_values, 1, ctx);
    struct bytes *args = arena_alloc(&op->arena, (n + 2) * sizeof *args);

    op->cb = cb;
    reply_values(op, n);
    if (n == 0 || !fields_fit(key, fields, n)) {
        op_refuse(op, n ? -EINVAL : 0);
        return;
    }
    args[0] = BYTES_LIT("HMGET");
    args[1] = key;
    memcpy(args + 2, fields, n * sizeof *fields);
    send_args(op, 0, args, n + 2);
}

static bool puts_fit(const struct store_put *puts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (puts[i].ttl_ms <= 0 || !store_key_fits(puts[i].key, bytes_of(NULL, 0)))
            return false;
    return true;
}

/* Redis refuses times beyond what it can add to its clock. */
static struct decimal ttl_of(int64_t ttl_ms)
{
    const int64_t most_ms = INT64_C(1) << 52;

    return decimal_of((uint64_t)(ttl_ms < most_ms ? ttl_ms : most_ms));
}

static void redis_put(struct store *s, const struct store_put *puts, size_t n, store_cb *cb,
                      void *ctx)
{
    struct op *op = op_new(s, take_status, n, ctx);

    op->cb = cb;
    if (n == 0 || !puts_fit(puts, n)) {
        op_refuse(op, n ? -EINVAL : 0);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        struct decimal ttl = ttl_of(puts[i].ttl_ms);
        struct bytes args[] = {BYTES_LIT("SET"), puts[i].key, puts[i].value, BYTES_LIT("PX"),
                               decimal_bytes(&ttl)};

        send_args(op, i, args, 5);
    }
}

static void redis_agree(struct store *s, struct bytes key, struct bytes field, struct bytes value,
                        store_cb *cb, void *ctx)
{
    struct op *op = op_new(s, take_agreed, 2, ctx);

    op->cb = cb;
    reply_values(op, 1);
    if (!store_key_fits(key, field)) {
        op_refuse(op, -EINVAL);
        return;
    }
    send_args(op, 0, (struct bytes[]){BYTES_LIT("HSETNX"), key, field, value}, 4);
    send_args(op, 1, (struct bytes[]){BYTES_LIT("HGET"), key, field}, 3);
}

static void redis_acquire(struct store *s, uint32_t p, uint64_t token, int64_t now_ms,
                          store_meta_cb *cb, void *ctx)
{
    struct op *op = op_new(s, take_meta, 1, ctx);
    struct key key = key_meta(p);
    struct decimal t = decimal_of(token), now = decimal_of(now_ms > 0 ? (uint64_t)now_ms : 0);
    struct bytes args[] = {BYTES_LIT("EVAL"), bytes_str(acquire_script), BYTES_LIT("1"),
                           key_bytes(&key),   decimal_bytes(&t),         decimal_bytes(&now)};

    op->meta_cb = cb;
    reply_values(op, META_FIELDS);
    send_args(op, 0, args, 6);
}

static void redis_meta(struct store *s, uint32_t p, store_meta_cb *cb, void *ctx)
{
    struct op *op = op_new(s, take_meta, 1, ctx);
    struct key key = key_meta(p);
    struct bytes args[2 + META_FIELDS] = {BYTES_LIT("HMGET"), key_bytes(&key)};

    op->meta_cb = cb;
    reply_values(op, META_FIELDS);
    memcpy(args + 2, meta_field_names, sizeof meta_field_names);
    send_args(op, 0, args, 2 + META_FIELDS);
}

/* ---- commit -----------------------------------------------------------------------------------
 */

static bool ops_fit(const struct store_op *ops, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!store_key_fits(ops[i].key, ops[i].field))
            return false;
        if (ops[i].kind == STORE_OP_EXPIRE && ops[i].ttl_ms <= 0)
            return false;
    }
    return true;
}

static struct bytes arena_decimal(struct arena *a, uint64_t v)
{
    struct decimal d = decimal_of(v);

    return arena_copy(a, decimal_bytes(&d));
}

/* kind, a and b as the script has them. */
static void write_op(struct op *op, const struct store_op *o, struct bytes args[OP_ARGS])
{
    struct decimal ttl;

    args[1] = o->field;
    args[2] = bytes_of("", 0);
    switch (o->kind) {
    case STORE_OP_HSET:
        args[0] = BYTES_LIT("S");
        args[2] = o->value;
        return;
    case STORE_OP_HDEL:
        args[0] = BYTES_LIT("D");
        return;
    case STORE_OP_EXPIRE:
        ttl = ttl_of(o->ttl_ms);
        args[0] = BYTES_LIT("E");
        args[1] = arena_copy(&op->arena, decimal_bytes(&ttl));
        return;
    case STORE_OP_DEL:
        args[0] = BYTES_LIT("X");
        return;
    }
}

static void send_commit(struct op *op, const struct store_commit *c, struct bytes meta_key)
{
    size_t n = 4 + c->n_ops + COMMIT_ARGS + c->n_ops * OP_ARGS, at = 0;
    struct bytes *args = arena_alloc(&op->arena, n * sizeof *args);
    const uint64_t numbers[COMMIT_ARGS] = {c->epoch, c->token,  c->prev_seq,
                                           c->seq,   c->offset, (uint64_t)c->now_ms};

    args[at++] = BYTES_LIT("EVAL");
    args[at++] = bytes_str(commit_script);
    args[at++] = arena_decimal(&op->arena, 1 + c->n_ops);
    args[at++] = meta_key;
    for (size_t i = 0; i < c->n_ops; i++)
        args[at++] = c->ops[i].key;
    for (size_t i = 0; i < COMMIT_ARGS; i++)
        args[at++] = arena_decimal(&op->arena, numbers[i]);
    for (size_t i = 0; i < c->n_ops; i++, at += OP_ARGS)
        write_op(op, &c->ops[i], args + at);
    CHECK(at == n);
    send_args(op, 0, args, n);
}

static void redis_commit(struct store *s, const struct store_commit *c, store_cb *cb, void *ctx)
{
    struct op *op = op_new(s, take_commit, 1, ctx);
    struct key key = key_meta(c->partition);

    op->cb = cb;
    if (ops_fit(c->ops, c->n_ops))
        send_commit(op, c, key_bytes(&key));
    else
        op_refuse(op, -EINVAL);
}

/* ---- open and close ---------------------------------------------------------------------------
 */

static bool redis_ready(const struct store *s)
{
    return redis_client_up(container_of(s, struct redis_store, base)->client);
}

static void on_idle_closed(uv_handle_t *handle)
{
    struct redis_store *s = handle->data;

    s->closed(s->closed_ctx);
    free(s);
}

static void finish_close(struct redis_store *s)
{
    if (s->client_closed && list_empty(&s->done) && !uv_is_closing((uv_handle_t *)&s->idle))
        uv_close((uv_handle_t *)&s->idle, on_idle_closed);
}

static void on_client_closed(void *ctx)
{
    struct redis_store *s = ctx;

    s->client_closed = true;
    if (!uv_is_active((uv_handle_t *)&s->idle))
        finish_close(s);
}

static void redis_close(struct store *base, void (*closed)(void *ctx), void *ctx)
{
    struct redis_store *s = container_of(base, struct redis_store, base);

    CHECK(!s->closed);
    s->closed = closed;
    s->closed_ctx = ctx;
    redis_client_close(s->client, on_client_closed, s);
}

static const struct store_ops redis_ops = {
    .get = redis_get,
    .hash = redis_hash,
    .hash_get = redis_hash_get,
    .put = redis_put,
    .agree = redis_agree,
    .acquire = redis_acquire,
    .meta = redis_meta,
    .commit = redis_commit,
    .ready = redis_ready,
    .close = redis_close,
};

void store_redis_check(void *ctx, struct options *options)
{
    const struct store_redis_options *o = ctx;
    struct redis_url url;
    struct failure f;

    if (redis_url_parse(o->redis_url, &url, &f))
        options_refuse(options, &f);
    else
        redis_url_deinit(&url);
}

int store_redis_new(uv_loop_t *loop, const struct store_redis_options *o, struct store **ret,
                    struct failure *f)
{
    struct redis_store *s;
    struct redis_url url;

    if (redis_url_parse(o->redis_url, &url, f) != 0)
        return FAILURE;
    store_metrics_register();
    s = xcalloc(1, sizeof *s);
    s->base.ops = &redis_ops;
    list_init(&s->done);
    CHECK(uv_idle_init(loop, &s->idle) == 0);
    s->idle.data = s;
    s->client = redis_client_new(loop, &url, o->redis_connect_timeout, o->redis_command_timeout);
    *ret = &s->base;
    return 0;
}
