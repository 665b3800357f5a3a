/* OTLP from hand-built messages: every layout, every shape of a sample, and what is refused. */
#include "formats/otlp.h"
#include "formats/pprof.h"
#include "lib/reading.h"
#include "lib/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/*
 * Strings: 1 samples 2 count 3 cpu 4 nanoseconds 5 main 6 work 7 app.c 8 thread.name 9 span_id
 * 10 process.executable.build_id.gnu 11 libx.so 12 profile.frame.type 13 service.name 14 itimer
 * 15 ns 16 off_cpu 17 key.of.resource 18 its value. Stack 1: main;work:20, stack 2: main.
 * Attributes: 1 thread.name=a 2 span_id=00000000000000ff 3 build id 4 frame type cpython
 * 5 service.name=other 6 thread.name=b.
 */
#define STRINGS                                                                                    \
    "5\"\" 5\"samples\" 5\"count\" 5\"cpu\" 5\"nanoseconds\" 5\"main\" 5\"work\" 5\"app.c\" "      \
    "5\"thread.name\" 5\"span_id\" 5\"process.executable.build_id.gnu\" 5\"libx.so\" "             \
    "5\"profile.frame.type\" 5\"service.name\" 5\"itimer\" 5\"ns\" 5\"off_cpu\" "                  \
    "5\"key.of.resource\" 5\"its value\" "
#define ATTRIBUTES                                                                                 \
    "6{} 6{1:8 2{1\"a\"}} 6{1:9 2{1\"00000000000000ff\"}} 6{1:10 2{1\"deadbeef\"}} "               \
    "6{1:12 2{1\"cpython\"}} 6{1:13 2{1\"other\"}} 6{1:8 2{1\"b\"}} "
#define TABLES                                                                                     \
    "1{} 1{1:4096 2:8192 3:256 4:11 5[3]} "                                                        \
    "2{} 2{3{1:1 2:10}} 2{3{1:2 2:20}} 2{1:1 2:4100} 2{1:1 2:77 4[4]} "                            \
    "3{} 3{1:5 3:7} 3{1:6 3:7 4:19} "                                                              \
    "4{} 4{1#00000000000000010000000000000002 2#0000000000000003} "                                \
    "7{} 7{1[2 1]} 7{1[1]} 7{1[3 1]} 7{1[4 1]} "
#define DICTIONARY "2{" STRINGS ATTRIBUTES TABLES "} "
#define CPU        "1{1:3 2:4} "
#define TICKS      "1{1:1 2:2} 5{1:3 2:4} 6:100 "
#define WEB        "1{1{1\"service.name\" 2{1\"web\"}}} "

static struct told told;
static struct otlp_reader *reader;

static int set_up(void **state)
{
    (void)state;
    told_init(&told);
    reader = otlp_reader_new();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    otlp_reader_free(reader);
    told_deinit(&told);
    return 0;
}

static int read_wire(const char *message)
{
    struct buf raw = {0};
    int r;

    wire_write(message, &raw);
    told_reset(&told);
    r = otlp_read(reader, buf_bytes(&raw), &told.rd);
    buf_deinit(&raw);
    return r;
}

static void read_good(const char *message, const char *expected)
{
    if (read_wire(message))
        fail_msg("refused: %s", told.f.message);
    if (told.stats.profiles_refused)
        fail_msg("a profile was refused: %s", told.stats.refused_why);
    assert_string_equal(buf_cstr(&told.text), expected);
}

#define PROFILE(fields) DICTIONARY "1{" WEB "2{2{3@1000 4:50 " fields "}}}"

static void layout_1_10_is_read(void **state)
{
    (void)state;
    read_good(PROFILE(CPU "2{1:1 4[5]} 2{1:2 2[1] 4[7]}"),
              "service.name=web | cpu/nanoseconds | / 0 | 1000+50\n"
              "main:10 {thread.name=a} 7\n"
              "main:10;work:20 5\n");
    assert_string_equal(otlp_layout(reader), "1.10");
}

