/* The daemon as its users meet it: a process with arguments, environment, signals and an admin
 * port. */
#include "base/clock.h"
#include "base/metrics.h"
#include "net/daemon.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { DEADLINE_MS = 20000 };

/* --- the program under test, run in a child process --- */

#define TINY_OPTIONS(X)                                                                            \
    X(STRING, admin, "off", 0, 0, NULL, "address of the admin listener")                           \
    X(INT, guests, "4", 1, 12, NULL, "people at the table")                                        \
    X(STRING, wait_for, NULL, 0, 0, NULL, "not ready because of this")                             \
    X(BOOL, hang, "false", 0, 0, NULL, "never finish to drain")
struct tiny {
    TINY_OPTIONS(OPTION_FIELD)
    struct daemon *daemon;
};
#define TINY_ROW(...) OPTION_ROW(struct tiny, __VA_ARGS__)
static const struct option_row tiny_rows[] = {TINY_OPTIONS(TINY_ROW){0}};
static struct metric tiny_metrics[] = {METRIC_COUNTER("tiny_things_total", "things done")};

static void say(const char *what)
{
    puts(what);
    fflush(stdout);
}

static void on_stop(void *ctx)
{
    struct tiny *t = ctx;

    say("on_stop");
    if (!t->hang)
        daemon_exit(t->daemon, 0);
}

static bool is_ready(void *ctx, struct buf *why)
{
    struct tiny *t = ctx;

    if (t->wait_for)
        buf_printf(why, "waiting for %s", t->wait_for);
    return !t->wait_for;
}

static int run(struct tiny *t, const struct daemon_options *d)
{
    struct failure f;
    uv_loop_t loop;
    int status = 1;

    uv_loop_init(&loop);
    t->daemon = daemon_new(&loop, "tiny", d, on_stop, t);
    if (daemon_admin(t->daemon, t->admin, is_ready, t, &f) == 0) {
        say("running");
        status = daemon_run(t->daemon);
    } else {
        fprintf(stderr, "%s: %s (%s)\n", f.code, f.message, f.hint);
    }
    daemon_free(t->daemon);
    if (uv_loop_close(&loop) != 0)
        say("a handle is still open");
    return status;
}

static int tiny_main(int argc, char **argv)
{
    struct options *o = options_new();
    struct daemon_options d;
    struct tiny t;
    int status;

    metrics_register(tiny_metrics, 1);
    options_bind(o, tiny_rows, &t, "Tiny");
    if (!daemon_options_load(o, &d, "tiny", &argc, argv, &status))
        status = run(&t, &d);
    options_free(o);
    return status;
}

/* --- starting, watching and ending it --- */

struct process {
    pid_t pid;
    int out, err;
    char out_text[65536], err_text[65536];
    int status;
};

static void start(struct process *p, char **argv, const char *variable)
{
    int out[2], err[2];

    memset(p, 0, sizeof *p);
    assert_int_equal(pipe(out) + pipe(err), 0);
    fflush(NULL);
    p->pid = fork();
    if (p->pid == 0) {
        int argc = 0;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        clearenv(); /* what HEARTH_* the tester has set is no part of the test */
        dup2(out[1], STDOUT_FILENO);
        dup2(err[1], STDERR_FILENO);
        for (int i = 0; i < 2; i++) {
            close(out[i]);
            close(err[i]);
        }
        if (variable)
            putenv((char *)variable);
        while (argv[argc])
            argc++;
        exit(tiny_main(argc, argv));
    }
    close(out[1]);
    close(err[1]);
    p->out = out[0];
    p->err = err[0];
}

#define START(p, variable, ...)                                                                    \
    start((p), (char *[]){(char *)"tiny", __VA_ARGS__, NULL}, (variable))

static void read_rest(int fd, char *text, size_t size)
{
    size_t len = strlen(text);
    ssize_t n;

    while ((n = read(fd, text + len, size - 1 - len)) > 0)
        len += (size_t)n;
    text[len] = '\0';
    close(fd);
}

static int finish(struct process *p)
{
    read_rest(p->out, p->out_text, sizeof p->out_text);
    read_rest(p->err, p->err_text, sizeof p->err_text);
    assert_int_equal(waitpid(p->pid, &p->status, 0), p->pid);
    assert_true(WIFEXITED(p->status));
    return WEXITSTATUS(p->status);
}

/* Until the text appears on stdout or stderr. */
static void await(int fd, char *text, size_t size, const char *wanted)
{
    size_t len = strlen(text);

    while (!strstr(text, wanted)) {
        ssize_t n = read(fd, text + len, size - 1 - len);

        if (n <= 0)
            fail_msg("'%s' never came; but: %s", wanted, text);
        len += (size_t)n;
        text[len] = '\0';
    }
}

#define AWAIT_OUT(p, wanted) await((p)->out, (p)->out_text, sizeof(p)->out_text, (wanted))
#define AWAIT_ERR(p, wanted) await((p)->err, (p)->err_text, sizeof(p)->err_text, (wanted))

static void socket_path(char *out, size_t size)
{
    snprintf(out, size, "/tmp/hearth-daemon-%d.sock", (int)getpid());
}

