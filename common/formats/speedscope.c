/*
 * speedscope's JSON (https://www.speedscope.app/file-format-schema.json).
 *
 * How it works. Two walks over the text, for programs write `shared.frames` before or after the
 * profiles: the first interns the frames, the second reads the profiles. Of a sampled profile the
 * stacks and the weights are gathered, for either list may come first, and paired at its end. An
 * evented profile is followed event by event: the time since the one before belongs to the stack
 * that was open.
 *
 * The profiles of a file are mostly threads: those of one unit become one profile. Times become
 * nanoseconds; of what, wall or CPU, the file does not say: wall, as Pyroscope has it, unless the
 * request says cpu. Weights without a unit are counts.
 *
 * Refused: a frame closed that is not the one opened last, one left open, time that runs back, a
 * sample of a frame that does not exist, samples and weights that do not match.
 */
#include "formats/json_walk.h"
#include "formats/text_int.h"

#include "base/xalloc.h"

#include <stdlib.h>

enum { JSON_DEPTH_MAX = 64 };

/* clang-format off */
enum {
    TOP = JSON_TOP,
    SHARED, FRAMES, FRAME, FRAME_NAME, FRAME_FILE, FRAME_LINE,
    PROFILES, PROFILE, UNIT,
    SAMPLES, SAMPLE, SAMPLE_FRAME, WEIGHTS, WEIGHT,
    EVENTS, EVENT, EVENT_TYPE, EVENT_AT, EVENT_FRAME,
};

static const struct json_rule rules_of_frames[] = {
    {TOP, "shared", SHARED},      {SHARED, "frames", FRAMES},   {FRAMES, "[]", FRAME},
    {FRAME, "name", FRAME_NAME},  {FRAME, "file", FRAME_FILE},  {FRAME, "line", FRAME_LINE},
    {0, NULL, 0},
};

static const struct json_rule rules_of_profiles[] = {
    {TOP, "profiles", PROFILES},  {PROFILES, "[]", PROFILE},    {PROFILE, "unit", UNIT},
    {PROFILE, "samples", SAMPLES}, {SAMPLES, "[]", SAMPLE},     {SAMPLE, "[]", SAMPLE_FRAME},
    {PROFILE, "weights", WEIGHTS}, {WEIGHTS, "[]", WEIGHT},     {PROFILE, "events", EVENTS},
    {EVENTS, "[]", EVENT},        {EVENT, "type", EVENT_TYPE},  {EVENT, "at", EVENT_AT},
    {EVENT, "frame", EVENT_FRAME}, {0, NULL, 0},
};
/* clang-format on */

enum group { TIME, BYTES, COUNT, N_GROUPS };

struct unit {
    const char *name;
    enum group group;
    double scale; /* to the group's unit */
};

static const struct unit units[] = {
    {"none", COUNT, 1},          {"nanoseconds", TIME, 1}, {"microseconds", TIME, 1e3},
    {"milliseconds", TIME, 1e6}, {"seconds", TIME, 1e9},   {"bytes", BYTES, 1},
};

/* A stack and what it weighs, before the profile's unit is known. */
struct weight {
    uint32_t stack;
    double value;
};

struct event {
    char type;
    double at;
    int64_t frame;
};

/* A frame that was opened: its index, and its place in the stacks. */
struct open {
    uint32_t index, node;
};

struct speedscope {
    struct text_reader *r;
    struct buf name, file; /* of the frame being read */
    int64_t line;
    uint32_t *frame; /* [index] */
    size_t n_frames, frame_cap;

    const struct unit *unit; /* of the profile being read, and what it has */
    uint32_t *sample;
    size_t n_samples, sample_cap;
    double *weight;
    size_t n_weights, weight_cap;
    struct weight *row;
    size_t n_rows, row_cap;

    struct event event;
    bool in_events;
    double last_at;
    struct open *open; /* outermost first */
    size_t n_open, open_cap;
};

static void set_text(struct buf *b, struct bytes s)
{
    buf_reset(b);
    buf_append_bytes(b, s);
}

/* ---- first walk: frames -----------------------------------------------------------------------
 */

static int add_frame(struct speedscope *s)
{
    struct text_reader *r = s->r;

    if (s->n_frames >= r->rd->limits->locations_max)
        return text_limit(r, "frames", r->rd->limits->locations_max, "locations_max");
    XGROW(s->frame, s->frame_cap, s->n_frames + 1);
    s->frame[s->n_frames++] = text_frame(r, buf_bytes(&s->name), buf_bytes(&s->file), 0, s->line);
    return text_check_tables(r);
}

