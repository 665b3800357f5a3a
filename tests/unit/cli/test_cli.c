/* The verbs that work on files, run as a user would, their output in a file. */
#include "base/bytes.h"
#include "base/err.h"
#include "cli/cli.h"
#include "cli/files.h"
#include "formats/inflate.h"
#include "formats/pprof.h"
#include "lib/wire.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static char dir[64];

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/h-cli-test-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

static const char *path(const char *name)
{
    static char paths[8][128];
    static unsigned next;
    char *p = paths[next++ % 8];

    snprintf(p, sizeof paths[0], "%s/%s", dir, name);
    return p;
}

/* A profile of two types: samples, and cpu with a hundred times the value. */
static const char *write_profile(const char *name, const char *function, int64_t value)
{
    struct symbols *sym = symbols_new();
    struct stacks *st = stacks_new();
    struct profile profile;
    struct sample_type types[2];
    struct buf out = {0};
    struct failure f;
    uint32_t frame;
    const char *p = path(name);

    profile_init(&profile, sym, st);
    types[0] = (struct sample_type){symbols_string(sym, BYTES_LIT("samples")),
                                    symbols_string(sym, BYTES_LIT("count"))};
    types[1] = (struct sample_type){symbols_string(sym, BYTES_LIT("cpu")),
                                    symbols_string(sym, BYTES_LIT("nanoseconds"))};
    profile_set_types(&profile, types, 2);
    frame = symbols_frame(
        sym, &(struct frame){
                 .function = symbols_function(
                     sym, &(struct function){.name = symbols_string(sym, bytes_str(function)),
                                             .file = symbols_string(sym, BYTES_LIT("a.c"))}),
                 .line_or_address = 3});
    profile_add(&profile, stacks_intern(st, &frame, 1), 0, (int64_t[]){value, 100 * value});
    pprof_write(&profile, &out);
    assert_int_equal(file_write(p, buf_bytes(&out), &f), 0);
    buf_deinit(&out);
    profile_deinit(&profile);
    stacks_free(st);
    symbols_free(sym);
    return p;
}

static int run(verb *v, int argc, const char *const *args)
{
    char *argv[16] = {NULL};
    int status;

    for (int i = 0; i < argc; i++)
        argv[i] = strdup(args[i]);
    status = v(argc, argv);
    for (int i = 0; i < argc; i++)
        free(argv[i]); /* getopt moves them, and drops none */
    return status;
}

#define RUN(v, ...)                                                                                \
    run((v), (int)(sizeof((const char *[]){"verb", __VA_ARGS__}) / sizeof(char *)),                \
        (const char *[]){"verb", __VA_ARGS__})

static char *text_of(const char *file)
{
    struct buf out = {0};
    struct failure f;
    char *text;

    assert_int_equal(file_read(file, &out, &f), 0);
    text = strdup(buf_cstr(&out));
    buf_deinit(&out);
    return text;
}

static void assert_holds(const char *file, const char *part)
{
    char *text = text_of(file);

    if (!strstr(text, part))
        fail_msg("\"%s\" is not in:\n%s", part, text);
    free(text);
}

static void top_of_a_file_shows_its_default_type(void **state)
{
    const char *a = write_profile("a.pb", "work", 7), *out = path("out.txt");

    (void)state;
    assert_int_equal(RUN(verb_top, a, "-o", out), 0);
    assert_holds(out, "700ns");
    assert_holds(out, "work  (a.c)");
    assert_int_equal(RUN(verb_top, a, "--type", "samples", "-o", out), 0);
    assert_holds(out, "         7 100.00%");
}

static void query_of_files_adds_them_up(void **state)
{
    const char *a = write_profile("a.pb", "work", 7), *b = write_profile("b.pb", "work", 5);
    const char *out = path("out.folded");

    (void)state;
    assert_int_equal(RUN(verb_query, a, b, "-o", out), 0);
    assert_holds(out, "work 1200\n");
}

static void diff_of_two_files_is_the_second_minus_the_first(void **state)
{
    const char *a = write_profile("a.pb", "work", 7), *b = write_profile("b.pb", "other", 5);
    const char *out = path("out.txt"), *json = path("out.json");

    (void)state;
    assert_int_equal(RUN(verb_diff, a, b, "-o", out), 0);
    assert_holds(out, "-700ns  work");
    assert_holds(out, "+500ns  other");
    assert_int_equal(RUN(verb_diff, a, b, "-o", json), 0);
    assert_holds(json, "\"sum\":-200");
}

