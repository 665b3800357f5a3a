/*
 * How it works. Adding an event is a row of the table. What all events may have (stack, spans,
 * context) is known by the field's name alone. Datadog's profiler appends the attributes of a
 * sample's context as fields of their names: a string field that nothing here knows is one.
 */
#include "formats/jfr/events.h"

#include "base/xalloc.h"

#include <stdlib.h>

#define CLASS_OF_OBJECT "objectClass", "allocation class"
#define CLASS_OF_LOCK   "monitorClass", "lock class"

/* clang-format off */
static const struct jfr_event_type types[] = {
    /* event                              rule                  source                  amount            time              label's field, label */
    {"jdk.ExecutionSample",               JFR_RULE_INTERVAL,    JFR_CPU_SAMPLE,         NULL,             NULL,             NULL, NULL},
    {"jdk.CPUTimeSample",                 JFR_RULE_TIME,        JFR_CPU_TIME,           NULL,             "samplingPeriod", NULL, NULL},
    {"jdk.NativeMethodSample",            JFR_RULE_INTERVAL,    JFR_NATIVE_SAMPLE,      NULL,             NULL,             NULL, NULL},
    {"datadog.ExecutionSample",           JFR_RULE_INTERVAL,    JFR_CPU_DATADOG,        "weight",         NULL,             NULL, NULL},
    {"datadog.MethodSample",              JFR_RULE_INTERVAL,    JFR_WALL_DATADOG,       "weight",         NULL,             NULL, NULL},
    {"profiler.WallClockSample",          JFR_RULE_INTERVAL,    JFR_WALL_CLOCK,         "samples",        NULL,             NULL, NULL},
    {"jdk.ObjectAllocationInNewTLAB",     JFR_RULE_ONE_AMOUNT,  JFR_ALLOC_IN_NEW_TLAB,  "tlabSize",       NULL,             CLASS_OF_OBJECT},
    {"jdk.ObjectAllocationOutsideTLAB",   JFR_RULE_ONE_AMOUNT,  JFR_ALLOC_OUTSIDE_TLAB, "allocationSize", NULL,             CLASS_OF_OBJECT},
    {"jdk.ObjectAllocationSample",        JFR_RULE_ONE_AMOUNT,  JFR_ALLOC_SAMPLE,       "weight",         NULL,             CLASS_OF_OBJECT},
    {"datadog.ObjectSample",              JFR_RULE_WEIGHTED,    JFR_ALLOC_DATADOG,      "size",           NULL,             CLASS_OF_OBJECT},
    {"profiler.LiveObject",               JFR_RULE_ONE,         JFR_LIVE,               NULL,             NULL,             CLASS_OF_OBJECT},
    {"datadog.HeapLiveObject",            JFR_RULE_WEIGHTED,    JFR_LIVE_DATADOG,       "size",           NULL,             CLASS_OF_OBJECT},
    {"profiler.Malloc",                   JFR_RULE_ONE_AMOUNT,  JFR_MALLOC,             "size",           NULL,             NULL, NULL},
    {"datadog.NativeMemoryAllocation",    JFR_RULE_WEIGHTED,    JFR_MALLOC,             "size",           NULL,             NULL, NULL},
    {"jdk.JavaMonitorEnter",              JFR_RULE_ONE_TIME,    JFR_MUTEX,              NULL,             "duration",       CLASS_OF_LOCK},
    {"profiler.NativeLock",               JFR_RULE_ONE_TIME,    JFR_MUTEX,              NULL,             "duration",       NULL, NULL},
    {"jdk.ThreadPark",                    JFR_RULE_ONE_TIME,    JFR_BLOCK,              NULL,             "duration",       "parkedClass", "lock class"},
    {"jdk.JavaMonitorWait",               JFR_RULE_ONE_TIME,    JFR_BLOCK,              NULL,             "duration",       CLASS_OF_LOCK},
    {"jdk.FileRead",                      JFR_RULE_TIME_AMOUNT, JFR_FILE_READ,          "bytesRead",      "duration",       NULL, NULL},
    {"jdk.FileWrite",                     JFR_RULE_TIME_AMOUNT, JFR_FILE_WRITE,         "bytesWritten",   "duration",       NULL, NULL},
    {"jdk.SocketRead",                    JFR_RULE_TIME_AMOUNT, JFR_SOCKET_READ,        "bytesRead",      "duration",       NULL, NULL},
    {"jdk.SocketWrite",                   JFR_RULE_TIME_AMOUNT, JFR_SOCKET_WRITE,       "bytesWritten",   "duration",       NULL, NULL},
    {"datadog.ExceptionSample",           JFR_RULE_ONE,         JFR_EXCEPTION,          NULL,             NULL,             "type", "exception type"},
    {"profiler.MethodTrace",              JFR_RULE_ONE_TIME,    JFR_METHOD,             NULL,             "duration",       NULL, NULL},
    {"jdk.MethodTrace",                   JFR_RULE_ONE_TIME,    JFR_METHOD,             NULL,             "duration",       NULL, NULL},
    {"jdk.ActiveSetting",                 JFR_RULE_SETTING,     JFR_N_SOURCES,          NULL,             NULL,             NULL, NULL},
    {"datadog.DatadogProfilerConfig",     JFR_RULE_CONFIG,      JFR_N_SOURCES,          NULL,             NULL,             NULL, NULL},
    {"datadog.Endpoint",                  JFR_RULE_ENDPOINT,    JFR_N_SOURCES,          NULL,             NULL,             NULL, NULL},
};