static void layouts_1_8_and_1_9_are_read(void **state)
{
    (void)state;
    read_good(PROFILE(CPU "2{1:1 2[5]} 2{1:2 2[7] 3[1] 4:1}"),
              "service.name=web | cpu/nanoseconds | / 0 | 1000+50\n"
              "main:10 {thread.name=a} <trace 1:2 root 0 span 3> 7\n"
              "main:10;work:20 5\n");
    assert_string_equal(otlp_layout(reader), "1.8");
    read_good(PROFILE(CPU "2{1:1 2[5]} 8#00112233445566778899aabbccddeeff 11\"payload\""),
              "service.name=web | cpu/nanoseconds | / 0 | 1000+50\nmain:10;work:20 5\n");
    assert_string_equal(otlp_layout(reader), "1.8");
}

static void values_that_are_not_packed_tell_the_layout_too(void **state)
{
    (void)state;
    read_good(PROFILE(CPU "2{1:1 4:5} 2{1:2 4:7}"),
              "service.name=web | cpu/nanoseconds | / 0 | 1000+50\nmain:10 7\nmain:10;work:20 5\n");
    assert_string_equal(otlp_layout(reader), "1.10");
    read_good(PROFILE(CPU "2{1:1 2:5} 2{1:2 2:7}"),
              "service.name=web | cpu/nanoseconds | / 0 | 1000+50\nmain:10 7\nmain:10;work:20 5\n");
    assert_string_equal(otlp_layout(reader), "1.8");
    /* Read as 1.8, attribute 1 would be a value, and 900 a link that is not there. */
    read_good(PROFILE(CPU "2{1:1 2:1 4:900} 2{1:2 4:7}"),
              "service.name=web | cpu/nanoseconds | / 0 | 1000+50\n"
              "main:10 7\nmain:10;work:20 {thread.name=a} 900\n");
    assert_string_equal(otlp_layout(reader), "1.10");
    read_good(PROFILE(CPU "2{1:1 2:900 3:1} 2{1:2 2:7 3:1 4:1}"),
              "service.name=web | cpu/nanoseconds | / 0 | 1000+50\n"
              "main:10 {thread.name=a} <trace 1:2 root 0 span 3> 7\n"
              "main:10;work:20 {thread.name=a} 900\n");
    assert_string_equal(otlp_layout(reader), "1.8");
}

static void timestamps_count_one_each_and_become_cpu_time(void **state)
{
    (void)state;
    read_good(PROFILE(TICKS "2{1:1 2[1] 5<1001 1002 1003>} 2{1:2 5<1004>} 2{1:2 5@1005}"),
              "service.name=web | samples/count cpu/nanoseconds | cpu/nanoseconds 100 | 1000+50\n"
              "main:10 2 200\n"
              "main:10;work:20 {thread.name=a} 3 300\n");
}

static void values_beside_timestamps_are_what_counts(void **state)
{
    (void)state;
    read_good(PROFILE("1{1:16 2:4} 2{1:1 4[30 40] 5<1001 1002>}"),
              "service.name=web | off_cpu/nanoseconds | / 0 | 1000+50\nmain:10;work:20 70\n");
}

static void ticks_stay_ticks_where_the_resource_has_the_time(void **state)
{
    (void)state;
    read_good(DICTIONARY "1{" WEB "2{2{" TICKS "2{1:1 4[3]}} 2{" CPU "2{1:1 4[300]}}}}",
              "service.name=web | samples/count | cpu/nanoseconds 100 | 0+0\nmain:10;work:20 3\n"
              "service.name=web | cpu/nanoseconds | / 0 | 0+0\nmain:10;work:20 300\n");
}

static void timers_of_async_profiler_are_cpu(void **state)
{
    (void)state;
    read_good(PROFILE("1{1:14 2:15} 5{1:14 2:15} 6:10 2{1:1 4:30}"),
              "service.name=web | itimer/nanoseconds | itimer/nanoseconds 10 | 1000+50\n"
              "main:10;work:20 30\n");
    read_good(PROFILE("1{1:14 2:2} 5{1:14 2:15} 6:10 2{1:1 4:3}"),
              "service.name=web | samples/count cpu/nanoseconds | cpu/nanoseconds 10 | 1000+50\n"
              "main:10;work:20 3 30\n");
}

