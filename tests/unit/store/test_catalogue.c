#include "store/catalogue.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct catalogue_entry entry(void)
{
    struct catalogue_entry e = {
        .first_s = 1700000000,
        .last_s = 1700003600,
        .tenant = BYTES_LIT(""),
        .service = BYTES_LIT("checkout"),
        .type = BYTES_LIT("process_cpu:cpu:nanoseconds:cpu:nanoseconds"),
        .res_s = 60,
    };

    tags_add(&e.series, BYTES_LIT("version"), BYTES_LIT("1.2.3"));
    tags_add(&e.series, BYTES_LIT("env"), BYTES_LIT("prod"));
    return e;
}

static void an_entry_reads_back(void **state)
{
    struct catalogue_entry e = entry(), got;
    struct buf out = {0};

    (void)state;
    catalogue_encode(&e, &out);
    assert_int_equal(catalogue_decode(&got, buf_bytes(&out)), 0);
    assert_int_equal(got.first_s, e.first_s);
    assert_int_equal(got.last_s, e.last_s);
    assert_int_equal(got.res_s, 60);
    assert_true(bytes_equal(got.tenant, e.tenant));
    assert_true(bytes_equal(got.service, e.service));
    assert_true(bytes_equal(got.type, e.type));
    assert_int_equal(got.series.n, 2);
    assert_true(bytes_equal(tags_get(&got.series, "env"), BYTES_LIT("prod")));
    assert_true(bytes_equal(tags_get(&got.series, "version"), BYTES_LIT("1.2.3")));
    buf_deinit(&out);
}

static void an_entry_cut_short_or_with_more_behind_it_is_refused(void **state)
{
    struct catalogue_entry e = entry(), got;
    struct buf out = {0};

    (void)state;
    catalogue_encode(&e, &out);
    for (size_t len = 0; len < out.len; len++)
        assert_int_equal(catalogue_decode(&got, bytes_of(out.data, len)), -EBADMSG);
    buf_append_u8(&out, 0);
    assert_int_equal(catalogue_decode(&got, buf_bytes(&out)), -EBADMSG);
    buf_deinit(&out);
}

static void another_version_is_refused(void **state)
{
    struct catalogue_entry e = entry(), got;
    struct buf out = {0};

    (void)state;
    catalogue_encode(&e, &out);
    out.data[0]++;
    assert_int_equal(catalogue_decode(&got, buf_bytes(&out)), -EBADMSG);
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_reads_back),
        cmocka_unit_test(an_entry_cut_short_or_with_more_behind_it_is_refused),
        cmocka_unit_test(another_version_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
