/*
 * Merging the gzipped profiles of one service, on one core and two, against inflating alone.
 *
 *   bench_merge DIR [--rounds 5]     the figures of one series
 *   bench_merge DIR --whole          once from disk to a written pprof, for comparing with others:
 *                                    prints CPU s, wall s, peak RSS KiB, samples
 *   bench_merge DIR --window         the same as aggregators do it: stacks of lines, into a stored
 *                                    tree of each type
 *
 * "first pass" begins with empty tables; "again" adds the same profiles to tables that have seen
 * them. Inputs are in memory. Times are CPU time but for those of two cores. Each figure is the
 * best of the rounds, whose kinds alternate, so that a noisy neighbour disturbs all alike.
 */
#include "bench.h"
#include "formats/inflate.h"
#include "formats/pprof.h"
#include "profile/locations.h"
#include "profile/translation.h"
#include "profile/tree.h"
#include "wire/aggregate.h"

#include <pthread.h>
#include <sys/resource.h>

enum { INFLATED_MAX = 64 << 20, SERIES = 100 };

/* A service's tables, and the profile of one series of it. */
struct sink {
    struct symbols *symbols;
    struct stacks *stacks;
    struct profile profile;
};

struct source {
    struct inflater *inflater;
    struct pprof_reader *reader;
    struct buf plain;
    uint64_t samples;
};

static void sink_init(struct sink *s)
{
    s->symbols = symbols_new();
    s->stacks = stacks_new();
    profile_init(&s->profile, s->symbols, s->stacks);
}

static void sink_deinit(struct sink *s)
{
    profile_deinit(&s->profile);
    stacks_free(s->stacks);
    symbols_free(s->symbols);
}

static void source_init(struct source *s)
{
    *s = (struct source){.inflater = inflater_new(), .reader = pprof_reader_new()};
}

static void source_deinit(struct source *s)
{
    inflater_free(s->inflater);
    pprof_reader_free(s->reader);
    buf_deinit(&s->plain);
}

static void merge_one(struct source *from, struct bytes gz, unsigned flags, struct profile *to)
{
    struct decode_stats stats;
    struct bytes plain;
    struct failure f;

    if (inflate(from->inflater, gz, INFLATED_MAX, &from->plain, &plain, &f) ||
        pprof_read(from->reader, plain, &profile_limits_default, flags, to, &stats, &f)) {
        fprintf(stderr, "%s\n", f.message);
        exit(1);
    }
    from->samples += stats.samples;
}

/* --- the phases: each returns CPU seconds -------------------------------------------------------
 */

static double merge_range(const struct series_files *files, size_t begin, size_t end,
                          struct source *from, struct profile *to)
{
    double start = cpu_s();

    for (size_t i = begin; i < end; i++)
        merge_one(from, files->at[i], 0, to);
    return cpu_s() - start;
}

struct merged {
    double first, again, tree; /* tree: of the first pass, to have its result as one */
    uint64_t samples;
    uint32_t stacks, nodes, strings;
};

static struct merged merge_series(const struct series_files *files)
{
    struct source from;
    struct merged m;
    struct tree tree = {0};
    struct sink to;

    source_init(&from);
    sink_init(&to);
    m.first = merge_range(files, 0, files->n, &from, &to.profile);
    m.samples = from.samples;
    m.tree = cpu_s();
    tree_of_profile(&tree, &to.profile, 0);
    m.tree = cpu_s() - m.tree;
    tree_deinit(&tree);
    profile_reset(&to.profile);
    m.again = merge_range(files, 0, files->n, &from, &to.profile);
    m.stacks = stacks_count(to.stacks);
    m.nodes = stacks_n_nodes(to.stacks);
    m.strings = symbols_n_strings(to.symbols);
    sink_deinit(&to);
    source_deinit(&from);
    return m;
}

/* The same profiles as those of many series of one service: symbols and stacks are shared, rows are
 * not. */
