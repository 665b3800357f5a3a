/*
 * Codec: the threads that turn an upload's body into records. The loop submits a job and forgets
 * it; the job comes back on the loop when it is done, in the order of completion. Each thread has
 * its own decoder, encoder and tables, kept warm between uploads and given up after a large one.
 *
 * Nothing here bounds the queue: whoever submits has charged the body to a budget before.
 */
#ifndef HEARTH_COLLECTOR_CODEC_H
#define HEARTH_COLLECTOR_CODEC_H

#include "base/mailbox.h"
#include "collector/intake.h"
#include "formats/decode.h"
#include "wire/record.h"

struct codec_job {
    struct msg msg; /* private */

    /* In; valid until done. */
    struct bytes tenant, body;
    const struct intake *intake;

    /* Out. failure.code empty: it went well. */
    struct failure failure;
    struct buf *records; /* n_records, each with room for a stamp; the receiver frees them */
    size_t n_records, cap_records;
    struct buf types; /* the five-part names, each followed by a NUL */
    struct pprof_stats stats;
    int64_t start_ns, end_ns;
    double decode_s, encode_s;
};

typedef void codec_done_cb(struct codec_job *job, void *ctx);

struct codecs;

struct codecs *codecs_new(uv_loop_t *loop, unsigned n_threads, const struct decode_limits *limits,
                          codec_done_cb *done, void *ctx);
void codecs_submit(struct codecs *c, struct codec_job *job);
/* When no job is out. */
void codecs_close(struct codecs *c);
/* Frees what a job holds, not the job. */
void codec_job_deinit(struct codec_job *job);

#endif
