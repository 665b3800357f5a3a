/* The contract of store.h, over LMDB and over a real redis-server: the same tests for both. */
#include "lib/redis.h"
#include "store_test.h"

#include "store/store_redis.h"

struct fixture {
    bool redis;
    uv_loop_t loop;
    struct lmdb_env *env;
    struct store *store, *other; /* two handles of the same store */
    struct redis_server server;
    char dir[64];
};

static struct store *open_store(struct fixture *f)
{
    struct store_redis_options o = {
        .redis_url = f->server.url, .redis_connect_timeout = 2000, .redis_command_timeout = 10000};
    struct failure why;
    struct store *s = NULL;

    if (!f->redis)
        return store_lmdb_new(&f->loop, f->env);
    if (store_redis_new(&f->loop, &o, &s, &why) != 0)
        fail_msg("%s", why.message);
    return s;
}

static struct fixture *fixture_new(bool redis)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct failure why;

    f->redis = redis;
    assert_int_equal(uv_loop_init(&f->loop), 0);
    snprintf(f->dir, sizeof f->dir, "/tmp/hearth-store-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    if (redis)
        assert_true(redis_start(&f->server, NULL));
    else if (lmdb_env_open(f->dir, INT64_C(256) << 20, &f->env, &why) != 0)
        fail_msg("%s", why.message);
    f->store = open_store(f);
    f->other = open_store(f);
    return f;
}

static int setup_lmdb(void **state)
{
    *state = fixture_new(false);
    return 0;
}

static int setup_redis(void **state)
{
    *state = fixture_new(true);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    close_store(&f->loop, f->store);
    close_store(&f->loop, f->other);
    close_loop(&f->loop);
    lmdb_env_close(f->env);
    redis_stop(&f->server);
    remove_dir(f->dir);
    free(f);
    return 0;
}

/* ---- blobs ------------------------------------------------------------------------------------
 */

static void what_was_put_is_got(void **state)
{
    struct fixture *f = *state;
    struct bytes keys[] = {BYTES_LIT("b"), BYTES_LIT("none"), BYTES_LIT("a"), BYTES_LIT("empty")};
    struct store_put puts[] = {{BYTES_LIT("a"), BYTES_LIT("one\0two"), 60000},
                               {BYTES_LIT("b"), BYTES_LIT("\r\n$3\r\n"), 60000},
                               {BYTES_LIT("empty"), BYTES_LIT(""), 60000}};
    struct answer *a = answer_new(), *b = answer_new();

    store_put(f->store, puts, 3, on_answer, a);
    assert_int_equal(a->calls, 0); /* asynchronous */
    assert_int_equal(wait_for(&f->loop, a)->r, 0);
    store_get(f->other, keys, 4, on_answer, b);
    assert_int_equal(b->calls, 0);
    assert_int_equal(wait_for(&f->loop, b)->r, 0);
    assert_int_equal(b->n, 4);
    assert_bytes(b->values[0], "\r\n$3\r\n");
    assert_null(b->values[1].data);
    assert_int_equal(b->values[2].len, 7);
    assert_memory_equal(b->values[2].data, "one\0two", 7);
    assert_non_null(b->values[3].data);
    assert_int_equal(b->values[3].len, 0);
    answer_free(a);
    answer_free(b);
}

static void nothing_asked_is_answered_too(void **state)
{
    struct fixture *f = *state;
    struct answer *a = answer_new(), *b = answer_new(), *c = answer_new();

    store_get(f->store, NULL, 0, on_answer, a);
    store_put(f->store, NULL, 0, on_answer, b);
    store_hash_get(f->store, BYTES_LIT("h"), NULL, 0, on_answer, c);
    assert_int_equal(a->calls + b->calls + c->calls, 0);
    assert_int_equal(wait_for(&f->loop, a)->r, 0);
    assert_int_equal(wait_for(&f->loop, b)->r, 0);
    assert_int_equal(wait_for(&f->loop, c)->r, 0);
    assert_int_equal(a->n + b->n + c->n, 0);
    answer_free(a);
    answer_free(b);
    answer_free(c);
}

