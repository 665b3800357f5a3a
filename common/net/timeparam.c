/*
 * The form is chosen by the first bytes. Years 1677 … 2262 fit into 64-bit nanoseconds; whatever
 * does not fit is -EINVAL, never wrapped.
 */
#include "net/timeparam.h"

#include "base/clock.h"
#include "base/options.h"

#include <errno.h>
#include <stdlib.h>

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static int scale_by_size(int64_t v, int64_t *ret_ns)
{
    int64_t unit = v < INT64_C(100000000000)         ? NS_PER_S
                   : v < INT64_C(100000000000000)    ? NS_PER_MS
                   : v < INT64_C(100000000000000000) ? 1000
                                                     : 1;

    return __builtin_mul_overflow(v, unit, ret_ns) ? -EINVAL : 0;
}

/* Whole numbers, and seconds with a fraction ("1795487616.25"), as some scripts have them. */
static int parse_number(struct bytes s, int64_t *ret_ns)
{
    int64_t whole = 0, fraction = 0, unit = NS_PER_S;
    size_t i = 0;

    for (; i < s.len && is_digit(s.data[i]); i++)
        if (__builtin_mul_overflow(whole, 10, &whole) ||
            __builtin_add_overflow(whole, s.data[i] - '0', &whole))
            return -EINVAL;
    if (i == s.len)
        return scale_by_size(whole, ret_ns);
    if (s.data[i++] != '.' || i == s.len || whole >= INT64_C(9000000000))
        return -EINVAL;
    for (; i < s.len && is_digit(s.data[i]); i++) {
        unit /= 10;
        fraction += (s.data[i] - '0') * unit;
    }
    if (i < s.len)
        return -EINVAL;
    *ret_ns = whole * NS_PER_S + fraction;
    return 0;
}

static int parse_now(struct bytes s, int64_t now_ns, int64_t *ret_ns)
{
    char text[32];
    int64_t ms;

    if (s.len == 3) {
        *ret_ns = now_ns;
        return 0;
    }
    if (s.len < 5 || s.len - 4 >= sizeof text || !is_digit(s.data[4]))
        return -EINVAL;
    memcpy(text, s.data + 4, s.len - 4);
    text[s.len - 4] = '\0';
    if (option_parse_duration(text, &ms) || ms > INT64_MAX / NS_PER_MS)
        return -EINVAL;
    /* In a query string an unescaped '+' arrives as a space. */
    if (s.data[3] == '-')
        return __builtin_sub_overflow(now_ns, ms * NS_PER_MS, ret_ns) ? -EINVAL : 0;
    if (s.data[3] == '+' || s.data[3] == ' ')
        return __builtin_add_overflow(now_ns, ms * NS_PER_MS, ret_ns) ? -EINVAL : 0;
    return -EINVAL;
}

/* n digits at *at, in lo … hi; -1 otherwise. */
static int take_digits(struct bytes s, size_t *at, size_t n, int lo, int hi)
{
    int v = 0;

    if (*at + n > s.len)
        return -1;
    for (size_t i = 0; i < n; i++) {
        if (!is_digit(s.data[*at + i]))
            return -1;
        v = v * 10 + s.data[*at + i] - '0';
    }
    *at += n;
    return v >= lo && v <= hi ? v : -1;
}

static bool take_char(struct bytes s, size_t *at, const char *any)
{
    if (*at >= s.len || !strchr(any, s.data[*at]) || s.data[*at] == '\0')
        return false;
    ++*at;
    return true;
}

/* Days since 1970-01-01 of the proleptic Gregorian calendar (years begin in March). */
static int64_t days_of(int64_t y, int m, int d)
{
    y -= m <= 2;
    return y * 365 + y / 4 - y / 100 + y / 400 + (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1 -
           719468;
}

static int month_days(int y, int m)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;

    return days[m - 1] + (m == 2 && leap);
}

static int take_fraction(struct bytes s, size_t *at, int64_t *ret_ns)
{
    int64_t unit = NS_PER_S, ns = 0;
    size_t first = *at + 1;

    *ret_ns = 0;
    if (!take_char(s, at, ".,"))
        return 0;
    for (; *at < s.len && is_digit(s.data[*at]); ++*at) {
        unit /= 10;
        ns += (s.data[*at] - '0') * unit;
    }
    *ret_ns = ns;
    return *at > first ? 0 : -EINVAL;
}

static int take_offset(struct bytes s, size_t *at, int *ret_s)
{
    bool west = *at < s.len && s.data[*at] == '-';
    int h, m;

    *ret_s = 0;
    if (take_char(s, at, "Zz"))
        return 0;
    /* '+' may have become a space on its way through a query string. */
    if (!take_char(s, at, "+- "))
        return -EINVAL;
    h = take_digits(s, at, 2, 0, 23);
    if (h < 0 || !take_char(s, at, ":"))
        return -EINVAL;
    m = take_digits(s, at, 2, 0, 59);
    *ret_s = (h * 60 + m) * 60 * (west ? -1 : 1);
    return m < 0 ? -EINVAL : 0;
}

static int parse_rfc3339(struct bytes s, int64_t *ret_ns)
{
    int y, mo, d, h, mi, sec, offset;
    int64_t fraction, seconds;
    size_t at = 0;

    if ((y = take_digits(s, &at, 4, 1678, 2261)) < 0 || !take_char(s, &at, "-") ||
        (mo = take_digits(s, &at, 2, 1, 12)) < 0 || !take_char(s, &at, "-") ||
        (d = take_digits(s, &at, 2, 1, month_days(y, mo))) < 0 || !take_char(s, &at, "Tt ") ||
        (h = take_digits(s, &at, 2, 0, 23)) < 0 || !take_char(s, &at, ":") ||
        (mi = take_digits(s, &at, 2, 0, 59)) < 0 || !take_char(s, &at, ":") ||
        (sec = take_digits(s, &at, 2, 0, 60)) < 0 || take_fraction(s, &at, &fraction) ||
        take_offset(s, &at, &offset) || at != s.len)
        return -EINVAL;
    seconds = days_of(y, mo, d) * 86400 + h * 3600 + mi * 60 + sec - offset;
    *ret_ns = seconds * NS_PER_S + fraction;
    return 0;
}

int time_param(struct bytes s, int64_t now_ns, int64_t *ret_ns)
{
    if (bytes_starts(s, BYTES_LIT("now")))
        return parse_now(s, now_ns, ret_ns);
    if (s.len == 0 || !is_digit(s.data[0]))
        return -EINVAL;
    return s.len > 4 && s.data[4] == '-' ? parse_rfc3339(s, ret_ns) : parse_number(s, ret_ns);
}
