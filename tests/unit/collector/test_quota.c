#include "collector/quota.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct failure failure;

static int take(struct quota *q, const char *tenant, size_t n_bytes, int64_t now_ms)
{
    return quota_take(q, bytes_str(tenant), n_bytes, now_ms, &failure);
}

static void without_limits_everything_goes(void **state)
{
    const struct quota_limits none = {.burst_ms = 1000};
    struct quota *q = quota_new(&none);

    (void)state;
    for (int i = 0; i < 100000; i++)
        assert_int_equal(take(q, "a", 1 << 30, 5), 0);
    quota_free(q);
}

static void a_burst_goes_and_then_the_rate(void **state)
{
    const struct quota_limits limits = {.uploads_per_s = 2, .burst_ms = 5000};
    struct quota *q = quota_new(&limits);

    (void)state;
    for (int i = 0; i < 10; i++)
        assert_int_equal(take(q, "a", 1, 1000), 0);
    assert_int_equal(take(q, "a", 1, 1000), FAILURE);
    assert_int_equal(failure.status, 429);
    assert_string_equal(failure.code, "rate_limited");
    assert_non_null(strstr(failure.message, "\"a\" sends more than 2 uploads a second"));
    assert_non_null(strstr(failure.hint, "tenant_uploads_per_s"));
    assert_int_equal(take(q, "a", 1, 1499), FAILURE);
    assert_int_equal(take(q, "a", 1, 1500), 0);
    assert_int_equal(take(q, "a", 1, 1500), FAILURE);
    /* However long it waits: a burst, no more. */
    for (int i = 0; i < 10; i++)
        assert_int_equal(take(q, "a", 1, 1000000), 0);
    assert_int_equal(take(q, "a", 1, 1000000), FAILURE);
    quota_free(q);
}

static void a_large_upload_goes_and_is_owed(void **state)
{
    const struct quota_limits limits = {.bytes_per_s = 100, .burst_ms = 1000};
    struct quota *q = quota_new(&limits);

    (void)state;
    assert_int_equal(take(q, "a", 1000, 0), 0);
    assert_int_equal(take(q, "a", 1, 0), FAILURE);
    assert_non_null(strstr(failure.message, "100 bytes a second"));
    assert_non_null(strstr(failure.hint, "tenant_bytes_per_s"));
    assert_int_equal(take(q, "a", 1, 9000), FAILURE);
    assert_int_equal(take(q, "a", 1, 9010), 0);
    quota_free(q);
}

static void tenants_do_not_share(void **state)
{
    const struct quota_limits limits = {.uploads_per_s = 1, .burst_ms = 1000};
    struct quota *q = quota_new(&limits);

    (void)state;
    assert_int_equal(take(q, "a", 1, 0), 0);
    assert_int_equal(take(q, "b", 1, 0), 0);
    assert_int_equal(take(q, "a", 1, 0), FAILURE);
    assert_int_equal(take(q, "b", 1, 0), FAILURE);
    quota_free(q);
}

static void many_tenants_push_out_the_idle_ones_only(void **state)
{
    const struct quota_limits limits = {.uploads_per_s = 1, .burst_ms = 1000};
    struct quota *q = quota_new(&limits);
    int n_busy = 0;

    (void)state;
    for (int i = 0; i < 100000; i++) {
        char tenant[20];

        snprintf(tenant, sizeof tenant, "t%d", i);
        assert_int_equal(take(q, tenant, 1, i), 0);
        if (i % 100 == 0)
            n_busy += take(q, "busy", 1, i) == 0;
    }
    assert_int_equal(n_busy, 100); /* one a second, as if it were alone */
    quota_free(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_limits_everything_goes),
        cmocka_unit_test(a_burst_goes_and_then_the_rate),
        cmocka_unit_test(a_large_upload_goes_and_is_owed),
        cmocka_unit_test(tenants_do_not_share),
        cmocka_unit_test(many_tenants_push_out_the_idle_ones_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
