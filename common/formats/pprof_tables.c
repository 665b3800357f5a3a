/*
 * The tables of a pprof: strings, mappings, functions, locations → interned symbols.
 *
 * How it works. Each table goes to the symbols in one batch, whose tables then answer many look-ups
 * at a time instead of one after the other (profile/symbols.h). What the batches leave is, for each
 * location, a *code*: its frame, for most have one, or where its run of frames stands. With dense
 * ids the codes replace the indexes in the map of locations, so that a sample's location id is one
 * look-up away from its frame.
 */
#include "base/xalloc.h"
#include "formats/pprof_reader.h"
#include "formats/utf8.h"

enum { STRING_BYTES_MAX = 65535 };

/* --- strings ------------------------------------------------------------------------------------
 */

static uint32_t repaired(struct pprof_reader *r, struct bytes text)
{
    buf_reset(&r->text);
    utf8_repair(text, &r->text);
    r->stats.utf8_repaired++;
    return symbols_string(r->into->symbols, buf_bytes(&r->text));
}

/* A text that is known needs no repair, and nearly all texts are known. */
static uint32_t intern_text(struct pprof_reader *r, struct bytes text)
{
    struct symbols *symbols = r->into->symbols;
    uint64_t place;
    uint32_t id;

    if (text.len > STRING_BYTES_MAX) {
        text = utf8_cut(text, STRING_BYTES_MAX);
        r->stats.strings_cut++;
    }
    place = symbols_string_place(symbols, text);
    id = symbols_known_string(symbols, text, place);
    if (id || text.len == 0)
        return id;
    return utf8_valid(text) ? symbols_new_string(symbols, text, place) : repaired(r, text);
}

/* Negative indexes are large here, and out of range. */
uint32_t pprof_new_string(struct pprof_reader *r, uint64_t index)
{
    if (index >= r->n_strings) {
        r->stats.bad_strings += index != 0;
        return 0;
    }
    r->string_id[index] = intern_text(r, r->string[index]);
    return r->string_id[index];
}

static void begin_strings(struct pprof_reader *r)
{
    XGROW(r->string_id, r->string_id_cap, (size_t)r->n_strings + 1);
    XGROW(r->label_kind, r->label_kind_cap, (size_t)r->n_strings + 1);
    memset(r->string_id, 0xff, r->n_strings * sizeof *r->string_id);
    memset(r->label_kind, KIND_UNKNOWN, r->n_strings);
}

/* --- ids ----------------------------------------------------------------------------------------
 */

static uint32_t find_sparse(const struct id_map *m, uint64_t id)
{
    for (struct probe p = table_probe(&m->sparse, hash_pair(hash_secret(), id, 0));
         table_next(&m->sparse, &p);)
        if (m->id[p.id] == id)
            return p.id;
    return ID_NONE;
}

static inline uint32_t find_id(const struct id_map *m, uint64_t id)
{
    if (m->dense_n)
        return id < m->dense_n ? m->dense[id] : ID_NONE;
    return find_sparse(m, id);
}

/* The ids of a table's entries as a column. */
#define COPY_IDS(map, entries, n)                                                                  \
    do {                                                                                           \
        XGROW((map)->id, (map)->id_cap, (n));                                                      \
        for (uint32_t i_ = 0; i_ < (n); i_++)                                                      \
            (map)->id[i_] = (entries)[i_].id;                                                      \
    } while (0)

static void begin_ids(struct id_map *m, uint32_t n)
{
    uint64_t max = 0;

    for (uint32_t i = 0; i < n; i++)
        max = m->id[i] > max ? m->id[i] : max;
    if (m->sparse.n)
        table_reset(&m->sparse);
    m->dense_n = max <= 2 * (uint64_t)n ? max + 1 : 0;
    if (m->dense_n) {
        XGROW(m->dense, m->dense_cap, m->dense_n);
        memset(m->dense, 0xff, m->dense_n * sizeof *m->dense);
    }
}

/* Whether two entries of a table say the same. */
typedef bool same_fn(const struct pprof_reader *r, uint32_t a, uint32_t b);

/* Another entry of an id that has one: it must be the same, and the first holds. */
static int enter_again(struct pprof_reader *r, uint32_t first, uint32_t i, same_fn *same)
{
    if (!same(r, first, i))
        return pprof_malformed(r, "one id for two different entries");
    r->stats.duplicate_ids++;
    return 0;
}

static int enter_sparse(struct pprof_reader *r, struct id_map *m, uint32_t n, same_fn *same)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t first = find_sparse(m, m->id[i]);

        if (first == ID_NONE)
            table_insert(&m->sparse, hash_pair(hash_secret(), m->id[i], 0), i);
        else if (enter_again(r, first, i, same))
            return FAILURE;
    }
    return 0;
}

/* Enters the ids of a table. */
static int enter_ids(struct pprof_reader *r, struct id_map *m, uint32_t n, same_fn *same)
{
    begin_ids(m, n);
    if (!m->dense_n)
        return enter_sparse(r, m, n, same);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t *at = &m->dense[m->id[i]];

        if (*at == ID_NONE)
            *at = i;
        else if (enter_again(r, *at, i, same))
            return FAILURE;
    }
    return 0;
}

static bool same_mapping(const struct pprof_reader *r, uint32_t a, uint32_t b)
{
    return memcmp(&r->mapping[a], &r->mapping[b], sizeof *r->mapping) == 0;
}

