/*
 * Aggregate: the stored blob of one series and profile type in one window.
 *
 *   magic "HAgg", version u8, codec u8 (0 none, 1 zstd), flags u16; then varints: generation of the
 *   symbols, profiles, Σduration ns, earliest start and latest end (ns), total (zigzag), offset
 *   range of the log [first, last], nodes, columns length; 64 sketch registers; the columns of
 *   profile/tree.h under the codec; CRC32C of all before it (u32 LE).
 *
 * Its frame ids are those of the generation it names (symchunk.h). Sums only, never means: any two
 * aggregates of a type add exactly.
 */
#ifndef HEARTH_WIRE_AGGREGATE_H
#define HEARTH_WIRE_AGGREGATE_H

#include "base/err.h"
#include "profile/tree.h"
#include "wire/sketch.h"
#include "wire/symchunk.h"
#include "wire/zcodec.h"

enum { AGGREGATE_RAW_MAX = 1 << 30 };     /* of the inflated columns */

struct aggregate {
    uint64_t generation;
    uint64_t profiles;
    int64_t duration_ns;            /* Σ */
    int64_t start_ns, end_ns;       /* earliest, latest; 0, 0: none yet */
    int64_t total;                  /* Σ self of the tree; written by encode and read, not kept up */
    uint64_t first_offset, last_offset;
    struct sketch instances;
    struct tree tree;
};

void aggregate_deinit(struct aggregate *a);
/* Adds the figures (not the trees). */
void aggregate_add_figures(struct aggregate *a, const struct aggregate *b);

void aggregate_encode(struct zcodec *z, const struct aggregate *a, int level, struct buf *out);
/* n_frames: of the generation's symbols as read (after the blob). a is zeroed, or was decoded into
 * before: its tree's memory is used again. 0 or -EBADMSG, with the tree empty. */
int aggregate_decode(struct zcodec *z, struct aggregate *a, struct bytes in, uint32_t n_frames);
/* The same into a run (profile/tree.h), which is empty where it fails; a's tree is empty. */
int aggregate_decode_run(struct zcodec *z, struct aggregate *a, struct tree_run *run,
                         struct bytes in, uint32_t n_frames, const struct ranks *ranks);
/* The generation and figures alone, without the tree; cheap: the CRC is not looked at. */
int aggregate_peek(struct aggregate *a, struct bytes in);

#endif
