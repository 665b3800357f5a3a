/*
 * push.v1.PushRequest, Pyroscope's: series of profiles under labels. Read from the wire without
 * building it: each profile is handed on with the labels of its series. Codec threads.
 */
#ifndef HEARTH_COLLECTOR_PROTOCOLS_PUSH_REQUEST_H
#define HEARTH_COLLECTOR_PROTOCOLS_PUSH_REQUEST_H

#include "base/err.h"
#include "profile/series.h"

enum { PUSH_LABELS_MAX = 128 }; /* of one series */

/* Views into the message. */
struct push_sample {
    const struct tag *labels;
    size_t n_labels;
    struct bytes profile, id;
};

/* 0 to go on. */
typedef int push_sample_cb(void *ctx, const struct push_sample *sample);

/* message: protobuf. 0, FAILURE with f filled (400), or what on_sample returned. */
int push_read(struct bytes message, push_sample_cb *on_sample, void *ctx, struct failure *f);

/* The JSON encoding as the same message in protobuf, appended to out. 0 or FAILURE (400). */
int push_from_json(struct bytes json, struct buf *out, struct failure *f);

#endif
