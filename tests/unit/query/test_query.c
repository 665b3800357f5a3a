/* The whole service over LMDB: blobs written by the wire codecs, answers read over HTTP. */
#include "lib/build.h"
#include "lib/http_client.h"

#include "base/clock.h"
#include "query/query.h"
#include "store/catalogue.h"
#include "store/keys.h"
#include "wire/aggregate.h"

#include <jansson.h>
#include <sys/stat.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define CPU  "process_cpu:cpu:nanoseconds:cpu:nanoseconds"
#define HEAP "memory:inuse_space:bytes:space:bytes"

enum { PARTITIONS = 4, RES = 60, T0 = 1764000000 / RES * RES, TTL_MS = 3600000 };

/* A generation of one service's symbols, as its aggregator holds it. */
struct generation_ {
    struct symbols *symbols;
    struct symbols_mark written;
    uint64_t number;
};

struct rig {
    uv_loop_t loop;
    char dir[64];
    struct lmdb_env *env;
    struct store *writer;
    struct http_server *http;
    struct query *query;
    struct query_options options;
    struct options *parser;
    int port;
    struct zcodec *z;
    struct generation_ generation;
    uint64_t epoch, token, seq;
    bool done;
};

/* ---- running
 * -------------------------------------------------------------------------------------- */

static void on_stored(void *ctx, int r, const struct store_reply *reply)
{
    (void)reply;
    assert_int_equal(r, 0);
    *(bool *)ctx = true;
}

static void on_acquired(void *ctx, int r, const struct store_meta *meta)
{
    struct rig *rig = ctx;

    assert_int_equal(r, 0);
    rig->epoch = meta->epoch;
    rig->seq = meta->seq;
    rig->done = true;
}

static void run_until(struct rig *rig, bool *done)
{
    while (!*done)
        uv_run(&rig->loop, UV_RUN_ONCE);
    *done = false;
}

static void acquire(struct rig *rig, uint32_t p)
{
    store_acquire(rig->writer, p, rig->token, clock_wall_ms(), on_acquired, rig);
    run_until(rig, &rig->done);
}

static int setup_with(void **state, bool own_page)
{
    struct rig *rig = calloc(1, sizeof *rig);
    struct key conf = key_conf();
    struct failure f;

    *state = rig;
    uv_loop_init(&rig->loop);
    snprintf(rig->dir, sizeof rig->dir, "/tmp/h-query-test-XXXXXX");
    assert_non_null(mkdtemp(rig->dir));
    assert_int_equal(lmdb_env_open(rig->dir, 64 << 20, &rig->env, &f), 0);
    rig->writer = store_lmdb_new(&rig->loop, rig->env);
    rig->parser = options_new();
    options_bind(rig->parser, query_option_rows, &rig->options, "query");
    if (own_page)
        rig->options.web_dir = strdup(rig->dir);
    rig->http = http_server_new(&rig->loop, &http_limits_default);
    rig->query =
        query_new(&rig->loop, rig->http, store_lmdb_new(&rig->loop, rig->env), &rig->options);
    assert_int_equal(http_listen(rig->http, "127.0.0.1:0", "listen", &rig->port, &f), 0);
    rig->z = zcodec_new();
    rig->token = 7;
    rig->generation = (struct generation_){symbols_new(), {0}, 1};
    store_agree(rig->writer, key_bytes(&conf), BYTES_LIT("n"), BYTES_LIT("4"), on_stored,
                &rig->done);
    run_until(rig, &rig->done);
    return 0;
}

static int setup(void **state)
{
    return setup_with(state, false);
}

/* The page is read from the rig's directory. */
static int setup_own_page(void **state)
{
    return setup_with(state, true);
}

static void on_closed(void *ctx)
{
    *(bool *)ctx = true;
}

static int teardown(void **state)
{
    struct rig *rig = *state;
    char command[128];

    http_server_close(rig->http, 100, on_closed, &rig->done);
    run_until(rig, &rig->done);
    query_close(rig->query, on_closed, &rig->done);
    run_until(rig, &rig->done);
    store_close(rig->writer, on_closed, &rig->done);
    run_until(rig, &rig->done);
    uv_run(&rig->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&rig->loop), 0);
    lmdb_env_close(rig->env);
    options_free(rig->parser);
    symbols_free(rig->generation.symbols);
    zcodec_free(rig->z);
    snprintf(command, sizeof command, "rm -r %s", rig->dir);
    assert_int_equal(system(command), 0);
    free(rig);
    return 0;
}

/* ---- writing
 * -------------------------------------------------------------------------------------- */

