/*
 * JFR settings: what a chunk says about how it was recorded, and so what its samples stand for.
 */
#ifndef HEARTH_FORMATS_JFR_SETTINGS_H
#define HEARTH_FORMATS_JFR_SETTINGS_H

#include "formats/jfr/events.h"

/* What jdk.ExecutionSample is a sample of: async-profiler writes it for whatever it was told to. */
enum jfr_sampled {
    JFR_SAMPLED_CPU,
    JFR_SAMPLED_WALL,
    JFR_SAMPLED_EVENTS, /* neither: cache misses, page faults … */
};

struct jfr_settings {
    enum jfr_sampled sampled;
    char event[JFR_EVENT_NAME_MAX];
    int64_t interval[JFR_N_SOURCES]; /* ns; of JFR_OTHER_EVENT events. After jfr_settings_end never
                                        0 for the sources that have one */
    int64_t config_cpu, config_wall; /* as datadog.DatadogProfilerConfig has them, in ns */
};

void jfr_settings_begin(struct jfr_settings *s);
/* Takes the fields of a jdk.ActiveSetting or datadog.DatadogProfilerConfig. */
void jfr_settings_take(struct jfr_settings *s, struct jfr_pools *pools, const struct jfr_binding *b,
                       const struct jfr_value *slots);
/* Fills in the defaults of what was not told. */
void jfr_settings_end(struct jfr_settings *s);

/* "20 ms", "10000000" (ns) as ns; 0 if it is no time ("everyChunk"). */
int64_t jfr_period_ns(struct bytes text);

#endif
