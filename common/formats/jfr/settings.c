/*
 * How it works. jdk.ActiveSetting has the id of an event type, a name and a value. The JDK gives
 * the period of its samplers as "20 ms"; async-profiler and Datadog's profiler give an interval in
 * nanoseconds (0: their default), and async-profiler the engine as "event". Datadog's has its
 * intervals in an event of its own too, in milliseconds: the setting is finer.
 */
#include "formats/jfr/settings.h"

#include "base/utf8.h"

#include <stdio.h>

#define MS INT64_C(1000000)

enum {
    SAMPLE_DEFAULT_MS = 10, /* async-profiler, Datadog */
    WALL_DEFAULT_MS = 50,   /* both */
    NATIVE_DEFAULT_MS = 20, /* JDK */
};

void jfr_settings_begin(struct jfr_settings *s)
{
    *s = (struct jfr_settings){0};
}

int64_t jfr_period_ns(struct bytes text)
{
    static const struct {
        const char *unit;
        int64_t ns;
    } units[] = {{"", 1},          {"ns", 1},         {"us", 1000},        {"ms", MS},
                 {"s", 1000 * MS}, {"m", 60000 * MS}, {"h", 3600000 * MS}, {"d", 86400000 * MS}};
    int64_t v = 0;
    size_t i = 0;

    for (; i < text.len && text.data[i] >= '0' && text.data[i] <= '9'; i++)
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, text.data[i] - '0', &v))
            return 0;
    while (i < text.len && text.data[i] == ' ')
        i++;
    for (size_t u = 0; u < sizeof units / sizeof *units; u++)
        if (bytes_equal(bytes_of(text.data + i, text.len - i), bytes_str(units[u].unit)))
            return __builtin_mul_overflow(v, units[u].ns, &v) ? 0 : v;
    return 0;
}

static bool is_any(struct bytes s, const char *const *words)
{
    for (; *words; words++)
        if (bytes_equal(s, bytes_str(*words)))
            return true;
    return false;
}

static void take_event(struct jfr_settings *s, struct bytes event)
{
    static const char *const cpu[] = {"",          "cpu",        "itimer", "ctimer",
                                      "cpu-clock", "task-clock", NULL};

    if (bytes_equal(event, BYTES_LIT("wall"))) {
        s->sampled = JFR_SAMPLED_WALL;
        return;
    }
    s->sampled = is_any(event, cpu) ? JFR_SAMPLED_CPU : JFR_SAMPLED_EVENTS;
    if (!utf8_valid(event))
        event = BYTES_LIT("event");
    event = utf8_cut(event, sizeof s->event - 1);
    memcpy(s->event, event.data, event.len);
    s->event[event.len] = '\0';
}

/* The source whose interval the setting of an event type is; JFR_N_SOURCES: none. */
static enum jfr_source source_of(struct bytes event_type)
{
    static const struct {
        const char *name;
        enum jfr_source source;
    } sources[] = {
        {"jdk.ExecutionSample", JFR_CPU_SAMPLE},
        {"jdk.NativeMethodSample", JFR_NATIVE_SAMPLE},
        {"datadog.ExecutionSample", JFR_CPU_DATADOG},
        {"datadog.MethodSample", JFR_WALL_DATADOG},
    };

    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++)
        if (bytes_equal(event_type, bytes_str(sources[i].name)))
            return sources[i].source;
    return JFR_N_SOURCES;
}

static void take_interval(struct jfr_settings *s, const struct jfr_metadata *m, uint64_t type_id,
                          int64_t ns)
{
    uint32_t class = jfr_class_by_id(m, type_id);
    enum jfr_source source = class == JFR_NONE ? JFR_N_SOURCES : source_of(m->classes[class].name);

    if (source != JFR_N_SOURCES && ns > 0)
        s->interval[source] = ns;
}

static void take_setting(struct jfr_settings *s, struct jfr_pools *pools,
                         const struct jfr_value *slots)
{
    struct buf name_text = {0}, value_text = {0};
    struct bytes name = jfr_value_text(pools, &slots[JFR_SLOT_NAME], &name_text);
    struct bytes value = jfr_value_text(pools, &slots[JFR_SLOT_VALUE], &value_text);

    if (bytes_equal(name, BYTES_LIT("event")))
        take_event(s, value);
    else if (bytes_equal(name, BYTES_LIT("wall")))
        s->interval[JFR_WALL_CLOCK] = jfr_period_ns(value);
    else if (bytes_equal(name, BYTES_LIT("interval")) || bytes_equal(name, BYTES_LIT("period")))
        take_interval(s, pools->m, slots[JFR_SLOT_ID].number, jfr_period_ns(value));
    buf_deinit(&name_text);
    buf_deinit(&value_text);
}

static int64_t config_ns(const struct jfr_binding *b, const struct jfr_value *slots,
                         enum jfr_slot slot)
{
    int64_t unit = b->unit[slot] == JFR_NS ? 1 : b->unit[slot] == JFR_US ? 1000 : MS, ns;
    uint64_t n = slots[slot].number;

    return n > INT64_MAX || __builtin_mul_overflow((int64_t)n, unit, &ns) ? 0 : ns;
}

void jfr_settings_take(struct jfr_settings *s, struct jfr_pools *pools, const struct jfr_binding *b,
                       const struct jfr_value *slots)
{
    if (b->type->rule == JFR_RULE_SETTING) {
        take_setting(s, pools, slots);
        return;
    }
    s->config_cpu = config_ns(b, slots, JFR_SLOT_CPU);
    s->config_wall = config_ns(b, slots, JFR_SLOT_WALL);
}

static int64_t first_of(int64_t a, int64_t b, int64_t c)
{
    return a ? a : b ? b : c;
}

void jfr_settings_end(struct jfr_settings *s)
{
    int64_t *interval = s->interval, sample = interval[JFR_CPU_SAMPLE];
    bool wall = s->sampled == JFR_SAMPLED_WALL;

    interval[JFR_OTHER_EVENT] = first_of(sample, 1, 1);
    interval[JFR_CPU_DATADOG] =
        first_of(interval[JFR_CPU_DATADOG], s->config_cpu, SAMPLE_DEFAULT_MS * MS);
    interval[JFR_WALL_DATADOG] =
        first_of(interval[JFR_WALL_DATADOG], s->config_wall, WALL_DEFAULT_MS * MS);
    interval[JFR_WALL_CLOCK] =
        first_of(interval[JFR_WALL_CLOCK], wall ? sample : 0, WALL_DEFAULT_MS * MS);
    interval[JFR_NATIVE_SAMPLE] = first_of(interval[JFR_NATIVE_SAMPLE], 0, NATIVE_DEFAULT_MS * MS);
    interval[JFR_CPU_SAMPLE] =
        first_of(sample, 0, (wall ? WALL_DEFAULT_MS : SAMPLE_DEFAULT_MS) * MS);
    interval[JFR_WALL_SAMPLE] = interval[JFR_CPU_SAMPLE];
    interval[JFR_CPU_OF_WALL] = interval[JFR_WALL_CLOCK];
}
