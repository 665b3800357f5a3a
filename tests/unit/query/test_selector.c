#include "query/selector.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* The series env=prod, region=eu, version=v1.2 of service web. */
static bool holds(const char *text)
{
    struct selector s = {0};
    struct tags series = {0};
    struct failure f;
    bool r;

    tags_add(&series, BYTES_LIT("env"), BYTES_LIT("prod"));
    tags_add(&series, BYTES_LIT("region"), BYTES_LIT("eu"));
    tags_add(&series, BYTES_LIT("version"), BYTES_LIT("v1.2"));
    if (selector_parse(&s, bytes_str(text), &f) != 0)
        fail_msg("%s: %s", text, f.message);
    r = selector_matches(&s, BYTES_LIT("web"), &series);
    selector_deinit(&s);
    return r;
}

static void matchers_in_braces_hold_as_prometheus_has_them(void **state)
{
    (void)state;
    assert_true(holds("{}"));
    assert_true(holds("{env=\"prod\"}"));
    assert_true(holds(" { env = \"prod\" , version =~ \"v1.*\", } "));
    assert_false(holds("{env=\"prod\",version!~\"v1.*\"}"));
    assert_true(holds("{env!=\"dev\"}"));
    assert_true(holds("{zone=\"\"}"));
    assert_true(holds("{zone!=\"a\"}"));
    assert_false(holds("{zone=~\".+\"}"));
    assert_true(holds("{version=~\"v1\\.2\"}"));
    assert_false(holds("{version=~\"v1\"}"));
    assert_true(holds("{version=~`v\\d.\\d`}"));
    assert_true(holds("{service=\"web\"}"));
    assert_true(holds("{service_name=\"web\",deployment.environment=\"prod\"}"));
}

static void key_value_is_sugar(void **state)
{
    (void)state;
    assert_true(holds(""));
    assert_true(holds("env:prod"));
    assert_true(holds("env:prod version:v1.2"));
    assert_true(holds("env:prod,region:\"eu\""));
    assert_false(holds("env:prod version:v2"));
}

static void what_is_malformed_is_refused_with_its_place(void **state)
{
    static const char *const bad[] = {"{",
                                      "{env}",
                                      "{env=prod}",
                                      "{env=\"prod\"",
                                      "{env=\"prod}",
                                      "{=\"a\"}",
                                      "{env==\"a\"}",
                                      "{env=\"a\"}x",
                                      "{env=\"a\" version=\"b\"}",
                                      "env",
                                      "env=prod",
                                      ":x",
                                      "{env=~\"(\"}"};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct selector s = {0};
        struct failure f;

        if (selector_parse(&s, bytes_str(bad[i]), &f) == 0)
            fail_msg("%s was taken", bad[i]);
        assert_int_equal(f.status, 400);
        assert_non_null(strstr(f.message, "byte"));
        assert_int_equal(s.n, 0);
    }
}

static void more_than_32_matchers_are_refused(void **state)
{
    struct selector s = {0};
    struct buf text = {0};
    struct failure f;

    (void)state;
    for (int i = 0; i < 32; i++)
        buf_printf(&text, "k%d:v ", i);
    assert_int_equal(selector_parse(&s, buf_bytes(&text), &f), 0);
    selector_deinit(&s);
    buf_append_str(&text, "one:more");
    assert_int_equal(selector_parse(&s, buf_bytes(&text), &f), FAILURE);
    buf_deinit(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matchers_in_braces_hold_as_prometheus_has_them),
        cmocka_unit_test(key_value_is_sugar),
        cmocka_unit_test(what_is_malformed_is_refused_with_its_place),
        cmocka_unit_test(more_than_32_matchers_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
