/*
 * Plan: which windows a range needs, and the range they cover. Pure.
 *
 * The range [from, until) is widened to the base windows it touches. What is read follows the
 * windows that the index names, not the length of the range.
 */
#ifndef HEARTH_QUERY_PLAN_H
#define HEARTH_QUERY_PLAN_H

#include "base/bytes.h"
#include "store/keys.h"

struct range {
    int64_t from_ns, until_ns; /* from < until */
};

/* The range widened to windows of res_s seconds, saturating at the ends of int64_t. */
struct range range_widen(struct range r, uint32_t res_s);

struct window {
    int64_t t_s;
    struct index_entry version;
};

/* The windows of an index hash (t → entry) that lie in the widened range and have not expired at
 * now_ms, in order of time. Entries that cannot be read are counted in *ret_bad. Appends to
 * *windows (XGROW'n); returns how many. */
size_t plan_windows(const struct bytes *fields, const struct bytes *values, size_t n,
                    struct range r, uint32_t res_s, int64_t now_ms, struct window **windows,
                    size_t *cap, size_t *len, size_t *ret_bad);

#endif
