/*
 * Datadog's profilers, as if we were their agent.
 *
 * Happy path: the loop takes what it needs of the request's header; a codec thread reads the form
 * and the event, fills the intake, and hands each attachment that is a profile to the decoder; the
 * answer comes when the log has acknowledged all of it.
 *
 * A retry is known only when the event has been read, on the codec thread: then nothing of it is
 * decoded. Back on the loop it is answered as the first one was, or waits for that with its body
 * given back. The answer to what cannot be read is 400 or 413 with the attachment's name, never 404
 * or 403: some clients stop profiling for good when they see one.
 */
#include "base/xalloc.h"
#include "collector/collector_int.h"
#include "collector/protocols/datadog_siblings.h"
#include "collector/protocols/datadog_tags.h"
#include "collector/protocols/protocols.h"
#include "collector/retries.h"
#include "collector/upload.h"

#include <stdio.h>
#include <stdlib.h>

enum { ARENA_BYTES = 4096 };

struct datadog_upload {
    struct collector *collector;
    struct http_request *req;
    struct bytes content_type, content_encoding;
    struct datadog_headers headers;

    /* Filled on the codec thread. The arena holds what the intake's views point into. */
    struct arena arena;
    struct datadog_form form;
    bool has_key;
    struct hash128 key;
    enum retry retry;

    struct retry_wait wait;
};

static void free_upload(struct datadog_upload *u)
{
    arena_deinit(&u->arena);
    free(u);
}

/* ---- on a codec thread ------------------------------------------------------------------------
 */

/* Says in whose bytes the failure was found: an upload has several attachments. */
static int name_attachment(struct failure *f, struct bytes name)
{
    char message[sizeof f->message];
    int n = name.len < 60 ? (int)name.len : 60;

    memcpy(message, f->message, sizeof message);
    snprintf(f->message, sizeof f->message, "%.*s: %.250s", n, (const char *)name.data, message);
    return FAILURE;
}

/* Attachments are compressed one by one; a body that is compressed as a whole is read all the same.
 */
static int read_form(struct codec *k, struct datadog_upload *u, struct bytes body)
{
    bool plain =
        u->content_encoding.len == 0 || bytes_equal(u->content_encoding, BYTES_LIT("identity"));

    if (!plain && codec_inflate(k, body, &body))
        return FAILURE;
    return datadog_form_read(&u->form, u->content_type, body, &u->arena, codec_failure(k));
}

static int read_event(struct codec *k, struct datadog_upload *u)
{
    struct bytes json = u->form.event_json;
    struct failure *f = codec_failure(k);

    if (!json.data)
        return 0;
    if (json.len && json.data[0] != '{' && codec_inflate(k, json, &json))
        return name_attachment(f, BYTES_LIT("event.json"));
    if (datadog_event_read(&u->form.event, json, &u->arena, f))
        return FAILURE;
    if (u->form.event.n_endpoints)
        codec_skip(k, "endpoint_counts");
    return 0;
}

static bool is_retry(struct datadog_upload *u, struct bytes tenant)
{
    u->has_key = datadog_upload_key(&u->form, tenant, &u->key);
    if (u->has_key)
        u->retry = retries_begin(u->collector->retries, u->key);
    return u->retry != RETRY_NEW;
}

static struct bytes same_family(const void *ctx, struct bytes sample_type)
{
    (void)sample_type;
    return bytes_str(ctx);
}

static int read_attachment(struct codec *k, struct codec_job *job, const struct attachment *a)
{
    const char *word;
    enum attachment_kind kind = datadog_attachment_kind(a->name, &word);
    struct codec_item item = {
        .data = a->body,
        .intake = &job->intake,
        .hints.format = kind == ATTACHMENT_JFR ? BYTES_LIT("jfr") : BYTES_LIT("pprof"),
        .family = *word ? same_family : NULL,
        .family_ctx = word,
    };

    if (kind == ATTACHMENT_SKIPPED || a->body.len == 0) {
        codec_skip(k, kind == ATTACHMENT_SKIPPED ? word : "other");
        return 0;
    }
    return codec_item(k, &item) ? name_attachment(codec_failure(k), a->name) : 0;
}

