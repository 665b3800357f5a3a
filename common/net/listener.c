#include "net/listener.h"

#include "base/logger.h"
#include "base/xalloc.h"
#include "net/http_address.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { BACKLOG = 512 };

void listeners_init(struct listeners *ls, uv_loop_t *loop, uint32_t conns_max, void *ctx)
{
    memset(ls, 0, sizeof *ls);
    ls->loop = loop;
    ls->conns_max = conns_max;
    ls->unix_mode = 0666;
    ls->ctx = ctx;
    list_init(&ls->list);
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct listener *l = handle->data;
    struct listeners *ls = l->set;

    free(l);
    ls->n_open--;
    if (ls->on_closed)
        ls->on_closed(ls->ctx);
}

static void listener_close(struct listener *l)
{
    list_remove(&l->link);
    uv_close(&l->u.handle, on_listener_closed);
}

void listeners_close(struct listeners *ls)
{
    list_for_each_safe (it, &ls->list)
        listener_close(container_of(it, struct listener, link));
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct listener *l = stream->data;

    if (status < 0)
        LOG(LOG_WARN, "accept_failed", F_STR("error", uv_strerror(status)));
    else if (l->set->n_conns >= l->set->conns_max)
        l->waiting = true;
    else
        l->set->on_connection(l);
}

int listener_accept(struct listener *l, union net_stream *conn)
{
    int r;

    if (l->is_pipe)
        uv_pipe_init(l->set->loop, &conn->pipe, 0);
    else
        uv_tcp_init(l->set->loop, &conn->tcp);
    l->set->n_conns++;
    r = uv_accept(&l->u.stream, &conn->stream);
    if (!r && !l->is_pipe)
        uv_tcp_nodelay(&conn->tcp, 1);
    return r;
}

void listeners_conn_gone(struct listeners *ls)
{
    ls->n_conns--;
    list_for_each (it, &ls->list) {
        struct listener *l = container_of(it, struct listener, link);

        if (ls->n_conns >= ls->conns_max)
            return;
        if (l->waiting) {
            l->waiting = false;
            ls->on_connection(l);
        }
    }
}

static struct listener *listener_new(struct listeners *ls, bool is_pipe)
{
    struct listener *l = xcalloc(1, sizeof *l);

    l->set = ls;
    l->is_pipe = is_pipe;
    if (is_pipe)
        uv_pipe_init(ls->loop, &l->u.pipe, 0);
    else
        uv_tcp_init(ls->loop, &l->u.tcp);
    l->u.handle.data = l;
    list_append(&ls->list, &l->link);
    ls->n_open++;
    return l;
}

static int listen_unix(struct listener *l, const char *path)
{
    int r = uv_pipe_bind(&l->u.pipe, path);

    if (!r)
        r = uv_listen(&l->u.stream, BACKLOG, on_connection);
    if (!r && chmod(path, l->set->unix_mode))
        LOG(LOG_WARN, "socket_mode_failed", F_STR("path", path), F_STR("error", strerror(errno)));
    return r;
}

static int listen_tcp(struct listener *l, const struct sockaddr *address)
{
    int r = uv_tcp_bind(&l->u.tcp, address, 0);

    return r ? r : uv_listen(&l->u.stream, BACKLOG, on_connection);
}

static int bound_port(const struct listener *l)
{
    struct sockaddr_storage ss;
    int len = sizeof ss;

    if (l->is_pipe || uv_tcp_getsockname(&l->u.tcp, (struct sockaddr *)&ss, &len))
        return 0;
    return ss.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&ss)->sin6_port)
                                    : ntohs(((struct sockaddr_in *)&ss)->sin_port);
}

int listeners_open(struct listeners *ls, const char *address, const char *setting, int *ret_port,
                   struct failure *f)
{
    struct http_address a;
    struct listener *l;
    int r;

    if (http_address_parse(&a, address, setting, f) || http_address_prepare(&a, setting, f))
        return FAILURE;
    l = listener_new(ls, a.is_unix);
    r = a.is_unix ? listen_unix(l, a.path) : listen_tcp(l, (const struct sockaddr *)&a.ss);
    if (r) {
        listener_close(l);
        return http_address_fail(&a, setting, r, f);
    }
    if (ret_port)
        *ret_port = bound_port(l);
    return 0;
}
