/* The reader of event.json, the form around it, and what becomes of both: tags, times, key. */
#include "base/err.h"
#include "collector/protocols/datadog_tags.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define TYPE BYTES_LIT("multipart/form-data; boundary=B")
#define PART(disposition, body)                                                                    \
    "--B\r\nContent-Disposition: form-data; " disposition "\r\n\r\n" body "\r\n"
#define FILE_PART(name, body) PART("name=\"x\"; filename=\"" name "\"", body)

static const struct intake_rules rules = {
    .series_tags = "region",
    .default_service = "unknown_service",
    .now_ns = INT64_C(1795487410000000000),
    .future_max_ms = 600000,
};

struct fixture {
    struct arena arena;
    struct datadog_form form;
    struct intake in;
    struct failure f;
};

static int setup(void **state)
{
    struct fixture *x = calloc(1, sizeof *x);

    arena_init(&x->arena, 4096);
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *x = *state;

    arena_deinit(&x->arena);
    free(x);
    return 0;
}

static int read_event(struct fixture *x, const char *json)
{
    return datadog_event_read(&x->form.event, bytes_str(json), &x->arena, &x->f);
}

static int read_form(struct fixture *x, const char *body)
{
    return datadog_form_read(&x->form, TYPE, bytes_str(body), &x->arena, &x->f);
}

static int describe(struct fixture *x, const struct datadog_headers *h)
{
    static const struct datadog_headers none;

    assert_int_equal(intake_begin(&x->in, &rules, BYTES_LIT(""), &x->f), 0);
    return datadog_describe(&x->in, &x->form.event, h ? h : &none, &x->arena, &x->f);
}

static void assert_text(struct bytes b, const char *text)
{
    if (!bytes_equal(b, bytes_str(text)))
        print_error("\"%.*s\" is not \"%s\"\n", (int)b.len, (const char *)b.data, text);
    assert_true(bytes_equal(b, bytes_str(text)));
}

static void an_event_gives_its_texts_whatever_else_it_holds(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(read_event(x, "{\"info\":{\"family\":\"no\",\"a\":[1,2.5e400,{}]},"
                                   "\"attachments\":[\"cpu.pprof\"],"
                                   "\"tags_profiler\":\"service:w\\u0065b,env:prod\","
                                   "\"process_tags\":\"svc.user:true\",\"version\":\"4\","
                                   "\"start\":\"2026-11-24T02:30:05.476868107Z\","
                                   "\"end\":\"2026-11-24T02:30:10Z\",\"family\":\"go\","
                                   "\"endpoint_counts\":{\"GET /a\":3,\"POST /b\":4},"
                                   "\"internal\":null,\"family\":\"later\"}"),
                     0);
    assert_text(x->form.event.tags, "service:web,env:prod");
    assert_text(x->form.event.process_tags, "svc.user:true");
    assert_text(x->form.event.family, "go");
    assert_text(x->form.event.start, "2026-11-24T02:30:05.476868107Z");
    assert_text(x->form.event.end, "2026-11-24T02:30:10Z");
    assert_int_equal(x->form.event.n_endpoints, 2);
}

static void absent_null_and_mistyped_fields_are_empty(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(read_event(x, "{\"endpoint_counts\":null,\"family\":4,\"start\":[\"x\"]}"), 0);
    assert_int_equal(x->form.event.n_endpoints, 0);
    assert_int_equal(x->form.event.family.len, 0);
    assert_int_equal(x->form.event.start.len, 0);
    assert_int_equal(read_event(x, "{}"), 0);
}

static void what_is_no_json_object_is_refused(void **state)
{
    static const char *const bad[] = {"",     "[]",     "\"text\"", "{", "{\"a\":}", "{} x", "{}{}",
                                      "null", "{\"a\"", "\xff\xfe", "7", "{]\"a\""};
    struct fixture *x = *state;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(read_event(x, bad[i]), FAILURE);
        assert_int_equal(x->f.status, 400);
        assert_string_equal(x->f.code, "bad_event");
    }
}

