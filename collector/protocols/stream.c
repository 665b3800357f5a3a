/*
 * The native framed stream: GET /api/v1/stream is upgraded, then frames (wire/frame.h) go both
 * ways.
 *
 * Happy path: HELLO, answered by WELCOME; PROFILEs, each an upload of its own, answered by an ACK
 * in the order in which the log takes them; BYE, or the end of what the client sends, answered by
 * BYE when every upload has its answer.
 *
 * Failure paths: what is wrong with one profile is a NACK, and the stream goes on: a frame that is
 * too large, or that the budget has no room for, is skipped by its length. A frame that breaks the
 * protocol is an ERROR, which ends the stream; so does silence. When the server stops, uploads on
 * their way end, BYE is said, and what was not acknowledged is the client's to send again,
 * anywhere.
 *
 * Bounded: IN_FLIGHT_MAX uploads, then nothing is read; a profile's memory is charged before it is
 * read; a peer that does not read its answers is hung up on.
 *
 * Sent again after a reconnection, (tenant, stream id, seq) is the same upload: it is counted once
 * and acknowledged again, as long as collector/retries.h remembers it.
 *
 * A session lives until its connection has gone and its last upload has ended.
 */
#include "base/clock.h"
#include "base/xalloc.h"
#include "collector/collector_int.h"
#include "collector/protocols/protocols.h"
#include "collector/protocols/stream_int.h"

#include <stdlib.h>

enum {
    IN_FLIGHT_MAX = 16,
    HELLO_MS = 10000,
    PING_MAX = 64,
    UNSENT_MAX = 256 << 10,
    FRAME_MS = 30000, /* longest wait for a whole PROFILE */
    RETRY_MS = 1000,
    SEQ_BYTES = 8, /* of a PROFILE: what has to be known to refuse it */
};

/* Legal moves, by bits of the next state. */
#define TO(state) (1u << (state))
static const unsigned legal_moves[] = {
    [SESSION_HELLO] = TO(SESSION_OPEN) | TO(SESSION_BYE) | TO(SESSION_OVER),
    [SESSION_OPEN] = TO(SESSION_BYE) | TO(SESSION_OVER),
    [SESSION_BYE] = TO(SESSION_OVER),
    [SESSION_OVER] = 0,
};

static void session_move(struct session *s, enum session_state next)
{
    CHECK(legal_moves[s->state] & TO(next));
    s->state = next;
}

static void session_unref(struct session *s)
{
    if (--s->refs)
        return;
    stream_upload_free(s->filling);
    buf_deinit(&s->tenant);
    buf_deinit(&s->agent);
    buf_deinit(&s->hello_payload);
    buf_deinit(&s->control);
    buf_deinit(&s->held);
    free(s);
}

/* ---- out --------------------------------------------------------------------------------------
 */

static void send_frame(struct session *s, struct buf *frame)
{
    if (s->io)
        http_stream_send(s->io, buf_bytes(frame));
    buf_deinit(frame);
}

static void send_plain(struct session *s, enum frame_type type, struct bytes payload)
{
    struct buf out = {0};

    frame_plain_write(&out, type, payload);
    send_frame(s, &out);
}

static void send_refusal(struct session *s, enum frame_type type, uint64_t seq,
                         const struct failure *f)
{
    bool later = f->status == 429 || f->status == 503;
    struct frame_nack nack = {
        .seq = seq,
        .status = (uint16_t)f->status,
        /* Spread, so that all who were refused do not come back at once. */
        .retry_ms = later ? RETRY_MS + (uint32_t)(clock_mono_ms() % RETRY_MS) : 0,
        .code = bytes_str(f->code),
        .message = bytes_str(f->message),
        .hint = bytes_str(f->hint),
    };
    struct buf out = {0};

    frame_nack_write(&out, type, &nack);
    send_frame(s, &out);
}

void session_nack(struct session *s, uint64_t seq, const struct failure *f)
{
    send_refusal(s, FRAME_NACK, seq, f);
}

