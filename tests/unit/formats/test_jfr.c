#include "formats/jfr.h"
#include "formats/jfr/names.h"
#include "formats/jfr/settings.h"
#include "lib/jfr_build.h"
#include "lib/reading.h"

#include <sys/resource.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct fixture {
    struct told told;
    struct jfr_reader *reader;
    struct recording rec;
};

static int setup(void **state)
{
    struct fixture *x = calloc(1, sizeof *x);

    told_init(&x->told);
    x->reader = jfr_reader_new();
    *state = x;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *x = *state;

    told_deinit(&x->told);
    jfr_reader_free(x->reader);
    buf_deinit(&x->rec.out);
    free(x);
    return 0;
}

static int read_bytes(struct fixture *x, struct bytes raw)
{
    uint8_t *exact = malloc(raw.len ? raw.len : 1); /* ASan then sees a read past the end */
    int e;

    memcpy(exact, raw.data ? raw.data : (const uint8_t *)"", raw.len);
    told_reset(&x->told);
    e = jfr_read(x->reader, bytes_of(exact, raw.len), &x->told.rd);
    free(exact);
    return e;
}

static void assert_read(struct fixture *x, const char *expected)
{
    if (read_bytes(x, buf_bytes(&x->rec.out)) != 0)
        fail_msg("%s", x->told.f.message);
    assert_string_equal(buf_cstr(&x->told.text), expected);
}

static void assert_refused(struct fixture *x, const char *code)
{
    assert_int_equal(read_bytes(x, buf_bytes(&x->rec.out)), FAILURE);
    assert_int_equal(x->told.f.status, 400);
    assert_string_equal(x->told.f.code, code);
    assert_int_equal(x->told.n_profiles, 0);
}

/* The types that every recording has, and stacks: 1 is Main.main:3, 2 Main.work:7 under it, 3 the
 * same at line 8. Classes, methods and symbols have ids that only 64 bits hold. */
#define TYPES                                                                                      \
    "1 boolean 2 byte 3 int 4 long 5 float 6 java.lang.String 7 short 8 double "                   \
    "10 jdk.types.Symbol string:6 "                                                                \
    "11 java.lang.Class classLoader:@13 name:@10 modifiers:3 "                                     \
    "12 jdk.types.Method type:@11 name:@10 modifiers:3 hidden:1 "                                  \
    "13 jdk.types.ClassLoader name:@10 "                                                           \
    "14 jdk.types.StackFrame method:@12 lineNumber:3 bytecodeIndex:3 type:@16 "                    \
    "15 jdk.types.StackTrace truncated:1 frames:14[] "                                             \
    "16 jdk.types.FrameType description:6 17 jdk.types.ThreadState name:6 "                        \
    "18 java.lang.Thread osName:6 "
#define SAMPLE  "100 jdk.ExecutionSample startTime:4 sampledThread:@18 stackTrace:@15 state:@17 "
#define SETTING "101 jdk.ActiveSetting startTime:4 id:4 name:6 value:6 "
#define SYMBOLS                                                                                    \
    "10L 3  9223372036854775807L 'Main'  21L 'main'  22L 'work' "                                  \
    "11L 1  18446744073709551615L 0L 9223372036854775807L 1 "
#define STACKS                                                                                     \
    "12L 2  4611686018427387904L 18446744073709551615L 21L 1 0B  5L 18446744073709551615L 22L 1 "  \
    "0B "                                                                                          \
    "15L 3  1L 0B 1  4611686018427387904L 3 0 0L "                                                 \
    "2L 0B 2  5L 7 0 0L  4611686018427387904L 3 0 0L "                                             \
    "3L 0B 2  5L 8 0 0L  4611686018427387904L 3 0 0L "
#define STATES   "17L 2  1L 'STATE_RUNNABLE'  2L 'STATE_SLEEPING' "
#define POOLS    SYMBOLS STACKS STATES
#define N_POOLS  5
#define INTERVAL "0L 100L 'interval' '1000'"

static void begin_with(struct fixture *x, unsigned flags, const char *classes)
{
    struct buf all = {0};

    buf_append_str(&all, TYPES SAMPLE SETTING);
    buf_append_str(&all, classes);
    recording_chunk(&x->rec, flags);
    recording_classes(&x->rec, buf_cstr(&all));
    recording_pools(&x->rec, N_POOLS, POOLS);
    recording_event(&x->rec, 101, INTERVAL);
    buf_deinit(&all);
}

static void begin(struct fixture *x, const char *classes)
{
    begin_with(x, 0, classes);
}

#define CPU_HEADER "| cpu/nanoseconds | cpu/nanoseconds 1000 | 1000000000+2000000000\n"

