/*
 * Decode: one upload's body, in any known format, told apart by its first bytes, to a profile.
 * The list of formats grows here and nowhere else.
 */
#ifndef HEARTH_FORMATS_DECODE_H
#define HEARTH_FORMATS_DECODE_H

#include "formats/pprof.h"

struct decode_limits {
    size_t inflated_max_bytes;
    struct pprof_limits pprof;
};

struct decoder;                 /* inflater, readers and their scratch; one thread */

struct decoder *decoder_new(const struct decode_limits *limits);
void decoder_free(struct decoder *d);

/* 0 with the format's name ("pprof") in *ret_format, or FAILURE: 415 unknown_format, or what inflate
 * and the format's reader say. Adds to into; after a failure no rows were added. stats may be NULL. */
int decode(struct decoder *d, struct bytes body, struct profile *into, const char **ret_format,
           struct pprof_stats *stats, struct failure *f);

#endif
