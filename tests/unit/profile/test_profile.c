#include "profile/profile.h"
#include "profile/tree.h"

#include "lib/build.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void a_stack_has_one_id_however_it_is_made(void **state)
{
    struct stacks *st = stacks_new();
    const uint32_t frames[] = {3, 2, 1}; /* leaf first */
    uint32_t node = 0, by_steps;

    (void)state;
    for (uint32_t frame = 1; frame <= 3; frame++)
        node = stacks_child(st, node, frame);
    by_steps = stacks_at(st, node);
    assert_int_equal(stacks_intern(st, frames, 3), by_steps);
    assert_int_equal(stacks_intern(st, frames, 3), by_steps);
    assert_int_equal(stacks_at(st, node), by_steps);
    assert_int_equal(stacks_count(st), 1);
    assert_int_equal(stacks_n_nodes(st), 4);
    stacks_free(st);
}

static void stacks_that_differ_are_different(void **state)
{
    struct stacks *st = stacks_new();
    uint32_t a = stacks_intern(st, (uint32_t[]){2, 1}, 2);

    (void)state;
    assert_true(stacks_intern(st, (uint32_t[]){1, 2}, 2) != a);
    assert_true(stacks_intern(st, (uint32_t[]){2}, 1) != a);
    assert_true(stacks_intern(st, (uint32_t[]){2, 1, 1}, 3) != a);
    assert_true(stacks_intern(st, NULL, 0) != a);
    assert_int_equal(stacks_leaf(st, stacks_intern(st, NULL, 0)), 0);
    assert_int_equal(stacks_count(st), 5);
    stacks_free(st);
}

/* A hash that used its multipliers over again would not see this. */
static void frames_swapped_a_block_apart_make_another_stack(void **state)
{
    struct stacks *st = stacks_new();
    uint32_t frames[200], swapped[200];

    (void)state;
    for (uint32_t i = 0; i < 200; i++)
        frames[i] = i + 1;
    for (uint32_t i = 0; i + 64 < 200; i++) {
        memcpy(swapped, frames, sizeof frames);
        swapped[i] = frames[i + 64];
        swapped[i + 64] = frames[i];
        assert_true(stacks_intern(st, swapped, 200) != stacks_intern(st, frames, 200));
    }
    assert_int_equal(stacks_count(st), 137);
    stacks_free(st);
}

static void frames_of_a_stack_come_back_leaf_first(void **state)
{
    struct stacks *st = stacks_new();
    uint32_t id = stacks_intern(st, (uint32_t[]){9, 8, 7}, 3), got[3] = {0};

    (void)state;
    assert_int_equal(stacks_frames(st, id, got, 2), 3);
    assert_true(got[0] == 9 && got[1] == 8 && got[2] == 0);
    assert_int_equal(stacks_frames(st, id, got, 3), 3);
    assert_true(got[2] == 7);
    stacks_free(st);
}

static void a_parent_is_older_than_its_children(void **state)
{
    struct stacks *st = stacks_new();

    (void)state;
    for (uint32_t i = 0; i < 1000; i++)
        stacks_intern(st, (uint32_t[]){i % 7 + 1, i % 31 + 1, i % 3 + 1}, 3);
    for (uint32_t i = 1; i < stacks_n_nodes(st); i++)
        assert_true(stacks_nodes(st)[i].parent < i);
    stacks_reset(st);
    assert_int_equal(stacks_n_nodes(st), 1);
    assert_int_equal(stacks_count(st), 0);
    assert_int_equal(stacks_intern(st, (uint32_t[]){1}, 1), 0);
    stacks_free(st);
}

static void memory_of_one_huge_round_is_given_back(void **state)
{
    struct stacks *st = stacks_new();
    struct symbols *sym = symbols_new();
    char name[32];

    (void)state;
    for (uint32_t i = 1; i < 200000; i++) {
        stacks_intern(st, &i, 1);
        snprintf(name, sizeof name, "name %u", i);
        symbols_string(sym, bytes_str(name));
    }
    assert_true(stacks_bytes(st) > 5000000 && symbols_bytes(sym) > 5000000);
    for (int round = 0; round < 30; round++) {
        stacks_reset(st);
        symbols_reset(sym);
        build_stack(sym, st, "main;work");
    }
    assert_true(stacks_bytes(st) < 500000 && symbols_bytes(sym) < 500000);
    stacks_free(st);
    symbols_free(sym);
}

struct fixture {
    struct symbols *sym;
    struct stacks *st;
    struct profile p;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    f->sym = symbols_new();
    f->st = stacks_new();
    profile_init(&f->p, f->sym, f->st);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    profile_deinit(&f->p);
    stacks_free(f->st);
    symbols_free(f->sym);
    free(f);
    return 0;
}

