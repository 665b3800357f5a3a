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
    CHECK(!a->symbols);
    a->symbols = symbols;
    a->functions = b;
}

void answer_give_back(struct answer *a)
{
    if (a->own_symbols)
        return;
    a->symbols = NULL;
    a->functions = NULL;
}

void answer_deinit(struct answer *a)
{
    for (uint32_t s = 0; s < a->n_sides; s++) {
        buf_deinit(&a->sides[s].service);
        buf_deinit(&a->sides[s].type);
        free(a->sides[s].partitions);
    }
    symbols_free(a->own_symbols);
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

    CHECK(a->own_symbols); /* else it said that all are of one table */
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
    const struct tree **in = xreallocarray(NULL, parts->n, sizeof *in);

    for (size_t i = 0; i < parts->n; i++)
        in[i] = &parts->trees[i];
    tree_zip(out, a->n_sides, in, parts->column_of, parts->n, a->symbols);
    free(in);
}

/* Lines to functions. */
static void group(struct answer *a)
{
    struct by_function own = {0};
    const struct by_function *f = a->functions ? a->functions : &own;
    struct tree lines = a->tree;

    if (f == &own)
        by_function_update(&own, a->symbols);
    a->tree = (struct tree){0};
    tree_group(&a->tree, &lines, f->first, f->rank);
    tree_deinit(&lines);
    by_function_deinit(&own);
}

void answer_zip(struct answer *a, struct answer_parts *parts)
{
    own_table(a);
    if (parts->n == 1 && a->n_sides == 1) {
        a->tree = parts->trees[0];
        parts->n = 0;
    } else {
        zip_parts(&a->tree, a, parts);
    }
    if (a->granularity == GRANULARITY_FUNCTION)
        group(a);
    for (uint32_t s = 0; s < a->n_sides; s++)
        a->sides[s].saturated = a->tree.saturated;
    for (size_t i = 0; i < parts->n; i++)
        tree_deinit(&parts->trees[i]);
    free(parts->trees);
    free(parts->column_of);
    *parts = (struct answer_parts){0};
}