struct put {
    const char *service, *type, *version;
    int64_t t_s;
    const char *text;
    uint64_t profiles;
    bool lost;          /* the index names it, the store does not have it */
    int64_t expires_ms; /* 0: in an hour */
    bool no_symbols;    /* there are none to write */
};

static uint32_t home_of(const char *service)
{
    return partition_of(BYTES_LIT("anonymous"), bytes_str(service), bytes_of(NULL, 0), 1,
                        PARTITIONS);
}

static void write_symbols(struct rig *rig, uint32_t p, struct hash128 sid, struct key *key,
                          struct buf *field, struct buf *chunk)
{
    struct generation_ *g = &rig->generation;

    *key = key_symbols(p, sid, g->number);
    buf_printf(field, "%u", g->written.frames ? g->written.frames : 1);
    symchunk_encode(rig->z, g->symbols, g->written, chunk);
    g->written = symbols_mark(g->symbols);
}

static void encode_blob(struct rig *rig, const struct put *put, struct buf *out)
{
    struct aggregate a = {.generation = rig->generation.number,
                          .profiles = put->profiles,
                          .duration_ns = 10 * NS_PER_S,
                          .start_ns = put->t_s * NS_PER_S,
                          .end_ns = (put->t_s + 10) * NS_PER_S};

    sketch_add(&a.instances, hash64(bytes_str(put->service)));
    build_tree(&a.tree, rig->generation.symbols, put->text);
    aggregate_encode(rig->z, &a, 3, out);
    aggregate_deinit(&a);
}

/* One flush with one aggregate in it, as an aggregator does it: blob, then symbols, index,
 * catalogue in a commit. */
static void put_one(struct rig *rig, struct put put)
{
    uint32_t p = home_of(put.service);
    struct hash128 sid = service_id(BYTES_LIT("anonymous"), bytes_str(put.service)), kid;
    struct catalogue_entry entry = {.first_s = put.t_s,
                                    .last_s = put.t_s,
                                    .tenant = BYTES_LIT("anonymous"),
                                    .service = bytes_str(put.service),
                                    .type = bytes_str(put.type),
                                    .res_s = RES};
    struct buf blob = {0}, field = {0}, chunk = {0}, catalogue = {0};
    struct key symbols, index, cat = key_catalogue(p), blob_key;
    struct index_entry version;
    char entry_text[64], t_text[24], kid_text[33];
    size_t entry_len;

    acquire(rig, p);
    tags_add(&entry.series, BYTES_LIT("version"), bytes_str(put.version));
    kid = series_id(SERIES_PLAIN, entry.tenant, entry.type, &entry.series);
    kid.lo ^= sid.lo;
    hash128_hex(kid, kid_text);
    encode_blob(rig, &put, &blob);
    write_symbols(rig, p, sid, &symbols, &field, &chunk);
    version = (struct index_entry){rig->epoch, rig->seq + 1,
                                   put.expires_ms ? put.expires_ms : clock_wall_ms() + TTL_MS};
    entry_len = index_entry_write(&version, entry_text);
    snprintf(t_text, sizeof t_text, "%lld", (long long)put.t_s);
    index = key_index(p, RES, kid);
    blob_key = key_blob(p, RES, put.t_s, kid, version.epoch, version.seq);
    catalogue_encode(&entry, &catalogue);
    if (!put.lost) {
        store_put(rig->writer, &(struct store_put){key_bytes(&blob_key), buf_bytes(&blob), TTL_MS},
                  1, on_stored, &rig->done);
        run_until(rig, &rig->done);
    }
    struct store_op ops[] = {
        {STORE_OP_HSET, key_bytes(&symbols), buf_bytes(&field), buf_bytes(&chunk), 0},
        {STORE_OP_HSET, key_bytes(&index), bytes_str(t_text), bytes_of(entry_text, entry_len), 0},
        {STORE_OP_HSET, key_bytes(&cat), bytes_str(kid_text), buf_bytes(&catalogue), 0},
    };
    const size_t skipped = put.no_symbols;
    struct store_commit commit = {.partition = p,
                                  .epoch = rig->epoch,
                                  .token = rig->token,
                                  .prev_seq = rig->seq,
                                  .seq = rig->seq + 1,
                                  .offset = 42,
                                  .now_ms = clock_wall_ms(),
                                  .ops = ops + skipped,
                                  .n_ops = sizeof ops / sizeof *ops - skipped};
    store_commit(rig->writer, &commit, on_stored, &rig->done);
    run_until(rig, &rig->done);
    buf_deinit(&blob);
    buf_deinit(&field);
    buf_deinit(&chunk);
    buf_deinit(&catalogue);
}

/* ---- reading
 * -------------------------------------------------------------------------------------- */

struct exchange {
    struct rig *rig;
    const char *path, *headers;
    struct http_answer answer;
    uv_async_t async;
    bool done;
};

