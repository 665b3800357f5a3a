#include "base/varint.h"
#include "formats/text.h"
#include "lib/build.h"
#include "lib/recordings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* What a reading emitted, as text: a line of types, then each column's stacks. */
struct outcome {
    struct buf text;
    int n_profiles;
    int64_t totals[8][4]; /* [profile][type] */
    struct decode_stats stats;
    struct failure failure;
    struct symbols *sym;
    struct stacks *st;
    struct profile profile;
};

static int setup(void **state)
{
    struct outcome *o = calloc(1, sizeof *o);

    o->sym = symbols_new();
    o->st = stacks_new();
    profile_init(&o->profile, o->sym, o->st);
    *state = o;
    return 0;
}

static int teardown(void **state)
{
    struct outcome *o = *state;

    buf_deinit(&o->text);
    profile_deinit(&o->profile);
    stacks_free(o->st);
    symbols_free(o->sym);
    free(o);
    return 0;
}

static void put_type(struct outcome *o, const struct profile *p, struct sample_type t)
{
    (void)o;
    buf_append_bytes(&o->text, symbols_text(p->symbols, t.name));
    buf_append_u8(&o->text, '/');
    buf_append_bytes(&o->text, symbols_text(p->symbols, t.unit));
}

static void put_column(struct outcome *o, const struct profile *p, uint32_t type)
{
    struct tree t = {0};
    char *text;

    tree_of_profile(&t, p, type);
    text = build_text(&t, p->symbols);
    put_type(o, p, p->types[type]);
    buf_printf(&o->text, "\n%s\n", text);
    free(text);
    tree_deinit(&t);
}

static int on_emit(void *ctx, struct profile *p, const struct profile_about *about,
                   struct failure *f)
{
    struct outcome *o = ctx;

    (void)f;
    assert_non_null(about->format);
    assert_true(p->n_types > 0 && p->n_types <= 4);
    for (uint32_t t = 0; t < p->n_types; t++) {
        if (o->n_profiles < 8)
            o->totals[o->n_profiles][t] = profile_total(p, t);
        put_column(o, p, t);
    }
    o->n_profiles++;
    return 0;
}

static int read_with(struct outcome *o, const char *format, struct bytes raw,
                     const struct profile_limits *limits, struct read_hints hints)
{
    struct text_reader *r = text_reader_new();
    struct reading rd = {.limits = limits,
                         .hints = hints,
                         .into = &o->profile,
                         .stats = &o->stats,
                         .emit = on_emit,
                         .ctx = o,
                         .f = &o->failure};
    uint8_t *exact = malloc(raw.len ? raw.len : 1);
    int e;

    memcpy(exact, raw.data, raw.len); /* so that ASan sees a read past the end */
    buf_reset(&o->text);
    o->n_profiles = 0;
    o->stats = (struct decode_stats){0};
    o->failure = (struct failure){0};
    profile_reset(&o->profile);
    stacks_reset(o->st);
    symbols_reset(o->sym);
    e = text_read(r, format, bytes_of(exact, raw.len), &rd);
    text_reader_free(r);
    free(exact);
    return e;
}

static int read_bytes(struct outcome *o, const char *format, struct bytes raw)
{
    return read_with(o, format, raw, &profile_limits_default, (struct read_hints){{0}});
}

static void expect(struct outcome *o, const char *format, const char *raw, const char *text)
{
    if (read_bytes(o, format, bytes_str(raw)) != 0)
        fail_msg("%s", o->failure.message);
    assert_string_equal(buf_cstr(&o->text), text);
}

static void expect_refused(struct outcome *o, const char *format, const char *raw, const char *why)
{
    assert_int_equal(read_bytes(o, format, bytes_str(raw)), FAILURE);
    assert_int_equal(o->failure.status, 400);
    if (!strstr(o->failure.message, why))
        fail_msg("\"%s\" does not say \"%s\"", o->failure.message, why);
}

static void expect_recording(struct outcome *o, const char *format, const char *path)
{
    struct buf b = recording_file(path);

    assert_string_equal(text_format_of(buf_bytes(&b)), format);
    if (read_bytes(o, format, buf_bytes(&b)) != 0)
        fail_msg("%s: %s", path, o->failure.message);
    buf_deinit(&b);
}

static bool is_there(const char *path)
{
    struct stat st;

    if (stat(path, &st) == 0)
        return true;
    assert_null(getenv("HEARTH_REQUIRE_DATA"));
    printf("SKIPPED: %s is absent\n", path);
    return false;
}

