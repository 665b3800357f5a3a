#include "collector/intake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct intake_rules rules = {
    .series_tags = "region,zone",
    .default_service = "nobody",
    .now_ns = INT64_C(1795487616000000000),
    .future_max_ms = 600000,
};

struct fixture {
    struct intake in;
    struct failure failure;
};

static int set_up(void **state)
{
    struct fixture *x = calloc(1, sizeof *x);

    assert_int_equal(intake_begin(&x->in, &rules, BYTES_LIT("team-a"), &x->failure), 0);
    *state = x;
    return 0;
}

static int tear_down(void **state)
{
    free(*state);
    return 0;
}

static void assert_tag(const struct tags *t, const char *key, const char *value)
{
    struct bytes got = tags_get(t, key);

    if (!bytes_equal(got, bytes_str(value)))
        fail_msg("%s is \"%.*s\", not \"%s\"", key, (int)got.len, (const char *)got.data, value);
}

static void keys_of_every_spelling_are_sorted_into_classes(void **state)
{
    struct fixture *x = *state;
    struct intake *in = &x->in;

    assert_true(intake_attribute(in, BYTES_LIT("service.name"), BYTES_LIT("shop")));
    assert_true(intake_attribute(in, BYTES_LIT("service"), BYTES_LIT("later")));
    assert_true(intake_attribute(in, BYTES_LIT("deployment.environment.name"), BYTES_LIT("prod")));
    assert_true(intake_attribute(in, BYTES_LIT("zone"), BYTES_LIT("a")));
    assert_true(intake_attribute(in, BYTES_LIT("host.name"), BYTES_LIT("h1")));
    assert_true(intake_attribute(in, BYTES_LIT("team"), BYTES_LIT("core")));
    assert_false(intake_attribute(in, BYTES_LIT("__session_id__"), BYTES_LIT("1")));
    assert_false(intake_attribute(in, BYTES_LIT("empty"), BYTES_LIT("")));
    assert_false(intake_attribute(in, BYTES_LIT(""), BYTES_LIT("x")));
    assert_true(bytes_equal(in->service, BYTES_LIT("shop")));
    assert_int_equal(in->series.n, 2);
    assert_tag(&in->series, "env", "prod");
    assert_tag(&in->series, "zone", "a");
    assert_int_equal(in->instance.n, 2);
    assert_tag(&in->instance, "host", "h1");
    assert_tag(&in->instance, "team", "core");
    assert_true(bytes_equal(in->tenant, BYTES_LIT("team-a")));
}

static void what_an_agent_sends_is_cut_where_it_stops_being_text(void **state)
{
    struct fixture *x = *state;
    char longer[TAG_VALUE_MAX + 2];

    memset(longer, 'x', sizeof longer);
    memcpy(longer + TAG_VALUE_MAX - 1, "\xc3\xa4", 2); /* a character across the limit */
    assert_true(intake_attribute(&x->in, BYTES_LIT("a"), BYTES_LIT("one\ntwo")));
    assert_true(intake_attribute(&x->in, BYTES_LIT("b"), BYTES_LIT("gr\xc3\xbc\xc3(")));
    assert_true(intake_attribute(&x->in, BYTES_LIT("c"), bytes_of(longer, sizeof longer)));
    assert_false(intake_attribute(&x->in, BYTES_LIT("d"), BYTES_LIT("\xff")));
    assert_false(intake_attribute(&x->in, BYTES_LIT("k\n"), BYTES_LIT("v")));
    assert_false(intake_attribute(&x->in, bytes_of(longer, TAG_KEY_MAX + 1), BYTES_LIT("v")));
    assert_tag(&x->in.instance, "a", "one");
    assert_tag(&x->in.instance, "b", "gr\xc3\xbc");
    assert_int_equal(tags_get(&x->in.instance, "c").len, TAG_VALUE_MAX - 1);
    assert_int_equal(x->in.instance.n, 3);
}

static void what_a_person_typed_is_refused_instead(void **state)
{
    static const struct {
        struct bytes key, value;
        const char *code;
    } cases[] = {
        {BYTES_LIT("a"), BYTES_LIT("one\ntwo"), "bad_tag"},
        {BYTES_LIT("a"), BYTES_LIT("\xed\xa0\x80"), "bad_tag"},
        {BYTES_LIT("\xff"), BYTES_LIT("v"), "bad_tag"},
    };
    struct fixture *x = *state;
    char keys[TAGS_MAX][8];

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(intake_tag(&x->in, cases[i].key, cases[i].value, &x->failure), FAILURE);
        assert_string_equal(x->failure.code, cases[i].code);
    }
    for (int i = 0; i < TAGS_MAX; i++) {
        snprintf(keys[i], sizeof keys[i], "k%d", i);
        assert_int_equal(intake_tag(&x->in, bytes_str(keys[i]), BYTES_LIT("v"), &x->failure), 0);
    }
    assert_int_equal(intake_tag(&x->in, BYTES_LIT("one-more"), BYTES_LIT("v"), &x->failure),
                     FAILURE);
    assert_string_equal(x->failure.code, "too_many_tags");
}

static void datadog_s_list_may_have_colons_in_values(void **state)
{
    struct fixture *x = *state;

    intake_datadog_tags(&x->in, BYTES_LIT("service:shop,url:http://h:80/, env : test ,alone,:x,k:,"
                                          "version:1.2.3"));
    assert_true(bytes_equal(x->in.service, BYTES_LIT("shop")));
    assert_tag(&x->in.series, "env", "test");
    assert_tag(&x->in.series, "version", "1.2.3");
    assert_tag(&x->in.instance, "url", "http://h:80/");
    assert_int_equal(x->in.instance.n, 1);
}

static void a_service_is_made_up_only_where_there_is_none(void **state)
{
    struct fixture *x = *state;

    intake_default_service(&x->in);
    assert_true(bytes_equal(x->in.service, BYTES_LIT("nobody")));
    x->in.service = BYTES_LIT("shop");
    intake_default_service(&x->in);
    assert_true(bytes_equal(x->in.service, BYTES_LIT("shop")));
}

static void a_tenant_is_a_plain_word(void **state)
{
    struct fixture *x = *state;
    char longer[TENANT_MAX + 1];

    memset(longer, 'x', sizeof longer);
    assert_int_equal(intake_begin(&x->in, &rules, BYTES_LIT(""), &x->failure), 0);
    assert_true(bytes_equal(x->in.tenant, BYTES_LIT(TENANT_DEFAULT)));
    assert_int_equal(intake_begin(&x->in, &rules, BYTES_LIT("a/b"), &x->failure), FAILURE);
    assert_string_equal(x->failure.code, "bad_tenant");
    assert_int_equal(intake_begin(&x->in, &rules, bytes_of(longer, sizeof longer), &x->failure),
                     FAILURE);
    assert_int_equal(intake_begin(&x->in, &rules, bytes_of(longer, TENANT_MAX), &x->failure), 0);
}

#define INTAKE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        INTAKE_TEST(keys_of_every_spelling_are_sorted_into_classes),
        INTAKE_TEST(what_an_agent_sends_is_cut_where_it_stops_being_text),
        INTAKE_TEST(what_a_person_typed_is_refused_instead),
        INTAKE_TEST(datadog_s_list_may_have_colons_in_values),
        INTAKE_TEST(a_service_is_made_up_only_where_there_is_none),
        INTAKE_TEST(a_tenant_is_a_plain_word),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
