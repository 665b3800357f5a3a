/* Files of the command line: read whole, written whole; profiles decoded into an answer. */
#ifndef HEARTH_CLI_FILES_H
#define HEARTH_CLI_FILES_H

#include "base/err.h"
#include "cli/pprof_header.h"
#include "profile/profile.h"
#include "query/answer.h"

/* "-" is standard input or output. */
int file_read(const char *path, struct buf *out, struct failure *f);
int file_write(const char *path, struct bytes data, struct failure *f);

/*
 * Profiles of files added up, with tables of their own: one sum for each list of sample types, for
 * a file may hold several profiles (perf's events, JFR). All labels are kept as identity, as
 * google/pprof merges; time is the earliest, duration the sum, period the largest.
 */
struct loaded {
    struct symbols *symbols;
    struct stacks *stacks;
    struct locations *locations; /* NULL: the sums are of frames */
    struct decoder *decoder;
    struct pprof_reader *pprof;
    struct profile **sums; /* in order of appearance */
    size_t n_sums, cap_sums;
    struct profile *last;       /* the sum that a pprof went to last, or NULL */
    struct pprof_header header; /* of those that are pprof */
    bool minus;                 /* what is added next is taken off */
};
/* whole: the sums are of locations (profile/locations.h), to be written to a file again. */
void loaded_init(struct loaded *l, bool whole);
void loaded_deinit(struct loaded *l);
/* Adds an encoded profile in any format; name is for messages. format: NULL, or what
 * formats/decode.h calls it. */
int loaded_add(struct loaded *l, struct bytes body, const char *name, const char *format,
               struct failure *f);

/* After the last one: gives back what reading took. */
void loaded_end_reading(struct loaded *l);

/* A sum as gzip'd pprof, with the header of what was added. */
void loaded_write(const struct loaded *l, const struct profile *sum, struct buf *out);

/*
 * Finds a type. type: a sample type ("cpu"), a full name, or NULL: of CPU time where there is some,
 * else of the first sum; of it the default type, else the last (the convention of pprof).
 */
struct loaded_type {
    const struct profile *profile;
    uint32_t index;
};
int loaded_find(const struct loaded *l, const char *type, struct loaded_type *ret,
                struct failure *f);
/* The full name of a type (profile/types.h). */
void loaded_name(const struct loaded_type *t, struct profile_type *ret);
/* Adds one type to a side of the answer. */
int loaded_into_answer(const struct loaded *l, const char *type, struct answer *a,
                       struct answer_parts *parts, uint8_t side, struct failure *f);

#endif
