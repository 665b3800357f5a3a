#include "base/backoff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void the_first_wait_is_the_least(void **state)
{
    struct backoff b = {.min_ms = 100, .max_ms = 10000};

    (void)state;
    assert_int_equal(backoff_next(&b), 100);
    assert_in_range(backoff_next(&b), 100, 200);
    assert_in_range(backoff_next(&b), 100, 400);
    backoff_reset(&b);
    assert_int_equal(backoff_next(&b), 100);
}

static void waits_never_leave_their_bounds_however_many(void **state)
{
    struct backoff b = {.min_ms = 100, .max_ms = 10000};
    uint32_t longest = 0;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        uint32_t ms = backoff_next(&b);

        assert_in_range(ms, 100, 10000);
        longest = ms > longest ? ms : longest;
    }
    assert_true(longest > 5000);
}

static void the_greatest_bounds_do_not_overflow(void **state)
{
    struct backoff b = {.min_ms = UINT32_MAX, .max_ms = UINT32_MAX};

    (void)state;
    for (int i = 0; i < 100; i++)
        assert_true(backoff_next(&b) == UINT32_MAX);
}

static void a_least_above_the_greatest_gives_way(void **state)
{
    struct backoff b = {.min_ms = 500, .max_ms = 100};

    (void)state;
    assert_int_equal(backoff_next(&b), 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_wait_is_the_least),
        cmocka_unit_test(waits_never_leave_their_bounds_however_many),
        cmocka_unit_test(the_greatest_bounds_do_not_overflow),
        cmocka_unit_test(a_least_above_the_greatest_gives_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
