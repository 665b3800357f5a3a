/*
 * How it works. Pass one stores a view of every entry, under the limits. What an index stands for
 * is looked up in an array beside the table, which is filled as entries are asked for: strings,
 * functions and mappings to symbol ids, a location to a run of frames, a stack to its id. So a
 * sample costs one look-up for its whole stack, and a string that no sample leads to is never
 * copied.
 *
 * Index 0 is "none" by the specification, and entry 0 the zero value; some producers leave tables
 * empty (async-profiler 4.3 has no links). Index 0 is therefore never out of range.
 *
 * Frames. A line of a location is a frame, the innermost first. A location without lines is an
 * unsymbolised frame: mapping and address, as in pprof. But only of native frames is the address an
 * address: for interpreted ones the eBPF profiler puts a line number there, which would make
 * frames of what is one function; those become one frame, named by their type, "[cpython]".
 *
 * Refused with its profile, not with the upload: an index that does not fit, a stack that is too
 * deep. Read as "" or "none", and counted: strings, lines' functions and mappings that are not
 * there.
 */
#include "formats/otlp_dict.h"

#include "base/utf8.h"
#include "base/xalloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { NONE = UINT32_MAX, STRING_BYTES_MAX = 65535, TEXT_NAME_MAX = 64, BUILD_ID_MAX = 256 };
/* Frames a byte of input may lead to: a location of many inlined lines costs one byte each time. */
enum { FRAMES_PER_BYTE = 8 };
/* Fields of an attribute or link, which many references may lead to: far more than it has. */
enum { SMALL_FIELDS_MAX = 16 };

int otlp_malformed(const struct reading *rd, const char *what)
{
    return fail(rd->f, 400, "malformed", NULL, "not a valid OTLP profiles message: %s", what);
}

int otlp_above_limit(const struct reading *rd, const char *what, uint64_t n, uint64_t max,
                     const char *setting)
{
    char hint[64];

    snprintf(hint, sizeof hint, "the limit is %s", setting);
    return fail(rd->f, 400, "limit_exceeded", hint,
                "the upload has too many %s: %llu, at most %llu are allowed", what,
                (unsigned long long)n, (unsigned long long)max);
}

int otlp_refuse(struct otlp_dict *d, const char *fmt, ...)
{
    va_list args;

    if (d->rd->stats->profiles_refused)
        return OTLP_E_REFUSED; /* the first reason is the one that is told */
    va_start(args, fmt);
    vsnprintf(d->why, sizeof d->why, fmt, args);
    va_end(args);
    return OTLP_E_REFUSED;
}

void otlp_dict_deinit(struct otlp_dict *d)
{
    for (unsigned i = 0; i < OTLP_N_TABLES; i++)
        free(d->table[i].at);
    free(d->string_id);
    free(d->function_id);
    free(d->stack_id);
    free(d->mapping);
    free(d->location);
    free(d->attribute);
    free(d->frame);
    free(d->stack);
    buf_deinit(&d->text);
    *d = (struct otlp_dict){0};
}

size_t otlp_dict_bytes(const struct otlp_dict *d)
{
    size_t bytes = d->attribute_cap * sizeof *d->attribute + d->frame_cap * sizeof *d->frame +
                   d->location_cap * sizeof *d->location + d->mapping_cap * sizeof *d->mapping;

    for (unsigned i = 0; i < OTLP_N_TABLES; i++)
        bytes += d->table[i].cap * sizeof *d->table[i].at;
    return bytes;
}

/* --- pass one -----------------------------------------------------------------------------------
 */

static const char *const table_name[] = {
    "",
    "mappings in the dictionary",
    "locations in the dictionary",
    "functions in the dictionary",
    "links in the dictionary",
    "strings in the dictionary",
    "attributes in the dictionary",
    "stacks in the dictionary",
};

static uint32_t table_max(const struct profile_limits *max, unsigned number, const char **setting)
{
    switch (number) {
    case OTLP_STRINGS:
    case OTLP_ATTRIBUTES:
        *setting = "strings_max";
        return max->strings_max;
    case OTLP_LOCATIONS:
        *setting = "locations_max";
        return max->locations_max;
    case OTLP_MAPPINGS:
    case OTLP_FUNCTIONS:
        *setting = "functions_max";
        return max->functions_max;
    default:
        *setting = "samples_max"; /* stacks and links, which samples refer to */
        return max->samples_max;
    }
}

