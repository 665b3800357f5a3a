/* One-shot calls only: the whole is in memory on both sides, so zstd needs no window of its own,
 * and the length that was announced is the cap: what inflates to more is refused, not grown. */
#define ZSTD_STATIC_LINKING_ONLY /* for one setting: see tune */
#include "wire/zcodec.h"

#include "base/err.h"
#include "base/xalloc.h"

#include <errno.h>
#include <stdlib.h>
#include <zstd.h>

struct zcodec {
    ZSTD_CCtx *c;
    ZSTD_DCtx *d;
    struct buf raw;
};

enum { RAW_KEPT_MAX = 4 << 20 }; /* a larger scratch is given back after use */

struct zcodec *zcodec_new(void)
{
    struct zcodec *z = xcalloc(1, sizeof *z);

    z->c = ZSTD_createCCtx();
    z->d = ZSTD_createDCtx();
    CHECK(z->c && z->d);
    return z;
}

void zcodec_free(struct zcodec *z)
{
    if (!z)
        return;
    ZSTD_freeCCtx(z->c);
    ZSTD_freeDCtx(z->d);
    buf_deinit(&z->raw);
    free(z);
}

/*
 * At level 1. min_match: short matches make the frame smaller, but each costs more to decode than
 * literals do. hash_log: the table is cleared for every frame, and stays in the first cache
 * together with what is packed. skip: how many bytes are skipped where no match is found; what is
 * skipped is left to Huffman's code, which costs a tenth of looking for matches.
 */
struct tuning {
    int min_match, hash_log, skip;
};

static const struct tuning tunings[] = {
    [ZKIND_MIXED] = {5, 12, 0},
    [ZKIND_TREE] = {7, 12, 0},
    [ZKIND_NUMBERS] = {5, 10, 16},
    [ZKIND_TEXTS] = {6, 10, 8},
};

static void set(ZSTD_CCtx *c, ZSTD_cParameter parameter, int value)
{
    CHECK(!ZSTD_isError(ZSTD_CCtx_setParameter(c, parameter, value)));
}

/* Of higher levels only min_match is not zstd's own. With skip, zstd would leave literals as they
 * are, without Huffman's code: the setting that says otherwise is of its API for static linking,
 * since 1.5.1 under these names. */
static void tune(ZSTD_CCtx *c, int level, enum zkind kind)
{
    const struct tuning *t = &tunings[kind];

    ZSTD_CCtx_reset(c, ZSTD_reset_session_and_parameters);
    set(c, ZSTD_c_compressionLevel, level);
    set(c, ZSTD_c_minMatch, t->min_match);
    if (level > 1)
        return;
    set(c, ZSTD_c_hashLog, t->hash_log);
    set(c, ZSTD_c_targetLength, t->skip);
    set(c, ZSTD_c_literalCompressionMode, t->skip ? ZSTD_ps_enable : ZSTD_ps_auto);
}

static size_t bound(const struct zpart *parts, size_t n)
{
    size_t sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += ZSTD_compressBound(parts[i].in.len);
    return sum;
}

/* Appends the frames; false: zstd failed. */
static bool append_frames(struct zcodec *z, const struct zpart *parts, size_t n, int level,
                          struct buf *out)
{
    buf_reserve(out, bound(parts, n));
    for (size_t i = 0; i < n; i++) {
        struct bytes in = parts[i].in;
        size_t got;

        if (in.len == 0)
            continue;
        tune(z->c, level, parts[i].kind);
        got = ZSTD_compress2(z->c, out->data + out->len, out->cap - out->len, in.data, in.len);
        if (ZSTD_isError(got))
            return false;
        out->len += got;
    }
    return true;
}

enum codec zcodec_pack(struct zcodec *z, const struct zpart *parts, size_t n, int level,
                       struct buf *out)
{
    size_t begin = out->len, raw = 0;

    CHECK(level >= 1);
    for (size_t i = 0; i < n; i++)
        raw += parts[i].in.len;
    if (append_frames(z, parts, n, level, out) && out->len - begin < raw)
        return CODEC_ZSTD;
    out->len = begin;
    for (size_t i = 0; i < n; i++)
        buf_append_bytes(out, parts[i].in);
    return CODEC_NONE;
}

enum codec zcodec_pack_one(struct zcodec *z, struct bytes in, enum zkind kind, int level,
                           struct buf *out)
{
    return zcodec_pack(z, &(struct zpart){in, kind}, 1, level, out);
}

static int unpack_zstd(struct zcodec *z, struct bytes in, size_t raw_len, struct bytes *ret)
{
    size_t n;

    if (z->raw.cap > RAW_KEPT_MAX && raw_len <= RAW_KEPT_MAX)
        buf_deinit(&z->raw);
    buf_reset(&z->raw);
    if (buf_try_reserve(&z->raw, raw_len + 1) != 0)
        return -ENOMEM;
    n = ZSTD_decompressDCtx(z->d, z->raw.data, raw_len, in.data, in.len);
    if (ZSTD_isError(n) || n != raw_len)
        return -EBADMSG;
    *ret = bytes_of(z->raw.data, raw_len);
    return 0;
}

int zcodec_unpack(struct zcodec *z, unsigned codec, struct bytes in, size_t raw_len,
                  struct bytes *ret)
{
    if (codec == CODEC_ZSTD)
        return unpack_zstd(z, in, raw_len, ret);
    if (codec != CODEC_NONE || in.len != raw_len)
        return -EBADMSG;
    *ret = in;
    return 0;
}
