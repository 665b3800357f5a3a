/*
 * The tables of a pprof: strings, mappings, functions → interned symbols; locations have a file of
 * their own.
 *
 * How it works. The tables are read in the order of their references, and each entry is interned as
 * it is read: what lies between would only push the tables out of the cache.
 */
#include "base/utf8.h"
#include "base/xalloc.h"
#include "formats/pprof_reader.h"
#include "formats/protobuf.h"
#include "profile/locations.h"

enum { STRING_BYTES_MAX = 65535 };

/* --- strings ------------------------------------------------------------------------------------
 */

static COLD uint32_t repaired(struct pprof_reader *r, struct bytes text)
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
    id = symbols_find_string(symbols, text, &place);
    if (id || text.len == 0)
        return id;
    return utf8_valid(text) ? symbols_new_string(symbols, text, place) : repaired(r, text);
}

/* Negative indexes are large here, and out of range. */
uint32_t pprof_new_string(struct pprof_reader *r, uint64_t index)
{
    if (index >= r->message[PPROF_STRING].n) {
        r->stats.bad_strings += index != 0;
        return 0;
    }
    r->string_id[index] = intern_text(r, pprof_message(r, PPROF_STRING, (uint32_t)index));
    return r->string_id[index];
}

static void begin_strings(struct pprof_reader *r)
{
    uint32_t n = r->message[PPROF_STRING].n;

    XGROW(r->string_id, r->string_id_cap, (size_t)n + 1);
    XGROW(r->label_kind, r->label_kind_cap, (size_t)n + 1);
    memset(r->string_id, 0xff, n * sizeof *r->string_id);
    memset(r->label_kind, KIND_UNKNOWN, n);
}

int pprof_enter_again(struct pprof_reader *r, bool same)
{
    if (!same)
        return pprof_malformed(r, "one id for two different entries");
    r->stats.duplicate_ids++;
    return 0;
}

/* --- mappings -----------------------------------------------------------------------------------
 */

static bool same_module(const struct module *a, const struct module *b)
{
    return a->start == b->start && a->limit == b->limit && a->offset == b->offset &&
           a->mapping == b->mapping;
}

enum { ID = 1, START, LIMIT, OFFSET, FILE_NAME, BUILD_ID, HAS, MAPPING_FIELDS = HAS + 4 };

/* Interned in the order of the file: readers take the first mapping for the main program's. */
static uint32_t keep_whole(struct pprof_reader *r, const uint64_t m[MAPPING_FIELDS],
                           const struct mapping *names)
{
    struct location_mapping whole = {m[START],    m[LIMIT],        m[OFFSET],
                                     names->file, names->build_id, 0};

    for (unsigned i = 0; i < 4; i++)
        whole.has |= (uint8_t)((m[HAS + i] != 0) << i);
    return locations_mapping(r->into->locations, &whole);
}

static int read_mapping(struct pprof_reader *r, uint32_t i)
{
    struct mapping mapping;
    uint64_t m[MAPPING_FIELDS];
    uint32_t first;

    if (!PB_NUMBERS(pprof_message(r, PPROF_MAPPING, i), m))
        return pprof_malformed(r, "a mapping");
    mapping = (struct mapping){pprof_string(r, m[FILE_NAME]), pprof_string(r, m[BUILD_ID])};
    r->module[i] =
        (struct module){m[START], m[LIMIT], m[OFFSET], symbols_mapping(r->into->symbols, &mapping),
                        r->into->locations ? keep_whole(r, m, &mapping) : 0};
    first = id_map_find(&r->mappings, m[ID]);
    if (first != ID_NONE)
        return pprof_enter_again(r, same_module(&r->module[first], &r->module[i]));
    id_map_enter(&r->mappings, m[ID], i);
    return 0;
}

static int read_mappings(struct pprof_reader *r)
{
    uint32_t n = r->message[PPROF_MAPPING].n;

    XGROW(r->module, r->module_cap, n);
    id_map_begin(&r->mappings, n);
    for (uint32_t i = 0; i < n; i++)
        if (read_mapping(r, i))
            return FAILURE;
    return 0;
}

/* --- functions ----------------------------------------------------------------------------------
 */

struct wire_function {
    uint64_t id, name, system_name, file, start_line;
};

/* The short way (protobuf.h); false: it is spelled otherwise. */
static inline bool take_function(struct bytes message, struct wire_function *f)
{
    struct cursor c = cursor_of(message);

    if (!pb_ends_number(message))
        return false;
    f->id = pb_take(&c, 1);
    f->name = pb_take(&c, 2);
    f->system_name = pb_take(&c, 3);
    f->file = pb_take(&c, 4);
    f->start_line = pb_take(&c, 5);
    return c.at == c.end;
}

static COLD bool read_odd_function(struct bytes message, struct wire_function *ret)
{
    uint64_t f[6];

    if (!PB_NUMBERS(message, f))
        return false;
    *ret = (struct wire_function){f[1], f[2], f[3], f[4], f[5]};
    return true;
}

/* Its symbol to function_symbol. */
static inline int read_function(struct pprof_reader *r, uint32_t i, uint64_t *ret_id)
{
    struct bytes message = pprof_message(r, PPROF_FUNCTION, i);
    struct wire_function f, odd;
    struct function function;

    if (!take_function(message, &f)) {
        if (!read_odd_function(message, &odd))
            return pprof_malformed(r, "a function");
        f = odd;
    }
    function.name = pprof_string(r, f.name);
    function.system_name = f.system_name == f.name ? 0 : pprof_string(r, f.system_name);
    function.file = pprof_string(r, f.file);
    function.start_line = (int64_t)f.start_line;
    r->function_symbol[i] = symbols_function(r->into->symbols, &function);
    *ret_id = f.id;
    return 0;
}

static inline int enter_function(struct pprof_reader *r, uint64_t id, uint32_t symbol)
{
    uint32_t first = id_map_find(&r->functions, id);

    if (first != ID_NONE)
        return pprof_enter_again(r, first == symbol);
    id_map_enter(&r->functions, id, symbol);
    return 0;
}

/* .NET writes id 0 for all, and as many locations: then function i is that of location i. */
static int read_functions(struct pprof_reader *r)
{
    uint32_t n = r->message[PPROF_FUNCTION].n, n_zeros = 0; /* the first so many have id 0 */
    uint64_t id = 0;

    XGROW(r->function_symbol, r->function_symbol_cap, n);
    id_map_begin(&r->functions, n);
    for (uint32_t i = 0; i < n; i++) {
        if (read_function(r, i, &id))
            return FAILURE;
        if (id == 0 && n_zeros == i)
            n_zeros++;
        else if (enter_function(r, id, r->function_symbol[i]))
            return FAILURE;
    }
    r->functions_by_place = n > 1 && n_zeros == n && n == r->message[PPROF_LOCATION].n;
    if (r->functions_by_place)
        r->stats.duplicate_ids += n - 1;
    else
        for (uint32_t i = 0; i < n_zeros; i++)
            if (enter_function(r, 0, r->function_symbol[i]))
                return FAILURE;
    return 0;
}

int pprof_read_tables(struct pprof_reader *r)
{
    begin_strings(r);
    return read_mappings(r) || read_functions(r) || pprof_read_locations(r) ? FAILURE : 0;
}
