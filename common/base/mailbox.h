/*
 * Mailbox: the way between threads. Any thread posts; the thread of the loop drains everything at
 * once (wake-ups coalesce) under a short lock, then dispatches unlocked. Bounded by messages.
 * The mailbox owns a message from a successful post until drain hands it to the receiver.
 */
#ifndef HEARTH_BASE_MAILBOX_H
#define HEARTH_BASE_MAILBOX_H

#include "base/list.h"

#include <uv.h>

struct mailbox;
struct msg {
    struct list link;
};

enum { MAILBOX_E_FULL = 1, MAILBOX_E_CLOSED = 2 };

typedef void mailbox_cb(struct mailbox *m, void *ctx);

/* on_mail runs on the loop's thread when there may be messages: drain until empty. */
struct mailbox *mailbox_new(uv_loop_t *loop, size_t max_msgs, mailbox_cb *on_mail, void *ctx);
/* Loop thread only. Refuses further posts, then frees after the handle has closed. What is still
 * queued must have been drained; posters must have stopped. */
void mailbox_close(struct mailbox *m);
/* Any thread. 0: the mailbox owns msg. Otherwise the caller still does and must decide. */
int mailbox_post(struct mailbox *m, struct msg *msg);
/* Loop thread only: moves all that is queued to the end of out, oldest first. */
void mailbox_drain(struct mailbox *m, struct list *out);

#endif
