/*
 * pprof (google/pprof proto/profile.proto): a streaming reader that adds to a profile, and a writer.
 *
 * The reader walks the wire twice (Go writes the string table last, libdatadog writes samples
 * first): pass one finds the tables and counts, pass two decodes. It allocates nothing per message,
 * and bounds every count and index before use. It is lenient where real producers are sloppy; each
 * repair is listed in pprof.c and counted in struct pprof_stats.
 */
#ifndef HEARTH_FORMATS_PPROF_H
#define HEARTH_FORMATS_PPROF_H

#include "base/err.h"
#include "profile/profile.h"

struct pprof_limits {
    uint32_t samples_max;       /* refuse above */
    uint32_t depth_max;         /* refuse above: a stack of more locations */
    uint32_t locations_max, functions_max, strings_max;
    uint32_t labels_max;        /* per sample, refuse above */
};
extern const struct pprof_limits pprof_limits_default;

enum pprof_flags {
    PPROF_LABELS_ALL = 1,   /* numeric labels are identity too, as in google/pprof's merge */
};

/* What the reader repaired or set aside in one profile. */
struct pprof_stats {
    uint32_t samples;           /* on the wire, before equal ones were summed */
    uint32_t dropped_samples;   /* dangling location ids */
    uint32_t bad_strings;       /* string indexes out of range, read as "" */
    uint32_t labels_set_aside;  /* timestamps, span ids, addresses: they would make samples unique */
    uint32_t utf8_repaired;     /* strings whose bad bytes became U+FFFD */
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

/* Writes the whole profile (plain protobuf). */
void pprof_write(const struct profile *p, struct buf *out);

#endif
