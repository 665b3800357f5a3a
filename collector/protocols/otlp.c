/*
 * OTLP over HTTP: POST /v1development/profiles (and /v1/profiles, which it will be called, and
 * which some documentation says already), below any prefix that an exporter's endpoint has.
 * Protobuf or JSON, plain or compressed; answered in the request's own type, a failure as a
 * google.rpc.Status.
 *
 * Who sent it is said by the resource, and where that is empty (async-profiler, io.pyroscope's
 * OTLP mode) by nobody: those profiles are the default service's. For exporters that can set a URL
 * but no resource, parameters are tags, as they are to /api/v1/profiles: ?service=web&version=1.
 */
#include "collector/protocols/otlp.h"

#include "base/clock.h"
#include "base/json_writer.h"
#include "base/varint.h"
#include "collector/protocols/form.h"
#include "collector/protocols/protocols.h"

#include <stdio.h>
#include <strings.h>

/* ---- on a codec thread ------------------------------------------------------------------------
 */

/* Taken in part, it is a success; when nothing was taken, there is nothing to be partial about. */
static int check_refused(struct codec *k, const struct codec_job *job)
{
    const struct decode_stats *stats = &job->stats;

    if (stats->profiles_refused == 0 || job->n_profiles > 0)
        return 0;
    return fail(codec_failure(k), 400, "profiles_refused", NULL, "all %u profiles were refused: %s",
                stats->profiles_refused, stats->refused_why);
}

static int unpack_as(struct codec *k, struct codec_job *job, struct bytes format)
{
    const struct codec_item item = {
        .data = job->body, .intake = &job->intake, .hints.format = format};

    return codec_item(k, &item) ? FAILURE : check_refused(k, job);
}

int otlp_unpack(struct codec *k, struct codec_job *job)
{
    return unpack_as(k, job, BYTES_LIT("otlp"));
}

static int unpack_json(struct codec *k, struct codec_job *job)
{
    return unpack_as(k, job, BYTES_LIT("otlp_json"));
}

/* ---- answers ----------------------------------------------------------------------------------
 */

/* Both ExportProfilesPartialSuccess and Status are a number and a text, in fields 1 and 2. */
static void put_number_and_text(struct buf *out, uint64_t number, struct bytes text)
{
    if (number) {
        buf_append_u8(out, 1 << 3);
        buf_varint(out, number);
    }
    buf_append_u8(out, 2 << 3 | 2);
    buf_varbytes(out, text);
}

void otlp_response(const struct upload_result *result, struct buf *out)
{
    const struct decode_stats *stats = result->stats;
    struct buf partial = {0};

    if (stats->profiles_refused == 0)
        return;
    put_number_and_text(&partial, stats->profiles_refused, bytes_str(stats->refused_why));
    buf_append_u8(out, 1 << 3 | 2);
    buf_varbytes(out, buf_bytes(&partial));
    buf_deinit(&partial);
}

/* An int64 is a string in protobuf's JSON. */
static void response_json(const struct upload_result *result, struct buf *out)
{
    struct json_writer j;
    char number[16];

    jw_begin(&j, out);
    jw_object(&j, NULL);
    if (result->stats->profiles_refused) {
        snprintf(number, sizeof number, "%u", result->stats->profiles_refused);
        jw_object(&j, "partialSuccess");
        jw_str(&j, "rejectedProfiles", number);
        jw_str(&j, "errorMessage", result->stats->refused_why);
        jw_end(&j);
    }
    jw_end(&j);
}

static void status_json(struct bytes message, struct buf *out)
{
    struct json_writer j;

    jw_begin(&j, out);
    jw_object(&j, NULL);
    jw_bytes(&j, "message", message);
    jw_end(&j);
}

/* ---- the request ------------------------------------------------------------------------------
 */

static bool is_type(struct bytes content_type, const char *want)
{
    size_t n = strlen(want);

    return content_type.len >= n && strncasecmp((const char *)content_type.data, want, n) == 0 &&
           (content_type.len == n || content_type.data[n] == ';' || content_type.data[n] == ' ');
}

