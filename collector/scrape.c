/*
 * Happy path: resolve → connect to the first allowed address → write the request → read until
 * llhttp says that the answer is complete → close → done. Any other event (no address, refused,
 * reset, an answer that is not 200, too long or too late, cancelled) notes its reason and closes.
 * The end waits for both handles and for the resolver, which cannot always be stopped.
 */
#include "collector/scrape.h"

#include "base/xalloc.h"

#include <errno.h>
#include <llhttp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { HEAD_BYTES_MAX = 65536, READ_BYTES = 65536 };
enum { BITS_V4 = 32, BITS_V6 = 128 };

/* ---- networks ---------------------------------------------------------------------------------
 */

struct network {
    int family;
    uint8_t bytes[16];
    unsigned bits;
};

static int parse_network(const char *text, struct network *ret)
{
    char address[INET6_ADDRSTRLEN + 1];
    const char *slash = strchr(text, '/');
    size_t len = slash ? (size_t)(slash - text) : strlen(text);
    char *end = NULL;
    unsigned max;

    if (len >= sizeof address)
        return -EINVAL;
    memcpy(address, text, len);
    address[len] = '\0';
    ret->family = strchr(address, ':') ? AF_INET6 : AF_INET;
    max = ret->family == AF_INET6 ? BITS_V6 : BITS_V4;
    if (uv_inet_pton(ret->family, address, ret->bytes) != 0)
        return -EINVAL;
    ret->bits = slash ? (unsigned)strtoul(slash + 1, &end, 10) : max;
    return slash && (end == slash + 1 || *end || ret->bits > max) ? -EINVAL : 0;
}

int networks_parse(struct networks *n, const char *list, const char *setting, struct failure *f)
{
    char *copy = xstrdup(list ? list : ""), *rest = copy, *word;
    int r = 0;

    *n = (struct networks){.at = NULL};
    while (!r && (word = strsep(&rest, ","))) {
        if (!*word)
            continue;
        XGROW(n->at, n->cap, n->n + 1);
        if (parse_network(word, &n->at[n->n++]) != 0)
            r = fail(f, 400, "bad_option", "such as 10.0.0.0/8 or ::1", "%s: %s is no network",
                     setting, word);
    }
    free(copy);
    return r;
}

void networks_deinit(struct networks *n)
{
    free(n->at);
    *n = (struct networks){.at = NULL};
}

static bool starts_alike(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;

    if (memcmp(a, b, whole) != 0)
        return false;
    return rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
}

/* An IPv4 address that comes as IPv6 (::ffff:10.0.0.1) is judged as what it is. */
static const uint8_t *address_bytes(const struct sockaddr *sa, int *ret_family)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    const uint8_t *six;

    *ret_family = sa->sa_family;
    if (sa->sa_family == AF_INET)
        return (const uint8_t *)&((const struct sockaddr_in *)sa)->sin_addr;
    if (sa->sa_family != AF_INET6)
        return NULL;
    six = ((const struct sockaddr_in6 *)sa)->sin6_addr.s6_addr;
    if (memcmp(six, mapped, sizeof mapped) != 0)
        return six;
    *ret_family = AF_INET;
    return six + sizeof mapped;
}

bool networks_hold(const struct networks *n, const struct sockaddr *address)
{
    int family;
    const uint8_t *bytes = address_bytes(address, &family);

    for (size_t i = 0; bytes && i < n->n; i++)
        if (n->at[i].family == family && starts_alike(n->at[i].bytes, bytes, n->at[i].bits))
            return true;
    return false;
}

/* ---- one scrape -------------------------------------------------------------------------------
 */

struct scrape {
    const struct scrape_request *request;
    scrape_done_cb *done;
    void *ctx;
    uv_tcp_t tcp;
    uv_timer_t timer;
    uv_getaddrinfo_t resolve;
    uv_connect_t connect;
    uv_write_t write;
    struct buf out, body;
    char *chunk;
    llhttp_t parser;
    size_t head_bytes;
    bool resolving, head_done, complete, closing;
    unsigned n_pending; /* handles that are open, and the resolver */
    struct failure failure;
};

static void unpend(struct scrape *s)
{
    if (--s->n_pending)
        return;
    s->done(s->ctx, s->failure.code[0] ? &s->failure : NULL, &s->body);
    buf_deinit(&s->out);
    buf_deinit(&s->body);
    free(s->chunk);
    free(s);
}

static void on_closed(uv_handle_t *handle)
{
    unpend(handle->data);
}

static void finish(struct scrape *s)
{
    if (s->closing)
        return;
    s->closing = true;
    uv_close((uv_handle_t *)&s->tcp, on_closed);
    uv_close((uv_handle_t *)&s->timer, on_closed);
    if (s->resolving)
        uv_cancel((uv_req_t *)&s->resolve); /* -EBUSY: it ends by itself */
}

__attribute__((format(printf, 3, 4))) static void give_up(struct scrape *s, const char *code,
                                                          const char *fmt, ...)
{
    char text[200];
    va_list args;

    if (s->closing)
        return;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    fail(&s->failure, 502, code, NULL, "%s", text);
    finish(s);
}

void scrape_cancel(struct scrape *s)
{
    give_up(s, "cancelled", "cancelled");
}

/* ---- the answer -------------------------------------------------------------------------------
 */

static int on_headers(llhttp_t *p)
{
    struct scrape *s = p->data;

    s->head_done = true;
    if (p->status_code >= 300 && p->status_code < 400)
        give_up(s, "status", "answered %d: redirects are not followed", p->status_code);
    else if (p->status_code != 200)
        give_up(s, "status", "answered %d", p->status_code);
    return s->closing ? -1 : 0;
}

