/*
 * What came since: of a pprof that counts from the start of a process, the part after an earlier
 * one. Pure; any thread.
 */
#ifndef HEARTH_COLLECTOR_PULL_DELTA_H
#define HEARTH_COLLECTOR_PULL_DELTA_H

#include "formats/pprof.h"

/*
 * now, before: plain pprof; before may be empty. Appends a pprof to out: types that add up over
 * time (profile/types.h) less what they were before, from its time on; snapshots as they are now.
 * Without a before the types that add up are left out; nothing is appended when no type is left. A
 * process that began anew since, which a smaller total shows, is taken from its start. 0 or
 * FAILURE.
 */
int pull_delta(struct bytes now, struct bytes before, struct bytes family,
               const struct profile_limits *limits, struct buf *out, struct failure *f);

#endif
