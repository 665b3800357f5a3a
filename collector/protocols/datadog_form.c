/*
 * Among tags the first of a key holds, so the order of the calls in datadog_describe() is an order
 * of precedence: what the profiler says of itself, what the library's own detection says, then what
 * an agent on the way added, then what we would have added in the agent's place.
 */
#include "collector/protocols/datadog_form.h"

#include "base/varint.h"
#include "net/timeparam.h"

#include <strings.h>
#include <unistd.h>

/* ---- parts ------------------------------------------------------------------------------------
 */

static bool ends_in(struct bytes s, const char *end)
{
    size_t n = strlen(end);

    return s.len >= n && memcmp(s.data + s.len - n, end, n) == 0;
}

static struct bytes until(struct bytes *rest, uint8_t c)
{
    const uint8_t *at = rest->len ? memchr(rest->data, c, rest->len) : NULL;
    struct bytes head = bytes_of(rest->data, at ? (size_t)(at - rest->data) : rest->len);

    *rest = at ? bytes_of(at + 1, rest->len - head.len - 1) : (struct bytes){0};
    return head;
}

/* "data[cpu.pprof]", "data[0]" → what is in the brackets; else empty. */
static struct bytes in_brackets(struct bytes name)
{
    if (!bytes_starts(name, BYTES_LIT("data[")) || name.data[name.len - 1] != ']')
        return (struct bytes){0};
    return bytes_of(name.data + 5, name.len - 6);
}

/* Old Go clients call every file "pprof-data" and name it in the brackets; old JS ones number them
 * there and name the file "cpu.pb.gz". */
static struct bytes attachment_name(const struct part *p)
{
    struct bytes inner = in_brackets(p->name);

    if (inner.len && memchr(inner.data, '.', inner.len))
        return inner;
    return p->filename.len ? p->filename : p->name;
}

static bool is_event(const struct part *p)
{
    return bytes_equal(p->filename.len ? p->filename : p->name, BYTES_LIT("event.json")) ||
           (!p->filename.len && bytes_equal(p->name, BYTES_LIT("event")));
}

/* The fields of the forms before event.json. */
static struct bytes *old_field(struct datadog_event *ev, struct bytes name)
{
    if (bytes_equal(name, BYTES_LIT("start")) || bytes_equal(name, BYTES_LIT("recording-start")))
        return &ev->start;
    if (bytes_equal(name, BYTES_LIT("end")) || bytes_equal(name, BYTES_LIT("recording-end")))
        return &ev->end;
    if (bytes_equal(name, BYTES_LIT("family")) || bytes_equal(name, BYTES_LIT("language")))
        return &ev->family;
    return NULL;
}

static void add_old_tag(struct buf *tags, struct bytes tag)
{
    buf_append_str(tags, tags->len ? "," : "");
    buf_append_bytes(tags, tag);
}

/* A part without a file name. */
static void read_field(struct datadog_form *form, const struct part *p, struct buf *tags)
{
    struct bytes *field = old_field(&form->event, p->name);

    if (bytes_equal(p->name, BYTES_LIT("tags[]")))
        add_old_tag(tags, p->body);
    else if (field && !field->data)
        *field = p->body;
}

static void read_part(struct datadog_form *form, const struct part *p, struct buf *tags)
{
    if (is_event(p) && !form->event_json.data)
        form->event_json = p->body;
    else if (p->filename.len || in_brackets(p->name).len)
        form->at[form->n++] = (struct attachment){attachment_name(p), p->body};
    else
        read_field(form, p, tags);
}

int datadog_form_read(struct datadog_form *form, struct bytes content_type, struct bytes body,
                      struct arena *arena, struct failure *f)
{
    struct part parts[PARTS_MAX];
    struct buf tags = {0};
    size_t n;

    memset(form, 0, sizeof *form);
    if (multipart_parse(content_type, body, parts, &n, f))
        return FAILURE;
    for (size_t i = 0; i < n; i++)
        read_part(form, &parts[i], &tags);
    form->event.tags = arena_copy(arena, buf_bytes(&tags));
    buf_deinit(&tags);
    if (!form->event_json.data && !form->event.start.data)
        return fail(f, 400, "no_event", "send event.json, or the fields start, end and tags[]",
                    "the form has no part with the file name event.json, among %zu", n);
    return 0;
}

/* ---- the intake -------------------------------------------------------------------------------
 */

static int read_bound(struct time_bound *b, struct bytes text, int64_t now_ns, const char *what,
                      struct failure *f)
{
    if (text.len == 0)
        return 0;
    if (time_param(text, now_ns, &b->ns))
        return fail(f, 400, "bad_time", "RFC 3339", "the event's %s is no time: \"%.*s\"", what,
                    (int)(text.len < 60 ? text.len : 60), (const char *)text.data);
    b->given = true;
    return 0;
}

/* The value of the first tag with the key in a list of "k:v,k:v"; empty: none. */
static struct bytes tag_in(struct bytes list, const char *key)
{
    while (list.len) {
        struct bytes value = until(&list, ','), k = until(&value, ':');

        if (bytes_equal(k, bytes_str(key)))
            return value;
    }
    return (struct bytes){0};
}

static void add(struct intake *in, const char *key, struct bytes value)
{
    if (value.len)
        intake_attribute(in, bytes_str(key), value);
}

