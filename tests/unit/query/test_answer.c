#include "lib/build.h"
#include "query/answer.h"

#include <jansson.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* One side's samples, in a table of their own, as the blobs of one generation are. */
static void add(struct answer *a, struct answer_parts *parts, uint8_t side, const char *text)
{
    struct symbols *sym = symbols_new();
    struct tree t = {0};

    build_tree(&t, sym, text);
    answer_add(a, parts, side, &t, sym);
    symbols_free(sym);
}

static struct answer answer_of(uint32_t n_sides, enum granularity g, const char *x, const char *y)
{
    struct answer a = {.n_sides = n_sides, .granularity = g};
    struct answer_parts parts = {0};

    for (uint32_t s = 0; s < n_sides; s++) {
        buf_append_str(&a.sides[s].service, "web");
        buf_append_str(&a.sides[s].type, "process_cpu:cpu:nanoseconds:cpu:nanoseconds");
    }
    add(&a, &parts, 0, x);
    if (y)
        add(&a, &parts, n_sides == 2 ? 1 : 0, y);
    answer_zip(&a, &parts);
    return a;
}

/* Its lines, sorted: names without lines, whatever the granularity. */
static void assert_folded(const struct answer *a, const char *expected)
{
    struct buf out = {0}, sorted = {0};
    char *lines[64], *save, *line;
    size_t n = 0;

    answer_folded(a, NODES_ALL, &out);
    for (line = strtok_r((char *)buf_cstr(&out), "\n", &save); line;
         line = strtok_r(NULL, "\n", &save)) {
        assert_true(n < 64);
        lines[n++] = line;
    }
    qsort(lines, n, sizeof *lines, build_line_cmp);
    for (size_t i = 0; i < n; i++)
        buf_printf(&sorted, "%s%s", i ? "\n" : "", lines[i]);
    assert_string_equal(buf_cstr(&sorted), expected);
    buf_deinit(&out);
    buf_deinit(&sorted);
}

static json_t *parsed(struct buf *out)
{
    json_error_t error;
    json_t *j = json_loadb((const char *)out->data, out->len, 0, &error);

    if (!j)
        fail_msg("%s in %s", error.text, buf_cstr(out));
    buf_deinit(out);
    return j;
}

static int64_t at(json_t *j, const char *column, size_t i)
{
    json_t *v = json_array_get(json_object_get(j, column), i);

    assert_true(json_is_integer(v));
    return json_integer_value(v);
}

static const char *name_at(json_t *j, size_t i)
{
    return json_string_value(json_array_get(json_object_get(j, "names"), (size_t)at(j, "name", i)));
}

static int64_t number(json_t *j, const char *name)
{
    assert_true(json_is_integer(json_object_get(j, name)));
    return json_integer_value(json_object_get(j, name));
}

/* The node under `parent` (by preorder) with that name, or 0. */
static size_t child(json_t *j, size_t parent, const char *name)
{
    int64_t depth = at(j, "depth", parent);

    for (size_t i = parent + 1; i < (size_t)number(j, "nodes") && at(j, "depth", i) > depth; i++)
        if (at(j, "depth", i) == depth + 1 && strcmp(name_at(j, i), name) == 0)
            return i;
    return 0;
}

static void lines_of_a_function_become_one_node_exactly(void **state)
{
    struct answer a =
        answer_of(1, GRANULARITY_FUNCTION,
                  "main:1;work:10 5\nmain:2;work:11 7\nmain:2;work:10;leaf:1 1\nmain:9 2",
                  "main:1;work:12 100\nother:1 3");

    (void)state;
    assert_folded(&a, "main 2\nmain;work 112\nmain;work;leaf 1\nother 3");
    answer_deinit(&a);
}

static void by_line_nothing_is_joined(void **state)
{
    struct answer a =
        answer_of(1, GRANULARITY_LINE, "main:1;work:10 5\nmain:2;work:11 7", "main:1;work:10 100");

    (void)state;
    ASSERT_FOLDED(&a.tree, a.symbols, "main:1;work:10 105\nmain:2;work:11 7");
    answer_deinit(&a);
}

/* Two sides of one table, as of one generation: nothing is translated. */
struct borrowed {
    struct symbols *symbols;
    struct by_function functions;
    struct answer answer;
};