/* Fields of any event that counts. */
static const struct {
    const char *field;
    enum jfr_slot slot;
} sample_slots[] = {
    {"stackTrace",      JFR_SLOT_STACK},
    {"state",           JFR_SLOT_STATE},
    {"spanId",          JFR_SLOT_SPAN},
    {"localRootSpanId", JFR_SLOT_ROOT},
    {"traceIdHi",       JFR_SLOT_TRACE_HI},
    {"traceIdLo",       JFR_SLOT_TRACE_LO},
    {"contextId",       JFR_SLOT_CONTEXT},
    {"spanName",        JFR_SLOT_SPAN_NAME},
};

/* Fields of those that do not. */
static const struct {
    enum jfr_rule rule;
    const char *field;
    enum jfr_slot slot;
} note_slots[] = {
    {JFR_RULE_SETTING,  "id",              JFR_SLOT_ID},
    {JFR_RULE_SETTING,  "name",            JFR_SLOT_NAME},
    {JFR_RULE_SETTING,  "value",           JFR_SLOT_VALUE},
    {JFR_RULE_CONFIG,   "cpuInterval",     JFR_SLOT_CPU},
    {JFR_RULE_CONFIG,   "wallInterval",    JFR_SLOT_WALL},
    {JFR_RULE_ENDPOINT, "endpoint",        JFR_SLOT_ENDPOINT},
    {JFR_RULE_ENDPOINT, "localRootSpanId", JFR_SLOT_ROOT},
};
/* clang-format on */

#define N(array) (sizeof(array) / sizeof *(array))

/* Strings of Datadog's events that are no attributes of a context. */
static const char *const no_attributes[] = {"mode", "type", "message", "operation"};

void jfr_bindings_deinit(struct jfr_bindings *b)
{
    free(b->at);
    free(b->of_class);
}

struct binder {
    struct jfr_binding *b;
    struct jfr_pools *pools;
    uint32_t text_class[JFR_SLOTS]; /* JFR_NONE: the slot is no constant */
};

static bool is(const struct jfr_field *f, const char *name)
{
    return name && bytes_equal(f->name, bytes_str(name));
}

static uint8_t note_slot(const struct jfr_event_type *type, const struct jfr_field *f)
{
    for (size_t i = 0; i < N(note_slots); i++)
        if (note_slots[i].rule == type->rule && is(f, note_slots[i].field))
            return (uint8_t)note_slots[i].slot;
    return JFR_NO_SLOT;
}

