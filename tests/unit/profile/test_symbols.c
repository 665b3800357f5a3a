#include "profile/symbols.h"

#include "base/hash.h"
#include "profile/by_function.h"
#include "profile/table.h"
#include "profile/translation.h"

#include "lib/build.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void a_string_is_interned_once(void **state)
{
    struct symbols *s = symbols_new();
    uint32_t a = symbols_string(s, BYTES_LIT("alpha")), b = symbols_string(s, BYTES_LIT("beta"));

    (void)state;
    assert_int_equal(symbols_string(s, BYTES_LIT("")), 0);
    assert_true(a != 0 && b != 0 && a != b);
    assert_int_equal(symbols_string(s, BYTES_LIT("alpha")), a);
    assert_int_equal(symbols_n_strings(s), 3);
    assert_true(bytes_equal(symbols_text(s, b), BYTES_LIT("beta")));
    symbols_free(s);
}

static void strings_that_differ_in_any_byte_are_different(void **state)
{
    struct symbols *s = symbols_new();
    uint8_t text[64];
    uint32_t n = 1;

    (void)state;
    memset(text, 'x', sizeof text);
    for (size_t len = 1; len <= sizeof text; len++) {
        symbols_string(s, bytes_of(text, len));
        n++;
        for (size_t i = 0; i < len; i++) {
            text[i] ^= 1;
            symbols_string(s, bytes_of(text, len));
            text[i] ^= 1;
            n++;
        }
    }
    assert_int_equal(symbols_n_strings(s), n);
    symbols_free(s);
}

static void views_stay_valid_while_the_table_grows(void **state)
{
    struct symbols *s = symbols_new();
    struct bytes first = symbols_text(s, symbols_string(s, BYTES_LIT("first")));
    char name[32];

    (void)state;
    for (int i = 0; i < 100000; i++) {
        snprintf(name, sizeof name, "name %d", i);
        assert_int_equal(symbols_string(s, bytes_str(name)), i + 2);
    }
    assert_true(bytes_equal(first, BYTES_LIT("first")));
    assert_int_equal(symbols_string(s, BYTES_LIT("name 77777")), 77779);
    symbols_free(s);
}

static void a_function_is_its_four_parts(void **state)
{
    struct symbols *s = symbols_new();
    uint32_t n = symbols_string(s, BYTES_LIT("n")), m = symbols_string(s, BYTES_LIT("_Zn"));
    uint32_t a = symbols_function(s, &(struct function){n, 0, 0, 0});

    (void)state;
    assert_true(a != 0);
    assert_int_equal(symbols_function(s, &(struct function){n, n, 0, 0}), a);
    assert_true(symbols_function(s, &(struct function){n, m, 0, 0}) != a);
    assert_true(symbols_function(s, &(struct function){n, 0, m, 0}) != a);
    assert_true(symbols_function(s, &(struct function){n, 0, 0, 7}) != a);
    assert_true(symbols_function(s, &(struct function){n, 0, 0, -7}) != a);
    assert_int_equal(symbols_n_functions(s), 6);
    symbols_free(s);
}

static void nothing_known_is_still_a_frame_and_not_the_root(void **state)
{
    struct symbols *s = symbols_new();
    uint32_t function = symbols_function(s, &(struct function){0});
    uint32_t named = symbols_frame(s, &(struct frame){.function = function});
    uint32_t unknown = symbols_frame(s, &(struct frame){0});

    (void)state;
    assert_true(function != 0 && named != 0 && unknown != 0 && named != unknown);
    assert_int_equal(symbols_frame(s, &(struct frame){0}), unknown);
    assert_int_equal(symbols_mapping(s, &(struct mapping){0}), 0);
    assert_true(symbols_frame_hashes(s)[0] == 0);
    symbols_free(s);
}

static void frame_hashes_are_the_same_in_every_table(void **state)
{
    struct symbols *a = symbols_new(), *b = symbols_new();
    uint32_t fa, fb, ga, gb;

    (void)state;
    build_frame(a, "noise");
    fa = build_frame(a, "work:12");
    ga = build_frame(a, "libc.so+0x1f");
    gb = build_frame(b, "libc.so+0x1f");
    fb = build_frame(b, "work:12");
    assert_true(symbols_frame_hashes(a)[fa] == symbols_frame_hashes(b)[fb]);
    assert_true(symbols_frame_hashes(a)[ga] == symbols_frame_hashes(b)[gb]);
    /* Stored trees are ordered by it: a change of this number is a change of the format. */
    assert_true(symbols_frame_hashes(a)[fa] == UINT64_C(0x2d91d92dbe063dd3));
    symbols_free(a);
    symbols_free(b);
}

