/*
 * Recursive descent. "Any character" and negated classes become trees of byte sets, one branch per
 * length of a UTF-8 sequence, so that the machine knows bytes only; a byte that starts no valid
 * sequence stands for itself. After an error the input is at its end, which ends every loop.
 */
#include "query/regex_parse.h"

#include "base/xalloc.h"

enum { DEPTH_MAX = 64, REPEAT_MAX = 1000 };

struct parser {
    struct syntax *out;
    const uint8_t *begin, *at, *end;
    unsigned depth;
    const char *error;
};

static void set_add(struct byteset *s, unsigned lo, unsigned hi)
{
    for (unsigned b = lo; b <= hi; b++)
        s->bits[b / 64] |= UINT64_C(1) << (b % 64);
}

static struct byteset set_of(unsigned lo, unsigned hi)
{
    struct byteset s = {0};

    set_add(&s, lo, hi);
    return s;
}

static uint32_t node_new(struct parser *p, struct node node)
{
    struct syntax *out = p->out;

    XGROW(out->nodes, out->cap, out->n + 1);
    out->nodes[out->n] = node;
    return out->n++;
}

static uint32_t node_set(struct parser *p, struct byteset set)
{
    return node_new(p, (struct node){.kind = NODE_SET, .set = set});
}

static uint32_t node_pair(struct parser *p, enum node_kind kind, uint32_t left, uint32_t right)
{
    return node_new(p, (struct node){.kind = kind, .left = left, .right = right});
}

static uint32_t parse_fail(struct parser *p, const char *error)
{
    if (!p->error)
        p->error = error;
    p->end = p->at; /* every loop ends */
    return 0;
}

static bool peek(const struct parser *p, char c)
{
    return p->at < p->end && *p->at == (uint8_t)c;
}

static bool take(struct parser *p, char c)
{
    bool there = peek(p, c);

    p->at += there;
    return there;
}

/* A character of `lead` followed by n continuation bytes. */
static uint32_t node_sequence(struct parser *p, struct byteset lead, int n)
{
    uint32_t node = node_set(p, lead);

    while (n-- > 0)
        node = node_pair(p, NODE_CAT, node, node_set(p, set_of(0x80, 0xbf)));
    return node;
}

/* One character: those of ascii, or any other valid sequence, or a stray byte. */
static uint32_t node_character(struct parser *p, struct byteset ascii)
{
    struct byteset single = ascii;
    uint32_t node;

    set_add(&single, 0x80, 0xc1);
    set_add(&single, 0xf5, 0xff);
    node = node_set(p, single);
    node = node_pair(p, NODE_ALT, node, node_sequence(p, set_of(0xc2, 0xdf), 1));
    node = node_pair(p, NODE_ALT, node, node_sequence(p, set_of(0xe0, 0xef), 2));
    return node_pair(p, NODE_ALT, node, node_sequence(p, set_of(0xf0, 0xf4), 3));
}

/* The set of \d, \w, \s; false if c is none of them. */
static bool class_escape(uint8_t c, struct byteset *ret)
{
    struct byteset s = {0};

    if (c == 'd' || c == 'w')
        set_add(&s, '0', '9');
    if (c == 'w') {
        set_add(&s, 'a', 'z');
        set_add(&s, 'A', 'Z');
        set_add(&s, '_', '_');
    }
    if (c == 's') {
        set_add(&s, '\t', '\r');
        set_add(&s, ' ', ' ');
    }
    *ret = s;
    return c == 'd' || c == 'w' || c == 's';
}

static struct byteset ascii_without(struct byteset s)
{
    s.bits[0] = ~s.bits[0];
    s.bits[1] = ~s.bits[1];
    s.bits[2] = s.bits[3] = 0;
    return s;
}

