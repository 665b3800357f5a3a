/*
 * How it works. Checkpoint events lie between the others, and each tells how far back the one
 * before it is. We do not follow that chain: all events of a chunk are walked once anyway, which
 * meets every checkpoint, cannot run in a circle and cannot read a byte twice.
 */
#include "formats/jfr/pools.h"

#include "base/xalloc.h"

#include <errno.h>
#include <stdlib.h>

enum { TEXT_DEPTH_MAX = 8 }; /* constants that refer to constants for their text */

void jfr_pools_deinit(struct jfr_pools *p)
{
    for (size_t i = 0; i < p->pool_cap; i++) {
        jfr_ids_deinit(&p->pool[i].ids);
        free(p->pool[i].at);
    }
    free(p->pool);
    *p = (struct jfr_pools){0};
}

size_t jfr_pools_bytes(const struct jfr_pools *p)
{
    size_t n = p->pool_cap * sizeof *p->pool;

    for (size_t i = 0; i < p->pool_cap; i++)
        n += jfr_ids_bytes(&p->pool[i].ids) + p->pool[i].at_cap * sizeof *p->pool[i].at;
    return n;
}

void jfr_pools_begin(struct jfr_pools *p, struct jfr_metadata *m, struct bytes chunk,
                     uint32_t strings_max)
{
    uint32_t class = jfr_class_by_name(m, BYTES_LIT("java.lang.String"));

    p->m = m;
    p->chunk = chunk;
    p->n = 0;
    p->strings_max = strings_max;
    p->strings = class == JFR_NONE ? JFR_NONE : jfr_pools_want(p, class, strings_max);
}

static void grow(struct jfr_pools *p)
{
    size_t before = p->pool_cap;

    XGROW(p->pool, p->pool_cap, (size_t)p->n + 1);
    memset(p->pool + before, 0, (p->pool_cap - before) * sizeof *p->pool);
}

uint32_t jfr_pools_want(struct jfr_pools *p, uint32_t class, uint32_t max)
{
    struct jfr_class *c = &p->m->classes[class];
    struct jfr_pool *pool;

    if (c->pool != JFR_NONE)
        return c->pool;
    if (p->n == p->pool_cap)
        grow(p);
    pool = &p->pool[p->n];
    pool->class = class;
    pool->max = max;
    pool->has_text = false;
    jfr_ids_reset(&pool->ids);
    return c->pool = p->n++;
}

static bool is_string(const struct jfr_metadata *m, const struct jfr_field *f)
{
    uint32_t class = jfr_class_by_id(m, f->class_id);

    return class != JFR_NONE && m->classes[class].kind == JFR_STRING;
}

/* The field that a struct is read as text by, or NULL. */
static const struct jfr_field *text_field(const struct jfr_metadata *m, uint32_t class)
{
    const struct jfr_field *string = NULL, *ref = NULL;
    uint32_t n;
    const struct jfr_field *f = jfr_fields(m, class, &n);

    for (uint32_t i = n; i-- > 0;) {
        if (f[i].array || !(f[i].pooled || is_string(m, &f[i])))
            continue;
        if (bytes_equal(f[i].name, BYTES_LIT("name")))
            return &f[i];
        if (is_string(m, &f[i]))
            string = &f[i];
        else
            ref = &f[i];
    }
    return string ? string : ref;
}

static uint8_t slot_of_field(void *ctx, const struct jfr_field *field)
{
    return field == ctx ? 0 : JFR_NO_SLOT;
}

void jfr_pools_want_text(struct jfr_pools *p, uint32_t class)
{
    for (unsigned depth = 0; depth < TEXT_DEPTH_MAX && class != JFR_NONE; depth++) {
        uint32_t wanted = jfr_pools_want(p, class, p->strings_max); /* may move the pools */
        struct jfr_pool *pool = &p->pool[wanted];
        const struct jfr_field *f = text_field(p->m, class);

        if (pool->has_text || !f ||
            !jfr_compile(p->m, class, slot_of_field, (void *)(uintptr_t)f, &pool->text))
            return;
        pool->has_text = true;
        if (!f->pooled)
            return;
        class = jfr_class_by_id(p->m, f->class_id);
    }
}

