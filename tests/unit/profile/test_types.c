#include "profile/series.h"
#include "profile/types.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void each_agents_types_have_their_published_names(void **state)
{
    static const struct {
        const char *type, *unit, *period, *period_unit, *hint, *name;
        enum type_kind kind;
    } cases[] = {
        /* Go */
        {"samples", "count", "cpu", "nanoseconds", "", "process_cpu:samples:count:cpu:nanoseconds",
         TYPE_FLOW},
        {"cpu", "nanoseconds", "cpu", "nanoseconds", "",
         "process_cpu:cpu:nanoseconds:cpu:nanoseconds", TYPE_FLOW},
        {"alloc_space", "bytes", "space", "bytes", "", "memory:alloc_space:bytes:space:bytes",
         TYPE_FLOW},
        {"inuse_objects", "count", "space", "bytes", "memory",
         "memory:inuse_objects:count:space:bytes", TYPE_SNAPSHOT},
        {"contentions", "count", "contentions", "count", "mutex",
         "mutex:contentions:count:contentions:count", TYPE_FLOW},
        {"delay", "nanoseconds", "contentions", "count", "block",
         "block:delay:nanoseconds:contentions:count", TYPE_FLOW},
        {"delay", "nanoseconds", "contentions", "count", "",
         "contentions:delay:nanoseconds:contentions:count", TYPE_FLOW},
        {"goroutine", "count", "goroutine", "count", "goroutines",
         "goroutines:goroutine:count:goroutine:count", TYPE_SNAPSHOT},
        /* Node */
        {"cpu", "nanoseconds", "wall", "nanoseconds", "",
         "process_cpu:cpu:nanoseconds:cpu:nanoseconds", TYPE_FLOW},
        {"wall", "microseconds", "wall", "microseconds", "",
         "wall:wall:microseconds:wall:microseconds", TYPE_FLOW},
        {"samples", "count", "wall", "nanoseconds", "", "wall:samples:count:wall:nanoseconds",
         TYPE_FLOW},
        {"space", "bytes", "space", "bytes", "", "memory:inuse_space:bytes:space:bytes",
         TYPE_SNAPSHOT},
        /* async-profiler and the eBPF profiler, by OTLP */
        {"itimer", "nanoseconds", "itimer", "nanoseconds", "",
         "process_cpu:cpu:nanoseconds:cpu:nanoseconds", TYPE_FLOW},
        {"ctimer", "count", "", "", "", "process_cpu:samples:count:cpu:nanoseconds", TYPE_FLOW},
        {"wall", "count", "", "", "", "wall:samples:count:wall:nanoseconds", TYPE_FLOW},
        {"alloc", "bytes", "", "", "", "memory:alloc_space:bytes:space:bytes", TYPE_FLOW},
        {"lock", "nanoseconds", "", "", "", "mutex:delay:nanoseconds:contentions:count", TYPE_FLOW},
        {"off_cpu", "nanoseconds", "", "", "", "off_cpu:off_cpu:nanoseconds::", TYPE_FLOW},
        {"events", "nanoseconds", "", "", "", "off_cpu:off_cpu:nanoseconds::", TYPE_FLOW},
        {"events", "count", "", "", "", "events:events:count::", TYPE_FLOW},
        /* Datadog */
        {"cpu-time", "nanoseconds", "cpu-time", "nanoseconds", "",
         "process_cpu:cpu:nanoseconds:cpu:nanoseconds", TYPE_FLOW},
        {"wall-time", "nanoseconds", "cpu-time", "nanoseconds", "",
         "wall:wall:nanoseconds:wall:nanoseconds", TYPE_FLOW},
        {"heap-space", "bytes", "cpu-time", "nanoseconds", "",
         "memory:inuse_space:bytes:space:bytes", TYPE_SNAPSHOT},
        {"lock-acquire-wait", "nanoseconds", "cpu-time", "nanoseconds", "",
         "mutex:delay:nanoseconds:contentions:count", TYPE_FLOW},
        {"lock-release-hold", "nanoseconds", "cpu-time", "nanoseconds", "",
         "lock:lock-release-hold:nanoseconds::", TYPE_FLOW},
        {"exception-samples", "count", "cpu-time", "nanoseconds", "",
         "exception:exception:count::", TYPE_FLOW},
        /* what nobody has heard of keeps its own names */
        {"widgets", "count", "seconds", "s", "", "seconds:widgets:count:seconds:s", TYPE_FLOW},
        {"widgets", "count", "", "", "", "widgets:widgets:count::", TYPE_FLOW},
        {"widgets", "count", "", "", "factory", "factory:widgets:count::", TYPE_FLOW},
        {"inuse_widgets", "count", "", "", "",
         "inuse_widgets:inuse_widgets:count::", TYPE_SNAPSHOT},
        {"a:b\n", "", "", "", "", "a_b_:a_b_:::", TYPE_FLOW},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct profile_type got;

        profile_type_of(&got, bytes_str(cases[i].type), bytes_str(cases[i].unit),
                        bytes_str(cases[i].period), bytes_str(cases[i].period_unit),
                        bytes_str(cases[i].hint));
        assert_string_equal(got.name, cases[i].name);
        assert_int_equal(got.kind, cases[i].kind);
        assert_int_equal(profile_type_kind(bytes_str(got.name)), cases[i].kind);
    }
}

