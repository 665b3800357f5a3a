/*
 * Any bytes in every format of text.h; the first byte says which. What is refused says why with a
 * 4xx. What is accepted is within the limits, and reading it again, with a scratch that has been
 * used, comes to the same.
 */
#include "base/err.h"
#include "base/hash.h"
#include "formats/text.h"

static const struct profile_limits limits = {
    .samples_max = 10000,
    .depth_max = 256,
    .locations_max = 10000,
    .functions_max = 10000,
    .strings_max = 10000,
    .labels_max = 8,
    .values_max = 100000,
    .lines_max = 20000,
    .nodes_max = 100000,
};

static const char *const formats[] = {"folded",     "lines",      "trie",        "tree", "perf",
                                      "speedscope", "cpuprofile", "heapprofile", NULL};

struct seen {
    uint64_t n_profiles, n_rows, totals;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int on_emit(void *ctx, struct profile *p, const struct profile_about *about,
                   struct failure *f)
{
    struct seen *seen = ctx;

    (void)f;
    CHECK(p->n_types > 0 && about->format);
    CHECK(p->n_rows <= limits.samples_max);
    seen->n_profiles++;
    seen->n_rows += p->n_rows;
    for (uint32_t t = 0; t < p->n_types; t++)
        seen->totals = hash_mix(seen->totals ^ (uint64_t)profile_total(p, t));
    return 0;
}

static int read_once(struct text_reader *r, const char *format, struct bytes raw, struct seen *seen)
{
    struct symbols *sym = symbols_new();
    struct stacks *st = stacks_new();
    struct decode_stats stats = {0};
    struct failure f = {0};
    struct profile p;
    struct reading rd = {.limits = &limits,
                         .hints = {.sample_type = BYTES_LIT("cpu")},
                         .into = &p,
                         .stats = &stats,
                         .emit = on_emit,
                         .ctx = seen,
                         .f = &f};
    int e;

    profile_init(&p, sym, st);
    *seen = (struct seen){0};
    e = text_read(r, format, raw, &rd);
    if (e)
        CHECK(f.status == 400 && f.code[0] && f.message[0]);
    else
        CHECK(seen->n_profiles > 0 || strcmp(format, "speedscope") == 0);
    CHECK(stacks_n_nodes(st) <= limits.nodes_max + 2);
    CHECK(symbols_n_strings(sym) <= limits.strings_max + 3 * limits.depth_max);
    profile_deinit(&p);
    stacks_free(st);
    symbols_free(sym);
    return e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct text_reader *r = text_reader_new();
    struct seen one, two;
    struct bytes raw;
    const char *format;

    if (len > 0) {
        raw = bytes_of(data + 1, len - 1);
        format = formats[data[0] % (sizeof formats / sizeof *formats)];
        format = format ? format : text_format_of(raw);
        if (format) {
            CHECK(read_once(r, format, raw, &one) == read_once(r, format, raw, &two));
            CHECK(memcmp(&one, &two, sizeof one) == 0);
        }
    }
    text_reader_free(r);
    return 0;
}