static void talk(void *ctx)
{
    struct exchange *x = ctx;
    struct buf request = {0};

    buf_printf(&request, "GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n", x->path, x->headers);
    x->answer = http_talk(x->rig->port, buf_bytes(&request), 0);
    buf_deinit(&request);
    uv_async_send(&x->async);
}

static void on_talked(uv_async_t *async)
{
    struct exchange *x = async->data;

    x->done = true;
    uv_close((uv_handle_t *)async, NULL);
}

static struct http_answer get_with(struct rig *rig, const char *path, const char *headers)
{
    struct exchange x = {.rig = rig, .path = path, .headers = headers};
    uv_thread_t thread;

    uv_async_init(&rig->loop, &x.async, on_talked);
    x.async.data = &x;
    uv_thread_create(&thread, talk, &x);
    run_until(rig, &x.done);
    uv_thread_join(&thread);
    uv_run(&rig->loop, UV_RUN_NOWAIT); /* the handle closes */
    return x.answer;
}

static json_t *get(struct rig *rig, int status, const char *path)
{
    struct http_answer a = get_with(rig, path, "");
    json_error_t error;
    json_t *j = json_loadb((const char *)a.body.data, a.body.len, 0, &error);

    if (a.status != status)
        fail_msg("%s: %d %s", path, a.status, buf_cstr(&a.body));
    assert_non_null(j);
    http_answer_deinit(&a);
    return j;
}

static int64_t number(json_t *j, const char *name)
{
    assert_true(json_is_integer(json_object_get(j, name)));
    return json_integer_value(json_object_get(j, name));
}

static int64_t sum_of(struct rig *rig, const char *path)
{
    json_t *j = get(rig, 200, path);
    int64_t sum = number(j, "sum");

    json_decref(j);
    return sum;
}

static void assert_error(struct rig *rig, int status, const char *code, const char *path)
{
    json_t *j = get(rig, status, path);

    assert_string_equal(json_string_value(json_object_get(j, "code")), code);
    assert_true(json_string_length(json_object_get(j, "message")) > 0);
    json_decref(j);
}

/* Three windows in two versions, and a heap. */
static void put_web(struct rig *rig)
{
    put_one(rig, (struct put){"web", CPU, "v1", T0, "main:1;work:2 5\nmain:1;idle:3 2", 1});
    put_one(rig, (struct put){"web", CPU, "v1", T0 + 60, "main:1;work:4 10", 2});
    put_one(rig, (struct put){"web", CPU, "v2", T0 + 60, "main:1;work:2 100\nmain:1;new:1 7", 1});
    put_one(rig, (struct put){"web", HEAP, "v1", T0, "main:1;cache:9 4096", 2});
}

#define RANGE "&from=1763999000&until=1764009000"

static void a_range_is_the_exact_sum_of_its_windows(void **state)
{
    struct rig *rig = *state;
    json_t *j;

    put_web(rig);
    j = get(rig, 200, "/api/v1/flamegraph?service=web&type=" CPU RANGE);
    assert_int_equal(number(j, "sum"), 124);
    assert_int_equal(number(j, "profiles"), 4);
    assert_int_equal(number(j, "duration_ns"), 30 * NS_PER_S);
    assert_int_equal(number(j, "nodes"), 5);
    assert_int_equal(number(json_object_get(j, "complete"), "windows"), 3);
    assert_int_equal(number(json_object_get(j, "complete"), "gaps"), 0);
    assert_int_equal(
        number(json_array_get(json_object_get(json_object_get(j, "complete"), "partitions"), 0),
               "p"),
        home_of("web"));
    json_decref(j);
    assert_int_equal(sum_of(rig, "/api/v1/top?service=web&type=" CPU RANGE), 124);
}

static void from_is_inclusive_until_exclusive_both_widened(void **state)
{
    struct rig *rig = *state;
    char path[256];
    json_t *j;

    put_web(rig);
    snprintf(path, sizeof path, "/api/v1/flamegraph?service=web&type=cpu&from=%d&until=%d", T0 + 30,
             T0 + 60);
    j = get(rig, 200, path);
    assert_int_equal(number(j, "sum"), 7);
    assert_int_equal(number(j, "from"), INT64_C(1000) * T0);
    assert_int_equal(number(j, "until"), INT64_C(1000) * (T0 + 60));
    json_decref(j);
    snprintf(path, sizeof path, "/api/v1/flamegraph?service=web&type=cpu&from=%d&until=%d", T0 + 60,
             T0 + 61);
    assert_int_equal(sum_of(rig, path), 117);
    snprintf(path, sizeof path, "/api/v1/flamegraph?service=web&type=cpu&from=%d&until=%d",
             T0 + 120, T0 + 180);
    assert_int_equal(sum_of(rig, path), 0);
}

