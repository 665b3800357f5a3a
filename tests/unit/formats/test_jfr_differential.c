/*
 * jfr_read against the JDK's own `jfr`: every recording there is, cut into its chunks (the tool
 * adds up what clashing type ids name alike), is printed as JSON, and its events are counted by the
 * rules of docs/formats.md as they are stated here once more. Totals must agree by type, and by the
 * method and line that each sample has on top.
 */
#include "formats/jfr.h"
#include "formats/jfr/names.h"
#include "formats/json_walk.h"
#include "lib/reading.h"
#include "lib/recordings.h"

#include <math.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { SUMS_MAX = 20000, SUM_KEY_MAX = 400 };

/* What is added up under "type" and under "type at leaf:line", by either side. */
struct sum {
    char key[SUM_KEY_MAX];
    double value[2]; /* the tool's, ours */
    unsigned n;      /* the tool's events */
};

struct sums {
    struct sum at[SUMS_MAX];
    size_t n;
    unsigned side;
};

static struct sum *sum_of(struct sums *s, const char *key)
{
    for (size_t i = s->n; i-- > 0;)
        if (strcmp(s->at[i].key, key) == 0)
            return &s->at[i];
    assert_true(s->n < SUMS_MAX);
    snprintf(s->at[s->n].key, SUM_KEY_MAX, "%s", key);
    return &s->at[s->n++];
}

static void add(struct sums *s, const char *type, const char *leaf, double value)
{
    char key[SUM_KEY_MAX];

    snprintf(key, sizeof key, "%s at %s", type, leaf);
    for (unsigned i = 0; i < 2; i++) {
        struct sum *sum = sum_of(s, i ? key : type);

        sum->value[s->side] += value;
        sum->n += s->side == 0;
    }
}

/* --- the tool's side -----------------------------------------------------------------------------
 */

enum state {
    TOP = JSON_TOP,
    RECORDING,
    EVENTS,
    EVENT,
    TYPE,
    VALUES,
    THREAD_STATE,
    AMOUNT,
    SIZE,
    WEIGHT,
    DURATION,
    TRACE,
    FRAMES,
    FRAME,
    METHOD,
    METHOD_NAME,
    CLASS,
    CLASS_NAME,
    LINE,
};

static const struct json_rule rules[] = {
    {TOP, "recording", RECORDING},
    {RECORDING, "events", EVENTS},
    {EVENTS, "[]", EVENT},
    {EVENT, "type", TYPE},
    {EVENT, "values", VALUES},
    {VALUES, "state", THREAD_STATE},
    {VALUES, "samples", AMOUNT},
    {VALUES, "tlabSize", AMOUNT},
    {VALUES, "allocationSize", SIZE},
    {VALUES, "bytesRead", AMOUNT},
    {VALUES, "bytesWritten", AMOUNT},
    {VALUES, "size", SIZE},
    {VALUES, "weight", WEIGHT},
    {VALUES, "duration", DURATION},
    {VALUES, "stackTrace", TRACE},
    {TRACE, "frames", FRAMES},
    {FRAMES, "[]", FRAME},
    {FRAME, "method", METHOD},
    {FRAME, "lineNumber", LINE},
    {METHOD, "name", METHOD_NAME},
    {METHOD, "type", CLASS},
    {CLASS, "name", CLASS_NAME},
    {0, NULL, 0},
};

struct event {
    char type[80], state[40], method[SUM_KEY_MAX], class[SUM_KEY_MAX];
    double amount, size, weight, duration;
    long line;
};

struct tool {
    struct sums *sums;
    struct event event;
    double cpu_ns, wall_ns; /* intervals of the recording */
    bool wall_only;
};

/* "PT1M2.5S" */
static double iso_ns(const char *text)
{
    double total = 0, part;
    char *end;

    for (text += 2; *text; text = end + 1) {
        part = strtod(text, &end);
        total += part * (*end == 'H' ? 3600 : *end == 'M' ? 60 : 1);
    }
    return round(total * 1e9);
}

static void leaf_of(const struct event *e, struct buf *out)
{
    jfr_method_name(bytes_str(e->class), bytes_str(e->method), out);
    buf_printf(out, ":%ld", e->line > 0 ? e->line : 0);
}

