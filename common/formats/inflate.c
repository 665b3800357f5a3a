/*
 * How it works. libdeflate is one-shot and wants to know the size of what comes out. gzip's own
 * last four bytes say it for honest senders, so that is the room we make first, bounded by what
 * deflate can reach at all (1032:1) and by the cap; where it does not suffice the room doubles and
 * the member is inflated again. A bomb thus costs at most the cap in memory and twice the cap in
 * time.
 *
 * gzip members may follow each other and are one stream, as RFC 1952 has it and Go reads it; the
 * cap is on all of them together, and bytes behind the last that are no member are malformed. zstd
 * and lz4 stream through their own windows; a zstd window above 16 MiB is refused, for it is memory
 * that the sender chooses.
 */
#include "formats/inflate.h"

#include "base/xalloc.h"

#include <libdeflate.h>
#include <lz4frame.h>
#include <stdlib.h>
#include <zstd.h>

enum {
    ROOM_MIN = 64 * 1024,
    ZSTD_WINDOW_LOG_MAX = 24,
    DEFLATE_RATIO_MAX = 1032,
    GZIP_MIN = 18, /* header and trailer */
};

struct inflater {
    struct libdeflate_decompressor *gzip;
    ZSTD_DCtx *zstd; /* made when first needed: most senders use gzip */
    LZ4F_dctx *lz4;
};

struct inflater *inflater_new(void)
{
    return xcalloc(1, sizeof(struct inflater));
}

void inflater_free(struct inflater *inf)
{
    if (!inf)
        return;
    libdeflate_free_decompressor(inf->gzip);
    ZSTD_freeDCtx(inf->zstd);
    LZ4F_freeDecompressionContext(inf->lz4);
    free(inf);
}

enum compression compression_of(struct bytes in)
{
    enum { ZSTD_FRAME = 0xfd2fb528, ZSTD_SKIPPABLE = 0x184d2a50, LZ4_FRAME = 0x184d2204 };
    uint32_t magic;

    if (in.len >= 2 && in.data[0] == 0x1f && in.data[1] == 0x8b)
        return COMPRESSION_GZIP;
    if (in.len < 4)
        return COMPRESSION_NONE;
    magic = load32(in.data);
    if (magic == (uint32_t)ZSTD_FRAME || (magic & ~15u) == ZSTD_SKIPPABLE)
        return COMPRESSION_ZSTD;
    return magic == LZ4_FRAME ? COMPRESSION_LZ4 : COMPRESSION_NONE;
}

static int malformed(struct failure *f, const char *what)
{
    return fail(f, 400, "malformed", NULL, "truncated or damaged %s data", what);
}

static int too_large(struct failure *f, size_t max_bytes)
{
    return fail(f, 413, "inflated_too_large", "the limit is inflated_max",
                "the profile is larger than %zu bytes when inflated", max_bytes);
}

static size_t room(const struct buf *out, size_t max_bytes)
{
    return (out->cap < max_bytes ? out->cap : max_bytes) - out->len;
}

/* Makes room for at_least bytes behind out's, or, when that is 0, at least doubles the room; but
 * not above the cap. False: the cap is reached, or there is no memory. */
static bool grow_room(struct buf *out, size_t max_bytes, size_t at_least)
{
    size_t have = room(out, max_bytes), want = 2 * have;

    if (at_least && have >= at_least)
        return true; /* kept from the last profile: it must not grow with each */
    if (want < at_least)
        want = at_least;
    if (want < ROOM_MIN)
        want = ROOM_MIN;
    if (want > max_bytes - out->len)
        want = max_bytes - out->len;
    return want > have && buf_try_reserve(out, want) == 0;
}

/* --- gzip ---------------------------------------------------------------------------------------
 */

static int gunzip_member(struct inflater *inf, struct bytes *in, size_t max_bytes, struct buf *out,
                         struct failure *f)
{
    enum libdeflate_result r;
    size_t used, made;

    for (;;) {
        r = libdeflate_gzip_decompress_ex(inf->gzip, in->data, in->len, out->data + out->len,
                                          room(out, max_bytes), &used, &made);
        if (r != LIBDEFLATE_INSUFFICIENT_SPACE)
            break;
        if (!grow_room(out, max_bytes, 0))
            return too_large(f, max_bytes);
    }
    if (r != LIBDEFLATE_SUCCESS)
        return malformed(f, "gzip");
    out->len += made;
    *in = bytes_of(in->data + used, in->len - used);
    return 0;
}

static size_t gzip_size_hint(struct bytes in)
{
    size_t claimed = in.len >= GZIP_MIN ? load32(in.data + in.len - 4) : 0;
    size_t possible = in.len * DEFLATE_RATIO_MAX;

    return claimed < possible ? claimed : possible;
}

static int gunzip(struct inflater *inf, struct bytes in, size_t max_bytes, struct buf *out,
                  struct failure *f)
{
    if (!inf->gzip)
        inf->gzip = libdeflate_alloc_decompressor();
    if (!inf->gzip)
        xalloc_failed(sizeof inf->gzip);
    grow_room(out, max_bytes, gzip_size_hint(in) + 1);
    while (in.len > 0)
        if (gunzip_member(inf, &in, max_bytes, out, f))
            return FAILURE;
    return 0;
}

