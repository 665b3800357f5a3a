#include "profile/sparse.h"

#include "lib/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum { IDS = 1 << 20 };

static void what_was_set_is_found_and_nothing_else(void **state)
{
    uint32_t *plain = malloc(IDS * sizeof *plain);
    uint64_t random = random_seed();
    struct sparse s = {0};

    (void)state;
    for (int round = 0; round < 3; round++) {
        memset(plain, 0xff, IDS * sizeof *plain);
        for (uint32_t i = 0; i < 20000; i++) {
            uint32_t id = random_below(&random, i % 3 ? 5000 : IDS), *at = sparse_at(&s, id);

            assert_int_equal(*at, plain[id]);
            *at = plain[id] = i;
        }
        for (uint32_t id = 0; id < IDS; id += 1 + id / 10000)
            assert_int_equal(*sparse_at(&s, id), plain[id]);
        sparse_reset(&s);
    }
    sparse_deinit(&s);
    free(plain);
}

static void few_numbers_cost_little_however_many_ids_there_are(void **state)
{
    struct sparse s = {0};

    (void)state;
    for (uint32_t i = 0; i < 10; i++)
        *sparse_at(&s, i * 100000) = i;
    assert_true(sparse_bytes(&s) < 16384);
    *sparse_at(&s, UINT32_MAX) = 5;
    assert_int_equal(*sparse_at(&s, UINT32_MAX), 5);
    assert_int_equal(*sparse_at(&s, UINT32_MAX - 1), SPARSE_NONE);
    for (int i = 0; i < 30; i++)
        sparse_reset(&s);
    assert_true(sparse_bytes(&s) < 65536);
    sparse_deinit(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_set_is_found_and_nothing_else),
        cmocka_unit_test(few_numbers_cost_little_however_many_ids_there_are),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
