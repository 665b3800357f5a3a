/*
 * OTLP exporters against the collector: what real ones sent, both encodings, every answer that the
 * protocol has, by HTTP and by gRPC.
 */
#include "lib/collector_fixture.h"
#include "lib/grpc_client.h"
#include "lib/wire.h"

#define TABLES        "2{5\"\" 5\"cpu\" 5\"ns\" 5\"main\" 3{} 3{1:3} 2{} 2{3{1:1 2:10}} 7{} 7{1[1]}} "
#define CPU_OF(value) "2{1{1:1 2:2} 2{1:1 4[" #value "]}} "
#define BAD           "2{1{1:1 2:2} 2{1:9 4[5]}} "
#define RESOURCE(name)                                                                             \
    "1{1{1\"service.name\" 2{1\"" name "\"}} 1{1\"service.version\" 2{1\"2\"}} "                   \
    "1{1\"host.name\" 2{1\"h\"}} 1{1\"telemetry.sdk.language\" 2{1\"c\"}}} "
#define ONE    TABLES "1{" RESOURCE("web") "2{" CPU_OF(7) "}}"
#define OLD    "2{5\"\" 5\"cpu\"} 1{2{2{1{1:1 2:2} 2{1:0 2:1 3[5]} 3[1] 4:1000 6{1:1} 7:10}}}"
#define PATH   "/v1development/profiles"
#define CPU_NS "process_cpu:cpu:nanoseconds:cpu:nanoseconds="

static struct http_answer send_it(struct fixture *f, const char *target, const char *headers,
                                  struct bytes body)
{
    struct buf request = {0};
    struct http_answer a;

    buf_printf(&request, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n%s\r\n", target,
               body.len, headers);
    buf_append_bytes(&request, body);
    a = http_talk(f->port, buf_bytes(&request), 0);
    buf_deinit(&request);
    return a;
}

#define PROTO "Content-Type: application/x-protobuf\r\n"
#define JSON  "Content-Type: application/json\r\n"

static struct http_answer send_wire(struct fixture *f, const char *message)
{
    struct buf body = {0};
    struct http_answer a;

    wire_write(message, &body);
    a = send_it(f, PATH, PROTO, buf_bytes(&body));
    buf_deinit(&body);
    return a;
}

static void io_pyroscope_s_otlp_mode_is_understood(void **state)
{
    struct fixture *f = *state;
    struct http_answer a = replay(f, "pyroscope-java-2.9.2/request-otlp.http");
    const struct seen *s;

    assert_int_equal(a.status, 200);
    assert_string_equal(http_answer_header(&a, "Content-Type"), "application/x-protobuf");
    assert_int_equal(a.body.len, 0);
    http_answer_deinit(&a);
    s = wait_for(f, 1);
    assert_string_equal(s->labels, "unknown_service|||okhttp/4.12.0|otlp");
    assert_string_equal(s->totals, CPU_NS "2800000000");
    assert_int_equal(s->start_ns, INT64_C(1795487924758991000));
    assert_int_equal(s->end_ns, INT64_C(1795487924758991000) + 4966811000);
}

static void every_resource_is_a_record_under_its_service(void **state)
{
    struct fixture *f = *state;
    struct http_answer a = send_wire(f, TABLES "1{" RESOURCE("web") "2{" CPU_OF(7)
                                            CPU_OF(8) "}} 1{" RESOURCE("db") "2{" CPU_OF(9) "}}");
    const struct seen *s;

    assert_int_equal(a.status, 200);
    assert_int_equal(a.body.len, 0);
    http_answer_deinit(&a);
    s = wait_for(f, 3);
    assert_string_equal(s[0].labels, "web|version=2|host=h,telemetry.sdk.language=c||otlp");
    assert_string_equal(s[0].totals, CPU_NS "7");
    assert_string_equal(s[1].totals, CPU_NS "8");
    assert_string_equal(s[2].labels, "db|version=2|host=h,telemetry.sdk.language=c||otlp");
    assert_string_equal(s[2].totals, CPU_NS "9");
}

static void parameters_are_tags_of_those_who_have_no_resource(void **state)
{
    struct fixture *f = *state;
    struct buf body = {0};
    struct http_answer a;

    wire_write(TABLES "1{2{" CPU_OF(7) "}}", &body);
    a = send_it(f, "/prefix" PATH "?service=java&version=3", PROTO "X-Scope-OrgID: t\r\n",
                buf_bytes(&body));
    assert_int_equal(a.status, 200);
    http_answer_deinit(&a);
    assert_string_equal(wait_for(f, 1)->labels, "java|version=3|||otlp");
    a = send_it(f, "/v1/profiles", PROTO "OTLP-Profiles-Development-Version: 1\r\n",
                buf_bytes(&body));
    assert_int_equal(a.status, 200);
    http_answer_deinit(&a);
    assert_string_equal(wait_for(f, 2)[1].labels, "unknown_service||||otlp");
    buf_deinit(&body);
}

