/*
 * A part is made in two steps. *Select*: the rows of the part mark the nodes above them, nodes
 * their frames, frames their functions, and so down to strings; then each map is numbered in rising
 * order of the old ids, which keeps a parent's number below its children's, and strings in the
 * order of their texts. *Write*: each table's marked entries go out as columns under their new
 * numbers. So a part holds what its rows need and no more, however large the symbols are that it
 * was cut from.
 *
 * How many parts there are has to be known before the first goes out, since each says "k of n". The
 * common case, one part, is tried first; else the range of rows is halved until every piece fits,
 * and the packed pieces wait in a list.
 */
#include "wire/record.h"

#include "base/crc32c.h"
#include "base/varint.h"
#include "base/xalloc.h"
#include "profile/step.h"
#include "record.pb-c.h"
#include "wire/record_layout.h"
#include "wire/zcodec.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>

enum map_kind {
    MAP_STRING,
    MAP_FUNCTION,
    MAP_MAPPING,
    MAP_FRAME,
    MAP_NODE,
    MAP_LABELS,
    MAP_SPAN,
    MAP_N
};

/* Which old ids are in this part, a byte each, and once they are numbered: old id → new id, and
 * back. Of what is not in the part the new id means nothing, but that of 0, none, is always 0. */
struct map {
    uint8_t *in; /* eight at a time: there are zeros behind the last */
    uint32_t *id, n;
    uint32_t *old, used; /* [used] new id − 1 → old id */
    size_t in_cap, id_cap, old_cap;
};

/* A node of the part, in the order of their new ids. */
struct part_node {
    uint32_t parent; /* new id */
    uint32_t frame;  /* old id, and once frames are numbered the new one */
};

/* From here on, what is written is of this kind. */
struct part_begin {
    size_t at;
    enum zkind kind;
};

/* How many bytes a string shares with the one before, and how many are its own. */
struct string_cut {
    uint32_t shared, own;
};

enum { PARTS_MAX = 3, SPARE_MAX = 512 << 10, VARINT_BYTES_MAX = 10 };

struct piece {
    struct buf packed;
    size_t raw_len;
    enum codec codec;
};

struct record_encoder {
    int level;
    struct zcodec *z;
    struct map map[MAP_N];
    struct buf raw, section, texts, header, value;
    struct part_begin part[PARTS_MAX]; /* of raw */
    size_t n_parts;
    struct part_node *nodes;
    uint32_t *breaks; /* of nodes, while they are written */
    struct string_cut *cuts;
    struct label *labels; /* of all sets */
    uint32_t *set_size;
    size_t nodes_cap, breaks_cap, cuts_cap, labels_cap, set_size_cap;
    struct buf spare; /* a piece's buffer, kept for the next */
    struct piece *pieces;
    size_t n_pieces, cap_pieces;
};

struct record_encoder *record_encoder_new(int zstd_level)
{
    struct record_encoder *e = xcalloc(1, sizeof *e);

    e->level = zstd_level;
    e->z = zcodec_new();
    return e;
}

/* The buffer of a piece of usual size is kept: its pages are there already. */
static void buffer_release(struct record_encoder *e, struct buf *b)
{
    if (!e->spare.data && b->cap <= SPARE_MAX) {
        e->spare = *b;
        *b = (struct buf){0};
    }
    buf_deinit(b);
}

static void pieces_free(struct record_encoder *e)
{
    for (size_t i = 0; i < e->n_pieces; i++)
        buffer_release(e, &e->pieces[i].packed);
    e->n_pieces = 0;
}

void record_encoder_free(struct record_encoder *e)
{
    if (!e)
        return;
    pieces_free(e);
    free(e->pieces);
    for (int i = 0; i < MAP_N; i++) {
        free(e->map[i].in);
        free(e->map[i].id);
        free(e->map[i].old);
    }
    free(e->nodes);
    free(e->cuts);
    free(e->labels);
    free(e->set_size);
    free(e->breaks);
    buf_deinit(&e->spare);
    buf_deinit(&e->raw);
    buf_deinit(&e->section);
    buf_deinit(&e->texts);
    buf_deinit(&e->header);
    buf_deinit(&e->value);
    zcodec_free(e->z);
    free(e);
}

/* ---- select ------------------------------------------------------------------------------ */