static int on_frame(void *ctx, unsigned state, enum json_event event, struct bytes text)
{
    struct speedscope *s = ctx;

    switch (state) {
    case FRAME:
        if (event == JSON_END)
            return add_frame(s);
        buf_reset(&s->name);
        buf_reset(&s->file);
        s->line = 0;
        return event == JSON_BEGIN ? 0 : text_malformed(s->r, "a frame that is no object");
    case FRAME_NAME:
        set_text(&s->name, event == JSON_STRING ? text : BYTES_LIT(""));
        return 0;
    case FRAME_FILE:
        set_text(&s->file, event == JSON_STRING ? text : BYTES_LIT(""));
        return 0;
    case FRAME_LINE:
        if (event != JSON_NUMBER || !text_number(text, 1, &s->line) || s->line < 0)
            s->line = 0;
        return 0;
    default:
        return 0;
    }
}

/* ---- second walk: profiles --------------------------------------------------------------------
 */

static int push_frame(struct speedscope *s, int64_t index)
{
    if (index < 0 || (uint64_t)index >= s->n_frames)
        return text_malformed(s->r, "a frame that does not exist");
    return text_push(s->r, s->frame[index]);
}

static int add_row(struct speedscope *s, uint32_t stack, double value)
{
    if (s->n_rows >= s->r->rd->limits->samples_max)
        return text_limit(s->r, "samples", s->r->rd->limits->samples_max, "samples_max");
    XGROW(s->row, s->row_cap, s->n_rows + 1);
    s->row[s->n_rows++] = (struct weight){stack, value};
    return 0;
}

static void begin_profile(struct speedscope *s)
{
    s->unit = &units[0];
    s->n_samples = s->n_weights = s->n_rows = s->n_open = 0;
    s->in_events = false;
}

static int set_unit(struct speedscope *s, struct bytes text)
{
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (bytes_equal(text, bytes_str(units[i].name))) {
            s->unit = &units[i];
            return 0;
        }
    }
    return text_malformed(s->r, "a unit that is not none, bytes or one of time");
}

static int on_sample(struct speedscope *s, enum json_event event)
{
    uint32_t stack;

    if (event == JSON_BEGIN)
        return 0;
    if (event != JSON_END)
        return text_malformed(s->r, "a sample that is no list of frames");
    if (text_stack(s->r, true, &stack))
        return FAILURE;
    if (s->n_samples >= s->r->rd->limits->samples_max)
        return text_limit(s->r, "samples", s->r->rd->limits->samples_max, "samples_max");
    XGROW(s->sample, s->sample_cap, s->n_samples + 1);
    s->sample[s->n_samples++] = stack;
    return 0;
}

static bool number_of(struct bytes text, enum json_event event, double *ret)
{
    char copy[64];

    if (event != JSON_NUMBER || text.len >= sizeof copy)
        return false;
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    *ret = strtod(copy, NULL);
    return *ret == *ret && *ret - *ret == 0;
}

static int on_weight(struct speedscope *s, enum json_event event, struct bytes text)
{
    double value;

    if (!number_of(text, event, &value))
        return text_malformed(s->r, "a weight that is no number");
    if (s->n_weights >= s->r->rd->limits->samples_max)
        return text_limit(s->r, "weights", s->r->rd->limits->samples_max, "samples_max");
    XGROW(s->weight, s->weight_cap, s->n_weights + 1);
    s->weight[s->n_weights++] = value;
    return 0;
}

/* What passed since the last event belongs to what is open. */
static int pass_time(struct speedscope *s, double at)
{
    double passed = at - s->last_at;

    if (!s->in_events) {
        s->in_events = true;
        passed = 0;
    }
    s->last_at = at;
    if (passed < 0)
        return text_malformed(s->r, "time runs back between two events");
    if (passed == 0 || s->n_open == 0)
        return 0;
    return add_row(s, stacks_at(s->r->st, s->open[s->n_open - 1].node), passed);
}

static int open_frame(struct speedscope *s, int64_t frame)
{
    uint32_t parent = s->n_open ? s->open[s->n_open - 1].node : 0;

    if (s->n_open >= s->r->rd->limits->depth_max)
        return text_limit(s->r, "frames in one stack", s->r->rd->limits->depth_max, "depth_max");
    XGROW(s->open, s->open_cap, s->n_open + 1);
    s->open[s->n_open++] =
        (struct open){(uint32_t)frame, stacks_child(s->r->st, parent, s->frame[frame])};
    return text_check_tables(s->r);
}

static int end_event(struct speedscope *s)
{
    const struct event *e = &s->event;

    if (e->frame < 0 || (uint64_t)e->frame >= s->n_frames)
        return text_malformed(s->r, "an event of a frame that does not exist");
    if (e->at != e->at)
        return text_malformed(s->r, "an event without its time");
    if (pass_time(s, e->at))
        return FAILURE;
    if (e->type == 'O')
        return open_frame(s, e->frame);
    if (e->type != 'C')
        return text_malformed(s->r, "an event that is neither O nor C");
    if (s->n_open == 0 || s->open[s->n_open - 1].index != (uint32_t)e->frame)
        return text_malformed(s->r, "a frame is closed that is not the one opened last");
    s->n_open--;
    return 0;
}

