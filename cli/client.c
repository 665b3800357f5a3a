#include "cli/client.h"

#include "base/xalloc.h"
#include "profile/series.h"

#include <curl/curl.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum { CONNECT_TIMEOUT_S = 10, TIMEOUT_S = 300, REPLY_BYTES_MAX = 1 << 30 };

struct client {
    CURL *curl;
    char *server;
    const char *tenant;
    char error[CURL_ERROR_SIZE];
};

struct client *client_new(const char *server)
{
    struct client *c = xcalloc(1, sizeof *c);
    size_t len;

    CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    c->curl = curl_easy_init();
    CHECK(c->curl);
    c->server = xstrdup(server ? server : CLIENT_DEFAULT_SERVER);
    for (len = strlen(c->server); len > 0 && c->server[len - 1] == '/'; len--)
        c->server[len - 1] = '\0';
    return c;
}

void client_free(struct client *c)
{
    if (!c)
        return;
    curl_easy_cleanup(c->curl);
    curl_global_cleanup();
    free(c->server);
    free(c);
}

void client_tenant(struct client *c, const char *tenant)
{
    c->tenant = tenant;
}

void client_reply_deinit(struct client_reply *r)
{
    buf_deinit(&r->body);
}

void url_path(struct buf *url, const char *path)
{
    buf_reset(url);
    buf_append_str(url, path);
}

void url_add(struct client *c, struct buf *url, const char *name, const char *value)
{
    char *escaped;

    if (!value || !*value)
        return;
    escaped = curl_easy_escape(c->curl, value, 0);
    CHECK(escaped);
    buf_append_str(url, url->len && memchr(url->data, '?', url->len) ? "&" : "?");
    buf_append_str(url, name);
    buf_append_str(url, "=");
    buf_append_str(url, escaped);
    curl_free(escaped);
}

static size_t on_body(char *data, size_t size, size_t n, void *ctx)
{
    struct client_reply *r = ctx;

    if (r->body.len + size * n > REPLY_BYTES_MAX)
        return 0;
    buf_append(&r->body, data, size * n);
    return size * n;
}

static size_t on_header(char *data, size_t size, size_t n, void *ctx)
{
    static const char name[] = "retry-after:";
    struct client_reply *r = ctx;

    if (size * n > sizeof name && strncasecmp(data, name, sizeof name - 1) == 0)
        r->retry_after_s = (int)strtol(data + sizeof name - 1, NULL, 10);
    return size * n;
}

static int perform(struct client *c, struct buf *url, struct client_reply *ret, struct failure *f)
{
    struct buf full = {0};
    CURLcode code;
    long status = 0;

    *ret = (struct client_reply){.retry_after_s = -1};
    buf_append_str(&full, c->server);
    buf_append_bytes(&full, buf_bytes(url));
    curl_easy_setopt(c->curl, CURLOPT_URL, buf_cstr(&full));
    curl_easy_setopt(c->curl, CURLOPT_ERRORBUFFER, c->error);
    curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, ret);
    curl_easy_setopt(c->curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c->curl, CURLOPT_HEADERDATA, ret);
    curl_easy_setopt(c->curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S);
    curl_easy_setopt(c->curl, CURLOPT_TIMEOUT, (long)TIMEOUT_S);
    curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c->curl, CURLOPT_USERAGENT, "hearth/" HEARTH_VERSION);
    c->error[0] = '\0';
    code = curl_easy_perform(c->curl);
    buf_deinit(&full);
    if (code != CURLE_OK) {
        client_reply_deinit(ret);
        return fail(f, 503, "no_answer", "is it running? hearth standalone starts one", "%s: %s",
                    c->server, c->error[0] ? c->error : curl_easy_strerror(code));
    }
    curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
    ret->status = (int)status;
    return 0;
}

static struct curl_slist *add_tenant(const struct client *c, struct curl_slist *headers)
{
    char line[TENANT_MAX + 32];

    if (!c->tenant)
        return headers;
    snprintf(line, sizeof line, "X-Scope-OrgID: %s", c->tenant);
    return curl_slist_append(headers, line);
}

int client_get(struct client *c, struct buf *url, struct client_reply *ret, struct failure *f)
{
    struct curl_slist *headers = add_tenant(c, NULL);
    int r;

    curl_easy_reset(c->curl);
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
    r = perform(c, url, ret, f);
    curl_slist_free_all(headers);
    return r;
}

