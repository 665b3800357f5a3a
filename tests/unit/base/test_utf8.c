#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* By RFC 3629, from the code point. */
static size_t put(uint32_t c, uint8_t out[4])
{
    static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

    for (size_t i = n; i-- > 1; c >>= 6)
        out[i] = (uint8_t)(0x80 | (c & 0x3f));
    out[0] = (uint8_t)(lead[n] | c);
    return n;
}

static void every_character_is_read_back_and_surrogates_are_none(void **state)
{
    uint8_t text[4];
    uint32_t c;

    (void)state;
    for (uint32_t want = 0; want < 0x120000; want++) {
        size_t n = put(want, text);
        bool is_char = want < 0xd800 || (want > 0xdfff && want <= 0x10ffff);

        c = UINT32_MAX;
        assert_int_equal(utf8_char(bytes_of(text, n), &c), is_char ? n : 0);
        assert_int_equal(c, is_char ? want : UINT32_MAX);
        assert_int_equal(utf8_valid(bytes_of(text, n)), is_char);
        assert_int_equal(utf8_char(bytes_of(text, n - 1), &c), 0); /* cut */
    }
}

static void what_is_too_long_or_begins_with_a_tail_is_none(void **state)
{
    static const char *const none[] = {"\x80",
                                       "\xbf",
                                       "\xc0\x80",
                                       "\xc1\xbf",
                                       "\xe0\x9f\xbf",
                                       "\xf0\x8f\xbf\xbf",
                                       "\xc3(",
                                       "\xe2\x82(",
                                       "\xf4\x90\x80\x80",
                                       "\xf5\x80\x80\x80",
                                       "\xff"};
    uint32_t c;

    (void)state;
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        assert_int_equal(utf8_char(bytes_str(none[i]), &c), 0);
        assert_false(utf8_valid(bytes_str(none[i])));
    }
}

static void each_bad_byte_is_replaced_and_counted(void **state)
{
    struct buf out = {0};

    (void)state;
    utf8_repair(BYTES_LIT("a\xff"
                          "b\xe2\x82"
                          "c\xc3\xa9"),
                &out);
    assert_string_equal(buf_cstr(&out), "a\xef\xbf\xbd"
                                        "b\xef\xbf\xbd\xef\xbf\xbd"
                                        "c\xc3\xa9");
    assert_int_equal(utf8_count_bad(BYTES_LIT("a\xff"
                                              "b\xe2\x82"
                                              "c\xc3\xa9")),
                     3);
    buf_deinit(&out);
}

static void a_cut_is_between_characters(void **state)
{
    struct bytes s = BYTES_LIT("a\xc3\xa9\xf0\x9f\x94\xa5z");
    static const size_t len[] = {0, 1, 1, 3, 3, 3, 3, 7, 8};

    (void)state;
    for (size_t max = 0; max < sizeof len / sizeof *len; max++)
        assert_int_equal(utf8_cut(s, max).len, len[max]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_character_is_read_back_and_surrogates_are_none),
        cmocka_unit_test(what_is_too_long_or_begins_with_a_tail_is_none),
        cmocka_unit_test(each_bad_byte_is_replaced_and_counted),
        cmocka_unit_test(a_cut_is_between_characters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
