/*
 * What `perf script` prints.
 *
 *     comm  pid/tid [cpu] time:  period event:
 *             address symbol+offset (dso)
 *             …
 *
 * A head, then a frame a line, leaf first, then an empty line; without call chains the one frame
 * stands behind the head. What perf leaves out at will (-F) may be missing: tid, cpu, time, period.
 * The name of the command may hold spaces and digits, so a head is found by the process number that
 * a [cpu] or a time follows.
 *
 * Each event is a profile of its own. One with periods has two types, samples/count and the event
 * in its unit: cpu-clock and task-clock count nanoseconds and are CPU time, others are counts under
 * their own name (cycles, page-faults). The command is the root frame. A symbol that perf does not
 * know is the frame "[dso]", as stackcollapse-perf has it, since its address means nothing once the
 * process is gone; when perf prints the offset in the dso (-F +dsoff), it is that module's frame.
 * Inlined functions are frames, of the dso they were inlined in. A function's file is its dso until
 * a line of source follows it (-F +srcline).
 */
#include "formats/text_int.h"

#include "base/xalloc.h"

#include <stdlib.h>

enum { EVENTS_MAX = 64, LINE_DIGITS_MAX = 9 };

struct event {
    uint32_t name; /* string id */
    bool has_period, is_clock;
    int64_t period;
};

struct line {
    struct bytes symbol, dso, source;
    int64_t line;
    uint64_t offset; /* in the dso */
    bool inlined, has_offset;
};

/* A sample's head. */
struct head {
    struct bytes comm, event, rest;
    int64_t period;
    bool has_period;
};

struct script {
    struct text_reader *r;
    struct event event[EVENTS_MAX];
    uint32_t n_events;
    bool in_sample;
    struct head head;
    struct line *line;
    size_t n_lines, line_cap;
};

/* ---- words ------------------------------------------------------------------------------------
 */

static struct bytes from(struct bytes s, size_t at)
{
    return bytes_of(s.data + at, s.len - at);
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t';
}

/* Takes the next word off the front; an empty one at the end. */
static struct bytes word(struct bytes *s)
{
    size_t begin = 0, end;

    if (s->len == 0)
        return BYTES_LIT("");
    while (begin < s->len && is_space(s->data[begin]))
        begin++;
    for (end = begin; end < s->len && !is_space(s->data[end]);)
        end++;
    *s = from(*s, begin);
    end -= begin;
    *s = from(*s, end);
    return bytes_of(s->data - end, end);
}

static size_t digits(struct bytes s)
{
    size_t n = 0;

    while (n < s.len && s.data[n] >= '0' && s.data[n] <= '9')
        n++;
    return n;
}

/* "123" or "123/124" */
static bool is_process(struct bytes s)
{
    size_t n = digits(s), m;

    if (n == 0 || n == s.len)
        return n > 0;
    m = digits(from(s, n + 1));
    return s.data[n] == '/' && m > 0 && n + 1 + m == s.len;
}

/* "[003]" */
static bool is_cpu(struct bytes s)
{
    return s.len > 2 && s.data[0] == '[' && s.data[s.len - 1] == ']' &&
           digits(from(s, 1)) == s.len - 2;
}

/* "202513.231785:" */
static bool is_time(struct bytes s)
{
    size_t n = digits(s), m;

    if (n == 0 || n + 3 > s.len || s.data[n] != '.')
        return false;
    m = digits(from(s, n + 1));
    return m > 0 && n + m + 2 == s.len && s.data[s.len - 1] == ':';
}

static bool is_event(struct bytes s)
{
    return s.len > 1 && s.data[s.len - 1] == ':' && digits(s) == 0;
}

/* ---- heads ------------------------------------------------------------------------------------
 */

/* What follows the process: [cpu], time, period and event, each of which may be missing but the
 * event or the time. */
