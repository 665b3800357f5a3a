#include "formats/pprof.h"
#include "lib/build.h"
#include "lib/wire.h"
#include "profile/locations.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* A reader and what it reads into. */
struct fixture {
    struct symbols *sym;
    struct stacks *st;
    struct profile p;
    struct pprof_reader *reader;
    struct profile_limits limits;
    struct decode_stats stats;
    struct failure failure;
    unsigned flags;
};

static int setup(void **state)
{
    struct fixture *x = calloc(1, sizeof *x);

    x->sym = symbols_new();
    x->st = stacks_new();
    x->reader = pprof_reader_new();
    x->limits = profile_limits_default;
    profile_init(&x->p, x->sym, x->st);
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *x = *state;

    profile_deinit(&x->p);
    pprof_reader_free(x->reader);
    stacks_free(x->st);
    symbols_free(x->sym);
    free(x);
    return 0;
}

static void forget(struct fixture *x)
{
    profile_reset(&x->p);
    stacks_reset(x->st);
    symbols_reset(x->sym);
    memset(&x->failure, 0, sizeof x->failure);
}

static int read_raw(struct fixture *x, struct bytes raw)
{
    uint8_t *exact = malloc(raw.len ? raw.len : 1); /* ASan then sees a read past the end */
    int r;

    memcpy(exact, raw.data ? raw.data : (const uint8_t *)"", raw.len);
    r = pprof_read(x->reader, bytes_of(exact, raw.len), &x->limits, x->flags, &x->p, &x->stats,
                   &x->failure);
    free(exact);
    return r;
}

static int read_text(struct fixture *x, const char *text)
{
    struct buf raw = {0};
    int r;

    wire_write(text, &raw);
    r = read_raw(x, buf_bytes(&raw));
    buf_deinit(&raw);
    return r;
}

static char *folded(struct fixture *x, uint32_t type)
{
    struct tree t = {0};
    char *text;

    tree_of_profile(&t, &x->p, type);
    text = build_text(&t, x->sym);
    tree_deinit(&t);
    return text;
}

static void assert_folded(struct fixture *x, uint32_t type, const char *expected)
{
    char *text = folded(x, type);

    assert_string_equal(text, expected);
    free(text);
}

/* Strings 1 cpu, 2 ns, 3 main, 4 work, 5 app.c; main calls work, at lines 10 and 20. */
#define STRINGS   "6\"\" 6\"cpu\" 6\"ns\" 6\"main\" 6\"work\" 6\"app.c\" "
#define TYPE      "1{1:1 2:2} "
#define FUNCTIONS "5{1:1 2:3 3:3 4:5 5:1} 5{1:2 2:4 3:4 4:5} "
#define LOCATIONS "4{1:1 4{1:1 2:10}} 4{1:2 4{1:2 2:20}} "
#define TABLES    TYPE FUNCTIONS LOCATIONS STRINGS

static void a_plain_profile_is_read(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(read_text(x, TABLES "2{1[2 1] 2[7]} 2{1[1] 2[1]} 9:123 10:456 "
                                         "11{1:1 2:2} 12:1000 14:1"),
                     0);
    assert_folded(x, 0, "main:10 1\nmain:10;work:20 7");
    assert_true(x->p.time_ns == 123 && x->p.duration_ns == 456 && x->p.period == 1000);
    assert_true(bytes_equal(symbols_text(x->sym, x->p.types[0].name), BYTES_LIT("cpu")));
    assert_true(bytes_equal(symbols_text(x->sym, x->p.types[0].unit), BYTES_LIT("ns")));
    assert_true(bytes_equal(symbols_text(x->sym, x->p.default_type), BYTES_LIT("cpu")));
    assert_int_equal(x->p.period_type.name, x->p.types[0].name);
    assert_int_equal(x->stats.samples, 2);
    for (uint32_t i = 1; i < symbols_n_functions(x->sym); i++)
        assert_int_equal(symbols_get_function(x->sym, i)->system_name, 0);
}

static void the_order_of_fields_and_packing_do_not_matter(void **state)
{
    static const char *const spellings[] = {
        STRINGS TYPE FUNCTIONS LOCATIONS "2{1[2 1] 2[7]}",
        "2{1[2 1] 2[7]}" TYPE LOCATIONS FUNCTIONS STRINGS,
        "2{2:7 1:2 1:1}" LOCATIONS STRINGS TYPE FUNCTIONS,
        "2{1:2 2:7 1[1]}" FUNCTIONS STRINGS LOCATIONS TYPE,
        TABLES "2{1[2 1] 2[7] 9:1 8\"later\"} 99:1 98\"unknown\" 97{1:1}",
        TABLES "2{1[2] 1[] 1[1] 2[7]}",
    };
    struct fixture *x = *state;

    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++) {
        forget(x);
        assert_int_equal(read_text(x, spellings[i]), 0);
        assert_folded(x, 0, "main:10;work:20 7");
    }
}

