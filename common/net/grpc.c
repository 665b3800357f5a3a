/*
 * The server: methods, listeners, and its own end: listeners close at once, peers are told to go
 * away; calls that run get their grace, then their connections are closed under them. `closed`
 * comes when no handle is left. Calls whose handler has not answered yet outlive that; the last one
 * frees the server.
 */
#include "base/xalloc.h"
#include "net/grpc_int.h"

#include <stdlib.h>

#define STATUSES                                                                                   \
    "ok|invalid_argument|deadline_exceeded|resource_exhausted|unimplemented|internal|"             \
    "unavailable|not_grpc"

struct metric grpc_metrics[M_GRPC_N] = {
    [M_GRPC_CONNECTIONS] = METRIC_GAUGE("hearth_grpc_connections", "open gRPC connections"),
    [M_GRPC_ACCEPTED] =
        METRIC_COUNTER("hearth_grpc_connections_accepted_total", "gRPC connections accepted"),
    [M_GRPC_CALLS] =
        METRIC_COUNTER_BY("hearth_grpc_calls_total", "calls answered", "status", STATUSES),
    [M_GRPC_READ_BYTES] =
        METRIC_COUNTER("hearth_grpc_read_bytes_total", "bytes read from gRPC connections"),
};

void grpc_count(enum grpc_status status)
{
    static const enum grpc_status order[] = {
        GRPC_OK,
        GRPC_INVALID_ARGUMENT,
        GRPC_DEADLINE_EXCEEDED,
        GRPC_RESOURCE_EXHAUSTED,
        GRPC_UNIMPLEMENTED,
        GRPC_INTERNAL,
        GRPC_UNAVAILABLE,
    };

    for (unsigned i = 0; i < sizeof order / sizeof *order; i++)
        if (order[i] == status)
            metric_add(&grpc_metrics[M_GRPC_CALLS], i, 1);
}

void grpc_count_not_grpc(void)
{
    metric_add(&grpc_metrics[M_GRPC_CALLS], 7, 1);
}

static void try_free(struct grpc_server *s)
{
    if (!s->closed_told || s->core.n_calls)
        return;
    body_budget_leave(&s->holder);
    free(s->core.routes);
    free(s->read_buf);
    free(s);
}

static void on_call_gone(void *ctx)
{
    try_free(ctx);
}

static void on_grace_closed(uv_handle_t *handle)
{
    struct grpc_server *s = handle->data;

    s->closed(s->closed_ctx); /* may answer the last one */
    s->closed_told = true;
    try_free(s);
}

static void try_finish(void *ctx)
{
    struct grpc_server *s = ctx;

    if (s->closing && s->listeners.n_conns == 0 && s->listeners.n_open == 0 &&
        !uv_is_closing((uv_handle_t *)&s->grace))
        uv_close((uv_handle_t *)&s->grace, on_grace_closed);
}

void grpc_server_conn_gone(struct grpc_server *s)
{
    metric_add(&grpc_metrics[M_GRPC_CONNECTIONS], 0, -1);
    listeners_conn_gone(&s->listeners);
    try_finish(s);
}

static void give_way(struct body_budget_holder *h)
{
    struct grpc_server *s = container_of(h, struct grpc_server, holder);

    list_for_each_safe (it, &s->conns)
        grpc_conn_give_way(it);
}

struct grpc_server *grpc_server_new(uv_loop_t *loop, const struct http_limits *limits)
{
    struct grpc_server *s = xcalloc(1, sizeof *s);

    s->loop = loop;
    s->core.limits = *limits;
    body_budget_init(&s->own_budget, limits->budget_bytes_max);
    if (!limits->budget)
        s->core.limits.budget = &s->own_budget;
    s->holder.give_way = give_way;
    body_budget_join(s->core.limits.budget, &s->holder);
    s->core.call_gone = on_call_gone;
    s->core.ctx = s;
    listeners_init(&s->listeners, loop, limits->connections_max, s);
    s->listeners.on_connection = grpc_conn_accept;
    s->listeners.on_closed = try_finish;
    list_init(&s->conns);
    uv_timer_init(loop, &s->grace);
    s->grace.data = s;
    metrics_register(grpc_metrics, M_GRPC_N);
    return s;
}

void grpc_method(struct grpc_server *s, const char *path, grpc_handler *h, void *ctx)
{
    XGROW(s->core.routes, s->core.cap_routes, s->core.n_routes + 1);
    s->core.routes[s->core.n_routes++] = (struct grpc_route){path, h, ctx};
}

int grpc_listen(struct grpc_server *s, const char *address, const char *setting, int *ret_port,
                struct failure *f)
{
    return listeners_open(&s->listeners, address, setting, ret_port, f);
}

void grpc_unix_mode(struct grpc_server *s, mode_t mode)
{
    s->listeners.unix_mode = mode;
}

static void on_grace_over(uv_timer_t *timer)
{
    struct grpc_server *s = timer->data;

    list_for_each_safe (it, &s->conns)
        grpc_conn_close_link(it);
}

void grpc_server_close(struct grpc_server *s, uint32_t grace_ms, void (*closed)(void *ctx),
                       void *ctx)
{
    CHECK(!s->closing);
    s->closing = true;
    s->closed = closed;
    s->closed_ctx = ctx;
    listeners_close(&s->listeners);
    list_for_each_safe (it, &s->conns)
        grpc_conn_drain(it);
    uv_timer_start(&s->grace, on_grace_over, grace_ms, 0);
    try_finish(s);
}