static void dictionary_may_stand_anywhere_and_in_pieces(void **state)
{
    (void)state;
    read_good("2{" STRINGS "} 1{" WEB "2{2{" CPU "2{1:1 4[5]}}}} 2{" ATTRIBUTES "} 2{" TABLES "}",
              "service.name=web | cpu/nanoseconds | / 0 | 0+0\nmain:10;work:20 5\n");
}

static void attributes_are_read_inline_by_reference_and_both(void **state)
{
    (void)state;
    read_good(DICTIONARY "1{1{1{3:13 2{8:18}} 1{1\"k8s.pod.name\" 2{1\"p\"}} "
                         "1{1\"key.of.resource\" 3:17 2{8:18}} 1{1\"process.pid\" 2{3:77}} "
                         "1{1\"on\" 2{2:1}} 1{1\"list\" 2{5{1{1\"x\"}}}} 1{1\"none\"}} "
                         "2{1{1\"scope\" 3{1\"of.scope\" 2{1\"s\"}}} 2{" CPU "2{1:1 4[5]} 11[1]}}}",
              "service.name=its value k8s.pod.name=p key.of.resource=its value process.pid=77 "
              "on=true of.scope=s thread.name=a | cpu/nanoseconds | / 0 | 0+0\n"
              "main:10;work:20 5\n");
}

static void resource_without_a_service_has_none_or_its_executable_s(void **state)
{
    (void)state;
    read_good(DICTIONARY "1{2{2{" CPU "2{1:1 4[5]}}}}",
              "| cpu/nanoseconds | / 0 | 0+0\nmain:10;work:20 5\n");
    read_good(DICTIONARY "1{1{1{1\"process.executable.name\" 2{1\"java\"}}} 2{2{" CPU
                         "2{1:1 4[5]}}}}",
              "service.name=unknown_service:java process.executable.name=java "
              "| cpu/nanoseconds | / 0 | 0+0\nmain:10;work:20 5\n");
}

static void samples_may_name_a_service_of_their_own(void **state)
{
    (void)state;
    read_good(PROFILE(CPU "2{1:1 4[5]} 2{1:2 2[5 1] 4[7]} 2{1:1 4[1]} 2{1:2 2[5 1] 4[1]}"),
              "service.name=web | cpu/nanoseconds | / 0 | 1000+50\nmain:10;work:20 6\n"
              "service.name=other | cpu/nanoseconds | / 0 | 1000+50\n"
              "main:10 {thread.name=a} 8\n");
}

static void every_profile_is_emitted_by_itself(void **state)
{
    (void)state;
    read_good(DICTIONARY "1{" WEB "2{2{" CPU "2{1:1 4[5]}} 2{1{1:16 2:4} 2{1:1 2[1] 4[6]}}}} "
                         "1{1{1{1\"service.name\" 2{1\"db\"}}} 2{2{" CPU "2{1:2 2[1] 4[9]}}}}",
              "service.name=web | cpu/nanoseconds | / 0 | 0+0\nmain:10;work:20 5\n"
              "service.name=web | off_cpu/nanoseconds | / 0 | 0+0\n"
              "main:10;work:20 {thread.name=a} 6\n"
              "service.name=db | cpu/nanoseconds | / 0 | 0+0\nmain:10 {thread.name=a} 9\n");
    assert_int_equal(told.stats.samples, 3);
}

static void links_and_span_attributes_are_the_sample_s_span(void **state)
{
    const char *message = PROFILE(CPU "2{1:1 3:1 4[5]} 2{1:1 2[2] 4[6]} 2{1:1 4[7]}");

    (void)state;
    read_good(message, "service.name=web | cpu/nanoseconds | / 0 | 1000+50\n"
                       "main:10;work:20 7\n"
                       "main:10;work:20 <trace 0:0 root 0 span ff> 6\n"
                       "main:10;work:20 <trace 1:2 root 0 span 3> 5\n");
    told.rd.with_spans = false;
    read_good(message, "service.name=web | cpu/nanoseconds | / 0 | 1000+50\nmain:10;work:20 18\n");
    told.rd.with_spans = true;
}

static void address_is_identity_of_native_frames_only(void **state)
{
    (void)state;
    /* 4100 − 4096 + 256 = 0x104, whatever the address space was. */
    read_good(PROFILE(CPU "2{1:3 4[5]} 2{1:4 4[6]}"),
              "service.name=web | cpu/nanoseconds | / 0 | 1000+50\n"
              "main:10;[cpython] 6\nmain:10;libx.so+0x104 5\n");
}

