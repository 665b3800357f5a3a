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

enum codec zcodec_pack(struct zcodec *z, struct bytes in, int level, struct buf *out)
{
    size_t bound = ZSTD_compressBound(in.len), n;

    buf_reserve(out, bound);
    n = ZSTD_compressCCtx(z->c, out->data + out->len, bound, in.data, in.len, level);
    if (ZSTD_isError(n) || n >= in.len) {
        buf_append_bytes(out, in);
        return CODEC_NONE;
    }
    out->len += n;
    return CODEC_ZSTD;
}

/* A block ends at each seam: a block has its own code for literals and sequences, but may still
 * refer to what stands before it. */
static size_t compress_parts(struct zcodec *z, struct bytes in, const size_t *seams, size_t n_seams,
                             int level, ZSTD_outBuffer *to)
{
    size_t begin = 0, r = 0;

    ZSTD_CCtx_reset(z->c, ZSTD_reset_session_and_parameters);
    ZSTD_CCtx_setParameter(z->c, ZSTD_c_compressionLevel, level);
    ZSTD_CCtx_setPledgedSrcSize(z->c, in.len);
    for (size_t i = 0; i <= n_seams; i++) {
        size_t end = i < n_seams ? seams[i] : in.len;
        ZSTD_inBuffer part = {in.data + begin, end - begin, 0};

        r = ZSTD_compressStream2(z->c, to, &part, i < n_seams ? ZSTD_e_flush : ZSTD_e_end);
        if (r != 0)
            return r; /* an error, or no room: it did not get smaller */
        begin = end;
    }
    return r;
}

enum codec zcodec_pack_parts(struct zcodec *z, struct bytes in, const size_t *seams, size_t n_seams,
                             int level, struct buf *out)
{
    ZSTD_outBuffer to = {.size = in.len};

    buf_reserve(out, in.len + 1);
    to.dst = out->data + out->len;
    if (compress_parts(z, in, seams, n_seams, level, &to) != 0) {
        buf_append_bytes(out, in);
        return CODEC_NONE;
    }
    out->len += to.pos;
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
