/*
 * Columns, not rows: names compress with names and lines with lines. Decoding interns entry by
 * entry and insists on the id that each must get: a chunk that repeats an entry, or is read out of
 * order, would shift all ids behind it, and is refused instead.
 */
#include "wire/symchunk.h"

#include "base/err.h"
#include "wire/blob.h"

#include <errno.h>

enum { SYMCHUNK_VERSION = 1, SYMCHUNK_LEVEL = 3 };
#define SYMCHUNK_MAGIC "HSym"

struct symbols_mark symbols_mark(const struct symbols *s)
{
    return (struct symbols_mark){symbols_n_strings(s), symbols_n_functions(s),
                                 symbols_n_mappings(s), symbols_n_frames(s)};
}

static uint32_t first(uint32_t count)
{
    return count ? count : 1; /* entry 0 is in every table and never written */
}

static void strings_encode(const struct symbols *s, uint32_t from, struct buf *out)
{
    uint32_t n = symbols_n_strings(s);

    for (uint32_t i = from; i < n; i++)
        buf_varint(out, symbols_text(s, i).len);
    for (uint32_t i = from; i < n; i++)
        buf_append_bytes(out, symbols_text(s, i));
}

static void functions_encode(const struct symbols *s, uint32_t from, struct buf *out)
{
    uint32_t n = symbols_n_functions(s);

    for (uint32_t i = from; i < n; i++)
        buf_varint(out, symbols_get_function(s, i)->name);
    for (uint32_t i = from; i < n; i++)
        buf_varint(out, symbols_get_function(s, i)->system_name);
    for (uint32_t i = from; i < n; i++)
        buf_varint(out, symbols_get_function(s, i)->file);
    for (uint32_t i = from; i < n; i++)
        buf_varint(out, zigzag(symbols_get_function(s, i)->start_line));
}

static void mappings_encode(const struct symbols *s, uint32_t from, struct buf *out)
{
    uint32_t n = symbols_n_mappings(s);

    for (uint32_t i = from; i < n; i++)
        buf_varint(out, symbols_get_mapping(s, i)->file);
    for (uint32_t i = from; i < n; i++)
        buf_varint(out, symbols_get_mapping(s, i)->build_id);
}

static void frames_encode(const struct symbols *s, uint32_t from, struct buf *out)
{
    uint32_t n = symbols_n_frames(s);

    for (uint32_t i = from; i < n; i++)
        buf_varint(out, symbols_get_frame(s, i)->function);
    for (uint32_t i = from; i < n; i++)
        buf_varint(out, symbols_get_frame(s, i)->mapping);
    for (uint32_t i = from; i < n; i++)
        buf_varint(out, symbols_get_frame(s, i)->line_or_address);
}

static void mark_encode(struct symbols_mark m, struct buf *out)
{
    buf_varint(out, first(m.strings));
    buf_varint(out, first(m.functions));
    buf_varint(out, first(m.mappings));
    buf_varint(out, first(m.frames));
}

void symchunk_encode(struct zcodec *z, const struct symbols *s, struct symbols_mark from,
                     struct buf *out)
{
    size_t begin = blob_begin(out, SYMCHUNK_MAGIC, SYMCHUNK_VERSION);
    struct buf columns = {0};

    strings_encode(s, first(from.strings), &columns);
    functions_encode(s, first(from.functions), &columns);
    mappings_encode(s, first(from.mappings), &columns);
    frames_encode(s, first(from.frames), &columns);
    CHECK(columns.len <= SYMCHUNK_RAW_MAX);
    mark_encode(from, out);
    mark_encode(symbols_mark(s), out);
    buf_varint(out, columns.len);
    blob_set_codec(out, begin,
                   zcodec_pack_one(z, buf_bytes(&columns), ZKIND_MIXED, SYMCHUNK_LEVEL, out));
    blob_end(out, begin);
    buf_deinit(&columns);
}

static bool count_get(struct cursor *c, uint32_t *ret)
{
    uint64_t v;

    if (!varint_get(c, &v) || v == 0 || v > UINT32_MAX)
        return false;
    *ret = (uint32_t)v;
    return true;
}

static bool mark_get(struct cursor *c, struct symbols_mark *m)
{
    return count_get(c, &m->strings) && count_get(c, &m->functions) && count_get(c, &m->mappings) &&
           count_get(c, &m->frames);
}

/* The next n varints of c as a column of their own; false if there are fewer. */
static bool column_take(struct cursor *c, uint32_t n, struct cursor *ret)
{
    uint64_t v;

    *ret = *c;
    if (n > cursor_left(c))
        return false;
    for (uint32_t i = 0; i < n; i++)
        if (!varint_get(c, &v))
            return false;
    ret->end = c->at;
    return true;
}

