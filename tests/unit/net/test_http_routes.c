/* Which route a path takes, among exact ones, prefixes and endings. */
#include "base/err.h"
#include "net/http_int.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const char *const paths[] = {"/*", "/api/*", "/api/v1/top", "*/v1/input", "/v1/input"};

/* The path of the route that serves a POST, or NULL. */
static const char *route_of(const char *path)
{
    struct http_server s = {0};
    const struct http_route *r;
    struct buf allow = {0};
    const char *found = NULL;

    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        http_route(&s, i < 2 ? "GET" : "POST", paths[i], NULL, (void *)(uintptr_t)paths[i]);
    r = http_route_find(&s, BYTES_LIT("POST"), bytes_str(path), &allow);
    if (r)
        found = r->ctx;
    buf_deinit(&allow);
    free(s.routes);
    return found;
}

static void an_exact_path_wins(void **state)
{
    (void)state;
    assert_string_equal(route_of("/v1/input"), "/v1/input");
    assert_string_equal(route_of("/api/v1/top"), "/api/v1/top");
}

static void an_ending_takes_what_stands_before_it(void **state)
{
    (void)state;
    assert_string_equal(route_of("/team-a/profiling/v1/input"), "*/v1/input");
    assert_string_equal(route_of("/profiling/v1/input"), "*/v1/input");
    assert_string_equal(route_of("/api/x/v1/input"), "*/v1/input");
}

static void an_ending_is_not_a_middle_nor_longer_than_the_path(void **state)
{
    (void)state;
    assert_null(route_of("/profiling/v1/input/"));
    assert_null(route_of("/input"));
    assert_null(route_of("/"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_exact_path_wins),
        cmocka_unit_test(an_ending_takes_what_stands_before_it),
        cmocka_unit_test(an_ending_is_not_a_middle_nor_longer_than_the_path),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
