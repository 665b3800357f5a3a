#include "base/varint.h"
#include "lib/build.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

static void stacks_become_a_sorted_tree(void **state)
{
    struct symbols *s = symbols_new();
    struct tree t = {0};

    (void)state;
    build_tree(&t, s, "main;work 5\nmain;idle 3\nmain 1\ninit;work 2\n 7");
    build_check_canonical(&t, s);
    assert_int_equal(t.n, 6);
    assert_int_equal(t.self[0][0], 7);
    ASSERT_FOLDED(&t, s, " 7\ninit;work 2\nmain 1\nmain;idle 3\nmain;work 5");
    tree_deinit(&t);
    symbols_free(s);
}

static void stacks_without_weight_leave_no_trace(void **state)
{
    struct symbols *s = symbols_new();
    struct tree t = {0};

    (void)state;
    build_tree(&t, s, "main;a;b;c 0\nmain;a 4\nother;x 0");
    build_check_canonical(&t, s);
    ASSERT_FOLDED(&t, s, "main;a 4");
    assert_int_equal(t.n, 3);
    build_tree(&t, s, "a 0");
    assert_int_equal(t.n, 1);
    tree_deinit(&t);
    symbols_free(s);
}

static void values_of_a_stack_add_up_cancel_or_saturate(void **state)
{
    struct symbols *s = symbols_new();
    struct tree t = {0};

    (void)state;
    build_tree(&t, s, "a;b 4\na;b -4\na 1\na;b;c 2\nd;e 5\nd;e -5\na;b;c 3\n 1\n 1");
    build_check_canonical(&t, s);
    ASSERT_FOLDED(&t, s, " 2\na 1\na;b;c 5");
    assert_int_equal(t.saturated, 0);
    build_tree(&t, s, "a 9223372036854775807\na 1\nb -9223372036854775808\nb -1");
    assert_true(t.self[0][1] == INT64_MAX || t.self[0][2] == INT64_MAX);
    assert_int_equal(t.saturated, 2);
    tree_deinit(&t);
    symbols_free(s);
}

/* Enough for every shape of the cascade. */
static void any_number_of_trees_merge(void **state)
{
    struct symbols *s = symbols_new();
    struct tree in[17] = {{0}}, out = {0};
    const struct tree *inputs[17];
    char text[64], expected[64];

    (void)state;
    for (int k = 0; k <= 17; k++) {
        for (int i = 0; i < k; i++) {
            snprintf(text, sizeof text, "main;work 1\nmain;f%d %d", i % 2, i);
            build_tree(&in[i], s, text);
            inputs[i] = &in[i];
        }
        tree_zip(&out, 1, inputs, NULL, (size_t)k, s);
        build_check_canonical(&out, s);
        if (k == 17) {
            snprintf(expected, sizeof expected, "main;f0 72\nmain;f1 64\nmain;work 17");
            ASSERT_FOLDED(&out, s, expected);
        }
    }
    tree_zip(&out, 1, NULL, NULL, 0, s);
    assert_int_equal(out.n, 1);
    assert_int_equal(out.self[0][0], 0);
    for (int i = 0; i < 17; i++)
        tree_deinit(&in[i]);
    tree_deinit(&out);
    symbols_free(s);
}

static void a_tree_never_filled_merges_as_nothing(void **state)
{
    struct symbols *s = symbols_new();
    struct tree a = {0}, none = {0}, out = {0};
    const struct tree *in[] = {&none, &a, &none};

    (void)state;
    build_tree(&a, s, "main;work 5");
    tree_zip(&out, 1, in, NULL, 3, s);
    ASSERT_FOLDED(&out, s, "main;work 5");
    tree_zip(&out, 1, &in[2], NULL, 1, s);
    assert_int_equal(out.n, 1);
    tree_copy(&out, &none);
    assert_int_equal(out.n, 0);
    tree_deinit(&a);
    tree_deinit(&out);
    symbols_free(s);
}

