/*
 * The list of generations is written with their expiry rounded up by EXPIRY_STEP_MS, so that it
 * changes once an hour and not with every flush. A generation that is listed but has no chunk (its
 * first flush never happened, or the store lost it) loads as an empty table, which is right for the
 * former; for the latter its blobs no longer decode, which the flush notices and counts.
 */
#include "aggregator/service.h"

#include "base/err.h"
#include "base/varint.h"
#include "base/xalloc.h"
#include "profile/translation.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { GENERATIONS_VERSION = 1 };
#define EXPIRY_STEP_MS INT64_C(3600000)

struct service *service_new(struct hash128 sid)
{
    struct service *s = xcalloc(1, sizeof *s);

    s->sid = sid;
    return s;
}

void service_free(struct service *s)
{
    if (!s)
        return;
    service_end_staging(s);
    symbols_free(s->symbols);
    stacks_free(s->stacks);
    free(s->generations);
    free(s);
}

void service_touch(struct service *s, int64_t now_ms)
{
    s->touched_ms = now_ms;
    if (!s->symbols)
        s->symbols = symbols_new();
    if (!s->stacks)
        s->stacks = stacks_new();
}

size_t service_bytes(const struct service *s)
{
    return symbols_bytes(s->symbols) + stacks_bytes(s->stacks);
}

/* ---- generations --------------------------------------------------------------------------- */

int service_load(struct service *s, struct bytes value)
{
    struct cursor c = cursor_of(value);
    struct bytes version;
    uint64_t n, expires;

    if (!cursor_take(&c, 1, &version) || version.data[0] != GENERATIONS_VERSION ||
        !varint_get(&c, &n) || n > GENERATIONS_MAX)
        return -EBADMSG;
    XGROW(s->generations, s->cap_generations, n);
    for (s->n_generations = 0; s->n_generations < n; s->n_generations++) {
        struct generation *g = &s->generations[s->n_generations];

        if (!varint_get(&c, &g->id) || !varint_get(&c, &expires) || expires > INT64_MAX)
            return -EBADMSG;
        g->expires_ms = (int64_t)expires;
    }
    return cursor_left(&c) == 0 ? 0 : -EBADMSG;
}

static void generations_encode(const struct service *s, struct buf *out)
{
    buf_append_u8(out, GENERATIONS_VERSION);
    buf_varint(out, s->n_generations);
    for (size_t i = 0; i < s->n_generations; i++) {
        buf_varint(out, s->generations[i].id);
        buf_varint(out, (uint64_t)s->generations[i].expires_ms);
    }
}

uint64_t service_current(const struct service *s)
{
    return s->n_generations ? s->generations[s->n_generations - 1].id : 0;
}

bool service_has(const struct service *s, uint64_t generation)
{
    for (size_t i = 0; i < s->n_generations; i++)
        if (s->generations[i].id == generation)
            return true;
    return false;
}

void service_adopt(struct service *s, struct symbols *loaded)
{
    CHECK(!s->loaded && !s->staging);
    s->staging = s->symbols;
    s->symbols = loaded;
    s->loaded = true;
    s->written = symbols_mark(loaded);
    if (!s->staging)
        return;
    s->staging_map = xcalloc(symbols_n_frames(s->staging), sizeof *s->staging_map);
    symbols_merge(s->symbols, s->staging, 0, s->staging_map);
}

void service_begin(struct service *s, uint64_t id)
{
    CHECK(!s->loaded);
    XGROW(s->generations, s->cap_generations, s->n_generations + 1);
    s->generations[s->n_generations++] = (struct generation){.id = id};
    s->generations_changed = true;
    s->loaded = true;
    s->rolled = false;
    s->written = (struct symbols_mark){0};
    if (!s->symbols)
        s->symbols = symbols_new();
}

void service_end_staging(struct service *s)
{
    symbols_free(s->staging);
    free(s->staging_map);
    s->staging = NULL;
    s->staging_map = NULL;
}

/* ---- commit -------------------------------------------------------------------------------- */

static void chunk_op(const struct service *s, struct zcodec *z, uint32_t p, struct ops *ops)
{
    uint32_t first = s->written.frames ? s->written.frames : 1;
    struct buf chunk = {0};
    char field[16];

    if (symbols_n_frames(s->symbols) <= first)
        return;
    snprintf(field, sizeof field, "%" PRIu32, first);
    symchunk_encode(z, s->symbols, s->written, &chunk);
    ops_hset(ops, key_symbols(p, s->sid, service_current(s)), bytes_str(field), buf_bytes(&chunk));
    buf_deinit(&chunk);
}

