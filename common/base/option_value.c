/*
 * From text to value and back. Numbers are digits with at most one unit behind them: no fractions,
 * no signs but '-', no octal or hex, no blanks, because a configuration that two readers may
 * understand differently is worse than an error.
 */
#include "base/options_impl.h"

#include "base/xalloc.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum { QUOTE_BYTES_MAX = 60 };

struct unit {
    const char *name;
    int64_t factor;
};

/* Rising, each dividing the next: printing takes the largest that divides. */
static const struct unit duration_units[] = {{"ms", 1},      {"s", 1000},     {"m", 60000},
                                             {"h", 3600000}, {"d", 86400000}, {0}};
static const struct unit size_units[] = {{"", 1},
                                         {"KiB", INT64_C(1) << 10},
                                         {"MiB", INT64_C(1) << 20},
                                         {"GiB", INT64_C(1) << 30},
                                         {"TiB", INT64_C(1) << 40},
                                         {0}};

bool option_is_text(enum option_kind kind)
{
    return kind == OPTION_STRING || kind == OPTION_LIST || kind == OPTION_ENUM;
}

/* Reads the digits at *s and moves past them. */
static int take_digits(const char **s, int64_t *ret)
{
    int64_t v = 0;
    bool over = false;

    if (!isdigit((unsigned char)**s))
        return -EINVAL;
    for (; isdigit((unsigned char)**s); (*s)++) {
        over |= __builtin_mul_overflow(v, 10, &v);
        over |= __builtin_add_overflow(v, **s - '0', &v);
    }
    *ret = v;
    return over ? -ERANGE : 0;
}

int option_parse_int(const char *s, int64_t min, int64_t max, int64_t *ret)
{
    bool negative = *s == '-';
    const char *at = s + negative;
    int64_t v;
    int r;

    r = take_digits(&at, &v);
    if (r == -EINVAL || *at != '\0')
        return -EINVAL;
    if (negative)
        v = -v;
    if (r < 0 || v < min || v > max)
        return -ERANGE;
    *ret = v;
    return 0;
}

static int parse_units(const char *s, const struct unit *units, int64_t *ret)
{
    int64_t v;
    int r = take_digits(&s, &v);

    if (r == -EINVAL)
        return r;
    for (const struct unit *u = units; u->name; u++) {
        if (strcmp(s, u->name) != 0)
            continue;
        if (r < 0 || __builtin_mul_overflow(v, u->factor, &v))
            return -ERANGE;
        *ret = v;
        return 0;
    }
    return -EINVAL;
}

int option_parse_duration(const char *s, int64_t *ret_ms)
{
    if (strcmp(s, "unlimited") == 0) {
        *ret_ms = INT64_MAX;
        return 0;
    }
    return parse_units(strcmp(s, "0") == 0 ? "0ms" : s, duration_units, ret_ms);
}

int option_parse_size(const char *s, int64_t *ret_bytes)
{
    return parse_units(s, size_units, ret_bytes);
}

void option_quote(struct buf *out, struct bytes text)
{
    size_t end = text.len < QUOTE_BYTES_MAX ? text.len : QUOTE_BYTES_MAX;

    buf_append_u8(out, '\'');
    for (size_t i = 0; i < end; i++)
        buf_append_u8(out, text.data[i] < ' ' || text.data[i] == 0x7f ? '?' : text.data[i]);
    buf_append_str(out, end < text.len ? "...'" : "'");
}

void option_print_number(struct buf *out, enum option_kind kind, int64_t value)
{
    const struct unit *units = kind == OPTION_DURATION ? duration_units : size_units;
    const struct unit *best = units;

    if (kind == OPTION_INT)
        return buf_printf(out, "%" PRId64, value);
    if (value == INT64_MAX)
        return buf_append_str(out, "unlimited");
    if (value == 0)
        return buf_append_u8(out, '0');
    for (const struct unit *u = units; u->name; u++) {
        if (value % u->factor == 0)
            best = u;
    }
    buf_printf(out, "%" PRId64 "%s", value / best->factor, best->name);
}

void option_flag_name(struct buf *out, const struct option_row *row)
{
    buf_append_str(out, "--");
    for (const char *s = row->name; *s; s++)
        buf_append_u8(out, *s == '_' ? '-' : (uint8_t)*s);
}