static void long_parts_are_cut(void **state)
{
    struct profile_type got;
    uint8_t x[1000] = {0};
    struct bytes xs = bytes_of(x, sizeof x);

    (void)state;
    memset(x, 'x', sizeof x);
    profile_type_of(&got, xs, xs, xs, xs, xs);
    assert_int_equal(strlen(got.name), 5 * 48 + 4);
    assert_int_equal(profile_type_unit(bytes_str(got.name)).len, 48);
    memcpy(x + 47, "\xc3\xa4", 2); /* not within a character */
    profile_type_of(&got, xs, xs, xs, xs, xs);
    assert_int_equal(strlen(got.name), 5 * 47 + 4);
    memcpy(x + 46, "\xc3\xa4x", 3);
    profile_type_of(&got, xs, xs, xs, xs, xs);
    assert_int_equal(strlen(got.name), 5 * 48 + 4);
}

static void a_malformed_name_has_no_unit(void **state)
{
    (void)state;
    assert_true(bytes_equal(profile_type_unit(BYTES_LIT("a:b:c:d:e")), BYTES_LIT("c")));
    assert_int_equal(profile_type_unit(BYTES_LIT("a:b")).len, 0);
    assert_int_equal(profile_type_unit(BYTES_LIT("")).len, 0);
    assert_int_equal(profile_type_kind(BYTES_LIT("")), TYPE_FLOW);
}

/* docs/types.md prints the table; `test_types --print` makes it. */
static void the_page_has_the_table_as_it_is(void **state)
{
    FILE *f = fopen(TEST_DATA "/../../docs/types.md", "rb");
    static char page[1 << 20];
    struct buf table = {0};

    (void)state;
    assert_non_null(f);
    page[fread(page, 1, sizeof page - 1, f)] = '\0';
    fclose(f);
    profile_types_markdown(&table);
    assert_non_null(strstr(page, buf_cstr(&table)));
    buf_deinit(&table);
}

static int add(struct tags *t, const char *key, const char *value)
{
    return tags_add(t, bytes_str(key), bytes_str(value));
}

static void tags_are_sorted_and_the_first_value_holds(void **state)
{
    struct tags t = {0};

    (void)state;
    assert_int_equal(add(&t, "version", "1"), 0);
    assert_int_equal(add(&t, "env", "test"), 0);
    assert_int_equal(add(&t, "service", "shop"), 0);
    assert_int_equal(add(&t, "env", "other"), 0);
    assert_int_equal(t.n, 3);
    assert_true(bytes_equal(t.at[0].key, BYTES_LIT("env")));
    assert_true(bytes_equal(t.at[2].key, BYTES_LIT("version")));
    assert_true(bytes_equal(tags_get(&t, "env"), BYTES_LIT("test")));
    assert_int_equal(tags_get(&t, "none").len, 0);
}

static void tags_have_caps(void **state)
{
    struct tags t = {0};
    char keys[TAGS_MAX + 1][8];
    uint8_t x[TAG_VALUE_MAX + 1] = {0};

    (void)state;
    assert_int_equal(tags_add(&t, bytes_of(x, TAG_KEY_MAX + 1), BYTES_LIT("")), TAGS_E_TOO_LONG);
    assert_int_equal(tags_add(&t, BYTES_LIT("k"), bytes_of(x, sizeof x)), TAGS_E_TOO_LONG);
    for (int i = 0; i <= TAGS_MAX; i++) {
        snprintf(keys[i], sizeof keys[i], "k%d", i);
        assert_int_equal(add(&t, keys[i], ""), i < TAGS_MAX ? 0 : TAGS_E_FULL);
    }
    assert_int_equal(add(&t, "k5", "again"), 0);
}

static void tags_read_back_and_only_the_canonical_form_does(void **state)
{
    struct tags t = {0}, got;
    struct buf b = {0};

    (void)state;
    add(&t, "b", "2");
    add(&t, "a", "");
    tags_encode(&t, &b);
    assert_int_equal(tags_decode(&got, buf_bytes(&b)), 0);
    assert_int_equal(got.n, 2);
    assert_true(bytes_equal(tags_get(&got, "b"), BYTES_LIT("2")));
    for (size_t len = 1; len < b.len; len++)
        if (len != 3) /* the first pair alone is canonical too */
            assert_int_equal(tags_decode(&got, bytes_of(b.data, len)), -EBADMSG);
    assert_int_equal(tags_decode(&got, BYTES_LIT("\1b\0\1a\0")), -EBADMSG);
    assert_int_equal(tags_decode(&got, BYTES_LIT("\1a\0\1a\0")), -EBADMSG);
    buf_deinit(&b);
}

