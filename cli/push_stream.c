/*
 * hearth push --stream: the files one after the other, as many on their way as the server lets in,
 * each until its ACK. What the server has no room for now (NACK with a time) is sent again then.
 * When the connection breaks, another one goes on where it stopped, under the same stream id: the
 * server knows what it has counted.
 *
 * Blocking: it sends while it may, and reads when it may not.
 */
#include "base/backoff.h"
#include "base/clock.h"
#include "base/xalloc.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/files.h"
#include "cli/push.h"
#include "net/timeparam.h"
#include "wire/frame.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

enum { ANSWER_MS = 60000, HEAD_MAX = 16 << 10, ANSWER_BYTES_MAX = 256 << 10 };

enum item_state { ITEM_WAITING, ITEM_SENT, ITEM_TAKEN, ITEM_REFUSED };

struct item {
    const char *path;
    enum item_state state;
    struct buf body; /* once read, until it is taken or refused */
    int64_t not_before_ms;
    int tries;
};

struct stream {
    const struct push *push;
    struct client *client;
    struct frame_hello hello;
    int64_t from_ns, until_ns;
    struct frame_welcome welcome;
    struct buf in; /* has arrived, is not read yet */
    struct item *items;
    size_t n_items, in_flight;
    int status;
};

static void close_item(struct item *item, enum item_state state)
{
    item->state = state;
    buf_deinit(&item->body);
}

static void refuse_item(struct stream *s, struct item *item, const struct failure *f)
{
    s->status = push_refused(item->path, f);
    close_item(item, ITEM_REFUSED);
}

/* ---- frames -----------------------------------------------------------------------------------
 */

static int broken(struct failure *f, const char *what)
{
    return fail(f, 502, "bad_frame", NULL, "the server's answer cannot be read: %s", what);
}

/* Waits for more bytes. */
static int fill(struct stream *s, struct failure *f)
{
    uint8_t piece[4096];
    size_t n;

    if (client_recv(s->client, piece, sizeof piece, ANSWER_MS, &n, f))
        return FAILURE;
    buf_append(&s->in, piece, n);
    return n ? 0 : fail(f, 504, "no_answer", NULL, "the server says nothing");
}

static void consume(struct buf *b, size_t n)
{
    memmove(b->data, b->data + n, b->len - n);
    b->len -= n;
}

static int fill_to(struct stream *s, size_t n, struct failure *f)
{
    while (s->in.len < n)
        if (fill(s, f))
            return FAILURE;
    return 0;
}

/* A whole frame at the front of s->in, which the caller consumes: *ret_size bytes. */
static int next_frame(struct stream *s, enum frame_type *ret_type, struct bytes *ret_payload,
                      size_t *ret_size, struct failure *f)
{
    uint32_t n;

    if (fill_to(s, FRAME_HEAD, f))
        return FAILURE;
    if (frame_head_read(s->in.data, ret_type, &n) || n > ANSWER_BYTES_MAX)
        return broken(f, "its frame's length");
    if (fill_to(s, FRAME_HEAD + (size_t)n, f))
        return FAILURE;
    *ret_payload = bytes_of(s->in.data + FRAME_HEAD, n);
    *ret_size = FRAME_HEAD + (size_t)n;
    return 0;
}

/* The server's own words. */
static int fail_as_told(const struct frame_nack *n, struct failure *f)
{
    struct failure told = {.status = n->status};

    snprintf(told.code, sizeof told.code, "%.*s", (int)n->code.len, (const char *)n->code.data);
    snprintf(told.message, sizeof told.message, "%.*s", (int)n->message.len,
             (const char *)n->message.data);
    snprintf(told.hint, sizeof told.hint, "%.*s", (int)n->hint.len, (const char *)n->hint.data);
    *f = told;
    return FAILURE;
}

/* ---- the connection ---------------------------------------------------------------------------
 */

static int fail_upgrade(const char *head, struct failure *f)
{
    int status = 0;

    sscanf(head, "HTTP/1.%*d %d", &status);
    return fail(f, 502, "no_stream", "without --stream each file is a POST",
                "the server does not take streams: it answered %d", status);
}

static const char *end_of_head(const struct buf *in)
{
    return in->len ? memmem(in->data, in->len, "\r\n\r\n", 4) : NULL;
}

static int upgrade(struct stream *s, struct failure *f)
{
    struct buf request = {0};
    const char *end;
    int r;

    buf_printf(&request,
               "GET " FRAME_PATH " HTTP/1.1\r\nHost: %s\r\nUser-Agent: hearth/" HEARTH_VERSION
               "\r\nConnection: Upgrade\r\nUpgrade: " FRAME_PROTOCOL "\r\n",
               client_host(s->client));
    if (s->push->tenant)
        buf_printf(&request, "X-Scope-OrgID: %s\r\n", s->push->tenant);
    buf_append_str(&request, "\r\n");
    r = client_send(s->client, buf_bytes(&request), f);
    buf_deinit(&request);
    while (r == 0 && !(end = end_of_head(&s->in)))
        r = s->in.len < HEAD_MAX ? fill(s, f) : broken(f, "its header does not end");
    if (r)
        return r;
    if (!bytes_starts(buf_bytes(&s->in), BYTES_LIT("HTTP/1.1 101 ")))
        return fail_upgrade(buf_cstr(&s->in), f);
    consume(&s->in, (size_t)(end + 4 - (const char *)s->in.data));
    return 0;
}