void session_ack(struct session *s, const struct frame_ack *ack)
{
    struct buf out = {0};

    frame_ack_write(&out, ack);
    send_frame(s, &out);
}

/* Ends the connection, once what was said is written. Uploads go on. */
static void session_end(struct session *s)
{
    session_move(s, SESSION_OVER);
    if (s->io)
        http_stream_close(s->io);
}

static void session_error(struct session *s, const struct failure *f)
{
    upload_count_refused(ROUTE_STREAM, "", f);
    send_refusal(s, FRAME_ERROR, 0, f);
    session_end(s);
}

static void broken(struct session *s, const char *what)
{
    struct failure f;

    fail(&f, 400, "bad_frame", "docs/protocol.md has the frames", "%s", what);
    session_error(s, &f);
}

/* ---- uploads ----------------------------------------------------------------------------------
 */

static void feed(struct session *s, struct bytes in);

/* One upload less: what waits may be read. */
static void session_go_on(struct session *s)
{
    struct buf held = s->held;

    s->n_in_flight--;
    if (s->state == SESSION_BYE && s->n_in_flight == 0) {
        send_plain(s, FRAME_BYE, (struct bytes){0});
        session_end(s);
    }
    if (!s->paused || s->feeding || s->state != SESSION_OPEN)
        return;
    s->paused = false;
    s->held = (struct buf){0};
    feed(s, buf_bytes(&held));
    buf_deinit(&held);
    if (!s->paused && s->io)
        http_stream_resume(s->io);
}

void session_upload_over(struct session *s)
{
    session_go_on(s);
    session_unref(s);
}

static void end_profile(struct session *s)
{
    struct stream_upload *u = s->filling;

    s->filling = NULL;
    if (stream_upload_send(u))
        broken(s, "a PROFILE's tags do not fit into it");
}

/* ---- in ---------------------------------------------------------------------------------------
 */

/* Its number has come: is there room for the rest? */
static void begin_profile(struct session *s)
{
    struct stream_upload *u;
    struct http_charge *charge;
    struct failure f;

    /* Many small ones are mostly what stands around them. */
    charge = http_stream_charge(s->io, s->payload, sizeof *u, &f);
    u = charge ? xcalloc(1, sizeof *u) : NULL;
    if (u && buf_try_reserve(&u->payload, s->payload)) {
        fail(&f, 503, "overload", NULL, "no memory for %u bytes", s->payload);
        http_charge_free(charge);
        free(u);
        u = NULL;
    }
    if (!u) {
        s->skipping = true;
        upload_count_refused(ROUTE_STREAM, "", &f);
        session_nack(s, frame_seq(s->control.data), &f);
        return;
    }
    u->session = s;
    u->charge = charge;
    u->begun_ms = clock_mono_ms();
    buf_append_bytes(&u->payload, buf_bytes(&s->control));
    s->filling = u;
}

/* Tags that no upload could have are told at once. */
static int check_hello(struct session *s, struct failure *f)
{
    struct upload *probe = xcalloc(1, sizeof *probe);
    int r = upload_init(probe, s->collector, ROUTE_STREAM, buf_bytes(&s->tenant), f) ||
            stream_add_tags(&probe->job.intake, s->hello.tags, s->hello.n_tags, f);

    free(probe);
    return r;
}

static void on_hello(struct session *s)
{
    int64_t body_max = s->collector->options->body_max;
    struct frame_welcome welcome = {body_max < UINT32_MAX ? (uint32_t)body_max : UINT32_MAX,
                                    IN_FLIGHT_MAX, s->idle_ms};
    struct buf out = {0};
    struct failure f;

    s->hello_payload = s->control;
    s->control = (struct buf){0};
    if (frame_hello_read(buf_bytes(&s->hello_payload), &s->hello)) {
        broken(s, "HELLO is malformed");
    } else if (check_hello(s, &f)) {
        session_error(s, &f);
    } else {
        session_move(s, SESSION_OPEN);
        http_stream_set_idle(s->io, s->idle_ms);
        frame_welcome_write(&out, &welcome);
        send_frame(s, &out);
    }
}

