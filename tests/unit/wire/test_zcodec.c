/* zcodec: what is packed unpacks, whatever its parts; and nothing else is taken. */
#include "lib/random.h"
#include "wire/zcodec.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { SIZE = 20000, KINDS = ZKIND_TEXTS + 1 };

static uint8_t texts[SIZE], numbers[SIZE], noise[SIZE];

static struct bytes whole(const uint8_t *data)
{
    return bytes_of(data, SIZE);
}

/* Words; bytes of which small ones are frequent and nothing repeats; bytes of which nothing is. */
static int fill(void **state)
{
    static const char *const words[] = {"org/", "apache/", "kafka/", "server", ".run", ".handle"};
    uint64_t seed = 1;
    size_t at = 0;

    (void)state;
    while (at < SIZE)
        for (const char *c = words[random_next(&seed) % 6]; *c && at < SIZE; c++)
            texts[at++] = (uint8_t)*c;
    for (size_t i = 0; i < SIZE; i++) {
        uint64_t r = random_next(&seed);

        noise[i] = (uint8_t)(r >> 32);
        numbers[i] = (uint8_t)((r & 0xff) % (1 + (r >> 8 & 0xff) % 64));
    }
    return 0;
}

static size_t packed_size(const struct zpart *parts, size_t n, int level)
{
    struct zcodec *z = zcodec_new();
    struct buf out = {0};
    size_t len;

    zcodec_pack(z, parts, n, level, &out);
    len = out.len;
    buf_deinit(&out);
    zcodec_free(z);
    return len;
}

static void parts_of_every_kind_unpack_as_one_run(void **state)
{
    struct zcodec *z = zcodec_new();
    const struct zpart parts[] = {
        {whole(numbers), ZKIND_NUMBERS},    {BYTES_LIT(""), ZKIND_MIXED},
        {whole(texts), ZKIND_TEXTS},        {bytes_of(noise, 1000), ZKIND_MIXED},
        {bytes_of(numbers, 3), ZKIND_TREE},
    };
    enum { N = sizeof parts / sizeof *parts };
    const int levels[] = {1, 3, 19};

    (void)state;
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        struct buf out = {0}, raw = {0};
        struct bytes back;

        for (size_t k = 0; k < N; k++)
            buf_append_bytes(&raw, parts[k].in);
        buf_append_str(&out, "before");
        assert_int_equal(zcodec_pack(z, parts, N, levels[i], &out), CODEC_ZSTD);
        assert_true(out.len < raw.len && memcmp(out.data, "before", 6) == 0);
        assert_int_equal(
            zcodec_unpack(z, CODEC_ZSTD, bytes_of(out.data + 6, out.len - 6), raw.len, &back), 0);
        assert_true(bytes_equal(back, buf_bytes(&raw)));
        buf_deinit(&out);
        buf_deinit(&raw);
    }
    zcodec_free(z);
}

static void an_empty_part_is_no_frame(void **state)
{
    const struct zpart one[] = {{whole(texts), ZKIND_TEXTS}};
    const struct zpart two[] = {{BYTES_LIT(""), ZKIND_NUMBERS}, {whole(texts), ZKIND_TEXTS}};

    (void)state;
    assert_int_equal(packed_size(one, 1, 1), packed_size(two, 2, 1));
}

static void what_does_not_shrink_stands_as_it_is(void **state)
{
    const struct zpart parts[] = {{bytes_of(texts, 40), ZKIND_TEXTS}, {whole(noise), ZKIND_MIXED}};
    struct zcodec *z = zcodec_new();
    struct buf out = {0};
    struct bytes back;

    (void)state;
    assert_int_equal(zcodec_pack(z, parts, 2, 1, &out), CODEC_NONE);
    assert_int_equal(out.len, SIZE + 40);
    assert_int_equal(zcodec_unpack(z, CODEC_NONE, buf_bytes(&out), out.len, &back), 0);
    assert_true(bytes_equal(back, buf_bytes(&out)));
    assert_int_equal(zcodec_unpack(z, CODEC_NONE, buf_bytes(&out), out.len - 1, &back), -EBADMSG);
    buf_deinit(&out);
    zcodec_free(z);
}

/* zstd keeps its settings from call to call. */
static void a_kind_leaves_nothing_to_the_next(void **state)
{
    const uint8_t *const data[KINDS] = {noise, numbers, numbers, texts};
    struct zcodec *z = zcodec_new();

    (void)state;
    for (int i = 0; i < 40; i++) {
        enum zkind kind = (enum zkind)(i % KINDS);
        int level = 1 + i / KINDS % 4;
        const struct zpart part = {whole(data[kind]), kind};
        struct buf out = {0};

        zcodec_pack(z, &part, 1, level, &out);
        assert_int_equal(out.len, packed_size(&part, 1, level));
        buf_deinit(&out);
    }
    zcodec_free(z);
}

/* A zstd that does not know the setting would leave them as they are. */
static void numbers_that_do_not_repeat_are_coded_by_frequency(void **state)
{
    const struct zpart part = {whole(numbers), ZKIND_NUMBERS};

    (void)state;
    assert_true(packed_size(&part, 1, 1) < SIZE * 4 / 5);
}

static void frames_that_are_cut_or_too_many_are_refused(void **state)
{
    const struct zpart parts[] = {{whole(numbers), ZKIND_NUMBERS}, {whole(texts), ZKIND_TEXTS}};
    struct zcodec *z = zcodec_new();
    struct buf out = {0};
    struct bytes back;

    (void)state;
    zcodec_pack(z, parts, 2, 1, &out);
    for (size_t len = 0; len < out.len; len += 1 + len / 16)
        assert_int_equal(zcodec_unpack(z, CODEC_ZSTD, bytes_of(out.data, len), 2 * SIZE, &back),
                         -EBADMSG);
    assert_int_equal(zcodec_unpack(z, CODEC_ZSTD, buf_bytes(&out), 2 * SIZE - 1, &back), -EBADMSG);
    assert_int_equal(zcodec_unpack(z, CODEC_ZSTD, buf_bytes(&out), 2 * SIZE + 1, &back), -EBADMSG);
    zcodec_pack(z, parts, 1, 1, &out);
    assert_int_equal(zcodec_unpack(z, CODEC_ZSTD, buf_bytes(&out), 2 * SIZE, &back), -EBADMSG);
    assert_int_equal(zcodec_unpack(z, CODEC_ZSTD, buf_bytes(&out), 3 * SIZE, &back), 0);
    assert_int_equal(zcodec_unpack(z, 7, buf_bytes(&out), 3 * SIZE, &back), -EBADMSG);
    buf_deinit(&out);
    zcodec_free(z);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_of_every_kind_unpack_as_one_run),
        cmocka_unit_test(an_empty_part_is_no_frame),
        cmocka_unit_test(what_does_not_shrink_stands_as_it_is),
        cmocka_unit_test(a_kind_leaves_nothing_to_the_next),
        cmocka_unit_test(numbers_that_do_not_repeat_are_coded_by_frequency),
        cmocka_unit_test(frames_that_are_cut_or_too_many_are_refused),
    };

    return cmocka_run_group_tests(tests, fill, NULL);
}