/* The table has met the texts of `before` first. */
static void borrow(struct borrowed *b, enum granularity g, const char *before, const char *x,
                   const char *y)
{
    const char *const text[] = {x, y};
    struct answer_parts parts = {0};
    struct tree t[2] = {{0}};

    *b = (struct borrowed){.symbols = symbols_new(), .answer = {.n_sides = 2, .granularity = g}};
    build_tree(&t[0], b->symbols, before);
    by_function_update(&b->functions, b->symbols);
    answer_borrow(&b->answer, b->symbols, &b->functions);
    for (uint8_t s = 0; s < 2; s++) {
        build_tree(&t[s], b->symbols, text[s]);
        buf_append_str(&b->answer.sides[s].service, "web");
        buf_append_str(&b->answer.sides[s].type, "process_cpu:cpu:nanoseconds:cpu:nanoseconds");
    }
    by_function_update(&b->functions, b->symbols);
    for (uint8_t s = 0; s < 2; s++)
        answer_add(&b->answer, &parts, s, &t[s], b->symbols);
    answer_zip(&b->answer, &parts);
}

static void borrowed_deinit(struct borrowed *b)
{
    answer_give_back(&b->answer);
    answer_deinit(&b->answer);
    by_function_deinit(&b->functions);
    symbols_free(b->symbols);
}

static void parts_of_one_table_are_merged_in_it(void **state)
{
    struct borrowed b;

    (void)state;
    borrow(&b, GRANULARITY_FUNCTION, "other:9 1",
           "main:1;work:10 5\nmain:2;work:11 7\nlibc.so+0x10;main:1 1",
           "main:1;work:12 100\nother:1 3\nmain:2;work:11 1");
    assert_ptr_equal(b.answer.symbols, b.symbols);
    assert_null(b.answer.own_symbols);
    assert_folded(&b.answer, "libc.so+0x10;main 1 0\nmain;work 12 101\nother 0 3");
    borrowed_deinit(&b);
}

/* Whatever lines a table met first, and whether it is the answer's own: to the byte, with ties of
 * weight among what is shown and hidden, and among the rows of a table. */
static void equal_content_gives_equal_answers(void **state)
{
    static const char x[] = "f:1;a:1 5\nf:2;b:2 5\ng:3;c:1 5\nh:1 5\nk:1;d:1 5";
    static const char y[] = "f:9;a:1 2\nf:2;b:7 2\ng:3;c:1 2\nh:2 2\nk:3;d:1 2";
    static const char *const before[] = {"z 1", "h:2 1\nd:1;k:3;f:9 1", "b:7;c:1;g:3;f:2 1",
                                         "a:1;f:1;h:1 1"};

    (void)state;
    for (uint32_t max_nodes = 2; max_nodes < 12; max_nodes++) {
        struct answer own = answer_of(2, GRANULARITY_FUNCTION, x, y);
        struct buf expected = {0}, got = {0};

        answer_flamegraph_json(&own, max_nodes, &expected);
        answer_top_json(&own, TOP_BY_SELF, max_nodes, &expected);
        for (size_t i = 0; i < sizeof before / sizeof *before; i++) {
            struct borrowed b;

            borrow(&b, GRANULARITY_FUNCTION, before[i], x, y);
            buf_reset(&got);
            answer_flamegraph_json(&b.answer, max_nodes, &got);
            answer_top_json(&b.answer, TOP_BY_SELF, max_nodes, &got);
            assert_string_equal(buf_cstr(&got), buf_cstr(&expected));
            borrowed_deinit(&b);
        }
        buf_deinit(&expected);
        buf_deinit(&got);
        answer_deinit(&own);
    }
}

/* A table sums the lines of a function where they stand, a flame graph makes one node of them. */
static void sums_of_lines_that_saturate_are_told(void **state)
{
    struct answer lines =
        answer_of(1, GRANULARITY_LINE, "main:1 9223372036854775807\nmain:2 1", NULL);
    struct answer functions =
        answer_of(1, GRANULARITY_FUNCTION, "main:1 9223372036854775807\nmain:2 1", NULL);
    struct buf out = {0};
    json_t *j;

    (void)state;
    answer_top_json(&lines, TOP_BY_SELF, 10, &out);
    j = parsed(&out);
    assert_int_equal(number(json_object_get(j, "complete"), "saturated"), 1);
    json_decref(j);
    answer_flamegraph_json(&functions, 100, &out);
    j = parsed(&out);
    assert_int_equal(number(json_object_get(j, "complete"), "saturated"), 1);
    json_decref(j);
    answer_deinit(&lines);
    answer_deinit(&functions);
}