static int take_pool(struct jfr_pools *p, struct jfr_cursor *c, uint32_t class, uint64_t n)
{
    uint32_t wanted = p->m->classes[class].pool;
    struct jfr_pool *pool = wanted == JFR_NONE ? NULL : &p->pool[wanted];
    uint64_t key;

    if (n > jfr_left(c))
        return -EBADMSG;
    if (pool && n > pool->max - pool->ids.n)
        return -E2BIG;
    if (pool)
        XGROW(pool->at, pool->at_cap, (size_t)pool->ids.n + n);
    while (n-- > 0) {
        if (!jfr_long(c, &key))
            return -EBADMSG;
        if (pool) {
            pool->at[pool->ids.n] = (uint32_t)(c->at - p->chunk.data);
            jfr_ids_add(&pool->ids, key);
        }
        if (!jfr_skip_value(p->m, c, class))
            return -EBADMSG;
    }
    return 0;
}

int jfr_pools_take(struct jfr_pools *p, struct bytes body)
{
    struct jfr_cursor c = jfr_cursor_of(body, p->m->compressed);
    uint64_t ignored, n_pools, class_id, n;
    int r = 0;

    for (unsigned i = 0; i < 3; i++) /* start, duration, distance to the checkpoint before */
        if (!jfr_long(&c, &ignored))
            return -EBADMSG;
    if (!jfr_skip(&c, 1) || !jfr_int(&c, &n_pools))
        return -EBADMSG;
    while (r == 0 && n_pools-- > 0) {
        if (!jfr_long(&c, &class_id) || !jfr_int(&c, &n))
            return -EBADMSG;
        uint32_t class = jfr_class_by_id(p->m, class_id);

        if (class == JFR_NONE)
            return n == 0 ? 0 : -EBADMSG;
        r = take_pool(p, &c, class, n);
    }
    return r;
}

void jfr_pools_build(struct jfr_pools *p)
{
    for (uint32_t i = 0; i < p->n; i++)
        jfr_ids_build(&p->pool[i].ids);
}

uint32_t jfr_pool_n(const struct jfr_pools *p, uint32_t pool)
{
    return p->pool[pool].ids.n;
}

uint32_t jfr_pool_find(const struct jfr_pools *p, uint32_t pool, uint64_t key)
{
    return jfr_ids_find(&p->pool[pool].ids, key);
}

struct jfr_cursor jfr_pool_at(const struct jfr_pools *p, uint32_t pool, uint32_t index)
{
    uint32_t at = p->pool[pool].at[index];

    return jfr_cursor_of(bytes_of(p->chunk.data + at, p->chunk.len - at), p->m->compressed);
}

static struct bytes value_text(struct jfr_pools *p, const struct jfr_value *v, struct buf *scratch,
                               unsigned depth);

static struct bytes text_at(struct jfr_pools *p, struct jfr_cursor c, struct buf *scratch,
                            unsigned depth)
{
    struct jfr_value key = {.kind = JFR_REF};
    struct jfr_text text;

    if (!jfr_read_text(&c, &text))
        return BYTES_LIT("");
    if (text.encoding != JFR_POOLED)
        return jfr_text_utf8(&text, scratch);
    if (p->strings == JFR_NONE)
        return BYTES_LIT("");
    key.class = p->pool[p->strings].class;
    key.number = text.key;
    return value_text(p, &key, scratch, depth + 1);
}

static struct bytes constant_text(struct jfr_pools *p, const struct jfr_value *v,
                                  struct buf *scratch, unsigned depth)
{
    uint32_t at = p->m->classes[v->class].pool, index;
    struct jfr_value field = {0};

    if (at == JFR_NONE || (index = jfr_pool_find(p, at, v->number)) == JFR_NONE)
        return BYTES_LIT("");
    struct jfr_cursor c = jfr_pool_at(p, at, index);

    if (p->m->classes[v->class].kind == JFR_STRING)
        return text_at(p, c, scratch, depth);
    if (!p->pool[at].has_text || !jfr_pick(p->m, &c, &p->pool[at].text, &field))
        return BYTES_LIT("");
    return value_text(p, &field, scratch, depth + 1);
}

static struct bytes value_text(struct jfr_pools *p, const struct jfr_value *v, struct buf *scratch,
                               unsigned depth)
{
    if (depth == TEXT_DEPTH_MAX)
        return BYTES_LIT("");
    if (v->kind == JFR_REF)
        return constant_text(p, v, scratch, depth);
    if (v->kind != JFR_STRING)
        return BYTES_LIT("");
    return text_at(
        p,
        jfr_cursor_of(bytes_of(v->text, p->chunk.len - (size_t)(v->text - p->chunk.data)),
                      p->m->compressed),
        scratch, depth);
}

struct bytes jfr_value_text(struct jfr_pools *p, const struct jfr_value *v, struct buf *scratch)
{
    return value_text(p, v, scratch, 0);
}
