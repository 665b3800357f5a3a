/*
 * Opening checks the CRC and reads the header: all that a duplicate costs. The columns are inflated
 * when they are first asked for, cut into sections, and read in the order of their references:
 * strings, functions, mappings, frames, nodes, label sets, spans. Each table becomes a map from the
 * record's ids to those of the profile that is added to. Values are checked before the first row is
 * added, so that a bad record adds no row.
 */
#include "wire/record.h"

#include "base/arena.h"
#include "base/crc32c.h"
#include "base/varint.h"
#include "base/xalloc.h"
#include "profile/step.h"
#include "record.pb-c.h"
#include "wire/record_layout.h"
#include "wire/zcodec.h"

#include <errno.h>
#include <stdlib.h>

enum { LABELS_PER_SET_MAX = 4096 };
/* A larger scratch is given back: bytes; entries of a table. */
enum { TEXTS_KEPT_MAX = 4 << 20, ENTRIES_KEPT_MAX = 1 << 20 };
#define STRING_UNSEEN UINT32_MAX

/* The record's id → the target's. id[0] is 0. */
struct map {
    uint32_t *id, n;
    size_t cap;
};

enum { MAPS = 7 };

struct record_decoder {
    struct zcodec *z;
    struct arena arena;  /* of protobuf-c */
    struct bytes packed; /* of the opened record */
    size_t raw_len;
    unsigned codec;
    bool cut;                        /* sections are there */
    struct bytes section[SECTION_N]; /* data NULL: absent */
    struct bytes values[PROFILE_TYPES_MAX];
    uint64_t step[PROFILE_TYPES_MAX]; /* of their columns, once they were checked */
    struct cursor column[PROFILE_TYPES_MAX];
    uint32_t n_values, n_types;
    struct bytes types[PROFILE_TYPES_MAX];
    struct buf texts;   /* of all strings */
    struct bytes *text; /* [string.n], in texts; string.id: STRING_UNSEEN, or interned */
    size_t cap_text;
    union {
        struct {
            struct map string, function, mapping, frame, node, labels, span;
        };
        struct map maps[MAPS]; /* the same, to go through */
    };
    uint32_t *node_frame; /* [node.n] the record's ids */
    size_t cap_node_frame;
    struct label *set;
    size_t cap_set;
};

_Static_assert(offsetof(struct record_decoder, span) ==
                   offsetof(struct record_decoder, maps[MAPS - 1]),
               "all maps are gone through");

struct record_decoder *record_decoder_new(void)
{
    struct record_decoder *d = xcalloc(1, sizeof *d);

    d->z = zcodec_new();
    arena_init(&d->arena, 16 << 10);
    return d;
}

void record_decoder_free(struct record_decoder *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < MAPS; i++)
        free(d->maps[i].id);
    free(d->node_frame);
    free(d->text);
    buf_deinit(&d->texts);
    free(d->set);
    arena_deinit(&d->arena);
    zcodec_free(d->z);
    free(d);
}

/* ---- header ------------------------------------------------------------------------------ */

static int bad(struct failure *f, const char *what)
{
    fail(f, 400, "bad_record", NULL, "bad record: %s", what);
    return -EBADMSG;
}

static void *pb_alloc(void *ctx, size_t n)
{
    return arena_alloc(ctx, n);
}

static void pb_free(void *ctx, void *p)
{
    (void)ctx;
    (void)p;
}

static struct bytes view(ProtobufCBinaryData b)
{
    return bytes_of(b.data, b.len);
}

static bool tags_of(struct tags *out, Hearth__Tag **tags, size_t n)
{
    out->n = 0;
    if (n > TAGS_MAX)
        return false;
    for (size_t i = 0; i < n; i++)
        if (tags_add(out, view(tags[i]->key), view(tags[i]->value)) != 0)
            return false;
    return true;
}

