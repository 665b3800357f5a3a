#include "query/request.h"

#include "base/clock.h"
#include "base/options.h"
#include "net/timeparam.h"

#include <stdio.h>

enum { NODES_DEFAULT = 16384, LIMIT_DEFAULT = 100, NAME_MAX_BYTES = 512 };
#define HOUR_NS (3600 * NS_PER_S)

static const char *const one_side[] = {"service",   "type",        "from",   "until", "match",
                                       "max_nodes", "granularity", "format", NULL};
static const char *const top_names[] = {"service", "type",  "from", "until",
                                        "match",   "limit", "sort", NULL};
static const char *const two_sides[] = {"service",   "type",        "from",   "until",   "match",
                                        "a.service", "a.type",      "a.from", "a.until", "a.match",
                                        "b.service", "b.type",      "b.from", "b.until", "b.match",
                                        "max_nodes", "granularity", "format", NULL};

int request_tenant(const struct http_request *req, struct buf *out, struct failure *f)
{
    struct bytes tenant = http_header(req, "X-Scope-OrgID");

    buf_append_bytes(out, tenant.len ? tenant : BYTES_LIT(TENANT_DEFAULT));
    return tenant_check(buf_bytes(out), f);
}

static bool is_one_of(struct bytes name, const char *const *names)
{
    for (; *names; names++)
        if (bytes_equal(name, bytes_str(*names)))
            return true;
    return false;
}

/* Of two, one would be dropped in silence. */
static int check_once(const struct http_request *req, struct failure *f)
{
    struct bytes name = http_param_twice(req);
    bool match = bytes_equal(name, BYTES_LIT("match"));

    if (!name.data)
        return 0;
    return fail(f, 400, "parameter_bad",
                match ? "one selector takes several terms: env:prod version:2" : NULL,
                "parameter \"%.*s\" is given twice", (int)name.len, (const char *)name.data);
}

int request_only(const struct http_request *req, const char *const *names, struct failure *f)
{
    struct bytes name, value;

    for (size_t i = 0; i < http_n_params(req); i++) {
        http_param_at(req, i, &name, &value);
        if (!is_one_of(name, names))
            return fail(f, 400, "parameter_unknown", "docs/api.md lists the parameters",
                        "parameter \"%.*s\" is not known here",
                        (int)(name.len < 64 ? name.len : 64), (const char *)name.data);
    }
    return check_once(req, f);
}

static int bad_with(struct failure *f, const char *name, struct bytes value, const char *what,
                    const char *hint)
{
    return fail(f, 400, "parameter_bad", hint, "%s=\"%.*s\": %s", name,
                (int)(value.len < 100 ? value.len : 100), (const char *)value.data, what);
}

static int bad(struct failure *f, const char *name, struct bytes value, const char *what)
{
    return bad_with(f, name, value, what, NULL);
}

/* ---- ranges -----------------------------------------------------------------------------------
 */

static int read_time(const struct http_request *req, const char *name, int64_t now_ns,
                     bool *ret_there, int64_t *ret_ns, struct failure *f)
{
    struct bytes value = http_param(req, name);

    *ret_there = value.data && value.len > 0;
    if (!*ret_there || time_param(value, now_ns, ret_ns) == 0)
        return 0;
    return bad(f, name, value, "not a time: Unix time, RFC 3339, now or now-1h");
}

int request_range(const struct http_request *req, const char *from, const char *until,
                  int64_t now_ns, struct range missing, struct range *ret, struct failure *f)
{
    struct range r = missing;
    bool has_from, has_until;

    if (read_time(req, from, now_ns, &has_from, &r.from_ns, f) != 0 ||
        read_time(req, until, now_ns, &has_until, &r.until_ns, f) != 0)
        return FAILURE;
    if (has_from && !has_until)
        r.until_ns = now_ns;
    if (has_until && !has_from)
        r.from_ns = r.until_ns < INT64_MIN + HOUR_NS ? INT64_MIN : r.until_ns - HOUR_NS;
    if (r.from_ns >= r.until_ns)
        return fail(f, 400, "range_empty", "from is inclusive, until is exclusive",
                    "%s (%lld ms) is not before %s (%lld ms)", from,
                    (long long)(r.from_ns / NS_PER_MS), until, (long long)(r.until_ns / NS_PER_MS));
    *ret = r;
    return 0;
}

/* ---- sides ------------------------------------------------------------------------------------
 */

/* The name under which a side's parameter is given: with its prefix if that is there, else without.
 */
static const char *name_of(const struct http_request *req, const char *prefix, const char *name,
                           char out[32])
{
    snprintf(out, 32, "%s%s", prefix, name);
    return http_param(req, out).data ? out : name;
}

static int read_text(const struct http_request *req, const char *name, struct buf *out,
                     struct failure *f)
{
    struct bytes value = http_param(req, name);

    if (value.len > NAME_MAX_BYTES)
        return bad(f, name, value, "longer than 512 bytes");
    buf_append_bytes(out, value);
    return 0;
}

