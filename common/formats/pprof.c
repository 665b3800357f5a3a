/*
 * Reading pprof.
 *
 * How it works. Pass one walks the top level of the message once: it counts everything and notes
 * where strings, functions, locations and mappings stand, for producers write them in any order.
 * The counts are held against the limits before room is made for anything. Pass two decodes the
 * tables in the order of their references (strings when first referred to, then mappings,
 * functions, locations) so that each location becomes a run of interned frames, once; then it walks
 * the samples, where a location id costs a look-up in an array and a short copy.
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

#include "base/hash.h"
#include "base/xalloc.h"
#include "formats/protobuf.h"
#include "formats/utf8.h"
#include "profile/table.h"

#include <stdio.h>
#include <stdlib.h>

enum { NONE = UINT32_MAX, STRING_BYTES_MAX = 65535, KIND_UNKNOWN = 0xff };
enum { SCRATCH_BYTES_MAX = 16 << 20 }; /* kept for the next profile */
enum { COMMENT = 13 };                 /* the one field of Profile that is skipped whatever it is */

/* The messages of one table, as they stand on the wire. */
struct messages {
    struct bytes *at;
    size_t cap;
    uint32_t n; /* counted on beyond `max`, but not stored */
};

/* Ids of the wire → indexes: an array while ids are about as many as entries, else a table. */
struct id_map {
    uint64_t *id; /* [index] */
    size_t id_cap;
    uint32_t *dense; /* [id] index, or NONE */
    size_t dense_cap;
    uint64_t dense_n; /* 0: use the table */
    struct table sparse;
};

struct module {
    uint64_t start, limit, offset;
    uint32_t mapping; /* symbol id */
};

struct run {
    uint32_t begin, n; /* of pprof_reader.frame */
};

struct row {
    uint32_t stack, labels, span;
};

struct pprof_reader {
    /* of the profile being read */
    const struct profile_limits *limits;
    unsigned flags;
    struct profile *into;
    struct failure *f;
    struct decode_stats stats;
    struct bytes raw;

    /* pass one */
    struct messages strings, mappings, functions, locations;
    struct bytes type[PROFILE_TYPES_MAX], period_type;
    bool has_period_type;
    uint32_t n_types;
    int64_t time_ns, duration_ns, period;
    uint64_t default_type;

    /* pass two */
    uint32_t *string_id; /* [string] symbol id, or NONE: not asked for yet */
    uint8_t *label_kind; /* [string] as a label's key: enum label_kind, or KIND_UNKNOWN */
    size_t string_id_cap, label_kind_cap;
    struct buf text;
    struct id_map mapping_ids, function_ids, location_ids;
    struct module *module;
    size_t module_cap;
    uint32_t *function; /* [function] symbol id */
    size_t function_cap;
    bool functions_by_place; /* .NET: see above */
    struct run *location;    /* [location] */
    size_t location_cap;
    uint32_t *frame; /* frames of all locations */
    size_t n_frame, frame_cap;
    uint32_t nodes_before;

    /* the sample being read */
    uint32_t *stack; /* leaf first */
    size_t n_stack, stack_cap;
    int64_t value[PROFILE_TYPES_MAX];
    uint32_t n_values;
    struct label *label;
    size_t n_labels, label_cap;
    struct span span;
    bool set_aside; /* something of it was: there may be others like it */

    /* the journal */
    uint32_t n_rows;
    struct row *row;
    int64_t *row_values; /* n_types a row */
    size_t row_cap, row_values_cap;
    struct table folded; /* row → index: rows that samples with something set aside made */
    uint64_t saturated;
};

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
    free(r->strings.at);
    free(r->mappings.at);
    free(r->functions.at);
    free(r->locations.at);
    free(r->string_id);
    free(r->label_kind);
    buf_deinit(&r->text);
    id_map_deinit(&r->mapping_ids);
    id_map_deinit(&r->function_ids);
    id_map_deinit(&r->location_ids);
    free(r->module);
    free(r->function);
    free(r->location);
    free(r->frame);
    free(r->stack);
    free(r->label);
    free(r->row);
    free(r->row_values);
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

