/* Collector, inside: what collector.c, upload.c and the protocols share. */
#ifndef HEARTH_COLLECTOR_INT_H
#define HEARTH_COLLECTOR_INT_H

#include "collector/codec.h"
#include "collector/collector.h"
#include "collector/publisher.h"
#include "collector/pull.h"
#include "collector/quota.h"
#include "collector/retries.h"
#include "collector/series_cap.h"

struct collector {
    const struct collector_options *options; /* the program's */
    struct log_producer *log;
    struct codecs *codecs;
    struct publisher *publisher;
    struct series_cap *series_cap;
    struct quota *quota;
    struct retries *retries; /* Datadog's */
    struct pull *pull;       /* NULL: no targets, or closed */
    size_t n_uploads;
    size_t bytes_in_work, bytes_peak; /* of their bodies; the peak since there were none */
    void (*closed)(void *ctx); /* set: closing */
    void *closed_ctx;
};

/* An upload of so many bytes has come, and has been answered. */
void collector_upload_came(struct collector *c, size_t bytes);
void collector_upload_gone(struct collector *c, size_t bytes);

#endif