/* For old ids below n. */
static void map_begin(struct map *m, uint32_t n)
{
    size_t bytes = ((size_t)n + 7) / 8 * 8;

    XGROW(m->in, m->in_cap, bytes);
    XGROW(m->id, m->id_cap, (size_t)n + 1);
    memset(m->in, 0, bytes);
    m->id[0] = 0;
    m->n = n;
    m->used = 0;
}

/* Rising. */
static void map_number(struct map *m)
{
    uint32_t *id = m->id, *old, used = 0;

    XGROW(m->old, m->old_cap, m->n);
    old = m->old;
    if (m->n)
        m->in[0] = 0;
    for (uint32_t i = 0; i < m->n; i += 8) {
        for (uint64_t marks = load64(m->in + i); marks; marks &= marks - 1) {
            uint32_t at = i + (uint32_t)__builtin_ctzll(marks) / 8;

            old[used] = at;
            id[at] = ++used;
        }
    }
    m->used = used;
}

/* The nodes that the rows stand on, and those above them. */
static void select_nodes(struct record_encoder *e, const struct profile *p, uint32_t from,
                         uint32_t to)
{
    const struct stack_node *nodes = stacks_nodes(p->stacks);
    const uint32_t *leaf = stacks_leaves(p->stacks);
    struct map *m = &e->map[MAP_NODE];
    uint8_t *in;

    map_begin(m, stacks_n_nodes(p->stacks));
    in = m->in;
    for (uint32_t i = from; i < to; i++)
        for (uint32_t n = leaf[p->row_stack[i]]; n && !in[n]; n = nodes[n].parent)
            in[n] = 1;
    map_number(m);
}

static void select_labels(struct record_encoder *e, const struct profile *p, uint32_t from,
                          uint32_t to)
{
    struct map *labels = &e->map[MAP_LABELS], *span = &e->map[MAP_SPAN];

    map_begin(labels, profile_n_label_sets(p));
    map_begin(span, profile_n_spans(p));
    for (uint32_t i = from; i < to; i++)
        labels->in[p->row_labels[i]] = 1;
    for (uint32_t i = from; p->row_span && i < to; i++)
        span->in[p->row_span[i]] = 1;
    map_number(labels);
    map_number(span);
}

/* The frames of the nodes; then both are known by their new ids. */
static void select_frames(struct record_encoder *e, const struct profile *p)
{
    const struct stack_node *nodes = stacks_nodes(p->stacks);
    const struct map *node = &e->map[MAP_NODE];
    struct map *frame = &e->map[MAP_FRAME];
    struct part_node *out;

    map_begin(frame, symbols_n_frames(p->symbols));
    XGROW(e->nodes, e->nodes_cap, node->used);
    out = e->nodes;
    for (uint32_t k = 0; k < node->used; k++) {
        const struct stack_node *n = &nodes[node->old[k]];

        out[k] = (struct part_node){node->id[n->parent], n->frame};
        frame->in[n->frame] = 1;
    }
    map_number(frame);
    for (uint32_t k = 0; k < node->used; k++)
        out[k].frame = frame->id[out[k].frame];
}

static void select_functions(struct record_encoder *e, const struct symbols *s)
{
    const struct map *frame = &e->map[MAP_FRAME];
    struct map *function = &e->map[MAP_FUNCTION], *mapping = &e->map[MAP_MAPPING];
    const struct frame *frames = symbols_all_frames(s);

    map_begin(function, symbols_n_functions(s));
    map_begin(mapping, symbols_n_mappings(s));
    for (uint32_t i = 0; i < frame->used; i++) {
        function->in[frames[frame->old[i]].function] = 1;
        mapping->in[frames[frame->old[i]].mapping] = 1;
    }
    map_number(function);
    map_number(mapping);
}

static void select_function_strings(struct record_encoder *e, const struct symbols *s)
{
    const struct map *function = &e->map[MAP_FUNCTION], *mapping = &e->map[MAP_MAPPING];
    const struct function *functions = symbols_all_functions(s);
    uint8_t *string = e->map[MAP_STRING].in;

    for (uint32_t i = 0; i < function->used; i++) {
        const struct function *f = &functions[function->old[i]];

        string[f->name] = string[f->system_name] = string[f->file] = 1;
    }
    for (uint32_t i = 0; i < mapping->used; i++) {
        const struct mapping *m = symbols_get_mapping(s, mapping->old[i]);

        string[m->file] = string[m->build_id] = 1;
    }
}

