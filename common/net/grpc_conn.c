/*
 * A connection: a session on its socket.
 *
 * Happy path: what arrives is fed to the session; what it has to say is taken piece by piece, one
 * write at a time, so a peer that does not read holds one piece. A timer looks at the deadlines a
 * few times in each. Silent for long, or told to go: GOAWAY, running calls end, the sending side is
 * shut, and the peer's close (or LINGER_MS) ends it.
 *
 * Failure paths: what is not HTTP/2, a broken rule, a peer that goes away, a write error and a
 * passed deadline end in conn_close(), the one way to die; the last on_closed() frees.
 */
#include "base/clock.h"
#include "base/logger.h"
#include "base/xalloc.h"
#include "net/grpc_int.h"

#include <stdlib.h>

enum { LINGER_MS = 2000, READ_BYTES = 64 << 10, TICK_MS_MAX = 1000, TICKS_PER_DEADLINE = 8 };

enum conn_state {
    CONN_OPEN,
    CONN_DRAIN,  /* GOAWAY is said; the calls that run may end */
    CONN_LINGER, /* all is said */
    CONN_CLOSING,
};

/* Legal moves, by bits of the next state. */
#define TO(state) (1u << (state))
static const unsigned legal_moves[] = {
    [CONN_OPEN] = TO(CONN_DRAIN) | TO(CONN_LINGER) | TO(CONN_CLOSING),
    [CONN_DRAIN] = TO(CONN_LINGER) | TO(CONN_CLOSING),
    [CONN_LINGER] = TO(CONN_CLOSING),
    [CONN_CLOSING] = 0,
};

struct grpc_conn {
    union net_stream u;
    uv_timer_t tick;
    uv_write_t write;
    uv_shutdown_t shutdown;
    struct grpc_server *server;
    struct list link;
    struct grpc_session session;
    enum conn_state state;
    struct buf out; /* in the write */
    size_t unsent_bytes;
    int64_t active_ms; /* when it was opened, heard of, or its write went on */
    unsigned open_handles;
    bool writing, feeding;
};

static void conn_move(struct grpc_conn *c, enum conn_state next)
{
    CHECK(legal_moves[c->state] & TO(next));
    c->state = next;
}

static void on_closed(uv_handle_t *handle)
{
    struct grpc_conn *c = handle->data;
    struct grpc_server *s = c->server;

    if (--c->open_handles)
        return;
    buf_deinit(&c->out);
    free(c);
    grpc_server_conn_gone(s);
}

static void conn_close(struct grpc_conn *c)
{
    if (c->state == CONN_CLOSING)
        return;
    conn_move(c, CONN_CLOSING);
    list_remove(&c->link);
    grpc_session_deinit(&c->session);
    uv_close(&c->u.handle, on_closed);
    uv_close((uv_handle_t *)&c->tick, on_closed);
}

void grpc_conn_close_link(struct list *link)
{
    conn_close(container_of(link, struct grpc_conn, link));
}

static void on_shut(uv_shutdown_t *req, int status)
{
    (void)req;
    (void)status; /* the deadline or the peer's close ends it either way */
}

/* Nothing more will be said. */
static void linger(struct grpc_conn *c)
{
    conn_move(c, CONN_LINGER);
    c->active_ms = clock_mono_ms();
    if (uv_shutdown(&c->shutdown, &c->u.stream, on_shut))
        conn_close(c);
}

static void flush(struct grpc_conn *c);

static void on_written(uv_write_t *write, int status)
{
    struct grpc_conn *c = write->data;

    c->writing = false;
    if (c->state == CONN_CLOSING)
        return;
    buf_deinit(&c->out);
    if (status < 0)
        conn_close(c);
    else
        flush(c);
}

static void write_out(struct grpc_conn *c)
{
    uv_buf_t b = uv_buf_init((char *)c->out.data, (unsigned)c->out.len);

    if (uv_write(&c->write, &c->u.stream, &b, 1, on_written)) {
        conn_close(c);
        return;
    }
    c->writing = true;
    c->unsent_bytes = c->u.stream.write_queue_size;
    c->active_ms = clock_mono_ms();
}

static void flush(struct grpc_conn *c)
{
    if (c->writing || c->feeding || !c->session.greeted || c->state >= CONN_LINGER)
        return;
    grpc_session_output(&c->session, &c->out);
    if (c->out.len)
        write_out(c);
    else if (grpc_session_is_over(&c->session) ||
             (c->state == CONN_DRAIN && list_empty(&c->session.calls)))
        linger(c);
}

static void on_wake(void *ctx)
{
    flush(ctx);
}

static void drain(struct grpc_conn *c)
{
    if (c->state != CONN_OPEN)
        return;
    if (!c->session.greeted) {
        conn_close(c);
        return;
    }
    conn_move(c, CONN_DRAIN);
    grpc_session_go_away(&c->session);
}

