/* What only the Redis store promises: servers that are away, die, stay silent, refuse or talk
 * nonsense. */
#include "lib/redis.h"
#include "store_test.h"

#include "store/store_impl.h"
#include "store/store_redis.h"

#include <arpa/inet.h>
#include <netinet/in.h>

struct fixture {
    uv_loop_t loop;
    struct store *store;
    struct redis_server server;
    int listener;  /* of a server that is none */
    int stderr_fd; /* the real one, while `log` has it */
    char log[64];
};

static int setup(void **state)
{
    struct fixture *f = *state = calloc(1, sizeof *f);

    assert_int_equal(uv_loop_init(&f->loop), 0);
    f->listener = f->stderr_fd = -1;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    if (f->store)
        close_store(&f->loop, f->store);
    close_loop(&f->loop);
    if (f->listener >= 0)
        close(f->listener);
    redis_stop(&f->server);
    free(f);
    return 0;
}

static void open_store_at(struct fixture *f, const char *url, int64_t connect_ms,
                          int64_t command_ms)
{
    char copy[256];
    struct store_redis_options o = {copy, connect_ms, command_ms};
    struct failure why;

    snprintf(copy, sizeof copy, "%s", url);
    if (store_redis_new(&f->loop, &o, &f->store, &why) != 0)
        fail_msg("%s", why.message);
}

static void open_store(struct fixture *f)
{
    open_store_at(f, f->server.url, 2000, 2000);
}

static void start_server(struct fixture *f, const char *const *extra)
{
    assert_true(redis_start(&f->server, extra));
}

static void say(const struct fixture *f, const char *line, const char *expected)
{
    char answer[512];

    assert_true(redis_say(f->server.socket, line, answer, sizeof answer));
    if (strncmp(answer, expected, strlen(expected)) != 0)
        fail_msg("%s: %s", line, answer);
}

/* Until the store has a connection again. */
static void wait_ready(struct fixture *f)
{
    for (int i = 0; i < 1000 && !store_ready(f->store); i++)
        loop_sleep(&f->loop, 10);
    assert_true(store_ready(f->store));
}

static int put_x(struct fixture *f, const char *key)
{
    return put(&f->loop, f->store, bytes_str(key), BYTES_LIT("x"), 60000);
}

/* ---- servers that are away --------------------------------------------------------------------
 */

/* A loopback port that nobody listens on: bound, so that nobody else takes it meanwhile, and none
 * that the kernel gives to clients, who could then connect to themselves. */
static int reserve_port(int *ret_fd)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, port = 20000 + (int)(random_u64() % 10000);

    *ret_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(*ret_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    for (int i = 0; i < 1000; i++, port++) {
        sin.sin_port = htons((uint16_t)port);
        if (bind(*ret_fd, (struct sockaddr *)&sin, sizeof sin) == 0)
            return port;
    }
    fail_msg("no free port");
    return 0;
}

static void a_refused_connection_is_reported_at_once_and_made_when_the_server_comes(void **state)
{
    struct fixture *f = *state;
    char url[64], port_text[8];
    const char *extra[] = {"--port", port_text, "--bind", "127.0.0.1", NULL};
    int64_t start_ms = clock_mono_ms();
    int fd, port = reserve_port(&fd);
    struct answer *a = answer_new();
    struct bytes key = BYTES_LIT("a");

    snprintf(port_text, sizeof port_text, "%d", port);
    snprintf(url, sizeof url, "redis://localhost:%d/2", port);
    open_store_at(f, url, 20000, 20000);
    assert_int_equal(put_x(f, "a"), -ENOTCONN);
    store_get(f->store, &key, 1, on_answer, a); /* between two attempts: without waiting */
    assert_int_equal(a->calls, 0);
    for (int i = 0; i < 3; i++)
        uv_run(&f->loop, UV_RUN_NOWAIT);
    assert_int_equal(a->calls, 1);
    assert_int_equal(a->r, -ENOTCONN);
    answer_free(a);
    assert_true(clock_mono_ms() - start_ms < 3000); /* not by the timeout of 20 s */
    assert_false(store_ready(f->store));
    close(fd);
    start_server(f, extra);
    wait_ready(f);
    assert_int_equal(put_x(f, "a"), 0);
    assert_true(exists(&f->loop, f->store, BYTES_LIT("a")));
    say(f, "EXISTS a", ":0"); /* database 0 */
    say(f, "DBSIZE", ":0");
}