static void samples_of_a_stack_are_added_up(void **state)
{
    struct fixture *x = *state;

    begin(x, "");
    recording_event(&x->rec, 100, "1L 0L 1L 1L");
    recording_event(&x->rec, 100, "2L 0L 2L 1L");
    recording_event(&x->rec, 100, "3L 0L 2L 1L");
    recording_event(&x->rec, 100, "4L 0L 3L 1L");
    recording_end(&x->rec);
    assert_read(x, CPU_HEADER "Main.main:3 1000\n"
                              "Main.main:3;Main.work:7 2000\n"
                              "Main.main:3;Main.work:8 1000\n");
    assert_int_equal(x->told.stats.samples, 4);
    assert_int_equal(x->told.stats.events_skipped, 0);
}

static void integers_need_not_be_compressed(void **state)
{
    struct fixture *x = *state;

    begin_with(x, RECORDING_UNCOMPRESSED, "");
    recording_event(&x->rec, 100, "1L 0L 2L 1L");
    recording_end(&x->rec);
    assert_read(x, CPU_HEADER "Main.main:3;Main.work:7 1000\n");
}

static void pools_and_metadata_may_stand_behind_the_events(void **state)
{
    struct fixture *x = *state;

    recording_chunk(&x->rec, 0);
    recording_event(&x->rec, 100, "1L 0L 2L 1L");
    recording_pools(&x->rec, 1, STATES);
    recording_event(&x->rec, 101, INTERVAL);
    recording_event(&x->rec, 100, "1L 0L 3L 1L");
    recording_classes(&x->rec, TYPES SAMPLE SETTING);
    recording_pools(&x->rec, 4, SYMBOLS STACKS);
    recording_end(&x->rec);
    assert_read(x, CPU_HEADER "Main.main:3;Main.work:7 1000\n"
                              "Main.main:3;Main.work:8 1000\n");
}

static void of_a_key_given_twice_the_first_holds(void **state)
{
    struct fixture *x = *state;

    begin(x, "");
    recording_pools(&x->rec, 1, "10L 1  22L 'other' ");
    recording_event(&x->rec, 100, "1L 0L 2L 1L");
    recording_end(&x->rec);
    assert_read(x, CPU_HEADER "Main.main:3;Main.work:7 1000\n");
}

static void chunks_have_type_ids_of_their_own(void **state)
{
    struct fixture *x = *state;

    begin(x, "");
    recording_event(&x->rec, 100, "1L 0L 1L 1L");
    recording_end(&x->rec);
    recording_chunk(&x->rec, 0);
    recording_classes(&x->rec, TYPES "100 jdk.ActiveSetting id:4 name:6 value:6 "
                                     "101 jdk.ExecutionSample stackTrace:@15 state:@17 ");
    recording_pools(&x->rec, 3, SYMBOLS "15L 0");
    recording_pools(&x->rec, 2, STACKS);
    recording_event(&x->rec, 101, "1L 1L");
    recording_event(&x->rec, 100, "101L 'period' '3 us'");
    recording_end(&x->rec);
    assert_read(x, "| cpu/nanoseconds | cpu/nanoseconds 3000 | 1000000000+2000000000\n"
                   "Main.main:3 4000\n");
}

static void chunks_that_are_not_finished_are_skipped(void **state)
{
    struct fixture *x = *state;
    size_t unfinished;

    begin(x, "");
    recording_event(&x->rec, 100, "1L 0L 1L 1L");
    recording_end(&x->rec);
    unfinished = x->rec.out.len;
    begin(x, "");
    recording_event(&x->rec, 100, "1L 0L 2L 1L");
    recording_end(&x->rec);
    put_at(&x->rec, 16, 0);
    begin(x, "");
    recording_event(&x->rec, 100, "1L 0L 3L 1L");
    recording_end(&x->rec);
    assert_read(x, CPU_HEADER "Main.main:3 1000\nMain.main:3;Main.work:8 1000\n");
    assert_int_equal(x->told.stats.events_skipped, 1);

    put_at(&x->rec, 8, 1 << 30); /* as async-profiler begins a chunk */
    assert_read(x, CPU_HEADER "Main.main:3 1000\n");
    assert_int_equal(x->told.stats.events_skipped, 2);

    x->rec.out.len = unfinished;
    x->rec.begin = 0;
    put_at(&x->rec, 8, 1 << 30);
    assert_refused(x, "malformed");
}

static void strings_are_read_in_all_their_encodings(void **state)
{
    static const char *const spellings[] = {
        "'caf\xc3\xa9'",
        "L'caf\xe9'",
        "C'caf\xe9'",
        "&77",
    };
    struct fixture *x = *state;

    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++) {
        char pools[200];

        snprintf(pools, sizeof pools,
                 "6L 2  77L C'caf\xe9' 78L ~  10L 2  1L %s 2L =  11L 1  1L 0L 1L 0  "
                 "12L 1  1L 1L 1L 0 0B  15L 1  1L 0B 1 1L 0 0 0L",
                 spellings[i]);
        buf_reset(&x->rec.out);
        recording_chunk(&x->rec, i % 2 ? RECORDING_UNCOMPRESSED : 0);
        recording_classes(&x->rec, TYPES SAMPLE SETTING);
        recording_event(&x->rec, 101, INTERVAL);
        recording_pools(&x->rec, 5, pools);
        recording_event(&x->rec, 100, "1L 0L 1L 0L");
        recording_end(&x->rec);
        assert_read(x, CPU_HEADER "caf\xc3\xa9.caf\xc3\xa9 1000\n");
    }
}

