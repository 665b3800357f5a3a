/*
 * A part is made in two steps. *Select*: the rows of the part mark the nodes above them, nodes
 * their frames, frames their functions, and so down to strings; then each map is numbered in rising
 * order of the old ids, which keeps a parent's number below its children's. *Write*: each table's
 * marked entries go out as columns under their new numbers. So a part holds what its rows need and
 * no more, however large the symbols are that it was cut from.
 *
 * How many parts there are has to be known before the first goes out, since each says "k of n". The
 * common case, one part, is tried first; else the range of rows is halved until every piece fits,
 * and the packed pieces wait in a list.
 */
#include "wire/record.h"

#include "base/crc32c.h"
#include "base/varint.h"
#include "base/xalloc.h"
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

/* Old id → 0: not in this part, else new id; and back. */
struct map {
    uint32_t *id, n;
    uint32_t *old, used; /* [used] the old ids, rising: new id − 1 → old id */
    size_t cap, old_cap;
};

enum { SPARE_MAX = 512 << 10, VARINT_BYTES_MAX = 10 };

struct piece {
    struct buf packed;
    size_t raw_len;
    enum codec codec;
};

struct record_encoder {
    int level;
    struct zcodec *z;
    struct map map[MAP_N];
    struct buf raw, section, header, value;
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
        free(e->map[i].id);
        free(e->map[i].old);
    }
    buf_deinit(&e->spare);
    buf_deinit(&e->raw);
    buf_deinit(&e->section);
    buf_deinit(&e->header);
    buf_deinit(&e->value);
    zcodec_free(e->z);
    free(e);
}

/* ---- select ------------------------------------------------------------------------------ */

static void map_clear(struct map *m, uint32_t n)
{
    XGROW(m->id, m->cap, (size_t)n + 1);
    memset(m->id, 0, (size_t)n * sizeof *m->id);
    m->n = n;
}

static void map_number(struct map *m)
{
    m->used = 0;
    XGROW(m->old, m->old_cap, m->n);
    for (uint32_t i = 1; i < m->n; i++)
        if (m->id[i]) {
            m->old[m->used++] = i;
            m->id[i] = m->used;
        }
    if (m->n)
        m->id[0] = 0;
}

static void select_rows(struct record_encoder *e, const struct profile *p, uint32_t from,
                        uint32_t to)
{
    const struct stack_node *nodes = stacks_nodes(p->stacks);
    struct map *node = &e->map[MAP_NODE], *frame = &e->map[MAP_FRAME], *span = &e->map[MAP_SPAN];

    map_clear(node, stacks_n_nodes(p->stacks));
    map_clear(frame, symbols_n_frames(p->symbols));
    map_clear(&e->map[MAP_LABELS], profile_n_label_sets(p));
    map_clear(span, profile_n_spans(p));
    for (uint32_t i = from; i < to; i++) {
        e->map[MAP_LABELS].id[p->row_labels[i]] = 1;
        if (p->row_span)
            span->id[p->row_span[i]] = 1;
        for (uint32_t n = stacks_leaf(p->stacks, p->row_stack[i]); n && !node->id[n];
             n = nodes[n].parent) {
            node->id[n] = 1;
            frame->id[nodes[n].frame] = 1;
        }
    }
    map_number(node);
    map_number(frame);
    map_number(&e->map[MAP_LABELS]);
    map_number(span);
}

static void select_frames(struct record_encoder *e, const struct symbols *s)
{
    const struct map *frame = &e->map[MAP_FRAME];
    const struct frame *frames = symbols_all_frames(s);

    map_clear(&e->map[MAP_FUNCTION], symbols_n_functions(s));
    map_clear(&e->map[MAP_MAPPING], symbols_n_mappings(s));
    for (uint32_t i = 0; i < frame->used; i++) {
        e->map[MAP_FUNCTION].id[frames[frame->old[i]].function] = 1;
        e->map[MAP_MAPPING].id[frames[frame->old[i]].mapping] = 1;
    }
    map_number(&e->map[MAP_FUNCTION]);
    map_number(&e->map[MAP_MAPPING]);
}

static void select_function_strings(struct record_encoder *e, const struct symbols *s)
{
    const struct map *function = &e->map[MAP_FUNCTION], *mapping = &e->map[MAP_MAPPING];
    const struct function *functions = symbols_all_functions(s);
    uint32_t *string = e->map[MAP_STRING].id;

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
    uint32_t *string = e->map[MAP_STRING].id;

    for (uint32_t set = 1; set < e->map[MAP_LABELS].n; set++) {
        size_t n = 0;
        const struct label *l = profile_label_set(p, set, &n);

        for (size_t i = 0; e->map[MAP_LABELS].id[set] && i < n; i++)
            string[l[i].key] = string[l[i].str] = string[l[i].unit] = 1;
    }
}

static void select_all(struct record_encoder *e, const struct profile *p, uint32_t from,
                       uint32_t to)
{
    select_rows(e, p, from, to);
    select_frames(e, p->symbols);
    map_clear(&e->map[MAP_STRING], symbols_n_strings(p->symbols));
    select_function_strings(e, p->symbols);
    select_label_strings(e, p);
    map_number(&e->map[MAP_STRING]);
}

