/* A scanner over the text: blanks, names, quoted strings. Both forms share it. */
#include "query/selector.h"

#include <stdlib.h>

struct scan {
    const uint8_t *begin, *at, *end;
    struct failure *f;
};

static int bad(struct scan *s, const char *what)
{
    return fail(s->f, 400, "selector_bad",
                "{env=\"prod\",version=~\"v1.*\"} or env:prod version:v1", "selector, byte %zu: %s",
                (size_t)(s->at - s->begin), what);
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip_blanks(struct scan *s)
{
    while (s->at < s->end && is_blank(*s->at))
        s->at++;
}

static bool take(struct scan *s, char c)
{
    bool there = s->at < s->end && *s->at == (uint8_t)c;

    s->at += there;
    return there;
}

static bool is_name_byte(uint8_t c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_' ||
           c == '.' || c == '-' || c == '/' || c >= 0x80;
}

/* A quoted string, its escapes undone. The opening quote has been seen. */
static int scan_quoted(struct scan *s, struct buf *out)
{
    uint8_t quote = *s->at++;

    for (; s->at < s->end && *s->at != quote; s->at++) {
        uint8_t c = *s->at;

        if (c == '\\' && quote != '`') {
            if (++s->at == s->end)
                break;
            c = *s->at == 'n' ? '\n' : *s->at == 't' ? '\t' : *s->at;
            if (c != '\n' && c != '\t' && c != '\\' && c != '"' && c != '\'')
                buf_append_u8(out, '\\'); /* \d of an expression needs no second backslash */
        }
        buf_append_u8(out, c);
    }
    return s->at < s->end ? (s->at++, 0) : bad(s, "a string without its closing quote");
}

static int scan_name(struct scan *s, struct buf *out)
{
    const uint8_t *begin = s->at;
    struct bytes name;

    while (s->at < s->end && is_name_byte(*s->at))
        s->at++;
    if (s->at == begin)
        return bad(s, "a label name is expected");
    name = bytes_of(begin, (size_t)(s->at - begin));
    if (name.len > TAG_KEY_MAX)
        return bad(s, "a label name that is too long");
    buf_append_bytes(out, tag_canonical(name));
    return 0;
}

static int scan_op(struct scan *s, enum match_op *ret)
{
    if (take(s, '=')) {
        *ret = take(s, '~') ? MATCH_REGEX : MATCH_EQUAL;
        return 0;
    }
    if (!take(s, '!'))
        return bad(s, "=, !=, =~ or !~ is expected");
    if (take(s, '~'))
        *ret = MATCH_NOT_REGEX;
    else if (take(s, '='))
        *ret = MATCH_NOT_EQUAL;
    else
        return bad(s, "!= or !~ is expected");
    return 0;
}

static int scan_matcher(struct scan *s, struct matcher *m)
{
    int r = scan_name(s, &m->name);

    skip_blanks(s);
    r = r ? r : scan_op(s, &m->op);
    skip_blanks(s);
    if (r != 0)
        return r;
    if (s->at == s->end || (*s->at != '"' && *s->at != '\'' && *s->at != '`'))
        return bad(s, "a quoted value is expected");
    r = scan_quoted(s, &m->value);
    if (r == 0 && (m->op == MATCH_REGEX || m->op == MATCH_NOT_REGEX))
        r = regex_new(buf_bytes(&m->value), &m->re, s->f);
    return r;
}

/* key:value, the value bare up to a blank or a comma, or quoted. */
static int scan_sugar(struct scan *s, struct matcher *m)
{
    const uint8_t *begin;
    int r = scan_name(s, &m->name);

    if (r != 0)
        return r;
    if (!take(s, ':'))
        return bad(s, "':' is expected");
    if (s->at < s->end && *s->at == '"')
        return scan_quoted(s, &m->value);
    begin = s->at;
    while (s->at < s->end && !is_blank(*s->at) && *s->at != ',')
        s->at++;
    buf_append(&m->value, begin, (size_t)(s->at - begin));
    return 0;
}

typedef int scan_one(struct scan *s, struct matcher *m);

static int scan_next(struct scan *s, struct selector *sel, scan_one *one)
{
    if (sel->n == MATCHERS_MAX)
        return bad(s, "more than 32 matchers");
    return one(s, &sel->at[sel->n++]);
}

static int scan_braces(struct scan *s, struct selector *sel)
{
    skip_blanks(s);
    while (s->at < s->end && *s->at != '}') {
        int r = scan_next(s, sel, scan_matcher);

        if (r != 0)
            return r;
        skip_blanks(s);
        if (!take(s, ',') && (s->at == s->end || *s->at != '}'))
            return bad(s, "',' or '}' is expected");
        skip_blanks(s);
    }
    if (!take(s, '}'))
        return bad(s, "'}' is missing");
    skip_blanks(s);
    return s->at == s->end ? 0 : bad(s, "nothing may follow '}'");
}

static int scan_list(struct scan *s, struct selector *sel)
{
    while (s->at < s->end) {
        int r = scan_next(s, sel, scan_sugar);

        if (r != 0)
            return r;
        while (s->at < s->end && (is_blank(*s->at) || *s->at == ','))
            s->at++;
    }
    return 0;
}

int selector_parse(struct selector *s, struct bytes text, struct failure *f)
{
    struct scan scan = {text.data, text.data, text.data + text.len, f};
    int r;

    skip_blanks(&scan);
    r = take(&scan, '{') ? scan_braces(&scan, s) : scan_list(&scan, s);
    if (r != 0)
        selector_deinit(s);
    return r;
}

void selector_deinit(struct selector *s)
{
    for (uint32_t i = 0; i < s->n; i++) {
        buf_deinit(&s->at[i].name);
        buf_deinit(&s->at[i].value);
        regex_free(s->at[i].re);
        s->at[i] = (struct matcher){0};
    }
    s->n = 0;
}

static struct bytes label_of(struct bytes name, struct bytes service, const struct tags *series)
{
    if (bytes_equal(name, BYTES_LIT("service")))
        return service;
    for (uint32_t i = 0; i < series->n; i++)
        if (bytes_equal(series->at[i].key, name))
            return series->at[i].value;
    return bytes_of(NULL, 0);
}

static bool matcher_holds(const struct matcher *m, struct bytes value)
{
    switch (m->op) {
    case MATCH_EQUAL:
        return bytes_equal(buf_bytes(&m->value), value);
    case MATCH_NOT_EQUAL:
        return !bytes_equal(buf_bytes(&m->value), value);
    case MATCH_REGEX:
        return regex_matches(m->re, value);
    case MATCH_NOT_REGEX:
        return !regex_matches(m->re, value);
    }
    return false;
}

bool selector_matches(const struct selector *s, struct bytes service, const struct tags *series)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (!matcher_holds(&s->at[i], label_of(buf_bytes(&s->at[i].name), service, series)))
            return false;
    return true;
}
