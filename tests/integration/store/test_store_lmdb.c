/* What only the local store promises: crashes, the cap on disk, the lock, the sweep. */
#include "lib/redis.h"
#include "store_test.h"

#include "store/lmdb_env.h"
#include "store/store_impl.h"

#include <sys/stat.h>

static const int64_t big = INT64_C(256) << 20;

struct fixture {
    uv_loop_t loop;
    struct lmdb_env *env;
    struct store *store;
    char dir[64];
};

static void open_env(struct fixture *f, int64_t max_bytes)
{
    struct failure why;

    if (lmdb_env_open(f->dir, max_bytes, &f->env, &why) != 0)
        fail_msg("%s", why.message);
    assert_int_equal(uv_loop_init(&f->loop), 0);
    f->store = store_lmdb_new(&f->loop, f->env);
}

static void close_env(struct fixture *f)
{
    close_store(&f->loop, f->store);
    close_loop(&f->loop);
    lmdb_env_close(f->env);
    f->env = NULL;
}

static int setup(void **state)
{
    struct fixture *f = *state = calloc(1, sizeof *f);

    snprintf(f->dir, sizeof f->dir, "/tmp/hearth-lmdb-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    if (f->env)
        close_env(f);
    remove_dir(f->dir);
    free(f);
    return 0;
}

static int64_t file_bytes(const struct fixture *f)
{
    char path[96];
    struct stat st;

    snprintf(path, sizeof path, "%s/data.mdb", f->dir);
    assert_int_equal(stat(path, &st), 0);
    return st.st_size;
}

static struct kv_usage usage(struct fixture *f)
{
    struct kv_usage u;
    struct kv_txn *t;

    assert_int_equal(kv_begin_read(lmdb_env_kv(f->env), &t), 0);
    assert_int_equal(kv_usage(t, &u), 0);
    kv_abort(t);
    return u;
}

static int64_t evicted(void)
{
    return metric_get(&store_metrics[STORE_M_EVICTED], 0);
}

static void what_was_written_is_there_after_a_restart(void **state)
{
    struct fixture *f = *state;

    open_env(f, big);
    assert_int_equal(put(&f->loop, f->store, BYTES_LIT("k"), BYTES_LIT("v"), 60000), 0);
    assert_int_equal(put(&f->loop, f->store, BYTES_LIT("short"), BYTES_LIT("v"), 30), 0);
    acquire(&f->loop, f->store, 1, 7, 1000);
    close_env(f);
    usleep(50000);
    open_env(f, big);
    assert_true(exists(&f->loop, f->store, BYTES_LIT("k")));
    assert_false(exists(&f->loop, f->store, BYTES_LIT("short")));
    assert_int_equal(meta(&f->loop, f->store, 1).epoch, 1000);
}

/* ---- crash ------------------------------------------------------------------------------------
 */

/* The child commits blob and index together for ever and says on the pipe which were answered. */
static void commit_for_ever(struct fixture *f, int answers)
{
    struct store_meta m;
    struct store_commit c = {.partition = 1, .token = 7};

    open_env(f, big);
    m = acquire(&f->loop, f->store, 1, 7, 1000);
    c.epoch = m.epoch;
    for (uint64_t seq = m.seq + 1;; seq++) {
        struct decimal name = decimal_of(seq);
        struct store_op ops[] = {
            {STORE_OP_HSET, BYTES_LIT("first"), decimal_bytes(&name), BYTES_LIT("x"), 0},
            {STORE_OP_HSET, BYTES_LIT("second"), decimal_bytes(&name), BYTES_LIT("x"), 0},
        };

        if (put(&f->loop, f->store, decimal_bytes(&name), BYTES_LIT("blob"), 600000) != 0)
            _exit(1);
        c.prev_seq = seq - 1, c.seq = seq, c.offset = seq * 10;
        c.ops = ops, c.n_ops = 2;
        if (commit(&f->loop, f->store, &c) != 0 || write(answers, &seq, sizeof seq) != sizeof seq)
            _exit(1);
    }
}

static uint64_t last_answer(int answers)
{
    uint64_t seq = 0, next;

    while (read(answers, &next, sizeof next) == sizeof next)
        seq = next;
    return seq;
}

/* How far a child got that was killed after a while. */
static uint64_t run_and_kill(struct fixture *f, unsigned after_ms)
{
    int answers[2];
    uint64_t seq;
    pid_t pid;

    assert_int_equal(pipe(answers), 0);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(answers[0]);
        commit_for_ever(f, answers[1]);
    }
    close(answers[1]);
    usleep(after_ms * 1000);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    seq = last_answer(answers[0]);
    close(answers[0]);
    return seq;
}

