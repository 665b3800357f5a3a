/*
 * What a peer may send, up to two requests of one connection. How the network cuts the bytes must
 * not matter; what was decoded stays within the limits; a path that a handler sees does not climb
 * and has no NUL; the budget is whole again at the end.
 */
#include "base/hash.h"
#include "net/http_int.h"

enum { BODY_MAX = 4096, BUDGET = 6000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void digest(uint64_t *h, struct bytes s)
{
    *h = hash_mix(*h ^ hash64(s)) + s.len;
}

static void check_path(struct bytes path)
{
    CHECK(path.len && path.data[0] == '/');
    CHECK(!memchr(path.data, '\0', path.len));
    for (size_t i = 0; i < path.len; i++) {
        struct bytes rest = bytes_of(path.data + i, path.len - i);

        if (bytes_starts(rest, BYTES_LIT("/..")))
            CHECK(rest.len > 3 && rest.data[3] != '/');
    }
}

static void digest_request(uint64_t *h, const struct http_request *r)
{
    check_path(http_path(r));
    CHECK(r->body.len <= BODY_MAX);
    digest(h, http_method(r));
    digest(h, http_path(r));
    digest(h, http_body(r));
    for (size_t i = 0; i < r->n_headers; i++) {
        digest(h, r->headers[i].name);
        digest(h, r->headers[i].value);
    }
    for (size_t i = 0; i < http_n_params(r); i++) {
        struct bytes name, value;

        http_param_at(r, i, &name, &value);
        digest(h, name);
        digest(h, value);
    }
    *h = hash_mix(*h + r->keep_alive);
}

/* The next cut of step bytes. */
static struct bytes next_piece(struct bytes s, size_t step)
{
    return bytes_of(s.data, s.len < step ? s.len : step);
}

/* One request off the front of in; false: refused, or more is needed. */
static bool take_request(struct http_request *r, struct bytes *in, size_t step)
{
    int head = HTTP_HEAD_MORE;

    while (head == HTTP_HEAD_MORE && in->len) {
        size_t used = 0;

        head = http_parse_take_head(r, next_piece(*in, step), &used);
        in->data += used;
        in->len -= used;
    }
    if (head != HTTP_HEAD_WHOLE || http_parse_head(r) || http_request_read_target(r))
        return false;
    if (!r->done && (r->content_length > BODY_MAX || http_request_charge(r, r->content_length)))
        return false;
    while (!r->done && in->len) {
        size_t used = 0;

        if (http_parse_body(r, next_piece(*in, step), &used))
            return false;
        in->data += used;
        in->len -= used;
    }
    return r->done;
}

static uint64_t parse_all(struct bytes in, size_t step)
{
    struct http_server server = {.limits = http_limits_default};
    struct http_conn conn = {.server = &server};
    uint64_t h = 1;

    list_init(&server.conns);
    server.limits.header_bytes_max = 2048;
    server.limits.body_bytes_max = BODY_MAX;
    body_budget_init(&server.own_budget, BUDGET);
    server.limits.budget = &server.own_budget;
    for (int i = 0; i < 2; i++) {
        struct http_request *r = http_request_new(&conn);
        bool whole = take_request(r, &in, step);

        if (whole)
            digest_request(&h, r);
        digest(&h, bytes_str(r->failure.code));
        h += (uint64_t)r->failure.status;
        whole = whole && r->keep_alive;
        http_request_free(r);
        if (!whole)
            break;
    }
    CHECK(server.own_budget.used == 0 && server.n_requests == 0);
    return h;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint64_t whole = parse_all(bytes_of(data, len), SIZE_MAX);

    CHECK(parse_all(bytes_of(data, len), 1) == whole);
    CHECK(parse_all(bytes_of(data, len), 7) == whole);
    return 0;
}