void otlp_dict_begin(struct otlp_dict *d, struct reading *rd)
{
    d->rd = rd;
    d->why[0] = '\0';
    d->n_frame = 0;
    for (unsigned i = 0; i < OTLP_N_TABLES; i++)
        d->table[i].n = 0;
}

int otlp_dict_note(struct otlp_dict *d, struct bytes message)
{
    struct cursor c = cursor_of(message);
    enum pb_step step;
    struct pb_field f;
    const char *setting;

    while ((step = pb_next(&c, &f)) == PB_FIELD) {
        struct otlp_table *t;

        if (f.number >= OTLP_N_TABLES)
            continue;
        if (f.type != PB_LEN)
            return otlp_malformed(d->rd, "a table of the dictionary");
        t = &d->table[f.number];
        if (t->n < table_max(d->rd->limits, (unsigned)f.number, &setting)) {
            if (t->n == t->cap)
                XGROW(t->at, t->cap, (size_t)t->n + 1);
            t->at[t->n] = f.data;
        }
        t->n++;
    }
    return step == PB_END ? 0 : otlp_malformed(d->rd, "the dictionary");
}

static void forget(uint32_t **ids, size_t *cap, uint32_t n)
{
    XGROW(*ids, *cap, (size_t)n + 1);
    memset(*ids, 0xff, ((size_t)n + 1) * sizeof **ids);
}

int otlp_dict_open(struct otlp_dict *d, size_t upload_bytes)
{
    const struct otlp_table *t = d->table;
    const char *setting = "";

    for (unsigned i = 1; i < OTLP_N_TABLES; i++) {
        uint32_t max = table_max(d->rd->limits, i, &setting);

        if (t[i].n > max)
            return otlp_above_limit(d->rd, table_name[i], t[i].n, max, setting);
    }
    forget(&d->string_id, &d->string_id_cap, t[OTLP_STRINGS].n);
    forget(&d->function_id, &d->function_id_cap, t[OTLP_FUNCTIONS].n);
    forget(&d->stack_id, &d->stack_id_cap, t[OTLP_STACKS].n);
    XGROW(d->mapping, d->mapping_cap, (size_t)t[OTLP_MAPPINGS].n + 1);
    memset(d->mapping, 0, ((size_t)t[OTLP_MAPPINGS].n + 1) * sizeof *d->mapping);
    XGROW(d->location, d->location_cap, (size_t)t[OTLP_LOCATIONS].n + 1);
    memset(d->location, 0xff, ((size_t)t[OTLP_LOCATIONS].n + 1) * sizeof *d->location);
    XGROW(d->attribute, d->attribute_cap, (size_t)t[OTLP_ATTRIBUTES].n + 1);
    memset(d->attribute, 0, ((size_t)t[OTLP_ATTRIBUTES].n + 1) * sizeof *d->attribute);
    XGROW(d->stack, d->stack_cap, (size_t)d->rd->limits->depth_max + 1);
    d->frames_left = FRAMES_PER_BYTE * (uint64_t)upload_bytes;
    d->nodes_before = stacks_n_nodes(d->rd->into->stacks);
    return 0;
}

/* Of messages that are read again and again: not more than a few fields of them. */
static enum pb_step next_small(struct cursor *c, struct pb_field *f, unsigned *n)
{
    return ++*n > SMALL_FIELDS_MAX && c->at < c->end ? PB_MALFORMED : pb_next(c, f);
}

/* --- strings and attributes ---------------------------------------------------------------------
 */

/* An entry of a table; of index 0 where the table is empty, the zero value. */
static bool entry(const struct otlp_dict *d, unsigned table, uint64_t index, struct bytes *ret)
{
    const struct otlp_table *t = &d->table[table];

    *ret = BYTES_LIT("");
    if (index >= t->n)
        return index == 0;
    *ret = t->at[index];
    return true;
}

struct bytes otlp_text(struct otlp_dict *d, uint64_t index)
{
    struct bytes text;

    if (!entry(d, OTLP_STRINGS, index, &text))
        d->rd->stats->bad_strings++;
    return text;
}

