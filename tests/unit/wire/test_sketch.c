#include "base/hash.h"
#include "wire/sketch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void add_many(struct sketch *s, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++)
        sketch_add(s, hash64(bytes_of(&i, sizeof i)));
}

static void nothing_counts_as_nothing(void **state)
{
    struct sketch s = {0};

    (void)state;
    assert_true(sketch_estimate(&s) == 0);
}

static void the_same_instance_counts_once(void **state)
{
    struct sketch s = {0};

    (void)state;
    for (int i = 0; i < 1000; i++)
        add_many(&s, 7, 8);
    assert_int_equal(lround(sketch_estimate(&s)), 1);
}

/* Three standard errors of 64 registers (1.04 / 8) are 39 %. */
static void estimates_are_near_the_truth(void **state)
{
    (void)state;
    for (uint64_t n = 1; n <= 1000000; n *= 10) {
        struct sketch s = {0};
        double got;

        add_many(&s, 0, n);
        got = sketch_estimate(&s);
        assert_true(fabs(got - (double)n) <= 0.39 * (double)n + 0.5);
    }
}

static void a_union_is_the_sketch_of_both(void **state)
{
    struct sketch a = {0}, b = {0}, both = {0};

    (void)state;
    add_many(&a, 0, 300);
    add_many(&b, 200, 500);
    add_many(&both, 0, 500);
    sketch_union(&a, &b);
    assert_memory_equal(&a, &both, sizeof a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_counts_as_nothing),
        cmocka_unit_test(the_same_instance_counts_once),
        cmocka_unit_test(estimates_are_near_the_truth),
        cmocka_unit_test(a_union_is_the_sketch_of_both),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
