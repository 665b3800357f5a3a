#include "base/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

enum { UPLOADS, DROPPED, LAG, SECONDS, N_METRICS };
static const double second_bounds[] = {0.01, 0.1, 1, 10, 0};
static struct metric table[N_METRICS] = {
    [UPLOADS] = METRIC_COUNTER("hearth_test_uploads_total", "uploads acknowledged"),
    [DROPPED] = METRIC_COUNTER_BY("hearth_test_dropped_total", "uploads refused", "reason",
                                  "too_large|malformed|overload"),
    [LAG] = METRIC_GAUGE_MS("hearth_test_lag_seconds", "how far behind"),
    [SECONDS] = METRIC_HISTOGRAM("hearth_test_seconds", "time to answer", second_bounds),
};

static struct buf text;

static const char *render(void)
{
    buf_reset(&text);
    metrics_render(&text);
    return buf_cstr(&text);
}

static int set_up(void **state)
{
    (void)state;
    metrics_register(table, N_METRICS);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    buf_deinit(&text);
    return 0;
}

static void every_series_exists_from_the_start(void **state)
{
    (void)state;
    assert_non_null(strstr(render(), "# HELP hearth_test_uploads_total uploads acknowledged\n"
                                     "# TYPE hearth_test_uploads_total counter\n"
                                     "hearth_test_uploads_total 0\n"));
    assert_non_null(strstr(render(), "hearth_test_dropped_total{reason=\"too_large\"} 0\n"
                                     "hearth_test_dropped_total{reason=\"malformed\"} 0\n"
                                     "hearth_test_dropped_total{reason=\"overload\"} 0\n"));
}

static void updates_go_to_the_series_they_name(void **state)
{
    (void)state;
    metric_add(&table[UPLOADS], 0, 5);
    metric_add(&table[DROPPED], 1, 2);
    metric_set(&table[LAG], 0, -1250);
    assert_int_equal(metric_get(&table[DROPPED], 1), 2);
    assert_non_null(strstr(render(), "hearth_test_uploads_total 5\n"));
    assert_non_null(strstr(render(), "hearth_test_dropped_total{reason=\"malformed\"} 2\n"));
    assert_non_null(strstr(render(), "hearth_test_lag_seconds -1.250\n"));
}

static void buckets_are_cumulative_and_end_with_all(void **state)
{
    (void)state;
    metric_observe(&table[SECONDS], 0.01);
    metric_observe(&table[SECONDS], 0.5);
    metric_observe(&table[SECONDS], 100);
    assert_non_null(strstr(render(), "hearth_test_seconds_bucket{le=\"0.01\"} 1\n"
                                     "hearth_test_seconds_bucket{le=\"0.1\"} 1\n"
                                     "hearth_test_seconds_bucket{le=\"1\"} 2\n"
                                     "hearth_test_seconds_bucket{le=\"10\"} 2\n"
                                     "hearth_test_seconds_bucket{le=\"+Inf\"} 3\n"
                                     "hearth_test_seconds_sum 100.51"));
    assert_non_null(strstr(render(), "hearth_test_seconds_count 3\n"));
}

static void registering_again_does_nothing(void **state)
{
    const char *first;

    (void)state;
    metrics_register(table, N_METRICS);
    first = strstr(render(), "# TYPE hearth_test_lag_seconds");
    assert_non_null(first);
    assert_null(strstr(first + 1, "# TYPE hearth_test_lag_seconds"));
}

static double value_of(const char *name)
{
    char line[100];
    const char *at;

    snprintf(line, sizeof line, "\n%s ", name);
    at = strstr(render(), line);
    assert_non_null(at);
    return atof(at + strlen(line));
}

static void the_process_reports_itself(void **state)
{
    double fds = value_of("process_open_fds");
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    (void)state;
    assert_true(value_of("process_open_fds") == fds + 1);
    close(fd);
    assert_true(value_of("process_resident_memory_bytes") > 100000);
    assert_true(value_of("process_virtual_memory_bytes") > 100000);
    assert_true(value_of("process_cpu_seconds_total") >= 0);
    assert_true(value_of("process_max_fds") > fds);
    assert_true(value_of("process_start_time_seconds") > 1e9);
    assert_non_null(strstr(render(), "hearth_build_info{version=\"" HEARTH_VERSION "\"} 1\n"));
}

static void update_often(void *arg)
{
    (void)arg;
    for (int i = 0; i < 50000; i++) {
        metric_add(&table[UPLOADS], 0, 1);
        metric_observe(&table[SECONDS], 1);
    }
}

static void no_update_of_any_thread_is_lost(void **state)
{
    int64_t uploads = metric_get(&table[UPLOADS], 0), seconds = metric_get(&table[SECONDS], 2);
    double sum = table[SECONDS].sum;
    uv_thread_t threads[4];

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(uv_thread_create(&threads[i], update_often, NULL), 0);
    render();
    for (int i = 0; i < 4; i++)
        uv_thread_join(&threads[i]);
    assert_int_equal(metric_get(&table[UPLOADS], 0), uploads + 200000);
    assert_int_equal(metric_get(&table[SECONDS], 2), seconds + 200000);
    assert_true(table[SECONDS].sum == sum + 200000);
}

static void promtool_has_nothing_to_say(void **state)
{
    char path[] = "/tmp/hearth-metrics-XXXXXX", command[200];
    int fd = mkstemp(path);
    int status;

    (void)state;
    render();
    assert_int_equal(write(fd, text.data, text.len), (ssize_t)text.len);
    close(fd);
    snprintf(command, sizeof command, "promtool check metrics < %s", path);
    status = system("command -v promtool >/dev/null 2>&1");
    if (status != 0) {
        unlink(path);
        fputs("SKIPPED, LOUDLY: promtool is not installed (apt install prometheus)\n", stderr);
        skip();
    }
    status = system(command);
    unlink(path);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void families_are_described_for_people(void **state)
{
    struct buf out = {0};

    (void)state;
    metrics_describe(&out);
    assert_non_null(strstr(buf_cstr(&out), "hearth_test_dropped_total (counter)\n"
                                           "    uploads refused\n"
                                           "    reason: too_large|malformed|overload\n"));
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_series_exists_from_the_start),
        cmocka_unit_test(updates_go_to_the_series_they_name),
        cmocka_unit_test(buckets_are_cumulative_and_end_with_all),
        cmocka_unit_test(registering_again_does_nothing),
        cmocka_unit_test(the_process_reports_itself),
        cmocka_unit_test(no_update_of_any_thread_is_lost),
        cmocka_unit_test(promtool_has_nothing_to_say),
        cmocka_unit_test(families_are_described_for_people),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