int client_post(struct client *c, struct buf *url, struct bytes body, struct client_reply *ret,
                struct failure *f)
{
    struct curl_slist *headers = NULL;
    int r;

    curl_easy_reset(c->curl);
    headers = curl_slist_append(headers, "Content-Type: application/octet-stream");
    headers = curl_slist_append(headers, "Expect:");
    headers = add_tenant(c, headers);
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c->curl, CURLOPT_POST, 1L);
    curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
    curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, body.data ? (const char *)body.data : "");
    r = perform(c, url, ret, f);
    curl_slist_free_all(headers);
    return r;
}

static int fail_connection(const struct client *c, CURLcode code, struct failure *f)
{
    return fail(f, 503, "no_answer", "is it running? hearth standalone starts one", "%s: %s",
                c->server, c->error[0] ? c->error : curl_easy_strerror(code));
}

int client_connect(struct client *c, struct failure *f)
{
    CURLcode code;

    curl_easy_reset(c->curl);
    c->error[0] = '\0';
    curl_easy_setopt(c->curl, CURLOPT_URL, c->server);
    curl_easy_setopt(c->curl, CURLOPT_ERRORBUFFER, c->error);
    curl_easy_setopt(c->curl, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(c->curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S);
    curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
    code = curl_easy_perform(c->curl);
    return code == CURLE_OK ? 0 : fail_connection(c, code, f);
}

const char *client_host(const struct client *c)
{
    const char *scheme = strstr(c->server, "://");

    return scheme ? scheme + 3 : c->server;
}

/* Waits until the socket can be read from or written to; false: the time is over. */
static bool wait_for_socket(struct client *c, short events, int timeout_ms)
{
    curl_socket_t fd = CURL_SOCKET_BAD;

    curl_easy_getinfo(c->curl, CURLINFO_ACTIVESOCKET, &fd);
    return poll(&(struct pollfd){.fd = fd, .events = events}, 1, timeout_ms) != 0;
}

int client_send(struct client *c, struct bytes data, struct failure *f)
{
    while (data.len) {
        size_t n = 0;
        CURLcode code = curl_easy_send(c->curl, data.data, data.len, &n);

        if (code == CURLE_AGAIN && !wait_for_socket(c, POLLOUT, TIMEOUT_S * 1000))
            code = CURLE_OPERATION_TIMEDOUT;
        if (code != CURLE_OK && code != CURLE_AGAIN)
            return fail_connection(c, code, f);
        data.data += n;
        data.len -= n;
    }
    return 0;
}

int client_recv(struct client *c, void *to, size_t size, int timeout_ms, size_t *ret_n,
                struct failure *f)
{
    CURLcode code;

    *ret_n = 0;
    while ((code = curl_easy_recv(c->curl, to, size, ret_n)) == CURLE_AGAIN)
        if (!wait_for_socket(c, POLLIN, timeout_ms))
            return 0;
    if (code == CURLE_OK && *ret_n == 0)
        return fail(f, 503, "no_answer", NULL, "%s: the server closed the connection", c->server);
    return code == CURLE_OK ? 0 : fail_connection(c, code, f);
}

static const char *member(json_t *object, const char *name)
{
    const char *s = json_string_value(json_object_get(object, name));

    return s ? s : "";
}

int client_refused(const struct client_reply *r, struct failure *f)
{
    json_t *j = json_loadb((const char *)r->body.data, r->body.len, 0, NULL);
    const char *message = member(j, "message"), *code = member(j, "code");

    if (*message)
        fail(f, r->status, *code ? code : "refused", member(j, "hint"), "%s", message);
    else
        fail(f, r->status, "refused", NULL, "the server answered %d", r->status);
    json_decref(j);
    return FAILURE;
}

int client_get_ok(struct client *c, struct buf *url, struct buf *ret_body, struct failure *f)
{
    struct client_reply reply;

    if (client_get(c, url, &reply, f) != 0)
        return FAILURE;
    if (reply.status != 200) {
        client_refused(&reply, f);
        client_reply_deinit(&reply);
        return FAILURE;
    }
    *ret_body = reply.body;
    return 0;
}
