/* One-shot calls only: the whole is in memory on both sides, so zstd needs no window of its own,
 * and the length that was announced is the cap: what inflates to more is refused, not grown. */
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

/* A hash table that stays in the first cache together with what is packed. */
enum { FAST_LEVEL_MAX = 1, FAST_HASH_LOG = 12 };

enum codec zcodec_pack(struct zcodec *z, struct bytes in, int level, int min_match,
                       struct buf *out)
{
    size_t bound = ZSTD_compressBound(in.len), n;

    buf_reserve(out, bound);
    ZSTD_CCtx_setParameter(z->c, ZSTD_c_compressionLevel, level);
    ZSTD_CCtx_setParameter(z->c, ZSTD_c_minMatch, min_match);
    ZSTD_CCtx_setParameter(z->c, ZSTD_c_hashLog, level <= FAST_LEVEL_MAX ? FAST_HASH_LOG : 0);
    n = ZSTD_compress2(z->c, out->data + out->len, bound, in.data, in.len);
    if (ZSTD_isError(n) || n >= in.len) {
        buf_append_bytes(out, in);
        return CODEC_NONE;
    }
    out->len += n;
    return CODEC_ZSTD;
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
