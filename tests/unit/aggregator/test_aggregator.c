/* Whole aggregators on a real local log and a real LMDB store: whatever happens to them, the store
 * holds every profile once. */
#include "base/varint.h"
#include "unit/aggregator/rig.h"

static struct upload upload(int name)
{
    return (struct upload){
        .service = "checkout",
        .version = "1",
        .name = name,
        .value = 7,
        .end_ns = clock_wall_ns(),
    };
}

static void what_is_published_can_be_read_from_the_store(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, 1);
    rig_start(&r, 0);
    for (int i = 0; i < 20; i++) {
        struct upload u = upload(i % 5);

        u.partition = (uint32_t)i % RIG_PARTITIONS;
        rig_send(&r, &u);
    }
    rig_flushed(&r);
    rig_assert_exact(&r);
    assert_true(rig_ready(&r, 0));
    rig_close(&r);
}

static void two_profiles_of_one_series_with_one_time_stamp_are_two(void **state)
{
    struct upload u = upload(3);
    struct rig r;

    (void)state;
    rig_open(&r, 1);
    rig_start(&r, 0);
    rig_send(&r, &u);
    rig_send(&r, &u);
    rig_flushed(&r);
    rig_assert_exact(&r);
    assert_int_equal(r.got_profiles, 2);
    assert_int_equal(r.got[3], 14);
    rig_close(&r);
}

static void a_window_written_to_again_and_again_adds_up(void **state)
{
    struct upload u = upload(0);
    struct rig r;

    (void)state;
    rig_open(&r, 1);
    rig_start(&r, 0);
    for (int i = 0; i < 10; i++) {
        u.name = i % 3;
        rig_send(&r, &u);
        rig_flushed(&r);
    }
    rig_assert_exact(&r);
    rig_close(&r);
}

static void a_restart_goes_on_where_the_last_one_stopped(void **state)
{
    struct upload u = upload(0);
    struct rig r;

    (void)state;
    rig_open(&r, 1);
    for (int i = 0; i < 10; i++) {
        u.name = i;
        rig_send(&r, &u);
        rig_start(&r, 0);
        rig_flushed(&r);
        rig_stop(&r, 0);
    }
    rig_assert_exact(&r);
    rig_close(&r);
}

static void a_resend_counts_once_even_after_a_restart(void **state)
{
    int64_t before = metric_get(&aggregator_metrics[M_DUPLICATES], 0);
    struct upload u = upload(0);
    struct rig r;

    (void)state;
    rig_open(&r, 1);
    rig_start(&r, 0);
    rig_send(&r, &u);
    rig_resend(&r, 0);
    rig_flushed(&r);
    rig_stop(&r, 0);
    rig_start(&r, 0);
    rig_resend(&r, 0);
    u.name = 1;
    rig_send_low(&r, &u, 2); /* acknowledges the first */
    rig_resend(&r, 0);
    rig_flushed(&r);
    rig_assert_exact(&r);
    assert_int_equal(metric_get(&aggregator_metrics[M_DUPLICATES], 0) - before, 3);
    rig_close(&r);
}

static void a_profile_later_than_late_max_is_dropped_and_counted(void **state)
{
    int64_t before = metric_get(&aggregator_metrics[M_LATE], 0);
    struct upload u = upload(0);
    struct rig r;

    (void)state;
    rig_open(&r, 1);
    r.o.late_max = 3600 * 1000;
    rig_start(&r, 0);
    u.end_ns -= INT64_C(7200) * NS_PER_S;
    rig_send(&r, &u);
    rig_flushed(&r);
    rig_read(&r);
    assert_int_equal(r.got_profiles, 0);
    assert_int_equal(metric_get(&aggregator_metrics[M_LATE], 0) - before, 1);
    rig_close(&r);
}

static void a_late_profile_within_late_max_reopens_its_window(void **state)
{
    struct upload u = upload(0);
    struct rig r;

    (void)state;
    rig_open(&r, 1);
    rig_start(&r, 0);
    u.end_ns -= INT64_C(600) * NS_PER_S;
    rig_send(&r, &u);
    rig_flushed(&r);
    rig_stop(&r, 0);
    rig_start(&r, 0);
    rig_send(&r, &u);
    rig_flushed(&r);
    rig_assert_exact(&r);
    rig_close(&r);
}