/* Two units above 0xffff are one character; a half alone is no character. */
static void characters_beyond_16_bits_are_pairs(void **state)
{
    static const char pools[] = "10L 1  1L 4B 4 55357S 56832S 55357S 97S  11L 0  12L 1  1L 0L 1L 0 "
                                "0B  15L 1  1L 0B 1 1L 0 0 0L";
    struct fixture *x = *state;

    for (unsigned flags = 0; flags < 2; flags++) {
        buf_reset(&x->rec.out);
        recording_chunk(&x->rec, flags);
        recording_classes(&x->rec, TYPES SAMPLE SETTING);
        recording_event(&x->rec, 101, INTERVAL);
        recording_pools(&x->rec, 4, pools);
        recording_event(&x->rec, 100, "1L 0L 1L 0L");
        recording_end(&x->rec);
        assert_read(x, CPU_HEADER "\xf0\x9f\x98\x80\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
                                  "a 1000\n");
        assert_int_equal(x->told.stats.utf8_repaired, 1);
    }
}

static void what_sleeps_takes_no_cpu(void **state)
{
    struct fixture *x = *state;

    begin(x, "");
    recording_event(&x->rec, 100, "1L 0L 1L 1L");
    recording_event(&x->rec, 100, "1L 0L 1L 2L");
    recording_end(&x->rec);
    assert_read(x, CPU_HEADER "Main.main:3 1000\n");
    assert_int_equal(x->told.stats.events_skipped, 1);
}

static void samples_of_the_wall_clock_are_wall_time(void **state)
{
    struct fixture *x = *state;

    begin(x, "");
    recording_event(&x->rec, 101, "0L 0L 'event' 'wall'");
    recording_event(&x->rec, 100, "1L 0L 1L 1L");
    recording_event(&x->rec, 100, "1L 0L 1L 2L");
    recording_end(&x->rec);
    assert_read(x, CPU_HEADER "Main.main:3 1000\n"
                              "| wall/nanoseconds | wall/nanoseconds 1000 | 1000000000+2000000000\n"
                              "Main.main:3 2000\n");
}

static void a_wall_clock_sample_stands_for_many(void **state)
{
    struct fixture *x = *state;

    begin(x, "102 profiler.WallClockSample stackTrace:@15 state:@17 samples:3 ");
    recording_event(&x->rec, 101, "0L 0L 'wall' '20000'");
    recording_event(&x->rec, 102, "1L 2L 5");
    recording_end(&x->rec);
    assert_read(x, "| wall/nanoseconds | wall/nanoseconds 20000 | 1000000000+2000000000\n"
                   "Main.main:3 100000\n");
}

static void a_wall_clock_sample_that_runs_is_cpu_where_nothing_else_is(void **state)
{
    struct fixture *x = *state;

    begin(x, "102 profiler.WallClockSample stackTrace:@15 state:@17 samples:3 ");
    recording_event(&x->rec, 101, "0L 0L 'event' 'wall'");
    recording_event(&x->rec, 102, "1L 1L 2");
    recording_event(&x->rec, 102, "1L 2L 3");
    recording_end(&x->rec);
    assert_read(x, CPU_HEADER "Main.main:3 2000\n"
                              "| wall/nanoseconds | wall/nanoseconds 1000 | 1000000000+2000000000\n"
                              "Main.main:3 5000\n");
}

static void other_events_are_not_called_cpu(void **state)
{
    struct fixture *x = *state;

    begin(x, "");
    recording_event(&x->rec, 101, "0L 0L 'event' 'cache-misses'");
    recording_event(&x->rec, 100, "1L 0L 1L 1L");
    recording_end(&x->rec);
    assert_read(x, "| cache-misses/count | / 1000 | 1000000000+2000000000\nMain.main:3 1000\n");
}

static void intervals_that_are_not_told_are_the_profilers_defaults(void **state)
{
    struct fixture *x = *state;

    recording_chunk(&x->rec, 0);
    recording_classes(&x->rec, TYPES SAMPLE SETTING "105 datadog.MethodSample stackTrace:@15 ");
    recording_pools(&x->rec, N_POOLS, POOLS);
    recording_event(&x->rec, 101, "0L 100L 'interval' '0'");
    recording_event(&x->rec, 100, "1L 0L 1L 1L");
    recording_event(&x->rec, 105, "1L");
    recording_end(&x->rec);
    assert_read(x, "| cpu/nanoseconds | cpu/nanoseconds 10000000 | 1000000000+2000000000\n"
                   "Main.main:3 10000000\n"
                   "| wall/nanoseconds | wall/nanoseconds 50000000 | 1000000000+2000000000\n"
                   "Main.main:3 50000000\n");
}

