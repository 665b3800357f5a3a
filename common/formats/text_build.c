/*
 * What the readers of text share. The limits are those of every format: what is new in the tables
 * since the upload began is held against them after each stack, so that no input makes more than
 * one stack too many.
 */
#include "formats/text_int.h"

#include "base/utf8.h"
#include "base/xalloc.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { STRING_BYTES_MAX = 65535, NUMBER_BYTES_MAX = 64 };

int text_malformed(struct text_reader *r, const char *what)
{
    return fail(r->rd->f, 400, "malformed", NULL, "not a valid %s profile: %s", r->format, what);
}

int text_limit(struct text_reader *r, const char *what, uint32_t max, const char *setting)
{
    char hint[64];

    snprintf(hint, sizeof hint, "the limit is %s", setting);
    return fail(r->rd->f, 400, "limit_exceeded", hint,
                "the profile has more %s than the %u allowed", what, max);
}

/* ---- names ------------------------------------------------------------------------------------
 */

uint32_t text_string(struct text_reader *r, struct bytes s)
{
    if (s.len > STRING_BYTES_MAX) {
        s = utf8_cut(s, STRING_BYTES_MAX);
        r->rd->stats->strings_cut++;
    }
    if (!utf8_valid(s)) {
        buf_reset(&r->text);
        utf8_repair(s, &r->text);
        s = utf8_cut(buf_bytes(&r->text), STRING_BYTES_MAX);
        r->rd->stats->utf8_repaired++;
    }
    return symbols_string(r->sym, s);
}

uint32_t text_frame(struct text_reader *r, struct bytes name, struct bytes file, int64_t start_line,
                    int64_t line)
{
    struct function fn = {.name = text_string(r, name), .start_line = start_line};
    struct frame frame = {.line_or_address = (uint64_t)line};

    fn.file = text_string(r, file);
    frame.function = symbols_function(r->sym, &fn);
    return symbols_frame(r->sym, &frame);
}

/* ---- stacks -----------------------------------------------------------------------------------
 */

int text_push(struct text_reader *r, uint32_t frame)
{
    if (r->n_frame >= r->rd->limits->depth_max)
        return text_limit(r, "frames in one stack", r->rd->limits->depth_max, "depth_max");
    if (r->n_frame == r->frame_cap)
        XGROW(r->frame, r->frame_cap, r->n_frame + 1);
    r->frame[r->n_frame++] = frame;
    return 0;
}

int text_check_tables(struct text_reader *r)
{
    const struct profile_limits *l = r->rd->limits;

    if (symbols_n_strings(r->sym) - r->strings_before > l->strings_max)
        return text_limit(r, "distinct names", l->strings_max, "strings_max");
    if (symbols_n_functions(r->sym) - r->functions_before > l->functions_max)
        return text_limit(r, "functions", l->functions_max, "functions_max");
    if (stacks_n_nodes(r->st) - r->nodes_before > l->nodes_max)
        return text_limit(r, "nodes in its call tree", l->nodes_max, "stack_nodes_max");
    return 0;
}

int text_stack(struct text_reader *r, bool root_first, uint32_t *ret)
{
    if (root_first)
        for (size_t i = 0, j = r->n_frame; i + 1 < j; i++) {
            uint32_t swap = r->frame[i];

            r->frame[i] = r->frame[--j];
            r->frame[j] = swap;
        }
    *ret = stacks_intern(r->st, r->frame, r->n_frame);
    r->n_frame = 0;
    return text_check_tables(r);
}

int text_count_sample(struct text_reader *r)
{
    r->rd->stats->samples++;
    if (++r->n_samples > r->rd->limits->samples_max)
        return text_limit(r, "samples", r->rd->limits->samples_max, "samples_max");
    return 0;
}

/* ---- types and rows ---------------------------------------------------------------------------
 */

static struct sample_type intern_type(struct text_reader *r, struct text_type t)
{
    return (struct sample_type){text_string(r, t.name), text_string(r, t.unit)};
}

void text_set_types(struct text_reader *r, const struct text_type *types, uint32_t n,
                    struct text_type period_type, int64_t period)
{
    struct sample_type ids[TEXT_VALUES];

    CHECK(n <= TEXT_VALUES);
    for (uint32_t i = 0; i < n; i++)
        ids[i] = intern_type(r, types[i]);
    /* A reader begins with an empty profile, and each emit empties it. */
    CHECK(profile_set_types(r->rd->into, ids, n) == 0);
    r->rd->into->period_type = intern_type(r, period_type);
    r->rd->into->period = period;
}

static bool is_one_of(struct bytes s, const char *const *words)
{
    for (; *words; words++)
        if (bytes_equal(s, bytes_str(*words)))
            return true;
    return false;
}

/* As Pyroscope has it: counts of CPU and wall samples become time by the rate they were taken at.
 */
