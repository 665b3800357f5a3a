/*
 * The locations of a pprof → frames.
 *
 * How it works. What is made is a *place* for each location id: the frames that stand for it, of
 * which nearly all locations have one or two. A sample's location id is thus one look-up away from
 * its frames (pprof_samples.c).
 *
 * Where files are merged whole (profile/locations.h), it is the location itself that stands for it,
 * in one piece.
 */
#include "base/xalloc.h"
#include "formats/pprof_reader.h"
#include "formats/protobuf.h"
#include "profile/locations.h"

enum { BLOCK = 32 }; /* locations are interned so many at a time */

enum { LINE = 4, IS_FOLDED };

struct wire_location {
    uint64_t id, mapping_id, address;
};

static struct frame address_frame(struct pprof_reader *r, const struct wire_location *l)
{
    uint32_t i = l->mapping_id ? id_map_find(&r->mappings, l->mapping_id) : ID_NONE;
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
                                            : id_map_find(&r->functions, id);
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

/* As id_map_begin(), but no id of one or two bytes is far. */
static void begin_places(struct pprof_reader *r, uint32_t n_locations)
{
    uint64_t n = 2 * (uint64_t)n_locations + 1;

    r->n_places = n < PLACES_MIN ? PLACES_MIN : n;
    XGROW(r->place, r->place_cap, r->n_places);
    XGROW(r->place_kind, r->place_kind_cap, r->n_places);
    memset(r->place_kind, PLACE_NONE, r->n_places);
    id_map_begin(&r->far_places, 0);
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
        uint32_t i = id_map_find(&r->far_places, id);

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
        return pprof_enter_again(r, first_n == run.n &&
                                        memcmp(first, frames, run.n * sizeof *frames) == 0);
    if (id >= r->n_places) {
        XGROW(r->far_run, r->far_run_cap, r->n_far_runs + 1);
        r->far_run[r->n_far_runs] = run;
        id_map_enter(&r->far_places, id, (uint32_t)r->n_far_runs++);
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
    /* A line of 128 bytes or more has another second byte, and two numbers do not end it. */
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

/* --- whole --------------------------------------------------------------------------------------
 */

/* The short way (protobuf.h); false: it is spelled otherwise. */
static inline bool take_whole_line(struct bytes message, uint64_t line[4])
{
    struct cursor c = cursor_of(message);

    if (!pb_ends_number(message))
        return false;
    for (unsigned number = 1; number < 4; number++)
        line[number] = pb_take(&c, number);
    return c.at == c.end;
}

static inline void add_whole_line(struct pprof_reader *r, uint32_t location, const uint64_t line[4])
{
    uint32_t function = find_function(r, location, line[1]);

    if (r->n_lines++ >= r->limits->lines_max)
        return;
    if (function == ID_NONE) {
        r->stats.dangling_refs++;
        return;
    }
    if (r->n_block_lines == r->line_cap)
        XGROW(r->line, r->line_cap, r->n_block_lines + 1);
    r->line[r->n_block_lines++] =
        (struct location_line){(int64_t)line[2], (int64_t)line[3], function};
}

static COLD int read_odd_whole_line(struct pprof_reader *r, uint32_t location, struct bytes message)
{
    uint64_t line[4];

    if (!PB_NUMBERS(message, line))
        return pprof_malformed(r, "a line");
    add_whole_line(r, location, line);
    return 0;
}

static inline int read_whole_line(struct pprof_reader *r, uint32_t location, struct bytes message)
{
    uint64_t line[4];

    if (!take_whole_line(message, line))
        return read_odd_whole_line(r, location, message);
    add_whole_line(r, location, line);
    return 0;
}

/* From a field on that is not spelled as most are. */
static COLD int read_odd_whole(struct pprof_reader *r, uint32_t i, struct cursor c,
                               uint64_t number[IS_FOLDED + 1])
{
    enum pb_step step;
    struct pb_field f;

    while ((step = pb_next(&c, &f)) == PB_FIELD) {
        if (f.number > IS_FOLDED)
            continue;
        if (f.type != (f.number == LINE ? PB_LEN : PB_VARINT))
            return pprof_malformed(r, "a location");
        if (f.number != LINE)
            number[f.number] = f.value;
        else if (read_odd_whole_line(r, i, f.data))
            return FAILURE;
    }
    return step == PB_END ? 0 : pprof_malformed(r, "a location");
}

/* Its lines go to the block's. */
static int read_whole(struct pprof_reader *r, uint32_t i, uint64_t *ret_id, struct location *ret)
{
    enum { ID = 1, MAPPING_ID, ADDRESS };
    struct bytes message = pprof_message(r, PPROF_LOCATION, i), line;
    uint64_t number[IS_FOLDED + 1] = {0};
    struct cursor c = cursor_of(message);
    size_t lines_before = r->n_block_lines;
    uint32_t module;

    if (pb_ends_number(message)) {
        for (unsigned field = ID; field <= ADDRESS; field++)
            number[field] = pb_take(&c, field);
        while (pb_take_bytes(&c, LINE, &line))
            if (read_whole_line(r, i, line))
                return FAILURE;
        number[IS_FOLDED] = pb_take(&c, IS_FOLDED);
    }
    if (c.at != c.end && read_odd_whole(r, i, c, number))
        return FAILURE;
    *ret_id = number[ID];
    *ret = (struct location){.address = number[ADDRESS],
                             .n_lines = (uint32_t)(r->n_block_lines - lines_before),
                             .folded = number[IS_FOLDED] != 0};
    module = number[MAPPING_ID] ? id_map_find(&r->mappings, number[MAPPING_ID]) : ID_NONE;
    if (module != ID_NONE) {
        ret->mapping = r->module[module].whole;
        ret->address -= r->module[module].start;
    } else {
        r->stats.dangling_refs += number[MAPPING_ID] != 0;
    }
    return 0;
}

/* As read_location_block; a location is its own only frame. */
static int read_whole_block(struct pprof_reader *r, uint32_t begin, uint32_t n)
{
    struct location at[BLOCK];
    uint64_t id[BLOCK];

    r->n_block_lines = 0;
    XGROW(r->line, r->line_cap, 1); /* also where no location has a line */
    for (uint32_t i = 0; i < n; i++)
        if (read_whole(r, begin + i, &id[i], &at[i]))
            return FAILURE;
    XGROW(r->frame, r->frame_cap, r->n_frames + n);
    locations_intern(r->into->locations, at, r->line, n, r->frame + r->n_frames);
    for (uint32_t i = 0; i < n; i++)
        if (enter_location(r, id[i], (struct run){(uint32_t)r->n_frames++, 1}))
            return FAILURE;
    return 0;
}

int pprof_read_locations(struct pprof_reader *r)
{
    uint32_t n = r->message[PPROF_LOCATION].n;
    int (*read_block)(struct pprof_reader *, uint32_t, uint32_t) =
        r->into->locations ? read_whole_block : read_location_block;

    begin_places(r, n);
    for (uint32_t i = 0; i < n; i += BLOCK)
        if (read_block(r, i, n - i < BLOCK ? n - i : BLOCK))
            return FAILURE;
    return pprof_check_limit(r, "too many lines", r->n_lines, r->limits->lines_max, "lines_max");
}
