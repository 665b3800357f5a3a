#include "collector/protocols/app_name.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* "app|key=value|…" */
static const char *parse(const char *name)
{
    static char out[4096];
    struct app_name a;
    struct failure f;
    int n;

    if (app_name_parse(bytes_str(name), &a, &f)) {
        assert_int_equal(f.status, 400);
        return "refused";
    }
    n = sprintf(out, "%.*s", (int)a.app.len, (const char *)a.app.data);
    for (uint32_t i = 0; i < a.n; i++)
        n += sprintf(out + n, "|%.*s=%.*s", (int)a.labels[i].key.len,
                     (const char *)a.labels[i].key.data, (int)a.labels[i].value.len,
                     (const char *)a.labels[i].value.data);
    return out;
}

static void an_app_may_have_labels_or_not(void **state)
{
    (void)state;
    assert_string_equal(parse("app"), "app");
    assert_string_equal(parse(" my.app/x-1 "), "my.app/x-1");
    assert_string_equal(parse("app{}"), "app");
    assert_string_equal(parse("app{a=1}"), "app|a=1");
    assert_string_equal(parse("{a=1}"), "|a=1");
    assert_string_equal(parse(""), "");
}

static void keys_may_have_dots_and_values_slashes(void **state)
{
    (void)state;
    assert_string_equal(
        parse("demo-go{__session_id__=48,otel.scope.name=com.grafana.pyroscope/go,"
              "env=test}"),
        "demo-go|__session_id__=48|otel.scope.name=com.grafana.pyroscope/go|env=test");
    assert_string_equal(parse("a{url=http://h:80/?q=1&r=2}"), "a|url=http://h:80/?q=1&r=2");
}

static void white_space_quotes_and_empty_labels_are_forgiven(void **state)
{
    (void)state;
    assert_string_equal(parse("a{ k = v , l=\"quoted value\" ,, m= }"), "a|k=v|l=quoted value|m=");
    assert_string_equal(parse("a{k=v,} "), "a|k=v");
}

static void what_cannot_be_meant_is_refused(void **state)
{
    (void)state;
    assert_string_equal(parse("a{k=v"), "refused");
    assert_string_equal(parse("a{k}"), "refused");
    assert_string_equal(parse("a{=v}"), "refused");
    assert_string_equal(parse("a{k=v}tail"), "refused");
}

static void labels_have_a_limit(void **state)
{
    char name[1024] = "a{";

    (void)state;
    for (int i = 0; i < TAGS_MAX; i++)
        sprintf(name + strlen(name), "k%d=v,", i);
    strcat(name, "}");
    assert_string_not_equal(parse(name), "refused");
    strcpy(name + strlen(name) - 1, "z=1}");
    assert_string_equal(parse(name), "refused");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_app_may_have_labels_or_not),
        cmocka_unit_test(keys_may_have_dots_and_values_slashes),
        cmocka_unit_test(white_space_quotes_and_empty_labels_are_forgiven),
        cmocka_unit_test(what_cannot_be_meant_is_refused),
        cmocka_unit_test(labels_have_a_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