int64_t text_set_counted_type(struct text_reader *r)
{
    static const char *const cpu[] = {"cpu", "itimer", "ctimer", NULL};
    static const char *const counts[] = {"", "samples", "sample", "count", NULL};
    enum { RATE_DEFAULT = 100 };
    const struct read_hints *h = &r->rd->hints;
    struct bytes name = is_one_of(h->sample_type, cpu) ? BYTES_LIT("cpu") : h->sample_type;
    bool timed = bytes_equal(name, BYTES_LIT("cpu")) || bytes_equal(name, BYTES_LIT("wall"));
    struct text_type type = {name.len ? name : BYTES_LIT("samples"),
                             h->unit.len ? h->unit : BYTES_LIT("count")};
    int64_t period = INT64_C(1000000000) / (h->sample_rate_hz ? h->sample_rate_hz : RATE_DEFAULT);

    if (!timed || (h->sample_rate_hz == 0 && !is_one_of(h->unit, counts))) {
        text_set_types(r, &type, 1, (struct text_type){0}, 0);
        return 1;
    }
    type.unit = BYTES_LIT("nanoseconds");
    period = period > 0 ? period : 1;
    text_set_types(r, &type, 1, type, period);
    return period;
}

void text_add(struct text_reader *r, uint32_t stack, const int64_t *values)
{
    int64_t any = 0;

    for (uint32_t i = 0; i < r->rd->into->n_types; i++)
        any |= values[i];
    if (any)
        profile_add(r->rd->into, stack, 0, values);
    else
        r->rd->stats->zero_samples++;
}

int text_keep(struct text_reader *r, uint32_t group, uint32_t stack, const int64_t *values)
{
    struct text_row *row;

    if (text_count_sample(r))
        return FAILURE;
    if (r->n_rows == r->row_cap)
        XGROW(r->row, r->row_cap, r->n_rows + 1);
    row = &r->row[r->n_rows++];
    row->group = group;
    row->stack = stack;
    memcpy(row->values, values, sizeof row->values);
    return 0;
}

void text_add_kept(struct text_reader *r, uint32_t group, int64_t worth)
{
    for (size_t i = 0; i < r->n_rows; i++) {
        struct text_row *row = &r->row[i];

        if (row->group != group)
            continue;
        for (uint32_t v = 0; worth != 1 && v < TEXT_VALUES; v++)
            if (__builtin_mul_overflow(row->values[v], worth, &row->values[v]))
                row->values[v] = row->values[v] < 0 ? INT64_MIN : INT64_MAX;
        text_add(r, row->stack, row->values);
    }
}

int text_emit(struct text_reader *r)
{
    const struct profile_about about = {.format = r->format};

    return reading_emit(r->rd, &about);
}

/* ---- lines and numbers ------------------------------------------------------------------------
 */

bool text_line(struct bytes *rest, struct bytes *ret)
{
    const uint8_t *end;
    size_t len;

    if (rest->len == 0)
        return false;
    end = memchr(rest->data, '\n', rest->len);
    len = end ? (size_t)(end - rest->data) : rest->len;
    *ret = bytes_of(rest->data, len);
    len += end != NULL;
    *rest = bytes_of(rest->data + len, rest->len - len);
    while (ret->len > 0 && ret->data[ret->len - 1] == '\r')
        ret->len--;
    return true;
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

struct bytes text_trim(struct bytes s)
{
    while (s.len > 0 && is_space(s.data[s.len - 1]))
        s.len--;
    while (s.len > 0 && is_space(s.data[0]))
        s = bytes_of(s.data + 1, s.len - 1);
    return s;
}

int64_t text_round(double x)
{
    enum { WHOLE_BITS = 63 };
    double end = ldexp(1, WHOLE_BITS);

    if (isnan(x))
        return 0;
    return x >= end ? INT64_MAX : x <= -end ? INT64_MIN : (int64_t)llround(x);
}

/* strtod knows "inf", "nan" and hexadecimal too; counts are none of these. */
static bool parse_double(struct bytes s, double *ret)
{
    char copy[NUMBER_BYTES_MAX], *end;

    if (s.len == 0 || s.len >= sizeof copy)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!memchr("0123456789+-.eE", s.data[i], 15))
            return false;
    memcpy(copy, s.data, s.len);
    copy[s.len] = '\0';
    *ret = strtod(copy, &end);
    return *end == '\0' && isfinite(*ret);
}

/* Whole numbers stay exact; only others go through floating point. */
bool text_number(struct bytes s, int64_t worth, int64_t *ret)
{
    bool minus = s.len > 0 && s.data[0] == '-';
    int64_t v = 0;
    double d;

    if (s.len == 0 || s.len == (size_t)minus)
        return false;
    for (size_t i = minus; i < s.len; i++) {
        unsigned digit = s.data[i] - '0';

        if (digit > 9 || __builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, (int64_t)digit, &v)) {
            if (!parse_double(s, &d))
                return false;
            *ret = text_round(d * (double)worth);
            return true;
        }
    }
    if (__builtin_mul_overflow(minus ? -v : v, worth, ret))
        *ret = minus ? INT64_MIN : INT64_MAX;
    return true;
}
