/*
 * Any bytes as two stored trees (the first byte says where the second begins). What decodes encodes
 * to itself, whatever the order of its siblings; merging, subtracting, adding up and pruning never
 * lose weight and stay within their bounds.
 */
#include "base/err.h"
#include "profile/tree.h"

#include <stdio.h>
#include <stdlib.h>

enum { N_FRAMES = 40, NODES_SHOWN = 8 };

static struct symbols *make_symbols(void)
{
    struct symbols *sym = symbols_new();
    char name[16];

    while (symbols_n_frames(sym) < N_FRAMES) {
        struct frame f = {.line_or_address = symbols_n_frames(sym)};

        snprintf(name, sizeof name, "f%u", symbols_n_frames(sym));
        f.function =
            symbols_function(sym, &(struct function){.name = symbols_string(sym, bytes_str(name))});
        symbols_frame(sym, &f);
    }
    symbols_rank(sym);
    return sym;
}

static int64_t weight(const struct tree *t)
{
    uint64_t sum = 0; /* wraps, so that it does not depend on the order */

    for (uint32_t i = 0; i < t->n; i++)
        sum += (uint64_t)t->self[0][i];
    return (int64_t)sum;
}

static void check_encode(const struct tree *t)
{
    struct buf one = {0}, two = {0};
    struct tree again = {0};
    int64_t sum;

    tree_encode(t, &one);
    CHECK(tree_decode(&again, buf_bytes(&one), N_FRAMES, &sum) == 0 && again.n == t->n);
    tree_encode(&again, &two);
    CHECK(bytes_equal(buf_bytes(&one), buf_bytes(&two)));
    buf_deinit(&one);
    buf_deinit(&two);
    tree_deinit(&again);
}

static void check_sums(const struct tree *t)
{
    int64_t *total = calloc(t->n, sizeof *total), self[N_FRAMES], group_total[N_FRAMES];
    uint32_t group[N_FRAMES];

    for (uint32_t i = 0; i < N_FRAMES; i++)
        group[i] = i;
    tree_totals(t, 0, total);
    tree_by_group(t, 0, group, N_FRAMES, self, group_total);
    free(total);
}

static void check_merge(const struct symbols *sym, const struct tree *a, const struct tree *b)
{
    const struct tree *in[] = {a, b};
    const uint8_t sides[] = {0, 1};
    struct tree sum = {0}, back = {0}, both = {0}, shown = {0};

    tree_zip(&sum, 1, in, NULL, 2, sym);
    CHECK(sum.n <= a->n + b->n);
    if (sum.saturated == 0)
        CHECK(weight(&sum) == (int64_t)((uint64_t)weight(a) + (uint64_t)weight(b)));
    tree_subtract(&back, &sum, b, sym);
    if (sum.saturated == 0 && back.saturated == 0)
        CHECK(weight(&back) == weight(a));
    tree_zip(&both, 2, in, sides, 2, sym);
    CHECK(weight(&both) == weight(a));
    tree_prune(&shown, &both, NODES_SHOWN);
    CHECK(shown.n <= NODES_SHOWN);
    if (shown.saturated == 0 && both.n > NODES_SHOWN)
        CHECK(shown.n >= 1);
    tree_deinit(&sum);
    tree_deinit(&back);
    tree_deinit(&both);
    tree_deinit(&shown);
}

/* Read as a run it is as good or bad, and the same tree. */
static bool decode(struct tree *t, struct bytes in, const struct symbols *sym)
{
    struct tree_run run = {0};
    struct tree none = {0}, same = {0};
    int64_t sum;
    bool good = tree_decode(t, in, N_FRAMES, &sum) == 0;

    CHECK((tree_decode_run(&run, in, N_FRAMES, symbols_ranks(sym)) == 0) == good);
    CHECK(!good || run.sum == sum);
    CHECK(run.n == (good ? t->n : 0));
    if (good) {
        tree_zip_runs(&same, &none, (const struct tree_run *[]){&run}, 1, sym);
        CHECK(same.n == t->n);
        CHECK(memcmp(same.depth, t->depth, t->n * sizeof *t->depth) == 0);
        CHECK(memcmp(same.frame, t->frame, t->n * sizeof *t->frame) == 0);
        CHECK(memcmp(same.self[0], t->self[0], t->n * sizeof *t->self[0]) == 0);
    }
    tree_run_deinit(&run);
    tree_deinit(&same);
    return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct symbols *sym;
    struct tree a = {0}, b = {0};
    size_t cut = len ? 1 + data[0] % len : 0;

    if (!sym)
        sym = make_symbols();
    if (len > 0 && decode(&a, bytes_of(data + 1, cut - 1), sym)) {
        check_encode(&a);
        check_sums(&a);
        if (decode(&b, bytes_of(data + cut, len - cut), sym))
            check_merge(sym, &a, &b);
    }
    tree_deinit(&a);
    tree_deinit(&b);
    return 0;
}
