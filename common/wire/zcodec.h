/*
 * Zcodec: zstd contexts, kept because making them costs more than a small blob. One thread.
 *
 * What is stored says under which codec it stands: none, where zstd does not make it smaller.
 */
#ifndef HEARTH_WIRE_ZCODEC_H
#define HEARTH_WIRE_ZCODEC_H

#include "base/bytes.h"

enum codec { CODEC_NONE = 0, CODEC_ZSTD = 1 };

struct zcodec;

struct zcodec *zcodec_new(void);
void zcodec_free(struct zcodec *z);     /* NULL is fine */

/* Appends in to out, compressed if that helps; returns the codec used. Short matches (from 3 on) make
 * less of it, but each costs more to decode than literals do. */
enum { MATCH_ANY = 5, MATCH_LONG = 7 };
enum codec zcodec_pack(struct zcodec *z, struct bytes in, int level, int min_match,
                       struct buf *out);
/* The raw_len bytes that were packed: a view of in, or of memory that is valid until the next call.
 * The caller has capped raw_len. 0, -EBADMSG, or -ENOMEM. */
int zcodec_unpack(struct zcodec *z, unsigned codec, struct bytes in, size_t raw_len,
                  struct bytes *ret);

#endif
