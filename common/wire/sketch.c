/* The upper six bits of a hash choose the register, the rest's leading zeros are its rank. While
 * many registers are empty, their number says more than the ranks do (linear counting). */
#include "wire/sketch.h"

#include <math.h>

enum { INDEX_BITS = 6 };

void sketch_add(struct sketch *s, uint64_t hash)
{
    uint8_t *reg = &s->reg[hash >> (64 - INDEX_BITS)];
    uint64_t rest = hash << INDEX_BITS | UINT64_C(1) << (INDEX_BITS - 1); /* ends the zeros */
    uint8_t rank = (uint8_t)(__builtin_clzll(rest) + 1);

    if (*reg < rank)
        *reg = rank;
}

void sketch_union(struct sketch *s, const struct sketch *other)
{
    for (int i = 0; i < SKETCH_BYTES; i++)
        if (s->reg[i] < other->reg[i])
            s->reg[i] = other->reg[i];
}

double sketch_estimate(const struct sketch *s)
{
    const double m = SKETCH_BYTES, alpha = 0.709;
    double sum = 0, empty = 0, estimate;

    for (int i = 0; i < SKETCH_BYTES; i++) {
        sum += ldexp(1, -s->reg[i]);
        empty += s->reg[i] == 0;
    }
    estimate = alpha * m * m / sum;
    return estimate <= 2.5 * m && empty > 0 ? m * log(m / empty) : estimate;
}