static const struct pair {
    const char *event, *first, *second;
} pairs[] = {
    {"jdk.ObjectAllocationInNewTLAB", "alloc_in_new_tlab_objects", "alloc_in_new_tlab_bytes"},
    {"jdk.ObjectAllocationOutsideTLAB", "alloc_outside_tlab_objects", "alloc_outside_tlab_bytes"},
    {"jdk.ObjectAllocationSample", "alloc_sample_objects", "alloc_sample_bytes"},
    {"datadog.ObjectSample", "alloc_objects", "alloc_space"},
    {"datadog.HeapLiveObject", "inuse_objects", "inuse_space"},
    {"profiler.LiveObject", "live", NULL},
    {"jdk.JavaMonitorEnter", "mutex contentions", "mutex delay"},
    {"jdk.ThreadPark", "block contentions", "block delay"},
    {"jdk.JavaMonitorWait", "block contentions", "block delay"},
    {"jdk.FileRead", "file-io-read-time", "file-io-read-size"},
    {"jdk.FileWrite", "file-io-write-time", "file-io-write-size"},
    {"jdk.SocketRead", "socket-read-time", "socket-read-size"},
    {"jdk.SocketWrite", "socket-write-time", "socket-write-size"},
    {"datadog.ExceptionSample", "exception", NULL},
    {"jdk.ExecutionSample", NULL, NULL},
    {"datadog.ExecutionSample", NULL, NULL},
    {"datadog.MethodSample", NULL, NULL},
    {"profiler.WallClockSample", NULL, NULL},
};

static bool is(const struct event *e, const char *type)
{
    return strcmp(e->type, type) == 0;
}

static void count_samples(struct tool *t, const char *leaf)
{
    const struct event *e = &t->event;

    if (is(e, "jdk.ExecutionSample")) {
        if (t->wall_only)
            add(t->sums, "wall", leaf, t->cpu_ns);
        if (strcmp(e->state, "STATE_SLEEPING") != 0)
            add(t->sums, "cpu", leaf, t->cpu_ns);
    } else if (is(e, "datadog.ExecutionSample")) {
        add(t->sums, "cpu", leaf, e->weight * t->cpu_ns);
    } else if (is(e, "datadog.MethodSample")) {
        add(t->sums, "wall", leaf, e->weight * t->wall_ns);
    } else {
        add(t->sums, "wall", leaf, e->amount * t->wall_ns);
    }
}

static void count_pair(struct tool *t, const struct pair *p, const char *leaf)
{
    const struct event *e = &t->event;
    double first = 1, second = e->duration;

    if (strstr(p->event, "datadog.Object") || strstr(p->event, "HeapLive")) {
        first = e->weight;
        second = e->weight * e->size;
    } else if (strstr(p->event, "Socket") || strstr(p->event, "File")) {
        first = e->duration;
        second = e->amount;
    } else if (strstr(p->event, "Alloc")) {
        second = e->amount + e->weight;
        if (strstr(p->event, "Outside"))
            second = e->size;
    }
    add(t->sums, p->first, leaf, first);
    if (p->second)
        add(t->sums, p->second, leaf, second);
}

static void count_event(struct tool *t)
{
    struct buf leaf = {0};

    leaf_of(&t->event, &leaf);
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        if (!is(&t->event, pairs[i].event))
            continue;
        if (pairs[i].first)
            count_pair(t, &pairs[i], buf_cstr(&leaf));
        else
            count_samples(t, buf_cstr(&leaf));
    }
    buf_deinit(&leaf);
}

static int on_json(void *ctx, unsigned state, enum json_event what, struct bytes text)
{
    struct tool *t = ctx;
    struct event *e = &t->event;
    char word[SUM_KEY_MAX];

    if (state == EVENT && what == JSON_BEGIN)
        *e = (struct event){0};
    if (state == EVENT && what == JSON_END)
        count_event(t);
    if (what != JSON_STRING && what != JSON_NUMBER)
        return 0;
    snprintf(word, sizeof word, "%.*s", (int)text.len, (const char *)text.data);
    if (state == TYPE)
        snprintf(e->type, sizeof e->type, "%.79s", word);
    else if (state == THREAD_STATE)
        snprintf(e->state, sizeof e->state, "%.39s", word);
    else if (state == METHOD_NAME)
        memcpy(e->method, word, sizeof word);
    else if (state == CLASS_NAME)
        memcpy(e->class, word, sizeof word);
    else if (state == LINE)
        e->line = atol(word);
    else if (state == AMOUNT)
        e->amount = strtod(word, NULL);
    else if (state == SIZE)
        e->size = strtod(word, NULL);
    else if (state == WEIGHT)
        e->weight = strtod(word, NULL);
    else if (state == DURATION)
        e->duration = iso_ns(word);
    return 0;
}

