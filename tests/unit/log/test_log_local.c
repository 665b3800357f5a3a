/* What only the local log promises: its directory, its disk, a crash. The contract that it shares
 * with Kafka is integration/log/test_log_contract.c. */
#include "base/metrics.h"
#include "lib/log_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* ---- the directory ----------------------------------------------------------------------------
 */

/* Another process, which says through a pipe that it has the directory and then waits to be killed.
 */
static pid_t holder_start(const struct world *w)
{
    int ready[2];
    char c;
    pid_t pid;

    assert_int_equal(pipe(ready), 0);
    pid = fork();
    if (pid == 0) {
        struct log_local *l;
        struct failure f;

        if (log_local_open(w->dir, &w->local_options, &l, &f) == 0 && write(ready[1], "y", 1) == 1)
            pause();
        _exit(1);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &c, 1), 1);
    close(ready[0]);
    return pid;
}

static void a_directory_in_use_is_refused_and_its_holder_named(void **state)
{
    struct world w;
    struct failure f;
    char named[32];
    pid_t pid;

    (void)state;
    world_local(&w);
    pid = holder_start(&w);
    snprintf(named, sizeof named, "process %d (", pid);
    assert_int_equal(log_local_open(w.dir, &w.local_options, &w.local, &f), -EAGAIN);
    assert_string_equal(f.code, "log_dir_in_use");
    assert_non_null(strstr(f.message, named));
    assert_non_null(strstr(f.message, w.dir));
    assert_non_null(strstr(f.hint, "--data-dir"));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    local_open(&w); /* the kernel gave the lock back */
    world_close(&w);
}

static void another_number_of_partitions_is_refused_by_name(void **state)
{
    struct world w;
    struct failure f;

    (void)state;
    world_local(&w);
    local_open(&w);
    log_local_close(w.local);
    w.local = NULL;
    w.local_options.log_partitions = FIXTURE_PARTITIONS + 1;
    assert_int_equal(log_local_open(w.dir, &w.local_options, &w.local, &f), -EINVAL);
    assert_string_equal(f.code, "log_partitions_differ");
    assert_non_null(strstr(f.hint, "log_partitions"));
    world_close(&w);
}

static void a_directory_that_cannot_be_is_a_clear_error(void **state)
{
    struct log_local_options o = {1, 1 << 20, 4096};
    struct log_local *l;
    struct failure f;

    (void)state;
    assert_int_equal(log_local_open("/proc/nowhere/log", &o, &l, &f), -ENOENT);
    assert_non_null(strstr(f.message, "/proc/nowhere/log"));
}

/* ---- a crash ----------------------------------------------------------------------------------
 */

struct ack {
    uint32_t partition;
    uint64_t offset, hash;
};

static int ack_fd;

static void tell_parent(struct log_publish *pub, int r, uint64_t offset)
{
    struct ack ack = {pub->partition, offset, hash64(pub->value)};

    if (r == 0 && write(ack_fd, &ack, sizeof ack) != sizeof ack)
        _exit(2);
    free((void *)(uintptr_t)pub->value.data);
    free(pub);
}

/* Appends without end, from a fixed number of records in flight, telling of each ack. */
static void crash_child(struct world *w, int fd)
{
    size_t n = 0;

    ack_fd = fd;
    local_open(w);
    producer_open(w);
    for (;;) {
        for (int i = 0; i < 50; i++, n++) {
            struct log_publish *pub = xcalloc(1, sizeof *pub);

            *pub = (struct log_publish){(uint32_t)(n % FIXTURE_PARTITIONS),
                                        value_new(n, 20 + n * 7919 % 5000), tell_parent, NULL};
            if (log_publish(w->producer, pub) != 0)
                _exit(3);
        }
        uv_run(&w->loop, UV_RUN_ONCE);
    }
}

static void note_ack(struct world *w, const struct ack *a)
{
    XGROW(w->acked, w->cap_acked, w->n_acked + 1);
    w->acked[w->n_acked++] = (struct record_seen){a->partition, a->offset, 0, a->hash, 0};
}

