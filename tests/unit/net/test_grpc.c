/* A real server on a loop of its own thread, spoken to by nghttp2's client, and by raw bytes. */
#include "base/clock.h"
#include "lib/grpc_client.h"
#include "net/grpc_int.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define PATH_ECHO "/test.Echo/Echo"
#define PATH_SLOW "/test.Echo/Slow"
#define PATH_HELD "/test.Echo/Held"

struct fixture {
    uv_loop_t loop;
    uv_async_t stop;
    uv_timer_t later;
    pthread_t thread;
    struct grpc_server *server;
    struct grpc_call *slow, *held;
    int port;
    uint32_t grace_ms;
    bool closed;
    size_t budget_left_over;
};

static void on_echo(struct grpc_call *c, void *ctx)
{
    (void)ctx;
    grpc_respond(c, GRPC_OK, grpc_message(c), NULL);
}

static void on_later(uv_timer_t *timer)
{
    struct fixture *f = timer->data;
    struct grpc_call *c = f->slow;

    f->slow = NULL;
    grpc_respond(c, GRPC_OK, BYTES_LIT("late"), NULL);
}

static void on_slow(struct grpc_call *c, void *ctx)
{
    struct fixture *f = ctx;

    f->slow = c;
    uv_timer_start(&f->later, on_later, 100, 0);
}

/* Answered when the server has closed. */
static void on_held(struct grpc_call *c, void *ctx)
{
    ((struct fixture *)ctx)->held = c;
}

static void on_sorry(struct grpc_call *c, void *ctx)
{
    (void)ctx;
    grpc_respond(c, GRPC_UNAVAILABLE, (struct bytes){0}, "100% full\n");
}

static void on_closed(void *ctx)
{
    struct fixture *f = ctx;

    f->closed = true;
    f->budget_left_over = f->server->own_budget.used;
    uv_close((uv_handle_t *)&f->stop, NULL);
    uv_close((uv_handle_t *)&f->later, NULL);
    if (f->held)
        grpc_respond(f->held, GRPC_OK, (struct bytes){0}, NULL);
}

static void on_stop(uv_async_t *async)
{
    struct fixture *f = async->data;

    grpc_server_close(f->server, f->grace_ms, on_closed, f);
}

static void *run_loop(void *arg)
{
    uv_run(&((struct fixture *)arg)->loop, UV_RUN_DEFAULT);
    return NULL;
}

static struct fixture *start(const struct http_limits *limits)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct failure failure;

    uv_loop_init(&f->loop);
    uv_async_init(&f->loop, &f->stop, on_stop);
    uv_timer_init(&f->loop, &f->later);
    f->stop.data = f->later.data = f;
    f->grace_ms = 1000;
    f->server = grpc_server_new(&f->loop, limits);
    grpc_method(f->server, PATH_ECHO, on_echo, f);
    grpc_method(f->server, PATH_SLOW, on_slow, f);
    grpc_method(f->server, PATH_HELD, on_held, f);
    grpc_method(f->server, "/test.Echo/Sorry", on_sorry, f);
    assert_int_equal(grpc_listen(f->server, "127.0.0.1:0", "grpc_listen", &f->port, &failure), 0);
    pthread_create(&f->thread, NULL, run_loop, f);
    return f;
}

static void stop(struct fixture *f)
{
    uv_async_send(&f->stop);
    pthread_join(f->thread, NULL);
    assert_true(f->closed);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    assert_int_equal(f->budget_left_over, 0);
    free(f);
}

static int set_up(void **state)
{
    *state = start(&http_limits_default);
    return 0;
}

/* Everything is small and soon over. */
static int set_up_small(void **state)
{
    struct http_limits l = http_limits_default;

    l.header_bytes_max = 1024;
    l.body_bytes_max = 10000;
    l.budget_bytes_max = 20000;
    l.connections_max = 1;
    l.header_timeout_ms = l.body_timeout_ms = 150;
    l.idle_timeout_ms = 300;
    *state = start(&l);
    return 0;
}