/* What grows with the profile; the tables of strings and samples dominate. */
static size_t scratch_bytes(const struct pprof_reader *r)
{
    return (r->strings.cap + r->locations.cap + r->functions.cap) * sizeof(struct bytes) +
           r->row_values_cap * sizeof *r->row_values + r->row_cap * sizeof *r->row +
           table_bytes(&r->folded) + (r->frame_cap + r->string_id_cap) * sizeof(uint32_t);
}

static int malformed(struct pprof_reader *r, const char *what)
{
    return fail(r->f, 400, "malformed", NULL, "not a valid pprof profile: %s", what);
}

static int above_limit(struct pprof_reader *r, const char *what, uint64_t n, uint32_t max,
                       const char *setting)
{
    char hint[64];

    snprintf(hint, sizeof hint, "the limit is %s", setting);
    return fail(r->f, 400, "limit_exceeded", hint,
                "the profile has %s: %llu, at most %u are allowed", what, (unsigned long long)n,
                max);
}

/* Asked for every sample and line, so the answer nearly always given is inline. */
static inline int check_limit(struct pprof_reader *r, const char *what, uint64_t n, uint32_t max,
                              const char *setting)
{
    return n <= max ? 0 : above_limit(r, what, n, max, setting);
}

/* --- pass one -----------------------------------------------------------------------------------
 */

static inline void note(struct messages *m, struct bytes message, uint32_t max)
{
    if (m->n < max) {
        if (m->n == m->cap)
            XGROW(m->at, m->cap, (size_t)m->n + 1);
        m->at[m->n] = message;
    }
    m->n++;
}

static void begin(struct pprof_reader *r)
{
    r->stats = (struct decode_stats){0};
    r->strings.n = r->mappings.n = r->functions.n = r->locations.n = 0;
    r->period_type = BYTES_LIT("");
    r->has_period_type = false;
    r->n_types = 0;
    r->time_ns = r->duration_ns = r->period = 0;
    r->default_type = 0;
    r->n_frame = 0;
    r->n_rows = 0;
    r->saturated = 0;
    if (r->folded.n)
        table_reset(&r->folded);
    r->functions_by_place = false;
}

static int note_time(struct pprof_reader *r, uint64_t time_ns)
{
    if (r->time_ns != 0)
        return malformed(r, "a second time_nanos: are these several profiles in a row?");
    r->time_ns = (int64_t)time_ns;
    return 0;
}

static int note_message(struct pprof_reader *r, const struct pb_field *f)
{
    switch (f->number) {
    case 1:
        if (r->n_types < PROFILE_TYPES_MAX)
            r->type[r->n_types] = f->data;
        r->n_types++;
        return 0;
    case 2:
        r->stats.samples++;
        return 0;
    case 3:
        note(&r->mappings, f->data, r->limits->functions_max);
        return 0;
    case 4:
        note(&r->locations, f->data, r->limits->locations_max);
        return 0;
    case 5:
        note(&r->functions, f->data, r->limits->functions_max);
        return 0;
    case 6:
        note(&r->strings, f->data, r->limits->strings_max);
        return 0;
    case 11:
        if (r->has_period_type)
            return malformed(r, "a second period_type: are these several profiles in a row?");
        r->has_period_type = true;
        r->period_type = f->data;
        return 0;
    case 7:
    case 8:
    case 9:
    case 10:
    case 12:
    case 14:
    case 15:
        return malformed(r, "a number was expected");
    default:
        return 0;
    }
}

static int note_number(struct pprof_reader *r, const struct pb_field *f)
{
    switch (f->number) {
    case 9:
        return note_time(r, f->value);
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
        return malformed(r, "a message was expected");
    default:
        return 0;
    }
}

static int check_counts(struct pprof_reader *r)
{
    const struct profile_limits *max = r->limits;

    if (r->n_types == 0)
        return malformed(r, "it has no sample types");
    if (check_limit(r, "too many sample types", r->n_types, PROFILE_TYPES_MAX, "fixed") ||
        check_limit(r, "too many mappings", r->mappings.n, max->functions_max, "functions_max") ||
        check_limit(r, "too many locations", r->locations.n, max->locations_max, "locations_max") ||
        check_limit(r, "too many functions", r->functions.n, max->functions_max, "functions_max") ||
        check_limit(r, "too many strings", r->strings.n, max->strings_max, "strings_max"))
        return FAILURE;
    if (r->strings.n > 0 && r->strings.at[0].len != 0)
        return malformed(r, "its first string is not empty");
    return 0;
}