static void two_columns_keep_the_sides_of_a_difference_apart(void **state)
{
    struct symbols *s = symbols_new();
    struct tree a1 = {0}, a2 = {0}, b = {0}, out = {0};
    const struct tree *in[] = {&a1, &b, &a2};
    const uint8_t columns[] = {0, 1, 0};
    int64_t total[8];

    (void)state;
    build_tree(&a1, s, "main;work 5\nmain;gone 1");
    build_tree(&a2, s, "main;work 2");
    build_tree(&b, s, "main;work 9\nmain;new 4");
    tree_zip(&out, 2, in, columns, 3, s);
    build_check_canonical(&out, s);
    ASSERT_FOLDED(&out, s, "main;gone 1 0\nmain;new 0 4\nmain;work 7 9");
    tree_totals(&out, 0, total);
    assert_int_equal(total[0], 8);
    tree_totals(&out, 1, total);
    assert_int_equal(total[0], 13);
    tree_deinit(&a1);
    tree_deinit(&a2);
    tree_deinit(&b);
    tree_deinit(&out);
    symbols_free(s);
}

static void values_that_cancel_take_their_branch_along(void **state)
{
    struct symbols *s = symbols_new();
    struct tree a = {0}, b = {0}, out = {0};
    const struct tree *in[] = {&a, &b};

    (void)state;
    build_tree(&a, s, "main;a;b;c 3\nmain;x 1\nz;y 2");
    build_tree(&b, s, "main;a;b;c -3\nz;y -2");
    tree_zip(&out, 1, in, NULL, 2, s);
    build_check_canonical(&out, s);
    ASSERT_FOLDED(&out, s, "main;x 1");
    assert_int_equal(out.n, 3);
    tree_deinit(&a);
    tree_deinit(&b);
    tree_deinit(&out);
    symbols_free(s);
}

static void subtracting_takes_a_window_out_again(void **state)
{
    struct symbols *s = symbols_new();
    struct tree a = {0}, b = {0}, out = {0};

    (void)state;
    build_tree(&a, s, "main;work 5\nmain;idle 3");
    build_tree(&b, s, "main;work 5\nmain;new 2");
    tree_subtract(&out, &a, &b, s);
    build_check_canonical(&out, s);
    ASSERT_FOLDED(&out, s, "main;idle 3\nmain;new -2");
    tree_deinit(&a);
    tree_deinit(&b);
    tree_deinit(&out);
    symbols_free(s);
}

static void sums_saturate_and_say_so(void **state)
{
    struct symbols *s = symbols_new();
    struct tree a = {0}, b = {0}, out = {0};
    const struct tree *in[] = {&a, &b};

    (void)state;
    build_tree(&a, s, "up 9223372036854775807\ndown -9223372036854775808");
    build_tree(&b, s, "up 1\ndown -1");
    tree_zip(&out, 1, in, NULL, 2, s);
    assert_int_equal(out.saturated, 2);
    ASSERT_FOLDED(&out, s, "down -9223372036854775808\nup 9223372036854775807");
    tree_subtract(&out, &b, &a, s);
    assert_int_equal(out.saturated, 0);
    tree_subtract(&out, &a, &b, s);
    assert_int_equal(out.saturated, 0);
    build_tree(&b, s, "up -1\ndown 1");
    tree_subtract(&out, &a, &b, s);
    assert_int_equal(out.saturated, 2);
    tree_deinit(&a);
    tree_deinit(&b);
    tree_deinit(&out);
    symbols_free(s);
}

static void recursion_counts_once_in_a_functions_total(void **state)
{
    struct symbols *s = symbols_new();
    struct tree t = {0};
    uint32_t f, g, group[8] = {0};
    int64_t self[3], total[3];

    (void)state;
    build_tree(&t, s, "f;g;f;f 10\nf;g 5\ng;f 2\ng 1");
    f = build_frame(s, "f");
    g = build_frame(s, "g");
    group[f] = 1;
    group[g] = 2;
    tree_by_group(&t, 0, group, 3, self, total);
    assert_true(self[1] == 12 && self[2] == 6);
    assert_true(total[1] == 17 && total[2] == 18);
    assert_true(self[0] == 0 && total[0] == 0);
    tree_deinit(&t);
    symbols_free(s);
}

static void pruning_keeps_the_heaviest_and_the_exact_rest(void **state)
{
    struct symbols *s = symbols_new();
    struct tree t = {0}, out = {0};

    (void)state;
    build_tree(&t, s, "main;hot 100\nmain;warm 50\nmain;cold 2\nmain;cool;deep 3\nmain 1\n 4");
    assert_int_equal(tree_prune(&out, &t, 5), 3);
    ASSERT_FOLDED(&out, s, " 4\nmain 1\nmain;(other) 5\nmain;hot 100\nmain;warm 50");
    assert_int_equal(out.n, 5);
    assert_true(out.frame[4] == TREE_OTHER);
    assert_int_equal(tree_prune(&out, &t, 7), 0);
    assert_int_equal(out.n, t.n);
    assert_int_equal(tree_prune(&out, &t, 0), 6);
    ASSERT_FOLDED(&out, s, " 4\n(other) 156");
    tree_deinit(&t);
    tree_deinit(&out);
    symbols_free(s);
}

