#include "base/json_writer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void assert_written(struct buf *out, const char *expected)
{
    assert_string_equal(buf_cstr(out), expected);
    buf_reset(out);
}

static void commas_stand_between_and_nowhere_else(void **state)
{
    struct buf out = {0};
    struct json_writer j;

    (void)state;
    jw_begin(&j, &out);
    jw_object(&j, NULL);
    jw_array(&j, "none");
    jw_end(&j);
    jw_array(&j, "two");
    jw_object(&j, NULL);
    jw_end(&j);
    jw_object(&j, NULL);
    jw_str(&j, "a", "b");
    jw_bool(&j, "yes", true);
    jw_end(&j);
    jw_end(&j);
    jw_pair(&j, BYTES_LIT("k"), BYTES_LIT("v"));
    jw_ids(&j, "ids", NULL, 0);
    jw_bool(&j, "no", false);
    jw_end(&j);
    assert_written(&out,
                   "{\"none\":[],\"two\":[{},{\"a\":\"b\",\"yes\":true}],\"k\":\"v\",\"ids\":[],"
                   "\"no\":false}");
    buf_deinit(&out);
}

static void integers_are_exact_to_both_ends(void **state)
{
    const int64_t ints[] = {0, 9, -9, 10, 99, 100, -100, 12345, INT64_MAX, INT64_MIN};
    const uint32_t ids[] = {0, 7, 42, 100, UINT32_MAX};
    struct buf out = {0};
    struct json_writer j;

    (void)state;
    jw_begin(&j, &out);
    jw_ints(&j, NULL, ints, sizeof ints / sizeof *ints);
    assert_written(&out, "[0,9,-9,10,99,100,-100,12345,9223372036854775807,-9223372036854775808]");
    jw_begin(&j, &out);
    jw_ids(&j, NULL, ids, sizeof ids / sizeof *ids);
    assert_written(&out, "[0,7,42,100,4294967295]");
    jw_begin(&j, &out);
    jw_array(&j, NULL);
    jw_int(&j, NULL, INT64_MIN);
    jw_int(&j, NULL, -1);
    jw_uint(&j, NULL, UINT64_MAX);
    jw_uint(&j, NULL, 0);
    jw_end(&j);
    assert_written(&out, "[-9223372036854775808,-1,18446744073709551615,0]");
    buf_deinit(&out);
}

/* Against printf, over more numbers than room is made for at once. */
static void long_arrays_are_what_printf_writes(void **state)
{
    enum { N = 2000 };
    static int64_t v[N];
    struct buf out = {0}, expected = {0};
    struct json_writer j;
    uint64_t x = 1;

    (void)state;
    for (size_t i = 0; i < N; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        v[i] = (int64_t)x >> x % 64;
        buf_printf(&expected, "%s%lld", i ? "," : "[", (long long)v[i]);
    }
    buf_append_str(&expected, "]");
    jw_begin(&j, &out);
    jw_ints(&j, NULL, v, N);
    assert_written(&out, buf_cstr(&expected));
    buf_deinit(&out);
    buf_deinit(&expected);
}

static void text_is_escaped_and_valid(void **state)
{
    struct buf out = {0};
    struct json_writer j;

    (void)state;
    jw_begin(&j, &out);
    jw_array(&j, NULL);
    jw_bytes(&j, NULL, bytes_of(NULL, 0));
    jw_str(&j, NULL, "a\"b\\c/\b\f\n\r\t\x01\x1f\x7f");
    jw_bytes(&j, NULL, BYTES_LIT("nul\0!"));
    jw_str(&j, NULL, "h\xc3\xa9! \xff\xc3");
    jw_end(&j);
    assert_written(&out, "[\"\",\"a\\\"b\\\\c/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\",\"nul\\u0000!\","
                         "\"h\xc3\xa9! \xef\xbf\xbd\xef\xbf\xbd\"]");
    buf_deinit(&out);
}

static void reals_read_back_as_they_were(void **state)
{
    const double v[] = {0.1, -1e300, 3, 1.0 / 3};
    struct buf out = {0};
    struct json_writer j;

    (void)state;
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        jw_begin(&j, &out);
        jw_real(&j, NULL, v[i]);
        assert_true(strtod(buf_cstr(&out), NULL) == v[i]);
        buf_reset(&out);
    }
    jw_begin(&j, &out);
    jw_real(&j, NULL, 2048);
    assert_written(&out, "2048.0");
    jw_begin(&j, &out);
    jw_real(&j, NULL, NAN);
    assert_written(&out, "null");
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commas_stand_between_and_nowhere_else),
        cmocka_unit_test(integers_are_exact_to_both_ends),
        cmocka_unit_test(long_arrays_are_what_printf_writes),
        cmocka_unit_test(text_is_escaped_and_valid),
        cmocka_unit_test(reals_read_back_as_they_were),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