static void depth_and_size_of_an_event_are_capped(void **state)
{
    struct fixture *x = *state;
    char deep[EVENT_DEPTH_MAX + 16], *large = malloc(EVENT_BYTES_MAX + 2);

    memset(deep, '[', sizeof deep);
    memcpy(deep, "{\"a\":", 5);
    deep[sizeof deep - 1] = '\0';
    assert_int_equal(read_event(x, deep), FAILURE);
    assert_int_equal(x->f.status, 413);
    memset(large, ' ', EVENT_BYTES_MAX + 1);
    large[EVENT_BYTES_MAX + 1] = '\0';
    assert_int_equal(read_event(x, large), FAILURE);
    assert_int_equal(x->f.status, 413);
    assert_non_null(strstr(x->f.message, "1048576"));
    free(large);
}

static void parts_are_told_by_their_file_names_in_any_order(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(read_form(x, FILE_PART("cpu.pprof", "1")
                                      PART("name=\"main\"; filename=\"main.jfr\"", "22")
                                          FILE_PART("event.json", "{}") "--B--"),
                     0);
    assert_text(x->form.event_json, "{}");
    assert_int_equal(x->form.n, 2);
    assert_text(x->form.at[0].name, "cpu.pprof");
    assert_text(x->form.at[0].body, "1");
    assert_text(x->form.at[1].name, "main.jfr");
    assert_text(x->form.at[1].body, "22");
}

static void a_form_of_old_go_clients_makes_the_same_event(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(
        read_form(x, PART("name=\"version\"", "3") PART("name=\"family\"", "go")
                         PART("name=\"start\"", "2021-01-01T00:00:00Z") PART("name=\"end\"",
                                                                             "2021-01-01T00:01:00Z")
                             PART("name=\"tags[]\"", "service:old") PART("name=\"tags[]\"", "env:e")
                                 PART("name=\"data[cpu.pprof]\"; filename=\"pprof-data\"",
                                      "bytes") "--B--"),
        0);
    assert_null(x->form.event_json.data);
    assert_int_equal(describe(x, NULL), 0);
    assert_text(x->in.service, "old");
    assert_text(tags_get(&x->in.series, "env"), "e");
    assert_text(x->form.event.family, "go");
    assert_true(x->in.times.from.given && x->in.times.until.given);
    assert_int_equal(x->in.times.until.ns - x->in.times.from.ns, 60 * NS_PER_S);
    assert_int_equal(x->form.n, 1);
    assert_text(x->form.at[0].name, "cpu.pprof");
}

static void a_form_of_old_node_clients_makes_the_same_event(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(
        read_form(x, PART("name=\"recording-start\"", "2021-01-01T00:00:00Z") PART(
                         "name=\"recording-end\"", "2021-01-01T00:01:00Z") PART("name=\"language\"",
                                                                                "javascript")
                         PART("name=\"tags[]\"", "service:old-js") PART("name=\"types[0]\"", "wall")
                             PART("name=\"data[0]\"; filename=\"wall.pb.gz\"", "bytes") "--B--"),
        0);
    assert_text(x->form.at[0].name, "wall.pb.gz");
    assert_text(x->form.event.family, "javascript");
}

static void a_form_without_event_is_refused_with_what_to_send(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(read_form(x, FILE_PART("cpu.pprof", "1") "--B--"), FAILURE);
    assert_int_equal(x->f.status, 400);
    assert_string_equal(x->f.code, "no_event");
    assert_non_null(strstr(x->f.hint, "event.json"));
}

static void tags_become_service_series_and_instance(void **state)
{
    struct fixture *x = *state;

    x->form.event = (struct datadog_event){
        .tags = BYTES_LIT("service:web,env:prod,version:1.2.3,team:core,region:eu,empty:,alone,"
                          "url:http://x:8/,profile_seq:7,_dd.rc.client_id:u,runtime-id:r,"
                          "process_id:12,version:9,host:h"),
        .process_tags = BYTES_LIT("entrypoint.name:app,service:other"),
        .family = BYTES_LIT("go"),
    };
    assert_int_equal(describe(x, NULL), 0);
    assert_text(x->in.service, "web");
    assert_int_equal(x->in.series.n, 3);
    assert_text(tags_get(&x->in.series, "env"), "prod");
    assert_text(tags_get(&x->in.series, "version"), "1.2.3");
    assert_text(tags_get(&x->in.series, "region"), "eu");
    assert_text(tags_get(&x->in.instance, "team"), "core");
    assert_text(tags_get(&x->in.instance, "url"), "http://x:8/");
    assert_text(tags_get(&x->in.instance, "runtime-id"), "r");
    assert_text(tags_get(&x->in.instance, "pid"), "12");
    assert_text(tags_get(&x->in.instance, "host"), "h");
    assert_text(tags_get(&x->in.instance, "entrypoint.name"), "app");
    assert_text(tags_get(&x->in.instance, "language"), "go");
    assert_text(tags_get(&x->in.instance, "profile_seq"), "");
    assert_text(tags_get(&x->in.instance, "_dd.rc.client_id"), "");
    assert_text(x->in.agent, "datadog go");
}