/* Σ of the lines of one column of the text that contain `part`, from the line after `column`. */
static int64_t sum_of(struct outcome *o, const char *column, const char *part)
{
    char *copy = strdup(buf_cstr(&o->text)), *save, *line;
    bool inside = false;
    int64_t sum = 0;

    for (line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        if (!strrchr(line, ' '))
            inside = strcmp(line, column) == 0;
        else if (inside && strstr(line, part))
            sum += strtoll(strrchr(line, ' '), NULL, 10);
    }
    free(copy);
    return sum;
}

/* ---- folded and lines -------------------------------------------------------------------------
 */

static void a_folded_line_is_a_stack_and_a_count(void **state)
{
    expect(*state, "folded", "main;work 5\nmain 2\n\nmain;work 1",
           "samples/count\nmain 2\nmain;work 6\n");
    expect(*state, "folded", "a b;c d (e f) 7\r\n;x;;y\t3\r\n",
           "samples/count\na b;c d (e f) 7\nx;y 3\n");
    expect(*state, "folded",
           "\xef\xbb\xbf"
           "main 1\n",
           "samples/count\nmain 1\n");
    expect(
        *state, "folded",
        "a -4\nb 2.6\nc 1e+06\nd 2.4\ne 9223372036854775807\nf 99999999999999999999",
        "samples/count\na -4\nb 3\nc 1000000\nd 2\ne 9223372036854775807\nf 9223372036854775807\n");
}

static void flamegraph_s_marks_are_taken_off(void **state)
{
    expect(*state, "folded", "m_[j];vfs_read_[k] 5\nm_[i];vfs_read 2\nx_[z];_[k] 1\n",
           "samples/count\nm;vfs_read 7\nx_[z];_[k] 1\n");
}

static void a_line_that_is_no_stack_is_counted_and_passed_over(void **state)
{
    struct outcome *o = *state;

    expect(o, "folded", "# made by hand\nmain;work 5\nno count\n7\nmain nan\nmain 0x10\nmain 0\n",
           "samples/count\nmain;work 5\n");
    assert_int_equal(o->stats.events_skipped, 5);
    assert_int_equal(o->stats.samples, 2);
    assert_int_equal(o->stats.zero_samples, 1);
    expect_refused(o, "folded", "just\nwords\n", "no line of a stack");
    expect_refused(o, "folded", "\n\n", "no line of a stack");
    assert_int_equal(read_bytes(o, "folded",
                                BYTES_LIT("\xff\xfem\0 \0"
                                          "1\0")),
                     FAILURE);
    assert_non_null(strstr(o->failure.message, "UTF-16"));
}

static void counts_of_cpu_become_nanoseconds_by_their_rate(void **state)
{
    static const struct {
        const char *type, *unit;
        uint32_t rate;
        const char *text;
    } cases[] = {
        {"cpu", "", 0, "cpu/nanoseconds\nmain 50000000\n"},
        {"cpu", "samples", 1000, "cpu/nanoseconds\nmain 5000000\n"},
        {"itimer", "nanoseconds", 100, "cpu/nanoseconds\nmain 50000000\n"},
        {"wall", "", 100, "wall/nanoseconds\nmain 50000000\n"},
        {"cpu", "nanoseconds", 0, "cpu/nanoseconds\nmain 5\n"},
        {"alloc_space", "bytes", 100, "alloc_space/bytes\nmain 5\n"},
        {"", "", 100, "samples/count\nmain 5\n"},
    };
    struct outcome *o = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct read_hints hints = {.sample_type = bytes_str(cases[i].type),
                                   .unit = bytes_str(cases[i].unit),
                                   .sample_rate_hz = cases[i].rate};

        assert_int_equal(
            read_with(o, "folded", BYTES_LIT("main 5\n"), &profile_limits_default, hints), 0);
        assert_string_equal(buf_cstr(&o->text), cases[i].text);
    }
}

static void each_of_lines_counts_one(void **state)
{
    expect(*state, "lines", "main;work\nmain;work\r\nmain\n\nmain;f 3\n",
           "samples/count\nmain 1\nmain;f 3 1\nmain;work 2\n");
    expect_refused(*state, "lines", "", "no lines");
}

static void lines_that_are_no_text_are_refused(void **state)
{
    struct outcome *o = *state;

    assert_int_equal(read_bytes(o, "lines", BYTES_LIT("main;work\nmain\0work\n")), FAILURE);
    assert_string_equal(o->failure.code, "malformed");
    assert_non_null(strstr(o->failure.message, "line 2 has the control byte 0x00"));
    expect_refused(o, "lines", "\x1f\x8b\x08", "line 1 has the control byte 0x1f");
    expect_refused(o, "lines",
                   "main\nwork\n\x7f"
                   "ELF\n",
                   "line 3 has the control byte 0x7f");
    expect_refused(o, "lines", "\xcd\xe0\xf7\xe0\xeb\xee;\xd0\xe0\xe1\xee\xf2\xe0\n",
                   "12 of its 14 bytes are not UTF-8");
    expect(o, "lines", "na\xefve;work\ttab\r\n", "samples/count\nna\xef\xbf\xbdve;work\ttab 1\n");
    expect(o, "lines", "\xd0\x9d\xd0\xb0;\xe4\xbd\xa0\n",
           "samples/count\n\xd0\x9d\xd0\xb0;\xe4\xbd\xa0 1\n");
    assert_int_equal(o->stats.utf8_repaired, 0);
}

