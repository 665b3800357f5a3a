/*
 * The samples of a pprof → rows of the journal.
 *
 * How it works. A sample's location ids are the bulk of a profile. Nearly all are numbers of one or
 * two bytes of locations that have one or two frames, so ids are read by blocks of them, the frames
 * that stand at an id's place are copied two at a time, and what else an id may be is a branch that
 * is nearly never taken.
 *
 * Stacks are read some at a time and then looked up together (resolve), so that they do not wait
 * for each other's memory. The rows of those stand at the end of the journal until then.
 */
#include "base/hash.h"
#include "base/varint_block.h"
#include "base/xalloc.h"
#include "formats/pprof_reader.h"
#include "formats/protobuf.h"

enum { LOCATION_ID = 1, VALUE, LABEL };

/* --- locations ----------------------------------------------------------------------------------
 */

/* What is read in the fast way: bytes of ids, and frames of one location. More are rare. */
enum { FAST_BYTES_MAX = 1024, FAST_RUN_MAX = 8 };
enum { THREE_BYTES = 1 << 21 }; /* ids that take more begin here */

static COLD int no_location(struct pprof_reader *r, uint64_t id)
{
    return fail(
        r->f, 400, "malformed", NULL,
        "not a valid pprof profile: a sample refers to location %llu, which it does not have",
        (unsigned long long)id);
}

/* Where the frames of the sample begin. */
static inline uint32_t *stack_of(const struct pprof_reader *r)
{
    return r->stack + r->stack_end;
}

/* Appends the frames of one location. What is above the limit is only counted: such a sample will
 * be refused. */
static int add_location(struct pprof_reader *r, uint64_t id)
{
    uint32_t n;
    const uint32_t *frames = pprof_location_frames(r, id, &n);

    if (!frames)
        return no_location(r, id);
    if (r->n_stack + n > r->limits->depth_max) {
        r->lost_frames += n;
        return 0;
    }
    memcpy(stack_of(r) + r->n_stack, frames, n * sizeof *frames);
    r->n_stack += n;
    return 0;
}

static COLD int add_locations_slowly(struct pprof_reader *r, struct bytes packed)
{
    struct cursor c = cursor_of(packed);
    uint64_t id;

    while (c.at < c.end) {
        if (!varint_get(&c, &id))
            return pprof_malformed(r, "a sample");
        if (add_location(r, id))
            return FAILURE;
    }
    return 0;
}

/* An id of up to three bytes, which begins here; of a longer one something too large. */
static inline uint32_t id_at(const uint8_t *at)
{
    uint32_t id = at[0] & 0x7f;

    if (at[0] >= 0x80)
        id |= (uint32_t)(at[1] & 0x7f) << 7;
    if (at[0] >= 0x80 && at[1] >= 0x80)
        id |= (uint32_t)at[2] << 14;
    return id;
}

/*
 * Appends the frames of locations, packed as they stand on the wire; begins anew in the slow way
 * where it meets what it is not made for. What the loop uses stands in locals, which its stores
 * cannot alias.
 */
static inline int add_locations(struct pprof_reader *r, struct bytes packed)
{
    const uint8_t *at = packed.data, *const end = at + packed.len, *const kind = r->place_kind;
    const uint32_t n_places = r->n_places < THREE_BYTES ? (uint32_t)r->n_places : THREE_BYTES;
    const union place *const place = r->place;
    uint32_t *out = stack_of(r) + r->n_stack;
    struct varint_block block;

    if (packed.len > FAST_BYTES_MAX || r->n_stack > r->limits->depth_max ||
        !pb_ends_number(packed) || r->raw.data + r->raw.len - end <= VARINT_BLOCK)
        return add_locations_slowly(r, packed);
    block.goes_on = false;
    for (; at < end; at += VARINT_BLOCK) {
        varint_block_cut(&block, at, (size_t)(end - at));
        for (uint64_t first = block.first; first; first &= first - 1) {
            unsigned i = (unsigned)__builtin_ctzll(first);
            uint32_t id = block.number[i];

            if (block.has_longer && (id = id_at(at + i)) >= n_places)
                return add_locations_slowly(r, packed);
            memcpy(out, &place[id], sizeof *place);
            out += kind[id];
            if (kind[id] > PLACE_FRAMES_MAX) {
                const struct run *run = &place[id].run;

                out -= kind[id]; /* taken for a number of frames, so that those need not wait */
                if (kind[id] == PLACE_NONE || run->n > FAST_RUN_MAX)
                    return add_locations_slowly(r, packed);
                memcpy(out, r->frame + run->begin, run->n * sizeof *out);
                out += run->n;
            }
        }
    }
    r->n_stack = (uint32_t)(out - stack_of(r));
    return 0;
}

