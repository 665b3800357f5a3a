/*
 * Sketch: how many distinct instances were seen. HyperLogLog of 64 registers, within about 13 % (small
 * numbers are nearly exact). Union is the maximum of each register, so a sketch of a range never
 * counts an instance twice.
 */
#ifndef HEARTH_WIRE_SKETCH_H
#define HEARTH_WIRE_SKETCH_H

#include <stdint.h>

enum { SKETCH_BYTES = 64 };

struct sketch {
    uint8_t reg[SKETCH_BYTES];
};

void sketch_add(struct sketch *s, uint64_t hash);       /* hash: well mixed in all bits */
void sketch_union(struct sketch *s, const struct sketch *other);
double sketch_estimate(const struct sketch *s);

#endif
