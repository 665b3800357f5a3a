#include "aggregator/cache.h"
#include "base/xalloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct index_entry entry = {1, 2, 3};

static struct aggregate aggregate(uint64_t profiles)
{
    struct aggregate a = {.profiles = profiles};
    struct stacks *st = stacks_new();
    struct symbols *sym = symbols_new();

    tree_of_stacks(&a.tree, st, sym, NULL, NULL, 0);
    stacks_free(st);
    symbols_free(sym);
    return a;
}

static void put(struct cache *c, uint64_t kid, int64_t t_s, uint64_t profiles)
{
    struct aggregate a = aggregate(profiles);

    cache_put(c, (struct hash128){0, kid}, t_s, &entry, &a);
    assert_null(a.tree.depth); /* taken */
}

static struct cached *get(struct cache *c, uint64_t kid, int64_t t_s)
{
    return cache_get(c, (struct hash128){0, kid}, t_s);
}

static void the_last_aggregate_of_a_window_is_found(void **state)
{
    struct cache c;

    (void)state;
    cache_init(&c, 1 << 20);
    assert_null(get(&c, 1, 60));
    put(&c, 1, 60, 5);
    put(&c, 1, 120, 6);
    put(&c, 2, 60, 7);
    put(&c, 1, 60, 8);
    assert_int_equal(get(&c, 1, 60)->aggregate.profiles, 8);
    assert_int_equal(get(&c, 1, 120)->aggregate.profiles, 6);
    assert_int_equal(get(&c, 2, 60)->aggregate.profiles, 7);
    assert_int_equal(get(&c, 2, 60)->entry.seq, 2);
    assert_int_equal(c.map.n, 3);
    cache_deinit(&c);
}

static void the_least_recently_used_goes_first(void **state)
{
    struct cache c;

    (void)state;
    cache_init(&c, 1 << 20);
    put(&c, 1, 0, 1);
    c.bytes_max = 3 * c.bytes;
    put(&c, 2, 0, 1);
    put(&c, 3, 0, 1);
    get(&c, 1, 0);
    put(&c, 4, 0, 1);
    assert_true(c.bytes <= c.bytes_max);
    assert_null(get(&c, 2, 0));
    assert_non_null(get(&c, 1, 0));
    assert_non_null(get(&c, 3, 0));
    assert_non_null(get(&c, 4, 0));
    cache_deinit(&c);
}

static void a_smaller_budget_counts_at_once(void **state)
{
    struct cache c;

    (void)state;
    cache_init(&c, 1 << 20);
    put(&c, 1, 0, 1);
    put(&c, 2, 0, 1);
    get(&c, 1, 0);
    cache_limit(&c, c.bytes / 2);
    assert_null(get(&c, 2, 0));
    assert_non_null(get(&c, 1, 0));
    put(&c, 3, 0, 1);
    assert_null(get(&c, 1, 0));
    cache_limit(&c, 0);
    assert_int_equal(c.bytes, 0);
    cache_deinit(&c);
}

static void what_exceeds_the_budget_alone_is_not_kept(void **state)
{
    struct cache c;

    (void)state;
    cache_init(&c, 1);
    put(&c, 1, 0, 1);
    assert_null(get(&c, 1, 0));
    assert_int_equal(c.bytes, 0);
    cache_deinit(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_aggregate_of_a_window_is_found),
        cmocka_unit_test(the_least_recently_used_goes_first),
        cmocka_unit_test(a_smaller_budget_counts_at_once),
        cmocka_unit_test(what_exceeds_the_budget_alone_is_not_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