static int set_types(struct fixture *f, const char *a, const char *b)
{
    struct sample_type types[] = {{symbols_string(f->sym, bytes_str(a)), 0},
                                  {symbols_string(f->sym, bytes_str(b)), 0}};

    return profile_set_types(&f->p, types, 2);
}

static uint32_t label(struct fixture *f, const char *key, const char *value, int64_t num)
{
    struct label l = {.key = symbols_string(f->sym, bytes_str(key)),
                      .str = symbols_string(f->sym, bytes_str(value)),
                      .num = num};

    return profile_labels(&f->p, &l, 1);
}

static void equal_rows_are_summed_per_type(void **state)
{
    struct fixture *f = *state;
    uint32_t work = build_stack(f->sym, f->st, "main;work");

    set_types(f, "count", "bytes");
    profile_add(&f->p, work, 0, (int64_t[]){1, 100});
    profile_add(&f->p, build_stack(f->sym, f->st, "main"), 0, (int64_t[]){1, -1});
    profile_add(&f->p, work, 0, (int64_t[]){2, 200});
    assert_int_equal(f->p.n_rows, 2);
    assert_int_equal(f->p.values[0][0], 3);
    assert_int_equal(f->p.values[1][0], 300);
    assert_int_equal(profile_total(&f->p, 0), 4);
    assert_int_equal(profile_total(&f->p, 1), 299);
}

static void labels_make_rows_of_their_own_and_fold_by_stack(void **state)
{
    struct fixture *f = *state;
    uint32_t work = build_stack(f->sym, f->st, "main;work");
    struct tree t = {0};

    set_types(f, "a", "b");
    profile_add(&f->p, work, 0, (int64_t[]){1, 0});
    profile_add(&f->p, work, label(f, "endpoint", "/a", 0), (int64_t[]){2, 0});
    profile_add(&f->p, work, label(f, "endpoint", "/b", 0), (int64_t[]){4, 0});
    profile_add(&f->p, work, label(f, "endpoint", "/a", 0), (int64_t[]){8, 0});
    assert_int_equal(f->p.n_rows, 3);
    assert_int_equal(profile_n_label_sets(&f->p), 3);
    tree_of_profile(&t, &f->p, 0);
    ASSERT_FOLDED(&t, f->sym, "main;work 15");
    tree_deinit(&t);
}

/* The first has one stack in seven, with labels or without, the second all others and some of both.
 */
static void profiles_may_share_stacks_and_have_their_own_rows(void **state)
{
    enum { STACKS = 1000 };
    struct fixture *f = *state;
    struct profile other;
    int64_t sum[2] = {0};

    profile_init(&other, f->sym, f->st);
    set_types(f, "a", "b");
    profile_set_types(&other, f->p.types, 2);
    for (int64_t round = 0; round < 2; round++)
        for (int64_t i = 0; i < STACKS; i++) {
            char name[16];
            uint32_t stack;

            snprintf(name, sizeof name, "main;f%d", (int)i);
            stack = build_stack(f->sym, f->st, name);
            if (i % 7 == 0)
                profile_add(&f->p, stack, i % 2 ? label(f, "k", "v", 0) : 0, (int64_t[]){i, 1});
            if (i % 7 != 0 || i % 5 == 0)
                profile_add(&other, stack, 0, (int64_t[]){i, 1});
            sum[0] += i % 7 == 0 ? i : 0;
            sum[1] += i % 7 != 0 || i % 5 == 0 ? i : 0;
        }
    assert_int_equal(stacks_count(f->st), STACKS);
    assert_int_equal(f->p.n_rows, 143);
    assert_int_equal(other.n_rows, STACKS - 143 + 29);
    assert_int_equal(profile_total(&f->p, 0), sum[0]);
    assert_int_equal(profile_total(&other, 0), sum[1]);
    for (uint32_t row = 0; row < f->p.n_rows; row++)
        assert_int_equal(f->p.values[0][row], 2 * f->p.row_stack[row]);
    profile_deinit(&other);
}