uint32_t otlp_intern(struct otlp_dict *d, struct bytes text)
{
    if (text.len > STRING_BYTES_MAX) {
        text = utf8_cut(text, STRING_BYTES_MAX);
        d->rd->stats->strings_cut++;
    }
    if (!utf8_valid(text)) {
        buf_reset(&d->text);
        utf8_repair(text, &d->text);
        text = buf_bytes(&d->text);
        d->rd->stats->utf8_repaired++;
    }
    return symbols_string(d->rd->into->symbols, text);
}

uint32_t otlp_string(struct otlp_dict *d, uint64_t index)
{
    if (index >= d->table[OTLP_STRINGS].n) {
        d->rd->stats->bad_strings += index != 0;
        return 0;
    }
    if (d->string_id[index] == NONE)
        d->string_id[index] = otlp_intern(d, d->table[OTLP_STRINGS].at[index]);
    return d->string_id[index];
}

static void any_number(struct otlp_dict *d, const struct pb_field *f, struct otlp_any *ret)
{
    if (f->number == 8)
        *ret = (struct otlp_any){
            .kind = OTLP_ANY_TEXT, .text = otlp_text(d, f->value), .ref = f->value};
    else if (f->number == 2 || f->number == 3)
        *ret = (struct otlp_any){.kind = f->number == 2 ? OTLP_ANY_BOOL : OTLP_ANY_INT,
                                 .number = (int64_t)f->value};
}

/* Lists, maps, bytes and floating point numbers make no tag and no label: not looked into. */
static int read_any(struct otlp_dict *d, struct bytes message, struct otlp_any *ret)
{
    struct cursor c = cursor_of(message);
    enum pb_step step;
    struct pb_field f;
    unsigned n = 0;

    *ret = (struct otlp_any){0};
    while ((step = next_small(&c, &f, &n)) == PB_FIELD) {
        if (f.type == PB_VARINT)
            any_number(d, &f, ret);
        else if (f.number == 1 && f.type == PB_LEN)
            *ret = (struct otlp_any){.kind = OTLP_ANY_TEXT, .text = f.data};
        else if (f.number <= 7)
            *ret = (struct otlp_any){.kind = OTLP_ANY_OTHER};
    }
    return step == PB_END ? 0 : otlp_malformed(d->rd, "an attribute's value");
}

int otlp_key_value(struct otlp_dict *d, struct bytes message, struct bytes *ret_key,
                   struct otlp_any *ret_value)
{
    struct cursor c = cursor_of(message);
    struct bytes value = BYTES_LIT("");
    enum pb_step step;
    struct pb_field f;
    uint64_t ref = 0;

    *ret_key = BYTES_LIT("");
    while ((step = pb_next(&c, &f)) == PB_FIELD) {
        if (f.number == 1 && f.type == PB_LEN)
            *ret_key = f.data;
        else if (f.number == 2 && f.type == PB_LEN)
            value = f.data;
        else if (f.number == 3 && f.type == PB_VARINT)
            ref = f.value;
        else if (f.number <= 3)
            return otlp_malformed(d->rd, "an attribute");
    }
    if (step != PB_END)
        return otlp_malformed(d->rd, "an attribute");
    if (ret_key->len == 0)
        *ret_key = otlp_text(d, ref);
    return read_any(d, value, ret_value);
}

int otlp_pair(struct otlp_dict *d, uint64_t index, struct otlp_pair *ret)
{
    struct bytes message, value = BYTES_LIT("");
    struct cursor c;
    enum pb_step step;
    struct pb_field f;
    unsigned n = 0;

    ret->key_ref = 0;
    if (!entry(d, OTLP_ATTRIBUTES, index, &message))
        d->rd->stats->dangling_refs++;
    c = cursor_of(message);
    while ((step = next_small(&c, &f, &n)) == PB_FIELD) {
        if (f.number == 1 && f.type == PB_VARINT)
            ret->key_ref = f.value;
        else if (f.number == 2 && f.type == PB_LEN)
            value = f.data;
        else if (f.number <= 2)
            return otlp_malformed(d->rd, "an attribute of the dictionary");
    }
    if (step != PB_END)
        return otlp_malformed(d->rd, "an attribute of the dictionary");
    ret->key = otlp_text(d, ret->key_ref);
    return read_any(d, value, &ret->value);
}

