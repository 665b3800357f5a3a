/*
 * The tables of a pprof: strings, mappings, functions, locations → interned symbols.
 *
 * How it works. Mappings, functions and locations are read in this order, which is that of their
 * references, and each is interned as it is read: what lies between would only push the tables out
 * of the cache. What they leave is a *place* for each location id: the frames that stand for it, of
 * which nearly all locations have one or two. A sample's location id is thus one look-up away from
 * its frames (pprof_samples.c).
 */
#include "base/xalloc.h"
#include "formats/pprof_reader.h"
#include "formats/protobuf.h"
#include "formats/utf8.h"

enum { STRING_BYTES_MAX = 65535 };
enum { BLOCK = 32 }; /* locations are interned so many at a time */

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

/* --- ids ----------------------------------------------------------------------------------------
 */

/* For n entries. */
static void begin_ids(struct id_map *m, uint32_t n)
{
    m->n_near = 2 * (uint64_t)n + 1;
    XGROW(m->near, m->near_cap, m->n_near);
    memset(m->near, 0xff, m->n_near * sizeof *m->near);
    m->n_far = 0;
    if (m->table.n)
        table_reset(&m->table);
}

static uint64_t place_of_far(uint64_t id)
{
    return hash_pair(hash_secret(), id, 0);
}

static COLD uint32_t find_far(const struct id_map *m, uint64_t id)
{
    for (struct probe p = table_probe(&m->table, place_of_far(id)); table_next(&m->table, &p);)
        if (m->far[p.id].id == id)
            return m->far[p.id].value;
    return ID_NONE;
}

static inline uint32_t find_id(const struct id_map *m, uint64_t id)
{
    return id < m->n_near ? m->near[id] : find_far(m, id);
}

static COLD void enter_far(struct id_map *m, uint64_t id, uint32_t value)
{
    XGROW(m->far, m->far_cap, (size_t)m->n_far + 1);
    m->far[m->n_far] = (struct far_id){id, value};
    table_insert(&m->table, place_of_far(id), m->n_far++);
}

/* An id that is not there yet. */
static inline void enter_id(struct id_map *m, uint64_t id, uint32_t value)
{
    if (id < m->n_near)
        m->near[id] = value;
    else
        enter_far(m, id, value);
}

/* Another entry of an id that has one: it must be the same, and the first holds. */
static int enter_again(struct pprof_reader *r, bool same)
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

static int read_mapping(struct pprof_reader *r, uint32_t i)
{
    enum { ID = 1, START, LIMIT, OFFSET, FILE_NAME, BUILD_ID, LAST = 10 };
    struct mapping mapping;
    uint64_t m[LAST + 1];
    uint32_t first;

    if (!PB_NUMBERS(pprof_message(r, PPROF_MAPPING, i), m))
        return pprof_malformed(r, "a mapping");
    mapping = (struct mapping){pprof_string(r, m[FILE_NAME]), pprof_string(r, m[BUILD_ID])};
    r->module[i] =
        (struct module){m[START], m[LIMIT], m[OFFSET], symbols_mapping(r->into->symbols, &mapping)};
    first = find_id(&r->mappings, m[ID]);
    if (first != ID_NONE)
        return enter_again(r, same_module(&r->module[first], &r->module[i]));
    enter_id(&r->mappings, m[ID], i);
    return 0;
}

static int read_mappings(struct pprof_reader *r)
{
    uint32_t n = r->message[PPROF_MAPPING].n;

    XGROW(r->module, r->module_cap, n);
    begin_ids(&r->mappings, n);
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
    uint32_t first = find_id(&r->functions, id);

    if (first != ID_NONE)
        return enter_again(r, first == symbol);
    enter_id(&r->functions, id, symbol);
    return 0;
}

