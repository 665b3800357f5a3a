/*
 * The collector as a whole: Hearth's own way in, and what holds for every protocol.
 */
#include "base/varint.h"
#include "formats/inflate.h"
#include "lib/collector_fixture.h"

static void tags_of_a_push_are_sorted_into_classes(void **state)
{
    struct fixture *f = *state;
    struct http_answer a =
        post(f,
             "/api/v1/profiles?team=core&service=shop&environment=prod&service.version=7&zone=a"
             "&host=h1&pid=12&__session_id__=1&otel.scope.name=x&from=1795487616"
             "&until=1795487626000",
             TINY);
    const struct seen *s;

    assert_int_equal(a.status, 200);
    assert_string_equal(http_answer_header(&a, "Content-Type"), "application/json");
    assert_non_null(strstr(buf_cstr(&a.body),
                           "{\"status\":\"ok\",\"profiles\":1,\"samples\":1,"
                           "\"from\":1795487616000000000,\"until\":1795487626000000000,"
                           "\"types\":[\"process_cpu:cpu:nanoseconds:cpu:nanoseconds\"],"
                           "\"repaired\":{},\"warnings\":["));
    http_answer_deinit(&a);
    s = wait_for(f, 1);
    assert_string_equal(s->labels,
                        "shop|env=prod,version=7,zone=a|host=h1,pid=12,team=core||pprof");
    assert_string_equal(s->totals, "process_cpu:cpu:nanoseconds:cpu:nanoseconds=7");
}

static void every_record_has_its_place_in_the_sequence(void **state)
{
    struct fixture *f = *state;
    const struct seen *s;

    for (int i = 0; i < 5; i++) {
        struct http_answer a = post(f, "/api/v1/profiles?service=shop", TINY);

        assert_int_equal(a.status, 200);
        http_answer_deinit(&a);
    }
    s = wait_for(f, 5);
    for (int i = 0; i < 5; i++) {
        assert_memory_equal(&s[i].source, &s[0].source, sizeof s->source);
        assert_int_equal(s[i].partition, s[0].partition);
        assert_int_equal(s[i].seq, i);
        assert_int_equal(s[i].low, i);
    }
    assert_true(s->source.hi || s->source.lo);
}

static void too_many_series_go_to_other_and_are_counted_there(void **state)
{
    static const char *const settings[] = {"series_max", "2", "services_max", "1", NULL};
    struct fixture *f = start(settings);
    static const char *const targets[] = {
        "/api/v1/profiles?service=a&version=1&team=x", "/api/v1/profiles?service=a&version=2&env=e",
        "/api/v1/profiles?service=a&version=3&team=x", "/api/v1/profiles?service=a&version=1",
        "/api/v1/profiles?service=b&version=3",
    };
    static const char *const wants[] = {
        "a|version=1|team=x||pprof",           "a|env=e,version=2|||pprof",
        "a|version=__other__|team=x||pprof",   "a|version=1|||pprof",
        "__other__|version=__other__|||pprof",
    };

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        struct http_answer a = post(f, targets[i], TINY);

        assert_int_equal(a.status, 200);
        http_answer_deinit(&a);
        assert_string_equal(wait_for(f, i + 1)[i].labels, wants[i]);
    }
    stop(f);
}