static int pass_one(struct pprof_reader *r)
{
    struct cursor c = cursor_of(r->raw);
    enum pb_step step;
    struct pb_field f;

    while ((step = pb_next(&c, &f)) == PB_FIELD) {
        int e = 0;

        if (f.type == PB_LEN)
            e = note_message(r, &f);
        else if (f.type == PB_VARINT)
            e = note_number(r, &f);
        else if (f.number <= 15 && f.number != COMMENT)
            e = malformed(r, "a field of another type");
        if (e)
            return e;
    }
    if (step == PB_MALFORMED)
        return malformed(r, "truncated, or not protobuf");
    return check_counts(r);
}

/* --- pass two: strings and ids ------------------------------------------------------------------
 */

static uint32_t intern_text(struct pprof_reader *r, struct bytes text)
{
    if (text.len > STRING_BYTES_MAX) {
        text = utf8_cut(text, STRING_BYTES_MAX);
        r->stats.strings_cut++;
    }
    if (!utf8_valid(text)) {
        buf_reset(&r->text);
        utf8_repair(text, &r->text);
        text = buf_bytes(&r->text);
        r->stats.utf8_repaired++;
    }
    return symbols_string(r->into->symbols, text);
}

/* Symbol id of a string of the wire. Negative indexes are large here, and out of range. */
static uint32_t string(struct pprof_reader *r, uint64_t index)
{
    if (index >= r->strings.n) {
        r->stats.bad_strings += index != 0;
        return 0;
    }
    if (r->string_id[index] == NONE)
        r->string_id[index] = intern_text(r, r->strings.at[index]);
    return r->string_id[index];
}

static inline uint32_t id_map_find(const struct id_map *m, uint64_t id)
{
    if (m->dense_n)
        return id < m->dense_n ? m->dense[id] : NONE;
    for (struct probe p = table_probe(&m->sparse, hash_pair(hash_secret(), id, 0));
         table_next(&m->sparse, &p);)
        if (m->id[p.id] == id)
            return p.id;
    return NONE;
}

static void id_map_begin(struct id_map *m, uint32_t n)
{
    uint64_t max = 0;

    for (uint32_t i = 0; i < n; i++)
        max = m->id[i] > max ? m->id[i] : max;
    table_reset(&m->sparse);
    m->dense_n = max <= 2 * (uint64_t)n ? max + 1 : 0;
    if (m->dense_n) {
        XGROW(m->dense, m->dense_cap, m->dense_n);
        memset(m->dense, 0xff, m->dense_n * sizeof *m->dense);
    }
}

/* Enters the ids of a table. Of entries that are the same byte for byte, the first holds. */
static int id_map_build(struct pprof_reader *r, struct id_map *m, const struct messages *messages)
{
    id_map_begin(m, messages->n);
    for (uint32_t i = 0; i < messages->n; i++) {
        uint32_t first = id_map_find(m, m->id[i]);

        if (first != NONE) {
            if (!bytes_equal(messages->at[first], messages->at[i]))
                return malformed(r, "one id for two different entries");
            r->stats.duplicate_ids++;
        } else if (m->dense_n) {
            m->dense[m->id[i]] = i;
        } else {
            table_insert(&m->sparse, hash_pair(hash_secret(), m->id[i], 0), i);
        }
    }
    return 0;
}

/* --- pass two: tables ---------------------------------------------------------------------------
 */