#define DATADOG                                                                                    \
    "102 datadog.ExecutionSample startTime:4 eventThread:@18 stackTrace:@15 state:@17 mode:@17 "   \
    "weight:4 spanId:4 localRootSpanId:4 _dd.trace.operation:@20 shop:@20 "                        \
    "103 datadog.DatadogProfilerConfig cpuInterval:4/MILLISECONDS wallInterval:4/MILLISECONDS "    \
    "104 datadog.Endpoint stackTrace:@15 endpoint:@20 localRootSpanId:4 "                          \
    "105 datadog.MethodSample stackTrace:@15 weight:4 "                                            \
    "20 datadog.types.Value value:6 "
#define VALUES "20L 3  1L 'servlet.request'  2L 'GET /items'  3L 'berlin'"

static void spans_find_their_endpoint_wherever_it_is_told(void **state)
{
    struct fixture *x = *state;

    begin(x, DATADOG);
    recording_pools(&x->rec, 1, VALUES);
    recording_event(&x->rec, 103, "10L 50L");
    recording_event(&x->rec, 102, "0L 0L 1L 1L 1L 3L 77L 88L 1L 0L");
    recording_event(&x->rec, 102, "0L 0L 1L 1L 1L 1L 77L 99L 0L 3L");
    recording_event(&x->rec, 105, "1L 2L");
    recording_end(&x->rec);
    begin(x, DATADOG);
    recording_pools(&x->rec, 1, VALUES);
    recording_event(&x->rec, 104, "0L 1L 88L");
    recording_event(&x->rec, 104, "0L 2L 88L");
    recording_end(&x->rec);
    assert_read(x, "| cpu/nanoseconds | cpu/nanoseconds 10000000 | 1000000000+2000000000\n"
                   "Main.main:3 {_dd.trace.operation=servlet.request,endpoint=GET /items} <trace "
                   "0:0 root 58 span 4d> 30000000\n"
                   "Main.main:3 {shop=berlin} <trace 0:0 root 63 span 4d> 10000000\n"
                   "| wall/nanoseconds | wall/nanoseconds 50000000 | 1000000000+2000000000\n"
                   "Main.main:3 100000000\n");

    x->told.rd.with_spans = false;
    assert_int_equal(read_bytes(x, buf_bytes(&x->rec.out)), 0);
    assert_non_null(strstr(buf_cstr(&x->told.text), "endpoint=GET /items} 30000000\n"));
}

static void of_two_that_measure_one_thing_the_better_counts(void **state)
{
    struct fixture *x = *state;

    begin(x, DATADOG);
    recording_event(&x->rec, 100, "1L 0L 2L 1L");
    recording_event(&x->rec, 102, "0L 0L 1L 1L 1L 1L 0L 0L 0L 0L");
    recording_end(&x->rec);
    assert_read(x, "| cpu/nanoseconds | cpu/nanoseconds 10000000 | 1000000000+2000000000\n"
                   "Main.main:3 10000000\n");
    assert_int_equal(x->told.stats.events_skipped, 1);
}

static void pyroscopes_labels_are_joined_by_context(void **state)
{
    /* contexts {7: {1: 2}, 8: {3: 4}}, strings {1: "pool", 2: "blue", 3: "profile_id",
     * 4: "00000000000000ff", 5: "POST /pay"} */
    static const char labels[] = "\x0a\x0a\x08\x07\x12\x06\x0a\x04\x08\x01\x10\x02"
                                 "\x0a\x0a\x08\x08\x12\x06\x0a\x04\x08\x03\x10\x04"
                                 "\x12\x08\x08\x01\x12\x04pool\x12\x08\x08\x02\x12\x04"
                                 "blue"
                                 "\x12\x0e\x08\x03\x12\x0aprofile_id"
                                 "\x12\x14\x08\x04\x12\x10"
                                 "00000000000000ff"
                                 "\x12\x0d\x08\x05\x12\x09POST /pay";
    struct fixture *x = *state;

    begin(x, "102 jdk.ObjectAllocationInNewTLAB stackTrace:@15 objectClass:@11 allocationSize:4 "
             "tlabSize:4 contextId:4 spanId:4 spanName:4 traceIdHi:4 traceIdLo:4 ");
    recording_event(&x->rec, 102, "1L 18446744073709551615L 8L 512L 7L 0L 0L 0L 0L");
    recording_event(&x->rec, 102, "1L 0L 8L 100L 8L 0L 5L 0L 0L");
    recording_event(&x->rec, 102, "1L 0L 8L 100L 9L 16L 0L 3L 4L");
    recording_end(&x->rec);
    x->told.rd.hints.jfr_labels = BYTES_LIT(labels);
    assert_read(x,
                "| alloc_in_new_tlab_objects/count alloc_in_new_tlab_bytes/bytes | space/bytes 0 "
                "| 1000000000+2000000000\n"
                "Main.main:3 <trace 3:4 root 0 span 10> 1 100\n"
                "Main.main:3 {allocation class=Main,pool=blue} 1 512\n"
                "Main.main:3 {endpoint=POST /pay} <trace 0:0 root 0 span ff> 1 100\n");

    x->told.rd.hints.jfr_labels = BYTES_LIT("\x0a\xff");
    assert_refused(x, "malformed");
}