/* --- values and labels --------------------------------------------------------------------------
 */

static inline void add_value(struct pprof_reader *r, uint64_t value)
{
    if (r->n_values < r->n_types)
        r->value[r->n_values] = (int64_t)value;
    r->n_values++;
}

/* Long numbers are read eight bytes at a time, which may stand behind the values. */
static inline int add_values(struct pprof_reader *r, struct bytes packed)
{
    const uint8_t *at = packed.data, *const end = at + packed.len;
    const uint8_t *const raw_end = r->raw.data + r->raw.len;
    struct varint v;

    while (at < end) {
        v = (struct varint){at + 1, at[0]};
        if (v.value >= 0x80)
            v = varint_long((struct cursor){at, raw_end});
        if (!v.end || v.end > end)
            return pprof_malformed(r, "a sample");
        add_value(r, v.value);
        at = v.end;
    }
    return 0;
}

/* Repeated numbers that are not packed come one by one. */
static int add_scalar(struct pprof_reader *r, const struct pb_field *f)
{
    if (f->type != PB_VARINT)
        return pprof_malformed(r, "a sample");
    if (f->number == LOCATION_ID)
        return add_location(r, f->value);
    add_value(r, f->value);
    return 0;
}

static enum label_kind label_kind(struct pprof_reader *r, uint64_t key)
{
    if (key >= r->message[PPROF_STRING].n)
        return LABEL_IDENTITY;
    if (r->label_kind[key] == KIND_UNKNOWN)
        r->label_kind[key] = (uint8_t)label_kind_of(pprof_message(r, PPROF_STRING, (uint32_t)key));
    return (enum label_kind)r->label_kind[key];
}

struct wire_label {
    uint64_t key, str, num, num_unit;
};

/* The short way (protobuf.h); false: it is spelled otherwise. */
static inline bool take_label(struct bytes message, struct wire_label *l)
{
    struct cursor c = cursor_of(message);

    if (!pb_ends_number(message))
        return false;
    l->key = pb_take(&c, 1);
    l->str = pb_take(&c, 2);
    l->num = pb_take(&c, 3);
    l->num_unit = pb_take(&c, 4);
    return c.at == c.end;
}

static COLD bool read_odd_label(struct bytes message, struct wire_label *ret)
{
    uint64_t l[5];

    if (!PB_NUMBERS(message, l))
        return false;
    *ret = (struct wire_label){l[1], l[2], l[3], l[4]};
    return true;
}

/* An id as text, or as the bits of a number. False: it is none. */
static bool span_id(struct pprof_reader *r, enum label_kind kind, const struct wire_label *l)
{
    struct bytes text = l->str < r->message[PPROF_STRING].n
                            ? pprof_message(r, PPROF_STRING, (uint32_t)l->str)
                            : BYTES_LIT("");
    struct span *span = &r->span;
    uint64_t *id = kind == LABEL_SPAN ? &span->id : &span->root;

    if (!r->has_span)
        *span = (struct span){0};
    r->has_span = true;
    if (kind == LABEL_TRACE) {
        span->trace_lo = l->num;
        return l->str == 0 || trace_id_parse(text, &span->trace_hi, &span->trace_lo) == 0;
    }
    *id = l->num;
    return l->str == 0 || span_id_parse(text, id) == 0;
}

/* Whether a label is the sample's identity; if not, it went to the span or is set aside. */
static bool is_identity(struct pprof_reader *r, enum label_kind kind, const struct wire_label *l)
{
    bool is_id = kind >= LABEL_SPAN && kind <= LABEL_TRACE;

    if (l->str && (kind == LABEL_IDENTITY || kind == LABEL_ENDPOINT))
        return true;
    if (!(l->str || l->num || l->num_unit) ||
        (is_id && r->flags & PPROF_SPANS && span_id(r, kind, l)))
        return false;
    r->stats.labels_set_aside++;
    r->set_aside = true;
    return false;
}

static void add_identity(struct pprof_reader *r, enum label_kind kind, const struct wire_label *l)
{
    struct label label = {0};

    if (r->n_labels >= r->limits->labels_max) {
        r->n_labels++; /* counted only; refused at the end of the sample */
        return;
    }
    label.key = kind == LABEL_ENDPOINT ? symbols_string(r->into->symbols, BYTES_LIT("endpoint"))
                                       : pprof_string(r, l->key);
    label.str = pprof_string(r, l->str);
    if (l->str == 0) {
        label.num = (int64_t)l->num;
        label.unit = pprof_string(r, l->num_unit);
    }
    if (label.str == 0 && label.num == 0 && label.unit == 0)
        return; /* no value at all; google/pprof skips it too */
    XGROW(r->label, r->label_cap, r->n_labels + 1);
    r->label[r->n_labels++] = label;
}

