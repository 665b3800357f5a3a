/*
 * The web page: the files built into the program, or those of web_dir for who works on them. The
 * page is one, at /; the places within it are queries (web/src/location.ts). So a path that names
 * no file is a mistake: a browser is shown the way, others get the API's error. To serve index.html
 * there would show a blank page, whose relative addresses lead nowhere, and never what was meant.
 */
#include "query/query_impl.h"

#include "formats/inflate.h"
#include "web_assets.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE_HEADERS                                                                               \
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; "           \
    "img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; "                 \
    "form-action 'none'; frame-ancestors 'none'\r\n"                                               \
    "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n"
#define CACHE_FOR_EVER "Cache-Control: public, max-age=31536000, immutable\r\n"
#define CACHE_ASK      "Cache-Control: no-cache\r\n"

enum { FILE_BYTES_MAX = 32 << 20, PATH_BYTES_MAX = 512 };

static const char *caching(struct bytes path)
{
    return bytes_starts(path, BYTES_LIT("/assets/")) ? CACHE_FOR_EVER : CACHE_ASK;
}

/* The file of a path. */
static struct bytes file_of(struct bytes path)
{
    return bytes_equal(path, BYTES_LIT("/")) ? BYTES_LIT("/index.html") : path;
}

/* ---- nothing there ----------------------------------------------------------------------------
 */

static void put_escaped(struct buf *out, struct bytes text)
{
    for (size_t i = 0; i < text.len; i++)
        if (isalnum(text.data[i]))
            buf_append_u8(out, text.data[i]);
        else
            buf_printf(out, "%%%02X", text.data[i]);
}

/* What was asked for, of the page itself. */
static void put_query(const struct http_request *req, struct buf *out)
{
    struct bytes name, value;

    for (size_t i = 0; i < http_n_params(req); i++) {
        http_param_at(req, i, &name, &value);
        buf_append_str(out, i ? "&amp;" : "?");
        put_escaped(out, name);
        buf_append_str(out, "=");
        put_escaped(out, value);
    }
}

/* From the folder of a path to the page's: relative, for a proxy may have taken a prefix off. */
static void put_up(struct bytes path, struct buf *out)
{
    buf_append_str(out, "./");
    for (size_t i = 1; i < path.len; i++)
        if (path.data[i] == '/')
            buf_append_str(out, "../");
}

static void no_page(struct http_request *req)
{
    struct buf up = {0}, query = {0}, out = {0};

    put_up(http_path(req), &up);
    put_query(req, &query);
    buf_printf(&out,
               "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
               "<meta name=\"viewport\" content=\"width=device-width\">\n"
               "<meta name=\"color-scheme\" content=\"light dark\">\n"
               "<title>Not found · Hearth</title>\n"
               "<link rel=\"icon\" type=\"image/svg+xml\" href=\"%sfavicon.svg\">\n"
               "<link rel=\"stylesheet\" href=\"%s404.css\">\n"
               "<main>\n<h1>There is no page at this address</h1>\n"
               "<p>Hearth has one page; what it shows stands behind the question mark: "
               "<code>/?service=web</code></p>\n<p><a href=\"%s%s\">To the page</a></p>\n</main>\n",
               buf_cstr(&up), buf_cstr(&up), buf_cstr(&up), buf_cstr(&query));
    http_respond_buf(req, 404, "text/html; charset=utf-8", &out, PAGE_HEADERS CACHE_ASK);
    buf_deinit(&up);
    buf_deinit(&query);
}

static void not_found(struct http_request *req)
{
    struct failure f;
    struct bytes path = http_path(req);

    fail(&f, 404, "not_found", "docs/api.md lists the paths", "nothing is at %.*s",
         (int)(path.len < 200 ? path.len : 200), (const char *)path.data);
    http_respond_failure(req, &f);
}

static bool header_holds(const struct http_request *req, const char *name, const char *word)
{
    struct bytes value = http_header(req, name);

    return value.len > 0 && memmem(value.data, value.len, word, strlen(word)) != NULL;
}

static void nothing_there(struct http_request *req)
{
    if (header_holds(req, "Accept", "text/html"))
        no_page(req);
    else
        not_found(req);
}

/* ---- built in ---------------------------------------------------------------------------------
 */

static const struct web_asset *asset_of(struct bytes path)
{
    for (size_t i = 0; i < web_assets_n; i++)
        if (bytes_equal(path, bytes_str(web_assets[i].path)))
            return &web_assets[i];
    return NULL;
}

/* Every browser says that it takes gzip; for who does not, it is undone. */
static bool takes_gzip(const struct http_request *req)
{
    return header_holds(req, "Accept-Encoding", "gzip");
}

