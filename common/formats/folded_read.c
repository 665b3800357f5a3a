/*
 * Folded stacks and lines.
 *
 * A folded line is a stack, root first, its frames between ';', then a space and a count; the last
 * space splits, for names have spaces too. Counts may be negative, have decimals or be "1e+06" as
 * awk prints them. The marks that FlameGraph's tools put behind a name, _[k] kernel, _[i] inlined,
 * _[j] compiled just in time and _[w] waker, are taken off as flamegraph.pl does, so that the
 * function is the same one as in every other format.
 *
 * A line that is no stack is passed over and counted; a text without any stack is refused. Any line
 * is a stack in `lines`: there the whole is refused when it cannot be a text.
 */
#include "formats/text_int.h"

#include "base/utf8.h"

/* Names with bytes that are not UTF-8 are repaired, in all formats; a text has not many of them. */
enum { BAD_FEW = 8, BAD_SHARE = 10 };

/* The place of the space that splits, or s.len. */
static size_t split(struct bytes s)
{
    for (size_t i = s.len; i-- > 1;)
        if (s.data[i] == ' ' || s.data[i] == '\t')
            return i;
    return s.len;
}

static struct bytes without_mark(struct bytes name)
{
    enum { MARK = 4 };
    const uint8_t *at = name.data + name.len - MARK;

    if (name.len > MARK && at[0] == '_' && at[1] == '[' && memchr("kijw", at[2], 4) && at[3] == ']')
        name.len -= MARK;
    return name;
}

static bool parse_line(struct bytes line, int64_t worth, struct bytes *ret_path, int64_t *ret_count)
{
    size_t at;

    line = text_trim(line);
    at = split(line);
    if (at == line.len ||
        !text_number(bytes_of(line.data + at + 1, line.len - at - 1), worth, ret_count))
        return false;
    *ret_path = text_trim(bytes_of(line.data, at));
    return ret_path->len > 0;
}

bool folded_is_line(struct bytes line)
{
    struct bytes path;
    int64_t count;

    return parse_line(line, 1, &path, &count);
}

static int push_path(struct text_reader *r, struct bytes path)
{
    while (path.len > 0) {
        const uint8_t *end = memchr(path.data, ';', path.len);
        size_t len = end ? (size_t)(end - path.data) : path.len;
        struct bytes name = without_mark(bytes_of(path.data, len));

        if (len > 0 && text_push(r, text_frame(r, name, BYTES_LIT(""), 0, 0)))
            return FAILURE;
        len += end != NULL;
        path = bytes_of(path.data + len, path.len - len);
    }
    return 0;
}

static int add_stack(struct text_reader *r, struct bytes path, int64_t count)
{
    uint32_t stack;

    if (push_path(r, path) || text_stack(r, true, &stack) || text_count_sample(r))
        return FAILURE;
    text_add(r, stack, &count);
    return 0;
}

static int read_lines(struct text_reader *r, struct bytes raw, bool counted)
{
    int64_t worth = text_set_counted_type(r);
    struct bytes line, path;

    while (text_line(&raw, &line)) {
        int64_t count = worth;

        path = text_trim(line);
        if (path.len == 0)
            continue;
        if (counted && !parse_line(line, worth, &path, &count)) {
            r->rd->stats->events_skipped++;
            continue;
        }
        if (add_stack(r, path, count))
            return FAILURE;
    }
    if (r->n_samples == 0)
        return text_malformed(r, counted ? "it has no line of a stack and a count"
                                         : "it has no lines");
    return text_emit(r);
}

int folded_read(struct text_reader *r, struct bytes raw)
{
    return read_lines(r, raw, true);
}

#define NO_TEXT "not a valid lines profile: it is no text, for "

static int check_is_text(struct text_reader *r, struct bytes raw)
{
    static const char hint[] = "lines are UTF-8; leave out the format where another one is meant";
    size_t line = 1, bad;

    for (size_t i = 0; i < raw.len; i++) {
        line += raw.data[i] == '\n';
        if (utf8_is_control(raw.data[i]))
            return fail(r->rd->f, 400, "malformed", hint,
                        NO_TEXT "line %zu has the control byte 0x%02x", line, raw.data[i]);
    }
    bad = utf8_count_bad(raw);
    if (bad > BAD_FEW && bad > raw.len / BAD_SHARE)
        return fail(r->rd->f, 400, "malformed", hint, NO_TEXT "%zu of its %zu bytes are not UTF-8",
                    bad, raw.len);
    return 0;
}

int lines_read(struct text_reader *r, struct bytes raw)
{
    if (check_is_text(r, raw))
        return FAILURE;
    return read_lines(r, raw, false);
}