static bool parse_behind_process(struct bytes s, struct head *h)
{
    struct bytes at = s, w = word(&at);
    bool sure = false;

    if (is_cpu(w)) {
        w = word(&at);
        sure = true;
    }
    if (is_time(w)) {
        h->rest = at;
        w = word(&at);
        sure = true;
    }
    h->has_period = w.len > 0 && digits(w) == w.len && text_number(w, 1, &h->period);
    if (h->has_period)
        w = word(&at);
    if (!is_event(w))
        return sure && !h->has_period && w.len == 0;
    h->event = bytes_of(w.data, w.len - 1);
    h->rest = at;
    return true;
}

static bool parse_head(struct bytes line, struct head *h)
{
    struct bytes rest = text_trim(line), comm = rest;

    word(&rest);
    while (rest.len > 0) {
        struct bytes before = bytes_of(comm.data, comm.len - rest.len), w = word(&rest);

        *h = (struct head){.comm = text_trim(before)};
        if (is_process(w) && parse_behind_process(rest, h))
            return h->comm.len > 0;
    }
    return false;
}

bool perf_script_is_header(struct bytes line)
{
    struct head h;

    return parse_head(line, &h);
}

/* "task-clock:ppp" → "task-clock", "cpu_core/cycles/P" → "cycles"; a tracepoint keeps its system.
 */
static struct bytes event_name(struct bytes e)
{
    const uint8_t *colon = e.len ? memrchr(e.data, ':', e.len) : NULL, *slash, *end;
    size_t n = colon ? e.len - (size_t)(colon + 1 - e.data) : 0, i = 0;

    if (e.len == 0)
        return BYTES_LIT("samples");
    while (i < n && memchr("ukhpPGHSDIWeb", colon[1 + i], 13))
        i++;
    if (colon && i == n && colon > e.data)
        e.len = (size_t)(colon - e.data);
    slash = memchr(e.data, '/', e.len);
    end = slash ? memchr(slash + 1, '/', e.len - (size_t)(slash + 1 - e.data)) : NULL;
    if (end && end > slash + 1 && !memchr(slash, '=', (size_t)(end - slash)))
        e = bytes_of(slash + 1, (size_t)(end - slash - 1));
    return e;
}

/* ---- frames -----------------------------------------------------------------------------------
 */

static bool parse_hex(struct bytes s, uint64_t *ret)
{
    enum { HEX_DIGITS_MAX = 16 };
    uint64_t v = 0;

    if (s.len == 0 || s.len > HEX_DIGITS_MAX)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (hex_digit(s.data[i]) < 0)
            return false;
        v = v << 4 | (uint64_t)hex_digit(s.data[i]);
    }
    *ret = v;
    return true;
}

/* Takes "+0x1f" off the end. */
static bool take_offset(struct bytes *s, uint64_t *ret)
{
    const uint8_t *plus = memrchr(s->data, '+', s->len);
    struct bytes tail = plus ? from(*s, (size_t)(plus - s->data)) : BYTES_LIT("");

    if (tail.len < 4 || tail.data[1] != '0' || tail.data[2] != 'x' ||
        !parse_hex(from(tail, 3), ret))
        return false;
    s->len -= tail.len;
    return true;
}

static size_t last_bracket(struct bytes s)
{
    for (size_t i = s.len; i-- > 0;)
        if (s.data[i] == '(' && (i == 0 || s.data[i - 1] == ' '))
            return i;
    return s.len;
}

/* Takes "(dso)" off the end: the last bracket, or the one before it of a file that was deleted. */
static struct bytes take_dso(struct bytes *s)
{
    size_t at = last_bracket(*s);
    struct bytes dso = from(*s, at);

    if (at == s->len || s->data[s->len - 1] != ')')
        return BYTES_LIT("");
    if (bytes_equal(dso, BYTES_LIT("(deleted))"))) {
        at = last_bracket(bytes_of(s->data, at));
        if (at == s->len - dso.len)
            return BYTES_LIT("");
        dso = from(*s, at);
    }
    *s = text_trim(bytes_of(s->data, at));
    return bytes_of(dso.data + 1, dso.len - 2);
}

