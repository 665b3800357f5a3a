/* The framed stream, from the upgrade to the log. */
#include "lib/collector_fixture.h"
#include "lib/stream_client.h"

static struct frame_ack read_ack(int fd)
{
    struct got got = stream_read(fd);
    struct frame_ack ack;

    assert_int_equal(got.type, FRAME_ACK);
    assert_int_equal(frame_ack_read(buf_bytes(&got.payload), &ack), 0);
    buf_deinit(&got.payload);
    return ack;
}

/* The first one says when it counts. */
static void assert_ack(int fd, uint64_t seq, bool again)
{
    struct frame_ack ack = read_ack(fd);

    assert_int_equal(ack.seq, seq);
    assert_int_equal(ack.again, again);
    assert_int_equal(ack.from_ns > 0, !again);
    assert_int_equal(ack.until_ns > 0, !again);
}

static void assert_refusal(int fd, enum frame_type type, uint64_t seq, int status, const char *code)
{
    struct got got = stream_read(fd);
    struct frame_nack nack;

    assert_int_equal(got.type, type);
    assert_int_equal(frame_nack_read(type, buf_bytes(&got.payload), &nack), 0);
    assert_int_equal(nack.seq, seq);
    assert_int_equal(nack.status, status);
    assert_int_equal(nack.code.len, strlen(code));
    assert_memory_equal(nack.code.data, code, nack.code.len);
    assert_true((nack.retry_ms > 0) == (status == 503 || status == 429));
    buf_deinit(&got.payload);
}

static void assert_plain(int fd, enum frame_type type, const char *payload)
{
    struct got got = stream_read(fd);

    assert_int_equal(got.type, type);
    assert_int_equal(got.payload.len, strlen(payload));
    assert_memory_equal(got.payload.data, payload, got.payload.len);
    buf_deinit(&got.payload);
}

static void assert_end(int fd)
{
    assert_true(http_is_closed(fd));
    close(fd);
}

static void profiles_are_acknowledged_however_the_bytes_are_cut(void **state)
{
    struct fixture *f = *state;
    size_t n = 0;

    for (size_t step = 0; step < 12; step++) {
        int fd = stream_upgrade(f->port, "");
        struct buf out = {0};
        struct got got;

        put_hello(&out, (uint8_t)step, "service=shop,version=1,host=h");
        put_profile(&out, 1, "", TINY);
        frame_plain_write(&out, FRAME_PING, BYTES_LIT("still there"));
        put_profile(&out, 2, "version=2", TINY);
        frame_plain_write(&out, FRAME_BYE, (struct bytes){0});
        stream_send(fd, &out, step);
        got = stream_read(fd);
        assert_int_equal(got.type, FRAME_WELCOME);
        buf_deinit(&got.payload);
        for (int i = 0, pong = 0; i < 3; i++) {
            got = stream_read(fd);
            assert_true(got.type == FRAME_ACK || got.type == FRAME_PONG);
            pong += got.type == FRAME_PONG;
            assert_in_range(pong, 0, 1);
            buf_deinit(&got.payload);
        }
        assert_plain(fd, FRAME_BYE, "");
        assert_end(fd);
        n += 2;
    }
    wait_for(f, n);
    assert_string_equal(f->seen[0].labels, "shop|version=1|host=h|test/1|pprof");
    assert_string_equal(f->seen[1].labels, "shop|version=2|host=h|test/1|pprof");
    assert_string_equal(f->seen[0].totals, "process_cpu:cpu:nanoseconds:cpu:nanoseconds=7");
}

/* Nothing more comes from it, with a BYE, without one, or in the middle of a frame. */
static void a_client_that_shuts_its_sending_side_has_its_answers(void **state)
{
    struct fixture *f = *state;

    for (uint8_t how = 0; how < 3; how++) {
        int fd = stream_open(f->port, how, "service=shop");
        struct buf out = {0};

        for (uint64_t i = 0; i < 20; i++) /* more than may be on their way at once */
            put_profile(&out, i, "", TINY);
        if (how == 0)
            frame_plain_write(&out, FRAME_BYE, (struct bytes){0});
        if (how == 2) {
            put_profile(&out, 20, "", TINY);
            out.len--;
        }
        stream_send(fd, &out, 0);
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        for (int i = 0; i < 20; i++) {
            struct got got = stream_read(fd);

            assert_int_equal(got.type, FRAME_ACK);
            buf_deinit(&got.payload);
        }
        assert_plain(fd, FRAME_BYE, "");
        assert_end(fd);
        wait_for(f, (how + 1u) * 20);
    }
    assert_int_equal(f->n_seen, 60);
}

