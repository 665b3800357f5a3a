/*
 * Uploads of real agents against what the Collector's pdata reads in them (expected*.json): every
 * total, the hottest functions, times and counts. One upload in four shapes (gzip, zstd, JSON, a
 * gRPC message) is one profile.
 */
#include "formats/otlp.h"
#include "formats/protobuf.h"
#include "lib/reading.h"
#include "lib/recordings.h"

#include <jansson.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define AGENTS SHARED_DATA "/agents/"

static bool absent(void)
{
    struct stat st;

    if (stat(AGENTS, &st) == 0)
        return false;
    CHECK(!getenv("HEARTH_REQUIRE_DATA"));
    printf("SKIPPED: the recordings of " AGENTS " are absent\n");
    return true;
}

/* --- reading ------------------------------------------------------------------------------------
 */

/* The plain message of a recorded request, HTTP or a framed gRPC message. */
static struct buf message_of(const char *path)
{
    struct buf file = recording_file(path), plain = {0}, unchunked = {0};
    struct bytes body = buf_bytes(&file), view;
    struct inflater *inf = inflater_new();
    struct failure f;

    if (strstr(path, ".http")) {
        size_t head = recording_find(body, "\r\n\r\n") + 4;
        bool chunked =
            recording_find(bytes_of(body.data, head), "ransfer-Encoding: chunked") < head;

        body = recording_from(body, head);
        if (chunked) {
            unchunked = recording_unchunk(body);
            body = buf_bytes(&unchunked);
        }
    } else {
        body = recording_from(body, 5); /* flag and length */
    }
    CHECK(inflate(inf, body, 64 << 20, &plain, &view, &f) == 0);
    if (view.data != plain.data) {
        buf_reset(&plain);
        buf_append_bytes(&plain, view);
    }
    inflater_free(inf);
    buf_deinit(&file);
    buf_deinit(&unchunked);
    return plain;
}

static void read_message(struct otlp_reader *r, struct told *t, const char *name)
{
    char path[512];
    struct buf message;
    int e;

    snprintf(path, sizeof path, AGENTS "%s", name);
    message = message_of(path);
    told_reset(t);
    e = is_otlp_json(buf_bytes(&message)) ? otlp_read_json(r, buf_bytes(&message), &t->rd)
                                          : otlp_read(r, buf_bytes(&message), &t->rd);
    if (e)
        fail_msg("%s: %s", name, t->f.message);
    if (t->stats.profiles_refused)
        fail_msg("%s: %s", name, t->stats.refused_why);
    buf_deinit(&message);
}

/* --- what pdata says ----------------------------------------------------------------------------
 */

/* Sums of one function over the rows: as the leaf, and counted once a row. */
struct sums {
    int64_t self, total;
};

struct check {
    struct told t; /* first: told's callback is called with it */
    const json_t *profile;
    const char *name;
    bool seen;
};

static bool is_function(const struct told *t, uint32_t frame, const char *name)
{
    const struct frame *f = symbols_get_frame(t->symbols, frame);
    uint32_t string = symbols_get_function(t->symbols, f->function)->name;

    return f->function && bytes_equal(symbols_text(t->symbols, string), bytes_str(name));
}

static struct sums sums_of(const struct told *t, const struct profile *p, const char *function)
{
    struct sums sums = {0};
    uint32_t frames[1024];

    for (uint32_t row = 0; row < p->n_rows; row++) {
        size_t n = stacks_frames(t->stacks, p->row_stack[row], frames, 1024);
        bool on_it = false;

        for (size_t i = 0; i < n; i++)
            on_it |= is_function(t, frames[i], function);
        sums.total += on_it ? p->values[0][row] : 0;
        sums.self += n && is_function(t, frames[0], function) ? p->values[0][row] : 0;
    }
    return sums;
}

static int64_t number(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);

    return json_is_string(v) ? strtoll(json_string_value(v), NULL, 10) : json_integer_value(v);
}

static void check_functions(const struct check *c, const struct profile *p)
{
    const json_t *f;
    size_t i;

    json_array_foreach(json_object_get(c->profile, "top_self"), i, f)
        assert_int_equal(sums_of(&c->t, p, json_string_value(json_object_get(f, "function"))).self,
                         number(f, "value"));
    json_array_foreach(json_object_get(c->profile, "top_total"), i, f)
        assert_int_equal(sums_of(&c->t, p, json_string_value(json_object_get(f, "function"))).total,
                         number(f, "value"));
}

static int on_profile(void *ctx, struct profile *p, const struct profile_about *about,
                      struct failure *f)
{
    struct check *c = ctx;

    (void)f;
    assert_false(c->seen);
    c->seen = true;
    assert_string_equal(about->format, "otlp");
    assert_int_equal(about->n_attributes, 0);
    assert_int_equal(profile_total(p, 0), number(c->profile, "total"));
    assert_int_equal(p->time_ns, number(c->profile, "time_unix_nano"));
    assert_int_equal(p->duration_ns, number(c->profile, "duration_nano"));
    assert_int_equal(p->period, number(c->profile, "period"));
    check_functions(c, p);
    return 0;
}

