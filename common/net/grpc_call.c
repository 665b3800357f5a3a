/*
 * A call: its metadata, its one message, its answer. Each message stands behind a flag (1: it is
 * compressed as grpc-encoding says) and its length in four bytes; a unary call has exactly one.
 *
 * What the peer sends is charged to the budget before it is kept: the call and its metadata as they
 * come, the message as soon as its length is known. A call is refused as early as it can be; what
 * still comes of it is not looked at.
 */
#include "base/xalloc.h"
#include "net/grpc_int.h"

#include <stdio.h>
#include <stdlib.h>

static int charge(struct grpc_call *c, size_t more)
{
    if (body_budget_take(c->core->limits.budget, more, &c->failure))
        return FAILURE;
    c->charged += more;
    return 0;
}

/* What is not needed once the answer is known. */
static void release(struct grpc_call *c)
{
    buf_deinit(&c->message);
    buf_deinit(&c->metadata);
    c->n_pairs = 0;
    body_budget_give(c->core->limits.budget, c->charged);
    c->charged = 0;
}

struct grpc_call *grpc_call_new(struct grpc_session *s, int32_t stream)
{
    struct grpc_call *c = xcalloc(1, sizeof *c);

    c->core = s->core;
    c->session = s;
    c->stream = stream;
    c->since_ms = c->heard_ms = s->now_ms;
    c->core->n_calls++;
    list_append(&s->calls, &c->link);
    charge(c, GRPC_CALL_BYTES);
    return c;
}

void grpc_call_free(struct grpc_call *c)
{
    struct grpc_core *core = c->core;

    list_remove(&c->link);
    release(c);
    buf_deinit(&c->out);
    free(c->text);
    free(c);
    core->n_calls--;
    if (core->call_gone)
        core->call_gone(core->ctx);
}

int grpc_call_add(struct grpc_call *c, struct bytes name, struct bytes value)
{
    size_t max = c->core->limits.header_bytes_max, at = c->metadata.len;

    if (c->failure.code[0])
        return FAILURE;
    if (c->n_pairs == GRPC_METADATA_MAX || name.len + value.len > max - at)
        return fail(&c->failure, 431, "header_too_large", NULL,
                    "the metadata exceeds %zu bytes, or %d entries", max, GRPC_METADATA_MAX);
    if (charge(c, name.len + value.len))
        return FAILURE;
    buf_append_bytes(&c->metadata, name);
    buf_append_bytes(&c->metadata, value);
    c->pairs[c->n_pairs++] = (struct grpc_pair){(uint32_t)at, (uint32_t)name.len,
                                                (uint32_t)(at + name.len), (uint32_t)value.len};
    return 0;
}

struct bytes grpc_metadata(const struct grpc_call *c, const char *name)
{
    for (size_t i = 0; i < c->n_pairs; i++) {
        const struct grpc_pair *p = &c->pairs[i];

        if (bytes_equal(bytes_of(c->metadata.data + p->name, p->name_len), bytes_str(name)))
            return bytes_of(c->metadata.data + p->value, p->value_len);
    }
    return (struct bytes){0};
}

struct bytes grpc_message(const struct grpc_call *c)
{
    return buf_bytes(&c->message);
}

static const struct grpc_route *find_route(const struct grpc_core *core, struct bytes path)
{
    for (size_t i = 0; i < core->n_routes; i++)
        if (bytes_equal(path, bytes_str(core->routes[i].path)))
            return &core->routes[i];
    return NULL;
}

static bool is_known_encoding(struct bytes e)
{
    return e.len == 0 || bytes_equal(e, BYTES_LIT("identity")) ||
           bytes_equal(e, BYTES_LIT("gzip")) || bytes_equal(e, BYTES_LIT("zstd"));
}

int grpc_call_check_head(struct grpc_call *c)
{
    struct bytes path = grpc_metadata(c, ":path"), encoding = grpc_metadata(c, "grpc-encoding");

    if (c->failure.code[0])
        return FAILURE;
    c->unimplemented = true;
    c->route = find_route(c->core, path);
    if (!c->route)
        return fail(&c->failure, 404, "not_found", NULL, "nothing is served at \"%.*s\"",
                    (int)(path.len < 200 ? path.len : 200), (const char *)path.data);
    if (!is_known_encoding(encoding))
        return fail(&c->failure, 415, "grpc_encoding", NULL,
                    "the grpc-encoding \"%.*s\" is not known: identity, gzip or zstd",
                    (int)(encoding.len < 40 ? encoding.len : 40), (const char *)encoding.data);
    c->unimplemented = false;
    return 0;
}

