/*
 * Translation: what the frames of one table are in another. Each entry is interned once, when it is
 * asked for the first time, so the cost follows what is asked for, however large the table is that
 * it comes from. Content is the same, so a sorted tree stays sorted under it.
 *
 * `from` must not grow while it is translated. One thread, that of `to`.
 */
#ifndef HEARTH_PROFILE_TRANSLATION_H
#define HEARTH_PROFILE_TRANSLATION_H

#include "profile/symbols.h"

struct translation {
    struct symbols *to;
    const struct symbols *from;
    uint32_t *string, *function, *mapping, *frame; /* [id of from] id of to; 0: not asked yet */
};

void translation_init(struct translation *x, struct symbols *to, const struct symbols *from);
void translation_deinit(struct translation *x);
/* Frames of `from` → frames of `to`; 0 → 0. */
uint32_t translation_frame(struct translation *x, uint32_t frame);

/* All of `from` at once: ret_frames[i] is what frame i is in s. Starts at first_frame (what stands
 * below it is not touched): a grown table is remapped by its new part only. */
void symbols_merge(struct symbols *s, const struct symbols *from, uint32_t first_frame,
                   uint32_t *ret_frames);

#endif