static void names_are_repaired_and_cut(void **state)
{
    struct outcome *o = *state;
    struct buf b = {0};

    expect(o, "folded", "a\xff;b 1\n", "samples/count\na\xef\xbf\xbd;b 1\n");
    assert_int_equal(o->stats.utf8_repaired, 1);
    for (int i = 0; i < 70000; i++)
        buf_append_u8(&b, 'x');
    buf_append_str(&b, " 1\n");
    assert_int_equal(read_bytes(o, "folded", buf_bytes(&b)), 0);
    assert_int_equal(o->stats.strings_cut, 1);
    assert_int_equal(symbols_text(o->sym, symbols_n_strings(o->sym) - 1).len, 65535);
    buf_deinit(&b);
}

static void async_profiler_s_folded_file_has_its_total(void **state)
{
    const char *path = SHARED_DATA "/agents/async-profiler-4.5/request-folded.http";
    struct outcome *o = *state;
    struct buf b;
    struct bytes body;

    if (!is_there(path))
        return;
    b = recording_file(path);
    body = recording_from(buf_bytes(&b), recording_find(buf_bytes(&b), "\r\n\r\n") + 4);
    assert_string_equal(text_format_of(body), "folded");
    assert_int_equal(read_bytes(o, "folded", body), 0);
    assert_int_equal(o->totals[0][0], 212); /* expected-folded.json, as are these */
    assert_int_equal(sum_of(o, "samples/count", "Demo.hotA 90"), 90);
    assert_int_equal(o->stats.samples, 66);
    assert_int_equal(o->stats.events_skipped, 0);
    buf_deinit(&b);
}

/* ---- trie and tree ----------------------------------------------------------------------------
 */

/* "name value children" a line, in preorder. */
static void nodes(struct buf *out, const char *text)
{
    char *copy = strdup(text), *save, *line;

    buf_reset(out);
    for (line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *children = strrchr(line, ' '), *value;

        *children++ = '\0';
        value = strrchr(line, ' ');
        *value++ = '\0';
        buf_varbytes(out, bytes_str(line));
        buf_varint(out, strtoull(value, NULL, 10));
        buf_varint(out, strtoull(children, NULL, 10));
    }
    free(copy);
}

static void a_trie_s_names_go_on_from_their_parent_s(void **state)
{
    struct outcome *o = *state;
    struct buf b = {0};

    nodes(&b, " 0 2\nma 1 2\nin 2 1\n;wo 4 2\nrk 8 0\nop;x 16 0\nd;; 32 0\nother 64 0");
    if (read_bytes(o, "trie", buf_bytes(&b)) != 0)
        fail_msg("%s", o->failure.message);
    assert_string_equal(buf_cstr(&o->text), "samples/count\nma 1\nmad 32\nmain 2\nmain;wo 4\n"
                                            "main;woop;x 16\nmain;work 8\nother 64\n");
    buf_deinit(&b);
}

static void a_tree_s_names_are_frames(void **state)
{
    struct outcome *o = *state;
    struct buf b = {0};

    nodes(&b, " 0 2\nmain 1 2\nwork;x 2 0\nwait 0 1\nfor 4 0\nidle 8 0");
    assert_int_equal(read_bytes(o, "tree", buf_bytes(&b)), 0);
    assert_string_equal(buf_cstr(&o->text),
                        "samples/count\nidle 8\nmain 1\nmain;wait;for 4\nmain;work;x 2\n");
    buf_deinit(&b);
}

static void a_trie_cut_short_or_too_long_is_refused(void **state)
{
    struct outcome *o = *state;
    struct buf b = {0};

    nodes(&b, " 0 2\nma 1 2\nin 2 1\n;wo 4 2\nrk 8 0\nop;x 16 0\nd;; 32 0\nother 64 0");
    for (size_t len = 0; len < b.len; len++)
        for (int tree = 0; tree < 2; tree++) {
            assert_int_equal(read_bytes(o, tree ? "tree" : "trie", bytes_of(b.data, len)), FAILURE);
            assert_int_equal(o->failure.status, 400);
        }
    buf_append_u8(&b, 0);
    assert_int_equal(read_bytes(o, "trie", buf_bytes(&b)), FAILURE);
    nodes(&b, "a 1 18446744073709551615\nb 1 0");
    assert_int_equal(read_bytes(o, "tree", buf_bytes(&b)), FAILURE);
    buf_deinit(&b);
}