static void every_answered_commit_survives_a_kill_and_none_is_half_done(void **state)
{
    struct fixture *f = *state;
    uint64_t answered_seq = 0;

    srand(11);
    for (int run = 0; run < 12; run++) {
        uint64_t seq = run_and_kill(f, 30 + (unsigned)rand() % 120);
        struct answer *first, *second;
        struct store_meta m;

        answered_seq = seq > answered_seq ? seq : answered_seq;
        open_env(f, big);
        m = meta(&f->loop, f->store, 1);
        assert_true(m.seq >= answered_seq);
        assert_true(m.seq <= answered_seq + 1); /* the one that was not answered may be there */
        assert_true(m.seq == 0 || m.offset == m.seq * 10);
        first = hash(&f->loop, f->store, BYTES_LIT("first"));
        second = hash(&f->loop, f->store, BYTES_LIT("second"));
        assert_int_equal(first->n, m.seq);
        assert_int_equal(second->n, m.seq);
        for (size_t i = 0; i < first->n; i++)
            assert_true(exists(&f->loop, f->store, first->fields[i]));
        answer_free(first);
        answer_free(second);
        answered_seq = m.seq;
        close_env(f);
    }
    assert_true(answered_seq > 12);
}

/* ---- the cap ----------------------------------------------------------------------------------
 */

static struct bytes blob_name(char out[32], int i)
{
    snprintf(out, 32, "blob-%06d", i);
    return bytes_str(out);
}

static void at_the_cap_the_blobs_nearest_to_their_end_go_first(void **state)
{
    struct fixture *f = *state;
    enum { N = 1000, SIZE = 60000 };
    const int64_t cap = INT64_C(16) << 20, evicted_before = evicted();
    uint8_t *value = malloc(SIZE);
    char name[32];
    int first_kept = -1;

    memset(value, 'v', SIZE);
    open_env(f, cap);
    for (int i = 0; i < N; i++) { /* i and its end do not rise together with the time of writing */
        int k = i * 37 % N;

        assert_int_equal(
            put(&f->loop, f->store, blob_name(name, k), bytes_of(value, SIZE), 600000 + k * 1000),
            0);
        assert_true(usage(f).used_bytes <= cap / 8 * 7);
    }
    for (int i = 0; i < N; i++) {
        bool there = exists(&f->loop, f->store, blob_name(name, i));

        if (there && first_kept < 0)
            first_kept = i;
        if (first_kept >= 0 && !there)
            fail_msg("blob %d is gone although %d, which ends earlier, is there", i, first_kept);
    }
    assert_true(first_kept > 0 && first_kept < N);
    assert_true(N - first_kept > 150); /* most of the cap is used: 240 would fill it */
    assert_true(evicted() - evicted_before >= first_kept);
    assert_true(file_bytes(f) <= cap);
    free(value);
}

static void values_of_all_sizes_fit_under_the_cap(void **state)
{
    struct fixture *f = *state;
    const int64_t cap = INT64_C(16) << 20;
    uint8_t *value = calloc(1, 2 << 20);
    char name[32];

    srand(5);
    open_env(f, cap);
    for (int i = 0; i < 600; i++) { /* the free pages are in pieces: a large value must find room */
        size_t size = i % 10 == 9 ? (size_t)(2 << 20) : (size_t)rand() % 90000;
        int64_t ttl_ms = 600000 + rand() % 100000;

        assert_int_equal(put(&f->loop, f->store, blob_name(name, i), bytes_of(value, size), ttl_ms),
                         0);
    }
    assert_true(file_bytes(f) <= cap);
    free(value);
}

static void a_value_that_cannot_fit_is_refused_and_the_store_goes_on(void **state)
{
    struct fixture *f = *state;
    const int64_t cap = INT64_C(8) << 20;
    uint8_t *value = calloc(1, (size_t)cap);

    open_env(f, cap);
    assert_int_equal(put(&f->loop, f->store, BYTES_LIT("older"), BYTES_LIT("x"), 60000), 0);
    assert_int_equal(put(&f->loop, f->store, BYTES_LIT("huge"), bytes_of(value, (size_t)cap), 1000),
                     -ENOSPC);
    assert_true(exists(&f->loop, f->store, BYTES_LIT("older"))); /* not given up in vain */
    assert_int_equal(put(&f->loop, f->store, BYTES_LIT("small"), BYTES_LIT("x"), 60000), 0);
    assert_true(exists(&f->loop, f->store, BYTES_LIT("small")));
    assert_true(store_ready(f->store));
    free(value);
}

