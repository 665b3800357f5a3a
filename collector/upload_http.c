/* Uploads that are HTTP requests: on the heap, until they are answered. */
#include "base/xalloc.h"
#include "collector/upload.h"

#include <stdlib.h>

static void answer_bad(struct http_upload *h, const struct failure *f)
{
    if (h->bad)
        h->bad(h, f);
    else
        http_respond_failure(h->req, f);
    free(h);
}

void http_upload_refuse(struct http_upload *h, const struct failure *f)
{
    upload_count_refused(h->upload.route, "", f);
    answer_bad(h, f);
}

struct http_upload *http_upload_begin(struct collector *c, struct http_request *req,
                                      enum upload_route route,
                                      void (*bad)(struct http_upload *h, const struct failure *f))
{
    struct http_upload *h = xcalloc(1, sizeof *h);
    struct failure f;
    int r = upload_init(&h->upload, c, route, http_header(req, "x-scope-orgid"), &f);

    h->req = req;
    h->bad = bad;
    h->upload.job.body = http_body(req);
    if (r == 0)
        return h;
    http_upload_refuse(h, &f);
    return NULL;
}

static void on_done(void *ctx, const struct upload_result *result)
{
    struct http_upload *h = ctx;

    if (result->failure) {
        answer_bad(h, result->failure);
        return;
    }
    h->ok(h, result);
    free(h);
}

void http_upload_send(struct http_upload *h, codec_unpack *unpack,
                      void (*ok)(struct http_upload *h, const struct upload_result *result))
{
    h->ok = ok;
    h->upload.job.unpack = unpack;
    h->upload.done = on_done;
    h->upload.ctx = h;
    upload_send(&h->upload);
}
