/*
 * The collector as a whole, between real sockets and a real local log: what agents sent, recorded
 * byte for byte, goes in; what an aggregator would read comes out.
 */
#include "collector/collector.h"

#include "base/clock.h"
#include "base/xalloc.h"
#include "lib/http_client.h"
#include "log/log_local.h"
#include "wire/record.h"

#include <ftw.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>

#include <cmocka.h>

enum { RECORDS_MAX = 100 };

/* One record as it stands on the log, printed. */
struct seen {
    struct hash128 source;
    uint64_t seq, low;
    int64_t start_ns, end_ns;
    uint32_t partition, part, parts;
    char labels[1000]; /* service|series|instance|agent|format */
    char totals[4000]; /* type=total in the order of the columns */
};

struct fixture {
    char dir[64];
    uv_loop_t loop;
    uv_async_t stop;
    pthread_t thread;
    struct options *options;
    struct collector_options collector_options;
    struct log_local_options local_options;
    struct log_local *local;
    struct log_producer *producer;
    struct log_consumer *consumer;
    struct http_server *http;
    struct collector *collector;
    struct record_decoder *decoder;
    int port;

    pthread_mutex_t lock;
    pthread_cond_t more;
    struct seen *seen;
    size_t n_seen;
};

static void print_tags(char *out, const struct tags *t)
{
    for (uint32_t i = 0; i < t->n; i++)
        out += sprintf(out, "%s%.*s=%.*s", i ? "," : "", (int)t->at[i].key.len,
                       (const char *)t->at[i].key.data, (int)t->at[i].value.len,
                       (const char *)t->at[i].value.data);
}

static void print_labels(struct seen *s, const struct record_header *h)
{
    char series[400] = "", instance[400] = "";

    print_tags(series, &h->series);
    print_tags(instance, &h->instance);
    snprintf(s->labels, sizeof s->labels, "%.*s|%s|%s|%.*s|%.*s", (int)h->service.len,
             (const char *)h->service.data, series, instance, (int)h->agent.len,
             (const char *)h->agent.data, (int)h->format.len, (const char *)h->format.data);
}

static void print_totals(struct seen *s, struct record_decoder *d)
{
    struct symbols *symbols = symbols_new();
    struct stacks *stacks = stacks_new();
    struct profile p;
    char *out = s->totals;

    profile_init(&p, symbols, stacks);
    assert_int_equal(record_read(d, &p, true, true), 0);
    for (uint32_t i = 0; i < p.n_types; i++) {
        struct bytes name = symbols_text(symbols, p.types[i].name);

        out += sprintf(out, "%s%.*s=%lld", i ? " " : "", (int)name.len, (const char *)name.data,
                       (long long)profile_total(&p, i));
    }
    profile_deinit(&p);
    stacks_free(stacks);
    symbols_free(symbols);
}

static void on_message(void *ctx, const struct log_message *m)
{
    struct fixture *f = ctx;
    struct record_header h;
    struct failure failure;
    struct seen *s = &f->seen[f->n_seen];

    assert_int_equal(record_open(f->decoder, m->value, &h, &failure), 0);
    s->source = h.source;
    s->seq = h.seq;
    s->low = h.low;
    s->start_ns = h.start_ns;
    s->end_ns = h.end_ns;
    s->partition = m->partition;
    s->part = h.part;
    s->parts = h.parts;
    print_labels(s, &h);
    print_totals(s, f->decoder);
    pthread_mutex_lock(&f->lock);
    assert_in_range(++f->n_seen, 1, RECORDS_MAX - 1);
    pthread_cond_signal(&f->more);
    pthread_mutex_unlock(&f->lock);
}

static void on_assigned(void *ctx, const uint32_t *partitions, size_t n)
{
    struct fixture *f = ctx;

    for (size_t i = 0; i < n; i++)
        log_consumer_start(f->consumer, partitions[i], LOG_BEGIN);
}

static void on_revoked(void *ctx, const uint32_t *partitions, size_t n, bool lost)
{
    struct fixture *f = ctx;

    (void)partitions;
    (void)n;
    (void)lost;
    log_consumer_released(f->consumer);
}

static const struct log_consumer_events events = {
    .assigned = on_assigned,
    .revoked = on_revoked,
    .message = on_message,
};

static void on_consumer_closed(void *ctx)
{
    struct fixture *f = ctx;

    uv_close((uv_handle_t *)&f->stop, NULL);
}

static void on_producer_closed(void *ctx)
{
    struct fixture *f = ctx;

    log_consumer_close(f->consumer, on_consumer_closed, f);
}

static void on_collector_closed(void *ctx)
{
    struct fixture *f = ctx;

    log_producer_close(f->producer, on_producer_closed, f);
}

static void on_http_closed(void *ctx)
{
    struct fixture *f = ctx;

    collector_close(f->collector, on_collector_closed, f);
}

static void on_stop(uv_async_t *async)
{
    struct fixture *f = async->data;

    http_server_close(f->http, 1000, on_http_closed, f);
}

static void *run_loop(void *arg)
{
    struct fixture *f = arg;

    uv_run(&f->loop, UV_RUN_DEFAULT);
    return NULL;
}