static void say_bye(struct session *s)
{
    session_move(s, SESSION_BYE);
    if (s->n_in_flight)
        return;
    send_plain(s, FRAME_BYE, (struct bytes){0});
    session_end(s);
}

static void end_frame(struct session *s)
{
    s->n_head = 0;
    if (s->type == FRAME_PROFILE && s->skipping)
        s->skipping = false;
    else if (s->type == FRAME_PROFILE)
        end_profile(s);
    else if (s->type == FRAME_HELLO)
        on_hello(s);
    else if (s->type == FRAME_PING)
        send_plain(s, FRAME_PONG, buf_bytes(&s->control));
    else
        say_bye(s);
}

/* NULL, or what is wrong with it. */
static const char *frame_fault(const struct session *s)
{
    switch (s->type) {
    case FRAME_HELLO:
        return s->state != SESSION_HELLO        ? "HELLO was said before"
               : s->payload > FRAME_CONTROL_MAX ? "HELLO is too long"
                                                : NULL;
    case FRAME_PROFILE:
        return s->state != SESSION_OPEN          ? "the first frame is not HELLO"
               : s->payload < FRAME_PROFILE_HEAD ? "a PROFILE is too short"
                                                 : NULL;
    case FRAME_PING:
        return s->payload > PING_MAX ? "a PING is too long" : NULL;
    case FRAME_BYE:
        return s->payload ? "BYE has no payload" : NULL;
    default:
        return "a frame of this type is not known here";
    }
}

static void begin_frame(struct session *s)
{
    const char *fault = "a frame of no length";

    if (frame_head_read(s->head, &s->type, &s->payload) == 0)
        fault = frame_fault(s);
    if (fault) {
        broken(s, fault);
        return;
    }
    s->left = s->payload;
    buf_reset(&s->control);
    if (s->left == 0)
        end_frame(s);
}

/* Each takes bytes off the front, and says how many. */
static size_t take_head(struct session *s, struct bytes in)
{
    size_t want = FRAME_HEAD - s->n_head, n = in.len < want ? in.len : want;

    memcpy(s->head + s->n_head, in.data, n);
    s->n_head += n;
    if (s->n_head == FRAME_HEAD)
        begin_frame(s);
    return n;
}

static size_t take_payload(struct session *s, struct bytes in)
{
    size_t n = in.len < s->left ? in.len : s->left;
    bool numbering = s->type == FRAME_PROFILE && !s->filling && !s->skipping;

    if (numbering && n > SEQ_BYTES - s->control.len)
        n = SEQ_BYTES - s->control.len;
    if (s->filling)
        buf_append(&s->filling->payload, in.data, n);
    else if (!s->skipping)
        buf_append(&s->control, in.data, n);
    s->left -= (uint32_t)n;
    if (numbering && s->control.len == SEQ_BYTES)
        begin_profile(s);
    if (s->left == 0)
        end_frame(s);
    return n;
}

static bool is_reading(const struct session *s)
{
    return s->io && (s->state == SESSION_HELLO || s->state == SESSION_OPEN);
}

static void pause_reading(struct session *s, struct bytes in)
{
    s->paused = true;
    buf_append_bytes(&s->held, in);
    http_stream_pause(s->io);
}

/* Of a PROFILE that has begun the rest has to come sooner than the next one. */
static uint32_t wait_ms(const struct session *s)
{
    return s->filling && s->idle_ms > FRAME_MS ? FRAME_MS : s->idle_ms;
}