static void events_count_by_their_rule(void **state)
{
    struct fixture *x = *state;

    begin(x, "102 jdk.ObjectAllocationOutsideTLAB stackTrace:@15 objectClass:@11 allocationSize:4 "
             "103 jdk.ObjectAllocationSample stackTrace:@15 weight:4 "
             "104 datadog.ObjectSample stackTrace:@15 size:4 weight:5 "
             "105 datadog.HeapLiveObject stackTrace:@15 size:4 weight:5 "
             "106 profiler.LiveObject stackTrace:@15 "
             "107 profiler.Malloc stackTrace:@15 size:4 "
             "108 jdk.JavaMonitorEnter duration:4/TICKS stackTrace:@15 monitorClass:@11 "
             "109 jdk.ThreadPark duration:4/TICKS stackTrace:@15 "
             "110 jdk.JavaMonitorWait duration:4/TICKS stackTrace:@15 "
             "111 jdk.SocketRead duration:4/TICKS stackTrace:@15 bytesRead:4 "
             "112 jdk.FileWrite duration:4/TICKS stackTrace:@15 bytesWritten:4 "
             "113 datadog.ExceptionSample stackTrace:@15 type:6 message:6 "
             "114 jdk.CPUTimeSample stackTrace:@15 samplingPeriod:4/NANOSECONDS "
             "115 jdk.NativeMethodSample stackTrace:@15 "
             "116 profiler.MethodTrace duration:4/TICKS stackTrace:@15 "
             "117 jdk.MethodTrace duration:4/TICKS stackTrace:@15 ");
    recording_event(&x->rec, 102, "1L 0L 64L");
    recording_event(&x->rec, 103, "1L 9000L");
    recording_event(&x->rec, 104, "1L 10L 1.5F");
    recording_event(&x->rec, 104, "1L 10L 1.5F");
    recording_event(&x->rec, 105, "1L 10L 2.0F");
    recording_event(&x->rec, 106, "1L");
    recording_event(&x->rec, 107, "1L 4096L");
    recording_event(&x->rec, 108, "7L 1L 18446744073709551615L");
    recording_event(&x->rec, 109, "8L 1L");
    recording_event(&x->rec, 110, "9L 1L");
    recording_event(&x->rec, 111, "5L 1L 100L");
    recording_event(&x->rec, 112, "6L 1L 200L");
    recording_event(&x->rec, 113, "1L 'java.lang.Error' 'secret'");
    recording_event(&x->rec, 114, "1L 12345L");
    recording_event(&x->rec, 115, "1L");
    recording_event(&x->rec, 116, "2L 1L");
    recording_event(&x->rec, 117, "3L 1L");
    recording_end(&x->rec);
#define TIME "1000000000+2000000000\n"
    assert_read(
        x, "| cpu/nanoseconds | cpu/nanoseconds 0 | " TIME "Main.main:3 12345\n"
           "| native/nanoseconds | wall/nanoseconds 20000000 | " TIME "Main.main:3 20000000\n"
           "| alloc_outside_tlab_objects/count alloc_outside_tlab_bytes/bytes "
           "alloc_sample_objects/count alloc_sample_bytes/bytes alloc_objects/count "
           "alloc_space/bytes | space/bytes 0 | " TIME "Main.main:3 1 64 1 9000 3 30\n"
           "| live/count inuse_objects/count inuse_space/bytes | objects/count 0 | " TIME
           "Main.main:3 1 2 20\n"
           "| malloc_objects/count malloc_bytes/bytes | / 0 | " TIME "Main.main:3 1 4096\n"
           "| contentions/count delay/nanoseconds | mutex/count 0 | " TIME
           "Main.main:3 {lock class=Main} 1 70\n"
           "| contentions/count delay/nanoseconds | block/count 0 | " TIME "Main.main:3 2 170\n"
           "| file-io-write-time/nanoseconds file-io-write-size/bytes "
           "socket-read-time/nanoseconds socket-read-size/bytes | / 0 | " TIME
           "Main.main:3 60 200 50 100\n"
           "| exception/count | / 0 | " TIME "Main.main:3 {exception type=java.lang.Error} 1\n"
           "| method_calls/count method_time/nanoseconds | / 0 | " TIME "Main.main:3 2 50\n");
}

static void a_sample_without_a_stack_is_the_roots_own(void **state)
{
    struct fixture *x = *state;

    begin(x, "");
    recording_event(&x->rec, 100, "1L 0L 0L 1L");
    recording_event(&x->rec, 100, "1L 0L 99L 1L");
    recording_end(&x->rec);
    assert_read(x, CPU_HEADER " 2000\n");
    assert_int_equal(x->told.stats.dangling_refs, 1);
}

