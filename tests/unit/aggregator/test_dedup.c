#include "aggregator/dedup.h"
#include "lib/random.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct hash128 a = {1, 2}, b = {1, 3};

static void a_sequence_counts_once(void **state)
{
    struct dedup *d = dedup_new();

    (void)state;
    assert_int_equal(dedup_add(d, a, 5, 0, 0), 0);
    assert_int_equal(dedup_add(d, a, 5, 0, 0), DEDUP_E_SEEN);
    assert_int_equal(dedup_add(d, a, 4, 0, 0), 0);
    assert_int_equal(dedup_add(d, a, 6, 0, 0), 0);
    assert_int_equal(dedup_add(d, a, 4, 0, 0), DEDUP_E_SEEN);
    assert_int_equal(dedup_add(d, a, 6, 0, 0), DEDUP_E_SEEN);
    dedup_free(d);
}

static void sources_do_not_know_of_each_other(void **state)
{
    struct dedup *d = dedup_new();

    (void)state;
    assert_int_equal(dedup_add(d, a, 5, 0, 0), 0);
    assert_int_equal(dedup_add(d, b, 5, 0, 0), 0);
    assert_int_equal(dedup_sources(d), 2);
    dedup_free(d);
}

static void everything_below_low_is_a_duplicate(void **state)
{
    struct dedup *d = dedup_new();

    (void)state;
    assert_int_equal(dedup_add(d, a, 10, 8, 0), 0);
    assert_int_equal(dedup_add(d, a, 7, 3, 0), DEDUP_E_SEEN);
    assert_int_equal(dedup_add(d, a, 8, 3, 0), 0);
    assert_int_equal(dedup_add(d, a, 9, 20, 0), DEDUP_E_SEEN);
    dedup_free(d);
}

static void too_many_gaps_close_the_lowest(void **state)
{
    struct dedup *d = dedup_new();

    (void)state;
    for (uint64_t i = 0; i <= DEDUP_INTERVALS_MAX; i++)
        assert_int_equal(dedup_add(d, a, 10 + 2 * i, 0, 0), 0);
    assert_int_equal(dedup_add(d, a, 11, 0, 0), DEDUP_E_SEEN);
    assert_int_equal(dedup_add(d, a, 13, 0, 0), 0);
    dedup_free(d);
}

/* What ops write, a fresh table loads. */
static struct dedup *reloaded(struct dedup *d, int64_t forget_before_ms)
{
    struct dedup *fresh = dedup_new();
    struct ops ops;

    ops_init(&ops);
    dedup_ops(d, key_dedup(1), forget_before_ms, &ops);
    for (size_t i = 0; i < ops.n; i++)
        if (ops.at[i].kind == STORE_OP_HSET)
            assert_int_equal(dedup_load(fresh, ops.at[i].field, ops.at[i].value), 0);
    ops_deinit(&ops);
    return fresh;
}

static void what_is_stored_decides_the_same(void **state)
{
    struct dedup *d = dedup_new(), *fresh;

    (void)state;
    dedup_add(d, a, 5, 2, 0);
    dedup_add(d, a, 9, 2, 0);
    dedup_add(d, b, UINT64_MAX - 1, 0, 0);
    fresh = reloaded(d, 0);
    assert_int_equal(dedup_sources(fresh), 2);
    assert_int_equal(dedup_add(fresh, a, 1, 0, 0), DEDUP_E_SEEN);
    assert_int_equal(dedup_add(fresh, a, 5, 0, 0), DEDUP_E_SEEN);
    assert_int_equal(dedup_add(fresh, a, 9, 0, 0), DEDUP_E_SEEN);
    assert_int_equal(dedup_add(fresh, a, 6, 0, 0), 0);
    assert_int_equal(dedup_add(fresh, b, UINT64_MAX - 1, 0, 0), DEDUP_E_SEEN);
    dedup_free(fresh);
    dedup_free(d);
}

static void only_what_changed_is_written(void **state)
{
    struct dedup *d = dedup_new();
    struct ops ops;

    (void)state;
    dedup_add(d, a, 1, 0, 0);
    dedup_add(d, b, 1, 0, 0);
    dedup_committed(d);
    dedup_add(d, b, 2, 0, 0);
    ops_init(&ops);
    dedup_ops(d, key_dedup(1), 0, &ops);
    assert_int_equal(ops.n, 1);
    ops_deinit(&ops);
    dedup_free(d);
}

