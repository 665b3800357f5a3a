/*
 * Any bytes as a compressed body. At most the cap comes out, a failure is a 400 or a 413, and a
 * larger cap changes nothing in what a smaller one let through. Then the bytes go through decode,
 * as an upload does.
 */
#include "base/err.h"
#include "formats/decode.h"
#include "formats/inflate.h"

enum { CAP = 1 << 16, SMALL_CAP = 1 << 10 };

static void check_caps(struct inflater *inf, struct bytes in)
{
    struct buf large = {0}, small = {0};
    struct bytes got, less;
    struct failure f = {0};
    int r = inflate(inf, in, CAP, &large, &got, &f);

    CHECK(r == 0 || f.status == 400 || f.status == 413);
    CHECK(r != 0 || got.len <= CAP);
    if (inflate(inf, in, SMALL_CAP, &small, &less, &f) == 0)
        CHECK(r == 0 && less.len <= SMALL_CAP && bytes_equal(got, less));
    else
        CHECK(r != 0 || got.len > SMALL_CAP);
    buf_deinit(&large);
    buf_deinit(&small);
}

static int on_profile(void *ctx, struct profile *p, const struct profile_about *about,
                      struct failure *f)
{
    (void)f;
    CHECK(about->format && p->n_types > 0);
    ++*(uint32_t *)ctx;
    return 0;
}

static void check_decode(struct decoder *d, struct bytes in)
{
    struct symbols *sym = symbols_new();
    struct stacks *st = stacks_new();
    struct decode_stats stats = {0};
    struct failure f = {0};
    struct profile p;
    uint32_t n_profiles = 0;
    struct reading rd = {
        .into = &p, .stats = &stats, .emit = on_profile, .ctx = &n_profiles, .f = &f};

    profile_init(&p, sym, st);
    if (decode(d, in, &rd) != 0)
        CHECK(f.status >= 400 && f.status < 500);
    profile_deinit(&p);
    stacks_free(st);
    symbols_free(sym);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct inflater *inflater;
    static struct decoder *decoder;

    if (!inflater) {
        const struct decode_limits limits = {CAP, profile_limits_default};

        inflater = inflater_new();
        decoder = decoder_new(&limits);
    }
    check_caps(inflater, bytes_of(data, len));
    check_decode(decoder, bytes_of(data, len));
    return 0;
}