/* ---- write ------------------------------------------------------------------------------- */

static void section_end(struct record_encoder *e, enum record_section tag)
{
    buf_varint(&e->raw, tag);
    buf_varbytes(&e->raw, buf_bytes(&e->section));
    buf_reset(&e->section);
}

static void write_types(struct record_encoder *e, const struct bytes *types, uint32_t n)
{
    buf_varint(&e->section, n);
    for (uint32_t i = 0; i < n; i++)
        buf_varbytes(&e->section, types[i]);
    section_end(e, SECTION_TYPES);
}

/* Appends the varints v of k = 0 … n - 1 to the section: a column. Room is made once. */
#define COLUMN(e, k, n, v)                                                                         \
    do {                                                                                           \
        uint8_t *at_;                                                                              \
        buf_reserve(&(e)->section, (size_t)(n)*VARINT_BYTES_MAX);                                  \
        at_ = (e)->section.data + (e)->section.len;                                                \
        for (uint32_t k = 0; k < (n); k++)                                                         \
            at_ = varint_put(at_, (v));                                                            \
        (e)->section.len = (size_t)(at_ - (e)->section.data);                                      \
    } while (0)

static void write_strings(struct record_encoder *e, const struct symbols *s)
{
    const struct map *m = &e->map[MAP_STRING];
    const struct bytes *texts = symbols_all_texts(s);

    buf_varint(&e->section, m->used);
    COLUMN(e, k, m->used, texts[m->old[k]].len);
    for (uint32_t k = 0; k < m->used; k++)
        buf_append_bytes(&e->section, texts[m->old[k]]);
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

static void write_frames(struct record_encoder *e, const struct symbols *s)
{
    const struct map *m = &e->map[MAP_FRAME];
    const struct frame *f = symbols_all_frames(s);
    const uint32_t *function = e->map[MAP_FUNCTION].id, *mapping = e->map[MAP_MAPPING].id;

    buf_varint(&e->section, m->used);
    COLUMN(e, k, m->used, function[f[m->old[k]].function]);
    COLUMN(e, k, m->used, mapping[f[m->old[k]].mapping]);
    COLUMN(e, k, m->used, f[m->old[k]].line_or_address);
    section_end(e, SECTION_FRAMES);
}

static void write_nodes(struct record_encoder *e, const struct stacks *st)
{
    const struct map *m = &e->map[MAP_NODE];
    const struct stack_node *nodes = stacks_nodes(st);
    const uint32_t *frame = e->map[MAP_FRAME].id;

    buf_varint(&e->section, m->used);
    COLUMN(e, k, m->used, k + 1 - m->id[nodes[m->old[k]].parent]);
    COLUMN(e, k, m->used, frame[nodes[m->old[k]].frame]);
    section_end(e, SECTION_NODES);
}

static void write_labels(struct record_encoder *e, const struct profile *p)
{
    const struct map *m = &e->map[MAP_LABELS];
    const uint32_t *string = e->map[MAP_STRING].id;

    buf_varint(&e->section, m->used);
    for (uint32_t set = 0; set < m->used; set++) {
        size_t n = 0;
        const struct label *l = profile_label_set(p, m->old[set], &n);

        buf_varint(&e->section, n);
        for (size_t i = 0; i < n; i++) {
            buf_varint(&e->section, string[l[i].key]);
            buf_varint(&e->section, string[l[i].str]);
            buf_varint(&e->section, zigzag(l[i].num));
            buf_varint(&e->section, string[l[i].unit]);
        }
    }
    section_end(e, SECTION_LABELS);
}

static void write_rows(struct record_encoder *e, const struct profile *p, uint32_t from,
                       uint32_t to)
{
    uint32_t n = to - from;

    buf_varint(&e->section, n);
    COLUMN(e, k, n, e->map[MAP_NODE].id[stacks_leaf(p->stacks, p->row_stack[from + k])]);
    COLUMN(e, k, n, e->map[MAP_LABELS].id[p->row_labels[from + k]]);
    section_end(e, SECTION_ROWS);
    for (uint32_t type = 0; type < p->n_types; type++) {
        COLUMN(e, k, n, zigzag(p->values[type][from + k]));
        section_end(e, SECTION_VALUES);
    }
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

static void write_all(struct record_encoder *e, const struct profile *p, const struct bytes *types,
                      uint32_t from, uint32_t to)
{
    buf_reset(&e->raw);
    write_types(e, types, p->n_types);
    write_strings(e, p->symbols);
    write_functions(e, p->symbols);
    write_mappings(e, p->symbols);
    write_frames(e, p->symbols);
    write_nodes(e, p->stacks);
    write_labels(e, p);
    write_rows(e, p, from, to);
    write_spans(e, p, from, to);
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
    piece.codec = zcodec_pack(e->z, buf_bytes(&e->raw), e->level, &piece.packed);
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