static void pruning_a_difference_keeps_what_is_on_one_side_only(void **state)
{
    struct symbols *s = symbols_new();
    struct tree a = {0}, b = {0}, t = {0}, out = {0};
    const struct tree *in[] = {&a, &b};

    (void)state;
    build_tree(&a, s, "gone 50\nsame 40\nlittle 1\nless 1");
    build_tree(&b, s, "new 60\nsame 40\nlittle 2");
    tree_zip(&t, 2, in, (uint8_t[]){0, 1}, 2, s);
    assert_int_equal(tree_prune(&out, &t, 5), 2);
    ASSERT_FOLDED(&out, s, "(other) 2 2\ngone 50 0\nnew 0 60\nsame 40 40");
    tree_deinit(&a);
    tree_deinit(&b);
    tree_deinit(&t);
    tree_deinit(&out);
    symbols_free(s);
}

/* A parent whose children cancel weighs nothing by itself. */
static void pruning_shows_heavy_children_of_a_light_parent(void **state)
{
    struct symbols *s = symbols_new();
    struct tree t = {0}, out = {0};

    (void)state;
    build_tree(&t, s, "p;plus 100\np;minus -100\nq 5\nr 4\ns 3");
    tree_prune(&out, &t, 5);
    ASSERT_FOLDED(&out, s, "(other) 12\np;minus -100\np;plus 100");
    tree_deinit(&t);
    tree_deinit(&out);
    symbols_free(s);
}

static void a_tree_reads_back_as_it_was_written(void **state)
{
    struct symbols *s = symbols_new();
    struct tree t = {0}, got = {0};
    struct buf out = {0};
    int64_t sum;

    (void)state;
    build_tree(&t, s, "a;b;c 1\na;b;d -7\na;e 9223372036854775807\nf;g -9223372036854775808\n 3");
    tree_encode(&t, &out);
    assert_int_equal(tree_decode(&got, buf_bytes(&out), symbols_n_frames(s), &sum), 0);
    assert_int_equal(sum, 1 - 7 - 1 + 3); /* the two greatest cancel but for one */
    assert_int_equal(got.n, t.n);
    assert_memory_equal(got.depth, t.depth, t.n * sizeof *t.depth);
    assert_memory_equal(got.frame, t.frame, t.n * sizeof *t.frame);
    assert_memory_equal(got.self[0], t.self[0], t.n * sizeof *t.self[0]);
    buf_reset(&out);
    tree_encode(&(struct tree){0}, &out);
    assert_int_equal(tree_decode(&got, buf_bytes(&out), 1, &sum), 0);
    assert_int_equal(got.n, 1);
    buf_deinit(&out);
    tree_deinit(&t);
    tree_deinit(&got);
    symbols_free(s);
}

static void a_deep_tree_reads_back_as_it_was_written(void **state)
{
    enum { DEPTH = 1000 };
    struct symbols *s = symbols_new();
    struct tree t = {0}, got = {0};
    struct buf text = {0}, out = {0};
    int64_t sum;

    (void)state;
    for (int i = 1; i < DEPTH; i++)
        buf_printf(&text, "f%d;", i % 7);
    buf_printf(&text, "leaf 5\nf1;f2 2");
    build_tree(&t, s, buf_cstr(&text));
    assert_int_equal(t.n, DEPTH + 1);
    tree_encode(&t, &out);
    assert_int_equal(tree_decode(&got, buf_bytes(&out), symbols_n_frames(s), &sum), 0);
    assert_true(got.n == t.n && sum == 7);
    assert_memory_equal(got.depth, t.depth, t.n * sizeof *t.depth);
    assert_memory_equal(got.frame, t.frame, t.n * sizeof *t.frame);
    assert_memory_equal(got.self[0], t.self[0], t.n * sizeof *t.self[0]);
    buf_deinit(&text);
    buf_deinit(&out);
    tree_deinit(&t);
    tree_deinit(&got);
    symbols_free(s);
}

