#include "collector/series_cap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define DAY_MS (INT64_C(24) * 3600 * 1000)

static enum series_verdict admit(struct series_cap *c, const char *service, int version,
                                 int64_t now_ms)
{
    struct tags t = {0};
    char v[20];

    sprintf(v, "%d", version);
    assert_int_equal(tags_add(&t, BYTES_LIT("version"), bytes_str(v)), 0);
    return series_cap_admit(c, BYTES_LIT(""), bytes_str(service), &t, now_ms);
}

static void a_service_has_so_many_series_and_no_more(void **state)
{
    struct series_cap *c = series_cap_new(2, 100);

    (void)state;
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 100; i++)
            assert_int_equal(admit(c, "a", i, 5), SERIES_KNOWN);
    assert_int_equal(admit(c, "a", 100, 5), SERIES_OTHER);
    assert_int_equal(admit(c, "a", 7, 5), SERIES_KNOWN);
    assert_int_equal(admit(c, "b", 100, 5), SERIES_KNOWN);
    assert_int_equal(admit(c, "c", 1, 5), SERVICE_OTHER);
    series_cap_free(c);
}

static void what_stays_in_use_is_never_new_and_the_rest_is_forgotten(void **state)
{
    struct series_cap *c = series_cap_new(1, 2);
    int64_t now = DAY_MS;

    (void)state;
    assert_int_equal(admit(c, "a", 1, now), SERIES_KNOWN);
    assert_int_equal(admit(c, "a", 2, now), SERIES_KNOWN);
    assert_int_equal(admit(c, "a", 3, now), SERIES_OTHER);
    now += DAY_MS;
    /* Yesterday's come in beside today's first ones. */
    assert_int_equal(admit(c, "a", 3, now), SERIES_KNOWN);
    assert_int_equal(admit(c, "a", 4, now), SERIES_KNOWN);
    assert_int_equal(admit(c, "a", 5, now), SERIES_OTHER);
    assert_int_equal(admit(c, "a", 1, now), SERIES_KNOWN);
    now += 2 * DAY_MS;
    assert_int_equal(admit(c, "b", 1, now), SERIES_KNOWN);
    series_cap_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_service_has_so_many_series_and_no_more),
        cmocka_unit_test(what_stays_in_use_is_never_new_and_the_rest_is_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