static void headers_add_what_the_profiler_did_not_say(void **state)
{
    struct fixture *x = *state;
    const struct datadog_headers h = {
        .origin = BYTES_LIT("dd-trace-py"),
        .origin_version = BYTES_LIT("4.16.0"),
        .container_id = BYTES_LIT("abc"),
        .entity_id = BYTES_LIT("in-1"),
        .container_tags = BYTES_LIT("pod_name:web-1,kube_namespace:shop"),
        .additional_tags = BYTES_LIT("host:node-7,default_env:staging,agent_version:7.1"),
    };

    x->form.event = (struct datadog_event){.tags = BYTES_LIT("version:1")};
    assert_int_equal(describe(x, &h), 0);
    assert_text(x->in.service, "unknown_service");
    assert_text(x->in.agent, "dd-trace-py 4.16.0");
    assert_text(tags_get(&x->in.series, "env"), "staging");
    assert_text(tags_get(&x->in.series, "namespace"), "shop");
    assert_text(tags_get(&x->in.instance, "host"), "node-7");
    assert_text(tags_get(&x->in.instance, "pod"), "web-1");
    assert_text(tags_get(&x->in.instance, "container_id"), "abc");
    assert_text(tags_get(&x->in.instance, "entity_id"), "in-1");

    x->form.event = (struct datadog_event){.tags = BYTES_LIT("env:mine,host:own")};
    assert_int_equal(describe(x, &h), 0);
    assert_text(tags_get(&x->in.series, "env"), "mine");
    assert_text(tags_get(&x->in.instance, "host"), "own");
}

static void an_upload_without_host_is_of_ours(void **state)
{
    struct fixture *x = *state;

    x->form.event = (struct datadog_event){.tags = BYTES_LIT("service:a")};
    assert_int_equal(describe(x, NULL), 0);
    assert_true(tags_get(&x->in.instance, "host").len > 0);
}

static void a_time_that_is_none_is_refused(void **state)
{
    struct fixture *x = *state;

    x->form.event = (struct datadog_event){.end = BYTES_LIT("yesterday")};
    assert_int_equal(describe(x, NULL), FAILURE);
    assert_int_equal(x->f.status, 400);
    assert_string_equal(x->f.code, "bad_time");
}

/* The key of a form with an event of these tags and one attachment; zeros: none. */
static struct hash128 key(const char *tags, const char *start, const char *body, const char *tenant)
{
    struct datadog_form form = {
        .event = {.tags = bytes_str(tags), .start = bytes_str(start), .end = BYTES_LIT("e")},
        .n = 1,
        .at = {{BYTES_LIT("cpu.pprof"), bytes_str(body)}},
    };
    struct hash128 k = {0};

    datadog_upload_key(&form, bytes_str(tenant), &k);
    return k;
}

static bool same(struct hash128 a, struct hash128 b)
{
    return a.hi == b.hi && a.lo == b.lo;
}

