#include "base/xalloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void nothing_is_still_something(void **state)
{
    void *p = xmalloc(0), *q = xcalloc(0, 8);

    (void)state;
    p = xrealloc(p, 0);
    assert_non_null(p);
    assert_non_null(q);
    free(p);
    free(q);
}

static void growing_doubles_and_keeps_what_was_there(void **state)
{
    int *v = NULL;
    size_t cap = 0, moves = 0;

    (void)state;
    for (size_t i = 0; i < 10000; i++) {
        size_t before = cap;

        XGROW(v, cap, i + 1);
        moves += cap != before;
        v[i] = (int)i;
    }
    assert_int_equal(v[9999], 9999);
    assert_true(moves < 14);
    XGROW(v, cap, 1);
    assert_true(cap >= 10000);
    free(v);
}

static void strings_are_copied(void **state)
{
    char *a = xstrdup("abc"), *b = xstrndup("abcdef", 3), *c = xasprintf("%s%d", "ab", 1);

    (void)state;
    assert_string_equal(a, b);
    assert_string_equal(c, "ab1");
    free(a);
    free(b);
    free(c);
}

static void a_product_that_overflows_aborts_instead_of_wrapping(void **state)
{
    pid_t pid = fork();
    int status;

    (void)state;
    if (pid == 0) {
        close(STDERR_FILENO);
        free(xreallocarray(NULL, (size_t)-1 / 2, 3));
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
}

static void tuning_may_be_repeated(void **state)
{
    (void)state;
    xalloc_tune(0);
    xalloc_tune(2);
    free(xmalloc(1 << 20));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_still_something),
        cmocka_unit_test(growing_doubles_and_keeps_what_was_there),
        cmocka_unit_test(strings_are_copied),
        cmocka_unit_test(a_product_that_overflows_aborts_instead_of_wrapping),
        cmocka_unit_test(tuning_may_be_repeated),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