/* Calls may take their time, but stand still for a moment only where others need their memory. */
static int set_up_tight(void **state)
{
    struct http_limits l = http_limits_default;

    l.body_bytes_max = 10000;
    l.budget_bytes_max = 20000;
    l.stall_ms = 50;
    *state = start(&l);
    return 0;
}

static int tear_down(void **state)
{
    stop(*state);
    return 0;
}

static void begin(struct fixture *f, struct grpc_client *c, size_t step)
{
    grpc_client_init(c, http_connect(f->port), step);
}

static int call(struct grpc_client *c, const char *path, struct bytes message)
{
    struct grpc_client_call call = {.path = path};
    struct buf body = {0};
    int status;

    grpc_frame(&body, 0, message);
    call.body = buf_bytes(&body);
    status = grpc_client_call(c, &call);
    buf_deinit(&body);
    return status;
}

static void a_message_comes_back_however_the_bytes_are_cut(void **state)
{
    struct fixture *f = *state;

    for (size_t step = 0; step < 12; step++) {
        struct grpc_client c;

        begin(f, &c, step);
        assert_int_equal(call(&c, PATH_ECHO, BYTES_LIT("hello")), GRPC_OK);
        assert_int_equal(c.http_status, 200);
        assert_int_equal(c.answer.len, 10);
        assert_memory_equal(c.answer.data, "\0\0\0\0\5hello", 10);
        assert_int_equal(call(&c, PATH_ECHO, BYTES_LIT("")), GRPC_OK);
        assert_int_equal(c.answer.len, 5);
        grpc_client_deinit(&c);
    }
}

static void a_large_message_passes_the_windows_both_ways(void **state)
{
    struct fixture *f = *state;
    struct buf big = {0};
    struct grpc_client c;

    for (int i = 0; i < 9 << 18; i++)
        buf_append(&big, &i, sizeof i);
    begin(f, &c, 0);
    assert_int_equal(call(&c, PATH_ECHO, buf_bytes(&big)), GRPC_OK);
    assert_int_equal(c.answer.len, big.len + 5);
    assert_memory_equal(c.answer.data + 5, big.data, big.len);
    grpc_client_deinit(&c);
    buf_deinit(&big);
}

static void a_slow_handler_keeps_nobody_waiting(void **state)
{
    struct fixture *f = *state;
    struct grpc_client slow, quick;

    begin(f, &slow, 0);
    begin(f, &quick, 0);
    grpc_client_begin(
        &slow, &(struct grpc_client_call){.path = PATH_SLOW, .body = {(uint8_t *)"\0\0\0\0", 5}});
    grpc_client_flush(&slow);
    assert_int_equal(call(&quick, PATH_ECHO, BYTES_LIT("x")), GRPC_OK);
    while (!slow.closed)
        assert_true(grpc_client_turn(&slow));
    assert_int_equal(slow.status, GRPC_OK);
    assert_memory_equal(slow.answer.data + 5, "late", 4);
    grpc_client_deinit(&slow);
    grpc_client_deinit(&quick);
}

static void a_refusal_has_its_status_and_its_text_escaped(void **state)
{
    struct fixture *f = *state;
    struct grpc_client c;

    begin(f, &c, 0);
    assert_int_equal(call(&c, "/test.Echo/Sorry", BYTES_LIT("")), GRPC_UNAVAILABLE);
    assert_string_equal(c.text, "100%25 full%0A");
    assert_int_equal(c.answer.len, 0);
    assert_int_equal(call(&c, "/test.Echo/None", BYTES_LIT("")), GRPC_UNIMPLEMENTED);
    assert_string_equal(c.text, "nothing is served at \"/test.Echo/None\"");
    grpc_client_deinit(&c);
}

