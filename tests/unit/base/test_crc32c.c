#include "base/crc32c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void the_check_value_of_the_standard_is_right(void **state)
{
    (void)state;
    assert_int_equal(crc32c(0, BYTES_LIT("123456789")), 0xe3069283);
    assert_int_equal(crc32c_portable(0, BYTES_LIT("123456789")), 0xe3069283);
    assert_int_equal(crc32c(0, BYTES_LIT("")), 0);
}

/* RFC 3720, B.4: 32 bytes of zeroes, of ones. */
static void the_vectors_of_rfc_3720_are_right(void **state)
{
    uint8_t bytes[32] = {0};

    (void)state;
    assert_int_equal(crc32c(0, bytes_of(bytes, 32)), 0x8a9136aa);
    memset(bytes, 0xff, 32);
    assert_int_equal(crc32c_portable(0, bytes_of(bytes, 32)), 0x62a8ab43);
}

static void both_ways_agree_however_the_bytes_are_cut(void **state)
{
    uint8_t bytes[5000]; /* several rounds of lanes */

    (void)state;
    srand(1);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)rand();
    for (size_t len = 0; len < sizeof bytes; len += 7) {
        size_t cut = (size_t)rand() % (len + 1);
        uint32_t whole = crc32c(0, bytes_of(bytes, len));

        assert_int_equal(whole, crc32c_portable(0, bytes_of(bytes, len)));
        assert_int_equal(whole,
                         crc32c(crc32c(0, bytes_of(bytes, cut)), bytes_of(bytes + cut, len - cut)));
        assert_int_equal(whole, crc32c_portable(crc32c(0, bytes_of(bytes, cut)),
                                                bytes_of(bytes + cut, len - cut)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_check_value_of_the_standard_is_right),
        cmocka_unit_test(the_vectors_of_rfc_3720_are_right),
        cmocka_unit_test(both_ways_agree_however_the_bytes_are_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