static void mapping_has_its_build_id(void **state)
{
    (void)state;
    read_good(PROFILE(CPU "2{1:3 4[5]}"),
              "service.name=web | cpu/nanoseconds | / 0 | 1000+50\nmain:10;libx.so+0x104 5\n");
    assert_int_equal(symbols_n_mappings(told.symbols), 2);
    assert_memory_equal(
        symbols_text(told.symbols, symbols_get_mapping(told.symbols, 1)->build_id).data, "deadbeef",
        8);
}

static void inlined_frames_come_innermost_first(void **state)
{
    (void)state;
    read_good("2{5\"\" 5\"cpu\" 5\"ns\" 5\"inlined\" 5\"caller\" 3{} 3{1:3} 3{2:4} "
              "2{} 2{3{1:1 2:1} 3{1:2 2:2}} 7{} 7{1[1]}} 1{2{2{1{1:1 2:2} 2{1:1 4[5]}}}}",
              "| cpu/nanoseconds | / 0 | 0+0\ncaller:2;inlined:1 5\n");
}

static void profile_without_a_time_has_that_of_its_timestamps(void **state)
{
    (void)state;
    read_good(DICTIONARY "1{" WEB "2{2{" TICKS "2{1:1 5<3000 2000>} 2{1:2 5<2500>}}}}",
              "service.name=web | samples/count cpu/nanoseconds | cpu/nanoseconds 100 | 2000+1000\n"
              "main:10 1 100\nmain:10;work:20 2 200\n");
}

static void nothing_is_nothing(void **state)
{
    (void)state;
    read_good("", "");
    read_good(DICTIONARY, "");
    read_good(DICTIONARY "1{" WEB "2{2{" CPU "}}}", "");
    read_good("1{}", "");
    read_good(PROFILE(CPU "2{1:1 4[5]} 2{1:1 4[0]} 2{1:2}"),
              "service.name=web | cpu/nanoseconds | / 0 | 1000+50\nmain:10;work:20 5\n");
    assert_int_equal(told.stats.zero_samples, 2);
}

static void read_refused(const char *message, unsigned n, const char *why, const char *expected)
{
    if (read_wire(message))
        fail_msg("refused as a whole: %s", told.f.message);
    assert_int_equal(told.stats.profiles_refused, n);
    if (!strstr(told.stats.refused_why, why))
        fail_msg("\"%s\" does not say \"%s\"", told.stats.refused_why, why);
    assert_string_equal(buf_cstr(&told.text), expected);
}

static void older_layouts_are_refused_and_never_stored_empty(void **state)
{
    (void)state;
    /* 1.7: location_indices in Profile, time as a varint, samples with a range of them. */
    read_refused("2{5\"\" 5\"cpu\" 5\"ns\" 1{} 2{} 2{4{1:1}} 3{} 3{1:1} 6{1\"k\" 2{1\"v\"}}} "
                 "1{2{2{1{1:1 2:2} 2{1:0 2:1 3[5]} 3[1] 4:1000 5:50 6{1:1 2:2} 7:10}}}",
                 1, "1.7", "");
    assert_string_equal(otlp_layout(reader), "1.7");
    /* The same, without attributes, period, locations: only the sample is left to tell. */
    read_refused("2{5\"\" 5\"cpu\" 5\"ns\" 3{} 3{1:1}} 1{2{2{1{1:1 2:2} 2{1:0 2:1 3[5]}}}}", 1,
                 "1.7", "");
    /* 1.6: the tables at the top; 1.5: in each profile. */
    read_refused("1{2{2{1{1:1 2:2} 2{1:0 2:1 3[5]}}}} 2{} 3{} 4{} 6\"\" 6\"cpu\"", 1, "1.7", "");
    read_refused("1{2{2{1{1:1 2:2} 2{1:0 2:1 3[5]} 6\"\" 6\"cpu\"} 2{}}}", 2, "1.7", "");
    assert_int_equal(told.n_profiles, 0);
}