static void a_blob_ends_with_its_time_to_live(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(put(&f->loop, f->store, BYTES_LIT("short"), BYTES_LIT("x"), 60), 0);
    assert_int_equal(put(&f->loop, f->store, BYTES_LIT("long"), BYTES_LIT("x"), 60000), 0);
    assert_int_equal(put(&f->loop, f->store, BYTES_LIT("ever"), BYTES_LIT("x"), INT64_MAX), 0);
    loop_sleep(&f->loop, 120);
    assert_false(exists(&f->loop, f->store, BYTES_LIT("short")));
    assert_true(exists(&f->loop, f->store, BYTES_LIT("long")));
    assert_true(exists(&f->loop, f->store, BYTES_LIT("ever")));
}

static void a_time_to_live_that_is_none_is_refused(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(put(&f->loop, f->store, BYTES_LIT("k"), BYTES_LIT("x"), 0), -EINVAL);
    assert_int_equal(put(&f->loop, f->store, BYTES_LIT("k"), BYTES_LIT("x"), -5), -EINVAL);
    assert_false(exists(&f->loop, f->store, BYTES_LIT("k")));
}

static void a_key_no_store_can_hold_is_refused(void **state)
{
    struct fixture *f = *state;
    char text[600] = "k";
    struct bytes fields[] = {bytes_of(text, 500)};
    struct answer *a = answer_new();

    memset(text, 'k', sizeof text);
    assert_int_equal(put(&f->loop, f->store, bytes_of(text, 600), BYTES_LIT("x"), 1000), -EINVAL);
    assert_int_equal(put(&f->loop, f->store, BYTES_LIT(""), BYTES_LIT("x"), 1000), -EINVAL);
    store_hash_get(f->store, bytes_of(text, 160), fields, 1, on_answer, a);
    assert_int_equal(wait_for(&f->loop, a)->r, -EINVAL);
    answer_free(a);
    assert_int_equal(put(&f->loop, f->store, bytes_of(text, 500), BYTES_LIT("x"), 1000), 0);
    assert_true(exists(&f->loop, f->store, bytes_of(text, 500)));
}

static void a_value_of_a_megabyte_comes_back_whole(void **state)
{
    struct fixture *f = *state;
    size_t len = (1 << 20) + 3;
    uint8_t *big = malloc(len);
    struct answer *a;

    for (size_t i = 0; i < len; i++)
        big[i] = (uint8_t)(i * 7 + (i >> 8));
    assert_int_equal(put(&f->loop, f->store, BYTES_LIT("big"), bytes_of(big, len), 60000), 0);
    a = get(&f->loop, f->other, BYTES_LIT("big"));
    assert_int_equal(a->values[0].len, len);
    assert_memory_equal(a->values[0].data, big, len);
    answer_free(a);
    free(big);
}

static void many_keys_go_in_one_call(void **state)
{
    struct fixture *f = *state;
    enum { N = 5000 };
    static char names[N][24], texts[N][24];
    static struct store_put puts[N];
    static struct bytes keys[N];
    struct answer *a = answer_new(), *b = answer_new();

    for (int i = 0; i < N; i++) {
        snprintf(names[i], sizeof names[i], "key-%d", i);
        snprintf(texts[i], sizeof texts[i], "value-%d", i * 3);
        keys[i] = bytes_str(names[i]);
        puts[i] = (struct store_put){keys[i], bytes_str(texts[i]), 60000};
    }
    store_put(f->store, puts, N, on_answer, a);
    memset(puts, 0xee, sizeof puts); /* arguments are copied before the call returns */
    assert_int_equal(wait_for(&f->loop, a)->r, 0);
    store_get(f->store, keys, N, on_answer, b);
    assert_int_equal(wait_for(&f->loop, b)->r, 0);
    for (int i = 0; i < N; i++)
        assert_bytes(b->values[i], texts[i]);
    answer_free(a);
    answer_free(b);
}

