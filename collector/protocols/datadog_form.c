/*
 * Each part is the event, an attachment, or a field of an old form, in that order of trying: an old
 * form's files are named in brackets ("data[cpu.pprof]"), its fields have no file name at all.
 */
#include "collector/protocols/datadog_form.h"

/* ---- parts ------------------------------------------------------------------------------------
 */

static bool ends_in(struct bytes s, const char *end)
{
    size_t n = strlen(end);

    return s.len >= n && memcmp(s.data + s.len - n, end, n) == 0;
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
    const uint8_t *dot = name.len ? memchr(name.data, '.', name.len) : NULL;
    struct bytes stem = bytes_of(name.data, dot ? (size_t)(dot - name.data) : name.len);

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