/* The id that an attribute gives the samples' span; 0 where it cannot be read. */
static void read_span(struct otlp_attribute *a, enum label_kind kind, const struct otlp_any *value)
{
    uint64_t id = value->kind == OTLP_ANY_INT ? (uint64_t)value->number : 0;

    a->kind = OTLP_ATTRIBUTE_SPAN;
    if (kind == LABEL_TRACE) {
        if (value->kind != OTLP_ANY_TEXT ||
            trace_id_parse(value->text, &a->span.trace_hi, &a->span.trace_lo))
            a->kind = OTLP_ATTRIBUTE_SET_ASIDE;
        return;
    }
    if (value->kind == OTLP_ANY_TEXT && span_id_parse(value->text, &id))
        a->kind = OTLP_ATTRIBUTE_SET_ASIDE;
    *(kind == LABEL_SPAN ? &a->span.id : &a->span.root) = id;
}

/* By reference where there is one: a long text is then read once, however many refer to it. */
static uint32_t intern_any(struct otlp_dict *d, const struct otlp_any *value)
{
    return value->ref ? otlp_string(d, value->ref) : otlp_intern(d, value->text);
}

static void read_label(struct otlp_dict *d, struct otlp_attribute *a, uint32_t key,
                       const struct otlp_any *value)
{
    struct label label = {.key = key};

    if (value->kind == OTLP_ANY_BOOL)
        label.str = otlp_intern(d, value->number ? BYTES_LIT("true") : BYTES_LIT("false"));
    else
        label.str = intern_any(d, value); /* numbers are set aside, as in pprof */
    if (label.key == 0 || label.str == 0)
        return;
    a->kind = OTLP_ATTRIBUTE_LABEL;
    a->label = label;
}

static int read_attribute(struct otlp_dict *d, uint64_t index, struct otlp_attribute *a)
{
    struct otlp_pair pair;
    enum label_kind kind;

    if (otlp_pair(d, index, &pair))
        return FAILURE;
    *a = (struct otlp_attribute){.kind = OTLP_ATTRIBUTE_SET_ASIDE};
    kind = label_kind_of(pair.key);
    if (bytes_equal(pair.key, BYTES_LIT("service.name")) && pair.value.text.len) {
        a->kind = OTLP_ATTRIBUTE_SERVICE;
        a->label.str = intern_any(d, &pair.value);
    } else if (kind == LABEL_IDENTITY) {
        read_label(d, a, otlp_string(d, pair.key_ref), &pair.value);
    } else if (kind == LABEL_ENDPOINT) {
        read_label(d, a, otlp_intern(d, BYTES_LIT("endpoint")), &pair.value);
    } else if (kind != LABEL_SET_ASIDE && d->rd->with_spans) {
        read_span(a, kind, &pair.value);
    }
    return 0;
}

int otlp_attribute(struct otlp_dict *d, uint64_t index, const struct otlp_attribute **ret)
{
    static const struct otlp_attribute none = {.kind = OTLP_ATTRIBUTE_SET_ASIDE};

    if (index >= d->table[OTLP_ATTRIBUTES].n) {
        *ret = &none;
        return index == 0 ? 0
                          : otlp_refuse(d, "a sample refers to attribute %llu of %u",
                                        (unsigned long long)index, d->table[OTLP_ATTRIBUTES].n);
    }
    *ret = &d->attribute[index];
    if (d->attribute[index].kind == OTLP_ATTRIBUTE_UNREAD)
        return read_attribute(d, index, &d->attribute[index]);
    return 0;
}

static uint64_t big_endian(const uint8_t *p)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < 8; i++)
        v = v << 8 | p[i];
    return v;
}

