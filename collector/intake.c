/*
 * Each protocol has its own way to name things; all of them end in put(), which knows one spelling
 * for each key (profile/series.h) and which keys are dropped. What a tag may hold is UTF-8 without
 * control bytes, for it is printed in pages, logs and JSON later: a person who typed something else
 * is told, an agent's tag is cut where it stops being that.
 */
#include "collector/intake.h"

#include "base/utf8.h"
#include "net/timeparam.h"

#include <string.h>

enum { AGENT_MAX = 128 };

/* How much of s is clean text. */
static size_t clean_len(struct bytes s)
{
    size_t at = 0, n;
    uint32_t c;

    for (; at < s.len && s.data[at] >= ' ' && s.data[at] != 0x7f; at += n)
        if (!(n = utf8_char(bytes_of(s.data + at, s.len - at), &c)))
            break;
    return at;
}

static bool is_clean_text(struct bytes s)
{
    return clean_len(s) == s.len;
}

int intake_begin(struct intake *in, const struct intake_rules *rules, struct bytes tenant,
                 struct failure *f)
{
    memset(in, 0, sizeof *in);
    in->rules = rules;
    in->times.now_ns = rules->now_ns;
    in->times.future_max_ms = rules->future_max_ms;
    in->tenant = tenant.len ? tenant : BYTES_LIT(TENANT_DEFAULT);
    return tenant_check(in->tenant, f);
}

/* key is canonical. 0 or TAGS_E_*. */
static int put(struct intake *in, struct bytes key, struct bytes value)
{
    bool is_series = tag_is_series(key, in->rules->series_tags);

    if (!bytes_equal(key, BYTES_LIT("service")))
        return tags_add(is_series ? &in->series : &in->instance, key, value);
    if (value.len > TAG_VALUE_MAX)
        return TAGS_E_TOO_LONG;
    if (in->service.len == 0)
        in->service = value;
    return 0;
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

int intake_tag(struct intake *in, struct bytes key, struct bytes value, struct failure *f)
{
    int r;

    if (!is_clean_text(key) || !is_clean_text(value))
        return fail(f, 400, "bad_tag", NULL, "a tag is not UTF-8, or has control bytes");
    key = tag_canonical(key);
    if (key.len == 0 || value.len == 0 || tag_is_dropped(key))
        return 0;
    r = put(in, key, value);
    return r ? fail_tag(f, r, key, value) : 0;
}

bool intake_attribute(struct intake *in, struct bytes key, struct bytes value)
{
    key = tag_canonical(key);
    value = utf8_cut(bytes_of(value.data, clean_len(value)), TAG_VALUE_MAX);
    if (key.len == 0 || value.len == 0 || !is_clean_text(key) || tag_is_dropped(key))
        return false;
    return put(in, key, value) == 0;
}

static struct bytes trim(struct bytes s)
{
    while (s.len && s.data[0] == ' ') {
        s.data++;
        s.len--;
    }
    while (s.len && s.data[s.len - 1] == ' ')
        s.len--;
    return s;
}

void intake_datadog_tags(struct intake *in, struct bytes list)
{
    while (list.len) {
        const uint8_t *comma = memchr(list.data, ',', list.len), *colon;
        struct bytes tag = {list.data, comma ? (size_t)(comma - list.data) : list.len};
        size_t step = tag.len + (comma != NULL);

        colon = tag.len ? memchr(tag.data, ':', tag.len) : NULL;
        if (colon) {
            size_t n = (size_t)(colon - tag.data);

            intake_attribute(in, trim(bytes_of(tag.data, n)),
                             trim(bytes_of(colon + 1, tag.len - n - 1)));
        }
        list = bytes_of(list.data + step, list.len - step);
    }
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

int intake_times(struct intake *in, const struct http_request *r, struct failure *f)
{
    if (read_bound(&in->times.from, r, "from", in->times.now_ns, f))
        return FAILURE;
    return read_bound(&in->times.until, r, "until", in->times.now_ns, f);
}

void intake_agent(struct intake *in, struct bytes agent)
{
    in->agent = is_clean_text(agent) ? utf8_cut(agent, AGENT_MAX) : (struct bytes){0};
}

void intake_default_service(struct intake *in)
{
    if (in->service.len == 0)
        in->service = bytes_str(in->rules->default_service);
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
