#include "store/keys.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct hash128 id = {0x0123456789abcdefu, 0xfedcba9876543210u};
#define HEX "0123456789abcdeffedcba9876543210"

/* Names are shared with every version of query and with people's scripts. */
static void names_are_as_documented(void **state)
{
    (void)state;
    assert_string_equal(key_conf().text, "h:conf");
    assert_string_equal(key_meta(7).text, "h:{7}:meta");
    assert_string_equal(key_dedup(7).text, "h:{7}:dd");
    assert_string_equal(key_catalogue(31).text, "h:{31}:cat");
    assert_string_equal(key_generations(0).text, "h:{0}:gen");
    assert_string_equal(key_symbols(1, id, 99).text, "h:{1}:sym:" HEX ":99");
    assert_string_equal(key_index(2, 60, id).text, "h:{2}:ix:60:" HEX);
    assert_string_equal(key_blob(3, 60, 1700000040, id, 1700000000123, 5).text,
                        "h:{3}:a:60:1700000040:" HEX ":1700000000123-5");
}

static void the_longest_name_fits(void **state)
{
    struct key k = key_blob(UINT32_MAX, UINT32_MAX, INT64_MIN, id, UINT64_MAX, UINT64_MAX);

    (void)state;
    assert_int_equal(k.len, strlen(k.text));
    assert_true(k.len < sizeof k.text);
}

static void an_index_entry_reads_back(void **state)
{
    const struct index_entry entries[] = {
        {0, 0, 0}, {1, 2, 3}, {UINT64_MAX, UINT64_MAX, INT64_MAX}};
    char text[64];

    (void)state;
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        struct index_entry got;
        size_t n = index_entry_write(&entries[i], text);

        assert_int_equal(index_entry_read(&got, bytes_of(text, n)), 0);
        assert_memory_equal(&got, &entries[i], sizeof got);
    }
}

static void what_is_no_index_entry_is_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "1",
                                      "1-2",
                                      "1-2:",
                                      "-2:3",
                                      "1-:3",
                                      "1-2:3 ",
                                      "1-2:-3",
                                      "a-2:3",
                                      "1-2:3x",
                                      "18446744073709551616-1:1",
                                      "1-1:9223372036854775808"};
    struct index_entry e;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(index_entry_read(&e, bytes_str(bad[i])), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_as_documented),
        cmocka_unit_test(the_longest_name_fits),
        cmocka_unit_test(an_index_entry_reads_back),
        cmocka_unit_test(what_is_no_index_entry_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