static int read_side(struct request_side *side, const struct http_request *req, const char *prefix,
                     int64_t now_ns, struct failure *f)
{
    char service[32], type[32], from[32], until[32], match[32];
    struct range last_hour = {now_ns - HOUR_NS, now_ns};

    if (read_text(req, name_of(req, prefix, "service", service), &side->service, f) != 0 ||
        read_text(req, name_of(req, prefix, "type", type), &side->type, f) != 0)
        return FAILURE;
    if (side->service.len == 0)
        return fail(f, 400, "parameter_missing", "GET /api/v1/services lists the services",
                    "parameter %sservice is missing", prefix);
    if (request_range(req, name_of(req, prefix, "from", from), name_of(req, prefix, "until", until),
                      now_ns, last_hour, &side->range, f) != 0)
        return FAILURE;
    return selector_parse(&side->selector, http_param(req, name_of(req, prefix, "match", match)),
                          f);
}

/* ---- the rest ---------------------------------------------------------------------------------
 */

/* hint: what says how large it may be; or NULL. */
static int read_uint(const struct http_request *req, const char *name, int64_t min, int64_t max,
                     const char *hint, uint32_t *inout, struct failure *f)
{
    struct bytes value = http_param(req, name);
    char text[24], what[64];
    int64_t v;

    if (!value.data || value.len == 0)
        return 0;
    snprintf(text, sizeof text, "%.*s", (int)(value.len < 20 ? value.len : 20),
             (const char *)value.data);
    snprintf(what, sizeof what, "not a number from %lld to %lld", (long long)min, (long long)max);
    if (value.len > 20 || option_parse_int(text, min, max, &v) != 0)
        return bad_with(f, name, value, what, hint);
    *inout = (uint32_t)v;
    return 0;
}

static int read_word(const struct http_request *req, const char *name, const char *const *words,
                     int *inout, struct failure *f)
{
    struct bytes value = http_param(req, name);
    char what[80] = "not one of";

    if (!value.data || value.len == 0)
        return 0;
    for (int i = 0; words[i]; i++) {
        if (bytes_equal(value, bytes_str(words[i]))) {
            *inout = i;
            return 0;
        }
        snprintf(what + strlen(what), sizeof what - strlen(what), " %s", words[i]);
    }
    return bad(f, name, value, what);
}

static int read_form(struct request *out, const struct http_request *req, int64_t nodes_max,
                     struct failure *f)
{
    static const char *const granularities[] = {"function", "line", NULL};
    static const char *const formats[] = {"json", "pprof", "folded", NULL};
    static const char *const sorts[] = {"self", "total", NULL};
    int granularity = GRANULARITY_FUNCTION, format = FORMAT_JSON, sort = TOP_BY_SELF;
    bool json;

    if (read_word(req, "format", formats, &format, f) != 0 ||
        read_word(req, "granularity", granularities, &granularity, f) != 0 ||
        read_word(req, "sort", sorts, &sort, f) != 0)
        return FAILURE;
    out->format = (enum answer_format)format;
    out->granularity = (enum granularity)granularity;
    /* pprof has lines, and a table sums a function's where they stand. */
    if (format == FORMAT_PPROF || out->endpoint == ENDPOINT_TOP)
        out->granularity = GRANULARITY_LINE;
    out->sort = (enum top_sort)sort;
    json = format == FORMAT_JSON;
    out->max_nodes = json ? NODES_DEFAULT : NODES_ALL;
    if ((int64_t)out->max_nodes > nodes_max && json)
        out->max_nodes = (uint32_t)nodes_max;
    out->limit = LIMIT_DEFAULT;
    if (read_uint(req, "max_nodes", 2, json ? nodes_max : INT32_MAX,
                  json ? "nodes_max is the most that may be asked for" : NULL, &out->max_nodes, f))
        return FAILURE;
    return read_uint(req, "limit", 1, INT32_MAX, NULL, &out->limit, f);
}

int request_read(struct request *out, enum endpoint endpoint, const struct http_request *req,
                 int64_t now_ns, int64_t nodes_max, struct failure *f)
{
    static const char *const *const names[] = {one_side, two_sides, top_names};
    static const char *const prefixes[SIDES_MAX] = {"a.", "b."};

    out->endpoint = endpoint;
    out->n_sides = endpoint == ENDPOINT_DIFF ? 2 : 1;
    if (request_tenant(req, &out->tenant, f) != 0 || request_only(req, names[endpoint], f) != 0 ||
        read_form(out, req, nodes_max, f) != 0)
        return FAILURE;
    for (uint32_t s = 0; s < out->n_sides; s++)
        if (read_side(&out->sides[s], req, out->n_sides == 2 ? prefixes[s] : "", now_ns, f) != 0)
            return FAILURE;
    return 0;
}

void request_deinit(struct request *r)
{
    buf_deinit(&r->tenant);
    for (uint32_t s = 0; s < SIDES_MAX; s++) {
        buf_deinit(&r->sides[s].service);
        buf_deinit(&r->sides[s].type);
        selector_deinit(&r->sides[s].selector);
    }
}