static void a_record_that_does_not_decode_is_skipped_and_counted(void **state)
{
    int64_t before = metric_get(&aggregator_metrics[M_BAD], 0);
    struct upload u = upload(0);
    struct rig r;

    (void)state;
    rig_open(&r, 1);
    rig_start(&r, 0);
    rig_publish(&r, 0, BYTES_LIT("not a record at all"));
    rig_send(&r, &u);
    r.n_resent++; /* one of the two is no profile */
    rig_flushed(&r);
    rig_assert_exact(&r);
    assert_int_equal(metric_get(&aggregator_metrics[M_BAD], 0) - before, 1);
    rig_close(&r);
}

static void a_stolen_partition_is_acquired_again_and_nothing_counts_twice(void **state)
{
    int64_t before = metric_get(&aggregator_metrics[M_FENCED], 0);
    struct upload u = upload(0);
    struct rig r;

    (void)state;
    rig_open(&r, 1);
    rig_start(&r, 0);
    rig_send(&r, &u);
    rig_flushed(&r);
    rig_steal(&r, 0);
    u.name = 1;
    rig_send(&r, &u);
    rig_flushed(&r);
    rig_assert_exact(&r);
    assert_int_equal(metric_get(&aggregator_metrics[M_FENCED], 0) - before, 1);
    rig_close(&r);
}

static void symbols_that_outgrow_a_generation_begin_another(void **state)
{
    struct upload u = upload(0);
    struct copy *gens;
    struct rig r;

    (void)state;
    rig_open(&r, 1);
    r.o.generation_max = 1; /* every flush ends one */
    rig_start(&r, 0);
    for (int i = 0; i < 6; i++) {
        u.name = i;
        u.end_ns -= i % 2 ? 0 : INT64_C(60) * NS_PER_S;
        rig_send(&r, &u);
        rig_flushed(&r);
        if (i == 3) {
            rig_stop(&r, 0);
            rig_start(&r, 0);
        }
    }
    rig_assert_exact(&r);
    gens = rig_hash(&r, key_generations(0));
    assert_int_equal(gens->n, 1);
    assert_true(gens->values[0].len > 6 * 8);
    copy_free(gens);
    rig_close(&r);
}

static void symbols_above_the_budget_are_read_again(void **state)
{
    struct upload u = upload(0);
    struct rig r;

    (void)state;
    rig_open(&r, 1);
    r.o.symbols_max = 1; /* every flush forgets all */
    rig_start(&r, 0);
    for (int i = 0; i < 6; i++) {
        u.name = i % 4;
        u.service = i % 2 ? "cart" : "checkout";
        rig_send(&r, &u);
        rig_flushed(&r);
    }
    rig_assert_exact(&r);
    rig_close(&r);
}

static void windows_and_series_that_expired_are_swept(void **state)
{
    struct upload u = upload(0);
    struct copy *cat, *gens;
    struct rig r;

    (void)state;
    rig_open(&r, 1);
    r.o.keep_base = r.o.window = 1000;
    rig_start(&r, 0);
    rig_send(&r, &u);
    rig_flushed(&r);
    cat = rig_hash(&r, key_catalogue(0));
    assert_int_equal(cat->n, 1);
    copy_free(cat);
    rig_stop(&r, 0);
    rig_linger(&r, 1100);
    rig_start(&r, 0);
    u.service = "another";
    u.name = 1;
    u.end_ns = clock_wall_ns();
    rig_send(&r, &u);
    rig_flushed(&r);
    cat = rig_hash(&r, key_catalogue(0));
    assert_int_equal(cat->n, 1);
    copy_free(cat);
    gens = rig_hash(&r, key_generations(0)); /* they outlive the blobs by a safe margin */
    assert_int_equal(gens->n, 2);
    copy_free(gens);
    rig_close(&r);
}

/* The roster in memory forgets it too: else the catalogue would never name it again. */
static void a_series_that_was_swept_comes_back_when_it_is_sent_again(void **state)
{
    struct upload u = upload(0), other = upload(1);
    struct copy *cat;
    struct rig r;

    (void)state;
    rig_open(&r, 1);
    r.o.keep_base = r.o.window = 1000;
    rig_start(&r, 0);
    rig_send(&r, &u);
    rig_flushed(&r);
    rig_stop(&r, 0);
    rig_linger(&r, 1100);
    rig_start(&r, 0);
    other.service = "another";
    rig_send(&r, &other);
    rig_flushed(&r);
    rig_send(&r, &u);
    rig_flushed(&r);
    cat = rig_hash(&r, key_catalogue(0));
    assert_int_equal(cat->n, 2);
    copy_free(cat);
    rig_close(&r);
}

