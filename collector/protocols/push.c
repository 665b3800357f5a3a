/*
 * push.v1.PusherService/Push as Connect's unary call over HTTP: what Pyroscope's Python, Rust, Ruby
 * and .NET agents and Alloy speak. Protobuf or JSON, gzip or not; success is an empty message.
 *
 * A request holds several profiles, each under the labels of its series. __name__ is what the agent
 * calls the family of the types ("process_cpu", "memory"); other labels that begin with two
 * underscores are the agent's own affair.
 */
#include "collector/protocols/push_request.h"

#include "collector/protocols/connect.h"
#include "collector/protocols/form.h"
#include "collector/protocols/protocols.h"
#include "collector/upload.h"
#include "formats/inflate.h"

#include <strings.h>

/* application/proto, perhaps with parameters. */
static bool is_type(struct bytes content_type, const char *want)
{
    size_t n = strlen(want);

    return content_type.len >= n && strncasecmp((const char *)content_type.data, want, n) == 0 &&
           (content_type.len == n || content_type.data[n] == ';' || content_type.data[n] == ' ');
}

static bool is_json(const struct http_request *req)
{
    return is_type(http_header(req, "content-type"), "application/json");
}

/* ---- on a codec thread ------------------------------------------------------------------------
 */

struct pushing {
    struct codec *codec;
    const struct codec_job *job;
    struct intake *intake; /* of the sample at hand */
    struct bytes family;
    size_t n_samples;
};

/* Alloy tells profiles that are differences by this prefix; ours always are. */
static struct bytes without_godeltaprof(struct bytes name)
{
    struct bytes prefix = BYTES_LIT("godeltaprof_");

    if (bytes_starts(name, prefix))
        return bytes_of(name.data + prefix.len, name.len - prefix.len);
    return name;
}

/* Counted samples of process_cpu are CPU samples, to the table of types. */
static struct bytes family_of(const void *ctx, struct bytes sample_type)
{
    const struct pushing *p = ctx;

    if (bytes_equal(p->family, BYTES_LIT("process_cpu")) &&
        bytes_starts(sample_type, BYTES_LIT("sample")))
        return BYTES_LIT("cpu");
    return p->family;
}

static bool is_agent_label(struct bytes name)
{
    return bytes_equal(name, BYTES_LIT("spy_name")) ||
           bytes_equal(name, BYTES_LIT("pyroscope_spy"));
}

static void read_labels(struct pushing *p, const struct push_sample *sample)
{
    *p->intake = p->job->intake;
    p->family = (struct bytes){0};
    for (size_t i = 0; i < sample->n_labels; i++) {
        const struct tag *label = &sample->labels[i];

        if (bytes_equal(label->key, BYTES_LIT("__name__")))
            p->family = without_godeltaprof(label->value);
        else if (is_agent_label(label->key))
            intake_agent(p->intake, label->value);
        else
            intake_attribute(p->intake, label->key, label->value);
    }
}

static int on_sample(void *ctx, const struct push_sample *sample)
{
    struct pushing *p = ctx;
    const struct codec_item item = {
        .data = sample->profile,
        .intake = p->intake,
        .hints.format = BYTES_LIT("pprof"),
        .family = family_of,
        .family_ctx = p,
    };

    p->n_samples++;
    read_labels(p, sample);
    return codec_item(p->codec, &item);
}

/* The request as plain protobuf. */
static int open_message(struct codec *k, const struct codec_job *job, struct bytes *ret)
{
    struct buf proto = {0};
    struct bytes body = job->body;
    int r;

    if (compression_of(body) != COMPRESSION_NONE && codec_inflate(k, body, &body))
        return FAILURE;
    *ret = body;
    if (!is_json(job->request))
        return 0;
    r = push_from_json(body, &proto, codec_failure(k));
    if (r == 0)
        *ret = arena_copy(codec_arena(k), buf_bytes(&proto));
    buf_deinit(&proto);
    return r;
}

static int unpack(struct codec *k, struct codec_job *job)
{
    struct pushing p = {.codec = k, .job = job};
    struct bytes message;

    p.intake = arena_alloc(codec_arena(k), sizeof *p.intake);
    if (open_message(k, job, &message) || push_read(message, on_sample, &p, codec_failure(k)))
        return FAILURE;
    if (p.n_samples == 0)
        return fail(codec_failure(k), 400, "no_profile", NULL, "the request holds no profiles");
    return 0;
}

/* ---- the request ------------------------------------------------------------------------------
 */

static void answer(struct http_upload *h, const struct upload_result *result)
{
    (void)result;
    if (is_json(h->req))
        http_respond(h->req, 200, "application/json", BYTES_LIT("{}"), NULL);
    else /* Connect's Go client looks at the type of an empty message, too */
        http_respond(h->req, 200, NULL, BYTES_LIT(""), "Content-Type: application/proto\r\n");
}

/* What is too large stays so: 429 would make Alloy send it again and again. */
static void refuse(struct http_request *req, const struct failure *f)
{
    connect_respond_failure(req, f->status == 413 ? 400 : f->status, f);
}

static void answer_bad(struct http_upload *h, const struct failure *f)
{
    refuse(h->req, f);
}

static int check_headers(const struct http_request *req, struct failure *f)
{
    struct bytes type = http_header(req, "content-type");

    if (!is_type(type, "application/proto") && !is_type(type, "application/x-protobuf") &&
        !is_json(req))
        return fail(f, 415, "content_type", "application/proto or application/json",
                    "the Content-Type \"%.*s\" is not known", (int)(type.len < 60 ? type.len : 60),
                    (const char *)type.data);
    if (form_check_coding(http_header(req, "content-encoding"), f)) {
        f->status = 501;
        return FAILURE;
    }
    return 0;
}

static void on_request(struct http_request *req, void *ctx)
{
    struct http_upload *h = http_upload_begin(ctx, req, ROUTE_PUSH, answer_bad);
    struct failure f;

    if (!h)
        return;
    h->upload.job.request = req;
    intake_agent(&h->upload.job.intake, http_header(req, "user-agent"));
    if (check_headers(req, &f))
        http_upload_refuse(h, &f);
    else
        http_upload_send(h, unpack, answer);
}

void push_routes(struct http_server *http, struct collector *c)
{
    http_route(http, "POST", "/push.v1.PusherService/Push", on_request, c);
    http_route_refusal(http, "/push.v1.PusherService/Push", refuse);
}
