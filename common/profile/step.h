/*
 * Step: what all values of a column are multiples of (samples of 10 ms, objects of 16 bytes). Stored
 * columns hold value / step.
 */
#ifndef HEARTH_PROFILE_STEP_H
#define HEARTH_PROFILE_STEP_H

#include "base/varint.h"

/* |v|, which can need all 64 bits. */
static inline uint64_t magnitude(int64_t v)
{
    return v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
}

/* The step of a column that had `step` (0: no value but 0 so far) when v comes to it. */
static inline uint64_t step_with(uint64_t step, int64_t v)
{
    uint64_t a = magnitude(v), b = step;

    while (b) {
        uint64_t rest = a % b;

        a = b;
        b = rest;
    }
    return a;
}

/* step: of a column that has v, at least 1. */
static inline uint64_t step_encode(int64_t v, uint64_t step)
{
    uint64_t m = step == 1 ? magnitude(v) : magnitude(v) / step;

    return zigzag((int64_t)(v < 0 ? 0 - m : m));
}

static inline int64_t step_decode(uint64_t code, uint64_t step)
{
    /* Unsigned: a product that nobody can have written wraps; one that was written fits. */
    return (int64_t)((uint64_t)unzigzag(code) * step);
}

#endif
