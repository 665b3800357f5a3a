/*
 * Symbol chunk: the entries of a symbols table from given counts on. A generation of a service's
 * symbols is stored as chunks, each named by the first frame id in it and never written again; read in
 * that order into an empty table they give the same ids again.
 *
 *   magic "HSym", version u8, codec u8, flags u16; varints: the four counts it begins at, the four it
 *   reaches, columns length; under the codec the strings (lengths, then bytes), functions (name,
 *   system name, file, start line), mappings (file, build id) and frames (function, mapping, line or
 *   address), column by column; CRC32C of all before it (u32 LE).
 *
 * A chunk without a new frame is not to be written: it would bear the next one's name.
 */
#ifndef HEARTH_WIRE_SYMCHUNK_H
#define HEARTH_WIRE_SYMCHUNK_H

#include "profile/symbols.h"
#include "wire/zcodec.h"

enum { SYMCHUNK_RAW_MAX = 1 << 30 };

struct symbols_mark {
    uint32_t strings, functions, mappings, frames;      /* counts already written */
};

struct symbols_mark symbols_mark(const struct symbols *s);
/* from {0}: everything. */
void symchunk_encode(struct zcodec *z, const struct symbols *s, struct symbols_mark from,
                     struct buf *out);
/* Appends to s, whose counts must be those the chunk begins at. 0, or -EBADMSG with s part filled. */
int symchunk_decode(struct zcodec *z, struct symbols *s, struct bytes in);

#endif