static int header_of(struct record_header *h, const Hearth__RecordHeader *pb, struct failure *f)
{
    *h = (struct record_header){
        .source = {pb->source_hi, pb->source_lo},
        .seq = pb->seq,
        .low = pb->low,
        .tenant = view(pb->tenant),
        .service = view(pb->service),
        .start_ns = pb->start_ns,
        .end_ns = pb->end_ns,
        .format = view(pb->format),
        .agent = view(pb->agent),
        .part = pb->part,
        .parts = pb->parts,
        .cumulative = pb->cumulative,
    };
    if (h->service.len == 0 || h->service.len > TAG_VALUE_MAX || h->tenant.len > TAG_VALUE_MAX)
        return bad(f, "no service, or a name that is too long");
    if (!tags_of(&h->series, pb->series, pb->n_series) ||
        !tags_of(&h->instance, pb->instance, pb->n_instance))
        return bad(f, "too many or too long tags");
    if (h->part >= h->parts)
        return bad(f, "part is not below parts");
    if (h->start_ns < 0 || h->end_ns < h->start_ns)
        return bad(f, "its time range is reversed");
    return 0;
}

static int header_decode(struct record_decoder *d, struct bytes in, struct record_header *h,
                         struct failure *f)
{
    ProtobufCAllocator allocator = {pb_alloc, pb_free, &d->arena};
    Hearth__RecordHeader *pb;

    arena_reset(&d->arena);
    pb = hearth__record_header__unpack(&allocator, in.len, in.data);
    return pb ? header_of(h, pb, f) : bad(f, "its header is no RecordHeader");
}

/* Frees an array of more entries than are kept. */
#define GIVE_BACK(at, cap)                                                                         \
    do {                                                                                           \
        if ((cap) > ENTRIES_KEPT_MAX) {                                                            \
            free(at);                                                                              \
            (at) = NULL;                                                                           \
            (cap) = 0;                                                                             \
        }                                                                                          \
    } while (0)

/* What the record before needed. */
static void give_back_large(struct record_decoder *d)
{
    for (size_t i = 0; i < MAPS; i++)
        GIVE_BACK(d->maps[i].id, d->maps[i].cap);
    GIVE_BACK(d->text, d->cap_text);
    GIVE_BACK(d->node_frame, d->cap_node_frame);
}

int record_open(struct record_decoder *d, struct bytes value, struct record_header *h,
                struct failure *f)
{
    struct cursor c;
    struct bytes header;
    uint64_t header_len;

    give_back_large(d);
    d->cut = false;
    d->packed = bytes_of(NULL, 0);
    if (value.len < RECORD_FIXED_BYTES || memcmp(value.data, RECORD_MAGIC, 4) != 0)
        return bad(f, "no magic");
    if (value.data[RECORD_AT_VERSION] != RECORD_VERSION)
        return bad(f, "its version is not known");
    if (value.data[RECORD_AT_FLAGS] != 0 || value.data[RECORD_AT_FLAGS + 1] != 0)
        return bad(f, "it has flags that are not known");
    c = cursor_of(bytes_of(value.data + RECORD_FIXED_BYTES, value.len - RECORD_FIXED_BYTES));
    if (load32(value.data + RECORD_AT_CRC) != crc32c(0, bytes_of(c.at, cursor_left(&c))))
        return bad(f, "its CRC does not match");
    if (!varint_get(&c, &header_len) || header_len > RECORD_HEADER_MAX ||
        !cursor_take(&c, header_len, &header))
        return bad(f, "its header is cut off or too long");
    d->codec = value.data[RECORD_AT_CODEC];
    d->raw_len = load32(value.data + RECORD_AT_RAW_LEN);
    d->packed = bytes_of(c.at, cursor_left(&c));
    return header_decode(d, header, h, f);
}

/* ---- sections ---------------------------------------------------------------------------- */

static bool section_store(struct record_decoder *d, uint64_t tag, struct bytes section)
{
    if (tag == SECTION_VALUES) {
        if (d->n_values == PROFILE_TYPES_MAX)
            return false;
        d->values[d->n_values++] = section;
        return true;
    }
    if (tag == 0 || tag >= SECTION_N)
        return true; /* of a later version */
    if (d->section[tag].data)
        return false;
    d->section[tag] = section;
    return true;
}

static bool types_read(struct record_decoder *d)
{
    struct cursor c = cursor_of(d->section[SECTION_TYPES]);
    uint64_t n;

    if (!d->section[SECTION_TYPES].data || !varint_get(&c, &n) || n == 0 || n > PROFILE_TYPES_MAX ||
        n != d->n_values)
        return false;
    for (uint64_t i = 0; i < n; i++)
        if (!varbytes_get(&c, &d->types[i]))
            return false;
    d->n_types = (uint32_t)n;
    return cursor_left(&c) == 0;
}

