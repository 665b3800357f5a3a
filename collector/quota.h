/*
 * Quota: how many uploads, and bytes of them, each tenant may send in a second, on the average over a
 * burst. Agents send in step, once in ten to sixty seconds: a burst should hold one such round.
 *
 * An upload is let through while there is something left, whatever its size, and what it is too
 * large by is owed. Memory is bounded: of very many tenants, those that sent the longest ago begin
 * anew. Loop thread only.
 */
#ifndef HEARTH_COLLECTOR_QUOTA_H
#define HEARTH_COLLECTOR_QUOTA_H

#include "base/bytes.h"
#include "base/err.h"

struct quota_limits {
    int64_t uploads_per_s, bytes_per_s;     /* 0: unlimited */
    int64_t burst_ms;
};

struct quota;

struct quota *quota_new(const struct quota_limits *limits);
void quota_free(struct quota *q);           /* NULL is fine */
/* Takes one upload of so many bytes. 0 or FAILURE (429 rate_limited) with nothing taken. now_ms: of a
 * clock that does not go back. */
int quota_take(struct quota *q, struct bytes tenant, size_t n_bytes, int64_t now_ms,
               struct failure *f);

#endif
