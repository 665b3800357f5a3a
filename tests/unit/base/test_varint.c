#include "base/varint.h"
#include "base/varint_block.h"
#include "base/xalloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const uint64_t edges[] = {0,          1,         127,        128,        16383, 16384,
                                 UINT32_MAX, INT64_MAX, UINT64_MAX, 1ull << 63, 300,   1ull << 56};

static void what_is_put_is_got_back(void **state)
{
    struct buf b = {0};
    struct cursor c;

    (void)state;
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++)
        buf_varint(&b, edges[i]);
    c = cursor_of(buf_bytes(&b));
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) {
        uint64_t v;

        assert_true(varint_get(&c, &v));
        assert_true(v == edges[i]);
    }
    assert_int_equal(cursor_left(&c), 0);
    buf_deinit(&b);
}

static void a_varint_that_is_cut_or_has_no_end_is_refused(void **state)
{
    static const uint8_t endless[11] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1};
    uint64_t v;

    (void)state;
    assert_false(varint_get(&(struct cursor){0}, &v));
    for (size_t len = 0; len <= sizeof endless; len++) {
        struct cursor c = cursor_of(bytes_of(endless, len));

        assert_false(varint_get(&c, &v));
    }
}

static void bits_beyond_the_64th_are_dropped_as_protobuf_does(void **state)
{
    static const uint8_t ten[10] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 0x7f};
    struct cursor c = cursor_of(bytes_of(ten, sizeof ten));
    uint64_t v;

    (void)state;
    assert_true(varint_get(&c, &v));
    assert_true(v == UINT64_MAX);
}

static void zigzag_keeps_small_negatives_short(void **state)
{
    (void)state;
    assert_int_equal(zigzag(0), 0);
    assert_int_equal(zigzag(-1), 1);
    assert_int_equal(zigzag(1), 2);
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++)
        assert_true(unzigzag(zigzag((int64_t)edges[i])) == (int64_t)edges[i]);
}

static void a_length_beyond_the_input_is_refused(void **state)
{
    struct buf b = {0};
    struct cursor c;
    struct bytes s;

    (void)state;
    buf_varbytes(&b, BYTES_LIT("abc"));
    c = cursor_of(buf_bytes(&b));
    assert_true(varbytes_get(&c, &s));
    assert_true(bytes_equal(s, BYTES_LIT("abc")));
    assert_false(varbytes_get(&c, &s));
    c = cursor_of(bytes_of(b.data, b.len - 1));
    assert_false(varbytes_get(&c, &s));
    buf_reset(&b);
    buf_varint(&b, UINT64_MAX);
    c = cursor_of(buf_bytes(&b));
    assert_false(varbytes_get(&c, &s));
    buf_deinit(&b);
}

/* Numbers of up to longest bytes, and what blocks make of them: the same numbers, those that are
 * longer than two bytes marked. The memory ends where it may be read no more. */
static void assert_blocks(unsigned *seed, size_t n_numbers, unsigned longest)
{
    struct buf b = {0};
    uint64_t *expected = xcalloc(n_numbers, sizeof *expected);
    struct varint_block block = {.goes_on = false};
    uint8_t *bytes;
    size_t at = 0, k = 0;

    for (size_t i = 0; i < n_numbers; i++) {
        expected[i] = (uint64_t)rand_r(seed) >> (31 - 7 * (1 + (unsigned)rand_r(seed) % longest));
        buf_varint(&b, expected[i]);
    }
    bytes = xmalloc(b.len + VARINT_BLOCK + 1);
    memcpy(bytes, b.data, b.len);
    memset(bytes + b.len, rand_r(seed) & 0xff, VARINT_BLOCK + 1); /* does not matter */
    for (; at < b.len; at += VARINT_BLOCK) {
        varint_block_cut(&block, bytes + at, b.len - at);
        for (uint64_t first = block.first; first; first &= first - 1, k++) {
            unsigned i = (unsigned)__builtin_ctzll(first);
            struct varint v = varint_long((struct cursor){bytes + at + i, bytes + b.len});

            assert_true(k < n_numbers && v.value == expected[k]);
            if (expected[k] < 1 << 14)
                assert_int_equal(block.number[i], expected[k]);
            else
                assert_true(block.has_longer);
        }
    }
    assert_int_equal(k, n_numbers);
    free(bytes);
    free(expected);
    buf_deinit(&b);
}

static void blocks_have_the_numbers_that_are_there(void **state)
{
    unsigned seed = 1;

    (void)state;
    for (size_t n = 1; n < 300; n++)
        for (unsigned longest = 1; longest <= 4; longest++)
            assert_blocks(&seed, n, longest);
}

static void blocks_are_cut_alike_everywhere(void **state)
{
    uint16_t got[16], expected[16];
    uint8_t bytes[17];
    unsigned seed = 2;

    (void)state;
    for (int round = 0; round < 1000; round++) {
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)rand_r(&seed);
        assert_int_equal(varint_cut_16(bytes, got), varint_cut_16_portable(bytes, expected));
        assert_memory_equal(got, expected, sizeof got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_put_is_got_back),
        cmocka_unit_test(a_varint_that_is_cut_or_has_no_end_is_refused),
        cmocka_unit_test(bits_beyond_the_64th_are_dropped_as_protobuf_does),
        cmocka_unit_test(zigzag_keeps_small_negatives_short),
        cmocka_unit_test(a_length_beyond_the_input_is_refused),
        cmocka_unit_test(blocks_have_the_numbers_that_are_there),
        cmocka_unit_test(blocks_are_cut_alike_everywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
