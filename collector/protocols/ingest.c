/*
 * POST /ingest: what Pyroscope's Go, Java and Node agents speak, and Alloy where it forwards them.
 *
 * The parameter name has the service and its tags, format says what the body is; without it a form
 * is a pprof, and anything else is what it looks like, folded stacks at last. Success is exactly
 * 200 with nothing in it: the agents take every other code for a failure.
 */
#include "collector/protocols/app_name.h"
#include "collector/protocols/form.h"
#include "collector/protocols/protocols.h"
#include "collector/upload.h"

static int unpack(struct codec *k, struct codec_job *job)
{
    const struct http_request *req = job->request;
    struct bytes format = http_param(req, "format"), type = http_header(req, "content-type");
    struct form *form = arena_alloc(codec_arena(k), sizeof *form);
    struct codec_item item = {.intake = &job->intake};

    /* format=pprof says that the body is the profile, whatever its Content-Type says. */
    if (bytes_equal(format, BYTES_LIT("pprof")))
        type = (struct bytes){0};
    if (form_open(k, form, type, job->body))
        return FAILURE;
    item.data = form->profile;
    item.hints.jfr_labels = form->labels;
    item.family = form_family;
    item.family_ctx = form;
    return codec_item(k, &item);
}

static void answer(struct http_upload *h, const struct upload_result *result)
{
    (void)result;
    http_respond(h->req, 200, NULL, (struct bytes){0}, NULL);
}

/* attime's rule: a time in 1970 is no time. */
static void drop_1970(struct time_bound *b)
{
    if (b->given && b->ns < INT64_C(31536000000000000))
        b->given = false;
}

static int read_name(struct intake *in, struct bytes text, struct failure *f)
{
    struct app_name name;

    if (app_name_parse(text, &name, f))
        return FAILURE;
    for (uint32_t i = 0; i < name.n; i++)
        if (intake_tag(in, name.labels[i].key, name.labels[i].value, f))
            return FAILURE;
    /* A service_name among the labels is the more exact one; the app's name stays beside it. */
    return intake_tag(in, in->service.len ? BYTES_LIT("app_name") : BYTES_LIT("service"), name.app,
                      f);
}

static int read_request(struct intake *in, const struct http_request *req, struct failure *f)
{
    if (form_check_coding(http_header(req, "content-encoding"), f) || intake_times(in, req, f) ||
        read_name(in, http_param(req, "name"), f))
        return FAILURE;
    drop_1970(&in->times.from);
    drop_1970(&in->times.until);
    intake_default_service(in);
    intake_agent(in, http_param(req, "spyName"));
    return 0;
}

static void on_request(struct http_request *req, void *ctx)
{
    struct http_upload *h = http_upload_begin(ctx, req, ROUTE_INGEST, NULL);
    struct failure f;

    if (!h)
        return;
    h->upload.job.request = req;
    if (read_request(&h->upload.job.intake, req, &f))
        http_upload_refuse(h, &f);
    else
        http_upload_send(h, unpack, answer);
}

void ingest_routes(struct http_server *http, struct collector *c)
{
    http_route(http, "POST", "/ingest", on_request, c);
    http_route(http, "POST", "/pyroscope/ingest", on_request, c);
}
