/*
 * The listeners of one server, TCP and unix sockets, and how many connections they may have taken.
 *
 * At connections_max a new connection is left standing in its listener: libuv then stops accepting
 * there until we take it, so the kernel's backlog is the queue and nothing is refused that could be
 * served a moment later. One loop thread.
 */
#ifndef HEARTH_NET_LISTENER_H
#define HEARTH_NET_LISTENER_H

#include "base/err.h"
#include "base/list.h"

#include <sys/types.h>
#include <uv.h>

/* A handle of either kind. */
union net_stream {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
};

struct listener {
    union net_stream u;
    struct listeners *set;
    struct list link;
    bool is_pipe, waiting; /* waiting: a connection stands there that is not accepted yet */
};

struct listeners {
    uv_loop_t *loop;
    struct list list;
    uint32_t n_open; /* handles that are not closed yet */
    uint32_t n_conns, conns_max;
    mode_t unix_mode;
    void (*on_connection)(struct listener *l); /* must listener_accept */
    void (*on_closed)(void *ctx);              /* each time one has closed */
    void *ctx;
};

void listeners_init(struct listeners *ls, uv_loop_t *loop, uint32_t conns_max, void *ctx);
/* As http_listen. */
int listeners_open(struct listeners *ls, const char *address, const char *setting, int *ret_port,
                   struct failure *f);
/* Begins to close them all; on_closed follows for each. */
void listeners_close(struct listeners *ls);

/* Makes conn a handle of the listener's kind and takes the connection, which counts from then on,
 * even when this fails: the caller closes the handle, then says listeners_conn_gone. 0 or -errno.
 */
int listener_accept(struct listener *l, union net_stream *conn);
void listeners_conn_gone(struct listeners *ls);

#endif