static void feed(struct session *s, struct bytes in)
{
    s->feeding = true;
    s->refs++;
    while (in.len && is_reading(s)) {
        bool in_frame = s->n_head == FRAME_HEAD;
        size_t n;

        if (s->n_in_flight >= IN_FLIGHT_MAX && !in_frame) {
            pause_reading(s, in);
            break;
        }
        n = in_frame ? take_payload(s, in) : take_head(s, in);
        in.data += n;
        in.len -= n;
    }
    s->feeding = false;
    if (is_reading(s) && s->state == SESSION_OPEN)
        http_stream_set_idle(s->io, wait_ms(s));
    if (is_reading(s) && http_stream_unsent(s->io) > UNSENT_MAX)
        session_end(s);
    session_unref(s);
}

/* ---- the connection ---------------------------------------------------------------------------
 */

static void timed_out(struct session *s)
{
    struct failure f;

    fail(&f, 408, "timeout",
         s->state == SESSION_OPEN ? "to stay without profiles, send a PING" : NULL, "%s",
         s->filling                  ? "a PROFILE was not whole in time"
         : s->state == SESSION_HELLO ? "HELLO did not come in time"
                                     : "nothing came for a long time");
    session_error(s, &f);
}

static void on_data(void *ctx, struct bytes in)
{
    struct session *s = ctx;

    if (s->paused)
        buf_append_bytes(&s->held, in);
    else if (s->filling && clock_mono_ms() - s->filling->begun_ms > FRAME_MS)
        timed_out(s);
    else
        feed(s, in);
}

/* As good as BYE: the client has said all, and may wait for its answers. What was not whole yet is
 * the client's to send again. */
static void on_ended(void *ctx)
{
    struct session *s = ctx;

    stream_upload_free(s->filling);
    s->filling = NULL;
    if (s->state < SESSION_BYE)
        say_bye(s);
}

static void on_give_way(void *ctx)
{
    struct session *s = ctx;
    struct failure f;

    if (!s->filling || s->feeding)
        return;
    stream_upload_free(s->filling); /* now, not when the connection has closed */
    s->filling = NULL;
    fail(&f, 408, "timeout", "setting: body_budget",
         "a PROFILE stood still while others needed its memory");
    session_error(s, &f);
}

static void on_idle(void *ctx)
{
    struct session *s = ctx;

    if (s->n_in_flight && !s->filling)
        http_stream_set_idle(s->io, s->idle_ms);
    else
        timed_out(s);
}

static void on_stop(void *ctx)
{
    struct session *s = ctx;

    if (s->state < SESSION_BYE)
        say_bye(s);
}

static void on_closed(void *ctx)
{
    struct session *s = ctx;

    s->io = NULL;
    if (s->state != SESSION_OVER)
        session_move(s, SESSION_OVER);
    session_unref(s);
}

static const struct http_stream_events events = {
    .data = on_data,
    .ended = on_ended,
    .give_way = on_give_way,
    .idle = on_idle,
    .stop = on_stop,
    .closed = on_closed,
};

static void ask_for_upgrade(struct http_request *req)
{
    struct buf body = {0};
    struct failure f;

    fail(&f, 426, "upgrade_required", "Connection: Upgrade, Upgrade: " FRAME_PROTOCOL,
         "this path is for streams");
    failure_json(&f, &body);
    http_respond_buf(req, f.status, "application/json", &body, "Upgrade: " FRAME_PROTOCOL "\r\n");
}

static void on_request(struct http_request *req, void *ctx)
{
    struct session *s;

    if (!http_wants_upgrade(req, FRAME_PROTOCOL)) {
        ask_for_upgrade(req);
        return;
    }
    s = xcalloc(1, sizeof *s);
    s->collector = ctx;
    s->refs = 1;
    buf_append_bytes(&s->tenant, http_header(req, "x-scope-orgid"));
    buf_append_bytes(&s->agent, http_header(req, "user-agent"));
    s->io = http_upgrade(req, FRAME_PROTOCOL, &events, s);
    s->idle_ms = http_stream_idle(s->io);
    http_stream_set_idle(s->io, HELLO_MS);
}

void stream_routes(struct http_server *http, struct collector *c)
{
    http_route(http, "GET", FRAME_PATH, on_request, c);
}
