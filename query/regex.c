/*
 * A syntax tree is written as a program of states, counted repeats written out, and matching walks
 * all states at once: one pass over the text, each state entered at most once per byte.
 */
#include "query/regex.h"

#include "base/xalloc.h"
#include "query/regex_parse.h"

#include <stdlib.h>

enum { EMIT_STEPS_MAX = 64 << 10 };

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

/* ---- emission ---------------------------------------------------------------------------------
 */

/* Writes the machine of a node so that it goes on at state `next`; returns where it begins. States
 * are written from the end of the expression to its beginning. UINT32_MAX: too many. */
static uint32_t emit(struct regex *re, const struct syntax *s, uint32_t node, uint32_t next);

static uint32_t state_new(struct regex *re, struct state state)
{
    if (re->n >= REGEX_STATES_MAX)
        return UINT32_MAX;
    XGROW(re->states, re->cap, re->n + 1);
    re->states[re->n] = state;
    return re->n++;
}

static uint32_t emit_loop(struct regex *re, const struct syntax *s, uint32_t child, uint32_t next)
{
    uint32_t body,
        split = state_new(re, (struct state){.op = OP_SPLIT, .next = next, .other = next});

    if (split == UINT32_MAX)
        return split;
    body = emit(re, s, child, split);
    if (body != UINT32_MAX)
        re->states[split].other = body;
    return body == UINT32_MAX ? body : split;
}

static uint32_t emit_optional(struct regex *re, const struct syntax *s, uint32_t child,
                              uint32_t next, uint32_t end)
{
    uint32_t body = emit(re, s, child, next);

    if (body == UINT32_MAX)
        return body;
    return state_new(re, (struct state){.op = OP_SPLIT, .next = body, .other = end});
}

static uint32_t emit_repeat(struct regex *re, const struct syntax *s, const struct node *n,
                            uint32_t next)
{
    uint32_t at = next;

    if (n->max == REPEAT_NO_END)
        at = emit_loop(re, s, n->left, next);
    for (int i = n->min; i < n->max && at != UINT32_MAX; i++)
        at = emit_optional(re, s, n->left, at, next);
    for (int i = 0; i < n->min && at != UINT32_MAX; i++)
        at = emit(re, s, n->left, at);
    return at;
}

static uint32_t emit_alternation(struct regex *re, const struct syntax *s, const struct node *n,
                                 uint32_t next)
{
    uint32_t left = emit(re, s, n->left, next);
    uint32_t right = left == UINT32_MAX ? left : emit(re, s, n->right, next);

    if (right == UINT32_MAX)
        return right;
    return state_new(re, (struct state){.op = OP_SPLIT, .next = left, .other = right});
}

static uint32_t emit(struct regex *re, const struct syntax *s, uint32_t node, uint32_t next)
{
    const struct node *n = &s->nodes[node];
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
        right = emit(re, s, n->right, next);
        return right == UINT32_MAX ? right : emit(re, s, n->left, right);
    case NODE_ALT:
        return emit_alternation(re, s, n, next);
    case NODE_REPEAT:
        return emit_repeat(re, s, n, next);
    }
    return UINT32_MAX;
}

static int compile(struct regex *re, const struct syntax *syntax, struct failure *f)
{
    uint32_t begin;

    state_new(re, (struct state){.op = OP_MATCH});
    begin = emit(re, syntax, syntax->root, 0);
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
    struct syntax syntax = {0};
    struct regex *re;
    int r;

    if (pattern.len > REGEX_BYTES_MAX)
        return fail(f, 400, "regex_bad", NULL,
                    "regular expression: %zu bytes, at most %d are allowed", pattern.len,
                    REGEX_BYTES_MAX);
    re = xcalloc(1, sizeof *re);
    r = regex_parse(pattern, &syntax, f);
    if (r == 0)
        r = compile(re, &syntax, f);
    free(syntax.nodes);
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

        if (state->op == OP_SET && byteset_has(&state->set, byte))
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
    front_clear(&fronts[1]);
    front_add(&fronts[0], &w, re->n - 1);
    w.at_begin = false;
    for (size_t i = 0; i < text.len && fronts[now].n > 0; i++, now ^= 1) {
        w.at_end = i + 1 == text.len;
        step(&fronts[now ^ 1], &fronts[now], &w, text.data[i]);
    }
    return front_has_match(&fronts[now], re);
}
