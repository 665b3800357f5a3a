/*
 * A connection in the state CONN_STREAM; http_conn.c owns its life and its deadline. One write at a
 * time: what is sent meanwhile is gathered in out_head and goes with the next.
 */
#include "net/http_stream.h"

#include "base/xalloc.h"
#include "net/http_int.h"

#include <stdlib.h>
#include <strings.h>

/* Has the list "a, b" the word, in any case? */
static bool has_token(struct bytes list, const char *word)
{
    size_t n = strlen(word);

    while (list.len) {
        const uint8_t *comma = memchr(list.data, ',', list.len);
        size_t len = comma ? (size_t)(comma - list.data) : list.len;
        struct bytes token = bytes_of(list.data, len);

        for (; token.len && (*token.data == ' ' || *token.data == '\t'); token.data++)
            token.len--;
        while (token.len && (token.data[token.len - 1] == ' ' || token.data[token.len - 1] == '\t'))
            token.len--;
        if (token.len == n && strncasecmp((const char *)token.data, word, n) == 0)
            return true;
        len += comma != NULL;
        list = bytes_of(list.data + len, list.len - len);
    }
    return false;
}

bool http_wants_upgrade(const struct http_request *r, const char *protocol)
{
    return !r->http10 && has_token(http_header(r, "connection"), "upgrade") &&
           has_token(http_header(r, "upgrade"), protocol);
}

struct http_stream *http_upgrade(struct http_request *r, const char *protocol,
                                 const struct http_stream_events *events, void *ctx)
{
    struct http_conn *c = r->conn;
    struct buf head = {0};

    CHECK(c && r->done);
    metric_add(&http_metrics[M_HTTP_UPGRADES], 0, 1);
    buf_printf(&head,
               "HTTP/1.1 101 Switching Protocols\r\nUpgrade: %s\r\nConnection: Upgrade\r\n\r\n",
               protocol);
    http_request_free(r);
    c->events = events;
    c->events_ctx = ctx;
    http_conn_become_stream(c);
    http_stream_send((struct http_stream *)c, buf_bytes(&head));
    buf_deinit(&head);
    return (struct http_stream *)c;
}

/* The public name of a connection in this state. */
static struct http_conn *conn_of(struct http_stream *s)
{
    return (struct http_conn *)s;
}

uint32_t http_stream_idle(const struct http_stream *s)
{
    return ((const struct http_conn *)s)->idle_ms;
}

size_t http_stream_unsent(const struct http_stream *s)
{
    const struct http_conn *c = (const struct http_conn *)s;

    return c->out_head.len + c->out_body.len;
}

void http_stream_set_idle(struct http_stream *s, uint32_t idle_ms)
{
    conn_of(s)->idle_ms = idle_ms;
    http_conn_heard(conn_of(s));
}

void http_stream_send(struct http_stream *s, struct bytes data)
{
    struct http_conn *c = conn_of(s);

    if (c->state != CONN_STREAM || c->close_after)
        return;
    buf_append_bytes(&c->out_head, data);
    http_conn_write_stream(c);
}

void http_stream_pause(struct http_stream *s)
{
    uv_read_stop(&conn_of(s)->u.stream);
}

void http_stream_resume(struct http_stream *s)
{
    struct http_conn *c = conn_of(s);

    if (c->state == CONN_STREAM && !c->close_after && !c->ended)
        http_conn_read(c);
}

void http_stream_close(struct http_stream *s)
{
    struct http_conn *c = conn_of(s);

    if (c->state != CONN_STREAM || c->close_after)
        return;
    uv_read_stop(&c->u.stream);
    c->close_after = true;
    http_conn_write_stream(c);
}

struct http_charge {
    struct http_server *server;
    size_t n;
};

struct http_charge *http_stream_charge(struct http_stream *s, size_t n, size_t beside,
                                       struct failure *f)
{
    struct http_server *server = conn_of(s)->server;
    const struct http_limits *l = &server->limits;
    struct http_charge *charge;

    if (n > l->body_bytes_max) {
        fail(f, 413, "body_too_large", "setting: body_max",
             "the profile has %zu bytes, the limit is %zu", n, l->body_bytes_max);
        return NULL;
    }
    n += beside;
    if (body_budget_take(l->budget, n, f))
        return NULL;
    charge = xmalloc(sizeof *charge);
    *charge = (struct http_charge){server, n};
    server->n_requests++;
    return charge;
}

void http_charge_free(struct http_charge *c)
{
    struct http_server *s;

    if (!c)
        return;
    s = c->server;
    body_budget_give(s->limits.budget, c->n);
    s->n_requests--;
    free(c);
    http_server_try_free(s);
}
