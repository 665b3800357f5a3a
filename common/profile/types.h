/*
 * Profile types: Pyroscope's five parts `name:sample_type:unit:period_type:period_unit` are the
 * vocabulary; what agents call theirs maps onto it through one table (types.c, printed in
 * docs/types.md). Unknown ones keep their own names: the fallback is
 * `<name hint or period type or sample type>:<sample type>:<unit>:<period type>:<period unit>`.
 */
#ifndef HEARTH_PROFILE_TYPES_H
#define HEARTH_PROFILE_TYPES_H

#include "base/bytes.h"

/* How values of a type add up over time (design, words). */
enum type_kind {
    TYPE_FLOW,          /* sums over time: cpu, allocations, lock waits */
    TYPE_SNAPSHOT,      /* never sums: heap live, goroutines; shown as Σvalue / profiles */
};

enum { TYPE_NAME_MAX = 256 };

struct profile_type {
    char name[TYPE_NAME_MAX];       /* the five parts, NUL-terminated */
    enum type_kind kind;
};

/* hint: the name the agent or user gave this family ("block", "mutex", "memory"), or empty. Parts
 * with ':' or control bytes are cleaned to '_', too long ones are cut. */
void profile_type_of(struct profile_type *out, struct bytes sample_type, struct bytes unit,
                     struct bytes period_type, struct bytes period_unit, struct bytes hint);
/* The kind of a five-part name, for readers of the store. */
enum type_kind profile_type_kind(struct bytes name);
/* The alias table as Markdown, for docs/types.md. */
void profile_types_markdown(struct buf *out);
/* Unit part of a five-part name ("nanoseconds"). Empty if malformed. */
struct bytes profile_type_unit(struct bytes name);

#endif
