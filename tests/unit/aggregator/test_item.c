/* Records into deltas, deltas into items, items into aggregates. */
#include "aggregator/item.h"
#include "aggregator/service.h"
#include "aggregator/shard.h"
#include "base/clock.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define T0_MS INT64_C(1700000040000) /* begins a minute */
#define CPU   "process_cpu:cpu:nanoseconds:cpu:nanoseconds"
#define WALL  "wall:wall:nanoseconds:wall:nanoseconds"

static const struct aggregator_options options = {
    .window = 60000,
    .late_max = INT64_MAX,
    .delta_max = 1 << 20,
    .series_per_service_max = 100,
};

/* A shard that counts what is made here. */
struct bench {
    struct shard *shard;
    struct record_encoder *encoder;
    struct record_decoder *decoder;
    struct zcodec *z;
    uint64_t offset;
    enum shard_verdict verdict; /* of the last part */
    uint32_t n_parts;
};

static void bench_open(struct bench *b)
{
    struct store_meta meta = {.epoch = 5, .token = 6, .seq = 0, .offset = 0};

    *b = (struct bench){
        .shard = shard_new(0, &options, &meta),
        .encoder = record_encoder_new(1),
        .decoder = record_decoder_new(),
        .z = zcodec_new(),
    };
}

static void bench_close(struct bench *b)
{
    shard_free(b->shard);
    record_encoder_free(b->encoder);
    record_decoder_free(b->decoder);
    zcodec_free(b->z);
}

static int on_part(void *ctx, uint32_t part, uint32_t parts, struct bytes value)
{
    struct bench *b = ctx;
    struct buf copy = {0};
    struct log_message m = {.offset = b->offset++, .time_ms = T0_MS};
    struct failure f;

    (void)part;
    b->n_parts = parts;
    buf_append_bytes(&copy, value);
    record_stamp(copy.data, copy.len, (struct hash128){1, 1}, b->offset, 0);
    m.value = buf_bytes(&copy);
    b->verdict = shard_add(b->shard, b->decoder, &m, T0_MS, &f);
    buf_deinit(&copy);
    return 0;
}

struct made {
    struct symbols *symbols;
    struct stacks *stacks;
    struct profile profile;
    struct bytes types[2];
};

static void made_init(struct made *m, const char *type0, const char *type1)
{
    struct sample_type types[2] = {{.name = 0}};

    m->symbols = symbols_new();
    m->stacks = stacks_new();
    m->types[0] = bytes_str(type0);
    m->types[1] = bytes_str(type1);
    profile_init(&m->profile, m->symbols, m->stacks);
    types[0].name = symbols_string(m->symbols, m->types[0]);
    types[1].name = symbols_string(m->symbols, m->types[1]);
    profile_set_types(&m->profile, types, type1 ? 2 : 1);
}

static void made_deinit(struct made *m)
{
    profile_deinit(&m->profile);
    stacks_free(m->stacks);
    symbols_free(m->symbols);
}

static void sample(struct made *m, const char *name, int64_t a, int64_t b)
{
    struct function fn = {.name = symbols_string(m->symbols, bytes_str(name))};
    struct frame fr = {.function = symbols_function(m->symbols, &fn)};
    uint32_t frame = symbols_frame(m->symbols, &fr);

    profile_add(&m->profile, stacks_intern(m->stacks, &frame, 1), 0, (int64_t[]){a, b});
}

static void push_as(struct bench *b, const struct made *m, int64_t start_ms, int64_t end_ms,
                    const char *service, const char *version)
{
    struct record_header h = {
        .service = bytes_str(service),
        .start_ns = start_ms * NS_PER_MS,
        .end_ns = end_ms * NS_PER_MS,
    };
    struct failure f;

    tags_add(&h.series, BYTES_LIT("version"), bytes_str(version));
    tags_add(&h.instance, BYTES_LIT("host"), BYTES_LIT("a"));
    assert_int_equal(record_encode(b->encoder, &m->profile, m->types, &h, on_part, b, &f), 0);
}

static void push_version(struct bench *b, const struct made *m, const char *version)
{
    push_as(b, m, T0_MS, T0_MS, "svc", version);
}

static void push(struct bench *b, const struct made *m, int64_t start_ms, int64_t end_ms)
{
    push_as(b, m, start_ms, end_ms, "svc", "1");
}

/* Merges the item of a type and window alone, as a first flush would. */
static struct aggregate aggregate_of(struct bench *b, const char *type, int64_t t_s)
{
    struct items items = items_of(&b->shard->deltas);
    struct aggregate found = {0};

    for (size_t i = 0; i < items.n; i++) {
        struct item *it = &items.at[i];

        if (!it->entry->service->loaded)
            service_begin(it->entry->service, 1);
        if (it->t_s != t_s || !bytes_equal(it->entry->type, bytes_str(type)))
            continue;
        assert_int_equal(item_merge(it, b->z, NULL), 0);
        assert_int_equal(found.tree.n, 0); /* one item of that kind */
        found = it->result;
        it->result = (struct aggregate){0};
    }
    items_deinit(&items);
    return found;
}