static void the_key_holds_for_a_retry_and_for_nothing_else(void **state)
{
    const char *tags = "service:a,runtime-id:r,profile_seq:1";
    struct hash128 k = key(tags, "s", "12345", "t"), none = {0};

    (void)state;
    assert_true(same(k, key("snapshot:x,runtime-id:r,profile_seq:1", "s", "12345", "t")));
    assert_false(same(k, key("service:a,runtime-id:r,profile_seq:2", "s", "12345", "t")));
    assert_false(same(k, key("service:a,runtime-id:q,profile_seq:1", "s", "12345", "t")));
    assert_false(same(k, key(tags, "s2", "12345", "t")));
    assert_false(same(k, key(tags, "s", "123456", "t")));
    assert_false(same(k, key(tags, "s", "12346", "t")));
    assert_false(same(k, key(tags, "s", "12345", "u")));
    assert_false(same(key("host:a,process_id:1", "s", "12345", "t"),
                      key("host:b,process_id:1", "s", "12345", "t")));
    assert_true(same(none, key("service:a,host:h", "s", "12345", "t")));
    assert_true(same(none, key(tags, "", "12345", "t")));
}

static void the_key_does_not_depend_on_the_order_of_attachments(void **state)
{
    struct datadog_form form = {
        .event = {BYTES_LIT("runtime-id:r"), .start = BYTES_LIT("s"), .end = BYTES_LIT("e")},
        .n = 2,
        .at = {{BYTES_LIT("a.pprof"), BYTES_LIT("1")}, {BYTES_LIT("b.pprof"), BYTES_LIT("22")}},
    };
    struct attachment first = form.at[0];
    struct hash128 k, other;

    (void)state;
    assert_true(datadog_upload_key(&form, BYTES_LIT("t"), &k));
    form.at[0] = form.at[1];
    form.at[1] = first;
    assert_true(datadog_upload_key(&form, BYTES_LIT("t"), &other));
    assert_true(same(k, other));
}

static void names_tell_profiles_their_families_and_what_is_none(void **state)
{
    static const struct {
        const char *name;
        enum attachment_kind kind;
        const char *word;
    } rows[] = {
        {"cpu.pprof", ATTACHMENT_PPROF, "cpu"},
        {"delta-heap.pprof", ATTACHMENT_PPROF, "memory"},
        {"heap.pprof", ATTACHMENT_PPROF, "memory"},
        {"space.pprof", ATTACHMENT_PPROF, "memory"},
        {"delta-mutex.pprof", ATTACHMENT_PPROF, "mutex"},
        {"block.pprof", ATTACHMENT_PPROF, "block"},
        {"goroutines.pprof", ATTACHMENT_PPROF, "goroutines"},
        {"wall.pprof", ATTACHMENT_PPROF, "wall"},
        {"wall.pb.gz", ATTACHMENT_PPROF, "wall"},
        {"profile.pprof", ATTACHMENT_PPROF, ""},
        {"auto.pprof", ATTACHMENT_PPROF, ""},
        {"main.jfr", ATTACHMENT_JFR, ""},
        {"metrics.json", ATTACHMENT_SKIPPED, "metrics.json"},
        {"code-provenance.json", ATTACHMENT_SKIPPED, "code-provenance.json"},
        {"go.trace", ATTACHMENT_SKIPPED, "go.trace"},
        {"events.pprof", ATTACHMENT_SKIPPED, "timeline"},
        {"histogram.json", ATTACHMENT_SKIPPED, "other"},
        {"", ATTACHMENT_SKIPPED, "other"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *word;

        assert_int_equal(datadog_attachment_kind(bytes_str(rows[i].name), &word), rows[i].kind);
        assert_string_equal(word, rows[i].word);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(an_event_gives_its_texts_whatever_else_it_holds),
        TEST(absent_null_and_mistyped_fields_are_empty),
        TEST(what_is_no_json_object_is_refused),
        TEST(depth_and_size_of_an_event_are_capped),
        TEST(parts_are_told_by_their_file_names_in_any_order),
        TEST(a_form_of_old_go_clients_makes_the_same_event),
        TEST(a_form_of_old_node_clients_makes_the_same_event),
        TEST(a_form_without_event_is_refused_with_what_to_send),
        TEST(tags_become_service_series_and_instance),
        TEST(headers_add_what_the_profiler_did_not_say),
        TEST(an_upload_without_host_is_of_ours),
        TEST(a_time_that_is_none_is_refused),
        TEST(the_key_holds_for_a_retry_and_for_nothing_else),
        TEST(the_key_does_not_depend_on_the_order_of_attachments),
        TEST(names_tell_profiles_their_families_and_what_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