static void values_that_cancel_leave_no_node(void **state)
{
    struct answer a = answer_of(1, GRANULARITY_FUNCTION, "main:1 5\nwork:3 1", "main:2 -5");

    (void)state;
    assert_folded(&a, "work 1");
    answer_deinit(&a);
}

static void the_columns_of_a_flame_graph_say_the_tree(void **state)
{
    struct answer a = answer_of(1, GRANULARITY_FUNCTION,
                                "main:1;work:10 5\nmain:2;idle:11 7\nlibc.so+0x10 3", NULL);
    struct buf out = {0};
    json_t *j;
    size_t main_, work;

    (void)state;
    answer_flamegraph_json(&a, 100, &out);
    j = parsed(&out);
    assert_int_equal(number(j, "nodes"), 5);
    assert_int_equal(number(j, "sum"), 15);
    assert_int_equal(at(j, "total", 0), 15);
    assert_string_equal(name_at(j, 0), "total");
    main_ = child(j, 0, "main");
    work = child(j, main_, "work");
    assert_int_equal(at(j, "total", main_), 12);
    assert_int_equal(at(j, "self", main_), 0);
    assert_int_equal(at(j, "self", work), 5);
    assert_int_equal(at(j, "self", child(j, 0, "libc.so+0x10")), 3);
    assert_int_equal(json_array_size(json_object_get(j, "other")), 0);
    assert_null(json_object_get(j, "line"));
    json_decref(j);
    answer_deinit(&a);
}

static void integers_are_exact_however_large(void **state)
{
    struct answer a =
        answer_of(1, GRANULARITY_FUNCTION, "main 9223372036854775807\nneg -9007199254740993", NULL);
    struct buf out = {0};
    json_t *j;

    (void)state;
    answer_flamegraph_json(&a, 100, &out);
    j = parsed(&out);
    assert_int_equal(at(j, "self", child(j, 0, "main")), INT64_MAX);
    assert_int_equal(at(j, "self", child(j, 0, "neg")), -INT64_C(9007199254740993));
    json_decref(j);
    answer_deinit(&a);
}

static void what_is_hidden_is_said_and_its_weight_is_exact(void **state)
{
    struct answer a = answer_of(1, GRANULARITY_FUNCTION, "a 100\nb 90\nc 1\nd 2\ne;f 4", NULL);
    struct buf out = {0};
    int64_t weight = 0;
    json_t *j, *other;

    (void)state;
    answer_flamegraph_json(&a, 4, &out);
    j = parsed(&out);
    other = json_object_get(j, "other");
    assert_int_equal(number(j, "nodes"), 4);
    assert_int_equal(at(j, "total", 0), 197);
    assert_int_equal(json_array_size(other), 1);
    for (size_t i = 0; i < json_array_size(other); i++) {
        size_t node = (size_t)json_integer_value(json_array_get(other, i));

        assert_string_equal(name_at(j, node), "(other)");
        weight += at(j, "self", node);
    }
    assert_int_equal(weight, 7);
    assert_int_equal(number(json_object_get(j, "hidden"), "weight"), 7);
    assert_int_equal(number(json_object_get(j, "hidden"), "nodes"), 4);
    json_decref(j);
    answer_deinit(&a);
}

