/*
 * POST /ingest: what Pyroscope's Go, Java and Node agents speak, and Alloy where it forwards them.
 *
 * The parameter name has the service and its tags. What the body is, is decided in Pyroscope's
 * order: the parameter format, the content types of trie and tree, a form (a pprof in it); and
 * where Pyroscope takes the rest for folded stacks, we first look whether it is something else.
 * Formats without types of their own have one by the name's suffix, "app.alloc_space", and counts
 * of CPU samples become time by sampleRate; pprof and JFR say all that themselves, and their agents
 * send rates that have nothing to do with it.
 *
 * Success is exactly 200 with nothing in it: agents take every other code for a failure.
 */
#include "base/clock.h"
#include "collector/protocols/app_name.h"
#include "collector/protocols/connect.h"
#include "collector/protocols/form.h"
#include "collector/protocols/protocols.h"
#include "collector/upload.h"

#include <time.h>

/* ---- what the body is -------------------------------------------------------------------------
 */

static bool has(struct bytes s, const char *words)
{
    return s.len && memmem(s.data, s.len, words, strlen(words));
}

/* What the request says; empty: it does not. */
static struct bytes named_format(const struct http_request *req)
{
    static const char *const names[] = {"trie", "tree", "lines", "jfr", "pprof", "speedscope"};
    struct bytes format = http_param(req, "format"), type = http_header(req, "content-type");

    if (has(type, "binary/octet-stream+trie"))
        return BYTES_LIT("trie");
    if (has(type, "binary/octet-stream+tree"))
        return BYTES_LIT("tree");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (bytes_equal(format, bytes_str(names[i])))
            return format;
    /* Any other word, and none, is Pyroscope's "groups": ours too, when somebody wrote one of
     * these. */
    if (bytes_equal(format, BYTES_LIT("groups")) || bytes_equal(format, BYTES_LIT("folded")) ||
        bytes_equal(format, BYTES_LIT("collapsed")))
        return BYTES_LIT("folded");
    return (struct bytes){0};
}

/* Only these two may be the parts of a form; of the others the body is the profile, whatever its
 * content type says. */
static bool may_be_form(struct bytes format)
{
    return format.len == 0 || bytes_equal(format, BYTES_LIT("jfr"));
}

static bool has_no_types(struct bytes format)
{
    static const char *const names[] = {"folded", "lines", "trie", "tree"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (bytes_equal(format, bytes_str(names[i])))
            return true;
    return false;
}

/* ---- the type of formats that have none -------------------------------------------------------
 */

struct suffix {
    const char *word, *type, *unit, *family;
};

/* A type without a unit is counted in samples. */
static const struct suffix suffixes[] = {
    {"cpu", "cpu", "", ""},
    {"itimer", "cpu", "", ""},
    {"wall", "wall", "", ""},
    {"seconds", "wall", "seconds", ""},
    {"milliseconds", "wall", "milliseconds", ""},
    {"microseconds", "wall", "microseconds", ""},
    {"nanoseconds", "wall", "nanoseconds", ""},
    {"alloc_objects", "alloc_objects", "count", ""},
    {"alloc_space", "alloc_space", "bytes", ""},
    {"alloc_in_new_tlab_objects", "alloc_in_new_tlab_objects", "count", ""},
    {"alloc_in_new_tlab_bytes", "alloc_in_new_tlab_bytes", "bytes", ""},
    {"alloc_outside_tlab_objects", "alloc_outside_tlab_objects", "count", ""},
    {"alloc_outside_tlab_bytes", "alloc_outside_tlab_bytes", "bytes", ""},
    {"bytes", "alloc_space", "bytes", ""},
    {"inuse_objects", "inuse_objects", "count", ""},
    {"inuse_space", "inuse_space", "bytes", ""},
    {"live", "live", "count", ""},
    {"goroutines", "goroutines", "count", ""},
    {"mutex_count", "contentions", "count", "mutex"},
    {"mutex_duration", "delay", "nanoseconds", "mutex"},
    {"block_count", "contentions", "count", "block"},
    {"block_duration", "delay", "nanoseconds", "block"},
    {"lock_count", "contentions", "count", "mutex"},
    {"lock_duration", "delay", "nanoseconds", "mutex"},
    {"exceptions", "exception", "count", ""},
};

/* The row of what follows the last dot; NULL: no suffix, or a part of the name. */
static const struct suffix *suffix_of(struct bytes app)
{
    const uint8_t *dot = app.len ? memrchr(app.data, '.', app.len) : NULL;
    struct bytes word;

    if (!dot || dot == app.data)
        return NULL;
    word = bytes_of(dot + 1, (size_t)(app.data + app.len - dot - 1));
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (bytes_equal(word, bytes_str(suffixes[i].word)))
            return &suffixes[i];
    return NULL;
}

static struct bytes suffix_family(const void *ctx, struct bytes sample_type)
{
    const struct suffix *s = ctx;

    (void)sample_type;
    return bytes_str(s->family);
}

/* A number that is none, and 0, stand for the default. */
static uint32_t sample_rate(struct bytes text)
{
    uint32_t hz = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || hz > 100000000)
            return 0;
        hz = hz * 10 + (uint32_t)(text.data[i] - '0');
    }
    return hz;
}

