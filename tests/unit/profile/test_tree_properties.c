/* Properties over random trees: what must hold for every input, not only for those one thinks of.
 */
#include "lib/build.h"
#include "lib/random.h"
#include "profile/translation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { ROUNDS = 150, TREES_MAX = 70 };

struct world {
    uint64_t random;
    struct symbols *sym;
    struct stacks *st; /* of all trees, as of the series of a service */
    uint32_t frames[40];
    struct tree tree[TREES_MAX];
    uint32_t k;
    int64_t least; /* of values: of both signs, or none negative */
};

/* Small values over few names: many shared prefixes, recursion, and cancelling. */
static void random_tree(struct world *w, struct tree *out)
{
    uint32_t n = random_below(&w->random, 60), path[12], stack[60];
    int64_t value[60];

    for (uint32_t i = 0; i < n; i++) {
        uint32_t depth = random_below(&w->random, 12), spread = 1 + random_below(&w->random, 39);

        for (uint32_t d = 0; d < depth; d++)
            path[d] = w->frames[random_below(&w->random, spread)];
        stack[i] = stacks_intern(w->st, path, depth);
        value[i] = (int64_t)random_below(&w->random, 7) + w->least;
    }
    tree_of_stacks(out, w->st, w->sym, stack, value, n);
}

static void random_world(struct world *w)
{
    static const uint32_t most[] = {3, 12, TREES_MAX - 1};

    w->k = 1 + random_below(&w->random, most[random_below(&w->random, 3)]);
    w->least = random_below(&w->random, 2) ? -3 : 0;
    if (random_below(&w->random, 2))
        symbols_rank(w->sym); /* else each merge ranks for itself */
    for (uint32_t i = 0; i < w->k; i++) {
        random_tree(w, &w->tree[i]);
        build_check_canonical(&w->tree[i], w->sym);
    }
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    char name[16];

    w->random = random_seed();
    w->sym = symbols_new();
    w->st = stacks_new();
    for (uint32_t i = 0; i < 40; i++) {
        snprintf(name, sizeof name, i % 5 ? "f%u" : "lib+0x%u", i);
        w->frames[i] = build_frame(w->sym, name);
        if (i == 20)
            symbols_rank(w->sym);
    }
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    for (uint32_t i = 0; i < TREES_MAX; i++)
        tree_deinit(&w->tree[i]);
    stacks_free(w->st);
    symbols_free(w->sym);
    free(w);
    return 0;
}

static void assert_same(const struct tree *a, const struct tree *b)
{
    assert_int_equal(a->n, b->n);
    assert_int_equal(a->n_columns, b->n_columns);
    assert_memory_equal(a->depth, b->depth, a->n * sizeof *a->depth);
    assert_memory_equal(a->frame, b->frame, a->n * sizeof *a->frame);
    for (uint32_t c = 0; c < a->n_columns; c++)
        assert_memory_equal(a->self[c], b->self[c], a->n * sizeof *a->self[c]);
}

static int64_t root_total(const struct tree *t, uint32_t column)
{
    int64_t *total = calloc(t->n, sizeof *total), r;

    tree_totals(t, column, total);
    r = total[0];
    free(total);
    return r;
}

static void zip(struct world *w, struct tree *out, const uint32_t *order, uint32_t k)
{
    const struct tree *in[TREES_MAX];

    for (uint32_t i = 0; i < k; i++)
        in[i] = &w->tree[order[i]];
    tree_zip(out, 1, in, NULL, k, w->sym);
    build_check_canonical(out, w->sym);
}

static void the_order_of_merging_does_not_matter(void **state)
{
    struct world *w = *state;
    struct tree a = {0}, b = {0};
    uint32_t order[TREES_MAX];

    for (int round = 0; round < ROUNDS; round++) {
        int64_t sum = 0;

        random_world(w);
        for (uint32_t i = 0; i < w->k; i++) {
            order[i] = i;
            sum += root_total(&w->tree[i], 0);
        }
        zip(w, &a, order, w->k);
        for (uint32_t i = w->k; i > 1; i--) {
            uint32_t j = random_below(&w->random, i), swap = order[j];

            order[j] = order[i - 1];
            order[i - 1] = swap;
        }
        zip(w, &b, order, w->k);
        assert_same(&a, &b);
        assert_int_equal(root_total(&a, 0), sum);
    }
    tree_deinit(&a);
    tree_deinit(&b);
}