static void a_tree_has_only_its_own_profile_s_stacks(void **state)
{
    struct fixture *f = *state;
    struct profile other;
    struct tree t = {0};

    profile_init(&other, f->sym, f->st);
    set_types(f, "a", "b");
    profile_set_types(&other, f->p.types, 2);
    profile_add(&f->p, build_stack(f->sym, f->st, "main;work"), 0, (int64_t[]){1, 1});
    profile_add(&other, build_stack(f->sym, f->st, "main;work;deep"), 0, (int64_t[]){2, 1});
    profile_add(&other, build_stack(f->sym, f->st, "main"), 0, (int64_t[]){0, 1});
    for (int again = 0; again < 2; again++) {
        tree_of_profile(&t, &f->p, 0);
        assert_int_equal(t.n, 3);
        ASSERT_FOLDED(&t, f->sym, "main;work 1");
        tree_of_profile(&t, &other, 0);
        ASSERT_FOLDED(&t, f->sym, "main;work;deep 2");
        tree_of_profile(&t, &other, 1);
        ASSERT_FOLDED(&t, f->sym, "main 1\nmain;work;deep 1");
    }
    tree_deinit(&t);
    profile_deinit(&other);
}

static void a_set_of_labels_has_one_id_in_any_order(void **state)
{
    struct fixture *f = *state;
    uint32_t z = symbols_string(f->sym, BYTES_LIT("z")), a = symbols_string(f->sym, BYTES_LIT("a"));
    struct label one[] = {{.key = z, .str = a}, {.key = a, .num = 5}, {.key = z, .str = a}};
    struct label two[] = {{.key = a, .num = 5}, {.key = z, .str = a}};
    const struct label *set;
    uint32_t id = profile_labels(&f->p, one, 3);
    size_t n;

    assert_int_equal(profile_labels(&f->p, two, 2), id);
    set = profile_label_set(&f->p, id, &n);
    assert_int_equal(n, 2);
    assert_true(set[0].key == z && set[1].key == a && set[1].num == 5); /* by ids */
    assert_int_equal(profile_labels(&f->p, NULL, 0), 0);
    profile_label_set(&f->p, 0, &n);
    assert_int_equal(n, 0);
    assert_true(label(f, "a", "", 6) != id);
}

static void other_types_are_refused(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(set_types(f, "a", "b"), 0);
    assert_int_equal(set_types(f, "a", "b"), 0);
    assert_int_equal(set_types(f, "b", "a"), PROFILE_E_TYPES);
    assert_int_equal(profile_set_types(&f->p, f->p.types, 1), PROFILE_E_TYPES);
    assert_int_equal(f->p.n_types, 2);
}

static void sums_saturate_at_both_ends_and_are_counted(void **state)
{
    struct fixture *f = *state;
    uint32_t work = build_stack(f->sym, f->st, "work");

    set_types(f, "a", "b");
    profile_add(&f->p, work, 0, (int64_t[]){INT64_MAX, INT64_MIN});
    assert_int_equal(f->p.saturated, 0);
    profile_add(&f->p, work, 0, (int64_t[]){1, -1});
    assert_int_equal(f->p.saturated, 2);
    assert_true(f->p.values[0][0] == INT64_MAX && f->p.values[1][0] == INT64_MIN);
}

static void a_reset_profile_remembers_nothing(void **state)
{
    struct fixture *f = *state;

    for (int round = 0; round < 3; round++) {
        set_types(f, round ? "x" : "y", "b");
        for (int i = 0; i < 100; i++) {
            char text[32];

            snprintf(text, sizeof text, "main;f%d", i);
            profile_add(&f->p, build_stack(f->sym, f->st, text), i % 2 ? label(f, "k", text, 0) : 0,
                        (int64_t[]){1, 2});
        }
        assert_int_equal(f->p.n_rows, 100);
        assert_int_equal(profile_total(&f->p, 1), 200);
        assert_int_equal(profile_n_label_sets(&f->p), 51);
        profile_reset(&f->p);
        assert_true(f->p.n_rows == 0 && f->p.n_types == 0);
        stacks_reset(f->st);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stack_has_one_id_however_it_is_made),
        cmocka_unit_test(stacks_that_differ_are_different),
        cmocka_unit_test(frames_swapped_a_block_apart_make_another_stack),
        cmocka_unit_test(frames_of_a_stack_come_back_leaf_first),
        cmocka_unit_test(a_parent_is_older_than_its_children),
        cmocka_unit_test(memory_of_one_huge_round_is_given_back),
        cmocka_unit_test_setup_teardown(equal_rows_are_summed_per_type, setup, teardown),
        cmocka_unit_test_setup_teardown(labels_make_rows_of_their_own_and_fold_by_stack, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(profiles_may_share_stacks_and_have_their_own_rows, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_tree_has_only_its_own_profile_s_stacks, setup, teardown),
        cmocka_unit_test_setup_teardown(a_set_of_labels_has_one_id_in_any_order, setup, teardown),
        cmocka_unit_test_setup_teardown(other_types_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(sums_saturate_at_both_ends_and_are_counted, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_reset_profile_remembers_nothing, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
