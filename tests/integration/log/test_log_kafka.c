/* What only the Kafka log promises, over a real broker: gaps, a broker that is killed, an instance
 * that is fenced, an unknown topic. The contract that it shares with the local log is
 * test_log_contract.c. */
#include "lib/log_fixture.h"

#include <librdkafka/rdkafka.h>

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* ---- gaps -------------------------------------------------------------------------------------
 */

/* What retention does, at once: deletes the records of a partition below an offset. */
static void delete_below(struct world *w, int32_t partition, int64_t offset)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_DeleteRecords_t *request;
    rd_kafka_queue_t *queue;
    rd_kafka_event_t *event;
    rd_kafka_t *rk;
    char why[200];

    rd_kafka_conf_set(conf, "bootstrap.servers", w->kafka_options.kafka_brokers, why, sizeof why);
    rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    queue = rd_kafka_queue_new(rk);
    rd_kafka_topic_partition_list_add(list, w->topic, partition)->offset = offset;
    request = rd_kafka_DeleteRecords_new(list);
    rd_kafka_DeleteRecords(rk, &request, 1, NULL, queue);
    event = rd_kafka_queue_poll(queue, FIXTURE_WAIT_MS);
    assert_non_null(event);
    assert_int_equal(rd_kafka_event_error(event), 0);
    rd_kafka_event_destroy(event);
    rd_kafka_DeleteRecords_destroy(request);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
}

static void a_start_below_the_log_is_a_gap(void **state)
{
    struct world w;
    struct member m = member_new(3);

    (void)state;
    world_open(&w, LOG_KAFKA);
    send_many(&w, 80, 100);
    wait_acked(&w);
    delete_below(&w, 2, 11);
    member_open(&m, &w, "one");
    WAIT(&w, m.n_seen >= 3 * 17 + 9);
    assert_int_equal(m.n_gaps, 1);
    assert_int_equal(m.gaps[0].partition, 2);
    assert_int_equal(m.gaps[0].wanted, 3);
    assert_int_equal(m.gaps[0].first, 11);
    linger(&w, 300);
    assert_int_equal(m.n_seen, 3 * 17 + 9);
    assert_in_order(&m);
    member_free(&m);
    world_close(&w);
}

/* The topic was made anew, the store was not. */
static void a_start_behind_the_log_goes_on_at_its_begin(void **state)
{
    struct world w;
    struct member m = member_new(1000);

    (void)state;
    world_open(&w, LOG_KAFKA);
    send_many(&w, 40, 100);
    wait_acked(&w);
    member_open(&m, &w, "one");
    WAIT(&w, m.n_seen == 40 && m.n_gaps == FIXTURE_PARTITIONS);
    assert_int_equal(m.gaps[0].wanted, 1000);
    assert_int_equal(m.gaps[0].first, 0);
    assert_in_order(&m);
    member_free(&m);
    world_close(&w);
}

/* ---- the group --------------------------------------------------------------------------------
 */

static void assigned_only(void *ctx, const uint32_t *partitions, size_t n)
{
    struct member *m = ctx;

    for (size_t i = 0; i < n; i++)
        m->owned[partitions[i]] = true;
    m->n_owned += n;
}

/* The store may take a while to say where to begin, each partition by itself. */
static void partitions_may_start_late_and_one_by_one(void **state)
{
    const struct log_consumer_events events = {assigned_only, on_revoked, on_message, on_gap};
    struct world w;
    struct member m = member_new(LOG_BEGIN);
    struct failure f;

    (void)state;
    world_open(&w, LOG_KAFKA);
    send_many(&w, 40, 100);
    wait_acked(&w);
    m.w = &w;
    assert_int_equal(
        log_kafka_consumer_new(&w.loop, &w.kafka_options, "one", &events, &m, &m.c, &f), 0);
    WAIT(&w, m.n_owned == FIXTURE_PARTITIONS);
    linger(&w, 500);
    assert_int_equal(m.n_seen, 0);
    for (uint32_t p = 0; p < FIXTURE_PARTITIONS; p++) {
        log_consumer_start(m.c, p, 2);
        WAIT(&w, m.n_seen == (p + 1) * 8);
    }
    send_many(&w, 40, 100);
    WAIT(&w, m.n_seen == 32 + 40);
    assert_in_order(&m);
    member_free(&m);
    world_close(&w);
}

/* A member that is killed and comes back under its name keeps its partitions, and nobody else
 * stops. */
static void a_second_holder_of_an_instance_fences_the_first(void **state)
{
    struct world w;
    struct member a = member_new(LOG_BEGIN), b = member_new(LOG_BEGIN);

    (void)state;
    world_open(&w, LOG_KAFKA);
    member_open(&a, &w, "same");
    send_many(&w, 40, 100);
    WAIT(&w, a.n_seen == 40);
    member_open(&b, &w, "same");
    WAIT(&w, b.n_owned == FIXTURE_PARTITIONS);
    WAIT(&w, a.n_lost == 1);
    assert_int_equal(a.n_owned, 0);
    WAIT(&w, b.n_seen == 40);
    WAIT(&w, a.n_assigned == 2); /* a new handle took the name back: it goes on */
    memcpy(a.start, b.start, sizeof a.start);
    member_free(&b);
    member_free(&a);
    world_close(&w);
}

