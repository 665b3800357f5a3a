/* What log.h promises, over the local log and over a real Kafka. */
#include "lib/log_fixture.h"

static enum log_kind kinds[] = {LOG_LOCAL, LOG_KAFKA};

static void records_come_back_whole_and_in_order_where_the_ack_said(void **state)
{
    struct world w;
    struct member m = member_new(LOG_BEGIN);
    int64_t before_ms = clock_wall_ms();

    world_open(&w, *(enum log_kind *)*state);
    member_open(&m, &w, "one");
    send_many(&w, 400, 1000);
    wait_acked(&w);
    WAIT(&w, m.n_seen >= 400);
    assert_int_equal(m.n_seen, 400);
    assert_in_order(&m);
    for (size_t i = 0; i < m.n_seen; i++)
        assert_in_range(m.seen[i].time_ms, before_ms - 1000, clock_wall_ms() + 1000);
    assert_acked_seen(&w, m.seen, m.n_seen);
    assert_int_equal(log_producer_partitions(w.producer), FIXTURE_PARTITIONS);
    WAIT(&w, log_consumer_partitions(m.c) == FIXTURE_PARTITIONS);
    assert_true(log_producer_ready(w.producer));
    member_free(&m);
    world_close(&w);
}

static void offsets_go_on_after_a_restart(void **state)
{
    struct world w;
    struct member m = member_new(LOG_BEGIN);

    world_open(&w, *(enum log_kind *)*state);
    send_many(&w, 40, 100);
    wait_acked(&w);
    world_restart(&w);
    send_many(&w, 40, 100);
    wait_acked(&w);
    member_open(&m, &w, "one");
    WAIT(&w, m.n_seen >= 80);
    assert_in_order(&m);
    assert_acked_seen(&w, m.seen, m.n_seen);
    qsort(m.seen, m.n_seen, sizeof *m.seen, by_place);
    assert_int_equal(m.seen[0].offset, 0);
    assert_int_equal(m.seen[19].offset, 19);
    member_free(&m);
    world_close(&w);
}

static void a_start_anywhere_begins_exactly_there(void **state)
{
    struct world w;
    struct member m = member_new(7);

    world_open(&w, *(enum log_kind *)*state);
    send_many(&w, 80, 5000);
    wait_acked(&w);
    m.start[1] = 19;
    m.start[2] = 20; /* the end: only what is new */
    member_open(&m, &w, "one");
    WAIT(&w, m.n_seen >= 13 + 1 + 13);
    assert_in_order(&m);
    for (size_t i = 0; i < m.n_seen; i++)
        assert_true(m.seen[i].offset >= (m.seen[i].partition == 1 ? 19 : 7));
    send_one(&w, 2, 100, false);
    WAIT(&w, m.n_seen == 28);
    assert_int_equal(m.seen[27].offset, 20);
    assert_int_equal(m.n_gaps, 0);
    member_free(&m);
    world_close(&w);
}

static void a_second_start_goes_back(void **state)
{
    struct world w;
    struct member m = member_new(LOG_BEGIN);

    world_open(&w, *(enum log_kind *)*state);
    send_many(&w, 80, 100);
    wait_acked(&w);
    member_open(&m, &w, "one");
    WAIT(&w, m.n_seen == 80);
    m.n_seen = 0;
    log_consumer_start(m.c, 3, 5);
    WAIT(&w, m.n_seen == 15);
    assert_in_order(&m);
    assert_int_equal(m.seen[0].partition, 3);
    assert_int_equal(m.seen[0].offset, 5);
    linger(&w, 200);
    assert_int_equal(m.n_seen, 15);
    member_free(&m);
    world_close(&w);
}

