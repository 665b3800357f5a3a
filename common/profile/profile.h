/*
 * Profile: samples = (stack, label set) with one signed value per sample type.
 *
 * The one shape between the formats and everything else. Readers (formats/pprof.h, wire/record.h)
 * *add* to a profile: reading many into one is merging them. Rows with equal stack and equal
 * identity labels, and in the same span, are summed. Symbols and stacks are borrowed, so that they
 * may be one upload's own, or a service's that live for days and are shared by all its series.
 *
 * Sums saturate at the ends of int64_t and are counted in `saturated`. One thread owns a profile.
 */
#ifndef HEARTH_PROFILE_PROFILE_H
#define HEARTH_PROFILE_PROFILE_H

#include "profile/stacks.h"
#include "profile/symbols.h"

enum { PROFILE_TYPES_MAX = 64 };

/* A sample label: string value, or number with a unit. String ids of profile->symbols. */
struct label {
    uint32_t key;
    uint32_t str;               /* 0: numeric */
    int64_t num;
    uint32_t unit;
};

/*
 * The span a sample was taken in, as far as its agent says: ids as big-endian numbers, 0 unknown
 * (Datadog has span and root, Pyroscope the span, OTLP trace and span). The endpoint is a label.
 */
struct span {
    uint64_t trace_hi, trace_lo, root, id;
};

struct sample_type {
    uint32_t name, unit;        /* string ids: "cpu", "nanoseconds" */
};

struct profile {
    struct symbols *symbols;    /* borrowed */
    struct stacks *stacks;      /* borrowed; may have stacks of others, too */
    struct locations *locations;    /* borrowed; NULL: the stacks are of frames (locations.h) */

    uint32_t n_types;
    struct sample_type types[PROFILE_TYPES_MAX];
    struct sample_type period_type;
    int64_t period;
    int64_t time_ns;            /* 0: unknown */
    int64_t duration_ns;        /* 0: unknown */
    uint32_t default_type;      /* string id of the default sample type's name, or 0 */

    uint32_t n_rows;
    uint32_t *row_stack;        /* [n_rows] */
    uint32_t *row_labels;       /* [n_rows] label set id; 0: none */
    uint32_t *row_span;         /* [n_rows] span id; 0: none. NULL while no row has a span */
    int64_t *values[PROFILE_TYPES_MAX];     /* [n_types][n_rows] */

    uint64_t saturated;         /* additions that hit the end of int64_t */
    struct profile_index *index;            /* private: (stack, labels, span) → row, the sets */
};

void profile_init(struct profile *p, struct symbols *symbols, struct stacks *stacks);
void profile_deinit(struct profile *p);
/* Forgets types, rows and label sets, keeps memory. Symbols and stacks are the caller's to reset. */
void profile_reset(struct profile *p);

/* Declares the types of what is added next. An empty profile takes them; a profile that has types
 * accepts the same list only. 0 or PROFILE_E_TYPES. */
enum { PROFILE_E_TYPES = 1 };
int profile_set_types(struct profile *p, const struct sample_type *types, uint32_t n);
/* Forgets a type with its values. Rows stay, also those that had no other value. */
void profile_drop_type(struct profile *p, uint32_t type);

/* The id of a set of labels (sorted and deduplicated here; labels is scratch). n = 0 gives 0. */
uint32_t profile_labels(struct profile *p, struct label *labels, size_t n);
/* The labels of a set, in the order of their ids. */
const struct label *profile_label_set(const struct profile *p, uint32_t id, size_t *ret_n);
/* The same to out, in the order of their texts, which is that of any other table, too: for what is
 * written or shown. Their number is that of the set. */
void profile_label_set_by_text(const struct profile *p, uint32_t id, struct label *out);
uint32_t profile_n_label_sets(const struct profile *p);     /* set 0 (empty) included */

/* The id in p of a set of another profile that shares its symbols. */
uint32_t profile_copy_labels(struct profile *p, const struct profile *from, uint32_t id);

/* Adds values[0..n_types) to the row of (stack, labels). */
void profile_add(struct profile *p, uint32_t stack, uint32_t labels, const int64_t *values);

/* The id of a span; all zeros gives 0. */
uint32_t profile_span(struct profile *p, const struct span *span);
const struct span *profile_get_span(const struct profile *p, uint32_t id);
uint32_t profile_n_spans(const struct profile *p);          /* span 0 (none) included */
/* profile_add to the row of (stack, labels, span). */
void profile_add_in_span(struct profile *p, uint32_t stack, uint32_t labels, uint32_t span,
                         const int64_t *values);

/* Sum of one type over all rows, saturating. */
int64_t profile_total(const struct profile *p, uint32_t type);
/* Memory, without symbols and stacks. */
size_t profile_bytes(const struct profile *p);

/* a + b; on overflow the end of the range, and ++*saturated. */
static inline int64_t add_saturating(int64_t a, int64_t b, uint64_t *saturated)
{
    int64_t r;

    if (__builtin_add_overflow(a, b, &r)) {
        ++*saturated;
        return a < 0 ? INT64_MIN : INT64_MAX;
    }
    return r;
}

/* A sum that had no end, at the ends of int64_t. */
static inline int64_t cut_to_int64(__int128 sum)
{
    return sum < INT64_MIN ? INT64_MIN : sum > INT64_MAX ? INT64_MAX : (int64_t)sum;
}

#endif