static void an_absent_unix_socket_is_reported_at_once(void **state)
{
    struct fixture *f = *state;
    struct answer *a = answer_new();
    struct bytes key = BYTES_LIT("k");

    open_store_at(f, "unix:///nonexistent/socket", 20000, 20000);
    store_get(f->store, &key, 1, on_answer, a);
    assert_int_equal(a->calls, 0);
    assert_true(loop_until(&f->loop, &a->calls, 1, 2000));
    assert_int_equal(a->r, -ENOTCONN);
    answer_free(a);
}

static void a_name_that_does_not_exist_is_reported(void **state)
{
    struct fixture *f = *state;

    open_store_at(f, "redis://no-such-host.invalid", 20000, 20000);
    assert_int_equal(put_x(f, "a"), -ENOTCONN);
}

static void a_store_may_be_closed_while_it_looks_up_or_connects(void **state)
{
    struct fixture *f = *state;
    struct answer *a = answer_new();
    struct bytes key = BYTES_LIT("k");

    open_store_at(f, "redis://localhost:1", 20000, 20000);
    store_get(f->store, &key, 1, on_answer, a);
    close_store(&f->loop, f->store);
    assert_int_equal(a->r, -ECANCELED);
    answer_free(a);
    start_server(f, NULL);
    open_store(f);
    close_store(&f->loop, f->store);
    f->store = NULL;
}

/* ---- servers that die -------------------------------------------------------------------------
 */

static void a_server_killed_in_mid_pipeline_fails_each_call_once_and_is_found_again(void **state)
{
    struct fixture *f = *state;
    enum { N = 400, SIZE = 50000 };
    uint8_t *value = calloc(1, SIZE);
    struct answer *all[N];
    int failed = 0;

    start_server(f, NULL);
    open_store(f);
    assert_int_equal(put_x(f, "warm"), 0);
    for (int i = 0; i < N; i++) {
        struct store_put p = {BYTES_LIT("k"), bytes_of(value, SIZE), 60000};

        all[i] = answer_new();
        store_put(f->store, &p, 1, on_answer, all[i]);
    }
    wait_for(&f->loop, all[20]);
    redis_kill(&f->server);
    for (int i = 0; i < N; i++) {
        int r = wait_for(&f->loop, all[i])->r;

        assert_true(r == 0 || r == -ENOTCONN);
        failed += r != 0;
        answer_free(all[i]);
    }
    assert_true(failed > 0 && failed < N);
    assert_int_equal(put_x(f, "k"), -ENOTCONN);
    start_server(f, NULL);
    wait_ready(f);
    assert_int_equal(put_x(f, "k"), 0);
    free(value);
}

static void an_idle_connection_that_ends_is_noticed(void **state)
{
    struct fixture *f = *state;

    start_server(f, NULL);
    open_store(f);
    assert_int_equal(put_x(f, "k"), 0);
    redis_kill(&f->server);
    for (int i = 0; i < 100 && store_ready(f->store); i++)
        loop_sleep(&f->loop, 10);
    assert_false(store_ready(f->store));
}

/* ---- servers that stay silent -----------------------------------------------------------------
 */

static void listen_at(struct fixture *f, char url[128])
{
    int port = reserve_port(&f->listener);

    assert_int_equal(listen(f->listener, 16), 0);
    snprintf(url, 128, "redis://127.0.0.1:%d", port);
}

static void a_server_that_accepts_and_never_answers_times_out(void **state)
{
    struct fixture *f = *state;
    int64_t start_ms = clock_mono_ms();
    char url[128];

    listen_at(f, url);
    open_store_at(f, url, 300, 20000);
    assert_int_equal(put_x(f, "k"), -ETIMEDOUT);
    assert_true(clock_mono_ms() - start_ms >= 250);
    assert_true(clock_mono_ms() - start_ms < 5000);
}

