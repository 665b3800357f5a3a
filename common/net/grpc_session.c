/*
 * HTTP/2 under gRPC, by nghttp2, which keeps its rules: framing, HPACK, flow control, the number of
 * streams, floods of resets, pings and settings.
 *
 * Happy path: a stream's header begins a call, its data fill the message, its end hands the call to
 * the handler; the answer is a header, the message, and a trailer with grpc-status. A refusal is a
 * header alone that has the status ("trailers only"); if the peer is still sending, RST_STREAM with
 * NO_ERROR asks it to stop.
 *
 * Windows: a stream may run WINDOW_BYTES ahead, and nghttp2 opens the window again by itself: what
 * has come is in memory that was charged, or was thrown away.
 */
#include "net/grpc_int.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>

enum { WINDOW_BYTES = 1 << 20, CONN_WINDOW_BYTES = 4 << 20 };

static struct grpc_call *call_of(nghttp2_session *h2, int32_t stream)
{
    return nghttp2_session_get_stream_user_data(h2, stream);
}

static nghttp2_nv pair(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
                        strlen(value), NGHTTP2_NV_FLAG_NONE};
}

/* ---- in ---------------------------------------------------------------------------------------
 */

static int on_begin_headers(nghttp2_session *h2, const nghttp2_frame *frame, void *ctx)
{
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        nghttp2_session_set_stream_user_data(h2, frame->hd.stream_id,
                                             grpc_call_new(ctx, frame->hd.stream_id));
    return 0;
}

static int on_header(nghttp2_session *h2, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *ctx)
{
    struct grpc_call *c = call_of(h2, frame->hd.stream_id);

    (void)flags;
    (void)ctx;
    if (c && !c->head_done)
        grpc_call_add(c, bytes_of(name, name_len), bytes_of(value, value_len));
    return 0;
}

static bool is_grpc(struct bytes type)
{
    static const struct bytes want = {(const uint8_t *)"application/grpc", 16};

    return bytes_starts(type, want) &&
           (type.len == want.len || type.data[want.len] == '+' || type.data[want.len] == ';');
}

static void begin_call(struct grpc_call *c)
{
    c->head_done = true;
    if (c->failure.code[0])
        grpc_call_refuse(c);
    else if (!bytes_equal(grpc_metadata(c, ":method"), BYTES_LIT("POST")))
        grpc_session_answer_http(c, 405);
    else if (!is_grpc(grpc_metadata(c, "content-type")))
        grpc_session_answer_http(c, 415);
    else if (grpc_call_check_head(c))
        grpc_call_refuse(c);
}

static void finish_call(struct grpc_call *c)
{
    c->done = true;
    if (c->answered)
        return;
    if (grpc_call_finish(c)) {
        grpc_call_refuse(c);
        return;
    }
    c->handled = true;
    c->route->handler(c, c->route->ctx);
}

