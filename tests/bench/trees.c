/*
 * Stored trees: rolling 60 minutes up into an hour, the difference of two big ones, bytes a node.
 *
 *   bench_trees DIR [--nodes 200000]
 *
 * Minutes are six consecutive profiles each, encoded as the store has them. The difference is of
 * two trees of that many nodes, each a random nine tenths of the series' stacks and of copies of
 * them under other roots. "Other generation": the second tree's symbols are of a table of their
 * own, and mapping them is in the figure.
 *
 * Times are medians, and so is what the targets in seconds are here: they are those of the targets'
 * machine by what inflating takes, which is measured in every round.
 */
#include "bench.h"
#include "formats/inflate.h"
#include "formats/pprof.h"
#include "profile/by_function.h"
#include "profile/translation.h"
#include "wire/aggregate.h"

#include <pthread.h>

enum { MINUTES = 60, PER_MINUTE = 6, ROUNDS = 31, SHOWN = 16384, INFLATED_MAX = 64 << 20 };
enum { LEVEL_MINUTE = 1, LEVEL_HOUR = 9, DEPTH_MAX = 4096 };

/* Than the machine of the targets. */
static double slowness_now(const struct series_files *files)
{
    enum { FILES = 32 };
    size_t raw = 0, n = files->n < FILES ? files->n : FILES;
    double s = inflate_floor(files->at, n, &raw);

    return slowness(s, raw);
}

/* A generation of symbols, and what was stored under it. */
struct generation {
    struct symbols *symbols;
    struct buf blob[MINUTES];
};

static struct inflater *inflater;
static struct pprof_reader *reader;
static struct zcodec *codec, *other_codec;

static void read_into(struct profile *p, struct bytes gz)
{
    static struct buf plain;
    struct bytes raw;
    struct failure f;

    if (inflate(inflater, gz, INFLATED_MAX, &plain, &raw, &f) ||
        pprof_read(reader, raw, &profile_limits_default, 0, p, NULL, &f)) {
        fprintf(stderr, "%s\n", f.message);
        exit(1);
    }
}

static void store_minute(struct generation *g, const struct series_files *files, size_t minute)
{
    struct stacks *stacks = stacks_new();
    struct aggregate a = {0};
    struct profile p;

    profile_init(&p, g->symbols, stacks);
    for (size_t i = 0; i < PER_MINUTE; i++)
        read_into(&p, files->at[(minute * PER_MINUTE + i) % files->n]);
    tree_of_profile(&a.tree, &p, 0);
    aggregate_encode(codec, &a, LEVEL_MINUTE, &g->blob[minute]);
    aggregate_deinit(&a);
    profile_deinit(&p);
    stacks_free(stacks);
}

static void decode_with(struct zcodec *z, struct aggregate *a, struct bytes blob,
                        const struct symbols *symbols)
{
    CHECK(aggregate_decode(z, a, blob, symbols_n_frames(symbols)) == 0);
}

static void decode_tree(struct aggregate *a, struct bytes blob, const struct symbols *symbols)
{
    decode_with(codec, a, blob, symbols);
}

/* Decodes every second minute, or all of them, of a generation; returns how many. */
static size_t decode_minutes(struct generation *g, size_t first, size_t step,
                             const struct tree_run **ret, uint64_t *nodes)
{
    static struct tree_run run[MINUTES];
    static struct aggregate figures;
    size_t n = 0;

    symbols_rank(g->symbols); /* as the query does: once, and then for what is new */
    for (size_t i = first; i < MINUTES; i += step) {
        CHECK(aggregate_decode_run(codec, &figures, &run[i], buf_bytes(&g->blob[i]),
                                   symbols_n_frames(g->symbols), symbols_ranks(g->symbols)) == 0);
        *nodes += run[i].n;
        ret[n++] = &run[i];
    }
    return n;
}

/* Minutes of g[0] and g[1] by turns (they may be one) into an hour of g[0]; CPU seconds. Those of
 * another generation are merged in it, and then translated. */
static double roll_up(struct generation *const g[2], struct tree *hour, uint64_t *ret_nodes,
                      double *ret_decode)
{
    const struct tree_run *in[MINUTES];
    struct tree other = {0}, none = {0};
    double start = cpu_s();
    uint32_t *map;
    size_t n;

    *ret_nodes = 0;
    if (g[1] != g[0]) {
        map = xcalloc(symbols_n_frames(g[1]->symbols), sizeof *map);
        symbols_merge(g[0]->symbols, g[1]->symbols, 0, map);
        n = decode_minutes(g[1], 1, 2, in, ret_nodes);
        tree_zip_runs(&other, &none, in, n, g[1]->symbols);
        tree_remap(&other, map);
        free(map);
    }
    n = decode_minutes(g[0], 0, g[1] != g[0] ? 2 : 1, in, ret_nodes);
    *ret_decode = cpu_s() - start;
    tree_zip_runs(hour, &other, in, n, g[0]->symbols);
    tree_deinit(&other);
    return cpu_s() - start;
}

