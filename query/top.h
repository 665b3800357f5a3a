/* Top: an answer's functions, keyed by name and file, by their self or total. */
#ifndef HEARTH_QUERY_TOP_H
#define HEARTH_QUERY_TOP_H

#include "query/answer.h"

struct top_row {
    uint32_t frame; /* the function's first */
    int64_t self[SIDES_MAX], total[SIDES_MAX];
    long double weight[2]; /* of self and of total: |v| of one side, |b − a| of two, as shown */
};

struct top {
    struct top_row *rows; /* in order; functions that have only zeros are not there */
    size_t n;
    int64_t sum[SIDES_MAX];
    uint64_t saturated; /* additions that a function's lines took beyond int64_t */
    uint64_t mean_of[SIDES_MAX]; /* profiles that a value shown is the mean of; 1 of a flow */
};

/* Whatever granularity the answer has: lines of a function are summed, and recursion counts once.
 * Of a difference, rows go by |b − a|, as they are shown. */
void top_init(struct top *top, const struct answer *a, enum top_sort sort);
void top_deinit(struct top *top);

/*
 * What people are shown of a side's value: of a flow the value itself, of a snapshot the mean of
 * one profile, for the sum of a heap over ten of its profiles is in use nowhere. Programs get sums.
 * A long double holds every int64_t exactly.
 */
long double top_shown(const struct top *top, uint32_t side, int64_t value);

#endif