static struct buf tool_output(const char *path)
{
    struct buf command = {0}, out = {0};
    FILE *pipe;
    size_t n;

    buf_append_str(&command, "jfr print --json --stack-depth 1 --events ");
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        buf_printf(&command, "%s%s", i ? "," : "", pairs[i].event);
    buf_printf(&command, " %s", path);
    pipe = popen(buf_cstr(&command), "r");
    assert_non_null(pipe);
    do {
        buf_reserve(&out, 1 << 16);
        n = fread(out.data + out.len, 1, 1 << 16, pipe);
        out.len += n;
    } while (n > 0);
    assert_int_equal(pclose(pipe), 0);
    buf_deinit(&command);
    return out;
}

static void run_tool(struct tool *t, struct bytes chunk)
{
    char path[] = "/tmp/hearth-jfr-XXXXXX.jfr";
    int fd = mkstemps(path, 4);
    struct failure f = {0};
    struct buf json;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, chunk.data, chunk.len), chunk.len);
    close(fd);
    json = tool_output(path);
    unlink(path);
    t->sums->side = 0;
    struct json_walk walk = {.rules = rules, .depth_max = 100, .cb = on_json, .ctx = t, .f = &f};
    if (json_walk(&walk, buf_bytes(&json), "jfr") != 0)
        fail_msg("%s", f.message);
    buf_deinit(&json);
}

/* --- our side ------------------------------------------------------------------------------------
 */

static void leaf_name(const struct profile *p, uint32_t stack, struct buf *out)
{
    uint32_t frame;

    if (stacks_frames(p->stacks, stack, &frame, 1) == 0) {
        buf_append_str(out, ":0");
        return;
    }
    symbols_frame_name(p->symbols, frame, out);
    buf_printf(out, ":%llu",
               (unsigned long long)symbols_get_frame(p->symbols, frame)->line_or_address);
}

static int on_profile(void *ctx, struct profile *p, const struct profile_about *about,
                      struct failure *f)
{
    struct buf leaf = {0}, type = {0};
    bool lock = bytes_starts(about->hint, BYTES_LIT("java_"));

    (void)f;
    for (uint32_t row = 0; row < p->n_rows; row++)
        for (uint32_t t = 0; t < p->n_types; t++) {
            buf_reset(&leaf);
            leaf_name(p, p->row_stack[row], &leaf);
            buf_reset(&type);
            if (lock) {
                buf_append(&type, about->hint.data + 5, about->hint.len - 5);
                buf_append_u8(&type, ' ');
            }
            buf_append_bytes(&type, symbols_text(p->symbols, p->types[t].name));
            add(ctx, buf_cstr(&type), buf_cstr(&leaf), (double)p->values[t][row]);
        }
    buf_deinit(&leaf);
    buf_deinit(&type);
    return 0;
}

static void run_reader(struct sums *sums, struct jfr_reader *reader, struct bytes chunk)
{
    struct told told;

    told_init(&told);
    told.rd.emit = on_profile;
    told.rd.ctx = sums;
    sums->side = 1;
    if (jfr_read(reader, chunk, &told.rd) != 0)
        fail_msg("%s", told.f.message);
    assert_int_equal(told.stats.events_skipped, 0);
    assert_int_equal(told.stats.dangling_refs, 0);
    told_deinit(&told);
}

/* --- both ----------------------------------------------------------------------------------------
 */

