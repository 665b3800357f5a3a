/*
 * Each protocol has its own way to name things; all of them end in add_tag(), which knows one
 * spelling for each key (profile/series.h), which keys are dropped, and what a tag may hold: UTF-8
 * without control bytes, for it is printed in pages, logs and JSON later.
 */
#include "collector/intake.h"

#include "collector/app_name.h"
#include "net/timeparam.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

/* Bytes of the UTF-8 character at s (RFC 3629), 0 if there is none. */
static size_t utf8_len(struct bytes s)
{
    uint8_t c = s.data[0];
    size_t n = c < 0x80                ? 1
               : c >= 0xc2 && c < 0xe0 ? 2
               : c >= 0xe0 && c < 0xf0 ? 3
               : c >= 0xf0 && c < 0xf5 ? 4
                                       : 0;

    if (n == 0 || n > s.len)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((s.data[i] & 0xc0) != 0x80)
            return 0;
    if ((c == 0xe0 && s.data[1] < 0xa0) || (c == 0xed && s.data[1] >= 0xa0) ||
        (c == 0xf0 && s.data[1] < 0x90) || (c == 0xf4 && s.data[1] >= 0x90))
        return 0;
    return n;
}

static bool is_clean_text(struct bytes s)
{
    while (s.len) {
        size_t n = utf8_len(s);

        if (n == 0 || s.data[0] < ' ' || s.data[0] == 0x7f)
            return false;
        s = bytes_of(s.data + n, s.len - n);
    }
    return true;
}

static int fail_tag(struct failure *f, int r, struct bytes key, struct bytes value)
{
    int n = key.len < 60 ? (int)key.len : 60;

    if (r == TAGS_E_FULL)
        return fail(f, 400, "too_many_tags", NULL, "more than %d tags", TAGS_MAX);
    return fail(
        f, 400, "tag_too_long", NULL,
        "the tag \"%.*s\": a key has at most %d bytes (it has %zu), a value %d (it has %zu)", n,
        (const char *)key.data, TAG_KEY_MAX, key.len, TAG_VALUE_MAX, value.len);
}

static int add_tag(struct intake *in, const struct intake_rules *rules, struct bytes key,
                   struct bytes value, struct failure *f)
{
    int r;

    if (!is_clean_text(key) || !is_clean_text(value))
        return fail(f, 400, "bad_tag", NULL, "a tag is not UTF-8, or has control bytes");
    key = tag_canonical(key);
    if (key.len == 0 || value.len == 0 || tag_is_dropped(key))
        return 0;
    if (bytes_equal(key, BYTES_LIT("service"))) {
        if (value.len > TAG_VALUE_MAX)
            return fail_tag(f, TAGS_E_TOO_LONG, key, value);
        if (in->service.len == 0)
            in->service = value;
        return 0;
    }
    r = tags_add(tag_is_series(key, rules->series_tags) ? &in->series : &in->instance, key, value);
    return r ? fail_tag(f, r, key, value) : 0;
}

static int read_bound(struct time_bound *b, const struct http_request *r, const char *name,
                      int64_t now_ns, struct failure *f)
{
    struct bytes text = http_param(r, name);

    if (text.len == 0)
        return 0;
    if (time_param(text, now_ns, &b->ns))
        return fail(f, 400, "bad_time", "Unix time in s, ms, µs or ns, RFC 3339, or now-1h",
                    "the parameter %s is no time: \"%.*s\"", name,
                    (int)(text.len < 60 ? text.len : 60), (const char *)text.data);
    b->given = true;
    return 0;
}

/* The characters that Pyroscope and its kin allow in a tenant's name. */
static bool is_tenant(struct bytes t)
{
    for (size_t i = 0; i < t.len; i++)
        if (!isalnum(t.data[i]) && !memchr("!-_.*'()", t.data[i], 8))
            return false;
    return t.len <= TENANT_MAX;
}

static int read_tenant(struct intake *in, const struct http_request *r, struct failure *f)
{
    in->tenant = http_header(r, "x-scope-orgid");
    if (in->tenant.len == 0)
        in->tenant = BYTES_LIT(TENANT_DEFAULT);
    if (!is_tenant(in->tenant))
        return fail(f, 400, "bad_tenant", "letters, digits or !-_.*'()",
                    "X-Scope-OrgID \"%.*s\": at most %d bytes of these, it has %zu",
                    (int)(in->tenant.len < 60 ? in->tenant.len : 60), (const char *)in->tenant.data,
                    TENANT_MAX, in->tenant.len);
    return 0;
}

static int begin(struct intake *in, const struct http_request *r, const struct intake_rules *rules,
                 struct failure *f)
{
    struct bytes coding = http_header(r, "content-encoding");