/* The suffix is no part of the service's name. */
static void cut_suffix(struct intake *in, const struct suffix *s)
{
    if (suffix_of(in->service) == s)
        in->service.len -= strlen(s->word) + 1;
}

static void give_type(struct codec_item *item, struct intake *in, const struct http_request *req)
{
    struct app_name name;
    struct failure f;
    const struct suffix *s;

    CHECK(app_name_parse(http_param(req, "name"), &name, &f) == 0); /* it has been, before */
    s = suffix_of(name.app);
    if (s)
        cut_suffix(in, s);
    else
        s = &suffixes[0];
    item->hints.sample_type = bytes_str(s->type);
    item->hints.unit = bytes_str(s->unit);
    item->family = *s->family ? suffix_family : NULL;
    item->family_ctx = s;
    if (!*s->unit)
        item->hints.sample_rate_hz = sample_rate(http_param(req, "sampleRate"));
}

/* ---- on a codec thread ------------------------------------------------------------------------
 */

/* Folded stacks may begin with anything: they are what nothing else is. */
static int look(struct codec *k, struct codec_item *item)
{
    const char *format;

    if (codec_inflate(k, item->data, &item->data))
        return FAILURE;
    format = decode_format_of(item->data);
    item->hints.format = bytes_str(format ? format : "folded");
    return 0;
}

static int unpack(struct codec *k, struct codec_job *job)
{
    const struct http_request *req = job->request;
    struct bytes format = named_format(req), type = http_header(req, "content-type");
    struct form *form = arena_alloc(codec_arena(k), sizeof *form);
    struct codec_item item = {.intake = &job->intake, .hints.format = format};

    if (!may_be_form(format))
        type = (struct bytes){0};
    if (form_open(k, form, type, job->body))
        return FAILURE;
    item.data = form->profile;
    item.hints.jfr_labels = form->labels;
    item.family = form_family;
    item.family_ctx = form;
    if (format.len == 0 && !form_is_multipart(type) && look(k, &item))
        return FAILURE;
    if (has_no_types(item.hints.format))
        give_type(&item, &job->intake, req);
    return codec_item(k, &item);
}

/* ---- the request ------------------------------------------------------------------------------
 */

static void answer(struct http_upload *h, const struct upload_result *result)
{
    (void)result;
    http_respond(h->req, 200, NULL, (struct bytes){0}, NULL);
}

/* What cannot be read is a 400 there, whatever it is. */
static void refuse(struct http_request *req, const struct failure *f)
{
    connect_respond_failure(req, f->status == 415 ? 400 : f->status, f);
}

static void answer_bad(struct http_upload *h, const struct failure *f)
{
    refuse(h->req, f);
}

/* Eight digits are a date. */
static bool is_date(struct bytes s, struct time_bound *b)
{
    char text[9] = "";
    struct tm tm = {0};

    if (s.len != 8)
        return false;
    memcpy(text, s.data, 8);
    if (!strptime(text, "%Y%m%d", &tm))
        return false;
    b->given = true;
    b->ns = (int64_t)timegm(&tm) * NS_PER_S;
    return true;
}

/* attime's rule: a time in 1970 is no time. */
static void mend_time(struct time_bound *b, struct bytes text)
{
    if (!is_date(text, b) && b->given && b->ns < INT64_C(31536000) * NS_PER_S)
        b->given = false;
}

static int read_times(struct intake *in, const struct http_request *req, struct failure *f)
{
    if (intake_times(in, req, f))
        return FAILURE;
    mend_time(&in->times.from, http_param(req, "from"));
    mend_time(&in->times.until, http_param(req, "until"));
    /* pyroscope-go's last flush cuts its end to a multiple of its period, but not its start. */
    if (in->times.until.given && in->times.until.ns < in->times.from.ns)
        in->times.until.ns = in->times.from.ns;
    return 0;
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
    if (intake_tag(in, in->service.len ? BYTES_LIT("app_name") : BYTES_LIT("service"), name.app, f))
        return FAILURE;
    if (in->service.len == 0)
        return fail(f, 400, "bad_name", "a name is app or app{key=value,key2=value2}",
                    "the parameter name is missing, or names no app");
    return 0;
}

static int read_request(struct intake *in, const struct http_request *req, struct failure *f)
{
    intake_agent(in, http_param(req, "spyName"));
    return form_check_coding(http_header(req, "content-encoding"), f) || read_times(in, req, f) ||
           read_name(in, http_param(req, "name"), f);
}

static void on_request(struct http_request *req, void *ctx)
{
    struct http_upload *h = http_upload_begin(ctx, req, ROUTE_INGEST, answer_bad);
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
    http_route_refusal(http, "/ingest", refuse);
    http_route_refusal(http, "/pyroscope/ingest", refuse);
}