/* ---- topics -----------------------------------------------------------------------------------
 */

static void an_unknown_topic_keeps_the_producer_waiting_until_it_is_made(void **state)
{
    struct world w;
    struct failure f;

    (void)state;
    world_base(&w, LOG_KAFKA);
    w.kafka_options = kafka_defaults(getenv("HEARTH_TEST_KAFKA"));
    w.topic = xasprintf("late-%016llx", (unsigned long long)random_u64());
    w.kafka_options.kafka_topic = w.topic;
    producer_open(&w);
    linger(&w, 1500);
    assert_false(log_producer_ready(w.producer));
    assert_int_equal(log_producer_partitions(w.producer), 0);
    assert_int_equal(log_kafka_create_topic(&w.kafka_options, FIXTURE_PARTITIONS, 1, 30000, &f), 0);
    WAIT(&w, log_producer_ready(w.producer));
    assert_int_equal(log_producer_partitions(w.producer), FIXTURE_PARTITIONS);
    send_many(&w, 8, 100);
    wait_acked(&w);
    world_close(&w);
}

static void a_record_passes_right_after_its_topic_was_made(void **state)
{
    (void)state;
    for (int i = 0; i < 15; i++) {
        struct world w;

        world_open(&w, LOG_KAFKA);
        send_many(&w, 8, 100);
        wait_acked(&w);
        world_close(&w);
    }
}

static void a_topic_is_made_once_and_keeps_its_partitions(void **state)
{
    struct world w;
    struct failure f;

    (void)state;
    world_kafka(&w);
    assert_int_equal(log_kafka_create_topic(&w.kafka_options, FIXTURE_PARTITIONS, 1, 30000, &f), 0);
    assert_int_equal(log_kafka_create_topic(&w.kafka_options, 7, 1, 30000, &f), -EEXIST);
    assert_string_equal(f.code, "kafka_partitions_differ");
    assert_non_null(strstr(f.message, "4 partitions, not 7"));
    world_close(&w);
}

static void no_broker_is_a_failure_in_time_that_names_the_setting(void **state)
{
    struct log_kafka_options o = kafka_defaults("127.0.0.1:1");
    int64_t begin_ms = clock_mono_ms();
    struct failure f;

    (void)state;
    o.kafka_topic = (char *)(uintptr_t) "t";
    assert_int_equal(log_kafka_create_topic(&o, 1, 1, 3000, &f), -ETIMEDOUT);
    assert_in_range(clock_mono_ms() - begin_ms, 2500, 10000);
    assert_non_null(strstr(f.message, "127.0.0.1:1"));
    assert_non_null(strstr(f.hint, "kafka_brokers"));
}

/* ---- security ---------------------------------------------------------------------------------
 */