static void only_the_windows_of_a_series_that_expired_are_swept(void **state)
{
    struct upload u = upload(0), other = upload(1);
    struct rig r;

    (void)state;
    rig_open(&r, 1);
    r.o.keep_base = r.o.window = 1000;
    rig_start(&r, 0);
    rig_send(&r, &u);
    rig_flushed(&r);
    rig_stop(&r, 0);
    r.expected[0] = 0; /* that window is going to expire */
    r.n_resent++;
    r.o.keep_base = 3600 * 1000;
    rig_start(&r, 0);
    u.end_ns -= INT64_C(600) * NS_PER_S;
    rig_send(&r, &u);
    rig_flushed(&r);
    rig_stop(&r, 0);
    rig_linger(&r, 1100);
    rig_start(&r, 0);
    other.service = "another";
    rig_send(&r, &other);
    rig_flushed(&r);
    rig_assert_exact(&r);
    rig_close(&r);
}

static void symbols_are_written_once(void **state)
{
    struct upload u = upload(0);
    struct copy *gens, *chunks;
    uint64_t generation = 0;
    struct cursor c;
    struct rig r;

    (void)state;
    rig_open(&r, 1);
    rig_start(&r, 0);
    for (int i = 0; i < 6; i++) {
        u.name = i / 2; /* every second flush has nothing new */
        rig_send(&r, &u);
        rig_flushed(&r);
    }
    gens = rig_hash(&r, key_generations(0));
    c = cursor_of(bytes_of(gens->values[0].data + 2, gens->values[0].len - 2));
    assert_true(varint_get(&c, &generation));
    chunks =
        rig_hash(&r, key_symbols(0, service_id(BYTES_LIT(""), BYTES_LIT("checkout")), generation));
    assert_int_equal(chunks->n, 3);
    copy_free(chunks);
    copy_free(gens);
    rig_close(&r);
}

static void series_above_the_cap_count_under_other(void **state)
{
    struct upload u = upload(0);
    struct copy *cat;
    char version[16];
    struct rig r;

    (void)state;
    rig_open(&r, 1);
    r.o.series_per_service_max = 3;
    rig_start(&r, 0);
    for (int i = 0; i < 8; i++) {
        snprintf(version, sizeof version, "%d", i);
        u.version = version;
        u.name = i;
        rig_send(&r, &u);
    }
    rig_flushed(&r);
    rig_assert_exact(&r);
    cat = rig_hash(&r, key_catalogue(0));
    assert_int_equal(cat->n, 4);
    copy_free(cat);
    rig_close(&r);
}

static void profiles_of_different_types_count_under_each(void **state)
{
    struct upload u = upload(0);
    struct rig r;

    (void)state;
    rig_open(&r, 1);
    rig_start(&r, 0);
    u.type = "a:b:count:d:e";
    rig_send(&r, &u);
    u.type = NULL;
    rig_send(&r, &u);
    rig_flushed(&r);
    rig_assert_exact(&r);
    rig_close(&r);
}

/* The partition numbers and the hash are agreed on where readers look for them. */
static void readers_learn_the_number_of_partitions(void **state)
{
    struct copy *conf;
    struct rig r;

    (void)state;
    rig_open(&r, 1);
    rig_start(&r, 0);
    RIG_UNTIL(&r, rig_ready(&r, 0));
    conf = rig_hash(&r, key_conf());
    assert_int_equal(conf->n, 3);
    for (size_t i = 0; i < conf->n; i++)
        if (bytes_equal(conf->fields[i], BYTES_LIT("n")))
            assert_int_equal(text_number(conf->values[i]), RIG_PARTITIONS);
    copy_free(conf);
    rig_close(&r);
}

/* Windows of another width would be found by nobody: such a store is left alone. */
static void another_width_of_windows_is_refused_and_changes_nothing(void **state)
{
    struct upload u = upload(1);
    struct rig r;

    (void)state;
    rig_open(&r, 1);
    rig_start(&r, 0);
    rig_send(&r, &u);
    rig_flushed(&r);
    rig_stop(&r, 0);
    r.o.window = 10 * MS_PER_S;
    rig_start(&r, 0);
    rig_send(&r, &u);
    rig_acked(&r);
    rig_linger(&r, 500);
    assert_false(rig_ready(&r, 0));
    rig_stop(&r, 0);
    r.o.window = 60 * MS_PER_S;
    rig_start(&r, 0);
    rig_flushed(&r);
    rig_assert_exact(&r);
    rig_close(&r);
}