static void merge_keeps_every_type_and_may_be_read_again(void **state)
{
    const char *a = write_profile("a.pb", "work", 7), *b = write_profile("b.pb", "work", 5);
    const char *merged = path("m.pb.gz"), *out = path("out.folded");

    (void)state;
    assert_int_equal(RUN(verb_merge, a, b, "-o", merged), 0);
    assert_int_equal(RUN(verb_query, merged, "--type", "samples", "-o", out), 0);
    assert_holds(out, "work 12\n");
    assert_int_equal(RUN(verb_query, merged, "--type", "cpu", "-o", out), 0);
    assert_holds(out, "work 1200\n");
}

static void pprof_out_is_pprof_in(void **state)
{
    const char *a = write_profile("a.pb", "work", 7), *copy = path("copy.pb.gz"),
               *out = path("out.folded");

    (void)state;
    assert_int_equal(RUN(verb_query, a, "-o", copy), 0);
    assert_int_equal(RUN(verb_query, copy, "--lines", "-o", out), 0);
    assert_holds(out, "work 700\n");
}

static void wrong_usage_is_2_and_what_fails_is_1(void **state)
{
    const char *a = write_profile("a.pb", "work", 7);

    (void)state;
    assert_int_equal(RUN(verb_top, "--nonsense"), EXIT_USAGE);
    assert_int_equal(RUN(verb_diff, a), EXIT_USAGE);
    assert_int_equal(RUN(verb_top, "--server", "http://127.0.0.1:1"), EXIT_USAGE);
    assert_int_equal(RUN(verb_top, a, "--server", "http://127.0.0.1:1"), EXIT_USAGE);
    assert_int_equal(RUN(verb_top, a, "--a", "env:x"), EXIT_USAGE);
    assert_int_equal(RUN(verb_top, "--service", "x", "--tenant", "a/b"), EXIT_USAGE);
    assert_int_equal(RUN(verb_top, "--service", "x", "--tenant", ""), EXIT_USAGE);
    assert_int_equal(RUN(verb_push, a), EXIT_USAGE);
    assert_int_equal(RUN(verb_push, a, "--service", "x", "--tenant", "a/b"), EXIT_USAGE);
    assert_int_equal(RUN(verb_push, a, "--service", "x", "--tag", "nonsense"), EXIT_USAGE);
    assert_int_equal(RUN(verb_push, a, "--service", "x", "--tag", "format=lines"), EXIT_USAGE);
    assert_int_equal(RUN(verb_push, a, "--service", "x", "--tag", "sample_rate=5"), EXIT_USAGE);
    assert_int_equal(RUN(verb_check_config, "nonsense"), EXIT_USAGE);
    assert_int_equal(RUN(verb_top, "/no/such/file"), 1);
    assert_int_equal(RUN(verb_top, a, "--type", "heap"), EXIT_NOTHING);
    assert_int_equal(RUN(verb_top, "--service", "x", "--server", "http://127.0.0.1:1"), 1);
    assert_int_equal(RUN(verb_push, a, "--service", "x", "--server", "http://127.0.0.1:1"), 1);
}

/* What a file descriptor is written to goes to a file instead; returns the way back. */
static int capture(int fd, const char *file)
{
    int kept = dup(fd), to = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    fflush(NULL);
    assert_true(kept >= 0 && to >= 0 && dup2(to, fd) == fd);
    close(to);
    return kept;
}

static void release(int fd, int kept)
{
    fflush(NULL);
    assert_int_equal(dup2(kept, fd), fd);
    close(kept);
}

/* The exit status of verb arguments…; what it says on stderr goes to the file err. */
#define RUN_SAYING(err, ...)                                                                       \
    ({                                                                                             \
        int kept_ = capture(STDERR_FILENO, (err)), status_ = RUN(__VA_ARGS__);                     \
        release(STDERR_FILENO, kept_);                                                             \
        status_;                                                                                   \
    })

