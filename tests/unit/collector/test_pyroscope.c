/*
 * Pyroscope's agents against the collector: what they sent, recorded byte for byte, and every
 * format and encoding that its two ways in have.
 */
#include "formats/inflate.h"
#include "lib/collector_fixture.h"

static void pyroscope_s_go_agent_is_understood(void **state)
{
    static const char *const names[] = {"request", "request-heap", "request-mutex", "request-block",
                                        "request-goroutines"};
    static const char *const wants[] = {
        "process_cpu:samples:count:cpu:nanoseconds=",
        "memory:alloc_objects:count:space:bytes=110305 ",
        "mutex:contentions:count:contentions:count=1010 mutex:delay:",
        "block:contentions:count:contentions:count=",
        "goroutines:goroutine:count:goroutine:count=",
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < 5; i++) {
        char name[100];
        struct http_answer a;
        const struct seen *s;

        snprintf(name, sizeof name, "pyroscope-go-1.4.3/%s.http", names[i]);
        a = replay(f, name);
        assert_int_equal(a.status, 200);
        assert_int_equal(a.body.len, 0);
        http_answer_deinit(&a);
        s = &wait_for(f, i + 1)[i];
        assert_string_equal(s->labels, "demo-go|env=test,region=eu,version=1.2.3||gospy|pprof");
        assert_memory_equal(s->totals, wants[i], strlen(wants[i]));
        assert_int_equal(s->part, 0);
        assert_int_equal(s->parts, 1);
    }
    assert_int_equal(f->seen[2].start_ns, INT64_C(1795487630000000000));
    assert_int_equal(f->seen[2].end_ns, INT64_C(1795487635378533932));
}

static void pyroscope_s_node_agent_is_understood(void **state)
{
    struct fixture *f = *state;
    struct http_answer a = replay(f, "pyroscope-nodejs-0.6.4/request.http");
    const struct seen *s;

    assert_int_equal(a.status, 200);
    http_answer_deinit(&a);
    s = wait_for(f, 1);
    assert_string_equal(s->labels, "demo-node|env=test,region=eu,version=1.2.3||nodespy|pprof");
    assert_non_null(strstr(s->totals, "wall:wall:nanoseconds:wall:nanoseconds="));
    assert_non_null(strstr(s->totals, "process_cpu:cpu:nanoseconds:cpu:nanoseconds="));
    assert_int_equal(s->start_ns, INT64_C(1795487616000000000));
    assert_int_equal(s->end_ns, INT64_C(1795487621000000000));
}

static void pyroscope_s_java_agent_is_understood(void **state)
{
    struct fixture *f = *state;
    struct http_answer a = replay(f, "pyroscope-java-2.9.2/request.http");
    const struct seen *s;

    assert_int_equal(a.status, 200);
    assert_int_equal(a.body.len, 0);
    http_answer_deinit(&a);
    s = wait_for(f, 1);
    assert_string_equal(s->labels, "demo-java|env=test,region=eu,version=1.2.3||javaspy|jfr");
}

/* Two series in one request. */
static void pyroscope_s_python_agent_is_understood(void **state)
{
    struct fixture *f = *state;
    struct http_answer a = replay(f, "pyroscope-io-1.4.0/request.http");
    const struct seen *s;

    assert_int_equal(a.status, 200);
    assert_string_equal(http_answer_header(&a, "Content-Type"), "application/proto");
    assert_int_equal(a.body.len, 0);
    http_answer_deinit(&a);
    s = wait_for(f, 2);
    for (int i = 0; i < 2; i++)
        assert_string_equal(s[i].labels, "demo-py|env=test,region=eu,version=1.2.3||"
                                         "pyroscope-rs/pyspy/1.4.0 reqwest|pprof");
    assert_string_equal(s[0].totals, "memory:alloc_objects:count:space:bytes=157926194 "
                                     "memory:alloc_space:bytes:space:bytes=5112895100 "
                                     "memory:inuse_objects:count:space:bytes=1792 "
                                     "memory:inuse_space:bytes:space:bytes=4523162");
    assert_string_equal(s[1].totals, "process_cpu:cpu:nanoseconds:cpu:nanoseconds=3970000000");
    assert_int_equal(s[1].start_ns, INT64_C(1795488070599026467));
}