int otlp_link(struct otlp_dict *d, uint64_t index, struct span *span)
{
    struct bytes message;
    enum pb_step step;
    struct pb_field f;
    unsigned n = 0;
    struct cursor c;

    if (!entry(d, OTLP_LINKS, index, &message))
        d->rd->stats->dangling_refs++;
    c = cursor_of(message);
    while ((step = next_small(&c, &f, &n)) == PB_FIELD) {
        if (f.number == 1 && f.type == PB_LEN && f.data.len == 16) {
            span->trace_hi = big_endian(f.data.data);
            span->trace_lo = big_endian(f.data.data + 8);
        } else if (f.number == 2 && f.type == PB_LEN && f.data.len == 8) {
            span->id = big_endian(f.data.data);
        }
    }
    return step == PB_END ? 0 : otlp_malformed(d->rd, "a link");
}

/* --- attributes of mappings and locations -------------------------------------------------------
 */

typedef int index_fn(struct otlp_dict *d, uint64_t index, void *ctx);

/* Repeated indexes come packed, or one by one. */
static int each_index(struct otlp_dict *d, const struct pb_field *f, index_fn *fn, void *ctx)
{
    struct cursor c = cursor_of(f->data);
    uint64_t index;

    if (f->type == PB_VARINT)
        return fn(d, f->value, ctx);
    while (c.at < c.end) {
        if (!varint_get(&c, &index))
            return otlp_malformed(d->rd, "a list of indexes");
        if (fn(d, index, ctx))
            return FAILURE;
    }
    return 0;
}

/* Of several build ids the one that most tools know. */
struct build_id {
    struct bytes text;
    unsigned rank;
};

static int note_build_id(struct otlp_dict *d, uint64_t index, void *ctx)
{
    static const char *const keys[] = {"process.executable.build_id.htlhash",
                                       "process.executable.build_id.go",
                                       "process.executable.build_id.gnu"};
    struct build_id *id = ctx;
    struct otlp_pair pair;

    if (otlp_pair(d, index, &pair))
        return FAILURE;
    for (unsigned i = 0; i < 3; i++)
        if (pair.value.text.len && pair.value.text.len <= BUILD_ID_MAX && i + 1 > id->rank &&
            bytes_equal(pair.key, bytes_str(keys[i])))
            *id = (struct build_id){pair.value.text, i + 1};
    return 0;
}

static int read_mapping(struct otlp_dict *d, uint64_t index, struct otlp_mapping *m)
{
    struct cursor c = cursor_of(d->table[OTLP_MAPPINGS].at[index]);
    uint64_t n[5] = {0}; /* memory_start, memory_limit, file_offset, filename */
    struct build_id id = {0};
    struct mapping mapping;
    enum pb_step step;
    struct pb_field f;

    while ((step = pb_next(&c, &f)) == PB_FIELD) {
        if (f.number == 5 && (f.type == PB_LEN || f.type == PB_VARINT)) {
            if (each_index(d, &f, note_build_id, &id))
                return FAILURE;
        } else if (f.number <= 4 && f.type == PB_VARINT) {
            n[f.number] = f.value;
        } else if (f.number <= 5) {
            return otlp_malformed(d->rd, "a mapping");
        }
    }
    if (step != PB_END)
        return otlp_malformed(d->rd, "a mapping");
    mapping = (struct mapping){otlp_string(d, n[4]), otlp_intern(d, id.text)};
    *m = (struct otlp_mapping){true, symbols_mapping(d->rd->into->symbols, &mapping), n[1], n[2],
                               n[3]};
    return 0;
}

static int find_mapping(struct otlp_dict *d, uint64_t index, const struct otlp_mapping **ret)
{
    *ret = NULL;
    if (index == 0)
        return 0;
    if (index >= d->table[OTLP_MAPPINGS].n) {
        d->rd->stats->dangling_refs++;
        return 0;
    }
    *ret = &d->mapping[index];
    return d->mapping[index].read ? 0 : read_mapping(d, index, &d->mapping[index]);
}

/* --- functions, locations -----------------------------------------------------------------------
 */

static int read_function(struct otlp_dict *d, uint64_t index, uint32_t *ret)
{
    uint64_t n[5]; /* name, system_name, filename, start_line */
    struct function function;

    if (!PB_NUMBERS(d->table[OTLP_FUNCTIONS].at[index], n))
        return otlp_malformed(d->rd, "a function");
    function = (struct function){otlp_string(d, n[1]), otlp_string(d, n[2]), otlp_string(d, n[3]),
                                 (int64_t)n[4]};
    if (function.name == 0)
        function.name = function.system_name;
    *ret = symbols_function(d->rd->into->symbols, &function);
    return 0;
}