static bool parse_frame(struct bytes s, struct line *ret)
{
    uint64_t address, offset;

    s = text_trim(s);
    if (!parse_hex(word(&s), &address))
        return false;
    s = text_trim(s);
    *ret = (struct line){.offset = 0};
    ret->dso = take_dso(&s);
    ret->inlined = bytes_equal(ret->dso, BYTES_LIT("inlined"));
    ret->has_offset = take_offset(&ret->dso, &ret->offset);
    ret->symbol = s;
    take_offset(&ret->symbol, &offset);
    return true;
}

/* "file.c:12" */
static bool parse_source(struct bytes s, struct line *into)
{
    const uint8_t *colon;
    struct bytes number;

    s = text_trim(s);
    if (s.len > 0 && memchr("[?", s.data[0], 2))
        return true; /* "??:0", "[vdso][af1]": it does not know */
    colon = memrchr(s.data, ':', s.len);
    if (!colon || colon == s.data)
        return false;
    number = from(s, (size_t)(colon + 1 - s.data));
    if (number.len == 0 || number.len > LINE_DIGITS_MAX || digits(number) != number.len)
        return false;
    into->source = bytes_of(s.data, s.len - number.len - 1);
    return text_number(number, 1, &into->line);
}

static bool is_unknown(struct bytes s)
{
    return s.len == 0 || bytes_equal(s, BYTES_LIT("[unknown]"));
}

static struct bytes base_name(struct bytes path)
{
    const uint8_t *slash = memrchr(path.data, '/', path.len);

    return slash ? from(path, (size_t)(slash + 1 - path.data)) : path;
}

static uint32_t module_frame(struct text_reader *r, const struct line *l)
{
    struct mapping m = {.file = text_string(r, l->dso)};
    struct frame f = {.mapping = symbols_mapping(r->sym, &m), .line_or_address = l->offset};

    return symbols_frame(r->sym, &f);
}

static uint32_t unknown_frame(struct script *s, const struct line *l)
{
    struct text_reader *r = s->r;
    struct bytes base = base_name(l->dso);
    struct buf name = {0};
    uint32_t frame;

    if (is_unknown(l->dso))
        return text_frame(r, BYTES_LIT("[unknown]"), BYTES_LIT(""), 0, 0);
    if (l->has_offset)
        return module_frame(r, l);
    if (l->dso.data[0] == '[')
        return text_frame(r, l->dso, l->dso, 0, 0);
    buf_append_u8(&name, '[');
    buf_append_bytes(&name, base);
    buf_append_u8(&name, ']');
    frame = text_frame(r, buf_bytes(&name), l->dso, 0, 0);
    buf_deinit(&name);
    return frame;
}

static uint32_t frame_of(struct script *s, const struct line *l)
{
    if (is_unknown(l->symbol))
        return unknown_frame(s, l);
    return text_frame(s->r, l->symbol, l->source.len ? l->source : l->dso, 0, l->line);
}

/* ---- samples ----------------------------------------------------------------------------------
 */

static int find_event(struct script *s, uint32_t *ret)
{
    struct bytes name = event_name(s->head.event);
    uint32_t id = text_string(s->r, name), i = 0;
    struct event *e;

    while (i < s->n_events && s->event[i].name != id)
        i++;
    if (i == EVENTS_MAX)
        return text_limit(s->r, "events", EVENTS_MAX, "fixed");
    e = &s->event[i];
    if (i == s->n_events) {
        s->n_events++;
        *e = (struct event){.name = id,
                            .is_clock = bytes_equal(name, BYTES_LIT("cpu-clock")) ||
                                        bytes_equal(name, BYTES_LIT("task-clock"))};
    }
    e->has_period |= s->head.has_period;
    if (e->period == 0)
        e->period = s->head.period;
    *ret = i;
    return 0;
}