static void a_pause_loses_and_repeats_nothing(void **state)
{
    struct world w;
    struct member m = member_new(LOG_BEGIN);
    size_t before;

    world_open(&w, *(enum log_kind *)*state);
    m.pause_after = 20;
    member_open(&m, &w, "one");
    send_many(&w, 2000, 2000);
    wait_acked(&w);
    WAIT(&w, m.n_seen >= 20 + FIXTURE_PARTITIONS - 1);
    linger(&w, 300);
    before = m.n_seen;
    assert_true(before <= 20 + FIXTURE_PARTITIONS);
    for (int round = 0; round < 10; round++) { /* quick changes of mind */
        m.pause_after = m.n_seen + 20;
        for (uint32_t p = 0; p < FIXTURE_PARTITIONS; p++)
            log_consumer_resume(m.c, p);
        WAIT(&w, m.n_seen >= m.pause_after);
    }
    linger(&w, 200);
    m.pause_after = 0;
    for (uint32_t p = 0; p < FIXTURE_PARTITIONS; p++)
        log_consumer_resume(m.c, p);
    WAIT(&w, m.n_seen >= 2000);
    linger(&w, 200);
    assert_int_equal(m.n_seen, 2000);
    assert_in_order(&m);
    assert_acked_seen(&w, m.seen, m.n_seen);
    member_free(&m);
    world_close(&w);
}

static void a_long_pause_of_one_partition_holds_up_no_other(void **state)
{
    struct world w;
    struct member m = member_new(LOG_BEGIN);
    size_t others = 0;

    world_open(&w, *(enum log_kind *)*state);
    member_open(&m, &w, "one");
    WAIT(&w, m.n_owned == FIXTURE_PARTITIONS);
    log_consumer_pause(m.c, 0);
    for (size_t i = 0; i < 120; i++) /* 24 MB, more than any backlog keeps */
        send_one(&w, 0, 200000, false);
    wait_acked(&w);
    for (size_t i = 0; i < 120; i++)
        send_one(&w, 1, 200000, false);
    wait_acked(&w);
    WAIT(&w, m.n_seen >= 120);
    for (size_t i = 0; i < m.n_seen; i++)
        others += m.seen[i].partition == 1;
    assert_int_equal(others, 120);
    assert_int_equal(m.n_seen, 120);
    log_consumer_resume(m.c, 0);
    WAIT(&w, m.n_seen >= 240);
    linger(&w, 200);
    assert_int_equal(m.n_seen, 240);
    assert_in_order(&m);
    member_free(&m);
    world_close(&w);
}

static void large_records_pass(void **state)
{
    struct world w;
    struct member m = member_new(LOG_BEGIN);

    world_open(&w, *(enum log_kind *)*state);
    member_open(&m, &w, "one");
    send_many(&w, 40, 900000);
    wait_acked(&w);
    WAIT(&w, m.n_seen == 40);
    assert_in_order(&m);
    assert_acked_seen(&w, m.seen, m.n_seen);
    member_free(&m);
    world_close(&w);
}

enum { FLOOD = 2000 };

static size_t flood_done, flood_failed;

static void on_flood(struct log_publish *pub, int r, uint64_t offset)
{
    (void)pub;
    (void)offset;
    flood_done++;
    flood_failed += r != 0;
}

static void a_full_queue_says_so_and_recovers(void **state)
{
    struct log_publish *pubs = xcalloc(FLOOD, sizeof *pubs);
    struct bytes value = value_new(1, 900000);
    struct world w;
    size_t n = 0;
    int r = 0;

    world_open(&w, *(enum log_kind *)*state);
    WAIT(&w, log_producer_ready(w.producer));
    flood_done = flood_failed = 0;
    while (r == 0 && n < FLOOD) {
        pubs[n] = (struct log_publish){0, value, on_flood, NULL};
        r = log_publish(w.producer, &pubs[n]);
        n += r == 0;
    }
    assert_int_equal(r, LOG_E_FULL);
    assert_true(n > 2);
    WAIT(&w, flood_done == n);
    assert_int_equal(flood_failed, 0);
    send_one(&w, 0, 900000, false);
    wait_acked(&w);
    assert_int_equal(w.acked[0].offset, n);
    world_close(&w);
    free((void *)(uintptr_t)value.data);
    free(pubs);
}