static void select_label_strings(struct record_encoder *e, const struct profile *p)
{
    const struct map *labels = &e->map[MAP_LABELS];
    uint8_t *string = e->map[MAP_STRING].in;

    for (uint32_t set = 0; set < labels->used; set++) {
        size_t n = 0;
        const struct label *l = profile_label_set(p, labels->old[set], &n);

        for (size_t i = 0; i < n; i++)
            string[l[i].key] = string[l[i].str] = string[l[i].unit] = 1;
    }
}

/* In the order of their texts, so that each shares its beginning with the one before. Without a
 * branch: strings outside of the part get an id, too, which means nothing. The empty one, which is
 * id 0, comes first. */
static void number_strings(struct map *string, const struct order *texts)
{
    uint32_t used = 0;

    XGROW(string->old, string->old_cap, string->n);
    string->in[0] = 0;
    for (uint32_t i = 0; i < texts->n; i++) {
        uint32_t old = texts->id[i];

        string->old[used] = old;
        used += string->in[old];
        string->id[old] = used;
    }
    string->used = used;
}

static void select_all(struct record_encoder *e, const struct profile *p, uint32_t from,
                       uint32_t to)
{
    select_nodes(e, p, from, to);
    select_labels(e, p, from, to);
    select_frames(e, p);
    select_functions(e, p->symbols);
    map_begin(&e->map[MAP_STRING], symbols_n_strings(p->symbols));
    select_function_strings(e, p->symbols);
    select_label_strings(e, p);
    number_strings(&e->map[MAP_STRING], symbols_texts_in_order(p->symbols));
}

/* ---- write ------------------------------------------------------------------------------- */

static void put_section(struct record_encoder *e, enum record_section tag, struct bytes section)
{
    buf_varint(&e->raw, tag);
    buf_varbytes(&e->raw, section);
}

static void section_end(struct record_encoder *e, enum record_section tag)
{
    put_section(e, tag, buf_bytes(&e->section));
    buf_reset(&e->section);
}

static void write_types(struct record_encoder *e, const struct bytes *types, uint32_t n)
{
    buf_varint(&e->section, n);
    for (uint32_t i = 0; i < n; i++)
        buf_varbytes(&e->section, types[i]);
    section_end(e, SECTION_TYPES);
}

enum { BLOCK = 32 };

/* Mostly all have one byte: then no number's place depends on the one before. */
static inline void put_block(struct buf *out, const uint64_t *v, uint32_t n)
{
    uint64_t any_bit = 0;
    uint8_t *to;

    buf_reserve(out, BLOCK * VARINT_BYTES_MAX);
    to = out->data + out->len;
    for (uint32_t i = 0; i < n; i++)
        any_bit |= v[i];
    for (uint32_t i = 0; any_bit < 0x80 && i < n; i++)
        *to++ = (uint8_t)v[i];
    for (uint32_t i = 0; any_bit >= 0x80 && i < n; i++)
        to = varint_put(to, v[i]);
    out->len = (size_t)(to - out->data);
}

/* Appends the varints v of k = 0 … n - 1 to the section: a column. */
#define COLUMN(e, k, n, v)                                                                         \
    do {                                                                                           \
        uint64_t block_[BLOCK];                                                                    \
        for (uint32_t begin_ = 0, n_ = (n), end_; begin_ < n_; begin_ = end_) {                    \
            end_ = n_ - begin_ < BLOCK ? n_ : begin_ + BLOCK;                                      \
            for (uint32_t k = begin_; k < end_; k++)                                               \
                block_[k - begin_] = (v);                                                          \
            put_block(&(e)->section, block_, end_ - begin_);                                       \
        }                                                                                          \
    } while (0)

static size_t shared_bytes(struct bytes a, struct bytes b)
{
    size_t max = a.len < b.len ? a.len : b.len, n = 0;

    while (n + sizeof(uint64_t) <= max) {
        uint64_t x = load64(a.data + n), y = load64(b.data + n);

        if (x != y)
            return n + (size_t)__builtin_ctzll(x ^ y) / 8;
        n += sizeof x;
    }
    while (n < max && a.data[n] == b.data[n])
        n++;
    return n;
}

