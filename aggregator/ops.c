#include "aggregator/ops.h"

#include "base/xalloc.h"

#include <stdlib.h>

void ops_init(struct ops *o)
{
    *o = (struct ops){0};
    arena_init(&o->arena, 64 << 10);
}

void ops_deinit(struct ops *o)
{
    free(o->at);
    arena_deinit(&o->arena);
}

static struct store_op *add(struct ops *o, enum store_op_kind kind, const struct key *key)
{
    struct store_op *op;

    XGROW(o->at, o->cap, o->n + 1);
    op = &o->at[o->n++];
    *op = (struct store_op){.kind = kind, .key = arena_copy(&o->arena, key_bytes(key))};
    return op;
}

void ops_hset(struct ops *o, struct key key, struct bytes field, struct bytes value)
{
    struct store_op *op = add(o, STORE_OP_HSET, &key);

    op->field = arena_copy(&o->arena, field);
    op->value = arena_copy(&o->arena, value);
}

void ops_hdel(struct ops *o, struct key key, struct bytes field)
{
    add(o, STORE_OP_HDEL, &key)->field = arena_copy(&o->arena, field);
}

void ops_expire(struct ops *o, struct key key, int64_t ttl_ms)
{
    add(o, STORE_OP_EXPIRE, &key)->ttl_ms = ttl_ms;
}

void ops_del(struct ops *o, struct key key)
{
    add(o, STORE_OP_DEL, &key);
}
