/*
 * The registry is a list of tables, in the order of their registration; rendering walks it under
 * the lock that registering takes, updates take none. What a scrape sees of one histogram may be a
 * moment apart between buckets and sum, never between buckets and count: the count is added up from
 * them.
 *
 * process_* and hearth_build_info come from /proc at the time of the scrape, so they cost nothing
 * in between.
 */
#include "base/metrics.h"

#include "base/clock.h"
#include "base/err.h"

#include <dirent.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

enum { METRIC_TABLES_MAX = 64 };

static const char *const kind_names[] = {"counter", "gauge", "histogram"};

static struct {
    pthread_mutex_t lock;
    size_t n;
    struct {
        struct metric *rows;
        size_t n;
    } tables[METRIC_TABLES_MAX];
} registry = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Series of a family: its label values, one without a label, the finite buckets of a histogram. */
static unsigned n_series(const struct metric *m)
{
    unsigned n = 0;

    if (m->kind == METRIC_KIND_HISTOGRAM) {
        while (m->bounds[n] != 0)
            n++;
        return n;
    }
    for (const char *s = m->values; s; s = strchr(s + 1, '|'))
        n++;
    return n ? n : 1;
}

static bool is_registered(const struct metric *table)
{
    for (size_t i = 0; i < registry.n; i++) {
        if (registry.tables[i].rows == table)
            return true;
    }
    return false;
}

void metrics_register(struct metric *table, size_t n)
{
    pthread_mutex_lock(&registry.lock);
    if (!is_registered(table)) {
        CHECK(registry.n < METRIC_TABLES_MAX);
        for (size_t i = 0; i < n; i++)
            CHECK(table[i].name && table[i].help && n_series(&table[i]) <= METRIC_SERIES_MAX);
        registry.tables[registry.n].rows = table;
        registry.tables[registry.n++].n = n;
    }
    pthread_mutex_unlock(&registry.lock);
}

static _Atomic int64_t *cell(struct metric *m, unsigned label_value)
{
    CHECK(label_value < METRIC_SERIES_MAX);
    return &m->cells[label_value];
}

void metric_add(struct metric *m, unsigned label_value, int64_t delta)
{
    atomic_fetch_add_explicit(cell(m, label_value), delta, memory_order_relaxed);
}

void metric_set(struct metric *m, unsigned label_value, int64_t value)
{
    atomic_store_explicit(cell(m, label_value), value, memory_order_relaxed);
}

int64_t metric_get(const struct metric *m, unsigned label_value)
{
    CHECK(label_value <= METRIC_SERIES_MAX);
    return atomic_load_explicit(&m->cells[label_value], memory_order_relaxed);
}

void metric_observe(struct metric *m, double value)
{
    double sum = atomic_load_explicit(&m->sum, memory_order_relaxed);
    unsigned i = 0;

    while (m->bounds[i] != 0 && value > m->bounds[i])
        i++;
    atomic_fetch_add_explicit(&m->cells[i], 1, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&m->sum, &sum, sum + value, memory_order_relaxed,
                                                  memory_order_relaxed))
        ;
}

static void render_head(struct buf *out, const char *name, const char *help, const char *kind)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind);
}

static void render_histogram(struct buf *out, const struct metric *m)
{
    unsigned n = n_series(m);
    int64_t count = 0;

    for (unsigned i = 0; i < n; i++) {
        count += metric_get(m, i);
        buf_printf(out, "%s_bucket{le=\"%g\"} %" PRId64 "\n", m->name, m->bounds[i], count);
    }
    count += metric_get(m, n);
    buf_printf(out, "%s_bucket{le=\"+Inf\"} %" PRId64 "\n", m->name, count);
    buf_printf(out, "%s_sum %.17g\n", m->name, atomic_load_explicit(&m->sum, memory_order_relaxed));
    buf_printf(out, "%s_count %" PRId64 "\n", m->name, count);
}

static void render_value(struct buf *out, const struct metric *m, unsigned label_value)
{
    int64_t value = metric_get(m, label_value);

    if (m->in_ms)
        buf_printf(out, " %.3f\n", (double)value / MS_PER_S);
    else
        buf_printf(out, " %" PRId64 "\n", value);
}

static void render_labelled(struct buf *out, const struct metric *m)
{
    const char *value = m->values;

    for (unsigned i = 0, n = n_series(m); i < n; i++) {
        int len = (int)strcspn(value, "|");

        buf_printf(out, "%s{%s=\"%.*s\"}", m->name, m->label, len, value);
        render_value(out, m, i);
        value += len + 1;
    }
}

