/*
 * The samples of a pprof → rows of the journal.
 *
 * How it works. A sample's location ids are the bulk of a profile. They are numbers of one or two
 * bytes, in no pattern that a processor could guess, so they are not read byte by byte: the high
 * bits of 64 bytes at once, gathered in a word, say where each number ends (ends_of), and taking
 * the next one is the same few instructions for all of up to four bytes.
 *
 * The look-ups wait for each other's memory no more than they must: stacks are read and hashed some
 * at a time, their places in the table of stacks are fetched meanwhile, and then they are looked up
 * (resolve). The rows of those stand at the end of the journal until then.
 */
#include "base/hash.h"
#include "base/xalloc.h"
#include "formats/pprof_reader.h"
#include "formats/protobuf.h"

enum { CHUNK = 64 }; /* bytes of location ids read at a time: as many as a word has bits */

/* --- locations ----------------------------------------------------------------------------------
 */

static int no_location(struct pprof_reader *r, uint64_t id)
{
    return fail(
        r->f, 400, "malformed", NULL,
        "not a valid pprof profile: a sample refers to location %llu, which it does not have",
        (unsigned long long)id);
}

static inline uint64_t load64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof v);
    return v;
}

/* Bit i: byte i is the last of a number. Eight bytes' high bits come together by a multiplication
 * that shifts each to a place of its own in the top byte. */
static inline uint64_t ends_of(const uint8_t *p)
{
    uint64_t ends = 0;

#pragma GCC unroll 8
    for (unsigned i = 0; i < CHUNK; i += 8) {
        uint64_t last = ~load64(p + i) & UINT64_C(0x8080808080808080);

        ends |= (last * UINT64_C(0x0002040810204081) >> 56) << i;
    }
    return ends;
}

static int take_long(struct pprof_reader *r, const uint8_t *at, size_t size, uint64_t *ret)
{
    struct cursor c = cursor_of(bytes_of(at, size));

    return varint_get(&c, ret) ? 0 : pprof_malformed(r, "a sample");
}

/* A number of one or two bytes, of which two are readable, without asking which. */
static inline uint64_t take_short(const uint8_t *at, size_t size)
{
    uint64_t second = 1 - size; /* no bits or all */
    uint16_t v;

    memcpy(&v, at, sizeof v);
    return (v & 0x7f) | (v >> 1 & 0x3f80 & second);
}

/* Where the frames of one sample go. What is above the limit overwrites what is below and is
 * counted as lost: such a sample will be refused. */
struct sink {
    uint32_t *stack;
    size_t n, max, lost;
};

static __attribute__((noinline)) int add_run(struct pprof_reader *r, struct sink *to, uint32_t code,
                                             uint64_t id)
{
    const struct run *run = &r->run[code & ~CODE_RUN];

    if (code == ID_NONE)
        return no_location(r, id);
    if (to->n + run->n > to->max) {
        to->lost += run->n;
        return 0;
    }
    for (uint32_t i = 0; i < run->n; i++)
        to->stack[to->n++] = r->frame[run->begin + i];
    return 0;
}

/* The locations whose numbers end in a chunk of len bytes, of which CHUNK + 8 are readable; where
 * the last of them ends, 0 if none does. What the loop uses stands in locals, which its stores
 * cannot alias. */
static inline int add_chunk(struct pprof_reader *r, struct sink *to, const uint8_t *chunk,
                            size_t len, size_t *ret_used)
{
    uint64_t ends = ends_of(chunk) & (UINT64_MAX >> (CHUNK - len)), id = 0;
    const uint64_t dense_n = r->location_ids.dense_n;
    const uint32_t *dense = r->location_ids.dense;
    uint32_t *out = to->stack + to->n, code;
    size_t begin = 0, end;

    for (; ends; ends &= ends - 1, begin = end) {
        end = (unsigned)__builtin_ctzll(ends) + 1;
        if (end - begin <= 2)
            id = take_short(chunk + begin, end - begin);
        else if (take_long(r, chunk + begin, end - begin, &id))
            return FAILURE;
        code = id < dense_n ? dense[id] : dense_n ? ID_NONE : pprof_sparse_location(r, id);
        if (!(code & CODE_RUN)) {
            *out++ = code;
            continue;
        }
        to->n = (size_t)(out - to->stack);
        if (add_run(r, to, code, id))
            return FAILURE;
        out = to->stack + to->n;
    }
    to->n = (size_t)(out - to->stack);
    *ret_used = begin;
    return 0;
}

