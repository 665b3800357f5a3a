/* Options of the Redis store; store_redis_new is in store.h. */
#ifndef HEARTH_STORE_STORE_REDIS_H
#define HEARTH_STORE_STORE_REDIS_H

#include "base/options.h"
#include "store/store.h"

#define STORE_REDIS_OPTIONS(X)                                                                     \
    X(STRING, redis_url, "redis://127.0.0.1:6379", 0, 0, NULL, "redis://[user:password@]host[:port][/db] or unix://[user:password@]/path") \
    X(DURATION, redis_connect_timeout, "2s", 50, 60000, NULL, "give up an attempt to connect to Redis after this long") \
    X(DURATION, redis_command_timeout, "10s", 50, 600000, NULL, "drop a connection on which Redis has not answered for this long")

struct store_redis_options {
    STORE_REDIS_OPTIONS(OPTION_FIELD)
};
extern const struct option_row store_redis_option_rows[];
/* For options_check; ctx: the struct store_redis_options. */
void store_redis_check(void *ctx, struct options *options);

#endif
