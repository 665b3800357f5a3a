/*
 * OTLP uploads made to hurt: small on the wire and large, slow or deep in a careless reader. Each
 * is read in a process of its own, with little memory and little time.
 */
#include "base/hash.h"
#include "formats/otlp.h"
#include "lib/reading.h"
#include "lib/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { MEMORY_MAX = 400 << 20, SECONDS_MAX = 20, UPLOAD_BYTES = 8 << 20 };

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 }; /* whose own memory no limit allows */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif
#else
enum { SANITIZED = 0 };
#endif

static int ignore(void *ctx, struct profile *p, const struct profile_about *about,
                  struct failure *f)
{
    (void)ctx, (void)p, (void)about, (void)f;
    return 0;
}

/* Returns 0 (read), 1 (refused) to the parent. */
static int read_limited(struct bytes raw, bool json)
{
    struct rlimit memory = {MEMORY_MAX, MEMORY_MAX};
    struct otlp_reader *r = otlp_reader_new();
    struct told t;
    int e;

    if (!SANITIZED)
        setrlimit(RLIMIT_AS, &memory);
    alarm(SANITIZED ? 10 * SECONDS_MAX : SECONDS_MAX);
    told_init(&t);
    t.rd.emit = ignore;
    e = json ? otlp_read_json(r, raw, &t.rd) : otlp_read(r, raw, &t.rd);
    if (e && (t.f.status < 400 || !t.f.code[0]))
        return 2;
    return e;
}

/* What came of it: 0, FAILURE, or something worse. */
static int fate_of(struct buf *raw, bool json)
{
    pid_t child = fork();
    int status = 0;

    if (child == 0)
        _exit(read_limited(buf_bytes(raw), json));
    assert_true(child > 0);
    waitpid(child, &status, 0);
    buf_deinit(raw);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

static void repeat(struct buf *out, const char *wire, size_t bytes)
{
    struct buf one = {0};

    wire_write(wire, &one);
    while (out->len < bytes)
        buf_append_bytes(out, buf_bytes(&one));
    buf_deinit(&one);
}

/* Closes the bytes of inner into a message of field number. */
static void wrap(struct buf *inner, unsigned number)
{
    struct buf out = {0};

    buf_varint(&out, (uint64_t)number << 3 | 2);
    buf_varbytes(&out, buf_bytes(inner));
    buf_deinit(inner);
    *inner = out;
}

#define TABLES "5\"\" 5\"cpu\" 5\"ns\" 5\"main\" 3{} 3{1:3} 2{} 2{3{1:1 2:10}} 7{} 7{1[1]} "

static void many_tiny_table_entries(void **state)
{
    static const char *const entries[] = {"1{}", "2{}", "3{}", "4{}", "5\"\"", "6{}", "7{}"};

    (void)state;
    for (unsigned i = 0; i < 7; i++) {
        struct buf raw = {0};

        repeat(&raw, entries[i], UPLOAD_BYTES);
        wrap(&raw, 2);
        assert_int_equal(fate_of(&raw, false), FAILURE);
    }
}

static void many_tiny_profiles_and_samples(void **state)
{
    static const char *const profiles[] = {"2{}", "2{2{}}", "2{1{1:1 2:2} 2{}}",
                                           "2{1{1:1 2:2} 2{1:99 4:1}}"};

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct buf raw = {0}, tables = {0};

        repeat(&raw, profiles[i], UPLOAD_BYTES);
        wrap(&raw, 2);
        wrap(&raw, 1);
        wire_write("2{" TABLES "}", &tables);
        buf_append_bytes(&raw, buf_bytes(&tables));
        buf_deinit(&tables);
        assert_in_range(fate_of(&raw, false), 0, FAILURE);
    }
}

/* Every sample another service: each would be a profile. */
static void many_services_of_samples(void **state)
{
    struct buf dictionary = {0}, samples = {0}, raw = {0};

    (void)state;
    wire_write(TABLES "5\"service.name\" 6{}", &dictionary);
    wire_write("1{1:1 2:2} ", &samples);
    for (unsigned i = 1; i < 300000; i++) {
        char text[64];

        snprintf(text, sizeof text, "6{1:4 2{1\"s%u\"}}", i);
        wire_write(text, &dictionary);
        snprintf(text, sizeof text, "2{1:1 2[%u] 4[1]}", i);
        wire_write(text, &samples);
    }
    wrap(&dictionary, 2);
    wrap(&samples, 2);
    wrap(&samples, 2);
    wrap(&samples, 1);
    buf_append_bytes(&raw, buf_bytes(&dictionary));
    buf_append_bytes(&raw, buf_bytes(&samples));
    buf_deinit(&dictionary);
    buf_deinit(&samples);
    assert_in_range(fate_of(&raw, false), 0, FAILURE);
}