static void bench_roll_up(const struct series_files *files)
{
    struct generation g[2] = {{symbols_new()}, {symbols_new()}};
    double same[ROUNDS], other[ROUNDS], decode[ROUNDS], slow[ROUNDS], slower;
    struct aggregate hour = {0};
    struct buf blob = {0};
    uint64_t nodes, bytes = 0;

    for (size_t i = 0; i < MINUTES; i++) {
        store_minute(&g[0], files, i);
        store_minute(&g[1], files, i);
        bytes += g[0].blob[i].len;
    }
    for (int i = 0; i < ROUNDS; i++) {
        slow[i] = slowness_now(files);
        other[i] = roll_up((struct generation *[]){&g[0], &g[1]}, &hour.tree, &nodes, &decode[i]);
        same[i] = roll_up((struct generation *[]){&g[0], &g[0]}, &hour.tree, &nodes, &decode[i]);
    }
    slower = median(slow, ROUNDS);
    aggregate_encode(codec, &hour, LEVEL_HOUR, &blob);
    printf("  this machine is %.2f x slower at inflating than that of the targets\n", slower);
    printf("  roll-up of %d minutes, %llu nodes, into %u\n", MINUTES, (unsigned long long)nodes,
           hour.tree.n);
    printf("  %-44s %8.1f ns/node  target 12, here %.1f\n", "one generation",
           median(same, ROUNDS) / (double)nodes * 1e9, 12 * slower);
    printf("  %-44s %8.1f ns/node\n", "  of it decoding",
           median(decode, ROUNDS) / (double)nodes * 1e9);
    printf("  %-44s %8.1f ns/node  target 18, here %.1f\n", "two generations",
           median(other, ROUNDS) / (double)nodes * 1e9, 18 * slower);
    printf("  %-44s %8.2f B/node   target 1.8\n", "a minute's tree, stored",
           (double)bytes / (double)nodes);
    printf("  %-44s %8.2f B/node   target 1.45\n", "the hour's tree, stored",
           (double)blob.len / (double)hour.tree.n);
}

/* --- difference ---------------------------------------------------------------------------------
 */

/* Adds copies of all stacks under a new root, until there are so many nodes. */
static void widen(struct profile *p, uint32_t nodes)
{
    uint32_t frames[DEPTH_MAX + 1], n_stacks = stacks_count(p->stacks);

    for (uint64_t copy = 1; stacks_n_nodes(p->stacks) < nodes; copy++)
        for (uint32_t i = 0; i < n_stacks; i++) {
            size_t n = stacks_frames(p->stacks, i, frames, DEPTH_MAX);
            struct frame root = {.line_or_address = copy};
            int64_t values[PROFILE_TYPES_MAX] = {(int64_t)(i % 100 + 1)};

            frames[n] = symbols_frame(p->symbols, &root);
            profile_add(p, stacks_intern(p->stacks, frames, n + 1), 0, values);
        }
}

/* A random nine tenths of the stacks with other weights. */
static void store_part(const struct profile *p, unsigned seed, struct buf *out, uint32_t *ret_n)
{
    int64_t *values = xcalloc(p->n_rows, sizeof *values);
    struct aggregate a = {0};

    for (uint32_t i = 0; i < p->n_rows; i++)
        values[i] = rand_r(&seed) % 10 ? p->values[0][i] * (1 + rand_r(&seed) % 4) : 0;
    tree_of_stacks(&a.tree, p->stacks, p->symbols, p->row_stack, values, p->n_rows);
    *ret_n = a.tree.n;
    aggregate_encode(codec, &a, LEVEL_HOUR, out);
    aggregate_deinit(&a);
    free(values);
}

struct side {
    struct symbols *symbols;
    struct buf blob;
    struct aggregate tree;
};

/* Into the symbols of the other side, if they are of their own. */
static void translate(struct side *s, struct symbols *symbols)
{
    uint32_t *map;

    if (s->symbols == symbols)
        return;
    map = xcalloc(symbols_n_frames(s->symbols), sizeof *map);
    symbols_merge(symbols, s->symbols, 0, map);
    tree_remap(&s->tree.tree, map);
    free(map);
}

/* Of one table by now. */
static void zip_sides(struct tree *out, const struct side *a, const struct side *b)
{
    tree_zip(out, 2, (const struct tree *[]){&a->tree.tree, &b->tree.tree}, (const uint8_t[]){0, 1},
             2, a->symbols);
}

/* ret_part: when it was decoded, and when it was merged. */
static double difference(struct side *a, struct side *b, double ret_part[2])
{
    static struct tree both, shown;
    double start = cpu_s();

    decode_tree(&a->tree, buf_bytes(&a->blob), a->symbols);
    decode_tree(&b->tree, buf_bytes(&b->blob), b->symbols);
    translate(b, a->symbols);
    ret_part[0] = cpu_s() - start;
    zip_sides(&both, a, b);
    ret_part[1] = cpu_s() - start;
    tree_prune(&shown, &both, SHOWN);
    return cpu_s() - start;
}

