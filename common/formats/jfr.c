/*
 * How it works. A chunk begins with a header of 68 bytes; everything behind it is events, those
 * with the metadata (type 0) and the constant pools (type 1) among them. A chunk is read so:
 *
 *   1. its metadata, to which the stack traces and the events of our table are bound;
 *   2. a walk over all events that takes the checkpoints' pools and notes the events that say how
 *      the others count;
 *   3. those notes, now that every constant can be looked up;
 *   4. a second walk, over the events that count: rows of the journal.
 *
 * Skipped and counted: chunks that are not finished (no metadata or pools yet, or a size beyond the
 * end), and events of our table whose fields do not fit their size. Refused: a recording without a
 * finished chunk, and what is malformed beyond that, for it would count wrongly without a word.
 */
#include "formats/jfr.h"

#include "base/xalloc.h"
#include "formats/inflate.h"
#include "formats/jfr/samples.h"

#include <errno.h>
#include <stdlib.h>

enum {
    HEADER_BYTES = 68,
    LABELS_BYTES_MAX = 8 << 20,
    SCRATCH_BYTES_MAX = 16 << 20, /* kept for the next recording */
};

enum { EVENT_METADATA = 0, EVENT_CHECKPOINT = 1 };

struct header {
    uint64_t size, pools_at, metadata_at;
    int64_t start_ns, duration_ns;
    uint64_t ticks_per_s;
    bool compressed;
};

/* An event that says how others count, to be read when the pools are there. */
struct note {
    const struct jfr_binding *binding;
    struct bytes body;
};

struct jfr_reader {
    struct reading *rd;
    struct jfr_metadata metadata;
    struct jfr_pools pools;
    struct jfr_bindings bindings;
    struct jfr_frames frames;
    struct jfr_settings settings;
    struct jfr_labels labels;
    struct jfr_samples samples;
    struct jfr_journal journal;
    struct inflater *inflater;
    struct buf labels_raw, text, symbol_text;
    struct note *note;
    size_t n_notes, note_cap;
};

struct jfr_reader *jfr_reader_new(void)
{
    struct jfr_reader *r = xcalloc(1, sizeof *r);

    jfr_metadata_init(&r->metadata);
    return r;
}

static void deinit(struct jfr_reader *r)
{
    jfr_metadata_deinit(&r->metadata);
    jfr_pools_deinit(&r->pools);
    jfr_bindings_deinit(&r->bindings);
    jfr_frames_deinit(&r->frames);
    jfr_labels_deinit(&r->labels);
    jfr_samples_deinit(&r->samples);
    jfr_journal_deinit(&r->journal);
    inflater_free(r->inflater);
    buf_deinit(&r->labels_raw);
    buf_deinit(&r->text);
    buf_deinit(&r->symbol_text);
    free(r->note);
}

void jfr_reader_free(struct jfr_reader *r)
{
    if (!r)
        return;
    deinit(r);
    free(r);
}

/* One huge recording does not hold its memory for ever. */
static void settle(struct jfr_reader *r)
{
    size_t n = jfr_metadata_bytes(&r->metadata) + jfr_pools_bytes(&r->pools) +
               jfr_frames_bytes(&r->frames) + jfr_labels_bytes(&r->labels) +
               jfr_journal_bytes(&r->journal) + r->labels_raw.cap + r->note_cap * sizeof *r->note;

    if (n <= SCRATCH_BYTES_MAX)
        return;
    deinit(r);
    *r = (struct jfr_reader){0};
    jfr_metadata_init(&r->metadata);
}

bool is_jfr(struct bytes raw)
{
    return bytes_starts(raw, BYTES_LIT("FLR\0"));
}

static int malformed(struct jfr_reader *r, const char *what)
{
    return fail(r->rd->f, 400, "malformed", NULL, "not a valid JFR recording: %s", what);
}

/* What a module of jfr/ said, of the whole chunk. */
static int failed(struct jfr_reader *r, int e, const char *what)
{
    if (e == -E2BIG)
        return fail(r->rd->f, 400, "limit_exceeded",
                    "the limits are strings_max, functions_max and samples_max",
                    "the recording has too many entries in %s", what);
    return malformed(r, what);
}