static void render_family(struct buf *out, const struct metric *m)
{
    render_head(out, m->name, m->help, kind_names[m->kind]);
    if (m->kind == METRIC_KIND_HISTOGRAM)
        return render_histogram(out, m);
    if (m->label)
        return render_labelled(out, m);
    buf_append_str(out, m->name);
    render_value(out, m, 0);
}

static void render_process_value(struct buf *out, const char *name, const char *kind,
                                 const char *help, double value)
{
    render_head(out, name, help, kind);
    buf_printf(out, "%s %.17g\n", name, value);
}

/* The fields of /proc/self/stat that are wanted; false where there is no /proc. */
struct proc_stat {
    unsigned long long user_ticks, system_ticks, start_ticks, virtual_bytes;
    long long resident_pages;
};

static bool read_proc_stat(struct proc_stat *s)
{
    char text[1024];
    FILE *f = fopen("/proc/self/stat", "re");
    size_t len = f ? fread(text, 1, sizeof text - 1, f) : 0;
    const char *after_name;

    if (f)
        fclose(f);
    text[len] = '\0';
    after_name = strrchr(text, ')'); /* the name before it may hold anything */
    return after_name &&             /* NOLINTNEXTLINE(cert-err34-c): the kernel wrote it */
           sscanf(after_name,
                  ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d "
                  "%*d %llu %llu %lld",
                  &s->user_ticks, &s->system_ticks, &s->start_ticks, &s->virtual_bytes,
                  &s->resident_pages) == 5;
}

/* Unix time of the boot. */
static double boot_time_s(void)
{
    char line[256];
    FILE *f = fopen("/proc/stat", "re");
    long long s = 0;

    while (f && fgets(line, sizeof line, f)) {
        /* NOLINTNEXTLINE(cert-err34-c) */
        if (sscanf(line, "btime %lld", &s) == 1)
            break;
    }
    if (f)
        fclose(f);
    return (double)s;
}

static int count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = -1; /* the directory's own */

    if (!dir)
        return 0;
    for (struct dirent *e = readdir(dir); e; e = readdir(dir))
        n += e->d_name[0] != '.';
    closedir(dir);
    return n;
}

static void render_fds(struct buf *out)
{
    struct rlimit limit = {0};

    getrlimit(RLIMIT_NOFILE, &limit);
    render_process_value(out, "process_open_fds", "gauge", "Number of open file descriptors.",
                         count_fds());
    render_process_value(out, "process_max_fds", "gauge",
                         "Maximum number of open file descriptors.", (double)limit.rlim_cur);
}

static void render_process(struct buf *out)
{
    double ticks_per_s = (double)sysconf(_SC_CLK_TCK);
    struct proc_stat s;

    if (!read_proc_stat(&s))
        return;
    render_process_value(out, "process_cpu_seconds_total", "counter",
                         "Total user and system CPU time spent in seconds.",
                         (double)(s.user_ticks + s.system_ticks) / ticks_per_s);
    render_process_value(out, "process_resident_memory_bytes", "gauge",
                         "Resident memory size in bytes.",
                         (double)s.resident_pages * (double)sysconf(_SC_PAGESIZE));
    render_process_value(out, "process_virtual_memory_bytes", "gauge",
                         "Virtual memory size in bytes.", (double)s.virtual_bytes);
    render_process_value(out, "process_start_time_seconds", "gauge",
                         "Start time of the process since unix epoch in seconds.",
                         boot_time_s() + (double)s.start_ticks / ticks_per_s);
    render_fds(out);
}

void metrics_render(struct buf *out)
{
    pthread_mutex_lock(&registry.lock);
    for (size_t t = 0; t < registry.n; t++) {
        for (size_t i = 0; i < registry.tables[t].n; i++)
            render_family(out, &registry.tables[t].rows[i]);
    }
    pthread_mutex_unlock(&registry.lock);
    render_head(out, "hearth_build_info", "the running version; always 1", "gauge");
    buf_printf(out, "hearth_build_info{version=\"%s\"} 1\n", HEARTH_VERSION);
    render_process(out);
}

static void describe_family(struct buf *out, const struct metric *m)
{
    buf_printf(out, "%s (%s)\n    %s\n", m->name, kind_names[m->kind], m->help);
    if (m->label)
        buf_printf(out, "    %s: %s\n", m->label, m->values);
}

void metrics_describe(struct buf *out)
{
    pthread_mutex_lock(&registry.lock);
    for (size_t t = 0; t < registry.n; t++) {
        for (size_t i = 0; i < registry.tables[t].n; i++)
            describe_family(out, &registry.tables[t].rows[i]);
    }
    pthread_mutex_unlock(&registry.lock);
}