/* A few bytes a level, each a name longer by one: what it would come to has a cap. */
static void a_trie_that_unfolds_to_too_much_is_refused(void **state)
{
    struct outcome *o = *state;
    struct buf b = {0};

    for (int i = 0; i < 60000; i++) {
        buf_varbytes(&b, BYTES_LIT("x"));
        buf_varint(&b, 1);
        buf_varint(&b, i < 59999);
    }
    assert_int_equal(read_bytes(o, "trie", buf_bytes(&b)), FAILURE);
    assert_string_equal(o->failure.code, "limit_exceeded");
    buf_deinit(&b);
}

/* ---- perf script ------------------------------------------------------------------------------
 */

static void each_event_of_a_perf_script_is_a_profile(void **state)
{
    expect(*state, "perf",
           "my prog 12/13 [001] 5.000001:   4000 cycles:u: \n"
           "\t  ffff10 leaf+0x1f (/lib/libx.so)\n"
           "\t  ffff20 void (anonymous namespace)::f<int>(char) (/bin/my prog)\n"
           "\n"
           "my prog 12/13 [001] 5.000002:      1 page-faults: \n"
           "\t  ffff30 main (/bin/my prog)\n"
           "\n"
           "swapper 0 [000] 5.1: 1000 cpu_core/cycles/P: \n"
           "\n"
           "sh 7 [000] 6.000000: sched:sched_switch: prev_comm=sh prev_pid=7\n"
           "\t  ffffffff81 schedule ([kernel.kallsyms])\n",
           "samples/count\n"
           "my prog;void (anonymous namespace)::f<int>(char);leaf 1\nswapper 1\n"
           "cycles/count\n"
           "my prog;void (anonymous namespace)::f<int>(char);leaf 4000\nswapper 1000\n"
           "samples/count\nmy prog;main 1\n"
           "page-faults/count\nmy prog;main 1\n"
           "samples/count\nsh;schedule 1\n");
}

static void clocks_of_perf_are_cpu_time(void **state)
{
    struct outcome *o = *state;

    expect(o, "perf",
           "a 1 [000] 5.000001: 4000 cpu-clock: \n\t10 f (/x)\n\n"
           "a 1 5.000001: 5000 cpu-clock:ppp: \n\t10 f (/x)\n\n",
           "samples/count\na;f 2\ncpu/nanoseconds\na;f 9000\n");
}

static void what_perf_does_not_know_is_its_module(void **state)
{
    expect(*state, "perf",
           "a 1 [000] 5.1: 7 cycles: \n"
           "\t      10 [unknown] (/usr/lib/libz.so.1)\n"
           "\t      11 [unknown] ([kernel.kallsyms])\n"
           "\t      12 [unknown] (/usr/lib/libz.so.1+0x1f0)\n"
           "\t      13 (/tmp/x (deleted))\n"
           "\t      14 g (/tmp/x (deleted))\n"
           "\t      15 [unknown] ([unknown])\n",
           "samples/count\n"
           "a;[unknown];g;[x (deleted)];libz.so.1+0x1f0;[kernel.kallsyms];[libz.so.1] 1\n"
           "cycles/count\n"
           "a;[unknown];g;[x (deleted)];libz.so.1+0x1f0;[kernel.kallsyms];[libz.so.1] 7\n");
}

static void inlined_frames_and_lines_of_source_are_kept(void **state)
{
    struct outcome *o = *state;

    expect(o, "perf",
           "a 1 [000] 5.1: 7 cycles: \n"
           "\t      10 part (inlined)\n  w.c:5\n"
           "\t      10 hot+0x5 (/bin/a)\n  w.c:6\n"
           "\t      20 [unknown] ([vdso])\n  [vdso][af1]\n"
           "\t      30 main+0x5 (/bin/a)\n  ??:0\n",
           "samples/count\na;main;[vdso];hot:6;part:5 1\ncycles/count\na;main;[vdso];hot:6;part:5 "
           "7\n");
    assert_int_equal(o->stats.events_skipped, 0);
    expect(o, "perf", "a 1 [000] 5.1: 7 cycles: \n\t 10 part (inlined)\n\t 10 hot (/bin/a)\n",
           "samples/count\na;hot;part 1\ncycles/count\na;hot;part 7\n");
    for (uint32_t i = 1; i < symbols_n_functions(o->sym); i++) {
        const struct function *f = symbols_get_function(o->sym, i);

        if (bytes_equal(symbols_text(o->sym, f->name), BYTES_LIT("part")))
            assert_true(bytes_equal(symbols_text(o->sym, f->file), BYTES_LIT("/bin/a")));
    }
}

