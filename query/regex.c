/*
 * Parsing makes a tree of nodes (concatenation, alternation, repeat, a set of bytes, an anchor),
 * emission writes it as a program of states, counted repeats written out, and matching walks all
 * states at once: one pass over the text, each state entered at most once per byte.
 *
 * "Any character" and negated classes are trees of byte sets themselves, one branch per length of a
 * UTF-8 sequence, so the machine knows bytes only. A byte that starts no valid sequence stands for
 * itself.
 */
#include "query/regex.h"

#include "base/xalloc.h"

#include <stdlib.h>

enum { DEPTH_MAX = 64, REPEAT_MAX = 1000, NO_END = -1, EMIT_STEPS_MAX = 64 << 10 };

struct byteset {
    uint64_t bits[4];
};

enum node_kind { NODE_EMPTY, NODE_SET, NODE_CAT, NODE_ALT, NODE_REPEAT, NODE_BOL, NODE_EOL };
struct node {
    enum node_kind kind;
    struct byteset set;
    uint32_t left, right;
    int min, max; /* NODE_REPEAT; max NO_END: no end */
};

enum op { OP_SET, OP_SPLIT, OP_BOL, OP_EOL, OP_MATCH };
struct state {
    enum op op;
    struct byteset set;
    uint32_t next, other;
};

struct regex {
    struct state *states;
    size_t cap;
    uint32_t n;
    uint32_t steps; /* of emission: nested counts of nothing make no states */
};

struct parser {
    struct cursor_ {
        const uint8_t *begin, *at, *end;
    } in;
    struct node *nodes;
    size_t cap;
    uint32_t n;
    unsigned depth;
    const char *error;
};

static void set_add(struct byteset *s, unsigned lo, unsigned hi)
{
    for (unsigned b = lo; b <= hi; b++)
        s->bits[b / 64] |= UINT64_C(1) << (b % 64);
}

static bool set_has(const struct byteset *s, unsigned b)
{
    return s->bits[b / 64] >> (b % 64) & 1;
}

static struct byteset set_of(unsigned lo, unsigned hi)
{
    struct byteset s = {0};

    set_add(&s, lo, hi);
    return s;
}

/* ---- parsing ----------------------------------------------------------------------------------
 */

static uint32_t node_new(struct parser *p, struct node node)
{
    XGROW(p->nodes, p->cap, p->n + 1);
    p->nodes[p->n] = node;
    return p->n++;
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
    p->in.end = p->in.at; /* every loop ends */
    return 0;
}

static bool peek(const struct parser *p, char c)
{
    return p->in.at < p->in.end && *p->in.at == (uint8_t)c;
}

