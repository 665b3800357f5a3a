/*
 * A reader is a view that gets shorter; once something does not fit it is broken, and stays so: one
 * look at the end is enough. A writer leaves room for the length and fills it in at the end.
 */
#include "wire/frame.h"

#include <errno.h>

struct reader {
    struct bytes in;
    bool broken;
};

static uint64_t get(struct reader *r, size_t n)
{
    uint64_t v = 0;

    if (r->in.len < n) {
        r->broken = true;
        return 0;
    }
    for (size_t i = 0; i < n; i++)
        v = v << 8 | r->in.data[i];
    r->in.data += n;
    r->in.len -= n;
    return v;
}

static struct bytes get_bytes(struct reader *r, size_t n)
{
    struct bytes b = {r->in.data, n};

    if (r->in.len < n) {
        r->broken = true;
        return (struct bytes){0};
    }
    r->in.data += n;
    r->in.len -= n;
    return b;
}

static struct bytes get_string(struct reader *r)
{
    return get_bytes(r, (size_t)get(r, 2));
}

static size_t get_tags(struct reader *r, struct frame_tag tags[FRAME_TAGS_MAX])
{
    size_t n = (size_t)get(r, 2);

    r->broken |= n > FRAME_TAGS_MAX;
    for (size_t i = 0; i < n && !r->broken; i++) {
        tags[i].key = get_string(r);
        tags[i].value = get_string(r);
    }
    return r->broken ? 0 : n;
}

static int ended(const struct reader *r)
{
    return r->broken || r->in.len ? -EPROTO : 0;
}

int frame_head_read(const uint8_t head[FRAME_HEAD], enum frame_type *ret_type,
                    uint32_t *ret_payload)
{
    struct reader r = {{head, FRAME_HEAD}, false};
    uint32_t length = (uint32_t)get(&r, 4);

    if (length == 0)
        return -EPROTO;
    *ret_type = (enum frame_type)get(&r, 1);
    *ret_payload = length - 1;
    return 0;
}

int frame_hello_read(struct bytes payload, struct frame_hello *ret)
{
    struct reader r = {payload, false};
    struct bytes id = get_bytes(&r, FRAME_ID);

    if (r.broken)
        return -EPROTO;
    memcpy(ret->stream_id, id.data, FRAME_ID);
    ret->n_tags = get_tags(&r, ret->tags);
    return ended(&r);
}

uint64_t frame_seq(const uint8_t *payload)
{
    struct reader r = {{payload, 8}, false};

    return get(&r, 8);
}

int frame_profile_read(struct bytes payload, struct frame_profile *ret)
{
    struct reader r = {payload, false};

    ret->seq = get(&r, 8);
    ret->from_ns = (int64_t)get(&r, 8);
    ret->until_ns = (int64_t)get(&r, 8);
    ret->n_tags = get_tags(&r, ret->tags);
    ret->body = r.in;
    return r.broken ? -EPROTO : 0;
}

int frame_welcome_read(struct bytes payload, struct frame_welcome *ret)
{
    struct reader r = {payload, false};

    ret->body_max = (uint32_t)get(&r, 4);
    ret->in_flight_max = (uint32_t)get(&r, 4);
    ret->idle_ms = (uint32_t)get(&r, 4);
    return ended(&r);
}

int frame_ack_read(struct bytes payload, struct frame_ack *ret)
{
    struct reader r = {payload, false};

    ret->seq = get(&r, 8);
    ret->again = get(&r, 1) != 0;
    ret->from_ns = (int64_t)get(&r, 8);
    ret->until_ns = (int64_t)get(&r, 8);
    return ended(&r);
}

int frame_nack_read(enum frame_type type, struct bytes payload, struct frame_nack *ret)
{
    struct reader r = {payload, false};

    ret->seq = type == FRAME_NACK ? get(&r, 8) : 0;
    ret->status = (uint16_t)get(&r, 2);
    ret->retry_ms = (uint32_t)get(&r, 4);
    ret->code = get_string(&r);
    ret->message = get_string(&r);
    ret->hint = get_string(&r);
    return ended(&r);
}

static void put(struct buf *out, uint64_t v, size_t n)
{
    while (n--)
        buf_append_u8(out, (uint8_t)(v >> (8 * n)));
}

static void put_string(struct buf *out, struct bytes s)
{
    s.len = s.len < UINT16_MAX ? s.len : UINT16_MAX;
    put(out, s.len, 2);
    buf_append_bytes(out, s);
}

static void put_tags(struct buf *out, const struct frame_tag *tags, size_t n)
{
    n = n < FRAME_TAGS_MAX ? n : FRAME_TAGS_MAX;
    put(out, n, 2);
    for (size_t i = 0; i < n; i++) {
        put_string(out, tags[i].key);
        put_string(out, tags[i].value);
    }
}

/* Returns where the frame begins, for end(). */
static size_t begin(struct buf *out, enum frame_type type)
{
    size_t at = out->len;

    put(out, 0, 4);
    put(out, type, 1);
    return at;
}

/* more: bytes of the frame that are sent by themselves. */
static void end(struct buf *out, size_t at, size_t more)
{
    uint64_t length = out->len - at - 4 + more;

    CHECK(length <= UINT32_MAX);
    for (size_t i = 0; i < 4; i++)
        out->data[at + i] = (uint8_t)(length >> (8 * (3 - i)));
}

void frame_hello_write(struct buf *out, const struct frame_hello *f)
{
    size_t at = begin(out, FRAME_HELLO);

    buf_append(out, f->stream_id, FRAME_ID);
    put_tags(out, f->tags, f->n_tags);
    end(out, at, 0);
}

void frame_profile_write(struct buf *out, const struct frame_profile *f)
{
    size_t at = begin(out, FRAME_PROFILE);

    put(out, f->seq, 8);
    put(out, (uint64_t)f->from_ns, 8);
    put(out, (uint64_t)f->until_ns, 8);
    put_tags(out, f->tags, f->n_tags);
    end(out, at, f->body.len);
}

void frame_welcome_write(struct buf *out, const struct frame_welcome *f)
{
    size_t at = begin(out, FRAME_WELCOME);

    put(out, f->body_max, 4);
    put(out, f->in_flight_max, 4);
    put(out, f->idle_ms, 4);
    end(out, at, 0);
}

void frame_ack_write(struct buf *out, const struct frame_ack *f)
{
    size_t at = begin(out, FRAME_ACK);

    put(out, f->seq, 8);
    put(out, f->again, 1);
    put(out, (uint64_t)f->from_ns, 8);
    put(out, (uint64_t)f->until_ns, 8);
    end(out, at, 0);
}

void frame_nack_write(struct buf *out, enum frame_type type, const struct frame_nack *f)
{
    size_t at = begin(out, type);

    if (type == FRAME_NACK)
        put(out, f->seq, 8);
    put(out, f->status, 2);
    put(out, f->retry_ms, 4);
    put_string(out, f->code);
    put_string(out, f->message);
    put_string(out, f->hint);
    end(out, at, 0);
}

void frame_plain_write(struct buf *out, enum frame_type type, struct bytes payload)
{
    size_t at = begin(out, type);

    buf_append_bytes(out, payload);
    end(out, at, 0);
}
