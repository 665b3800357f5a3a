/*
 * An answer whose parts are all of one table has its frame ids; nothing is translated. Of several
 * tables it is frames that are translated, not tables: what it costs follows the frames that the
 * trees use, however large the tables are. Content stays the same, so a translated tree is sorted
 * still. Lines become functions last, when all parts are one tree.
 */
#include "query/answer.h"

#include "base/xalloc.h"
#include "profile/translation.h"

#include <stdlib.h>

void answer_borrow(struct answer *a, const struct symbols *symbols, const struct by_function *b)
{
    a->symbols = symbols;
    a->first = b->first;
}

void answer_deinit(struct answer *a)
{
    for (uint32_t s = 0; s < a->n_sides; s++) {
        buf_deinit(&a->sides[s].service);
        buf_deinit(&a->sides[s].type);
        free(a->sides[s].partitions);
    }
    symbols_free(a->own_symbols);
    by_function_deinit(&a->own_functions);
    tree_deinit(&a->tree);
    *a = (struct answer){0};
}

static void own_table(struct answer *a)
{
    if (!a->symbols)
        a->symbols = a->own_symbols = symbols_new();
}

static void translate(struct answer *a, struct tree *t, const struct symbols *from)
{
    struct translation x;

    translation_init(&x, a->own_symbols, from);
    for (uint32_t i = 1; i < t->n; i++)
        t->frame[i] = translation_frame(&x, t->frame[i]);
    translation_deinit(&x);
}

void answer_add(struct answer *a, struct answer_parts *parts, uint8_t column, struct tree *t,
                const struct symbols *from)
{
    own_table(a);
    if (t->n == 0)
        return;
    if (from != a->symbols)
        translate(a, t, from);
    XGROW(parts->trees, parts->cap, parts->n + 1);
    XGROW(parts->column_of, parts->cap_columns, parts->n + 1);
    parts->column_of[parts->n] = column;
    parts->trees[parts->n++] = *t;
    *t = (struct tree){0};
}

/* Their sum, a column for each side. */
static void zip_parts(struct tree *out, const struct answer *a, struct answer_parts *parts)
{
    const struct tree **in = xreallocarray(NULL, parts->n + 1, sizeof *in);

    for (size_t i = 0; i < parts->n; i++)
        in[i] = &parts->trees[i];
    if (parts->n == 1 && a->n_sides == 1) {
        *out = parts->trees[0];
        parts->n = 0;
    } else {
        tree_zip(out, a->n_sides, in, parts->column_of, parts->n, a->symbols);
    }
    free(in);
}

void answer_zip(struct answer *a, struct answer_parts *parts)
{
    struct tree lines = {0};

    own_table(a);
    if (a->own_symbols) {
        symbols_rank(a->own_symbols);
        by_function_update(&a->own_functions, a->symbols);
        a->first = a->own_functions.first;
    }
    zip_parts(&lines, a, parts);
    if (a->granularity == GRANULARITY_FUNCTION) {
        tree_group(&a->tree, &lines, a->first, a->symbols);
        tree_deinit(&lines);
    } else {
        a->tree = lines;
    }
    for (uint32_t s = 0; s < a->n_sides; s++)
        a->sides[s].saturated = a->tree.saturated;
    for (size_t i = 0; i < parts->n; i++)
        tree_deinit(&parts->trees[i]);
    free(parts->trees);
    free(parts->column_of);
    *parts = (struct answer_parts){0};
}