static int add_label(struct pprof_reader *r, struct bytes message)
{
    struct wire_label l;
    enum label_kind kind = LABEL_IDENTITY;

    if (!take_label(message, &l) && !read_odd_label(message, &l))
        return pprof_malformed(r, "a label");
    if (!(r->flags & PPROF_LABELS_ALL)) {
        kind = label_kind(r, l.key);
        if (!is_identity(r, kind, &l))
            return 0;
    }
    add_identity(r, kind, &l);
    return 0;
}

/* --- samples ------------------------------------------------------------------------------------
 */

/* The next field of a sample, however it is spelled. */
static COLD int read_odd_field(struct pprof_reader *r, struct cursor *c)
{
    struct pb_field f;

    if (pb_next(c, &f) != PB_FIELD)
        return pprof_malformed(r, "a sample");
    if (f.number > LABEL)
        return 0;
    if (f.number != LABEL && f.type != PB_LEN)
        return add_scalar(r, &f);
    if (f.type != PB_LEN)
        return pprof_malformed(r, "a sample");
    if (f.number == LABEL)
        return add_label(r, f.data);
    return f.number == LOCATION_ID ? add_locations_slowly(r, f.data) : add_values(r, f.data);
}

/* What stands behind locations and values: labels, and what is spelled in another way. */
static int read_rest(struct pprof_reader *r, struct cursor c, struct row *row)
{
    struct bytes label;

    r->n_labels = 0;
    r->has_span = r->set_aside = false;
    while (c.at < c.end)
        if (pb_take_bytes(&c, LABEL, &label) ? add_label(r, label) : read_odd_field(r, &c))
            return FAILURE;
    if (pprof_check_limit(r, "a sample with too many labels", r->n_labels, r->limits->labels_max,
                          "labels_max"))
        return FAILURE;
    if (r->n_labels)
        row->labels = profile_labels(r->into, r->label, r->n_labels);
    if (r->has_span)
        row->span = profile_span(r->into, &r->span);
    row->fold = r->set_aside;
    return 0;
}

static inline int read_sample(struct pprof_reader *r, struct bytes message, struct row *row)
{
    struct cursor c = cursor_of(message);
    struct bytes part;

    r->n_stack = r->n_values = 0;
    r->lost_frames = 0;
    *row = (struct row){0};
    if (pb_take_bytes(&c, LOCATION_ID, &part) && add_locations(r, part))
        return FAILURE;
    if (pb_take_bytes(&c, VALUE, &part) && add_values(r, part))
        return FAILURE;
    return c.at < c.end ? read_rest(r, c, row) : 0;
}

static inline int check_sample(struct pprof_reader *r)
{
    if (r->n_values != r->n_types)
        return fail(r->f, 400, "malformed", NULL,
                    "not a valid pprof profile: a sample has %u values, but there are %u sample "
                    "types",
                    r->n_values, r->n_types);
    return pprof_check_limit(r, "a stack with too many frames", r->n_stack + r->lost_frames,
                             r->limits->depth_max, "depth_max");
}

static bool all_zero(const int64_t *values, uint32_t n)
{
    int64_t any = 0;

    for (uint32_t i = 0; i < n; i++)
        any |= values[i];
    return any == 0;
}

/* --- the journal --------------------------------------------------------------------------------
 */

static int64_t *values_of(const struct pprof_reader *r, size_t row)
{
    return r->row_values + row * r->n_types;
}

static void add_to(struct pprof_reader *r, uint32_t row, const int64_t *values)
{
    int64_t *sum = values_of(r, row);

    for (uint32_t t = 0; t < r->n_types; t++)
        sum[t] = add_saturating(sum[t], values[t], &r->saturated);
}

static bool is_plain(const struct row *row)
{
    return (row->labels | row->span) == 0;
}

/*
 * fold() for rows with neither labels nor span, which nearly all are. What fold_row says is a
 * guess, and may be of a profile read before: the row decides. So it need not be cleared.
 */
static bool fold_plain(struct pprof_reader *r, const struct row *row, const int64_t *values)
{
    uint32_t guess;

    if (row->stack >= r->fold_row_cap) {
        size_t cap = r->fold_row_cap;

        XGROW(r->fold_row, r->fold_row_cap, stacks_count(r->into->stacks));
        memset(r->fold_row + cap, 0, (r->fold_row_cap - cap) * sizeof *r->fold_row);
    }
    guess = r->fold_row[row->stack];
    if (guess < r->n_rows && r->row[guess].stack == row->stack && is_plain(&r->row[guess])) {
        add_to(r, guess, values);
        return true;
    }
    r->fold_row[row->stack] = r->n_rows;
    return false;
}