static void a_difference_keeps_both_values_and_one_sided_frames(void **state)
{
    struct answer a = answer_of(2, GRANULARITY_FUNCTION, "main:1;work:2 5\nmain:1;gone:1 3",
                                "main:4;work:9 8\nmain:1;new:1 2");
    struct buf out = {0}, folded = {0};
    json_t *j;
    size_t main_, work;

    (void)state;
    answer_flamegraph_json(&a, 100, &out);
    j = parsed(&out);
    main_ = child(j, 0, "main");
    work = child(j, main_, "work");
    assert_int_equal(number(j, "sum"), 2);
    assert_int_equal(number(json_object_get(j, "a"), "sum"), 8);
    assert_int_equal(number(json_object_get(j, "b"), "sum"), 10);
    assert_int_equal(at(j, "self", work), 3);
    assert_int_equal(at(j, "self_a", work), 5);
    assert_int_equal(at(j, "self_b", work), 8);
    assert_int_equal(at(j, "total", main_), 2);
    assert_int_equal(at(j, "total_a", main_), 8);
    assert_int_equal(at(j, "self", child(j, main_, "gone")), -3);
    assert_int_equal(at(j, "self", child(j, main_, "new")), 2);
    json_decref(j);
    answer_folded(&a, NODES_ALL, &folded);
    assert_non_null(strstr(buf_cstr(&folded), "main;work 5 8\n"));
    assert_non_null(strstr(buf_cstr(&folded), "main;gone 3 0\n"));
    buf_deinit(&folded);
    answer_deinit(&a);
}

static void total_counts_a_stack_once_however_often_a_function_recurs(void **state)
{
    struct answer a =
        answer_of(1, GRANULARITY_FUNCTION, "f:1;f:2;f:3 5\nf:1;g:1;f:9 2\ng:1 1", NULL);
    struct buf out = {0};
    json_t *j, *first, *second;

    (void)state;
    answer_top_json(&a, TOP_BY_TOTAL, 10, &out);
    j = parsed(&out);
    first = json_array_get(json_object_get(j, "functions"), 0);
    second = json_array_get(json_object_get(j, "functions"), 1);
    assert_string_equal(json_string_value(json_object_get(first, "name")), "f");
    assert_int_equal(number(first, "total"), 7);
    assert_int_equal(number(first, "self"), 7);
    assert_int_equal(number(second, "total"), 3);
    assert_int_equal(number(second, "self"), 1);
    assert_int_equal(number(j, "n_functions"), 2);
    json_decref(j);
    answer_deinit(&a);
}

static void top_gives_at_most_the_rows_asked_for(void **state)
{
    struct answer a = answer_of(1, GRANULARITY_FUNCTION, "a 1\nb 2\nc -9", NULL);
    struct buf out = {0};
    json_t *j, *rows;

    (void)state;
    answer_top_json(&a, TOP_BY_SELF, 1, &out);
    j = parsed(&out);
    rows = json_object_get(j, "functions");
    assert_int_equal(json_array_size(rows), 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(rows, 0), "name")), "c");
    assert_int_equal(number(j, "n_functions"), 3);
    json_decref(j);
    answer_deinit(&a);
}

static void names_that_are_not_utf8_do_not_break_json(void **state)
{
    struct answer a = answer_of(1, GRANULARITY_FUNCTION, "bad\xff\xc3name\x01\"\\ 5", NULL);
    struct buf out = {0};
    json_t *j;

    (void)state;
    answer_flamegraph_json(&a, 100, &out);
    j = parsed(&out);
    assert_string_equal(name_at(j, 1), "bad\xef\xbf\xbd\xef\xbf\xbdname\x01\"\\");
    json_decref(j);
    answer_deinit(&a);
}

/* Sides of `profiles` each; a side's values are what so many profiles add up to. */
static struct answer counted_of(const char *type, const char *x, uint64_t x_profiles, const char *y,
                                uint64_t y_profiles)
{
    struct answer a = answer_of(y ? 2 : 1, GRANULARITY_FUNCTION, x, y);

    for (uint32_t s = 0; s < a.n_sides; s++) {
        buf_reset(&a.sides[s].type);
        buf_append_str(&a.sides[s].type, type);
        a.sides[s].profiles = s ? y_profiles : x_profiles;
    }
    return a;
}

static void assert_text(struct answer *a, const char *expected)
{
    struct buf text = {0};

    answer_top_text(a, TOP_BY_SELF, 10, &text);
    assert_string_equal(buf_cstr(&text), expected);
    buf_deinit(&text);
    answer_deinit(a);
}

static const char heap[] = "memory:inuse_space:bytes:space:bytes";
static const char goroutines[] = "goroutines:goroutine:count:goroutine:count";

