/* clock_gettime(2) through the vDSO: some 20 ns a call, so nothing here caches. */
#include "base/clock.h"

#include <time.h>

static int64_t read_ns(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return t.tv_sec * NS_PER_S + t.tv_nsec;
}

int64_t clock_wall_ns(void)
{
    return read_ns(CLOCK_REALTIME);
}

int64_t clock_wall_ms(void)
{
    return clock_wall_ns() / NS_PER_MS;
}

int64_t clock_mono_ms(void)
{
    return read_ns(CLOCK_MONOTONIC) / NS_PER_MS;
}
