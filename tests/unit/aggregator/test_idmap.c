#include "aggregator/idmap.h"
#include "lib/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { IDS = 400, STEPS = 20000 };

static struct hash128 id_of(uint32_t i)
{
    return (struct hash128){i / 7, i};
}

static void it_holds_what_an_array_holds(void **state)
{
    static int things[IDS];
    bool present[IDS] = {false};
    uint64_t rng = random_seed();
    struct idmap m = {0};
    size_t n = 0;

    (void)state;
    for (int step = 0; step < STEPS; step++) {
        uint32_t i = random_below(&rng, IDS);

        if (!present[i]) {
            assert_null(idmap_get(&m, id_of(i)));
            idmap_put(&m, id_of(i), &things[i]);
        } else {
            assert_ptr_equal(idmap_remove(&m, id_of(i)), &things[i]);
        }
        n += present[i] ? -1 : 1;
        present[i] = !present[i];
        assert_int_equal(m.n, n);
        for (uint32_t k = 0; step % 100 == 0 && k < IDS; k++)
            assert_ptr_equal(idmap_get(&m, id_of(k)), present[k] ? &things[k] : NULL);
    }
    idmap_deinit(&m);
}

static void walking_meets_everything_once(void **state)
{
    static int things[100];
    struct idmap m = {0};
    size_t at = 0;
    int *thing;

    (void)state;
    for (uint32_t i = 0; i < 100; i++)
        idmap_put(&m, id_of(i), &things[i]);
    while ((thing = idmap_next(&m, &at)))
        ++*thing;
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(things[i], 1);
    idmap_deinit(&m);
}

static void an_empty_map_has_nothing(void **state)
{
    struct idmap m = {0};
    size_t at = 0;

    (void)state;
    assert_null(idmap_get(&m, id_of(1)));
    assert_null(idmap_remove(&m, id_of(1)));
    assert_null(idmap_next(&m, &at));
    idmap_deinit(&m);
}

static void an_id_reads_back_from_its_text(void **state)
{
    struct hash128 id = {0x0123456789abcdefu, 0xfedcba9876543210u}, got;
    char hex[33];

    (void)state;
    hash128_hex(id, hex);
    assert_true(hash128_unhex(bytes_str(hex), &got));
    assert_true(hash128_equal(id, got));
    assert_false(hash128_unhex(bytes_of(hex, 31), &got));
    hex[3] = 'G';
    assert_false(hash128_unhex(bytes_str(hex), &got));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_holds_what_an_array_holds),
        cmocka_unit_test(walking_meets_everything_once),
        cmocka_unit_test(an_empty_map_has_nothing),
        cmocka_unit_test(an_id_reads_back_from_its_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
