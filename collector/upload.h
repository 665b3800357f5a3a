/*
 * Upload: one profile's way through the collector, from a whole HTTP request to its answer.
 */
#ifndef HEARTH_COLLECTOR_UPLOAD_H
#define HEARTH_COLLECTOR_UPLOAD_H

#include "collector/collector_int.h"
#include "collector/collector_metrics.h"

/* Takes the request and answers it, now or later. */
void upload_begin(struct collector *c, struct http_request *req, enum upload_route route);
/* The codec's done callback; ctx is the collector. */
void upload_on_decoded(struct codec_job *job, void *ctx);

#endif
