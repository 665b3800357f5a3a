/*
 * Answers. The request is freed, and its body's memory given back, before the answer is written:
 * what a slow reader holds is the answer alone.
 */
#include "base/clock.h"
#include "base/json_writer.h"
#include "net/http_int.h"

#include <time.h>

static const struct {
    int status;
    const char *phrase;
} phrases[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Content"},
    {429, "Too Many Requests"},
    {426, "Upgrade Required"},
    {431, "Request Header Fields Too Large"},
    {499, "Client Closed Request"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
};

static const char *phrase_of(int status)
{
    for (size_t i = 0; i < sizeof phrases / sizeof *phrases; i++)
        if (phrases[i].status == status)
            return phrases[i].phrase;
    return "Unknown";
}

static void put_date(struct buf *out)
{
    time_t now = (time_t)(clock_wall_ms() / MS_PER_S);
    struct tm tm;
    char text[40];

    gmtime_r(&now, &tm);
    strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    buf_printf(out, "Date: %s\r\n", text);
}

static bool is_bodiless(int status)
{
    return status == 204 || status == 304;
}

static void put_head(struct buf *out, const struct http_request *r, int status, bool keep_alive,
                     const char *content_type, size_t len, const char *extra)
{
    buf_printf(out, "HTTP/1.1 %d %s\r\n", status, phrase_of(status));
    put_date(out);
    if (!is_bodiless(status)) {
        buf_printf(out, "Content-Length: %zu\r\n", len);
        if (content_type && len)
            buf_printf(out, "Content-Type: %s\r\n", content_type);
    }
    if (!keep_alive)
        buf_append_str(out, "Connection: close\r\n");
    else if (r->http10)
        buf_append_str(out, "Connection: keep-alive\r\n");
    if (extra)
        buf_append_str(out, extra);
    buf_append_str(out, "\r\n");
}

void http_respond_buf(struct http_request *r, int status, const char *content_type,
                      struct buf *body_taken, const char *extra_headers)
{
    struct http_conn *c = r->conn;
    bool keep_alive;

    metric_add(&http_metrics[M_HTTP_RESPONSES], (unsigned)(status / 100 - 2), 1);
    if (!c) {
        buf_deinit(body_taken);
        http_request_free(r);
        return;
    }
    /* What was not read of a request would be taken for the next one. */
    keep_alive = r->keep_alive && r->done && !r->server->closing && !c->close_after;
    put_head(&c->out_head, r, status, keep_alive, content_type, body_taken->len, extra_headers);
    if (bytes_equal(r->method, BYTES_LIT("HEAD")) || is_bodiless(status))
        buf_deinit(body_taken);
    c->out_body = *body_taken;
    *body_taken = (struct buf){0};
    http_request_free(r);
    http_conn_answer(c, keep_alive);
}

void http_respond(struct http_request *r, int status, const char *content_type, struct bytes body,
                  const char *extra_headers)
{
    struct buf copy = {0};

    buf_append_bytes(&copy, body);
    http_respond_buf(r, status, content_type, &copy, extra_headers);
}

void failure_json(const struct failure *f, struct buf *out)
{
    struct json_writer j;

    jw_begin(&j, out);
    jw_object(&j, NULL);
    jw_str(&j, "code", f->code);
    jw_str(&j, "message", f->message);
    jw_str(&j, "hint", f->hint);
    jw_end(&j);
    buf_append_u8(out, '\n');
}

void http_respond_failure(struct http_request *r, const struct failure *f)
{
    struct buf body = {0};
    bool later = f->status == 429 || f->status == 503;
    char retry[32];

    /* Spread, so that all who were refused do not come back in the same second. */
    snprintf(retry, sizeof retry, "Retry-After: %u\r\n", 5 + (unsigned)(clock_mono_ms() % 11));
    failure_json(f, &body);
    http_respond_buf(r, f->status, "application/json", &body, later ? retry : NULL);
}

void http_refuse(struct http_request *r, enum http_reason why)
{
    struct failure f = r->failure;

    metric_add(&http_metrics[M_HTTP_REFUSED], why, 1);
    if (r->route && r->route->refuse)
        r->route->refuse(r, &f);
    else
        http_respond_failure(r, &f);
}
