#include "collector/socket.h"

#include "lib/http_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>

#include <cmocka.h>

static void set_flag(void *ctx)
{
    *(bool *)ctx = true;
}

struct fixture {
    uv_loop_t loop;
    struct http_server *http;
    char dir[64], path[80];
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    strcpy(f->dir, "/tmp/hearth-test-socket-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof f->path, "%s/apm.socket", f->dir);
    uv_loop_init(&f->loop);
    f->http = http_server_new(&f->loop, &http_limits_default);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    bool closed = false;

    http_server_close(f->http, 0, set_flag, &closed);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_true(closed);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    unlink(f->path);
    assert_int_equal(rmdir(f->dir), 0);
    free(f);
    return 0;
}

static void a_path_is_listened_on_by_everybody(void **state)
{
    struct fixture *f = *state;
    struct failure failure;
    struct stat st;
    int fd;

    assert_int_equal(collector_listen_socket(f->http, f->path, &failure), 0);
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0666);
    fd = http_connect_unix(f->path);
    assert_true(fd >= 0);
    close(fd);
}

static void its_mode_is_what_the_setting_says(void **state)
{
    struct fixture *f = *state;
    struct failure failure;
    struct stat st;
    mode_t mode;

    assert_int_equal(collector_socket_mode("0660", &mode, &failure), 0);
    http_unix_mode(f->http, mode);
    assert_int_equal(collector_listen_socket(f->http, f->path, &failure), 0);
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0660);
}

static void what_is_no_mode_is_refused(void **state)
{
    static const char *const wrong[] = {"", "rw", "0888", "01777", "-1", "660 ", " 660"};
    struct failure failure;
    mode_t mode;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(collector_socket_mode(wrong[i], &mode, &failure), FAILURE);
        assert_string_equal(failure.hint, "setting: socket_mode");
    }
}

static void a_missing_directory_is_called_that(void **state)
{
    struct fixture *f = *state;
    struct failure failure;

    assert_int_equal(collector_listen_socket(f->http, "/nowhere-hearth/apm.socket", &failure),
                     FAILURE);
    assert_non_null(strstr(failure.message, "the directory /nowhere-hearth does not exist"));
}

static void off_and_empty_mean_none(void **state)
{
    struct fixture *f = *state;
    struct failure failure;

    assert_int_equal(collector_listen_socket(f->http, "off", &failure), 0);
    assert_int_equal(collector_listen_socket(f->http, "", &failure), 0);
    assert_int_equal(collector_listen_socket(f->http, NULL, &failure), 0);
}

static void a_real_agent_s_socket_is_never_taken_over(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    int agent = socket(AF_UNIX, SOCK_STREAM, 0);
    struct failure failure;

    strcpy(sun.sun_path, f->path);
    assert_int_equal(bind(agent, (struct sockaddr *)&sun, sizeof sun), 0);
    assert_int_equal(listen(agent, 1), 0);
    assert_int_equal(collector_listen_socket(f->http, f->path, &failure), FAILURE);
    assert_non_null(strstr(failure.message, f->path));
    assert_string_equal(failure.hint, "setting: socket");
    close(agent);
}

static void what_is_no_socket_is_left_alone(void **state)
{
    struct fixture *f = *state;
    FILE *file = fopen(f->path, "we");
    struct failure failure;

    fputs("precious", file);
    fclose(file);
    assert_int_equal(collector_listen_socket(f->http, f->path, &failure), FAILURE);
    assert_int_equal(access(f->path, F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_path_is_listened_on_by_everybody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(its_mode_is_what_the_setting_says, set_up, tear_down),
        cmocka_unit_test(what_is_no_mode_is_refused),
        cmocka_unit_test_setup_teardown(a_missing_directory_is_called_that, set_up, tear_down),
        cmocka_unit_test_setup_teardown(off_and_empty_mean_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_real_agent_s_socket_is_never_taken_over, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_socket_is_left_alone, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
