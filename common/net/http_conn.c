/*
 * The life of a connection.
 *
 * Happy path: accept, a header block within its deadline, a body within its own, the handler, the
 * answer, and again; the peer closes, or says `Connection: close`. While the handler works and
 * while the answer is written nothing is read: what had been read already waits in `rest`.
 *
 * A connection that is upgraded stays here, as CONN_STREAM: its bytes go to the stream's owner, who
 * also decides what becomes of it when the peer sends no more.
 *
 * Failure paths: a request that breaks a rule is answered, the sending side is shut and what the
 * peer still sends is read and thrown away for a moment (CONN_LINGER), for a close with unread
 * bytes would reset the connection and take the answer with it. A peer that goes away, a write
 * error and a passed deadline end in http_conn_close(), the one way to die; the last on_closed()
 * frees.
 */
#include "base/logger.h"
#include "base/xalloc.h"
#include "net/http_int.h"

#include <stdlib.h>

enum { LINGER_MS = 2000 };

/* Legal moves, by bits of the next state. */
#define TO(state) (1u << (state))
static const unsigned legal_moves[] = {
    [CONN_HEAD] = TO(CONN_BODY) | TO(CONN_WAIT) | TO(CONN_ANSWER) | TO(CONN_CLOSING),
    [CONN_BODY] = TO(CONN_WAIT) | TO(CONN_ANSWER) | TO(CONN_CLOSING),
    [CONN_WAIT] = TO(CONN_ANSWER) | TO(CONN_STREAM) | TO(CONN_CLOSING),
    [CONN_ANSWER] = TO(CONN_HEAD) | TO(CONN_LINGER) | TO(CONN_CLOSING),
    [CONN_STREAM] = TO(CONN_LINGER) | TO(CONN_CLOSING),
    [CONN_LINGER] = TO(CONN_CLOSING),
    [CONN_CLOSING] = 0,
};

static void conn_feed(struct http_conn *c, struct bytes in);

static void conn_move(struct http_conn *c, enum conn_state next)
{
    CHECK(legal_moves[c->state] & TO(next));
    c->state = next;
}

static void on_closed(uv_handle_t *handle)
{
    struct http_conn *c = handle->data;
    struct http_server *s = c->server;

    if (--c->open_handles)
        return;
    buf_deinit(&c->rest);
    buf_deinit(&c->out_head);
    buf_deinit(&c->out_body);
    free(c);
    http_server_conn_gone(s);
}

static void drop_request(struct http_conn *c)
{
    struct http_request *r = c->req;

    c->req = NULL;
    if (!r)
        return;
    r->conn = NULL;
    if (!r->handled)
        http_request_free(r);
}

/* Its owner has heard the last of it. */
static void leave_stream(struct http_conn *c)
{
    const struct http_stream_events *events = c->events;

    c->events = NULL;
    if (events)
        events->closed(c->events_ctx);
}

void http_conn_close(struct http_conn *c)
{
    if (c->state == CONN_CLOSING)
        return;
    conn_move(c, CONN_CLOSING);
    list_remove(&c->link);
    drop_request(c);
    leave_stream(c);
    uv_close(&c->u.handle, on_closed);
    uv_close((uv_handle_t *)&c->timer, on_closed);
}

void http_conn_stop(struct http_conn *c, bool now)
{
    if (now || c->state == CONN_HEAD)
        http_conn_close(c);
    else if (c->state == CONN_STREAM)
        c->events->stop(c->events_ctx);
    else
        c->close_after = true;
}

static void refuse_late(struct http_conn *c, const char *what, uint32_t limit_ms)
{
    fail(&c->req->failure, 408, "timeout", NULL, "the %s did not arrive within %u ms", what,
         limit_ms);
    http_refuse(c->req, REFUSED_TIMEOUT);
}

static void refuse_still(struct http_conn *c)
{
    fail(&c->req->failure, 408, "timeout", "setting: body_budget",
         "the body stood still for %u ms while others needed its memory",
         c->server->limits.stall_ms);
    http_refuse(c->req, REFUSED_TIMEOUT);
}

