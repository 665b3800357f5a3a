/*
 * Reading pprof.
 *
 * How it works. The scan (this file) walks the message once: it reads the numbers of mappings,
 * functions and locations, and notes where strings and samples stand, for producers write them in
 * any order; what is above a limit is counted and not stored. Then the tables are interned in the
 * order of their references (pprof_tables.c: strings when first referred to, mappings, functions,
 * locations), so that each location becomes a run of interned frames, once. Last come the samples
 * (pprof_samples.c), where a location id costs a look-up in an array.
 *
 * Samples are decoded into a journal (stack, labels, span, values) and added to the profile at the
 * end, so that a profile that turns out to be bad after a million samples has added nothing. A
 * sample of which something was set aside is looked up in the journal first: where each allocation
 * is a sample of its own (Python), thousands of samples are tens of rows, and only rows count
 * against the limits.
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
 *   - an entry of a table that is there twice, byte for byte: the first holds (duplicate_ids)
 *   - all functions with id 0, as many as locations (.NET): function i is that of location i
 *     (duplicate_ids)
 *   - a line of a function that does not exist: the location's address stands for it
 *     (dangling_refs)
 *   - a location of a mapping that does not exist: of none (dangling_refs)
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

#include <stdio.h>
#include <stdlib.h>

enum { SCRATCH_BYTES_MAX = 16 << 20 }; /* kept for the next profile */
enum { COMMENT = 13 };                 /* the one field of Profile that is skipped whatever it is */
enum { STRETCH_BYTES_MIN = 32 };       /* between two stretches of samples */

struct pprof_reader *pprof_reader_new(void)
{
    return xcalloc(1, sizeof(struct pprof_reader));
}

static void id_map_deinit(struct id_map *m)
{
    free(m->id);
    free(m->dense);
    table_deinit(&m->sparse);
}