static void run_and_kill(struct world *w, size_t after_acks)
{
    int fds[2];
    struct ack a;
    size_t n = 0;
    pid_t pid;

    assert_int_equal(pipe(fds), 0);
    pid = fork();
    if (pid == 0) {
        close(fds[0]);
        crash_child(w, fds[1]);
    }
    close(fds[1]);
    while (n < after_acks && read(fds[0], &a, sizeof a) == sizeof a) {
        note_ack(w, &a);
        n++;
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    while (read(fds[0], &a, sizeof a) == sizeof a) /* what it still told */
        note_ack(w, &a);
    close(fds[0]);
    assert_true(n == after_acks);
}

/* kill -9 tears nothing that a write had finished, so the test adds half a record by itself. */
static void tear_tails(const struct world *w)
{
    char *pattern = xasprintf("%s/p*/*.seg", w->dir);
    glob_t g;

    assert_int_equal(glob(pattern, 0, NULL, &g), 0);
    for (size_t i = 0; i < g.gl_pathc; i++) {
        int fd = open(g.gl_pathv[i], O_WRONLY | O_APPEND);

        assert_int_equal(write(fd, "\x40\0\0\0half a record", 17), 17);
        close(fd);
    }
    globfree(&g);
    free(pattern);
}

static void every_acked_record_survives_kill_9_and_a_torn_tail(void **state)
{
    struct world w;
    struct member m = member_new(LOG_BEGIN);
    uint64_t end, sum;

    (void)state;
    world_local(&w);
    w.local_options.log_segment_bytes = 200000;
    srand((unsigned)random_u64());
    for (int round = 0; round < 12; round++) {
        run_and_kill(&w, 100 + (size_t)rand() % 400);
        if (round % 2)
            tear_tails(&w);
    }
    local_open(&w);
    member_open(&m, &w, "one");
    WAIT(&w, m.n_owned == FIXTURE_PARTITIONS);
    sum = 0;
    for (uint32_t p = 0; p < FIXTURE_PARTITIONS; p++) {
        assert_true(log_consumer_end(m.c, p, &end));
        sum += end;
    }
    WAIT(&w, m.n_seen >= sum);
    assert_int_equal(m.n_gaps, 0);
    assert_in_order(&m);
    assert_acked_seen(&w, m.seen, m.n_seen);
    printf("%zu records acknowledged over 12 kills\n", w.n_acked);
    member_free(&m);
    world_close(&w);
}

/* ---- bit rot ----------------------------------------------------------------------------------
 */

static void flip_in(const struct world *w, const char *file, off_t at)
{
    char *path = xasprintf("%s/%s", w->dir, file);
    int fd = open(path, O_RDWR);
    uint8_t c;

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &c, 1, at), 1);
    c ^= 1;
    assert_int_equal(pwrite(fd, &c, 1, at), 1);
    close(fd);
    free(path);
}

static void bit_rot_is_a_gap_of_its_record_and_no_more(void **state)
{
    struct world w;
    struct member m = member_new(LOG_BEGIN);

    (void)state;
    world_open(&w, LOG_LOCAL);
    for (int i = 0; i < 10; i++)
        send_one(&w, 0, 1000, false);
    wait_acked(&w);
    /* record 4, in its value */
    flip_in(&w, "p0000/00000000000000000000.seg", 32 + 4 * (28 + 1000) + 500);
    member_open(&m, &w, "one");
    WAIT(&w, m.n_seen == 9);
    assert_int_equal(m.n_gaps, 1);
    assert_int_equal(m.gaps[0].wanted, 4);
    assert_int_equal(m.gaps[0].first, 5);
    member_close(&m);

    world_restart(&w); /* a recovery keeps what is behind it */
    m.n_seen = m.n_gaps = 0;
    m.start[0] = 0;
    member_open(&m, &w, "one");
    WAIT(&w, m.n_seen == 9);
    assert_int_equal(m.n_gaps, 1);
    send_one(&w, 0, 10, false);
    WAIT(&w, m.n_seen == 10);
    assert_int_equal(m.seen[9].offset, 10);
    member_free(&m);
    world_close(&w);
}

static void a_segment_with_a_bad_header_is_a_gap_up_to_the_next_one(void **state)
{
    struct world w;
    struct member m = member_new(LOG_BEGIN);

    (void)state;
    world_local(&w);
    w.local_options.log_segment_bytes = 4096;
    local_open(&w);
    producer_open(&w);
    for (int i = 0; i < 9; i++) /* three to a segment */
        send_one(&w, 0, 1200, false);
    wait_acked(&w);
    flip_in(&w, "p0000/00000000000000000003.seg", 9);
    member_open(&m, &w, "one");
    WAIT(&w, m.n_seen == 6);
    assert_int_equal(m.n_gaps, 1);
    assert_int_equal(m.gaps[0].wanted, 3);
    assert_int_equal(m.gaps[0].first, 6);
    member_free(&m);
    world_close(&w);
}

/* ---- a disk that fails ------------------------------------------------------------------------
 */

static _Atomic int failing_syncs;

