/*
 * How it works. A stack trace is an array of (method, line, …): the array is found by its name, and
 * the fields of its elements likewise. Methods become functions once; a small cache by method and
 * line saves most of the interning of frames, for stacks share their callers.
 *
 * Function names are Class.method; the file of a Java frame is not in a recording.
 */
#include "formats/jfr/frames.h"

#include "base/utf8.h"
#include "base/xalloc.h"
#include "formats/jfr/names.h"

#include <stdio.h>
#include <stdlib.h>

enum { STRING_BYTES_MAX = 65535, FRAME_NUMBERS_MAX = 8 };

enum { FRAME_METHOD, FRAME_LINE, N_FRAME_SLOTS };
enum { METHOD_CLASS, METHOD_NAME, N_METHOD_SLOTS };
enum { CLASS_NAME, N_CLASS_SLOTS };

static const char *const frame_slots[] = {"method", "lineNumber", NULL};
static const char *const method_slots[] = {"type", "name", NULL};
static const char *const class_slots[] = {"name", NULL};

void jfr_frames_deinit(struct jfr_frames *f)
{
    buf_deinit(&f->text);
    buf_deinit(&f->class_text);
    buf_deinit(&f->method_text);
    free(f->stack_id);
    free(f->function);
    free(f->scratch);
}

size_t jfr_frames_bytes(const struct jfr_frames *f)
{
    return (f->stack_id_cap + f->function_cap + f->scratch_cap) * sizeof(uint32_t) + f->text.cap +
           f->class_text.cap + f->method_text.cap;
}

void jfr_frames_begin(struct jfr_frames *f, struct reading *rd)
{
    f->rd = rd;
    f->nodes_before = stacks_n_nodes(rd->into->stacks);
}

int jfr_above_limit(struct reading *rd, const char *what, uint64_t n, uint32_t max,
                    const char *setting)
{
    char hint[64];

    snprintf(hint, sizeof hint, "the limit is %s", setting);
    return fail(rd->f, 400, "limit_exceeded", hint,
                "the recording has %s: %llu, at most %u are allowed", what, (unsigned long long)n,
                max);
}

uint32_t jfr_symbol(struct reading *rd, struct bytes text, struct buf *scratch)
{
    if (text.len > STRING_BYTES_MAX) {
        text = utf8_cut(text, STRING_BYTES_MAX);
        rd->stats->strings_cut++;
    }
    if (!utf8_valid(text)) {
        buf_reset(scratch);
        utf8_repair(text, scratch);
        text = buf_bytes(scratch);
        rd->stats->utf8_repaired++;
    }
    return symbols_string(rd->into->symbols, text);
}

/* --- binding -------------------------------------------------------------------------------------
 */

static uint8_t slot_by_name(void *ctx, const struct jfr_field *field)
{
    const char *const *names = ctx;

    for (uint8_t i = 0; names[i]; i++)
        if (bytes_equal(field->name, bytes_str(names[i])))
            return i;
    return JFR_NO_SLOT;
}

static bool bind(struct jfr_frames *f, uint32_t class, const char *const *names,
                 struct jfr_program *ret)
{
    return class != JFR_NONE &&
           jfr_compile(f->pools->m, class, slot_by_name, (void *)(uintptr_t)names, ret);
}

/* The class that a field of a class refers to. */
static uint32_t class_of(struct jfr_frames *f, uint32_t class, const char *field)
{
    const struct jfr_field *at = class == JFR_NONE ? NULL : jfr_field_of(f->pools->m, class, field);

    return at ? jfr_class_by_id(f->pools->m, at->class_id) : JFR_NONE;
}

/* The steps of a stack trace up to its frames, which must be an array of structs. */
static bool bind_stack(struct jfr_frames *f, uint32_t stack, uint32_t frame)
{
    struct jfr_metadata *m = f->pools->m;

    if (stack == JFR_NONE || frame == JFR_NONE || !jfr_compile(m, stack, NULL, NULL, &f->stack))
        return false;
    for (uint32_t i = 0; i < f->stack.n; i++) {
        const struct jfr_op *op = &m->ops[f->stack.first + i];

        if (op->kind == JFR_STRUCT && op->array && op->class == frame) {
            f->stack.n_picked = i;
            return true;
        }
    }
    return false;
}