static void a_server_that_stops_answering_times_out_and_is_found_again(void **state)
{
    struct fixture *f = *state;
    enum { N = 300 };
    struct answer *all[N];
    int64_t start_ms;

    start_server(f, NULL);
    open_store_at(f, f->server.url, 2000, 400);
    assert_int_equal(put_x(f, "k"), 0);
    kill(f->server.pid, SIGSTOP);
    start_ms = clock_mono_ms();
    for (int i = 0; i < N; i++) { /* more than are sent at a time */
        struct bytes key = BYTES_LIT("k");

        all[i] = answer_new();
        store_get(f->store, &key, 1, on_answer, all[i]);
    }
    for (int i = 0; i < N; i++) {
        assert_int_equal(wait_for(&f->loop, all[i])->r, -ETIMEDOUT);
        answer_free(all[i]);
    }
    assert_true(clock_mono_ms() - start_ms >= 350);
    assert_true(clock_mono_ms() - start_ms < 5000);
    kill(f->server.pid, SIGCONT);
    wait_ready(f);
    assert_true(exists(&f->loop, f->store, BYTES_LIT("k")));
}

/* The loop was busy for longer than the deadline: the answers lie in the socket, nothing is lost.
 */
static void a_busy_loop_is_no_silent_server(void **state)
{
    struct fixture *f = *state;
    struct answer *a = answer_new();
    struct bytes key = BYTES_LIT("k");

    start_server(f, NULL);
    open_store_at(f, f->server.url, 2000, 200);
    assert_int_equal(put_x(f, "k"), 0);
    store_get(f->store, &key, 1, on_answer, a);
    uv_run(&f->loop, UV_RUN_NOWAIT); /* sends it */
    usleep(500000);
    assert_int_equal(wait_for(&f->loop, a)->r, 0);
    answer_free(a);
}

/* ---- servers that refuse ----------------------------------------------------------------------
 */

static void capture_log(struct fixture *f)
{
    int fd;

    snprintf(f->log, sizeof f->log, "/tmp/hearth-log-XXXXXX");
    fd = mkstemp(f->log);
    f->stderr_fd = dup(2);
    dup2(fd, 2);
    close(fd);
}

static void end_capture(struct fixture *f, char *text, size_t size)
{
    FILE *file = fopen(f->log, "r");

    dup2(f->stderr_fd, 2);
    close(f->stderr_fd);
    text[fread(text, 1, size - 1, file)] = '\0';
    fclose(file);
    unlink(f->log);
}

static void a_wrong_password_is_said_clearly_and_never_shown(void **state)
{
    struct fixture *f = *state;
    const char *extra[] = {"--requirepass", "right", NULL};
    char url[160], text[8192];
    int r;

    start_server(f, extra);
    snprintf(url, sizeof url, "unix://me:wrongwrong@%s", f->server.socket);
    capture_log(f);
    open_store_at(f, url, 2000, 2000);
    r = put_x(f, "k");
    end_capture(f, text, sizeof text);
    assert_int_equal(r, -EACCES);
    assert_int_equal(put_x(f, "k"), -EACCES); /* while it waits for the next attempt, too */
    assert_non_null(strstr(text, "WRONGPASS"));
    assert_non_null(strstr(text, "check user and password in redis_url"));
    assert_null(strstr(text, "wrongwrong"));
}

static void a_missing_password_is_an_error_of_its_own(void **state)
{
    struct fixture *f = *state;
    const char *extra[] = {"--requirepass", "right", NULL};
    char url[160];

    start_server(f, extra);
    open_store(f);
    assert_int_equal(put_x(f, "k"), -EACCES);
    close_store(&f->loop, f->store);
    snprintf(url, sizeof url, "unix://:right@%s", f->server.socket);
    open_store_at(f, url, 2000, 2000);
    assert_int_equal(put_x(f, "k"), 0);
}

