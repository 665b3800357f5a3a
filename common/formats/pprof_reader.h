/*
 * What the three steps of reading a pprof share. pprof.c scans the message and has the picture of
 * the whole; pprof_tables.c makes frames of its tables; pprof_samples.c makes rows of its samples.
 */
#ifndef HEARTH_FORMATS_PPROF_READER_H
#define HEARTH_FORMATS_PPROF_READER_H

#include "base/varint.h"
#include "formats/pprof.h"
#include "profile/table.h"

#define ID_NONE  UINT32_MAX
#define CODE_RUN (UINT32_C(1) << 31)
enum { KIND_UNKNOWN = 0xff };

/*
 * What the scan found: the numbers of the tables' entries, and where strings and samples stand. The
 * fields stand at the places of their numbers in profile.proto, so that they are read in place.
 */
struct wire_mapping {
    uint64_t none, id, start, limit, offset, file, build_id, flags[4];
};

struct wire_function {
    uint64_t none, id, name, system_name, file, start_line;
};

struct wire_line {
    uint64_t none, function_id, number, column;
};

struct wire_location {
    uint64_t none, id, mapping_id, address;
    uint32_t line, n_lines; /* first of pprof_reader.line, number */
};

/* Ids of the wire → indexes: an array while ids are about as many as entries, else a table. */
struct id_map {
    uint64_t *id; /* [index] */
    size_t id_cap;
    uint32_t *dense; /* [id] index, or ID_NONE */
    size_t dense_cap;
    uint64_t dense_n; /* 0: use the table */
    struct table sparse;
};

/*
 * What stands for a location: its frame, or, if it has several, CODE_RUN and its index. ID_NONE,
 * which has that bit too, is no location.
 */
struct run {
    uint32_t begin, n; /* of pprof_reader.frame */
};

struct module {
    uint64_t start, limit, offset;
    uint32_t mapping; /* symbol id */
};

/* Samples of one key: a row of the journal. */
struct row {
    uint32_t stack, labels, span;
    bool fold; /* something was set aside: there may be others like it */
};

/* A stack that was read but not yet looked up. */
struct pending {
    uint64_t hash;
    uint32_t begin, n; /* of pprof_reader.stack */
};

enum { PENDING_MAX = 32, PENDING_FRAMES = 2048 };

struct pprof_reader {
    /* of the profile being read */
    const struct profile_limits *limits;
    unsigned flags;
    struct profile *into;
    struct failure *f;
    struct decode_stats stats;
    struct bytes raw;

    /* the scan */
    struct bytes type[PROFILE_TYPES_MAX], period_type;
    bool has_period_type;
    uint32_t n_types;
    int64_t time_ns, duration_ns, period;
    uint64_t default_type;
    uint32_t n_strings, n_mappings, n_functions, n_locations; /* counted on above the limit */
    struct bytes *string;
    struct wire_mapping *mapping;
    struct wire_function *function;
    struct wire_location *location;
    struct wire_line *line;
    struct bytes *samples; /* stretches of raw that have all samples, and other fields at times */
    uint32_t n_lines, n_samples;
    size_t string_cap, mapping_cap, function_cap, location_cap, line_cap, samples_cap;
    struct id_map mapping_ids, function_ids, location_ids;

    /* the tables */
    uint32_t *string_id; /* [string] symbol id, or ID_NONE: not asked for yet */
    uint8_t *label_kind; /* [string] as a label's key: enum label_kind, or KIND_UNKNOWN */
    size_t string_id_cap, label_kind_cap;
    struct buf text;
    struct module *module;
    size_t module_cap;
    struct function *new_function;
    uint32_t *function_symbol; /* [function] symbol id */
    size_t new_function_cap, function_symbol_cap;
    bool functions_by_place; /* .NET: all ids are 0; function i is location i's */
    struct frame *new_frame;
    uint32_t *frame; /* frames of all locations */
    size_t n_frame, new_frame_cap, frame_cap;
    struct run *run;         /* [location] */
    uint32_t *location_code; /* [location] */
    size_t run_cap, location_code_cap;
    uint32_t nodes_before;

    /* the sample being read */
    uint32_t n_stack;
    uint64_t lost_frames; /* not stored, for there are too many */
    int64_t *value;       /* of its row */
    uint32_t n_values;
    struct label *label;
    size_t n_labels, label_cap;
    struct span span;
    bool set_aside; /* something of it was */

    /* stacks not yet looked up; their rows stand at the end of the journal */
    uint32_t *stack; /* leaf first, one behind the other */
    size_t stack_cap, stack_end;
    struct pending pending[PENDING_MAX];
    uint32_t n_pending;

    /* the journal */
    uint32_t n_rows;
    struct row *row;
    int64_t *row_values; /* n_types a row */
    size_t row_cap, row_values_cap;
    struct table folded; /* key → row, of rows that are to fold */
    uint64_t saturated;
};

int pprof_malformed(struct pprof_reader *r, const char *what);
int pprof_above_limit(struct pprof_reader *r, const char *what, uint64_t n, uint32_t max,
                      const char *setting);

/* Asked for every sample, so the answer nearly always given is inline. */
static inline int pprof_check_limit(struct pprof_reader *r, const char *what, uint64_t n,
                                    uint32_t max, const char *setting)
{
    return n <= max ? 0 : pprof_above_limit(r, what, n, max, setting);
}

/* Interns what the scan found: all that samples refer to, locations as runs of frames. 0 or
 * FAILURE. */
int pprof_read_tables(struct pprof_reader *r);
/* Symbol id of a string of the wire; "" where there is none. */
uint32_t pprof_new_string(struct pprof_reader *r, uint64_t index);
static inline uint32_t pprof_string(struct pprof_reader *r, uint64_t index)
{
    if (index < r->n_strings && r->string_id[index] != ID_NONE)
        return r->string_id[index];
    return pprof_new_string(r, index);
}
/* The code of a location where ids are not dense. */
uint32_t pprof_sparse_location(const struct pprof_reader *r, uint64_t id);

/* Makes the journal. 0 or FAILURE. */
int pprof_read_samples(struct pprof_reader *r);

#endif