static void respond_inflated(struct http_request *req, const struct web_asset *a,
                             const char *headers)
{
    struct inflater *inf = inflater_new();
    struct buf out = {0};
    struct bytes plain;
    struct failure f;

    if (inflate(inf, bytes_of(a->data, a->len), FILE_BYTES_MAX, &out, &plain, &f) != 0)
        http_respond_failure(req, &f);
    else
        http_respond(req, 200, a->content_type, plain, headers);
    buf_deinit(&out);
    inflater_free(inf);
}

static void respond_asset(struct http_request *req, const struct web_asset *a)
{
    char headers[1024];
    bool packed = a->gzip && takes_gzip(req);

    snprintf(headers, sizeof headers, "%s%s%s%s", PAGE_HEADERS, caching(bytes_str(a->path)),
             a->gzip ? "Vary: Accept-Encoding\r\n" : "",
             packed ? "Content-Encoding: gzip\r\n" : "");
    if (a->gzip && !packed)
        respond_inflated(req, a, headers);
    else
        http_respond(req, 200, a->content_type, bytes_of(a->data, a->len), headers);
}

static void on_built_in(struct http_request *req, void *ctx)
{
    const struct web_asset *a = asset_of(file_of(http_path(req)));

    (void)ctx;
    if (a)
        respond_asset(req, a);
    else
        nothing_there(req);
}

/* ---- from a directory -------------------------------------------------------------------------
 */

static const char *content_type(const char *path)
{
    static const char *const types[][2] = {
        {".html", "text/html; charset=utf-8"}, {".js", "text/javascript; charset=utf-8"},
        {".css", "text/css; charset=utf-8"},   {".svg", "image/svg+xml"},
        {".json", "application/json"},         {".png", "image/png"},
    };
    const char *dot = strrchr(path, '.');

    for (size_t i = 0; dot && i < sizeof types / sizeof *types; i++)
        if (strcmp(dot, types[i][0]) == 0)
            return types[i][1];
    return "application/octet-stream";
}

/* No part begins with a dot and there is no NUL: what remains cannot climb. Links are followed: the
 * directory is the administrator's. */
static bool is_safe(struct bytes path)
{
    if (path.len < 2 || path.len >= PATH_BYTES_MAX || path.data[0] != '/' ||
        memchr(path.data, 0, path.len))
        return false;
    for (size_t i = 0; i + 1 < path.len; i++)
        if (path.data[i] == '/' && (path.data[i + 1] == '.' || path.data[i + 1] == '/'))
            return false;
    return true;
}

static bool read_fd(int fd, struct buf *out)
{
    struct stat st;
    ssize_t n;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_BYTES_MAX)
        return false;
    buf_reserve(out, (size_t)st.st_size);
    while (out->len < (size_t)st.st_size) {
        n = read(fd, out->data + out->len, (size_t)st.st_size - out->len);
        if (n <= 0)
            return false;
        out->len += (size_t)n;
    }
    return true;
}

static bool read_file(const char *dir, struct bytes path, struct buf *out)
{
    char name[PATH_BYTES_MAX + 1];
    int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC), fd = -1;
    bool good = false;

    if (dir_fd >= 0 && is_safe(path)) {
        snprintf(name, sizeof name, "%.*s", (int)path.len - 1, (const char *)path.data + 1);
        fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
    }
    good = fd >= 0 && read_fd(fd, out);
    if (fd >= 0)
        close(fd);
    if (dir_fd >= 0)
        close(dir_fd);
    return good;
}

static void on_directory(struct http_request *req, void *ctx)
{
    struct query *q = ctx;
    struct bytes path = file_of(http_path(req));
    char name[PATH_BYTES_MAX + 1];
    struct buf out = {0};

    snprintf(name, sizeof name, "%.*s", (int)path.len, (const char *)path.data);
    if (read_file(q->options->web_dir, path, &out))
        http_respond_buf(req, 200, content_type(name), &out, PAGE_HEADERS CACHE_ASK);
    else
        nothing_there(req);
    buf_deinit(&out);
}

/* ---- routes -----------------------------------------------------------------------------------
 */

static void on_no_api(struct http_request *req, void *ctx)
{
    (void)ctx;
    not_found(req);
}

void page_routes(struct query *q, struct http_server *http)
{
    bool from_directory = q->options->web_dir && q->options->web_dir[0];

    http_route(http, "GET", "/api/*", on_no_api, q);
    http_route(http, "GET", "/*", from_directory ? on_directory : on_built_in, q);
}
