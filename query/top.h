/* Top: an answer's functions, keyed by name and file, by their self or total. */
#ifndef HEARTH_QUERY_TOP_H
#define HEARTH_QUERY_TOP_H

#include "query/answer.h"

struct top_row {
    uint32_t frame;
    int64_t self[SIDES_MAX], total[SIDES_MAX];
};

struct top {
    struct top_row *rows; /* in order; functions that have only zeros are not there */
    size_t n;
    int64_t sum[SIDES_MAX];
};

/* a is at function granularity: a frame is a function. Of a difference, rows go by |b − a|. */
void top_init(struct top *top, const struct answer *a, enum top_sort sort);
void top_deinit(struct top *top);

#endif
