/*
 * Any bytes as an OTLP upload. What is refused says why with a 4xx; what is emitted has types, rows
 * with stacks, and values that are not all 0; read again, the same comes out.
 */
#include "base/err.h"
#include "base/hash.h"
#include "formats/otlp.h"

#include <stdlib.h>

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

struct seen {
    uint64_t digest;
    uint32_t n_profiles, n_rows;
};

static void digest(struct seen *seen, const void *data, size_t len)
{
    seen->digest = hash_mix(seen->digest ^ hash64(bytes_of(data, len)));
}

static int on_profile(void *ctx, struct profile *p, const struct profile_about *about,
                      struct failure *f)
{
    struct seen *seen = ctx;

    (void)f;
    CHECK(p->n_rows > 0 && p->n_types > 0 && about->format);
    for (size_t i = 0; i < about->n_attributes; i++) {
        digest(seen, about->attributes[i].key.data, about->attributes[i].key.len);
        digest(seen, about->attributes[i].value.data, about->attributes[i].value.len);
    }
    for (uint32_t i = 0; i < p->n_rows; i++) {
        CHECK(p->row_stack[i] < stacks_count(p->stacks));
        CHECK(p->row_labels[i] < profile_n_label_sets(p));
        CHECK(!p->row_span || p->row_span[i] < profile_n_spans(p));
    }
    digest(seen, p->row_stack, p->n_rows * sizeof *p->row_stack);
    for (uint32_t t = 0; t < p->n_types; t++)
        digest(seen, p->values[t], p->n_rows * sizeof *p->values[t]);
    seen->n_profiles++;
    seen->n_rows += p->n_rows;
    return 0;
}

static int read_once(struct otlp_reader *r, struct bytes in, struct seen *seen)
{
    struct symbols *symbols = symbols_new();
    struct stacks *stacks = stacks_new();
    struct decode_stats stats = {0};
    struct failure f = {0};
    struct profile p;
    struct reading rd = {.limits = &limits,
                         .with_spans = true,
                         .into = &p,
                         .stats = &stats,
                         .emit = on_profile,
                         .ctx = seen,
                         .f = &f};
    int e;

    profile_init(&p, symbols, stacks);
    *seen = (struct seen){0};
    e = otlp_read(r, in, &rd);
    if (e)
        CHECK(f.status == 400 && f.code[0] && f.message[0]);
    else
        CHECK(seen->n_rows <= stats.samples && (!stats.profiles_refused || stats.refused_why[0]));
    profile_deinit(&p);
    stacks_free(stacks);
    symbols_free(symbols);
    return e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct otlp_reader *reader; /* one for all: what is kept must not leak over */
    struct seen one, two;

    if (!reader)
        reader = otlp_reader_new();
    is_otlp(bytes_of(data, len));
    CHECK(read_once(reader, bytes_of(data, len), &one) ==
          read_once(reader, bytes_of(data, len), &two));
    CHECK(one.digest == two.digest && one.n_profiles == two.n_profiles);
    return 0;
}