static void an_event_that_ends_too_soon_is_skipped(void **state)
{
    struct fixture *x = *state;

    begin(x, "");
    recording_event(&x->rec, 100, "1L 0L");
    recording_event(&x->rec, 100, "1L 0L 1L 1L");
    recording_event(&x->rec, 4711, "1L 2L 3L");
    recording_end(&x->rec);
    assert_read(x, CPU_HEADER "Main.main:3 1000\n");
    assert_int_equal(x->told.stats.events_skipped, 1);
}

static void unknown_fields_and_structs_are_passed(void **state)
{
    struct fixture *x = *state;

    begin(x, "50 Inner a:4 b:6 c:8 51 Outer inner:50 more:50[] names:6[] refs:@10[] bytes:2[] "
             "102 jdk.ThreadPark outer:51 duration:4 s:7 stackTrace:@15 ");
    recording_event(&x->rec, 102,
                    "5L 'x' 1.5D  2 1L ~ 1.0D 2L = 2.0D  2 'a' 'b'  3 1L 2L 3L  4 1B 2B 3B 4B "
                    "7L 3S 1L");
    recording_end(&x->rec);
    assert_read(x, "| contentions/count delay/nanoseconds | block/count 0 | " TIME
                   "Main.main:3 1 70\n");
}

/* --- bad input */

static void truncations_are_refused_or_skipped(void **state)
{
    struct fixture *x = *state;
    struct bytes whole;

    begin(x, DATADOG);
    recording_event(&x->rec, 100, "1L 0L 2L 1L");
    recording_end(&x->rec);
    whole = buf_bytes(&x->rec.out);
    for (size_t n = 0; n < whole.len; n++)
        assert_int_equal(read_bytes(x, bytes_of(whole.data, n)), FAILURE);
}

/* A chunk of a pool whose counts promise more than there is. */
static void counts_beyond_the_bytes_are_refused(void **state)
{
    static const char *const pools[] = {
        "10L 1000000000  1L 'a'",
        "15L 1  1L 0B 1152921504606846975L",
        "15L 1  1L 0B 2000000000 1L",
        "51L 1  1L 2000000000 2000000000",
        "10L 1  1L '",
    };
    struct fixture *x = *state;

    for (size_t i = 0; i + 1 < sizeof pools / sizeof *pools; i++) {
        buf_reset(&x->rec.out);
        begin(x, "50 Deep a:50[] b:4 51 Deeper a:50[] ");
        recording_pools(&x->rec, 1, pools[i]);
        recording_end(&x->rec);
        assert_refused(x, "malformed");
    }
}

/* An array of nothing has any length for free; a class of itself has no end. */
static void classes_without_bytes_or_end_do_no_harm(void **state)
{
    struct fixture *x = *state;

    begin(x, "50 Nothing 51 Endless self:51 52 Twins a:53 b:53 53 More a:54 b:54 54 Most a:52 b:52 "
             "102 jdk.ThreadPark none:50[] duration:4 stackTrace:@15 "
             "103 jdk.JavaMonitorEnter self:51 duration:4 stackTrace:@15 "
             "104 jdk.JavaMonitorWait twins:52 duration:4 stackTrace:@15 ");
    recording_event(&x->rec, 102, "4000000000 7L 1L");
    recording_event(&x->rec, 103, "1L 7L 1L");
    recording_event(&x->rec, 104, "1L 7L 1L");
    recording_end(&x->rec);
    assert_read(x, "| contentions/count delay/nanoseconds | block/count 0 | " TIME
                   "Main.main:3 1 70\n");
}

static void limits_are_named(void **state)
{
    struct fixture *x = *state;

    begin(x, "");
    for (int i = 0; i < 3; i++)
        recording_event(&x->rec, 100, "1L 0L 2L 1L");
    recording_end(&x->rec);
    x->told.limits.samples_max = 2;
    assert_refused(x, "limit_exceeded");
    x->told.limits = profile_limits_default;
    x->told.limits.depth_max = 1;
    assert_refused(x, "limit_exceeded");
    assert_non_null(strstr(x->told.f.hint, "depth_max"));
    x->told.limits = profile_limits_default;
    x->told.limits.strings_max = 10;
    assert_refused(x, "limit_exceeded");
    x->told.limits = profile_limits_default;
    x->told.limits.functions_max = 1;
    assert_refused(x, "limit_exceeded");
    x->told.limits = profile_limits_default;
    x->told.limits.values_max = 0;
    assert_refused(x, "limit_exceeded");
    assert_non_null(strstr(x->told.f.hint, "values_max"));
    x->told.limits = profile_limits_default;
    assert_int_equal(read_bytes(x, buf_bytes(&x->rec.out)), 0);
}

static void weights_that_are_no_numbers_count_nothing(void **state)
{
    struct fixture *x = *state;

    begin(x, "102 datadog.ObjectSample stackTrace:@15 size:4 weight:5 ");
    recording_event(&x->rec, 102, "1L 10L nanF");
    recording_event(&x->rec, 102, "1L 10L -5.0F");
    recording_event(&x->rec, 102, "1L 18446744073709551615L infF");
    recording_end(&x->rec);
    assert_read(x, "| alloc_objects/count alloc_space/bytes | space/bytes 0 | " TIME
                   "Main.main:3 4000000000000000000 4000000000000000000\n");
    assert_int_equal(x->told.stats.zero_samples, 2);
}