static int greet(struct stream *s, struct failure *f)
{
    struct buf out = {0};
    enum frame_type type;
    struct bytes payload;
    struct frame_nack told;
    size_t size;
    int r;

    frame_hello_write(&out, &s->hello);
    r = client_send(s->client, buf_bytes(&out), f);
    buf_deinit(&out);
    if (r || next_frame(s, &type, &payload, &size, f))
        return FAILURE;
    if (type == FRAME_ERROR && frame_nack_read(type, payload, &told) == 0)
        return fail_as_told(&told, f);
    if (type != FRAME_WELCOME || frame_welcome_read(payload, &s->welcome) ||
        s->welcome.in_flight_max == 0)
        return broken(f, "it is not WELCOME");
    consume(&s->in, size);
    return 0;
}

/* What was on its way is to be sent again. */
static int connect_anew(struct stream *s, struct failure *f)
{
    client_free(s->client);
    s->client = client_new(s->push->server);
    buf_reset(&s->in);
    s->in_flight = 0;
    for (size_t i = 0; i < s->n_items; i++)
        if (s->items[i].state == ITEM_SENT)
            s->items[i].state = ITEM_WAITING;
    return client_connect(s->client, f) || upgrade(s, f) || greet(s, f);
}

/* ---- profiles ---------------------------------------------------------------------------------
 */

/* False: there is nothing to send of it. */
static bool load(struct stream *s, struct item *item)
{
    struct failure f;

    if (item->body.len == 0 && file_read(item->path, &item->body, &f)) {
        refuse_item(s, item, &f);
        return false;
    }
    if (item->body.len + FRAME_PROFILE_HEAD <= s->welcome.body_max)
        return true;
    fail(&f, 413, "body_too_large", "setting: body_max",
         "it has %zu bytes, the server takes no more than %u", item->body.len,
         s->welcome.body_max - FRAME_PROFILE_HEAD);
    refuse_item(s, item, &f);
    return false;
}

static int send_item(struct stream *s, struct item *item, struct failure *f)
{
    struct frame_profile p = {.seq = (uint64_t)(item - s->items),
                              .from_ns = s->from_ns,
                              .until_ns = s->until_ns,
                              .body = buf_bytes(&item->body)};
    struct buf head = {0};
    int r;

    frame_profile_write(&head, &p);
    r = client_send(s->client, buf_bytes(&head), f) || client_send(s->client, p.body, f);
    buf_deinit(&head);
    if (r)
        return FAILURE;
    item->state = ITEM_SENT;
    item->tries++;
    s->in_flight++;
    return 0;
}

/* The next that may be sent now; NULL: none. *ret_wait_ms: until one may, -1: none waits. */
static struct item *next_item(struct stream *s, int *ret_wait_ms)
{
    int64_t now_ms = clock_mono_ms(), wait_ms = -1;

    for (size_t i = 0; i < s->n_items; i++) {
        struct item *item = &s->items[i];
        int64_t left_ms = item->not_before_ms - now_ms;

        if (item->state != ITEM_WAITING)
            continue;
        if (left_ms <= 0)
            return item;
        wait_ms = wait_ms < 0 || left_ms < wait_ms ? left_ms : wait_ms;
    }
    *ret_wait_ms = (int)wait_ms;
    return NULL;
}

static void on_ack(struct stream *s, struct item *item, const struct frame_ack *ack)
{
    struct buf told = {0};

    if (ack->until_ns)
        push_told_range(&told, ack->from_ns, ack->until_ns);
    push_warn_if_old(item->path, ack->until_ns);
    push_taken(s->push, item->path, &told);
    buf_deinit(&told);
    close_item(item, ITEM_TAKEN);
}

static void on_nack(struct stream *s, struct item *item, const struct frame_nack *n)
{
    struct failure f;

    if (n->retry_ms && item->tries < PUSH_TRIES_MAX) {
        item->state = ITEM_WAITING;
        item->not_before_ms = clock_mono_ms() + n->retry_ms;
        return;
    }
    fail_as_told(n, &f);
    refuse_item(s, item, &f);
}

static struct item *item_of(struct stream *s, uint64_t seq)
{
    return seq < s->n_items && s->items[seq].state == ITEM_SENT ? &s->items[seq] : NULL;
}