static void any_split_gives_the_same_tree(void **state)
{
    struct world *w = *state;
    struct tree whole = {0}, left = {0}, right = {0}, joined = {0};
    const struct tree *halves[] = {&left, &right};
    uint32_t order[TREES_MAX];

    for (uint32_t i = 0; i < TREES_MAX; i++)
        order[i] = i;
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t cut;

        random_world(w);
        cut = random_below(&w->random, w->k + 1);
        zip(w, &whole, order, w->k);
        zip(w, &left, order, cut);
        zip(w, &right, order + cut, w->k - cut);
        tree_zip(&joined, 1, halves, NULL, 2, w->sym);
        assert_same(&whole, &joined);
    }
    tree_deinit(&whole);
    tree_deinit(&left);
    tree_deinit(&right);
    tree_deinit(&joined);
}

static void subtracting_undoes_adding(void **state)
{
    struct world *w = *state;
    struct tree sum = {0}, back = {0};
    const uint32_t order[] = {0, 1};

    for (int round = 0; round < ROUNDS; round++) {
        random_tree(w, &w->tree[0]);
        random_tree(w, &w->tree[1]);
        zip(w, &sum, order, 2);
        tree_subtract(&back, &sum, &w->tree[1], w->sym);
        build_check_canonical(&back, w->sym);
        assert_same(&back, &w->tree[0]);
        tree_subtract(&back, &sum, &sum, w->sym);
        assert_int_equal(back.n, 1);
    }
    tree_deinit(&sum);
    tree_deinit(&back);
}

static void decoding_undoes_encoding(void **state)
{
    struct world *w = *state;
    struct tree got = {0};
    struct buf out = {0};
    int64_t sum;

    for (int round = 0; round < ROUNDS; round++) {
        random_tree(w, &w->tree[0]);
        buf_reset(&out);
        tree_encode(&w->tree[0], &out);
        assert_int_equal(tree_decode(&got, buf_bytes(&out), symbols_n_frames(w->sym), &sum), 0);
        assert_same(&w->tree[0], &got);
    }
    tree_deinit(&got);
    buf_deinit(&out);
}

static void assert_run_of(const struct world *w, const struct tree *t, struct tree_run *run)
{
    struct buf out = {0};
    int64_t sum = 0;

    tree_encode(t, &out);
    assert_int_equal(
        tree_decode_run(run, buf_bytes(&out), symbols_n_frames(w->sym), symbols_ranks(w->sym)), 0);
    for (uint32_t i = 0; i < t->n; i++)
        sum += t->self[0][i];
    assert_int_equal(run->n, t->n);
    assert_int_equal(run->sum, sum);
    buf_deinit(&out);
}

/* Stored trees merge as they do when they are decoded first; some of all, with one that was. */
static void runs_merge_as_their_trees_do(void **state)
{
    struct world *w = *state;
    struct tree expected = {0}, got = {0}, none = {0};
    static struct tree_run run[TREES_MAX];
    const struct tree_run *in[TREES_MAX];
    uint32_t order[TREES_MAX];

    for (int round = 0; round < ROUNDS; round++) {
        random_world(w);
        symbols_rank(w->sym);
        for (uint32_t i = 0; i < w->k; i++) {
            order[i] = i;
            assert_run_of(w, &w->tree[i], &run[i]);
            in[i] = &run[i];
        }
        zip(w, &expected, order, w->k);
        tree_zip_runs(&got, &none, in, w->k, w->sym);
        assert_same(&got, &expected);
        tree_zip_runs(&got, &w->tree[0], in + 1, w->k - 1, w->sym);
        assert_same(&got, &expected);
    }
    for (uint32_t i = 0; i < TREES_MAX; i++)
        tree_run_deinit(&run[i]);
    tree_deinit(&expected);
    tree_deinit(&got);
}

/* Trees of another table of symbols merge as they are once their frames are remapped. */
static void remapped_trees_stay_sorted(void **state)
{
    struct world *w = *state;
    struct symbols *other = symbols_new();
    struct translation x;
    uint32_t map[64];

    build_frame(other, "something else");
    translation_init(&x, other, w->sym);
    for (uint32_t i = 40; i-- > 0;)
        translation_frame(&x, w->frames[i]);
    translation_deinit(&x);
    symbols_merge(other, w->sym, 0, map);
    for (int round = 0; round < ROUNDS; round++) {
        random_tree(w, &w->tree[0]);
        tree_remap(&w->tree[0], map);
        build_check_canonical(&w->tree[0], other);
    }
    symbols_free(other);
}

/* The slow way: each stack on its own, each function once. */
static void function_totals_by_stack(const struct tree *t, uint32_t n_frames, int64_t *total)
{
    uint32_t path[16];
    uint64_t seen;

    memset(total, 0, n_frames * sizeof *total);
    for (uint32_t i = 0; i < t->n; i++) {
        path[t->depth[i]] = t->frame[i];
        seen = 0;
        for (uint32_t d = 1; d <= t->depth[i]; d++) {
            if (!(seen >> path[d] & 1))
                total[path[d]] += t->self[0][i];
            seen |= UINT64_C(1) << path[d];
        }
    }
}

