/*
 * The first line is a Content-Type, the rest a body. Parts stand in the body in order, without
 * overlap, behind a delimiter each, and none of them holds a delimiter's line.
 */
#include "base/err.h"
#include "net/multipart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static bool within(struct bytes inner, const uint8_t *from, const uint8_t *to)
{
    return !inner.data || (inner.data >= from && inner.data + inner.len <= to);
}

static void check_parts(const struct part *parts, size_t n, struct bytes body)
{
    const uint8_t *at = body.data, *end = body.data + body.len;

    CHECK(n <= PARTS_MAX);
    for (size_t i = 0; i < n; i++) {
        const struct part *p = &parts[i];

        CHECK(p->name.data && within(p->body, at, end));
        CHECK(within(p->name, at, p->body.data) && within(p->filename, at, p->body.data) &&
              within(p->content_type, at, p->body.data));
        CHECK(end - (p->body.data + p->body.len) >= 4);
        CHECK(memcmp(p->body.data + p->body.len, "\r\n--", 4) == 0);
        at = p->body.data + p->body.len;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const uint8_t *line = len ? memchr(data, '\n', len) : NULL;
    struct part parts[PARTS_MAX];
    struct bytes type, body;
    struct failure f;
    size_t n = 0;

    if (!line)
        return 0;
    type = bytes_of(data, (size_t)(line - data));
    body = bytes_of(line + 1, len - type.len - 1);
    if (multipart_parse(type, body, parts, &n, &f) == 0)
        check_parts(parts, n, body);
    else
        CHECK(f.status == 400 && f.code[0] && f.message[0]);
    return 0;
}
