/*
 * yajl behind one file. The state of every open object and array is kept on a stack; a key looks up
 * the state of the value behind it, an array looks up that of its elements once.
 */
#include "formats/json_walk.h"

#include "base/xalloc.h"

#include <stdlib.h>
#include <yajl/yajl_parse.h>

struct level {
    uint8_t state;
    uint8_t next; /* the state of the value that comes next: of a key's, or of an array's element */
};

struct walker {
    const struct json_walk *w;
    const char *what;
    struct level *level;
    size_t n, cap;
    bool failed; /* by us: the failure is filled */
};

static uint8_t step(const struct walker *k, uint8_t from, struct bytes key)
{
    if (from == JSON_NOWHERE)
        return JSON_NOWHERE;
    for (const struct json_rule *r = k->w->rules; r->key; r++)
        if (r->from == from && bytes_equal(key, bytes_str(r->key)))
            return r->to;
    return JSON_NOWHERE;
}

static uint8_t state_here(const struct walker *k)
{
    return k->n ? k->level[k->n - 1].next : JSON_TOP;
}

static int tell(struct walker *k, uint8_t state, enum json_event event, struct bytes text)
{
    if (state == JSON_NOWHERE)
        return 1;
    k->failed = k->w->cb(k->w->ctx, state, event, text) != 0;
    return !k->failed;
}

static int begin(struct walker *k, bool is_array)
{
    uint8_t state = state_here(k);

    if (k->n >= k->w->depth_max) {
        fail(k->w->f, 400, "limit_exceeded", NULL, "the %s is nested deeper than %zu", k->what,
             k->w->depth_max);
        k->failed = true;
        return 0;
    }
    XGROW(k->level, k->cap, k->n + 1);
    k->level[k->n++] =
        (struct level){state, is_array ? step(k, state, BYTES_LIT("[]")) : (uint8_t)JSON_NOWHERE};
    return tell(k, state, JSON_BEGIN, BYTES_LIT(""));
}

static int on_begin_object(void *ctx)
{
    return begin(ctx, false);
}

static int on_begin_array(void *ctx)
{
    return begin(ctx, true);
}

static int on_end(void *ctx)
{
    struct walker *k = ctx;

    k->n--;
    return tell(k, k->level[k->n].state, JSON_END, BYTES_LIT(""));
}

static int on_key(void *ctx, const unsigned char *key, size_t len)
{
    struct walker *k = ctx;
    struct level *at = &k->level[k->n - 1];

    at->next = step(k, at->state, bytes_of(key, len));
    return 1;
}

static int on_string(void *ctx, const unsigned char *s, size_t len)
{
    struct walker *k = ctx;

    return tell(k, state_here(k), JSON_STRING, bytes_of(s, len));
}

static int on_number(void *ctx, const char *s, size_t len)
{
    struct walker *k = ctx;

    return tell(k, state_here(k), JSON_NUMBER, bytes_of(s, len));
}

static int on_null(void *ctx)
{
    struct walker *k = ctx;

    return tell(k, state_here(k), JSON_WORD, BYTES_LIT("null"));
}

static int on_boolean(void *ctx, int value)
{
    struct walker *k = ctx;

    return tell(k, state_here(k), JSON_WORD, value ? BYTES_LIT("true") : BYTES_LIT("false"));
}

static const yajl_callbacks callbacks = {
    .yajl_null = on_null,
    .yajl_boolean = on_boolean,
    .yajl_number = on_number,
    .yajl_string = on_string,
    .yajl_start_map = on_begin_object,
    .yajl_map_key = on_key,
    .yajl_end_map = on_end,
    .yajl_start_array = on_begin_array,
    .yajl_end_array = on_end,
};

static int bad_json(const struct walker *k, yajl_handle y)
{
    unsigned char *why;
    char line[120];
    size_t len;

    if (k->failed)
        return FAILURE;
    why = yajl_get_error(y, 0, NULL, 0);
    len = strcspn((const char *)why, "\n");
    len = len < sizeof line - 1 ? len : sizeof line - 1;
    memcpy(line, why, len);
    line[len] = '\0';
    yajl_free_error(y, why);
    return fail(k->w->f, 400, "malformed", NULL, "not a valid %s: %s, at byte %zu", k->what, line,
                yajl_get_bytes_consumed(y));
}

int json_walk(const struct json_walk *w, struct bytes raw, const char *what)
{
    struct walker k = {.w = w, .what = what};
    yajl_handle y = yajl_alloc(&callbacks, NULL, &k);
    int r = 0;

    if (!y)
        xalloc_failed(0);
    yajl_config(y, yajl_dont_validate_strings, 1);
    if (yajl_parse(y, raw.data, raw.len) != yajl_status_ok ||
        yajl_complete_parse(y) != yajl_status_ok)
        r = bad_json(&k, y);
    yajl_free(y);
    free(k.level);
    return r;
}
