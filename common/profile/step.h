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

/* The step of a column of which `step` was that (0: it had no value but 0) and v comes next. */
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

/* Step ≥ 1. */
static inline uint64_t step_encode(int64_t v, uint64_t step)
{
    uint64_t m = step == 1 ? magnitude(v) : magnitude(v) / step;

    return zigzag((int64_t)(v < 0 ? 0 - m : m));
}

static inline int64_t step_decode(uint64_t code, uint64_t step)
{
    return (int64_t)((uint64_t)unzigzag(code) * step); /* wraps: who wrote it had such a value */
}

#endif
