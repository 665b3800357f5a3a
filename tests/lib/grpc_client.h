/*
 * A blocking gRPC client for tests, on nghttp2's client side: one call at a time, its bytes sent in
 * pieces of a given size, its message framed as told (or not at all).
 */
#ifndef HEARTH_TESTS_GRPC_CLIENT_H
#define HEARTH_TESTS_GRPC_CLIENT_H

#include "lib/http_client.h"

#include <nghttp2/nghttp2.h>
#include <poll.h>

struct grpc_client {
    nghttp2_session *h2;
    int fd;
    size_t step; /* 0: as it comes */
    bool gone;   /* GOAWAY has come */
    /* The call: */
    struct bytes body;
    size_t body_at;
    bool closed, keep_open; /* keep_open: END_STREAM is not sent */
    uint32_t error;
    int http_status, status; /* status -1: none has come */
    char text[512], accepts[64];
    struct buf answer; /* with its prefix */
};

static inline int grpc_client_on_header(nghttp2_session *h2, const nghttp2_frame *frame,
                                        const uint8_t *name, size_t name_len, const uint8_t *value,
                                        size_t value_len, uint8_t flags, void *ctx)
{
    struct grpc_client *c = ctx;
    struct bytes n = bytes_of(name, name_len);

    (void)h2;
    (void)frame;
    (void)flags;
    if (bytes_equal(n, BYTES_LIT(":status")))
        c->http_status = atoi((const char *)value);
    else if (bytes_equal(n, BYTES_LIT("grpc-status")))
        c->status = atoi((const char *)value);
    else if (bytes_equal(n, BYTES_LIT("grpc-message")))
        snprintf(c->text, sizeof c->text, "%.*s", (int)value_len, (const char *)value);
    else if (bytes_equal(n, BYTES_LIT("grpc-accept-encoding")))
        snprintf(c->accepts, sizeof c->accepts, "%.*s", (int)value_len, (const char *)value);
    return 0;
}

static inline int grpc_client_on_data(nghttp2_session *h2, uint8_t flags, int32_t stream,
                                      const uint8_t *data, size_t len, void *ctx)
{
    struct grpc_client *c = ctx;

    (void)h2;
    (void)flags;
    (void)stream;
    buf_append(&c->answer, data, len);
    return 0;
}

static inline int grpc_client_on_close(nghttp2_session *h2, int32_t stream, uint32_t code,
                                       void *ctx)
{
    struct grpc_client *c = ctx;

    (void)h2;
    (void)stream;
    c->closed = true;
    c->error = code;
    return 0;
}

static inline int grpc_client_on_frame(nghttp2_session *h2, const nghttp2_frame *frame, void *ctx)
{
    struct grpc_client *c = ctx;

    (void)h2;
    c->gone |= frame->hd.type == NGHTTP2_GOAWAY;
    return 0;
}

static inline ssize_t grpc_client_on_body(nghttp2_session *h2, int32_t stream, uint8_t *to,
                                          size_t size, uint32_t *flags, nghttp2_data_source *source,
                                          void *ctx)
{
    struct grpc_client *c = ctx;
    size_t left = c->body.len - c->body_at, n = left < size ? left : size;

    (void)h2;
    (void)stream;
    (void)source;
    if (n == 0 && c->keep_open)
        return NGHTTP2_ERR_DEFERRED;
    if (n)
        memcpy(to, c->body.data + c->body_at, n);
    c->body_at += n;
    if (n == left && !c->keep_open)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static inline void grpc_client_init(struct grpc_client *c, int fd, size_t step)
{
    nghttp2_session_callbacks *cb;

    *c = (struct grpc_client){.fd = fd, .step = step};
    nghttp2_session_callbacks_new(&cb);
    nghttp2_session_callbacks_set_on_header_callback(cb, grpc_client_on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, grpc_client_on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, grpc_client_on_close);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, grpc_client_on_frame);
    nghttp2_session_client_new(&c->h2, cb, c);
    nghttp2_session_callbacks_del(cb);
    nghttp2_submit_settings(c->h2, NGHTTP2_FLAG_NONE, NULL, 0);
}

static inline void grpc_client_deinit(struct grpc_client *c)
{
    nghttp2_session_del(c->h2);
    buf_deinit(&c->answer);
    close(c->fd);
}

/* Sends all there is to send. */
static inline void grpc_client_flush(struct grpc_client *c)
{
    const uint8_t *data;
    ssize_t n;

    while ((n = nghttp2_session_mem_send(c->h2, &data)) > 0)
        http_send(c->fd, bytes_of(data, (size_t)n), c->step);
}

/* Reads once, and answers what that asks for. False: the connection has ended. */
static inline bool grpc_client_turn(struct grpc_client *c)
{
    uint8_t buf[16384];
    ssize_t n;

    grpc_client_flush(c);
    n = recv(c->fd, buf, sizeof buf, 0);
    if (n <= 0 || nghttp2_session_mem_recv(c->h2, buf, (size_t)n) < 0)
        return false;
    grpc_client_flush(c);
    return true;
}

struct grpc_client_call {
    const char *method, *path, *type, *encoding; /* NULL: as it should be */
    struct bytes body;                           /* with its prefix */
    bool keep_open;
};

static inline void grpc_client_begin(struct grpc_client *c, const struct grpc_client_call *call)
{
    const char *pairs[][2] = {
        {":method", call->method ? call->method : "POST"},
        {":scheme", "http"},
        {":authority", "x"},
        {":path", call->path},
        {"te", "trailers"},
        {"content-type", call->type ? call->type : "application/grpc"},
        {"grpc-encoding", call->encoding},
    };
    nghttp2_data_provider data = {.read_callback = grpc_client_on_body};
    nghttp2_nv nv[7];
    size_t n = 0;

    for (size_t i = 0; i < 7; i++)
        if (pairs[i][1])
            nv[n++] =
                (nghttp2_nv){(uint8_t *)(uintptr_t)pairs[i][0], (uint8_t *)(uintptr_t)pairs[i][1],
                             strlen(pairs[i][0]), strlen(pairs[i][1]), NGHTTP2_NV_FLAG_NONE};
    c->body = call->body;
    c->keep_open = call->keep_open;
    c->body_at = c->error = 0;
    c->closed = false;
    c->http_status = 0;
    c->status = -1;
    c->text[0] = '\0';
    buf_reset(&c->answer);
    nghttp2_submit_request(c->h2, NULL, nv, n, &data, NULL);
}

/* The status of the call; -1: the connection or the stream ended without one. */
static inline int grpc_client_call(struct grpc_client *c, const struct grpc_client_call *call)
{
    grpc_client_begin(c, call);
    while (!c->closed && grpc_client_turn(c))
        ;
    return c->status;
}

/* The prefix and the message. */
static inline void grpc_frame(struct buf *out, uint8_t flag, struct bytes message)
{
    uint8_t p[5] = {flag, (uint8_t)(message.len >> 24), (uint8_t)(message.len >> 16),
                    (uint8_t)(message.len >> 8), (uint8_t)message.len};

    buf_append(out, p, sizeof p);
    buf_append_bytes(out, message);
}

#endif