/* A string that the sample's context has: Datadog's own samples only. */
static bool is_attribute(struct binder *k, const struct jfr_field *f)
{
    uint32_t class = jfr_class_by_id(k->pools->m, f->class_id);

    if (!bytes_starts(bytes_str(k->b->type->name), BYTES_LIT("datadog.")) || class == JFR_NONE ||
        (!f->pooled && k->pools->m->classes[class].kind != JFR_STRING))
        return false;
    for (size_t i = 0; i < N(no_attributes); i++)
        if (is(f, no_attributes[i]))
            return false;
    return !bytes_equal(k->pools->m->classes[class].name, BYTES_LIT("java.lang.Thread")) &&
           !bytes_equal(k->pools->m->classes[class].name, BYTES_LIT("java.lang.Class"));
}

static uint8_t sample_slot(struct binder *k, const struct jfr_field *f)
{
    const struct jfr_event_type *type = k->b->type;

    for (size_t i = 0; i < N(sample_slots); i++)
        if (is(f, sample_slots[i].field))
            return (uint8_t)sample_slots[i].slot;
    if (is(f, type->amount))
        return JFR_SLOT_AMOUNT;
    if (is(f, type->time))
        return JFR_SLOT_TIME;
    if (is(f, type->label_field))
        return JFR_SLOT_LABEL;
    if (type->rule == JFR_RULE_WEIGHTED && is(f, "weight"))
        return JFR_SLOT_WEIGHT;
    if (is_attribute(k, f) && k->b->n_attributes < N(k->b->attribute)) {
        k->b->attribute[k->b->n_attributes] = f->name;
        return (uint8_t)(JFR_SLOT_ATTRIBUTE + k->b->n_attributes++);
    }
    return JFR_NO_SLOT;
}

static uint8_t slot_of(void *ctx, const struct jfr_field *f)
{
    struct binder *k = ctx;
    const struct jfr_event_type *type = k->b->type;
    uint8_t slot = type->rule >= JFR_RULE_SETTING ? note_slot(type, f) : sample_slot(k, f);
    uint32_t class = jfr_class_by_id(k->pools->m, f->class_id);

    if (slot == JFR_NO_SLOT)
        return slot;
    k->b->unit[slot] = f->unit;
    k->text_class[slot] = f->pooled && slot != JFR_SLOT_STACK ? class : JFR_NONE;
    return slot;
}

static const struct jfr_event_type *type_of(struct bytes name)
{
    if (!bytes_starts(name, BYTES_LIT("jdk.")) && !bytes_starts(name, BYTES_LIT("datadog.")) &&
        !bytes_starts(name, BYTES_LIT("profiler.")))
        return NULL;
    for (size_t i = 0; i < N(types); i++)
        if (bytes_equal(name, bytes_str(types[i].name)))
            return &types[i];
    return NULL;
}

static void bind_class(struct jfr_bindings *b, struct jfr_pools *pools, uint32_t class,
                       const struct jfr_event_type *type)
{
    struct binder k = {.pools = pools};

    XGROW(b->at, b->cap, (size_t)b->n + 1);
    k.b = &b->at[b->n];
    *k.b = (struct jfr_binding){.type = type};
    memset(k.text_class, 0xff, sizeof k.text_class);
    if (!jfr_compile(pools->m, class, slot_of, &k, &k.b->program))
        return;
    b->of_class[class] = (uint16_t)++b->n;
    for (unsigned i = 0; i < JFR_SLOTS; i++)
        jfr_pools_want_text(pools, k.text_class[i]);
}

void jfr_bindings_make(struct jfr_bindings *b, struct jfr_pools *pools)
{
    struct jfr_metadata *m = pools->m;

    b->n = 0;
    XGROW(b->of_class, b->of_class_cap, (size_t)m->n_classes + 1);
    memset(b->of_class, 0, m->n_classes * sizeof *b->of_class);
    for (uint32_t i = 0; i < m->n_classes; i++) {
        const struct jfr_event_type *type = type_of(m->classes[i].name);

        if (type && b->n < 2 * N(types)) /* more only if classes are there twice */
            bind_class(b, pools, i, type);
    }
}

const struct jfr_binding *jfr_binding_of(const struct jfr_bindings *b, const struct jfr_metadata *m,
                                         uint64_t type)
{
    uint32_t class = jfr_class_by_id(m, type);

    return class == JFR_NONE || b->of_class[class] == 0 ? NULL : &b->at[b->of_class[class] - 1];
}
