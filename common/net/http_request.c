/*
 * What handlers ask of a request. The target is decoded in place, once, when the header block is
 * whole: decoding only ever shrinks. A path that holds a NUL, a broken escape, or a "." or ".."
 * segment (after decoding, so %2e%2e is one too) is refused: no handler has to think of climbing.
 */
#include "base/xalloc.h"
#include "net/http_int.h"

#include <stdlib.h>
#include <strings.h>

struct http_request *http_request_new(struct http_conn *conn)
{
    struct http_request *r = xcalloc(1, sizeof *r);

    r->server = conn->server;
    r->conn = conn;
    r->server->n_requests++;
    return r;
}

void http_release_body(struct http_request *r)
{
    buf_deinit(&r->body);
    body_budget_give(r->server->limits.budget, r->charged);
    r->charged = 0;
}

void http_request_free(struct http_request *r)
{
    struct http_server *s = r->server;

    if (r->conn)
        r->conn->req = NULL;
    http_release_body(r);
    buf_deinit(&r->head);
    free(r);
    s->n_requests--;
    http_server_try_free(s);
}

/*
 * Room for `more` bytes of body, charged before it is used: all of it at once when the length is
 * known, else in doubling steps.
 */
int http_request_charge(struct http_request *r, size_t more)
{
    struct http_server *s = r->server;
    size_t want = r->body.len + more, max = s->limits.body_bytes_max;

    if (want > max || want < more)
        return fail(&r->failure, 413, "body_too_large", "setting: body_max",
                    "the body is larger than %zu bytes", max);
    if (want <= r->charged)
        return 0;
    if (r->chunked) {
        size_t step = r->charged ? r->charged * 2 : HTTP_CHUNKED_STEP;

        want = want > step ? want : step < max ? step : max;
    }
    if (body_budget_take(s->limits.budget, want - r->charged, &r->failure))
        return FAILURE;
    r->charged = want;
    if (buf_try_reserve(&r->body, want - r->body.len))
        return fail(&r->failure, 503, "overload", NULL, "no memory for %zu bytes", want);
    return 0;
}

/* Decodes in place (the bytes are in r->head, which is ours). False on a broken escape or a NUL. */
static bool percent_decode(struct bytes *s, bool plus)
{
    uint8_t *out = (uint8_t *)(uintptr_t)s->data;
    size_t n = 0;

    for (size_t i = 0; i < s->len; i++) {
        uint8_t c = s->data[i];

        if (c == '%') {
            int hi = i + 2 < s->len ? hex_digit(s->data[i + 1]) : -1;
            int lo = i + 2 < s->len ? hex_digit(s->data[i + 2]) : -1;

            if (hi < 0 || lo < 0 || (hi | lo) == 0)
                return false;
            c = (uint8_t)(hi << 4 | lo);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        out[n++] = c;
    }
    s->len = n;
    return true;
}

static struct bytes until(struct bytes *s, uint8_t c)
{
    const uint8_t *at = s->len ? memchr(s->data, c, s->len) : NULL;
    size_t n = at ? (size_t)(at - s->data) : s->len;
    struct bytes head = bytes_of(s->data, n);

    s->data += at ? n + 1 : n;
    s->len -= at ? n + 1 : n;
    return head;
}

static bool path_climbs(struct bytes path)
{
    while (path.len) {
        struct bytes segment = until(&path, '/');

        if (bytes_equal(segment, BYTES_LIT("..")) || bytes_equal(segment, BYTES_LIT(".")))
            return true;
    }
    return false;
}

static int read_params(struct http_request *r, struct bytes query)
{
    while (query.len) {
        struct bytes value = until(&query, '&'), name;

        if (value.len == 0)
            continue;
        if (r->n_params == HTTP_PARAMS_MAX)
            return fail(&r->failure, 400, "bad_query", NULL, "more than %d query parameters",
                        HTTP_PARAMS_MAX);
        name = until(&value, '=');
        if (!percent_decode(&name, true) || !percent_decode(&value, true))
            return fail(&r->failure, 400, "bad_query", NULL,
                        "a query parameter has a broken percent escape or a NUL");
        r->params[r->n_params++] = (struct http_pair){name, value};
    }
    return 0;
}

/* A proxy's form of the target, http://host/path, is one of ours too. */
static struct bytes strip_authority(struct bytes target)
{
    struct bytes rest = target;

    if (target.len == 0 || target.data[0] == '/')
        return target;
    until(&rest, '/');
    if (rest.len == 0 || rest.data[0] != '/')
        return target;
    rest.data++;
    rest.len--;
    until(&rest, '/');
    return rest.data[-1] == '/' ? bytes_of(rest.data - 1, rest.len + 1) : target;
}

int http_request_read_target(struct http_request *r)
{
    struct bytes query = strip_authority(r->target), path;

    path = until(&query, '?');
    query = until(&query, '#');
    if (path.len == 0 || path.data[0] != '/' || !percent_decode(&path, false))
        return fail(&r->failure, 400, "bad_path", NULL,
                    "the path does not begin with '/', or has a broken percent escape or a NUL");
    if (path_climbs(path))
        return fail(&r->failure, 400, "bad_path", NULL, "the path has a \".\" or \"..\" segment");
    r->path = path;
    return read_params(r, query);
}

struct bytes http_method(const struct http_request *r)
{
    return r->method;
}

struct bytes http_path(const struct http_request *r)
{
    return r->path;
}

struct bytes http_header(const struct http_request *r, const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; i < r->n_headers; i++)
        if (r->headers[i].name.len == len &&
            strncasecmp((const char *)r->headers[i].name.data, name, len) == 0)
            return r->headers[i].value;
    return (struct bytes){0};
}

struct bytes http_body(const struct http_request *r)
{
    return buf_bytes(&r->body);
}

struct bytes http_param(const struct http_request *r, const char *name)
{
    struct bytes want = bytes_str(name);

    for (size_t i = 0; i < r->n_params; i++)
        if (bytes_equal(r->params[i].name, want))
            return r->params[i].value;
    return (struct bytes){0};
}

size_t http_n_params(const struct http_request *r)
{
    return r->n_params;
}

void http_param_at(const struct http_request *r, size_t i, struct bytes *ret_name,
                   struct bytes *ret_value)
{
    CHECK(i < r->n_params);
    *ret_name = r->params[i].name;
    *ret_value = r->params[i].value;
}

struct bytes http_param_twice(const struct http_request *r)
{
    for (size_t i = 0; i < r->n_params; i++)
        for (size_t k = 0; k < i; k++)
            if (bytes_equal(r->params[i].name, r->params[k].name))
                return r->params[i].name;
    return (struct bytes){0};
}
