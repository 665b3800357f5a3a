/* The parts of pull mode that need no service: options, networks, differences. */
#include "collector/collector.h"
#include "collector/pull_delta.h"
#include "collector/pull_target.h"
#include "collector/scrape.h"
#include "lib/build.h"
#include "profile/types.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void a_target_is_a_service_an_address_and_tags(void **state)
{
    struct pull_target t;
    struct failure f;

    (void)state;
    assert_int_equal(pull_target_parse(&t, "web@http://10.0.0.1:6060", &f), 0);
    assert_string_equal(t.service, "web");
    assert_string_equal(t.host, "10.0.0.1");
    assert_int_equal(t.port, 6060);
    assert_string_equal(t.path, "/debug/pprof");
    assert_null(t.tags);
    pull_target_deinit(&t);
    assert_int_equal(
        pull_target_parse(&t, "web@http://[::1]:80/x/pprof//;env=prod;version=1=2", &f), 0);
    assert_string_equal(t.host, "::1");
    assert_string_equal(t.instance, "[::1]:80");
    assert_string_equal(t.path, "/x/pprof");
    assert_string_equal(t.tags, "env=prod;version=1=2");
    pull_target_deinit(&t);
}

static void a_target_that_makes_no_sense_is_refused_by_name(void **state)
{
    static const char *const cases[][2] = {
        {"http://10.0.0.1:6060", "service is missing"},
        {"@http://10.0.0.1:6060", "service is missing"},
        {"web@https://10.0.0.1:6060", "only http"},
        {"web@http://me:secret@10.0.0.1:6060", "no credentials"},
        {"web@10.0.0.1:6060", "only http"},
        {"web@http://10.0.0.1", "port is missing"},
        {"web@http://10.0.0.1:0", "port is missing"},
        {"web@http://10.0.0.1:70000", "port is missing"},
        {"web@http://:80", "host is missing"},
        {"web@http://[::1:80", "bracket"},
        {"web@http://a b:80", "character"},
        {"web@http://a:80/x\r\nHost: y", "character"},
        {"web@http://a:80;env", "TAG=VALUE"},
        {"web@http://a:80;=x", "TAG=VALUE"},
    };
    struct pull_target t;
    struct failure f;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (pull_target_parse(&t, cases[i][0], &f) == 0)
            fail_msg("\"%s\" is taken", cases[i][0]);
        if (!strstr(f.message, cases[i][1]))
            fail_msg("\"%s\": %s", cases[i][0], f.message);
        pull_target_deinit(&t);
    }
}

static bool holds(const char *list, const char *address)
{
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    struct networks n;
    struct failure f;
    bool r;

    assert_int_equal(networks_parse(&n, list, "pull_allow", &f), 0);
    if (inet_pton(AF_INET, address, &four.sin_addr) == 1) {
        r = networks_hold(&n, (struct sockaddr *)&four);
    } else {
        assert_int_equal(inet_pton(AF_INET6, address, &six.sin6_addr), 1);
        r = networks_hold(&n, (struct sockaddr *)&six);
    }
    networks_deinit(&n);
    return r;
}

static void only_addresses_of_the_networks_are_allowed(void **state)
{
    struct networks n;
    struct failure f;

    (void)state;
    assert_true(holds(PULL_ALLOW, "127.0.0.1"));
    assert_true(holds(PULL_ALLOW, "172.31.255.255"));
    assert_false(holds(PULL_ALLOW, "172.32.0.0"));
    assert_false(holds(PULL_ALLOW, "169.254.169.254")); /* where clouds tell secrets */
    assert_false(holds(PULL_ALLOW, "8.8.8.8"));
    assert_true(holds(PULL_ALLOW, "::1"));
    assert_false(holds(PULL_ALLOW, "::2"));
    assert_true(holds(PULL_ALLOW, "fdff::1"));
    assert_false(holds(PULL_ALLOW, "fe80::1"));
    assert_true(holds(PULL_ALLOW, "::ffff:10.0.0.1"));
    assert_false(holds(PULL_ALLOW, "::ffff:169.254.169.254"));
    assert_true(holds("1.2.3.4", "1.2.3.4"));
    assert_false(holds("1.2.3.4", "1.2.3.5"));
    assert_true(holds("0.0.0.0/0", "8.8.8.8"));
    assert_false(holds("0.0.0.0/0", "::1"));
    assert_false(holds("", "127.0.0.1"));
    assert_int_equal(networks_parse(&n, "10.0.0.0/33", "pull_allow", &f), FAILURE);
    networks_deinit(&n);
    assert_int_equal(networks_parse(&n, "10.0.0.0/8,localhost", "pull_allow", &f), FAILURE);
    assert_non_null(strstr(f.message, "pull_allow: localhost"));
    networks_deinit(&n);
}