/* An agent on the way adds the host; who comes without one runs on ours: one collector per node. */
static void add_host(struct intake *in, struct arena *arena)
{
    char name[256];

    if (tags_get(&in->instance, "host").len || gethostname(name, sizeof name) != 0)
        return;
    name[sizeof name - 1] = '\0';
    add(in, "host", arena_copy(arena, bytes_str(name)));
}

/* "dd-trace-go v2.12.0"; who does not say is known by the language alone. */
static void add_agent(struct intake *in, const struct datadog_event *ev,
                      const struct datadog_headers *h, struct arena *arena)
{
    struct buf b = {0};

    if (h->origin.len) {
        buf_append_bytes(&b, h->origin);
        buf_append_str(&b, h->origin_version.len ? " " : "");
        buf_append_bytes(&b, h->origin_version);
    } else {
        buf_append_str(&b, ev->family.len ? "datadog " : "datadog");
        buf_append_bytes(&b, ev->family);
    }
    intake_agent(in, arena_copy(arena, buf_bytes(&b)));
    buf_deinit(&b);
}

int datadog_describe(struct intake *in, const struct datadog_event *ev,
                     const struct datadog_headers *h, struct arena *arena, struct failure *f)
{
    if (read_bound(&in->times.from, ev->start, in->times.now_ns, "start", f) ||
        read_bound(&in->times.until, ev->end, in->times.now_ns, "end", f))
        return FAILURE;
    intake_datadog_tags(in, ev->tags);
    intake_datadog_tags(in, ev->process_tags);
    intake_datadog_tags(in, h->container_tags);
    intake_datadog_tags(in, h->additional_tags);
    add(in, "env", tag_in(h->additional_tags, "default_env"));
    add(in, "container_id", h->container_id);
    add(in, "entity_id", h->entity_id);
    add(in, "external_env", h->external_env);
    add(in, "language", ev->family);
    add_host(in, arena);
    intake_default_service(in);
    add_agent(in, ev, h, arena);
    return 0;
}

/* ---- the key ----------------------------------------------------------------------------------
 */

/* Order among attachments varies, so their hashes are added up. */
static uint64_t attachments_hash(const struct datadog_form *form)
{
    struct buf b = {0};
    uint64_t sum = 0;

    for (size_t i = 0; i < form->n; i++) {
        buf_reset(&b);
        buf_varbytes(&b, form->at[i].name);
        buf_varint(&b, form->at[i].body.len);
        sum += hash64(buf_bytes(&b));
    }
    buf_deinit(&b);
    return sum;
}

bool datadog_upload_key(const struct datadog_form *form, struct bytes tenant, struct hash128 *ret)
{
    const struct datadog_event *ev = &form->event;
    struct bytes runtime = tag_in(ev->tags, "runtime-id"), pid = tag_in(ev->tags, "process_id");
    uint64_t sizes = attachments_hash(form);
    struct buf b = {0};

    if ((runtime.len == 0 && pid.len == 0) || ev->start.len == 0 || ev->end.len == 0)
        return false;
    buf_varbytes(&b, tenant);
    buf_varbytes(&b, runtime);
    buf_varbytes(&b, runtime.len ? (struct bytes){0} : tag_in(ev->tags, "host"));
    buf_varbytes(&b, runtime.len ? (struct bytes){0} : pid);
    buf_varbytes(&b, tag_in(ev->tags, "profile_seq"));
    buf_varbytes(&b, ev->start);
    buf_varbytes(&b, ev->end);
    buf_append(&b, &sizes, sizeof sizes);
    *ret = hash128(buf_bytes(&b));
    buf_deinit(&b);
    return true;
}

/* ---- attachments ------------------------------------------------------------------------------
 */

static const struct {
    const char *name, *kind;
} skipped[] = {
    {"metrics.json", "metrics.json"},
    {"code-provenance.json", "code-provenance.json"},
    {"go.trace", "go.trace"},
    {"events.pprof", "timeline"},
};

/* File name without "delta-" and ending → family of its types. Those of one file for all types
 * ("profile", "auto") have no family. */
static const char *const families[][2] = {
    {"cpu", "cpu"},
    {"heap", "memory"},
    {"space", "memory"},
    {"mutex", "mutex"},
    {"block", "block"},
    {"goroutines", "goroutines"},
    {"goroutineleak", "goroutineleak"},
    {"goroutineswait", "goroutineswait"},
    {"wall", "wall"},
};

static const char *family_of(struct bytes name)
{
    struct bytes stem = until(&name, '.');

    if (bytes_starts(stem, BYTES_LIT("delta-")))
        stem = bytes_of(stem.data + 6, stem.len - 6);
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (bytes_equal(stem, bytes_str(families[i][0])))
            return families[i][1];
    return "";
}

enum attachment_kind datadog_attachment_kind(struct bytes name, const char **ret_word)
{
    for (size_t i = 0; i < sizeof skipped / sizeof *skipped; i++)
        if (bytes_equal(name, bytes_str(skipped[i].name))) {
            *ret_word = skipped[i].kind;
            return ATTACHMENT_SKIPPED;
        }
    *ret_word = family_of(name);
    if (ends_in(name, ".pprof") || ends_in(name, ".pb.gz") || ends_in(name, ".pb"))
        return ATTACHMENT_PPROF;
    if (ends_in(name, ".jfr"))
        return ATTACHMENT_JFR;
    *ret_word = "other";
    return ATTACHMENT_SKIPPED;
}
