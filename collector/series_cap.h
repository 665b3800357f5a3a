/*
 * Series cap: how many distinct series each service has shown in a day, and how many services. What
 * exceeds a cap is not refused: it goes on under `__other__`, so that totals stay right and
 * somebody sees that tags run wild. Series that stay away are forgotten after one to two days. Any
 * thread: it has a lock.
 */
#ifndef HEARTH_COLLECTOR_SERIES_CAP_H
#define HEARTH_COLLECTOR_SERIES_CAP_H

#include "profile/series.h"

struct series_cap;

struct series_cap *series_cap_new(uint32_t services_max, uint32_t series_max);
void series_cap_free(struct series_cap *c);

enum series_verdict { SERIES_KNOWN, SERIES_OTHER, SERVICE_OTHER };
/* SERIES_OTHER: its tags, SERVICE_OTHER: its service name too, must become `__other__`. */
enum series_verdict series_cap_admit(struct series_cap *c, struct bytes tenant,
                                     struct bytes service, const struct tags *series,
                                     int64_t now_ms);
/* The limit that a verdict speaks of. */
uint32_t series_cap_limit(const struct series_cap *c, enum series_verdict v);

#endif