static void a_selector_keeps_the_series_that_match(void **state)
{
    struct rig *rig = *state;

    put_web(rig);
    assert_int_equal(sum_of(rig, "/api/v1/flamegraph?service=web&match=version:v1" RANGE), 17);
    assert_int_equal(
        sum_of(rig, "/api/v1/flamegraph?service=web&match=%7Bversion=~%22v[23]%22%7D" RANGE), 107);
    assert_int_equal(
        sum_of(rig, "/api/v1/flamegraph?service=web&match=%7Bversion!=%22v1%22%7D" RANGE), 107);
    assert_int_equal(sum_of(rig, "/api/v1/flamegraph?service=web&match=version:v9" RANGE), 0);
}

static void a_difference_is_b_minus_a(void **state)
{
    struct rig *rig = *state;
    json_t *j;

    put_web(rig);
    j = get(rig, 200, "/api/v1/diff?service=web&a.match=version:v1&b.match=version:v2" RANGE);
    assert_int_equal(number(j, "sum"), 107 - 17);
    assert_int_equal(number(json_object_get(j, "a"), "sum"), 17);
    assert_int_equal(number(json_object_get(j, "b"), "sum"), 107);
    assert_int_equal(number(json_object_get(j, "b"), "profiles"), 1);
    json_decref(j);
}

static void services_may_be_compared(void **state)
{
    struct rig *rig = *state;
    json_t *j;

    put_web(rig);
    rig->generation.written = (struct symbols_mark){0}; /* the other service has its own copy */
    put_one(rig, (struct put){"api", CPU, "v1", T0, "main:1;work:2 50", 1});
    j = get(rig, 200, "/api/v1/diff?a.service=web&b.service=api" RANGE);
    assert_int_equal(number(j, "sum"), 50 - 124);
    json_decref(j);
}

static void symbols_that_grew_since_they_were_cached_are_read_again(void **state)
{
    struct rig *rig = *state;

    put_one(rig, (struct put){"web", CPU, "v1", T0, "main:1 5", 1});
    assert_int_equal(sum_of(rig, "/api/v1/flamegraph?service=web" RANGE), 5);
    put_one(rig, (struct put){"web", CPU, "v1", T0 + 60, "main:1;fresh:1 6\nmore:2 1", 1});
    put_one(rig, (struct put){"web", CPU, "v1", T0 + 120, "main:1;fresher:1 7", 1});
    assert_int_equal(sum_of(rig, "/api/v1/flamegraph?service=web" RANGE), 19);
    assert_int_equal(sum_of(rig, "/api/v1/flamegraph?service=web" RANGE), 19);
}

static void symbols_written_anew_under_another_epoch_are_not_mixed_up(void **state)
{
    struct rig *rig = *state;
    json_t *j;

    put_one(rig, (struct put){"web", CPU, "v1", T0, "old:1 5", 1});
    assert_int_equal(sum_of(rig, "/api/v1/flamegraph?service=web" RANGE), 5);
    symbols_free(
        rig->generation.symbols); /* an heir that knows nothing begins generation 1 again */
    rig->generation = (struct generation_){symbols_new(), {0}, 1};
    put_one(rig, (struct put){"web", CPU, "v1", T0, "new:1 6", 1});
    j = get(rig, 200, "/api/v1/top?service=web" RANGE);
    assert_string_equal(json_string_value(json_object_get(
                            json_array_get(json_object_get(j, "functions"), 0), "name")),
                        "new");
    json_decref(j);
}

/* Both sides have windows of two generations: what they share is one node nevertheless. */
static void windows_of_two_generations_are_merged_by_what_they_are(void **state)
{
    struct rig *rig = *state;
    json_t *j;

    put_web(rig);
    symbols_free(rig->generation.symbols);
    rig->generation = (struct generation_){symbols_new(), {0}, 2};
    put_one(rig, (struct put){"web", CPU, "v1", T0 + 120, "other:7 1\nmain:9;work:2 1000", 1});
    put_one(rig, (struct put){"web", CPU, "v2", T0 + 120, "main:1;work:2 2000", 1});
    j = get(rig, 200, "/api/v1/diff?service=web&a.match=version:v1&b.match=version:v2" RANGE);
    assert_int_equal(number(json_object_get(j, "a"), "sum"), 17 + 1001);
    assert_int_equal(number(json_object_get(j, "b"), "sum"), 107 + 2000);
    assert_int_equal(number(j, "nodes"), 6); /* total, main, work, idle, new, other */
    json_decref(j);
    j = get(
        rig, 200,
        "/api/v1/diff?service=web&a.match=version:v1&b.match=version:v2&granularity=line" RANGE);
    assert_int_equal(number(j, "nodes"), 9);
    json_decref(j);
    assert_int_equal(sum_of(rig, "/api/v1/top?service=web&type=" CPU RANGE), 17 + 1001 + 2107);
}

