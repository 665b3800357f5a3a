/*
 * pprof (google/pprof proto/profile.proto): a streaming reader that adds to a profile, and a writer.
 *
 * The reader scans the wire once for where the messages of each field stand (Go writes the string
 * table last, libdatadog writes samples first), and then reads those, the tables before the samples.
 * It allocates nothing per message, and bounds every count and index before use. It is lenient where
 * real producers are sloppy, and refuses what would lose value; pprof.c has the table of cases, struct
 * decode_stats the counts.
 */
#ifndef HEARTH_FORMATS_PPROF_H
#define HEARTH_FORMATS_PPROF_H

#include "formats/reader.h"

enum pprof_flags {
    /* As google/pprof merges: all labels are identity, numeric ones too, and lines are kept as they
     * are. For files of the user's own; uploads would have a stack per sample. */
    PPROF_LABELS_ALL = 1,
    /* Keep span and trace ids: rows of (stack, labels, span). Else they are set aside. */
    PPROF_SPANS = 2,
};

struct pprof_reader;            /* scratch that is kept from profile to profile; one thread */

struct pprof_reader *pprof_reader_new(void);
void pprof_reader_free(struct pprof_reader *r);

/*
 * Adds the profile in raw (plain protobuf) to into. 0, or FAILURE with f filled and into possibly
 * holding new symbols, stacks and label sets, but no new rows. stats may be NULL. If into has
 * locations (profile/locations.h) its stacks are of those.
 */
int pprof_read(struct pprof_reader *r, struct bytes raw, const struct profile_limits *limits,
               unsigned flags, struct profile *into, struct decode_stats *stats, struct failure *f);
/* Whether what was read last has a field of those that no profile keeps: comments, doc_url, and the
 * frames to drop and keep. */
bool pprof_has_notes(const struct pprof_reader *r);

/* Writes the whole profile (plain protobuf): label sets, time, duration and period with it; rows that
 * add up to nothing are left out. */
void pprof_write(const struct profile *p, struct buf *out);

struct tree;
/*
 * Writes a tree as a profile of one sample type, a sample per node with weight of its own; of a
 * difference the values are b − a. TREE_OTHER becomes the function "(other)".
 */
void pprof_write_tree(const struct tree *t, const struct symbols *sym, struct bytes type,
                      struct bytes unit, int64_t time_ns, int64_t duration_ns, struct buf *out);

#endif