static int on_event(struct speedscope *s, unsigned state, enum json_event event, struct bytes text)
{
    struct event *e = &s->event;

    switch (state) {
    case EVENT_TYPE:
        e->type = (char)(event == JSON_STRING && text.len == 1 ? text.data[0] : '\0');
        return 0;
    case EVENT_AT:
        return number_of(text, event, &e->at)
                   ? 0
                   : text_malformed(s->r, "an event's time that is no number");
    case EVENT_FRAME:
        return event == JSON_NUMBER && text_number(text, 1, &e->frame)
                   ? 0
                   : text_malformed(s->r, "an event's frame that is no number");
    default:
        *e = event == JSON_BEGIN ? (struct event){.at = strtod("nan", NULL), .frame = -1} : *e;
        return event == JSON_END ? end_event(s) : 0;
    }
}

static int end_profile(struct speedscope *s)
{
    bool weighed = s->n_weights > 0;

    if (s->n_open > 0)
        return text_malformed(s->r, "a frame is left open");
    if (weighed && s->n_weights != s->n_samples)
        return text_malformed(s->r, "it has not as many weights as samples");
    for (size_t i = 0; i < s->n_samples; i++)
        if (add_row(s, s->sample[i], weighed ? s->weight[i] : 1))
            return FAILURE;
    for (size_t i = 0; i < s->n_rows; i++) {
        int64_t values[TEXT_VALUES] = {text_round(s->row[i].value * s->unit->scale)};

        if (text_keep(s->r, s->unit->group, s->row[i].stack, values))
            return FAILURE;
    }
    return 0;
}

static int on_profile(void *ctx, unsigned state, enum json_event event, struct bytes text)
{
    struct speedscope *s = ctx;
    int64_t index;

    switch (state) {
    case PROFILE:
        if (event == JSON_BEGIN)
            begin_profile(s);
        return event == JSON_END ? end_profile(s) : 0;
    case UNIT:
        return set_unit(s, text);
    case SAMPLE:
        return on_sample(s, event);
    case SAMPLE_FRAME:
        if (event != JSON_NUMBER || !text_number(text, 1, &index))
            return text_malformed(s->r, "a frame's index that is no number");
        return push_frame(s, index);
    case WEIGHT:
        return on_weight(s, event, text);
    case EVENT:
    case EVENT_TYPE:
    case EVENT_AT:
    case EVENT_FRAME:
        return on_event(s, state, event, text);
    default:
        return 0;
    }
}

/* ---- emit -------------------------------------------------------------------------------------
 */

static void set_time_type(struct text_reader *r)
{
    struct bytes asked = r->rd->hints.sample_type;
    bool cpu = bytes_equal(asked, BYTES_LIT("cpu"));
    struct text_type type = {cpu ? BYTES_LIT("cpu") : BYTES_LIT("wall"), BYTES_LIT("nanoseconds")};

    text_set_types(r, &type, 1, type, 1);
}

/* Declares the type of a group; returns what a weight of 1 is worth. */
static int64_t set_type(struct text_reader *r, enum group group)
{
    struct text_type space = {BYTES_LIT("space"), BYTES_LIT("bytes")};

    if (group == COUNT)
        return text_set_counted_type(r);
    if (group == TIME)
        set_time_type(r);
    else
        text_set_types(r, &space, 1, (struct text_type){0}, 0);
    return 1;
}

static bool has_group(const struct text_reader *r, enum group group)
{
    for (size_t i = 0; i < r->n_rows; i++)
        if (r->row[i].group == group)
            return true;
    return false;
}

static int emit_group(struct text_reader *r, enum group group)
{
    if (!has_group(r, group))
        return 0;
    text_add_kept(r, group, set_type(r, group));
    return text_emit(r);
}

static int read_all(struct speedscope *s, struct bytes raw)
{
    struct json_walk walk = {.rules = rules_of_frames,
                             .depth_max = JSON_DEPTH_MAX,
                             .cb = on_frame,
                             .ctx = s,
                             .f = s->r->rd->f};

    if (json_walk(&walk, raw, "speedscope file"))
        return FAILURE;
    walk.rules = rules_of_profiles;
    walk.cb = on_profile;
    if (json_walk(&walk, raw, "speedscope file"))
        return FAILURE;
    for (enum group g = 0; g < N_GROUPS; g++)
        if (emit_group(s->r, g))
            return FAILURE;
    return 0;
}

int speedscope_read(struct text_reader *r, struct bytes raw)
{
    struct speedscope s = {.r = r};
    int e;

    begin_profile(&s);
    e = read_all(&s, raw);
    buf_deinit(&s.name);
    buf_deinit(&s.file);
    free(s.frame);
    free(s.sample);
    free(s.weight);
    free(s.row);
    free(s.open);
    return e;
}