/* What is each string's own, and where it is cut; the next ones' memory is asked for meanwhile. */
static void cut_strings(struct record_encoder *e, const struct symbols *s)
{
    enum { TEXT_AHEAD = 8, VIEW_AHEAD = 16 };
    const struct map *m = &e->map[MAP_STRING];
    const struct bytes *texts = symbols_all_texts(s);
    struct bytes before = BYTES_LIT("");

    XGROW(e->cuts, e->cuts_cap, m->used);
    buf_reset(&e->texts);
    for (uint32_t k = 0; k < m->used; k++) {
        struct bytes text = texts[m->old[k]];
        size_t shared;

        if (k + VIEW_AHEAD < m->used) {
            __builtin_prefetch(&texts[m->old[k + VIEW_AHEAD]]);
            __builtin_prefetch(texts[m->old[k + TEXT_AHEAD]].data);
        }
        shared = shared_bytes(before, text);
        e->cuts[k] = (struct string_cut){(uint32_t)shared, (uint32_t)(text.len - shared)};
        buf_append(&e->texts, text.data + shared, text.len - shared);
        before = text;
    }
}

/* Their texts wait: they are the last section. */
static void write_strings(struct record_encoder *e, const struct symbols *s)
{
    uint32_t n = e->map[MAP_STRING].used;

    cut_strings(e, s);
    buf_varint(&e->section, n);
    COLUMN(e, k, n, e->cuts[k].shared);
    COLUMN(e, k, n, e->cuts[k].own);
    section_end(e, SECTION_STRINGS);
}

static void write_functions(struct record_encoder *e, const struct symbols *s)
{
    const struct map *m = &e->map[MAP_FUNCTION];
    const struct function *f = symbols_all_functions(s);
    const uint32_t *string = e->map[MAP_STRING].id;

    buf_varint(&e->section, m->used);
    COLUMN(e, k, m->used, string[f[m->old[k]].name]);
    COLUMN(e, k, m->used, string[f[m->old[k]].system_name]);
    COLUMN(e, k, m->used, string[f[m->old[k]].file]);
    COLUMN(e, k, m->used, zigzag(f[m->old[k]].start_line));
    section_end(e, SECTION_FUNCTIONS);
}

static void write_mappings(struct record_encoder *e, const struct symbols *s)
{
    const struct map *m = &e->map[MAP_MAPPING];
    const uint32_t *string = e->map[MAP_STRING].id;

    buf_varint(&e->section, m->used);
    COLUMN(e, k, m->used, string[symbols_get_mapping(s, m->old[k])->file]);
    COLUMN(e, k, m->used, string[symbols_get_mapping(s, m->old[k])->build_id]);
    section_end(e, SECTION_MAPPINGS);
}

/* 0: it has none; else 1 + how far it is from greatest + 1, the first that no frame had yet
 * (zigzag). */
static uint64_t function_step(uint32_t function, uint32_t *greatest)
{
    uint64_t step = 1 + zigzag((int64_t)function - *greatest - 1);

    *greatest = function > *greatest ? function : *greatest;
    return function ? step : 0;
}

/* Functions were numbered as their first frames were, so most frames have the next one. */
static void write_frames(struct record_encoder *e, const struct symbols *s)
{
    const struct map *m = &e->map[MAP_FRAME];
    const struct frame *f = symbols_all_frames(s);
    const uint32_t *function = e->map[MAP_FUNCTION].id, *mapping = e->map[MAP_MAPPING].id;
    uint32_t greatest = 0;

    buf_varint(&e->section, m->used);
    COLUMN(e, k, m->used, function_step(function[f[m->old[k]].function], &greatest));
    COLUMN(e, k, m->used, mapping[f[m->old[k]].mapping]);
    COLUMN(e, k, m->used, f[m->old[k]].line_or_address);
    section_end(e, SECTION_FRAMES);
}

/* Most nodes are the child of the one before: only the others say whose. Frames were numbered as
 * they were first seen, so a child's is near its parent's; the root's is 0. */