static void group_totals_are_those_of_counting_stack_by_stack(void **state)
{
    struct world *w = *state;
    uint32_t n = symbols_n_frames(w->sym), group[64];
    int64_t self[64], total[64], expected[64], sum;

    assert_true(n <= 64);
    for (uint32_t i = 0; i < n; i++)
        group[i] = i;
    for (int round = 0; round < ROUNDS; round++) {
        random_tree(w, &w->tree[0]);
        tree_by_group(&w->tree[0], 0, group, n, self, total);
        function_totals_by_stack(&w->tree[0], n, expected);
        assert_memory_equal(total, expected, n * sizeof *total);
        sum = w->tree[0].self[0][0];
        for (uint32_t i = 0; i < n; i++)
            sum += self[i];
        assert_int_equal(sum, root_total(&w->tree[0], 0));
    }
}

/* The slow way: each stack again, with its frames mapped. */
static void grouped_by_stack(struct world *w, struct tree *out, const struct tree *t,
                             const uint32_t *map, uint32_t column)
{
    uint32_t path[16], *stack = calloc(t->n, sizeof *stack);

    path[0] = 0;
    for (uint32_t i = 0; i < t->n; i++) {
        uint32_t d = t->depth[i];

        if (d > 0)
            path[d] = stacks_child(w->st, path[d - 1], map[t->frame[i]]);
        stack[i] = stacks_at(w->st, path[d]);
    }
    tree_of_stacks(out, w->st, w->sym, stack, t->self[column], t->n);
    free(stack);
}

/* rank: the order of frames, so that what is grouped by it is canonical. */
static void random_map(struct world *w, uint32_t map[64], uint32_t rank[64])
{
    uint32_t kept = 1 + random_below(&w->random, 39);

    symbols_rank(w->sym);
    for (uint32_t i = 0; i < symbols_n_frames(w->sym); i++)
        map[i] = i;
    for (uint32_t i = kept; i < 40; i++)
        map[w->frames[i]] = w->frames[random_below(&w->random, kept)];
    for (uint32_t i = 0; i < symbols_n_frames(w->sym); i++)
        rank[i] = symbols_ranks(w->sym)->rank[map[i]];
}

static void grouping_is_that_of_mapping_stack_by_stack(void **state)
{
    struct world *w = *state;
    struct tree out = {0}, expected = {0};
    uint32_t map[64], rank[64];

    for (int round = 0; round < ROUNDS; round++) {
        w->least = round % 2 ? -3 : 0;
        random_map(w, map, rank);
        random_tree(w, &w->tree[0]);
        tree_group(&out, &w->tree[0], map, rank);
        build_check_canonical(&out, w->sym);
        grouped_by_stack(w, &expected, &w->tree[0], map, 0);
        assert_same(&out, &expected);
    }
    tree_deinit(&out);
    tree_deinit(&expected);
}

static void grouping_counts_what_saturates_besides_what_had(void **state)
{
    struct world *w = *state;
    struct tree *t = &w->tree[0], out = {0};
    uint32_t a = w->frames[1], b = w->frames[2], c = w->frames[3];
    uint32_t map[64], rank[64] = {0};
    const uint32_t stack[] = {stacks_intern(w->st, &a, 1), stacks_intern(w->st, &b, 1),
                              stacks_intern(w->st, &c, 1)};
    const int64_t value[] = {INT64_MAX, 1, 5};

    for (uint32_t i = 0; i < 64; i++)
        map[i] = rank[i] = i;
    tree_of_stacks(t, w->st, w->sym, stack, value, 3);
    t->saturated = 2;
    map[b] = a;
    rank[b] = rank[a];
    tree_group(&out, t, map, rank);
    assert_int_equal(out.n, 3);
    assert_int_equal(out.saturated, 3);
    for (uint32_t i = 1; i < 3; i++)
        assert_int_equal(out.self[0][i], out.frame[i] == a ? INT64_MAX : 5);
    tree_deinit(&out);
}