/* No frame was ever seen, so there are no symbols to read. */
static void a_window_without_stacks_needs_no_symbols(void **state)
{
    struct rig *rig = *state;
    json_t *j;

    put_one(rig, (struct put){"web", CPU, "v1", T0, " 5", 1, .no_symbols = true});
    j = get(rig, 200, "/api/v1/flamegraph?service=web" RANGE);
    assert_int_equal(number(j, "sum"), 5);
    assert_int_equal(number(j, "nodes"), 1);
    json_decref(j);
    assert_int_equal(sum_of(rig, "/api/v1/top?service=web" RANGE), 5);
}

static void a_lost_blob_is_a_gap_and_an_expired_one_is_not(void **state)
{
    struct rig *rig = *state;
    json_t *j;

    put_one(rig, (struct put){"web", CPU, "v1", T0, "main:1 5", 1});
    put_one(rig, (struct put){"web", CPU, "v1", T0 + 60, "main:1 6", 1, .lost = true});
    put_one(rig,
            (struct put){"web", CPU, "v1", T0 + 120, "main:1 7", 1, .lost = true, .expires_ms = 1});
    j = get(rig, 200, "/api/v1/flamegraph?service=web" RANGE);
    assert_int_equal(number(j, "sum"), 5);
    assert_int_equal(number(json_object_get(j, "complete"), "gaps"), 1);
    json_decref(j);
}

static void a_type_may_be_named_by_its_sample_type(void **state)
{
    struct rig *rig = *state;

    put_web(rig);
    put_one(rig, (struct put){"web", "process_cpu:samples:count:cpu:nanoseconds", "v1", T0,
                              "main:1 1", 1});
    put_one(rig, (struct put){"web", "mutex:delay:nanoseconds:contentions:count", "v1", T0,
                              "main:1 3", 1});
    assert_int_equal(sum_of(rig, "/api/v1/flamegraph?service=web&type=cpu" RANGE), 124);
    assert_int_equal(sum_of(rig, "/api/v1/flamegraph?service=web&type=samples" RANGE), 1);
    assert_int_equal(sum_of(rig, "/api/v1/flamegraph?service=web&type=mutex" RANGE), 3);
    assert_int_equal(sum_of(rig, "/api/v1/flamegraph?service=web" RANGE), 124);
    assert_error(rig, 400, "type_ambiguous", "/api/v1/flamegraph?service=web&type=process_cpu");
}

static void assert_says(struct rig *rig, int status, const char *path, const char *message)
{
    json_t *j = get(rig, status, path);

    assert_string_equal(json_string_value(json_object_get(j, "message")), message);
    json_decref(j);
}

static void an_ambiguous_type_lists_the_types_that_it_may_be(void **state)
{
    struct rig *rig = *state;

    put_web(rig);
    put_one(rig, (struct put){"web", "process_cpu:samples:count:cpu:nanoseconds", "v1", T0,
                              "main:1 1", 1});
    put_one(rig,
            (struct put){"web", "wall:cpu:nanoseconds:wall:nanoseconds", "v1", T0, "main:1 1", 1});
    rig->generation.written = (struct symbols_mark){0};
    put_one(rig, (struct put){"other", "process_cpu:delay:count::", "v1", T0, "main:1 1", 1});
    assert_says(rig, 400, "/api/v1/flamegraph?service=web&type=process_cpu",
                "type \"process_cpu\" of service \"web\": it may be " CPU
                ", process_cpu:samples:count:cpu:nanoseconds");
    assert_says(rig, 400, "/api/v1/flamegraph?service=web&type=cpu",
                "type \"cpu\" of service \"web\": it may be " CPU
                ", wall:cpu:nanoseconds:wall:nanoseconds");
    assert_says(rig, 404, "/api/v1/flamegraph?service=other&type=cpu",
                "type \"cpu\" of service \"other\": there is none; it has "
                "process_cpu:delay:count::");
}

static void types_that_do_not_fit_into_the_message_are_counted_and_none_is_cut(void **state)
{
    struct rig *rig = *state;
    char types[9][64];

    for (int i = 0; i < 9; i++) {
        snprintf(types[i], sizeof types[i], "memory:kind_%d_of_many_objects:count:space:bytes", i);
        put_one(rig, (struct put){"big", types[i], "v1", T0, "main:1 1", 1});
    }
    assert_says(rig, 400, "/api/v1/flamegraph?service=big&type=memory",
                "type \"memory\" of service \"big\": it may be "
                "memory:kind_0_of_many_objects:count:space:bytes, "
                "memory:kind_1_of_many_objects:count:space:bytes, "
                "memory:kind_2_of_many_objects:count:space:bytes, "
                "memory:kind_3_of_many_objects:count:space:bytes, "
                "memory:kind_4_of_many_objects:count:space:bytes and 4 more");
}