static int set_field(struct fixture *f, struct store_commit *c, int i, struct bytes value)
{
    struct decimal name = decimal_of((uint64_t)i);
    struct store_op op = {value.data ? STORE_OP_HSET : STORE_OP_HDEL, BYTES_LIT("h"),
                          decimal_bytes(&name), value, 0};
    int r;

    c->ops = &op, c->n_ops = 1;
    r = commit(&f->loop, f->store, c);
    if (r == 0)
        c->prev_seq = c->seq++;
    return r;
}

static void metadata_that_fills_the_store_is_refused_but_can_be_deleted(void **state)
{
    struct fixture *f = *state;
    enum { SIZE = 100000 };
    uint8_t *value = calloc(1, SIZE);
    struct store_commit c = {.partition = 1, .token = 7, .seq = 1};
    int n = 0, r = 0;

    open_env(f, INT64_C(8) << 20);
    c.epoch = acquire(&f->loop, f->store, 1, 7, 1000).epoch;
    for (; n < 1000 && r == 0; n++)
        r = set_field(f, &c, n, bytes_of(value, SIZE));
    assert_int_equal(r, -ENOSPC);
    assert_true(n > 50);
    for (int i = 0; i < 20; i++)
        assert_int_equal(set_field(f, &c, i, bytes_of(NULL, 0)), 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(set_field(f, &c, i, bytes_of(value, SIZE)), 0);
    free(value);
}

static void one_that_cannot_succeed_does_not_take_its_group_with_it(void **state)
{
    struct fixture *f = *state;
    enum { N = 41 };
    const size_t too_big = 8 << 20;
    uint8_t *value = calloc(1, too_big);
    struct answer *all[N];
    char name[32];

    open_env(f, INT64_C(8) << 20);
    for (int i = 0; i < N; i++) {
        struct store_put p = {blob_name(name, i), BYTES_LIT("x"), 60000};

        if (i == N / 2)
            p.value = bytes_of(value, too_big);
        all[i] = answer_new();
        store_put(f->store, &p, 1, on_answer, all[i]);
    }
    for (int i = 0; i < N; i++) {
        assert_int_equal(wait_for(&f->loop, all[i])->r, i == N / 2 ? -ENOSPC : 0);
        answer_free(all[i]);
    }
    free(value);
}

/* ---- the lock, the sweep ----------------------------------------------------------------------
 */

static void the_second_process_is_told_who_has_the_directory(void **state)
{
    struct fixture *f = *state;
    char pid[32];
    struct failure why = {0};
    struct lmdb_env *second = NULL;

    open_env(f, big);
    lmdb_env_announce(f->env, "127.0.0.1:4050");
    assert_int_equal(lmdb_env_open(f->dir, big, &second, &why), FAILURE);
    snprintf(pid, sizeof pid, "pid %ld", (long)getpid());
    assert_non_null(strstr(why.message, pid));
    assert_non_null(strstr(why.message, "127.0.0.1:4050"));
    assert_non_null(strstr(why.message, f->dir));
    assert_non_null(strstr(why.hint, "data_dir"));
    assert_string_equal(why.code, "data_dir_in_use");
    assert_null(second);
}

static void a_directory_that_cannot_be_used_is_named_with_its_setting(void **state)
{
    struct failure why;
    struct lmdb_env *e;

    (void)state;
    assert_int_equal(lmdb_env_open("/dev/null/store", big, &e, &why), FAILURE);
    assert_non_null(strstr(why.message, "/dev/null/store"));
    assert_non_null(strstr(why.hint, "data_dir"));
    assert_int_equal(lmdb_env_open("/tmp", 1000, &e, &why), FAILURE);
    assert_string_equal(why.code, "store_too_small");
}

static void a_file_that_is_not_ours_is_refused(void **state)
{
    struct fixture *f = *state;
    struct failure why;
    char path[96], junk[8192];
    FILE *file;

    memset(junk, 'j', sizeof junk);
    snprintf(path, sizeof path, "%s/data.mdb", f->dir);
    file = fopen(path, "w");
    assert_int_equal(fwrite(junk, sizeof junk, 1, file), 1);
    fclose(file);
    assert_int_equal(lmdb_env_open(f->dir, big, &f->env, &why), FAILURE);
    assert_string_equal(why.code, "store_unusable");
    f->env = NULL;
}

static void the_sweep_removes_what_has_ended(void **state)
{
    struct fixture *f = *state;
    enum { N = 1500 }; /* several transactions of the sweep */
    const int64_t expired_before = metric_get(&store_metrics[STORE_M_EXPIRED], 0);
    struct answer *a = answer_new();
    struct store_put puts[N];
    char names[N][32];

    open_env(f, big);
    for (int i = 0; i < N; i++)
        puts[i] = (struct store_put){blob_name(names[i], i), BYTES_LIT("x"), i == 7 ? 600000 : 20};
    store_put(f->store, puts, N, on_answer, a);
    assert_int_equal(wait_for(&f->loop, a)->r, 0);
    answer_free(a);
    for (int i = 0; i < 500 && usage(f).blobs > 1; i++)
        loop_sleep(&f->loop, 20);
    assert_int_equal(usage(f).blobs, 1);
    assert_true(exists(&f->loop, f->store, puts[7].key));
    assert_int_equal(metric_get(&store_metrics[STORE_M_EXPIRED], 0) - expired_before, N - 1);
}

/* ---- several loops ----------------------------------------------------------------------------
 */

struct worker {
    struct lmdb_env *env;
    uint32_t partition;
    int committed;
    uv_thread_t thread;
};

static void on_worker_answer(void *ctx, int r, const struct store_reply *reply)
{
    (void)reply;
    *(int *)ctx = r == 0 ? 1 : -1;
}

static void on_worker_meta(void *ctx, int r, const struct store_meta *m)
{
    *(uint64_t *)ctx = r == 0 ? m->epoch : 0;
}

static void commit_on_own_loop(void *arg)
{
    struct worker *w = arg;
    uv_loop_t loop;
    struct store *s;
    struct store_commit c = {.partition = w->partition, .token = 7};
    int closed = 0;

    uv_loop_init(&loop);
    s = store_lmdb_new(&loop, w->env);
    store_acquire(s, w->partition, 7, 1000, on_worker_meta, &c.epoch);
    while (c.epoch == 0)
        uv_run(&loop, UV_RUN_ONCE);
    for (uint64_t seq = 1; seq <= 100; seq++) {
        int done = 0;

        c.prev_seq = seq - 1, c.seq = seq;
        store_commit(s, &c, on_worker_answer, &done);
        while (!done)
            uv_run(&loop, UV_RUN_ONCE);
        w->committed += done == 1;
    }
    store_close(s, on_store_closed, &closed);
    while (uv_loop_alive(&loop))
        uv_run(&loop, UV_RUN_ONCE);
    uv_loop_close(&loop);
}

static void several_loops_share_one_environment(void **state)
{
    struct fixture *f = *state;
    enum { N = 4 };
    struct worker workers[N];

    open_env(f, big);
    for (uint32_t i = 0; i < N; i++) {
        workers[i] = (struct worker){.env = f->env, .partition = i};
        assert_int_equal(uv_thread_create(&workers[i].thread, commit_on_own_loop, &workers[i]), 0);
    }
    for (uint32_t i = 0; i < N; i++) {
        uv_thread_join(&workers[i].thread);
        assert_int_equal(workers[i].committed, 100);
        assert_int_equal(meta(&f->loop, f->store, i).seq, 100);
    }
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_answered_commit_survives_a_kill_and_none_is_half_done),
        TEST(what_was_written_is_there_after_a_restart),
        TEST(at_the_cap_the_blobs_nearest_to_their_end_go_first),
        TEST(values_of_all_sizes_fit_under_the_cap),
        TEST(a_value_that_cannot_fit_is_refused_and_the_store_goes_on),
        TEST(metadata_that_fills_the_store_is_refused_but_can_be_deleted),
        TEST(one_that_cannot_succeed_does_not_take_its_group_with_it),
        TEST(the_second_process_is_told_who_has_the_directory),
        TEST(a_directory_that_cannot_be_used_is_named_with_its_setting),
        TEST(a_file_that_is_not_ours_is_refused),
        TEST(the_sweep_removes_what_has_ended),
        TEST(several_loops_share_one_environment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
