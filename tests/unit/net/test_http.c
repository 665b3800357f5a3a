/*
 * A real server on a loop of its own thread, spoken to with raw bytes: the network may cut them
 * anywhere, and not every peer is friendly.
 */
#include "base/clock.h"
#include "lib/http_client.h"
#include "net/http.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/stat.h>

#include <cmocka.h>

struct fixture {
    uv_loop_t loop;
    uv_async_t stop;
    uv_timer_t later;
    pthread_t thread;
    struct http_server *server;
    struct http_request *held;
    int port;
    uint32_t grace_ms;
    bool closed, free_later;
};

static void on_echo(struct http_request *r, void *ctx)
{
    (void)ctx;
    http_respond(r, 200, "application/octet-stream", http_body(r), NULL);
}

static void on_params(struct http_request *r, void *ctx)
{
    struct buf out = {0};

    (void)ctx;
    buf_append_bytes(&out, http_path(r));
    for (size_t i = 0; i < http_n_params(r); i++) {
        struct bytes name, value;

        http_param_at(r, i, &name, &value);
        buf_printf(&out, "|%.*s=%.*s", (int)name.len, (const char *)name.data, (int)value.len,
                   (const char *)value.data);
    }
    http_respond_buf(r, 200, "text/plain", &out, "X-Extra: yes\r\n");
}

static void on_header_test(struct http_request *r, void *ctx)
{
    (void)ctx;
    http_respond(r, 200, "text/plain", http_header(r, "x-test"), NULL);
}

static void on_later(uv_timer_t *timer)
{
    struct fixture *f = timer->data;
    struct http_request *r = f->held;

    f->held = NULL;
    http_respond(r, 200, "text/plain", BYTES_LIT("late"), NULL);
}

/* Answers after 100 ms. */
static void on_slow(struct http_request *r, void *ctx)
{
    struct fixture *f = ctx;

    f->held = r;
    uv_timer_start(&f->later, on_later, 100, 0);
}

static void on_wrong(struct http_request *r, void *ctx)
{
    struct failure f;

    (void)ctx;
    (fail)(&f, 503, "overload", "come again", "bad \xff byte");
    http_respond_failure(r, &f);
}

static void on_server_closed(void *ctx)
{
    struct fixture *f = ctx;

    f->closed = true;
    uv_close((uv_handle_t *)&f->stop, NULL);
    if (!f->held)
        uv_close((uv_handle_t *)&f->later, NULL);
}

static void on_stop(uv_async_t *async)
{
    struct fixture *f = async->data;

    http_server_close(f->server, f->grace_ms, on_server_closed, f);
}

static void *run_loop(void *arg)
{
    struct fixture *f = arg;

    uv_run(&f->loop, UV_RUN_DEFAULT);
    /* A request that outlived its server's handles. */
    if (!uv_is_closing((uv_handle_t *)&f->later))
        uv_close((uv_handle_t *)&f->later, NULL);
    uv_run(&f->loop, UV_RUN_DEFAULT);
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
    f->server = http_server_new(&f->loop, limits ? limits : &http_limits_default);
    http_route(f->server, "POST|PUT", "/echo", on_echo, f);
    http_route(f->server, "GET", "/params", on_params, f);
    http_route(f->server, "GET", "/files/*", on_params, f);
    http_route(f->server, "GET", "/header", on_header_test, f);
    http_route(f->server, "GET", "/wrong", on_wrong, f);
    http_route(f->server, "GET|POST", "/slow", on_slow, f);
    http_route(f->server, "POST", "/sink", on_echo, f);
    http_route_discard(f->server, "/sink");
    assert_int_equal(http_listen(f->server, "127.0.0.1:0", "listen", &f->port, &failure), 0);
    pthread_create(&f->thread, NULL, run_loop, f);
    return f;
}