/* --- chunks --------------------------------------------------------------------------------------
 */

static uint64_t number_at(const uint8_t *at, unsigned width)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < width; i++)
        v = v << 8 | at[i];
    return v;
}

static void read_header(struct header *h, const uint8_t *at)
{
    h->size = number_at(at + 8, 8);
    h->pools_at = number_at(at + 16, 8);
    h->metadata_at = number_at(at + 24, 8);
    h->start_ns = (int64_t)number_at(at + 32, 8);
    h->duration_ns = (int64_t)number_at(at + 40, 8);
    h->ticks_per_s = number_at(at + 56, 8);
    h->compressed = at[67] & 1;
    if (h->ticks_per_s == 0)
        h->ticks_per_s = 1000000000;
}

static bool is_finished(const struct header *h, size_t left)
{
    return h->size > HEADER_BYTES && h->size <= left && h->size < UINT32_MAX &&
           h->pools_at >= HEADER_BYTES && h->pools_at < h->size && h->metadata_at >= HEADER_BYTES &&
           h->metadata_at < h->size;
}

static int read_metadata(struct jfr_reader *r, struct bytes chunk, const struct header *h)
{
    struct jfr_cursor c = jfr_cursor_of(chunk, h->compressed);
    struct jfr_event event;
    int e;

    c.at += h->metadata_at;
    if (!jfr_next_event(&c, chunk.data, &event) || event.type != EVENT_METADATA)
        return malformed(r, "its metadata");
    e = jfr_metadata_read(&r->metadata, event.body, h->compressed, r->rd->limits->strings_max);
    return e ? failed(r, e, "its metadata") : 0;
}

static int take_note(struct jfr_reader *r, const struct jfr_binding *b, struct bytes body)
{
    if (r->n_notes >= r->rd->limits->samples_max)
        return jfr_above_limit(r->rd, "too many settings", r->n_notes + 1,
                               r->rd->limits->samples_max, "samples_max");
    if (r->n_notes == r->note_cap)
        XGROW(r->note, r->note_cap, r->n_notes + 1);
    r->note[r->n_notes++] = (struct note){b, body};
    return 0;
}

/* Checkpoints and notes. */
static int first_walk(struct jfr_reader *r, struct bytes chunk)
{
    struct jfr_cursor c = jfr_cursor_of(chunk, r->metadata.compressed);
    struct jfr_event event;
    int e = 0;

    r->n_notes = 0;
    c.at += HEADER_BYTES;
    while (e == 0 && jfr_left(&c)) {
        const struct jfr_binding *b;

        if (!jfr_next_event(&c, chunk.data, &event))
            return malformed(r, "an event passes its end");
        if (event.type == EVENT_CHECKPOINT) {
            e = jfr_pools_take(&r->pools, event.body);
            e = e ? failed(r, e, "its constant pools") : 0;
            continue;
        }
        b = jfr_binding_of(&r->bindings, &r->metadata, event.type);
        if (b && b->type->rule >= JFR_RULE_SETTING)
            e = take_note(r, b, event.body);
    }
    return e;
}

static void take_endpoint(struct jfr_reader *r, const struct jfr_value *slots)
{
    struct bytes text = jfr_value_text(&r->pools, &slots[JFR_SLOT_ENDPOINT], &r->text);

    if (text.len && slots[JFR_SLOT_ROOT].number)
        jfr_journal_endpoint(&r->journal, slots[JFR_SLOT_ROOT].number,
                             jfr_symbol(r->rd, text, &r->symbol_text));
}

static bool pick(struct jfr_reader *r, const struct jfr_binding *b, struct bytes body,
                 struct jfr_value *slots)
{
    struct jfr_cursor c = jfr_cursor_of(body, r->metadata.compressed);

    memset(slots, 0, JFR_SLOTS * sizeof *slots);
    if (jfr_pick(&r->metadata, &c, &b->program, slots))
        return true;
    r->rd->stats->events_skipped++;
    return false;
}