static void writes_take_effect_in_the_order_of_the_calls(void **state)
{
    struct fixture *f = *state;
    enum { N = 300 };
    struct answer *all[N], *last;
    char text[16];

    for (int i = 0; i < N; i++) {
        struct store_put p = {BYTES_LIT("same"), bytes_str(text), 60000};

        snprintf(text, sizeof text, "%d", i);
        p.value = bytes_str(text);
        all[i] = answer_new();
        store_put(f->store, &p, 1, on_answer, all[i]);
    }
    for (int i = N - 1; i >= 0; i--)
        assert_int_equal(wait_for(&f->loop, all[i])->r, 0);
    last = get(&f->loop, f->store, BYTES_LIT("same"));
    assert_bytes(last->values[0], "299");
    answer_free(last);
    for (int i = 0; i < N; i++)
        answer_free(all[i]);
}

/* ---- hashes -----------------------------------------------------------------------------------
 */

/* A partition whose epoch, token and seq this test knows. */
static struct store_commit owned(struct fixture *f, uint32_t p)
{
    struct store_meta m = acquire(&f->loop, f->store, p, 77, 1000);

    return (struct store_commit){.partition = p,
                                 .epoch = m.epoch,
                                 .token = 77,
                                 .prev_seq = m.seq,
                                 .seq = m.seq + 1,
                                 .offset = 10,
                                 .now_ms = 5000};
}

static void step(struct store_commit *c)
{
    c->prev_seq = c->seq++;
    c->offset += 10;
}

static int do_ops(struct fixture *f, struct store_commit *c, const struct store_op *ops, size_t n)
{
    int r;

    c->ops = ops;
    c->n_ops = n;
    r = commit(&f->loop, f->store, c);
    step(c);
    return r;
}

static void fields_of_a_hash_are_set_read_and_removed(void **state)
{
    struct fixture *f = *state;
    struct store_commit c = owned(f, 1);
    struct store_op set[] = {
        {STORE_OP_HSET, BYTES_LIT("h"), BYTES_LIT("b"), BYTES_LIT("2"), 0},
        {STORE_OP_HSET, BYTES_LIT("h"), BYTES_LIT("a\0z"), BYTES_LIT(""), 0},
        {STORE_OP_HSET, BYTES_LIT("hb"), BYTES_LIT(""), BYTES_LIT("not h's"), 0},
        {STORE_OP_HSET, BYTES_LIT("h"), BYTES_LIT("b"), BYTES_LIT("3"), 0}};
    struct store_op del[] = {{STORE_OP_HDEL, BYTES_LIT("h"), BYTES_LIT("b"), BYTES_LIT(""), 0},
                             {STORE_OP_HDEL, BYTES_LIT("h"), BYTES_LIT("never"), BYTES_LIT(""), 0}};
    struct bytes fields[] = {BYTES_LIT("never"), BYTES_LIT("b")};
    struct answer *a = answer_new(), *b, *none;

    assert_int_equal(do_ops(f, &c, set, 4), 0);
    store_hash_get(f->other, BYTES_LIT("h"), fields, 2, on_answer, a);
    assert_int_equal(wait_for(&f->loop, a)->n, 2);
    assert_null(a->values[0].data);
    assert_bytes(a->values[1], "3");
    assert_int_equal(do_ops(f, &c, del, 2), 0);
    b = hash(&f->loop, f->other, BYTES_LIT("h"));
    assert_int_equal(b->n, 1);
    assert_int_equal(b->fields[0].len, 3);
    assert_memory_equal(b->fields[0].data, "a\0z", 3);
    assert_non_null(b->values[0].data);
    assert_int_equal(b->values[0].len, 0);
    none = hash(&f->loop, f->other, BYTES_LIT("no such hash"));
    assert_int_equal(none->r, 0);
    assert_int_equal(none->n, 0);
    answer_free(a);
    answer_free(b);
    answer_free(none);
}