static void json_is_answered_in_json(void **state)
{
    struct fixture *f = *state;
    struct http_answer a =
        send_it(f, PATH, JSON,
                BYTES_LIT("{\"resourceProfiles\":[{\"resource\":{\"attributes\":[{\"key\":"
                          "\"service.name\",\"value\":{\"stringValue\":\"web\"}}]},"
                          "\"scopeProfiles\":[{\"profiles\":[{\"sampleType\":{\"typeStrindex\":1,"
                          "\"unitStrindex\":2},\"samples\":[{\"values\":[\"7\"]}]},"
                          "{\"sampleType\":{\"typeStrindex\":1},"
                          "\"samples\":[{\"stackIndex\":5,\"values\":[\"7\"]}]}]}]}],"
                          "\"dictionary\":{\"stringTable\":[\"\",\"cpu\",\"ns\"]}}"));

    assert_int_equal(a.status, 200);
    assert_string_equal(http_answer_header(&a, "Content-Type"), "application/json");
    assert_string_equal(buf_cstr(&a.body),
                        "{\"partialSuccess\":{\"rejectedProfiles\":\"1\","
                        "\"errorMessage\":\"a sample refers to stack 5 of 0\"}}");
    http_answer_deinit(&a);
    assert_string_equal(wait_for(f, 1)->totals, CPU_NS "7");
    a = send_it(f, PATH, JSON, BYTES_LIT("{}"));
    assert_int_equal(a.status, 200);
    assert_string_equal(buf_cstr(&a.body), "{}");
    http_answer_deinit(&a);
    a = send_it(f, PATH, JSON, BYTES_LIT("{\"dictionary\":1}"));
    assert_int_equal(a.status, 400);
    assert_memory_equal(buf_cstr(&a.body), "{\"message\":\"malformed: ", 23);
    http_answer_deinit(&a);
}

/* ExportProfilesServiceResponse {1 partial_success {1 rejected_profiles, 2 error_message}} */
static void profiles_refused_beside_others_are_a_partial_success(void **state)
{
    struct fixture *f = *state;
    struct http_answer a = send_wire(f, TABLES "1{" RESOURCE("web") "2{" BAD CPU_OF(7) BAD "}}");
    struct buf expected = {0};

    wire_write("1{1:2 2\"a sample refers to stack 9 of 2\"}", &expected);
    assert_int_equal(a.status, 200);
    assert_int_equal(a.body.len, expected.len);
    assert_memory_equal(a.body.data, expected.data, expected.len);
    http_answer_deinit(&a);
    buf_deinit(&expected);
    assert_string_equal(wait_for(f, 1)->totals, CPU_NS "7");
}

static void upload_of_nothing_but_refused_profiles_is_a_failure(void **state)
{
    struct fixture *f = *state;
    struct http_answer a = send_wire(f, TABLES "1{" RESOURCE("web") "2{" BAD BAD "}}");

    assert_int_equal(a.status, 400);
    assert_string_equal(http_answer_header(&a, "Content-Type"), "application/x-protobuf");
    /* google.rpc.Status {2 message} */
    assert_int_equal(a.body.data[0], 2 << 3 | 2);
    assert_non_null(strstr(buf_cstr(&a.body) + 2, "all 2 profiles were refused: a sample refers"));
    http_answer_deinit(&a);
    a = send_wire(f, OLD);
    assert_int_equal(a.status, 400);
    assert_non_null(strstr(buf_cstr(&a.body) + 2, "1.7 or before"));
    http_answer_deinit(&a);
    assert_int_equal(f->n_seen, 0);
}

static void upload_without_profiles_succeeds(void **state)
{
    static const char *const messages[] = {"", "1{}", TABLES, TABLES "1{" RESOURCE("web") "2{}}",
                                           TABLES "1{" RESOURCE("web") "2{2{1{1:1 2:2}}}}"};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++) {
        struct http_answer a = send_wire(f, messages[i]);

        if (a.status != 200 || a.body.len)
            fail_msg("message %zu: %d %s", i, a.status, buf_cstr(&a.body));
        http_answer_deinit(&a);
    }
    assert_int_equal(f->n_seen, 0);
}

