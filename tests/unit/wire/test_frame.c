#include "wire/frame.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* The payload of the frame in b, whose head must say its length and type. */
static struct bytes payload_of(const struct buf *b, enum frame_type want)
{
    enum frame_type type;
    uint32_t n;

    assert_int_equal(frame_head_read(b->data, &type, &n), 0);
    assert_int_equal(type, want);
    assert_int_equal(n, b->len - FRAME_HEAD);
    return bytes_of(b->data + FRAME_HEAD, n);
}

/* Every payload that is cut short is malformed, and so is one with a byte too many. */
#define ASSERT_EXACT(read, payload)                                                                \
    do {                                                                                           \
        struct bytes p_ = (payload);                                                               \
        uint8_t *copy_ = malloc(p_.len + 1);                                                       \
                                                                                                   \
        memcpy(copy_, p_.data, p_.len);                                                            \
        copy_[p_.len] = 0;                                                                         \
        for (size_t n_ = 0; n_ <= p_.len + 1; n_++) {                                              \
            struct bytes in_ = bytes_of(copy_, n_);                                                \
            assert_int_equal(read, n_ == p_.len ? 0 : -EPROTO);                                    \
        }                                                                                          \
        free(copy_);                                                                               \
    } while (0)

static void bytes_are_as_the_specification_draws_them(void **state)
{
    struct frame_hello hello = {.stream_id = "0123456789abcde", .n_tags = 1};
    struct frame_profile profile = {
        .seq = 258, .from_ns = 1, .until_ns = 2, .body = BYTES_LIT("xyz")};
    struct buf b = {0};

    (void)state;
    hello.tags[0] = (struct frame_tag){BYTES_LIT("service"), BYTES_LIT("a")};
    frame_hello_write(&b, &hello);
    assert_int_equal(b.len, 35);
    assert_memory_equal(b.data,
                        "\0\0\0\x1f\1"
                        "0123456789abcde\0"
                        "\0\1"
                        "\0\7service"
                        "\0\1a",
                        35);
    buf_reset(&b);
    frame_profile_write(&b, &profile);
    assert_int_equal(b.len, 31);
    assert_memory_equal(b.data,
                        "\0\0\0\x1e\2"
                        "\0\0\0\0\0\0\1\2"
                        "\0\0\0\0\0\0\0\1"
                        "\0\0\0\0\0\0\0\2"
                        "\0\0",
                        31);
    buf_reset(&b);
    frame_plain_write(&b, FRAME_BYE, (struct bytes){0});
    assert_memory_equal(b.data, "\0\0\0\1\4", 5);
    buf_deinit(&b);
}

static void hello_comes_back_and_is_malformed_at_every_other_length(void **state)
{
    struct frame_hello f = {.n_tags = 2}, back;
    struct buf b = {0};

    (void)state;
    memset(f.stream_id, 0xab, FRAME_ID);
    f.tags[0] = (struct frame_tag){BYTES_LIT("service"), BYTES_LIT("shop")};
    f.tags[1] = (struct frame_tag){BYTES_LIT("empty"), BYTES_LIT("")};
    frame_hello_write(&b, &f);
    ASSERT_EXACT(frame_hello_read(in_, &back), payload_of(&b, FRAME_HELLO));
    assert_int_equal(frame_hello_read(payload_of(&b, FRAME_HELLO), &back), 0);
    assert_memory_equal(back.stream_id, f.stream_id, FRAME_ID);
    assert_int_equal(back.n_tags, 2);
    assert_true(bytes_equal(back.tags[0].value, BYTES_LIT("shop")));
    assert_true(bytes_equal(back.tags[1].key, BYTES_LIT("empty")));
    assert_int_equal(back.tags[1].value.len, 0);
    buf_deinit(&b);
}