#if defined(__has_feature)
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static int count_rows(void *ctx, struct profile *p, const struct profile_about *about,
                      struct failure *f)
{
    struct told *t = ctx;

    (void)about;
    (void)f;
    t->n_profiles++;
    assert_true(p->n_rows > 900000);
    return 0;
}

/* As many samples as are allowed, each with a span, a stack and a line of its own. */
static void the_largest_recording_needs_bounded_memory(void **state)
{
    enum { EVENTS = 999997 /* three stacks are there already */, PEAK_KIB_MAX = 384 << 10 };
    struct fixture *x = *state;
    struct buf pool = {0};
    struct rusage before, after;
    int e;

    begin(x, "102 datadog.ExecutionSample stackTrace:@15 spanId:4 localRootSpanId:4 ");
    buf_printf(&pool, "15L %d ", EVENTS);
    for (int i = 1; i <= EVENTS; i++)
        buf_printf(&pool, "%dL 0B 1 5L %d 0 0L ", 1000 + i, i);
    recording_pools(&x->rec, 1, buf_cstr(&pool));
    for (int i = 1; i <= EVENTS; i++) {
        char values[60];

        snprintf(values, sizeof values, "%dL %dL %dL", 1000 + i, i, i);
        recording_event(&x->rec, 102, values);
    }
    recording_end(&x->rec);
    buf_deinit(&pool);
    getrusage(RUSAGE_SELF, &before);
    x->told.rd.emit = count_rows;
    e = jfr_read(x->reader, buf_bytes(&x->rec.out), &x->told.rd);
    getrusage(RUSAGE_SELF, &after);
    if (e != 0)
        fail_msg("%s", x->told.f.message);
    assert_int_equal(x->told.n_profiles, 1);
    print_message("%zu bytes, peak +%ld KiB\n", x->rec.out.len, after.ru_maxrss - before.ru_maxrss);
    if (!SANITIZED) /* it keeps what is freed, too */
        assert_true(after.ru_maxrss - before.ru_maxrss < PEAK_KIB_MAX);
}

/* --- parts */

static void generated_names_lose_their_numbers(void **state)
{
    static const char *const names[][2] = {
        {"java/util/HashMap$Node", "java.util.HashMap$Node"},
        {"Demo", "Demo"},
        {"", ""},
        {"Demo$$Lambda$62.0x00007f2090086d08", "Demo$$Lambda_"},
        {"Demo$$Lambda$325+0x00007f2c8c002830.1102135101", "Demo$$Lambda_"},
        {"a.b.Sink$$Lambda$283+0x00007f0a3831e718/671959170", "a.b.Sink$$Lambda_"},
        {"a/b/Enclosing$$Lambda$4/1283928880", "a.b.Enclosing$$Lambda_"},
        {"a/b/Enclosing$$Lambda$8/0x0000000800c01220", "a.b.Enclosing$$Lambda_"},
        {"Fib$$Lambda.0x00007ffa600c4da0", "Fib$$Lambda_"},
        {"kafka/log/LogValidator$$$Lambda$1377.0x000000080156f840",
         "kafka.log.LogValidator$$$Lambda_"},
        {"App$$Lambda76", "App$$Lambda_"},
        {"App$$LambdaFactory", "App$$LambdaFactory"},
        {"java.util.regex.Pattern$$Lambda$22+0x80000002b/127618319",
         "java.util.regex.Pattern$$Lambda_"},
        {"java.lang.invoke.LambdaForm$MH/2141949626", "java.lang.invoke.LambdaForm$MH_"},
        {"java/lang/invoke/LambdaForm$DMH+0x00000008000e1000", "java.lang.invoke.LambdaForm$DMH_"},
        {"a/b/Hidden/0x0000000800c01220", "a.b.Hidden_"},
        {"jdk/internal/reflect/GeneratedMethodAccessor31",
         "jdk.internal.reflect.GeneratedMethodAccessor_"},
        {"sun/reflect/GeneratedConstructorAccessor7", "sun.reflect.GeneratedConstructorAccessor_"},
        {"sun/reflect/GeneratedMethodAccessorX", "sun.reflect.GeneratedMethodAccessorX"},
        {"com/sun/proxy/$Proxy12", "com.sun.proxy.$Proxy_"},
        {"jdk/proxy2/$Proxy55", "jdk.proxy_.$Proxy_"},
        {"a/Base64", "a.Base64"},
        {"a/B$1", "a.B$1"},
        {"foo/Baz$$EnhancerBySpringCGLIB$$1a2b3c", "foo.Baz$$EnhancerBySpringCGLIB$$_"},
        {"foo/Baz$$FastClassBySpringCGLIB$$9f", "foo.Baz$$FastClassBySpringCGLIB$$_"},
        {"foo/Baz$$SpringCGLIB$$0", "foo.Baz$$SpringCGLIB$$0"},
        {"foo/Baz$HibernateProxy$aBcD", "foo.Baz$HibernateProxy$_"},
        {"libc.so.6", "libc.so.6"},
        {"libjvm.so", "libjvm.so"},
        {"/usr/lib/x86_64-linux-gnu/libz.so.1.2.13", "/usr/lib/x86_64-linux-gnu/libz.so.1.2.13"},
        {"libzstd-jni-1.5.1-16931311898282279136.so", "libzstd-jni-1.5.1-_.so"},
        {"./tmp/libzstd-jni-1.5.1-16931311898282279136.so (deleted)", "libzstd-jni-1.5.1-_.so"},
        {"libasyncProfiler-linux-x64-94af16d95b27e7e3346a51e8d43e744de92a62a3.so",
         "libasyncProfiler-linux-x64-_.so"},
        {"/tmp/snappy-1.1.8-6fb9393a-3093-4706-a7e4-837efe01d078-libsnappyjava.so",
         "snappy-1.1.8-_-libsnappyjava.so"},
        {"libamazonCorrettoCryptoProvider109b39cf33c563eb.so",
         "libamazonCorrettoCryptoProvider_.so"},
    };
    struct buf out = {0};

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        buf_reset(&out);
        jfr_class_name(bytes_str(names[i][0]), &out);
        assert_string_equal(buf_cstr(&out), names[i][1]);
    }
    /* async-profiler has a library's path where a method stands, and no class. */
    buf_reset(&out);
    jfr_method_name(BYTES_LIT(""),
                    BYTES_LIT("/tmp/snappy-1.1.8-6fb9393a-3093-4706-a7e4-"
                              "837efe01d078-libsnappyjava.so"),
                    &out);
    assert_string_equal(buf_cstr(&out), "snappy-1.1.8-_-libsnappyjava.so");
    buf_deinit(&out);
}