static void open_log(struct fixture *f)
{
    struct failure failure;

    strcpy(f->dir, "/tmp/hearth-test-collector-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    assert_int_equal(log_local_open(f->dir, &f->local_options, &f->local, &failure), 0);
    f->producer = log_local_producer_new(&f->loop, f->local);
    f->consumer = log_local_consumer_new(&f->loop, f->local, &events, f);
}

/* settings: name, value, …, NULL */
static struct fixture *start(const char *const *settings)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct http_limits limits = http_limits_default;
    struct failure failure;

    f->options = options_new();
    options_bind(f->options, collector_option_rows, &f->collector_options, "collector");
    options_bind(f->options, log_local_option_rows, &f->local_options, "log");
    for (; settings && *settings; settings += 2)
        options_set(f->options, settings[0], settings[1], "test");
    assert_int_equal(options_errors(f->options), 0);
    f->seen = calloc(RECORDS_MAX, sizeof *f->seen);
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->more, NULL);
    f->decoder = record_decoder_new();
    uv_loop_init(&f->loop);
    uv_async_init(&f->loop, &f->stop, on_stop);
    f->stop.data = f;
    open_log(f);
    limits.body_bytes_max = (size_t)f->collector_options.body_max;
    limits.budget_bytes_max = (size_t)f->collector_options.body_budget;
    f->http = http_server_new(&f->loop, &limits);
    f->collector = collector_new(&f->loop, f->http, f->producer, &f->collector_options);
    assert_int_equal(http_listen(f->http, "127.0.0.1:0", "listen", &f->port, &failure), 0);
    pthread_create(&f->thread, NULL, run_loop, f);
    return f;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void stop(struct fixture *f)
{
    uv_async_send(&f->stop);
    pthread_join(f->thread, NULL);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    log_local_close(f->local);
    nftw(f->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    record_decoder_free(f->decoder);
    pthread_mutex_destroy(&f->lock);
    pthread_cond_destroy(&f->more);
    options_free(f->options);
    free(f->seen);
    free(f);
}

static int set_up(void **state)
{
    *state = start(NULL);
    return 0;
}

static int tear_down(void **state)
{
    stop(*state);
    return 0;
}

/* Waits until n records have been read back. */
static const struct seen *wait_for(struct fixture *f, size_t n)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    pthread_mutex_lock(&f->lock);
    while (f->n_seen < n)
        assert_int_equal(pthread_cond_timedwait(&f->more, &f->lock, &until), 0);
    pthread_mutex_unlock(&f->lock);
    return f->seen;
}

static struct buf read_file(const char *path)
{
    struct buf b = {0};
    FILE *in = fopen(path, "re");
    size_t n;

    if (!in)
        fail_msg("cannot read %s", path);
    do {
        buf_reserve(&b, 65536);
        n = fread(b.data + b.len, 1, 65536, in);
        b.len += n;
    } while (n);
    fclose(in);
    return b;
}

static struct http_answer replay(struct fixture *f, const char *name)
{
    char path[400];
    struct buf request;
    struct http_answer a;

    snprintf(path, sizeof path, TEST_DATA "/agents/%s", name);
    request = read_file(path);
    a = http_talk(f->port, buf_bytes(&request), 0);
    buf_deinit(&request);
    return a;
}

static struct http_answer post(struct fixture *f, const char *target, struct bytes body)
{
    struct buf request = {0};
    struct http_answer a;

    buf_printf(&request, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n", target,
               body.len);
    buf_append_bytes(&request, body);
    a = http_talk(f->port, buf_bytes(&request), 0);
    buf_deinit(&request);
    return a;
}

/* A whole profile: one sample type (cpu, nanoseconds), one sample of 7 without a stack. */
static const char tiny[] = "\x0a\x04\x08\x01\x10\x02" /* sample_type {1, 2} */
                           "\x12\x03\x12\x01\x07"     /* sample {value: [7]} */
                           "\x32\x00"                 /* "" */
                           "\x32\x03"
                           "cpu"
                           "\x32\x0b"
                           "nanoseconds";
#define TINY bytes_of(tiny, sizeof tiny - 1)

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
    assert_string_equal(buf_cstr(&a.body),
                        "{\"status\":\"ok\",\"profiles\":1,\"samples\":1,"
                        "\"from\":1795487616000000000,\"until\":1795487626000000000,"
                        "\"types\":[\"process_cpu:cpu:nanoseconds:cpu:nanoseconds\"],"
                        "\"repaired\":{}}\n");
    http_answer_deinit(&a);
    s = wait_for(f, 1);
    assert_string_equal(s->labels,
                        "shop|env=prod,version=7,zone=a|host=h1,pid=12,team=core||pprof");
    assert_string_equal(s->totals, "process_cpu:cpu:nanoseconds:cpu:nanoseconds=7");
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pyroscope_s_go_agent_is_understood, set_up, tear_down),
        cmocka_unit_test_setup_teardown(pyroscope_s_node_agent_is_understood, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tags_of_a_push_are_sorted_into_classes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_times_a_profile_is_of_its_arrival, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(every_record_has_its_place_in_the_sequence, set_up,
                                        tear_down),
        cmocka_unit_test(too_many_series_go_to_other_and_are_counted_there),
        cmocka_unit_test_setup_teardown(what_a_request_gets_wrong_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_an_agent_gets_wrong_is_told_in_pyroscope_s_words,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(limits_on_tags_are_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(forms_of_other_kinds_are_refused, set_up, tear_down),
    };

    signal(SIGPIPE, SIG_IGN); /* as the daemon does */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
