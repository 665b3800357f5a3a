#include "base/clock.h"
#include "query/plan.h"

#include <stdio.h>
#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct range seconds(int64_t from, int64_t until)
{
    return (struct range){from * NS_PER_S, until * NS_PER_S};
}

static void assert_widened(struct range r, uint32_t res, int64_t from_s, int64_t until_s)
{
    struct range w = range_widen(r, res);

    assert_int_equal(w.from_ns, from_s * NS_PER_S);
    assert_int_equal(w.until_ns, until_s * NS_PER_S);
}

static void a_range_is_widened_to_the_windows_that_it_touches(void **state)
{
    (void)state;
    assert_widened(seconds(60, 120), 60, 60, 120);
    assert_widened(seconds(61, 119), 60, 60, 120);
    assert_widened(seconds(119, 121), 60, 60, 180);
    assert_widened((struct range){60 * NS_PER_S, 60 * NS_PER_S + 1}, 60, 60, 120);
    assert_widened((struct range){60 * NS_PER_S - 1, 60 * NS_PER_S}, 60, 0, 60);
    assert_widened(seconds(-61, -1), 60, -120, 0);
}

static void a_range_without_ends_stays_within_int64(void **state)
{
    struct range w = range_widen((struct range){INT64_MIN, INT64_MAX}, 60);

    (void)state;
    assert_true(w.from_ns < 0 && w.until_ns > 0);
    assert_int_equal(w.until_ns, INT64_MAX);
}

static size_t plan(const char *const *index, size_t n, struct range r, struct window **out,
                   size_t *bad)
{
    struct bytes fields[8], values[8];
    size_t cap = 0, len = 0;

    for (size_t i = 0; i < n; i++) {
        fields[i] = bytes_str(index[2 * i]);
        values[i] = bytes_str(index[2 * i + 1]);
    }
    *out = NULL;
    return plan_windows(fields, values, n, r, 60, 1000, out, &cap, &len, bad);
}

static void windows_of_the_range_come_in_order_of_time(void **state)
{
    static const char *const index[] = {"180",      "7-3:2000", "60",       "7-1:2000", "120",
                                        "7-2:2000", "240",      "7-4:2000", "0",        "7-9:2000"};
    struct window *w;
    size_t bad = 0, n = plan(index, 5, seconds(61, 181), &w, &bad);

    (void)state;
    assert_int_equal(bad, 0);
    assert_int_equal(n, 3);
    assert_int_equal(w[0].t_s, 60);
    assert_int_equal(w[0].version.seq, 1);
    assert_int_equal(w[1].t_s, 120);
    assert_int_equal(w[2].t_s, 180);
    free(w);
}

static void expired_windows_are_left_out_and_bad_ones_counted(void **state)
{
    static const char *const index[] = {"60", "7-1:999",  "120", "7-2:1001",
                                        "x",  "7-3:2000", "180", "nonsense"};
    struct window *w;
    size_t bad = 0, n = plan(index, 4, seconds(0, 1000), &w, &bad);

    (void)state;
    assert_int_equal(n, 1);
    assert_int_equal(w[0].t_s, 120);
    assert_int_equal(bad, 2);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_range_is_widened_to_the_windows_that_it_touches),
        cmocka_unit_test(a_range_without_ends_stays_within_int64),
        cmocka_unit_test(windows_of_the_range_come_in_order_of_time),
        cmocka_unit_test(expired_windows_are_left_out_and_bad_ones_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
