#include "store/redis_url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct redis_url parsed(const char *text)
{
    struct redis_url u;
    struct failure f;

    if (redis_url_parse(text, &u, &f) != 0)
        fail_msg("%s: %s", text, f.message);
    return u;
}

static void a_host_alone_means_port_6379_and_database_0(void **state)
{
    struct redis_url u = parsed("redis://cache.example");

    (void)state;
    assert_string_equal(u.host, "cache.example");
    assert_string_equal(u.port, "6379");
    assert_int_equal(u.db, 0);
    assert_null(u.user);
    assert_null(u.password);
    assert_null(u.path);
    assert_string_equal(u.address, "cache.example:6379");
    redis_url_deinit(&u);
}

static void user_password_port_and_database_are_taken_apart(void **state)
{
    struct redis_url u = parsed("redis://me:p%40ss%2fw%3a:d@10.0.0.1:7000/12");

    (void)state;
    assert_string_equal(u.user, "me");
    assert_string_equal(u.password, "p@ss/w::d");
    assert_string_equal(u.host, "10.0.0.1");
    assert_string_equal(u.port, "7000");
    assert_int_equal(u.db, 12);
    assert_string_equal(u.address, "10.0.0.1:7000");    /* no secrets */
    redis_url_deinit(&u);
}

static void a_password_needs_no_user(void **state)
{
    struct redis_url u = parsed("redis://:secret@h/");

    (void)state;
    assert_null(u.user);
    assert_string_equal(u.password, "secret");
    redis_url_deinit(&u);
}

static void an_ipv6_address_stands_in_brackets(void **state)
{
    struct redis_url u = parsed("redis://[::1]:6380");

    (void)state;
    assert_string_equal(u.host, "::1");
    assert_string_equal(u.address, "[::1]:6380");
    redis_url_deinit(&u);
}

static void a_unix_socket_is_a_path(void **state)
{
    struct redis_url u = parsed("unix:///run/redis/s"), v = parsed("unix://u:p@/run/redis/s");

    (void)state;
    assert_string_equal(u.path, "/run/redis/s");
    assert_null(u.host);
    assert_string_equal(v.path, "/run/redis/s");
    assert_string_equal(v.password, "p");
    redis_url_deinit(&u);
    redis_url_deinit(&v);
}

static void what_is_no_url_is_refused_without_showing_it(void **state)
{
    static const struct {
        const char *url, *code;
    } cases[] = {
        {"", "bad_redis_url"},
        {"localhost:6379", "bad_redis_url"},
        {"http://h", "bad_redis_url"},
        {"redis://", "bad_redis_url"},
        {"redis://:topsecret@", "bad_redis_url"},
        {"redis://topsecret@h", "bad_redis_url"},
        {"redis://u:topsecret%4@h", "bad_redis_url"},
        {"redis://u:topsecret%00@h", "bad_redis_url"},
        {"redis://u:topsecret@h:0", "bad_redis_url"},
        {"redis://u:topsecret@h:65536", "bad_redis_url"},
        {"redis://u:topsecret@h:6379x", "bad_redis_url"},
        {"redis://u:topsecret@h/db", "bad_redis_url"},
        {"redis://u:topsecret@h/-1", "bad_redis_url"},
        {"redis://[::1", "bad_redis_url"},
        {"redis://[::1]x", "bad_redis_url"},
        {"unix://relative/path", "bad_redis_url"},
        {"unix:///aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaaaaaaaaaaaaaaaaaaaa",
         "bad_redis_url"},
        {"rediss://u:topsecret@h", "redis_tls_unsupported"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct redis_url u;
        struct failure f = {0};

        if (redis_url_parse(cases[i].url, &u, &f) != FAILURE)
            fail_msg("accepted: %s", cases[i].url);
        assert_string_equal(f.code, cases[i].code);
        assert_non_null(strstr(f.message, "redis_url"));
        assert_null(strstr(f.message, "topsecret"));
        assert_null(strstr(f.hint, "topsecret"));
    }
}

static void tls_is_refused_with_what_it_needs(void **state)
{
    struct redis_url u;
    struct failure f;

    (void)state;
    assert_int_equal(redis_url_parse("rediss://h", &u, &f), FAILURE);
    assert_non_null(strstr(f.message, "hiredis 1.0"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_host_alone_means_port_6379_and_database_0),
        cmocka_unit_test(user_password_port_and_database_are_taken_apart),
        cmocka_unit_test(a_password_needs_no_user),
        cmocka_unit_test(an_ipv6_address_stands_in_brackets),
        cmocka_unit_test(a_unix_socket_is_a_path),
        cmocka_unit_test(what_is_no_url_is_refused_without_showing_it),
        cmocka_unit_test(tls_is_refused_with_what_it_needs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
