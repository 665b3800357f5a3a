/*
 * Reading pprof.
 *
 * How it works. The scan (this file) walks the message once and notes where the messages of each
 * field stand, for producers write them in any order; what is above a limit is counted and not
 * noted. Then the tables are read in the order of their references (pprof_tables.c: strings when
 * first referred to, mappings, functions, locations), so that each location becomes a run of
 * interned frames, once. Last come the samples (pprof_samples.c), where a location id costs a
 * look-up in an array.
 *
 * What it costs is the number of instructions a field, so each step knows how a field is nearly
 * always spelled, reads that in a straight line, and gives the rest to a general reader that takes
 * whatever is legal (protobuf.h: the short way).
 *
 * Samples are decoded into a journal (stack, labels, span, values) and added to the profile at the
 * end, so that a profile that turns out to be bad after a million samples has added nothing. Rows
 * that are the same but for what was set aside are folded, some thousands at a time and before a
 * limit is asked: where each allocation is a sample of its own (Python), thousands of samples are
 * tens of rows, and only those count. What few rows are left unfolded come together as they are
 * added.
 *
 * Refused with a 400, for repairing it would lose value or put it in the wrong place:
 *   - empty input; truncated or malformed wire; groups; a known field of another wire type
 *   - no sample types, or more than 64
 *   - a sample with more or fewer values than there are types
 *   - a sample of a location that does not exist
 *   - one id for two different mappings, functions or locations
 *   - a first string that is not ""
 *   - a second time_nanos or period_type: profiles in a row, whose string indexes have run together
 *   - more samples, deeper stacks, … than the limits allow
 *
 * Repaired, and counted in struct decode_stats:
 *   - a sample whose values are all 0 counts nothing and is not stored (zero_samples)
 *   - an entry of a table that is there twice, and comes to the same: the first holds
 *     (duplicate_ids)
 *   - all functions with id 0, as many as locations (.NET): function i is that of location i
 *     (duplicate_ids)
 *   - a line of a function that does not exist: the location's address stands for it
 *     (dangling_refs)
 *   - a location of a mapping that does not exist: of none (dangling_refs, where the mapping is
 *     needed: of a location without lines, or one that is kept whole)
 *   - a string index out of range: "" (bad_strings)
 *   - bytes that are no UTF-8: U+FFFD for each (utf8_repaired)
 *   - strings above 64 KiB: cut between characters (strings_cut)
 *   - a column in the upper half of a line number (Node): cut off, unless PPROF_LABELS_ALL
 *
 * Legal, whatever one may think: fields in any order, unknown fields, repeated numbers packed or
 * not or both, "" more than once among the strings, negative values, sparse ids, no mappings, no
 * samples.
 *
 * Frames. A line of a location is a frame, the innermost first. A location without lines is one
 * unsymbolised frame: its mapping, and its address − memory_start + file_offset, which address
 * randomisation leaves alone; the address as it is where the mapping does not hold it. A location
 * that has not even an address is the frame at address 0 of no mapping: a frame of its own, so that
 * the value of a sample never moves to its caller.
 *
 * Labels (formats/reader.h tells them apart). Strings are identity, except those that differ in
 * every sample; ids of spans, as text or number, become the sample's span or, without PPROF_SPANS,
 * are set aside, as all other numbers are. See PPROF_LABELS_ALL for the other way.
 */
#include "formats/pprof.h"

#include "base/xalloc.h"
#include "formats/pprof_reader.h"
#include "formats/protobuf.h"
#include "profile/locations.h"

#include <stdio.h>
#include <stdlib.h>

enum { SCRATCH_BYTES_MAX = 16 << 20 }; /* kept for the next profile */

struct pprof_reader *pprof_reader_new(void)
{
    return xcalloc(1, sizeof(struct pprof_reader));
}

static void forget_scratch(struct pprof_reader *r)
{
    void *const arrays[] = {r->string_id, r->label_kind, r->module,   r->function_symbol, r->frame,
                            r->place,     r->place_kind, r->far_run,  r->label,           r->stack,
                            r->row,       r->row_values, r->fold_row, r->new_frame,       r->line};

    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        free(arrays[i]);
    for (size_t i = 0; i < PPROF_FIELDS; i++)
        free(r->message[i].at);
    buf_deinit(&r->text);
    id_map_deinit(&r->mappings);
    id_map_deinit(&r->functions);
    id_map_deinit(&r->far_places);
    table_deinit(&r->folded);
    *r = (struct pprof_reader){0};
}