/* A database that is not there must not mean database 0. */
static void a_database_out_of_range_writes_nothing_anywhere(void **state)
{
    struct fixture *f = *state;
    char url[64], port_text[8];
    const char *extra[] = {"--port", port_text, "--bind", "127.0.0.1", NULL};
    int fd, port = reserve_port(&fd);

    snprintf(port_text, sizeof port_text, "%d", port);
    snprintf(url, sizeof url, "redis://127.0.0.1:%d/99", port);
    close(fd);
    start_server(f, extra);
    open_store_at(f, url, 2000, 2000);
    assert_int_equal(put_x(f, "k"), -EIO);
    say(f, "DBSIZE", ":0");
}

static struct store_commit owned(struct fixture *f)
{
    struct store_meta m = acquire(&f->loop, f->store, 1, 7, 1000);

    return (struct store_commit){
        .partition = 1, .epoch = m.epoch, .token = 7, .prev_seq = m.seq, .seq = m.seq + 1};
}

static struct store_op hset(const char *key)
{
    return (struct store_op){STORE_OP_HSET, bytes_str(key), BYTES_LIT("f"), BYTES_LIT("v"), 0};
}

static int64_t errors(enum store_reason reason)
{
    return metric_get(&store_metrics[STORE_M_ERRORS], reason);
}

static void a_server_without_memory_refuses_the_whole_commit(void **state)
{
    struct fixture *f = *state;
    struct store_op ops[] = {{STORE_OP_EXPIRE, BYTES_LIT("blob"), BYTES_LIT(""), BYTES_LIT(""), 30},
                             hset("h")};
    int64_t before = errors(STORE_REASON_OOM);
    struct store_commit c;
    int r;

    start_server(f, NULL);
    open_store(f);
    c = owned(f);
    assert_int_equal(put_x(f, "blob"), 0);
    say(f, "CONFIG SET maxmemory 1", "+OK");
    assert_int_equal(put_x(f, "more"), -EAGAIN);
    assert_true(errors(STORE_REASON_OOM) > before);
    c.ops = ops + 1, c.n_ops = 1;
    assert_int_equal(commit(&f->loop, f->store, &c), -EAGAIN);
    assert_int_equal(meta(&f->loop, f->store, 1).seq, 0);
    c.ops = ops, c.n_ops = 2; /* begins with what needs no memory: all of it or nothing */
    r = commit(&f->loop, f->store, &c);
    say(f, "CONFIG SET maxmemory 0", "+OK");
    assert_int_equal(meta(&f->loop, f->store, 1).seq, r == 0 ? 1 : 0);
    say(f, "EXISTS h", r == 0 ? ":1" : ":0");
    assert_int_equal(commit(&f->loop, f->store, &c), 0);
    assert_int_equal(meta(&f->loop, f->store, 1).seq, 1);
}

static void a_replica_refuses_until_it_is_promoted(void **state)
{
    struct fixture *f = *state;
    const char *extra[] = {"--replicaof", "127.0.0.1 1", NULL};
    int64_t before = errors(STORE_REASON_READONLY);

    start_server(f, extra);
    open_store(f);
    assert_int_equal(put_x(f, "k"), -EAGAIN);
    assert_true(errors(STORE_REASON_READONLY) > before);
    say(f, "REPLICAOF NO ONE", "+OK");
    wait_ready(f);
    assert_int_equal(put_x(f, "k"), 0);
    owned(f);
}

static void a_server_without_its_replicas_refuses(void **state)
{
    struct fixture *f = *state;
    struct store_op op = hset("h");
    int64_t before = errors(STORE_REASON_NOREPLICAS);
    struct store_commit c;

    start_server(f, NULL);
    open_store(f);
    c = owned(f);
    c.ops = &op, c.n_ops = 1;
    say(f, "CONFIG SET min-replicas-to-write 1", "+OK");
    assert_int_equal(commit(&f->loop, f->store, &c), -EAGAIN);
    assert_int_equal(put_x(f, "k"), -EAGAIN);
    assert_true(errors(STORE_REASON_NOREPLICAS) >= before + 2);
    say(f, "CONFIG SET min-replicas-to-write 0", "+OK");
    assert_int_equal(commit(&f->loop, f->store, &c), 0);
}