static double merge_many_series(const struct series_files *files)
{
    struct profile series[SERIES];
    struct source from;
    struct sink service;
    double start;

    source_init(&from);
    start = cpu_s();
    sink_init(&service);
    for (size_t i = 0; i < SERIES; i++)
        profile_init(&series[i], service.symbols, service.stacks);
    for (size_t i = 0; i < files->n; i++)
        merge_one(&from, files->at[i], 0, &series[i % SERIES]);
    start = cpu_s() - start;
    for (size_t i = 0; i < SERIES; i++)
        profile_deinit(&series[i]);
    source_deinit(&from);
    sink_deinit(&service);
    return start;
}

/* --- two cores ----------------------------------------------------------------------------------
 *
 * In wall time, unlike the other phases: two threads on one core must not look like two cores.
 */

struct half {
    const struct series_files *files;
    size_t begin, end;
    struct sink to;
    struct tree tree;
};

static void *merge_half(void *arg)
{
    struct half *h = arg;
    struct source from;

    source_init(&from);
    sink_init(&h->to);
    merge_range(h->files, h->begin, h->end, &from, &h->to.profile);
    tree_of_profile(&h->tree, &h->to.profile, 0);
    source_deinit(&from);
    return NULL;
}

/* One tree of both halves. */
static void join_halves(struct half *h)
{
    uint32_t *map = xcalloc(symbols_n_frames(h[1].to.symbols), sizeof *map);
    struct tree whole = {0};

    symbols_merge(h[0].to.symbols, h[1].to.symbols, 0, map);
    tree_remap(&h[1].tree, map);
    tree_zip(&whole, 1, (const struct tree *[]){&h[0].tree, &h[1].tree}, NULL, 2, h[0].to.symbols);
    for (int i = 0; i < 2; i++) {
        tree_deinit(&h[i].tree);
        sink_deinit(&h[i].to);
    }
    tree_deinit(&whole);
    free(map);
}

static void *inflate_half(void *arg)
{
    const struct half *h = arg;
    size_t raw;

    inflate_floor(h->files->at + h->begin, h->end - h->begin, &raw);
    return NULL;
}

/* Wall time of both halves at once. */
static double on_two(const struct series_files *files, void *(*work)(void *), struct half h[2])
{
    double start = clock_s(CLOCK_MONOTONIC);
    pthread_t threads[2];

    h[0] = (struct half){.files = files, .end = files->n / 2};
    h[1] = (struct half){.files = files, .begin = files->n / 2, .end = files->n};
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, work, &h[i]) == 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    return clock_s(CLOCK_MONOTONIC) - start;
}

/* With one tree of both halves at the end, which the other side of the ratio has too. */
static double merge_on_two(const struct series_files *files)
{
    struct half h[2];
    double s = on_two(files, merge_half, h), start = clock_s(CLOCK_MONOTONIC);

    join_halves(h);
    return s + clock_s(CLOCK_MONOTONIC) - start;
}

/* What two cores give here to work that shares nothing: of a virtual machine, less than two. */
static double inflate_on_two(const struct series_files *files)
{
    struct half h[2];

    return on_two(files, inflate_half, h);
}

/* --- output -------------------------------------------------------------------------------------
 */

struct best {
    double floor, first, again, tree, many, two, floor_two;
};