static void ranks_are_the_order_of_frames_however_they_came(void **state)
{
    struct symbols *s = symbols_new();
    const struct ranks *r = symbols_ranks(s);
    char name[16];

    (void)state;
    for (uint32_t i = 0; i < 300; i++) {
        snprintf(name, sizeof name, i % 3 ? "f%u" : "lib+0x%u", i);
        build_frame(s, name);
        if (i % 70 == 0 || i == 299)
            symbols_rank(s);
        if (i % 70 == 0)
            assert_int_equal(r->frames.n, symbols_n_frames(s));
    }
    assert_int_equal(r->frames.n, 301);
    for (uint32_t i = 0; i < r->frames.n; i++) {
        assert_int_equal(r->rank[r->frames.id[i]], i);
        if (i > 0)
            assert_true(symbols_frame_cmp(s, r->frames.id[i - 1], r->frames.id[i]) < 0);
    }
    symbols_reset(s);
    build_frame(s, "again");
    symbols_rank(s);
    assert_int_equal(r->frames.n, 2);
    symbols_free(s);
}

static void assert_name(struct symbols *s, uint32_t frame, const char *expected)
{
    struct buf b = {0};

    symbols_frame_name(s, frame, &b);
    assert_string_equal(buf_cstr(&b), expected);
    buf_deinit(&b);
}

static void an_unsymbolised_frame_is_module_and_address(void **state)
{
    struct symbols *s = symbols_new();
    uint32_t build_id = symbols_string(s, BYTES_LIT("abcdef"));
    uint32_t m = symbols_mapping(s, &(struct mapping){.build_id = build_id});

    (void)state;
    assert_name(s, build_frame(s, "/usr/lib/libc.so.6+0x1f00"), "libc.so.6+0x1f00");
    assert_name(s, build_frame(s, "C:\\app\\x.dll+0x1"), "x.dll+0x1");
    assert_name(s, symbols_frame(s, &(struct frame){0, m, 255}), "abcdef+0xff");
    assert_name(s, symbols_frame(s, &(struct frame){0, 0, 0}), "??+0x0");
    assert_name(s, build_frame(s, "work:3"), "work");
    symbols_free(s);
}

static void merging_gives_the_ids_of_equal_content(void **state)
{
    struct symbols *a = symbols_new(), *b = symbols_new();
    uint32_t main_a = build_frame(a, "main"), lib_a = build_frame(a, "libc+0x1"), map[8] = {0};
    uint32_t work_b = build_frame(b, "work"), lib_b = build_frame(b, "libc+0x1");
    uint32_t main_b = build_frame(b, "main");
    struct translation x;

    (void)state;
    symbols_merge(a, b, 0, map);
    assert_int_equal(map[0], 0);
    assert_int_equal(map[lib_b], lib_a);
    assert_int_equal(map[main_b], main_a);
    assert_int_equal(map[work_b], symbols_n_frames(a) - 1);
    assert_name(a, map[work_b], "work");
    translation_init(&x, a, b);
    assert_int_equal(translation_frame(&x, 0), 0);
    assert_int_equal(translation_frame(&x, work_b), map[work_b]);
    assert_int_equal(translation_frame(&x, lib_b), lib_a);
    translation_deinit(&x);
    symbols_free(a);
    symbols_free(b);
}

static uint32_t line_of(struct symbols *s, const char *name, const char *file, uint64_t line)
{
    struct function f = {.name = symbols_string(s, bytes_str(name)),
                         .system_name = symbols_string(s, BYTES_LIT("_Z")),
                         .file = symbols_string(s, bytes_str(file)),
                         .start_line = (int64_t)line / 10};

    return symbols_frame(
        s, &(struct frame){.function = symbols_function(s, &f), .line_or_address = line});
}

/* As the table grows: the first stays the first. */
static void frames_of_one_name_and_file_are_one_function(void **state)
{
    struct symbols *s = symbols_new();
    uint32_t lib = build_frame(s, "libc+0x1"), lib2 = build_frame(s, "libc+0x2");
    uint32_t work = line_of(s, "work", "a.c", 11), work2 = line_of(s, "work", "a.c", 99), later;
    uint32_t other = line_of(s, "work", "b.c", 11), nameless = line_of(s, "", "", 5);
    struct by_function b = {0};

    (void)state;
    by_function_update(&b, s);
    assert_int_equal(b.n, symbols_n_frames(s));
    assert_int_equal(b.first[0], 0);
    assert_int_equal(b.first[lib], lib);
    assert_int_equal(b.first[lib2], lib2);
    assert_int_equal(b.first[work], work);
    assert_int_equal(b.first[work2], work);
    assert_int_equal(b.first[other], other);
    assert_int_equal(b.first[nameless], nameless);
    later = line_of(s, "work", "a.c", 100);
    by_function_update(&b, s);
    assert_int_equal(b.first[later], work);
    for (uint32_t i = 0; i < 1000; i++)
        assert_true(b.n == later + 1 && line_of(s, "many", "a.c", i) == later + 1 + i);
    by_function_update(&b, s);
    for (uint32_t i = 0; i < 1000; i++)
        assert_int_equal(b.first[later + 1 + i], later + 1);
    by_function_deinit(&b);
    symbols_free(s);
}