static int sections_cut(struct record_decoder *d)
{
    struct bytes raw, section;
    struct cursor c;
    uint64_t tag;

    if (d->cut)
        return 0;
    memset(d->section, 0, sizeof d->section);
    d->n_values = 0;
    if (d->raw_len > RECORD_RAW_MAX || zcodec_unpack(d->z, d->codec, d->packed, d->raw_len, &raw))
        return -EBADMSG;
    for (c = cursor_of(raw); cursor_left(&c) > 0;)
        if (!varint_get(&c, &tag) || !varbytes_get(&c, &section) || !section_store(d, tag, section))
            return -EBADMSG;
    d->cut = types_read(d);
    return d->cut ? 0 : -EBADMSG;
}

int record_types(struct record_decoder *d, const struct bytes **ret_types, uint32_t *ret_n)
{
    int r = sections_cut(d);

    if (r < 0)
        return r;
    *ret_types = d->types;
    *ret_n = d->n_types;
    return 0;
}

/* Opens a section: its count, and a map with room for that many. Every entry of any section is at
 * least one byte, so a count above the section's length is a lie. An absent section is empty. */
static bool table_open(struct record_decoder *d, enum record_section tag, struct cursor *c,
                       struct map *m, uint32_t *ret_n)
{
    uint64_t n = 0;

    *c = cursor_of(d->section[tag]);
    if (d->section[tag].data && (!varint_get(c, &n) || n > cursor_left(c)))
        return false;
    *ret_n = (uint32_t)n;
    if (m) {
        XGROW(m->id, m->cap, n + 1);
        m->id[0] = 0;
        m->n = (uint32_t)n + 1;
    }
    return true;
}

/* The next n varints of c as a column of their own. */
static bool column_take(struct cursor *c, uint32_t n, struct cursor *ret)
{
    uint64_t v;

    *ret = *c;
    for (uint32_t i = 0; i < n; i++)
        if (!varint_get(c, &v))
            return false;
    ret->end = c->at;
    return true;
}

/* The column's next entry, looked up in m. */
static bool id_get(struct cursor *c, const struct map *m, uint32_t *ret)
{
    uint64_t v;

    if (!varint_get(c, &v) || v >= m->n)
        return false;
    *ret = m->id[v];
    return true;
}

/* Their lengths, into text; false: they would be too many bytes together. */
static bool lengths_read(struct record_decoder *d, struct cursor shared, struct cursor own,
                         uint32_t n, uint64_t *ret_sum)
{
    uint64_t a, b, sum = 0;

    d->text[0].len = 0;
    for (uint32_t i = 1; i <= n; i++) {
        if (!varint_get(&shared, &a) || !varint_get(&own, &b) || a > d->text[i - 1].len ||
            b > RECORD_RAW_MAX)
            return false;
        d->text[i].len = a + b;
        sum += a + b;
        if (sum > RECORD_RAW_MAX)
            return false;
    }
    *ret_sum = sum;
    return true;
}

static bool strings_read(struct record_decoder *d)
{
    struct cursor c, shared, own, texts = cursor_of(d->section[SECTION_TEXTS]);
    uint64_t sum, len = 0;
    struct bytes part;
    uint8_t *to;
    uint32_t n;

    if (!table_open(d, SECTION_STRINGS, &c, &d->string, &n) || !column_take(&c, n, &shared) ||
        !column_take(&c, n, &own) || cursor_left(&c) > 0 || (n && !texts.at))
        return false;
    XGROW(d->text, d->cap_text, (size_t)n + 1);
    if (!lengths_read(d, shared, own, n, &sum))
        return false;
    if (d->texts.cap > TEXTS_KEPT_MAX && sum <= TEXTS_KEPT_MAX)
        buf_deinit(&d->texts);
    buf_reset(&d->texts);
    if (buf_try_reserve(&d->texts, sum + 1) != 0)
        return false;
    to = d->texts.data;
    for (uint32_t i = 1; i <= n; i++) {
        if (!varint_get(&shared, &len) || !cursor_take(&texts, d->text[i].len - len, &part))
            return false;
        if (len)
            memcpy(to, d->text[i - 1].data, len);
        if (part.len)
            memcpy(to + len, part.data, part.len);
        d->text[i].data = to;
        to += d->text[i].len;
        d->string.id[i] = STRING_UNSEEN;
    }
    return cursor_left(&texts) == 0;
}