static void pyroscope_s_rust_agent_is_understood(void **state)
{
    struct fixture *f = *state;
    struct http_answer a = replay(f, "pyroscope-rs-2.1.5/request.http");
    const struct seen *s;

    assert_int_equal(a.status, 200);
    http_answer_deinit(&a);
    s = wait_for(f, 1);
    assert_string_equal(s->labels, "demo-rust|env=test,region=eu,version=1.2.3||"
                                   "pyroscope-rs/pyroscope-rs/0.1.0 reqwest|pprof");
    assert_string_equal(s->totals, "process_cpu:cpu:nanoseconds:cpu:nanoseconds=4120000000");
}

static void async_profiler_s_folded_stacks_are_understood(void **state)
{
    struct fixture *f = *state;
    struct http_answer a = replay(f, "async-profiler-4.5/request-folded.http");
    const struct seen *s;

    assert_int_equal(a.status, 200);
    http_answer_deinit(&a);
    s = wait_for(f, 1);
    assert_string_equal(s->labels, "demo-java|env=test,version=1.2.3||javaspy|folded");
    assert_string_equal(s->totals, "process_cpu:cpu:nanoseconds:cpu:nanoseconds=2120000000");
    assert_int_equal(s->start_ns, INT64_C(1795488436000000000));
    assert_int_equal(s->end_ns, INT64_C(1795488442000000000));
}

static struct http_answer post_typed(struct fixture *f, const char *target, const char *type,
                                     struct bytes body)
{
    struct buf request = {0};
    struct http_answer a;

    buf_printf(&request,
               "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n",
               target, type, body.len);
    buf_append_bytes(&request, body);
    a = http_talk(f->port, buf_bytes(&request), 0);
    buf_deinit(&request);
    return a;
}

#define FOLDED BYTES_LIT("main;work 5\nmain;rest 2\n")
#define SPEEDSCOPE                                                                                 \
    BYTES_LIT("{\"$schema\":\"https://www.speedscope.app/file-format-schema.json\","               \
              "\"shared\":{\"frames\":[{\"name\":\"main\"}]},\"profiles\":[{\"type\":\"sampled\"," \
              "\"name\":\"x\",\"unit\":\"nanoseconds\",\"startValue\":0,\"endValue\":5,"           \
              "\"samples\":[[0]],\"weights\":[5]}]}")
#define CPU_NS "process_cpu:cpu:nanoseconds:cpu:nanoseconds="