/* From the root to the leaf: the command, then the lines from the last to the first. */
static int push_frames(struct script *s)
{
    struct bytes dso = BYTES_LIT("");

    if (text_push(s->r, text_frame(s->r, s->head.comm, BYTES_LIT(""), 0, 0)))
        return FAILURE;
    for (size_t i = s->n_lines; i-- > 0;) {
        struct line *l = &s->line[i];

        if (l->inlined)
            l->dso = dso;
        dso = l->dso;
        if (text_push(s->r, frame_of(s, l)))
            return FAILURE;
    }
    return 0;
}

static int end_sample(struct script *s)
{
    int64_t values[TEXT_VALUES] = {1, s->head.period};
    uint32_t event = 0, stack = 0;

    if (!s->in_sample)
        return 0;
    s->in_sample = false;
    if (find_event(s, &event) || push_frames(s) || text_stack(s->r, true, &stack))
        return FAILURE;
    return text_keep(s->r, event, stack, values);
}

static int add_frame(struct script *s, struct bytes text)
{
    struct line line;

    if (!parse_frame(text, &line)) {
        if (s->n_lines == 0 || !parse_source(text, &s->line[s->n_lines - 1]))
            s->r->rd->stats->events_skipped++;
        return 0;
    }
    if (s->n_lines >= s->r->rd->limits->depth_max)
        return text_limit(s->r, "frames in one stack", s->r->rd->limits->depth_max, "depth_max");
    XGROW(s->line, s->line_cap, s->n_lines + 1);
    s->line[s->n_lines++] = line;
    return 0;
}

static int begin_sample(struct script *s, const struct head *h)
{
    struct line line;

    s->head = *h;
    s->in_sample = true;
    s->n_lines = 0;
    return parse_frame(h->rest, &line) ? add_frame(s, h->rest) : 0;
}

static int read_line(struct script *s, struct bytes line)
{
    struct head head;

    if (text_trim(line).len == 0)
        return end_sample(s);
    if (line.data[0] == '#')
        return 0;
    /* Commands are padded with spaces when there are no call chains; frames begin with a tab. */
    if (s->in_sample && (line.data[0] == '\t' || (line.data[0] == ' ' && !parse_head(line, &head))))
        return add_frame(s, line);
    if (end_sample(s))
        return FAILURE;
    if (parse_head(line, &head))
        return begin_sample(s, &head);
    s->r->rd->stats->events_skipped++;
    return 0;
}

/* ---- emit -------------------------------------------------------------------------------------
 */

static int emit_event(struct script *s, uint32_t event)
{
    const struct event *e = &s->event[event];
    struct text_type counted = {symbols_text(s->r->sym, e->name), BYTES_LIT("count")};
    struct text_type types[] = {{BYTES_LIT("samples"), BYTES_LIT("count")}, counted};

    if (e->is_clock)
        types[1] = (struct text_type){BYTES_LIT("cpu"), BYTES_LIT("nanoseconds")};
    text_set_types(s->r, types, e->has_period ? 2 : 1, types[1], e->period);
    text_add_kept(s->r, event, 1);
    return text_emit(s->r);
}

static int read_script(struct script *s, struct bytes raw)
{
    struct bytes line;

    while (text_line(&raw, &line))
        if (read_line(s, line))
            return FAILURE;
    if (end_sample(s))
        return FAILURE;
    if (s->n_events == 0)
        return text_malformed(s->r, "it has no samples");
    for (uint32_t e = 0; e < s->n_events; e++)
        if (emit_event(s, e))
            return FAILURE;
    return 0;
}

int perf_script_read(struct text_reader *r, struct bytes raw)
{
    struct script *s = xcalloc(1, sizeof *s);
    int e;

    s->r = r;
    e = read_script(s, raw);
    free(s->line);
    free(s);
    return e;
}