static bool take(struct parser *p, char c)
{
    bool there = peek(p, c);

    p->in.at += there;
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

    if (p->in.at == p->in.end)
        return parse_fail(p, "it ends with a backslash");
    c = *p->in.at++;
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
    uint8_t c = *p->in.at++;

    *ret_class = false;
    if (c >= 0x80)
        return (int)parse_fail(p, "a class may hold ASCII only");
    if (c != '\\')
        return c;
    if (p->in.at == p->in.end)
        return (int)parse_fail(p, "it ends with a backslash");
    c = *p->in.at++;
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
    if (p->in.end - p->in.at >= 2 && p->in.at[0] == '-' && p->in.at[1] != ']') {
        p->in.at++;
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
    while (p->in.at < p->in.end && !peek(p, ']'))
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
    int len = sequence_length(*p->in.at);
    uint32_t node = node_set(p, set_of(*p->in.at, *p->in.at));

    p->in.at++;
    for (; len > 1 && p->in.at < p->in.end && (*p->in.at & 0xc0) == 0x80; len--, p->in.at++)
        node = node_pair(p, NODE_CAT, node, node_set(p, set_of(*p->in.at, *p->in.at)));
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
    const uint8_t *begin = p->in.at;
    int n = 0;

    for (; p->in.at < p->in.end && *p->in.at >= '0' && *p->in.at <= '9' && n <= REPEAT_MAX;
         p->in.at++)
        n = n * 10 + (*p->in.at - '0');
    *ret = n;
    return p->in.at > begin && n <= REPEAT_MAX;
}

static bool parse_counts(struct parser *p, int *min, int *max)
{
    if (!parse_number(p, min))
        return false;
    *max = *min;
    if (take(p, ',')) {
        *max = NO_END;
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
        node = node_repeat(p, node, 0, NO_END);
    else if (take(p, '+'))
        node = node_repeat(p, node, 1, NO_END);
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

    while (p->in.at < p->in.end && !peek(p, '|') && !peek(p, ')')) {
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

/* ---- emission ---------------------------------------------------------------------------------
 */

/* Writes the machine of a node so that it goes on at state `next`; returns where it begins. States
 * are written from the end of the expression to its beginning. UINT32_MAX: too many. */
static uint32_t emit(struct regex *re, const struct parser *p, uint32_t node, uint32_t next);

static uint32_t state_new(struct regex *re, struct state state)
{
    if (re->n >= REGEX_STATES_MAX)
        return UINT32_MAX;
    XGROW(re->states, re->cap, re->n + 1);
    re->states[re->n] = state;
    return re->n++;
}

static uint32_t emit_loop(struct regex *re, const struct parser *p, uint32_t child, uint32_t next)
{
    uint32_t body,
        split = state_new(re, (struct state){.op = OP_SPLIT, .next = next, .other = next});

    if (split == UINT32_MAX)
        return split;
    body = emit(re, p, child, split);
    if (body != UINT32_MAX)
        re->states[split].other = body;
    return body == UINT32_MAX ? body : split;
}

static uint32_t emit_optional(struct regex *re, const struct parser *p, uint32_t child,
                              uint32_t next, uint32_t end)
{
    uint32_t body = emit(re, p, child, next);

    if (body == UINT32_MAX)
        return body;
    return state_new(re, (struct state){.op = OP_SPLIT, .next = body, .other = end});
}

static uint32_t emit_repeat(struct regex *re, const struct parser *p, const struct node *n,
                            uint32_t next)
{
    uint32_t at = next;

    if (n->max == NO_END)
        at = emit_loop(re, p, n->left, next);
    for (int i = n->min; i < n->max && at != UINT32_MAX; i++)
        at = emit_optional(re, p, n->left, at, next);
    for (int i = 0; i < n->min && at != UINT32_MAX; i++)
        at = emit(re, p, n->left, at);
    return at;
}

static uint32_t emit_alternation(struct regex *re, const struct parser *p, const struct node *n,
                                 uint32_t next)
{
    uint32_t left = emit(re, p, n->left, next);
    uint32_t right = left == UINT32_MAX ? left : emit(re, p, n->right, next);

    if (right == UINT32_MAX)
        return right;
    return state_new(re, (struct state){.op = OP_SPLIT, .next = left, .other = right});
}

static uint32_t emit(struct regex *re, const struct parser *p, uint32_t node, uint32_t next)
{
    const struct node *n = &p->nodes[node];
    uint32_t right;

    if (++re->steps > EMIT_STEPS_MAX)
        return UINT32_MAX;
    switch (n->kind) {
    case NODE_EMPTY:
        return next;
    case NODE_SET:
        return state_new(re, (struct state){.op = OP_SET, .set = n->set, .next = next});
    case NODE_BOL:
        return state_new(re, (struct state){.op = OP_BOL, .next = next});
    case NODE_EOL:
        return state_new(re, (struct state){.op = OP_EOL, .next = next});
    case NODE_CAT:
        right = emit(re, p, n->right, next);
        return right == UINT32_MAX ? right : emit(re, p, n->left, right);
    case NODE_ALT:
        return emit_alternation(re, p, n, next);
    case NODE_REPEAT:
        return emit_repeat(re, p, n, next);
    }
    return UINT32_MAX;
}

static int compile(struct regex *re, struct parser *p, struct failure *f)
{
    uint32_t root = parse_alternation(p), begin;

    if (!p->error && p->in.at < p->in.end)
        parse_fail(p, "a ')' without '('");
    if (p->error)
        return fail(f, 400, "regex_bad", "docs/api.md lists what expressions may hold",
                    "regular expression, byte %zu: %s", (size_t)(p->in.at - p->in.begin), p->error);
    state_new(re, (struct state){.op = OP_MATCH});
    begin = emit(re, p, root, 0);
    if (begin == UINT32_MAX)
        return fail(f, 400, "regex_bad", "use smaller counts in { }",
                    "regular expression: it needs more than %d states", REGEX_STATES_MAX);
    /* The last state is where matching begins. */
    XGROW(re->states, re->cap, re->n + 1);
    re->states[re->n++] = (struct state){.op = OP_SPLIT, .next = begin, .other = begin};
    return 0;
}

int regex_new(struct bytes pattern, struct regex **ret, struct failure *f)
{
    struct parser p = {.in = {pattern.data, pattern.data, pattern.data + pattern.len}};
    struct regex *re;
    int r;

    if (pattern.len > REGEX_BYTES_MAX)
        return fail(f, 400, "regex_bad", NULL,
                    "regular expression: %zu bytes, at most %d are allowed", pattern.len,
                    REGEX_BYTES_MAX);
    re = xcalloc(1, sizeof *re);
    r = compile(re, &p, f);
    free(p.nodes);
    if (r != 0)
        regex_free(re);
    else
        *ret = re;
    return r;
}

void regex_free(struct regex *re)
{
    if (!re)
        return;
    free(re->states);
    free(re);
}

/* ---- matching ---------------------------------------------------------------------------------
 */

/* The states that are alive before a byte: each is entered once, whatever the paths to it. */
struct front {
    uint32_t n;
    uint32_t at[REGEX_STATES_MAX + 1]; /* OP_SET and OP_MATCH only */
    uint64_t seen[REGEX_STATES_MAX / 64 + 1];
};

struct walk {
    const struct regex *re;
    bool at_begin, at_end;
    uint32_t n_stack;
    uint32_t stack[2 * (REGEX_STATES_MAX + 2)];
};

static void front_clear(struct front *f)
{
    f->n = 0;
    memset(f->seen, 0, sizeof f->seen);
}

static bool front_enter(struct front *f, uint32_t s)
{
    bool first = !(f->seen[s / 64] >> (s % 64) & 1);

    f->seen[s / 64] |= UINT64_C(1) << (s % 64);
    return first;
}

static void front_add(struct front *f, struct walk *w, uint32_t begin)
{
    w->stack[w->n_stack++] = begin;
    while (w->n_stack > 0) {
        uint32_t s = w->stack[--w->n_stack];
        const struct state *state = &w->re->states[s];

        if (!front_enter(f, s))
            continue;
        if (state->op == OP_SET || state->op == OP_MATCH)
            f->at[f->n++] = s;
        else if (state->op == OP_SPLIT)
            w->stack[w->n_stack++] = state->other;
        if (state->op == OP_SPLIT || (state->op == OP_BOL && w->at_begin) ||
            (state->op == OP_EOL && w->at_end))
            w->stack[w->n_stack++] = state->next;
    }
}

static void step(struct front *next, const struct front *now, struct walk *w, uint8_t byte)
{
    front_clear(next);
    for (uint32_t i = 0; i < now->n; i++) {
        const struct state *state = &w->re->states[now->at[i]];

        if (state->op == OP_SET && set_has(&state->set, byte))
            front_add(next, w, state->next);
    }
}

static bool front_has_match(const struct front *f, const struct regex *re)
{
    for (uint32_t i = 0; i < f->n; i++)
        if (re->states[f->at[i]].op == OP_MATCH)
            return true;
    return false;
}

bool regex_matches(const struct regex *re, struct bytes text)
{
    struct front fronts[2];
    struct walk w = {.re = re, .at_begin = true, .at_end = text.len == 0};
    unsigned now = 0;

    front_clear(&fronts[0]);
    front_add(&fronts[0], &w, re->n - 1);
    w.at_begin = false;
    for (size_t i = 0; i < text.len && fronts[now].n > 0; i++, now ^= 1) {
        w.at_end = i + 1 == text.len;
        step(&fronts[now ^ 1], &fronts[now], &w, text.data[i]);
    }
    return front_has_match(&fronts[now], re);
}