/* The step of a program that fills a slot; JFR_NONE: no such field. */
static uint32_t step_of(struct jfr_frames *f, const struct jfr_program *p, uint8_t slot)
{
    for (uint32_t i = 0; i < p->n; i++)
        if (f->pools->m->ops[p->first + i].slot == slot)
            return i;
    return JFR_NONE;
}

/* Which of its numbers are a frame's method and line. */
static bool bind_frame(struct jfr_frames *f, uint32_t frame)
{
    if (!bind(f, frame, frame_slots, &f->frame))
        return false;
    f->method_at = step_of(f, &f->frame, FRAME_METHOD);
    f->line_at = step_of(f, &f->frame, FRAME_LINE);
    f->frame.varints &= f->line_at != JFR_NONE;
    return f->method_at != JFR_NONE;
}

void jfr_frames_bind(struct jfr_frames *f, struct jfr_pools *pools)
{
    const struct profile_limits *max = f->rd->limits;
    uint32_t stack, frame, method, class;

    f->pools = pools;
    stack = jfr_class_by_name(pools->m, BYTES_LIT("jdk.types.StackTrace"));
    frame = class_of(f, stack, "frames");
    method = class_of(f, frame, "method");
    class = class_of(f, method, "type");
    f->has_stacks = bind_stack(f, stack, frame) && bind_frame(f, frame) &&
                    bind(f, method, method_slots, &f->method) &&
                    bind(f, class, class_slots, &f->class);
    if (!f->has_stacks)
        return;
    f->stack_pool = jfr_pools_want(pools, stack, max->samples_max);
    f->method_pool = jfr_pools_want(pools, method, max->functions_max);
    jfr_pools_want(pools, class, max->functions_max);
    if (class_of(f, class, "name") != JFR_NONE)
        jfr_pools_want_text(pools, class_of(f, class, "name"));
    if (class_of(f, method, "name") != JFR_NONE)
        jfr_pools_want_text(pools, class_of(f, method, "name"));
}

void jfr_frames_ready(struct jfr_frames *f)
{
    uint32_t n_stacks, n_methods;

    memset(f->cache, 0, sizeof f->cache);
    if (!f->has_stacks)
        return;
    n_stacks = jfr_pool_n(f->pools, f->stack_pool);
    n_methods = jfr_pool_n(f->pools, f->method_pool);
    XGROW(f->stack_id, f->stack_id_cap, (size_t)n_stacks + 1);
    XGROW(f->function, f->function_cap, (size_t)n_methods + 1);
    memset(f->stack_id, 0xff, n_stacks * sizeof *f->stack_id);
    memset(f->function, 0xff, n_methods * sizeof *f->function);
}

/* --- methods and frames --------------------------------------------------------------------------
 */

static struct bytes class_name(struct jfr_frames *f, const struct jfr_value *v)
{
    struct jfr_value slots[N_CLASS_SLOTS] = {0};
    uint32_t pool, index;

    if (v->kind != JFR_REF || (pool = f->pools->m->classes[v->class].pool) == JFR_NONE ||
        (index = jfr_pool_find(f->pools, pool, v->number)) == JFR_NONE)
        return BYTES_LIT("");
    struct jfr_cursor c = jfr_pool_at(f->pools, pool, index);

    if (!jfr_pick(f->pools->m, &c, &f->class, slots))
        return BYTES_LIT("");
    return jfr_value_text(f->pools, &slots[CLASS_NAME], &f->class_text);
}

static uint32_t make_function(struct jfr_frames *f, uint32_t method)
{
    struct jfr_value slots[N_METHOD_SLOTS] = {0};
    struct jfr_cursor c = jfr_pool_at(f->pools, f->method_pool, method);
    struct function function = {0};

    buf_reset(&f->text);
    if (jfr_pick(f->pools->m, &c, &f->method, slots))
        jfr_method_name(class_name(f, &slots[METHOD_CLASS]),
                        jfr_value_text(f->pools, &slots[METHOD_NAME], &f->method_text), &f->text);
    function.name = jfr_symbol(f->rd, buf_bytes(&f->text), &f->method_text);
    return symbols_function(f->rd->into->symbols, &function);
}

static uint32_t unknown_function(struct jfr_frames *f)
{
    struct symbols *s = f->rd->into->symbols;
    struct function function = {.name = symbols_string(s, BYTES_LIT("[unknown]"))};

    f->rd->stats->dangling_refs++;
    return symbols_function(s, &function);
}

