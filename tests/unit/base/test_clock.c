#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include <time.h>

static void wall_time_is_unix_time(void **state)
{
    int64_t now_s = (int64_t)time(NULL);

    (void)state;
    assert_in_range(clock_wall_ms() / MS_PER_S, now_s - 1, now_s + 1);
    assert_in_range(clock_wall_ns() / NS_PER_S, now_s - 1, now_s + 1);
}

static void intervals_never_run_backwards(void **state)
{
    int64_t last = clock_mono_ms();

    (void)state;
    for (int i = 0; i < 10000; i++) {
        int64_t now = clock_mono_ms();

        assert_true(now >= last);
        last = now;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wall_time_is_unix_time),
        cmocka_unit_test(intervals_never_run_backwards),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