/* .NET writes id 0 for all, and as many locations: then function i is that of location i. */
static int read_functions(struct pprof_reader *r)
{
    uint32_t n = r->message[PPROF_FUNCTION].n, n_zeros = 0; /* the first so many have id 0 */
    uint64_t id = 0;

    XGROW(r->function_symbol, r->function_symbol_cap, n);
    begin_ids(&r->functions, n);
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

/* --- locations ----------------------------------------------------------------------------------
 */

enum { LINE = 4, IS_FOLDED };

struct wire_location {
    uint64_t id, mapping_id, address;
};

static struct frame address_frame(struct pprof_reader *r, const struct wire_location *l)
{
    uint32_t i = l->mapping_id ? find_id(&r->mappings, l->mapping_id) : ID_NONE;
    struct frame frame = {.line_or_address = l->address};
    const struct module *m;

    if (i == ID_NONE) {
        r->stats.dangling_refs += l->mapping_id != 0;
        return frame;
    }
    m = &r->module[i];
    frame.mapping = m->mapping;
    if (l->address >= m->start && (m->limit == 0 || l->address < m->limit))
        frame.line_or_address = l->address - m->start + m->offset;
    return frame;
}

/* pprof-nodejs packs a column above the line. */
static inline uint64_t line_number(const struct pprof_reader *r, uint64_t line)
{
    bool packed = (int64_t)line > UINT32_MAX && !(r->flags & PPROF_LABELS_ALL);

    return packed ? (uint32_t)line : line;
}

/* The symbol of a line's function, or ID_NONE. */
static inline uint32_t find_function(const struct pprof_reader *r, uint32_t location, uint64_t id)
{
    return r->functions_by_place && id == 0 ? r->function_symbol[location]
                                            : find_id(&r->functions, id);
}

static inline void add_frame(struct pprof_reader *r, struct frame frame)
{
    if (r->n_new_frames == r->new_frame_cap)
        XGROW(r->new_frame, r->new_frame_cap, r->n_new_frames + 1);
    r->new_frame[r->n_new_frames++] = frame;
}

/* A line without its function is no frame until all of its location is read: ID_NONE. What is above
 * the limit is only counted. */
static inline void add_line(struct pprof_reader *r, uint32_t location, uint64_t function_id,
                            uint64_t number)
{
    struct frame frame = {.function = find_function(r, location, function_id),
                          .line_or_address = line_number(r, number)};

    if (r->n_lines++ >= r->limits->lines_max)
        return;
    r->stats.dangling_refs += frame.function == ID_NONE;
    add_frame(r, frame);
}

static COLD int read_odd_line(struct pprof_reader *r, uint32_t location, struct bytes message)
{
    uint64_t line[4]; /* with the column, which is to be a number too */

    if (!PB_NUMBERS(message, line))
        return pprof_malformed(r, "a line");
    add_line(r, location, line[1], line[2]);
    return 0;
}

static inline int read_line(struct pprof_reader *r, uint32_t location, struct bytes message)
{
    struct cursor c = cursor_of(message);
    uint64_t function_id, number;

    if (!pb_ends_number(message))
        return read_odd_line(r, location, message);
    function_id = pb_take(&c, 1);
    number = pb_take(&c, 2);
    if (c.at != c.end)
        return read_odd_line(r, location, message);
    add_line(r, location, function_id, number);
    return 0;
}

/* The next field of a location, however it is spelled. */
static COLD int read_odd_field(struct pprof_reader *r, uint32_t i, struct cursor *c,
                               struct wire_location *l)
{
    uint64_t *const number[LINE] = {NULL, &l->id, &l->mapping_id, &l->address};
    struct pb_field f;

    if (pb_next(c, &f) != PB_FIELD)
        return pprof_malformed(r, "a location");
    if (f.number > IS_FOLDED)
        return 0;
    if (f.type != (f.number == LINE ? PB_LEN : PB_VARINT))
        return pprof_malformed(r, "a location");
    if (f.number == LINE)
        return read_odd_line(r, i, f.data);
    if (f.number < LINE)
        *number[f.number] = f.value;
    return 0;
}

/* From a field on that is not spelled as most are. */
static COLD int read_odd_location(struct pprof_reader *r, uint32_t i, struct cursor c,
                                  struct wire_location *l)
{
    while (c.at < c.end)
        if (read_odd_field(r, i, &c, l))
            return FAILURE;
    return 0;
}

static COLD void replace_dangling(struct pprof_reader *r, size_t begin,
                                  const struct wire_location *l)
{
    for (size_t k = begin; k < r->n_new_frames; k++)
        if (r->new_frame[k].function == ID_NONE)
            r->new_frame[k] = address_frame(r, l);
}

/* --- places -------------------------------------------------------------------------------------
 */

/* As begin_ids, but no id of one or two bytes is far. */
static void begin_places(struct pprof_reader *r, uint32_t n_locations)
{
    uint64_t n = 2 * (uint64_t)n_locations + 1;

    r->n_places = n < PLACES_MIN ? PLACES_MIN : n;
    XGROW(r->place, r->place_cap, r->n_places);
    XGROW(r->place_kind, r->place_kind_cap, r->n_places);
    memset(r->place_kind, PLACE_NONE, r->n_places);
    begin_ids(&r->far_places, 0);
}

const uint32_t *pprof_location_frames(const struct pprof_reader *r, uint64_t id, uint32_t *ret_n)
{
    const struct run *run;

    if (id < r->n_places && r->place_kind[id] == PLACE_NONE)
        return NULL;
    if (id < r->n_places && r->place_kind[id] != PLACE_RUN) {
        *ret_n = r->place_kind[id];
        return r->place[id].frame;
    }
    if (id < r->n_places) {
        run = &r->place[id].run;
    } else {
        uint32_t i = find_id(&r->far_places, id);

        if (i == ID_NONE)
            return NULL;
        run = &r->far_run[i];
    }
    *ret_n = run->n;
    return r->frame + run->begin;
}

/* One that is not alone with its id, or has no place, or many frames. */
static COLD int enter_odd_location(struct pprof_reader *r, uint64_t id, struct run run)
{
    const uint32_t *frames = r->frame + run.begin, *first;
    uint32_t first_n;

    first = pprof_location_frames(r, id, &first_n);
    if (first)
        return enter_again(r,
                           first_n == run.n && memcmp(first, frames, run.n * sizeof *frames) == 0);
    if (id >= r->n_places) {
        XGROW(r->far_run, r->far_run_cap, r->n_far_runs + 1);
        r->far_run[r->n_far_runs] = run;
        enter_id(&r->far_places, id, (uint32_t)r->n_far_runs++);
    } else {
        r->place[id].run = run;
        r->place_kind[id] = PLACE_RUN;
    }
    return 0;
}

static inline int enter_location(struct pprof_reader *r, uint64_t id, struct run run)
{
    const uint32_t *frames = r->frame + run.begin;

    if (run.n > 2 || id >= r->n_places || r->place_kind[id] != PLACE_NONE)
        return enter_odd_location(r, id, run);
    r->place[id] = (union place){.frame = {frames[0], frames[run.n - 1]}};
    r->place_kind[id] = (uint8_t)run.n;
    return 0;
}

/* A location as nearly all are: an id, one line with a function, and nothing else that its frame
 * needs. False: it is another. */
static inline bool take_plain_location(struct bytes message, uint64_t *ret_id,
                                       uint64_t *ret_function_id, uint64_t *ret_number)
{
    struct cursor c = cursor_of(message);

    if (!pb_ends_number(message))
        return false;
    *ret_id = pb_take(&c, 1);
    pb_skip(&c, 2);
    pb_skip(&c, 3);
    if (cursor_left(&c) < 4 || c.at[0] != (LINE << 3 | PB_LEN) || c.at[1] != cursor_left(&c) - 2)
        return false;
    c.at += 2;
    *ret_function_id = pb_take(&c, 1);
    *ret_number = pb_take(&c, 2);
    return c.at == c.end;
}

/* Its frames to new_frame. */
static int read_any_location(struct pprof_reader *r, uint32_t i, struct bytes message,
                             uint64_t *ret_id)
{
    struct bytes line;
    uint32_t dangling = r->stats.dangling_refs;
    struct cursor c = cursor_of(message);
    struct wire_location l = {0};
    size_t begin = r->n_new_frames;

    if (pb_ends_number(message)) {
        l.id = pb_take(&c, 1);
        l.mapping_id = pb_take(&c, 2);
        l.address = pb_take(&c, 3);
        while (pb_take_bytes(&c, LINE, &line))
            if (read_line(r, i, line))
                return FAILURE;
    }
    if (c.at != c.end) {
        struct wire_location odd = l;

        if (read_odd_location(r, i, c, &odd))
            return FAILURE;
        l = odd;
    }
    if (r->stats.dangling_refs != dangling)
        replace_dangling(r, begin, &l);
    if (r->n_new_frames == begin)
        add_frame(r, address_frame(r, &l));
    *ret_id = l.id;
    return 0;
}

static inline int read_location(struct pprof_reader *r, uint32_t i, uint64_t *ret_id)
{
    struct bytes message = pprof_message(r, PPROF_LOCATION, i);
    uint64_t id, function_id, number;
    uint32_t symbol;

    if (!take_plain_location(message, &id, &function_id, &number) ||
        function_id >= r->functions.n_near || r->functions.near[function_id] == ID_NONE)
        return read_any_location(r, i, message, ret_id);
    symbol = r->functions.near[function_id];
    r->n_lines++;
    add_frame(r, (struct frame){.function = symbol, .line_or_address = line_number(r, number)});
    *ret_id = id;
    return 0;
}

/* Reads and enters locations begin … begin + n - 1, which are at most BLOCK. */
static int read_location_block(struct pprof_reader *r, uint32_t begin, uint32_t n)
{
    uint64_t id[BLOCK];
    struct run run[BLOCK];

    r->n_new_frames = 0;
    for (uint32_t i = 0; i < n; i++) {
        size_t before = r->n_new_frames;

        if (read_location(r, begin + i, &id[i]))
            return FAILURE;
        run[i] =
            (struct run){(uint32_t)(r->n_frames + before), (uint32_t)(r->n_new_frames - before)};
    }
    XGROW(r->frame, r->frame_cap, r->n_frames + r->n_new_frames);
    symbols_frames(r->into->symbols, r->new_frame, r->n_new_frames, r->frame + r->n_frames);
    r->n_frames += r->n_new_frames;
    for (uint32_t i = 0; i < n; i++)
        if (enter_location(r, id[i], run[i]))
            return FAILURE;
    return 0;
}

static int read_locations(struct pprof_reader *r)
{
    uint32_t n = r->message[PPROF_LOCATION].n;

    begin_places(r, n);
    for (uint32_t i = 0; i < n; i += BLOCK)
        if (read_location_block(r, i, n - i < BLOCK ? n - i : BLOCK))
            return FAILURE;
    return pprof_check_limit(r, "too many lines", r->n_lines, r->limits->lines_max, "lines_max");
}

int pprof_read_tables(struct pprof_reader *r)
{
    begin_strings(r);
    return read_mappings(r) || read_functions(r) || read_locations(r) ? FAILURE : 0;
}