void option_env_name(struct buf *out, const struct option_row *row)
{
    buf_append_str(out, "HEARTH_");
    for (const char *s = row->name; *s; s++)
        buf_append_u8(out, (uint8_t)toupper((unsigned char)*s));
}

static const char *form_of(enum option_kind kind)
{
    switch (kind) {
    case OPTION_DURATION:
        return "a duration (500ms, 10s, 5m, 24h, 7d, unlimited)";
    case OPTION_SIZE:
        return "a size (4096, 64KiB, 10MiB, 1GiB)";
    default:
        return "a whole decimal number";
    }
}

static bool refuse(struct buf *why, struct bytes text, const char *verdict)
{
    option_quote(why, text);
    buf_printf(why, " is %s", verdict);
    return false;
}

static bool refuse_bounds(const struct option_row *row, struct bytes text, struct buf *why)
{
    refuse(why, text, "out of bounds: ");
    option_print_number(why, row->kind, row->min);
    buf_append_str(why, " to ");
    option_print_number(why, row->kind, row->max);
    return false;
}

static bool parse_number(const struct option_row *row, const char *s, int64_t *ret, struct buf *why)
{
    int64_t v = 0;
    int r;

    if (row->kind == OPTION_DURATION)
        r = option_parse_duration(s, &v);
    else if (row->kind == OPTION_SIZE)
        r = option_parse_size(s, &v);
    else
        r = option_parse_int(s, INT64_MIN, INT64_MAX, &v);
    if (r == -EINVAL) {
        refuse(why, bytes_str(s), "not ");
        buf_append_str(why, form_of(row->kind));
        return false;
    }
    if (r < 0 || v < row->min || v > row->max)
        return refuse_bounds(row, bytes_str(s), why);
    *ret = v;
    return true;
}

static bool parse_bool(const char *s, bool *ret, struct buf *why)
{
    *ret = strcmp(s, "true") == 0;
    if (*ret || strcmp(s, "false") == 0)
        return true;
    return refuse(why, bytes_str(s), "not true or false");
}

static bool parse_enum(const struct option_row *row, const char *s, char **ret, struct buf *why)
{
    size_t len;

    for (const char *word = row->choices;; word += len + 1) {
        len = strcspn(word, "|");
        if (strlen(s) == len && memcmp(word, s, len) == 0) {
            *ret = xstrdup(s);
            return true;
        }
        if (word[len] == '\0')
            break;
    }
    refuse(why, bytes_str(s), "not one of ");
    buf_append_str(why, row->choices);
    return false;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct bytes trimmed(const char *s, size_t len)
{
    while (len > 0 && is_blank(*s)) {
        s++;
        len--;
    }
    while (len > 0 && is_blank(s[len - 1]))
        len--;
    return bytes_of(s, len);
}

/* "a, b" becomes "a,b"; nothing between two commas is an error. */
static bool parse_list(const char *s, char **ret, struct buf *why)
{
    struct buf out = {0};
    bool more = *s != '\0';

    for (const char *at = s; more;) {
        size_t len = strcspn(at, ",");
        struct bytes item = trimmed(at, len);

        if (item.len == 0) {
            buf_deinit(&out);
            return refuse(why, bytes_str(s), "a list with an empty entry");
        }
        if (out.len > 0)
            buf_append_u8(&out, ',');
        buf_append_bytes(&out, item);
        more = at[len] == ',';
        at += len + more;
    }
    *ret = xstrdup(buf_cstr(&out));
    buf_deinit(&out);
    return true;
}

static bool parse_text(const struct option_row *row, const char *s, union option_value *ret,
                       struct buf *why)
{
    switch (row->kind) {
    case OPTION_BOOL:
        return parse_bool(s, &ret->on, why);
    case OPTION_STRING:
        ret->text = xstrdup(s);
        return true;
    case OPTION_LIST:
        return parse_list(s, &ret->text, why);
    case OPTION_ENUM:
        return parse_enum(row, s, &ret->text, why);
    default:
        return parse_number(row, s, &ret->num, why);
    }
}

bool option_parse(const struct option_row *row, struct bytes text, union option_value *ret,
                  struct buf *why)
{
    char *s;
    bool ok;

    if (text.len > 0 && memchr(text.data, '\0', text.len))
        return refuse(why, text, "a text with a NUL byte");
    s = xstrndup(text.len ? (const char *)text.data : "", text.len);
    ok = parse_text(row, s, ret, why);
    free(s);
    return ok;
}