static void profile_that_does_not_fit_is_refused_and_the_others_count(void **state)
{
    static const char good[] = "service.name=web | cpu/nanoseconds | / 0 | 0+0\n"
                               "main:10;work:20 5\n";

    (void)state;
#define WITH_GOOD(bad) DICTIONARY "1{" WEB "2{2{" CPU bad "} 2{" CPU "2{1:1 4[5]}}}}"
    read_refused(WITH_GOOD("2{1:1 4[1]} 2{1:99 4[5]}"), 1, "stack 99 of 5", good);
    read_refused(WITH_GOOD("2{1:1 4[1]} 2{1:-1 4[5]}"), 1, "stack", good);
    read_refused(WITH_GOOD("2{1:1 4[1] 2[99]}"), 1, "attribute 99 of 7", good);
    read_refused(WITH_GOOD("2{1:1} 2{1:2}"), 1, "neither values nor timestamps", good);
    read_refused(DICTIONARY "1{" WEB "2{2{2{1:1 4[5]}} 2{" CPU "2{1:1 4[5]}}}}", 1,
                 "no sample type", good);
    read_refused("2{" STRINGS TABLES "7{1[99]}} 1{" WEB "2{2{" CPU "2{1:5 4[5]}} 2{" CPU
                 "2{1:1 4[5]}}}}",
                 1, "location 99 of 5", good);
    told.limits.depth_max = 1;
    read_refused(DICTIONARY "1{" WEB "2{2{" CPU "2{1:1 4[5]}} 2{" CPU "2{1:2 4[5]}}}}", 1,
                 "depth_max", "service.name=web | cpu/nanoseconds | / 0 | 0+0\nmain:10 5\n");
    told.limits = profile_limits_default;
    told.limits.labels_max = 1;
    read_refused(WITH_GOOD("2{1:1 2[1 6] 4[5]}"), 1, "labels_max", good);
    told.limits = profile_limits_default;
}