/* *ret = 0: there is no such function. */
static int find_function(struct otlp_dict *d, uint64_t index, uint32_t *ret)
{
    *ret = 0;
    if (index == 0 || index >= d->table[OTLP_FUNCTIONS].n)
        return 0;
    if (d->function_id[index] == NONE && read_function(d, index, &d->function_id[index]))
        return FAILURE;
    *ret = d->function_id[index];
    return 0;
}

struct location {
    uint64_t mapping, address;
    uint32_t n_lines;
    struct bytes type; /* profile.frame.type */
};

static int note_frame_type(struct otlp_dict *d, uint64_t index, void *ctx)
{
    struct location *loc = ctx;
    struct otlp_pair pair;

    if (otlp_pair(d, index, &pair))
        return FAILURE;
    if (bytes_equal(pair.key, BYTES_LIT("profile.frame.type")))
        loc->type = pair.value.text;
    return 0;
}

static bool has_addresses(struct bytes frame_type)
{
    return frame_type.len == 0 || bytes_equal(frame_type, BYTES_LIT("native")) ||
           bytes_equal(frame_type, BYTES_LIT("kernel"));
}

static uint32_t typed_frame(struct otlp_dict *d, struct bytes type)
{
    char name[TEXT_NAME_MAX];
    struct function function = {0};
    int n = snprintf(name, sizeof name, "[%.*s]", (int)(type.len < 32 ? type.len : 32),
                     (const char *)type.data);

    function.name = otlp_intern(d, bytes_of(name, (size_t)n));
    return symbols_frame(
        d->rd->into->symbols,
        &(struct frame){.function = symbols_function(d->rd->into->symbols, &function)});
}

static int push_unsymbolised(struct otlp_dict *d, const struct location *loc)
{
    struct frame frame = {.line_or_address = loc->address};
    const struct otlp_mapping *m;

    if (!has_addresses(loc->type)) {
        d->frame[d->n_frame++] = typed_frame(d, loc->type);
        return 0;
    }
    if (find_mapping(d, loc->mapping, &m))
        return FAILURE;
    if (m) {
        frame.mapping = m->id;
        if (frame.line_or_address >= m->start &&
            (m->limit == 0 || frame.line_or_address < m->limit))
            frame.line_or_address += m->offset - m->start;
    }
    d->frame[d->n_frame++] = symbols_frame(d->rd->into->symbols, &frame);
    return 0;
}

static int push_line(struct otlp_dict *d, const struct location *loc, struct bytes message)
{
    struct frame frame = {0};
    uint64_t n[4]; /* function, line, column */

    if (!PB_NUMBERS(message, n))
        return otlp_malformed(d->rd, "a line");
    if (find_function(d, n[1], &frame.function))
        return FAILURE;
    if (frame.function == 0) {
        d->rd->stats->dangling_refs += n[1] != 0;
        return push_unsymbolised(d, loc);
    }
    frame.line_or_address = n[2];
    d->frame[d->n_frame++] = symbols_frame(d->rd->into->symbols, &frame);
    return 0;
}

/* All of a location but its lines, which may come before the rest, and are counted only. */
static int read_location(struct otlp_dict *d, struct bytes message, struct location *loc)
{
    struct cursor c = cursor_of(message);
    enum pb_step step;
    struct pb_field f;

    while ((step = pb_next(&c, &f)) == PB_FIELD) {
        if (f.number == 1 && f.type == PB_VARINT)
            loc->mapping = f.value;
        else if (f.number == 2 && f.type == PB_VARINT)
            loc->address = f.value;
        else if (f.number == 3 && f.type == PB_LEN)
            loc->n_lines++;
        else if (f.number == 4 && (f.type == PB_LEN || f.type == PB_VARINT)) {
            if (each_index(d, &f, note_frame_type, loc))
                return FAILURE;
        } else if (f.number <= 4)
            return otlp_malformed(d->rd, "a location");
    }
    return step == PB_END ? 0 : otlp_malformed(d->rd, "a location");
}