static void merging_again_touches_the_new_part_only(void **state)
{
    struct symbols *a = symbols_new(), *b = symbols_new();
    uint32_t map[4] = {77, 77, 77, 77}, known, fresh;

    (void)state;
    known = build_frame(b, "main");
    fresh = build_frame(b, "work");
    symbols_merge(a, b, fresh, map);
    assert_int_equal(map[known], 77);
    assert_name(a, map[fresh], "work");
    assert_int_equal(symbols_n_frames(a), 2);
    symbols_free(a);
    symbols_free(b);
}

static void the_order_of_frames_is_total_and_by_hash(void **state)
{
    struct symbols *s = symbols_new();
    uint32_t f[20];
    char name[16];

    (void)state;
    for (uint32_t i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "f%u", i);
        f[i] = build_frame(s, name);
    }
    for (uint32_t i = 0; i < 20; i++)
        for (uint32_t j = 0; j < 20; j++) {
            int c = symbols_frame_cmp(s, f[i], f[j]);

            assert_int_equal(c == 0, i == j);
            assert_int_equal(c < 0, symbols_frame_hashes(s)[f[i]] < symbols_frame_hashes(s)[f[j]]);
        }
    symbols_free(s);
}

static void a_reset_table_starts_from_nothing(void **state)
{
    struct symbols *s = symbols_new();

    (void)state;
    build_frame(s, "main");
    symbols_reset(s);
    assert_int_equal(symbols_n_strings(s), 1);
    assert_int_equal(symbols_n_frames(s), 1);
    assert_int_equal(build_frame(s, "other"), 1);
    assert_name(s, 1, "other");
    symbols_free(s);
}

/* All keys share one place in the table: slow, but every one is found. */
static void a_table_finds_all_of_many_equal_hashes(void **state)
{
    struct table t = {0};
    uint32_t seen = 0;

    (void)state;
    for (uint32_t id = 0; id < 1000; id++)
        table_insert(&t, UINT64_MAX, id);
    for (struct probe p = table_probe(&t, UINT64_MAX); table_next(&t, &p);)
        seen++;
    assert_int_equal(seen, 1000);
    for (struct probe p = table_probe(&t, 0); table_next(&t, &p);)
        fail();
    table_deinit(&t);
}

static void a_reset_table_shrinks_after_a_large_round(void **state)
{
    struct table t = {0};
    size_t large;

    (void)state;
    for (uint32_t id = 0; id < 100000; id++)
        table_insert(&t, hash_mix(id), id);
    large = table_bytes(&t);
    for (int round = 0; round < 20; round++) {
        table_reset(&t);
        table_insert(&t, hash_mix(7), 7);
    }
    assert_true(table_bytes(&t) < large / 100);
    table_deinit(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_string_is_interned_once),
        cmocka_unit_test(strings_that_differ_in_any_byte_are_different),
        cmocka_unit_test(views_stay_valid_while_the_table_grows),
        cmocka_unit_test(a_function_is_its_four_parts),
        cmocka_unit_test(nothing_known_is_still_a_frame_and_not_the_root),
        cmocka_unit_test(frame_hashes_are_the_same_in_every_table),
        cmocka_unit_test(ranks_are_the_order_of_frames_however_they_came),
        cmocka_unit_test(an_unsymbolised_frame_is_module_and_address),
        cmocka_unit_test(frames_of_one_name_and_file_are_one_function),
        cmocka_unit_test(merging_gives_the_ids_of_equal_content),
        cmocka_unit_test(merging_again_touches_the_new_part_only),
        cmocka_unit_test(the_order_of_frames_is_total_and_by_hash),
        cmocka_unit_test(a_reset_table_starts_from_nothing),
        cmocka_unit_test(a_table_finds_all_of_many_equal_hashes),
        cmocka_unit_test(a_reset_table_shrinks_after_a_large_round),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