static int on_frame(nghttp2_session *h2, const nghttp2_frame *frame, void *ctx)
{
    struct grpc_session *s = ctx;
    struct grpc_call *c;

    if (frame->hd.type == NGHTTP2_SETTINGS)
        s->greeted = true;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
        return 0;
    c = call_of(h2, frame->hd.stream_id);
    if (c && !c->head_done)
        begin_call(c);
    if (c && frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
        finish_call(c);
    return 0;
}

static int on_data(nghttp2_session *h2, uint8_t flags, int32_t stream, const uint8_t *data,
                   size_t len, void *ctx)
{
    struct grpc_call *c = call_of(h2, stream);

    (void)flags;
    (void)ctx;
    if (c && !c->answered && grpc_call_feed(c, bytes_of(data, len)))
        grpc_call_refuse(c);
    return 0;
}

/* A call that its handler has not answered yet goes on without us. */
static void leave(struct grpc_call *c)
{
    if (c->answered || !c->handled) {
        grpc_call_free(c);
        return;
    }
    c->session = NULL;
    list_remove(&c->link);
}

static int on_stream_close(nghttp2_session *h2, int32_t stream, uint32_t code, void *ctx)
{
    struct grpc_call *c = call_of(h2, stream);

    (void)code;
    (void)ctx;
    if (c)
        leave(c);
    return 0;
}

/* ---- out --------------------------------------------------------------------------------------
 */

static size_t put_status(const struct grpc_call *c, char code[12], nghttp2_nv *out)
{
    size_t n = 0;

    snprintf(code, 12, "%d", (int)c->status);
    out[n++] = pair("grpc-status", code);
    if (c->text)
        out[n++] = pair("grpc-message", c->text);
    return n;
}

static ssize_t on_read_answer(nghttp2_session *h2, int32_t stream, uint8_t *to, size_t size,
                              uint32_t *flags, nghttp2_data_source *source, void *ctx)
{
    struct grpc_call *c = source->ptr;
    size_t left = c->out.len - c->out_at, n = left < size ? left : size;
    nghttp2_nv nv[2];
    char code[12];

    (void)ctx;
    if (n)
        memcpy(to, c->out.data + c->out_at, n);
    c->out_at += n;
    if (n < left)
        return (ssize_t)n;
    *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    return nghttp2_submit_trailer(h2, stream, nv, put_status(c, code, nv))
               ? NGHTTP2_ERR_CALLBACK_FAILURE
               : (ssize_t)n;
}

void grpc_session_answer(struct grpc_call *c)
{
    struct grpc_session *s = c->session;
    nghttp2_data_provider data = {.source.ptr = c, .read_callback = on_read_answer};
    nghttp2_nv nv[5];
    char code[12];
    size_t n = 0;

    nv[n++] = pair(":status", "200");
    nv[n++] = pair("content-type", "application/grpc");
    nv[n++] = pair("grpc-accept-encoding", "identity,gzip,zstd");
    if (c->status != GRPC_OK)
        n += put_status(c, code, nv + n);
    nghttp2_submit_response(s->h2, c->stream, nv, n, c->status == GRPC_OK ? &data : NULL);
    s->wake(s->ctx);
}

void grpc_session_answer_http(struct grpc_call *c, int status)
{
    nghttp2_nv nv[1];
    char text[12];

    snprintf(text, sizeof text, "%d", status);
    nv[0] = pair(":status", text);
    c->answered = true;
    grpc_count_not_grpc();
    nghttp2_submit_response(c->session->h2, c->stream, nv, 1, NULL);
    c->session->wake(c->session->ctx);
}

/* The answer is out: what the peer still sends of this call is of no use. */
static int on_sent(nghttp2_session *h2, const nghttp2_frame *frame, void *ctx)
{
    struct grpc_call *c;

    (void)ctx;
    if (frame->hd.type != NGHTTP2_HEADERS || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return 0;
    c = call_of(h2, frame->hd.stream_id);
    if (c && !c->done)
        nghttp2_submit_rst_stream(h2, NGHTTP2_FLAG_NONE, c->stream, NGHTTP2_NO_ERROR);
    return 0;
}

/* ---- the session ------------------------------------------------------------------------------
 */

void grpc_session_init(struct grpc_session *s, struct grpc_core *core, void (*wake)(void *ctx),
                       void *ctx)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, GRPC_STREAMS_MAX},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_BYTES},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)core->limits.header_bytes_max},
    };
    nghttp2_session_callbacks *cb;
    nghttp2_session *h2;

    *s = (struct grpc_session){.core = core, .wake = wake, .ctx = ctx};
    list_init(&s->calls);
    CHECK(nghttp2_session_callbacks_new(&cb) == 0);
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_sent);
    CHECK(nghttp2_session_server_new(&h2, cb, s) == 0);
    nghttp2_session_callbacks_del(cb);
    s->h2 = h2;
    nghttp2_submit_settings(h2, NGHTTP2_FLAG_NONE, settings, sizeof settings / sizeof *settings);
    nghttp2_session_set_local_window_size(h2, NGHTTP2_FLAG_NONE, 0, CONN_WINDOW_BYTES);
}

void grpc_session_deinit(struct grpc_session *s)
{
    list_for_each_safe (it, &s->calls)
        leave(container_of(it, struct grpc_call, link));
    nghttp2_session_del(s->h2);
    s->h2 = NULL;
}

int grpc_session_feed(struct grpc_session *s, struct bytes in, int64_t now_ms)
{
    s->now_ms = now_ms;
    return nghttp2_session_mem_recv(s->h2, in.data, in.len) < 0 ? -EPROTO : 0;
}

void grpc_session_output(struct grpc_session *s, struct buf *out)
{
    const uint8_t *data;
    ssize_t n;

    while (out->len < GRPC_OUT_BYTES && (n = nghttp2_session_mem_send(s->h2, &data)) > 0)
        buf_append(out, data, (size_t)n);
}

void grpc_session_go_away(struct grpc_session *s)
{
    nghttp2_submit_goaway(s->h2, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(s->h2),
                          NGHTTP2_NO_ERROR, NULL, 0);
    s->wake(s->ctx);
}

bool grpc_session_is_working(const struct grpc_session *s)
{
    list_for_each (it, &s->calls)
        if (!container_of(it, struct grpc_call, link)->answered)
            return true;
    return false;
}

bool grpc_session_is_over(const struct grpc_session *s)
{
    return !nghttp2_session_want_read(s->h2) && !nghttp2_session_want_write(s->h2);
}

void grpc_session_give_way(struct grpc_session *s, int64_t now_ms)
{
    list_for_each_safe (it, &s->calls) {
        struct grpc_call *c = container_of(it, struct grpc_call, link);

        if (c->done || c->answered || !c->head_done ||
            now_ms - c->heard_ms < s->core->limits.stall_ms)
            continue;
        fail(&c->failure, 408, "timeout", "setting: body_budget",
             "the message stood still for %u ms while others needed its memory",
             s->core->limits.stall_ms);
        grpc_call_refuse(c);
    }
}

int grpc_session_expire(struct grpc_session *s, int64_t now_ms)
{
    list_for_each_safe (it, &s->calls) {
        struct grpc_call *c = container_of(it, struct grpc_call, link);

        if (c->done || c->answered || now_ms - c->since_ms < s->core->limits.body_timeout_ms)
            continue;
        if (!c->head_done)
            return -ETIMEDOUT;
        fail(&c->failure, 408, "timeout", NULL, "the call did not arrive within %u ms",
             s->core->limits.body_timeout_ms);
        grpc_call_refuse(c);
    }
    return 0;
}
