/*
 * pprof (google/pprof proto/profile.proto): a streaming reader that adds to a profile, and a writer.
 *
 * The reader walks the wire twice (Go writes the string table last, libdatadog writes samples
 * first): pass one finds the tables and counts, pass two decodes. It allocates nothing per message,
 * and bounds every count and index before use. It is lenient where real producers are sloppy, and
 * refuses what would lose value; pprof.c has the table of cases, struct pprof_stats the counts.
 */
#ifndef HEARTH_FORMATS_PPROF_H
#define HEARTH_FORMATS_PPROF_H

#include "base/err.h"
#include "profile/profile.h"

struct pprof_limits {
    uint32_t samples_max;       /* refuse above */
    uint32_t depth_max;         /* refuse above: frames of one stack, inlined ones counted */
    uint32_t locations_max, functions_max, strings_max;     /* mappings: as functions */
    uint32_t labels_max;        /* per sample, not counting those set aside */
    uint32_t values_max;        /* samples * sample types */
    uint32_t lines_max;         /* of all locations together */
    uint32_t nodes_max;         /* new nodes in the tree of stacks */
};
extern const struct pprof_limits pprof_limits_default;

enum pprof_flags {
    /* As google/pprof merges: all labels are identity, numeric ones too, and lines are kept as they
     * are. For files of the user's own; uploads would have a stack per sample. */
    PPROF_LABELS_ALL = 1,
};

/* What the reader repaired or set aside in one profile. */
struct pprof_stats {
    uint32_t samples;           /* on the wire, before equal ones were summed */
    uint32_t zero_samples;      /* all values 0: nothing to count */
    uint32_t duplicate_ids;     /* mapping, function or location ids given twice: the first holds */
    uint32_t dangling_refs;     /* lines without their function, locations without their mapping */
    uint32_t bad_strings;       /* string indexes out of range, read as "" */
    uint32_t labels_set_aside;  /* timestamps, span ids, addresses: they would make samples unique */
    uint32_t utf8_repaired;     /* strings whose bad bytes became U+FFFD */
    uint32_t strings_cut;       /* longer than 65,535 bytes */
};

struct pprof_reader;            /* scratch that is kept from profile to profile; one thread */

struct pprof_reader *pprof_reader_new(void);
void pprof_reader_free(struct pprof_reader *r);

/*
 * Adds the profile in raw (plain protobuf) to into. 0, or FAILURE with f filled and into possibly
 * holding new symbols but no new rows. stats may be NULL.
 */
int pprof_read(struct pprof_reader *r, struct bytes raw, const struct pprof_limits *limits,
               unsigned flags, struct profile *into, struct pprof_stats *stats, struct failure *f);

/* Writes the whole profile (plain protobuf): label sets, time, duration and period with it. */
void pprof_write(const struct profile *p, struct buf *out);

struct tree;
/*
 * Writes a tree as a profile of one sample type, a sample per node with weight of its own; of a
 * difference the values are b − a. TREE_OTHER becomes the function "(other)".
 */
void pprof_write_tree(const struct tree *t, const struct symbols *sym, struct bytes type,
                      struct bytes unit, int64_t time_ns, int64_t duration_ns, struct buf *out);

#endif