/* A peer that announces a large body and does not send it would lock all others out. */
void http_conns_give_way(struct http_server *s)
{
    list_for_each_safe (it, &s->conns) {
        struct http_conn *c = container_of(it, struct http_conn, link);

        if (uv_now(s->loop) - c->heard_ms < s->limits.stall_ms)
            continue;
        if (c->state == CONN_BODY && c->req->charged)
            refuse_still(c);
        else if (c->state == CONN_STREAM && !c->close_after)
            c->events->give_way(c->events_ctx);
    }
}

static void on_deadline(uv_timer_t *timer);

static void set_deadline(struct http_conn *c, uint32_t ms)
{
    uv_timer_start(&c->timer, on_deadline, ms, 0);
}

/* A slow reader may be slow, but must not stand still. */
static void check_write_progress(struct http_conn *c)
{
    if (c->u.stream.write_queue_size >= c->unsent_bytes) {
        http_conn_close(c);
        return;
    }
    c->unsent_bytes = c->u.stream.write_queue_size;
    set_deadline(c, c->server->limits.idle_timeout_ms);
}

static void stream_is_silent(struct http_conn *c)
{
    if (c->writing)
        check_write_progress(c);
    else
        c->events->idle(c->events_ctx);
}

static void on_deadline(uv_timer_t *timer)
{
    struct http_conn *c = timer->data;
    const struct http_limits *l = &c->server->limits;

    if (c->state == CONN_HEAD && c->req && c->req->head.len)
        refuse_late(c, "header", l->header_timeout_ms);
    else if (c->state == CONN_BODY)
        refuse_late(c, "body", l->body_timeout_ms);
    else if (c->state == CONN_ANSWER)
        check_write_progress(c);
    else if (c->state == CONN_STREAM)
        stream_is_silent(c);
    else
        http_conn_close(c);
}

static void dispatch(struct http_conn *c, const struct http_route *route)
{
    struct http_request *r = c->req;

    conn_move(c, CONN_WAIT);
    uv_read_stop(&c->u.stream);
    uv_timer_stop(&c->timer);
    metric_add(&http_metrics[M_HTTP_BODY_BYTES], 0, (int64_t)r->arrived);
    r->handled = true;
    route->handler(r, route->ctx);
}

/* RFC 9110 wants the methods in a header too. allow: "GET|POST" */
static void refuse_method(struct http_request *r, struct buf *allow)
{
    struct buf header = {0}, body = {0};

    fail(&r->failure, 405, "method_not_allowed", NULL, "this path takes %s", buf_cstr(allow));
    failure_json(&r->failure, &body);
    buf_append_str(&header, "Allow: ");
    for (size_t i = 0; i < allow->len; i++)
        buf_append_str(&header, allow->data[i] == '|' ? ", " : (char[]){(char)allow->data[i], 0});
    buf_append_str(&header, "\r\n");
    metric_add(&http_metrics[M_HTTP_REFUSED], REFUSED_METHOD, 1);
    http_respond_buf(r, 405, "application/json", &body, buf_cstr(&header));
    buf_deinit(&header);
}

static const struct http_route *find_route(struct http_request *r)
{
    struct buf allow = {0};
    const struct http_route *route = http_route_find(r->server, r->method, r->path, &allow);

    if (!route && allow.len) {
        refuse_method(r, &allow);
    } else if (!route) {
        fail(&r->failure, 404, "not_found", NULL, "nothing is served at \"%.*s\"",
             (int)(r->path.len < 200 ? r->path.len : 200), (const char *)r->path.data);
        http_refuse(r, REFUSED_NOT_FOUND);
    }
    buf_deinit(&allow);
    return route;
}

/* The length is known, or grows chunk by chunk: either way the budget is asked before we read. */
static int admit_body(struct http_request *r)
{
    size_t max = r->server->limits.body_bytes_max;

    if (r->discards)
        return 0;
    if (r->content_length > max)
        return fail(&r->failure, 413, "body_too_large", "setting: body_max",
                    "the body has %llu bytes, the limit is %zu",
                    (unsigned long long)r->content_length, max);
    return http_request_charge(r, (size_t)r->content_length);
}

static void refuse_body(struct http_request *r)
{
    int status = r->failure.status;

    http_refuse(r, status == 413   ? REFUSED_BODY_TOO_LARGE
                   : status == 503 ? REFUSED_BUDGET
                                   : REFUSED_MALFORMED);
}

static void say_continue(struct http_conn *c)
{
    static char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    uv_buf_t b = uv_buf_init(text, sizeof text - 1);

    /* Should the socket not take it, the peer sends its body after a while all the same. */
    uv_try_write(&c->u.stream, &b, 1);
}

