/*
 * A connection to Redis that comes back by itself: name lookup off the loop, connect timeout, user
 * and database, a deadline on answers, reconnection with backoff, and a bound on what is under way.
 *
 * Every request is done once: with a reply, or with r < 0 and none. While a connection is being
 * built requests wait for it; while there is none they fail at once. done may be called from within
 * redis_client_send; it must not send or close.
 */
#ifndef HEARTH_STORE_REDIS_CLIENT_H
#define HEARTH_STORE_REDIS_CLIENT_H

#include "base/list.h"
#include "store/redis_url.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct redisReply;
struct redis_client;

struct redis_request {
    struct list link;
    char *cmd; /* formatted by hiredis, freed by the client */
    size_t len;
    /* r: 0 with a reply that is no error and is valid during the call, or -errno as in store.h. */
    void (*done)(struct redis_request *req, int r, const struct redisReply *reply);
};

/* Takes url over. */
struct redis_client *redis_client_new(uv_loop_t *loop, struct redis_url *url,
                                      int64_t connect_timeout_ms, int64_t command_timeout_ms);
/* cmd is formatted from argv; the request is the client's until done. */
void redis_client_send(struct redis_client *c, struct redis_request *req, size_t argc,
                       const char **argv, const size_t *lens);
bool redis_client_up(const struct redis_client *c);
/* Ends all requests with -ECANCELED before it returns; closed comes later. */
void redis_client_close(struct redis_client *c, void (*closed)(void *ctx), void *ctx);

#endif