static void print_figures(const char *dir, const struct series_files *files, const struct best *b,
                          const struct merged *m)
{
    double n = (double)files->n, mb = (double)files->bytes / 1e6;

    printf("merge %s: %zu profiles, %.1f MB of gzip, %llu samples, %u stacks, %u nodes\n", dir,
           files->n, mb, (unsigned long long)m->samples, m->stacks, m->nodes);
    printf("  %-24s %8s %12s %8s %10s\n", "", "s", "us/profile", "MB gz/s", "ns/sample");
    for (int i = 0; i < 5; i++) {
        static const char *const name[] = {"inflate alone", "first pass", "again",
                                           "first pass, 100 series", "two cores (wall)"};
        const double s[] = {b->floor, b->first, b->again, b->many, b->two};

        printf("  %-24s %8.3f %12.1f %8.1f %10.0f\n", name[i], s[i], s[i] / n * 1e6, mb / s[i],
               s[i] / (double)m->samples * 1e9);
    }
    print_ratio("first pass / inflate alone", b->first / b->floor,
                "target 1.8 jvm, 2.0 go and heap, 2.6 jvm-novel");
    print_ratio("again / inflate alone", b->again / b->floor, "");
    print_ratio("100 series / one", b->many / b->first, "target 1.3");
    print_ratio("one core (CPU) / two cores (wall)", (b->first + b->tree) / b->two, "target 1.9");
    print_ratio("  of inflating alone, what the machine gives", b->floor / b->floor_two, "");
}

static void run(const char *dir, int rounds)
{
    struct series_files files = find_series(dir);
    struct best b = {0};
    struct merged m = {0};
    size_t raw;

    load_series(&files);
    for (int i = 0; i < rounds; i++) {
        keep_less(&b.floor, inflate_floor(files.at, files.n, &raw));
        m = merge_series(&files);
        keep_less(&b.first, m.first);
        keep_less(&b.again, m.again);
        keep_less(&b.tree, m.tree);
        keep_less(&b.many, merge_many_series(&files));
        keep_less(&b.two, merge_on_two(&files));
        keep_less(&b.floor_two, inflate_on_two(&files));
    }
    print_figures(dir, &files, &b, &m);
}

static void write_pprof(const struct profile *p)
{
    struct buf raw = {0}, gz = {0};

    pprof_write(p, &raw);
    gzip(buf_bytes(&raw), GZIP_LEVEL, &gz);
    buf_deinit(&raw);
    buf_deinit(&gz);
}

static void write_trees(const struct profile *p)
{
    enum { LEVEL_MINUTE = 1 };
    struct zcodec *z = zcodec_new();
    struct aggregate a = {0};
    struct buf blob = {0};

    for (uint32_t type = 0; type < p->n_types; type++) {
        tree_of_profile(&a.tree, p, type);
        aggregate_encode(z, &a, LEVEL_MINUTE, &blob);
    }
    aggregate_deinit(&a);
    buf_deinit(&blob);
    zcodec_free(z);
}

/* From disk to what is written. Whole is as google/pprof's Merge has it: all labels are identity,
 * and locations are kept whole. */
static void run_once(const char *dir, bool whole)
{
    struct series_files files = find_series(dir);
    double wall = clock_s(CLOCK_MONOTONIC);
    struct buf file = {0};
    struct source from;
    struct rusage u;
    struct sink to;

    source_init(&from);
    sink_init(&to);
    if (whole)
        to.profile.locations = locations_new();
    for (size_t i = 0; i < files.n; i++) {
        read_file(files.path[i], &file);
        merge_one(&from, buf_bytes(&file), whole ? PPROF_LABELS_ALL : 0, &to.profile);
    }
    buf_deinit(&file); /* as `hearth merge` does */
    source_deinit(&from);
    (whole ? write_pprof : write_trees)(&to.profile);
    getrusage(RUSAGE_SELF, &u);
    printf("%.3f %.3f %ld %u\n", clock_s(CLOCK_PROCESS_CPUTIME_ID), clock_s(CLOCK_MONOTONIC) - wall,
           u.ru_maxrss, to.profile.n_rows);
}

int main(int argc, char **argv)
{
    xalloc_tune(0);
    if (argc == 3 && (strcmp(argv[2], "--whole") == 0 || strcmp(argv[2], "--window") == 0))
        run_once(argv[1], strcmp(argv[2], "--whole") == 0);
    else if (argc == 2 || (argc == 4 && strcmp(argv[2], "--rounds") == 0))
        run(argv[1], argc == 4 ? atoi(argv[3]) : 5);
    else
        return fprintf(stderr, "usage: bench_merge DIR [--rounds N | --whole | --window]\n"), 2;
    return 0;
}
