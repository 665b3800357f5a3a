/*
 * Inflate: gzip, zstd, lz4 frames and raw bytes, told apart by their magic, under one cap on the
 * output. Members and frames that follow each other are one stream under that cap; anything else
 * behind them is malformed. libdeflate, libzstd and liblz4 stand behind this file and nowhere else.
 */
#ifndef HEARTH_FORMATS_INFLATE_H
#define HEARTH_FORMATS_INFLATE_H

#include "base/bytes.h"
#include "base/err.h"

enum compression { COMPRESSION_NONE, COMPRESSION_GZIP, COMPRESSION_ZSTD, COMPRESSION_LZ4 };

struct inflater;    /* reusable decoder state; one thread */

struct inflater *inflater_new(void);
void inflater_free(struct inflater *inf);

enum compression compression_of(struct bytes in);
/*
 * Replaces out by the plain bytes; raw input is copied only if out is not already a view of it:
 * *ret is the view to use (of in when raw, of out otherwise). At most max_bytes come out.
 * 0 or FAILURE (malformed 400; inflated_too_large 413).
 */
int inflate(struct inflater *inf, struct bytes in, size_t max_bytes, struct buf *out,
            struct bytes *ret, struct failure *f);
/* gzip at a level (1 … 12), for what we send. GZIP_LEVEL: two per cent larger than gzip -6 makes a
 * profile, in half the time. */
enum { GZIP_LEVEL = 4 };
void gzip(struct bytes in, int level, struct buf *out);
void gzip_in_place(struct buf *b, int level);

#endif