static void write_nodes(struct record_encoder *e)
{
    const struct part_node *node = e->nodes;
    uint32_t n = e->map[MAP_NODE].used, n_breaks = 0, *at;

    XGROW(e->breaks, e->breaks_cap, n);
    at = e->breaks;
    for (uint32_t k = 0; k < n; k++) { /* without a branch: there are many of both */
        at[n_breaks] = k;
        n_breaks += node[k].parent != k;
    }
    buf_varint(&e->section, n);
    buf_varint(&e->section, n_breaks);
    COLUMN(e, i, n_breaks, at[i] - (i ? at[i - 1] : 0));
    COLUMN(e, i, n_breaks, at[i] + 1 - node[at[i]].parent);
    COLUMN(e, k, n,
           zigzag((int64_t)node[k].frame - (node[k].parent ? node[node[k].parent - 1].frame : 0)));
    section_end(e, SECTION_NODES);
}

/* The labels of all sets, one set behind the other. Returns how many. */
static uint32_t gather_labels(struct record_encoder *e, const struct profile *p)
{
    const struct map *m = &e->map[MAP_LABELS];
    size_t sum = 0, n = 0;

    XGROW(e->set_size, e->set_size_cap, m->used);
    for (uint32_t set = 0; set < m->used; set++, sum += n) {
        const struct label *l = profile_label_set(p, m->old[set], &n);

        XGROW(e->labels, e->labels_cap, sum + n);
        for (size_t i = 0; i < n; i++)
            e->labels[sum + i] = l[i];
        e->set_size[set] = (uint32_t)n;
    }
    return (uint32_t)sum;
}

static void write_labels(struct record_encoder *e, const struct profile *p)
{
    const uint32_t *string = e->map[MAP_STRING].id;
    uint32_t n_sets = e->map[MAP_LABELS].used, n = gather_labels(e, p);
    const struct label *l = e->labels;

    buf_varint(&e->section, n_sets);
    COLUMN(e, k, n_sets, e->set_size[k]);
    COLUMN(e, k, n, string[l[k].key]);
    COLUMN(e, k, n, string[l[k].str]);
    COLUMN(e, k, n, zigzag((int64_t)((uint64_t)l[k].num - (k ? (uint64_t)l[k - 1].num : 0))));
    COLUMN(e, k, n, string[l[k].unit]);
    section_end(e, SECTION_LABELS);
}

/* value is NULL if there are no rows. */
static void write_values(struct record_encoder *e, const int64_t *value, uint32_t from, uint32_t n)
{
    uint64_t step = 0;

    for (uint32_t k = 0; k < n && step != 1; k++)
        step = step_with(step, value[from + k]);
    step = step ? step : 1;
    buf_varint(&e->section, step);
    COLUMN(e, k, n, step_encode(value[from + k], step));
    section_end(e, SECTION_VALUES);
}

static void write_rows(struct record_encoder *e, const struct profile *p, uint32_t from,
                       uint32_t to)
{
    const uint32_t *node = e->map[MAP_NODE].id, *leaf = stacks_leaves(p->stacks);
    uint32_t n = to - from;

    buf_varint(&e->section, n);
    COLUMN(e, k, n, node[leaf[p->row_stack[from + k]]]);
    COLUMN(e, k, n, e->map[MAP_LABELS].id[p->row_labels[from + k]]);
    section_end(e, SECTION_ROWS);
    for (uint32_t type = 0; type < p->n_types; type++)
        write_values(e, p->values[type], from, n);
}

static void write_u64(struct buf *out, uint64_t v)
{
    uint64_t le = htole64(v);

    buf_append(out, &le, sizeof le);
}

static void write_spans(struct record_encoder *e, const struct profile *p, uint32_t from,
                        uint32_t to)
{
    const struct map *m = &e->map[MAP_SPAN];

    if (m->used == 0)
        return;
    buf_varint(&e->section, m->used);
    for (uint32_t k = 0; k < m->used; k++)
        write_u64(&e->section, profile_get_span(p, m->old[k])->trace_hi);
    for (uint32_t k = 0; k < m->used; k++)
        write_u64(&e->section, profile_get_span(p, m->old[k])->trace_lo);
    for (uint32_t k = 0; k < m->used; k++)
        write_u64(&e->section, profile_get_span(p, m->old[k])->root);
    for (uint32_t k = 0; k < m->used; k++)
        write_u64(&e->section, profile_get_span(p, m->old[k])->id);
    section_end(e, SECTION_SPANS);
    COLUMN(e, k, to - from, m->id[p->row_span[from + k]]);
    section_end(e, SECTION_ROW_SPANS);
}

static void part_begin(struct record_encoder *e, enum zkind kind)
{
    e->part[e->n_parts++] = (struct part_begin){e->raw.len, kind};
}

