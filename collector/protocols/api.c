/*
 * POST /api/v1/profiles: Hearth's own way in, for people and scripts. A profile in any format,
 * plain or compressed, alone or as the part "profile" of a form; its tags are the parameters. What
 * was read is told in JSON, and what is wrong is refused rather than guessed.
 */
#include "base/json_writer.h"
#include "base/xalloc.h"
#include "collector/interval.h"
#include "collector/protocols/form.h"
#include "collector/protocols/hints.h"
#include "collector/protocols/protocols.h"
#include "collector/upload.h"

#include <stdlib.h>

/* 0 or FAILURE. */
static int read_hints(const struct http_request *req, struct read_hints *h, struct failure *f)
{
    int r = 0;

    for (size_t i = 0; r != FAILURE && i < http_n_params(req); i++) {
        struct bytes name, value;

        http_param_at(req, i, &name, &value);
        r = hint_read(h, name, value, f);
    }
    return r == FAILURE ? FAILURE : 0;
}

static int unpack(struct codec *k, struct codec_job *job)
{
    const struct http_request *req = job->request;
    struct form *form = arena_alloc(codec_arena(k), sizeof *form);
    struct codec_item item = {.intake = &job->intake};

    if (read_hints(req, &item.hints, codec_failure(k)))
        return FAILURE;
    if (form_open(k, form, http_header(req, "content-type"), job->body))
        return FAILURE;
    item.data = form->profile;
    item.hints.jfr_labels = form->labels;
    item.family = form_family;
    item.family_ctx = form;
    return codec_item(k, &item);
}

static void put_types(struct json_writer *j, struct bytes types)
{
    jw_array(j, "types");
    for (size_t at = 0; at < types.len; at += strlen((const char *)types.data + at) + 1)
        jw_str(j, NULL, (const char *)types.data + at);
    jw_end(j);
}

static void put_repairs(struct json_writer *j, const struct decode_stats *st)
{
    jw_object(j, "repaired");
    for (unsigned i = 0; i < COLLECTOR_N_REPAIRS; i++) {
        const char *name;
        uint32_t n = collector_repaired(st, i, &name);

        if (n)
            jw_uint(j, name, n);
    }
    jw_end(j);
}

/* A 200 that is never counted looks like one that is. */
static void put_warnings(struct json_writer *j, const struct upload_result *result, int64_t now_ns)
{
    char text[INTERVAL_WARNING_MAX];

    jw_array(j, "warnings");
    if (interval_warning(result->end_ns, now_ns, "until=now", text))
        jw_str(j, NULL, text);
    jw_end(j);
}

static void put_summary(const struct upload_result *result, int64_t now_ns, struct buf *out)
{
    struct json_writer j;

    jw_begin(&j, out);
    jw_object(&j, NULL);
    jw_str(&j, "status", "ok");
    jw_uint(&j, "profiles", result->n_profiles);
    jw_uint(&j, "samples", result->stats->samples);
    jw_int(&j, "from", result->start_ns);
    jw_int(&j, "until", result->end_ns);
    put_types(&j, result->types);
    put_repairs(&j, result->stats);
    put_warnings(&j, result, now_ns);
    jw_end(&j);
    buf_append_u8(out, '\n');
}

static void answer(struct http_upload *h, const struct upload_result *result)
{
    struct buf body = {0};

    put_summary(result, h->upload.job.intake.times.now_ns, &body);
    http_respond_buf(h->req, 200, "application/json", &body, NULL);
}

static bool is_time(struct bytes name)
{
    return bytes_equal(name, BYTES_LIT("from")) || bytes_equal(name, BYTES_LIT("until"));
}

static int read_tags(struct intake *in, const struct http_request *req, struct failure *f)
{
    struct read_hints hints = {{0}};

    for (size_t i = 0; i < http_n_params(req); i++) {
        struct bytes name, value;
        int r;

        http_param_at(req, i, &name, &value);
        r = hint_read(&hints, name, value, f);
        if (r == HINT_E_OTHER && !is_time(name))
            r = intake_tag(in, name, value, f);
        if (r == FAILURE)
            return FAILURE;
    }
    if (in->service.len == 0)
        return fail(f, 400, "no_service", "POST /api/v1/profiles?service=NAME",
                    "the parameter service is missing");
    return 0;
}

/* Every one has one value: of two, a tag as well as a time, one would be dropped in silence. */
static int check_once(const struct http_request *req, struct failure *f)
{
    struct bytes name = http_param_twice(req);

    if (!name.data)
        return 0;
    return fail(f, 400, "bad_parameter", NULL, "the parameter \"%.*s\" is given twice",
                (int)(name.len < 60 ? name.len : 60), (const char *)name.data);
}

static int read_request(struct intake *in, const struct http_request *req, struct failure *f)
{
    intake_agent(in, http_header(req, "user-agent"));
    return form_check_coding(http_header(req, "content-encoding"), f) || check_once(req, f) ||
           intake_times(in, req, f) || read_tags(in, req, f);
}

static void on_request(struct http_request *req, void *ctx)
{
    struct http_upload *h = http_upload_begin(ctx, req, ROUTE_API, NULL);
    struct failure f;

    if (!h)
        return;
    h->upload.job.request = req;
    if (read_request(&h->upload.job.intake, req, &f))
        http_upload_refuse(h, &f);
    else
        http_upload_send(h, unpack, answer);
}

void api_routes(struct http_server *http, struct collector *c)
{
    http_route(http, "POST", "/api/v1/profiles", on_request, c);
}