static void a_table_of_a_snapshot_has_means_of_one_profile(void **state)
{
    struct answer a = counted_of(heap, "main 10485760\nmain;work 20971520", 10, NULL, 0);
    struct answer b = counted_of(goroutines, "main 9\nwork 1", 4, NULL, 0);

    (void)state;
    assert_text(&a,
                "web  memory:inuse_space:bytes:space:bytes  total   3.00MiB  mean of 10 profiles\n"
                "      self    self%     total   total%  function\n"
                "   2.00MiB  66.67%   2.00MiB  66.67%  work\n"
                "   1.00MiB  33.33%   3.00MiB 100.00%  main\n");
    assert_text(&b, "web  goroutines:goroutine:count:goroutine:count  total      2.50  mean of 4 "
                    "profiles\n"
                    "      self    self%     total   total%  function\n"
                    "      2.25  90.00%      2.25  90.00%  main\n"
                    "      0.25  10.00%      0.25  10.00%  work\n");
}

static void a_difference_of_snapshots_is_that_of_their_means_and_in_their_order(void **state)
{
    struct answer a = counted_of(heap, "same 10240\nless 300", 10, "same 1024\nless 10", 1);

    (void)state;
    assert_text(
        &a, "a: web  memory:inuse_space:bytes:space:bytes  total   1.03KiB  mean of 10 profiles\n"
            "b: web  memory:inuse_space:bytes:space:bytes  total   1.01KiB  mean of 1 profile\n"
            "    self a    self b      b - a  function\n"
            "       30B       10B       -20B  less\n"
            "   1.00KiB   1.00KiB        +0B  same\n");
}

static void values_of_a_flow_are_sums_exact_however_large(void **state)
{
    struct answer a = counted_of("process_cpu:samples:count:cpu:nanoseconds",
                                 "main 9223372036854775807", 3, "main 9223372036854775806", 7);

    (void)state;
    assert_text(
        &a, "a: web  process_cpu:samples:count:cpu:nanoseconds  total 9223372036854775807  in 3 "
            "profiles\n"
            "b: web  process_cpu:samples:count:cpu:nanoseconds  total 9223372036854775806  in 7 "
            "profiles\n"
            "    self a    self b      b - a  function\n"
            " 9223372036854775807 9223372036854775806         -1  main\n");
}

static void nothing_is_a_bare_root(void **state)
{
    struct answer a = {.n_sides = 2};
    struct answer_parts parts = {0};
    struct buf out = {0}, text = {0};
    json_t *j;

    (void)state;
    answer_zip(&a, &parts);
    answer_flamegraph_json(&a, 100, &out);
    j = parsed(&out);
    assert_int_equal(number(j, "nodes"), 1);
    assert_int_equal(at(j, "total", 0), 0);
    json_decref(j);
    answer_top_text(&a, TOP_BY_SELF, 10, &text);
    assert_true(text.len > 0);
    buf_deinit(&text);
    answer_deinit(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_of_a_function_become_one_node_exactly),
        cmocka_unit_test(by_line_nothing_is_joined),
        cmocka_unit_test(parts_of_one_table_are_merged_in_it),
        cmocka_unit_test(equal_content_gives_equal_answers),
        cmocka_unit_test(sums_of_lines_that_saturate_are_told),
        cmocka_unit_test(values_that_cancel_leave_no_node),
        cmocka_unit_test(the_columns_of_a_flame_graph_say_the_tree),
        cmocka_unit_test(integers_are_exact_however_large),
        cmocka_unit_test(what_is_hidden_is_said_and_its_weight_is_exact),
        cmocka_unit_test(a_difference_keeps_both_values_and_one_sided_frames),
        cmocka_unit_test(total_counts_a_stack_once_however_often_a_function_recurs),
        cmocka_unit_test(top_gives_at_most_the_rows_asked_for),
        cmocka_unit_test(names_that_are_not_utf8_do_not_break_json),
        cmocka_unit_test(a_table_of_a_snapshot_has_means_of_one_profile),
        cmocka_unit_test(a_difference_of_snapshots_is_that_of_their_means_and_in_their_order),
        cmocka_unit_test(values_of_a_flow_are_sums_exact_however_large),
        cmocka_unit_test(nothing_is_a_bare_root),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