static void *decode_side(void *arg)
{
    struct side *s = arg;

    decode_with(other_codec, &s->tree, buf_bytes(&s->blob), s->symbols);
    return NULL;
}

/* As query does it, in wall time: each side is decoded on a core of its own, if there are two. */
static double difference_on_two(struct side *a, struct side *b)
{
    static struct tree both, shown;
    double start = clock_s(CLOCK_MONOTONIC);
    pthread_t thread;

    CHECK(pthread_create(&thread, NULL, decode_side, b) == 0);
    decode_tree(&a->tree, buf_bytes(&a->blob), a->symbols);
    pthread_join(thread, NULL);
    translate(b, a->symbols);
    zip_sides(&both, a, b);
    tree_prune(&shown, &both, SHOWN);
    return clock_s(CLOCK_MONOTONIC) - start;
}

/* Of the same two trees side by side: lines to functions. */
static double by_function(const struct side *a, const struct side *b, uint32_t *ret_n)
{
    static struct tree both, functions;
    struct by_function f = {0};
    double start;

    by_function_update(&f, a->symbols);
    zip_sides(&both, a, b);
    start = cpu_s();
    tree_group(&functions, &both, f.first, f.rank);
    start = cpu_s() - start;
    *ret_n = functions.n;
    by_function_deinit(&f);
    return start;
}

static struct symbols *store_side(const struct series_files *files, uint32_t nodes, unsigned seed,
                                  struct buf *out, uint32_t *ret_n)
{
    struct symbols *symbols = symbols_new();
    struct stacks *stacks = stacks_new();
    struct profile p;

    profile_init(&p, symbols, stacks);
    for (size_t i = 0; i < files->n; i++)
        read_into(&p, files->at[seed & 1 ? files->n - 1 - i : i]);
    widen(&p, nodes / 9 * 10);
    store_part(&p, seed, out, ret_n);
    profile_deinit(&p);
    stacks_free(stacks);
    return symbols;
}

static void bench_difference(const struct series_files *files, uint32_t nodes)
{
    double same[ROUNDS], other[ROUNDS], same_on_two[ROUNDS], other_on_two[ROUNDS];
    double functions[ROUNDS], slow[ROUNDS], slower, part[2];
    struct side a = {0}, b = {0}, c = {0};
    uint32_t n[3], n_functions;

    a.symbols = store_side(files, nodes, 2, &a.blob, &n[0]);
    b.symbols = store_side(files, nodes, 4, &b.blob, &n[1]); /* read alike: the same ids */
    c.symbols = store_side(files, nodes, 5, &c.blob, &n[2]);
    symbols_free(b.symbols);
    b.symbols = a.symbols;
    for (int i = 0; i < ROUNDS; i++) {
        slow[i] = slowness_now(files);
        other[i] = difference(&a, &c, part);
        same[i] = difference(&a, &b, part);
        other_on_two[i] = difference_on_two(&a, &c);
        same_on_two[i] = difference_on_two(&a, &b);
        functions[i] = by_function(&a, &b, &n_functions);
    }
    slower = median(slow, ROUNDS);
    printf("  difference of two stored trees, %u and %u nodes, down to %d\n", n[0], n[1], SHOWN);
    printf("  %-44s %8.2f ms       target 6, here %.1f\n",
           "one generation, as query does it (wall)", median(same_on_two, ROUNDS) * 1e3,
           6 * slower);
    printf("  %-44s %8.2f ms       target 6, here %.1f\n", "two generations",
           median(other_on_two, ROUNDS) * 1e3, 6 * slower);
    printf("  %-44s %8.2f ms       of it decoding %.2f, merging %.2f\n",
           "one generation, on one core", median(same, ROUNDS) * 1e3, part[0] * 1e3,
           (part[1] - part[0]) * 1e3);
    printf("  %-44s %8.2f ms\n", "two generations", median(other, ROUNDS) * 1e3);
    printf("  %-44s %8.2f ms       into %u nodes\n", "lines to functions, besides",
           median(functions, ROUNDS) * 1e3, n_functions);
}

int main(int argc, char **argv)
{
    struct series_files files;

    if (argc != 2 && !(argc == 4 && strcmp(argv[2], "--nodes") == 0))
        return fprintf(stderr, "usage: bench_trees DIR [--nodes N]\n"), 2;
    xalloc_tune(0);
    inflater = inflater_new();
    reader = pprof_reader_new();
    codec = zcodec_new();
    other_codec = zcodec_new();
    files = find_series(argv[1]);
    load_series(&files);
    printf("trees %s\n", argv[1]);
    bench_roll_up(&files);
    bench_difference(&files, argc == 4 ? (uint32_t)atoi(argv[3]) : 200000);
    return 0;
}