/* The recordings and what their own jdk.ActiveSetting says, in ns. */
static const struct recorded {
    const char *path;
    double cpu_ns, wall_ns;
    bool wall_only;
} recorded[] = {
    {"agents/dd-java-agent-1.68.1/request.http", 10e6, 50e6, false},
    {"agents/dd-java-agent-1.68.1/request-jfr-only.http", 9e6, 0, false},
    {"agents/pyroscope-java-2.9.2/request.http", 10e6, 0, false},
    {"agents/async-profiler-4.5/request-jfr.http", 10e6, 20e6, false},
    {"jfr/dd-trace-java.jfr.gz", 9e6, 0, false},
    {"jfr/object-allocation-sample.jfr.gz", 9e6, 0, false},
    {"jfr/dump2.jfr.gz", 10e6, 0, true},
    {"jfr/kafka-broker-cpu-0.jfr.gz", 10e6, 0, false},
    {"jfr/kafka-broker-cpu-1.jfr.gz", 10e6, 0, false},
    {"jfr/kafka-broker-cpu-2.jfr.gz", 10e6, 0, false},
    {"jfr/kafka-broker-cpu-3.jfr.gz", 10e6, 0, false},
    {"jfr/kafka-broker-cpu-lock-alloc-0.jfr.gz", 10e6, 0, false},
    {"jfr/kafka-broker-cpu-lock-alloc-1.jfr.gz", 10e6, 0, false},
};

/* Ticks are rounded to nanoseconds event by event on both sides; weights are printed in few digits
 * and summed here with the fractions that a row carries over to another. */
static void compare(const struct sums *s, const char *name)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct sum *sum = &s->at[i];
        double slack = sum->n + 1 + fabs(sum->value[0]) * 1e-6;

        if (fabs(sum->value[0] - sum->value[1]) > slack)
            fail_msg("%s: %s: jfr has %.0f, we have %.0f", name, sum->key, sum->value[0],
                     sum->value[1]);
    }
}

static void compare_chunk(struct jfr_reader *reader, const struct recorded *r, struct bytes chunk)
{
    struct sums *sums = calloc(1, sizeof *sums);
    struct tool tool = {
        sums, {{0}, {0}, {0}, {0}, 0, 0, 0, 0, 0}, r->cpu_ns, r->wall_ns, r->wall_only};

    run_tool(&tool, chunk);
    assert_true(sums->n > 0);
    run_reader(sums, reader, chunk);
    compare(sums, r->path);
    printf("%s, %zu bytes: %zu sums\n", r->path, chunk.len, sums->n);
    free(sums);
}

static uint64_t size_of_chunk(struct bytes raw)
{
    uint64_t size = 0;

    for (unsigned i = 8; i < 16; i++)
        size = size << 8 | raw.data[i];
    return size;
}

struct run {
    struct jfr_reader *reader; /* one for all: what is kept must not leak over */
    const struct recorded *recorded;
    unsigned n_chunks;
};

static void compare_recording(void *ctx, const char *name, struct bytes raw)
{
    struct run *run = ctx;

    (void)name;
    while (is_jfr(raw)) {
        uint64_t size = size_of_chunk(raw);

        assert_true(size > 68 && size <= raw.len);
        compare_chunk(run->reader, run->recorded, bytes_of(raw.data, size));
        run->n_chunks++;
        raw = recording_from(raw, size);
    }
}

static bool is_there(void)
{
    struct stat st;

    if (stat(SHARED_DATA, &st) == 0 && system("jfr help > /dev/null 2>&1") == 0)
        return true;
    CHECK(!getenv("HEARTH_REQUIRE_DATA"));
    printf("SKIPPED: the recordings of %s, or the JDK's tool jfr, are absent\n", SHARED_DATA);
    return false;
}

static void every_chunk_counts_as_the_jdk_reads_it(void **state)
{
    struct run run = {.reader = jfr_reader_new()};

    (void)state;
    for (size_t i = 0; is_there() && i < sizeof recorded / sizeof *recorded; i++) {
        char path[300];

        snprintf(path, sizeof path, SHARED_DATA "/%s", recorded[i].path);
        run.recorded = &recorded[i];
        run.n_chunks = 0;
        recordings_glob(path, compare_recording, &run);
        assert_true(run.n_chunks > 0);
    }
    jfr_reader_free(run.reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_chunk_counts_as_the_jdk_reads_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
