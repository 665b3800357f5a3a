/*
 * The server: limits, routes, listeners, and its own end.
 *
 * At connections_max a new connection is left standing in its listener: libuv then stops accepting
 * there until we take it, so the kernel's backlog is the queue and nothing is refused that could be
 * served a moment later.
 *
 * The end: listeners close at once, idle connections too; running requests get their grace, then
 * their connections are closed under them. `closed` comes when no handle is left. Requests whose
 * handler has not answered yet outlive that; the last one frees the server.
 */
#include "net/http_int.h"

#include "base/logger.h"
#include "base/xalloc.h"
#include "net/http_address.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { BACKLOG = 512 };

const struct http_limits http_limits_default = {
    .header_bytes_max = 16 << 10,
    .body_bytes_max = 32 << 20,
    .budget_bytes_max = 64 << 20,
    .connections_max = 1024,
    .header_timeout_ms = 10000,
    .body_timeout_ms = 30000,
    .idle_timeout_ms = 120000, /* agents send once a minute and keep the connection */
};

struct metric http_metrics[M_HTTP_N] = {
    [M_HTTP_CONNECTIONS] = METRIC_GAUGE("hearth_http_connections", "open HTTP connections"),
    [M_HTTP_ACCEPTED] =
        METRIC_COUNTER("hearth_http_connections_accepted_total", "HTTP connections accepted"),
    [M_HTTP_RESPONSES] = METRIC_COUNTER_BY("hearth_http_responses_total", "answers by status class",
                                           "class", "2xx|3xx|4xx|5xx"),
    [M_HTTP_REFUSED] = METRIC_COUNTER_BY(
        "hearth_http_refused_total", "requests refused before a handler saw them", "reason",
        "malformed|header_too_large|body_too_large|overload|timeout|not_found|method|unsupported"),
    [M_HTTP_READ_BYTES] = METRIC_COUNTER("hearth_http_read_bytes_total", "bytes read from sockets"),
    [M_HTTP_BODY_BYTES] = METRIC_COUNTER("hearth_http_body_bytes_total",
                                         "bytes of request bodies that reached a handler"),
};

struct http_server *http_server_new(uv_loop_t *loop, const struct http_limits *limits)
{
    struct http_server *s = xcalloc(1, sizeof *s);

    s->loop = loop;
    s->limits = *limits;
    s->unix_mode = 0666;
    list_init(&s->listeners);
    list_init(&s->conns);
    uv_timer_init(loop, &s->grace);
    s->grace.data = s;
    s->n_handles = 1;
    metrics_register(http_metrics, M_HTTP_N);
    return s;
}

void http_unix_mode(struct http_server *s, mode_t mode)
{
    s->unix_mode = mode;
}

void http_route(struct http_server *s, const char *methods, const char *path, http_handler *h,
                void *ctx)
{
    bool suffix = path[0] == '*';
    size_t len = strlen(path += suffix);
    bool prefix = len && path[len - 1] == '*';

    XGROW(s->routes, s->cap_routes, s->n_routes + 1);
    s->routes[s->n_routes++] =
        (struct http_route){methods, path, len - prefix, prefix, suffix, h, ctx};
}

static bool route_fits(const struct http_route *r, struct bytes path)
{
    size_t more = path.len - r->path_len;

    if (path.len < r->path_len || (more && !r->prefix && !r->suffix))
        return false;
    return memcmp(path.data + (r->suffix ? more : 0), r->path, r->path_len) == 0;
}

/* An exact path before all others, then the longest. */
static size_t route_weight(const struct http_route *r)
{
    return r->prefix || r->suffix ? r->path_len : SIZE_MAX;
}

/* words: "GET|POST" */
static bool has_word(const char *words, struct bytes word)
{
    while (word.len) {
        size_t n = strcspn(words, "|");

        if (bytes_equal(bytes_of(words, n), word))
            return true;
        if (!words[n])
            return false;
        words += n + 1;
    }
    return false;
}

static bool serves(const struct http_route *r, struct bytes method)
{
    return has_word(r->methods, method) ||
           (bytes_equal(method, BYTES_LIT("HEAD")) && has_word(r->methods, BYTES_LIT("GET")));
}

/* ret_allow gets the methods of a path that is known but not for this method. */
const struct http_route *http_route_find(const struct http_server *s, struct bytes method,
                                         struct bytes path, struct buf *ret_allow)
{
    const struct http_route *found = NULL;
    size_t best = 0;

    for (size_t i = 0; i < s->n_routes; i++)
        if (route_fits(&s->routes[i], path) && route_weight(&s->routes[i]) > best)
            best = route_weight(&s->routes[i]);
    for (size_t i = 0; i < s->n_routes && !found; i++) {
        const struct http_route *r = &s->routes[i];

        if (!route_fits(r, path) || route_weight(r) != best)
            continue;
        if (serves(r, method))
            found = r;
        else
            buf_printf(ret_allow, "%s%s", ret_allow->len ? "|" : "", r->methods);
    }
    return found;
}