static void write_all(struct record_encoder *e, const struct profile *p, const struct bytes *types,
                      uint32_t from, uint32_t to)
{
    buf_reset(&e->raw);
    e->n_parts = 0;
    part_begin(e, ZKIND_NUMBERS);
    write_types(e, types, p->n_types);
    write_strings(e, p->symbols);
    write_functions(e, p->symbols);
    write_mappings(e, p->symbols);
    write_frames(e, p->symbols);
    write_nodes(e);
    write_rows(e, p, from, to);
    write_spans(e, p, from, to);
    part_begin(e, ZKIND_MIXED);
    write_labels(e, p);
    part_begin(e, ZKIND_TEXTS);
    put_section(e, SECTION_TEXTS, buf_bytes(&e->texts));
}

/* ---- header ------------------------------------------------------------------------------ */

static ProtobufCBinaryData binary(struct bytes s)
{
    return (ProtobufCBinaryData){s.len, (uint8_t *)(uintptr_t)s.data};
}

struct pb_tags {
    Hearth__Tag tag[TAGS_MAX], *at[TAGS_MAX];
};

static void pb_tags(struct pb_tags *out, const struct tags *tags)
{
    for (uint32_t i = 0; i < tags->n; i++) {
        hearth__tag__init(&out->tag[i]);
        out->tag[i].key = binary(tags->at[i].key);
        out->tag[i].value = binary(tags->at[i].value);
        out->at[i] = &out->tag[i];
    }
}

/* RecordHeader behind its length. proto3 omits zeros, so the numbers that are stamped later are
 * written as ones here to have their place. */
static void header_encode(struct buf *out, const struct record_header *h, uint32_t part,
                          uint32_t parts)
{
    Hearth__RecordHeader pb = HEARTH__RECORD_HEADER__INIT;
    struct pb_tags series, instance;
    size_t len;

    pb_tags(&series, &h->series);
    pb_tags(&instance, &h->instance);
    pb.source_hi = pb.source_lo = pb.seq = pb.low = 1;
    pb.tenant = binary(h->tenant);
    pb.service = binary(h->service);
    pb.n_series = h->series.n;
    pb.series = series.at;
    pb.n_instance = h->instance.n;
    pb.instance = instance.at;
    pb.start_ns = h->start_ns;
    pb.end_ns = h->end_ns;
    pb.format = binary(h->format);
    pb.agent = binary(h->agent);
    pb.part = part;
    pb.parts = parts;
    pb.cumulative = h->cumulative;
    len = hearth__record_header__get_packed_size(&pb);
    buf_reset(out);
    buf_varint(out, len);
    buf_reserve(out, len);
    out->len += hearth__record_header__pack(&pb, out->data + out->len);
}

/* Offset of the four stamped fields; each is one byte of tag (field << 3 | fixed64) and eight
 * bytes, in the order of their numbers. */
static size_t stamp_offset(const uint8_t *value, size_t len)
{
    struct cursor c = cursor_of(bytes_of(value + RECORD_FIXED_BYTES, len - RECORD_FIXED_BYTES));
    uint64_t header_len;

    CHECK(varint_get(&c, &header_len) && header_len >= 36 && cursor_left(&c) >= header_len);
    for (int field = 1; field <= 4; field++)
        CHECK(c.at[(field - 1) * 9] == (field << 3 | 1));
    return (size_t)(c.at - value);
}

void record_stamp(uint8_t *value, size_t len, struct hash128 source, uint64_t seq, uint64_t low)
{
    const uint64_t fields[] = {source.hi, source.lo, seq, low};
    uint8_t *at = value + stamp_offset(value, len);
    uint32_t crc;

    for (int i = 0; i < 4; i++) {
        uint64_t le = htole64(fields[i]);

        memcpy(at + i * 9 + 1, &le, sizeof le);
    }
    crc = htole32(crc32c(0, bytes_of(value + RECORD_FIXED_BYTES, len - RECORD_FIXED_BYTES)));
    memcpy(value + RECORD_AT_CRC, &crc, sizeof crc);
}

/* ---- parts ------------------------------------------------------------------------------- */

