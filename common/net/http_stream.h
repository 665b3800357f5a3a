/*
 * A connection after an upgrade (RFC 9110, 7.8): a request became a stream of bytes both ways,
 * still of its server: it counts as a connection, and its memory is charged to the server's budget.
 *
 * The stream's owner gets what arrives, may pause that, and sends what is queued here: it bounds
 * the answers itself, by what it lets in. Loop thread.
 */
#ifndef HEARTH_NET_HTTP_STREAM_H
#define HEARTH_NET_HTTP_STREAM_H

#include "net/http.h"

struct http_stream;

struct http_stream_events {
    void (*data)(void *ctx, struct bytes in);
    /* The peer sends no more (it has closed, or shut its sending side and still reads); at most
     * once. Not told while paused. What is sent yet goes out until http_stream_close. */
    void (*ended)(void *ctx);
    /* Others need memory, and nothing arrived for limits.stall_ms: what has come in part may be
     * given up. */
    void (*give_way)(void *ctx);
    /* Nothing arrived for the idle time, and nothing waits to be written. */
    void (*idle)(void *ctx);
    /* The server closes: come to an end. What has not after its grace is closed. */
    void (*stop)(void *ctx);
    /* The last event; the stream is no more. */
    void (*closed)(void *ctx);
};

/* Whether the request asks for protocol ("hearth-stream/1"), as the RFC wants it asked. */
bool http_wants_upgrade(const struct http_request *r, const char *protocol);
/* Answers 101; r is no more. From within the request's handler only. events: borrowed for ever. The
 * first event comes after the handler has returned. */
struct http_stream *http_upgrade(struct http_request *r, const char *protocol,
                                 const struct http_stream_events *events, void *ctx);

/* Of the server's limits at first. */
uint32_t http_stream_idle(const struct http_stream *s);
size_t http_stream_unsent(const struct http_stream *s);
void http_stream_set_idle(struct http_stream *s, uint32_t idle_ms);
void http_stream_send(struct http_stream *s, struct bytes data); /* copied */
/* Paused, nothing is read; the peer feels it. Data that had come with the last is still to be
 * taken. */
void http_stream_pause(struct http_stream *s);
void http_stream_resume(struct http_stream *s);
/* When what was sent is written. Nothing more is read. closed follows, or comes before this
 * returns. */
void http_stream_close(struct http_stream *s);

/* Memory for n bytes that arrive, and beside them what the owner needs to work on them, charged to
 * the server's budget; it may outlive the stream. NULL: f says why (413, 503). Buffers of it are
 * the owner's. */
struct http_charge *http_stream_charge(struct http_stream *s, size_t n, size_t beside,
                                       struct failure *f);
void http_charge_free(struct http_charge *c); /* NULL is fine */

#endif