/* Adds the row to one before it that was the same but for what was set aside, if there is one. */
static bool fold(struct pprof_reader *r, const struct row *row, const int64_t *values)
{
    uint64_t place;

    if (is_plain(row))
        return fold_plain(r, row, values);
    place = hash_pair(hash_secret(), row->stack, (uint64_t)row->labels << 32 | row->span);
    for (struct probe p = table_probe(&r->folded, place); table_next(&r->folded, &p);) {
        const struct row *other = &r->row[p.id];

        if (other->stack != row->stack || other->labels != row->labels || other->span != row->span)
            continue;
        add_to(r, p.id, values);
        return true;
    }
    table_insert(&r->folded, place, r->n_rows);
    return false;
}

static void move_row(struct pprof_reader *r, uint32_t to, uint32_t from)
{
    r->row[to] = r->row[from];
    memcpy(values_of(r, to), values_of(r, from), r->n_types * sizeof *r->row_values);
}

/* Folds the rows that were not yet gone through. */
static void fold_rows(struct pprof_reader *r)
{
    uint32_t end = r->n_rows;

    r->n_rows = r->n_folded;
    for (uint32_t i = r->n_folded; i < end; i++) {
        if (r->row[i].fold && fold(r, &r->row[i], values_of(r, i)))
            continue;
        if (r->n_rows != i)
            move_row(r, r->n_rows, i);
        r->n_rows++;
    }
    r->n_folded = r->n_rows;
}

/* Most profiles are added to others before there are so many rows, and adding folds, too. */
static int check_rows(struct pprof_reader *r)
{
    const struct profile_limits *max = r->limits;

    if (r->n_rows - r->n_folded > FOLD_ROWS || r->n_rows > max->samples_max ||
        (uint64_t)r->n_rows * r->n_types > max->values_max)
        fold_rows(r);
    if (pprof_check_limit(r, "too many samples", r->n_rows, max->samples_max, "samples_max"))
        return FAILURE;
    return pprof_check_limit(r, "too many values", (uint64_t)r->n_rows * r->n_types,
                             max->values_max, "values_max");
}

/* Looks up the pending stacks, whose rows stand behind the first n_rows. */
static int resolve(struct pprof_reader *r)
{
    struct stacks *stacks = r->into->stacks;
    uint32_t stack[PENDING_MAX];

    stacks_intern_many(stacks, r->stack, r->pending_end, r->n_pending, stack);
    for (uint32_t i = 0; i < r->n_pending; i++)
        r->row[r->n_rows++].stack = stack[i];
    r->n_pending = 0;
    r->stack_end = 0;
    if (check_rows(r))
        return FAILURE;
    return pprof_check_limit(r, "too many different stacks, in nodes",
                             stacks_n_nodes(stacks) - r->nodes_before, r->limits->nodes_max,
                             "stack_nodes_max");
}

/* Room for the rows of as many samples as may be pending, and for the frames of one more: of ids
 * that are read in the fast way, at most FAST_BYTES_MAX stand behind the limit. */
static void make_room(struct pprof_reader *r)
{
    size_t rows = (size_t)r->n_rows + PENDING_MAX;

    XGROW(r->row, r->row_cap, rows);
    XGROW(r->row_values, r->row_values_cap, rows * r->n_types);
    XGROW(r->stack, r->stack_cap,
          (size_t)PENDING_FRAMES + r->limits->depth_max + FAST_BYTES_MAX * FAST_RUN_MAX + 2);
}

static inline int add_sample(struct pprof_reader *r, struct bytes message)
{
    uint32_t row;

    if (r->n_pending == PENDING_MAX || r->stack_end > PENDING_FRAMES) {
        if (resolve(r))
            return FAILURE;
        make_room(r);
    }
    row = r->n_rows + r->n_pending;
    r->value = values_of(r, row);
    if (read_sample(r, message, &r->row[row]) || check_sample(r))
        return FAILURE;
    if (all_zero(r->value, r->n_types)) {
        r->stats.zero_samples++;
        return 0;
    }
    r->stack_end += r->n_stack;
    r->pending_end[r->n_pending++] = (uint32_t)r->stack_end;
    return 0;
}

int pprof_read_samples(struct pprof_reader *r)
{
    r->nodes_before = stacks_n_nodes(r->into->stacks);
    make_room(r);
    for (uint32_t i = 0; i < r->message[PPROF_SAMPLE].n; i++)
        if (add_sample(r, pprof_message(r, PPROF_SAMPLE, i)))
            return FAILURE;
    if (r->message[PPROF_SAMPLE].over) /* so many that some are too short */
        return pprof_malformed(r, "a sample without values");
    return resolve(r);
}