static void a_snapshot_has_its_mean(void **state)
{
    struct rig *rig = *state;
    json_t *j;

    put_web(rig);
    j = get(rig, 200, "/api/v1/flamegraph?service=web&type=inuse_space" RANGE);
    assert_string_equal(json_string_value(json_object_get(j, "kind")), "snapshot");
    assert_string_equal(json_string_value(json_object_get(j, "type")), HEAP);
    assert_int_equal(number(j, "sum"), 4096);
    assert_true(json_real_value(json_object_get(j, "mean")) == 2048.0);
    json_decref(j);
}

static void listings_say_what_there_is(void **state)
{
    struct rig *rig = *state;
    json_t *j;

    put_web(rig);
    j = get(rig, 200, "/api/v1/services");
    assert_int_equal(json_array_size(json_object_get(j, "services")), 1);
    json_decref(j);
    j = get(rig, 200, "/api/v1/services?from=1&until=2");
    assert_int_equal(json_array_size(json_object_get(j, "services")), 0);
    json_decref(j);
    j = get(rig, 200, "/api/v1/types?service=web");
    assert_int_equal(json_array_size(json_object_get(j, "types")), 2);
    json_decref(j);
    j = get(rig, 200, "/api/v1/labels?service=web");
    assert_int_equal(
        json_array_size(json_object_get(json_array_get(json_object_get(j, "labels"), 0), "values")),
        2);
    json_decref(j);
    j = get(rig, 200, "/api/v1/series?service=web&match=version:v2");
    assert_int_equal(json_array_size(json_object_get(j, "series")), 1);
    json_decref(j);
    j = get(rig, 200, "/api/v1/status");
    assert_int_equal(json_array_size(json_object_get(j, "partitions")), PARTITIONS);
    json_decref(j);
}

static void an_empty_store_has_no_services(void **state)
{
    json_t *j = get(*state, 200, "/api/v1/services");

    assert_int_equal(json_array_size(json_object_get(j, "services")), 0);
    json_decref(j);
    assert_error(*state, 404, "service_not_found", "/api/v1/flamegraph?service=web");
}

static void wrong_questions_are_refused_with_a_reason(void **state)
{
    struct rig *rig = *state;

    put_web(rig);
    rig->generation.written = (struct symbols_mark){0};
    put_one(rig, (struct put){"both", HEAP, "v1", T0, "main:1 1", 1});
    put_one(rig,
            (struct put){"both", "memory:alloc_space:bytes:space:bytes", "v1", T0, "main:1 1", 1});
    assert_error(rig, 400, "parameter_missing", "/api/v1/flamegraph");
    assert_error(rig, 400, "parameter_unknown", "/api/v1/flamegraph?service=web&matsch=x");
    assert_error(rig, 400, "parameter_bad", "/api/v1/flamegraph?service=web&from=yesterday");
    assert_error(rig, 400, "parameter_bad", "/api/v1/top?service=web&match=a:b&match=c:d");
    assert_error(rig, 400, "parameter_bad", "/api/v1/diff?service=web&a.type=cpu&a.type=cpu");
    assert_error(rig, 400, "parameter_bad", "/api/v1/types?service=web&service=web");
    assert_error(rig, 400, "parameter_bad", "/api/v1/flamegraph?service=web&max_nodes=1");
    assert_error(rig, 400, "parameter_bad", "/api/v1/flamegraph?service=web&max_nodes=99999999");
    assert_error(rig, 400, "parameter_bad", "/api/v1/flamegraph?service=web&format=svg");
    assert_error(rig, 400, "range_empty", "/api/v1/flamegraph?service=web&from=20&until=10");
    assert_error(rig, 400, "selector_bad", "/api/v1/flamegraph?service=web&match=%7B");
    assert_error(rig, 400, "regex_bad", "/api/v1/flamegraph?service=web&match=%7Ba=~%22(%22%7D");
    assert_error(rig, 400, "type_ambiguous", "/api/v1/flamegraph?service=both");
    assert_error(rig, 404, "type_not_found", "/api/v1/flamegraph?service=web&type=goroutines");
    assert_error(rig, 404, "service_not_found", "/api/v1/flamegraph?service=none");
    assert_error(rig, 400, "parameter_bad",
                 "/api/v1/diff?service=web&a.type=cpu&b.type=inuse_space" RANGE);
    assert_error(rig, 404, "not_found", "/api/v1/nothing");
    assert_error(rig, 404, "not_found", "/assets/none.js");
}

