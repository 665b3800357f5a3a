/*
 * JFR frames: a chunk's stack traces as stacks of interned frames, each decoded when a sample first
 * uses it. The innermost frame comes first on the wire, as it does in stacks. One thread.
 */
#ifndef HEARTH_FORMATS_JFR_FRAMES_H
#define HEARTH_FORMATS_JFR_FRAMES_H

#include "formats/jfr/pools.h"
#include "formats/reader.h"

enum { JFR_FRAME_CACHE = 2048 };

struct jfr_frame_entry {
    uint64_t method;
    uint32_t line, frame; /* frame 0: free */
};

struct jfr_frames {
    /* of the upload */
    struct reading *rd;
    uint32_t nodes_before;
    struct buf text, class_text, method_text;

    /* of the chunk */
    struct jfr_pools *pools;
    uint32_t stack_pool, method_pool; /* JFR_NONE: the chunk has none */
    struct jfr_program stack, frame, method, class;
    bool has_stacks;
    uint32_t method_at, line_at; /* of a frame's numbers, if it has nothing but compressed ones */

    uint32_t *stack_id; /* [stack trace] STACK_NONE: not asked for yet */
    uint32_t *function; /* [method] the same */
    uint32_t *scratch;  /* of one stack */
    size_t stack_id_cap, function_cap, scratch_cap;
    struct jfr_frame_entry cache[JFR_FRAME_CACHE];
};

void jfr_frames_deinit(struct jfr_frames *f);
size_t jfr_frames_bytes(const struct jfr_frames *f);
/* Begins an upload. */
void jfr_frames_begin(struct jfr_frames *f, struct reading *rd);
/* Begins a chunk: finds the fields that make a stack, and wants their pools. */
void jfr_frames_bind(struct jfr_frames *f, struct jfr_pools *pools);
/* After the pools are built. */
void jfr_frames_ready(struct jfr_frames *f);
/* The stack of a field that refers to one; the root's own if it refers to none. 0, FAILURE: above a
 * limit. */
int jfr_frames_stack(struct jfr_frames *f, const struct jfr_value *v, uint32_t *ret);

/* A name from the wire as a symbol: valid UTF-8, cut at 64 KiB, each counted. */
uint32_t jfr_symbol(struct reading *rd, struct bytes text, struct buf *scratch);
/* FAILURE, above a limit of the profile. */
int jfr_above_limit(struct reading *rd, const char *what, uint64_t n, uint32_t max,
                    const char *setting);

#endif