static void sparse_ids_are_as_good_as_dense_ones(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(read_text(x, TYPE STRINGS "5{1:18446744073709551615 2:3} 5{1:77777 2:4} "
                                               "4{1:94822331 4{1:18446744073709551615 2:10}} "
                                               "4{1:9223372036854775808 4{1:77777 2:20}} "
                                               "2{1[9223372036854775808 94822331] 2[7]}"),
                     0);
    assert_folded(x, 0, "main:10;work:20 7");
    assert_int_equal(read_text(x, TYPE STRINGS "5{1:5 2:3} 4{1:1000000 4{1:5 2:10}} "
                                               "2{1[1000001] 2[7]}"),
                     FAILURE);
}

static void inlined_lines_are_frames_innermost_first(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(read_text(x, TYPE FUNCTIONS STRINGS "4{1:1 4{1:2 2:20} 4{1:1 2:10}} "
                                                         "2{1[1] 2[7]} 2{1[1 1] 2[1]}"),
                     0);
    assert_folded(x, 0, "main:10;work:20 7\nmain:10;work:20;main:10;work:20 1");
}

static void addresses_are_relative_to_their_mapping(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(read_text(x, TYPE
                               "6\"\" 6\"cpu\" 6\"ns\" 6\"/lib/libc.so\" 6\"id\" "
                               "3{1:1 2:4096 3:8192 4:256 5:3 6:4} 3{1:2 5:3} "
                               "4{1:1 2:1 3:4112} " /* inside: 4112 - 4096 + 256 */
                               "4{1:2 2:1 3:64} "   /* outside: as it is */
                               "4{1:3 3:255} "      /* of no mapping */
                               "4{1:4} "            /* nothing at all */
                               "4{1:5 2:9 3:1} "    /* of a mapping that does not exist */
                               "2{1[1] 2[1]} 2{1[2] 2[2]} 2{1[3] 2[4]} 2{1[4] 2[8]} 2{1[5] 2[16]}"),
                     0);
    assert_folded(x, 0, "??+0x0 8\n??+0x1 16\n??+0xff 4\nlibc.so+0x110 1\nlibc.so+0x40 2");
    assert_int_equal(x->stats.dangling_refs, 1);
}

static void equal_samples_are_summed_and_negative_ones_count(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(read_text(x, TABLES "1{1:2 2:2} 2{1[2 1] 2[7 -1]} 2{1[2 1] 2[-9 1]} "
                                         "2{1[1] 2[0 0]} 2{2[5 0]}"),
                     0);
    assert_folded(x, 0, " 5\nmain:10;work:20 -2");
    assert_folded(x, 1, "");
    assert_int_equal(x->p.n_rows, 2);
    assert_int_equal(x->stats.zero_samples, 1);
    assert_int_equal(profile_total(&x->p, 0), 3);
}

/* Strings 6 … 11 for labels. */
#define LABELS                                                                                     \
    STRINGS "6\"endpoint\" 6\"/items\" 6\"span id\" 6\"123\" 6\"bytes\" 6\"end_timestamp_ns\" "

static void append_samples(struct buf *raw, const char *sample, uint32_t n)
{
    struct buf one = {0};

    wire_write(sample, &one);
    buf_reserve(raw, one.len * n);
    for (uint32_t i = 0; i < n; i++)
        buf_append_bytes(raw, buf_bytes(&one));
    buf_deinit(&one);
}

static void labels_that_make_samples_unique_are_set_aside(void **state)
{
    struct fixture *x = *state;
    const struct label *set;
    size_t n;

    assert_int_equal(read_text(x, TYPE FUNCTIONS LOCATIONS LABELS
                               "2{1[1] 2[1] 3{1:6 2:7} 3{1:8 2:9} 3{1:11 3:17954}} "
                               "2{1[1] 2[2] 3{1:11 3:17955} 3{1:6 2:7}} "
                               "2{1[1] 2[4] 3{1:10 3:512}} "
                               "2{1[1] 2[8]} 2{1[1] 2[16] 3{1:6}}"),
                     0);
    assert_int_equal(x->p.n_rows, 2);
    assert_int_equal(x->p.values[0][0], 3);
    assert_int_equal(x->p.values[0][1], 28);
    assert_int_equal(x->stats.labels_set_aside, 4);
    set = profile_label_set(&x->p, x->p.row_labels[0], &n);
    assert_int_equal(n, 1);
    assert_true(bytes_equal(symbols_text(x->sym, set->str), BYTES_LIT("/items")));
}