/* --- zstd and lz4 -------------------------------------------------------------------------------
 */

/* What a step of a streaming codec did. */
enum flow { FLOW_MORE, FLOW_FRAME_END, FLOW_BAD };

typedef enum flow step_fn(struct inflater *inf, struct bytes *in, struct buf *out, size_t room);

static enum flow zstd_step(struct inflater *inf, struct bytes *in, struct buf *out, size_t space)
{
    ZSTD_inBuffer zin = {in->data, in->len, 0};
    ZSTD_outBuffer zout = {out->data + out->len, space, 0};
    size_t r = ZSTD_decompressStream(inf->zstd, &zout, &zin);

    out->len += zout.pos;
    *in = bytes_of(in->data + zin.pos, in->len - zin.pos);
    if (ZSTD_isError(r))
        return FLOW_BAD;
    return r == 0 ? FLOW_FRAME_END : FLOW_MORE;
}

static enum flow lz4_step(struct inflater *inf, struct bytes *in, struct buf *out, size_t space)
{
    size_t made = space, used = in->len;
    size_t r = LZ4F_decompress(inf->lz4, out->data + out->len, &made, in->data, &used, NULL);

    if (LZ4F_isError(r))
        return FLOW_BAD;
    out->len += made;
    *in = bytes_of(in->data + used, in->len - used);
    return r == 0 ? FLOW_FRAME_END : FLOW_MORE;
}

/* One byte more than the cap is made room for, so that "exactly full" and "too much" differ. */
static int stream(struct inflater *inf, step_fn *step, struct bytes in, size_t max_bytes,
                  struct buf *out, struct failure *f, const char *name)
{
    size_t limit = max_bytes + 1, before_in, before_out;
    enum flow flow = FLOW_MORE;

    while (in.len > 0 || flow == FLOW_MORE) {
        if (room(out, limit) == 0)
            grow_room(out, limit, 0);
        before_in = in.len;
        before_out = out->len;
        flow = step(inf, &in, out, room(out, limit));
        if (out->len > max_bytes)
            return too_large(f, max_bytes);
        if (flow == FLOW_BAD || (in.len == before_in && out->len == before_out))
            return malformed(f, name); /* no progress: it waits for input that never comes */
    }
    return 0;
}

static int unzstd(struct inflater *inf, struct bytes in, size_t max_bytes, struct buf *out,
                  struct failure *f)
{
    unsigned long long size = ZSTD_getFrameContentSize(in.data, in.len);

    if (!inf->zstd)
        inf->zstd = ZSTD_createDCtx();
    if (!inf->zstd)
        xalloc_failed(sizeof inf->zstd);
    ZSTD_DCtx_reset(inf->zstd, ZSTD_reset_session_and_parameters);
    ZSTD_DCtx_setParameter(inf->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
    if (size < ZSTD_CONTENTSIZE_ERROR && size > max_bytes)
        return too_large(f, max_bytes);
    if (size < ZSTD_CONTENTSIZE_ERROR)
        grow_room(out, max_bytes + 1, (size_t)size + 1);
    return stream(inf, zstd_step, in, max_bytes, out, f, "zstd");
}

static int unlz4(struct inflater *inf, struct bytes in, size_t max_bytes, struct buf *out,
                 struct failure *f)
{
    if (inf->lz4)
        LZ4F_resetDecompressionContext(inf->lz4);
    else if (LZ4F_isError(LZ4F_createDecompressionContext(&inf->lz4, LZ4F_VERSION)))
        xalloc_failed(sizeof inf->lz4);
    return stream(inf, lz4_step, in, max_bytes, out, f, "lz4");
}

int inflate(struct inflater *inf, struct bytes in, size_t max_bytes, struct buf *out,
            struct bytes *ret, struct failure *f)
{
    int r = 0;

    buf_reset(out);
    switch (compression_of(in)) {
    case COMPRESSION_GZIP:
        r = gunzip(inf, in, max_bytes, out, f);
        break;
    case COMPRESSION_ZSTD:
        r = unzstd(inf, in, max_bytes, out, f);
        break;
    case COMPRESSION_LZ4:
        r = unlz4(inf, in, max_bytes, out, f);
        break;
    case COMPRESSION_NONE:
        if (in.len > max_bytes)
            return too_large(f, max_bytes);
        *ret = in;
        return 0;
    }
    if (r == 0)
        *ret = buf_bytes(out);
    return r;
}

void gzip(struct bytes in, int level, struct buf *out)
{
    struct libdeflate_compressor *c = libdeflate_alloc_compressor(level);
    size_t bound;

    CHECK(c != NULL);
    bound = libdeflate_gzip_compress_bound(c, in.len);
    buf_reserve(out, bound);
    out->len += libdeflate_gzip_compress(c, in.data, in.len, out->data + out->len, bound);
    libdeflate_free_compressor(c);
}

void gzip_in_place(struct buf *b, int level)
{
    struct buf out = {0};

    gzip(buf_bytes(b), level, &out);
    buf_deinit(b);
    *b = out;
}
