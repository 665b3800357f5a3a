/*
 * Codec: the threads that turn an upload's body into records. The loop submits a job and forgets
 * it; the job comes back on the loop when it is done, in the order of completion. Each thread has
 * its own decoder, encoder, arena and tables, kept warm between uploads and given up after a large
 * one.
 *
 * A protocol's `unpack` runs on a codec thread: it finds the profiles in the body (the parts of a
 * form, the series of a push) and gives each to codec_item() with an intake of its own. Each profile
 * that the bytes hold becomes a record (or parts of one), under the intake and the attributes that
 * the profile itself has.
 *
 * Nothing here bounds the queue: whoever submits has charged the body to a budget before.
 */
#ifndef HEARTH_COLLECTOR_CODEC_H
#define HEARTH_COLLECTOR_CODEC_H

#include "base/arena.h"
#include "base/mailbox.h"
#include "collector/intake.h"
#include "collector/series_cap.h"
#include "formats/decode.h"
#include "wire/record.h"

struct codec;                   /* one thread's tools */
struct codec_job;

/* One compressed or plain profile of the body. 0 or FAILURE (the job's failure is filled). */
struct codec_item {
    struct bytes data;
    const struct intake *intake;
    struct read_hints hints;
    /* What the request calls the family of a sample type ("mutex"); NULL: it does not say. */
    struct bytes (*family)(const void *ctx, struct bytes sample_type);
    const void *family_ctx;
};
int codec_item(struct codec *k, const struct codec_item *item);
/* Memory that lives until the job is done with the thread; reset between jobs. */
struct arena *codec_arena(struct codec *k);
/* An attachment's plain bytes under the inflated_max cap, copied to the arena. 0 or FAILURE. */
int codec_inflate(struct codec *k, struct bytes in, struct bytes *ret);
/* Something of the body that is known not to be a profile: counted under its kind ("go.trace",
 * "timeline", "metrics.json" …; collector_metrics.h has the list, others are "other"). */
void codec_skip(struct codec *k, const char *kind);
struct failure *codec_failure(struct codec *k);

/* Finds the profiles in job->body. request: the protocol's own, from the job. 0 or FAILURE with
 * *codec_failure(k) filled: then the upload counts nothing. */
typedef int codec_unpack(struct codec *k, struct codec_job *job);

struct codec_record {
    struct buf value;           /* with room for a stamp */
    uint32_t partition;
};

struct codec_job {
    struct msg msg; /* private */

    /* In; valid until done. */
    codec_unpack *unpack;
    void *request;              /* of unpack */
    struct bytes body;
    struct intake intake;       /* begun by the protocol; unpack may add to it */
    uint32_t n_partitions, spread;

    /* Out. failure.code empty: it went well. */
    struct failure failure;
    char service[80];           /* of the first profile, cut: for the log */
    struct codec_record *records; /* n_records; the receiver frees them */
    size_t n_records, cap_records;
    struct buf types; /* the five-part names, each followed by a NUL */
    struct decode_stats stats;
    uint32_t n_profiles;
    int64_t start_ns, end_ns;   /* from the earliest to the latest */
    double decode_s, encode_s;
};

typedef void codec_done_cb(struct codec_job *job, void *ctx);

struct codecs;

/* caps: shared, locks itself. profiles_max: of one upload. */
struct codecs *codecs_new(uv_loop_t *loop, unsigned n_threads, const struct decode_limits *limits,
                          struct series_cap *caps, uint32_t profiles_max, codec_done_cb *done,
                          void *ctx);
void codecs_submit(struct codecs *c, struct codec_job *job);
/* When no job is out. */
void codecs_close(struct codecs *c);
/* Frees what a job holds, not the job. */
void codec_job_deinit(struct codec_job *job);

#endif