/* ---- everything at once -------------------------------------------------------------------- */

static void random_upload(struct rig *r, uint64_t low)
{
    static const char *const services[] = {"checkout", "cart", "search"};
    static const char *const versions[] = {"1", "2"};
    static const int64_t ages_s[] = {0, 0, 0, 60, 600, 7200};
    struct upload u = {
        .partition = random_below(&r->rng, RIG_PARTITIONS),
        .service = services[random_below(&r->rng, 3)],
        .version = versions[random_below(&r->rng, 2)],
        .name = (int)random_below(&r->rng, RIG_NAMES),
        .value = (int64_t)random_below(&r->rng, 100) - 20,
        .end_ns = clock_wall_ns() - ages_s[random_below(&r->rng, 6)] * NS_PER_S,
    };

    rig_send_low(r, &u, low);
}

static void toggle(struct rig *r, int i)
{
    if (r->workers[i].aggregator)
        rig_stop(r, i);
    else
        rig_start(r, i);
}

static void one_random_step(struct rig *r)
{
    switch (random_below(&r->rng, 10)) {
    case 0:
        toggle(r, (int)random_below(&r->rng, RIG_AGGREGATORS));
        break;
    case 1:
        rig_steal(r, random_below(&r->rng, RIG_PARTITIONS));
        break;
    case 2:
        if (r->n_sent > 0)
            rig_resend(r, random_below(&r->rng, (uint32_t)r->n_sent));
        break;
    case 3:
        rig_linger(r, random_below(&r->rng, 60));
        break;
    default:
        random_upload(r, 1);
    }
}

static void run_random(uint64_t seed, int steps)
{
    struct rig r;

    rig_open(&r, seed);
    r.per_mille = 30;
    r.o.flush_interval = 50;
    r.o.generation_max = 8192;
    r.o.symbols_max = seed % 2 ? 4096 : 512 << 20; /* read again nearly always, or never */
    for (int i = 0; i < steps; i++)
        one_random_step(&r);
    for (int i = 0; i < RIG_AGGREGATORS; i++)
        if (!r.workers[i].aggregator)
            rig_start(&r, i);
    rig_flushed(&r);
    rig_assert_exact(&r);
    rig_close(&r);
}

static void restarts_thefts_lost_answers_and_resends_change_no_total(void **state)
{
    const char *runs = getenv("TEST_RUNS");
    uint64_t seed = random_seed();

    (void)state;
    for (int i = 0; i < (runs ? atoi(runs) : 5); i++)
        run_random(seed + (uint64_t)i, 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_published_can_be_read_from_the_store),
        cmocka_unit_test(two_profiles_of_one_series_with_one_time_stamp_are_two),
        cmocka_unit_test(a_window_written_to_again_and_again_adds_up),
        cmocka_unit_test(a_restart_goes_on_where_the_last_one_stopped),
        cmocka_unit_test(a_resend_counts_once_even_after_a_restart),
        cmocka_unit_test(a_profile_later_than_late_max_is_dropped_and_counted),
        cmocka_unit_test(a_late_profile_within_late_max_reopens_its_window),
        cmocka_unit_test(a_record_that_does_not_decode_is_skipped_and_counted),
        cmocka_unit_test(a_stolen_partition_is_acquired_again_and_nothing_counts_twice),
        cmocka_unit_test(symbols_that_outgrow_a_generation_begin_another),
        cmocka_unit_test(symbols_above_the_budget_are_read_again),
        cmocka_unit_test(windows_and_series_that_expired_are_swept),
        cmocka_unit_test(a_series_that_was_swept_comes_back_when_it_is_sent_again),
        cmocka_unit_test(only_the_windows_of_a_series_that_expired_are_swept),
        cmocka_unit_test(symbols_are_written_once),
        cmocka_unit_test(series_above_the_cap_count_under_other),
        cmocka_unit_test(profiles_of_different_types_count_under_each),
        cmocka_unit_test(readers_learn_the_number_of_partitions),
        cmocka_unit_test(another_width_of_windows_is_refused_and_changes_nothing),
        cmocka_unit_test(restarts_thefts_lost_answers_and_resends_change_no_total),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