static void samples_that_differ_in_what_is_set_aside_count_once(void **state)
{
    /* By the limit they are folded always, when there are enough of them, or when adding them. */
    const uint32_t max[] = {3, 8000, 1 << 20};
    enum { EACH = 5000 };
    struct fixture *x = *state;
    struct buf raw = {0};

    wire_write(TYPE FUNCTIONS LOCATIONS LABELS, &raw);
    append_samples(&raw, "2{1[1] 2[1] 3{1:11 3:17954} 3{1:6 2:7}}", EACH);
    append_samples(&raw, "2{1[1] 2[1] 3{1:11 3:17954}}", EACH);
    append_samples(&raw, "2{1[2 1] 2[1] 3{1:11 3:17954}}", EACH);
    for (size_t i = 0; i < sizeof max / sizeof *max; i++) {
        x->limits.samples_max = x->limits.values_max = max[i];
        assert_int_equal(read_raw(x, buf_bytes(&raw)), 0);
        assert_int_equal(x->p.n_rows, 3);
        for (int row = 0; row < 3; row++)
            assert_int_equal(x->p.values[0][row], (i + 1) * EACH);
        assert_int_equal(x->stats.samples, 3 * EACH);
    }
    x->limits.samples_max = 2;
    assert_int_equal(read_raw(x, buf_bytes(&raw)), FAILURE);
    assert_int_equal(profile_total(&x->p, 0), 9 * EACH);
    buf_deinit(&raw);
}

static void sums_stop_at_the_ends_and_are_counted(void **state)
{
    struct fixture *x = *state;

    /* Folded while reading, and again with what the profile has. */
    for (uint64_t round = 1; round <= 2; round++) {
        assert_int_equal(read_text(x, TYPE FUNCTIONS LOCATIONS LABELS
                                   "2{1[1] 2[9223372036854775807] 3{1:11 3:1}} "
                                   "2{1[1] 2[5] 3{1:11 3:2}} "),
                         0);
        assert_int_equal(x->p.n_rows, 1);
        assert_true(x->p.values[0][0] == INT64_MAX);
        assert_int_equal(x->p.saturated, 2 * round - 1);
    }
}

static void the_order_of_profiles_does_not_matter(void **state)
{
    static const char *const samples[] = {"2{1[2 1] 2[7]} 2{1[1] 2[1]}",
                                          "2{1[1] 2[2] 3{1:6 2:7}} 2{1[2 2 1] 2[4]}",
                                          "2{1[2 1] 2[-3] 3{1:11 3:5}} 2{1[1] 2[8]}"};
    static const unsigned orders[][3] = {{0, 1, 2}, {2, 1, 0}, {1, 2, 0}};
    struct fixture *x = *state;
    struct buf text = {0};

    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        forget(x);
        for (size_t k = 0; k < 3; k++) {
            buf_reset(&text);
            buf_printf(&text, "%s %s", TYPE FUNCTIONS LOCATIONS LABELS, samples[orders[i][k]]);
            assert_int_equal(read_text(x, buf_cstr(&text)), 0);
        }
        assert_folded(x, 0, "main:10 11\nmain:10;work:20 4\nmain:10;work:20;work:20 4");
        assert_int_equal(x->p.n_rows, 4);
    }
    buf_deinit(&text);
}

static void spans_in_every_spelling_are_the_samples_own(void **state)
{
    static const struct {
        const char *labels;
        struct span span;
    } cases[] = {
        {"3{1:8 2:9}", {.id = 123}},
        {"3{1:8 3:-1}", {.id = UINT64_MAX}},
        {"3{1:12 3:5} 3{1:8 2:13}", {.root = 5, .id = 0x00f067aa0ba902b7}},
        {"3{1:14 2:15}", {.trace_hi = 0x4bf92f3577b34da6, .trace_lo = 0xa3ce929d0e0e4736}},
        {"3{1:14 3:7}", {.trace_lo = 7}},
        {"3{1:8 2:7}", {0}},
    };
    struct fixture *x = *state;
    struct buf text = {0};

    x->flags = PPROF_SPANS;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        forget(x);
        buf_reset(&text);
        buf_printf(&text,
                   "%s 6\"local root span id\" 6\"00f067aa0ba902b7\" 6\"trace_id\" "
                   "6\"4bf92f3577b34da6a3ce929d0e0e4736\" 2{1[1] 2[1] %s 3{1:11 3:1}} "
                   "2{1[1] 2[2] %s 3{1:11 3:2}} 2{1[1] 2[4]}",
                   TYPE FUNCTIONS LOCATIONS LABELS, cases[i].labels, cases[i].labels);
        assert_int_equal(read_text(x, buf_cstr(&text)), 0);
        if (!x->p.row_span) {
            assert_int_equal(cases[i].span.id | cases[i].span.trace_lo, 0);
            continue;
        }
        assert_int_equal(x->p.n_rows, 2);
        assert_int_equal(x->p.values[0][0], 3);
        assert_memory_equal(profile_get_span(&x->p, x->p.row_span[0]), &cases[i].span,
                            sizeof cases[i].span);
        assert_int_equal(x->p.row_span[1], 0);
    }
    buf_deinit(&text);
}

static void an_endpoint_is_called_endpoint(void **state)
{
    struct fixture *x = *state;
    const struct label *set;
    size_t n;

    assert_int_equal(read_text(x, TABLES "6\"trace endpoint\" 6\"/pay\" 2{1[1] 2[1] 3{1:6 2:7}}"),
                     0);
    set = profile_label_set(&x->p, x->p.row_labels[0], &n);
    assert_int_equal(n, 1);
    assert_true(bytes_equal(symbols_text(x->sym, set->key), BYTES_LIT("endpoint")));
    assert_true(bytes_equal(symbols_text(x->sym, set->str), BYTES_LIT("/pay")));
}