static void a_head_of_perf_is_known_whatever_perf_left_out(void **state)
{
    static const char *const heads[] = {
        "a b 12 34 56/57 [000] 1.5: 10 cycles: ",
        "a b 12 34 56 [000] 1.5: 10 cycles: ",
        "a b 12 34 56 1.5: 10 cycles: ",
        "a b 12 34 56 [000] 10 cycles: ",
        "a b 12 34 56 [000] 1.5: cycles: ",
        "a b 12 34 56 10 cycles: ",
        "a b 12 34 56 [000] 1.5: ",
    };
    struct outcome *o = *state;
    char text[200];

    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        snprintf(text, sizeof text, "%s\n\t10 f (/x)\n\n", heads[i]);
        if (read_bytes(o, "perf", bytes_str(text)) != 0)
            fail_msg("%s: %s", heads[i], o->failure.message);
        if (!strstr(buf_cstr(&o->text), "samples/count\na b 12 34;f 1\n"))
            fail_msg("%s: %s", heads[i], buf_cstr(&o->text));
    }
    expect_refused(o, "perf", "words of another kind\n", "no samples");
}

/* Figures of `perf report` on the recordings that these texts were printed from. */
static void perf_s_own_totals_are_found_in_its_text(void **state)
{
    struct outcome *o = *state;

    expect_recording(o, "perf", TEST_DATA "/text/two-events.perf.txt");
    assert_int_equal(o->n_profiles, 2);
    assert_int_equal(o->totals[0][0], 9); /* page-faults come first */
    assert_int_equal(o->totals[0][1], 394);
    assert_int_equal(o->totals[1][0], 98);
    assert_int_equal(o->totals[1][1], 492462250);
    assert_int_equal(sum_of(o, "cpu/nanoseconds", "hot_a "), 66 * INT64_C(5025125)); /* 67.35 % */
    assert_int_equal(sum_of(o, "cpu/nanoseconds", "hot_b "), 29 * INT64_C(5025125)); /* 29.59 % */
    assert_int_equal(sum_of(o, "page-faults/count", "_dl_new_object "), 315);        /* 79.95 % */
    assert_int_equal(o->stats.events_skipped, 0);
    expect_recording(o, "perf", TEST_DATA "/text/no-chains.perf.txt");
    assert_int_equal(o->totals[0][0], 49);
    assert_non_null(strstr(buf_cstr(&o->text), "work load;hot_a "));
}

/* Counted from the text by itself: heads by awk '/^[^ \t]/', periods by their column. */
static void recordings_of_perf_have_their_totals(void **state)
{
    struct outcome *o = *state;

    if (!is_there(SHARED_DATA "/perf/system-wide.perf.txt"))
        return;
    expect_recording(o, "perf", SHARED_DATA "/perf/system-wide.perf.txt");
    assert_int_equal(o->totals[0][0], 556);
    assert_int_equal(o->totals[0][1], 556556556);
    assert_int_equal(sum_of(o, "samples/count", "[kernel.kallsyms] "), 417);
    assert_int_equal(sum_of(o, "samples/count", "_Z4betav "), 53);
    assert_int_equal(sum_of(o, "samples/count", "_Z5alphav "), 41);
    assert_int_equal(sum_of(o, "samples/count", "swapper"), 418);
    assert_int_equal(o->stats.events_skipped, 0);
    expect_recording(o, "perf", SHARED_DATA "/perf/rust-mangled.perf.txt");
    assert_int_equal(o->totals[0][0], 96);
    assert_int_equal(o->totals[0][1], 1627118592);
    assert_int_equal(sum_of(o, "samples/count", "multiply_matrices "), 6);
    assert_int_equal(o->stats.events_skipped, 0);
}

/* ---- speedscope -------------------------------------------------------------------------------
 */

#define SHARED                                                                                     \
    "\"shared\":{\"frames\":[{\"name\":\"main\"},{\"name\":\"f\",\"file\":\"f.py\",\"line\":3},{"  \
    "\"name\":\"g\"}]}"

static void sampled_profiles_of_one_unit_are_one(void **state)
{
    expect(*state, "speedscope",
           "{\"$schema\":\"https://www.speedscope.app/file-format-schema.json\"," SHARED
           ",\"profiles\":[{\"type\":\"sampled\",\"name\":\"t1\",\"unit\":\"milliseconds\","
           "\"startValue\":0,"
           "\"endValue\":10,\"samples\":[[0,1],[0],[0,1]],\"weights\":[1.5,2,0.25]},"
           "{\"type\":\"sampled\",\"unit\":\"seconds\",\"weights\":[1],\"samples\":[[0,1,2]]},"
           "{\"type\":\"sampled\",\"unit\":\"none\",\"weights\":[3,4],\"samples\":[[2],[]]},"
           "{\"type\":\"sampled\",\"unit\":\"bytes\",\"weights\":[512],\"samples\":[[2]]}]}",
           "wall/nanoseconds\nmain 2000000\nmain;f:3 1750000\nmain;f:3;g 1000000000\n"
           "space/bytes\ng 512\n"
           "samples/count\n 4\ng 3\n");
}

