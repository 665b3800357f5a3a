/*
 * Frames are translated, not tables: what an answer costs follows the frames its trees use, however
 * large the generation is that they come from. At line granularity content stays the same, so a
 * translated tree is sorted still. At function granularity the lines of a function become one
 * frame, siblings merge and change places: such a tree is built anew as stacks, which sums exactly.
 */
#include "query/answer.h"

#include "base/xalloc.h"
#include "profile/profile.h"

#include <stdlib.h>

void answer_deinit(struct answer *a)
{
    for (uint32_t s = 0; s < a->n_sides; s++) {
        buf_deinit(&a->sides[s].service);
        buf_deinit(&a->sides[s].type);
        free(a->sides[s].partitions);
    }
    symbols_free(a->symbols);
    tree_deinit(&a->tree);
    *a = (struct answer){0};
}

struct translation {
    struct symbols *to;
    const struct symbols *from;
    enum granularity granularity;
    uint32_t *frame;    /* [n_frames(from)]: the frame in `to`; 0: not asked yet, or the root's */
    uint32_t *function; /* [n_functions(from)] */
};

static uint32_t translate_string(struct translation *x, uint32_t id)
{
    return symbols_string(x->to, symbols_text(x->from, id));
}

static uint32_t translate_function(struct translation *x, uint32_t id)
{
    const struct function *f = symbols_get_function(x->from, id);
    struct function out = {.name = translate_string(x, f->name),
                           .file = translate_string(x, f->file)};

    if (x->granularity == GRANULARITY_LINE) {
        out.system_name = translate_string(x, f->system_name);
        out.start_line = f->start_line;
    }
    return symbols_function(x->to, &out);
}

static uint32_t translate_mapping(struct translation *x, uint32_t id)
{
    const struct mapping *m = symbols_get_mapping(x->from, id);

    return symbols_mapping(
        x->to, &(struct mapping){translate_string(x, m->file), translate_string(x, m->build_id)});
}

static uint32_t translate_new_frame(struct translation *x, uint32_t id)
{
    const struct frame *f = symbols_get_frame(x->from, id);
    struct frame out = {.line_or_address = f->line_or_address};

    if (f->function) {
        if (!x->function[f->function])
            x->function[f->function] = translate_function(x, f->function);
        out.function = x->function[f->function];
        if (x->granularity == GRANULARITY_FUNCTION)
            out.line_or_address = 0;
    } else {
        out.mapping = translate_mapping(x, f->mapping);
    }
    return symbols_frame(x->to, &out);
}

static uint32_t translate(struct translation *x, uint32_t id)
{
    if (id && !x->frame[id])
        x->frame[id] = translate_new_frame(x, id);
    return x->frame[id];
}

static void translate_used(struct translation *x, const struct tree *t)
{
    for (uint32_t i = 0; i < t->n; i++)
        translate(x, t->frame[i]);
}

/* The tree of t's stacks under the translation. Preorder with depths is walked with the path of
 * nodes. */
static void rebuild(struct tree *out, const struct tree *t, struct translation *x)
{
    struct stacks *st = stacks_new();
    uint32_t *path = NULL, *stack = xreallocarray(NULL, t->n, sizeof *stack);
    int64_t *value = xreallocarray(NULL, t->n, sizeof *value);
    size_t cap_path = 0, n = 0;

    for (uint32_t i = 0; i < t->n; i++) {
        uint32_t depth = t->depth[i];

        XGROW(path, cap_path, (size_t)depth + 1);
        path[depth] = depth ? stacks_child(st, path[depth - 1], translate(x, t->frame[i])) : 0;
        if (t->self[0][i]) {
            stack[n] = stacks_at(st, path[depth]);
            value[n++] = t->self[0][i];
        }
    }
    tree_of_stacks(out, st, x->to, stack, value, n);
    out->saturated += t->saturated;
    free(value);
    free(stack);
    free(path);
    stacks_free(st);
}

void answer_add(struct answer *a, struct answer_parts *parts, uint8_t column, const struct tree *t,
                const struct symbols *from)
{
    struct tree *out;
    struct translation x = {a->symbols, from, a->granularity};

    if (t->n == 0)
        return;
    XGROW(parts->trees, parts->cap, parts->n + 1);
    XGROW(parts->column_of, parts->cap_columns, parts->n + 1);
    parts->column_of[parts->n] = column;
    out = &parts->trees[parts->n++];
    *out = (struct tree){0};
    x.frame = xcalloc(symbols_n_frames(from), sizeof *x.frame);
    x.function = xcalloc(symbols_n_functions(from), sizeof *x.function);
    if (a->granularity == GRANULARITY_FUNCTION) {
        rebuild(out, t, &x);
    } else {
        translate_used(&x, t);
        tree_copy(out, t);
        tree_remap(out, x.frame);
    }
    free(x.frame);
    free(x.function);
}

void answer_zip(struct answer *a, struct answer_parts *parts)
{
    const struct tree **in = xreallocarray(NULL, parts->n + 1, sizeof *in);

    for (size_t i = 0; i < parts->n; i++)
        in[i] = &parts->trees[i];
    tree_zip(&a->tree, a->n_sides, in, parts->column_of, parts->n, a->symbols);
    for (uint32_t s = 0; s < a->n_sides; s++)
        a->sides[s].saturated = a->tree.saturated;
    for (size_t i = 0; i < parts->n; i++)
        tree_deinit(&parts->trees[i]);
    free(in);
    free(parts->trees);
    free(parts->column_of);
    *parts = (struct answer_parts){0};
}
