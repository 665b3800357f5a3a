#include "wire/aggregate.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static uint32_t frame(struct symbols *s, const char *name)
{
    struct function f = {.name = symbols_string(s, bytes_str(name))};
    struct frame fr = {.function = symbols_function(s, &f), .line_or_address = 3};

    return symbols_frame(s, &fr);
}

static void tree_fill(struct tree *t, struct symbols *s)
{
    struct stacks *st = stacks_new();
    uint32_t main_ = frame(s, "main"), a = frame(s, "a"), b = frame(s, "b");
    const int64_t value[] = {5, -3, 7};
    const uint32_t stack[] = {stacks_intern(st, (uint32_t[]){a, main_}, 2),
                              stacks_intern(st, (uint32_t[]){b, a, main_}, 3),
                              stacks_intern(st, (uint32_t[]){b, main_}, 2)};

    tree_of_stacks(t, st, s, stack, value, 3);
    stacks_free(st);
}

static struct aggregate figures(void)
{
    struct aggregate a = {
        .generation = 99,
        .profiles = 3,
        .duration_ns = 30,
        .start_ns = 1000,
        .end_ns = 2000,
        .first_offset = 10,
        .last_offset = 20,
    };

    sketch_add(&a.instances, 0x123456789abcdef0);
    return a;
}

static void an_aggregate_reads_back(void **state)
{
    struct zcodec *z = zcodec_new();
    struct symbols *s = symbols_new();
    struct aggregate a = figures(), got = {0};
    struct buf out = {0};

    (void)state;
    tree_fill(&a.tree, s);
    aggregate_encode(z, &a, 3, &out);
    assert_int_equal(aggregate_decode(z, &got, buf_bytes(&out), symbols_n_frames(s)), 0);
    assert_true(got.generation == 99 && got.profiles == 3 && got.duration_ns == 30);
    assert_true(got.start_ns == 1000 && got.end_ns == 2000 && got.total == 9);
    assert_true(got.first_offset == 10 && got.last_offset == 20);
    assert_memory_equal(&got.instances, &a.instances, sizeof got.instances);
    assert_int_equal(got.tree.n, a.tree.n);
    assert_memory_equal(got.tree.depth, a.tree.depth, a.tree.n * sizeof(uint32_t));
    assert_memory_equal(got.tree.frame, a.tree.frame, a.tree.n * sizeof(uint32_t));
    assert_memory_equal(got.tree.self[0], a.tree.self[0], a.tree.n * sizeof(int64_t));
    aggregate_deinit(&a);
    aggregate_deinit(&got);
    buf_deinit(&out);
    symbols_free(s);
    zcodec_free(z);
}

static void its_figures_can_be_peeked_at(void **state)
{
    struct zcodec *z = zcodec_new();
    struct symbols *s = symbols_new();
    struct aggregate a = figures(), got = {0};
    struct buf out = {0};

    (void)state;
    tree_fill(&a.tree, s);
    aggregate_encode(z, &a, 3, &out);
    assert_int_equal(aggregate_peek(&got, buf_bytes(&out)), 0);
    assert_true(got.generation == 99 && got.profiles == 3 && got.total == 9);
    assert_int_equal(got.tree.n, 0);
    assert_int_equal(aggregate_peek(&got, bytes_of(out.data, 11)), -EBADMSG);
    aggregate_deinit(&a);
    buf_deinit(&out);
    symbols_free(s);
    zcodec_free(z);
}

static void every_flipped_bit_and_every_cut_is_noticed(void **state)
{
    struct zcodec *z = zcodec_new();
    struct symbols *s = symbols_new();
    struct aggregate a = figures(), got = {0};
    struct buf out = {0};

    (void)state;
    tree_fill(&a.tree, s);
    aggregate_encode(z, &a, 3, &out);
    for (size_t i = 0; i < out.len; i++) {
        out.data[i] ^= 1;
        assert_int_equal(aggregate_decode(z, &got, buf_bytes(&out), 1000), -EBADMSG);
        assert_int_equal(got.tree.n, 0);
        out.data[i] ^= 1;
    }
    for (size_t len = 0; len < out.len; len++)
        assert_int_equal(aggregate_decode(z, &got, bytes_of(out.data, len), 1000), -EBADMSG);
    aggregate_deinit(&a);
    aggregate_deinit(&got);
    buf_deinit(&out);
    symbols_free(s);
    zcodec_free(z);
}

static void frames_that_its_generation_does_not_have_are_refused(void **state)
{
    struct zcodec *z = zcodec_new();
    struct symbols *s = symbols_new();
    struct aggregate a = figures(), got = {0};
    struct buf out = {0};

    (void)state;
    tree_fill(&a.tree, s);
    aggregate_encode(z, &a, 3, &out);
    assert_int_equal(aggregate_decode(z, &got, buf_bytes(&out), symbols_n_frames(s) - 1), -EBADMSG);
    aggregate_deinit(&a);
    aggregate_deinit(&got);
    buf_deinit(&out);
    symbols_free(s);
    zcodec_free(z);
}

static void figures_add_up(void **state)
{
    struct aggregate sum = {0}, a = figures(), b = figures(), none = {0};

    (void)state;
    b.start_ns = 500;
    b.end_ns = 1500;
    b.first_offset = 5;
    b.last_offset = 15;
    aggregate_add_figures(&sum, &a);
    aggregate_add_figures(&sum, &none);
    aggregate_add_figures(&sum, &b);
    assert_true(sum.profiles == 6 && sum.duration_ns == 60);
    assert_true(sum.start_ns == 500 && sum.end_ns == 2000);
    assert_true(sum.first_offset == 5 && sum.last_offset == 20);
    assert_memory_equal(&sum.instances, &a.instances, sizeof sum.instances);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_aggregate_reads_back),
        cmocka_unit_test(its_figures_can_be_peeked_at),
        cmocka_unit_test(every_flipped_bit_and_every_cut_is_noticed),
        cmocka_unit_test(frames_that_its_generation_does_not_have_are_refused),
        cmocka_unit_test(figures_add_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