static void check_recording(const char *request, const char *expected)
{
    struct otlp_reader *r = otlp_reader_new();
    struct check c = {.name = request};
    json_t *root = json_load_file(expected, 0, NULL);

    assert_non_null(root);
    told_init(&c.t);
    c.t.rd.emit = on_profile;
    c.t.rd.ctx = &c;
    c.profile = json_array_get(
        json_object_get(json_array_get(json_object_get(root, "resource_profiles"), 0), "profiles"),
        0);
    read_message(r, &c.t, request);
    assert_true(c.seen);
    assert_int_equal(c.t.stats.samples, number(c.profile, "samples"));
    assert_string_equal(otlp_layout(r), "1.10");
    told_deinit(&c.t);
    json_decref(root);
    otlp_reader_free(r);
}

static void totals_are_what_pdata_reads(void **state)
{
    (void)state;
    if (absent())
        return;
    check_recording("async-profiler-4.5/request-otlp.http",
                    AGENTS "async-profiler-4.5/expected-otlp.json");
    check_recording("pyroscope-java-2.9.2/request-otlp.http",
                    AGENTS "pyroscope-java-2.9.2/expected-otlp.json");
    check_recording("otelcol-0.165.0/request.http", AGENTS "otelcol-0.165.0/expected.json");
    check_recording("otelcol-0.165.0/request-zstd.http",
                    AGENTS "otelcol-0.165.0/expected-zstd.json");
    check_recording("otelcol-0.165.0/request-json.http",
                    AGENTS "otelcol-0.165.0/expected-json.json");
    check_recording("otelcol-0.165.0/grpc-message.bin",
                    AGENTS "otelcol-0.165.0/expected-grpc.json");
}

static void one_upload_is_one_profile_however_it_is_sent(void **state)
{
    static const char *const others[] = {"request-zstd.http", "request-json.http",
                                         "grpc-message.bin"};
    struct otlp_reader *r = otlp_reader_new();
    struct told t;
    char *first;

    (void)state;
    told_init(&t);
    if (!absent()) {
        read_message(r, &t, "otelcol-0.165.0/request.http");
        first = strdup(buf_cstr(&t.text));
        for (unsigned i = 0; i < 3; i++) {
            char name[64];

            snprintf(name, sizeof name, "otelcol-0.165.0/%s", others[i]);
            read_message(r, &t, name);
            assert_string_equal(buf_cstr(&t.text), first);
        }
        free(first);
    }
    told_deinit(&t);
    otlp_reader_free(r);
}

/* --- async-profiler 4.3, which pdata reads as empty ---------------------------------------------
 */

/* Σ of field 2 of every Sample, by a plain walk: 1 → 2 → 2 → 2. */
static int64_t sum_of_values(struct bytes message, unsigned depth)
{
    static const uint64_t way[] = {1, 2, 2, 2};
    struct cursor c = cursor_of(message);
    struct pb_field f;
    int64_t sum = 0;

    while (pb_next(&c, &f) == PB_FIELD)
        if (depth == 4)
            sum += f.number == 2 && f.type == PB_VARINT ? (int64_t)f.value : 0;
        else if (f.number == way[depth] && f.type == PB_LEN)
            sum += sum_of_values(f.data, depth + 1);
    return sum;
}

static int on_profile_of_4_3(void *ctx, struct profile *p, const struct profile_about *about,
                             struct failure *f)
{
    struct check *c = ctx;
    struct sums a = sums_of(&c->t, p, "Demo.hotA"), b = sums_of(&c->t, p, "Demo.hotB");

    (void)about;
    (void)f;
    c->seen = true;
    assert_int_equal(p->n_types, 1);
    assert_int_equal(p->time_ns, 1795488423003009000);
    assert_int_equal(p->duration_ns, 6020457000);
    assert_true(profile_total(p, 0) > 100);
    /* The load is 7 : 3. */
    assert_true(a.self > b.self && b.self > 0);
    c->t.n_profiles = (unsigned)profile_total(p, 0);
    return 0;
}

static void layout_1_9_without_packing_is_not_taken_for_1_10(void **state)
{
    struct otlp_reader *r = otlp_reader_new();
    struct check c = {0};
    struct buf message;

    (void)state;
    told_init(&c.t);
    if (!absent()) {
        c.t.rd.emit = on_profile_of_4_3;
        c.t.rd.ctx = &c;
        read_message(r, &c.t, "async-profiler-4.3/request-otlp.http");
        assert_true(c.seen);
        assert_string_equal(otlp_layout(r), "1.8");
        assert_int_equal(c.t.stats.samples, 74);
        message = message_of(AGENTS "async-profiler-4.3/request-otlp.http");
        assert_int_equal(c.t.n_profiles, sum_of_values(buf_bytes(&message), 0));
        buf_deinit(&message);
    }
    told_deinit(&c.t);
    otlp_reader_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(totals_are_what_pdata_reads),
        cmocka_unit_test(one_upload_is_one_profile_however_it_is_sent),
        cmocka_unit_test(layout_1_9_without_packing_is_not_taken_for_1_10),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
