#include "formats/reader.h"
#include "lib/build.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void labels_are_known_in_every_agent_s_spelling(void **state)
{
    static const struct {
        const char *key;
        enum label_kind kind;
    } cases[] = {
        {"span id", LABEL_SPAN},
        {"span_id", LABEL_SPAN},
        {"profile_id", LABEL_SPAN},
        {"spanId", LABEL_SPAN},
        {"local root span id", LABEL_ROOT_SPAN},
        {"localRootSpanId", LABEL_ROOT_SPAN},
        {"trace id", LABEL_TRACE},
        {"trace_id", LABEL_TRACE},
        {"trace endpoint", LABEL_ENDPOINT},
        {"span_name", LABEL_ENDPOINT},
        {"spanName", LABEL_ENDPOINT},
        {"end_timestamp_ns", LABEL_SET_ASIDE},
        {"timestamps", LABEL_SET_ASIDE},
        {"timestamp_ns", LABEL_SET_ASIDE},
        {"thread id", LABEL_SET_ASIDE},
        {"thread native id", LABEL_SET_ASIDE},
        {"os thread id", LABEL_SET_ASIDE},
        {"async id", LABEL_SET_ASIDE},
        {"bytes", LABEL_SET_ASIDE},
        {"address", LABEL_SET_ASIDE},
        {"thread name", LABEL_IDENTITY},
        {"class name", LABEL_IDENTITY},
        {"exception type", LABEL_IDENTITY},
        {"lock name", LABEL_IDENTITY},
        {"span", LABEL_IDENTITY},
        {"span id ", LABEL_IDENTITY},
        {"", LABEL_IDENTITY},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (label_kind_of(bytes_str(cases[i].key)) != cases[i].kind)
            fail_msg("\"%s\" is taken for %d", cases[i].key,
                     label_kind_of(bytes_str(cases[i].key)));
}

static void span_ids_are_decimal_or_sixteen_hex_digits(void **state)
{
    static const struct {
        const char *text;
        uint64_t id;
    } good[] = {
        {"0", 0},
        {"1234567890", 1234567890},
        {"18446744073709551615", UINT64_MAX},
        {"00000000000000ff", 0xff},
        {"FFfffffffffffffe", UINT64_MAX - 1},
        {"1000000000000000", UINT64_C(0x1000000000000000)},
    };
    static const char *const bad[] = {"",
                                      "x",
                                      "18446744073709551616",
                                      "-1",
                                      "1 ",
                                      "ff",
                                      "0x1",
                                      "000000000000000g",
                                      "00000000000000000000000000000001"};
    uint64_t id = 77;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (span_id_parse(bytes_str(bad[i]), &id) != -1 || id != 77)
            fail_msg("\"%s\" is taken for a span id", bad[i]);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(span_id_parse(bytes_str(good[i].text), &id), 0);
        assert_int_equal(id, good[i].id);
    }
}

static void trace_ids_have_two_halves(void **state)
{
    uint64_t hi = 7, lo = 7;

    (void)state;
    assert_int_equal(trace_id_parse(BYTES_LIT("0123456789abcdef00000000000000ff"), &hi, &lo), 0);
    assert_int_equal(hi, UINT64_C(0x0123456789abcdef));
    assert_int_equal(lo, 0xff);
    assert_int_equal(trace_id_parse(BYTES_LIT("42"), &hi, &lo), 0);
    assert_int_equal(hi, 0);
    assert_int_equal(lo, 42);
    assert_int_equal(trace_id_parse(BYTES_LIT("0123456789abcdef00000000000000fg"), &hi, &lo), -1);
    assert_int_equal(trace_id_parse(BYTES_LIT("g123456789abcdef00000000000000ff"), &hi, &lo), -1);
    assert_int_equal(lo, 42);
}

struct emitted {
    uint32_t n_rows, n_types, stack;
    int result;
};

static int note(void *ctx, struct profile *p, const struct profile_about *about, struct failure *f)
{
    struct emitted *e = ctx;

    assert_string_equal(about->format, "test");
    e->n_rows = p->n_rows;
    e->n_types = p->n_types;
    return e->result ? (fail)(f, 400, "no", NULL, "no") : 0;
}

static void what_was_emitted_is_gone_but_for_its_names(void **state)
{
    struct symbols *symbols = symbols_new();
    struct stacks *stacks = stacks_new();
    struct decode_stats stats = {0};
    struct emitted e = {0};
    struct failure f = {0};
    struct profile p;
    const struct profile_about about = {.format = "test"};
    struct reading rd = {.into = &p, .stats = &stats, .emit = note, .ctx = &e, .f = &f};
    struct sample_type type;
    uint32_t name;

    (void)state;
    profile_init(&p, symbols, stacks);
    name = symbols_string(symbols, BYTES_LIT("cpu"));
    type = (struct sample_type){name, name};
    assert_int_equal(profile_set_types(&p, &type, 1), 0);
    profile_add(&p, stacks_intern(stacks, NULL, 0), 0, (int64_t[]){5});
    p.time_ns = 9;
    assert_int_equal(reading_emit(&rd, &about), 0);
    assert_int_equal(e.n_rows, 1);
    assert_int_equal(e.n_types, 1);
    assert_int_equal(p.n_rows, 0);
    assert_int_equal(p.n_types, 0);
    assert_int_equal(p.time_ns, 0);
    assert_int_equal(symbols_string(symbols, BYTES_LIT("cpu")), name);
    e.result = 1;
    assert_int_equal(reading_emit(&rd, &about), FAILURE);
    assert_string_equal(f.code, "no");
    profile_deinit(&p);
    stacks_free(stacks);
    symbols_free(symbols);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_are_known_in_every_agent_s_spelling),
        cmocka_unit_test(span_ids_are_decimal_or_sixteen_hex_digits),
        cmocka_unit_test(trace_ids_have_two_halves),
        cmocka_unit_test(what_was_emitted_is_gone_but_for_its_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
