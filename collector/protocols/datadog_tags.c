/*
 * Among tags the first of a key holds, so the order of the calls in datadog_describe() is an order
 * of precedence: what the profiler says of itself, what the library's own detection says, then what
 * an agent on the way added, then what we would have added in the agent's place.
 */
#include "collector/protocols/datadog_tags.h"

#include "base/varint.h"
#include "net/timeparam.h"

#include <unistd.h>

static struct bytes until(struct bytes *rest, uint8_t c)
{
    const uint8_t *at = rest->len ? memchr(rest->data, c, rest->len) : NULL;
    struct bytes head = bytes_of(rest->data, at ? (size_t)(at - rest->data) : rest->len);

    *rest = at ? bytes_of(at + 1, rest->len - head.len - 1) : (struct bytes){0};
    return head;
}

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

/* A retry has the same bytes; the same sizes could be another profile. Order among attachments
 * varies, so their hashes are added up. */
static uint64_t attachments_hash(const struct datadog_form *form)
{
    struct buf b = {0};
    uint64_t sum = 0;

    for (size_t i = 0; i < form->n; i++) {
        buf_reset(&b);
        buf_varbytes(&b, form->at[i].name);
        buf_varint(&b, hash64(form->at[i].body));
        sum += hash64(buf_bytes(&b));
    }
    buf_deinit(&b);
    return sum;
}

bool datadog_upload_key(const struct datadog_form *form, struct bytes tenant, struct hash128 *ret)
{
    const struct datadog_event *ev = &form->event;
    struct bytes runtime = tag_in(ev->tags, "runtime-id"), pid = tag_in(ev->tags, "process_id");
    uint64_t content = attachments_hash(form);
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
    buf_append(&b, &content, sizeof content);
    *ret = hash128(buf_bytes(&b));
    buf_deinit(&b);
    return true;
}