    memset(in, 0, sizeof *in);
    in->times.now_ns = rules->now_ns;
    in->times.future_max_ms = rules->future_max_ms;
    in->content_type = http_header(r, "content-type");
    in->multipart = in->content_type.len >= 10 &&
                    strncasecmp((const char *)in->content_type.data, "multipart/", 10) == 0;
    /* A profile's compression is told by its first bytes, whoever applied it. A form's is not. */
    if (coding.len && !bytes_equal(coding, BYTES_LIT("identity")) &&
        (in->multipart ||
         !(bytes_equal(coding, BYTES_LIT("gzip")) || bytes_equal(coding, BYTES_LIT("zstd")) ||
           bytes_equal(coding, BYTES_LIT("lz4")))))
        return fail(f, 415, "content_encoding", NULL,
                    "send a plain form, or a profile in gzip, zstd, lz4 or plain");
    if (read_tenant(in, r, f) || read_bound(&in->times.from, r, "from", rules->now_ns, f))
        return FAILURE;
    return read_bound(&in->times.until, r, "until", rules->now_ns, f);
}

static struct bytes cut_agent(struct bytes agent)
{
    return is_clean_text(agent) ? bytes_of(agent.data, agent.len < 128 ? agent.len : 128)
                                : (struct bytes){0};
}

static int check_cumulative(struct bytes v, struct failure *f)
{
    if (v.len == 0 || bytes_equal(v, BYTES_LIT("0")) || bytes_equal(v, BYTES_LIT("false")))
        return 0;
    if (!bytes_equal(v, BYTES_LIT("1")) && !bytes_equal(v, BYTES_LIT("true")))
        return fail(f, 400, "bad_parameter", NULL, "the parameter cumulative is 0 or 1");
    return fail(f, 400, "cumulative_unsupported",
                "ask for a difference (net/http/pprof: ?seconds=10) and push that",
                "values counted from the start of a process cannot be pushed");
}

static bool is_reserved(struct bytes name)
{
    return bytes_equal(name, BYTES_LIT("from")) || bytes_equal(name, BYTES_LIT("until")) ||
           bytes_equal(name, BYTES_LIT("cumulative"));
}

int intake_api(struct intake *in, const struct http_request *r, const struct intake_rules *rules,
               struct failure *f)
{
    if (begin(in, r, rules, f) || check_cumulative(http_param(r, "cumulative"), f))
        return FAILURE;
    for (size_t i = 0; i < http_n_params(r); i++) {
        struct bytes name, value;

        http_param_at(r, i, &name, &value);
        if (!is_reserved(name) && add_tag(in, rules, name, value, f))
            return FAILURE;
    }
    if (in->service.len == 0)
        return fail(f, 400, "no_service", "POST /api/v1/profiles?service=NAME",
                    "the parameter service is missing");
    in->agent = cut_agent(http_header(r, "user-agent"));
    return 0;
}

/* attime's rule: a time in 1970 is no time. */
static void drop_1970(struct time_bound *b)
{
    if (b->given && b->ns < INT64_C(31536000000000000))
        b->given = false;
}

int intake_pyroscope(struct intake *in, const struct http_request *r,
                     const struct intake_rules *rules, struct failure *f)
{
    struct app_name name;

    if (begin(in, r, rules, f) || app_name_parse(http_param(r, "name"), &name, f))
        return FAILURE;
    drop_1970(&in->times.from);
    drop_1970(&in->times.until);
    for (uint32_t i = 0; i < name.n; i++)
        if (add_tag(in, rules, name.labels[i].key, name.labels[i].value, f))
            return FAILURE;
    /* A service_name among the labels is the more exact one; the app's name stays beside it. */
    if (add_tag(in, rules, in->service.len ? BYTES_LIT("app_name") : BYTES_LIT("service"), name.app,
                f))
        return FAILURE;
    if (in->service.len == 0)
        in->service = BYTES_LIT("unknown_service");
    in->agent = cut_agent(http_param(r, "spyName"));
    /* format=pprof says that the body is the profile, whatever its Content-Type says. */
    if (bytes_equal(http_param(r, "format"), BYTES_LIT("pprof")))
        in->multipart = false;
    return 0;
}

void intake_instance(const struct intake *in, struct buf *out)
{
    struct bytes runtime = tags_get(&in->instance, "runtime-id");
    struct bytes pid = tags_get(&in->instance, "pid");

    buf_append_bytes(out, runtime);
    if (runtime.len)
        return;
    buf_append_bytes(out, tags_get(&in->instance, "host"));
    if (pid.len) {
        buf_append_u8(out, 0);
        buf_append_bytes(out, pid);
    }
}