static void what_is_not_a_tree_is_refused(void **state)
{
    static const struct {
        const char *what;
        uint8_t bytes[20];
        size_t len;
    } cases[] = {
        /* n, step, bytes of the first four columns; up, length, frames, leaf values, inner values
         */
        {"nothing", {0}, 0},
        {"no nodes", {0, 1, 0, 0, 0, 1, 2}, 7},
        {"more nodes than bytes", {0xff, 0xff, 0xff, 0x7f, 1, 1, 1, 1, 1, 0, 0, 2, 2}, 13},
        {"a column longer than all", {2, 1, 9, 1, 1, 1, 0, 0, 2, 2}, 10},
        {"no value for the leaf", {2, 1, 1, 1, 1, 0, 0, 0, 2}, 9},
        {"a node above the root", {2, 1, 1, 1, 1, 1, 1, 0, 2, 2}, 10},
        {"two levels up from the first", {3, 1, 2, 2, 2, 2, 0, 2, 0, 0, 2, 2, 2, 2}, 14},
        {"a leaf with a child", {3, 1, 2, 2, 2, 2, 0, 0, 0, 0, 2, 2, 2, 2}, 14},
        {"a chain longer than all", {2, 1, 1, 1, 1, 1, 0, 1, 2, 2}, 10},
        {"a chain that is missing", {3, 1, 1, 1, 2, 1, 0, 0, 2, 2, 2}, 11},
        {"the root's frame inside", {2, 1, 1, 1, 1, 1, 0, 0, 0, 2}, 10},
        {"a frame that does not exist", {2, 1, 1, 1, 1, 1, 0, 0, 10, 2}, 10},
        {"a frame below the root's", {2, 1, 1, 1, 1, 1, 0, 0, 1, 2}, 10},
        {"a frame that runs into the values", {2, 1, 1, 1, 1, 1, 0, 0, 0x82, 0}, 10},
        {"an inner value of a leaf", {2, 1, 1, 1, 1, 1, 0, 0, 2, 2, 1, 2}, 12},
        {"an inner value of no node", {2, 1, 1, 1, 1, 1, 0, 0, 2, 2, 2, 2}, 12},
        {"two inner values of the root", {2, 1, 1, 1, 1, 1, 0, 0, 2, 2, 0, 2, 0, 2}, 14},
        {"an inner value of nothing", {2, 1, 1, 1, 1, 1, 0, 0, 2, 2, 0, 0}, 12},
        {"half an inner value", {2, 1, 1, 1, 1, 1, 0, 0, 2, 2, 0}, 11},
        {"cut short", {2, 1, 1, 1, 1, 1, 0, 0, 2}, 9},
        {"an endless number",
         {2,    1,    1,    1,    11,   1,    0,    0,    0xff, 0xff,
          0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2},
         20},
    };
    struct tree t = {0};
    int64_t sum;

    (void)state;
    assert_int_equal(
        tree_decode(&t, bytes_of((uint8_t[]){2, 3, 1, 1, 1, 1, 0, 0, 2, 2, 0, 4}, 12), 2, &sum), 0);
    assert_int_equal(sum, 9);
    assert_true(t.n == 2 && t.frame[1] == 1 && t.self[0][1] == 3 && t.self[0][0] == 6);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int r = tree_decode(&t, bytes_of(cases[i].bytes, cases[i].len), 5, &sum);

        if (r != -EBADMSG)
            fail_msg("%s: %d", cases[i].what, r);
        assert_int_equal(t.n, 0);
    }
    tree_deinit(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stacks_become_a_sorted_tree),
        cmocka_unit_test(stacks_without_weight_leave_no_trace),
        cmocka_unit_test(values_of_a_stack_add_up_cancel_or_saturate),
        cmocka_unit_test(any_number_of_trees_merge),
        cmocka_unit_test(a_tree_never_filled_merges_as_nothing),
        cmocka_unit_test(two_columns_keep_the_sides_of_a_difference_apart),
        cmocka_unit_test(values_that_cancel_take_their_branch_along),
        cmocka_unit_test(subtracting_takes_a_window_out_again),
        cmocka_unit_test(sums_saturate_and_say_so),
        cmocka_unit_test(recursion_counts_once_in_a_functions_total),
        cmocka_unit_test(pruning_keeps_the_heaviest_and_the_exact_rest),
        cmocka_unit_test(pruning_a_difference_keeps_what_is_on_one_side_only),
        cmocka_unit_test(pruning_shows_heavy_children_of_a_light_parent),
        cmocka_unit_test(a_tree_reads_back_as_it_was_written),
        cmocka_unit_test(a_deep_tree_reads_back_as_it_was_written),
        cmocka_unit_test(what_is_not_a_tree_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