static void types_are_written_as_in_java(void **state)
{
    static const char *const names[][2] = {
        {"[B", "byte[]"},
        {"[[J", "long[][]"},
        {"[Ljava/lang/String;", "java.lang.String[]"},
        {"java/lang/String", "java.lang.String"},
        {"B", "B"},
        {"[", "[]"},
        {"byte[]", "byte[]"},
    };
    struct buf out = {0};

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        buf_reset(&out);
        jfr_type_name(bytes_str(names[i][0]), &out);
        assert_string_equal(buf_cstr(&out), names[i][1]);
    }
    buf_deinit(&out);
}

static void periods_are_read_with_their_unit(void **state)
{
    (void)state;
    assert_int_equal(jfr_period_ns(BYTES_LIT("20 ms")), 20000000);
    assert_int_equal(jfr_period_ns(BYTES_LIT("10000000")), 10000000);
    assert_int_equal(jfr_period_ns(BYTES_LIT("1 s")), 1000000000);
    assert_int_equal(jfr_period_ns(BYTES_LIT("everyChunk")), 0);
    assert_int_equal(jfr_period_ns(BYTES_LIT("")), 0);
    assert_int_equal(jfr_period_ns(BYTES_LIT("99999999999999999999 s")), 0);
    assert_int_equal(jfr_period_ns(BYTES_LIT("9999999999999999 d")), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(samples_of_a_stack_are_added_up),
        TEST(integers_need_not_be_compressed),
        TEST(pools_and_metadata_may_stand_behind_the_events),
        TEST(of_a_key_given_twice_the_first_holds),
        TEST(chunks_have_type_ids_of_their_own),
        TEST(chunks_that_are_not_finished_are_skipped),
        TEST(strings_are_read_in_all_their_encodings),
        TEST(characters_beyond_16_bits_are_pairs),
        TEST(what_sleeps_takes_no_cpu),
        TEST(samples_of_the_wall_clock_are_wall_time),
        TEST(a_wall_clock_sample_stands_for_many),
        TEST(a_wall_clock_sample_that_runs_is_cpu_where_nothing_else_is),
        TEST(other_events_are_not_called_cpu),
        TEST(intervals_that_are_not_told_are_the_profilers_defaults),
        TEST(spans_find_their_endpoint_wherever_it_is_told),
        TEST(of_two_that_measure_one_thing_the_better_counts),
        TEST(pyroscopes_labels_are_joined_by_context),
        TEST(events_count_by_their_rule),
        TEST(a_sample_without_a_stack_is_the_roots_own),
        TEST(an_event_that_ends_too_soon_is_skipped),
        TEST(unknown_fields_and_structs_are_passed),
        TEST(truncations_are_refused_or_skipped),
        TEST(counts_beyond_the_bytes_are_refused),
        TEST(classes_without_bytes_or_end_do_no_harm),
        TEST(limits_are_named),
        TEST(weights_that_are_no_numbers_count_nothing),
        TEST(the_largest_recording_needs_bounded_memory),
        cmocka_unit_test(generated_names_lose_their_numbers),
        cmocka_unit_test(types_are_written_as_in_java),
        cmocka_unit_test(periods_are_read_with_their_unit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