static void one_that_shuts_it_at_once_is_let_go(void **state)
{
    struct fixture *f = *state;
    int fd = stream_upgrade(f->port, "");

    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    assert_plain(fd, FRAME_BYE, "");
    assert_end(fd);
    assert_int_equal(f->n_seen, 0);
}

static void bounds_and_tenant_are_the_client_s(void **state)
{
    struct fixture *f = *state;
    struct frame_profile p = {.seq = 9,
                              .from_ns = INT64_C(1795487616000000000),
                              .until_ns = INT64_C(1795487626000000000),
                              .body = TINY};
    int fd = stream_open(f->port, 1, "service=a");
    struct buf out = {0};
    struct frame_ack ack;

    frame_profile_write(&out, &p);
    buf_append_bytes(&out, p.body);
    stream_send(fd, &out, 0);
    ack = read_ack(fd);
    assert_true(ack.seq == 9 && !ack.again);
    assert_int_equal(ack.from_ns, p.from_ns);
    assert_int_equal(ack.until_ns, p.until_ns);
    assert_int_equal(wait_for(f, 1)->start_ns, p.from_ns);
    assert_int_equal(wait_for(f, 1)->end_ns, p.until_ns);
    close(fd);
}

/* As the parameters of a POST; the profile's before the stream's. */
static void what_a_profile_does_not_say_may_stand_among_the_tags(void **state)
{
    struct fixture *f = *state;
    int fd = stream_open(f->port, 1, "service=a,format=lines,sample_type=cpu");
    struct buf out = {0};

    put_profile(&out, 1, "", BYTES_LIT("main;work\nmain\n"));
    put_profile(&out, 2, "format=folded,sample_rate=1000", BYTES_LIT("main;work 5\n"));
    put_profile(&out, 3, "format=folded,sample_type=alloc_space,unit=bytes",
                BYTES_LIT("main;work 5\n"));
    put_profile(&out, 4, "format=gprof", TINY);
    put_profile(&out, 5, "sample_rate=fast", TINY);
    stream_send(fd, &out, 0);
    for (int i = 0; i < 5; i++) {
        struct got got = stream_read(fd); /* in any order */

        assert_true(got.type == FRAME_ACK || got.type == FRAME_NACK);
        buf_deinit(&got.payload);
    }
    wait_for(f, 3);
    for (size_t i = 0; i < 3; i++) {
        const struct seen *s = &f->seen[i];

        if (strcmp(s->labels, "a|||test/1|lines") == 0)
            assert_string_equal(s->totals, "process_cpu:cpu:nanoseconds:cpu:nanoseconds=20000000");
        else if (strncmp(s->totals, "memory", 6) == 0)
            assert_string_equal(s->totals, "memory:alloc_space:bytes:space:bytes=5");
        else
            assert_string_equal(s->totals, "process_cpu:cpu:nanoseconds:cpu:nanoseconds=5000000");
    }
    assert_int_equal(f->n_seen, 3);
    close(fd);
    fd = stream_upgrade(f->port, "");
    put_hello(&out, 2, "service=a,cumulative=1");
    stream_send(fd, &out, 0);
    assert_refusal(fd, FRAME_ERROR, 0, 400, "cumulative_unsupported");
    assert_end(fd);
}

static void sent_again_after_a_reconnection_it_counts_once(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 3; i++) {
        int fd = stream_open(f->port, 7, "service=a");
        struct buf out = {0};

        put_profile(&out, 5, "", TINY);
        stream_send(fd, &out, 0);
        assert_ack(fd, 5, i > 0);
        close(fd);
    }
    for (int i = 0; i < 2; i++) { /* another number, another stream: others */
        int fd = stream_open(f->port, (uint8_t)(7 + i), "service=a");
        struct buf out = {0};

        put_profile(&out, i ? 5 : 6, "", TINY);
        stream_send(fd, &out, 0);
        assert_ack(fd, i ? 5 : 6, false);
        close(fd);
    }
    wait_for(f, 3);
    usleep(50000);
    assert_int_equal(f->n_seen, 3);
}