static void refused(struct log_kafka_options o, const char *code)
{
    struct log_producer *p;
    struct failure f;
    uv_loop_t loop;

    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(log_kafka_producer_new(&loop, &o, &p, &f), -EINVAL);
    assert_string_equal(f.code, code);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void settings_of_security_that_do_not_fit_are_refused(void **state)
{
    struct log_kafka_options o = kafka_defaults("127.0.0.1:1");

    (void)state;
    o.kafka_topic = (char *)(uintptr_t) "t";
    o.kafka_ssl_ca = (char *)(uintptr_t) "/ca.pem";
    refused(o, "kafka_ssl_unused");
    o.kafka_ssl_ca = NULL;
    o.kafka_sasl_password = (char *)(uintptr_t) "secret";
    refused(o, "kafka_sasl_unused");
    o.kafka_security_protocol = (char *)(uintptr_t) "sasl_plaintext";
    o.kafka_sasl_mechanism = (char *)(uintptr_t) "PLAIN";
    refused(o, "kafka_sasl_incomplete");
    o.kafka_sasl_password = NULL;
    o.kafka_security_protocol = (char *)(uintptr_t) "ssl";
    o.kafka_ssl_ca = (char *)(uintptr_t) "/nowhere/ca.pem";
    refused(o, "kafka_unusable");
}

/* ---- a broker of our own, to be killed --------------------------------------------------------
 */

struct broker {
    char dir[40];
    pid_t wrapper, java;
    int port;
};

static void broker_start(struct broker *b)
{
    char port[12];
    FILE *out;
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    snprintf(port, sizeof port, "%d", b->port);
    b->wrapper = fork();
    if (b->wrapper == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        dup2(fds[1], 1);
        close(fds[0]);
        execl(TEST_DATA "/../lib/kafka-single", "kafka-single", "--dir", b->dir, "--port", port,
              (char *)NULL);
        _exit(127);
    }
    close(fds[1]);
    out = fdopen(fds[0], "r");
    assert_int_equal(fscanf(out, "pid=%d bootstrap=127.0.0.1:%d", &b->java, &b->port), 2);
    fclose(out);
}

static void broker_kill(struct broker *b)
{
    kill(b->java, SIGKILL);
    waitpid(b->wrapper, NULL, 0);
}

static void broker_world(struct world *w, struct broker *b)
{
    struct failure f;

    strcpy(b->dir, "/tmp/hearth-broker-XXXXXX");
    assert_non_null(mkdtemp(b->dir));
    b->port = 20000 + (int)(random_u64() % 11000);
    broker_start(b);
    world_base(w, LOG_KAFKA);
    w->topic = xasprintf("127.0.0.1:%d", b->port); /* freed with the world */
    w->kafka_options = kafka_defaults(w->topic);
    w->kafka_options.kafka_topic = (char *)(uintptr_t) "killed";
    w->kafka_options.kafka_group = (char *)(uintptr_t) "killed";
    w->kafka_options.kafka_message_timeout = 3000;
    if (log_kafka_create_topic(&w->kafka_options, FIXTURE_PARTITIONS, 1, 30000, &f) != 0)
        fail_msg("log_kafka_create_topic: %s", f.message);
    producer_open(w);
}

static void every_acked_record_survives_a_broker_that_is_killed(void **state)
{
    struct world w;
    struct broker b;
    struct member m = member_new(LOG_BEGIN);
    size_t before_kill;

    (void)state;
    broker_world(&w, &b);
    member_open(&m, &w, "one");
    WAIT(&w, log_producer_ready(w.producer) && m.n_owned == FIXTURE_PARTITIONS);
    for (int round = 0; round < 2; round++) {
        send_many(&w, 200, 20000);
        WAIT(&w, w.n_acked >= w.n_sent - 150);
        before_kill = w.n_acked;
        broker_kill(&b);
        send_many(&w, 20, 20000); /* nobody can take these: they are given back */
        linger(&w, 3500);         /* longer than a record's time-out */
        assert_false(log_producer_ready(w.producer));
        broker_start(&b);
        send_many(&w, 100, 20000);
        wait_acked(&w);
        assert_true(w.n_acked > before_kill);
    }
    assert_true(w.n_failed > 0); /* some were given back, and sent again */
    WAIT(&w, seen_through(&w, &m) && log_producer_ready(w.producer));
    assert_in_order(&m);
    assert_acked_seen(&w, m.seen, m.n_seen);
    printf("%zu acknowledged, %zu given back, %zu in the log\n", w.n_acked, w.n_failed, m.n_seen);
    member_free(&m);
    producer_shut(&w);
    broker_kill(&b);
    remove_tree(b.dir);
    world_close(&w);
}

static void a_close_is_bounded_when_the_broker_is_gone(void **state)
{
    struct world w;
    struct broker b;
    struct member m = member_new(LOG_BEGIN);
    int64_t begin_ms;

    (void)state;
    broker_world(&w, &b);
    member_open(&m, &w, "one");
    WAIT(&w, log_producer_ready(w.producer) && m.n_owned == FIXTURE_PARTITIONS);
    broker_kill(&b);
    for (int i = 0; i < 20; i++)
        send_one(&w, 0, 1000, true);
    begin_ms = clock_mono_ms();
    producer_shut(&w);
    assert_true(clock_mono_ms() - begin_ms < 10000);
    assert_int_equal(w.n_failed, 20);
    begin_ms = clock_mono_ms();
    member_close(&m);
    assert_true(clock_mono_ms() - begin_ms < 15000);
    assert_int_equal(m.n_owned, 0);
    member_free(&m);
    remove_tree(b.dir);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_start_below_the_log_is_a_gap),
        cmocka_unit_test(a_start_behind_the_log_goes_on_at_its_begin),
        cmocka_unit_test(partitions_may_start_late_and_one_by_one),
        cmocka_unit_test(a_second_holder_of_an_instance_fences_the_first),
        cmocka_unit_test(an_unknown_topic_keeps_the_producer_waiting_until_it_is_made),
        cmocka_unit_test(a_record_passes_right_after_its_topic_was_made),
        cmocka_unit_test(a_topic_is_made_once_and_keeps_its_partitions),
        cmocka_unit_test(no_broker_is_a_failure_in_time_that_names_the_setting),
        cmocka_unit_test(settings_of_security_that_do_not_fit_are_refused),
        cmocka_unit_test(every_acked_record_survives_a_broker_that_is_killed),
        cmocka_unit_test(a_close_is_bounded_when_the_broker_is_gone),
    };

    if (!getenv("HEARTH_TEST_KAFKA")) {
        fprintf(stderr, "SKIPPED: no Kafka (HEARTH_TEST_KAFKA is not set)\n");
        return getenv("HEARTH_REQUIRE_SERVICES") ? 1 : 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