static void what_is_malformed_is_told_and_the_connection_goes_on(void **state)
{
    static const struct {
        struct bytes body;
        const char *text;
    } wrong[] = {
        {{(uint8_t *)"", 0}, "malformed call: there is no message"},
        {{(uint8_t *)"\0\0\0\0", 4}, "malformed call: there is no message"},
        {{(uint8_t *)"\0\0\0\0\2x", 6}, "malformed call: the message ends early"},
        {{(uint8_t *)"\0\0\0\0\1xy", 7}, "malformed call: there is more than the one message"},
        {{(uint8_t *)"\0\0\0\0\0\0\0\0\0\0", 10},
         "malformed call: there is more than the one message"},
        {{(uint8_t *)"\2\0\0\0\0", 5}, "malformed call: the flag before a message is 0 or 1"},
        {{(uint8_t *)"\1\0\0\0\1x", 6},
         "malformed call: the message says it is compressed, grpc-encoding does not say how"},
    };
    struct fixture *f = *state;
    struct grpc_client c;

    begin(f, &c, 0);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct grpc_client_call call = {.path = PATH_ECHO, .body = wrong[i].body};

        assert_int_equal(grpc_client_call(&c, &call), GRPC_INVALID_ARGUMENT);
        assert_string_equal(c.text, wrong[i].text);
    }
    assert_int_equal(call(&c, PATH_ECHO, BYTES_LIT("x")), GRPC_OK);
    grpc_client_deinit(&c);
}

static void a_compressed_message_is_handed_on_as_it_is_and_other_codings_are_refused(void **state)
{
    struct fixture *f = *state;
    struct grpc_client_call call = {.path = PATH_ECHO,
                                    .body = {(uint8_t *)"\1\0\0\0\2\x1f\x8b", 7}};
    struct grpc_client c;

    begin(f, &c, 0);
    call.encoding = "gzip";
    assert_int_equal(grpc_client_call(&c, &call), GRPC_OK);
    assert_memory_equal(c.answer.data, "\0\0\0\0\2\x1f\x8b", 7);
    call.encoding = "snappy";
    assert_int_equal(grpc_client_call(&c, &call), GRPC_UNIMPLEMENTED);
    assert_string_equal(c.accepts, "identity,gzip,zstd");
    grpc_client_deinit(&c);
}

