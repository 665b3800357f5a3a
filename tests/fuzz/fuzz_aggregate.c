/*
 * Bytes as what is stored: an aggregate (HAgg) or a symbol chunk (HSym). Decoding refuses or
 * succeeds; what was decoded, encoded and decoded again, is the same. The CRC is made to fit, so
 * that what it guards is reached.
 */
#include "base/crc32c.h"
#include "base/err.h"
#include "wire/aggregate.h"

#include <stdlib.h>

enum { FRAMES = 1000 };

static struct zcodec *z;

static void fix(uint8_t *blob, size_t len)
{
    uint32_t crc;

    if (len < 12)
        return;
    blob[4] = blob[1] == 'A' ? 3 : 1; /* HAgg, HSym */
    blob[6] = blob[7] = 0;
    crc = crc32c(0, bytes_of(blob, len - 4));
    memcpy(blob + len - 4, &crc, 4);
}

static void check_same(const struct aggregate *a, const struct aggregate *b)
{
    CHECK(a->generation == b->generation && a->profiles == b->profiles && a->total == b->total);
    CHECK(a->duration_ns == b->duration_ns && a->start_ns == b->start_ns);
    CHECK(a->end_ns == b->end_ns && a->first_offset == b->first_offset);
    CHECK(a->last_offset == b->last_offset && a->tree.n == b->tree.n);
    CHECK(memcmp(&a->instances, &b->instances, sizeof a->instances) == 0);
    for (uint32_t i = 0; i < a->tree.n; i++)
        CHECK(a->tree.depth[i] == b->tree.depth[i] && a->tree.frame[i] == b->tree.frame[i] &&
              a->tree.self[0][i] == b->tree.self[0][i]);
}

static void try_aggregate(struct bytes in)
{
    struct aggregate a = {0}, b = {0}, figures = {0};
    struct buf out = {0};

    if (aggregate_decode(z, &a, in, FRAMES) == 0) {
        CHECK(aggregate_peek(&figures, in) == 0 && figures.profiles == a.profiles);
        aggregate_encode(z, &a, 1, &out);
        CHECK(aggregate_decode(z, &b, buf_bytes(&out), FRAMES) == 0);
        check_same(&a, &b);
    }
    aggregate_deinit(&a);
    aggregate_deinit(&b);
    buf_deinit(&out);
}

static void check_symbols(const struct symbols *a, const struct symbols *b)
{
    CHECK(symbols_n_strings(a) == symbols_n_strings(b));
    CHECK(symbols_n_functions(a) == symbols_n_functions(b));
    CHECK(symbols_n_mappings(a) == symbols_n_mappings(b));
    CHECK(symbols_n_frames(a) == symbols_n_frames(b));
    for (uint32_t i = 0; i < symbols_n_frames(a); i++)
        CHECK(symbols_frame_hashes(a)[i] == symbols_frame_hashes(b)[i]);
}

static void try_symbols(struct bytes in)
{
    struct symbols *a = symbols_new(), *b = symbols_new();
    struct buf out = {0};

    if (symchunk_decode(z, a, in) == 0) {
        symchunk_encode(z, a, (struct symbols_mark){0}, &out);
        CHECK(symchunk_decode(z, b, buf_bytes(&out)) == 0);
        check_symbols(a, b);
    }
    symbols_free(a);
    symbols_free(b);
    buf_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint8_t *blob = malloc(len + 1);

    if (!z)
        z = zcodec_new();
    memcpy(blob, data, len);
    fix(blob, len);
    try_aggregate(bytes_of(blob, len));
    try_symbols(bytes_of(blob, len));
    free(blob);
    return 0;
}