static int on_frame(struct stream *s, enum frame_type type, struct bytes payload, struct failure *f)
{
    struct frame_ack ack;
    struct frame_nack nack;
    struct item *item = NULL;

    if (type == FRAME_ACK && frame_ack_read(payload, &ack) == 0 && (item = item_of(s, ack.seq)))
        on_ack(s, item, &ack);
    else if (type == FRAME_NACK && frame_nack_read(type, payload, &nack) == 0 &&
             (item = item_of(s, nack.seq)))
        on_nack(s, item, &nack);
    else if (type == FRAME_ERROR && frame_nack_read(type, payload, &nack) == 0)
        return fail_as_told(&nack, f);
    else if (type == FRAME_BYE)
        return fail(f, 503, "server_stops", NULL, "the server says goodbye");
    else
        return broken(f, "an answer to nothing that was asked");
    s->in_flight--;
    return 0;
}

static int read_answer(struct stream *s, struct failure *f)
{
    enum frame_type type;
    struct bytes payload;
    size_t size;

    if (next_frame(s, &type, &payload, &size, f) || on_frame(s, type, payload, f))
        return FAILURE;
    consume(&s->in, size);
    return 0;
}

/* Until every file has its answer. FAILURE: the connection has ended before. */
static int run(struct stream *s, struct failure *f)
{
    for (;;) {
        int wait_ms = -1;
        struct item *item = next_item(s, &wait_ms);

        if (item && s->in_flight < s->welcome.in_flight_max) {
            if (load(s, item) && send_item(s, item, f))
                return FAILURE;
        } else if (s->in_flight) {
            if (read_answer(s, f))
                return FAILURE;
        } else if (wait_ms >= 0) {
            usleep((unsigned)wait_ms * 1000u);
        } else {
            return 0;
        }
    }
}

static void say_bye(struct stream *s)
{
    struct buf out = {0};
    enum frame_type type;
    struct bytes payload;
    struct failure f;
    size_t size;

    frame_plain_write(&out, FRAME_BYE, (struct bytes){0});
    if (client_send(s->client, buf_bytes(&out), &f) == 0)
        next_frame(s, &type, &payload, &size, &f);
    buf_deinit(&out);
}

static size_t n_open(const struct stream *s)
{
    size_t n = 0;

    for (size_t i = 0; i < s->n_items; i++)
        n += s->items[i].state == ITEM_WAITING || s->items[i].state == ITEM_SENT;
    return n;
}

static bool may_come_again(const struct failure *f)
{
    return f->status >= 500 && strcmp(f->code, "no_stream") != 0;
}

/* Connections, one after the other, as long as they bring something. */
static int run_all(struct stream *s, struct failure *f)
{
    struct backoff backoff = {.min_ms = 200, .max_ms = 5000};
    size_t open = n_open(s);

    for (int tries = 0; tries < PUSH_TRIES_MAX; tries++) {
        if (tries)
            usleep(backoff_next(&backoff) * 1000);
        if (connect_anew(s, f) == 0 && run(s, f) == 0) {
            say_bye(s);
            return 0;
        }
        if (!may_come_again(f) || !s->welcome.in_flight_max) /* there never was a connection */
            return FAILURE;
        tries = n_open(s) < open ? 0 : tries;
        open = n_open(s);
    }
    return FAILURE;
}

static int read_time(const char *text, int64_t *ret_ns)
{
    return text ? time_param(bytes_str(text), clock_wall_ns(), ret_ns) : 0;
}

static void add_tag(struct frame_hello *hello, const char *key, size_t len, const char *value)
{
    hello->tags[hello->n_tags++] = (struct frame_tag){bytes_of(key, len), bytes_str(value)};
}

static void add_hint(struct frame_hello *hello, const char *key, const char *value)
{
    if (value && *value)
        add_tag(hello, key, strlen(key), value);
}

static void make_hello(struct stream *s)
{
    const struct push *p = s->push;

    CHECK(getrandom(s->hello.stream_id, FRAME_ID, 0) == FRAME_ID);
    add_tag(&s->hello, "service", strlen("service"), p->service);
    add_hint(&s->hello, "format", p->format);
    add_hint(&s->hello, "sample_type", p->sample_type);
    add_hint(&s->hello, "unit", p->unit);
    add_hint(&s->hello, "sample_rate", p->sample_rate);
    for (size_t i = 0; i < p->n_tags; i++) {
        const char *equals = strchr(p->tags[i], '=');

        add_tag(&s->hello, p->tags[i], (size_t)(equals - p->tags[i]), equals + 1);
    }
}

int push_stream(const struct push *p, char *const *paths, size_t n)
{
    struct stream s = {.push = p, .n_items = n};
    struct failure f;

    if (read_time(p->from, &s.from_ns) || read_time(p->until, &s.until_ns))
        return wrong_usage("push", "--from or --until is no time");
    make_hello(&s);
    s.items = xcalloc(n, sizeof *s.items);
    for (size_t i = 0; i < n; i++)
        s.items[i].path = paths[i];
    if (run_all(&s, &f))
        s.status = complain("push", &f);
    for (size_t i = 0; i < n; i++)
        buf_deinit(&s.items[i].body);
    free(s.items);
    buf_deinit(&s.in);
    client_free(s.client);
    return s.status;
}