static bool same_function(const struct pprof_reader *r, uint32_t a, uint32_t b)
{
    return memcmp(&r->function[a], &r->function[b], sizeof *r->function) == 0;
}

static bool same_location(const struct pprof_reader *r, uint32_t a, uint32_t b)
{
    const struct wire_location *x = &r->location[a], *y = &r->location[b];

    return x->mapping_id == y->mapping_id && x->address == y->address && x->n_lines == y->n_lines &&
           memcmp(&r->line[x->line], &r->line[y->line], x->n_lines * sizeof *r->line) == 0;
}

/* --- mappings and functions ---------------------------------------------------------------------
 */

static int read_mappings(struct pprof_reader *r)
{
    XGROW(r->module, r->module_cap, r->n_mappings);
    COPY_IDS(&r->mapping_ids, r->mapping, r->n_mappings);
    for (uint32_t i = 0; i < r->n_mappings; i++) {
        const struct wire_mapping *m = &r->mapping[i];
        struct mapping mapping = {pprof_string(r, m->file), pprof_string(r, m->build_id)};

        r->module[i] = (struct module){m->start, m->limit, m->offset,
                                       symbols_mapping(r->into->symbols, &mapping)};
    }
    return enter_ids(r, &r->mapping_ids, r->n_mappings, same_mapping);
}

static int read_functions(struct pprof_reader *r)
{
    uint32_t n = r->n_functions;
    uint64_t any_id = 0;

    XGROW(r->new_function, r->new_function_cap, n);
    XGROW(r->function_symbol, r->function_symbol_cap, n);
    COPY_IDS(&r->function_ids, r->function, n);
    for (uint32_t i = 0; i < n; i++) {
        const struct wire_function *f = &r->function[i];

        r->new_function[i] =
            (struct function){pprof_string(r, f->name), pprof_string(r, f->system_name),
                              pprof_string(r, f->file), (int64_t)f->start_line};
        any_id |= r->function_ids.id[i];
    }
    symbols_functions(r->into->symbols, r->new_function, n, r->function_symbol);
    if (n > 1 && any_id == 0 && n == r->n_locations) {
        r->functions_by_place = true;
        begin_ids(&r->function_ids, 0);
        r->stats.duplicate_ids += n - 1;
        return 0;
    }
    return enter_ids(r, &r->function_ids, n, same_function);
}

/* --- locations ----------------------------------------------------------------------------------
 */

static struct frame address_frame(struct pprof_reader *r, const struct wire_location *l)
{
    uint32_t i = l->mapping_id ? find_id(&r->mapping_ids, l->mapping_id) : ID_NONE;
    uint64_t address = l->address;
    const struct module *m;

    if (i == ID_NONE) {
        r->stats.dangling_refs += l->mapping_id != 0;
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

static struct frame line_frame(struct pprof_reader *r, uint32_t location, const struct wire_line *l)
{
    uint32_t i = r->functions_by_place && l->function_id == 0
                     ? location
                     : find_id(&r->function_ids, l->function_id);

    if (i == ID_NONE) {
        r->stats.dangling_refs++;
        return address_frame(r, &r->location[location]);
    }
    return (struct frame){.function = r->function_symbol[i],
                          .line_or_address = line_number(r, l->number)};
}

/* The frames of all locations, one behind the other, and where each location's begin. */
static void make_frames(struct pprof_reader *r)
{
    XGROW(r->new_frame, r->new_frame_cap, (size_t)r->n_lines + r->n_locations);
    XGROW(r->run, r->run_cap, r->n_locations);
    for (uint32_t i = 0; i < r->n_locations; i++) {
        const struct wire_location *l = &r->location[i];
        size_t begin = r->n_frame;

        for (uint32_t k = 0; k < l->n_lines; k++)
            r->new_frame[r->n_frame++] = line_frame(r, i, &r->line[l->line + k]);
        if (l->n_lines == 0)
            r->new_frame[r->n_frame++] = address_frame(r, l);
        r->run[i] = (struct run){(uint32_t)begin, (uint32_t)(r->n_frame - begin)};
    }
}

static void make_codes(struct pprof_reader *r)
{
    struct id_map *ids = &r->location_ids;

    XGROW(r->location_code, r->location_code_cap, r->n_locations);
    for (uint32_t i = 0; i < r->n_locations; i++) {
        uint32_t frame = r->frame[r->run[i].begin];

        r->location_code[i] = r->run[i].n == 1 && frame < CODE_RUN ? frame : CODE_RUN | i;
    }
    for (uint64_t id = 0; id < ids->dense_n; id++)
        if (ids->dense[id] != ID_NONE)
            ids->dense[id] = r->location_code[ids->dense[id]];
}

static int read_locations(struct pprof_reader *r)
{
    COPY_IDS(&r->location_ids, r->location, r->n_locations);
    make_frames(r);
    XGROW(r->frame, r->frame_cap, r->n_frame);
    symbols_frames(r->into->symbols, r->new_frame, r->n_frame, r->frame);
    if (enter_ids(r, &r->location_ids, r->n_locations, same_location))
        return FAILURE;
    make_codes(r);
    return 0;
}

uint32_t pprof_sparse_location(const struct pprof_reader *r, uint64_t id)
{
    uint32_t i = find_sparse(&r->location_ids, id);

    return i == ID_NONE ? ID_NONE : r->location_code[i];
}

int pprof_read_tables(struct pprof_reader *r)
{
    begin_strings(r);
    return read_mappings(r) || read_functions(r) || read_locations(r) ? FAILURE : 0;
}