/* Grouping two sides together is grouping each, and then putting them side by side. */
static void grouping_a_difference_groups_its_sides(void **state)
{
    struct world *w = *state;
    struct tree both = {0}, out = {0}, side[2] = {{0}}, expected = {0};
    const struct tree *in[] = {&w->tree[0], &w->tree[1]}, *grouped[] = {&side[0], &side[1]};
    const uint8_t columns[] = {0, 1};
    uint32_t map[64], rank[64];

    for (int round = 0; round < ROUNDS; round++) {
        random_map(w, map, rank);
        random_tree(w, &w->tree[0]);
        random_tree(w, &w->tree[1]);
        tree_zip(&both, 2, in, columns, 2, w->sym);
        tree_group(&out, &both, map, rank);
        build_check_canonical(&out, w->sym);
        for (uint32_t c = 0; c < 2; c++)
            grouped_by_stack(w, &side[c], &both, map, c);
        tree_zip(&expected, 2, grouped, columns, 2, w->sym);
        assert_same(&out, &expected);
    }
    tree_deinit(&both);
    tree_deinit(&out);
    tree_deinit(&side[0]);
    tree_deinit(&side[1]);
    tree_deinit(&expected);
}

/* The greatest |a|, |b| and |b − a| of a node and all below it. */
static uint64_t weight_of(const struct tree *t, int64_t *const total[2], uint32_t node)
{
    uint64_t w = 0;

    for (uint32_t i = node; i < t->n && (i == node || t->depth[i] > t->depth[node]); i++) {
        const int64_t of[] = {total[0][i], total[1][i], total[1][i] - total[0][i]};

        for (int k = 0; k < 3; k++)
            w = (uint64_t)llabs(of[k]) > w ? (uint64_t)llabs(of[k]) : w;
    }
    return w;
}

static void totals_of(const struct tree *t, int64_t *total[2])
{
    for (uint32_t c = 0; c < 2; c++) {
        total[c] = calloc(t->n, sizeof **total);
        tree_totals(t, c, total[c]);
    }
}

/* The pruned tree is the tree's nodes in their order, some left out, each with its own total; and
 * none left out is heavier than one that was kept. */
static void assert_pruned(const struct tree *t, const struct tree *out, uint32_t hidden)
{
    int64_t *full[2], *shown[2];
    uint64_t lightest_kept = UINT64_MAX, heaviest_hidden = 0;
    uint32_t j = 0, n_kept = 0;

    totals_of(t, full);
    totals_of(out, shown);
    for (uint32_t i = 0; i < t->n; i++) {
        uint64_t weight = weight_of(t, full, i);

        while (j < out->n && out->frame[j] == TREE_OTHER)
            j++;
        if (j < out->n && out->depth[j] == t->depth[i] && out->frame[j] == t->frame[i] &&
            shown[0][j] == full[0][i] && shown[1][j] == full[1][i]) {
            lightest_kept = weight < lightest_kept ? weight : lightest_kept;
            n_kept++;
            j++;
        } else {
            heaviest_hidden = weight > heaviest_hidden ? weight : heaviest_hidden;
        }
    }
    while (j < out->n && out->frame[j] == TREE_OTHER)
        j++;
    assert_int_equal(j, out->n);
    assert_int_equal(n_kept + hidden, t->n);
    assert_true(heaviest_hidden <= lightest_kept);
    for (uint32_t c = 0; c < 2; c++) {
        free(full[c]);
        free(shown[c]);
    }
}

static void pruning_is_exact_and_within_bounds(void **state)
{
    struct world *w = *state;
    struct tree both = {0}, out = {0}, again = {0};
    const struct tree *in[] = {&w->tree[0], &w->tree[1]};

    for (int round = 0; round < ROUNDS; round++) {
        uint32_t max = 2 + random_below(&w->random, 60), hidden;

        random_tree(w, &w->tree[0]);
        random_tree(w, &w->tree[1]);
        tree_zip(&both, 2, in, (uint8_t[]){0, 1}, 2, w->sym);
        hidden = tree_prune(&out, &both, max);
        assert_pruned(&both, &out, hidden);
        assert_true(out.n <= max);
        tree_prune(&again, &both, max);
        assert_same(&out, &again);
    }
    tree_deinit(&both);
    tree_deinit(&out);
    tree_deinit(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_order_of_merging_does_not_matter, setup, teardown),
        cmocka_unit_test_setup_teardown(any_split_gives_the_same_tree, setup, teardown),
        cmocka_unit_test_setup_teardown(subtracting_undoes_adding, setup, teardown),
        cmocka_unit_test_setup_teardown(decoding_undoes_encoding, setup, teardown),
        cmocka_unit_test_setup_teardown(runs_merge_as_their_trees_do, setup, teardown),
        cmocka_unit_test_setup_teardown(remapped_trees_stay_sorted, setup, teardown),
        cmocka_unit_test_setup_teardown(group_totals_are_those_of_counting_stack_by_stack, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(grouping_is_that_of_mapping_stack_by_stack, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(grouping_counts_what_saturates_besides_what_had, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(grouping_a_difference_groups_its_sides, setup, teardown),
        cmocka_unit_test_setup_teardown(pruning_is_exact_and_within_bounds, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
