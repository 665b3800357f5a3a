#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* XXH3's published values: stored data depends on them. */
static void hashes_are_those_of_xxh3_for_ever(void **state)
{
    char hex[33];

    (void)state;
    assert_true(hash64(BYTES_LIT("")) == 0x2d06800538d394c2u);
    hash128_hex(hash128(BYTES_LIT("")), hex);
    assert_string_equal(hex, "99aa06d3014798d86001c324468d497f");
    assert_true(hash64((struct bytes){0}) == hash64(BYTES_LIT("")));
}

static void hex_digits_are_lower_case_and_high_first(void **state)
{
    char hex[33];

    (void)state;
    hash128_hex((struct hash128){.hi = 0x0123456789abcdefu, .lo = 0xfedcba9876543210u}, hex);
    assert_string_equal(hex, "0123456789abcdeffedcba9876543210");
}

static void one_bit_of_input_turns_about_half_of_the_output(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < 64; bit++) {
        int turned = __builtin_popcountll(hash_mix(12345) ^ hash_mix(12345 ^ UINT64_C(1) << bit));

        assert_in_range(turned, 12, 52);
    }
}

static void secrets_are_odd_stay_and_differ(void **state)
{
    const uint64_t *s = hash_secret();

    (void)state;
    assert_ptr_equal(s, hash_secret());
    for (unsigned i = 0; i < 64; i++) {
        assert_true(s[i] & 1);
        for (unsigned j = 0; j < i; j++)
            assert_true(s[i] != s[j]);
    }
    assert_true(random_u64() != random_u64());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_are_those_of_xxh3_for_ever),
        cmocka_unit_test(hex_digits_are_lower_case_and_high_first),
        cmocka_unit_test(one_bit_of_input_turns_about_half_of_the_output),
        cmocka_unit_test(secrets_are_odd_stay_and_differ),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
