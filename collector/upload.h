/*
 * Upload: one request's way through the collector, from a whole body to its answer, the same for every
 * protocol: quota → codec thread (unpack, decode, encode) → publish every record → all acknowledged.
 *
 * The protocol owns how it came and how it is answered: an HTTP request, a gRPC call, a frame of a
 * stream, a scrape. Loop thread, but for unpack.
 */
#ifndef HEARTH_COLLECTOR_UPLOAD_H
#define HEARTH_COLLECTOR_UPLOAD_H

#include "collector/codec.h"
#include "collector/collector_metrics.h"

struct collector;

struct upload_result {
    const struct failure *failure;      /* NULL: every record is acknowledged */
    struct bytes types;                 /* five-part names, each followed by a NUL */
    const struct decode_stats *stats;
    uint32_t n_profiles;
    int64_t start_ns, end_ns;
};
/* Exactly once. What the result points to is valid during the call. */
typedef void upload_done_cb(void *ctx, const struct upload_result *result);

struct upload {
    struct codec_job job;               /* the protocol fills unpack, request, body, intake */
    enum upload_route route;
    upload_done_cb *done;
    void *ctx;

    /* private */
    struct intake_rules rules;
    struct collector *collector;
    size_t n_unheard;
    bool given_up;
};

/* An upload that begins now: zeroed, with its rules and intake set from the collector's options and
 * the tenant. 0 or FAILURE (400). The caller embeds it or frees it after done. */
int upload_init(struct upload *u, struct collector *c, enum upload_route route, struct bytes tenant,
                struct failure *f);
/* Sends it on its way. body, intake's views and request must stay valid until done. done may be called
 * before upload_send returns. */
void upload_send(struct upload *u);

/* Counts and logs a refusal that no upload_send has told of. */
void upload_count_refused(enum upload_route route, const char *service, const struct failure *f);

/* The codec's done callback; ctx is the collector. */
void upload_on_decoded(struct codec_job *job, void *ctx);

/*
 * For protocols over HTTP: an upload that ends with its request's answer. ok answers a success; a
 * failure is answered by bad, or as {code, message, hint} when NULL.
 */
struct http_upload {
    struct upload upload;
    struct http_request *req;
    void (*ok)(struct http_upload *h, const struct upload_result *result);
    void (*bad)(struct http_upload *h, const struct failure *f);
};
/* On the heap, tenant from X-Scope-OrgID, body from the request; freed after the answer. NULL: the
 * request has been refused (with bad). */
struct http_upload *http_upload_begin(struct collector *c, struct http_request *req,
                                      enum upload_route route,
                                      void (*bad)(struct http_upload *h, const struct failure *f));
void http_upload_send(struct http_upload *h, codec_unpack *unpack,
                      void (*ok)(struct http_upload *h, const struct upload_result *result));
/* Refuses before it was sent. */
void http_upload_refuse(struct http_upload *h, const struct failure *f);

#endif