static void keys_have_one_spelling_and_three_classes(void **state)
{
    (void)state;
    assert_true(bytes_equal(tag_canonical(BYTES_LIT("service.version")), BYTES_LIT("version")));
    assert_true(
        bytes_equal(tag_canonical(BYTES_LIT("deployment.environment.name")), BYTES_LIT("env")));
    assert_true(bytes_equal(tag_canonical(BYTES_LIT("team")), BYTES_LIT("team")));
    assert_true(tag_is_series(BYTES_LIT("env"), NULL));
    assert_true(tag_is_series(BYTES_LIT("region"), ""));
    assert_false(tag_is_series(BYTES_LIT("team"), "tea, tier"));
    assert_true(tag_is_series(BYTES_LIT("team"), "tier, team"));
    assert_false(tag_is_series(BYTES_LIT("en"), NULL));
    assert_false(tag_is_series(BYTES_LIT(""), ",,"));
    assert_true(tag_is_dropped(BYTES_LIT("__session_id__")));
    assert_true(tag_is_dropped(BYTES_LIT("otel.scope.name")));
    assert_true(tag_is_dropped(BYTES_LIT("process.runtime.version")));
    assert_false(tag_is_dropped(BYTES_LIT("host")));
}

static bool hash_same(struct hash128 a, struct hash128 b)
{
    return a.hi == b.hi && a.lo == b.lo;
}

static void series_have_ids_of_their_own(void **state)
{
    struct tags t = {0}, u = {0};
    struct bytes tenant = BYTES_LIT("t"), type = BYTES_LIT("a:b:c:d:e");
    char hex[33];

    (void)state;
    add(&t, "env", "test");
    add(&u, "en", "vtest");
    assert_true(hash_same(series_id(SERIES_PLAIN, tenant, type, &t),
                          series_id(SERIES_PLAIN, tenant, type, &t)));
    assert_false(hash_same(series_id(SERIES_PLAIN, tenant, type, &t),
                           series_id(SERIES_PLAIN, tenant, type, &u)));
    assert_false(hash_same(series_id(SERIES_PLAIN, tenant, type, &t),
                           series_id(SERIES_MARGINAL, tenant, type, &t)));
    assert_false(hash_same(service_id(BYTES_LIT("a"), BYTES_LIT("b")),
                           service_id(BYTES_LIT("ab"), BYTES_LIT(""))));
    /* Names in the store: XXH3-128 of "t\0shop". */
    hash128_hex(service_id(tenant, BYTES_LIT("shop")), hex);
    assert_string_equal(hex, "6bb656a784a1465808be27c21f72a0e7");
}

static void a_service_spreads_over_neighbouring_partitions(void **state)
{
    const struct bytes tenant = BYTES_LIT("t"), service = BYTES_LIT("shop");
    uint32_t base = partition_of(tenant, service, BYTES_LIT("x"), 1, 32), hits[4] = {0};
    char instance[16];

    (void)state;
    assert_int_equal(base, 28);
    for (int i = 0; i < 1000; i++) {
        uint32_t p, offset;

        snprintf(instance, sizeof instance, "i%d", i);
        p = partition_of(tenant, service, bytes_str(instance), 4, 32);
        assert_int_equal(partition_of(tenant, service, bytes_str(instance), 1, 32), base);
        offset = (p + 32 - base) % 32;
        assert_true(offset < 4);
        hits[offset]++;
    }
    for (int i = 0; i < 4; i++)
        assert_true(hits[i] > 150);
}

static int print_table(void)
{
    struct buf table = {0};

    profile_types_markdown(&table);
    fwrite(table.data, 1, table.len, stdout);
    buf_deinit(&table);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_agents_types_have_their_published_names),
        cmocka_unit_test(long_parts_are_cut),
        cmocka_unit_test(a_malformed_name_has_no_unit),
        cmocka_unit_test(the_page_has_the_table_as_it_is),
        cmocka_unit_test(tags_are_sorted_and_the_first_value_holds),
        cmocka_unit_test(tags_have_caps),
        cmocka_unit_test(tags_read_back_and_only_the_canonical_form_does),
        cmocka_unit_test(keys_have_one_spelling_and_three_classes),
        cmocka_unit_test(series_have_ids_of_their_own),
        cmocka_unit_test(a_service_spreads_over_neighbouring_partitions),
    };

    if (argc == 2 && strcmp(argv[1], "--print") == 0)
        return print_table();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
