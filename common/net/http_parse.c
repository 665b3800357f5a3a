/*
 * Bytes to request. llhttp (behind this file) parses; we decide what it may see.
 *
 * The header block is collected whole before llhttp runs over it, so names and values are views
 * into one buffer and no callback has to glue pieces together. While it is collected every byte is
 * looked at once: llhttp 8.1.0 takes a bare CR for the end of a header and folds a line that starts
 * with a space into the one before it, and both let a request hide from a proxy in front of us
 * (CVE-2023-30589). So a CR without LF, an LF without CR, a NUL and a line that begins with SP or
 * HTAB end the connection here.
 *
 * llhttp sees header blocks only: a body has its length, or our own strict reading of the chunked
 * coding (http_chunked.h). What llhttp refuses by itself: Content-Length beside Transfer-Encoding,
 * two lengths, a length that overflows. What else this file refuses: a space in or behind the name
 * of a header (llhttp sees to the headers of framing only), HTTP versions but 1.0 and 1.1, a
 * missing or second Host, any transfer coding but `chunked`.
 */
#include "net/http_int.h"

#include <stdio.h>
#include <strings.h>

static int bad(struct http_request *r, int status, const char *code, const char *what)
{
    fail(&r->failure, status, code, NULL, "%s", what);
    return FAILURE;
}

static const char *head_byte_fault(uint8_t before, uint8_t c)
{
    if (before == '\r' && c != '\n')
        return "a carriage return without a line feed in the header";
    if (c == '\n' && before != '\r')
        return "a line feed without a carriage return in the header";
    if (before == '\n' && (c == ' ' || c == '\t'))
        return "a header line that begins with white space";
    return c == 0 ? "a NUL byte in the header" : NULL;
}

static bool head_ends(const struct buf *head)
{
    return head->len >= 4 && memcmp(head->data + head->len - 4, "\r\n\r\n", 4) == 0;
}

int http_parse_take_head(struct http_request *r, struct bytes in, size_t *ret_used)
{
    size_t max = r->server->limits.header_bytes_max, i = 0;

    /* An empty line before a request is an old client's habit that the RFC asks to forgive. */
    while (r->head.len == 0 && i < in.len && (in.data[i] == '\r' || in.data[i] == '\n'))
        i++;
    for (; i < in.len; i++) {
        uint8_t before = r->head.len ? r->head.data[r->head.len - 1] : 0;
        const char *fault = head_byte_fault(before, in.data[i]);

        if (fault) {
            bad(r, 400, "bad_request", fault);
            return HTTP_HEAD_BAD;
        }
        if (r->head.len == max) {
            fail(&r->failure, 431, "header_too_large", NULL,
                 "the request line and headers exceed %zu bytes", max);
            return HTTP_HEAD_BAD;
        }
        buf_append_u8(&r->head, in.data[i]);
        if (in.data[i] == '\n' && head_ends(&r->head)) {
            *ret_used = i + 1;
            return HTTP_HEAD_WHOLE;
        }
    }
    *ret_used = in.len;
    return HTTP_HEAD_MORE;
}

/* Extends a view by the next piece of the same span. */
static void span(struct bytes *view, const char *at, size_t len)
{
    if (view->len == 0)
        view->data = (const uint8_t *)at;
    view->len += len;
}

static int on_method(llhttp_t *p, const char *at, size_t len)
{
    struct http_request *r = p->data;

    span(&r->method, at, len);
    return 0;
}

static int on_url(llhttp_t *p, const char *at, size_t len)
{
    struct http_request *r = p->data;

    span(&r->target, at, len);
    return 0;
}

static int on_header_field(llhttp_t *p, const char *at, size_t len)
{
    struct http_request *r = p->data;

    if (r->n_headers == HTTP_HEADERS_MAX) {
        fail(&r->failure, 431, "header_too_large", NULL, "more than %d headers", HTTP_HEADERS_MAX);
        return HPE_USER;
    }
    span(&r->headers[r->n_headers].name, at, len);
    return 0;
}

static int on_header_value(llhttp_t *p, const char *at, size_t len)
{
    struct http_request *r = p->data;

    span(&r->headers[r->n_headers].value, at, len);
    return 0;
}

static int on_header_value_complete(llhttp_t *p)
{
    struct http_request *r = p->data;
    struct bytes *v = &r->headers[r->n_headers].value;

    while (v->len && (v->data[v->len - 1] == ' ' || v->data[v->len - 1] == '\t'))
        v->len--;
    r->n_headers++;
    return 0;
}

static int on_headers_complete(llhttp_t *p)
{
    struct http_request *r = p->data;

    /* Java's client offers h2c on every request. We stay with HTTP/1.1, as RFC 9110 allows. */
    p->upgrade = 0;
    r->head_done = true;
    r->chunked = p->flags & F_CHUNKED;
    r->content_length = r->chunked ? 0 : p->content_length;
    r->keep_alive = llhttp_should_keep_alive(p);
    r->http10 = p->http_minor == 0;
    return 0;
}

