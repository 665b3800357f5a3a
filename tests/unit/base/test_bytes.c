#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>

static void views_compare_by_content(void **state)
{
    (void)state;
    assert_true(bytes_equal(BYTES_LIT("abc"), bytes_str("abc")));
    assert_false(bytes_equal(BYTES_LIT("abc"), BYTES_LIT("abd")));
    assert_false(bytes_equal(BYTES_LIT("abc"), BYTES_LIT("ab")));
    assert_true(bytes_equal((struct bytes){0}, BYTES_LIT("")));
    assert_true(bytes_equal(bytes_str(NULL), BYTES_LIT("")));
}

static void the_order_is_of_unsigned_bytes_and_a_prefix_comes_first(void **state)
{
    (void)state;
    assert_true(bytes_cmp(BYTES_LIT("a"), BYTES_LIT("b")) < 0);
    assert_true(bytes_cmp(BYTES_LIT("a"), BYTES_LIT("\xff")) < 0);
    assert_true(bytes_cmp(BYTES_LIT("ab"), BYTES_LIT("a")) > 0);
    assert_true(bytes_cmp((struct bytes){0}, BYTES_LIT("a")) < 0);
    assert_int_equal(bytes_cmp(BYTES_LIT("ab"), BYTES_LIT("ab")), 0);
    assert_int_equal(bytes_cmp((struct bytes){0}, (struct bytes){0}), 0);
}

static void a_prefix_is_found(void **state)
{
    (void)state;
    assert_true(bytes_starts(BYTES_LIT("profile"), BYTES_LIT("pro")));
    assert_true(bytes_starts(BYTES_LIT("profile"), BYTES_LIT("")));
    assert_false(bytes_starts(BYTES_LIT("pro"), BYTES_LIT("profile")));
    assert_false(bytes_starts(BYTES_LIT("profile"), BYTES_LIT("file")));
}

static void a_zeroed_buffer_grows_with_what_is_appended(void **state)
{
    struct buf b = {0};

    (void)state;
    for (int i = 0; i < 1000; i++)
        buf_append_u8(&b, (uint8_t)i);
    buf_append_str(&b, "end");
    buf_append_bytes(&b, (struct bytes){0});
    assert_int_equal(b.len, 1003);
    assert_int_equal(b.data[999], 999 % 256);
    assert_memory_equal(b.data + 1000, "end", 3);
    buf_deinit(&b);
    assert_null(b.data);
    buf_append_str(&b, "again");
    assert_string_equal(buf_cstr(&b), "again");
    buf_deinit(&b);
}

static void printing_appends_text_of_any_length(void **state)
{
    struct buf b = {0};

    (void)state;
    buf_printf(&b, "%s", "");
    assert_int_equal(b.len, 0);
    for (int i = 0; i < 200; i++)
        buf_printf(&b, "%0*d,", i, 7);
    assert_int_equal(b.len, 200 * 199 / 2 + 1 + 200);
    assert_int_equal(strlen(buf_cstr(&b)), b.len);
    assert_memory_equal(b.data, "7,7,07,007,", 11);
    buf_deinit(&b);
}

static void a_text_that_just_fits_leaves_room_for_its_nul(void **state)
{
    (void)state;
    for (size_t len = 60; len < 70; len++) {
        struct buf b = {0};

        buf_reserve(&b, 64);
        buf_printf(&b, "%0*d", (int)len, 1);
        assert_int_equal(b.len, len);
        assert_int_equal(b.data[len - 1], '1');
        buf_deinit(&b);
    }
}

static void a_size_that_overflows_is_refused(void **state)
{
    struct buf b = {0};

    (void)state;
    buf_append_u8(&b, 1);
    assert_int_equal(buf_try_reserve(&b, SIZE_MAX), -ENOMEM);
    assert_int_equal(b.len, 1);
    assert_int_equal(buf_try_reserve(&b, 100), 0);
    assert_true(b.cap - b.len >= 100);
    buf_deinit(&b);
}

static void a_reset_keeps_the_memory(void **state)
{
    struct buf b = {0};
    uint8_t *data;

    (void)state;
    buf_append_str(&b, "text");
    data = b.data;
    buf_reset(&b);
    assert_int_equal(buf_bytes(&b).len, 0);
    buf_append_str(&b, "more");
    assert_ptr_equal(b.data, data);
    buf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(views_compare_by_content),
        cmocka_unit_test(the_order_is_of_unsigned_bytes_and_a_prefix_comes_first),
        cmocka_unit_test(a_prefix_is_found),
        cmocka_unit_test(a_zeroed_buffer_grows_with_what_is_appended),
        cmocka_unit_test(printing_appends_text_of_any_length),
        cmocka_unit_test(a_text_that_just_fits_leaves_room_for_its_nul),
        cmocka_unit_test(a_size_that_overflows_is_refused),
        cmocka_unit_test(a_reset_keeps_the_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