void pprof_reader_free(struct pprof_reader *r)
{
    if (!r)
        return;
    forget_scratch(r);
    free(r);
}

/* All that grows with the profile. */
static size_t scratch_bytes(const struct pprof_reader *r)
{
    size_t words =
        r->frame_cap + r->string_id_cap + r->function_symbol_cap + r->fold_row_cap + r->stack_cap;

    for (size_t i = 0; i < PPROF_FIELDS; i++)
        words += r->message[i].cap;
    return words * sizeof(uint32_t) + r->label_kind_cap + r->place_kind_cap + r->text.cap +
           r->module_cap * sizeof *r->module + r->new_frame_cap * sizeof *r->new_frame +
           r->line_cap * sizeof *r->line + r->place_cap * sizeof *r->place +
           r->far_run_cap * sizeof *r->far_run + r->label_cap * sizeof *r->label +
           r->row_cap * sizeof *r->row + r->row_values_cap * sizeof *r->row_values +
           id_map_bytes(&r->mappings) + id_map_bytes(&r->functions) + id_map_bytes(&r->far_places) +
           table_bytes(&r->folded);
}

int pprof_malformed(struct pprof_reader *r, const char *what)
{
    return fail(r->f, 400, "malformed", NULL, "not a valid pprof profile: %s", what);
}

int pprof_above_limit(struct pprof_reader *r, const char *what, uint64_t n, uint32_t max,
                      const char *setting)
{
    char hint[64];

    snprintf(hint, sizeof hint, "the limit is %s", setting);
    return fail(r->f, 400, "limit_exceeded", hint,
                "the profile has %s: %llu, at most %u are allowed", what, (unsigned long long)n,
                max);
}

/* --- the scan -----------------------------------------------------------------------------------
 */

/* Which field a tag of one byte with the type of a message is of. */
static const uint8_t field_of_tag[256] = {
    [1 << 3 | PB_LEN] = PPROF_TYPE,         [2 << 3 | PB_LEN] = PPROF_SAMPLE,
    [3 << 3 | PB_LEN] = PPROF_MAPPING,      [4 << 3 | PB_LEN] = PPROF_LOCATION,
    [5 << 3 | PB_LEN] = PPROF_FUNCTION,     [6 << 3 | PB_LEN] = PPROF_STRING,
    [11 << 3 | PB_LEN] = PPROF_PERIOD_TYPE,
};

/* The known fields by number. The comments (13) are in neither set: they are skipped, packed or
 * not. */
enum {
    MESSAGES = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 11,
    NUMBERS = 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 12 | 1 << 14 | 1 << 15,
    NOTES = 1 << 7 | 1 << 8 | 1 << 13 | 1 << 15,
    KNOWN = 16, /* fields from here on are not */
};

static uint32_t room_of(const struct messages *m)
{
    return m->cap < m->max ? (uint32_t)m->cap : m->max;
}

/* A sample has a value, so it takes four bytes; noting more of them would only cost memory. */
enum { SAMPLE_BYTES_MIN = 4 };

static void begin(struct pprof_reader *r)
{
    const struct profile_limits *max = r->limits;
    const uint32_t samples_max = (uint32_t)(r->raw.len / SAMPLE_BYTES_MIN);
    const uint32_t of[PPROF_FIELDS] = {
        [PPROF_TYPE] = PROFILE_TYPES_MAX,
        [PPROF_SAMPLE] = samples_max,
        [PPROF_MAPPING] = max->functions_max,
        [PPROF_LOCATION] = max->locations_max,
        [PPROF_FUNCTION] = max->functions_max,
        [PPROF_STRING] = max->strings_max,
        [PPROF_PERIOD_TYPE] = 1,
    };

    for (size_t i = 0; i < PPROF_FIELDS; i++) {
        struct messages *m = &r->message[i];

        *m = (struct messages){.at = m->at, .cap = m->cap, .max = of[i]};
        m->room = room_of(m);
    }
    r->stats = (struct decode_stats){0};
    r->time_ns = r->duration_ns = r->period = 0;
    r->default_type = 0;
    r->has_notes = false;
    r->n_frames = r->n_far_runs = 0;
    r->n_lines = 0;
    r->n_types = r->n_rows = r->n_folded = r->n_pending = 0;
    r->stack_end = 0;
    r->saturated = 0;
    if (r->folded.n)
        table_reset(&r->folded);
}