static int emit_piece(struct record_encoder *e, const struct record_header *h, uint32_t part,
                      record_emit_cb *emit, void *ctx)
{
    const struct piece *piece = &e->pieces[part];
    uint32_t parts = (uint32_t)e->n_pieces, raw_len = htole32((uint32_t)piece->raw_len);
    uint8_t fixed[RECORD_FIXED_BYTES] = {
        [RECORD_AT_VERSION] = RECORD_VERSION, [RECORD_AT_CODEC] = (uint8_t)piece->codec};

    memcpy(fixed, RECORD_MAGIC, 4);
    memcpy(fixed + RECORD_AT_RAW_LEN, &raw_len, sizeof raw_len);
    header_encode(&e->header, h, part, parts);
    buf_reset(&e->value);
    buf_append(&e->value, fixed, sizeof fixed);
    buf_append_bytes(&e->value, buf_bytes(&e->header));
    buf_append_bytes(&e->value, buf_bytes(&piece->packed));
    record_stamp(e->value.data, e->value.len, h->source, h->seq, h->low);
    return emit(ctx, part, parts, buf_bytes(&e->value));
}

/* A small one is not worth several frames. */
static enum codec pack_raw(struct record_encoder *e, struct buf *out)
{
    enum { SMALL = 4096 };
    struct bytes raw = buf_bytes(&e->raw);
    struct zpart parts[PARTS_MAX];

    if (raw.len < SMALL)
        return zcodec_pack_one(e->z, raw, ZKIND_MIXED, e->level, out);
    for (size_t i = 0; i < e->n_parts; i++) {
        size_t end = i + 1 < e->n_parts ? e->part[i + 1].at : raw.len;

        parts[i] = (struct zpart){bytes_of(raw.data + e->part[i].at, end - e->part[i].at),
                                  e->part[i].kind};
    }
    return zcodec_pack(e->z, parts, e->n_parts, e->level, out);
}

/* Rows [from, to) as one piece; false (and no piece) if they do not fit. */
static bool pack_piece(struct record_encoder *e, const struct profile *p, const struct bytes *types,
                       uint32_t from, uint32_t to, size_t bytes_max)
{
    struct piece piece = {0};

    select_all(e, p, from, to);
    write_all(e, p, types, from, to);
    piece.raw_len = e->raw.len;
    if (piece.raw_len > RECORD_RAW_MAX)
        return false;
    piece.packed = e->spare;
    e->spare = (struct buf){0};
    buf_reset(&piece.packed);
    piece.codec = pack_raw(e, &piece.packed);
    if (piece.packed.len > bytes_max) {
        buffer_release(e, &piece.packed);
        return false;
    }
    XGROW(e->pieces, e->cap_pieces, e->n_pieces + 1);
    e->pieces[e->n_pieces++] = piece;
    return true;
}

static int pack_range(struct record_encoder *e, const struct profile *p, const struct bytes *types,
                      uint32_t from, uint32_t to, size_t bytes_max)
{
    uint32_t middle = from + (to - from) / 2;
    int r;

    if (pack_piece(e, p, types, from, to, bytes_max))
        return 0;
    if (to - from <= 1)
        return FAILURE;
    r = pack_range(e, p, types, from, middle, bytes_max);
    return r ? r : pack_range(e, p, types, middle, to, bytes_max);
}

static int fail_large(struct failure *f)
{
    return fail(f, 413, "sample_too_large", "shorten symbol names or the depth of the stacks",
                "one sample with its symbols exceeds the %d bytes of a record", RECORD_BYTES_MAX);
}

int record_encode(struct record_encoder *e, const struct profile *p, const struct bytes *types,
                  const struct record_header *h, record_emit_cb *emit, void *ctx, struct failure *f)
{
    size_t overhead;
    int r = 0;

    if (p->n_types == 0)
        return fail(f, 400, "no_sample_types", NULL, "the profile declares no sample type");
    header_encode(&e->header, h, UINT32_MAX, UINT32_MAX); /* at its longest */
    overhead = RECORD_FIXED_BYTES + e->header.len;
    if (e->header.len > RECORD_HEADER_MAX)
        return fail(f, 413, "tags_too_large", NULL, "the tags exceed %d bytes", RECORD_HEADER_MAX);
    if (pack_range(e, p, types, 0, p->n_rows, RECORD_BYTES_MAX - overhead) != 0)
        r = fail_large(f);
    for (uint32_t part = 0; r == 0 && part < e->n_pieces; part++)
        r = emit_piece(e, h, part, emit, ctx);
    pieces_free(e);
    return r;
}
