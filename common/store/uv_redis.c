/*
 * hiredis says which events it wants, libuv watches the socket for them. An error on the socket
 * comes from libuv as a status below 0 that also stops the poll: it is passed on as "readable and
 * writable", and hiredis finds the error itself when it tries.
 */
#include "store/uv_redis.h"

#include "base/xalloc.h"

#include <stdlib.h>

struct uv_redis {
    uv_poll_t poll;
    redisAsyncContext *ac; /* NULL: freed, perhaps by the handler that we just called */
    int events;
};

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct uv_redis *a = poll->data;

    if (status < 0)
        events = UV_READABLE | UV_WRITABLE;
    if (a->ac && (events & UV_READABLE))
        redisAsyncHandleRead(a->ac);
    if (a->ac && (events & UV_WRITABLE))
        redisAsyncHandleWrite(a->ac);
}

static void watch(struct uv_redis *a, int events)
{
    if (events == a->events)
        return;
    a->events = events;
    if (events)
        uv_poll_start(&a->poll, events, on_poll);
    else
        uv_poll_stop(&a->poll);
}

static void add_read(void *ctx)
{
    struct uv_redis *a = ctx;

    watch(a, a->events | UV_READABLE);
}

static void del_read(void *ctx)
{
    struct uv_redis *a = ctx;

    watch(a, a->events & ~UV_READABLE);
}

static void add_write(void *ctx)
{
    struct uv_redis *a = ctx;

    watch(a, a->events | UV_WRITABLE);
}

static void del_write(void *ctx)
{
    struct uv_redis *a = ctx;

    watch(a, a->events & ~UV_WRITABLE);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void cleanup(void *ctx)
{
    struct uv_redis *a = ctx;

    a->ac = NULL;
    uv_close((uv_handle_t *)&a->poll, on_closed);
}

int uv_redis_attach(redisAsyncContext *ac, uv_loop_t *loop)
{
    struct uv_redis *a = xcalloc(1, sizeof *a);
    int r = uv_poll_init(loop, &a->poll, ac->c.fd);

    if (r < 0) {
        free(a);
        return r;
    }
    a->ac = ac;
    a->poll.data = a;
    ac->ev.data = a;
    ac->ev.addRead = add_read;
    ac->ev.delRead = del_read;
    ac->ev.addWrite = add_write;
    ac->ev.delWrite = del_write;
    ac->ev.cleanup = cleanup;
    return 0;
}