static uint32_t function_of(struct jfr_frames *f, uint64_t key)
{
    uint32_t method = jfr_pool_find(f->pools, f->method_pool, key);

    if (method == JFR_NONE)
        return unknown_function(f);
    if (f->function[method] == JFR_NONE)
        f->function[method] = make_function(f, method);
    return f->function[method];
}

static size_t cache_place(uint64_t method, uint32_t line)
{
    return (size_t)((method * 31 + line) * UINT64_C(0x9e3779b97f4a7c15) >> 32) % JFR_FRAME_CACHE;
}

/* Negative lines are the JVM's word for none. */
static uint32_t frame_of(struct jfr_frames *f, uint64_t method, uint64_t line_number)
{
    uint32_t line = (int32_t)line_number > 0 ? (uint32_t)line_number : 0;
    struct jfr_frame_entry *e = &f->cache[cache_place(method, line)];
    struct frame frame;

    if (e->frame && e->method == method && e->line == line)
        return e->frame;
    frame = (struct frame){.function = function_of(f, method), .line_or_address = line};
    *e = (struct jfr_frame_entry){method, line, symbols_frame(f->rd->into->symbols, &frame)};
    return e->frame;
}

/* --- stacks --------------------------------------------------------------------------------------
 */

static int malformed(struct jfr_frames *f)
{
    return fail(f->rd->f, 400, "malformed", NULL, "not a valid JFR recording: a stack trace");
}

static int read_any_frames(struct jfr_frames *f, struct jfr_cursor *c, uint64_t n)
{
    struct jfr_program p = f->frame;

    p.n_picked = p.n; /* the next frame begins behind the last field */
    for (uint64_t i = 0; i < n; i++) {
        struct jfr_value slots[N_FRAME_SLOTS] = {0};

        if (!jfr_pick(f->pools->m, c, &p, slots))
            return malformed(f);
        f->scratch[i] = frame_of(f, slots[FRAME_METHOD].number, slots[FRAME_LINE].number);
    }
    return 0;
}

/* Frames of compressed numbers alone, which all known producers write. */
static int read_frames(struct jfr_frames *f, struct jfr_cursor *c, uint64_t n)
{
    uint32_t n_numbers = f->frame.n;
    uint64_t number[FRAME_NUMBERS_MAX];

    XGROW(f->scratch, f->scratch_cap, n);
    if (!f->frame.varints || n_numbers > FRAME_NUMBERS_MAX)
        return read_any_frames(f, c, n);
    for (uint64_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < n_numbers; k++)
            if (!jfr_varint(c, &number[k]))
                return malformed(f);
        f->scratch[i] = frame_of(f, number[f->method_at], number[f->line_at]);
    }
    return 0;
}

static int make_stack(struct jfr_frames *f, uint32_t trace)
{
    const struct profile_limits *max = f->rd->limits;
    struct jfr_cursor c = jfr_pool_at(f->pools, f->stack_pool, trace);
    struct stacks *stacks = f->rd->into->stacks;
    uint64_t n;

    if (!jfr_pick(f->pools->m, &c, &f->stack, NULL) || !jfr_int(&c, &n))
        return malformed(f);
    if (n > max->depth_max)
        return jfr_above_limit(f->rd, "a stack with too many frames", n, max->depth_max,
                               "depth_max");
    if (read_frames(f, &c, n))
        return FAILURE;
    f->stack_id[trace] = stacks_intern(stacks, f->scratch, (size_t)n);
    n = stacks_n_nodes(stacks) - f->nodes_before;
    if (n > max->nodes_max)
        return jfr_above_limit(f->rd, "too many different stacks, in nodes", n, max->nodes_max,
                               "stack_nodes_max");
    return 0;
}

int jfr_frames_stack(struct jfr_frames *f, const struct jfr_value *v, uint32_t *ret)
{
    uint32_t trace = JFR_NONE;

    if (f->has_stacks && v->kind == JFR_REF && v->number)
        trace = jfr_pool_find(f->pools, f->stack_pool, v->number);
    if (trace == JFR_NONE) {
        f->rd->stats->dangling_refs += v->number != 0;
        *ret = stacks_intern(f->rd->into->stacks, NULL, 0);
        return 0;
    }
    if (f->stack_id[trace] == STACK_NONE && make_stack(f, trace))
        return FAILURE;
    *ret = f->stack_id[trace];
    return 0;
}