static void list_op(const struct service *s, uint32_t p, struct ops *ops)
{
    struct buf value = {0};
    char hex[33];

    hash128_hex(s->sid, hex);
    if (s->n_generations == 0) {
        ops_hdel(ops, key_generations(p), bytes_str(hex));
        return;
    }
    generations_encode(s, &value);
    ops_hset(ops, key_generations(p), bytes_str(hex), buf_bytes(&value));
    buf_deinit(&value);
}

static void extend(struct service *s, int64_t expires_ms)
{
    struct generation *current = &s->generations[s->n_generations - 1];

    if (current->expires_ms >= expires_ms)
        return;
    current->expires_ms = expires_ms + EXPIRY_STEP_MS;
    s->generations_changed = true;
}

static void expire(struct service *s, uint32_t p, int64_t now_ms, struct ops *ops)
{
    uint64_t current = service_current(s);
    size_t kept = 0;

    for (size_t i = 0; i < s->n_generations; i++) {
        if (s->generations[i].expires_ms >= now_ms)
            s->generations[kept++] = s->generations[i];
        else
            ops_del(ops, key_symbols(p, s->sid, s->generations[i].id));
    }
    if (kept == s->n_generations)
        return;
    s->n_generations = kept;
    s->generations_changed = true;
    if (service_current(s) != current)
        service_unload(s);
}

void service_ops(struct service *s, struct zcodec *z, uint32_t p, int64_t now_ms,
                 int64_t expires_ms, struct ops *ops)
{
    if (expires_ms > 0) {
        CHECK(s->loaded && s->n_generations > 0);
        chunk_op(s, z, p, ops);
        extend(s, expires_ms);
    }
    expire(s, p, now_ms, ops);
    if (s->generations_changed)
        list_op(s, p, ops);
}

bool service_has_expired(const struct service *s, int64_t now_ms)
{
    for (size_t i = 0; i < s->n_generations; i++)
        if (s->generations[i].expires_ms < now_ms)
            return true;
    return false;
}

void service_committed(struct service *s, size_t max_bytes)
{
    s->generations_changed = false;
    stacks_free(s->stacks);
    s->stacks = NULL;
    service_end_staging(s);
    if (!s->loaded)
        return;
    /* New strings alone make no chunk: they go out with the next frame. */
    if (symbols_n_frames(s->symbols) > (s->written.frames ? s->written.frames : 1))
        s->written = symbols_mark(s->symbols);
    if (symbols_bytes(s->symbols) <= max_bytes)
        return;
    service_unload(s);
    s->rolled = true;
}

void service_unload(struct service *s)
{
    CHECK(!s->staging);
    symbols_free(s->symbols);
    s->symbols = NULL;
    s->loaded = false;
}

bool service_forgettable(const struct service *s)
{
    return s->n_generations == 0 && s->n_series == 0 && !s->symbols;
}

/* ---- loading ------------------------------------------------------------------------------- */

struct chunk {
    uint32_t first;
    struct bytes bytes;
};

static int by_first(const void *a, const void *b)
{
    const struct chunk *x = a, *y = b;

    return x->first < y->first ? -1 : x->first > y->first;
}

static bool first_read(struct bytes field, uint32_t *ret)
{
    uint64_t v = 0;

    if (field.len == 0 || field.len > 10)
        return false;
    for (size_t i = 0; i < field.len; i++) {
        if (field.data[i] < '0' || field.data[i] > '9')
            return false;
        v = v * 10 + (field.data[i] - '0');
    }
    *ret = (uint32_t)v;
    return v <= UINT32_MAX;
}

static bool chunks_decode(struct zcodec *z, const struct chunk *chunks, size_t n,
                          struct symbols *into)
{
    for (size_t i = 0; i < n; i++)
        if (symchunk_decode(z, into, chunks[i].bytes) != 0)
            return false;
    return true;
}

struct symbols *symbols_of_chunks(struct zcodec *z, const struct store_reply *reply)
{
    struct chunk *chunks = xcalloc(reply->n + 1, sizeof *chunks);
    struct symbols *s = symbols_new();
    bool good = true;

    for (size_t i = 0; i < reply->n; i++) {
        chunks[i].bytes = reply->values[i];
        good = good && first_read(reply->fields[i], &chunks[i].first);
    }
    qsort(chunks, reply->n, sizeof *chunks, by_first);
    good = good && chunks_decode(z, chunks, reply->n, s);
    free(chunks);
    if (good)
        return s;
    symbols_free(s);
    return NULL;
}
