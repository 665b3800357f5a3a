/* Both ends are chosen first, then judged, so that every way of giving them meets the same rules.
 */
#include "collector/interval.h"

#include "base/clock.h"

#include <stdio.h>
#include <time.h>

static void put_time(char out[40], int64_t ns)
{
    time_t s = (time_t)(ns / NS_PER_S);
    struct tm tm;

    if (!gmtime_r(&s, &tm) || strftime(out, 40, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        snprintf(out, 40, "%lld", (long long)s);
}

static int choose(const struct interval_rules *r, int64_t time_ns, int64_t duration_ns,
                  int64_t *start, int64_t *end)
{
    if (r->from.given && r->until.given) {
        *start = r->from.ns;
        *end = r->until.ns;
        return 0;
    }
    if (r->from.given || (!r->until.given && time_ns > 0)) {
        *start = r->from.given ? r->from.ns : time_ns;
        return __builtin_add_overflow(*start, duration_ns, end);
    }
    *end = r->until.given ? r->until.ns : r->now_ns;
    return __builtin_sub_overflow(*end, duration_ns, start);
}

static bool is_future(const struct interval_rules *r, int64_t end)
{
    int64_t limit;

    if (__builtin_mul_overflow(r->future_max_ms, NS_PER_MS, &limit) ||
        __builtin_add_overflow(r->now_ns, limit, &limit))
        return false;
    return end > limit;
}

int interval_of(const struct interval_rules *r, int64_t time_ns, int64_t duration_ns,
                int64_t *ret_start_ns, int64_t *ret_end_ns, struct failure *f)
{
    int64_t start, end;
    char a[40], b[40];

    if (choose(r, time_ns, duration_ns > 0 ? duration_ns : 0, &start, &end))
        return fail(f, 400, "bad_time", NULL, "the profile's duration of %lld ns is impossible",
                    (long long)duration_ns);
    put_time(a, start);
    put_time(b, end);
    /* The record's rule (wire/record.h), met here: what it refuses would be lost behind a 200. */
    if (start < 0)
        return fail(f, 400, "bad_time", NULL,
                    "the profile begins at %s, before 1970; its duration is %lld ns", a,
                    (long long)duration_ns);
    if (end < start)
        return fail(f, 400, "bad_time", NULL, "the profile ends (%s) before it begins (%s)", b, a);
    if (is_future(r, end))
        return fail(f, 400, "future_profile", "is a clock wrong? setting: future_max",
                    "the profile ends at %s, more than %lld ms from now", b,
                    (long long)r->future_max_ms);
    *ret_start_ns = start;
    *ret_end_ns = end;
    return 0;
}

#define LATE_NS (24 * INT64_C(3600) * NS_PER_S)

bool interval_warning(int64_t end_ns, int64_t now_ns, const char *remedy,
                      char out[INTERVAL_WARNING_MAX])
{
    time_t s = (time_t)(end_ns / NS_PER_S);
    char when[32];
    struct tm tm;

    if (end_ns <= 0 || now_ns - end_ns < LATE_NS || !gmtime_r(&s, &tm))
        return false;
    strftime(when, sizeof when, "%Y-%m-%d %H:%M", &tm);
    snprintf(out, INTERVAL_WARNING_MAX,
             "it was recorded at %s UTC; what is older than late_max (default 24h) is not counted. "
             "%s gives it today's time",
             when, remedy);
    return true;
}
