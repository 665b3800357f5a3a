/*
 * hiredis' asynchronous context on a libuv loop. The adapter that hiredis 0.14 brings returns
 * silently when the poll reports an error, so that a refused connection is never heard of.
 */
#ifndef HEARTH_STORE_UV_REDIS_H
#define HEARTH_STORE_UV_REDIS_H

#include <hiredis/async.h>
#include <uv.h>

/* Right after redisAsyncConnect*(). The handle is closed and freed when hiredis frees ac. 0 or
 * -errno. */
int uv_redis_attach(redisAsyncContext *ac, uv_loop_t *loop);

#endif
