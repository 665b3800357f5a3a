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

/* What zstd is told about a run of bytes. It makes one Huffman table for a block (128 KiB), so what is
 * written in different letters is packed apart; and at level 1, which is in a hurry, it looks for
 * repetition as hard as there is some to find. */
enum zkind {
    ZKIND_MIXED,
    ZKIND_TREE,         /* few and long matches, since decoding counts most */
    ZKIND_NUMBERS,      /* small ones, by columns: most of what can be saved is that some are frequent */
    ZKIND_TEXTS,
};

struct zpart {
    struct bytes in;
    enum zkind kind;
};

/* Appends the parts to out, a frame each (of an empty one none), which unpack as one run of bytes; or as
 * they are, if all frames together are not smaller. level ≥ 1. Returns the codec used. */
enum codec zcodec_pack(struct zcodec *z, const struct zpart *parts, size_t n, int level,
                       struct buf *out);
enum codec zcodec_pack_one(struct zcodec *z, struct bytes in, enum zkind kind, int level,
                           struct buf *out);
/* The raw_len bytes that were packed: a view of in, or of memory that is valid until the next call.
 * The caller has capped raw_len. 0, -EBADMSG, or -ENOMEM. */
int zcodec_unpack(struct zcodec *z, unsigned codec, struct bytes in, size_t raw_len,
                  struct bytes *ret);

#endif
