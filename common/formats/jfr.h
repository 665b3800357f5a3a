/*
 * JFR (Java Flight Recorder), 2.0 and 2.1: read by each chunk's own metadata, never by fixed field
 * orders. A body is any number of chunks, of several recordings and producers; type and constant ids
 * hold within a chunk only. Unfinished chunks are skipped and counted.
 *
 * Events become profiles by the table in jfr_events.c (docs/formats.md has it): one profile per kind
 * (cpu, wall, allocations, live heap, locks, I/O, exceptions), values scaled by the recording's own
 * intervals (jdk.ActiveSetting, datadog.DatadogProfilerConfig). Names that the JVM generates (lambda
 * forms, hidden classes, accessors) are normalised. Endpoint and span context are joined.
 */
#ifndef HEARTH_FORMATS_JFR_H
#define HEARTH_FORMATS_JFR_H

#include "formats/reader.h"

struct jfr_reader;              /* scratch; one thread */

struct jfr_reader *jfr_reader_new(void);
void jfr_reader_free(struct jfr_reader *r);
bool is_jfr(struct bytes raw);  /* begins with "FLR\0" */
int jfr_read(struct jfr_reader *r, struct bytes raw, struct reading *rd);

#endif
