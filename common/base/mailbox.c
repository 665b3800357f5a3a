/*
 * A list under a mutex and one uv_async_t. Only the post that finds the box empty wakes the loop:
 * the receiver takes everything at once, so a box that is not empty has a wake-up on its way
 * already. The wake-up is sent under the lock, which orders it before a close: no post can touch a
 * closing handle.
 */
#include "base/mailbox.h"

#include "base/err.h"
#include "base/xalloc.h"

#include <stdlib.h>

struct mailbox {
    uv_async_t async;
    uv_mutex_t lock;
    struct list queue; /* these three under the lock */
    size_t n_msgs;
    bool closed;
    size_t max_msgs;
    mailbox_cb *on_mail;
    void *ctx;
};

static void on_async(uv_async_t *async)
{
    struct mailbox *m = async->data;

    m->on_mail(m, m->ctx);
}

struct mailbox *mailbox_new(uv_loop_t *loop, size_t max_msgs, mailbox_cb *on_mail, void *ctx)
{
    struct mailbox *m = xcalloc(1, sizeof *m);

    list_init(&m->queue);
    m->max_msgs = max_msgs;
    m->on_mail = on_mail;
    m->ctx = ctx;
    m->async.data = m;
    CHECK(uv_mutex_init(&m->lock) == 0);
    CHECK(uv_async_init(loop, &m->async, on_async) == 0);
    return m;
}

static void on_closed(uv_handle_t *handle)
{
    struct mailbox *m = handle->data;

    uv_mutex_destroy(&m->lock);
    free(m);
}

void mailbox_close(struct mailbox *m)
{
    uv_mutex_lock(&m->lock);
    CHECK(!m->closed && list_empty(&m->queue));
    m->closed = true;
    uv_mutex_unlock(&m->lock);
    uv_close((uv_handle_t *)&m->async, on_closed);
}

static int post_locked(struct mailbox *m, struct msg *msg)
{
    if (m->closed)
        return MAILBOX_E_CLOSED;
    if (m->n_msgs >= m->max_msgs)
        return MAILBOX_E_FULL;
    list_append(&m->queue, &msg->link);
    if (m->n_msgs++ == 0)
        uv_async_send(&m->async);
    return 0;
}

int mailbox_post(struct mailbox *m, struct msg *msg)
{
    int r;

    uv_mutex_lock(&m->lock);
    r = post_locked(m, msg);
    uv_mutex_unlock(&m->lock);
    return r;
}

void mailbox_drain(struct mailbox *m, struct list *out)
{
    uv_mutex_lock(&m->lock);
    list_splice(out, &m->queue);
    m->n_msgs = 0;
    uv_mutex_unlock(&m->lock);
}
