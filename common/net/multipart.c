/*
 * The body is walked from delimiter to delimiter (CRLF "--" boundary, RFC 2046 5.1.1); each part is
 * a header block, an empty line and bytes. What stands before the first delimiter and behind the
 * last is passed over, as the RFC has it; a body that ends without the closing delimiter was cut
 * off and is refused. A delimiter that goes on with other text ("--boundaryX") is data. Quoted
 * values are views, so a backslash in a file name stays as it was sent.
 */
#include "net/multipart.h"

#include <stdio.h>
#include <strings.h>

enum { BOUNDARY_MAX = 200, PART_HEADER_MAX = 8 << 10 };

struct delimiter {
    char text[4 + BOUNDARY_MAX + 1]; /* CRLF "--" boundary */
    size_t len;
};

static int malformed(struct failure *f, const char *what)
{
    return fail(f, 400, "bad_multipart", NULL, "malformed multipart body: %s", what);
}

static struct bytes trim(struct bytes s)
{
    while (s.len && (s.data[0] == ' ' || s.data[0] == '\t')) {
        s.data++;
        s.len--;
    }
    while (s.len && (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t'))
        s.len--;
    return s;
}

static bool is_word(struct bytes s, const char *word)
{
    return s.len == strlen(word) && strncasecmp((const char *)s.data, word, s.len) == 0;
}

static struct bytes skip(struct bytes s, size_t n)
{
    return bytes_of(s.data + n, s.len - n);
}

/* Where a parameter ends: at the next ';' that is not inside quotes. */
static size_t param_len(struct bytes s)
{
    bool quoted = false;
    size_t i = 0;

    for (; i < s.len && (quoted || s.data[i] != ';'); i++) {
        if (s.data[i] == '"')
            quoted = !quoted;
        else if (s.data[i] == '\\' && quoted && i + 1 < s.len)
            i++;
    }
    return i;
}

static struct bytes unquote(struct bytes s)
{
    if (s.len >= 2 && s.data[0] == '"' && s.data[s.len - 1] == '"')
        return bytes_of(s.data + 1, s.len - 2);
    return s;
}

/* The value of a parameter of a header ("form-data; name=x"); data NULL: absent. */
static struct bytes header_param(struct bytes header, const char *name)
{
    for (size_t n = param_len(header); n < header.len; n = param_len(header)) {
        struct bytes param;
        const uint8_t *eq;

        header = skip(header, n + 1);
        param = bytes_of(header.data, param_len(header));
        eq = param.len ? memchr(param.data, '=', param.len) : NULL;
        if (eq && is_word(trim(bytes_of(param.data, (size_t)(eq - param.data))), name))
            return unquote(trim(skip(param, (size_t)(eq - param.data) + 1)));
    }
    return (struct bytes){0};
}

static int read_boundary(struct bytes content_type, struct delimiter *d, struct failure *f)
{
    struct bytes b = header_param(content_type, "boundary");

    if (content_type.len < 10 ||
        strncasecmp((const char *)content_type.data, "multipart/", 10) != 0)
        return malformed(f, "the Content-Type is not multipart");
    if (b.len == 0 || b.len > BOUNDARY_MAX || memchr(b.data, '\0', b.len))
        return malformed(f, "the Content-Type has no boundary, or one of more than 200 bytes");
    d->len = 4 + b.len;
    memcpy(d->text, "\r\n--", 4);
    memcpy(d->text + 4, b.data, b.len);
    return 0;
}

enum delimiter_kind { NO_DELIMITER, DELIMITER, CLOSING_DELIMITER };

/* What stands behind a delimiter's text decides what it is; *rest begins behind its line. */
static enum delimiter_kind delimiter_kind(struct bytes after, struct bytes *rest)
{
    size_t i = 0;

    if (bytes_starts(after, BYTES_LIT("--"))) {
        *rest = skip(after, 2);
        return CLOSING_DELIMITER;
    }
    while (i < after.len && (after.data[i] == ' ' || after.data[i] == '\t'))
        i++;
    if (!bytes_starts(skip(after, i), BYTES_LIT("\r\n")))
        return NO_DELIMITER;
    *rest = skip(after, i + 2);
    return DELIMITER;
}

/* Finds the next delimiter in s: *content is what is before it. */
static enum delimiter_kind next_delimiter(const struct delimiter *d, struct bytes s,
                                          struct bytes *content, struct bytes *rest)
{
    struct bytes at = s;
    const uint8_t *hit;

    *content = s;
    while (at.len >= d->len && (hit = memmem(at.data, at.len, d->text, d->len))) {
        size_t end = (size_t)(hit - s.data) + d->len;
        enum delimiter_kind kind = delimiter_kind(skip(s, end), rest);

        if (kind != NO_DELIMITER) {
            *content = bytes_of(s.data, (size_t)(hit - s.data));
            return kind;
        }
        at = skip(s, end - d->len + 2);
    }
    return NO_DELIMITER;
}

static int read_disposition(struct part *p, struct bytes value, struct failure *f)
{
    p->name = header_param(value, "name");
    p->filename = header_param(value, "filename");
    return p->name.data ? 0 : malformed(f, "a part has no name");
}

static int read_part_header(struct part *p, struct bytes line, struct failure *f)
{
    const uint8_t *colon = memchr(line.data, ':', line.len);
    struct bytes name, value;

    if (!colon)
        return malformed(f, "a part's header has no colon");
    name = trim(bytes_of(line.data, (size_t)(colon - line.data)));
    value = trim(skip(line, (size_t)(colon - line.data) + 1));
    if (is_word(name, "content-type"))
        p->content_type = value;
    else if (is_word(name, "content-disposition"))
        return read_disposition(p, value, f);
    else if (is_word(name, "content-transfer-encoding") &&
             (is_word(value, "base64") || is_word(value, "quoted-printable")))
        return malformed(f, "a part has a Content-Transfer-Encoding; send plain bytes");
    return 0;
}

/* content: header lines, an empty line, the body. */
static int read_part(struct part *p, struct bytes content, struct failure *f)
{
    size_t header_len = 0;

    *p = (struct part){0};
    for (;;) {
        const uint8_t *end = content.len ? memmem(content.data, content.len, "\r\n", 2) : NULL;
        struct bytes line = bytes_of(content.data, end ? (size_t)(end - content.data) : 0);

        header_len += line.len + 2;
        if (!end)
            return malformed(f, "a part's header does not end");
        if (header_len > PART_HEADER_MAX)
            return malformed(f, "a part's header has more than 8192 bytes");
        content = skip(content, line.len + 2);
        if (line.len == 0)
            break;
        if (read_part_header(p, line, f))
            return FAILURE;
    }
    p->body = content;
    return p->name.data ? 0 : malformed(f, "a part has no name");
}

/* The first delimiter may stand at the very start, without its CRLF. */
static enum delimiter_kind first_delimiter(const struct delimiter *d, struct bytes body,
                                           struct bytes *rest)
{
    struct bytes preamble;

    if (bytes_starts(body, bytes_of(d->text + 2, d->len - 2))) {
        enum delimiter_kind kind = delimiter_kind(skip(body, d->len - 2), rest);

        if (kind != NO_DELIMITER)
            return kind;
    }
    return next_delimiter(d, body, &preamble, rest);
}

int multipart_parse(struct bytes content_type, struct bytes body, struct part parts[PARTS_MAX],
                    size_t *ret_n, struct failure *f)
{
    struct bytes rest = {0}, content = {0};
    enum delimiter_kind kind;
    struct delimiter d = {0};
    size_t n = 0;

    if (read_boundary(content_type, &d, f))
        return FAILURE;
    for (kind = first_delimiter(&d, body, &rest); kind == DELIMITER; n++) {
        struct bytes from = rest;

        if (n == PARTS_MAX)
            return fail(f, 400, "bad_multipart", NULL, "more than %d parts", PARTS_MAX);
        /* An empty part's closing CRLF is the one that ended its header. */
        kind = next_delimiter(&d, from, &content, &rest);
        if (kind != NO_DELIMITER && read_part(&parts[n], content, f))
            return FAILURE;
    }
    if (kind != CLOSING_DELIMITER)
        return malformed(f, n || rest.data ? "it ends before the closing boundary"
                                           : "the boundary does not occur in it");
    *ret_n = n;
    return 0;
}