static int read_mappings(struct pprof_reader *r)
{
    uint64_t m[11]; /* id, memory_start, memory_limit, file_offset, filename, build_id, … */
    uint32_t n = r->mappings.n;

    XGROW(r->module, r->module_cap, n);
    XGROW(r->mapping_ids.id, r->mapping_ids.id_cap, n);
    for (uint32_t i = 0; i < n; i++) {
        if (!PB_NUMBERS(r->mappings.at[i], m))
            return malformed(r, "a mapping");
        r->mapping_ids.id[i] = m[1];
        struct mapping mapping = {string(r, m[5]), string(r, m[6])};
        r->module[i] =
            (struct module){m[2], m[3], m[4], symbols_mapping(r->into->symbols, &mapping)};
    }
    return id_map_build(r, &r->mapping_ids, &r->mappings);
}

static int read_functions(struct pprof_reader *r)
{
    uint64_t f[6]; /* id, name, system_name, filename, start_line */
    uint32_t n = r->functions.n;
    uint64_t any_id = 0;

    XGROW(r->function, r->function_cap, n);
    XGROW(r->function_ids.id, r->function_ids.id_cap, n);
    for (uint32_t i = 0; i < n; i++) {
        if (!PB_NUMBERS(r->functions.at[i], f))
            return malformed(r, "a function");
        struct function function = {string(r, f[2]), string(r, f[3]), string(r, f[4]),
                                    (int64_t)f[5]};
        r->function[i] = symbols_function(r->into->symbols, &function);
        r->function_ids.id[i] = f[1];
        any_id |= f[1];
    }
    if (n > 1 && any_id == 0 && n == r->locations.n) {
        r->functions_by_place = true;
        id_map_begin(&r->function_ids, 0);
        r->stats.duplicate_ids += n - 1;
        return 0;
    }
    return id_map_build(r, &r->function_ids, &r->functions);
}

static void push_frame(struct pprof_reader *r, const struct frame *frame)
{
    if (r->n_frame == r->frame_cap)
        XGROW(r->frame, r->frame_cap, r->n_frame + 1);
    r->frame[r->n_frame++] = symbols_frame(r->into->symbols, frame);
}

static struct frame address_frame(struct pprof_reader *r, uint64_t mapping_id, uint64_t address)
{
    uint32_t i = mapping_id ? id_map_find(&r->mapping_ids, mapping_id) : NONE;
    const struct module *m;

    if (i == NONE) {
        r->stats.dangling_refs += mapping_id != 0;
        return (struct frame){.line_or_address = address};
    }
    m = &r->module[i];
    if (address >= m->start && (m->limit == 0 || address < m->limit))
        address = address - m->start + m->offset;
    return (struct frame){.mapping = m->mapping, .line_or_address = address};
}

/* pprof-nodejs packs a column above the line. */
static uint64_t line_number(const struct pprof_reader *r, uint64_t line)
{
    bool packed = (int64_t)line > UINT32_MAX && !(r->flags & PPROF_LABELS_ALL);

    return packed ? (uint32_t)line : line;
}

struct location {
    uint32_t index;
    uint64_t id, mapping_id, address;
};

static int read_line(struct pprof_reader *r, const struct location *loc, struct bytes message)
{
    uint64_t line[4]; /* function_id, line, column */
    uint32_t function;

    if (!PB_NUMBERS(message, line))
        return malformed(r, "a line");
    function =
        r->functions_by_place && line[1] == 0 ? loc->index : id_map_find(&r->function_ids, line[1]);
    if (function == NONE) {
        struct frame frame = address_frame(r, loc->mapping_id, loc->address);

        r->stats.dangling_refs++;
        push_frame(r, &frame);
        return 0;
    }
    push_frame(r, &(struct frame){.function = r->function[function],
                                  .line_or_address = line_number(r, line[2])});
    return 0;
}

/* The numbers of a location; its lines, which may come before them, are counted only. */
static int read_location(struct pprof_reader *r, struct bytes message, struct location *loc,
                         uint32_t *ret_lines)
{
    struct cursor c = cursor_of(message);
    enum pb_step step;
    struct pb_field f;

    *ret_lines = 0;
    while ((step = pb_next(&c, &f)) == PB_FIELD) {
        if (f.number > 5)
            continue;
        if (f.type != (f.number == 4 ? PB_LEN : PB_VARINT))
            return malformed(r, "a location");
        if (f.number == 1)
            loc->id = f.value;
        else if (f.number == 2)
            loc->mapping_id = f.value;
        else if (f.number == 3)
            loc->address = f.value;
        else if (f.number == 4)
            ++*ret_lines;
    }
    return step == PB_END ? 0 : malformed(r, "a location");
}