/* The column's next entry, a string, interned. */
static bool string_get(struct record_decoder *d, struct symbols *s, struct cursor *c, uint32_t *ret)
{
    uint64_t v;

    if (!varint_get(c, &v) || v >= d->string.n)
        return false;
    if (d->string.id[v] == STRING_UNSEEN)
        d->string.id[v] = symbols_string(s, d->text[v]);
    *ret = d->string.id[v];
    return true;
}

static bool functions_read(struct record_decoder *d, struct symbols *s)
{
    struct cursor c, name, system, file, line;
    struct function f;
    uint64_t v;
    uint32_t n;

    if (!table_open(d, SECTION_FUNCTIONS, &c, &d->function, &n) || !column_take(&c, n, &name) ||
        !column_take(&c, n, &system) || !column_take(&c, n, &file) || !column_take(&c, n, &line))
        return false;
    for (uint32_t i = 1; i <= n; i++) {
        if (!string_get(d, s, &name, &f.name) || !string_get(d, s, &system, &f.system_name) ||
            !string_get(d, s, &file, &f.file) || !varint_get(&line, &v))
            return false;
        f.start_line = unzigzag(v);
        d->function.id[i] = symbols_function(s, &f);
    }
    return cursor_left(&c) == 0;
}

static bool mappings_read(struct record_decoder *d, struct symbols *s)
{
    struct cursor c, file, build_id;
    struct mapping m;
    uint32_t n;

    if (!table_open(d, SECTION_MAPPINGS, &c, &d->mapping, &n) || !column_take(&c, n, &file) ||
        !column_take(&c, n, &build_id))
        return false;
    for (uint32_t i = 1; i <= n; i++) {
        if (!string_get(d, s, &file, &m.file) || !string_get(d, s, &build_id, &m.build_id))
            return false;
        d->mapping.id[i] = symbols_mapping(s, &m);
    }
    return cursor_left(&c) == 0;
}

/* The inverse of the encoder's function_step, looked up. */
static bool function_get(struct cursor *c, const struct map *m, uint32_t *greatest, uint32_t *ret)
{
    uint64_t step, id;

    if (!varint_get(c, &step))
        return false;
    id = step ? *greatest + 1 + (uint64_t)unzigzag(step - 1) : 0; /* below 0: above all */
    if (id >= m->n || (step && id == 0))
        return false;
    *greatest = id > *greatest ? (uint32_t)id : *greatest;
    *ret = m->id[id];
    return true;
}

static bool frames_read(struct record_decoder *d, struct symbols *s)
{
    struct cursor c, function, mapping, line;
    struct frame f;
    uint32_t n, greatest = 0;

    if (!table_open(d, SECTION_FRAMES, &c, &d->frame, &n) || !column_take(&c, n, &function) ||
        !column_take(&c, n, &mapping) || !column_take(&c, n, &line))
        return false;
    for (uint32_t i = 1; i <= n; i++) {
        if (!function_get(&function, &d->function, &greatest, &f.function) ||
            !id_get(&mapping, &d->mapping, &f.mapping) || !varint_get(&line, &f.line_or_address))
            return false;
        d->frame.id[i] = symbols_frame(s, &f);
    }
    return cursor_left(&c) == 0;
}

/* Nodes that are not the child of the one before. */
struct breaks {
    struct cursor gap, above;
    uint64_t at; /* the next one's id; above all: there is none */
};

static bool breaks_next(struct breaks *b)
{
    uint64_t gap;

    if (cursor_left(&b->gap) == 0) {
        b->at = UINT64_MAX;
        return true;
    }
    return varint_get(&b->gap, &gap) && !__builtin_add_overflow(b->at, gap, &b->at);
}