/* The header block is whole. more: bytes of the body were with it. */
static void begin_request(struct http_conn *c, bool more)
{
    struct http_request *r = c->req;
    const struct http_route *route;

    if (http_parse_head(r) || http_request_read_target(r)) {
        r->keep_alive = false;
        http_refuse(r, r->failure.status >= 500 || r->failure.status == 417 ? REFUSED_UNSUPPORTED
                       : r->failure.status == 431 ? REFUSED_HEADER_TOO_LARGE
                                                  : REFUSED_MALFORMED);
        return;
    }
    route = find_route(r);
    if (!route)
        return;
    r->route = route;
    r->discards = route->discards;
    if (r->done) {
        dispatch(c, route);
        return;
    }
    if (admit_body(r)) {
        refuse_body(r);
        return;
    }
    conn_move(c, CONN_BODY);
    c->heard_ms = uv_now(c->server->loop);
    set_deadline(c, c->server->limits.body_timeout_ms);
    if (r->expects && !more)
        say_continue(c);
}

static size_t feed_head(struct http_conn *c, struct bytes in)
{
    size_t used = in.len;
    int r;

    if (!c->req) {
        c->req = http_request_new(c);
        set_deadline(c, c->server->limits.header_timeout_ms);
    }
    r = http_parse_take_head(c->req, in, &used);
    if (r == HTTP_HEAD_WHOLE)
        begin_request(c, used < in.len);
    else if (r == HTTP_HEAD_BAD)
        http_refuse(c->req,
                    c->req->failure.status == 431 ? REFUSED_HEADER_TOO_LARGE : REFUSED_MALFORMED);
    return used;
}

static size_t feed_body(struct http_conn *c, struct bytes in)
{
    struct http_request *r = c->req;
    size_t used = in.len;

    c->heard_ms = uv_now(c->server->loop);
    if (http_parse_body(r, in, &used))
        refuse_body(r);
    else if (r->done)
        dispatch(c, r->route);
    return used;
}

/* Even without a byte: what the owner did in the handler may have ended it. */
static void feed_stream(struct http_conn *c, struct bytes in)
{
    c->heard_ms = uv_now(c->server->loop);
    http_conn_heard(c);
    if (in.len && !c->close_after)
        c->events->data(c->events_ctx, in);
}

static void conn_feed(struct http_conn *c, struct bytes in)
{
    while (in.len && (c->state == CONN_HEAD || c->state == CONN_BODY)) {
        size_t used = c->state == CONN_HEAD ? feed_head(c, in) : feed_body(c, in);

        in.data += used;
        in.len -= used;
    }
    if (c->state == CONN_STREAM)
        feed_stream(c, in);
    else if (c->state == CONN_WAIT || (c->state == CONN_ANSWER && !c->close_after))
        buf_append_bytes(&c->rest, in);
}