static int read_lines(struct pprof_reader *r, struct bytes message, const struct location *loc)
{
    struct cursor c = cursor_of(message);
    struct pb_field f;

    while (pb_next(&c, &f) == PB_FIELD)
        if (f.number == 4 && read_line(r, loc, f.data))
            return FAILURE;
    return 0;
}

static int read_locations(struct pprof_reader *r)
{
    uint32_t n = r->locations.n, n_lines;

    XGROW(r->location, r->location_cap, n);
    XGROW(r->location_ids.id, r->location_ids.id_cap, n);
    for (uint32_t i = 0; i < n; i++) {
        struct location loc = {.index = i};

        r->location[i].begin = (uint32_t)r->n_frame;
        if (read_location(r, r->locations.at[i], &loc, &n_lines) ||
            check_limit(r, "too many lines", (uint64_t)r->n_frame + n_lines, r->limits->lines_max,
                        "lines_max"))
            return FAILURE;
        r->location_ids.id[i] = loc.id;
        if (n_lines == 0) {
            struct frame frame = address_frame(r, loc.mapping_id, loc.address);

            push_frame(r, &frame);
        } else if (read_lines(r, r->locations.at[i], &loc)) {
            return FAILURE;
        }
        r->location[i].n = (uint32_t)r->n_frame - r->location[i].begin;
    }
    return id_map_build(r, &r->location_ids, &r->locations);
}

static int read_tables(struct pprof_reader *r)
{
    XGROW(r->string_id, r->string_id_cap, (size_t)r->strings.n + 1);
    XGROW(r->label_kind, r->label_kind_cap, (size_t)r->strings.n + 1);
    memset(r->string_id, 0xff, r->strings.n * sizeof *r->string_id);
    memset(r->label_kind, KIND_UNKNOWN, r->strings.n);
    if (read_mappings(r) || read_functions(r) || read_locations(r))
        return FAILURE;
    return 0;
}

/* --- pass two: samples --------------------------------------------------------------------------
 */

static int no_location(struct pprof_reader *r, uint64_t id)
{
    return fail(
        r->f, 400, "malformed", NULL,
        "not a valid pprof profile: a sample refers to location %llu, which it does not have",
        (unsigned long long)id);
}

/*
 * Appends the frames of locations, packed as they stand on the wire. This is the innermost loop of
 * reading, so what it uses stands in locals, which the stores to the stack cannot alias. Frames
 * above the limit are counted, not stored; r->stack has room for those below it.
 */
static int add_locations(struct pprof_reader *r, struct bytes packed)
{
    const struct id_map ids = r->location_ids;
    const struct run *location = r->location;
    size_t n = r->n_stack, max = r->limits->depth_max;
    struct cursor c = cursor_of(packed);
    uint32_t *stack = r->stack;
    uint64_t id;

    while (c.at < c.end) {
        uint32_t i = NONE;

        if (!pb_varint(&c, &id))
            return malformed(r, "a sample");
        if ((i = id_map_find(&ids, id)) == NONE)
            return no_location(r, id);
        if (n + location[i].n <= max)
            for (uint32_t k = 0; k < location[i].n; k++)
                stack[n + k] = r->frame[location[i].begin + k];
        n += location[i].n;
    }
    r->n_stack = n;
    return 0;
}

static inline void add_value(struct pprof_reader *r, uint64_t value)
{
    if (r->n_values < r->n_types)
        r->value[r->n_values] = (int64_t)value;
    r->n_values++;
}

static int add_values(struct pprof_reader *r, struct bytes packed)
{
    struct cursor c = cursor_of(packed);
    uint64_t v;

    while (c.at < c.end) {
        if (!pb_varint(&c, &v))
            return malformed(r, "a sample");
        add_value(r, v);
    }
    return 0;
}