static void tenants_do_not_see_each_other(void **state)
{
    struct rig *rig = *state;
    struct http_answer a;

    put_web(rig);
    a = get_with(rig, "/api/v1/flamegraph?service=web" RANGE, "X-Scope-OrgID: other\r\n");
    assert_int_equal(a.status, 404);
    http_answer_deinit(&a);
}

static void assert_bad_tenant(struct rig *rig, const char *path, const char *tenant)
{
    struct buf header = {0};
    struct http_answer a;

    buf_printf(&header, "X-Scope-OrgID: %s\r\n", tenant);
    a = get_with(rig, path, buf_cstr(&header));
    assert_int_equal(a.status, 400);
    assert_non_null(strstr(buf_cstr(&a.body), "\"bad_tenant\""));
    assert_non_null(strstr(buf_cstr(&a.body), "at most 150 bytes"));
    assert_non_null(strstr(buf_cstr(&a.body), "letters, digits or !-_.*'()"));
    http_answer_deinit(&a);
    buf_deinit(&header);
}

static void a_tenant_that_nobody_can_be_is_refused_with_the_rule(void **state)
{
    static const char *const paths[] = {("/api/v1/flamegraph?service=web" RANGE),
                                        "/api/v1/top?service=web", "/api/v1/services",
                                        "/api/v1/types?service=web", "/api/v1/diff?service=web"};
    struct rig *rig = *state;
    struct http_answer a;
    char longest[152];

    put_web(rig);
    memset(longest, 'a', sizeof longest);
    longest[151] = '\0';
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        assert_bad_tenant(rig, paths[i], "a/b");
        assert_bad_tenant(rig, paths[i], "a b");
        assert_bad_tenant(rig, paths[i], longest);
    }
    a = get_with(rig, "/api/v1/services", "X-Scope-OrgID: a!-_.*'()9\r\n");
    assert_int_equal(a.status, 200);
    http_answer_deinit(&a);
}

static void folded_and_pprof_are_whole(void **state)
{
    struct rig *rig = *state;
    struct http_answer a;

    put_web(rig);
    a = get_with(rig, "/api/v1/flamegraph?service=web&format=folded&match=version:v1" RANGE, "");
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(buf_cstr(&a.body), "main;work 15\n"));
    http_answer_deinit(&a);
    a = get_with(rig, "/api/v1/flamegraph?service=web&format=pprof" RANGE, "");
    assert_int_equal(a.status, 200);
    assert_true(a.body.len > 2 && a.body.data[0] == 0x1f && a.body.data[1] == 0x8b);
    http_answer_deinit(&a);
}

static void the_page_is_at_the_root_under_a_strict_policy(void **state)
{
    static const char *const paths[] = {"/", "/index.html", "/?service=web"};

    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct http_answer a = get_with(*state, paths[i], "");
        const char *policy;

        assert_int_equal(a.status, 200);
        assert_non_null(strstr(buf_cstr(&a.body), "<title>Hearth"));
        policy = http_answer_header(&a, "Content-Security-Policy");
        assert_non_null(policy);
        assert_non_null(strstr(policy, "script-src 'self'"));
        assert_null(strstr(policy, "unsafe"));
        assert_string_equal(http_answer_header(&a, "X-Content-Type-Options"), "nosniff");
        assert_string_equal(http_answer_header(&a, "Cache-Control"), "no-cache");
        http_answer_deinit(&a);
    }
}

static void assert_no_page(struct rig *rig, const char *path, const char *link)
{
    struct http_answer a = get_with(rig, path, "Accept: text/html,*/*;q=0.8\r\n");

    assert_int_equal(a.status, 404);
    assert_string_equal(http_answer_header(&a, "Content-Type"), "text/html; charset=utf-8");
    assert_non_null(strstr(http_answer_header(&a, "Content-Security-Policy"), "script-src 'self'"));
    if (!strstr(buf_cstr(&a.body), link))
        fail_msg("%s: no %s in %s", path, link, buf_cstr(&a.body));
    http_answer_deinit(&a);
    assert_error(rig, 404, "not_found", path);
}

static void a_path_of_nothing_is_told_to_people_and_to_programs(void **state)
{
    assert_no_page(*state, "/web", "<a href=\"./\">");
    assert_no_page(*state, "/service/foo", "<a href=\"./../\">");
    assert_no_page(*state, "/a/b/c/", "<a href=\"./../../../\">");
    assert_no_page(*state, "/assets/none.js", "href=\"./../404.css\"");
    assert_no_page(*state, "/x/y?service=%22%3E%3Cb%3E&type=cpu",
                   "<a href=\"./../?service=%22%3E%3Cb%3E&amp;type=cpu\">");
}