void grpc_conn_drain(struct list *link)
{
    drain(container_of(link, struct grpc_conn, link));
}

void grpc_conn_give_way(struct list *link)
{
    struct grpc_conn *c = container_of(link, struct grpc_conn, link);

    if (c->state == CONN_OPEN || c->state == CONN_DRAIN)
        grpc_session_give_way(&c->session, clock_mono_ms());
}

/* A slow reader may be slow, but must not stand still. */
static bool write_stands_still(struct grpc_conn *c, int64_t now_ms)
{
    size_t unsent = c->u.stream.write_queue_size;

    if (unsent < c->unsent_bytes)
        c->active_ms = now_ms;
    c->unsent_bytes = unsent;
    return now_ms - c->active_ms >= c->server->core.limits.idle_timeout_ms;
}

/* Answers that the peer's window does not let out do not keep it open. */
static void end_idle(struct grpc_conn *c)
{
    if (list_empty(&c->session.calls))
        drain(c);
    else
        conn_close(c);
}

static void check_open(struct grpc_conn *c, int64_t now_ms)
{
    const struct http_limits *l = &c->server->core.limits;
    int64_t silent_ms = now_ms - c->active_ms;
    int r;

    c->feeding = true;
    r = grpc_session_expire(&c->session, now_ms);
    c->feeding = false;
    if (r || (!c->session.greeted && silent_ms >= l->header_timeout_ms) ||
        (c->writing && write_stands_still(c, now_ms)))
        conn_close(c);
    else if (silent_ms >= l->idle_timeout_ms && !grpc_session_is_working(&c->session))
        end_idle(c);
    else
        flush(c);
}

static void on_tick(uv_timer_t *timer)
{
    struct grpc_conn *c = timer->data;
    int64_t now_ms = clock_mono_ms();

    if (c->state == CONN_OPEN || c->state == CONN_DRAIN)
        check_open(c, now_ms);
    else if (now_ms - c->active_ms >= LINGER_MS)
        conn_close(c);
}

static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *out)
{
    struct grpc_conn *c = handle->data;

    (void)hint;
    *out = uv_buf_init((char *)c->server->read_buf, READ_BYTES);
}

/* To who takes this port for one of the others. */
static void say_wrong_port(struct grpc_conn *c)
{
    static char text[] = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n"
                         "Content-Length: 44\r\nConnection: close\r\n\r\n"
                         "this port speaks gRPC (HTTP/2 without TLS).\n";
    uv_buf_t b = uv_buf_init(text, sizeof text - 1);

    if (!c->session.greeted)
        uv_try_write(&c->u.stream, &b, 1);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct grpc_conn *c = stream->data;
    int r;

    if (n == 0)
        return;
    if (n < 0) {
        conn_close(c);
        return;
    }
    metric_add(&grpc_metrics[M_GRPC_READ_BYTES], 0, n);
    if (c->state == CONN_LINGER)
        return;
    if (c->session.greeted)
        c->active_ms = clock_mono_ms();
    c->feeding = true;
    r = grpc_session_feed(&c->session, bytes_of(buf->base, (size_t)n), clock_mono_ms());
    c->feeding = false;
    if (r) {
        say_wrong_port(c);
        conn_close(c);
        return;
    }
    flush(c);
}

static uint32_t tick_ms(const struct http_limits *l)
{
    uint32_t least = l->header_timeout_ms;

    least = l->body_timeout_ms < least ? l->body_timeout_ms : least;
    least = (l->idle_timeout_ms < least ? l->idle_timeout_ms : least) / TICKS_PER_DEADLINE + 1;
    return least < TICK_MS_MAX ? least : TICK_MS_MAX;
}

void grpc_conn_accept(struct listener *l)
{
    struct grpc_server *s = l->set->ctx;
    struct grpc_conn *c = xcalloc(1, sizeof *c);
    uint32_t every_ms = tick_ms(&s->core.limits);
    int r = listener_accept(l, &c->u);

    if (!s->read_buf)
        s->read_buf = xmalloc(READ_BYTES);
    c->server = s;
    c->open_handles = 2;
    c->active_ms = clock_mono_ms();
    uv_timer_init(s->loop, &c->tick);
    c->u.handle.data = c->tick.data = c->write.data = c;
    list_append(&s->conns, &c->link);
    grpc_session_init(&c->session, &s->core, on_wake, c);
    metric_add(&grpc_metrics[M_GRPC_CONNECTIONS], 0, 1);
    if (!r)
        r = uv_read_start(&c->u.stream, on_alloc, on_read);
    if (r) {
        LOG(LOG_WARN, "accept_failed", F_STR("error", uv_strerror(r)));
        conn_close(c);
        return;
    }
    metric_add(&grpc_metrics[M_GRPC_ACCEPTED], 0, 1);
    uv_timer_start(&c->tick, on_tick, every_ms, every_ms);
}