static void evented_profiles_are_folded_by_time(void **state)
{
    /* The frames stand last, as speedscope itself writes them. */
    expect(
        *state, "speedscope",
        "{\"profiles\":[{\"type\":\"evented\",\"unit\":\"microseconds\",\"events\":["
        "{\"type\":\"O\",\"frame\":0,\"at\":100},{\"type\":\"O\",\"frame\":1,\"at\":101},"
        "{\"at\":105,\"frame\":1,\"type\":\"C\"},{\"type\":\"O\",\"frame\":1,\"at\":105},"
        "{\"type\":\"C\",\"frame\":1,\"at\":106.5},{\"type\":\"C\",\"frame\":0,\"at\":110},"
        "{\"type\":\"O\",\"frame\":2,\"at\":200},{\"type\":\"C\",\"frame\":2,\"at\":201}]}]," SHARED
        "}",
        "wall/nanoseconds\ng 1000\nmain 4500\nmain;f:3 5500\n");
}

static void speedscope_files_that_do_not_balance_are_refused(void **state)
{
    static const char *const cases[][2] = {
        {"{\"type\":\"C\",\"frame\":0,\"at\":1}", "not the one opened last"},
        {"{\"type\":\"O\",\"frame\":0,\"at\":1}", "left open"},
        {"{\"type\":\"O\",\"frame\":0,\"at\":1},{\"type\":\"O\",\"frame\":1,\"at\":2},"
         "{\"type\":\"C\",\"frame\":0,\"at\":3}",
         "not the one opened last"},
        {"{\"type\":\"O\",\"frame\":0,\"at\":2},{\"type\":\"C\",\"frame\":0,\"at\":1}",
         "runs back"},
        {"{\"type\":\"O\",\"frame\":3,\"at\":2}", "does not exist"},
        {"{\"type\":\"O\",\"frame\":-1,\"at\":2}", "does not exist"},
        {"{\"type\":\"X\",\"frame\":0,\"at\":2}", "neither"},
        {"{\"type\":\"O\",\"frame\":0}", "without its time"},
    };
    char text[1000];

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(text, sizeof text,
                 "{" SHARED ",\"profiles\":[{\"unit\":\"none\",\"events\":[%s]}]}", cases[i][0]);
        expect_refused(*state, "speedscope", text, cases[i][1]);
    }
    expect_refused(*state, "speedscope",
                   "{" SHARED ",\"profiles\":[{\"samples\":[[0],[1]],\"weights\":[1]}]}",
                   "as many");
    expect_refused(*state, "speedscope", "{" SHARED ",\"profiles\":[{\"samples\":[[9]]}]}",
                   "exist");
    expect_refused(*state, "speedscope", "{" SHARED ",\"profiles\":[{\"unit\":\"apples\"}]}",
                   "unit");
    expect_refused(*state, "speedscope", "{" SHARED ",\"profiles\":[", "not a valid speedscope");
}

/* ---- V8 ---------------------------------------------------------------------------------------
 */

#define CALL(name, line)                                                                           \
    "\"callFrame\":{\"functionName\":\"" name "\",\"url\":\"file:///a.js\",\"lineNumber\":" #line  \
    "}"

static void a_sample_of_v8_lasts_until_the_next(void **state)
{
    struct outcome *o = *state;

    expect(o, "cpuprofile",
           "{\"nodes\":[{\"id\":7," CALL(
               "(root)", -1) ",\"children\":[3,9]},"
                             "{\"id\":3," CALL("main", 0) ",\"children\":[4]},{\"id\":9," CALL(
                                 "(idle)",
                                 -1) "},"
                                     "{\"id\":4," CALL(
                                         "", 41) "}],"
                                                 "\"startTime\":1000,\"endTime\":1100,\"samples\":["
                                                 "3,4,9,4],\"timeDeltas\":[10,20,30,-15]}",
           /* at 1010 main, 1030 anonymous, 1060 idle, 1045 (so at 1060) anonymous until 1100 */
           "samples/count\n(idle) 1\nmain:1 1\nmain:1;(anonymous):42 2\n"
           "wall/nanoseconds\nmain:1 20000\nmain:1;(anonymous):42 70000\n"
           "cpu/nanoseconds\nmain:1 20000\nmain:1;(anonymous):42 70000\n");
    expect(o, "cpuprofile",
           "{\"nodes\":[{\"id\":1," CALL("f", 1) ",\"hitCount\":3,\"children\":[2]},"
                                                 "{\"id\":2," CALL("g", 2) ",\"hitCount\":5}]}",
           "samples/count\nf:2 3\nf:2;g:3 5\n");
}