/* One request over the unix socket; the whole answer as text. */
static const char *get(const char *path)
{
    static char answer[1 << 20];
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct timeval timeout = {.tv_sec = DEADLINE_MS / MS_PER_S};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    char request[200];
    int len;

    socket_path(addr.sun_path, sizeof addr.sun_path);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    len = snprintf(request, sizeof request,
                   "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path);
    assert_int_equal(write(fd, request, (size_t)len), len);
    answer[0] = '\0';
    read_rest(fd, answer, sizeof answer);
    return answer;
}

static char *admin_flag(void)
{
    static char flag[100];
    char path[80];

    socket_path(path, sizeof path);
    snprintf(flag, sizeof flag, "--admin=unix:%s", path);
    return flag;
}

/* --- signals --- */

static void sigterm_stops_once_and_cleanly(void **state)
{
    struct process *p = *state;

    START(p, NULL, (char *)"--guests=5");
    AWAIT_OUT(p, "running");
    kill(p->pid, SIGTERM);
    assert_int_equal(finish(p), 0);
    assert_string_equal(p->out_text, "running\non_stop\n");
    assert_non_null(strstr(p->err_text, "event=stopping signal=TERM"));
    assert_non_null(strstr(p->err_text, "event=stopped status=0"));
}

static void a_second_signal_ends_it_at_once_with_130(void **state)
{
    struct process *p = *state;

    START(p, NULL, (char *)"--hang");
    AWAIT_OUT(p, "running");
    kill(p->pid, SIGINT);
    AWAIT_OUT(p, "on_stop");
    kill(p->pid, SIGTERM);
    assert_int_equal(finish(p), 130);
    assert_string_equal(p->out_text, "running\non_stop\n");
}

static void a_drain_that_takes_too_long_ends_with_1(void **state)
{
    struct process *p = *state;

    START(p, NULL, (char *)"--hang", (char *)"--drain-timeout=50ms");
    AWAIT_OUT(p, "running");
    kill(p->pid, SIGTERM);
    assert_int_equal(finish(p), 1);
    assert_non_null(strstr(p->err_text, "event=drain_timeout timeout_ms=50"));
}

static void sighup_and_sigpipe_do_not_end_it(void **state)
{
    struct process *p = *state;

    START(p, NULL, (char *)"--guests=5");
    AWAIT_OUT(p, "running");
    kill(p->pid, SIGPIPE);
    kill(p->pid, SIGHUP);
    AWAIT_ERR(p, "event=reload_ignored");
    kill(p->pid, SIGTERM);
    assert_int_equal(finish(p), 0);
}

/* --- the admin listener --- */

static void the_admin_listener_answers(void **state)
{
    struct process *p = *state;

    START(p, NULL, admin_flag());
    AWAIT_OUT(p, "running");
    assert_memory_equal(get("/healthz"), "HTTP/1.1 200", 12);
    assert_non_null(strstr(get("/healthz"), "\r\n\r\nok\n"));
    assert_memory_equal(get("/readyz"), "HTTP/1.1 200", 12);
    assert_non_null(strstr(get("/metrics"), "\ntiny_things_total 0\n"));
    assert_non_null(strstr(get("/metrics"), "text/plain; version=0.0.4"));
    assert_memory_equal(get("/nothing"), "HTTP/1.1 404", 12);
    kill(p->pid, SIGTERM);
    assert_int_equal(finish(p), 0);
    assert_string_equal(p->out_text, "running\non_stop\n");
}

static void readyz_says_why_not(void **state)
{
    struct process *p = *state;

    START(p, NULL, admin_flag(), (char *)"--wait-for=Godot", (char *)"--hang");
    AWAIT_OUT(p, "running");
    assert_memory_equal(get("/readyz"), "HTTP/1.1 503", 12);
    assert_non_null(strstr(get("/readyz"), "\r\n\r\nwaiting for Godot\n"));
    assert_memory_equal(get("/healthz"), "HTTP/1.1 200", 12);
    kill(p->pid, SIGTERM);
    AWAIT_OUT(p, "on_stop");
    assert_non_null(strstr(get("/readyz"), "\r\n\r\nstopping\n"));
    kill(p->pid, SIGTERM);
    finish(p);
}

static void an_address_that_is_none_fails_the_start_cleanly(void **state)
{
    struct process *p = *state;

    START(p, NULL, (char *)"--admin=nowhere");
    assert_int_equal(finish(p), 1);
    assert_non_null(strstr(p->err_text, "admin"));
    assert_string_equal(p->out_text, "");
}

/* --- options --- */

static void help_version_options_and_metrics_are_printed(void **state)
{
    static const struct {
        const char *flag, *expected;
    } cases[] = {
        {"--help", "Usage: tiny "},
        {"--help", "\nTiny\n  --admin <text>\n"},
        {"--version", "tiny " HEARTH_VERSION "\n"},
        {"--options", "\nProcess\n  --config <text>\n"},
        {"--options-markdown", "## tiny\n\n### Tiny\n\n| name |"},
        {"--metrics", "tiny_things_total (counter)\n    things done\n"},
    };
    struct process *p = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        START(p, NULL, (char *)cases[i].flag);
        assert_int_equal(finish(p), 0);
        assert_non_null(strstr(p->out_text, cases[i].expected));
        assert_string_equal(p->err_text, "");
    }
}

