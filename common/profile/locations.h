/*
 * Locations: what a stack is made of where files are merged whole.
 *
 * google/pprof tells samples apart by their locations: by mapping, address in it and all lines with
 * their columns. A window does not care at which instruction of a line a sample was taken, and its
 * stacks are of frames (symbols.h). But whoever merges files wants them merged, not summarised: a
 * profile with `locations` has the ids of this table in its stacks where others have frame ids.
 *
 * Equality is that of google/pprof (profile/merge.go, Go module v0.0.0-2025): of mappings the size
 * in pages, the offset and the build id, or the file where there is none; what else is said of a
 * mapping (its start, its flags) is that of the first. Addresses count from the mapping's start, so
 * that those of two processes are the same, whatever the loader did.
 *
 * Ids are dense, 0 is "none", and an entry never changes. One thread owns a table.
 */
#ifndef HEARTH_PROFILE_LOCATIONS_H
#define HEARTH_PROFILE_LOCATIONS_H

#include "base/bytes.h"

/* What is known of a mapping's symbols, as pprof has it. */
enum { HAS_FUNCTIONS = 1, HAS_FILENAMES = 2, HAS_LINE_NUMBERS = 4, HAS_INLINE_FRAMES = 8 };

struct location_mapping {
    uint64_t start, limit, offset;
    uint32_t file, build_id; /* string ids of the profile's symbols */
    uint8_t has;             /* HAS_… */
};

struct location_line {
    int64_t line, column;
    uint32_t function; /* of the profile's symbols */
};

struct location {
    uint64_t address; /* from the mapping's start; of no mapping as it is */
    uint32_t mapping; /* 0: none */
    uint32_t n_lines; /* innermost first; 0: not symbolised */
    bool folded;
};

struct locations;

struct locations *locations_new(void);
void locations_free(struct locations *l); /* NULL is fine */

/* The id, new or known. */
uint32_t locations_mapping(struct locations *l, const struct location_mapping *m);
/* The ids of at[n], whose lines stand in lines, one location's behind the other's. */
void locations_intern(struct locations *l, const struct location *at,
                      const struct location_line *lines, size_t n, uint32_t *ret);

/* Reading. Ids must be below the counts (asserted); views are valid until something is added. */
uint32_t locations_count(const struct locations *l);
uint32_t locations_n_mappings(const struct locations *l);
const struct location_mapping *locations_get_mapping(const struct locations *l, uint32_t id);
const struct location *locations_get(const struct locations *l, uint32_t id,
                                     const struct location_line **ret_lines);

#endif
