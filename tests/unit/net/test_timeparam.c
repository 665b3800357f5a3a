#include "net/timeparam.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define NOW INT64_C(1795487635000000000) /* 2026-11-24T02:33:55Z */

static int64_t parse(const char *s)
{
    int64_t ns = -1;

    assert_int_equal(time_param(bytes_str(s), NOW, &ns), 0);
    return ns;
}

static void unix_times_are_told_apart_by_their_size(void **state)
{
    (void)state;
    assert_int_equal(parse("0"), 0);
    assert_int_equal(parse("1795487635"), NOW);
    assert_int_equal(parse("1795487635123"), NOW + 123000000);
    assert_int_equal(parse("1795487635123456"), NOW + 123456000);
    assert_int_equal(parse("1795487635123456789"), NOW + 123456789);
    assert_int_equal(parse("1795487635.25"), NOW + 250000000);
    assert_int_equal(parse("9223372036854775807"), INT64_MAX);
}

static void rfc_3339_has_fractions_and_offsets(void **state)
{
    (void)state;
    assert_int_equal(parse("1970-01-01T00:00:00Z"), 0);
    assert_int_equal(parse("2026-11-24T02:33:55Z"), NOW);
    assert_int_equal(parse("2026-11-24t02:33:55.5z"), NOW + 500000000);
    assert_int_equal(parse("2026-11-24T04:33:55+02:00"), NOW);
    assert_int_equal(parse("2026-11-24T04:33:55 02:00"), NOW);
    assert_int_equal(parse("2026-11-23T21:03:55.000000001-05:30"), NOW + 1);
    assert_int_equal(parse("2024-02-29T00:00:00Z"), INT64_C(1709164800000000000));
    assert_int_equal(parse("2000-03-01T00:00:00Z"), INT64_C(951868800000000000));
    assert_int_equal(parse("1969-12-31T23:59:59Z"), INT64_C(-1000000000));
}

static void now_can_be_moved_by_a_duration(void **state)
{
    (void)state;
    assert_int_equal(parse("now"), NOW);
    assert_int_equal(parse("now-1h"), NOW - INT64_C(3600000000000));
    assert_int_equal(parse("now-500ms"), NOW - 500000000);
    assert_int_equal(parse("now+30s"), NOW + INT64_C(30000000000));
    assert_int_equal(parse("now 30s"), NOW + INT64_C(30000000000));
}

static void what_is_no_time_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "x",
        "-1",
        "+1",
        " 1",
        "1 ",
        "12x",
        "1.",
        "1..2",
        "1795487635123.5",
        "nowhere",
        "now-",
        "now-x",
        "now-1",
        "now--1h",
        "now-unlimited",
        "now-999999999999d",
        "9223372036854775808",
        "99999999999999999999",
        "2026-11-24",
        "2026-11-24T02:33:55",
        "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-11-24T24:00:00Z",
        "2026-11-24T02:60:00Z",
        "2026-11-24T02:33:55Zx",
        "2026-11-24T02:33:55.Z",
        "2026-11-24T02:33:55+0200",
        "9999-01-01T00:00:00Z",
        "1600-01-01T00:00:00Z",
    };
    int64_t ns;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (time_param(bytes_str(bad[i]), NOW, &ns) != -EINVAL)
            fail_msg("\"%s\" was taken for %lld", bad[i], (long long)ns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unix_times_are_told_apart_by_their_size),
        cmocka_unit_test(rfc_3339_has_fractions_and_offsets),
        cmocka_unit_test(now_can_be_moved_by_a_duration),
        cmocka_unit_test(what_is_no_time_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