static void a_server_that_loads_its_data_is_waited_for(void **state)
{
    struct fixture *f = *state;
    const char *extra[] = {"--key-load-delay", "1000", "--loading-process-events-interval-bytes",
                           "1024", NULL};
    int64_t before = errors(STORE_REASON_LOADING);

    start_server(f, NULL);
    say(f, "EVAL \"for i=1,2000 do redis.call('SET','k'..i,i) end\" 0", "$-1");
    say(f, "SAVE", "+OK");
    redis_kill(&f->server);
    start_server(f, extra);
    open_store(f);
    assert_int_equal(put_x(f, "new"), -EAGAIN);
    assert_int_equal(errors(STORE_REASON_LOADING) > before, 1);
    wait_ready(f);
    assert_int_equal(put_x(f, "new"), 0);
    assert_true(exists(&f->loop, f->store, BYTES_LIT("k2000")));
}

/* ---- scripts ----------------------------------------------------------------------------------
 */

static void a_server_that_forgot_its_scripts_commits_all_the_same(void **state)
{
    struct fixture *f = *state;
    struct store_commit c;

    start_server(f, NULL);
    open_store(f);
    c = owned(f);
    for (int i = 0; i < 3; i++) {
        say(f, "SCRIPT FLUSH", "+OK");
        assert_int_equal(commit(&f->loop, f->store, &c), 0);
        c.prev_seq = c.seq++;
    }
}

/* Redis rolls nothing back: what would fail in the middle is found before the first write. */
static void an_op_on_a_key_of_another_type_stops_the_whole_commit(void **state)
{
    struct fixture *f = *state;
    struct store_op ops[] = {hset("h"), hset("text"), hset("h2")};
    struct store_op del = {STORE_OP_HDEL, BYTES_LIT("text"), BYTES_LIT("f"), BYTES_LIT(""), 0};
    struct store_commit c;

    start_server(f, NULL);
    open_store(f);
    c = owned(f);
    assert_int_equal(put_x(f, "text"), 0);
    c.ops = ops, c.n_ops = 3;
    assert_int_equal(commit(&f->loop, f->store, &c), -EBADMSG);
    ops[1] = del;
    assert_int_equal(commit(&f->loop, f->store, &c), -EBADMSG);
    say(f, "EXISTS h h2", ":0");
    assert_int_equal(meta(&f->loop, f->store, 1).seq, 0);
}

static void reading_a_key_of_another_type_is_an_error(void **state)
{
    struct fixture *f = *state;
    struct answer *a;

    start_server(f, NULL);
    open_store(f);
    assert_int_equal(put_x(f, "text"), 0);
    a = hash(&f->loop, f->store, BYTES_LIT("text"));
    assert_int_equal(a->r, -EBADMSG);
    answer_free(a);
    assert_true(exists(&f->loop, f->store, BYTES_LIT("text"))); /* the connection goes on */
}

/* ---- servers that talk nonsense ---------------------------------------------------------------
 */

struct liar {
    int listener;
    const char *answer;
    uv_thread_t thread;
};

/* Greets as a server does, then answers everything with the same bytes and hangs up. */
static void lie(void *arg)
{
    struct liar *l = arg;
    char in[4096];
    int fd = accept4(l->listener, NULL, NULL, SOCK_CLOEXEC);

    if (read(fd, in, sizeof in) > 0 && write(fd, "+PONG\r\n", 7) == 7 &&
        read(fd, in, sizeof in) > 0)
        (void)!write(fd, l->answer, strlen(l->answer));
    shutdown(fd, SHUT_WR);
    while (read(fd, in, sizeof in) > 0)
        ;
    close(fd);
}