static void what_a_request_gets_wrong_is_told(void **state)
{
    static const struct {
        const char *target;
        int status;
        const char *code;
    } cases[] = {
        {"/api/v1/profiles", 400, "no_service"},
        {"/api/v1/profiles?service=", 400, "no_service"},
        {"/api/v1/profiles?service=a&from=yesterday", 400, "bad_time"},
        {"/api/v1/profiles?service=a&until=-1", 400, "bad_time"},
        {"/api/v1/profiles?service=a&from=1795487616&until=1795487615", 400, "bad_time"},
        {"/api/v1/profiles?service=a&until=now%2b11m", 400, "future_profile"},
        {"/api/v1/profiles?service=a&from=9000000000", 400, "future_profile"},
        {"/api/v1/profiles?service=a&cumulative=1", 400, "cumulative_unsupported"},
        {"/api/v1/profiles?service=a&cumulative=x", 400, "bad_parameter"},
        {"/api/v1/profiles?service=a&sample_rate=0", 400, "bad_parameter"},
        {"/api/v1/profiles?service=a&version=1&version=2", 400, "bad_parameter"},
        {"/api/v1/profiles?service=a&until=now&x=1&until=now", 400, "bad_parameter"},
        {"/api/v1/profiles?service=a&format=gprof", 415, "unknown_format"},
        {"/api/v1/profiles?service=%ff", 400, "bad_tag"},
        {"/api/v1/profiles?service=a%0ab", 400, "bad_tag"},
        {"/api/v1/profiles?service=a&x=%ed%a0%80", 400, "bad_tag"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_answer a = post(f, cases[i].target, TINY);
        char want[100];

        snprintf(want, sizeof want, "{\"code\":\"%s\",", cases[i].code);
        if (a.status != cases[i].status || !strstr(buf_cstr(&a.body), want))
            fail_msg("%s: %d %s", cases[i].target, a.status, buf_cstr(&a.body));
        http_answer_deinit(&a);
    }
    assert_int_equal(f->n_seen, 0);
}

static void a_parameter_that_is_given_twice_is_named(void **state)
{
    struct fixture *f = *state;
    struct http_answer a = post(f, "/api/v1/profiles?service=a&version=1&version=2", TINY);

    assert_non_null(strstr(buf_cstr(&a.body), "\"the parameter \\\"version\\\" is given twice\""));
    http_answer_deinit(&a);
    a = post(f, "/ingest?name=a&name=b&format=pprof", TINY); /* agents are let through */
    assert_int_equal(a.status, 200);
    http_answer_deinit(&a);
}

static void an_upload_too_old_to_be_counted_is_warned_of(void **state)
{
    struct fixture *f = *state;
    struct http_answer a = post(f, "/api/v1/profiles?service=a&until=now-25h", TINY);

    assert_int_equal(a.status, 200);
    assert_non_null(strstr(buf_cstr(&a.body), "\"warnings\":[\"it was recorded at "));
    assert_non_null(strstr(buf_cstr(&a.body),
                           " UTC; what is older than late_max (default 24h) is not "
                           "counted. until=now gives it today's time\"]"));
    http_answer_deinit(&a);
    a = post(f, "/api/v1/profiles?service=a&until=now-23h", TINY);
    assert_non_null(strstr(buf_cstr(&a.body), "\"warnings\":[]"));
    http_answer_deinit(&a);
}

static void limits_on_tags_are_named(void **state)
{
    struct fixture *f = *state;
    struct buf target = {0};
    struct http_answer a;

    buf_append_str(&target, "/api/v1/profiles?service=a&");
    for (int i = 0; i < TAG_KEY_MAX + 1; i++)
        buf_append_u8(&target, 'k');
    buf_append_str(&target, "=v");
    a = post(f, buf_cstr(&target), TINY);
    assert_int_equal(a.status, 400);
    assert_non_null(strstr(buf_cstr(&a.body), "tag_too_long"));
    assert_non_null(strstr(buf_cstr(&a.body), "128"));
    http_answer_deinit(&a);
    buf_reset(&target);
    buf_append_str(&target, "/api/v1/profiles?x=y&service=");
    for (int i = 0; i < TAG_VALUE_MAX + 1; i++)
        buf_append_u8(&target, 'v');
    a = post(f, buf_cstr(&target), TINY);
    assert_int_equal(a.status, 400);
    assert_non_null(strstr(buf_cstr(&a.body), "512"));
    http_answer_deinit(&a);
    buf_deinit(&target);
}

static int status_of(struct http_answer a)
{
    http_answer_deinit(&a);
    return a.status;
}

static void forms_of_other_kinds_are_refused(void **state)
{
    static const struct {
        const char *request;
        int status;
    } cases[] = {
        {"POST /ingest?name=a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 400},
        {"POST /ingest?name=a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
         "Content-Type: multipart/form-data; boundary=B\r\n\r\nxyz",
         400},
        {"POST /ingest?name=a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
         "Content-Encoding: br\r\n\r\nxyz",
         400},
        {"POST /api/v1/profiles?service=a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
         "Content-Encoding: br\r\n\r\nxyz",
         415},
        {"GET /ingest HTTP/1.1\r\nHost: x\r\n\r\n", 405},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(status_of(http_talk(f->port, bytes_str(cases[i].request), 0)),
                         cases[i].status);
}

static void a_profile_may_be_in_any_format(void **state)
{
    static const struct {
        const char *params;
        struct bytes body;
        const char *format, *totals;
    } cases[] = {
        {"", BYTES_LIT("main;work 5\nmain 2\n"), "folded", "samples:samples:count::=7"},
        {"&sample_type=cpu", BYTES_LIT("main;work 5\n"), "folded",
         "process_cpu:cpu:nanoseconds:cpu:nanoseconds=50000000"},
        {"&sample_type=cpu&sample_rate=1000", BYTES_LIT("main;work 5\n"), "folded",
         "process_cpu:cpu:nanoseconds:cpu:nanoseconds=5000000"},
        {"&sample_type=alloc_space&unit=bytes", BYTES_LIT("main;work 5\n"), "folded",
         "memory:alloc_space:bytes:space:bytes=5"},
        {"&format=lines&sample_type=cpu", BYTES_LIT("main;work\nmain\n"), "lines",
         "process_cpu:cpu:nanoseconds:cpu:nanoseconds=20000000"},
        {"&format=pprof", TINY, "pprof", "process_cpu:cpu:nanoseconds:cpu:nanoseconds=7"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char target[200], labels[50];
        struct http_answer a;
        const struct seen *s;

        snprintf(target, sizeof target, "/api/v1/profiles?service=a%s", cases[i].params);
        a = post(f, target, cases[i].body);
        if (a.status != 200)
            fail_msg("%s: %d %s", target, a.status, buf_cstr(&a.body));
        http_answer_deinit(&a);
        s = &wait_for(f, i + 1)[i];
        snprintf(labels, sizeof labels, "a||||%s", cases[i].format);
        assert_string_equal(s->labels, labels);
        assert_string_equal(s->totals, cases[i].totals);
    }
}

static void a_tenant_s_rate_is_limited(void **state)
{
    static const char *const settings[] = {"tenant_uploads_per_s", "2", "tenant_burst", "1s", NULL};
    struct fixture *f = start(settings);
    struct http_answer a;

    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(status_of(post(f, "/api/v1/profiles?service=a", TINY)), 200);
    a = post(f, "/api/v1/profiles?service=a", TINY);
    assert_int_equal(a.status, 429);
    assert_non_null(http_answer_header(&a, "Retry-After"));
    assert_non_null(strstr(buf_cstr(&a.body), "\"code\":\"rate_limited\""));
    assert_non_null(strstr(buf_cstr(&a.body), "\"anonymous\\\" sends more than 2 uploads"));
    assert_non_null(strstr(buf_cstr(&a.body), "tenant_uploads_per_s"));
    http_answer_deinit(&a);
    stop(f);
}

/* Sixty seconds of a busy ddtrace: every sample with a timestamp, nineteen values each. */
static void a_busy_python_service_is_let_through(void **state)
{
    enum { SAMPLES = 130000, TYPES = 19, STACKS = 2000 };
    struct fixture *f = *state;
    struct buf raw = {0}, sample = {0}, label = {0}, body = {0};
    struct http_answer a;

    for (int i = 0; i < TYPES; i++)
        buf_append(&raw, "\x0a\x04\x08\x01\x10\x02", 6);
    for (uint64_t i = 0; i < SAMPLES; i++) {
        buf_reset(&sample);
        buf_reset(&label);
        buf_append(&label, "\x08\x03\x18", 3); /* label {key: 3, num} */
        buf_varint(&label, UINT64_C(1795487616000000000) + i * 461538);
        buf_append(&sample, "\x08", 1);
        buf_varint(&sample, i % STACKS + 1);
        buf_append(&sample, "\x12\x13", 2);
        for (int t = 0; t < TYPES; t++)
            buf_append_u8(&sample, t == 0 ? 10 : 0);
        buf_append_u8(&sample, 0x1a);
        buf_varbytes(&sample, buf_bytes(&label));
        /* numbers of threads, as ddtrace has them: set aside */
        for (int n = 0; n < 3; n++)
            buf_append(&sample, "\x1a\x0c\x08\x04\x18\x80\x80\x80\x80\x80\x80\x80\x80\x01", 14);
        buf_append_u8(&raw, 0x12);
        buf_varbytes(&raw, buf_bytes(&sample));
    }
    for (uint64_t i = 1; i <= STACKS; i++) {
        buf_reset(&sample);
        buf_append_u8(&sample, 0x08); /* location {id, address} */
        buf_varint(&sample, i);
        buf_append_u8(&sample, 0x18);
        buf_varint(&sample, i * 64);
        buf_append_u8(&raw, 0x22);
        buf_varbytes(&raw, buf_bytes(&sample));
    }
    buf_append(&raw,
               "\x32\x00\x32\x08"
               "cpu-time\x32\x0b"
               "nanoseconds\x32\x10"
               "end_timestamp_ns\x32\x09"
               "thread id",
               54);
    assert_in_range(raw.len, 9000000, 16000000);
    gzip(buf_bytes(&raw), 1, &body);
    a = post(f, "/api/v1/profiles?service=busy", buf_bytes(&body));
    if (a.status != 200 || !strstr(buf_cstr(&a.body), "\"samples\":130000"))
        fail_msg("%d %s", a.status, buf_cstr(&a.body));
    http_answer_deinit(&a);
    /* The types are one to us: the first counts, the others are no second helping of it. */
    assert_string_equal(wait_for(f, 1)->totals,
                        "process_cpu:cpu:nanoseconds:cpu:nanoseconds=1300000");
    buf_deinit(&raw);
    buf_deinit(&sample);
    buf_deinit(&label);
    buf_deinit(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(tags_of_a_push_are_sorted_into_classes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_record_has_its_place_in_the_sequence, set_up,
                                        tear_down),
        cmocka_unit_test(too_many_series_go_to_other_and_are_counted_there),
        cmocka_unit_test_setup_teardown(what_a_request_gets_wrong_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_parameter_that_is_given_twice_is_named, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(an_upload_too_old_to_be_counted_is_warned_of, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(limits_on_tags_are_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(forms_of_other_kinds_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_profile_may_be_in_any_format, set_up, tear_down),
        cmocka_unit_test(a_tenant_s_rate_is_limited),
        cmocka_unit_test_setup_teardown(a_busy_python_service_is_let_through, set_up, tear_down),
    };

    signal(SIGPIPE, SIG_IGN); /* as the daemon does */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