static bool breaks_open(struct cursor *c, struct breaks *ret)
{
    uint64_t n;

    ret->at = 1;
    return varint_get(c, &n) && n <= cursor_left(c) && column_take(c, (uint32_t)n, &ret->gap) &&
           column_take(c, (uint32_t)n, &ret->above) && breaks_next(ret);
}

static bool nodes_read(struct record_decoder *d, struct stacks *st)
{
    struct breaks breaks;
    struct cursor c, frames;
    uint64_t difference;
    uint32_t n, *frame;

    if (!table_open(d, SECTION_NODES, &c, &d->node, &n))
        return false;
    if (!d->section[SECTION_NODES].data)
        return true;
    if (!breaks_open(&c, &breaks) || !column_take(&c, n, &frames))
        return false;
    XGROW(d->node_frame, d->cap_node_frame, (size_t)n + 1);
    frame = d->node_frame;
    frame[0] = 0;
    for (uint32_t i = 1; i <= n; i++) {
        uint64_t above = 1;

        if (i == breaks.at && (!varint_get(&breaks.above, &above) || !breaks_next(&breaks)))
            return false;
        if (above == 0 || above > i || breaks.at <= i || !varint_get(&frames, &difference))
            return false;
        frame[i] = frame[i - above] + (uint32_t)unzigzag(difference);
        if (frame[i] >= d->frame.n)
            return false;
        d->node.id[i] = stacks_child(st, d->node.id[i - above], d->frame.id[frame[i]]);
    }
    return cursor_left(&c) == 0 && breaks.at == UINT64_MAX;
}

/* How many labels all sets have. Each is at least one byte of every column: no more than left
 * bytes. */
static bool label_sizes_sum(struct cursor sizes, size_t left, uint32_t *ret)
{
    uint64_t size, sum = 0;

    while (cursor_left(&sizes) > 0) {
        if (!varint_get(&sizes, &size) || size > LABELS_PER_SET_MAX)
            return false;
        sum += size;
    }
    *ret = (uint32_t)sum;
    return sum <= left;
}

struct label_columns {
    struct cursor size, key, str, num, unit;
    int64_t last_num;
};

static bool label_read(struct record_decoder *d, struct symbols *s, struct label_columns *at,
                       struct label *l)
{
    uint64_t step;

    if (!string_get(d, s, &at->key, &l->key) || !string_get(d, s, &at->str, &l->str) ||
        !varint_get(&at->num, &step) || !string_get(d, s, &at->unit, &l->unit))
        return false;
    at->last_num = (int64_t)((uint64_t)at->last_num + (uint64_t)unzigzag(step));
    l->num = at->last_num;
    return true;
}

static bool label_set_read(struct record_decoder *d, struct profile *into, struct label_columns *at,
                           uint32_t *ret)
{
    uint64_t n;

    if (!varint_get(&at->size, &n))
        return false;
    XGROW(d->set, d->cap_set, n);
    for (uint64_t i = 0; i < n; i++)
        if (!label_read(d, into->symbols, at, &d->set[i]))
            return false;
    *ret = profile_labels(into, d->set, n);
    return true;
}

/* Without an into the sets are only counted: all map to set 0, no labels. */
static bool labels_read(struct record_decoder *d, struct profile *into)
{
    struct label_columns at = {0};
    struct cursor c;
    uint32_t n_sets, n;

    if (!table_open(d, SECTION_LABELS, &c, &d->labels, &n_sets))
        return false;
    memset(d->labels.id, 0, d->labels.n * sizeof *d->labels.id);
    if (!into)
        return true;
    if (!column_take(&c, n_sets, &at.size) || !label_sizes_sum(at.size, cursor_left(&c), &n) ||
        !column_take(&c, n, &at.key) || !column_take(&c, n, &at.str) ||
        !column_take(&c, n, &at.num) || !column_take(&c, n, &at.unit) || cursor_left(&c) > 0)
        return false;
    for (uint32_t i = 1; i <= n_sets; i++)
        if (!label_set_read(d, into, &at, &d->labels.id[i]))
            return false;
    return true;
}

static uint64_t u64_get(struct cursor *c)
{
    uint64_t v = load64(c->at);

    c->at += sizeof v;
    return v;
}

