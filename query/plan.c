#include "query/plan.h"

#include "base/clock.h"
#include "base/xalloc.h"

#include <stdlib.h>

static int64_t floor_to(int64_t v, int64_t step)
{
    int64_t rest = v % step;

    if (rest < 0)
        rest += step;
    return v < INT64_MIN + rest ? INT64_MIN : v - rest;
}

struct range range_widen(struct range r, uint32_t res_s)
{
    int64_t step = (int64_t)res_s * NS_PER_S;
    int64_t last = floor_to(r.until_ns - 1, step);

    return (struct range){floor_to(r.from_ns, step),
                          last > INT64_MAX - step ? INT64_MAX : last + step};
}

static bool parse_seconds(struct bytes in, int64_t *ret)
{
    int64_t v = 0;
    bool negative = in.len > 0 && in.data[0] == '-';

    if (in.len == (size_t)negative || in.len > 18)
        return false;
    for (size_t i = negative; i < in.len; i++) {
        if (in.data[i] < '0' || in.data[i] > '9')
            return false;
        v = v * 10 + (in.data[i] - '0');
    }
    *ret = negative ? -v : v;
    return true;
}

/* Windows are aligned, so one lies in the widened range when its start does. */
static bool in_range(int64_t t_s, struct range wide)
{
    int64_t t_ns;

    if (__builtin_mul_overflow(t_s, NS_PER_S, &t_ns))
        return false;
    return t_ns >= wide.from_ns && t_ns < wide.until_ns;
}

static int by_time(const void *a, const void *b)
{
    const struct window *x = a, *y = b;

    return x->t_s < y->t_s ? -1 : x->t_s > y->t_s;
}

size_t plan_windows(const struct bytes *fields, const struct bytes *values, size_t n,
                    struct range r, uint32_t res_s, int64_t now_ms, struct window **windows,
                    size_t *cap, size_t *len, size_t *ret_bad)
{
    struct range wide = range_widen(r, res_s);
    size_t begin = *len;

    for (size_t i = 0; i < n; i++) {
        struct window w;

        if (!parse_seconds(fields[i], &w.t_s) || index_entry_read(&w.version, values[i]) != 0) {
            ++*ret_bad;
            continue;
        }
        if (!in_range(w.t_s, wide) || w.version.expires_ms <= now_ms)
            continue;
        XGROW(*windows, *cap, *len + 1);
        (*windows)[(*len)++] = w;
    }
    if (*len > begin)
        qsort(*windows + begin, *len - begin, sizeof **windows, by_time);
    return *len - begin;
}