static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *out)
{
    struct http_conn *c = handle->data;

    (void)hint;
    *out = uv_buf_init((char *)c->server->read_buf, HTTP_READ_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct http_conn *c = stream->data;

    if (n == 0)
        return;
    if (n == UV_EOF && c->state == CONN_STREAM && !c->ended) {
        c->ended = true;
        uv_read_stop(stream);
        c->events->ended(c->events_ctx);
        return;
    }
    if (n < 0) {
        http_conn_close(c);
        return;
    }
    metric_add(&http_metrics[M_HTTP_READ_BYTES], 0, n);
    conn_feed(c, bytes_of(buf->base, (size_t)n));
}

void http_conn_read(struct http_conn *c)
{
    uv_read_start(&c->u.stream, on_alloc, on_read);
}

/* Idle, or straight on with what had come along with the last request. */
static void next_request(struct http_conn *c)
{
    struct buf rest = c->rest;

    conn_move(c, CONN_HEAD);
    c->rest = (struct buf){0};
    set_deadline(c, c->server->limits.idle_timeout_ms);
    conn_feed(c, buf_bytes(&rest));
    buf_deinit(&rest);
    if (c->state == CONN_HEAD || c->state == CONN_BODY)
        uv_read_start(&c->u.stream, on_alloc, on_read);
}

static void on_shut(uv_shutdown_t *req, int status)
{
    (void)req;
    (void)status; /* the deadline or the peer's close ends it either way */
}

static void linger(struct http_conn *c)
{
    if (c->ended) { /* nothing can be left unread */
        http_conn_close(c);
        return;
    }
    conn_move(c, CONN_LINGER);
    leave_stream(c);
    buf_deinit(&c->rest);
    set_deadline(c, LINGER_MS);
    if (uv_shutdown(&c->shutdown, &c->u.stream, on_shut) ||
        uv_read_start(&c->u.stream, on_alloc, on_read))
        http_conn_close(c);
}

static void on_written(uv_write_t *write, int status)
{
    struct http_conn *c = write->data;

    if (c->state == CONN_CLOSING)
        return;
    buf_deinit(&c->out_head);
    buf_deinit(&c->out_body);
    if (status < 0)
        http_conn_close(c);
    else if (c->close_after)
        linger(c);
    else
        next_request(c);
}

void http_conn_answer(struct http_conn *c, bool keep_alive)
{
    uv_buf_t bufs[2] = {
        uv_buf_init((char *)c->out_head.data, (unsigned)c->out_head.len),
        uv_buf_init((char *)c->out_body.data, (unsigned)c->out_body.len),
    };

    conn_move(c, CONN_ANSWER);
    c->close_after = !keep_alive;
    uv_read_stop(&c->u.stream);
    if (uv_write(&c->write, &c->u.stream, bufs, c->out_body.len ? 2 : 1, on_written)) {
        http_conn_close(c);
        return;
    }
    c->unsent_bytes = c->u.stream.write_queue_size + 1;
    set_deadline(c, c->server->limits.idle_timeout_ms);
}

void http_conn_become_stream(struct http_conn *c)
{
    CHECK(c->rest.len == 0);
    conn_move(c, CONN_STREAM);
    c->idle_ms = c->server->limits.idle_timeout_ms;
    http_conn_read(c);
}

void http_conn_heard(struct http_conn *c)
{
    if (!c->writing)
        set_deadline(c, c->idle_ms);
}

static void on_stream_written(uv_write_t *write, int status)
{
    struct http_conn *c = write->data;

    c->writing = false;
    if (c->state == CONN_CLOSING)
        return;
    buf_deinit(&c->out_body);
    if (status < 0)
        http_conn_close(c);
    else
        http_conn_write_stream(c);
}

void http_conn_write_stream(struct http_conn *c)
{
    uv_buf_t b;

    if (c->writing)
        return;
    if (c->out_head.len == 0) {
        if (c->close_after)
            linger(c);
        else
            http_conn_heard(c);
        return;
    }
    c->out_body = c->out_head;
    c->out_head = (struct buf){0};
    b = uv_buf_init((char *)c->out_body.data, (unsigned)c->out_body.len);
    c->writing = true;
    c->unsent_bytes = 0;
    if (uv_write(&c->write, &c->u.stream, &b, 1, on_stream_written)) {
        set_deadline(c, 0); /* which sees no progress; the owner is not ready to hear of it now */
        return;
    }
    c->unsent_bytes = c->u.stream.write_queue_size + 1;
    set_deadline(c, c->server->limits.idle_timeout_ms);
}

static struct http_conn *conn_new(struct http_server *s)
{
    struct http_conn *c = xcalloc(1, sizeof *c);

    c->server = s;
    c->open_handles = 2;
    uv_timer_init(s->loop, &c->timer);
    c->timer.data = c->write.data = c;
    list_append(&s->conns, &c->link);
    if (!s->read_buf)
        s->read_buf = xmalloc(HTTP_READ_BYTES);
    metric_add(&http_metrics[M_HTTP_CONNECTIONS], 0, 1);
    return c;
}

void http_conn_accept(struct listener *l)
{
    struct http_conn *c = conn_new(l->set->ctx);
    int r = listener_accept(l, &c->u);

    c->u.handle.data = c;
    if (!r)
        r = uv_read_start(&c->u.stream, on_alloc, on_read);
    if (r) {
        LOG(LOG_WARN, "accept_failed", F_STR("error", uv_strerror(r)));
        http_conn_close(c);
        return;
    }
    metric_add(&http_metrics[M_HTTP_ACCEPTED], 0, 1);
    set_deadline(c, c->server->limits.idle_timeout_ms);
}