static void a_call_tree_of_v8_that_is_none_is_refused(void **state)
{
    static const char *const cases[][2] = {
        {"{\"id\":1,\"children\":[1]}", "its own ancestor"},
        {"{\"id\":1,\"children\":[2]},{\"id\":2,\"children\":[3]},{\"id\":3,\"children\":[1]}",
         "its own ancestor"},
        {"{\"id\":1},{\"id\":1}", "two nodes of one id"},
        {"{\"id\":1,\"children\":[2,2]},{\"id\":2}", "two parents"},
        {"{\"id\":1,\"children\":[5]}", "does not exist"},
        {"5", "no object"},
        {"{\"id\":\"x\"}", "number"},
    };
    char text[400];

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(text, sizeof text, "{\"nodes\":[%s]}", cases[i][0]);
        expect_refused(*state, "cpuprofile", text, cases[i][1]);
    }
    expect_refused(*state, "cpuprofile",
                   "{\"nodes\":[{\"id\":1}],\"samples\":[2],\"timeDeltas\":[1]}", "does not exist");
    expect_refused(*state, "cpuprofile",
                   "{\"nodes\":[{\"id\":1}],\"samples\":[1],\"timeDeltas\":[]}",
                   "as many timeDeltas");
    expect_refused(*state, "cpuprofile", "{\"nodes\":[]}", "no nodes");
}

/* Figures by a few lines of Python over the files that Node 20 wrote. */
static void node_s_files_have_their_totals(void **state)
{
    struct outcome *o = *state;

    expect_recording(o, "cpuprofile", TEST_DATA "/text/node.cpuprofile");
    assert_int_equal(o->n_profiles, 1);
    assert_int_equal(o->totals[0][0], 214);
    assert_int_equal(o->totals[0][1], INT64_C(462160000));
    assert_int_equal(o->totals[0][2], INT64_C(462160000) - 50477000);
    assert_int_equal(sum_of(o, "cpu/nanoseconds", "hotA:1 "), 268848000);
    assert_int_equal(sum_of(o, "cpu/nanoseconds", "hotB:2 "), 125571000);
    expect_recording(o, "heapprofile", TEST_DATA "/text/node.heapprofile");
    assert_int_equal(o->totals[0][0], 1048608);
    assert_int_equal(sum_of(o, "inuse_space/bytes", "(anonymous):1 "), 524304);
}

static void a_heapprofile_nests_as_deep_as_stacks_may(void **state)
{
    struct profile_limits limits = profile_limits_default;
    struct outcome *o = *state;
    struct buf b = {0};

    limits.depth_max = 50;
    for (int depth = 50; depth <= 3000; depth += 2950) {
        buf_reset(&b);
        buf_append_str(&b, "{\"head\":");
        for (int i = 0; i < depth; i++)
            buf_append_str(&b, "{" CALL("f", 0) ",\"selfSize\":1,\"children\":[");
        for (int i = 0; i < depth; i++)
            buf_append_str(&b, "]}");
        buf_append_str(&b, "}");
        assert_int_equal(
            read_with(o, "heapprofile", buf_bytes(&b), &limits, (struct read_hints){{0}}),
            depth == 50 ? 0 : FAILURE);
        assert_int_equal(o->stats.samples, depth == 50 ? 50 : 0);
    }
    buf_deinit(&b);
}

/* ---- all --------------------------------------------------------------------------------------
 */