static bool is_punctuation(uint8_t c)
{
    return c > ' ' && c < 0x7f && !(c >= '0' && c <= '9') &&
           !((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

/* Behind a backslash: a literal byte, or -1. */
static int literal_escape(uint8_t c)
{
    static const char from[] = "nrtfv", to[] = "\n\r\t\f\v";
    const char *at = c ? strchr(from, c) : NULL;

    if (at)
        return (uint8_t)to[at - from];
    return is_punctuation(c) || c == ' ' ? c : -1;
}

static uint32_t parse_escape(struct parser *p)
{
    struct byteset set;
    uint8_t c;

    if (p->at == p->end)
        return parse_fail(p, "it ends with a backslash");
    c = *p->at++;
    if (class_escape(c, &set))
        return node_set(p, set);
    if ((c == 'D' || c == 'W' || c == 'S') && class_escape(c | 0x20, &set))
        return node_character(p, ascii_without(set));
    if (literal_escape(c) < 0)
        return parse_fail(p, "an escape that is not known");
    return node_set(p, set_of((unsigned)literal_escape(c), (unsigned)literal_escape(c)));
}

/* One end of a range in a class, or a class escape (then *ret_class). */
static int class_byte(struct parser *p, struct byteset *set, bool *ret_class)
{
    struct byteset escape;
    uint8_t c = *p->at++;

    *ret_class = false;
    if (c >= 0x80)
        return (int)parse_fail(p, "a class may hold ASCII only");
    if (c != '\\')
        return c;
    if (p->at == p->end)
        return (int)parse_fail(p, "it ends with a backslash");
    c = *p->at++;
    if (class_escape(c, &escape)) {
        for (int i = 0; i < 4; i++)
            set->bits[i] |= escape.bits[i];
        *ret_class = true;
        return 0;
    }
    if (literal_escape(c) < 0)
        return (int)parse_fail(p, "an escape that is not known in a class");
    return literal_escape(c);
}

static void class_item(struct parser *p, struct byteset *set)
{
    bool is_class;
    int hi, lo = class_byte(p, set, &is_class);

    if (p->error || is_class)
        return;
    hi = lo;
    if (p->end - p->at >= 2 && p->at[0] == '-' && p->at[1] != ']') {
        p->at++;
        hi = class_byte(p, set, &is_class);
        if (is_class || hi < lo)
            parse_fail(p, "a range in a class that runs backwards");
    }
    if (!p->error)
        set_add(set, (unsigned)lo, (unsigned)hi);
}

static uint32_t parse_class(struct parser *p)
{
    struct byteset set = {0};
    bool negated = take(p, '^');

    if (take(p, ']')) /* first, it is a literal */
        set_add(&set, ']', ']');
    while (p->at < p->end && !peek(p, ']'))
        class_item(p, &set);
    if (p->error)
        return 0;
    if (!take(p, ']'))
        return parse_fail(p, "a class without ']'");
    return negated ? node_character(p, ascii_without(set)) : node_set(p, set);
}

static uint32_t parse_alternation(struct parser *p);

static uint32_t parse_group(struct parser *p)
{
    uint32_t node;

    if (take(p, '?') && !take(p, ':'))
        return parse_fail(p, "a group of a kind that is not supported");
    if (++p->depth > DEPTH_MAX)
        return parse_fail(p, "groups are nested too deep");
    node = parse_alternation(p);
    p->depth--;
    if (!take(p, ')'))
        return parse_fail(p, "a group without ')'");
    return node;
}

static int sequence_length(uint8_t lead)
{
    return lead >= 0xf0 && lead <= 0xf4  ? 4
           : lead >= 0xe0 && lead < 0xf0 ? 3
           : lead >= 0xc2 && lead < 0xe0 ? 2
                                         : 1;
}

/* A literal character, whole, so that a repeat behind it repeats all of its bytes. */
static uint32_t parse_literal(struct parser *p)
{
    int len = sequence_length(*p->at);
    uint32_t node = node_set(p, set_of(*p->at, *p->at));

    p->at++;
    for (; len > 1 && p->at < p->end && (*p->at & 0xc0) == 0x80; len--, p->at++)
        node = node_pair(p, NODE_CAT, node, node_set(p, set_of(*p->at, *p->at)));
    return node;
}

static uint32_t parse_atom(struct parser *p)
{
    if (take(p, '('))
        return parse_group(p);
    if (take(p, '['))
        return parse_class(p);
    if (take(p, '\\'))
        return parse_escape(p);
    if (take(p, '.'))
        return node_character(p, set_of(0, 0x7f));
    if (take(p, '^'))
        return node_new(p, (struct node){.kind = NODE_BOL});
    if (take(p, '$'))
        return node_new(p, (struct node){.kind = NODE_EOL});
    if (peek(p, '*') || peek(p, '+') || peek(p, '?') || peek(p, '{'))
        return parse_fail(p, "a repeat of nothing");
    return parse_literal(p);
}

static bool parse_number(struct parser *p, int *ret)
{
    const uint8_t *begin = p->at;
    int n = 0;

    for (; p->at < p->end && *p->at >= '0' && *p->at <= '9' && n <= REPEAT_MAX; p->at++)
        n = n * 10 + (*p->at - '0');
    *ret = n;
    return p->at > begin && n <= REPEAT_MAX;
}

static bool parse_counts(struct parser *p, int *min, int *max)
{
    if (!parse_number(p, min))
        return false;
    *max = *min;
    if (take(p, ',')) {
        *max = REPEAT_NO_END;
        if (!peek(p, '}') && (!parse_number(p, max) || *max < *min))
            return false;
    }
    return take(p, '}');
}

static uint32_t node_repeat(struct parser *p, uint32_t child, int min, int max)
{
    return node_new(p, (struct node){.kind = NODE_REPEAT, .left = child, .min = min, .max = max});
}

static uint32_t parse_repeat(struct parser *p)
{
    uint32_t node = parse_atom(p);
    int min, max;

    if (p->error)
        return 0;
    if (take(p, '*'))
        node = node_repeat(p, node, 0, REPEAT_NO_END);
    else if (take(p, '+'))
        node = node_repeat(p, node, 1, REPEAT_NO_END);
    else if (take(p, '?'))
        node = node_repeat(p, node, 0, 1);
    else if (!take(p, '{'))
        return node;
    else if (parse_counts(p, &min, &max))
        node = node_repeat(p, node, min, max);
    else
        return parse_fail(p, "a count that is not {n}, {n,} or {n,m} with n ≤ m ≤ 1000");
    take(p, '?'); /* lazy or greedy: the whole text matches or it does not */
    if (peek(p, '*') || peek(p, '+') || peek(p, '?') || peek(p, '{'))
        return parse_fail(p, "a repeat of a repeat: use a group");
    return node;
}

static uint32_t parse_concatenation(struct parser *p)
{
    uint32_t node = node_new(p, (struct node){.kind = NODE_EMPTY});

    while (p->at < p->end && !peek(p, '|') && !peek(p, ')')) {
        uint32_t right = parse_repeat(p);

        node = node_pair(p, NODE_CAT, node, right);
    }
    return node;
}

static uint32_t parse_alternation(struct parser *p)
{
    uint32_t node = parse_concatenation(p);

    while (take(p, '|')) {
        uint32_t right = parse_concatenation(p);

        node = node_pair(p, NODE_ALT, node, right);
    }
    return node;
}

int regex_parse(struct bytes pattern, struct syntax *out, struct failure *f)
{
    /* An empty view may point nowhere, and even 0 may not be added to that. */
    const uint8_t *begin = pattern.len ? pattern.data : (const uint8_t *)"";
    struct parser p = {out, begin, begin, begin + pattern.len, 0, NULL};

    out->root = parse_alternation(&p);
    if (!p.error && p.at < p.end)
        parse_fail(&p, "a ')' without '('");
    if (!p.error)
        return 0;
    return fail(f, 400, "regex_bad", "docs/api.md lists what expressions may hold",
                "regular expression, byte %zu: %s", (size_t)(p.at - p.begin), p.error);
}