static void stop(struct fixture *f)
{
    uv_async_send(&f->stop);
    pthread_join(f->thread, NULL);
    assert_true(f->closed);
    assert_int_equal(uv_loop_close(&f->loop), 0);
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

#define assert_answer(a, want_status, want_body)                                                   \
    do {                                                                                           \
        struct http_answer a_ = (a);                                                               \
        assert_int_equal(a_.status, (want_status));                                                \
        if ((want_body))                                                                           \
            assert_string_equal(buf_cstr(&a_.body), (want_body));                                  \
        http_answer_deinit(&a_);                                                                   \
    } while (0)

static struct http_answer talk(struct fixture *f, const char *request)
{
    return http_talk(f->port, bytes_str(request), 0);
}

static void a_body_comes_back_however_the_bytes_are_cut(void **state)
{
    struct fixture *f = *state;
    const char *plain = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\nhello world";
    const char *chunked = "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                          "5\r\nhello\r\n1;ext=1\r\n \r\n5\r\nworld\r\n0\r\n\r\n";

    for (size_t step = 0; step < 7; step++) {
        assert_answer(http_talk(f->port, bytes_str(plain), step), 200, "hello world");
        assert_answer(http_talk(f->port, bytes_str(chunked), step), 200, "hello world");
    }
}

static void a_connection_serves_many_requests_sent_at_once(void **state)
{
    struct fixture *f = *state;
    int fd = http_connect(f->port);
    struct bytes request = bytes_str("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"
                                     "GET /params?a=1 HTTP/1.1\r\nHost: x\r\n\r\n"
                                     "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"
                                     "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"
                                     "GET /params?a=2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                                     "\r\n");

    http_send(fd, request, 0);
    assert_answer(http_read_answer(fd, false), 200, "hi");
    assert_answer(http_read_answer(fd, false), 200, "/params|a=1");
    assert_answer(http_read_answer(fd, false), 200, "late");
    assert_answer(http_read_answer(fd, false), 404, NULL);
    assert_answer(http_read_answer(fd, false), 200, "/params|a=2");
    assert_true(http_is_closed(fd));
    close(fd);
}

/* dd-trace-go asks for its configuration so. */
static void a_get_may_have_a_body_and_the_next_request_begins_behind_it(void **state)
{
    struct fixture *f = *state;
    int fd = http_connect(f->port);
    struct bytes request = bytes_str("GET /params?a=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"
                                     "\r\n{  }GET /params?a=2 HTTP/1.1\r\nHost: x\r\n\r\n");

    http_send(fd, request, 1);
    assert_answer(http_read_answer(fd, false), 200, "/params|a=1");
    assert_answer(http_read_answer(fd, false), 200, "/params|a=2");
    close(fd);
}

static void head_has_the_length_of_get_and_no_body(void **state)
{
    struct fixture *f = *state;
    struct http_answer a = talk(f, "HEAD /params?a=1 HTTP/1.1\r\nHost: x\r\n\r\n");

    assert_int_equal(a.status, 200);
    assert_string_equal(http_answer_header(&a, "Content-Length"), "11");
    assert_string_equal(http_answer_header(&a, "X-Extra"), "yes");
    http_answer_deinit(&a);
}

static void an_old_client_gets_its_answer_and_a_close(void **state)
{
    struct fixture *f = *state;
    int fd = http_connect(f->port);

    http_send(fd, BYTES_LIT("GET /params HTTP/1.0\r\n\r\n"), 0);
    assert_answer(http_read_answer(fd, false), 200, "/params");
    assert_true(http_is_closed(fd));
    close(fd);
}

static void continue_is_said_before_the_body_is_sent(void **state)
{
    struct fixture *f = *state;
    int fd = http_connect(f->port);

    http_send(fd,
              BYTES_LIT("POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                        "Content-Length: 2\r\n\r\n"),
              0);
    assert_answer(http_read_answer(fd, false), 100, NULL);
    http_send(fd, BYTES_LIT("hi"), 0);
    assert_answer(http_read_answer(fd, false), 200, "hi");
    close(fd);
}

static void paths_and_parameters_are_decoded_once(void **state)
{
    struct fixture *f = *state;

    assert_answer(
        talk(f, "GET /files/a%20b%2fc+d?x=1+2&y=%2526&z&=v&x=3 HTTP/1.1\r\nHost: x\r\n\r\n"), 200,
        "/files/a b/c+d|x=1 2|y=%26|z=|=v|x=3");
    assert_answer(talk(f, "GET http://host/params?q=/ HTTP/1.1\r\nHost: x\r\n\r\n"), 200,
                  "/params|q=/");
    assert_answer(talk(f, "GET /header HTTP/1.1\r\nHost: x\r\nX-TEST:  spaces in  \r\n\r\n"), 200,
                  "spaces in");
    assert_answer(talk(f, "\r\n\r\nGET /params HTTP/1.1\r\nHost: x\r\nEmpty:\r\n\r\n"), 200,
                  "/params");
}

static void errors_are_json_with_code_message_and_hint(void **state)
{
    struct fixture *f = *state;
    struct http_answer a = talk(f, "GET /wrong HTTP/1.1\r\nHost: x\r\n\r\n");

    assert_int_equal(a.status, 503);
    assert_string_equal(buf_cstr(&a.body),
                        "{\"code\":\"overload\",\"message\":\"bad \xef\xbf\xbd byte\","
                        "\"hint\":\"come again\"}\n");
    assert_non_null(http_answer_header(&a, "Retry-After"));
    http_answer_deinit(&a);
    a = talk(f, "DELETE /echo HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(a.status, 405);
    assert_string_equal(http_answer_header(&a, "Allow"), "POST, PUT");
    assert_non_null(strstr(buf_cstr(&a.body), "{\"code\":\"method_not_allowed\","));
    http_answer_deinit(&a);
    /* What lies under a prefix need not exist. */
    a = talk(f, "DELETE /files/a HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_int_equal(a.status, 404);
    http_answer_deinit(&a);
}

/* Each is answered with its status and the connection ends: what follows is never a request. */
static void what_could_smuggle_or_climb_is_refused(void **state)
{
    static const struct {
        const char *request;
        int status;
    } cases[] = {
        {"GET /params HTTP/1.1\r\nHost: x\r\nX:\rTransfer-Encoding: chunked\r\n\r\n", 400},
        {"GET /params HTTP/1.1\r\nHost: x\r\n Content-Length: 3\r\n\r\n", 400},
        {"GET /params HTTP/1.1\r\nHost: x\r\n\tfolded\r\n\r\n", 400},
        {"GET /params HTTP/1.1\nHost: x\n\n", 400},
        {"GET /params HTTP/1.1\r\nHost: x\r\nA: b\nC: d\r\n\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n"
         "\r\n0\r\n\r\n",
         400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n"
         "\r\n0\r\n\r\n",
         400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
         400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3, 3\r\n\r\nabc", 400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: -3\r\n\r\nabc", 400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc", 400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0x3\r\n\r\nabc", 400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length : 3\r\n\r\nabc", 400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400},
        {"GET /params HTTP/1.1\r\nHost : x\r\n\r\n", 400},
        {"GET /params HTTP/1.1\r\nHost: x\r\nX-Any : y\r\n\r\n", 400},
        {"GET /params HTTP/1.1\r\nHost: x\r\nX Any: y\r\n\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
         501},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
         "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         400},
        {"POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
         "fffffffffffffffff\r\n",
         400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
         "5\r\nhelloXX0\r\n\r\n",
         400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
         "5\nhello\r\n0\r\n\r\n",
         400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
         "5;a\nb\r\nhello\r\n0\r\n\r\n",
         400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
         "5;a\rb\r\nhello\r\n0\r\n\r\n",
         400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
         "5\r\rhello\r\n0\r\n\r\n",
         400},
        {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
         "5 5\r\nhello\r\n0\r\n\r\n",
         400},
        {"GET /params HTTP/1.1\r\n\r\n", 400},
        {"GET /params HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400},
        {"GET /params HTTP/2.0\r\nHost: x\r\n\r\n", 505},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
        {"GET /params HTTP/1.1\r\nHost: x\r\nExpect: 200-ok\r\n\r\n", 417},
        {"BREW /params HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"\x16\x03\x01\x02\x01\r\n\r\n", 400},
        {"GET /files/../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET /files/%2e%2E/etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET /files/..%2fetc HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET /files/./a HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET /files/.. HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET /files/a%00b HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET /files/a%0 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET /files/a%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET /params?a=%00 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET /params?a=%f HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET http://host HTTP/1.1\r\nHost: x\r\n\r\n", 400},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t step = 0; step < 2; step++) {
            int fd = http_connect(f->port);
            struct http_answer a;

            http_send(fd, bytes_str(cases[i].request), step);
            http_send(fd, BYTES_LIT("GET /params?smuggled=1 HTTP/1.1\r\nHost: x\r\n\r\n"), 0);
            a = http_read_answer(fd, false);
            if (a.status != cases[i].status || !a.closing)
                print_message("case %zu step %zu: %d closing %d: %s\n", i, step, a.status,
                              a.closing, cases[i].request);
            assert_int_equal(a.status, cases[i].status);
            assert_true(a.closing);
            assert_non_null(strstr(buf_cstr(&a.body), "\"code\":"));
            assert_true(http_is_closed(fd));
            http_answer_deinit(&a);
            close(fd);
        }
    assert_answer(talk(f, "GET /params HTTP/1.1\r\nHost: x\r\n\r\n"), 200, "/params");
}

static void a_trailer_ends_the_connection_with_its_request(void **state)
{
    struct fixture *f = *state;
    int fd = http_connect(f->port);

    http_send(fd,
              BYTES_LIT("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                        "2\r\nhi\r\n0\r\nContent-Length: 5\r\n\r\n"
                        "GET /params HTTP/1.1\r\nHost: x\r\n\r\n"),
              0);
    assert_answer(http_read_answer(fd, false), 200, "hi");
    assert_true(http_is_closed(fd));
    close(fd);
}

static void an_offer_to_upgrade_is_passed_over(void **state)
{
    struct fixture *f = *state;

    assert_answer(talk(f, "POST /echo HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\n"
                          "Upgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\nHost: x\r\n"
                          "Content-Length: 2\r\n\r\nhi"),
                  200, "hi");
    assert_answer(talk(f, "GET /params HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
                          "Host: x\r\n\r\n"),
                  200, "/params");
}

static void headers_have_a_limit_in_bytes_and_in_number(void **state)
{
    struct fixture *f = *state;
    struct buf b = {0};

    buf_append_str(&b, "GET /params HTTP/1.1\r\nHost: x\r\nX: ");
    for (int i = 0; i < 17000; i++)
        buf_append_u8(&b, 'x');
    assert_answer(http_talk(f->port, buf_bytes(&b), 0), 431, NULL);
    buf_reset(&b);
    buf_append_str(&b, "GET /params HTTP/1.1\r\nHost: x\r\n");
    for (int i = 0; i < 100; i++)
        buf_append_str(&b, "X: y\r\n");
    buf_append_str(&b, "\r\n");
    assert_answer(http_talk(f->port, buf_bytes(&b), 0), 431, NULL);
    buf_deinit(&b);
}

static const struct http_limits small = {
    .header_bytes_max = 1000,
    .body_bytes_max = 1000,
    .budget_bytes_max = 1500,
    .connections_max = 3,
    .header_timeout_ms = 150,
    .body_timeout_ms = 150,
    .stall_ms = 50,
    .idle_timeout_ms = 300,
};

static int set_up_small(void **state)
{
    *state = start(&small);
    return 0;
}

static void send_post(int fd, const char *path, size_t length, size_t send)
{
    struct buf b = {0};

    buf_printf(&b, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n", path, length);
    for (size_t i = 0; i < send; i++)
        buf_append_u8(&b, 'x');
    http_send(fd, buf_bytes(&b), 0);
    buf_deinit(&b);
}

static void a_body_over_the_cap_is_refused_before_and_while_it_comes(void **state)
{
    struct fixture *f = *state;
    struct buf b = {0};
    int fd = http_connect(f->port);

    send_post(fd, "/echo", 1001, 1001);
    assert_answer(http_read_answer(fd, false), 413, NULL);
    close(fd);
    buf_append_str(&b, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 11; i++)
        buf_printf(&b, "64\r\n%0100d\r\n", i);
    assert_answer(http_talk(f->port, buf_bytes(&b), 0), 413, NULL);
    assert_answer(http_talk(f->port, buf_bytes(&b), 1), 413, NULL);
    buf_deinit(&b);
}

static void bodies_together_have_a_budget_and_it_comes_back(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 3; i++) {
        int first = http_connect(f->port), second = http_connect(f->port);

        send_post(first, "/slow", 1000, 1000);
        usleep(20000);
        send_post(second, "/echo", 600, 600);
        assert_answer(http_read_answer(second, false), 503, NULL);
        assert_answer(http_read_answer(first, false), 200, "late");
        send_post(first, "/echo", 1000, 1000);
        assert_answer(http_read_answer(first, false), 200, NULL);
        close(first);
        close(second);
    }
}

static void a_body_that_stands_still_gives_way(void **state)
{
    struct fixture *f = *state;
    int still = http_connect(f->port), other = http_connect(f->port);

    send_post(still, "/echo", 1000, 10);
    usleep(20000);
    send_post(other, "/echo", 600, 600);
    assert_answer(http_read_answer(other, false), 503, NULL); /* it may yet come */
    close(other);
    other = http_connect(f->port);
    usleep(60000);
    send_post(other, "/echo", 600, 600);
    assert_answer(http_read_answer(other, false), 200, NULL);
    assert_answer(http_read_answer(still, false), 408, NULL);
    close(still);
    close(other);
}

static void what_is_discarded_has_no_cap_and_no_share_of_the_budget(void **state)
{
    struct fixture *f = *state;
    int sink = http_connect(f->port), other = http_connect(f->port);
    struct buf b = {0};

    send_post(sink, "/sink", 100000, 99990);
    usleep(60000); /* and nobody asks it to give way, for it has nothing */
    send_post(other, "/echo", 1000, 1000);
    assert_answer(http_read_answer(other, false), 200, NULL);
    http_send(sink, BYTES_LIT("0123456789"), 0);
    assert_answer(http_read_answer(sink, false), 200, "");
    close(sink);
    close(other);
    buf_append_str(&b, "POST /sink HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 100; i++)
        buf_printf(&b, "64\r\n%0100d\r\n", i);
    buf_append_str(&b, "0\r\n\r\nGET /params?a=1 HTTP/1.1\r\nHost: x\r\n\r\n");
    sink = http_connect(f->port);
    http_send(sink, buf_bytes(&b), 0);
    assert_answer(http_read_answer(sink, false), 200, "");
    assert_answer(http_read_answer(sink, false), 200, "/params|a=1");
    close(sink);
    buf_deinit(&b);
}

static void slow_headers_and_slow_bodies_are_told_and_idle_peers_are_not(void **state)
{
    struct fixture *f = *state;
    int header = http_connect(f->port), body = http_connect(f->port), idle = http_connect(f->port);
    int64_t start_ms = clock_mono_ms();

    http_send(header, BYTES_LIT("GET /par"), 0);
    send_post(body, "/echo", 10, 5);
    assert_answer(http_read_answer(header, false), 408, NULL);
    assert_answer(http_read_answer(body, false), 408, NULL);
    assert_true(http_is_closed(idle));
    assert_true(clock_mono_ms() - start_ms >= 290);
    close(header);
    close(body);
    close(idle);
}

static void above_the_most_connections_the_next_one_waits(void **state)
{
    struct fixture *f = *state;
    int fds[3], fourth;

    for (int i = 0; i < 3; i++) {
        fds[i] = http_connect(f->port);
        http_send(fds[i], BYTES_LIT("GET /params HTTP/1.1\r\nHost: x\r\n\r\n"), 0);
        assert_answer(http_read_answer(fds[i], false), 200, NULL);
    }
    fourth = http_connect(f->port);
    http_send(fourth, BYTES_LIT("GET /params HTTP/1.1\r\nHost: x\r\n\r\n"), 0);
    close(fds[1]);
    assert_answer(http_read_answer(fourth, false), 200, "/params");
    close(fourth);
    close(fds[0]);
    close(fds[2]);
}

static void a_peer_that_leaves_early_harms_nobody(void **state)
{
    struct fixture *f = *state;
    int fd = http_connect(f->port);
    struct linger reset = {.l_onoff = 1};

    http_send(fd, BYTES_LIT("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"), 0);
    usleep(20000);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd);
    usleep(150000);
    assert_answer(talk(f, "GET /params HTTP/1.1\r\nHost: x\r\n\r\n"), 200, "/params");
}

static void closing_lets_running_requests_finish(void **state)
{
    struct fixture *f = start(NULL);
    int running = http_connect(f->port), idle = http_connect(f->port);

    (void)state;
    http_send(running, BYTES_LIT("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"), 0);
    usleep(20000);
    uv_async_send(&f->stop);
    assert_true(http_is_closed(idle));
    assert_answer(http_read_answer(running, false), 200, "late");
    close(running);
    close(idle);
    pthread_join(f->thread, NULL);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    free(f);
}

static void closing_without_grace_outlives_its_handlers(void **state)
{
    struct fixture *f = start(NULL);
    int running = http_connect(f->port);

    (void)state;
    http_send(running, BYTES_LIT("POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"),
              0);
    usleep(20000);
    f->grace_ms = 0;
    stop(f);
    assert_true(http_is_closed(running));
    close(running);
}

static void set_flag(void *ctx)
{
    *(bool *)ctx = true;
}

static void a_busy_port_names_address_setting_and_holder(void **state)
{
    struct fixture *f = *state;
    struct http_server *s;
    struct failure failure;
    char address[40];
    uv_loop_t loop;
    bool closed = false;

    uv_loop_init(&loop);
    s = http_server_new(&loop, &http_limits_default);
    snprintf(address, sizeof address, "127.0.0.1:%d", f->port);
    assert_int_equal(http_listen(s, address, "admin", NULL, &failure), FAILURE);
    assert_non_null(strstr(failure.message, address));
    assert_non_null(strstr(failure.message, "test_http"));
    assert_non_null(strstr(failure.hint, "admin"));
    assert_int_equal(http_listen(s, "localhost", "listen", NULL, &failure), FAILURE);
    assert_int_equal(http_listen(s, "example.org:80", "listen", NULL, &failure), FAILURE);
    assert_int_equal(http_listen(s, "127.0.0.1:99999", "listen", NULL, &failure), FAILURE);
    assert_int_equal(http_listen(s, "unix:relative", "socket", NULL, &failure), FAILURE);
    http_server_close(s, 0, set_flag, &closed);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_true(closed);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void a_socket_nobody_answers_on_is_replaced_and_another_is_not(void **state)
{
    struct fixture *f = start(NULL);
    char dir[] = "/tmp/hearth-test-http-XXXXXX", path[64], address[80];
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    struct failure failure;
    struct http_server *s;
    struct http_answer a;
    bool closed = false;
    uv_loop_t loop;
    int fd;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/s", dir);
    snprintf(address, sizeof address, "unix:%s", path);
    /* Bound and left behind, as a process that was killed leaves it. */
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    strcpy(sun.sun_path, path);
    assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof sun), 0);
    close(fd);
    stop(f);

    uv_loop_init(&loop);
    s = http_server_new(&loop, &http_limits_default);
    http_route(s, "GET", "/params", on_params, NULL);
    assert_int_equal(http_listen(s, address, "socket", NULL, &failure), 0);
    assert_int_equal(http_listen(s, address, "socket", NULL, &failure), FAILURE);
    assert_non_null(strstr(failure.message, "answers"));
    fd = http_connect_unix(path);
    http_send(fd, BYTES_LIT("GET /params HTTP/1.1\r\nHost: x\r\n\r\n"), 0);
    for (int i = 0; i < 20; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
    a = http_read_answer(fd, false);
    assert_int_equal(a.status, 200);
    http_answer_deinit(&a);
    close(fd);
    http_server_close(s, 0, set_flag, &closed);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_true(closed);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_not_equal(access(path, F_OK), 0);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_body_comes_back_however_the_bytes_are_cut, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_connection_serves_many_requests_sent_at_once, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_get_may_have_a_body_and_the_next_request_begins_behind_it,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(head_has_the_length_of_get_and_no_body, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_old_client_gets_its_answer_and_a_close, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(continue_is_said_before_the_body_is_sent, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(paths_and_parameters_are_decoded_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(errors_are_json_with_code_message_and_hint, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_could_smuggle_or_climb_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_trailer_ends_the_connection_with_its_request, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(an_offer_to_upgrade_is_passed_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(headers_have_a_limit_in_bytes_and_in_number, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_body_over_the_cap_is_refused_before_and_while_it_comes,
                                        set_up_small, tear_down),
        cmocka_unit_test_setup_teardown(bodies_together_have_a_budget_and_it_comes_back,
                                        set_up_small, tear_down),
        cmocka_unit_test_setup_teardown(what_is_discarded_has_no_cap_and_no_share_of_the_budget,
                                        set_up_small, tear_down),
        cmocka_unit_test_setup_teardown(a_body_that_stands_still_gives_way, set_up_small,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            slow_headers_and_slow_bodies_are_told_and_idle_peers_are_not, set_up_small, tear_down),
        cmocka_unit_test_setup_teardown(above_the_most_connections_the_next_one_waits, set_up_small,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_peer_that_leaves_early_harms_nobody, set_up, tear_down),
        cmocka_unit_test(closing_lets_running_requests_finish),
        cmocka_unit_test(closing_without_grace_outlives_its_handlers),
        cmocka_unit_test_setup_teardown(a_busy_port_names_address_setting_and_holder, set_up,
                                        tear_down),
        cmocka_unit_test(a_socket_nobody_answers_on_is_replaced_and_another_is_not),
    };

    signal(SIGPIPE, SIG_IGN); /* as the daemon does */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