static void an_option_of_one_value_is_given_once(void **state)
{
    const char *a = write_profile("a.pb", "work", 7), *err = path("err.txt"), *m = path("m.pb.gz");
    const char *out = path("out.json");

    (void)state;
    assert_int_equal(
        RUN_SAYING(err, verb_top, "--service", "x", "--match", "env:a", "--match", "version:1"),
        EXIT_USAGE);
    assert_holds(err, "--match is given twice; one selector takes several terms: "
                      "'{env=\"prod\",version=\"2\"}' or 'env:prod version:2'");
    assert_int_equal(RUN_SAYING(err, verb_query, "--service", "x", "--service", "y"), EXIT_USAGE);
    assert_holds(err, "hearth query: --service is given twice");
    assert_int_equal(RUN_SAYING(err, verb_top, a, "--type", "cpu", "--type", "samples"),
                     EXIT_USAGE);
    assert_holds(err, "--type is given twice");
    assert_int_equal(RUN_SAYING(err, verb_diff, "--service", "x", "--a", "v:1", "--a", "e:2"),
                     EXIT_USAGE);
    assert_holds(err, "--a is given twice; one selector takes several terms");
    assert_int_equal(RUN_SAYING(err, verb_top, a, "-o", m, "-o", out), EXIT_USAGE);
    assert_holds(err, "-o FILE is given twice");
    assert_int_equal(RUN_SAYING(err, verb_push, a, "--service", "x", "--service", "y"), EXIT_USAGE);
    assert_holds(err, "hearth push: --service is given twice");
    assert_int_equal(
        RUN_SAYING(err, verb_push, a, "--service", "x", "--tag", "version=1", "--tag", "version=2"),
        EXIT_USAGE);
    assert_holds(err, "--tag version is given twice");
    assert_int_equal(RUN_SAYING(err, verb_merge, a, "-o", m, "-o", m), EXIT_USAGE);
    assert_holds(err, "hearth merge: --output is given twice");
}

static void what_may_stand_beside_each_other_is_not_twice(void **state)
{
    const char *a = write_profile("a.pb", "work", 7), *out = path("out.txt");

    (void)state;
    assert_int_equal(RUN(verb_top, a, "-o", out, "-o", "json"), 0); /* a file, and its format */
    assert_holds(out, "\"functions\":[{");
    assert_int_equal(RUN(verb_diff, a, a, "--type", "cpu", "--b-type", "samples", "-o", out), 0);
    assert_holds(out, "b: ");
}

static void files_without_samples_are_told_and_end_with_3(void **state)
{
    const char *none = write_profile("none.pb", "work", 0), *a = write_profile("a.pb", "work", 7);
    const char *err = path("err.txt"), *shown = path("shown.txt"), *out = path("out.json");
    int kept_out = capture(STDOUT_FILENO, shown), kept_err = capture(STDERR_FILENO, err);
    int top = RUN(verb_top, none, none), query = RUN(verb_query, none);
    int diff = RUN(verb_diff, none, none), json = RUN(verb_top, none, "-o", out);
    int half = RUN(verb_diff, none, a, "-o", path("half.txt"));
    struct stat st;

    (void)state;
    release(STDOUT_FILENO, kept_out);
    release(STDERR_FILENO, kept_err);
    assert_int_equal(top, EXIT_NOTHING);
    assert_int_equal(query, EXIT_NOTHING);
    assert_int_equal(diff, EXIT_NOTHING);
    assert_int_equal(json, EXIT_NOTHING);
    assert_int_equal(half, 0);
    assert_holds(err, "hearth top: no samples in ");
    assert_holds(err, "none.pb and 1 more, type ");
    assert_holds(err, "hearth diff: b: no samples in ");
    assert_int_equal(stat(shown, &st), 0);
    assert_int_equal(st.st_size, 0); /* no table */
    assert_holds(out, "\"functions\":[]");
}

static void a_file_that_is_no_profile_is_refused_by_name(void **state)
{
    const char *bad = path("bad.pb");
    struct failure f;
    struct loaded l;

    (void)state;
    loaded_init(&l, false);
    assert_int_equal(loaded_add(&l, BYTES_LIT("this is a text"), bad, NULL, &f), FAILURE);
    assert_non_null(strstr(f.message, "bad.pb"));
    loaded_deinit(&l);
}

static const char *write_text(const char *name, const char *text)
{
    const char *p = path(name);
    struct failure f;

    assert_int_equal(file_write(p, bytes_str(text), &f), 0);
    return p;
}

static void files_of_any_format_are_read(void **state)
{
    const char *folded = write_text("a.folded", "main;work 5\nmain 1\n"), *out = path("out.folded");
    const char *lines = write_text("a.lines", "main;work\nmain;work\n"), *merged = path("m.pb.gz");

    (void)state;
    assert_int_equal(RUN(verb_query, folded, "-o", out), 0);
    assert_holds(out, "main;work 5\n");
    assert_int_equal(RUN(verb_query, lines, "-o", out), 1);
    assert_int_equal(RUN(verb_query, lines, "--input-format", "lines", "-o", out), 0);
    assert_holds(out, "main;work 2\n");
    assert_int_equal(RUN(verb_merge, folded, folded, "-o", merged), 0);
    assert_int_equal(RUN(verb_query, merged, folded, "-o", out), 0);
    assert_holds(out, "main;work 15\n");
    assert_int_equal(RUN(verb_top, TEST_DATA "/text/node.cpuprofile", "-o", out), 0);
    assert_holds(out, "hotA");
}

