#include "base/err.h"
#include "base/logger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

/* What has been written to stderr since capture(); one block is enough for every test here. */
static char captured[65536];
static int capture_fd = -1, saved_stderr = -1;

static void capture(void)
{
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    saved_stderr = dup(STDERR_FILENO);
    dup2(fds[1], STDERR_FILENO);
    close(fds[1]);
    capture_fd = fds[0];
}

static char *release(void)
{
    ssize_t n;

    dup2(saved_stderr, STDERR_FILENO); /* closes the pipe's other end */
    close(saved_stderr);
    n = read(capture_fd, captured, sizeof captured - 1);
    close(capture_fd);
    captured[n > 0 ? n : 0] = '\0';
    return captured;
}

/* A line without its time: "level=… …". */
static const char *line_after_time(void)
{
    char *line = release();
    char *at = strstr(line, "level=");

    assert_non_null(at);
    assert_memory_equal(line, "time=2", 6);
    return at;
}

static int set_up(void **state)
{
    (void)state;
    logger_init("test", LOG_INFO, false);
    return 0;
}

static void a_line_has_time_level_program_event_and_fields(void **state)
{
    (void)state;
    capture();
    LOG(LOG_WARN, "kafka_down", F_STR("broker", "k1:9092"), F_INT("waiting_ms", -5),
        F_FLOAT("share", 0.25));
    assert_string_equal(line_after_time(), "level=warn program=test event=kafka_down "
                                           "broker=k1:9092 waiting_ms=-5 share=0.25\n");
}

static void an_event_without_fields_is_fine(void **state)
{
    (void)state;
    capture();
    LOG(LOG_INFO, "started");
    assert_string_equal(line_after_time(), "level=info program=test event=started\n");
}

static void text_from_outside_cannot_forge_a_line_or_a_field(void **state)
{
    (void)state;
    capture();
    LOG(LOG_INFO, "e", F_STR("a", "x\nlevel=error"), F_STR("b", "c=d"), F_STR("c", "say \"hi\"\\"),
        F_STR("d", ""), F_STR("e", "\x1b[2J"), F_STR("f", "\xff\xc0\x80"), F_STR("g", "grün"),
        F_STR("h", "\xe2\x80\xae"
                   "abc"),
        F_STR("i", "\xc2\x9b"), F_STR("j", NULL), F_BYTES("k", bytes_of("a\0b", 3)),
        F_STR("l", "\xed\xa0\x80"), F_STR("m", "\xf0\x9f\x94"));
    assert_string_equal(line_after_time(),
                        "level=info program=test event=e a=\"x\\nlevel=error\" b=\"c=d\" "
                        "c=\"say \\\"hi\\\"\\\\\" d=\"\" e=\"\\u001b[2J\" "
                        "f=\"\ufffd\ufffd\ufffd\" g=\"grün\" h=\"\\u202eabc\" i=\"\\u009b\" j=\"\" "
                        "k=\"a\\u0000b\" l=\"\ufffd\ufffd\ufffd\" m=\"\ufffd\ufffd\ufffd\"\n");
}

/* Overlong forms, a surrogate's neighbours, the last code point and the one after it. */
static void only_well_formed_utf_8_passes(void **state)
{
    (void)state;
    capture();
    LOG(LOG_INFO, "e", F_STR("a", "\xe0\x9f\xbf"), F_STR("b", "\xf0\x8f\xbf\xbf"),
        F_STR("c", "\xf4\x90\x80\x80"), F_STR("d", "\xed\x9f\xbf\xee\x80\x80"),
        F_STR("e", "\xf4\x8f\xbf\xbf"));
    assert_string_equal(line_after_time(),
                        "level=info program=test event=e a=\"\ufffd\ufffd\ufffd\" "
                        "b=\"\ufffd\ufffd\ufffd\ufffd\" c=\"\ufffd\ufffd\ufffd\ufffd\" "
                        "d=\"\xed\x9f\xbf\xee\x80\x80\" e=\"\xf4\x8f\xbf\xbf\"\n");
}

static void json_lines_are_json(void **state)
{
    char *line;

    (void)state;
    logger_init("test", LOG_INFO, true);
    capture();
    LOG(LOG_ERROR, "e", F_STR("a", "x\n\"y\""), F_INT("n", INT64_MIN), F_FLOAT("f", NAN));
    line = release();
    assert_memory_equal(line, "{\"time\":\"2", 10);
    assert_non_null(strstr(line, "Z\",\"level\":\"error\",\"program\":\"test\",\"event\":\"e\","
                                 "\"a\":\"x\\n\\\"y\\\"\",\"n\":-9223372036854775808,"
                                 "\"f\":null}\n"));
}

static void a_long_value_is_cut(void **state)
{
    static char text[5000];

    (void)state;
    memset(text, 'x', sizeof text - 1);
    capture();
    LOG(LOG_INFO, "e", F_STR("a", text));
    assert_in_range(strlen(release()), 1024, 1200);
    assert_non_null(strstr(captured, "xxx...\"\n"));
}

static void levels_below_the_least_are_not_printed(void **state)
{
    (void)state;
    capture();
    LOG(LOG_DEBUG, "quiet");
    err_trace(-ENOENT);
    assert_string_equal(release(), "");
    logger_init("test", LOG_DEBUG, false);
    capture();
    err_trace(-ENOENT);
    assert_non_null(strstr(release(), "level=debug program=test event=err_trace "
                                      "error=\"No such file or directory\" code=-2 file="));
}

static unsigned count_lines(const char *text)
{
    unsigned n = 0;

    for (; *text; text++)
        n += *text == '\n';
    return n;
}

static void repeats_are_counted_and_the_count_is_printed_later(void **state)
{
    (void)state;
    capture();
    for (int i = 0; i < 100; i++) {
        if (i == 99)
            usleep(1100000);
        LOG(LOG_INFO, "again", F_INT("i", i));
    }
    assert_int_equal(count_lines(release()), 6);
    assert_non_null(strstr(captured, "event=again i=99 repeats=94\n"));
}

static void sites_are_counted_apart(void **state)
{
    (void)state;
    capture();
    for (int i = 0; i < 20; i++) {
        LOG(LOG_INFO, "one");
        LOG(LOG_INFO, "two");
    }
    assert_int_equal(count_lines(release()), 10);
}

static void levels_have_names(void **state)
{
    enum log_level level = LOG_ERROR;

    (void)state;
    assert_int_equal(log_level_parse("debug", &level), 0);
    assert_int_equal(level, LOG_DEBUG);
    assert_int_equal(log_level_parse("loud", &level), -EINVAL);
    assert_int_equal(level, LOG_DEBUG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_line_has_time_level_program_event_and_fields, set_up),
        cmocka_unit_test_setup(an_event_without_fields_is_fine, set_up),
        cmocka_unit_test_setup(text_from_outside_cannot_forge_a_line_or_a_field, set_up),
        cmocka_unit_test_setup(only_well_formed_utf_8_passes, set_up),
        cmocka_unit_test_setup(json_lines_are_json, set_up),
        cmocka_unit_test_setup(a_long_value_is_cut, set_up),
        cmocka_unit_test_setup(levels_below_the_least_are_not_printed, set_up),
        cmocka_unit_test_setup(repeats_are_counted_and_the_count_is_printed_later, set_up),
        cmocka_unit_test_setup(sites_are_counted_apart, set_up),
        cmocka_unit_test_setup(levels_have_names, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
