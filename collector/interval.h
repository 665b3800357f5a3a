/*
 * When a profile was taken: from the request's bounds, else the profile's own time, else its
 * arrival. One bound alone: the profile's duration gives the other. Pure.
 */
#ifndef HEARTH_COLLECTOR_INTERVAL_H
#define HEARTH_COLLECTOR_INTERVAL_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct time_bound {
    bool given;
    int64_t ns; /* Unix time */
};

struct interval_rules {
    struct time_bound from, until;
    int64_t now_ns;        /* of arrival */
    int64_t future_max_ms; /* INT64_MAX: no limit */
};

/* time_ns, duration_ns: the profile's; 0 (or less): unknown. 0 or FAILURE (400). */
int interval_of(const struct interval_rules *r, int64_t time_ns, int64_t duration_ns,
                int64_t *ret_start_ns, int64_t *ret_end_ns, struct failure *f);

enum { INTERVAL_WARNING_MAX = 200 };
/* What is to be said of a profile so old that aggregators do not count it, as far as can be known
 * here: by their default for late_max. remedy: what gives it today's time, in the user's words.
 * False: nothing, and out is as it was. end_ns 0: not known. */
bool interval_warning(int64_t end_ns, int64_t now_ns, const char *remedy,
                      char out[INTERVAL_WARNING_MAX]);

#endif