static void all_labels_are_identity_when_asked_for(void **state)
{
    struct fixture *x = *state;

    x->flags = PPROF_LABELS_ALL;
    assert_int_equal(read_text(x, TYPE FUNCTIONS LOCATIONS LABELS
                               "2{1[1] 2[1] 3{1:6 2:7} 3{1:11 3:17954}} "
                               "2{1[1] 2[2] 3{1:11 3:17955} 3{1:6 2:7}} "
                               "2{1[1] 2[4] 3{1:11 3:17954} 3{1:6 2:7}} "
                               "2{1[1] 2[8] 3{1:10 3:512 4:10}} 2{1[1] 2[16] 3{1:10 3:512}} "
                               "2{1[1] 2[32] 3{1:10}}"),
                     0);
    assert_int_equal(x->p.n_rows, 5);
    assert_int_equal(x->p.values[0][0], 5);
    assert_int_equal(x->stats.labels_set_aside, 0);
}

static void reading_more_profiles_merges_them(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(read_text(x, TABLES "2{1[2 1] 2[7]} 9:500 10:10 12:5"), 0);
    assert_int_equal(read_text(x, TABLES "2{1[1] 2[1]} 2{1[2 1] 2[3]} 9:400 10:20 12:9"), 0);
    assert_folded(x, 0, "main:10 1\nmain:10;work:20 10");
    assert_true(x->p.time_ns == 400 && x->p.duration_ns == 30 && x->p.period == 9);
    assert_int_equal(read_text(x, "1{1:2 2:1} " FUNCTIONS LOCATIONS STRINGS "2{1[1] 2[1]}"),
                     FAILURE);
    assert_string_equal(x->failure.code, "types_differ");
    assert_int_equal(x->failure.status, 400);
    assert_int_equal(profile_total(&x->p, 0), 11);
}

/* The table of cases at the head of pprof.c, row by row. */
static void bad_profiles_are_refused_and_leave_no_rows(void **state)
{
    static const struct {
        const char *what, *text, *message;
    } cases[] = {
        {"empty", "", "empty"},
        {"no types", STRINGS FUNCTIONS LOCATIONS "2{1[1] 2[]}", "no sample types"},
        {"one value too few", TABLES "2{1[1] 2[1]} 2{1[1]}", "a sample has 0 values"},
        {"one value too many", TABLES "2{1[1] 2[1 2]}", "a sample has 2 values"},
        {"unpacked too many", TABLES "2{1[1] 2:1 2:2 2:3}", "a sample has 3 values"},
        {"a dangling location", TABLES "2{1[1] 2[1]} 2{1[1 3] 2[1]}", "location 3"},
        {"location 0", TABLES "2{1[0] 2[1]}", "location 0"},
        {"the first string not empty", TYPE FUNCTIONS LOCATIONS "6\"x\" 2{1[1] 2[1]}",
         "first string"},
        {"two profiles in a row", TABLES "9:1 2{1[1] 2[1]}" TABLES "9:2", "time_nanos"},
        {"two period types", TABLES "11{1:1 2:2} 2{1[1] 2[1]} 11{1:1 2:2}", "period_type"},
        {"one location id, two locations", TABLES "4{1:1 4{1:2}} 2{1[1] 2[1]}", "one id"},
        {"one function id, two functions", TABLES "5{1:1 2:5} 2{1[1] 2[1]}", "one id"},
        {"one mapping id, two mappings", TABLES "3{1:1 5:3} 3{1:1 5:4} 2{1[1] 2[1]}", "one id"},
        {"a number for a message", TABLES "2:1", "a message was expected"},
        {"a message for a number", TABLES "9{1:1}", "a number was expected"},
        {"text for an id", TABLES "4{1\"x\"} 2{1[1] 2[1]}", "a location"},
        {"text for a function's name", TABLES "5{1:3 2\"x\"} 2{1[1] 2[1]}", "a function"},
        {"a number for a label", TABLES "2{1[1] 2[1] 3:1}", "a sample"},
        {"a label's key as text", TABLES "2{1[1] 2[1] 3{1\"k\"}}", "a label"},
        {"a type's name as text", STRINGS "1{1\"cpu\"}", "a sample type"},
        {"65 sample types",
         "1{} 1{} 1{} 1{} 1{} 1{} 1{} 1{} 1{} 1{} 1{} 1{} 1{} 1{} 1{} 1{} 1{} 1{} 1{} 1{} 1{} 1{} "
         "1{} 1{} 1{} 1{} 1{} 1{} 1{} 1{} 1{} 1{} 1{} 1{} 1{} 1{} 1{} 1{} 1{} 1{} 1{} 1{} 1{} 1{} "
         "1{} 1{} 1{} 1{} 1{} 1{} 1{} 1{} 1{} 1{} 1{} 1{} 1{} 1{} 1{} 1{} 1{} 1{} 1{} 1{} 1{}",
         "65"},
    };
    struct fixture *x = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        forget(x);
        if (read_text(x, cases[i].text) != FAILURE)
            fail_msg("%s: accepted", cases[i].what);
        if (x->failure.status != 400 || !strstr(x->failure.message, cases[i].message))
            fail_msg("%s: %d %s", cases[i].what, x->failure.status, x->failure.message);
        assert_true(x->p.n_rows == 0 && x->p.n_types == 0);
    }
    assert_int_equal(read_text(x, TABLES "2{1[2 1] 2[7]}"), 0);
    assert_folded(x, 0, "main:10;work:20 7");
}