/* Notes one more; above the limit it is only counted. */
static COLD void note_more(struct messages *m, uint32_t at)
{
    if (m->n == m->max) {
        m->over++;
        return;
    }
    XGROW(m->at, m->cap, (size_t)m->n + 1);
    m->room = room_of(m);
    m->at[m->n++] = at;
}

static inline void note(struct messages *m, uint32_t at)
{
    if (m->n < m->room)
        m->at[m->n++] = at;
    else
        note_more(m, at);
}

static int scan_time(struct pprof_reader *r, uint64_t time_ns)
{
    if (r->time_ns != 0)
        return pprof_malformed(r, "a second time_nanos: are these several profiles in a row?");
    r->time_ns = (int64_t)time_ns;
    return 0;
}

static int scan_number(struct pprof_reader *r, const struct pb_field *f)
{
    switch (f->number) {
    case 9:
        return scan_time(r, f->value);
    case 10:
        r->duration_ns = (int64_t)f->value;
        return 0;
    case 12:
        r->period = (int64_t)f->value;
        return 0;
    case 14:
        r->default_type = f->value;
        return 0;
    default:
        return 0;
    }
}

static int check_count(struct pprof_reader *r, enum pprof_field field, const char *what,
                       const char *setting)
{
    const struct messages *m = &r->message[field];

    return pprof_check_limit(r, what, (uint64_t)m->n + m->over, m->max, setting);
}

static int check_counts(struct pprof_reader *r)
{
    if (r->message[PPROF_TYPE].n == 0)
        return pprof_malformed(r, "it has no sample types");
    if (r->message[PPROF_PERIOD_TYPE].over)
        return pprof_malformed(r, "a second period_type: are these several profiles in a row?");
    if (check_count(r, PPROF_TYPE, "too many sample types", "fixed") ||
        check_count(r, PPROF_MAPPING, "too many mappings", "functions_max") ||
        check_count(r, PPROF_LOCATION, "too many locations", "locations_max") ||
        check_count(r, PPROF_FUNCTION, "too many functions", "functions_max") ||
        check_count(r, PPROF_STRING, "too many strings", "strings_max"))
        return FAILURE;
    if (r->message[PPROF_STRING].n > 0 && pprof_message(r, PPROF_STRING, 0).len != 0)
        return pprof_malformed(r, "its first string is not empty");
    return 0;
}

/* Any field, however it is spelled. */
static COLD int scan_field(struct pprof_reader *r, struct cursor *c)
{
    struct cursor behind_tag = *c;
    struct pb_field f;
    uint64_t tag;

    if (!varint_get(&behind_tag, &tag) || pb_next(c, &f) != PB_FIELD)
        return pprof_malformed(r, "truncated, or not protobuf");
    if (f.number >= KNOWN)
        return 0;
    r->has_notes |= NOTES >> f.number & 1;
    if (MESSAGES >> f.number & 1) {
        if (f.type != PB_LEN)
            return pprof_malformed(r, f.type == PB_VARINT ? "a message was expected"
                                                          : "a field of another type");
        note(&r->message[field_of_tag[f.number << 3 | PB_LEN]],
             (uint32_t)(behind_tag.at - r->raw.data));
    } else if (NUMBERS >> f.number & 1) {
        if (f.type != PB_VARINT)
            return pprof_malformed(r, f.type == PB_LEN ? "a number was expected"
                                                       : "a field of another type");
        return scan_number(r, &f);
    }
    return 0;
}

/*
 * The fields that nearly all are: messages whose tag is one byte and whose length is one or two.
 * From a place in raw on; returns the place of the first that is something else.
 */