/* The column's next entry, an id below n. */
static bool id_get(struct cursor *c, uint32_t n, uint32_t *ret)
{
    uint64_t v;

    if (!varint_get(c, &v) || v >= n)
        return false;
    *ret = (uint32_t)v;
    return true;
}

static bool strings_decode(struct symbols *s, struct cursor *c, uint32_t to)
{
    uint32_t from = symbols_n_strings(s);
    struct cursor lengths;
    struct bytes text;
    uint64_t len;

    if (!column_take(c, to - from, &lengths))
        return false;
    for (uint32_t i = from; i < to; i++)
        if (!varint_get(&lengths, &len) || !cursor_take(c, len, &text) ||
            symbols_string(s, text) != i)
            return false;
    return true;
}

static bool functions_decode(struct symbols *s, struct cursor *c, uint32_t to)
{
    uint32_t from = symbols_n_functions(s), n_strings = symbols_n_strings(s);
    struct cursor name, system, file, line;
    uint64_t v;

    if (!column_take(c, to - from, &name) || !column_take(c, to - from, &system) ||
        !column_take(c, to - from, &file) || !column_take(c, to - from, &line))
        return false;
    for (uint32_t i = from; i < to; i++) {
        struct function f;

        if (!id_get(&name, n_strings, &f.name) || !id_get(&system, n_strings, &f.system_name) ||
            !id_get(&file, n_strings, &f.file) || !varint_get(&line, &v))
            return false;
        f.start_line = unzigzag(v);
        if (symbols_function(s, &f) != i)
            return false;
    }
    return true;
}

static bool mappings_decode(struct symbols *s, struct cursor *c, uint32_t to)
{
    uint32_t from = symbols_n_mappings(s), n_strings = symbols_n_strings(s);
    struct cursor file, build_id;
    struct mapping m;

    if (!column_take(c, to - from, &file) || !column_take(c, to - from, &build_id))
        return false;
    for (uint32_t i = from; i < to; i++)
        if (!id_get(&file, n_strings, &m.file) || !id_get(&build_id, n_strings, &m.build_id) ||
            symbols_mapping(s, &m) != i)
            return false;
    return true;
}

static bool frames_decode(struct symbols *s, struct cursor *c, uint32_t to)
{
    uint32_t from = symbols_n_frames(s), n_functions = symbols_n_functions(s);
    uint32_t n_mappings = symbols_n_mappings(s);
    struct cursor function, mapping, line;
    struct frame f;

    if (!column_take(c, to - from, &function) || !column_take(c, to - from, &mapping) ||
        !column_take(c, to - from, &line))
        return false;
    for (uint32_t i = from; i < to; i++)
        if (!id_get(&function, n_functions, &f.function) ||
            !id_get(&mapping, n_mappings, &f.mapping) || !varint_get(&line, &f.line_or_address) ||
            symbols_frame(s, &f) != i)
            return false;
    return true;
}

static bool marks_fit(const struct symbols *s, const struct symbols_mark *from,
                      const struct symbols_mark *to)
{
    struct symbols_mark have = symbols_mark(s);

    return from->strings == have.strings && from->functions == have.functions &&
           from->mappings == have.mappings && from->frames == have.frames &&
           to->strings >= from->strings && to->functions >= from->functions &&
           to->mappings >= from->mappings && to->frames >= from->frames;
}

int symchunk_decode(struct zcodec *z, struct symbols *s, struct bytes in)
{
    struct symbols_mark from, to;
    struct cursor body, c;
    struct bytes columns;
    uint64_t raw;
    uint8_t codec;

    if (blob_open(in, SYMCHUNK_MAGIC, SYMCHUNK_VERSION, true, &codec, &body) != 0 ||
        !mark_get(&body, &from) || !mark_get(&body, &to) || !varint_get(&body, &raw))
        return -EBADMSG;
    if (!marks_fit(s, &from, &to) || raw > SYMCHUNK_RAW_MAX ||
        zcodec_unpack(z, codec, bytes_of(body.at, cursor_left(&body)), raw, &columns) != 0)
        return -EBADMSG;
    c = cursor_of(columns);
    if (!strings_decode(s, &c, to.strings) || !functions_decode(s, &c, to.functions) ||
        !mappings_decode(s, &c, to.mappings) || !frames_decode(s, &c, to.frames))
        return -EBADMSG;
    return cursor_left(&c) == 0 ? 0 : -EBADMSG;
}
