/* The verbs that work on files, run as a user would, their output in a file. */
#include "base/bytes.h"
#include "base/err.h"
#include "cli/cli.h"
#include "cli/files.h"
#include "formats/inflate.h"
#include "formats/pprof.h"

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
    struct loaded l;
    struct sample_type types[2];
    struct buf out = {0};
    struct failure f;
    uint32_t frame;
    const char *p = path(name);

    loaded_init(&l);
    types[0] = (struct sample_type){symbols_string(l.symbols, BYTES_LIT("samples")),
                                    symbols_string(l.symbols, BYTES_LIT("count"))};
    types[1] = (struct sample_type){symbols_string(l.symbols, BYTES_LIT("cpu")),
                                    symbols_string(l.symbols, BYTES_LIT("nanoseconds"))};
    profile_set_types(&l.profile, types, 2);
    frame = symbols_frame(
        l.symbols, &(struct frame){.function = symbols_function(
                                       l.symbols,
                                       &(struct function){
                                           .name = symbols_string(l.symbols, bytes_str(function)),
                                           .file = symbols_string(l.symbols, BYTES_LIT("a.c"))}),
                                   .line_or_address = 3});
    profile_add(&l.profile, stacks_intern(l.stacks, &frame, 1), 0, (int64_t[]){value, 100 * value});
    pprof_write(&l.profile, &out);
    assert_int_equal(file_write(p, buf_bytes(&out), &f), 0);
    buf_deinit(&out);
    loaded_deinit(&l);
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
    assert_int_equal(RUN(verb_push, a), EXIT_USAGE);
    assert_int_equal(RUN(verb_push, a, "--service", "x", "--tag", "nonsense"), EXIT_USAGE);
    assert_int_equal(RUN(verb_check_config, "nonsense"), EXIT_USAGE);
    assert_int_equal(RUN(verb_top, "/no/such/file"), 1);
    assert_int_equal(RUN(verb_top, a, "--type", "heap"), 1);
    assert_int_equal(RUN(verb_top, "--service", "x", "--server", "http://127.0.0.1:1"), 1);
    assert_int_equal(RUN(verb_push, a, "--service", "x", "--server", "http://127.0.0.1:1"), 1);
}

static void a_file_that_is_no_profile_is_refused_by_name(void **state)
{
    const char *bad = path("bad.pb");
    struct failure f;
    struct loaded l;

    (void)state;
    loaded_init(&l);
    assert_int_equal(loaded_add(&l, BYTES_LIT("this is a text"), bad, &f), FAILURE);
    assert_non_null(strstr(f.message, "bad.pb"));
    loaded_deinit(&l);
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
        TEST(a_file_that_is_no_profile_is_refused_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