static void sloppy_profiles_are_repaired(void **state)
{
    static const struct {
        const char *what, *text, *folded;
        struct decode_stats stats;
    } cases[] = {
        {"a string index out of range",
         TYPE STRINGS "5{1:1 2:99 4:-1} 4{1:1 4{1:1}} 2{1[1] 2[1]}",
         " 1",
         {.samples = 1, .bad_strings = 2}},
        {"a line of no function",
         TABLES "4{1:3 3:16 4{1:9 2:1}} 2{1[3] 2[1]}",
         "??+0x10 1",
         {.samples = 1, .dangling_refs = 1}},
        {"an entry given twice",
         TABLES FUNCTIONS LOCATIONS "2{1[2 1] 2[1]}",
         "main:10;work:20 1",
         {.samples = 1, .duplicate_ids = 4}},
        {".NET: all function ids 0",
         TYPE STRINGS "5{2:3} 5{2:4} 4{1:1 4{2:10}} 4{1:2 4{2:20}} 2{1[2 1] 2[1]}",
         "main:10;work:20 1",
         {.samples = 1, .duplicate_ids = 1}},
        {"bytes that are no UTF-8",
         TYPE "6\"\" 6\"a\" 6\"b\" 6\"x\xff\xc3\xa4\xed\xa0\x80y\" 5{1:1 2:3} 4{1:1 4{1:1}} "
              "2{1[1] 2[1]}",
         "x\xef\xbf\xbd\xc3\xa4\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdy 1",
         {.samples = 1, .utf8_repaired = 1}},
        {"\"\" more than once",
         TYPE STRINGS "6\"\" 6\"\" 5{1:1 2:3 4:6} 4{1:1 4{1:1}} 2{1[1] 2[1]}",
         "main 1",
         {.samples = 1}},
        {"a column above the line (Node)",
         TYPE STRINGS "5{1:1 2:3} 4{1:1 4{1:1 2:21474836490}} 2{1[1] 2[1]}",
         "main:10 1",
         {.samples = 1}},
        {"no samples", TABLES, "", {0}},
        {"no strings at all", "1{} 2{2[1]}", " 1", {.samples = 1}},
    };
    struct fixture *x = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text;

        forget(x);
        if (read_text(x, cases[i].text) != 0)
            fail_msg("%s: %s", cases[i].what, x->failure.message);
        text = folded(x, 0);
        if (strcmp(text, cases[i].folded) != 0)
            fail_msg("%s: '%s'", cases[i].what, text);
        if (memcmp(&x->stats, &cases[i].stats, sizeof x->stats) != 0)
            fail_msg("%s: other counts", cases[i].what);
        free(text);
    }
}

static void limits_name_themselves(void **state)
{
    static const struct {
        struct profile_limits low;
        const char *setting;
    } cases[] = {
        {{.samples_max = 2}, "samples_max"},     {{.depth_max = 1}, "depth_max"},
        {{.locations_max = 1}, "locations_max"}, {{.functions_max = 1}, "functions_max"},
        {{.strings_max = 5}, "strings_max"},     {{.labels_max = 1}, "labels_max"},
        {{.values_max = 2}, "values_max"},       {{.lines_max = 1}, "lines_max"},
        {{.nodes_max = 1}, "stack_nodes_max"},
    };
    const char *text = TABLES "2{1[2 1] 2[1] 3{1:3 2:4} 3{1:4 2:5}} 2{1[1] 2[1]} 2{1[2] 2[1]}";
    struct fixture *x = *state;
    const size_t n_limits = sizeof(struct profile_limits) / sizeof(uint32_t);

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const uint32_t *low = (const uint32_t *)&cases[i].low;
        uint32_t *limit = (uint32_t *)&x->limits;

        forget(x);
        x->limits = profile_limits_default;
        for (size_t k = 0; k < n_limits; k++)
            if (low[k])
                limit[k] = low[k];
        assert_int_equal(read_text(x, text), FAILURE);
        assert_string_equal(x->failure.code, "limit_exceeded");
        if (!strstr(x->failure.hint, cases[i].setting))
            fail_msg("%s: %s", cases[i].setting, x->failure.hint);
        assert_int_equal(x->p.n_rows, 0);
        for (size_t k = 0; k < n_limits; k++)
            if (low[k])
                limit[k] = low[k] + 1;
        assert_int_equal(read_text(x, text), 0);
    }
}

