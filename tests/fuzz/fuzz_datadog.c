/*
 * The first line is a Content-Type, the rest a body: the form, its event and the tags in it.
 * Whatever comes out lies in the body or the arena and keeps the limits of tags; a failure says
 * what is wrong. Read a second time, it has the same key.
 */
#include "base/err.h"
#include "collector/protocols/datadog_tags.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const struct intake_rules rules = {
    .series_tags = "region,zone",
    .default_service = "unknown_service",
    .now_ns = INT64_C(1795487410000000000),
    .future_max_ms = 600000,
};

static void check_failure(const struct failure *f)
{
    CHECK((f->status == 400 || f->status == 413) && f->code[0] && f->message[0]);
}

static void check_tags(const struct tags *t)
{
    CHECK(t->n <= TAGS_MAX);
    for (uint32_t i = 0; i < t->n; i++) {
        struct bytes key = t->at[i].key, value = t->at[i].value;

        CHECK(key.len > 0 && key.len <= TAG_KEY_MAX && value.len > 0);
        CHECK(value.len <= TAG_VALUE_MAX && !memchr(value.data, '\n', value.len));
        CHECK(i == 0 || bytes_cmp(t->at[i - 1].key, key) < 0);
    }
}

static void check_attachments(const struct datadog_form *form, struct bytes body)
{
    const char *word;

    CHECK(form->n <= PARTS_MAX);
    for (size_t i = 0; i < form->n; i++) {
        const struct attachment *a = &form->at[i];

        CHECK(a->body.data >= body.data && a->body.data + a->body.len <= body.data + body.len);
        datadog_attachment_kind(a->name, &word);
        CHECK(word);
    }
}

static int describe(struct datadog_form *form, struct bytes type, struct arena *arena,
                    struct failure *f)
{
    const struct datadog_headers h = {.origin = type, .additional_tags = type, .entity_id = type};
    struct intake in;

    if (form->event_json.data && datadog_event_read(&form->event, form->event_json, arena, f))
        return FAILURE;
    CHECK(intake_begin(&in, &rules, BYTES_LIT(""), f) == 0);
    if (datadog_describe(&in, &form->event, &h, arena, f))
        return FAILURE;
    CHECK(in.service.len > 0 && in.service.len <= TAG_VALUE_MAX);
    check_tags(&in.series);
    check_tags(&in.instance);
    return 0;
}

/* False: refused. */
static bool read_upload(struct bytes type, struct bytes body, struct arena *arena,
                        bool *ret_has_key, struct hash128 *ret_key)
{
    struct datadog_form form;
    struct failure f = {0};

    if (datadog_form_read(&form, type, body, arena, &f) || describe(&form, type, arena, &f)) {
        check_failure(&f);
        return false;
    }
    check_attachments(&form, body);
    *ret_has_key = datadog_upload_key(&form, BYTES_LIT("t"), ret_key);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const uint8_t *line = len ? memchr(data, '\n', len) : NULL;
    struct hash128 key = {0}, again = {0};
    bool has = false, has_again = false;
    struct bytes type, body;
    struct arena arena;

    if (!line)
        return 0;
    type = bytes_of(data, (size_t)(line - data));
    body = bytes_of(line + 1, len - type.len - 1);
    arena_init(&arena, 1024);
    if (read_upload(type, body, &arena, &has, &key)) {
        CHECK(read_upload(type, body, &arena, &has_again, &again));
        CHECK(has == has_again && key.hi == again.hi && key.lo == again.lo);
    }
    arena_deinit(&arena);
    return 0;
}