static struct collector_options good_options(void)
{
    return (struct collector_options){.pull_targets = (char *)"web@http://a:80,api@http://b:80",
                                      .pull_profiles = (char *)"cpu,heap",
                                      .pull_interval = 15000,
                                      .pull_cpu = 14000,
                                      .pull_allow = (char *)"10.0.0.0/8"};
}

/* n errors, the last of which holds part. */
static void assert_checked(struct collector_options *o, size_t n, const char *part)
{
    struct options *options = options_new();

    options_check(options, pull_check, o);
    assert_int_equal(options_run_checks(options), n);
    if (n)
        assert_non_null(strstr(options_error(options, n - 1), part));
    options_free(options);
}

static void options_are_checked_before_anything_starts(void **state)
{
    struct collector_options o = good_options();

    (void)state;
    assert_checked(&o, 0, NULL);
    o.pull_cpu = 15000;
    assert_checked(&o, 1, "pull_cpu (15000 ms)");
    o = good_options();
    o.pull_profiles = (char *)"cpu,heep";
    assert_checked(&o, 1, "heep");
    o = good_options();
    o.pull_allow = (char *)"everything";
    assert_checked(&o, 1, "everything");
    o = good_options();
    o.pull_targets = (char *)"web@http://a:80,web";
    assert_checked(&o, 1, "\"web\": the service is missing");
}

static void every_mistake_is_listed(void **state)
{
    struct collector_options o = good_options();

    (void)state;
    o.pull_profiles = (char *)"heep";
    o.pull_targets = (char *)"web,api@http://b";
    o.pull_allow = (char *)"everything";
    assert_checked(&o, 4, "everything");
}

/* ---- differences ------------------------------------------------------------------------------
 */

struct side {
    struct symbols *sym;
    struct stacks *st;
    struct profile p;
};

static void side_init(struct side *s)
{
    s->sym = symbols_new();
    s->st = stacks_new();
    profile_init(&s->p, s->sym, s->st);
}

static void side_deinit(struct side *s)
{
    profile_deinit(&s->p);
    stacks_free(s->st);
    symbols_free(s->sym);
}

/* Go's heap in two types: stacks of "alloc_space inuse_space". */
static struct buf heap(int64_t time_ns, const char *text)
{
    char *copy = strdup(text), *save, *line;
    struct buf out = {0};
    struct side s;

    side_init(&s);
    profile_set_types(&s.p,
                      (struct sample_type[]){{symbols_string(s.sym, BYTES_LIT("alloc_space")),
                                              symbols_string(s.sym, BYTES_LIT("bytes"))},
                                             {symbols_string(s.sym, BYTES_LIT("inuse_space")),
                                              symbols_string(s.sym, BYTES_LIT("bytes"))}},
                      2);
    s.p.time_ns = time_ns;
    for (line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        long long alloc, inuse;
        char stack[100];

        assert_int_equal(sscanf(line, "%99s %lld %lld", stack, &alloc, &inuse), 3);
        profile_add(&s.p, build_stack(s.sym, s.st, stack), 0, (int64_t[]){alloc, inuse});
    }
    pprof_write(&s.p, &out);
    side_deinit(&s);
    free(copy);
    return out;
}