static void a_hash_of_many_fields_is_read_and_deleted_whole(void **state)
{
    struct fixture *f = *state;
    enum { N = 3000 };
    static char names[N][16];
    static struct store_op ops[N];
    struct store_commit c = owned(f, 1);
    struct store_op del = {STORE_OP_DEL, BYTES_LIT("wide"), BYTES_LIT(""), BYTES_LIT(""), 0};
    struct answer *a;

    for (int i = 0; i < N; i++) {
        snprintf(names[i], sizeof names[i], "f%d", i);
        ops[i] = (struct store_op){STORE_OP_HSET, BYTES_LIT("wide"), bytes_str(names[i]),
                                   bytes_str(names[i]), 0};
    }
    assert_int_equal(do_ops(f, &c, ops, N), 0);
    ops[0].key = BYTES_LIT("wider"); /* a neighbour that must stay */
    assert_int_equal(do_ops(f, &c, ops, 1), 0);
    a = hash(&f->loop, f->store, BYTES_LIT("wide"));
    assert_int_equal(a->n, N);
    for (int i = 0; i < N; i++)
        assert_true(bytes_equal(a->fields[i], a->values[i]));
    answer_free(a);
    assert_int_equal(do_ops(f, &c, &del, 1), 0);
    a = hash(&f->loop, f->store, BYTES_LIT("wide"));
    assert_int_equal(a->n, 0);
    answer_free(a);
    a = hash(&f->loop, f->store, BYTES_LIT("wider"));
    assert_int_equal(a->n, 1);
    answer_free(a);
}

static void those_who_race_to_agree_get_one_answer(void **state)
{
    struct fixture *f = *state;
    enum { N = 40 };
    struct answer *all[N];
    char text[16];

    for (int i = 0; i < N; i++) {
        all[i] = answer_new();
        snprintf(text, sizeof text, "mine-%d", i);
        store_agree(i % 2 ? f->store : f->other, BYTES_LIT("h:conf"), BYTES_LIT("n"),
                    bytes_str(text), on_answer, all[i]);
    }
    for (int i = 0; i < N; i++) {
        assert_int_equal(wait_for(&f->loop, all[i])->r, 0);
        assert_int_equal(all[i]->n, 1);
        assert_true(bytes_equal(all[i]->values[0], all[0]->values[0]));
    }
    for (int i = 0; i < N; i++)
        answer_free(all[i]);
}

/* ---- acquire and commit -----------------------------------------------------------------------
 */

static void a_partition_nobody_took_has_no_meta(void **state)
{
    struct fixture *f = *state;
    struct store_meta m = meta(&f->loop, f->store, 9);

    assert_int_equal(m.epoch, 0);
    assert_int_equal(m.seq, 0);
    assert_true(m.offset == STORE_OFFSET_NONE);
}

static void each_acquire_grows_the_epoch(void **state)
{
    struct fixture *f = *state;
    struct store_meta a = acquire(&f->loop, f->store, 3, UINT64_MAX, 1700000000000);
    struct store_meta b = acquire(&f->loop, f->other, 3, 5, 1600000000000); /* a clock behind */
    struct store_meta c = acquire(&f->loop, f->store, 3, 6, 1800000000000);

    assert_true(a.epoch == 1700000000000);
    assert_true(a.token == UINT64_MAX);
    assert_true(a.offset == STORE_OFFSET_NONE);
    assert_true(b.epoch == 1700000000001);
    assert_true(c.epoch == 1800000000000);
    assert_true(meta(&f->loop, f->other, 3).token == 6);
    assert_int_equal(meta(&f->loop, f->store, 4).epoch, 0); /* another partition */
}

static void a_commit_writes_meta_and_keeps_it_over_an_acquire(void **state)
{
    struct fixture *f = *state;
    struct store_commit c = owned(f, 2);
    struct store_meta m;

    c.offset = UINT64_MAX - 5;
    assert_int_equal(commit(&f->loop, f->store, &c), 0);
    m = acquire(&f->loop, f->other, 2, 99, 1);
    assert_true(m.epoch == c.epoch + 1);
    assert_int_equal(m.seq, c.seq);
    assert_true(m.offset == UINT64_MAX - 5);
    assert_int_equal(m.updated_ms, 5000);
}

