#include "net/multipart.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct bytes plain_type = {(const uint8_t *)"multipart/form-data; boundary=XX", 32};

static int parse(const char *body, struct part *parts, size_t *n, struct failure *f)
{
    return multipart_parse(plain_type, bytes_str(body), parts, n, f);
}

#define assert_bytes(b, text)                                                                      \
    do {                                                                                           \
        struct bytes b_ = (b);                                                                     \
        assert_int_equal(b_.len, strlen(text));                                                    \
        assert_memory_equal(b_.data, (text), b_.len);                                              \
    } while (0)

static void parts_have_names_files_types_and_bytes(void **state)
{
    struct part parts[PARTS_MAX];
    struct failure f;
    size_t n;

    (void)state;
    assert_int_equal(
        parse("preamble\r\n--XX\r\n"
              "Content-Disposition: form-data; name=\"profile\"; filename=\"a;b.pb\"\r\n"
              "Content-Type: application/octet-stream\r\n"
              "\r\n"
              "bytes\r\n--XXnot\r\nmore\r\n--XX \t\r\n"
              "content-disposition:form-data;name=plain\r\n"
              "X-Other: 1\r\n"
              "\r\n"
              "\r\n--XX--\r\nepilogue",
              parts, &n, &f),
        0);
    assert_int_equal(n, 2);
    assert_bytes(parts[0].name, "profile");
    assert_bytes(parts[0].filename, "a;b.pb");
    assert_bytes(parts[0].content_type, "application/octet-stream");
    assert_bytes(parts[0].body, "bytes\r\n--XXnot\r\nmore");
    assert_bytes(parts[1].name, "plain");
    assert_null(parts[1].filename.data);
    assert_bytes(parts[1].body, "");
}

static void a_body_that_begins_with_the_boundary_and_may_be_empty(void **state)
{
    struct part parts[PARTS_MAX];
    struct failure f;
    size_t n = 7;

    (void)state;
    assert_int_equal(parse("--XX--", parts, &n, &f), 0);
    assert_int_equal(n, 0);
    assert_int_equal(
        parse("--XX\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--XX--", parts, &n, &f),
        0);
    assert_int_equal(n, 1);
    assert_bytes(parts[0].body, "1");
}

static void the_boundary_may_be_quoted_and_follow_other_parameters(void **state)
{
    struct part parts[PARTS_MAX];
    struct failure f;
    size_t n;

    (void)state;
    assert_int_equal(
        multipart_parse(BYTES_LIT("Multipart/Form-Data; charset=utf-8; BOUNDARY=\"a b;c\""),
                        BYTES_LIT("--a b;c\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\ny"
                                  "\r\n--a b;c--"),
                        parts, &n, &f),
        0);
    assert_bytes(parts[0].body, "y");
}

static void what_is_broken_is_refused_with_400(void **state)
{
    static const char *const bodies[] = {
        "",
        "no boundary here",
        "--XX\r\n",
        "--XX\r\nContent-Disposition: form-data; name=a\r\n\r\ncut off",
        "--XX\r\nContent-Disposition: form-data; name=a\r\n\r\ncut off\r\n--XX",
        "--XX\r\nContent-Disposition: form-data; name=a\r\n--XX--",
        "--XX\r\nContent-Disposition: form-data; filename=a\r\n\r\n1\r\n--XX--",
        "--XX\r\nContent-Type: text/plain\r\n\r\n1\r\n--XX--",
        "--XX\r\nno colon\r\n\r\n1\r\n--XX--",
        ("--XX\r\nContent-Disposition: form-data; name=a\r\n"
         "Content-Transfer-Encoding: base64\r\n\r\nMQ==\r\n--XX--"),
        "--XX\nContent-Disposition: form-data; name=a\n\n1\n--XX--\n",
    };
    struct part parts[PARTS_MAX];
    struct failure f;
    size_t n;

    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        f.status = 0;
        assert_int_equal(parse(bodies[i], parts, &n, &f), FAILURE);
        assert_int_equal(f.status, 400);
    }
    assert_int_equal(
        multipart_parse(BYTES_LIT("multipart/form-data"), BYTES_LIT("--"), parts, &n, &f), FAILURE);
    assert_int_equal(
        multipart_parse(BYTES_LIT("text/plain; boundary=XX"), BYTES_LIT("--XX--"), parts, &n, &f),
        FAILURE);
}

static void parts_and_headers_have_limits(void **state)
{
    struct part parts[PARTS_MAX];
    struct buf b = {0};
    struct failure f;
    size_t n;

    (void)state;
    for (int i = 0; i < PARTS_MAX; i++)
        buf_append_str(&b, "--XX\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n");
    buf_append_str(&b, "--XX--");
    assert_int_equal(multipart_parse(plain_type, buf_bytes(&b), parts, &n, &f), 0);
    assert_int_equal(n, PARTS_MAX);
    b.len -= 6;
    buf_append_str(&b, "--XX\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--XX--");
    assert_int_equal(multipart_parse(plain_type, buf_bytes(&b), parts, &n, &f), FAILURE);
    buf_reset(&b);
    buf_append_str(&b, "--XX\r\nContent-Disposition: form-data; name=a\r\nX: ");
    for (int i = 0; i < 9000; i++)
        buf_append_u8(&b, 'x');
    buf_append_str(&b, "\r\n\r\n1\r\n--XX--");
    assert_int_equal(multipart_parse(plain_type, buf_bytes(&b), parts, &n, &f), FAILURE);
    buf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_have_names_files_types_and_bytes),
        cmocka_unit_test(a_body_that_begins_with_the_boundary_and_may_be_empty),
        cmocka_unit_test(the_boundary_may_be_quoted_and_follow_other_parameters),
        cmocka_unit_test(what_is_broken_is_refused_with_400),
        cmocka_unit_test(parts_and_headers_have_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