static void read_notes(struct jfr_reader *r)
{
    struct jfr_value slots[JFR_SLOTS];

    jfr_settings_begin(&r->settings);
    for (size_t i = 0; i < r->n_notes; i++) {
        const struct jfr_binding *b = r->note[i].binding;

        if (!pick(r, b, r->note[i].body, slots))
            continue;
        if (b->type->rule == JFR_RULE_ENDPOINT)
            take_endpoint(r, slots);
        else
            jfr_settings_take(&r->settings, &r->pools, b, slots);
    }
    jfr_settings_end(&r->settings);
}

/* What counts. */
static int second_walk(struct jfr_reader *r, struct bytes chunk)
{
    struct jfr_cursor c = jfr_cursor_of(chunk, r->metadata.compressed);
    struct jfr_value slots[JFR_SLOTS];
    struct jfr_event event;

    c.at += HEADER_BYTES;
    while (jfr_left(&c) && jfr_next_event(&c, chunk.data, &event)) {
        const struct jfr_binding *b = jfr_binding_of(&r->bindings, &r->metadata, event.type);

        if (b && b->type->rule < JFR_RULE_SETTING && pick(r, b, event.body, slots) &&
            jfr_samples_add(&r->samples, b, slots))
            return FAILURE;
    }
    return 0;
}

static int read_chunk(struct jfr_reader *r, struct bytes chunk, const struct header *h)
{
    if (read_metadata(r, chunk, h))
        return FAILURE;
    jfr_pools_begin(&r->pools, &r->metadata, chunk, r->rd->limits->strings_max);
    jfr_frames_bind(&r->frames, &r->pools);
    jfr_bindings_make(&r->bindings, &r->pools);
    if (first_walk(r, chunk))
        return FAILURE;
    jfr_pools_build(&r->pools);
    jfr_frames_ready(&r->frames);
    read_notes(r);
    jfr_journal_time(&r->journal, h->start_ns, h->duration_ns);
    jfr_samples_begin_chunk(&r->samples, &r->pools, &r->settings, h->ticks_per_s);
    return second_walk(r, chunk);
}

/* --- the recording -------------------------------------------------------------------------------
 */

static int read_labels(struct jfr_reader *r)
{
    struct bytes raw = r->rd->hints.jfr_labels;

    if (raw.len && !r->inflater)
        r->inflater = inflater_new();
    if (raw.len && inflate(r->inflater, raw, LABELS_BYTES_MAX, &r->labels_raw, &raw, r->rd->f)) {
        if (r->rd->f->status == 413)
            fail(r->rd->f, 413, "inflated_too_large", NULL,
                 "the recording's labels have more than %d bytes when inflated", LABELS_BYTES_MAX);
        return FAILURE;
    }
    return jfr_labels_read(&r->labels, raw, r->rd);
}

static void begin(struct jfr_reader *r, struct reading *rd)
{
    r->rd = rd;
    jfr_journal_begin(&r->journal, rd);
    jfr_frames_begin(&r->frames, rd);
    r->samples.journal = &r->journal;
    r->samples.frames = &r->frames;
    r->samples.snapshot = &r->labels;
    jfr_samples_begin(&r->samples, rd);
}

static int read_chunks(struct jfr_reader *r, struct bytes raw)
{
    uint32_t n_read = 0;

    while (raw.len) {
        struct header h;

        if (raw.len < HEADER_BYTES || !is_jfr(raw))
            return malformed(r, n_read ? "bytes behind its last chunk" : "it has no chunk");
        read_header(&h, raw.data);
        if (is_finished(&h, raw.len)) {
            if (read_chunk(r, bytes_of(raw.data, (size_t)h.size), &h))
                return FAILURE;
            n_read++;
        } else {
            r->rd->stats->events_skipped++;
        }
        if (h.size < HEADER_BYTES || h.size >= raw.len)
            break;
        raw = bytes_of(raw.data + h.size, raw.len - (size_t)h.size);
    }
    return n_read ? 0 : malformed(r, "none of its chunks is finished");
}

int jfr_read(struct jfr_reader *r, struct bytes raw, struct reading *rd)
{
    int e;

    begin(r, rd);
    e = read_labels(r) || read_chunks(r, raw) || jfr_journal_emit(&r->journal) ? FAILURE : 0;
    settle(r);
    return e;
}
