/*
 * The publisher against a log that does what the test says: the real ones fail when they like. What
 * must hold: one sequence per partition, resends byte for byte, low never above what may still be
 * counted, every caller told exactly once.
 */
#include "collector/publisher.h"

#include "base/clock.h"
#include "base/list.h"
#include "log/log_impl.h"
#include "wire/record.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { SENT_MAX = 64, TIMEOUT_MS = 600 };

/* Keeps what it is given; the test says what becomes of it. */
struct script {
    struct log_producer producer;
    struct log_publish *sent[SENT_MAX];
    uint64_t hash[SENT_MAX];
    size_t n;
    bool full;
};

static int script_publish(struct log_producer *p, struct log_publish *pub)
{
    struct script *s = container_of(p, struct script, producer);

    if (s->full)
        return LOG_E_FULL;
    assert_in_range(s->n, 0, SENT_MAX - 1);
    s->hash[s->n] = hash64(pub->value);
    s->sent[s->n++] = pub;
    return 0;
}

static const struct log_producer_ops script_ops = {.publish = script_publish};

struct fixture {
    uv_loop_t loop;
    struct script log;
    struct publisher *publisher;
    struct buf record;
};

static int copy_part(void *ctx, uint32_t part, uint32_t parts, struct bytes value)
{
    (void)part;
    (void)parts;
    buf_append_bytes(ctx, value);
    return 0;
}

/* Any whole record; the publisher stamps it. */
static void make_record(struct buf *out)
{
    struct record_encoder *e = record_encoder_new(1);
    struct symbols *symbols = symbols_new();
    struct stacks *stacks = stacks_new();
    struct record_header h = {.service = BYTES_LIT("s")};
    struct bytes type = BYTES_LIT("a:b:c:d:e");
    struct sample_type sample_type = {symbols_string(symbols, BYTES_LIT("b")), 0};
    struct profile p;
    struct failure failure;

    profile_init(&p, symbols, stacks);
    assert_int_equal(profile_set_types(&p, &sample_type, 1), 0);
    assert_int_equal(record_encode(e, &p, &type, &h, copy_part, out, &failure), 0);
    profile_deinit(&p);
    stacks_free(stacks);
    symbols_free(symbols);
    record_encoder_free(e);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    uv_loop_init(&f->loop);
    f->log.producer.ops = &script_ops;
    f->publisher = publisher_new(&f->loop, &f->log.producer, TIMEOUT_MS);
    make_record(&f->record);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    publisher_close(f->publisher);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    buf_deinit(&f->record);
    free(f);
    return 0;
}

/* What a caller is told. */
struct told {
    int times, r;
};

static void on_told(void *ctx, int r)
{
    struct told *t = ctx;

    t->times++;
    t->r = r;
}

static void send_one(struct fixture *f, uint32_t partition, struct told *told)
{
    struct buf copy = {0};

    buf_append_bytes(&copy, buf_bytes(&f->record));
    publisher_send(f->publisher, partition, &copy, on_told, told);
}

static void acknowledge(struct fixture *f, size_t i, int r)
{
    f->log.sent[i]->done(f->log.sent[i], r, 7);
}

static struct record_header header_of(struct fixture *f, size_t i)
{
    struct record_decoder *d = record_decoder_new();
    struct record_header h;
    struct failure failure;

    assert_int_equal(record_open(d, f->log.sent[i]->value, &h, &failure), 0);
    record_decoder_free(d);
    return h;
}

static void check_place(struct fixture *f, size_t i, uint32_t partition, uint64_t seq, uint64_t low)
{
    struct record_header h = header_of(f, i);

    assert_int_equal(f->log.sent[i]->partition, partition);
    assert_int_equal(h.seq, seq);
    assert_int_equal(h.low, low);
    assert_true(h.source.hi || h.source.lo);
}

static void run_for(struct fixture *f, int64_t ms)
{
    int64_t end_ms = clock_mono_ms() + ms;

    while (clock_mono_ms() < end_ms) {
        uv_run(&f->loop, UV_RUN_NOWAIT);
        uv_sleep(5);
    }
}