static const llhttp_settings_t settings = {
    .on_method = on_method,
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_complete,
    .on_headers_complete = on_headers_complete,
};

static int fail_parse(struct http_request *r, llhttp_errno_t err)
{
    const char *reason = llhttp_get_error_reason(&r->parser);

    if (r->failure.code[0])
        return FAILURE;
    if (err == HPE_INVALID_VERSION || err == HPE_PAUSED_H2_UPGRADE)
        return bad(r, 505, "http_version", "only HTTP/1.1 and HTTP/1.0 are spoken here");
    fail(&r->failure, 400, "bad_request", NULL, "malformed request: %s",
         reason && *reason ? reason : llhttp_errno_name(err));
    return FAILURE;
}

static size_t count_header(const struct http_request *r, const char *name)
{
    size_t n = 0;

    for (size_t i = 0; i < r->n_headers; i++)
        n += r->headers[i].name.len == strlen(name) &&
             strncasecmp((const char *)r->headers[i].name.data, name, strlen(name)) == 0;
    return n;
}

static bool value_is(struct bytes v, const char *word)
{
    return v.len == strlen(word) && strncasecmp((const char *)v.data, word, v.len) == 0;
}

static bool has_spaced_name(const struct http_request *r)
{
    for (size_t i = 0; i < r->n_headers; i++)
        if (memchr(r->headers[i].name.data, ' ', r->headers[i].name.len))
            return true;
    return false;
}

static int check_head(struct http_request *r)
{
    size_t hosts = count_header(r, "host"), codings = count_header(r, "transfer-encoding");
    struct bytes expect = http_header(r, "expect");

    if (has_spaced_name(r))
        return bad(r, 400, "bad_request", "a header's name has a space in it or behind it");
    if (r->parser.http_major != 1)
        return bad(r, 505, "http_version", "only HTTP/1.1 and HTTP/1.0 are spoken here");
    if (hosts > 1 || (hosts == 0 && !r->http10))
        return bad(r, 400, "bad_request", "a request needs exactly one Host header");
    if (codings > 1 || (codings && r->http10))
        return bad(r, 400, "bad_request", "Transfer-Encoding is given twice, or in HTTP/1.0");
    if (codings && !value_is(http_header(r, "transfer-encoding"), "chunked"))
        return bad(r, 501, "transfer_encoding", "the only transfer coding is chunked");
    r->expects = value_is(expect, "100-continue");
    if (expect.len && !r->expects)
        return bad(r, 417, "expectation", "the only expectation is 100-continue");
    return 0;
}

int http_parse_head(struct http_request *r)
{
    llhttp_errno_t err;

    llhttp_init(&r->parser, HTTP_REQUEST, &settings);
    r->parser.data = r;
    err = llhttp_execute(&r->parser, (const char *)r->head.data, r->head.len);
    if (err != HPE_OK)
        return fail_parse(r, err);
    if (!r->head_done)
        return bad(r, 400, "bad_request", "malformed request: the header does not end");
    r->done = !r->chunked && r->content_length == 0;
    return check_head(r);
}

/* All of its memory was charged when its length was read. */
static int take_plain(struct http_request *r, struct bytes *in)
{
    uint64_t left = r->content_length - r->arrived;
    size_t n = in->len < left ? in->len : (size_t)left;

    if (!r->discards)
        buf_append(&r->body, in->data, n);
    r->arrived += n;
    in->data += n;
    in->len -= n;
    r->done = n == left;
    return 0;
}

static int take_piece(struct http_request *r, struct bytes piece)
{
    r->arrived += piece.len;
    if (r->discards)
        return 0;
    if (http_request_charge(r, piece.len))
        return FAILURE;
    buf_append_bytes(&r->body, piece);
    return 0;
}

static int take_chunked(struct http_request *r, struct bytes *in)
{
    struct bytes piece;

    for (;;) {
        switch (http_chunked_next(&r->chunks, in, &piece)) {
        case CHUNKED_MORE:
            return 0;
        case CHUNKED_DATA:
            if (take_piece(r, piece))
                return FAILURE;
            break;
        case CHUNKED_END:
            /* Nobody needs trailers; proxies differ about them. So they end the connection. */
            r->keep_alive = r->keep_alive && !r->chunks.trailers;
            r->done = true;
            return 0;
        case CHUNKED_BAD:
            return bad(r, 400, "bad_request", "malformed request: the chunked coding is broken");
        }
    }
}

int http_parse_body(struct http_request *r, struct bytes in, size_t *ret_used)
{
    size_t len = in.len;

    if (r->chunked ? take_chunked(r, &in) : take_plain(r, &in))
        return FAILURE;
    *ret_used = len - in.len;
    return 0;
}