/* In place of glibc's, for the whole program: the next few fail. */
int fdatasync(int fd)
{
    if (failing_syncs > 0) {
        failing_syncs--;
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

/* The log anew, the consumer from the beginning. */
static void world_restart_with(struct world *w, struct member *m)
{
    member_close(m);
    world_restart(w);
    m->n_seen = 0;
    m->start[0] = 0;
    member_open(m, w, "one");
}

static size_t n_segments(const struct world *w)
{
    char *pattern = xasprintf("%s/p0000/*.seg", w->dir);
    glob_t g;
    size_t n;

    assert_int_equal(glob(pattern, 0, NULL, &g), 0);
    n = g.gl_pathc;
    globfree(&g);
    free(pattern);
    return n;
}

static void a_failed_sync_is_made_good_in_a_new_segment(void **state)
{
    struct world w;
    struct member m = member_new(LOG_BEGIN);

    (void)state;
    world_open(&w, LOG_LOCAL);
    for (int round = 1; round <= 5; round++) {
        send_one(&w, 0, 1000, true);
        wait_acked(&w);
        failing_syncs = 1;
        send_one(&w, 0, 1000, true);
        send_one(&w, 0, 1000, true);
        wait_acked(&w);
        assert_int_equal(failing_syncs, 0);
        assert_int_equal(n_segments(&w), round + 1);
    }
    assert_int_equal(w.n_failed, 0);
    world_restart(&w);
    member_open(&m, &w, "one");
    WAIT(&w, m.n_seen == 15);
    assert_int_equal(m.n_gaps, 0);
    assert_in_order(&m);
    assert_acked_seen(&w, m.seen, m.n_seen);
    member_free(&m);
    world_close(&w);
}

static void a_disk_that_goes_on_failing_fails_records_and_offsets_stay_right(void **state)
{
    struct world w;
    struct member m = member_new(LOG_BEGIN);

    (void)state;
    world_open(&w, LOG_LOCAL);
    member_open(&m, &w, "one");
    for (int failures = 2; failures < 7; failures++) {
        failing_syncs = failures;
        for (int i = 0; i < 5; i++)
            send_one(&w, 0, 1000, true);
        wait_acked(&w);
        failing_syncs = 0;
        send_one(&w, 0, 1000, true);
        wait_acked(&w);
    }
    assert_true(w.n_failed > 0);
    WAIT(&w, m.n_seen == w.n_acked);
    world_restart_with(&w, &m);
    WAIT(&w, seen_through(&w, &m));
    assert_int_equal(m.n_gaps, 0);
    assert_in_order(&m);
    assert_acked_seen(&w, m.seen, m.n_seen);
    member_free(&m);
    world_close(&w);
}

/* ---- retention --------------------------------------------------------------------------------
 */

static uint64_t disk_bytes(const struct world *w)
{
    char *pattern = xasprintf("%s/p*/*", w->dir);
    uint64_t sum = 0;
    struct stat st;
    glob_t g;

    assert_int_equal(glob(pattern, 0, NULL, &g), 0);
    for (size_t i = 0; i < g.gl_pathc; i++)
        if (stat(g.gl_pathv[i], &st) == 0)
            sum += (uint64_t)st.st_size;
    globfree(&g);
    free(pattern);
    return sum;
}

static void small_world(struct world *w)
{
    world_local(w);
    w->local_options.log_max_bytes = 1 << 20;
    w->local_options.log_segment_bytes = 32768;
    local_open(w);
    producer_open(w);
}

static void a_full_log_deletes_what_is_flushed_and_nothing_else(void **state)
{
    struct world w;
    struct member m = member_new(LOG_BEGIN);

    (void)state;
    small_world(&w);
    m.flush_all = true;
    member_open(&m, &w, "one");
    WAIT(&w, m.n_owned == FIXTURE_PARTITIONS);
    for (int i = 0; i < 40; i++) { /* ten times what fits */
        send_many(&w, 64, 4096);
        WAIT(&w, m.n_seen == (size_t)(i + 1) * 64);
        assert_true(disk_bytes(&w) <= 1 << 20);
    }
    assert_int_equal(w.n_failed, 0);
    assert_int_equal(m.n_gaps, 0);
    assert_in_order(&m);
    member_free(&m);
    world_close(&w);
}

static void a_full_log_with_nothing_flushed_refuses_and_recovers(void **state)
{
    struct world w;
    struct member m = member_new(LOG_BEGIN);
    size_t kept;

    (void)state;
    small_world(&w);
    for (int i = 0; i < 400; i++)
        send_one(&w, (uint32_t)i % FIXTURE_PARTITIONS, 4096, true);
    wait_acked(&w);
    kept = w.n_acked;
    assert_int_equal(kept + w.n_failed, 400);
    assert_true(kept > 200 && w.n_failed > 100);
    assert_true(disk_bytes(&w) <= 1 << 20);

    member_open(&m, &w, "one"); /* what was acknowledged is there, all of it */
    WAIT(&w, m.n_seen == kept);
    assert_int_equal(m.n_gaps, 0);
    assert_acked_seen(&w, m.seen, m.n_seen);
    send_one(&w, 0, 4096, true);
    WAIT(&w, w.n_failed + w.n_acked == 401);
    assert_int_equal(w.n_acked, kept); /* read, but not flushed */
    for (uint32_t p = 0; p < FIXTURE_PARTITIONS; p++)
        log_consumer_flushed(m.c, p, m.start[p]);
    send_one(&w, 0, 4096, true);
    WAIT(&w, w.n_acked == kept + 1);
    member_free(&m);
    world_close(&w);
}

static void a_start_below_the_log_is_a_gap(void **state)
{
    struct world w;
    struct member m = member_new(LOG_BEGIN), late = member_new(0);

    (void)state;
    small_world(&w);
    m.flush_all = true;
    member_open(&m, &w, "one");
    for (int i = 0; i < 10; i++) {
        send_many(&w, 64, 4096);
        WAIT(&w, m.n_seen == (size_t)(i + 1) * 64);
    }
    member_close(&m);
    member_open(&late, &w, "two");
    WAIT(&w, late.n_gaps == FIXTURE_PARTITIONS);
    for (size_t i = 0; i < late.n_gaps; i++) {
        assert_int_equal(late.gaps[i].wanted, 0);
        assert_true(late.gaps[i].first > 0);
    }
    WAIT(&w, late.start[0] == 160 && late.start[1] == 160 && late.start[2] == 160 &&
                 late.start[3] == 160);
    assert_in_order(&late);
    member_free(&late);
    member_free(&m);
    world_close(&w);
}

static void a_start_behind_the_log_goes_on_at_its_begin(void **state)
{
    struct world w;
    struct member m = member_new(1000);

    (void)state;
    world_open(&w, LOG_LOCAL);
    send_many(&w, 40, 100);
    wait_acked(&w);
    member_open(&m, &w, "one");
    WAIT(&w, m.n_seen == 40);
    assert_int_equal(m.n_gaps, FIXTURE_PARTITIONS);
    assert_int_equal(m.gaps[0].wanted, 1000);
    assert_int_equal(m.gaps[0].first, 0);
    member_free(&m);
    world_close(&w);
}

/* ---- a full disk ------------------------------------------------------------------------------
 */

static void a_full_disk_fails_records_and_keeps_what_was_acked(void **state)
{
    struct world w;
    struct member m = member_new(LOG_BEGIN);
    size_t kept;

    (void)state;
    world_local(&w);
    if (mount("tmpfs", w.dir, "tmpfs", 0, "size=1m,mode=700") < 0) {
        fprintf(stderr, "SKIPPED: a full disk (no right to mount: %s)\n", strerror(errno));
        world_close(&w);
        skip();
    }
    local_open(&w);
    producer_open(&w);
    for (int i = 0; i < 400; i++)
        send_one(&w, (uint32_t)i % FIXTURE_PARTITIONS, 5000, true);
    wait_acked(&w);
    kept = w.n_acked;
    assert_true(kept > 100 && w.n_failed > 100);
    assert_int_equal(kept + w.n_failed, 400);
    world_restart(&w); /* half a record, if there is one, is a torn tail */
    member_open(&m, &w, "one");
    WAIT(&w, m.n_seen == kept);
    assert_int_equal(m.n_gaps, 0);
    assert_acked_seen(&w, m.seen, m.n_seen);
    member_free(&m);
    producer_shut(&w);
    log_local_close(w.local);
    w.local = NULL;
    assert_int_equal(umount(w.dir), 0);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_directory_in_use_is_refused_and_its_holder_named),
        cmocka_unit_test(another_number_of_partitions_is_refused_by_name),
        cmocka_unit_test(a_directory_that_cannot_be_is_a_clear_error),
        cmocka_unit_test(every_acked_record_survives_kill_9_and_a_torn_tail),
        cmocka_unit_test(bit_rot_is_a_gap_of_its_record_and_no_more),
        cmocka_unit_test(a_segment_with_a_bad_header_is_a_gap_up_to_the_next_one),
        cmocka_unit_test(a_failed_sync_is_made_good_in_a_new_segment),
        cmocka_unit_test(a_disk_that_goes_on_failing_fails_records_and_offsets_stay_right),
        cmocka_unit_test(a_full_log_deletes_what_is_flushed_and_nothing_else),
        cmocka_unit_test(a_full_log_with_nothing_flushed_refuses_and_recovers),
        cmocka_unit_test(a_start_below_the_log_is_a_gap),
        cmocka_unit_test(a_start_behind_the_log_goes_on_at_its_begin),
        cmocka_unit_test(a_full_disk_fails_records_and_keeps_what_was_acked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
