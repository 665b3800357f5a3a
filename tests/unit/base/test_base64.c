#include "base/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>

static void the_vectors_of_the_rfc_are_read(void **state)
{
    static const char *const vectors[][2] = {
        {"", ""},           {"Zg==", "f"},         {"Zm8=", "fo"},         {"Zm9v", "foo"},
        {"Zm9vYg", "foob"}, {"Zm9vYmE=", "fooba"}, {"Zm9vYmFy", "foobar"}, {"-_+/", "\xfb\xff\xbf"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        struct buf out = {0};

        buf_append_str(&out, ">");
        assert_int_equal(base64_decode(bytes_str(vectors[i][0]), &out), 0);
        assert_string_equal(buf_cstr(&out) + 1, vectors[i][1]);
        buf_deinit(&out);
    }
}

static void what_is_no_base64_adds_nothing(void **state)
{
    static const char *const bad[] = {"Z", "Zm9vY", "Zm9v Yg", "Zg===", "====", "Z=g=", "Zm9v\x80"};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct buf out = {0};

        buf_append_str(&out, ">");
        assert_int_equal(base64_decode(bytes_str(bad[i]), &out), -EBADMSG);
        assert_string_equal(buf_cstr(&out), ">");
        buf_deinit(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_of_the_rfc_are_read),
        cmocka_unit_test(what_is_no_base64_adds_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
