/*
 * Exponential backoff with full jitter: the wait before try n is random in [min, min * 2^n], at
 * most max. Pure but for the random numbers.
 */
#ifndef HEARTH_BASE_BACKOFF_H
#define HEARTH_BASE_BACKOFF_H

#include <stdint.h>

struct backoff {
    uint32_t min_ms, max_ms, tries;
};

uint32_t backoff_next(struct backoff *b);   /* ms to wait now */

static inline void backoff_reset(struct backoff *b)
{
    b->tries = 0;
}

#endif
