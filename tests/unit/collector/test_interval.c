#include "collector/interval.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define S   INT64_C(1000000000)
#define NOW (1795487635 * S)

static const struct time_bound none;

static struct time_bound at(int64_t s)
{
    return (struct time_bound){true, s * S};
}

static struct failure failure;

/* Checks the interval in seconds, relative to NOW. */
static void check(struct time_bound from, struct time_bound until, int64_t time_ns,
                  int64_t duration_ns, int64_t want_start_s, int64_t want_end_s)
{
    struct interval_rules r = {from, until, NOW, 600000};
    int64_t start = 1, end = 1;

    assert_int_equal(interval_of(&r, time_ns, duration_ns, &start, &end, &failure), 0);
    assert_int_equal(start, NOW + want_start_s * S);
    assert_int_equal(end, NOW + want_end_s * S);
}

static int64_t now_s(void)
{
    return NOW / S;
}

static void bounds_of_the_request_come_first(void **state)
{
    (void)state;
    check(at(now_s() - 20), at(now_s() - 10), NOW - 99 * S, 5 * S, -20, -10);
    check(at(now_s() - 20), none, NOW - 99 * S, 5 * S, -20, -15);
    check(none, at(now_s() - 10), NOW - 99 * S, 5 * S, -15, -10);
    check(at(now_s() - 20), none, 0, 0, -20, -20);
}

static void then_the_profile_s_own_time_then_its_arrival(void **state)
{
    (void)state;
    check(none, none, NOW - 30 * S, 10 * S, -30, -20);
    check(none, none, NOW - 30 * S, 0, -30, -30);
    check(none, none, 0, 10 * S, -10, 0);
    check(none, none, -5, -10 * S, 0, 0);
}

static void the_limit_on_the_future_is_named(void **state)
{
    struct interval_rules r = {none, at(now_s() + 601), NOW, 600000};
    int64_t start, end;

    (void)state;
    check(none, at(now_s() + 600), 0, 0, 600, 600);
    assert_int_equal(interval_of(&r, 0, 0, &start, &end, &failure), FAILURE);
    assert_int_equal(failure.status, 400);
    assert_string_equal(failure.code, "future_profile");
    assert_non_null(strstr(failure.message, "600000 ms"));
    assert_non_null(strstr(failure.hint, "future_max"));
    r.future_max_ms = INT64_MAX;
    assert_int_equal(interval_of(&r, 0, 0, &start, &end, &failure), 0);
}

static void ends_before_starts_and_impossible_durations_are_refused(void **state)
{
    struct interval_rules r = {at(now_s()), at(now_s() - 1), NOW, 600000};
    int64_t start, end;

    (void)state;
    assert_int_equal(interval_of(&r, 0, 0, &start, &end, &failure), FAILURE);
    assert_string_equal(failure.code, "bad_time");
    r.from = r.until = none;
    assert_int_equal(interval_of(&r, NOW, INT64_MAX, &start, &end, &failure), FAILURE);
    assert_int_equal(failure.status, 400);
}

/* A record may not begin before 1970: acknowledged, it would be thrown away behind the log. */
static void a_duration_that_reaches_before_1970_is_refused(void **state)
{
    struct interval_rules r = {none, none, NOW, 600000};
    int64_t start, end;

    (void)state;
    assert_int_equal(interval_of(&r, 0, NOW, &start, &end, &failure), 0);
    assert_int_equal(start, 0);
    assert_int_equal(interval_of(&r, 0, NOW + 1, &start, &end, &failure), FAILURE);
    assert_int_equal(failure.status, 400);
    assert_string_equal(failure.code, "bad_time");
    r.until = at(now_s() - 10);
    assert_int_equal(interval_of(&r, 0, INT64_MAX, &start, &end, &failure), FAILURE);
    r.until = at(5);
    assert_int_equal(interval_of(&r, 0, 6 * S, &start, &end, &failure), FAILURE);
    assert_non_null(strstr(failure.message, "before 1970; its duration is 6000000000 ns"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bounds_of_the_request_come_first),
        cmocka_unit_test(then_the_profile_s_own_time_then_its_arrival),
        cmocka_unit_test(the_limit_on_the_future_is_named),
        cmocka_unit_test(ends_before_starts_and_impossible_durations_are_refused),
        cmocka_unit_test(a_duration_that_reaches_before_1970_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