static bool is_protobuf(const struct http_request *req)
{
    struct bytes type = http_header(req, "content-type");

    return is_type(type, "application/x-protobuf") || is_type(type, "application/protobuf");
}

static bool is_json(const struct http_request *req)
{
    return is_type(http_header(req, "content-type"), "application/json");
}

/* The server says no type of an empty body; protobuf's empty message has one. */
static void answer(struct http_upload *h, const struct upload_result *result)
{
    struct buf body = {0};

    if (is_json(h->req)) {
        response_json(result, &body);
        http_respond_buf(h->req, 200, "application/json", &body, NULL);
        return;
    }
    otlp_response(result, &body);
    http_respond_buf(h->req, 200, "application/x-protobuf", &body,
                     body.len ? NULL : "Content-Type: application/x-protobuf\r\n");
}

/* google.rpc.Status without a code, as OTLP allows: the HTTP status says it. */
static void refuse(struct http_request *req, const struct failure *f)
{
    bool later = f->status == 429 || f->status == 503;
    struct buf text = {0}, body = {0};
    char retry[32];

    buf_printf(&text, "%s: %s%s%s", f->code, f->message, f->hint[0] ? "; " : "", f->hint);
    if (is_protobuf(req))
        put_number_and_text(&body, 0, buf_bytes(&text));
    else
        status_json(buf_bytes(&text), &body);
    /* Spread, so that all who were refused do not come back in the same second. */
    snprintf(retry, sizeof retry, "Retry-After: %u\r\n", 5 + (unsigned)(clock_mono_ms() % 11));
    http_respond_buf(req, f->status,
                     is_protobuf(req) ? "application/x-protobuf" : "application/json", &body,
                     later ? retry : NULL);
    buf_deinit(&text);
}

static void answer_bad(struct http_upload *h, const struct failure *f)
{
    refuse(h->req, f);
}

int otlp_check_version(struct bytes version, struct failure *f)
{
    if (version.len == 0 || bytes_equal(version, BYTES_LIT("1")))
        return 0;
    return fail(f, 400, "bad_version", "1, or none",
                "OTLP-Profiles-Development-Version \"%.*s\" is not known",
                (int)(version.len < 40 ? version.len : 40), (const char *)version.data);
}

static int check_headers(const struct http_request *req, struct failure *f)
{
    struct bytes type = http_header(req, "content-type");

    if (!is_protobuf(req) && !is_json(req))
        return fail(f, 415, "content_type", "application/x-protobuf or application/json",
                    "the Content-Type \"%.*s\" is not known", (int)(type.len < 60 ? type.len : 60),
                    (const char *)type.data);
    return otlp_check_version(http_header(req, "otlp-profiles-development-version"), f) ||
           form_check_coding(http_header(req, "content-encoding"), f);
}

static int read_tags(struct intake *in, const struct http_request *req, struct failure *f)
{
    for (size_t i = 0; i < http_n_params(req); i++) {
        struct bytes name, value;

        http_param_at(req, i, &name, &value);
        if (intake_tag(in, name, value, f))
            return FAILURE;
    }
    return 0;
}

static void on_request(struct http_request *req, void *ctx)
{
    struct http_upload *h = http_upload_begin(ctx, req, ROUTE_OTLP, answer_bad);
    struct failure f;

    if (!h)
        return;
    h->upload.job.request = req;
    intake_agent(&h->upload.job.intake, http_header(req, "user-agent"));
    if (check_headers(req, &f) || read_tags(&h->upload.job.intake, req, &f))
        http_upload_refuse(h, &f);
    else
        http_upload_send(h, is_json(req) ? unpack_json : otlp_unpack, answer);
}

void otlp_routes(struct http_server *http, struct collector *c)
{
    http_route(http, "POST", "*/v1development/profiles", on_request, c);
    http_route(http, "POST", "/v1/profiles", on_request, c);
    http_route_refusal(http, "*/v1development/profiles", refuse);
    http_route_refusal(http, "/v1/profiles", refuse);
}