/* The second member takes up each partition where the first left it. */
static void two_members_share_and_hand_over(void **state)
{
    struct world w;
    struct member a = member_new(LOG_BEGIN), b = member_new(LOG_BEGIN);

    world_open(&w, *(enum log_kind *)*state);
    member_open(&a, &w, "a");
    send_many(&w, 40, 100);
    WAIT(&w, a.n_seen == 40 && a.n_owned == FIXTURE_PARTITIONS);

    a.hold_release = true;
    member_open(&b, &w, "b");
    WAIT(&w, a.must_release);
    linger(&w, 100);
    assert_int_equal(b.n_owned, 0); /* not before the first has flushed */
    memcpy(b.start, a.start, sizeof a.start);
    a.hold_release = a.must_release = false;
    log_consumer_released(a.c);
    WAIT(&w, a.n_owned == 2 && b.n_owned == 2);
    for (uint32_t p = 0; p < FIXTURE_PARTITIONS; p++)
        assert_true(a.owned[p] != b.owned[p]);

    send_many(&w, 40, 100);
    WAIT(&w, a.n_seen + b.n_seen == 80);
    assert_int_equal(b.n_seen, 20);
    for (uint32_t p = 0; p < FIXTURE_PARTITIONS; p++)
        if (a.owned[p])
            b.start[p] = a.start[p];
    member_close(&a);
    assert_int_equal(a.n_owned, 0);
    WAIT(&w, b.n_owned == FIXTURE_PARTITIONS);
    send_many(&w, 40, 100);
    WAIT(&w, a.n_seen + b.n_seen == 120);
    assert_int_equal(a.n_lost + b.n_lost, 0);
    assert_in_order(&a);
    member_free(&a);
    member_free(&b);
    world_close(&w);
}

static void the_end_is_the_next_offset(void **state)
{
    struct world w;
    struct member m = member_new(LOG_BEGIN);
    uint64_t end = 99;

    world_open(&w, *(enum log_kind *)*state);
    member_open(&m, &w, "one");
    WAIT(&w, m.n_owned == FIXTURE_PARTITIONS);
    send_many(&w, 40, 100);
    WAIT(&w, m.n_seen == 40);
    WAIT(&w, log_consumer_end(m.c, 2, &end) && end == 10);
    member_free(&m);
    world_close(&w);
}

static void closing_with_records_on_their_way_calls_every_done(void **state)
{
    struct world w;

    world_open(&w, *(enum log_kind *)*state);
    for (size_t i = 0; i < 20; i++)
        send_one(&w, 0, 100000, true);
    producer_shut(&w);
    assert_int_equal(w.n_acked, w.n_sent); /* n_sent went down for each that failed */
    assert_int_equal(w.n_acked + w.n_failed, 20);
    world_close(&w);
}

#define TEST(kind, f)                                                                              \
    {                                                                                              \
        (kind) == LOG_LOCAL ? "local: " #f : "kafka: " #f, f, NULL, NULL, &kinds[kind]             \
    }
#define CONTRACT(kind)                                                                             \
    TEST(kind, records_come_back_whole_and_in_order_where_the_ack_said),                           \
        TEST(kind, offsets_go_on_after_a_restart),                                                 \
        TEST(kind, a_start_anywhere_begins_exactly_there), TEST(kind, a_second_start_goes_back),   \
        TEST(kind, a_pause_loses_and_repeats_nothing),                                             \
        TEST(kind, a_long_pause_of_one_partition_holds_up_no_other),                               \
        TEST(kind, large_records_pass), TEST(kind, a_full_queue_says_so_and_recovers),             \
        TEST(kind, two_members_share_and_hand_over), TEST(kind, the_end_is_the_next_offset),       \
        TEST(kind, closing_with_records_on_their_way_calls_every_done)

int main(void)
{
    const struct CMUnitTest local[] = {CONTRACT(LOG_LOCAL)};
    const struct CMUnitTest kafka[] = {CONTRACT(LOG_KAFKA)};
    int failed = cmocka_run_group_tests_name("local", local, NULL, NULL);

    if (!getenv("HEARTH_TEST_KAFKA")) {
        fprintf(stderr, "SKIPPED: the contract over Kafka (HEARTH_TEST_KAFKA is not set)\n");
        return failed || getenv("HEARTH_REQUIRE_SERVICES") ? 1 : 0;
    }
    return failed + cmocka_run_group_tests_name("kafka", kafka, NULL, NULL);
}