static void write_config(char *path, const char *text)
{
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void a_word_that_is_no_option_is_refused(void **state)
{
    struct process *p = *state;

    START(p, NULL, (char *)"--guests", (char *)"3", (char *)"somewhere");
    assert_int_equal(finish(p), 1);
    assert_string_equal(p->err_text, "tiny: 'somewhere': is no option: options begin with --\n");
}

static void check_config_lists_every_error_of_every_source(void **state)
{
    char path[] = "/tmp/hearth-daemon-XXXXXX", expected[200];
    struct process *p = *state;

    write_config(path, "guests: none\nguest: 1\nlog_level: loud\n");
    START(p, "HEARTH_DRAIN_TIMEOUT=soon", (char *)"--check-config", (char *)"--config", path,
          (char *)"--gusts=3");
    assert_int_equal(finish(p), 1);
    unlink(path);
    assert_string_equal(p->out_text, "");
    assert_non_null(
        strstr(p->err_text, "tiny: --gusts: unknown flag 'gusts': did you mean guests?\n"));
    assert_non_null(
        strstr(p->err_text, "tiny: HEARTH_DRAIN_TIMEOUT: drain_timeout: 'soon' is not"));
    snprintf(expected, sizeof expected, "tiny: %s:1:9: guests: 'none' is not", path);
    assert_non_null(strstr(p->err_text, expected));
    snprintf(expected, sizeof expected, "tiny: %s:2:1: unknown key 'guest'", path);
    assert_non_null(strstr(p->err_text, expected));
    snprintf(expected, sizeof expected, "tiny: %s:3:12: log_level: 'loud' is not one of", path);
    assert_non_null(strstr(p->err_text, expected));
}

static void check_config_of_a_good_one_says_ok(void **state)
{
    char path[] = "/tmp/hearth-daemon-XXXXXX";
    struct process *p = *state;

    write_config(path, "guests: 3\n");
    START(p, NULL, (char *)"--config", path, (char *)"--check-config");
    assert_int_equal(finish(p), 0);
    unlink(path);
    assert_string_equal(p->out_text, "ok\n");
    assert_string_equal(p->err_text, "");
}

static void the_file_may_be_named_by_the_environment(void **state)
{
    char path[] = "/tmp/hearth-daemon-XXXXXX", variable[100];
    struct process *p = *state;

    write_config(path, "guests: 13\n");
    snprintf(variable, sizeof variable, "HEARTH_CONFIG=%s", path);
    START(p, variable, (char *)"--check-config");
    assert_int_equal(finish(p), 1);
    unlink(path);
    assert_non_null(strstr(p->err_text, ":1:9: guests: '13' is out of bounds: 1 to 12\n"));
}

static void a_bad_option_keeps_it_from_starting(void **state)
{
    struct process *p = *state;

    START(p, NULL, (char *)"--guests=99");
    assert_int_equal(finish(p), 1);
    assert_string_equal(p->out_text, "");
    assert_string_equal(p->err_text, "tiny: --guests: guests: '99' is out of bounds: 1 to 12\n");
}

static void a_foreign_variable_is_quiet_and_an_unknown_one_is_logged(void **state)
{
    struct process *p = *state;

    START(p, "HEARTH_KAFKA_BROKERS=k:9092", (char *)"--check-config");
    assert_int_equal(finish(p), 0);
    assert_string_equal(p->err_text, "");
    START(p, "HEARTH_GUEST=5", (char *)"--log-format=json");
    AWAIT_OUT(p, "running");
    kill(p->pid, SIGTERM);
    assert_int_equal(finish(p), 0);
    assert_non_null(strstr(p->err_text, "\"event\":\"option_ignored\",\"reason\":\"'HEARTH_GUEST': "
                                        "this program has no such option: did you mean guests?\""));
}

static int set_up(void **state)
{
    *state = calloc(1, sizeof(struct process));
    return 0;
}

static int tear_down(void **state)
{
    char path[80];

    socket_path(path, sizeof path);
    unlink(path);
    free(*state);
    return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(sigterm_stops_once_and_cleanly),
        TEST(a_second_signal_ends_it_at_once_with_130),
        TEST(a_drain_that_takes_too_long_ends_with_1),
        TEST(sighup_and_sigpipe_do_not_end_it),
        TEST(the_admin_listener_answers),
        TEST(readyz_says_why_not),
        TEST(an_address_that_is_none_fails_the_start_cleanly),
        TEST(help_version_options_and_metrics_are_printed),
        TEST(a_word_that_is_no_option_is_refused),
        TEST(check_config_lists_every_error_of_every_source),
        TEST(check_config_of_a_good_one_says_ok),
        TEST(the_file_may_be_named_by_the_environment),
        TEST(a_bad_option_keeps_it_from_starting),
        TEST(a_foreign_variable_is_quiet_and_an_unknown_one_is_logged),
    };

    alarm(120); /* a child that hangs fails the test instead of stopping it */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