static void forget_scratch(struct pprof_reader *r)
{
    void *const arrays[] = {
        r->string,  r->mapping,   r->function,   r->location,     r->line,
        r->samples, r->string_id, r->label_kind, r->new_function, r->function_symbol,
        r->module,  r->new_frame, r->frame,      r->run,          r->location_code,
        r->stack,   r->label,     r->row,        r->row_values};

    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        free(arrays[i]);
    buf_deinit(&r->text);
    id_map_deinit(&r->mapping_ids);
    id_map_deinit(&r->function_ids);
    id_map_deinit(&r->location_ids);
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

/* What grows with the profile: the tables and the journal dominate. */
static size_t scratch_bytes(const struct pprof_reader *r)
{
    return r->string_cap * sizeof *r->string + r->function_cap * sizeof *r->function +
           r->location_cap * sizeof *r->location + r->line_cap * sizeof *r->line +
           (r->new_frame_cap + r->new_function_cap) * sizeof *r->new_function +
           (r->frame_cap + r->string_id_cap + r->location_ids.dense_cap) * sizeof(uint32_t) +
           r->row_cap * sizeof *r->row + r->row_values_cap * sizeof *r->row_values;
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

static void begin(struct pprof_reader *r)
{
    r->stats = (struct decode_stats){0};
    r->n_strings = r->n_mappings = r->n_functions = r->n_locations = r->n_lines = r->n_samples = 0;
    r->period_type = BYTES_LIT("");
    r->has_period_type = false;
    r->n_types = 0;
    r->time_ns = r->duration_ns = r->period = 0;
    r->default_type = 0;
    r->n_frame = 0;
    r->n_rows = r->n_pending = 0;
    r->stack_end = 0;
    r->saturated = 0;
    if (r->folded.n)
        table_reset(&r->folded);
    r->functions_by_place = false;
}

/* Room for the next entry of a table; false: it is above the limit, and only counted. The test of
 * the capacity stands here because it fails nearly always. */
#define ROOM(array, cap, n, max)                                                                   \
    ({                                                                                             \
        bool room_ = (n) < (max);                                                                  \
        if (room_ && (n) == (cap))                                                                 \
            XGROW(array, cap, (size_t)(n) + 1);                                                    \
        (n)++;                                                                                     \
        room_;                                                                                     \
    })

static int scan_string(struct pprof_reader *r, struct bytes text)
{
    if (ROOM(r->string, r->string_cap, r->n_strings, r->limits->strings_max))
        r->string[r->n_strings - 1] = text;
    return 0;
}

/* The numbers of a message into the entry that was made for it. */
#define NUMBERS(message, entry)                                                                    \
    pb_numbers((message), (uint64_t *)(entry), sizeof *(entry) / sizeof(uint64_t))

static int scan_mapping(struct pprof_reader *r, struct bytes message)
{
    uint32_t i = r->n_mappings;

    if (!ROOM(r->mapping, r->mapping_cap, r->n_mappings, r->limits->functions_max))
        return 0;
    return NUMBERS(message, &r->mapping[i]) ? 0 : pprof_malformed(r, "a mapping");
}

static int scan_function(struct pprof_reader *r, struct bytes message)
{
    uint32_t i = r->n_functions;

    if (!ROOM(r->function, r->function_cap, r->n_functions, r->limits->functions_max))
        return 0;
    return NUMBERS(message, &r->function[i]) ? 0 : pprof_malformed(r, "a function");
}

static inline int scan_line(struct pprof_reader *r, struct bytes message)
{
    uint32_t i = r->n_lines;

    if (!ROOM(r->line, r->line_cap, r->n_lines, r->limits->lines_max))
        return 0;
    return NUMBERS(message, &r->line[i]) ? 0 : pprof_malformed(r, "a line");
}

/* A field of a location that is not spelled in the shortest way, or unknown. */
static int scan_location_field(struct pprof_reader *r, struct cursor *c, struct wire_location *l)
{
    struct pb_field f;

    if (pb_next(c, &f) != PB_FIELD)
        return pprof_malformed(r, "a location");
    if (f.number > 5)
        return 0;
    if (f.type != (f.number == 4 ? PB_LEN : PB_VARINT))
        return pprof_malformed(r, "a location");
    if (f.number == 4)
        return scan_line(r, f.data);
    if (f.number < 4)
        ((uint64_t *)l)[f.number] = f.value;
    return 0;
}

static int scan_location(struct pprof_reader *r, struct bytes message)
{
    enum { LINE = 4 << 3 | PB_LEN };
    struct cursor c = cursor_of(message);
    struct wire_location *l;
    int e = 0;

    if (!ROOM(r->location, r->location_cap, r->n_locations, r->limits->locations_max))
        return 0;
    l = &r->location[r->n_locations - 1];
    *l = (struct wire_location){.line = r->n_lines};
    while (c.at < c.end && e == 0) {
        if (pb_at_number(&c, 4)) {
            unsigned number = *c.at++ >> 3;

            if (!pb_varint(&c, &((uint64_t *)l)[number]))
                return pprof_malformed(r, "a location");
        } else if (cursor_left(&c) >= 2 && c.at[0] == LINE && c.at[1] < 0x80 &&
                   c.at[1] <= cursor_left(&c) - 2) {
            struct bytes line = bytes_of(c.at + 2, c.at[1]);

            c.at += 2 + line.len;
            e = scan_line(r, line);
        } else {
            e = scan_location_field(r, &c, l);
        }
    }
    l->n_lines = r->n_lines - l->line;
    return e;
}

/* Samples near each other are one stretch, so that their number is bounded by the bytes. */
static int scan_sample(struct pprof_reader *r, const uint8_t *at, const uint8_t *end)
{
    struct bytes *last = r->n_samples ? &r->samples[r->n_samples - 1] : NULL;

    r->stats.samples++;
    if (last && (size_t)(at - (last->data + last->len)) < STRETCH_BYTES_MIN) {
        last->len = (size_t)(end - last->data);
        return 0;
    }
    XGROW(r->samples, r->samples_cap, (size_t)r->n_samples + 1);
    r->samples[r->n_samples++] = bytes_of(at, (size_t)(end - at));
    return 0;
}

static int scan_type(struct pprof_reader *r, struct bytes message)
{
    if (r->n_types < PROFILE_TYPES_MAX)
        r->type[r->n_types] = message;
    r->n_types++;
    return 0;
}

static int scan_period_type(struct pprof_reader *r, struct bytes message)
{
    if (r->has_period_type)
        return pprof_malformed(r, "a second period_type: are these several profiles in a row?");
    r->has_period_type = true;
    r->period_type = message;
    return 0;
}

static int scan_message(struct pprof_reader *r, const struct pb_field *f, const uint8_t *at)
{
    switch (f->number) {
    case 1:
        return scan_type(r, f->data);
    case 2:
        return scan_sample(r, at, f->data.data + f->data.len);
    case 3:
        return scan_mapping(r, f->data);
    case 4:
        return scan_location(r, f->data);
    case 5:
        return scan_function(r, f->data);
    case 6:
        return scan_string(r, f->data);
    case 11:
        return scan_period_type(r, f->data);
    case 7:
    case 8:
    case 9:
    case 10:
    case 12:
    case 14:
    case 15:
        return pprof_malformed(r, "a number was expected");
    default:
        return 0;
    }
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
    case 1:
    case 2:
    case 3:
    case 4:
    case 5:
    case 6:
    case 11:
        return pprof_malformed(r, "a message was expected");
    default:
        return 0;
    }
}

static int check_counts(struct pprof_reader *r)
{
    const struct profile_limits *max = r->limits;

    if (r->n_types == 0)
        return pprof_malformed(r, "it has no sample types");
    if (pprof_check_limit(r, "too many sample types", r->n_types, PROFILE_TYPES_MAX, "fixed") ||
        pprof_check_limit(r, "too many mappings", r->n_mappings, max->functions_max,
                          "functions_max") ||
        pprof_check_limit(r, "too many locations", r->n_locations, max->locations_max,
                          "locations_max") ||
        pprof_check_limit(r, "too many lines", r->n_lines, max->lines_max, "lines_max") ||
        pprof_check_limit(r, "too many functions", r->n_functions, max->functions_max,
                          "functions_max") ||
        pprof_check_limit(r, "too many strings", r->n_strings, max->strings_max, "strings_max"))
        return FAILURE;
    if (r->n_strings > 0 && r->string[0].len != 0)
        return pprof_malformed(r, "its first string is not empty");
    return 0;
}

static int scan(struct pprof_reader *r)
{
    struct cursor c = cursor_of(r->raw);
    const uint8_t *at = c.at;
    enum pb_step step;
    struct pb_field f;

    for (; (step = pb_next(&c, &f)) == PB_FIELD; at = c.at) {
        int e = 0;

        if (f.type == PB_LEN)
            e = scan_message(r, &f, at);
        else if (f.type == PB_VARINT)
            e = scan_number(r, &f);
        else if (f.number <= 15 && f.number != COMMENT)
            e = pprof_malformed(r, "a field of another type");
        if (e)
            return e;
    }
    if (step == PB_MALFORMED)
        return pprof_malformed(r, "truncated, or not protobuf");
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
    struct sample_type types[PROFILE_TYPES_MAX], period_type;
    bool first = p->n_types == 0 && p->n_rows == 0;

    for (uint32_t i = 0; i < r->n_types; i++)
        if (read_type(r, r->type[i], &types[i]))
            return FAILURE;
    if (read_type(r, r->period_type, &period_type))
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

int pprof_read(struct pprof_reader *r, struct bytes raw, const struct profile_limits *limits,
               unsigned flags, struct profile *into, struct decode_stats *stats, struct failure *f)
{
    int e;

    r->raw = raw;
    r->limits = limits;
    r->flags = flags;
    r->into = into;
    r->f = f;
    begin(r);
    if (raw.len == 0)
        e = pprof_malformed(r, "it is empty");
    else
        e = scan(r) || pprof_read_tables(r) || pprof_read_samples(r) || commit(r) ? FAILURE : 0;
    if (stats)
        *stats = r->stats;
    if (scratch_bytes(r) > SCRATCH_BYTES_MAX)
        forget_scratch(r);
    return e;
}