static void only_the_owner_with_the_right_sequence_commits(void **state)
{
    struct fixture *f = *state;
    struct store_op op = {STORE_OP_HSET, BYTES_LIT("h"), BYTES_LIT("f"), BYTES_LIT("bad"), 0};
    struct store_commit good = owned(f, 2), bad;
    struct answer *a;

    assert_int_equal(commit(&f->loop, f->store, &good), 0);
    step(&good);
    good.ops = &op;
    good.n_ops = 1;
    bad = good;
    bad.epoch--;
    assert_int_equal(commit(&f->loop, f->store, &bad), STORE_E_FENCED);
    bad = good;
    bad.epoch++;
    assert_int_equal(commit(&f->loop, f->store, &bad), STORE_E_FENCED);
    bad = good;
    bad.token++;
    assert_int_equal(commit(&f->loop, f->store, &bad), STORE_E_FENCED);
    bad = good;
    bad.prev_seq += 4, bad.seq += 4;
    assert_int_equal(commit(&f->loop, f->store, &bad), STORE_E_FENCED);
    bad = good;
    bad.partition = 8; /* nobody's */
    assert_int_equal(commit(&f->loop, f->store, &bad), STORE_E_FENCED);
    a = hash(&f->loop, f->store, BYTES_LIT("h"));
    assert_int_equal(a->n, 0);
    answer_free(a);
    assert_int_equal(meta(&f->loop, f->store, 2).seq, good.prev_seq);
    assert_int_equal(meta(&f->loop, f->store, 8).epoch, 0);
    assert_int_equal(commit(&f->loop, f->store, &good), 0);
}

/* Tokens that a double cannot tell apart: numbers must be compared as they were written. */
static void tokens_are_compared_to_the_last_bit(void **state)
{
    struct fixture *f = *state;
    struct store_meta m = acquire(&f->loop, f->store, 2, UINT64_MAX, 1000);
    struct store_commit c = {.partition = 2, .epoch = m.epoch, .token = UINT64_MAX - 1, .seq = 1};

    assert_int_equal(commit(&f->loop, f->store, &c), STORE_E_FENCED);
    c.token = UINT64_MAX;
    assert_int_equal(commit(&f->loop, f->store, &c), 0);
}

static void an_owner_is_fenced_by_the_next_one(void **state)
{
    struct fixture *f = *state;
    struct store_commit first = owned(f, 2), second;

    assert_int_equal(commit(&f->loop, f->store, &first), 0);
    step(&first);
    second = owned(f, 2);
    assert_int_equal(second.prev_seq, 1);
    assert_int_equal(commit(&f->loop, f->other, &first), STORE_E_FENCED);
    assert_int_equal(commit(&f->loop, f->other, &second), 0);
    assert_int_equal(commit(&f->loop, f->other, &first), STORE_E_FENCED);
}

static void the_repeat_of_an_applied_commit_answers_0_and_changes_nothing(void **state)
{
    struct fixture *f = *state;
    struct store_op one = {STORE_OP_HSET, BYTES_LIT("h"), BYTES_LIT("f"), BYTES_LIT("1"), 0};
    struct store_op two = {STORE_OP_HSET, BYTES_LIT("h"), BYTES_LIT("f"), BYTES_LIT("2"), 0};
    struct store_commit c = owned(f, 2), repeat;
    struct answer *a;

    c.ops = &one;
    c.n_ops = 1;
    assert_int_equal(commit(&f->loop, f->store, &c), 0);
    repeat = c;
    repeat.ops = &two; /* a real repeat has the same; this shows that it is not done */
    repeat.offset = 999;
    assert_int_equal(commit(&f->loop, f->store, &repeat), 0);
    assert_int_equal(meta(&f->loop, f->store, 2).offset, 10);
    a = hash(&f->loop, f->store, BYTES_LIT("h"));
    assert_bytes(a->values[0], "1");
    answer_free(a);
    step(&c);
    assert_int_equal(commit(&f->loop, f->store, &c), 0);
    assert_int_equal(commit(&f->loop, f->store, &repeat), STORE_E_FENCED); /* too old to be one */
}