static void a_silent_source_is_forgotten(void **state)
{
    struct dedup *d = dedup_new();
    struct ops ops;

    (void)state;
    dedup_add(d, a, 1, 0, 1000);
    dedup_add(d, b, 1, 0, 3000);
    dedup_committed(d);
    ops_init(&ops);
    dedup_ops(d, key_dedup(1), 2000, &ops);
    assert_int_equal(ops.n, 1);
    assert_int_equal(ops.at[0].kind, STORE_OP_HDEL);
    dedup_committed(d);
    assert_int_equal(dedup_sources(d), 1);
    assert_int_equal(dedup_add(d, b, 1, 0, 3000), DEDUP_E_SEEN);
    assert_int_equal(dedup_add(d, a, 1, 0, 3000), 0);
    ops_deinit(&ops);
    dedup_free(d);
}

static void loaded_sources_are_forgotten_by_age_too(void **state)
{
    struct dedup *d = dedup_new(), *fresh;
    struct ops ops;

    (void)state;
    dedup_add(d, b, 1, 0, 3000);
    dedup_add(d, a, 1, 0, 1000);
    fresh = reloaded(d, 0);
    ops_init(&ops);
    dedup_ops(fresh, key_dedup(1), 2000, &ops);
    dedup_committed(fresh);
    assert_int_equal(dedup_sources(fresh), 1);
    ops_deinit(&ops);
    dedup_free(fresh);
    dedup_free(d);
}

static void stored_fields_that_lie_are_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {{"", 0},           {"\2\0\0\0", 4},        {"\1\0\0", 3},
               {"\1\0\0\1", 4},   {"\1\0\0\1\1\0", 6},    {"\1\0\0\2\1\1\0\1", 8},
               {"\1\0\0\0\0", 5}, {"\1\0\0\xff\xff\3", 6}};
    struct dedup *d = dedup_new();
    char hex[33];

    (void)state;
    hash128_hex(a, hex);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(dedup_load(d, bytes_str(hex), bytes_of(bad[i].bytes, bad[i].len)),
                         -EBADMSG);
    assert_int_equal(dedup_load(d, BYTES_LIT("x"), BYTES_LIT("\1\0\0\0")), -EBADMSG);
    assert_int_equal(dedup_sources(d), 0);
    dedup_free(d);
}

/* ---- against a set that keeps everything --------------------------------------------------- */

enum { SPACE = 300, STEPS = 4000 };

struct naive {
    bool seen[SPACE];
    uint64_t low;
};

static int naive_add(struct naive *n, uint64_t seq, uint64_t low)
{
    if (n->low < low)
        n->low = low;
    if (seq < n->low || n->seen[seq])
        return DEDUP_E_SEEN;
    n->seen[seq] = true;
    return 0;
}

static void it_decides_as_a_set_that_keeps_everything(void **state)
{
    uint64_t rng = random_seed();

    (void)state;
    for (int round = 0; round < 50; round++) {
        struct dedup *d = dedup_new();
        struct naive n = {0};

        for (int i = 0; i < STEPS; i++) {
            uint64_t centre = (uint64_t)i * (SPACE - 40) / STEPS;
            uint64_t seq = centre + random_below(&rng, 40);
            uint64_t low = random_below(&rng, 50) == 0 ? centre + random_below(&rng, 10) : 0;

            assert_int_equal(dedup_add(d, a, seq, low, 0), naive_add(&n, seq, low));
            if (random_below(&rng, 100) == 0) {
                struct dedup *fresh = reloaded(d, 0);

                dedup_free(d);
                d = fresh;
                dedup_add(d, a, 0, 0, 0); /* marks it changed; 0 is below or seen */
                naive_add(&n, 0, 0);
            }
        }
        dedup_free(d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sequence_counts_once),
        cmocka_unit_test(sources_do_not_know_of_each_other),
        cmocka_unit_test(everything_below_low_is_a_duplicate),
        cmocka_unit_test(too_many_gaps_close_the_lowest),
        cmocka_unit_test(what_is_stored_decides_the_same),
        cmocka_unit_test(only_what_changed_is_written),
        cmocka_unit_test(a_silent_source_is_forgotten),
        cmocka_unit_test(loaded_sources_are_forgotten_by_age_too),
        cmocka_unit_test(stored_fields_that_lie_are_refused),
        cmocka_unit_test(it_decides_as_a_set_that_keeps_everything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
