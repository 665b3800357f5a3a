#include "collector/protocols/form.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct form form;
static struct failure failure;
static char body[40000];

static int read_form(const char *config, const char *other_part)
{
    sprintf(body,
            "--B\r\nContent-Disposition: form-data; name=\"profile\"\r\n\r\nbytes\r\n"
            "--B\r\nContent-Disposition: form-data; name=\"sample_type_config\"\r\n\r\n%s\r\n"
            "--B\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\nx\r\n--B--",
            config, other_part);
    failure.code[0] = '\0';
    return form_read(&form, BYTES_LIT("multipart/form-data; boundary=B"), bytes_str(body),
                     &failure);
}

static void assert_hint(const char *type, const char *want)
{
    struct bytes hint = form_family(&form, bytes_str(type));

    assert_true(bytes_equal(hint, bytes_str(want)));
}

static void display_names_tell_mutex_from_block(void **state)
{
    (void)state;
    assert_int_equal(read_form("{\"contentions\":{\"units\":\"lock_samples\","
                               "\"display-name\":\"mutex_count\"},\"delay\":{\"display-name\":"
                               "\"mutex_duration\"},\"x\":{\"display-name\":\"strange\"},\"y\":{}}",
                               "other"),
                     0);
    assert_true(bytes_equal(form.profile, BYTES_LIT("bytes")));
    assert_hint("contentions", "mutex");
    assert_hint("delay", "mutex");
    assert_hint("x", "");
    assert_hint("y", "");
    assert_hint("absent", "");
}

static void an_empty_configuration_is_none(void **state)
{
    (void)state;
    assert_int_equal(read_form("", "other"), 0);
    assert_int_equal(read_form("{}", "other"), 0);
    assert_int_equal(form.n_hints, 0);
}

static void what_would_have_to_be_subtracted_is_refused(void **state)
{
    (void)state;
    assert_int_equal(read_form("{\"alloc\":{\"cumulative\":true}}", "other"), FAILURE);
    assert_string_equal(failure.code, "cumulative_unsupported");
    assert_int_equal(read_form("{\"alloc\":{\"cumulative\":false}}", "other"), 0);
    assert_int_equal(read_form("{}", "prev_profile"), FAILURE);
    assert_string_equal(failure.code, "prev_profile_unsupported");
}

static void what_is_no_object_is_refused(void **state)
{
    static const char *const bad[] = {"[]", "1", "{", "nonsense", "{\"a\":1} x"};
    char big[FORM_CONFIG_MAX + 10];

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(read_form(bad[i], "other"), FAILURE);
        assert_int_equal(failure.status, 400);
    }
    memset(big, ' ', sizeof big);
    big[sizeof big - 1] = '\0';
    assert_int_equal(read_form(big, "other"), FAILURE);
    /* Deep nesting costs a refusal, not the stack. */
    memset(big, '[', FORM_CONFIG_MAX);
    big[FORM_CONFIG_MAX] = '\0';
    assert_int_equal(read_form(big, "other"), FAILURE);
    assert_int_equal(read_form("{\"a\":1,\"b\":[],\"c\":null}", "other"), 0);
}

/* Taking one of them would lose the other behind a 200. */
static void a_form_with_two_profiles_is_refused(void **state)
{
    (void)state;
    assert_int_equal(read_form("{}", "profile"), FAILURE);
    assert_string_equal(failure.code, "bad_multipart");
    assert_int_equal(read_form("{}", "jfr"), FAILURE);
    assert_int_equal(failure.status, 400);
}

static void a_form_without_a_profile_is_refused(void **state)
{
    (void)state;
    assert_int_equal(
        form_read(&form, BYTES_LIT("multipart/form-data; boundary=B"),
                  BYTES_LIT("--B\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n"
                            "--B--"),
                  &failure),
        FAILURE);
    assert_string_equal(failure.code, "no_profile");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(display_names_tell_mutex_from_block),
        cmocka_unit_test(an_empty_configuration_is_none),
        cmocka_unit_test(what_would_have_to_be_subtracted_is_refused),
        cmocka_unit_test(what_is_no_object_is_refused),
        cmocka_unit_test(a_form_with_two_profiles_is_refused),
        cmocka_unit_test(a_form_without_a_profile_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