/* Repeated numbers that are not packed come one by one. */
static int add_scalar(struct pprof_reader *r, const struct pb_field *f)
{
    uint8_t packed[10];

    if (f->type != PB_VARINT)
        return malformed(r, "a sample");
    if (f->number == 1)
        return add_locations(r, bytes_of(packed, (size_t)(varint_put(packed, f->value) - packed)));
    add_value(r, f->value);
    return 0;
}

static enum label_kind label_kind(struct pprof_reader *r, uint64_t key)
{
    if (key >= r->strings.n)
        return LABEL_IDENTITY;
    if (r->label_kind[key] == KIND_UNKNOWN)
        r->label_kind[key] = (uint8_t)label_kind_of(r->strings.at[key]);
    return (enum label_kind)r->label_kind[key];
}

/* An id as text, or as the bits of a number. False: it is none. */
static bool span_id(struct pprof_reader *r, enum label_kind kind, const uint64_t *l)
{
    struct bytes text = l[2] < r->strings.n ? r->strings.at[l[2]] : BYTES_LIT("");
    struct span *span = &r->span;
    uint64_t *id = kind == LABEL_SPAN ? &span->id : &span->root;

    if (kind == LABEL_TRACE) {
        span->trace_lo = l[3];
        return l[2] == 0 || trace_id_parse(text, &span->trace_hi, &span->trace_lo) == 0;
    }
    *id = l[3];
    return l[2] == 0 || span_id_parse(text, id) == 0;
}

/* Whether a label is the sample's identity; if not, it went to the span or is set aside. */
static bool is_identity(struct pprof_reader *r, enum label_kind kind, const uint64_t *l)
{
    bool is_id = kind >= LABEL_SPAN && kind <= LABEL_TRACE;

    if (l[2] && (kind == LABEL_IDENTITY || kind == LABEL_ENDPOINT))
        return true;
    if (!(l[2] || l[3] || l[4]) || (is_id && r->flags & PPROF_SPANS && span_id(r, kind, l)))
        return false;
    r->stats.labels_set_aside++;
    r->set_aside = true;
    return false;
}

static int add_label(struct pprof_reader *r, struct bytes message)
{
    uint64_t l[5]; /* key, str, num, num_unit */
    enum label_kind kind = LABEL_IDENTITY;
    struct label label = {0};

    if (!PB_NUMBERS(message, l))
        return malformed(r, "a label");
    if (!(r->flags & PPROF_LABELS_ALL)) {
        kind = label_kind(r, l[1]);
        if (!is_identity(r, kind, l))
            return 0;
    }
    if (r->n_labels >= r->limits->labels_max) {
        r->n_labels++; /* counted only; refused at the end of the sample */
        return 0;
    }
    label.key = kind == LABEL_ENDPOINT ? symbols_string(r->into->symbols, BYTES_LIT("endpoint"))
                                       : string(r, l[1]);
    label.str = string(r, l[2]);
    if (l[2] == 0) {
        label.num = (int64_t)l[3];
        label.unit = string(r, l[4]);
    }
    if (label.str == 0 && label.num == 0 && label.unit == 0)
        return 0; /* no value at all; google/pprof skips it too */
    XGROW(r->label, r->label_cap, r->n_labels + 1);
    r->label[r->n_labels++] = label;
    return 0;
}

static int read_sample(struct pprof_reader *r, struct bytes message)
{
    struct cursor c = cursor_of(message);
    enum pb_step step;
    struct pb_field f;
    int e = 0;

    r->n_stack = r->n_labels = 0;
    r->n_values = 0;
    r->span = (struct span){0};
    r->set_aside = false;
    while ((step = pb_next(&c, &f)) == PB_FIELD) {
        if (f.number <= 2 && f.type != PB_LEN)
            e = add_scalar(r, &f);
        else if (f.number == 1)
            e = add_locations(r, f.data);
        else if (f.number == 2)
            e = add_values(r, f.data);
        else if (f.number == 3)
            e = f.type == PB_LEN ? add_label(r, f.data) : malformed(r, "a sample");
        if (e)
            return e;
    }
    return step == PB_END ? 0 : malformed(r, "a sample");
}