static size_t scan_messages(struct pprof_reader *r, size_t at)
{
    const uint8_t *const raw = r->raw.data;
    const size_t len = r->raw.len;

    while (at + 3 <= len) {
        enum pprof_field field = (enum pprof_field)field_of_tag[raw[at]];
        size_t body = at + 2, size = raw[at + 1];

        if (size >= 0x80) {
            if (raw[body] >= 0x80)
                break;
            size = (size & 0x7f) | (size_t)raw[body++] << 7;
        }
        if (field == PPROF_NONE || body + size > len)
            break;
        note(&r->message[field], (uint32_t)at + 1);
        at = body + size;
    }
    return at;
}

static int scan(struct pprof_reader *r)
{
    size_t at = 0;

    while ((at = scan_messages(r, at)) < r->raw.len) {
        struct cursor c = cursor_of(r->raw);

        c.at += at;
        if (scan_field(r, &c))
            return FAILURE;
        at = (size_t)(c.at - r->raw.data);
    }
    r->n_types = r->message[PPROF_TYPE].n;
    r->stats.samples = r->message[PPROF_SAMPLE].n;
    return check_counts(r);
}

/* --- the end: nothing can fail any more but the types -------------------------------------------
 */

static int read_type(struct pprof_reader *r, struct bytes message, struct sample_type *ret)
{
    uint64_t t[3];

    if (!PB_NUMBERS(message, t))
        return pprof_malformed(r, "a sample type");
    *ret = (struct sample_type){pprof_string(r, t[1]), pprof_string(r, t[2])};
    return 0;
}

static bool type_same(struct sample_type a, struct sample_type b)
{
    return a.name == b.name && a.unit == b.unit;
}

/* Earliest time, summed duration, longest period: as google/pprof merges them. */
static void merge_header(struct pprof_reader *r)
{
    struct profile *p = r->into;
    uint64_t saturated = 0;

    if (r->time_ns != 0 && (p->time_ns == 0 || r->time_ns < p->time_ns))
        p->time_ns = r->time_ns;
    p->duration_ns = add_saturating(p->duration_ns, r->duration_ns, &saturated);
    if (r->period > p->period)
        p->period = r->period;
    if (p->default_type == 0)
        p->default_type = pprof_string(r, r->default_type);
}

static int commit(struct pprof_reader *r)
{
    struct profile *p = r->into;
    struct sample_type types[PROFILE_TYPES_MAX], period_type = {0};
    bool first = p->n_types == 0 && p->n_rows == 0;

    for (uint32_t i = 0; i < r->n_types; i++)
        if (read_type(r, pprof_message(r, PPROF_TYPE, i), &types[i]))
            return FAILURE;
    if (r->message[PPROF_PERIOD_TYPE].n &&
        read_type(r, pprof_message(r, PPROF_PERIOD_TYPE, 0), &period_type))
        return FAILURE;
    if ((!first && !type_same(p->period_type, period_type)) ||
        profile_set_types(p, types, r->n_types) != 0)
        return fail(r->f, 400, "types_differ", NULL,
                    "profiles of different sample types or periods cannot be merged");
    p->period_type = period_type;
    merge_header(r);
    p->saturated += r->saturated;
    for (uint32_t i = 0; i < r->n_rows; i++)
        profile_add_in_span(p, r->row[i].stack, r->row[i].labels, r->row[i].span,
                            r->row_values + (size_t)i * r->n_types);
    return 0;
}

static int read_raw(struct pprof_reader *r)
{
    if (r->raw.len == 0)
        return pprof_malformed(r, "it is empty");
    if (r->raw.len > UINT32_MAX)
        return pprof_above_limit(r, "too many bytes", r->raw.len, UINT32_MAX, "fixed");
    return scan(r) || pprof_read_tables(r) || pprof_read_samples(r) || commit(r) ? FAILURE : 0;
}

int pprof_read(struct pprof_reader *r, struct bytes raw, const struct profile_limits *limits,
               unsigned flags, struct profile *into, struct decode_stats *stats, struct failure *f)
{
    bool has_notes;
    int e;

    r->raw = raw;
    r->limits = limits;
    r->flags = flags;
    r->into = into;
    r->f = f;
    begin(r);
    e = read_raw(r);
    if (stats)
        *stats = r->stats;
    has_notes = r->has_notes;
    if (scratch_bytes(r) > SCRATCH_BYTES_MAX)
        forget_scratch(r);
    r->has_notes = has_notes; /* is asked for later */
    return e;
}

bool pprof_has_notes(const struct pprof_reader *r)
{
    return r->has_notes;
}
