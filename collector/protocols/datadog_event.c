/*
 * A yajl parse that keeps the texts of five keys of the outermost object and counts the entries of
 * one; where it stands is told by the depth and the last key of depth one. Numbers go through the
 * callback for their text, so that none is too large to read.
 */
#include "collector/protocols/datadog_event.h"

#include <yajl/yajl_parse.h>

struct reading_event {
    struct datadog_event *ev;
    struct arena *arena;
    unsigned depth;
    bool is_object, too_deep;
    struct bytes *field; /* of ev, for the value that comes next at depth one; NULL: none */
    bool in_endpoints;
};

static int on_text(void *ctx, const unsigned char *s, size_t len)
{
    struct reading_event *r = ctx;

    if (r->depth == 1 && r->field && !r->field->data)
        *r->field = arena_copy(r->arena, bytes_of(s, len));
    return 1;
}

static int on_key(void *ctx, const unsigned char *s, size_t len)
{
    struct reading_event *r = ctx;
    struct datadog_event *ev = r->ev;
    struct bytes key = bytes_of(s, len);

    if (r->depth == 2 && r->in_endpoints)
        ev->n_endpoints++;
    if (r->depth != 1)
        return 1;
    r->in_endpoints = bytes_equal(key, BYTES_LIT("endpoint_counts"));
    r->field = bytes_equal(key, BYTES_LIT("tags_profiler"))  ? &ev->tags
               : bytes_equal(key, BYTES_LIT("process_tags")) ? &ev->process_tags
               : bytes_equal(key, BYTES_LIT("family"))       ? &ev->family
               : bytes_equal(key, BYTES_LIT("start"))        ? &ev->start
               : bytes_equal(key, BYTES_LIT("end"))          ? &ev->end
                                                             : NULL;
    return 1;
}

static int on_open(void *ctx)
{
    struct reading_event *r = ctx;

    r->too_deep = ++r->depth > EVENT_DEPTH_MAX;
    return !r->too_deep;
}

static int on_map(void *ctx)
{
    struct reading_event *r = ctx;

    r->is_object |= r->depth == 0;
    return on_open(ctx);
}

static int on_close(void *ctx)
{
    struct reading_event *r = ctx;

    r->depth--;
    return 1;
}

static int on_null(void *ctx)
{
    (void)ctx;
    return 1;
}

static int on_boolean(void *ctx, int value)
{
    (void)ctx;
    (void)value;
    return 1;
}

static int on_number(void *ctx, const char *s, size_t len)
{
    (void)ctx;
    (void)s;
    (void)len;
    return 1;
}

static const yajl_callbacks callbacks = {
    .yajl_null = on_null,
    .yajl_boolean = on_boolean,
    .yajl_number = on_number,
    .yajl_string = on_text,
    .yajl_start_map = on_map,
    .yajl_map_key = on_key,
    .yajl_end_map = on_close,
    .yajl_start_array = on_open,
    .yajl_end_array = on_close,
};

static int malformed(yajl_handle y, struct bytes json, struct failure *f)
{
    return fail(f, 400, "bad_event", NULL, "event.json is no JSON object: near byte %zu of %zu",
                yajl_get_bytes_consumed(y), json.len);
}

int datadog_event_read(struct datadog_event *ev, struct bytes json, struct arena *arena,
                       struct failure *f)
{
    struct reading_event r = {.ev = ev, .arena = arena};
    yajl_handle y;
    int result = 0;

    *ev = (struct datadog_event){0};
    if (json.len > EVENT_BYTES_MAX)
        return fail(f, 413, "event_too_large", NULL, "event.json has %zu bytes, more than %d",
                    json.len, EVENT_BYTES_MAX);
    y = yajl_alloc(&callbacks, NULL, &r);
    CHECK(y);
    yajl_config(y, yajl_dont_validate_strings, 1); /* tags are repaired one by one */
    if (yajl_parse(y, json.data, json.len) != yajl_status_ok ||
        yajl_complete_parse(y) != yajl_status_ok || !r.is_object)
        result = r.too_deep ? fail(f, 413, "event_too_large", NULL,
                                   "event.json is nested deeper than %d", EVENT_DEPTH_MAX)
                            : malformed(y, json, f);
    yajl_free(y);
    return result;
}