/* Appends the frames of locations, packed as they stand on the wire. */
static int add_locations(struct pprof_reader *r, struct bytes packed)
{
    struct sink to = {r->stack + r->stack_end, r->n_stack, r->limits->depth_max, 0};
    const uint8_t *raw_end = r->raw.data + r->raw.len;
    uint8_t copy[CHUNK + 8];
    size_t used;

    while (packed.len > 0) {
        size_t len = packed.len < CHUNK ? packed.len : CHUNK;
        const uint8_t *chunk = packed.data;

        if (raw_end - chunk < (ptrdiff_t)sizeof copy)
            chunk = memcpy(memset(copy, 0, sizeof copy), chunk, len);
        if (to.n > to.max) {
            to.lost += to.n;
            to.n = 0;
        }
        if (add_chunk(r, &to, chunk, len, &used))
            return FAILURE;
        if (used == 0)
            return pprof_malformed(r, "a sample");
        packed = bytes_of(packed.data + used, packed.len - used);
    }
    r->n_stack = (uint32_t)to.n;
    r->lost_frames += to.lost;
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

static int add_values(struct pprof_reader *r, struct bytes packed)
{
    struct cursor c = cursor_of(packed);
    uint64_t v;

    while (c.at < c.end) {
        if (!pb_varint(&c, &v))
            return pprof_malformed(r, "a sample");
        add_value(r, v);
    }
    return 0;
}

/* Repeated numbers that are not packed come one by one. */
static int add_scalar(struct pprof_reader *r, const struct pb_field *f)
{
    uint8_t packed[CHUNK + 8] = {0}; /* as much as add_chunk() reads, wherever it stands */

    if (f->type != PB_VARINT)
        return pprof_malformed(r, "a sample");
    if (f->number == 1)
        return add_locations(r, bytes_of(packed, (size_t)(varint_put(packed, f->value) - packed)));
    add_value(r, f->value);
    return 0;
}

static enum label_kind label_kind(struct pprof_reader *r, uint64_t key)
{
    if (key >= r->n_strings)
        return LABEL_IDENTITY;
    if (r->label_kind[key] == KIND_UNKNOWN)
        r->label_kind[key] = (uint8_t)label_kind_of(r->string[key]);
    return (enum label_kind)r->label_kind[key];
}

/* An id as text, or as the bits of a number. False: it is none. */
static bool span_id(struct pprof_reader *r, enum label_kind kind, const uint64_t *l)
{
    struct bytes text = l[2] < r->n_strings ? r->string[l[2]] : BYTES_LIT("");
    struct span *span = &r->span;
    uint64_t *id = kind == LABEL_SPAN ? &span->id : &span->root;

    if (kind == LABEL_TRACE) {
        span->trace_lo = l[3];
        return l[2] == 0 || trace_id_parse(text, &span->trace_hi, &span->trace_lo) == 0;
    }
    *id = l[3];
    return l[2] == 0 || span_id_parse(text, id) == 0;
}

/* Whether a label is the sample's identity; if not, it went to the span or is set aside. */
static bool is_identity(struct pprof_reader *r, enum label_kind kind, const uint64_t *l)
{
    bool is_id = kind >= LABEL_SPAN && kind <= LABEL_TRACE;

    if (l[2] && (kind == LABEL_IDENTITY || kind == LABEL_ENDPOINT))
        return true;
    if (!(l[2] || l[3] || l[4]) || (is_id && r->flags & PPROF_SPANS && span_id(r, kind, l)))
        return false;
    r->stats.labels_set_aside++;
    r->set_aside = true;
    return false;
}

static int add_label(struct pprof_reader *r, struct bytes message)
{
    uint64_t l[5]; /* key, str, num, num_unit */
    enum label_kind kind = LABEL_IDENTITY;
    struct label label = {0};

    if (!PB_NUMBERS(message, l))
        return pprof_malformed(r, "a label");
    if (!(r->flags & PPROF_LABELS_ALL)) {
        kind = label_kind(r, l[1]);
        if (!is_identity(r, kind, l))
            return 0;
    }
    if (r->n_labels >= r->limits->labels_max) {
        r->n_labels++; /* counted only; refused at the end of the sample */
        return 0;
    }
    label.key = kind == LABEL_ENDPOINT ? symbols_string(r->into->symbols, BYTES_LIT("endpoint"))
                                       : pprof_string(r, l[1]);
    label.str = pprof_string(r, l[2]);
    if (l[2] == 0) {
        label.num = (int64_t)l[3];
        label.unit = pprof_string(r, l[4]);
    }
    if (label.str == 0 && label.num == 0 && label.unit == 0)
        return 0; /* no value at all; google/pprof skips it too */
    XGROW(r->label, r->label_cap, r->n_labels + 1);
    r->label[r->n_labels++] = label;
    return 0;
}

/* --- samples ------------------------------------------------------------------------------------
 */

static int read_sample(struct pprof_reader *r, struct bytes message)
{
    struct cursor c = cursor_of(message);
    enum pb_step step;
    struct pb_field f;
    int e = 0;

    r->n_stack = r->n_values = 0;
    r->lost_frames = 0;
    r->n_labels = 0;
    r->span = (struct span){0};
    r->set_aside = false;
    while ((step = pb_next(&c, &f)) == PB_FIELD) {
        if (f.number <= 2 && f.type != PB_LEN)
            e = add_scalar(r, &f);
        else if (f.number == 1)
            e = add_locations(r, f.data);
        else if (f.number == 2)
            e = add_values(r, f.data);
        else if (f.number == 3)
            e = f.type == PB_LEN ? add_label(r, f.data) : pprof_malformed(r, "a sample");
        if (e)
            return e;
    }
    return step == PB_END ? 0 : pprof_malformed(r, "a sample");
}

static int check_sample(struct pprof_reader *r)
{
    if (r->n_values != r->n_types)
        return fail(r->f, 400, "malformed", NULL,
                    "not a valid pprof profile: a sample has %u values, but there are %u sample "
                    "types",
                    r->n_values, r->n_types);
    if (pprof_check_limit(r, "a stack with too many frames", r->n_stack + r->lost_frames,
                          r->limits->depth_max, "depth_max") ||
        pprof_check_limit(r, "a sample with too many labels", r->n_labels, r->limits->labels_max,
                          "labels_max"))
        return FAILURE;
    return 0;
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

/* Adds the row to one before it that was the same but for what was set aside, if there is one. */
static bool fold(struct pprof_reader *r, const struct row *row, const int64_t *values)
{
    uint64_t place = hash_pair(hash_secret(), row->stack, (uint64_t)row->labels << 32 | row->span);

    for (struct probe p = table_probe(&r->folded, place); table_next(&r->folded, &p);) {
        const struct row *other = &r->row[p.id];
        int64_t *sum = values_of(r, p.id);

        if (other->stack != row->stack || other->labels != row->labels || other->span != row->span)
            continue;
        for (uint32_t t = 0; t < r->n_types; t++)
            sum[t] = add_saturating(sum[t], values[t], &r->saturated);
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

/* Looks up the pending stacks, whose rows stand behind the first n_rows; some of them go into rows
 * that are there. */
static int resolve(struct pprof_reader *r)
{
    struct stacks *stacks = r->into->stacks;
    uint32_t first = r->n_rows;

    for (uint32_t i = 0; i < r->n_pending; i++) {
        const struct pending *p = &r->pending[i];
        struct row *row = &r->row[first + i];

        row->stack = stacks_intern_hashed(stacks, r->stack + p->begin, p->n, p->hash);
        if (row->fold && fold(r, row, values_of(r, first + i)))
            continue;
        if (r->n_rows != first + i)
            move_row(r, r->n_rows, first + i);
        r->n_rows++;
    }
    r->n_pending = 0;
    r->stack_end = 0;
    if (pprof_check_limit(r, "too many samples", r->n_rows, r->limits->samples_max,
                          "samples_max") ||
        pprof_check_limit(r, "too many values", (uint64_t)r->n_rows * r->n_types,
                          r->limits->values_max, "values_max"))
        return FAILURE;
    return pprof_check_limit(r, "too many different stacks, in nodes",
                             stacks_n_nodes(stacks) - r->nodes_before, r->limits->nodes_max,
                             "stack_nodes_max");
}

/* Room for the rows of as many samples as may be pending, and for the frames of one more. */
static void make_room(struct pprof_reader *r)
{
    size_t rows = (size_t)r->n_rows + PENDING_MAX;

    XGROW(r->row, r->row_cap, rows);
    XGROW(r->row_values, r->row_values_cap, rows * r->n_types);
    XGROW(r->stack, r->stack_cap, (size_t)PENDING_FRAMES + r->limits->depth_max + CHUNK);
}

static void append_pending(struct pprof_reader *r)
{
    struct pending *p = &r->pending[r->n_pending];
    struct row *row = &r->row[r->n_rows + r->n_pending++];

    p->begin = (uint32_t)r->stack_end;
    p->n = r->n_stack;
    p->hash = stacks_hash(r->into->stacks, r->stack + p->begin, p->n);
    stacks_prefetch(r->into->stacks, p->hash);
    row->labels = profile_labels(r->into, r->label, r->n_labels);
    row->span = profile_span(r->into, &r->span);
    row->fold = r->set_aside;
    r->stack_end += p->n;
}

static int add_sample(struct pprof_reader *r, struct bytes message)
{
    if (r->n_pending == PENDING_MAX || r->stack_end > PENDING_FRAMES) {
        if (resolve(r))
            return FAILURE;
        make_room(r);
    }
    r->value = values_of(r, (size_t)r->n_rows + r->n_pending);
    if (read_sample(r, message) || check_sample(r))
        return FAILURE;
    if (all_zero(r->value, r->n_types))
        r->stats.zero_samples++;
    else
        append_pending(r);
    return 0;
}

static int read_stretch(struct pprof_reader *r, struct bytes stretch)
{
    struct cursor c = cursor_of(stretch);
    struct pb_field f;

    while (pb_next(&c, &f) == PB_FIELD)
        if (f.number == 2 && add_sample(r, f.data))
            return FAILURE;
    return 0;
}

int pprof_read_samples(struct pprof_reader *r)
{
    r->nodes_before = stacks_n_nodes(r->into->stacks);
    make_room(r);
    for (uint32_t i = 0; i < r->n_samples; i++)
        if (read_stretch(r, r->samples[i]))
            return FAILURE;
    return resolve(r);
}