static void ingest_takes_every_format(void **state)
{
    static const struct {
        const char *target, *type;
        struct bytes body;
        const char *service, *totals, *format;
    } cases[] = {
        {"name=a", "text/plain", FOLDED, "a", CPU_NS "70000000", "folded"},
        {"name=a&format=groups&sampleRate=200", "", FOLDED, "a", CPU_NS "35000000", "folded"},
        {"name=a&format=folded&sampleRate=0", "", FOLDED, "a", CPU_NS "70000000", "folded"},
        {"name=a&sampleRate=x", "", FOLDED, "a", CPU_NS "70000000", "folded"},
        {"name=a&sampleRate=&units=&aggregationType=", "", FOLDED, "a", CPU_NS "70000000",
         "folded"},
        {"name=a.b.cpu", "", FOLDED, "a.b", CPU_NS "70000000", "folded"},
        {"name=a.b", "", FOLDED, "a.b", CPU_NS "70000000", "folded"},
        {"name=a.wall&sampleRate=1000", "", FOLDED, "a",
         "wall:wall:nanoseconds:wall:nanoseconds=7000000", "folded"},
        {"name=a.alloc_space&sampleRate=100", "", FOLDED, "a",
         "memory:alloc_space:bytes:space:bytes=7", "folded"},
        {"name=a.inuse_objects", "", FOLDED, "a", "memory:inuse_objects:count:space:bytes=7",
         "folded"},
        {"name=a.goroutines", "", FOLDED, "a", "goroutines:goroutine:count:goroutine:count=7",
         "folded"},
        {"name=a.mutex_count", "", FOLDED, "a", "mutex:contentions:count:contentions:count=7",
         "folded"},
        {"name=a.block_duration", "", FOLDED, "a", "block:delay:nanoseconds:contentions:count=7",
         "folded"},
        {"name=a&format=lines", "", BYTES_LIT("main;work\nmain;work\nmain\n"), "a",
         CPU_NS "30000000", "lines"},
        {"name=a&format=trie", "", BYTES_LIT("\0\0\1\x09main;work\5\0"), "a", CPU_NS "50000000",
         "trie"},
        {"name=a", "binary/octet-stream+trie", BYTES_LIT("\0\0\1\x09main;work\5\0"), "a",
         CPU_NS "50000000", "trie"},
        {"name=a", "binary/octet-stream+tree", BYTES_LIT("\0\0\1\4main\0\1\4work\5\0"), "a",
         CPU_NS "50000000", "tree"},
        {"name=a&format=speedscope", "", SPEEDSCOPE, "a", NULL, "speedscope"},
        {"name=a&format=pprof", "multipart/form-data; boundary=B", TINY, "a", CPU_NS "7", "pprof"},
        {"name=a", "", TINY, "a", CPU_NS "7", "pprof"},
        {"name=x.cpu%7Bservice_name%3Da%7D", "", TINY, "a", CPU_NS "7", "pprof"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char target[200], service[50], format[50];
        struct http_answer a;
        const struct seen *s;

        snprintf(target, sizeof target, "/ingest?%s", cases[i].target);
        a = post_typed(f, target, cases[i].type, cases[i].body);
        if (a.status != 200 || a.body.len)
            fail_msg("%s: %d %s", target, a.status, buf_cstr(&a.body));
        http_answer_deinit(&a);
        s = &wait_for(f, i + 1)[i];
        snprintf(service, sizeof service, "%s|", cases[i].service);
        snprintf(format, sizeof format, "|%s", cases[i].format);
        if (strncmp(s->labels, service, strlen(service)) != 0 || !strstr(s->labels, format) ||
            (cases[i].totals && strcmp(s->totals, cases[i].totals) != 0))
            fail_msg("%s: %s %s", target, s->labels, s->totals);
    }
}

static void without_times_a_profile_is_of_its_arrival(void **state)
{
    struct fixture *f = *state;
    int64_t before = clock_wall_ns();
    struct http_answer a = post(f, "/ingest?name=a.b/c%7Bservice_name%3Dshop%7D&from=0", TINY);
    const struct seen *s;

    assert_int_equal(a.status, 200);
    http_answer_deinit(&a);
    s = wait_for(f, 1);
    assert_in_range(s->end_ns, before, clock_wall_ns());
    assert_string_equal(s->labels, "shop||app_name=a.b/c||pprof");
}

/* pyroscope-go's last flush: until is cut to a multiple of its period, from is not. */
static void a_window_whose_end_was_cut_before_its_start_is_taken(void **state)
{
    struct fixture *f = *state;
    int64_t from = clock_wall_ns() - 5 * NS_PER_S;
    char target[120];
    struct http_answer a;

    snprintf(target, sizeof target, "/ingest?name=shop&from=%lld&until=%lld", (long long)from,
             (long long)(from - 2 * NS_PER_S));
    a = post(f, target, TINY);
    assert_int_equal(a.status, 200);
    http_answer_deinit(&a);
    assert_true(wait_for(f, 1)->end_ns == from);
}

/* {"code":"…","message":"…"}, as Pyroscope's agents know it. */
static void what_an_agent_gets_wrong_is_told_in_pyroscope_s_words(void **state)
{
    static const struct {
        const char *target, *body;
        int status;
        const char *want;
    } cases[] = {
        {"/ingest", NULL, 400, "{\"code\":\"invalid_argument\",\"message\":\"bad_name: "},
        {"/ingest?name=a%7Bx", NULL, 400,
         "{\"code\":\"invalid_argument\",\"message\":\"bad_name: "},
        {"/ingest?name=%7Benv%3Dtest%7D", NULL, 400, "bad_name"},
        {"/ingest?name=a&from=1e9", NULL, 400, "bad_time"},
        {"/ingest?name=a&format=pprof", "main;work 5\n", 400,
         "{\"code\":\"invalid_argument\",\"message\":\"malformed: "},
        {"/pyroscope/ingest?name=a&format=jfr", "main;work 5\n", 400, "invalid_argument"},
        {"/ingest?name=a%7Bk%3D%ff%7D", NULL, 400, "bad_tag"},
        {"/ingest?name=a&format=lines", NULL, 400, "it is no text, for line "},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_answer a =
            post(f, cases[i].target, cases[i].body ? bytes_str(cases[i].body) : TINY);

        if (a.status != cases[i].status || !strstr(buf_cstr(&a.body), cases[i].want))
            fail_msg("%s: %d %s", cases[i].target, a.status, buf_cstr(&a.body));
        http_answer_deinit(&a);
    }
    assert_int_equal(f->n_seen, 0);
}

/* The answer is for nobody; the profile counts all the same, and the request is read till then. */
static void an_agent_may_go_away_before_its_answer(void **state)
{
    struct fixture *f = *state;
    struct http_answer a;

    for (int i = 0; i < 20; i++) {
        struct buf request =
            read_file(i % 2 ? TEST_DATA "/agents/pyroscope-io-1.4.0/request.http"
                            : TEST_DATA "/agents/pyroscope-nodejs-0.6.4/request.http");
        struct linger now = {.l_onoff = 1};
        int fd = http_connect(f->port);

        assert_true(http_send(fd, buf_bytes(&request), 0));
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        usleep((useconds_t)(i * 50));
        close(fd); /* a reset */
        buf_deinit(&request);
    }
    a = replay(f, "pyroscope-rs-2.1.5/request.http");
    assert_int_equal(a.status, 200);
    http_answer_deinit(&a);
}

#define PUSH "/push.v1.PusherService/Push"

/* Two series of different services, one of them without a name; the first has two profiles. */
static void push_request(struct buf *out)
{
    struct buf sample = {0};

    buf_printf(&sample, "\x0a%c", (int)TINY.len);
    buf_append_bytes(&sample, TINY);
    buf_printf(out, "\x0a%c\x12%c", 2 * (2 + (int)sample.len) + 26, (int)sample.len);
    buf_append_bytes(out, buf_bytes(&sample));
    buf_printf(out, "\x0a\x18\x0a\x0cservice_name\x12\x08shop-web\x12%c", (int)sample.len);
    buf_append_bytes(out, buf_bytes(&sample));
    buf_printf(out, "\x0a%c\x12%c", 2 + (int)sample.len, (int)sample.len);
    buf_append_bytes(out, buf_bytes(&sample));
    buf_deinit(&sample);
}

static void each_profile_of_a_push_is_of_its_series(void **state)
{
    struct fixture *f = *state;
    struct buf body = {0};
    struct http_answer a;
    const struct seen *s;

    push_request(&body);
    a = post_typed(f, PUSH, "application/proto", buf_bytes(&body));
    if (a.status != 200)
        fail_msg("%d %s", a.status, buf_cstr(&a.body));
    http_answer_deinit(&a);
    s = wait_for(f, 3);
    for (int i = 0, n_shop = 0, n_unknown = 0; i < 3; i++) {
        n_shop += strcmp(s[i].labels, "shop-web||||pprof") == 0;
        n_unknown += strcmp(s[i].labels, "unknown_service||||pprof") == 0;
        assert_string_equal(s[i].totals, CPU_NS "7");
        if (i == 2)
            assert_true(n_shop == 2 && n_unknown == 1);
    }
    buf_deinit(&body);
}

static void a_push_may_be_json(void **state)
{
    struct fixture *f = *state;
    struct http_answer a = post_typed(
        f, PUSH, "application/json; charset=utf-8",
        BYTES_LIT("{\"series\": [{\"annotations\": [], \"labels\": [{\"name\": \"service_name\","
                  "\"value\": \"shop\"}, {\"value\": \"7\", \"name\": \"version\"},"
                  "{\"name\": \"spy_name\", \"value\": \"dotnetspy\"}],"
                  "\"samples\": [{\"ID\": null, \"rawProfile\":"
                  "\"CgQIARACEgMSAQcyADIDY3B1MgtuYW5vc2Vjb25kcw==\"}]}]}"));
    const struct seen *s;

    if (a.status != 200)
        fail_msg("%d %s", a.status, buf_cstr(&a.body));
    assert_string_equal(buf_cstr(&a.body), "{}");
    http_answer_deinit(&a);
    s = wait_for(f, 1);
    assert_string_equal(s->labels, "shop|version=7||dotnetspy|pprof");
    assert_string_equal(s->totals, CPU_NS "7");
}

static void what_a_push_gets_wrong_is_told_in_connect_s_words(void **state)
{
    static const struct {
        const char *type;
        struct bytes body;
        int status;
        const char *want;
    } cases[] = {
        {"application/proto", BYTES_LIT(""), 400,
         "{\"code\":\"invalid_argument\",\"message\":\"no_profile: "},
        {"application/json", BYTES_LIT("{}"), 400, "no_profile"},
        {"application/json", BYTES_LIT("{"), 400, "malformed"},
        {"application/json", BYTES_LIT("{\"series\":[{\"samples\":[{\"rawProfile\":7}]}]}"), 400,
         "malformed"},
        {"application/json", BYTES_LIT("{\"series\":[{\"samples\":[{\"rawProfile\":\"!\"}]}]}"),
         400, "base64"},
        {"application/proto", BYTES_LIT("\x0a\x05\x12"), 400, "malformed"},
        {"application/proto", BYTES_LIT("\x0a\x04\x12\x02\x0a\x00"), 400, "the profile is empty"},
        {"application/proto", BYTES_LIT("\x0a\x05\x12\x03\x0a\x01x"), 400, "malformed"},
        {"application/proto", BYTES_LIT("\x08\x05"), 400, "malformed"},
        {"text/plain", BYTES_LIT("x"), 415, "invalid_argument"},
        {"application/proto\r\nContent-Encoding: br", BYTES_LIT("x"), 404, "unimplemented"},
        {"application/proto\r\nContent-Encoding: gzip", BYTES_LIT("\x1f\x8b\x08"), 400,
         "malformed"},
        {"application/proto\r\nX-Scope-OrgID: a/b", BYTES_LIT("x"), 400, "bad_tenant"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_answer a = post_typed(f, PUSH, cases[i].type, cases[i].body);

        if (a.status != cases[i].status || !strstr(buf_cstr(&a.body), cases[i].want))
            fail_msg("%zu, %s: %d %s", i, cases[i].type, a.status, buf_cstr(&a.body));
        http_answer_deinit(&a);
    }
    assert_int_equal(f->n_seen, 0);
}

/* One bad profile, and nothing of the request counts. */
static void a_push_counts_as_a_whole_or_not_at_all(void **state)
{
    struct fixture *f = *state;
    struct buf body = {0};
    struct http_answer a;

    push_request(&body);
    buf_append(&body, "\x0a\x05\x12\x03\x0a\x01x", 7);
    a = post_typed(f, PUSH, "application/proto", buf_bytes(&body));
    assert_int_equal(a.status, 400);
    http_answer_deinit(&a);
    a = post(f, "/api/v1/profiles?service=after", TINY);
    assert_int_equal(a.status, 200);
    http_answer_deinit(&a);
    assert_string_equal(wait_for(f, 1)->labels, "after||||pprof");
    buf_deinit(&body);
}

static void a_push_has_so_many_profiles_and_no_more(void **state)
{
    static const char *const settings[] = {"profiles_max", "2", NULL};
    struct fixture *f = start(settings);
    struct buf body = {0};
    struct http_answer a;

    (void)state;
    push_request(&body);
    a = post_typed(f, PUSH, "application/proto", buf_bytes(&body));
    assert_int_equal(a.status, 400);
    assert_non_null(strstr(buf_cstr(&a.body), "more than 2 profiles (setting: profiles_max)"));
    http_answer_deinit(&a);
    assert_int_equal(f->n_seen, 0);
    stop(f);
    buf_deinit(&body);
}

/* Each is within inflated_max: together they would be hours of work in a small request. */
static void the_profiles_of_a_push_are_together_only_so_large(void **state)
{
    static const char *const settings[] = {"inflated_max", "4096", NULL};
    struct fixture *f = start(settings);
    struct buf plain = {0}, gz = {0}, body = {0};
    struct http_answer a;

    (void)state;
    buf_append_bytes(&plain, TINY);
    buf_append(&plain, "\xa2\x01\x90\x1c", 4); /* a field of 3600 bytes that no pprof has */
    for (int i = 0; i < 3600; i++)
        buf_append_u8(&plain, 0);
    gzip(buf_bytes(&plain), 6, &gz);
    assert_true(gz.len < 120);
    for (int i = 0; i < 12; i++) {
        buf_printf(&body, "\x0a%c\x12%c\x0a%c", (int)gz.len + 4, (int)gz.len + 2, (int)gz.len);
        buf_append_bytes(&body, buf_bytes(&gz));
    }
    a = post_typed(f, PUSH, "application/proto", buf_bytes(&body));
    assert_int_equal(a.status, 400);
    assert_non_null(strstr(buf_cstr(&a.body), "larger than 8 times 4096 bytes when inflated"));
    http_answer_deinit(&a);
    assert_int_equal(f->n_seen, 0);
    stop(f);
    buf_deinit(&plain);
    buf_deinit(&gz);
    buf_deinit(&body);
}

#define COLLECTOR_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        COLLECTOR_TEST(pyroscope_s_go_agent_is_understood),
        COLLECTOR_TEST(pyroscope_s_node_agent_is_understood),
        COLLECTOR_TEST(pyroscope_s_java_agent_is_understood),
        COLLECTOR_TEST(pyroscope_s_python_agent_is_understood),
        COLLECTOR_TEST(pyroscope_s_rust_agent_is_understood),
        COLLECTOR_TEST(async_profiler_s_folded_stacks_are_understood),
        COLLECTOR_TEST(ingest_takes_every_format),
        COLLECTOR_TEST(without_times_a_profile_is_of_its_arrival),
        COLLECTOR_TEST(a_window_whose_end_was_cut_before_its_start_is_taken),
        COLLECTOR_TEST(what_an_agent_gets_wrong_is_told_in_pyroscope_s_words),
        COLLECTOR_TEST(an_agent_may_go_away_before_its_answer),
        COLLECTOR_TEST(each_profile_of_a_push_is_of_its_series),
        COLLECTOR_TEST(a_push_may_be_json),
        COLLECTOR_TEST(what_a_push_gets_wrong_is_told_in_connect_s_words),
        COLLECTOR_TEST(a_push_counts_as_a_whole_or_not_at_all),
        cmocka_unit_test(a_push_has_so_many_profiles_and_no_more),
        cmocka_unit_test(the_profiles_of_a_push_are_together_only_so_large),
    };

    signal(SIGPIPE, SIG_IGN); /* as the daemon does */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
