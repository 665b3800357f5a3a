/*
 * What the three steps of reading a pprof share. pprof.c scans the message and has the picture of
 * the whole; pprof_tables.c and pprof_locations.c make frames of its tables; pprof_samples.c makes
 * rows of its samples.
 */
#ifndef HEARTH_FORMATS_PPROF_READER_H
#define HEARTH_FORMATS_PPROF_READER_H

#include "base/varint.h"
#include "formats/id_map.h"
#include "formats/pprof.h"

/* For what is legal but rare: kept out of the functions that are asked millions of times. */
#define COLD __attribute__((cold, noinline))

enum { KIND_UNKNOWN = 0xff };

/* The fields of Profile that are messages. */
enum pprof_field {
    PPROF_NONE,
    PPROF_TYPE,
    PPROF_SAMPLE,
    PPROF_MAPPING,
    PPROF_LOCATION,
    PPROF_FUNCTION,
    PPROF_STRING,
    PPROF_PERIOD_TYPE,
    PPROF_FIELDS
};

/* Where the messages of one field stand in raw: at their lengths, which the scan has checked. */
struct messages {
    uint32_t *at;
    uint32_t n, max;
    uint32_t room; /* so many may be noted before cap or max is reached */
    uint32_t over; /* above max: counted, not noted */
    size_t cap;
};

struct module {
    uint64_t start, limit, offset;
    uint32_t mapping; /* symbol id */
    uint32_t whole;   /* its id among the locations, where those are kept */
};

/* Frames of a location, in pprof_reader.frame. */
struct run {
    uint32_t begin, n;
};

/*
 * What stands for a location id where samples are read. Nearly all locations have one frame or two,
 * and those stand in the place itself; of a location with more it is the run.
 */
union place {
    uint32_t frame[2];
    struct run run;
};
/* Kinds: how many frames stand in the place, or what else it is. */
enum { PLACE_FRAMES_MAX = 2, PLACE_RUN = 1 << 6, PLACE_NONE = 1 << 7 };
/* Ids below this have a place even if there is no such location: all that two bytes can say. */
enum { PLACES_MIN = 1 << 14 };

/* Samples of one key: a row of the journal. */
struct row {
    uint32_t stack, labels, span;
    bool fold; /* something was set aside: there may be others like it */
};

/* So many stacks are looked up together, or fewer of so many frames. */
enum { PENDING_MAX = 32, PENDING_FRAMES = 2048 };

/* Rows are folded some at a time: in between, so many may stand unfolded. */
enum { FOLD_ROWS = 4096 };

struct pprof_reader {
    /* of the profile being read */
    const struct profile_limits *limits;
    unsigned flags;
    struct profile *into;
    struct failure *f;
    struct decode_stats stats;
    struct bytes raw;

    /* the scan */
    struct messages message[PPROF_FIELDS];
    int64_t time_ns, duration_ns, period;
    uint64_t default_type;
    bool has_notes; /* pprof_has_notes() */

    /* the tables */
    uint32_t *string_id; /* [string] symbol id, or ID_NONE: not asked for yet */
    uint8_t *label_kind; /* [string] as a label's key: enum label_kind, or KIND_UNKNOWN */
    size_t string_id_cap, label_kind_cap;
    struct buf text;
    struct module *module;
    size_t module_cap;
    struct id_map mappings;    /* → module */
    struct id_map functions;   /* → symbol */
    uint32_t *function_symbol; /* [function] */
    size_t function_symbol_cap;
    bool functions_by_place; /* .NET: all ids are 0; function i is location i's */
    uint32_t *frame;         /* of all locations, one location's behind the other's */
    struct frame *new_frame; /* of the block of locations being read */
    size_t n_frames, n_new_frames, frame_cap, new_frame_cap;
    uint64_t n_lines;
    struct location_line *line; /* of the block being read, where locations are kept whole */
    size_t n_block_lines, line_cap;
    union place *place;  /* [id] */
    uint8_t *place_kind; /* [id] PLACE_… */
    uint64_t n_places;
    size_t place_cap, place_kind_cap;
    struct id_map far_places; /* → far_run, of ids from n_places on */
    struct run *far_run;
    size_t n_far_runs, far_run_cap;
    uint32_t nodes_before;

    /* the sample being read */
    uint32_t n_stack, n_values;
    uint64_t lost_frames; /* not stored, for there are too many */
    int64_t *value;       /* of its row */
    struct label *label;
    size_t n_labels, label_cap;
    struct span span;         /* if it has one */
    bool has_span, set_aside; /* something of it was */

    /* stacks not yet looked up; their rows stand at the end of the journal */
    uint32_t *stack; /* leaf first, one behind the other */
    size_t stack_cap, stack_end;
    uint32_t pending_end[PENDING_MAX], n_pending;

    /* the journal */
    uint32_t n_types, n_rows, n_folded; /* from n_folded on rows may have to fold */
    struct row *row;
    int64_t *row_values; /* n_types a row */
    size_t row_cap, row_values_cap;
    uint32_t *fold_row; /* [stack] a row that may be the plain one of this stack to fold into */
    size_t fold_row_cap;
    struct table folded; /* key → row, of rows that are to fold and have labels or a span */
    uint64_t saturated;
};

/* All return FAILURE. */
int pprof_malformed(struct pprof_reader *r, const char *what);
int pprof_above_limit(struct pprof_reader *r, const char *what, uint64_t n, uint32_t max,
                      const char *setting);

/* Asked for every sample, so the answer nearly always given is inline. */
static inline int pprof_check_limit(struct pprof_reader *r, const char *what, uint64_t n,
                                    uint32_t max, const char *setting)
{
    return n <= max ? 0 : pprof_above_limit(r, what, n, max, setting);
}

/* Message i of a field, which the scan noted. */
static inline struct bytes pprof_message(const struct pprof_reader *r, enum pprof_field field,
                                         uint32_t i)
{
    const uint8_t *at = r->raw.data + r->message[field].at[i];
    size_t len = *at++;
    unsigned shift = 7;

    if (len >= 0x80)
        for (len &= 0x7f;; shift += 7) {
            len |= (size_t)(*at & 0x7f) << shift;
            if (*at++ < 0x80)
                break;
        }
    return bytes_of(at, len);
}

/* Interns what the scan found: all that samples refer to, locations as runs of frames. 0 or
 * FAILURE. */
int pprof_read_tables(struct pprof_reader *r);
/* Symbol id of a string of the wire; "" where there is none. */
uint32_t pprof_new_string(struct pprof_reader *r, uint64_t index);
static inline uint32_t pprof_string(struct pprof_reader *r, uint64_t index)
{
    if (index < r->message[PPROF_STRING].n && r->string_id[index] != ID_NONE)
        return r->string_id[index];
    return pprof_new_string(r, index);
}
/* Another entry of an id that has one: it must be the same, and the first holds. 0 or FAILURE. */
int pprof_enter_again(struct pprof_reader *r, bool same);

/* Makes the places. 0 or FAILURE. */
int pprof_read_locations(struct pprof_reader *r);
/* The frames of a location by any id; NULL: there is none. */
const uint32_t *pprof_location_frames(const struct pprof_reader *r, uint64_t id, uint32_t *ret_n);

/* Makes the journal. 0 or FAILURE. */
int pprof_read_samples(struct pprof_reader *r);

#endif