static void one_that_is_on_its_way_is_waited_for(void **state)
{
    struct fixture *f = *state;
    int fd = stream_open(f->port, 7, "service=a");
    struct buf out = {0};
    int again = 0;

    for (int i = 0; i < 40; i++)
        put_profile(&out, 1, "", TINY);
    stream_send(fd, &out, 0);
    for (int i = 0; i < 40; i++) {
        struct got got = stream_read(fd);
        struct frame_ack ack;

        assert_int_equal(got.type, FRAME_ACK);
        assert_int_equal(frame_ack_read(buf_bytes(&got.payload), &ack), 0);
        again += ack.again;
        buf_deinit(&got.payload);
    }
    assert_int_equal(again, 39);
    assert_int_equal(wait_for(f, 1)->seq, 0);
    assert_int_equal(f->n_seen, 1);
    close(fd);
}

static void more_than_may_be_in_flight_all_get_their_answers(void **state)
{
    struct fixture *f = *state;
    int fd = stream_open(f->port, 1, "service=a");
    struct buf out = {0};
    bool seen[90] = {0};

    for (uint64_t i = 0; i < 90; i++)
        put_profile(&out, i, "", TINY);
    frame_plain_write(&out, FRAME_BYE, (struct bytes){0});
    stream_send(fd, &out, 0);
    for (int i = 0; i < 90; i++) {
        struct got got = stream_read(fd);
        struct frame_ack ack;

        assert_int_equal(got.type, FRAME_ACK);
        assert_int_equal(frame_ack_read(buf_bytes(&got.payload), &ack), 0);
        assert_in_range(ack.seq, 0, 89);
        assert_false(seen[ack.seq]);
        seen[ack.seq] = true;
        buf_deinit(&got.payload);
    }
    assert_plain(fd, FRAME_BYE, "");
    assert_end(fd);
    wait_for(f, 90);
}

static void what_is_wrong_with_one_profile_leaves_the_stream_open(void **state)
{
    static const char *const settings[] = {"body_max", "1024", NULL};
    struct fixture *f = start(settings);
    int fd = stream_open(f->port, 1, "version=1");
    static uint8_t big[3000];
    struct buf out = {0};

    (void)state;
    put_profile(&out, 2, "", TINY);
    put_profile(&out, 3, "service=a", bytes_of(big, sizeof big));
    put_profile(&out, 4, "service=a,x=\x01", TINY);
    stream_send(fd, &out, 7);
    assert_refusal(fd, FRAME_NACK, 2, 400, "no_service");
    assert_refusal(fd, FRAME_NACK, 3, 413, "body_too_large");
    assert_refusal(fd, FRAME_NACK, 4, 400, "bad_tag");
    put_profile(&out, 1, "service=a", BYTES_LIT("no profile")); /* its answer finds nobody */
    stream_send(fd, &out, 7);
    close(fd);

    fd = stream_open(f->port, 2, "service=a");
    put_profile(&out, 1, "", BYTES_LIT("no profile"));
    stream_send(fd, &out, 0);
    assert_refusal(fd, FRAME_NACK, 1, 415, "unknown_format");
    put_profile(&out, 1, "", TINY); /* a refused number is free */
    stream_send(fd, &out, 0);
    assert_ack(fd, 1, false);
    close(fd);
    stop(f);
}

static void a_profile_that_the_budget_has_no_room_for_is_to_come_again(void **state)
{
    static const char *const settings[] = {"body_budget", "16384", NULL};
    struct fixture *f = start(settings);
    int fd = stream_open(f->port, 1, "service=a");
    static uint8_t big[8000];
    struct buf out = {0};

    (void)state;
    put_profile(&out, 1, "", bytes_of(big, sizeof big));
    put_profile(&out, 2, "", TINY);
    stream_send(fd, &out, 0);
    assert_refusal(fd, FRAME_NACK, 1, 503, "overload");
    assert_ack(fd, 2, false);
    close(fd);
    stop(f);
}