static void every_refusal_has_its_status(void **state)
{
    static const struct {
        const char *headers, *body;
        int status;
        const char *says;
    } cases[] = {
        {PROTO "OTLP-Profiles-Development-Version: 2\r\n", "", 400, "bad_version"},
        {PROTO "OTLP-Profiles-Development-Version: 1,1\r\n", "", 400, "bad_version"},
        {"", "", 415, "content_type"},
        {"Content-Type: application/grpc\r\n", "", 415, "content_type"},
        {"Content-Type: application/json-seq\r\n", "", 415, "content_type"},
        {PROTO "Content-Encoding: snappy\r\n", "", 415, "content_encoding"},
        {PROTO "X-Scope-OrgID: a/b\r\n", "", 400, "bad_tenant"},
        {PROTO, "\x0a", 400, "malformed"},
        {PROTO, "\x1f\x8b", 400, "malformed"},
        {JSON, "\x1f\x8b", 400, "malformed"},
        {JSON, "", 400, "malformed"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_answer a = send_it(f, PATH, cases[i].headers, bytes_str(cases[i].body));

        if (a.status != cases[i].status ||
            !memmem(a.body.data, a.body.len, cases[i].says, strlen(cases[i].says)))
            fail_msg("case %zu: %d %s", i, a.status, buf_cstr(&a.body));
        http_answer_deinit(&a);
    }
    assert_int_equal(f->n_seen, 0);
}

/* --- gRPC ---------------------------------------------------------------------------------------
 */

#define SERVICE "/opentelemetry.proto.collector.profiles."
#define EXPORT  SERVICE "v1development.ProfilesService/Export"

static struct grpc_client call(struct fixture *f, const char *path, const char *message)
{
    struct grpc_client c;
    struct buf body = {0}, framed = {0};

    wire_write(message, &body);
    grpc_frame(&framed, 0, buf_bytes(&body));
    grpc_client_init(&c, http_connect(f->grpc_port), 0);
    grpc_client_call(&c, &(struct grpc_client_call){.path = path, .body = buf_bytes(&framed)});
    buf_deinit(&framed);
    buf_deinit(&body);
    return c;
}

static void grpc_export_is_an_upload_like_any_other(void **state)
{
    struct fixture *f = *state;
    struct grpc_client c = call(f, EXPORT, ONE);

    assert_int_equal(c.status, GRPC_OK);
    assert_int_equal(c.answer.len, 5);
    grpc_client_deinit(&c);
    assert_string_equal(wait_for(f, 1)->labels,
                        "web|version=2|host=h,telemetry.sdk.language=c||otlp");
    assert_string_equal(f->seen[0].totals, CPU_NS "7");

    c = call(f, EXPORT, TABLES "1{" RESOURCE("web") "2{" BAD CPU_OF(8) "}}");
    assert_int_equal(c.status, GRPC_OK);
    assert_non_null(memmem(c.answer.data, c.answer.len, "stack 9 of 2", 12));
    grpc_client_deinit(&c);
    assert_string_equal(wait_for(f, 2)[1].totals, CPU_NS "8");
}

static void grpc_failures_have_their_codes(void **state)
{
    static const struct {
        const char *path, *message;
        int status;
        const char *says;
    } cases[] = {
        {EXPORT, TABLES "1{2{" BAD "}}", GRPC_INVALID_ARGUMENT, "profiles_refused"},
        {EXPORT, "1:1", GRPC_INVALID_ARGUMENT, "malformed"},
        {EXPORT, OLD, GRPC_INVALID_ARGUMENT, "1.7"},
        {SERVICE "v1experimental.ProfilesService/Export", ONE, GRPC_UNIMPLEMENTED, "v1development"},
        {SERVICE "v1development.ProfilesService/Import", ONE, GRPC_UNIMPLEMENTED, ""},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct grpc_client c = call(f, cases[i].path, cases[i].message);

        if (c.status != cases[i].status || !strstr(c.text, cases[i].says))
            fail_msg("case %zu: %d %s", i, c.status, c.text);
        grpc_client_deinit(&c);
    }
    assert_int_equal(f->n_seen, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(io_pyroscope_s_otlp_mode_is_understood, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_resource_is_a_record_under_its_service, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(parameters_are_tags_of_those_who_have_no_resource, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(json_is_answered_in_json, set_up, tear_down),
        cmocka_unit_test_setup_teardown(profiles_refused_beside_others_are_a_partial_success,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(upload_of_nothing_but_refused_profiles_is_a_failure, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(upload_without_profiles_succeeds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_refusal_has_its_status, set_up, tear_down),
        cmocka_unit_test_setup_teardown(grpc_export_is_an_upload_like_any_other, set_up, tear_down),
        cmocka_unit_test_setup_teardown(grpc_failures_have_their_codes, set_up, tear_down),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