/* The sums of the trees of all items, in no order. */
static void sums_of(struct bench *b, int64_t *ret, size_t max, size_t *ret_n)
{
    struct items items = items_of(&b->shard->deltas);

    assert_true(items.n <= max);
    for (size_t i = 0; i < items.n; i++) {
        const struct tree *t = &items.at[i].result.tree;

        assert_int_equal(item_merge(&items.at[i], b->z, NULL), 0);
        assert_int_equal(t->n, 2);
        ret[i] = t->self[0][1];
    }
    *ret_n = items.n;
    items_deinit(&items);
}

static int64_t sum(const struct tree *t)
{
    int64_t total = 0;

    for (uint32_t i = 0; i < t->n; i++)
        total += t->self[0][i];
    return total;
}

static void the_midpoint_chooses_the_window(void **state)
{
    struct aggregate a;
    struct bench b;
    struct made m;

    (void)state;
    bench_open(&b);
    made_init(&m, CPU, NULL);
    sample(&m, "main", 3, 0);
    push(&b, &m, T0_MS - 10000, T0_MS + 9999);  /* middle: one half ms before T0 */
    push(&b, &m, T0_MS - 10000, T0_MS + 10000); /* middle: T0 */
    push(&b, &m, T0_MS + 59999, T0_MS + 59999);
    push(&b, &m, T0_MS + 60000, T0_MS + 60000);
    a = aggregate_of(&b, CPU, T0_MS / 1000);
    assert_int_equal(a.profiles, 2);
    assert_int_equal(sum(&a.tree), 6);
    assert_int_equal(a.duration_ns, 20000 * NS_PER_MS);
    aggregate_deinit(&a);
    a = aggregate_of(&b, CPU, T0_MS / 1000 - 60);
    assert_int_equal(a.profiles, 1);
    aggregate_deinit(&a);
    made_deinit(&m);
    bench_close(&b);
}

static void each_type_has_its_own_values_and_all_count_the_profile(void **state)
{
    struct aggregate cpu, wall;
    struct bench b;
    struct made m;

    (void)state;
    bench_open(&b);
    made_init(&m, CPU, WALL);
    sample(&m, "main", 3, 100);
    sample(&m, "idle", 0, 50);
    push(&b, &m, T0_MS, T0_MS);
    cpu = aggregate_of(&b, CPU, T0_MS / 1000);
    wall = aggregate_of(&b, WALL, T0_MS / 1000);
    assert_int_equal(sum(&cpu.tree), 3);
    assert_int_equal(cpu.tree.n, 2); /* root and main; idle has no cpu */
    assert_int_equal(sum(&wall.tree), 150);
    assert_true(cpu.profiles == 1 && wall.profiles == 1);
    aggregate_deinit(&cpu);
    aggregate_deinit(&wall);
    made_deinit(&m);
    bench_close(&b);
}

/* Nor with what was flushed before. */
static void series_of_a_service_share_stacks_and_nothing_else(void **state)
{
    struct service *service;
    size_t nodes, n, at = 0;
    int64_t got[4];
    struct bench b;
    struct made one, two;

    (void)state;
    bench_open(&b);
    made_init(&one, CPU, NULL);
    made_init(&two, CPU, NULL);
    sample(&one, "main", 3, 0);
    sample(&two, "main", 40, 0);
    push_version(&b, &one, "1");
    service = idmap_next(&b.shard->services, &at);
    service_begin(service, 1);
    nodes = stacks_n_nodes(service->stacks);
    push_version(&b, &two, "2");
    push_version(&b, &two, "3");
    assert_int_equal(stacks_n_nodes(service->stacks), nodes);
    sums_of(&b, got, 4, &n);
    assert_int_equal(n, 3);
    assert_true(got[0] + got[1] + got[2] == 83 && got[0] * got[1] * got[2] == 3 * 40 * 40);

    shard_committed(b.shard);
    service_committed(service, 32 << 20);
    assert_null(service->stacks);
    push_version(&b, &one, "2");
    sums_of(&b, got, 4, &n);
    assert_int_equal(n, 1);
    assert_int_equal(got[0], 3);
    made_deinit(&one);
    made_deinit(&two);
    bench_close(&b);
}

static void symbols_of_services_touched_least_recently_are_forgotten(void **state)
{
    static const char *const names[] = {"a", "b", "c"};
    struct service *service[3];
    struct bench b;
    struct made m;
    size_t kept;

    (void)state;
    bench_open(&b);
    made_init(&m, CPU, NULL);
    sample(&m, "main", 3, 0);
    for (int i = 0; i < 3; i++) {
        push_as(&b, &m, T0_MS, T0_MS, names[i], "1");
        service[i] = idmap_get(&b.shard->services, service_id(BYTES_LIT(""), bytes_str(names[i])));
        assert_non_null(service[i]->symbols);
        service[i]->touched_ms = T0_MS + (i + 1) % 3;
    }
    shard_committed(b.shard);
    kept = symbols_bytes(service[0]->symbols) + symbols_bytes(service[1]->symbols);
    shard_unload(b.shard, 0, kept);
    assert_int_equal(b.shard->symbols_bytes, kept);
    assert_true(service[0]->symbols && service[1]->symbols && !service[2]->symbols);
    shard_unload(b.shard, T0_MS + 2, kept);
    assert_true(!service[0]->symbols && service[1]->symbols);
    shard_unload(b.shard, 0, 0);
    assert_null(service[1]->symbols);
    assert_int_equal(b.shard->symbols_bytes, 0);
    made_deinit(&m);
    bench_close(&b);
}

