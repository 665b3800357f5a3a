/*
 * event.json, version 4: what a Datadog profiler says about an upload beside its attachments.
 * Fields that nothing here uses (info, internal, custom_attributes) are read over, whatever they
 * hold.
 *
 * Pure. Texts are copies in the caller's arena, not yet checked: whoever makes tags of them does
 * it.
 */
#ifndef HEARTH_COLLECTOR_DATADOG_EVENT_H
#define HEARTH_COLLECTOR_DATADOG_EVENT_H

#include "base/arena.h"
#include "base/err.h"

enum { EVENT_BYTES_MAX = 1 << 20, EVENT_DEPTH_MAX = 32 };

/* Empty: not said. */
struct datadog_event {
    struct bytes tags;         /* tags_profiler: "service:web,env:prod,runtime-id:…" */
    struct bytes process_tags; /* the same shape */
    struct bytes family;       /* "go", "python", "node", "java" … */
    struct bytes start, end;   /* RFC 3339 */
    uint32_t n_endpoints;      /* entries of endpoint_counts */
};

/* 0 or FAILURE (400, or 413 above the caps). A field given twice: the first holds. */
int datadog_event_read(struct datadog_event *ev, struct bytes json, struct arena *arena,
                       struct failure *f);

#endif
