/*
 * What a collector's thread does with one upload, without the network: inflate, read into tables of
 * its own that stay while they are small, encode as a record; against inflating alone.
 *
 *   bench_transcode DIR [--rounds 5]
 *
 * CPU time, inputs in memory; the best of the rounds, whose kinds alternate.
 */
#include "bench.h"
#include "formats/inflate.h"
#include "formats/pprof.h"
#include "wire/record.h"

enum { INFLATED_MAX = 64 << 20, ZSTD_LEVEL = 1, WARM_ENTRIES = 30000, WARM_ENTRIES_MAX = 120000 };

struct codec {
    struct inflater *inflater;
    struct pprof_reader *reader;
    struct record_encoder *encoder;
    struct symbols *symbols;
    struct stacks *stacks;
    struct profile profile;
    struct buf plain;
    size_t plain_len;
    size_t bytes; /* of records */
};

static void codec_init(struct codec *k)
{
    *k = (struct codec){.inflater = inflater_new(),
                        .reader = pprof_reader_new(),
                        .encoder = record_encoder_new(ZSTD_LEVEL),
                        .symbols = symbols_new(),
                        .stacks = stacks_new()};
    profile_init(&k->profile, k->symbols, k->stacks);
}

static void codec_deinit(struct codec *k)
{
    profile_deinit(&k->profile);
    stacks_free(k->stacks);
    symbols_free(k->symbols);
    record_encoder_free(k->encoder);
    pprof_reader_free(k->reader);
    inflater_free(k->inflater);
    buf_deinit(&k->plain);
}

static void decode_one(struct codec *k, struct bytes gz)
{
    struct bytes plain;
    struct failure f;

    if (inflate(k->inflater, gz, INFLATED_MAX, &k->plain, &plain, &f) ||
        pprof_read(k->reader, plain, &profile_limits_default, PPROF_SPANS, &k->profile, NULL, &f)) {
        fprintf(stderr, "%s\n", f.message);
        exit(1);
    }
    k->plain_len = plain.len;
}

static int on_part(void *ctx, uint32_t part, uint32_t parts, struct bytes value)
{
    struct codec *k = ctx;

    (void)part;
    (void)parts;
    k->bytes += value.len;
    return 0;
}

static void encode_one(struct codec *k)
{
    static const struct bytes types[] = {BYTES_LIT("process_cpu:samples:count:cpu:nanoseconds"),
                                         BYTES_LIT("process_cpu:cpu:nanoseconds:cpu:nanoseconds"),
                                         BYTES_LIT("memory:alloc_objects:count:space:bytes"),
                                         BYTES_LIT("memory:alloc_space:bytes:space:bytes")};
    struct record_header h = {.tenant = BYTES_LIT("default"),
                              .service = BYTES_LIT("checkout"),
                              .format = BYTES_LIT("pprof"),
                              .end_ns = 1};
    struct failure f;

    CHECK(k->profile.n_types <= sizeof types / sizeof *types);
    CHECK(record_encode(k->encoder, &k->profile, types, &h, on_part, k, &f) == 0);
}

/* As collector/codec.c does. */
static void forget(struct codec *k)
{
    size_t warm = k->plain_len / 8;

    warm = warm < WARM_ENTRIES ? WARM_ENTRIES : warm < WARM_ENTRIES_MAX ? warm : WARM_ENTRIES_MAX;
    profile_reset(&k->profile);
    if (symbols_n_strings(k->symbols) + symbols_n_frames(k->symbols) + stacks_n_nodes(k->stacks) <=
        warm)
        return;
    stacks_reset(k->stacks);
    symbols_reset(k->symbols);
}

struct times {
    double floor, decode, whole;
};

static size_t run_round(const struct series_files *files, struct times *best)
{
    struct codec k;
    double start;
    size_t raw;

    codec_init(&k);
    keep_less(&best->floor, inflate_floor(files->at, files->n, &raw));
    start = cpu_s();
    for (size_t i = 0; i < files->n; i++) {
        decode_one(&k, files->at[i]);
        forget(&k);
    }
    keep_less(&best->decode, cpu_s() - start);
    start = cpu_s();
    for (size_t i = 0; i < files->n; i++) {
        decode_one(&k, files->at[i]);
        encode_one(&k);
        forget(&k);
    }
    keep_less(&best->whole, cpu_s() - start);
    codec_deinit(&k);
    return k.bytes;
}

static void print_figures(const char *dir, const struct series_files *files,
                          const struct times *best, size_t bytes)
{
    double n = (double)files->n;

    printf("transcode %s: %zu profiles of %.1f KB of gzip, records of %.1f KB\n", dir, files->n,
           (double)files->bytes / n / 1e3, (double)bytes / n / 1e3);
    printf("  us a profile: inflate %.1f, with reading %.1f, with encoding %.1f: %.0f a second\n",
           best->floor / n * 1e6, best->decode / n * 1e6, best->whole / n * 1e6, n / best->whole);
    print_ratio("decode and transcode / inflate alone", best->whole / best->floor, "target 3.5");
}

int main(int argc, char **argv)
{
    struct series_files files;
    struct times best = {0};
    size_t bytes = 0;
    int rounds = 5;

    if (argc == 4 && strcmp(argv[2], "--rounds") == 0)
        rounds = atoi(argv[3]);
    else if (argc != 2)
        return fprintf(stderr, "usage: bench_transcode DIR [--rounds N]\n"), 2;
    xalloc_tune(0);
    files = find_series(argv[1]);
    load_series(&files);
    for (int i = 0; i < rounds; i++)
        bytes = run_round(&files, &best);
    print_figures(argv[1], &files, &best, bytes);
    return 0;
}