static void every_prefix_of_a_profile_is_refused_or_read_within_its_bytes(void **state)
{
    struct fixture *x = *state;
    struct buf raw = {0};

    wire_write("2{1[2 1] 2[7] 3{1:3 2:4}} 3{1:1 5:3}" TABLES, &raw);
    for (size_t len = 0; len <= raw.len; len++) {
        forget(x);
        if (read_raw(x, bytes_of(raw.data, len)) == FAILURE)
            assert_int_equal(x->failure.status, 400);
    }
    assert_folded(x, 0, "main:10;work:20 7");
    buf_deinit(&raw);
}

static void wire_that_is_not_protobuf_is_refused(void **state)
{
    static const struct bytes cases[] = {
        BYTES_LIT("\x0b"),                                             /* a group */
        BYTES_LIT("\x0c"),                                             /* its end */
        BYTES_LIT("\x0e\x01"),                                         /* wire type 6 */
        BYTES_LIT("\x00\x01"),                                         /* field 0 */
        BYTES_LIT("\x48"),                                             /* a number missing */
        BYTES_LIT("\x48\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), /* of eleven bytes */
        BYTES_LIT("\x32\x05_abc"),                                     /* cut short */
        BYTES_LIT("\x32\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),     /* of 2^64 bytes */
        BYTES_LIT("\x49\x01\x02\x03\x04\x05\x06\x07\x08"),             /* time_nanos as fixed64 */
    };
    struct fixture *x = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        forget(x);
        assert_int_equal(read_raw(x, cases[i]), FAILURE);
        assert_int_equal(x->failure.status, 400);
    }
}

/* Also where a location is of the usual kind but for a number of twelve bytes. */
static void an_endless_mapping_id_is_refused(void **state)
{
    struct fixture *x = *state;
    struct buf raw = {0};

    wire_write(TYPE FUNCTIONS STRINGS "2{1[1] 2[1]}", &raw);
    buf_append_bytes(&raw,
                     BYTES_LIT("\x22\x15\x08\x01\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
                               "\x01\x22\x04\x08\x01\x10\x0a"));
    assert_int_equal(read_raw(x, buf_bytes(&raw)), FAILURE);
    assert_non_null(strstr(x->failure.message, "a location"));
    buf_deinit(&raw);
}

/* A reader that gives its memory back after a large one still knows what that was. */
static void notes_of_a_large_profile_are_seen(void **state)
{
    struct fixture *x = *state;
    struct buf raw = {0};

    wire_write(TABLES "13:3 ", &raw);
    append_samples(&raw, "2{1[1] 2[1]}", 900000);
    assert_int_equal(read_raw(x, buf_bytes(&raw)), 0);
    assert_true(pprof_has_notes(x->reader));
    forget(x);
    assert_int_equal(read_text(x, TABLES "2{1[1] 2[1]}"), 0);
    assert_false(pprof_has_notes(x->reader));
    buf_deinit(&raw);
}

static void a_million_empty_samples_cost_nothing(void **state)
{
    struct fixture *x = *state;
    struct buf raw = {0};

    wire_write(TABLES, &raw);
    append_samples(&raw, "2{}", 1000000);
    assert_int_equal(read_raw(x, buf_bytes(&raw)), FAILURE);
    assert_non_null(strstr(x->failure.message, "0 values"));
    buf_reset(&raw);
    wire_write(TABLES, &raw);
    append_samples(&raw, "2{1[1] 2[1]}", 1000001);
    assert_int_equal(read_raw(x, buf_bytes(&raw)), FAILURE);
    assert_non_null(strstr(x->failure.hint, "samples_max"));
    assert_non_null(strstr(x->failure.message, "1000001"));
    buf_deinit(&raw);
}

static void a_stack_of_200000_frames_is_refused(void **state)
{
    struct fixture *x = *state;
    struct buf raw = {0}, ids = {0}, sample = {0};

    wire_write(TABLES, &raw);
    for (int i = 0; i < 200000; i++)
        buf_varint(&ids, 1);
    buf_varint(&sample, 1 << 3 | 2);
    buf_varbytes(&sample, buf_bytes(&ids));
    buf_append_bytes(&sample, BYTES_LIT("\x10\x01"));
    buf_varint(&raw, 2 << 3 | 2);
    buf_varbytes(&raw, buf_bytes(&sample));
    assert_int_equal(read_raw(x, buf_bytes(&raw)), FAILURE);
    assert_non_null(strstr(x->failure.message, "200000"));
    assert_int_equal(stacks_n_nodes(x->st), 1);
    buf_deinit(&raw);
    buf_deinit(&ids);
    buf_deinit(&sample);
}

/* A few bytes that name a location with many inlined lines again and again. */
static void an_inline_bomb_is_refused_before_it_goes_off(void **state)
{
    struct fixture *x = *state;
    struct buf raw = {0}, location = {0};

    wire_write(TABLES, &raw);
    wire_write("1:3", &location);
    append_samples(&location, "4{1:1}", 4000);
    buf_varint(&raw, 4 << 3 | 2);
    buf_varbytes(&raw, buf_bytes(&location));
    append_samples(&raw, "2{1[3 3 3 3] 2[1]}", 10);
    assert_int_equal(read_raw(x, buf_bytes(&raw)), FAILURE);
    assert_non_null(strstr(x->failure.hint, "depth_max"));
    assert_int_equal(stacks_n_nodes(x->st), 1);
    buf_deinit(&raw);
    buf_deinit(&location);
}

static void a_long_string_is_cut_between_characters(void **state)
{
    struct fixture *x = *state;
    struct buf raw = {0}, name = {0};
    uint32_t f;

    wire_write(TYPE "6\"\" 6\"a\" 6\"b\" 5{1:1 2:3} 4{1:1 4{1:1}} 2{1[1] 2[1]}", &raw);
    for (int i = 0; i < 40000; i++)
        buf_append_str(&name, "\xc3\xa4");
    buf_varint(&raw, 6 << 3 | 2);
    buf_varbytes(&raw, buf_bytes(&name));
    assert_int_equal(read_raw(x, buf_bytes(&raw)), 0);
    f = symbols_get_function(x->sym, 1)->name;
    assert_int_equal(symbols_text(x->sym, f).len, 65534);
    assert_int_equal(x->stats.strings_cut, 1);
    assert_int_equal(x->stats.utf8_repaired, 0);
    buf_deinit(&raw);
    buf_deinit(&name);
}

static void what_is_written_reads_back_the_same(void **state)
{
    struct fixture *x = *state;
    struct fixture *y;
    struct buf raw = {0}, again = {0};
    void *other;

    setup(&other);
    y = other;
    x->flags = y->flags = PPROF_LABELS_ALL;
    assert_int_equal(
        read_text(x, TYPE FUNCTIONS LABELS
                  "1{1:2 2:2} 3{1:1 2:4096 3:9999 5:5} "
                  "4{1:1 4{1:1 2:10}} 4{1:2 4{1:2 2:20} 4{1:1 2:11}} 4{1:3 2:1 3:5000} 4{1:4} "
                  "2{1[2 1] 2[7 -3] 3{1:6 2:7} 3{1:10 3:512 4:2}} 2{1[3 1] 2[1 0]} 2{2[9 9]} "
                  "2{1[4] 2[0 5]} 9:17 10:18 11{1:1 2:2} 12:19 14:2"),
        0);
    pprof_write(&x->p, &raw);
    assert_int_equal(read_raw(y, buf_bytes(&raw)), 0);
    for (uint32_t t = 0; t < 2; t++) {
        char *text = folded(x, t);

        assert_folded(y, t, text);
        free(text);
    }
    assert_int_equal(y->p.n_rows, x->p.n_rows);
    assert_int_equal(profile_n_label_sets(&y->p), 2);
    assert_true(y->p.time_ns == 17 && y->p.duration_ns == 18 && y->p.period == 19);
    pprof_write(&y->p, &again);
    assert_int_equal(again.len, raw.len);
    assert_memory_equal(again.data, raw.data, raw.len);
    buf_deinit(&raw);
    buf_deinit(&again);
    teardown(&other);
}

/* Three locations that are one line: at two addresses, and one folded. */
#define INLINED "4{1:1 2:10 3:7} 4{1:2 2:20}"

static void locations_are_kept_whole(void **state)
{
    struct fixture *x = *state;
    struct locations *all = locations_new();
    const struct location_line *lines;
    struct buf raw = {0}, again = {0};

    x->p.locations = all;
    x->flags = PPROF_LABELS_ALL;
    assert_int_equal(
        read_text(x, TYPE FUNCTIONS STRINGS
                  "3{1:1 2:4096 3:8192 4:64 5:5 7:1 10:1} 4{1:1 2:1 3:4100 " INLINED "} "
                  "4{1:2 2:1 3:4101 " INLINED "} 4{1:3 2:1 3:4100 " INLINED " 5:1} "
                  "2{1[1] 2[1]} 2{1[2] 2[2]} 2{1[3] 2[4]} 2{1[2 1] 2[8]} 2{1[1 1] 2[-1]}"),
        0);
    assert_true(x->p.n_rows == 5 && locations_count(all) == 4);

    /* The same program elsewhere, and the file at another offset. */
    assert_int_equal(read_text(x, TYPE FUNCTIONS STRINGS
                               "3{1:7 2:12288 3:16383 4:64 5:5} 3{1:8 2:4096 3:8192 4:32 5:5} "
                               "4{1:1 2:7 3:12292 " INLINED "} 4{1:2 2:8 3:4100 " INLINED "} "
                               "2{1[1] 2[16]} 2{1[2] 2[32]} 2{1[1 1] 2[1]}"),
                     0);
    assert_true(x->p.n_rows == 6 && locations_count(all) == 5 && locations_n_mappings(all) == 3);
    assert_true(x->p.values[0][0] == 17 && x->p.values[0][5] == 32);
    assert_int_equal(locations_get(all, 1, &lines)->address, 4);
    assert_true(lines[0].line == 10 && lines[0].column == 7 && lines[1].line == 20);

    pprof_write(&x->p, &raw);
    forget(x);
    x->p.locations = locations_new();
    assert_int_equal(read_raw(x, buf_bytes(&raw)), 0);
    assert_int_equal(x->p.n_rows, 5); /* one added up to nothing */
    assert_int_equal(locations_get_mapping(x->p.locations, 1)->has,
                     HAS_FUNCTIONS | HAS_INLINE_FRAMES);
    pprof_write(&x->p, &again);
    assert_true(bytes_equal(buf_bytes(&again), buf_bytes(&raw)));
    locations_free(x->p.locations);
    locations_free(all);
    buf_deinit(&raw);
    buf_deinit(&again);
}

static void a_tree_is_written_as_a_profile(void **state)
{
    struct fixture *x = *state;
    struct symbols *sym = symbols_new();
    struct tree t = {0}, a = {0}, pruned = {0};
    const struct tree *in[] = {&a, &t};
    struct buf raw = {0};

    build_tree(&t, sym, "main:3;work:4 5\nmain:3 1\nlibc.so+0x10 -2\n 9\nmain:3;b 1");
    pprof_write_tree(&t, sym, BYTES_LIT("cpu"), BYTES_LIT("ns"), 11, 12, &raw);
    assert_int_equal(read_raw(x, buf_bytes(&raw)), 0);
    ASSERT_FOLDED(&t, sym, " 9\nlibc.so+0x10 -2\nmain:3 1\nmain:3;b 1\nmain:3;work:4 5");
    assert_folded(x, 0, " 9\nlibc.so+0x10 -2\nmain:3 1\nmain:3;b 1\nmain:3;work:4 5");
    assert_true(x->p.time_ns == 11 && x->p.duration_ns == 12);

    forget(x);
    buf_reset(&raw);
    build_tree(&a, sym, "main:3;work:4 7\ngone 1");
    tree_zip(&pruned, 2, in, (uint8_t[]){0, 1}, 2, sym);
    pprof_write_tree(&pruned, sym, BYTES_LIT("cpu"), BYTES_LIT("ns"), 0, 0, &raw);
    assert_int_equal(read_raw(x, buf_bytes(&raw)), 0);
    assert_folded(x, 0, " 9\ngone -1\nlibc.so+0x10 -2\nmain:3 1\nmain:3;b 1\nmain:3;work:4 -2");

    forget(x);
    buf_reset(&raw);
    tree_prune(&pruned, &t, 4);
    pprof_write_tree(&pruned, sym, BYTES_LIT("cpu"), BYTES_LIT("ns"), 0, 0, &raw);
    assert_int_equal(read_raw(x, buf_bytes(&raw)), 0);
    assert_folded(x, 0, " 9\n(other) -2\nmain:3 1\nmain:3;(other) 6");
    tree_deinit(&t);
    tree_deinit(&a);
    tree_deinit(&pruned);
    buf_deinit(&raw);
    symbols_free(sym);
}

#define FIXTURE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(a_plain_profile_is_read),
        FIXTURE_TEST(the_order_of_fields_and_packing_do_not_matter),
        FIXTURE_TEST(sparse_ids_are_as_good_as_dense_ones),
        FIXTURE_TEST(inlined_lines_are_frames_innermost_first),
        FIXTURE_TEST(addresses_are_relative_to_their_mapping),
        FIXTURE_TEST(equal_samples_are_summed_and_negative_ones_count),
        FIXTURE_TEST(labels_that_make_samples_unique_are_set_aside),
        FIXTURE_TEST(samples_that_differ_in_what_is_set_aside_count_once),
        FIXTURE_TEST(sums_stop_at_the_ends_and_are_counted),
        FIXTURE_TEST(the_order_of_profiles_does_not_matter),
        FIXTURE_TEST(spans_in_every_spelling_are_the_samples_own),
        FIXTURE_TEST(an_endpoint_is_called_endpoint),
        FIXTURE_TEST(all_labels_are_identity_when_asked_for),
        FIXTURE_TEST(reading_more_profiles_merges_them),
        FIXTURE_TEST(bad_profiles_are_refused_and_leave_no_rows),
        FIXTURE_TEST(sloppy_profiles_are_repaired),
        FIXTURE_TEST(limits_name_themselves),
        FIXTURE_TEST(every_prefix_of_a_profile_is_refused_or_read_within_its_bytes),
        FIXTURE_TEST(wire_that_is_not_protobuf_is_refused),
        FIXTURE_TEST(a_million_empty_samples_cost_nothing),
        FIXTURE_TEST(a_stack_of_200000_frames_is_refused),
        FIXTURE_TEST(an_endless_mapping_id_is_refused),
        FIXTURE_TEST(notes_of_a_large_profile_are_seen),
        FIXTURE_TEST(an_inline_bomb_is_refused_before_it_goes_off),
        FIXTURE_TEST(a_long_string_is_cut_between_characters),
        FIXTURE_TEST(what_is_written_reads_back_the_same),
        FIXTURE_TEST(locations_are_kept_whole),
        FIXTURE_TEST(a_tree_is_written_as_a_profile),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
