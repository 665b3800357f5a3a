#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#undef fail /* cmocka's: ours is tested here */

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void a_trace_passes_every_code_untouched(void **state)
{
    (void)state;
    assert_int_equal(err_trace(0), 0);
    assert_int_equal(err_trace(-ENOENT), -ENOENT);
    assert_int_equal(err_trace(-100000), -100000);
    assert_int_equal(err_trace(3), 3);
}

static void a_failure_has_status_code_message_and_hint(void **state)
{
    struct failure f;

    (void)state;
    assert_int_equal(fail(&f, 413, "body_too_large", "body_max", "%d bytes above %d", 9, 8),
                     FAILURE);
    assert_int_equal(f.status, 413);
    assert_string_equal(f.code, "body_too_large");
    assert_string_equal(f.message, "9 bytes above 8");
    assert_string_equal(f.hint, "body_max");
    fail(&f, 400, "bad", NULL, "x");
    assert_string_equal(f.hint, "");
}

static void a_failure_cuts_what_is_too_long(void **state)
{
    char text[1000];
    struct failure f;

    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    fail(&f, 400, text, text, "%s", text);
    assert_int_equal(strlen(f.message), sizeof f.message - 1);
    assert_int_equal(strlen(f.code), sizeof f.code - 1);
    assert_int_equal(strlen(f.hint), sizeof f.hint - 1);
}

static void a_failed_check_aborts_and_says_where(void **state)
{
    char text[200] = "";
    int fds[2], status;
    pid_t pid;

    (void)state;
    assert_int_equal(pipe(fds), 0);
    pid = fork();
    if (pid == 0) {
        dup2(fds[1], STDERR_FILENO);
        CHECK(1 + 1 == 3);
        _exit(0);
    }
    close(fds[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(read(fds[0], text, sizeof text - 1) > 0);
    assert_non_null(strstr(text, "test_err.c:"));
    assert_non_null(strstr(text, "CHECK(1 + 1 == 3) failed"));
    assert_true(WIFSIGNALED(status));
    close(fds[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_trace_passes_every_code_untouched),
        cmocka_unit_test(a_failure_has_status_code_message_and_hint),
        cmocka_unit_test(a_failure_cuts_what_is_too_long),
        cmocka_unit_test(a_failed_check_aborts_and_says_where),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