static int on_body(llhttp_t *p, const char *at, size_t len)
{
    struct scrape *s = p->data;

    if (len > s->request->body_max - s->body.len) {
        give_up(s, "too_large", "the answer is larger than %zu bytes (setting: pull_body_max)",
                s->request->body_max);
        return -1;
    }
    buf_append(&s->body, at, len);
    return 0;
}

static int on_complete(llhttp_t *p)
{
    struct scrape *s = p->data;

    s->complete = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t *parser_settings(void)
{
    static llhttp_settings_t settings;

    settings.on_headers_complete = on_headers;
    settings.on_body = on_body;
    settings.on_message_complete = on_complete;
    return &settings;
}

static void on_end(struct scrape *s, ssize_t status)
{
    if (status != UV_EOF) {
        give_up(s, "connect", "%s", uv_strerror((int)status));
        return;
    }
    /* An answer without a length ends with the connection. */
    llhttp_finish(&s->parser);
    if (s->complete)
        finish(s);
    else
        give_up(s, "malformed", "the answer was cut short");
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct scrape *s = stream->data;
    llhttp_errno_t e;

    if (n < 0) {
        on_end(s, n);
        return;
    }
    s->head_bytes += s->head_done ? 0 : (size_t)n;
    if (s->head_bytes > HEAD_BYTES_MAX + READ_BYTES) {
        give_up(s, "malformed", "its header is too long");
        return;
    }
    e = llhttp_execute(&s->parser, buf->base, (size_t)n);
    if (s->complete)
        finish(s);
    else if (e != HPE_OK)
        give_up(s, "malformed", "no HTTP: %s", llhttp_errno_name(e));
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct scrape *s = handle->data;

    (void)suggested;
    if (!s->chunk)
        s->chunk = xmalloc(READ_BYTES);
    *buf = uv_buf_init(s->chunk, READ_BYTES);
}

/* ---- the way there ----------------------------------------------------------------------------
 */

static void on_written(uv_write_t *req, int status)
{
    struct scrape *s = req->data;

    if (status < 0)
        give_up(s, "connect", "%s", uv_strerror(status));
}

static void on_connected(uv_connect_t *req, int status)
{
    struct scrape *s = req->data;
    const struct scrape_request *r = s->request;
    bool six = strchr(r->host, ':') != NULL;
    uv_buf_t out;

    if (s->closing)
        return;
    if (status < 0) {
        give_up(s, "connect", "%s", uv_strerror(status));
        return;
    }
    buf_printf(&s->out,
               "GET %s HTTP/1.1\r\nHost: %s%s%s:%u\r\nUser-Agent: hearth/" HEARTH_VERSION "\r\n"
               "Accept: */*\r\nConnection: close\r\n\r\n",
               r->path, six ? "[" : "", r->host, six ? "]" : "", r->port);
    out = uv_buf_init((char *)s->out.data, (unsigned)s->out.len);
    status = uv_write(&s->write, (uv_stream_t *)&s->tcp, &out, 1, on_written);
    if (status == 0)
        status = uv_read_start((uv_stream_t *)&s->tcp, on_alloc, on_read);
    if (status < 0)
        give_up(s, "connect", "%s", uv_strerror(status));
}

static void connect_to(struct scrape *s, const struct addrinfo *found)
{
    const struct addrinfo *a = found;
    int r;

    while (a && !networks_hold(s->request->allowed, a->ai_addr))
        a = a->ai_next;
    if (!a) {
        give_up(s, "not_allowed", "no address of %s is in pull_allow", s->request->host);
        return;
    }
    r = uv_tcp_connect(&s->connect, &s->tcp, a->ai_addr, on_connected);
    if (r < 0)
        give_up(s, "connect", "%s", uv_strerror(r));
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *found)
{
    struct scrape *s = req->data;

    s->resolving = false;
    if (!s->closing && status < 0)
        give_up(s, "resolve", "%s: %s", s->request->host, uv_strerror(status));
    else if (!s->closing)
        connect_to(s, found);
    uv_freeaddrinfo(found);
    unpend(s);
}

static void on_timeout(uv_timer_t *timer)
{
    struct scrape *s = timer->data;

    give_up(s, "timeout", "no answer within %llu ms", (unsigned long long)s->request->timeout_ms);
}

/* Resolving failed before it began: the end must not come from within scrape_start. */
static void on_stillborn(uv_timer_t *timer)
{
    give_up(timer->data, "resolve", "the name cannot be resolved");
}

struct scrape *scrape_start(uv_loop_t *loop, const struct scrape_request *request,
                            scrape_done_cb *done, void *ctx)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct scrape *s = xcalloc(1, sizeof *s);
    char port[8];

    s->request = request;
    s->done = done;
    s->ctx = ctx;
    llhttp_init(&s->parser, HTTP_RESPONSE, parser_settings());
    s->parser.data = s;
    s->resolve.data = s->connect.data = s->write.data = s;
    uv_tcp_init(loop, &s->tcp);
    uv_timer_init(loop, &s->timer);
    s->tcp.data = s->timer.data = s;
    s->n_pending = 2;
    uv_timer_start(&s->timer, on_timeout, request->timeout_ms, 0);
    snprintf(port, sizeof port, "%u", request->port);
    if (uv_getaddrinfo(loop, &s->resolve, on_resolved, request->host, port, &hints) == 0) {
        s->resolving = true;
        s->n_pending++;
    } else {
        uv_timer_start(&s->timer, on_stillborn, 0, 0);
    }
    return s;
}
