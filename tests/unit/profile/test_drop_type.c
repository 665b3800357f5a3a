#include "base/err.h"
#include "profile/profile.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void set_types(struct profile *p, uint32_t n)
{
    struct sample_type types[PROFILE_TYPES_MAX] = {0};

    for (uint32_t i = 0; i < n; i++)
        types[i].name = symbols_string(p->symbols, bytes_of(&"abcdef"[i], 1));
    assert_int_equal(profile_set_types(p, types, n), 0);
}

static void add(struct profile *p, uint32_t rows, uint32_t n_types)
{
    struct label label = {.key = 1, .num = 0};

    for (uint32_t row = 0; row < rows; row++) {
        int64_t values[PROFILE_TYPES_MAX];

        for (uint32_t t = 0; t < n_types; t++)
            values[t] = (int64_t)(100 * t + row);
        label.num = row;
        profile_add(p, stacks_intern(p->stacks, NULL, 0), profile_labels(p, &label, 1), values);
    }
}

static void a_dropped_type_takes_its_values_and_no_others(void **state)
{
    struct symbols *symbols = symbols_new();
    struct stacks *stacks = stacks_new();
    struct profile p;

    (void)state;
    profile_init(&p, symbols, stacks);
    for (uint32_t drop = 0; drop < 4; drop++) {
        /* Round after round on the same memory, with ever more rows. */
        profile_reset(&p);
        set_types(&p, 4);
        add(&p, 1000 * (drop + 1), 4);
        profile_drop_type(&p, drop);
        assert_int_equal(p.n_types, 3);
        assert_int_equal(p.n_rows, 1000 * (drop + 1));
        for (uint32_t t = 0; t < 3; t++) {
            uint32_t was = t + (t >= drop);

            assert_memory_equal(symbols_text(symbols, p.types[t].name).data, &"abcd"[was], 1);
            for (uint32_t row = 0; row < p.n_rows; row++)
                assert_int_equal(p.values[t][row], 100 * was + row);
        }
    }
    profile_deinit(&p);
    stacks_free(stacks);
    symbols_free(symbols);
}

static void the_last_type_can_go(void **state)
{
    struct symbols *symbols = symbols_new();
    struct stacks *stacks = stacks_new();
    struct profile p;

    (void)state;
    profile_init(&p, symbols, stacks);
    set_types(&p, 1);
    add(&p, 3, 1);
    profile_drop_type(&p, 0);
    assert_int_equal(p.n_types, 0);
    profile_reset(&p);
    set_types(&p, 2);
    add(&p, 3, 2);
    assert_int_equal(profile_total(&p, 1), 303);
    profile_deinit(&p);
    stacks_free(stacks);
    symbols_free(symbols);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dropped_type_takes_its_values_and_no_others),
        cmocka_unit_test(the_last_type_can_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