static void deep_values(void **state)
{
    struct buf value = {0}, raw = {0};

    (void)state;
    for (unsigned i = 0; i < 5000; i++) {
        wrap(&value, 1); /* ArrayValue.values */
        wrap(&value, 5); /* AnyValue.array_value */
    }
    wrap(&value, 2); /* KeyValue.value */
    wrap(&value, 1); /* Resource.attributes */
    wrap(&value, 1);
    wrap(&value, 1);
    wire_write("2{" TABLES "}", &raw);
    buf_append_bytes(&raw, buf_bytes(&value));
    buf_deinit(&value);
    assert_int_equal(fate_of(&raw, false), 0);
}

/* One attribute that takes long to read, referred to by every mapping, location and sample. */
static void heavy_attribute_behind_many_references(void **state)
{
    struct buf heavy = {0}, dictionary = {0}, raw = {0};

    (void)state;
    repeat(&heavy, "3:1", 1 << 20);
    wrap(&heavy, 2);
    wrap(&heavy, 6);
    wire_write(TABLES, &dictionary);
    buf_append_bytes(&dictionary, buf_bytes(&heavy));
    repeat(&dictionary, "1{5[0]}", dictionary.len + (1 << 20));
    wrap(&dictionary, 2);
    buf_append_bytes(&raw, buf_bytes(&dictionary));
    repeat(&raw, "1{2{2{1{1:1 2:2} 2{1:1 4[1]} 11[0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0]}}}",
           UPLOAD_BYTES);
    buf_deinit(&heavy);
    buf_deinit(&dictionary);
    assert_int_equal(fate_of(&raw, false), FAILURE);
}

/* A long text that all labels have as key and value. */
static void long_text_behind_many_references(void **state)
{
    struct buf text = {0}, dictionary = {0}, samples = {0}, raw = {0};
    unsigned n = 1;

    (void)state;
    wire_write("1{1:4 2:4}", &samples);
    while (text.len < 1 << 20)
        buf_append_str(&text, "x\xff");
    wrap(&text, 5);
    wire_write(TABLES, &dictionary);
    buf_append_bytes(&dictionary, buf_bytes(&text));
    repeat(&dictionary, "6{1:4 2{8:4}}", UPLOAD_BYTES / 4);
    wrap(&dictionary, 2);
    buf_append_bytes(&raw, buf_bytes(&dictionary));
    while (samples.len < UPLOAD_BYTES / 4) {
        char sample[64];

        snprintf(sample, sizeof sample, "2{1:1 2[%u] 4[1]}", n++);
        wire_write(sample, &samples);
    }
    wrap(&samples, 2);
    wrap(&samples, 2);
    wire_write("1{1{3:4 2{8:4}}}", &samples);
    wrap(&samples, 1);
    buf_append_bytes(&raw, buf_bytes(&samples));
    buf_deinit(&text);
    buf_deinit(&dictionary);
    buf_deinit(&samples);
    assert_in_range(fate_of(&raw, false), 0, FAILURE);
}

static void stacks_of_many_frames(void **state)
{
    struct buf stack = {0}, dictionary = {0}, raw = {0};

    (void)state;
    repeat(&stack, "1:1", UPLOAD_BYTES / 2); /* one stack, eight million frames */
    wrap(&stack, 7);
    wire_write(TABLES, &dictionary);
    buf_append_bytes(&dictionary, buf_bytes(&stack));
    wrap(&dictionary, 2);
    buf_append_bytes(&raw, buf_bytes(&dictionary));
    repeat(&raw, "1{2{2{1{1:1 2:2} 2{1:2 4[1]}}}}", UPLOAD_BYTES); /* in half a million profiles */
    buf_deinit(&stack);
    buf_deinit(&dictionary);
    assert_in_range(fate_of(&raw, false), 0, FAILURE);
}

static void json_of_nothing_but_nesting_or_elements(void **state)
{
    static const char *const pieces[][2] = {
        {"", "["},
        {"", "{\"a\":"},
        {"{\"resourceProfiles\":[", "{},"},
        {"{\"dictionary\":{\"stringTable\":[", "\"\","},
        {"{\"dictionary\":{\"stackTable\":[{\"locationIndices\":[", "1,"},
    };

    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        struct buf raw = {0};

        buf_append_str(&raw, pieces[i][0]);
        while (raw.len < UPLOAD_BYTES)
            buf_append_str(&raw, pieces[i][1]);
        assert_int_equal(fate_of(&raw, true), FAILURE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_tiny_table_entries),
        cmocka_unit_test(many_tiny_profiles_and_samples),
        cmocka_unit_test(many_services_of_samples),
        cmocka_unit_test(deep_values),
        cmocka_unit_test(heavy_attribute_behind_many_references),
        cmocka_unit_test(long_text_behind_many_references),
        cmocka_unit_test(stacks_of_many_frames),
        cmocka_unit_test(json_of_nothing_but_nesting_or_elements),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