static void of_several_kinds_cpu_time_is_shown_and_all_are_merged(void **state)
{
    const char *perf = TEST_DATA "/text/two-events.perf.txt", *out = path("out.txt");
    const char *merged = path("m.pb.gz"), *cpu = path("m.process_cpu-cpu.pb.gz");
    const char *faults = path("m.page-faults-page-faults.pb.gz");

    (void)state;
    assert_int_equal(RUN(verb_top, perf, "-o", out), 0);
    assert_holds(out, "process_cpu:cpu:nanoseconds:cpu:nanoseconds  total  492.46ms");
    assert_int_equal(RUN(verb_top, perf, "--type", "page-faults", "-o", out), 0);
    assert_holds(out, "_dl_new_object");
    assert_int_equal(RUN(verb_merge, perf, perf, "-o", merged), 0);
    assert_int_equal(RUN(verb_top, cpu, "-o", out), 0);
    assert_holds(out, "984.92ms");
    assert_int_equal(RUN(verb_top, faults, "-o", out), 0);
    assert_holds(out, " 788 ");
    assert_int_equal(RUN(verb_merge, perf, "--type", "page-faults", "-o", merged), 0);
    assert_int_equal(RUN(verb_top, merged, "-o", out), 0);
    assert_holds(out, " 394 ");
    assert_int_equal(RUN(verb_merge, perf, "-o", "-"), 1);
}

/* [samples, cpu], [cpu], and the first again with a period type: each is a kind. */
static void kinds_of_one_last_type_have_files_of_their_own(void **state)
{
    static const char tail[] = " 6\"\" 6\"samples\" 6\"count\" 6\"cpu\" 6\"nanoseconds\" 6\"work\""
                               " 5{1:1 2:5} 4{1:1 4{1:1}}";
    static const char *const kinds[][3] = {
        {"1{1:1 2:2} 1{1:3 2:4} 2{1[1] 2[1 10]}", "",
         "m.process_cpu-samples.count-cpu.nanoseconds.pb.gz"},
        {"1{1:3 2:4} 2{1[1] 2[100]}", "", "m.process_cpu-cpu.nanoseconds.pb.gz"},
        {"1{1:1 2:2} 1{1:3 2:4} 2{1[1] 2[1 7]}", " 11{1:3 2:4}",
         "m.process_cpu-samples.count-cpu.nanoseconds-per-cpu.nanoseconds.pb.gz"},
    };
    static const char *const totals[] = {"10ns", "100ns", "7ns"};
    char *in[3], *out = strdup(path("out.txt")), *merged = strdup(path("m.pb.gz"));

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct buf raw = {0}, text = {0};
        struct failure f;

        buf_printf(&text, "%s%s%s", kinds[i][0], kinds[i][1], tail);
        wire_write(buf_cstr(&text), &raw);
        in[i] = strdup(path((const char *const[]){"1.pb", "2.pb", "3.pb"}[i]));
        assert_int_equal(file_write(in[i], buf_bytes(&raw), &f), 0);
        buf_deinit(&raw);
        buf_deinit(&text);
    }
    for (int first = 0; first < 3; first++) {
        assert_int_equal(
            RUN(verb_merge, in[first], in[(first + 1) % 3], in[(first + 2) % 3], "-o", merged), 0);
        for (int i = 0; i < 3; i++) {
            char *kind = strdup(path(kinds[i][2]));

            assert_int_equal(RUN(verb_top, kind, "-o", out), 0);
            assert_holds(out, totals[i]);
            free(kind);
        }
    }
    assert_int_equal(RUN(verb_merge, in[0], in[1], "--type", "cpu", "-o", merged), 1);
    for (int i = 0; i < 3; i++)
        free(in[i]);
    free(out);
    free(merged);
}

static void help_of(verb *v, const char *file)
{
    int kept = capture(STDOUT_FILENO, file), status = RUN(v, "--help");

    release(STDOUT_FILENO, kept);
    assert_int_equal(status, 0);
}

