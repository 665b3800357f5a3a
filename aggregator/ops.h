/* Ops: the list of store operations of one commit, with the bytes they speak of. */
#ifndef HEARTH_AGGREGATOR_OPS_H
#define HEARTH_AGGREGATOR_OPS_H

#include "base/arena.h"
#include "store/keys.h"
#include "store/store.h"

struct ops {
    struct store_op *at;
    size_t n, cap;
    struct arena arena;
};

void ops_init(struct ops *o);
void ops_deinit(struct ops *o);
/* Everything is copied. */
void ops_hset(struct ops *o, struct key key, struct bytes field, struct bytes value);
void ops_hdel(struct ops *o, struct key key, struct bytes field);
void ops_expire(struct ops *o, struct key key, int64_t ttl_ms);
void ops_del(struct ops *o, struct key key);

#endif