static void write_text(const char *dir, const char *name, const char *text)
{
    char path[96];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void a_directory_of_the_page_is_served_the_same_way(void **state)
{
    struct rig *rig = *state;
    struct http_answer a;

    write_text(rig->dir, "index.html", "<title>own");
    write_text(rig->dir, "own.css", "p {}");
    a = get_with(rig, "/?service=web", "");
    assert_int_equal(a.status, 200);
    assert_string_equal(buf_cstr(&a.body), "<title>own");
    http_answer_deinit(&a);
    a = get_with(rig, "/own.css", "");
    assert_string_equal(http_answer_header(&a, "Content-Type"), "text/css; charset=utf-8");
    http_answer_deinit(&a);
    assert_no_page(rig, "/service/foo", "<a href=\"./../\">");
}

static void a_path_that_climbs_is_refused(void **state)
{
    struct http_answer a = get_with(*state, "/%2e%2e/etc/passwd", "");

    assert_int_equal(a.status, 400);
    http_answer_deinit(&a);
}

static void a_query_over_its_memory_is_refused_with_the_setting(void **state)
{
    struct rig *rig = *state;
    json_t *j;

    put_web(rig);
    rig->options.query_memory_max = 16;
    j = get(rig, 400, "/api/v1/flamegraph?service=web" RANGE);
    assert_string_equal(json_string_value(json_object_get(j, "code")), "query_too_large");
    assert_non_null(strstr(json_string_value(json_object_get(j, "hint")), "query_memory_max"));
    json_decref(j);
}

/* Sums are charged by their nodes, not by the room that was needed to make them. */
static void what_is_charged_is_what_the_trees_need(void **state)
{
    enum { NODES = 2000, NODE_BYTES = 16 };
    struct rig *rig = *state;
    struct buf text = {0};

    for (int i = 0; i < NODES; i++)
        buf_printf(&text, "f%d 1\n", i);
    put_one(rig, (struct put){"web", CPU, "v1", T0, buf_cstr(&text), 1});
    put_one(rig, (struct put){"web", CPU, "v1", T0 + 60, buf_cstr(&text), 1});
    symbols_free(rig->generation.symbols);
    rig->generation = (struct generation_){symbols_new(), {0}, 2};
    put_one(rig, (struct put){"web", CPU, "v1", T0 + 120, "small 1", 1});
    rig->options.query_memory_max = (NODES + 10) * NODE_BYTES;
    assert_int_equal(sum_of(rig, "/api/v1/flamegraph?service=web" RANGE), 2 * NODES + 1);
    rig->options.query_memory_max = (NODES - 10) * NODE_BYTES;
    assert_error(rig, 400, "query_too_large", "/api/v1/flamegraph?service=web" RANGE);
    buf_deinit(&text);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_range_is_the_exact_sum_of_its_windows),
        TEST(from_is_inclusive_until_exclusive_both_widened),
        TEST(a_selector_keeps_the_series_that_match),
        TEST(a_difference_is_b_minus_a),
        TEST(services_may_be_compared),
        TEST(symbols_that_grew_since_they_were_cached_are_read_again),
        TEST(symbols_written_anew_under_another_epoch_are_not_mixed_up),
        TEST(windows_of_two_generations_are_merged_by_what_they_are),
        TEST(a_window_without_stacks_needs_no_symbols),
        TEST(a_lost_blob_is_a_gap_and_an_expired_one_is_not),
        TEST(a_type_may_be_named_by_its_sample_type),
        TEST(an_ambiguous_type_lists_the_types_that_it_may_be),
        TEST(types_that_do_not_fit_into_the_message_are_counted_and_none_is_cut),
        TEST(a_snapshot_has_its_mean),
        TEST(listings_say_what_there_is),
        TEST(an_empty_store_has_no_services),
        TEST(wrong_questions_are_refused_with_a_reason),
        TEST(tenants_do_not_see_each_other),
        TEST(a_tenant_that_nobody_can_be_is_refused_with_the_rule),
        TEST(folded_and_pprof_are_whole),
        TEST(the_page_is_at_the_root_under_a_strict_policy),
        TEST(a_path_of_nothing_is_told_to_people_and_to_programs),
        cmocka_unit_test_setup_teardown(a_directory_of_the_page_is_served_the_same_way,
                                        setup_own_page, teardown),
        TEST(a_path_that_climbs_is_refused),
        TEST(a_query_over_its_memory_is_refused_with_the_setting),
        TEST(what_is_charged_is_what_the_trees_need),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