static int unpack(struct codec *k, struct codec_job *job)
{
    struct datadog_upload *u = job->request;

    if (read_form(k, u, job->body) || read_event(k, u) ||
        datadog_describe(&job->intake, &u->form.event, &u->headers, &u->arena, codec_failure(k)))
        return FAILURE;
    if (is_retry(u, job->intake.tenant))
        return 0;
    for (size_t i = 0; i < u->form.n; i++)
        if (read_attachment(k, job, &u->form.at[i]))
            return FAILURE;
    return 0;
}

/* ---- on the loop ------------------------------------------------------------------------------
 */

static void answer_ok(struct http_request *req)
{
    http_respond(req, 200, "application/json", BYTES_LIT("{\"status\":\"ok\"}\n"), NULL);
}

static void on_first_ended(struct retry_wait *w, const struct failure *f)
{
    struct datadog_upload *u = container_of(w, struct datadog_upload, wait);

    if (f)
        http_respond_failure(u->req, f);
    else
        answer_ok(u->req);
    free_upload(u);
}

static void answer_retry(struct datadog_upload *u)
{
    metric_add(&collector_metrics[M_RETRIES], 0, 1);
    if (u->retry == RETRY_ON_ITS_WAY) {
        http_release_body(u->req);
        u->wait.ended = on_first_ended;
        retries_wait(u->collector->retries, u->key, &u->wait);
        return;
    }
    answer_ok(u->req);
    free_upload(u);
}

static void on_counted(struct http_upload *h, const struct upload_result *result)
{
    struct datadog_upload *u = h->upload.job.request;

    (void)result;
    if (u->retry != RETRY_NEW) {
        answer_retry(u);
        return;
    }
    answer_ok(h->req);
    if (u->has_key)
        retries_end(u->collector->retries, u->key, NULL);
    free_upload(u);
}

static void on_refused(struct http_upload *h, const struct failure *f)
{
    struct datadog_upload *u = h->upload.job.request;

    http_respond_failure(h->req, f);
    if (!u)
        return;
    if (u->has_key && u->retry == RETRY_NEW)
        retries_end(u->collector->retries, u->key, f);
    free_upload(u);
}

static struct datadog_upload *new_upload(struct collector *c, struct http_request *req)
{
    struct datadog_upload *u = xcalloc(1, sizeof *u);

    u->collector = c;
    u->req = req;
    u->content_type = http_header(req, "content-type");
    u->content_encoding = http_header(req, "content-encoding");
    u->headers = (struct datadog_headers){
        .origin = http_header(req, "dd-evp-origin"),
        .origin_version = http_header(req, "dd-evp-origin-version"),
        .container_id = http_header(req, "datadog-container-id"),
        .entity_id = http_header(req, "datadog-entity-id"),
        .external_env = http_header(req, "datadog-external-env"),
        .container_tags = http_header(req, "x-datadog-container-tags"),
        .additional_tags = http_header(req, "x-datadog-additional-tags"),
    };
    arena_init(&u->arena, ARENA_BYTES);
    return u;
}

static void on_input(struct http_request *req, void *ctx)
{
    struct http_upload *h = http_upload_begin(ctx, req, ROUTE_DATADOG, on_refused);

    if (!h)
        return;
    h->upload.job.request = new_upload(ctx, req);
    http_upload_send(h, unpack, on_counted);
}

/* libdatadog appends its path to any that the agent's URL has. */
void datadog_routes(struct http_server *http, struct collector *c)
{
    http_route(http, "POST", "*/v1/input", on_input, c);
    http_route(http, "POST", "*/api/v2/profile", on_input, c);
    datadog_sibling_routes(http);
}