static void answers_that_make_no_sense_end_each_call_with_an_error(void **state)
{
    struct fixture *f = *state;
    static const char *const answers[] = {
        "nonsense\r\n",
        ":1\r\n",
        "+OK\r\n",
        "*1\r\n:1\r\n",
        "$99999999999999999999\r\n",
        "$5\r\nab",
        "-\r\n",
        "-ERR Error running script (call to f_0): @user_script:1: -OOM x\r\n",
        "*-5\r\n",
        "$-7\r\n",
        "",
        "-MOVED 1 10.0.0.1:7000\r\n",
    };

    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        struct bytes key = BYTES_LIT("k");
        struct answer *a = answer_new(), *b = answer_new();
        struct liar l = {.answer = answers[i]};
        char url[128];

        listen_at(f, url);
        l.listener = f->listener;
        assert_int_equal(uv_thread_create(&l.thread, lie, &l), 0);
        open_store_at(f, url, 2000, 2000);
        store_hash(f->store, BYTES_LIT("h"), on_answer, a);
        store_get(f->store, &key, 1, on_answer, b);
        if (wait_for(&f->loop, a)->r >= 0)
            fail_msg("accepted: %s", answers[i]);
        assert_true(wait_for(&f->loop, b)->r < 0);
        close_store(&f->loop, f->store);
        f->store = NULL;
        uv_thread_join(&l.thread);
        close(f->listener);
        f->listener = -1;
        answer_free(a);
        answer_free(b);
    }
}

/* ---- bounds -----------------------------------------------------------------------------------
 */

/* Nobody answers, so everything waits: beyond 512 MiB calls are refused instead of kept. */
static void what_waits_is_bounded(void **state)
{
    struct fixture *f = *state;
    enum { SIZE = 8 << 20, N = 70 };
    uint8_t *value = calloc(1, SIZE);
    struct answer *all[N];
    int refused = 0;
    char url[128];

    listen_at(f, url);
    open_store_at(f, url, 1000, 1000);
    for (int i = 0; i < N; i++) {
        struct store_put p = {BYTES_LIT("k"), bytes_of(value, SIZE), 1000};

        all[i] = answer_new();
        store_put(f->store, &p, 1, on_answer, all[i]);
    }
    for (int i = 0; i < N; i++) {
        int r = wait_for(&f->loop, all[i])->r;

        refused += r == -ENOBUFS;
        assert_true(r == -ENOBUFS || r == -ETIMEDOUT);
        answer_free(all[i]);
    }
    assert_true(refused >= 4 && refused <= 8);
    assert_int_equal(metric_get(&store_metrics[STORE_M_IN_FLIGHT], 0), 0);
    free(value);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_refused_connection_is_reported_at_once_and_made_when_the_server_comes),
        TEST(an_absent_unix_socket_is_reported_at_once),
        TEST(a_name_that_does_not_exist_is_reported),
        TEST(a_store_may_be_closed_while_it_looks_up_or_connects),
        TEST(a_server_killed_in_mid_pipeline_fails_each_call_once_and_is_found_again),
        TEST(an_idle_connection_that_ends_is_noticed),
        TEST(a_server_that_accepts_and_never_answers_times_out),
        TEST(a_server_that_stops_answering_times_out_and_is_found_again),
        TEST(a_busy_loop_is_no_silent_server),
        TEST(a_wrong_password_is_said_clearly_and_never_shown),
        TEST(a_missing_password_is_an_error_of_its_own),
        TEST(a_database_out_of_range_writes_nothing_anywhere),
        TEST(a_server_without_memory_refuses_the_whole_commit),
        TEST(a_replica_refuses_until_it_is_promoted),
        TEST(a_server_without_its_replicas_refuses),
        TEST(a_server_that_loads_its_data_is_waited_for),
        TEST(a_server_that_forgot_its_scripts_commits_all_the_same),
        TEST(an_op_on_a_key_of_another_type_stops_the_whole_commit),
        TEST(reading_a_key_of_another_type_is_an_error),
        TEST(answers_that_make_no_sense_end_each_call_with_an_error),
        TEST(what_waits_is_bounded),
    };

    redis_require();
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