static void what_is_not_grpc_gets_a_status_of_http(void **state)
{
    struct fixture *f = *state;
    struct grpc_client_call call = {.path = PATH_ECHO, .type = "application/json"};
    struct grpc_client c;
    struct http_answer a;

    begin(f, &c, 0);
    grpc_client_call(&c, &call);
    assert_int_equal(c.http_status, 415);
    call = (struct grpc_client_call){.path = PATH_ECHO, .method = "GET"};
    grpc_client_call(&c, &call);
    assert_int_equal(c.http_status, 405);
    grpc_client_deinit(&c);

    a = http_talk(f->port, BYTES_LIT("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), 0);
    assert_int_equal(a.status, 400);
    assert_non_null(strstr(buf_cstr(&a.body), "gRPC"));
    http_answer_deinit(&a);
}

static void a_message_over_the_cap_is_refused_by_its_length_alone(void **state)
{
    struct fixture *f = *state;
    struct grpc_client_call big = {
        .path = PATH_ECHO, .body = {(uint8_t *)"\0\0\0\x27\x11", 5}, .keep_open = true};
    struct grpc_client c;

    begin(f, &c, 0);
    assert_int_equal(grpc_client_call(&c, &big), GRPC_RESOURCE_EXHAUSTED);
    assert_int_equal(c.error, NGHTTP2_NO_ERROR);
    assert_non_null(strstr(c.text, "the limit is 10000"));
    grpc_client_deinit(&c);
}

static void messages_together_have_a_budget_and_it_comes_back(void **state)
{
    struct fixture *f = *state;
    struct grpc_client_call half = {
        .path = PATH_ECHO, .body = {(uint8_t *)"\0\0\0\x27\x10", 5}, .keep_open = true};
    struct grpc_client c;

    begin(f, &c, 0);
    grpc_client_begin(&c, &half);
    grpc_client_flush(&c);
    assert_int_equal(grpc_client_call(&c, &half), GRPC_UNAVAILABLE);
    assert_non_null(strstr(c.text, "the 20000 bytes for all bodies"));
    grpc_client_deinit(&c);
}

static void a_message_that_stands_still_gives_way(void **state)
{
    struct fixture *f = *state;
    struct grpc_client_call half = {
        .path = PATH_ECHO, .body = {(uint8_t *)"\0\0\0\x27\x10", 5}, .keep_open = true};
    struct grpc_client still, other;

    begin(f, &still, 0);
    begin(f, &other, 0);
    grpc_client_begin(&still, &half);
    grpc_client_flush(&still);
    usleep(20000);
    assert_int_equal(call(&other, PATH_ECHO, BYTES_LIT("hi")), GRPC_UNAVAILABLE);
    usleep(60000);
    assert_int_equal(call(&other, PATH_ECHO, BYTES_LIT("hi")), GRPC_OK);
    grpc_client_deinit(&still);
    grpc_client_deinit(&other);
}

static void metadata_have_a_limit(void **state)
{
    struct fixture *f = *state;
    char path[1200];
    struct grpc_client c;

    memset(path, 'x', sizeof path - 1);
    path[0] = '/';
    path[sizeof path - 1] = '\0';
    begin(f, &c, 0);
    assert_int_equal(call(&c, path, BYTES_LIT("")), GRPC_RESOURCE_EXHAUSTED);
    grpc_client_deinit(&c);
}

static void a_slow_call_is_told_and_an_idle_connection_is_ended(void **state)
{
    struct fixture *f = *state;
    struct grpc_client_call half = {
        .path = PATH_ECHO, .body = {(uint8_t *)"\0\0\0\0\2x", 6}, .keep_open = true};
    struct grpc_client c;
    int64_t from_ms;

    begin(f, &c, 0);
    assert_int_equal(grpc_client_call(&c, &half), GRPC_DEADLINE_EXCEEDED);
    from_ms = clock_mono_ms();
    while (grpc_client_turn(&c))
        ;
    assert_true(c.gone);
    assert_true(clock_mono_ms() - from_ms >= 100 && clock_mono_ms() - from_ms < 10000);
    grpc_client_deinit(&c);
}

static void who_says_nothing_is_hung_up_on(void **state)
{
    struct fixture *f = *state;
    int fd = http_connect(f->port);

    http_send(fd, BYTES_LIT("PRI * HT"), 0);
    assert_true(http_is_closed(fd));
    close(fd);
}

static void above_the_most_connections_the_next_one_waits(void **state)
{
    struct fixture *f = *state;
    struct grpc_client first, second;

    begin(f, &first, 0);
    assert_int_equal(call(&first, PATH_ECHO, BYTES_LIT("x")), GRPC_OK);
    begin(f, &second, 0);
    grpc_client_begin(
        &second, &(struct grpc_client_call){.path = PATH_ECHO, .body = {(uint8_t *)"\0\0\0\0", 5}});
    grpc_client_flush(&second);
    assert_int_equal(poll(&(struct pollfd){second.fd, POLLIN, 0}, 1, 50), 0);
    grpc_client_deinit(&first);
    while (!second.closed)
        assert_true(grpc_client_turn(&second));
    assert_int_equal(second.status, GRPC_OK);
    grpc_client_deinit(&second);
}

static void a_peer_that_leaves_early_harms_nobody(void **state)
{
    struct fixture *f = *state;
    struct grpc_client c;

    for (int i = 0; i < 3; i++) {
        begin(f, &c, 0);
        grpc_client_begin(
            &c, &(struct grpc_client_call){.path = PATH_SLOW, .body = {(uint8_t *)"\0\0\0\0", 5}});
        grpc_client_flush(&c);
        grpc_client_turn(&c);
        grpc_client_deinit(&c);
        usleep(150000); /* the answer finds nobody */
    }
    begin(f, &c, 0);
    assert_int_equal(call(&c, PATH_ECHO, BYTES_LIT("x")), GRPC_OK);
    grpc_client_deinit(&c);
}

static void closing_lets_running_calls_finish(void **state)
{
    struct fixture *f = start(&http_limits_default);
    struct grpc_client c;

    (void)state;
    begin(f, &c, 0);
    assert_int_equal(call(&c, PATH_ECHO, BYTES_LIT("x")), GRPC_OK);
    grpc_client_begin(
        &c, &(struct grpc_client_call){.path = PATH_SLOW, .body = {(uint8_t *)"\0\0\0\0", 5}});
    grpc_client_flush(&c);
    usleep(20000);
    uv_async_send(&f->stop);
    while (!c.closed)
        assert_true(grpc_client_turn(&c));
    assert_int_equal(c.status, GRPC_OK);
    assert_true(c.gone);
    grpc_client_deinit(&c);
    pthread_join(f->thread, NULL);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    free(f);
}

static void closing_without_grace_outlives_its_handlers(void **state)
{
    struct fixture *f = start(&http_limits_default);
    struct grpc_client c;

    (void)state;
    f->grace_ms = 0;
    begin(f, &c, 0);
    assert_int_equal(call(&c, PATH_ECHO, BYTES_LIT("x")), GRPC_OK);
    grpc_client_begin(
        &c, &(struct grpc_client_call){.path = PATH_HELD, .body = {(uint8_t *)"\0\0\0\0", 5}});
    grpc_client_flush(&c);
    usleep(20000);
    uv_async_send(&f->stop);
    while (grpc_client_turn(&c))
        ;
    assert_false(c.closed && c.status == GRPC_OK);
    grpc_client_deinit(&c);
    pthread_join(f->thread, NULL);
    assert_non_null(f->held);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    free(f);
}

static void a_status_of_http_has_one_of_grpc(void **state)
{
    (void)state;
    assert_int_equal(grpc_status_of(200), GRPC_OK);
    assert_int_equal(grpc_status_of(400), GRPC_INVALID_ARGUMENT);
    assert_int_equal(grpc_status_of(415), GRPC_INVALID_ARGUMENT);
    assert_int_equal(grpc_status_of(413), GRPC_RESOURCE_EXHAUSTED);
    assert_int_equal(grpc_status_of(429), GRPC_UNAVAILABLE);
    assert_int_equal(grpc_status_of(503), GRPC_UNAVAILABLE);
    assert_int_equal(grpc_status_of(500), GRPC_INTERNAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_message_comes_back_however_the_bytes_are_cut, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_large_message_passes_the_windows_both_ways, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_slow_handler_keeps_nobody_waiting, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_refusal_has_its_status_and_its_text_escaped, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_is_malformed_is_told_and_the_connection_goes_on,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_compressed_message_is_handed_on_as_it_is_and_other_codings_are_refused, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(what_is_not_grpc_gets_a_status_of_http, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_message_over_the_cap_is_refused_by_its_length_alone,
                                        set_up_small, tear_down),
        cmocka_unit_test_setup_teardown(messages_together_have_a_budget_and_it_comes_back,
                                        set_up_small, tear_down),
        cmocka_unit_test_setup_teardown(a_message_that_stands_still_gives_way, set_up_tight,
                                        tear_down),
        cmocka_unit_test_setup_teardown(metadata_have_a_limit, set_up_small, tear_down),
        cmocka_unit_test_setup_teardown(a_slow_call_is_told_and_an_idle_connection_is_ended,
                                        set_up_small, tear_down),
        cmocka_unit_test_setup_teardown(who_says_nothing_is_hung_up_on, set_up_small, tear_down),
        cmocka_unit_test_setup_teardown(above_the_most_connections_the_next_one_waits, set_up_small,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_peer_that_leaves_early_harms_nobody, set_up, tear_down),
        cmocka_unit_test(closing_lets_running_calls_finish),
        cmocka_unit_test(closing_without_grace_outlives_its_handlers),
        cmocka_unit_test(a_status_of_http_has_one_of_grpc),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