static void a_commit_does_all_its_kinds_of_ops(void **state)
{
    struct fixture *f = *state;
    struct store_commit c = owned(f, 2);
    struct store_op ops[] = {
        {STORE_OP_HSET, BYTES_LIT("h"), BYTES_LIT("f"), BYTES_LIT("v"), 0},
        {STORE_OP_EXPIRE, BYTES_LIT("soon"), BYTES_LIT(""), BYTES_LIT(""), 50},
        {STORE_OP_EXPIRE, BYTES_LIT("no such blob"), BYTES_LIT(""), BYTES_LIT(""), 50},
        {STORE_OP_EXPIRE, BYTES_LIT("later"), BYTES_LIT(""), BYTES_LIT(""), 60000},
        {STORE_OP_DEL, BYTES_LIT("gone"), BYTES_LIT(""), BYTES_LIT(""), 0},
        {STORE_OP_DEL, BYTES_LIT("never was"), BYTES_LIT(""), BYTES_LIT(""), 0},
    };

    assert_int_equal(put(&f->loop, f->store, BYTES_LIT("soon"), BYTES_LIT("x"), 60000), 0);
    assert_int_equal(put(&f->loop, f->store, BYTES_LIT("later"), BYTES_LIT("x"), 500), 0);
    assert_int_equal(put(&f->loop, f->store, BYTES_LIT("gone"), BYTES_LIT("x"), 60000), 0);
    assert_int_equal(do_ops(f, &c, ops, 6), 0);
    assert_true(exists(&f->loop, f->store, BYTES_LIT("later")));
    assert_false(exists(&f->loop, f->store, BYTES_LIT("gone")));
    loop_sleep(&f->loop, 600);
    assert_false(exists(&f->loop, f->store, BYTES_LIT("soon")));
    assert_true(exists(&f->loop, f->store, BYTES_LIT("later")));
}

static void a_commit_with_a_bad_op_does_none_of_them(void **state)
{
    struct fixture *f = *state;
    char text[600] = "f";
    struct store_commit c = owned(f, 2);
    struct store_op ops[] = {
        {STORE_OP_HSET, BYTES_LIT("h"), BYTES_LIT("f"), BYTES_LIT("v"), 0},
        {STORE_OP_HSET, BYTES_LIT("h"), bytes_of(text, sizeof text), BYTES_LIT("v"), 0},
    };
    struct store_op none = {STORE_OP_EXPIRE, BYTES_LIT("b"), BYTES_LIT(""), BYTES_LIT(""), 0};
    struct answer *a;

    memset(text, 'f', sizeof text);
    c.ops = ops;
    c.n_ops = 2;
    assert_int_equal(commit(&f->loop, f->store, &c), -EINVAL);
    c.ops = &none;
    c.n_ops = 1;
    assert_int_equal(commit(&f->loop, f->store, &c), -EINVAL);
    a = hash(&f->loop, f->store, BYTES_LIT("h"));
    assert_int_equal(a->n, 0);
    answer_free(a);
    assert_int_equal(meta(&f->loop, f->store, 2).seq, 0);
}

/* Meta that somebody else wrote must not be taken for ours. */
static void meta_that_is_not_ours_is_an_error_and_stays(void **state)
{
    struct fixture *f = *state;
    struct key key = key_meta(5);
    struct answer *a = answer_new(), *b = answer_new();

    store_agree(f->store, key_bytes(&key), BYTES_LIT("seq"), BYTES_LIT("12x"), on_answer, a);
    assert_int_equal(wait_for(&f->loop, a)->r, 0);
    store_meta(f->store, 5, on_meta_answer, b);
    assert_int_equal(wait_for(&f->loop, b)->r, -EBADMSG);
    answer_free(a);
    answer_free(b);
}

/* ---- close ------------------------------------------------------------------------------------
 */