static int malformed(struct grpc_call *c, const char *what)
{
    return fail(&c->failure, 400, "malformed", NULL, "malformed call: %s", what);
}

static int begin_message(struct grpc_call *c)
{
    const uint8_t *p = c->prefix;
    size_t max = c->core->limits.body_bytes_max;
    struct bytes encoding = grpc_metadata(c, "grpc-encoding");

    c->length = (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4];
    if (p[0] > 1)
        return malformed(c, "the flag before a message is 0 or 1");
    if (p[0] == 1 && (encoding.len == 0 || bytes_equal(encoding, BYTES_LIT("identity"))))
        return malformed(c, "the message says it is compressed, grpc-encoding does not say how");
    if (c->length > max)
        return fail(&c->failure, 413, "body_too_large", "setting: body_max",
                    "the message has %u bytes, the limit is %zu", c->length, max);
    if (charge(c, c->length))
        return FAILURE;
    if (buf_try_reserve(&c->message, c->length))
        return fail(&c->failure, 503, "overload", NULL, "no memory for %u bytes", c->length);
    return 0;
}

int grpc_call_feed(struct grpc_call *c, struct bytes in)
{
    if (c->failure.code[0])
        return FAILURE;
    c->heard_ms = c->session->now_ms;
    for (; in.len && c->n_prefix < GRPC_PREFIX; in.data++, in.len--) {
        c->prefix[c->n_prefix++] = *in.data;
        if (c->n_prefix == GRPC_PREFIX && begin_message(c))
            return FAILURE;
    }
    if (in.len > c->length - c->message.len)
        return malformed(c, "there is more than the one message");
    buf_append_bytes(&c->message, in);
    return 0;
}

int grpc_call_finish(struct grpc_call *c)
{
    if (c->failure.code[0])
        return FAILURE;
    if (c->n_prefix < GRPC_PREFIX)
        return malformed(c, "there is no message");
    return c->message.len == c->length ? 0 : malformed(c, "the message ends early");
}

char *grpc_percent_encode(const char *text)
{
    static const char hex[] = "0123456789ABCDEF";
    char *out = xmalloc(strlen(text) * 3 + 1), *at = out;

    for (; *text; text++) {
        uint8_t b = (uint8_t)*text;

        if (b >= 0x20 && b < 0x7f && b != '%') {
            *at++ = (char)b;
            continue;
        }
        *at++ = '%';
        *at++ = hex[b >> 4];
        *at++ = hex[b & 15];
    }
    *at = '\0';
    return out;
}

static void put_message(struct buf *out, struct bytes message)
{
    uint32_t n = (uint32_t)message.len;
    uint8_t prefix[GRPC_PREFIX] = {0, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8),
                                   (uint8_t)n};

    CHECK(message.len <= UINT32_MAX);
    buf_append(out, prefix, sizeof prefix);
    buf_append_bytes(out, message);
}

void grpc_respond(struct grpc_call *c, enum grpc_status status, struct bytes message,
                  const char *text)
{
    CHECK(!c->answered);
    c->answered = true;
    grpc_count(status);
    if (!c->session) {
        grpc_call_free(c);
        return;
    }
    c->status = status;
    c->text = text && *text ? grpc_percent_encode(text) : NULL;
    if (status == GRPC_OK)
        put_message(&c->out, message);
    release(c);
    grpc_session_answer(c);
}

enum grpc_status grpc_status_of(int http_status)
{
    switch (http_status) {
    case 200:
        return GRPC_OK;
    case 408:
        return GRPC_DEADLINE_EXCEEDED;
    case 413:
    case 431:
        return GRPC_RESOURCE_EXHAUSTED;
    case 429:
    case 503:
        return GRPC_UNAVAILABLE;
    default:
        return http_status >= 400 && http_status < 500 ? GRPC_INVALID_ARGUMENT : GRPC_INTERNAL;
    }
}

void grpc_call_refuse(struct grpc_call *c)
{
    enum grpc_status status =
        c->unimplemented ? GRPC_UNIMPLEMENTED : grpc_status_of(c->failure.status);

    grpc_respond(c, status, (struct bytes){0}, c->failure.message);
}
