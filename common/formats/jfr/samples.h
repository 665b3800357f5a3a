/*
 * JFR samples: one event's fields to rows of the journal, by the event's rule, the chunk's settings
 * and clock, and the labels and spans of its context.
 */
#ifndef HEARTH_FORMATS_JFR_SAMPLES_H
#define HEARTH_FORMATS_JFR_SAMPLES_H

#include "formats/jfr/frames.h"
#include "formats/jfr/journal.h"
#include "formats/jfr/labels.h"
#include "formats/jfr/settings.h"

enum { JFR_TEXT_CACHE = 256, JFR_STATE_CACHE = 8 };

enum jfr_state { JFR_STATE_OTHER, JFR_STATE_RUNNABLE, JFR_STATE_SLEEPING };

struct jfr_samples {
    /* of the upload */
    struct reading *rd;
    const uint64_t *secret; /* hash_secret() */
    struct jfr_journal *journal;
    struct jfr_frames *frames;
    const struct jfr_labels *snapshot;
    double carry[JFR_N_SOURCES][JFR_VALUES]; /* fractions of values, for the next event */
    struct buf text, name;

    /* of the chunk */
    struct jfr_pools *pools;
    const struct jfr_settings *settings;
    uint64_t ticks_per_s;
    struct {
        uint64_t key;
        uint32_t class, symbol; /* symbol JFR_NONE: free */
    } texts[JFR_TEXT_CACHE];
    struct {
        uint64_t key;
        enum jfr_state state;
        bool taken;
    } states[JFR_STATE_CACHE];

    /* of the event */
    struct jfr_label *label;
    size_t n_labels, label_cap;
    struct span span;
};

void jfr_samples_deinit(struct jfr_samples *s);
void jfr_samples_begin(struct jfr_samples *s, struct reading *rd);
void jfr_samples_begin_chunk(struct jfr_samples *s, struct jfr_pools *pools,
                             const struct jfr_settings *settings, uint64_t ticks_per_s);
/* 0 or FAILURE. */
int jfr_samples_add(struct jfr_samples *s, const struct jfr_binding *b,
                    const struct jfr_value *slots);

#endif