static void closing_ends_what_is_pending_once_each(void **state)
{
    struct fixture *f = *state;
    enum { N = 200 };
    struct answer *all[N];
    struct store *s = open_store(f);

    for (int i = 0; i < N; i++) {
        struct store_put p = {BYTES_LIT("k"), BYTES_LIT("v"), 1000};
        struct bytes key = BYTES_LIT("k");

        all[i] = answer_new();
        if (i % 2)
            store_put(s, &p, 1, on_answer, all[i]);
        else
            store_get(s, &key, 1, on_answer, all[i]);
    }
    close_store(&f->loop, s);
    for (int i = 0; i < N; i++) {
        assert_int_equal(all[i]->calls, 1);
        assert_int_equal(all[i]->r, -ECANCELED);
        answer_free(all[i]);
    }
}

struct closer {
    struct store *s;
    int answers, closed;
};

static void on_closer_answer(void *ctx, int r, const struct store_reply *reply)
{
    struct closer *c = ctx;

    (void)r, (void)reply;
    if (c->answers++ == 0)
        store_close(c->s, on_store_closed, &c->closed);
}

static void a_handle_may_be_closed_from_a_callback(void **state)
{
    struct fixture *f = *state;
    struct closer c = {.s = open_store(f)};
    struct bytes key = BYTES_LIT("k");

    for (int i = 0; i < 5; i++)
        store_get(c.s, &key, 1, on_closer_answer, &c);
    assert_true(loop_until(&f->loop, &c.closed, 1, TEST_WAIT_MS));
    assert_int_equal(c.answers, 5);
}

static void a_handle_is_ready_once_it_has_answered(void **state)
{
    struct fixture *f = *state;

    assert_false(exists(&f->loop, f->store, BYTES_LIT("k")));
    assert_true(store_ready(f->store));
}

/* clang-format off */
#define TESTS(X)                                                                                   \
    X(what_was_put_is_got) X(nothing_asked_is_answered_too) X(a_blob_ends_with_its_time_to_live)   \
    X(a_time_to_live_that_is_none_is_refused) X(a_key_no_store_can_hold_is_refused)                \
    X(a_value_of_a_megabyte_comes_back_whole) X(many_keys_go_in_one_call)                          \
    X(writes_take_effect_in_the_order_of_the_calls)                                                \
    X(fields_of_a_hash_are_set_read_and_removed)                                                   \
    X(a_hash_of_many_fields_is_read_and_deleted_whole) X(those_who_race_to_agree_get_one_answer)   \
    X(a_partition_nobody_took_has_no_meta) X(each_acquire_grows_the_epoch)                         \
    X(a_commit_writes_meta_and_keeps_it_over_an_acquire)                                           \
    X(only_the_owner_with_the_right_sequence_commits) X(tokens_are_compared_to_the_last_bit)       \
    X(an_owner_is_fenced_by_the_next_one)                                                          \
    X(the_repeat_of_an_applied_commit_answers_0_and_changes_nothing)                               \
    X(a_commit_does_all_its_kinds_of_ops) X(a_commit_with_a_bad_op_does_none_of_them)              \
    X(meta_that_is_not_ours_is_an_error_and_stays)                                                 \
    X(closing_ends_what_is_pending_once_each) X(a_handle_may_be_closed_from_a_callback)            \
    X(a_handle_is_ready_once_it_has_answered)
/* clang-format on */
#define ON_LMDB(test)  cmocka_unit_test_setup_teardown(test, setup_lmdb, teardown),
#define ON_REDIS(test) cmocka_unit_test_setup_teardown(test, setup_redis, teardown),

int main(void)
{
    const struct CMUnitTest lmdb[] = {TESTS(ON_LMDB)};
    const struct CMUnitTest redis[] = {TESTS(ON_REDIS)};
    int failed = cmocka_run_group_tests_name("the contract over LMDB", lmdb, NULL, NULL);

    if (failed)
        return 1;
    redis_require();
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests_name("the contract over Redis", redis, NULL, NULL) ? 1 : 0;
}
