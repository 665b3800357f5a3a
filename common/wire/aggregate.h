/*
 * Aggregate: the stored blob of one series and profile type in one window.
 *
 *   magic "HAgg", version u8, codec u8 (0 none, 1 zstd), flags u16; then varints: generation of the
 *   symbols, profiles, Σduration ns, earliest start and latest end (ns), total (zigzag), offset
 *   range of the log [first, last], nodes, columns length; 64 sketch registers; the columns of
 *   profile/tree.h under the codec; CRC32C of all before it.
 *
 * Its frame ids are those of the generation it names. Sums only, never means: any two aggregates of
 * a type add exactly.
 */
#ifndef HEARTH_WIRE_AGGREGATE_H
#define HEARTH_WIRE_AGGREGATE_H

#include "base/err.h"
#include "profile/tree.h"

enum { SKETCH_BYTES = 64 };

/* HyperLogLog of 64 registers: instances seen. Union is the maximum of each register. */
struct sketch {
    uint8_t reg[SKETCH_BYTES];
};
void sketch_add(struct sketch *s, uint64_t hash);
void sketch_union(struct sketch *s, const struct sketch *other);
double sketch_estimate(const struct sketch *s);

struct aggregate {
    uint64_t generation;
    uint64_t profiles;
    int64_t duration_ns;            /* Σ */
    int64_t start_ns, end_ns;       /* earliest, latest; 0, 0: none yet */
    uint64_t first_offset, last_offset;
    struct sketch instances;
    struct tree tree;
};

void aggregate_deinit(struct aggregate *a);
/* Adds the figures (not the trees). */
void aggregate_add_figures(struct aggregate *a, const struct aggregate *b);

struct zcodec;                      /* zstd contexts, reusable; one thread */
struct zcodec *zcodec_new(void);
void zcodec_free(struct zcodec *z);

void aggregate_encode(struct zcodec *z, const struct aggregate *a, int level, struct buf *out);
/* n_frames: of the generation's symbols as read (after the blob). 0 or -EBADMSG. */
int aggregate_decode(struct zcodec *z, struct aggregate *a, struct bytes in, uint32_t n_frames);
/* The generation and figures alone, without the tree; cheap. */
int aggregate_peek(struct aggregate *a, struct bytes in);

/*
 * Symbol chunk: the entries of a symbols table from given counts on, under zstd, front-coded. A chunk
 * is named by the first frame id in it; chunks are read in that order into an empty table and give
 * the same ids again.
 */
struct symbols_mark {
    uint32_t strings, functions, mappings, frames;      /* counts already written */
};
struct symbols_mark symbols_mark(const struct symbols *s);
void symchunk_encode(struct zcodec *z, const struct symbols *s, struct symbols_mark from,
                     struct buf *out);
/* Appends to s, whose counts must be those the chunk begins at. 0 or -EBADMSG. */
int symchunk_decode(struct zcodec *z, struct symbols *s, struct bytes in);

#endif
