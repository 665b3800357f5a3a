/*
 * Times in query parameters: Unix time told apart by its size (below 10^11 seconds, below 10^14
 * milliseconds, below 10^17 microseconds, else nanoseconds), RFC 3339 ("2026-11-24T15:00:00Z", with
 * a fraction and an offset), "now", "now-1h", "now+30s". Pure.
 */
#ifndef HEARTH_NET_TIMEPARAM_H
#define HEARTH_NET_TIMEPARAM_H

#include "base/bytes.h"

/* 0 with Unix nanoseconds, or -EINVAL. now_ns is what "now" stands for. */
int time_param(struct bytes s, int64_t now_ns, int64_t *ret_ns);

#endif