static void on_grace_closed(uv_handle_t *handle)
{
    struct http_server *s = handle->data;

    s->n_handles--;
    s->closed_told = true;
    s->closed(s->closed_ctx);
    http_server_try_free(s);
}

static void try_finish(struct http_server *s)
{
    if (s->closing && s->n_conns == 0 && s->n_handles == 1 &&
        !uv_is_closing((uv_handle_t *)&s->grace))
        uv_close((uv_handle_t *)&s->grace, on_grace_closed);
}

void http_server_try_free(struct http_server *s)
{
    if (!s->closed_told || s->n_requests)
        return;
    free(s->routes);
    free(s->read_buf);
    free(s);
}

static void accept_waiting(struct http_server *s)
{
    list_for_each (it, &s->listeners) {
        struct http_listener *l = container_of(it, struct http_listener, link);

        if (s->n_conns >= s->limits.connections_max)
            return;
        if (l->waiting) {
            l->waiting = false;
            http_conn_accept(l);
        }
    }
}

void http_server_conn_gone(struct http_server *s)
{
    s->n_conns--;
    metric_add(&http_metrics[M_HTTP_CONNECTIONS], 0, -1);
    if (s->closing)
        try_finish(s);
    else
        accept_waiting(s);
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct http_listener *l = handle->data;
    struct http_server *s = l->server;

    free(l);
    s->n_handles--;
    try_finish(s);
}

static void listener_close(struct http_listener *l)
{
    list_remove(&l->link);
    uv_close(&l->handle, on_listener_closed);
}

static void on_grace_over(uv_timer_t *timer)
{
    struct http_server *s = timer->data;

    list_for_each_safe (it, &s->conns)
        http_conn_stop(container_of(it, struct http_conn, link), true);
}

void http_server_close(struct http_server *s, uint32_t grace_ms, void (*closed)(void *ctx),
                       void *ctx)
{
    CHECK(!s->closing);
    s->closing = true;
    s->closed = closed;
    s->closed_ctx = ctx;
    list_for_each_safe (it, &s->listeners)
        listener_close(container_of(it, struct http_listener, link));
    list_for_each_safe (conn, &s->conns)
        http_conn_stop(container_of(conn, struct http_conn, link), grace_ms == 0);
    uv_timer_start(&s->grace, on_grace_over, grace_ms, 0);
    try_finish(s);
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct http_listener *l = stream->data;

    if (status < 0)
        LOG(LOG_WARN, "accept_failed", F_STR("error", uv_strerror(status)));
    else if (l->server->n_conns >= l->server->limits.connections_max)
        l->waiting = true;
    else
        http_conn_accept(l);
}

static struct http_listener *listener_new(struct http_server *s, bool is_pipe)
{
    struct http_listener *l = xcalloc(1, sizeof *l);

    l->server = s;
    l->is_pipe = is_pipe;
    if (is_pipe)
        uv_pipe_init(s->loop, &l->pipe, 0);
    else
        uv_tcp_init(s->loop, &l->tcp);
    l->handle.data = l;
    list_append(&s->listeners, &l->link);
    s->n_handles++;
    return l;
}

static int listen_unix(struct http_listener *l, const char *path)
{
    int r = uv_pipe_bind(&l->pipe, path);

    if (!r)
        r = uv_listen(&l->stream, BACKLOG, on_connection);
    if (!r && chmod(path, l->server->unix_mode))
        LOG(LOG_WARN, "socket_mode_failed", F_STR("path", path), F_STR("error", strerror(errno)));
    return r;
}

static int bound_port(const struct http_listener *l)
{
    struct sockaddr_storage ss;
    int len = sizeof ss;

    if (l->is_pipe || uv_tcp_getsockname(&l->tcp, (struct sockaddr *)&ss, &len))
        return 0;
    return ss.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&ss)->sin6_port)
                                    : ntohs(((struct sockaddr_in *)&ss)->sin_port);
}

int http_listen(struct http_server *s, const char *address, const char *setting, int *ret_port,
                struct failure *f)
{
    struct http_address a;
    struct http_listener *l;
    int r;

    if (http_address_parse(&a, address, setting, f) || http_address_prepare(&a, setting, f))
        return FAILURE;
    l = listener_new(s, a.is_unix);
    if (a.is_unix) {
        r = listen_unix(l, a.path);
    } else {
        r = uv_tcp_bind(&l->tcp, (const struct sockaddr *)&a.ss, 0);
        if (!r)
            r = uv_listen(&l->stream, BACKLOG, on_connection);
    }
    if (r) {
        listener_close(l);
        return http_address_fail(&a, setting, r, f);
    }
    if (ret_port)
        *ret_port = bound_port(l);
    return 0;
}
