/*
 * Symbols: strings → functions → frames, each interned once under a dense 32-bit id.
 *
 * Id 0 is "none": the empty string, no function, no mapping, the root frame. Ids only grow, and an
 * entry never changes, so a chunk [first, n) of any table can be written once and never again
 * (wire/symchunk.h). A table is shared by all series of a service; one thread owns it.
 *
 * A frame is what a flame graph shows as one box: (function, line), or, when unsymbolised,
 * (mapping, address). Its content hash (XXH3-64 over its numbers and the XXH3-64 of its texts, 0
 * for the empty one; the same in every process and for ever) orders siblings in stored trees;
 * equal hashes are told apart by comparing content.
 *
 * Known to be nothing is not none: a function without a name, or a frame at address 0 of no
 * mapping, has an id of its own, so that it is not taken for the root.
 */
#ifndef HEARTH_PROFILE_SYMBOLS_H
#define HEARTH_PROFILE_SYMBOLS_H

#include "base/bytes.h"
#include "profile/ranks.h"

struct function {
    uint32_t name, system_name, file; /* string ids; system_name 0 when it equals name */
    int64_t start_line;
};

struct mapping {
    uint32_t file, build_id; /* string ids */
};

struct frame {
    uint32_t function;        /* 0: unsymbolised */
    uint32_t mapping;         /* 0 for a symbolised frame */
    uint64_t line_or_address; /* line, or address relative to the mapping */
};

struct symbols;

struct symbols *symbols_new(void);
void symbols_free(struct symbols *s);  /* NULL is fine */
void symbols_reset(struct symbols *s); /* forgets all, keeps the memory for the next round */

/* Each returns the id, new or known. The bytes are copied. */
uint32_t symbols_string(struct symbols *s, struct bytes text);
/* The same in two steps, for who has to look at a text that is new before it is taken: its id, or
 * 0: it is not there (ret_place is then for the second step), or is empty. */
uint32_t symbols_find_string(const struct symbols *s, struct bytes text, uint64_t *ret_place);
uint32_t symbols_new_string(struct symbols *s, struct bytes text, uint64_t place);
uint32_t symbols_function(struct symbols *s, const struct function *f);
uint32_t symbols_mapping(struct symbols *s, const struct mapping *m);
uint32_t symbols_frame(struct symbols *s, const struct frame *f);
/* The same for many: their places in the table are fetched ahead. */
void symbols_frames(struct symbols *s, const struct frame *f, size_t n, uint32_t *ret);

/* Reading. Ids must be below the counts (asserted). The views live as long as the table is not
 * reset. */
uint32_t symbols_n_strings(const struct symbols *s);
uint32_t symbols_n_functions(const struct symbols *s);
uint32_t symbols_n_mappings(const struct symbols *s);
uint32_t symbols_n_frames(const struct symbols *s);
struct bytes symbols_text(const struct symbols *s, uint32_t string);
const struct function *symbols_get_function(const struct symbols *s, uint32_t id);
const struct mapping *symbols_get_mapping(const struct symbols *s, uint32_t id);
const struct frame *symbols_get_frame(const struct symbols *s, uint32_t id);
/* All entries of a kind, by id; valid until the next one is added. */
const struct function *symbols_all_functions(const struct symbols *s);
const struct frame *symbols_all_frames(const struct symbols *s);
const struct bytes *symbols_all_texts(const struct symbols *s);
const uint64_t *symbols_frame_hashes(const struct symbols *s); /* by frame id; [0] is 0 */

/* The one order of frames everywhere: by content hash, then by content. <0, 0 (same), >0. */
int symbols_frame_cmp(const struct symbols *s, uint32_t a, uint32_t b);

/* That order as numbers (ranks.h), as of the last call of symbols_rank.
 * Merging trees makes ranks of its own where the table's are not up to date, so whoever merges often
 * calls symbols_rank after frames were added. */
void symbols_rank(struct symbols *s);
const struct ranks *symbols_ranks(const struct symbols *s);

/* All strings by their bytes, the empty one first; valid until the next is added. Kept from call to
 * call, so that it costs what is new. */
const struct order *symbols_texts_in_order(struct symbols *s);

/* What a person reads: the function's name, or "module+0xaddr" (module: base name of the mapping's
 * file, else its build id, else "??"). Appends to out. */
void symbols_frame_name(const struct symbols *s, uint32_t frame, struct buf *out);
/* File of the frame's function, or of its mapping. */
struct bytes symbols_frame_file(const struct symbols *s, uint32_t frame);

size_t symbols_bytes(const struct symbols *s); /* memory in use */

#endif