static void a_format_is_known_by_its_first_bytes(void **state)
{
    static const char *const cases[][2] = {
        {"main;work 5\n", "folded"},
        {"# a comment\n\nmain;work 5\n", "folded"},
        {"  \xc3\xa4;b 1", "folded"},
        {"java 12 [000] 1.5: 1 cycles: \n\t 10 f (/x)\n", "perf"},
        {"# ========\n# captured on: x\n#\nperf 1/2 3.5:  10 cycles:ppp: \n", "perf"},
        {"{\"nodes\":[]}", "cpuprofile"},
        {"{\"meta\":{\"profiles\":1,\"a\":\"}{\\\"\"},\"startTime\":1}", "cpuprofile"},
        {" {\"version\":\"0.0.1\",\"$schema\":\"x\",\"shared\":{}}", "speedscope"},
        {"{\"exporter\":\"speedscope@1\",\"name\":\"nodes\"", "speedscope"},
        {"{\"head\":{}", "heapprofile"},
        {"{\"resourceProfiles\":[]}", NULL},
        {"{\"a\":\"nodes\"}", NULL},
        {"{\"", NULL},
        {"words only\n", NULL},
        {"", NULL},
        {"\n\n", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *format = text_format_of(bytes_str(cases[i][0]));

        if (cases[i][1] ? !format || strcmp(format, cases[i][1]) != 0 : format != NULL)
            fail_msg("%s is taken for %s", cases[i][0], format);
    }
    assert_string_equal(text_format_of(BYTES_LIT("\xef\xbb\xbfmain 1")), "folded");
    assert_null(text_format_of(BYTES_LIT("main\0 1\n")));
}

/* Every limit, by every format that can run into it. */
static void each_limit_is_held_and_named(void **state)
{
    static const char cpu[] =
        "{\"nodes\":[{\"id\":1," CALL("a", 1) ",\"children\":[2]},{\"id\":2," CALL(
            "b", 1) ",\"children\":[3]},{\"id\":3," CALL("c", 1) "}],"
                                                                 "\"samples\":[3,3,2,1],"
                                                                 "\"timeDeltas\":[1,1,1,1]}";
    static const char speed[] = "{" SHARED ",\"profiles\":[{\"samples\":[[0,1,2],[0],[1],[2]]}]}";
    static const char folded[] = "a;b;c 1\nd 1\na;b 1\na 1\n";
    static const char perf[] =
        "a 1 2.5: 1 x: \n\t1 b (/x)\n\t2 c (/x)\n\na 1 2.5: 1 x: \n\na 1 2.5: 1 x: \n\n"
        "a 1 2.5: 1 x: \n\t1 d (/x)\n\n";
    static const struct {
        const char *format, *raw;
    } inputs[] = {{"folded", folded},
                  {"lines", folded},
                  {"perf", perf},
                  {"speedscope", speed},
                  {"cpuprofile", cpu}};
    static const size_t offsets[] = {
        offsetof(struct profile_limits, samples_max), offsetof(struct profile_limits, depth_max),
        offsetof(struct profile_limits, functions_max),
        offsetof(struct profile_limits, strings_max), offsetof(struct profile_limits, nodes_max)};
    static const char *const names[] = {"samples_max", "depth_max", "functions_max", "strings_max",
                                        "stack_nodes_max"};
    struct outcome *o = *state;

    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
        assert_int_equal(read_bytes(o, inputs[i].format, bytes_str(inputs[i].raw)), 0);
        for (size_t l = 0; l < sizeof offsets / sizeof *offsets; l++) {
            struct profile_limits limits = profile_limits_default;

            *(uint32_t *)((char *)&limits + offsets[l]) = 2;
            if (read_with(o, inputs[i].format, bytes_str(inputs[i].raw), &limits,
                          (struct read_hints){{0}}) != FAILURE)
                fail_msg("%s goes beyond %s", inputs[i].format, names[l]);
            assert_string_equal(o->failure.code, "limit_exceeded");
            if (!strstr(o->failure.hint, names[l]))
                fail_msg("%s, %s: \"%s\"", inputs[i].format, names[l], o->failure.hint);
        }
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_folded_line_is_a_stack_and_a_count),
        TEST(flamegraph_s_marks_are_taken_off),
        TEST(a_line_that_is_no_stack_is_counted_and_passed_over),
        TEST(counts_of_cpu_become_nanoseconds_by_their_rate),
        TEST(each_of_lines_counts_one),
        TEST(lines_that_are_no_text_are_refused),
        TEST(names_are_repaired_and_cut),
        TEST(async_profiler_s_folded_file_has_its_total),
        TEST(a_trie_s_names_go_on_from_their_parent_s),
        TEST(a_tree_s_names_are_frames),
        TEST(a_trie_cut_short_or_too_long_is_refused),
        TEST(a_trie_that_unfolds_to_too_much_is_refused),
        TEST(each_event_of_a_perf_script_is_a_profile),
        TEST(clocks_of_perf_are_cpu_time),
        TEST(what_perf_does_not_know_is_its_module),
        TEST(inlined_frames_and_lines_of_source_are_kept),
        TEST(a_head_of_perf_is_known_whatever_perf_left_out),
        TEST(perf_s_own_totals_are_found_in_its_text),
        TEST(recordings_of_perf_have_their_totals),
        TEST(sampled_profiles_of_one_unit_are_one),
        TEST(evented_profiles_are_folded_by_time),
        TEST(speedscope_files_that_do_not_balance_are_refused),
        TEST(a_sample_of_v8_lasts_until_the_next),
        TEST(a_call_tree_of_v8_that_is_none_is_refused),
        TEST(node_s_files_have_their_totals),
        TEST(a_heapprofile_nests_as_deep_as_stacks_may),
        TEST(a_format_is_known_by_its_first_bytes),
        TEST(each_limit_is_held_and_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