/* One that has begun and stands still, where another one, or a request, needs its room. */
static void a_profile_that_stands_still_gives_way(void **state)
{
    static const char *const settings[] = {"body_budget", "20000", NULL};
    struct fixture *f = start(settings);
    int still = stream_open(f->port, 1, "service=a"), other = stream_open(f->port, 2, "service=a");
    static uint8_t big[8000];
    struct buf out = {0};

    (void)state;
    put_profile(&out, 1, "", bytes_of(big, sizeof big));
    out.len = 100;
    stream_send(still, &out, 0);
    usleep(100000);
    put_profile(&out, 1, "", TINY);
    stream_send(other, &out, 0);
    assert_refusal(other, FRAME_NACK, 1, 503, "overload");
    usleep(http_limits_default.stall_ms * 1000);
    put_profile(&out, 1, "", TINY);
    stream_send(other, &out, 0);
    assert_ack(other, 1, false);
    assert_refusal(still, FRAME_ERROR, 0, 408, "timeout");
    assert_end(still);
    close(other);
    stop(f);
}

/* Each is charged with what stands around it, or thousands of them would be many times the budget.
 */
static void small_profiles_are_charged_with_what_they_need(void **state)
{
    static const char *const settings[] = {"body_budget", "16384", NULL};
    struct fixture *f = start(settings);
    int fd = stream_open(f->port, 1, "service=a");
    struct buf out = {0};

    (void)state;
    put_profile(&out, 1, "", TINY);
    put_profile(&out, 2, "", TINY);
    stream_send(fd, &out, 0);
    assert_refusal(fd, FRAME_NACK, 2, 503, "overload");
    assert_ack(fd, 1, false);
    close(fd);
    stop(f);
}

static void a_frame_that_breaks_the_protocol_ends_the_stream(void **state)
{
    static const struct {
        bool hello;
        struct bytes frame;
    } wrong[] = {
        {false, {(const uint8_t *)"\0\0\0\0\1", 5}},                       /* no length */
        {false, {(const uint8_t *)"\0\0\0\1\x63", 5}},                     /* no such type */
        {false, {(const uint8_t *)"\0\0\0\1\x10", 5}},                     /* a server's */
        {false, {(const uint8_t *)"\0\0\0\x1b\2", 5}},                     /* PROFILE first */
        {false, {(const uint8_t *)"\0\0\0\2\1x", 6}},                      /* HELLO too short */
        {false, {(const uint8_t *)"\x7f\xff\xff\xff\1", 5}},               /* HELLO too long */
        {true, {(const uint8_t *)"\0\0\0\x13\1################\0\0", 23}}, /* HELLO again */
        {true, {(const uint8_t *)"\0\0\0\1\2", 5}},                        /* PROFILE too short */
        {true, {(const uint8_t *)"\0\0\0\x42\3", 5}},                      /* PING too long */
        {true, {(const uint8_t *)"\0\0\0\2\4x", 6}},                       /* BYE with a payload */
        {true, {(const uint8_t *)"\0\0\0\x1b\2########################\0\1", 31}}, /* tags cut */
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int fd =
            wrong[i].hello ? stream_open(f->port, 1, "service=a") : stream_upgrade(f->port, "");

        http_send(fd, wrong[i].frame, 0);
        assert_refusal(fd, FRAME_ERROR, 0, 400, "bad_frame");
        assert_end(fd);
    }
    assert_int_equal(f->n_seen, 0);
}

static void tags_that_no_profile_could_have_are_told_at_once(void **state)
{
    struct fixture *f = *state;
    int fd = stream_upgrade(f->port, "");
    struct buf out = {0};

    put_hello(&out, 1, "service=a,team=\x01");
    stream_send(fd, &out, 0);
    assert_refusal(fd, FRAME_ERROR, 0, 400, "bad_tag");
    assert_end(fd);
    fd = stream_upgrade(f->port, "X-Scope-OrgID: a/b\r\n");
    put_hello(&out, 1, "service=a");
    stream_send(fd, &out, 0);
    assert_refusal(fd, FRAME_ERROR, 0, 400, "bad_tenant");
    assert_end(fd);
}