static void one_series_sent_with_two_lists_of_types_adds_up(void **state)
{
    struct aggregate cpu;
    struct made both, alone;
    struct bench b;

    (void)state;
    bench_open(&b);
    made_init(&both, CPU, WALL);
    made_init(&alone, CPU, NULL);
    sample(&both, "main", 3, 100);
    sample(&alone, "main", 4, 0);
    push(&b, &both, T0_MS, T0_MS);
    push(&b, &alone, T0_MS, T0_MS);
    cpu = aggregate_of(&b, CPU, T0_MS / 1000);
    assert_int_equal(sum(&cpu.tree), 7);
    assert_int_equal(cpu.profiles, 2);
    aggregate_deinit(&cpu);
    made_deinit(&both);
    made_deinit(&alone);
    bench_close(&b);
}

static void a_type_named_twice_in_one_profile_counts_the_profile_once(void **state)
{
    struct aggregate cpu;
    struct bench b;
    struct made m;

    (void)state;
    bench_open(&b);
    made_init(&m, CPU, CPU);
    sample(&m, "main", 3, 4);
    push(&b, &m, T0_MS, T0_MS);
    cpu = aggregate_of(&b, CPU, T0_MS / 1000);
    assert_int_equal(sum(&cpu.tree), 7);
    assert_int_equal(cpu.profiles, 1);
    aggregate_deinit(&cpu);
    made_deinit(&m);
    bench_close(&b);
}

static void a_profile_in_several_parts_counts_once(void **state)
{
    struct aggregate cpu;
    struct bench b;
    struct made m;
    uint64_t seed = 1;
    char name[1024];

    (void)state;
    bench_open(&b);
    made_init(&m, CPU, NULL);
    for (int i = 0; i < 3000; i++) {
        for (size_t k = 0; k < sizeof name - 1; k++)
            name[k] = (char)('!' + (seed = hash_mix(seed + 1)) % 90);
        name[sizeof name - 1] = 0;
        sample(&m, name, 1, 0);
    }
    push(&b, &m, T0_MS, T0_MS + 2000);
    assert_true(b.n_parts > 1 && b.verdict == SHARD_PART);
    cpu = aggregate_of(&b, CPU, T0_MS / 1000);
    assert_int_equal(sum(&cpu.tree), 3000);
    assert_int_equal(cpu.profiles, 1);
    assert_int_equal(cpu.duration_ns, 2000 * NS_PER_MS);
    aggregate_deinit(&cpu);
    made_deinit(&m);
    bench_close(&b);
}

static void a_profile_without_samples_counts_as_a_profile(void **state)
{
    struct aggregate cpu;
    struct bench b;
    struct made m;

    (void)state;
    bench_open(&b);
    made_init(&m, CPU, NULL);
    push(&b, &m, T0_MS, T0_MS);
    cpu = aggregate_of(&b, CPU, T0_MS / 1000);
    assert_int_equal(cpu.profiles, 1);
    assert_int_equal(cpu.tree.n, 1);
    aggregate_deinit(&cpu);
    made_deinit(&m);
    bench_close(&b);
}

static void a_stored_blob_that_does_not_decode_leaves_the_deltas(void **state)
{
    struct items items;
    struct bench b;
    struct made m;

    (void)state;
    bench_open(&b);
    made_init(&m, CPU, NULL);
    sample(&m, "main", 3, 0);
    push(&b, &m, T0_MS, T0_MS);
    items = items_of(&b.shard->deltas);
    assert_int_equal(items.n, 1);
    service_begin(items.at[0].entry->service, 1);
    buf_append_str(&items.at[0].blob, "no aggregate at all, but long enough");
    assert_int_equal(item_merge(&items.at[0], b.z, NULL), -EBADMSG);
    assert_int_equal(sum(&items.at[0].result.tree), 3);
    items_deinit(&items);
    made_deinit(&m);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_midpoint_chooses_the_window),
        cmocka_unit_test(each_type_has_its_own_values_and_all_count_the_profile),
        cmocka_unit_test(series_of_a_service_share_stacks_and_nothing_else),
        cmocka_unit_test(symbols_of_services_touched_least_recently_are_forgotten),
        cmocka_unit_test(one_series_sent_with_two_lists_of_types_adds_up),
        cmocka_unit_test(a_type_named_twice_in_one_profile_counts_the_profile_once),
        cmocka_unit_test(a_profile_in_several_parts_counts_once),
        cmocka_unit_test(a_profile_without_samples_counts_as_a_profile),
        cmocka_unit_test(a_stored_blob_that_does_not_decode_leaves_the_deltas),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
