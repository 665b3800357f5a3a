/*
 * The server: limits, routes, listeners, and its own end.
 *
 * The end: listeners close at once, idle connections too; running requests get their grace, then
 * their connections are closed under them. `closed` comes when no handle is left. Requests whose
 * handler has not answered yet outlive that; the last one frees the server.
 */
#include "net/http_int.h"

#include "base/xalloc.h"

#include <stdlib.h>
#include <string.h>

const struct http_limits http_limits_default = {
    .header_bytes_max = 16 << 10,
    .body_bytes_max = 32 << 20,
    .budget_bytes_max = 64 << 20,
    .connections_max = 1024,
    .header_timeout_ms = 10000,
    .body_timeout_ms = 30000,
    .stall_ms = 2000,
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
    [M_HTTP_UPGRADES] =
        METRIC_COUNTER("hearth_http_upgrades_total", "connections that became streams"),
    [M_HTTP_BODY_BYTES] = METRIC_COUNTER("hearth_http_body_bytes_total",
                                         "bytes of request bodies that reached a handler"),
};

static void try_finish(struct http_server *s);

static void on_listener_closed(void *ctx)
{
    try_finish(ctx);
}

static void give_way(struct body_budget_holder *h)
{
    http_conns_give_way(container_of(h, struct http_server, holder));
}

struct http_server *http_server_new(uv_loop_t *loop, const struct http_limits *limits)
{
    struct http_server *s = xcalloc(1, sizeof *s);

    s->loop = loop;
    s->limits = *limits;
    body_budget_init(&s->own_budget, limits->budget_bytes_max);
    if (!limits->budget)
        s->limits.budget = &s->own_budget;
    s->holder.give_way = give_way;
    body_budget_join(s->limits.budget, &s->holder);
    listeners_init(&s->listeners, loop, limits->connections_max, s);
    s->listeners.on_connection = http_conn_accept;
    s->listeners.on_closed = on_listener_closed;
    list_init(&s->conns);
    uv_timer_init(loop, &s->grace);
    s->grace.data = s;
    metrics_register(http_metrics, M_HTTP_N);
    return s;
}

void http_unix_mode(struct http_server *s, mode_t mode)
{
    s->listeners.unix_mode = mode;
}

void http_route(struct http_server *s, const char *methods, const char *path, http_handler *h,
                void *ctx)
{
    bool suffix = path[0] == '*';
    size_t len = strlen(path += suffix);
    bool prefix = len && path[len - 1] == '*';

    XGROW(s->routes, s->cap_routes, s->n_routes + 1);
    s->routes[s->n_routes++] =
        (struct http_route){methods, path, len - prefix, prefix, suffix, h, ctx, NULL, false};
}

/* Was it given to http_route with this path? */
static bool route_is(const struct http_route *r, const char *path)
{
    return strcmp(r->path, path + (path[0] == '*')) == 0;
}

void http_route_refusal(struct http_server *s, const char *path, http_refusal *refuse)
{
    for (size_t i = 0; i < s->n_routes; i++)
        if (route_is(&s->routes[i], path))
            s->routes[i].refuse = refuse;
}

void http_route_discard(struct http_server *s, const char *path)
{
    for (size_t i = 0; i < s->n_routes; i++)
        if (route_is(&s->routes[i], path))
            s->routes[i].discards = true;
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
        else if (!r->prefix) /* what a prefix covers need not exist */
            buf_printf(ret_allow, "%s%s", ret_allow->len ? "|" : "", r->methods);
    }
    return found;
}

static void on_grace_closed(uv_handle_t *handle)
{
    struct http_server *s = handle->data;

    s->closed(s->closed_ctx); /* may answer the last one */
    s->closed_told = true;
    http_server_try_free(s);
}

static void try_finish(struct http_server *s)
{
    if (s->closing && s->listeners.n_conns == 0 && s->listeners.n_open == 0 &&
        !uv_is_closing((uv_handle_t *)&s->grace))
        uv_close((uv_handle_t *)&s->grace, on_grace_closed);
}

void http_server_try_free(struct http_server *s)
{
    if (!s->closed_told || s->n_requests)
        return;
    body_budget_leave(&s->holder);
    free(s->routes);
    free(s->read_buf);
    free(s);
}

void http_server_conn_gone(struct http_server *s)
{
    metric_add(&http_metrics[M_HTTP_CONNECTIONS], 0, -1);
    listeners_conn_gone(&s->listeners);
    try_finish(s);
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
    listeners_close(&s->listeners);
    list_for_each_safe (conn, &s->conns)
        http_conn_stop(container_of(conn, struct http_conn, link), grace_ms == 0);
    uv_timer_start(&s->grace, on_grace_over, grace_ms, 0);
    try_finish(s);
}

int http_listen(struct http_server *s, const char *address, const char *setting, int *ret_port,
                struct failure *f)
{
    return listeners_open(&s->listeners, address, setting, ret_port, f);
}
