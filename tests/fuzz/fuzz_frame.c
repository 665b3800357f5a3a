/*
 * One frame of the stream. Views stay inside the payload; what was read and can be written gives
 * the bytes that were read.
 */
#include "wire/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_view(struct bytes in, struct bytes view)
{
    CHECK(view.len == 0 || (view.data >= in.data && view.data + view.len <= in.data + in.len));
}

static void check_tags(struct bytes in, const struct frame_tag *tags, size_t n)
{
    CHECK(n <= FRAME_TAGS_MAX);
    for (size_t i = 0; i < n; i++) {
        check_view(in, tags[i].key);
        check_view(in, tags[i].value);
    }
}

static void check_hello(struct bytes in, struct buf *out)
{
    struct frame_hello f;

    if (frame_hello_read(in, &f))
        return;
    check_tags(in, f.tags, f.n_tags);
    frame_hello_write(out, &f);
}

static void check_profile(struct bytes in, struct buf *out)
{
    struct frame_profile f;

    if (frame_profile_read(in, &f))
        return;
    CHECK(frame_seq(in.data) == f.seq);
    check_tags(in, f.tags, f.n_tags);
    check_view(in, f.body);
    frame_profile_write(out, &f);
    buf_append_bytes(out, f.body);
}

static void check_nack(enum frame_type type, struct bytes in, struct buf *out)
{
    struct frame_nack f;

    if (frame_nack_read(type, in, &f))
        return;
    check_view(in, f.code);
    check_view(in, f.message);
    check_view(in, f.hint);
    frame_nack_write(out, type, &f);
}

/* Flags are read as they are meant, not as they are written. */
static void check_ack(struct bytes in, struct buf *out)
{
    enum { AGAIN = 8 };
    struct frame_ack f;

    if (frame_ack_read(in, &f) == 0 && in.data[AGAIN] <= 1)
        frame_ack_write(out, &f);
}

static void check_welcome(struct bytes in, struct buf *out)
{
    struct frame_welcome f;

    if (frame_welcome_read(in, &f) == 0)
        frame_welcome_write(out, &f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct buf out = {0};
    enum frame_type type;
    uint32_t payload;
    struct bytes in;

    if (len < FRAME_HEAD || frame_head_read(data, &type, &payload))
        return 0;
    in = bytes_of(data + FRAME_HEAD, len - FRAME_HEAD);
    if (type == FRAME_HELLO)
        check_hello(in, &out);
    else if (type == FRAME_PROFILE)
        check_profile(in, &out);
    else if (type == FRAME_ACK)
        check_ack(in, &out);
    else if (type == FRAME_WELCOME)
        check_welcome(in, &out);
    else if (type == FRAME_NACK || type == FRAME_ERROR)
        check_nack(type, in, &out);
    if (out.len) {
        CHECK(out.len == len);
        CHECK(memcmp(out.data + FRAME_HEAD, in.data, in.len) == 0);
    }
    buf_deinit(&out);
    return 0;
}
