/*
 * What the store's tests share: a loop that is bounded and must be empty at the end, and answers
 * that can be waited for. Every call counts up `issued`, every callback `answered`: they must be
 * equal.
 */
#ifndef HEARTH_TESTS_STORE_TEST_H
#define HEARTH_TESTS_STORE_TEST_H

#include "base/arena.h"
#include "base/clock.h"
#include "store/keys.h"
#include "store/store.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { TEST_WAIT_MS = 30000 };

struct answer {
    int calls;
    int r;
    struct arena arena; /* holds copies of the reply */
    size_t n;
    struct bytes *fields, *values;
    struct store_meta meta;
};

static int issued, answered;

static inline struct answer *answer_new(void)
{
    struct answer *a = calloc(1, sizeof *a);

    arena_init(&a->arena, 256);
    issued++;
    return a;
}

static inline void answer_free(struct answer *a)
{
    arena_deinit(&a->arena);
    free(a);
}

static struct bytes *copy_views(struct answer *a, const struct bytes *views, size_t n)
{
    struct bytes *copy = arena_calloc(&a->arena, (n + 1) * sizeof *copy);

    for (size_t i = 0; i < n; i++)
        if (views[i].data)
            copy[i] = arena_copy(&a->arena, views[i]);
    return copy;
}

static inline void on_answer(void *ctx, int r, const struct store_reply *reply)
{
    struct answer *a = ctx;

    a->calls++;
    answered++;
    a->r = r;
    if (r < 0 || !reply)
        return;
    a->n = reply->n;
    a->values = copy_views(a, reply->values, reply->n);
    if (reply->fields)
        a->fields = copy_views(a, reply->fields, reply->n);
}

static inline void on_meta_answer(void *ctx, int r, const struct store_meta *meta)
{
    struct answer *a = ctx;

    a->calls++;
    answered++;
    a->r = r;
    if (r == 0)
        a->meta = *meta;
}

/* ---- a bounded loop ---------------------------------------------------------------------------
 */

struct guard {
    uv_timer_t timer;
    bool timed_out;
};

static inline void on_guard(uv_timer_t *timer)
{
    ((struct guard *)timer->data)->timed_out = true;
}

static inline void on_guard_closed(uv_handle_t *timer)
{
    free(timer->data);
}

/* Runs the loop until *flag >= want; false after ms. */
static inline bool loop_until(uv_loop_t *loop, const int *flag, int want, int ms)
{
    struct guard *g = calloc(1, sizeof *g);

    uv_timer_init(loop, &g->timer);
    g->timer.data = g;
    uv_timer_start(&g->timer, on_guard, (uint64_t)ms, 20);
    while (*flag < want && !g->timed_out)
        uv_run(loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&g->timer, on_guard_closed);
    return *flag >= want;
}

static inline void loop_sleep(uv_loop_t *loop, int ms)
{
    int never = 0;

    loop_until(loop, &never, 1, ms);
}

static inline struct answer *wait_for(uv_loop_t *loop, struct answer *a)
{
    if (!loop_until(loop, &a->calls, 1, TEST_WAIT_MS))
        fail_msg("no answer within %d ms", TEST_WAIT_MS);
    assert_int_equal(a->calls, 1);
    return a;
}

static inline void on_store_closed(void *ctx)
{
    ++*(int *)ctx;
}

static inline void close_store(uv_loop_t *loop, struct store *s)
{
    int closed = 0;

    store_close(s, on_store_closed, &closed);
    assert_int_equal(closed, 0); /* never from within the call */
    assert_true(loop_until(loop, &closed, 1, TEST_WAIT_MS));
    assert_int_equal(closed, 1);
}

/* Lets closing handles finish, then fails if any handle is left. */
static inline void close_loop(uv_loop_t *loop)
{
    for (int i = 0; i < 100 && uv_loop_alive(loop); i++)
        uv_run(loop, UV_RUN_NOWAIT);
    assert_int_equal(uv_loop_close(loop), 0);
    assert_int_equal(issued, answered);
}

/* ---- calls that wait --------------------------------------------------------------------------
 */

static inline int put(uv_loop_t *loop, struct store *s, struct bytes key, struct bytes value,
                      int64_t ttl_ms)
{
    struct answer *a = answer_new();
    int r;

    store_put(s, &(struct store_put){key, value, ttl_ms}, 1, on_answer, a);
    r = wait_for(loop, a)->r;
    answer_free(a);
    return r;
}

/* The caller frees the answer. */
static inline struct answer *get(uv_loop_t *loop, struct store *s, struct bytes key)
{
    struct answer *a = answer_new();

    store_get(s, &key, 1, on_answer, a);
    return wait_for(loop, a);
}

static inline bool exists(uv_loop_t *loop, struct store *s, struct bytes key)
{
    struct answer *a = get(loop, s, key);
    bool there = a->r == 0 && a->values[0].data;

    assert_int_equal(a->r, 0);
    answer_free(a);
    return there;
}

static inline struct answer *hash(uv_loop_t *loop, struct store *s, struct bytes key)
{
    struct answer *a = answer_new();

    store_hash(s, key, on_answer, a);
    return wait_for(loop, a);
}

static inline struct store_meta acquire(uv_loop_t *loop, struct store *s, uint32_t p,
                                        uint64_t token, int64_t now_ms)
{
    struct answer *a = answer_new();
    struct store_meta m;

    store_acquire(s, p, token, now_ms, on_meta_answer, a);
    assert_int_equal(wait_for(loop, a)->r, 0);
    m = a->meta;
    answer_free(a);
    return m;
}

static inline struct store_meta meta(uv_loop_t *loop, struct store *s, uint32_t p)
{
    struct answer *a = answer_new();
    struct store_meta m;

    store_meta(s, p, on_meta_answer, a);
    assert_int_equal(wait_for(loop, a)->r, 0);
    m = a->meta;
    answer_free(a);
    return m;
}

static inline int commit(uv_loop_t *loop, struct store *s, const struct store_commit *c)
{
    struct answer *a = answer_new();
    int r;

    store_commit(s, c, on_answer, a);
    r = wait_for(loop, a)->r;
    answer_free(a);
    return r;
}

#define assert_bytes(view, text)                                                                   \
    do {                                                                                           \
        assert_int_equal((view).len, strlen(text));                                                \
        assert_memory_equal((view).data, text, strlen(text));                                      \
    } while (0)

#endif