static void expect_delta(struct buf before, struct buf now, const char *const *columns,
                         int64_t time_ns, int64_t duration_ns)
{
    struct pprof_reader *r = pprof_reader_new();
    struct buf out = {0};
    struct failure f;
    struct side s;
    uint32_t n = 0;

    side_init(&s);
    assert_int_equal(pull_delta(buf_bytes(&now), buf_bytes(&before), BYTES_LIT("memory"),
                                &profile_limits_default, &out, &f),
                     0);
    assert_int_equal(pprof_read(r, buf_bytes(&out), &profile_limits_default, 0, &s.p, NULL, &f), 0);
    for (; columns[n]; n++) {
        struct tree t = {0};

        tree_of_profile(&t, &s.p, n);
        ASSERT_FOLDED(&t, s.sym, columns[n]);
        tree_deinit(&t);
    }
    assert_int_equal(s.p.n_types, n);
    assert_int_equal(s.p.time_ns, time_ns);
    assert_int_equal(s.p.duration_ns, duration_ns);
    pprof_reader_free(r);
    buf_deinit(&out);
    buf_deinit(&before);
    buf_deinit(&now);
    side_deinit(&s);
}

static void what_adds_up_is_subtracted_and_what_lives_is_not(void **state)
{
    (void)state;
    expect_delta(heap(1000, "main;a 100 10\nmain;b 50 5"),
                 heap(4000, "main;a 130 7\nmain;b 50 5\nmain;c 1 1"),
                 (const char *[]){"main;a 30\nmain;c 1", "main;a 7\nmain;b 5\nmain;c 1", NULL},
                 1000, 3000);
}

static void before_the_second_answer_only_what_lives_is_known(void **state)
{
    (void)state;
    expect_delta((struct buf){0}, heap(4000, "main;a 130 7"), (const char *[]){"main;a 7", NULL},
                 4000, 0);
}

static void a_process_that_began_anew_is_taken_from_its_start(void **state)
{
    (void)state;
    expect_delta(heap(1000, "main;a 100 10"), heap(4000, "main;a 30 3"),
                 (const char *[]){"main;a 30", "main;a 3", NULL}, 4000, 0);
}

static void nothing_is_written_when_no_type_is_left(void **state)
{
    struct buf now = {0}, out = {0};
    struct failure f;
    struct side s;

    (void)state;
    side_init(&s);
    profile_set_types(&s.p,
                      &(struct sample_type){symbols_string(s.sym, BYTES_LIT("delay")),
                                            symbols_string(s.sym, BYTES_LIT("nanoseconds"))},
                      1);
    profile_add(&s.p, build_stack(s.sym, s.st, "main"), 0, (int64_t[]){5});
    pprof_write(&s.p, &now);
    assert_int_equal(pull_delta(buf_bytes(&now), bytes_of(NULL, 0), BYTES_LIT("mutex"),
                                &profile_limits_default, &out, &f),
                     0);
    assert_int_equal(out.len, 0);
    assert_int_equal(pull_delta(BYTES_LIT("<html>"), bytes_of(NULL, 0), BYTES_LIT("mutex"),
                                &profile_limits_default, &out, &f),
                     FAILURE);
    side_deinit(&s);
    buf_deinit(&now);
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_target_is_a_service_an_address_and_tags),
        cmocka_unit_test(a_target_that_makes_no_sense_is_refused_by_name),
        cmocka_unit_test(only_addresses_of_the_networks_are_allowed),
        cmocka_unit_test(options_are_checked_before_anything_starts),
        cmocka_unit_test(every_mistake_is_listed),
        cmocka_unit_test(what_adds_up_is_subtracted_and_what_lives_is_not),
        cmocka_unit_test(before_the_second_answer_only_what_lives_is_known),
        cmocka_unit_test(a_process_that_began_anew_is_taken_from_its_start),
        cmocka_unit_test(nothing_is_written_when_no_type_is_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