static int check_sample(struct pprof_reader *r)
{
    if (r->n_values != r->n_types)
        return fail(r->f, 400, "malformed", NULL,
                    "not a valid pprof profile: a sample has %u values, but there are %u sample "
                    "types",
                    r->n_values, r->n_types);
    if (check_limit(r, "a stack with too many frames", r->n_stack, r->limits->depth_max,
                    "depth_max") ||
        check_limit(r, "a sample with too many labels", r->n_labels, r->limits->labels_max,
                    "labels_max"))
        return FAILURE;
    return 0;
}

static bool all_zero(const int64_t *values, uint32_t n)
{
    int64_t any = 0;

    for (uint32_t i = 0; i < n; i++)
        any |= values[i];
    return any == 0;
}

/* Makes a row of the sample's values. */
static int new_row(struct pprof_reader *r, struct row row)
{
    size_t n = (size_t)r->n_rows + 1;

    if (check_limit(r, "too many samples", n, r->limits->samples_max, "samples_max") ||
        check_limit(r, "too many values", n * r->n_types, r->limits->values_max, "values_max"))
        return FAILURE;
    XGROW(r->row, r->row_cap, n);
    XGROW(r->row_values, r->row_values_cap, n * r->n_types);
    r->row[n - 1] = row;
    for (uint32_t t = 0; t < r->n_types; t++)
        r->row_values[(n - 1) * r->n_types + t] = r->value[t];
    r->n_rows++;
    return 0;
}

/* Adds the sample to the row of one before it that was the same but for what was set aside. */
static int fold(struct pprof_reader *r, struct row row)
{
    const uint64_t *secret = hash_secret();
    uint64_t place = hash_pair(secret, row.stack, (uint64_t)row.labels << 32 | row.span);

    for (struct probe p = table_probe(&r->folded, place); table_next(&r->folded, &p);) {
        int64_t *values = r->row_values + (size_t)p.id * r->n_types;

        if (memcmp(&r->row[p.id], &row, sizeof row) != 0)
            continue;
        for (uint32_t t = 0; t < r->n_types; t++)
            values[t] = add_saturating(values[t], r->value[t], &r->saturated);
        return 0;
    }
    table_insert(&r->folded, place, r->n_rows);
    return new_row(r, row);
}

static int journal_sample(struct pprof_reader *r)
{
    struct stacks *stacks = r->into->stacks;
    struct row row = {.stack = stacks_intern(stacks, r->stack, r->n_stack),
                      .labels = profile_labels(r->into, r->label, r->n_labels),
                      .span = profile_span(r->into, &r->span)};

    if (r->set_aside ? fold(r, row) : new_row(r, row))
        return FAILURE;
    return check_limit(r, "too many different stacks, in nodes",
                       stacks_n_nodes(stacks) - r->nodes_before, r->limits->nodes_max, "nodes_max");
}

static int read_samples(struct pprof_reader *r)
{
    struct cursor c = cursor_of(r->raw);
    struct pb_field f;

    XGROW(r->stack, r->stack_cap, r->limits->depth_max);
    r->nodes_before = stacks_n_nodes(r->into->stacks);
    while (pb_next(&c, &f) == PB_FIELD) {
        if (f.number != 2)
            continue;
        if (read_sample(r, f.data) || check_sample(r))
            return FAILURE;
        if (all_zero(r->value, r->n_types))
            r->stats.zero_samples++;
        else if (journal_sample(r))
            return FAILURE;
    }
    return 0;
}

/* --- the end: nothing can fail any more but the types -------------------------------------------
 */

static int read_type(struct pprof_reader *r, struct bytes message, struct sample_type *ret)
{
    uint64_t t[3];

    if (!PB_NUMBERS(message, t))
        return malformed(r, "a sample type");
    *ret = (struct sample_type){string(r, t[1]), string(r, t[2])};
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
        p->default_type = string(r, r->default_type);
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
        e = malformed(r, "it is empty");
    else
        e = pass_one(r) || read_tables(r) || read_samples(r) || commit(r) ? FAILURE : 0;
    if (stats)
        *stats = r->stats;
    if (scratch_bytes(r) > SCRATCH_BYTES_MAX)
        forget_scratch(r);
    return e;
}