/* Without an into all map to span 0, none. */
static bool spans_read(struct record_decoder *d, struct profile *into)
{
    enum { COLUMNS = 4 };
    struct cursor c, column[COLUMNS];
    uint32_t n;

    if (!table_open(d, SECTION_SPANS, &c, &d->span, &n) ||
        cursor_left(&c) != (size_t)n * COLUMNS * sizeof(uint64_t))
        return false;
    memset(d->span.id, 0, d->span.n * sizeof *d->span.id);
    if (n == 0)
        return true;
    for (size_t i = 0; i < COLUMNS; i++)
        column[i] = cursor_of(bytes_of(c.at + i * n * sizeof(uint64_t), n * sizeof(uint64_t)));
    for (uint32_t i = 1; into && i <= n; i++)
        d->span.id[i] =
            profile_span(into, &(struct span){u64_get(&column[0]), u64_get(&column[1]),
                                              u64_get(&column[2]), u64_get(&column[3])});
    return true;
}

/* ---- rows -------------------------------------------------------------------------------- */

/* The columns that a row's key is made of; span is empty where no row has one. */
struct keys {
    struct cursor node, labels, span;
};

static bool rows_check(struct record_decoder *d, struct keys at, uint32_t n)
{
    bool spans = cursor_left(&at.span) > 0;
    uint32_t id;

    for (uint32_t i = 0; i < n; i++)
        if (!id_get(&at.node, &d->node, &id) || !id_get(&at.labels, &d->labels, &id) ||
            (spans && !id_get(&at.span, &d->span, &id)))
            return false;
    if (cursor_left(&at.span) > 0)
        return false;
    for (uint32_t type = 0; type < d->n_types; type++) {
        struct cursor c = cursor_of(d->values[type]);

        if (!varint_get(&c, &d->step[type]) || d->step[type] == 0 ||
            !column_take(&c, n, &d->column[type]) || cursor_left(&c) > 0)
            return false;
    }
    return true;
}

/* All columns were checked: nothing can fail any more. */
static void rows_add(struct record_decoder *d, struct profile *into, struct keys at, uint32_t n)
{
    bool spans = cursor_left(&at.span) > 0;
    int64_t row[PROFILE_TYPES_MAX];
    uint32_t node = 0, set = 0, span = 0;
    uint64_t v = 0;

    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t type = 0; type < d->n_types; type++) {
            varint_get(&d->column[type], &v);
            row[type] = step_decode(v, d->step[type]);
        }
        id_get(&at.node, &d->node, &node);
        id_get(&at.labels, &d->labels, &set);
        if (spans)
            id_get(&at.span, &d->span, &span);
        profile_add_in_span(into, stacks_at(into->stacks, node), set, span, row);
    }
}

static int rows_read(struct record_decoder *d, struct profile *into)
{
    struct keys at = {.span = cursor_of(d->section[SECTION_ROW_SPANS])};
    struct cursor c;
    uint32_t n;

    if (!table_open(d, SECTION_ROWS, &c, NULL, &n) || !column_take(&c, n, &at.node) ||
        !column_take(&c, n, &at.labels) || cursor_left(&c) > 0)
        return -EBADMSG;
    if (!rows_check(d, at, n))
        return -EBADMSG;
    rows_add(d, into, at, n);
    return 0;
}

static int types_declare(struct record_decoder *d, struct profile *into)
{
    struct sample_type types[PROFILE_TYPES_MAX] = {0};

    for (uint32_t i = 0; i < d->n_types; i++)
        types[i].name = symbols_string(into->symbols, d->types[i]);
    return profile_set_types(into, types, d->n_types);
}

int record_read(struct record_decoder *d, struct profile *into, bool with_labels, bool with_spans)
{
    int r = sections_cut(d);

    if (r < 0)
        return r;
    r = types_declare(d, into);
    if (r != 0)
        return r;
    if (!strings_read(d) || !functions_read(d, into->symbols) || !mappings_read(d, into->symbols) ||
        !frames_read(d, into->symbols) || !nodes_read(d, into->stacks) ||
        !labels_read(d, with_labels ? into : NULL) || !spans_read(d, with_spans ? into : NULL))
        return -EBADMSG;
    return rows_read(d, into);
}