static void upload_is_refused_as_a_whole(void **state)
{
    static const struct {
        const char *message, *says;
    } cases[] = {
        {"1:1", "a message was expected"},
        {"2:1", "a message was expected"},
        {"2{1:1}", "a table"},
        {DICTIONARY "1{2:1}", "profiles of a resource"},
        {PROFILE("1:1"), "a profile"},
        {PROFILE(CPU "2{1:1 4[5] 5\"abc\"}"), "timestamps"},
        /* Unpacked, and no layout makes the indexes fit. */
        {PROFILE(CPU "2{1:1 2:900 3:900 4:900}"), "out of range"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (read_wire(cases[i].message) == 0)
            fail_msg("case %zu was accepted", i);
        assert_int_equal(told.f.status, 400);
        assert_string_equal(told.f.code, "malformed");
        if (!strstr(told.f.message, cases[i].says))
            fail_msg("\"%s\" does not say \"%s\"", told.f.message, cases[i].says);
    }
}

static void check_limit(uint32_t *limit, uint32_t max, const char *setting)
{
    uint32_t before = *limit;

    *limit = max;
    if (read_wire(PROFILE(CPU "2{1:1 2[1] 4[5]} 2{1:2 4[5]} 2{1:3 4[5]}")) == 0)
        fail_msg("not held against %s", setting);
    assert_string_equal(told.f.code, "limit_exceeded");
    assert_non_null(strstr(told.f.hint, setting));
    *limit = before;
}

static void every_count_is_held_against_its_limit(void **state)
{
    struct profile_limits *max = &told.limits;

    (void)state;
    check_limit(&max->samples_max, 2, "samples_max");
    check_limit(&max->strings_max, 3, "strings_max");
    check_limit(&max->locations_max, 2, "locations_max");
    check_limit(&max->functions_max, 1, "functions_max");
    check_limit(&max->lines_max, 1, "lines_max");
    check_limit(&max->nodes_max, 2, "stack_nodes_max");
}

static void truncation_anywhere_adds_no_garbage(void **state)
{
    struct buf raw = {0};

    (void)state;
    wire_write(PROFILE(TICKS "2{1:1 2[1] 4[5] 5<1001>} 2{1:2 3:1 4[7] 5<1002>}"), &raw);
    for (size_t len = 0; len < raw.len; len++) {
        uint8_t *copy = malloc(len + 1); /* so that AddressSanitizer sees a byte too far */

        memcpy(copy, raw.data, len);
        told_reset(&told);
        if (otlp_read(reader, bytes_of(copy, len), &told.rd) == 0)
            assert_int_equal(told.n_profiles, 0);
        free(copy);
    }
    buf_deinit(&raw);
}

/* A location of many inlined lines costs a byte wherever it is named: bounded by the bytes sent. */
static void frames_cannot_be_multiplied_by_inlining(void **state)
{
    struct buf text = {0};

    (void)state;
    buf_append_str(&text, "2{5\"\" 5\"cpu\" 5\"ns\" 3{} 3{1:1} 2{} 2{");
    for (unsigned i = 0; i < 200; i++)
        buf_append_str(&text, "3{1:1} ");
    buf_append_str(&text, "} 7{} ");
    for (unsigned i = 0; i < 200; i++)
        buf_append_str(&text, "7{1[1 1 1 1 1 1 1 1 1 1]} ");
    buf_append_str(&text, "} 1{2{2{1{1:1 2:2} ");
    for (unsigned i = 1; i <= 200; i++)
        buf_printf(&text, "2{1:%u 4[1]} ", i);
    buf_append_str(&text, "}}}");
    assert_int_equal(read_wire(buf_cstr(&text)), FAILURE);
    assert_string_equal(told.f.code, "limit_exceeded");
    buf_deinit(&text);
}

static bool looks_like_otlp(const char *message)
{
    struct buf raw = {0};
    bool is;

    wire_write(message, &raw);
    is = is_otlp(buf_bytes(&raw));
    buf_deinit(&raw);
    return is;
}

static void otlp_is_told_from_pprof(void **state)
{
    (void)state;
    assert_true(looks_like_otlp(PROFILE(CPU "2{1:1 4[5]}")));
    assert_true(looks_like_otlp("1{2{2{}}}"));
    assert_true(looks_like_otlp("1{" WEB "2{}} " DICTIONARY));
    assert_false(looks_like_otlp("1{1:1 2:2} 2{1[1 2] 2[5]} 4{1:1} 6\"\" 6\"cpu\""));
    assert_false(looks_like_otlp("2{1[1 2] 2[5] 3{1:1 2:2}}"));
    assert_false(looks_like_otlp(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layout_1_10_is_read),
        cmocka_unit_test(layouts_1_8_and_1_9_are_read),
        cmocka_unit_test(values_that_are_not_packed_tell_the_layout_too),
        cmocka_unit_test(timestamps_count_one_each_and_become_cpu_time),
        cmocka_unit_test(values_beside_timestamps_are_what_counts),
        cmocka_unit_test(ticks_stay_ticks_where_the_resource_has_the_time),
        cmocka_unit_test(timers_of_async_profiler_are_cpu),
        cmocka_unit_test(dictionary_may_stand_anywhere_and_in_pieces),
        cmocka_unit_test(attributes_are_read_inline_by_reference_and_both),
        cmocka_unit_test(resource_without_a_service_has_none_or_its_executable_s),
        cmocka_unit_test(samples_may_name_a_service_of_their_own),
        cmocka_unit_test(every_profile_is_emitted_by_itself),
        cmocka_unit_test(links_and_span_attributes_are_the_sample_s_span),
        cmocka_unit_test(address_is_identity_of_native_frames_only),
        cmocka_unit_test(mapping_has_its_build_id),
        cmocka_unit_test(inlined_frames_come_innermost_first),
        cmocka_unit_test(profile_without_a_time_has_that_of_its_timestamps),
        cmocka_unit_test(nothing_is_nothing),
        cmocka_unit_test(older_layouts_are_refused_and_never_stored_empty),
        cmocka_unit_test(profile_that_does_not_fit_is_refused_and_the_others_count),
        cmocka_unit_test(upload_is_refused_as_a_whole),
        cmocka_unit_test(every_count_is_held_against_its_limit),
        cmocka_unit_test(truncation_anywhere_adds_no_garbage),
        cmocka_unit_test(frames_cannot_be_multiplied_by_inlining),
        cmocka_unit_test(otlp_is_told_from_pprof),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