static void help_says_what_is_so(void **state)
{
    const char *help = path("help.txt");

    (void)state;
    help_of(verb_merge, help);
    assert_holds(help, "becomes OUT.process_cpu-cpu.pb.gz."); /* as the test above finds them */
    help_of(verb_push, help);
    assert_holds(help, "heap, mutex and block profiles count from the start of the process");
}

static void what_is_not_of_one_type_is_not_added_up_or_compared(void **state)
{
    const char *a = write_profile("a.pb", "work", 7), *b = write_text("b.folded", "work 5\n");
    const char *out = path("out.txt");

    (void)state;
    assert_int_equal(RUN(verb_top, a, b, "-o", out), 1);
    assert_int_equal(RUN(verb_diff, a, b, "-o", out), 1);
    assert_int_equal(RUN(verb_diff, a, b, "--a-type", "samples", "--b-type", "samples", "-o", out),
                     0);
}

static void add_part(struct buf *out, unsigned tag, const char *text)
{
    buf_append_u8(out, (uint8_t)tag);
    buf_append_u8(out, (uint8_t)strlen(text));
    buf_append_str(out, text);
}

/* Appends strings and what names them; a profile of write_profile() has 7 strings before. */
static const char *with_header(const char *name, const char *comment, const char *url,
                               const char *drop)
{
    const char *p = write_profile(name, "work", 7);
    struct buf raw = {0};
    struct failure f;
    uint8_t n = 0;

    assert_int_equal(file_read(p, &raw, &f), 0);
    for (size_t i = 0, len; i < raw.len; i += len) { /* all lengths are below 128 */
        len = (raw.data[i] & 7) == 2 ? 2u + raw.data[i + 1] : 0;
        n += (uint8_t)(raw.data[i] == 0x32);
        for (len = len ? len : 2; (raw.data[i] & 7) == 0 && raw.data[i + len - 1] >= 0x80;)
            len++;
    }
    add_part(&raw, 0x32, comment);
    add_part(&raw, 0x32, url);
    add_part(&raw, 0x32, drop);
    buf_append(&raw, (uint8_t[]){0x6a, 1, n, 0x78, (uint8_t)(n + 1), 0x38, (uint8_t)(n + 2)}, 7);
    assert_int_equal(file_write(p, buf_bytes(&raw), &f), 0);
    buf_deinit(&raw);
    return p;
}

/* As google/pprof merges: each comment once, the first address and the first file's patterns. */
static void merge_keeps_what_stands_beside_the_samples(void **state)
{
    const char *a = with_header("a.pb", "one", "http://a", "drop_a");
    const char *b = with_header("b.pb", "two", "http://b", "drop_b");
    const char *merged = path("m.pb.gz");
    struct loaded l;
    struct buf body = {0};
    struct failure f;

    (void)state;
    assert_int_equal(RUN(verb_merge, a, b, a, "-o", merged), 0);
    assert_int_equal(file_read(merged, &body, &f), 0);
    loaded_init(&l, false);
    assert_int_equal(loaded_add(&l, buf_bytes(&body), merged, NULL, &f), 0);
    assert_int_equal(l.header.n_comments, 2);
    assert_string_equal(buf_cstr(&l.header.comments[0]), "one");
    assert_string_equal(buf_cstr(&l.header.comments[1]), "two");
    assert_string_equal(buf_cstr(&l.header.doc_url), "http://a");
    assert_string_equal(buf_cstr(&l.header.drop_frames), "drop_a");
    assert_int_equal(profile_total(l.sums[0], 0), 21);
    loaded_deinit(&l);
    buf_deinit(&body);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(top_of_a_file_shows_its_default_type),
        TEST(query_of_files_adds_them_up),
        TEST(diff_of_two_files_is_the_second_minus_the_first),
        TEST(merge_keeps_every_type_and_may_be_read_again),
        TEST(pprof_out_is_pprof_in),
        TEST(wrong_usage_is_2_and_what_fails_is_1),
        TEST(an_option_of_one_value_is_given_once),
        TEST(what_may_stand_beside_each_other_is_not_twice),
        TEST(files_without_samples_are_told_and_end_with_3),
        TEST(a_file_that_is_no_profile_is_refused_by_name),
        TEST(files_of_any_format_are_read),
        TEST(of_several_kinds_cpu_time_is_shown_and_all_are_merged),
        TEST(kinds_of_one_last_type_have_files_of_their_own),
        TEST(help_says_what_is_so),
        TEST(what_is_not_of_one_type_is_not_added_up_or_compared),
        TEST(merge_keeps_what_stands_beside_the_samples),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