static int push_lines(struct otlp_dict *d, struct bytes message, const struct location *loc)
{
    struct cursor c = cursor_of(message);
    struct pb_field f;

    while (pb_next(&c, &f) == PB_FIELD)
        if (f.number == 3 && push_line(d, loc, f.data))
            return FAILURE;
    return 0;
}

static int make_frames(struct otlp_dict *d, uint64_t index, struct otlp_run *ret)
{
    uint64_t lines_max = d->rd->limits->lines_max;
    struct location loc = {.type = BYTES_LIT("")};
    size_t begin = d->n_frame;
    struct bytes message;

    entry(d, OTLP_LOCATIONS, index, &message);
    if (read_location(d, message, &loc))
        return FAILURE;
    if (begin + loc.n_lines > lines_max)
        return otlp_above_limit(d->rd, "lines", begin + loc.n_lines, lines_max, "lines_max");
    XGROW(d->frame, d->frame_cap, begin + loc.n_lines + 1);
    if (loc.n_lines ? push_lines(d, message, &loc) : push_unsymbolised(d, &loc))
        return FAILURE;
    *ret = d->location[index] = (struct otlp_run){(uint32_t)begin, (uint32_t)(d->n_frame - begin)};
    return 0;
}

/* --- stacks -------------------------------------------------------------------------------------
 */

static inline int push_location(struct otlp_dict *d, uint64_t index, size_t *n)
{
    struct otlp_run run;

    if (index >= d->table[OTLP_LOCATIONS].n && index > 0)
        return otlp_refuse(d, "a stack refers to location %llu of %u", (unsigned long long)index,
                           d->table[OTLP_LOCATIONS].n);
    run = d->location[index];
    if (run.n == NONE && make_frames(d, index, &run))
        return FAILURE;
    if (*n + run.n > d->rd->limits->depth_max)
        return otlp_refuse(d, "a stack has more than %u frames (the limit is depth_max)",
                           d->rd->limits->depth_max);
    if (run.n > d->frames_left)
        return otlp_above_limit(d->rd, "inlined frames", *n + run.n, *n, "their part of the bytes");
    d->frames_left -= run.n;
    for (uint32_t i = 0; i < run.n; i++) /* nearly always one */
        d->stack[*n + i] = d->frame[run.begin + i];
    *n += run.n;
    return 0;
}

static int push_locations(struct otlp_dict *d, struct bytes packed, size_t *n)
{
    struct cursor c = cursor_of(packed);
    uint64_t index;
    int e = 0;

    while (c.at < c.end && e == 0)
        e = varint_get(&c, &index) ? push_location(d, index, n) : otlp_malformed(d->rd, "a stack");
    return e;
}

static int read_stack(struct otlp_dict *d, struct bytes message, uint32_t *ret)
{
    struct stacks *stacks = d->rd->into->stacks;
    struct cursor c = cursor_of(message);
    enum pb_step step;
    struct pb_field f;
    size_t n = 0;
    int e = 0;

    while (e == 0 && (step = pb_next(&c, &f)) == PB_FIELD) {
        if (f.number != 1)
            continue;
        if (f.type == PB_LEN)
            e = push_locations(d, f.data, &n);
        else
            e = f.type == PB_VARINT ? push_location(d, f.value, &n)
                                    : otlp_malformed(d->rd, "a stack");
    }
    if (e)
        return e;
    if (step != PB_END)
        return otlp_malformed(d->rd, "a stack");
    *ret = stacks_intern(stacks, d->stack, n);
    if (stacks_n_nodes(stacks) - d->nodes_before > d->rd->limits->nodes_max)
        return otlp_above_limit(d->rd, "different stacks, in nodes",
                                stacks_n_nodes(stacks) - d->nodes_before, d->rd->limits->nodes_max,
                                "stack_nodes_max");
    return 0;
}

int otlp_stack(struct otlp_dict *d, uint64_t index, uint32_t *ret)
{
    struct bytes message;
    int e;

    if (!entry(d, OTLP_STACKS, index, &message))
        return otlp_refuse(d, "a sample refers to stack %llu of %u", (unsigned long long)index,
                           d->table[OTLP_STACKS].n);
    if (d->stack_id[index] == NONE && (e = read_stack(d, message, &d->stack_id[index])) != 0)
        return e;
    *ret = d->stack_id[index];
    return 0;
}