static void a_plain_get_is_told_to_upgrade(void **state)
{
    struct fixture *f = *state;
    struct http_answer a =
        http_talk(f->port, BYTES_LIT("GET " FRAME_PATH " HTTP/1.1\r\nHost: x\r\n\r\n"), 0);

    assert_int_equal(a.status, 426);
    assert_string_equal(http_answer_header(&a, "Upgrade"), FRAME_PROTOCOL);
    http_answer_deinit(&a);
}

static void who_leaves_without_a_word_harms_nobody(void **state)
{
    struct fixture *f = *state;
    struct buf out = {0};
    int fd;

    for (int i = 0; i < 20; i++) {
        fd = stream_open(f->port, (uint8_t)i, "service=a");
        put_profile(&out, 1, "", TINY);
        put_profile(&out, 2, "", TINY);
        out.len -= (size_t)i; /* in the middle of the second */
        stream_send(fd, &out, 0);
        close(fd);
    }
    fd = stream_open(f->port, 100, "service=a");
    put_profile(&out, 1, "", TINY);
    stream_send(fd, &out, 0);
    assert_ack(fd, 1, false);
    close(fd);
}

static void who_does_not_read_its_answers_is_hung_up_on(void **state)
{
    struct fixture *f = *state;
    int fd = stream_open(f->port, 1, "service=a");
    struct timeval soon = {.tv_sec = 5};
    struct buf pings = {0};
    size_t sent = 0, got = 0;
    static uint8_t to[1 << 16];
    ssize_t n;

    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof soon);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon);
    for (int i = 0; i < 1000; i++)
        frame_plain_write(&pings, FRAME_PING, BYTES_LIT("0123456789012345678901234567890"));
    while (sent < 64 << 20 && http_send(fd, buf_bytes(&pings), 0))
        sent += pings.len;
    while ((n = recv(fd, to, sizeof to, 0)) > 0)
        got += (size_t)n;
    assert_true(got < 16 << 20 && got < sent);
    buf_deinit(&pings);
    close(fd);
}

static void *stop_in_a_thread(void *f)
{
    stop(f);
    return NULL;
}

static void a_server_that_stops_answers_what_it_has_and_says_bye(void **state)
{
    struct fixture *f = start(NULL);
    int fd = stream_open(f->port, 1, "service=a");
    struct buf out = {0};
    pthread_t thread;

    (void)state;
    put_profile(&out, 1, "", TINY);
    stream_send(fd, &out, 0);
    assert_ack(fd, 1, false);
    pthread_create(&thread, NULL, stop_in_a_thread, f);
    assert_plain(fd, FRAME_BYE, "");
    assert_end(fd);
    pthread_join(thread, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(profiles_are_acknowledged_however_the_bytes_are_cut, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_client_that_shuts_its_sending_side_has_its_answers,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_that_shuts_it_at_once_is_let_go, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bounds_and_tenant_are_the_client_s, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_a_profile_does_not_say_may_stand_among_the_tags,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(sent_again_after_a_reconnection_it_counts_once, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(one_that_is_on_its_way_is_waited_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(more_than_may_be_in_flight_all_get_their_answers, set_up,
                                        tear_down),
        cmocka_unit_test(what_is_wrong_with_one_profile_leaves_the_stream_open),
        cmocka_unit_test(a_profile_that_the_budget_has_no_room_for_is_to_come_again),
        cmocka_unit_test(a_profile_that_stands_still_gives_way),
        cmocka_unit_test(small_profiles_are_charged_with_what_they_need),
        cmocka_unit_test_setup_teardown(a_frame_that_breaks_the_protocol_ends_the_stream, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(tags_that_no_profile_could_have_are_told_at_once, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_plain_get_is_told_to_upgrade, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_leaves_without_a_word_harms_nobody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_does_not_read_its_answers_is_hung_up_on, set_up,
                                        tear_down),
        cmocka_unit_test(a_server_that_stops_answers_what_it_has_and_says_bye),
    };

    signal(SIGPIPE, SIG_IGN); /* as the daemon does */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