static void a_profile_is_all_that_stands_behind_its_tags(void **state)
{
    struct frame_profile f = {.seq = UINT64_MAX, .from_ns = -5, .until_ns = INT64_MAX, .n_tags = 1},
                         back;
    struct buf b = {0};
    struct bytes p;
    size_t head;

    (void)state;
    f.tags[0] = (struct frame_tag){BYTES_LIT("k"), BYTES_LIT("v")};
    f.body = BYTES_LIT("profile");
    frame_profile_write(&b, &f);
    head = b.len - FRAME_HEAD;
    buf_append_bytes(&b, f.body);
    p = payload_of(&b, FRAME_PROFILE);
    assert_int_equal(frame_seq(p.data), UINT64_MAX);
    for (size_t n = 0; n <= p.len; n++) {
        assert_int_equal(frame_profile_read(bytes_of(p.data, n), &back), n < head ? -EPROTO : 0);
        if (n >= head)
            assert_int_equal(back.body.len, n - head);
    }
    assert_true(back.seq == UINT64_MAX && back.from_ns == -5 && back.until_ns == INT64_MAX);
    assert_true(bytes_equal(back.body, f.body));
    buf_deinit(&b);
}

static void answers_come_back_and_are_malformed_at_every_other_length(void **state)
{
    struct frame_welcome welcome = {1, 2, 3}, welcome_back;
    struct frame_ack ack = {7, true, 5, -6}, ack_back;
    struct frame_nack nack = {.seq = 8, .status = 503, .retry_ms = 1500}, nack_back;
    struct buf b = {0};

    (void)state;
    frame_welcome_write(&b, &welcome);
    ASSERT_EXACT(frame_welcome_read(in_, &welcome_back), payload_of(&b, FRAME_WELCOME));
    buf_reset(&b);
    frame_ack_write(&b, &ack);
    ASSERT_EXACT(frame_ack_read(in_, &ack_back), payload_of(&b, FRAME_ACK));
    assert_int_equal(frame_ack_read(payload_of(&b, FRAME_ACK), &ack_back), 0);
    assert_true(ack_back.seq == 7 && ack_back.again && ack_back.from_ns == 5 &&
                ack_back.until_ns == -6);
    nack.code = BYTES_LIT("overload");
    nack.message = BYTES_LIT("come again");
    for (enum frame_type type = FRAME_NACK; type <= FRAME_ERROR; type += 2) {
        buf_reset(&b);
        frame_nack_write(&b, type, &nack);
        ASSERT_EXACT(frame_nack_read(type, in_, &nack_back), payload_of(&b, type));
        assert_int_equal(frame_nack_read(type, payload_of(&b, type), &nack_back), 0);
        assert_int_equal(nack_back.seq, type == FRAME_NACK ? 8 : 0);
        assert_int_equal(nack_back.status, 503);
        assert_int_equal(nack_back.retry_ms, 1500);
        assert_true(bytes_equal(nack_back.code, nack.code));
        assert_true(bytes_equal(nack_back.message, nack.message));
        assert_int_equal(nack_back.hint.len, 0);
    }
    buf_deinit(&b);
}

static void too_many_tags_are_malformed(void **state)
{
    uint8_t payload[FRAME_ID + 2 + (FRAME_TAGS_MAX + 1) * 4] = {0};
    struct frame_hello back;

    (void)state;
    payload[FRAME_ID + 1] = FRAME_TAGS_MAX;
    assert_int_equal(frame_hello_read(bytes_of(payload, sizeof payload - 4), &back), 0);
    assert_int_equal(back.n_tags, FRAME_TAGS_MAX);
    payload[FRAME_ID + 1] = FRAME_TAGS_MAX + 1;
    assert_int_equal(frame_hello_read(bytes_of(payload, sizeof payload), &back), -EPROTO);
}

static void a_frame_has_a_type_at_least(void **state)
{
    enum frame_type type;
    uint32_t n;

    (void)state;
    assert_int_equal(frame_head_read((const uint8_t *)"\0\0\0\0\1", &type, &n), -EPROTO);
    assert_int_equal(frame_head_read((const uint8_t *)"\xff\xff\xff\xff\2", &type, &n), 0);
    assert_int_equal(n, UINT32_MAX - 1);
    assert_int_equal(type, FRAME_PROFILE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_as_the_specification_draws_them),
        cmocka_unit_test(hello_comes_back_and_is_malformed_at_every_other_length),
        cmocka_unit_test(a_profile_is_all_that_stands_behind_its_tags),
        cmocka_unit_test(answers_come_back_and_are_malformed_at_every_other_length),
        cmocka_unit_test(too_many_tags_are_malformed),
        cmocka_unit_test(a_frame_has_a_type_at_least),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