static void low_is_the_oldest_that_stands_in_its_partition(void **state)
{
    struct fixture *f = *state;
    struct told told = {0};

    send_one(f, 3, &told);
    send_one(f, 3, &told);
    send_one(f, 0, &told);
    send_one(f, 3, &told);
    check_place(f, 0, 3, 0, 0);
    check_place(f, 1, 3, 1, 0);
    check_place(f, 2, 0, 0, 0);
    check_place(f, 3, 3, 2, 0);
    acknowledge(f, 1, 0);
    send_one(f, 3, &told);
    check_place(f, 4, 3, 3, 0);
    acknowledge(f, 0, 0);
    send_one(f, 3, &told);
    check_place(f, 5, 3, 4, 2);
    for (size_t i = 2; i < 6; i++)
        acknowledge(f, i, 0);
    send_one(f, 3, &told);
    check_place(f, 6, 3, 5, 5);
    acknowledge(f, 6, 0);
    assert_int_equal(told.times, 7);
    assert_int_equal(told.r, 0);
}

static void what_failed_is_sent_again_byte_for_byte(void **state)
{
    struct fixture *f = *state;
    struct told told = {0}, other = {0};

    send_one(f, 1, &told);
    acknowledge(f, 0, -EIO);
    send_one(f, 1, &other);
    check_place(f, 1, 1, 1, 0);
    acknowledge(f, 1, 0);
    assert_int_equal(told.times, 0);
    for (int i = 0; i < 100 && f->log.n < 3; i++)
        run_for(f, 10);
    assert_int_equal(f->log.n, 3);
    assert_int_equal(f->log.hash[2], f->log.hash[0]);
    check_place(f, 2, 1, 0, 0);
    acknowledge(f, 2, 0);
    assert_int_equal(told.times, 1);
    assert_int_equal(told.r, 0);
    assert_int_equal(other.times, 1);
}

static void a_full_queue_is_waited_for(void **state)
{
    struct fixture *f = *state;
    struct told told = {0};

    f->log.full = true;
    send_one(f, 0, &told);
    assert_int_equal(f->log.n, 0);
    f->log.full = false;
    for (int i = 0; i < 100 && f->log.n < 1; i++)
        run_for(f, 10);
    check_place(f, 0, 0, 0, 0);
    acknowledge(f, 0, 0);
    assert_int_equal(told.times, 1);
}

static void what_the_log_never_speaks_of_is_given_up_once(void **state)
{
    struct fixture *f = *state;
    struct told lost = {0}, waiting = {0}, next = {0};

    send_one(f, 2, &lost);
    f->log.full = true;
    send_one(f, 2, &waiting);
    run_for(f, TIMEOUT_MS + 200);
    assert_int_equal(lost.times, 1);
    assert_int_equal(lost.r, -ETIMEDOUT);
    assert_int_equal(waiting.times, 1);
    assert_int_equal(waiting.r, -ETIMEDOUT);
    f->log.full = false;
    /* low has passed them: should the first one arrive after this, it is a duplicate. */
    send_one(f, 2, &next);
    check_place(f, 1, 2, 2, 2);
    acknowledge(f, 1, 0);
    assert_int_equal(next.times, 1);
    acknowledge(f, 0, 0);
    assert_int_equal(lost.times, 1);
}

static void a_record_that_was_given_up_may_outlive_the_close(void **state)
{
    struct fixture *f = *state;
    struct told lost = {0};

    (void)state;
    send_one(f, 0, &lost);
    run_for(f, TIMEOUT_MS + 200);
    assert_int_equal(lost.times, 1);
    publisher_close(f->publisher);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    /* The log's close brings it back; with it the publisher is freed (the sanitizer sees to that).
     */
    acknowledge(f, 0, -ECANCELED);
    assert_int_equal(lost.times, 1);
    f->publisher = publisher_new(&f->loop, &f->log.producer, TIMEOUT_MS);
}

static void in_a_hurry_nothing_is_waited_for(void **state)
{
    struct fixture *f = *state;
    struct told told = {0};

    send_one(f, 0, &told);
    publisher_hurry(f->publisher);
    run_for(f, 150);
    assert_int_equal(told.r, -ETIMEDOUT);
    acknowledge(f, 0, 0);
    assert_int_equal(told.times, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(low_is_the_oldest_that_stands_in_its_partition, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_failed_is_sent_again_byte_for_byte, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_queue_is_waited_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_the_log_never_speaks_of_is_given_up_once, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(in_a_hurry_nothing_is_waited_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_record_that_was_given_up_may_outlive_the_close, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
