/*
 * How it works. Weights are real numbers: an event counts the whole part of its value and of what
 * the ones before it left over, so the total of any number of events is exact to one.
 *
 * Threads are not read: a thread's name is one of many in a pool, or new in each process.
 */
#include "formats/jfr/samples.h"

#include "base/xalloc.h"
#include "formats/jfr/names.h"

#include <stdlib.h>

#define VALUE_MAX 4e18 /* of one event, below INT64_MAX */

void jfr_samples_deinit(struct jfr_samples *s)
{
    buf_deinit(&s->text);
    buf_deinit(&s->name);
    free(s->label);
}

void jfr_samples_begin(struct jfr_samples *s, struct reading *rd)
{
    s->rd = rd;
    s->secret = hash_secret();
    memset(s->carry, 0, sizeof s->carry);
}

void jfr_samples_begin_chunk(struct jfr_samples *s, struct jfr_pools *pools,
                             const struct jfr_settings *settings, uint64_t ticks_per_s)
{
    s->pools = pools;
    s->settings = settings;
    s->ticks_per_s = ticks_per_s;
    memset(s->texts, 0xff, sizeof s->texts);
    memset(s->states, 0, sizeof s->states);
}

/* --- values --------------------------------------------------------------------------------------
 */

static int64_t saturate(uint64_t v)
{
    return v > INT64_MAX ? INT64_MAX : (int64_t)v;
}

static int64_t multiply(int64_t a, int64_t b)
{
    int64_t r;

    return __builtin_mul_overflow(a, b, &r) ? INT64_MAX : r;
}

static int64_t time_ns(const struct jfr_samples *s, const struct jfr_binding *b,
                       const struct jfr_value *slots)
{
    uint64_t v = slots[JFR_SLOT_TIME].number;

    switch (b->unit[JFR_SLOT_TIME]) {
    case JFR_NS:
        return saturate(v);
    case JFR_US:
        return multiply(saturate(v), 1000);
    case JFR_MS:
        return multiply(saturate(v), 1000000);
    case JFR_S:
        return multiply(saturate(v), 1000000000);
    case JFR_NO_UNIT:
    case JFR_TICKS:
        break;
    }
    unsigned __int128 ns = (unsigned __int128)v * 1000000000 / s->ticks_per_s;

    return ns > INT64_MAX ? INT64_MAX : (int64_t)ns;
}

/* The whole part of v and of what is left over; no number, or none that counts, is 0. */
static int64_t whole(double v, double *carry)
{
    int64_t n;

    if (!(v > 0))
        return 0;
    v = (v < VALUE_MAX ? v : VALUE_MAX) + *carry;
    n = (int64_t)v;
    *carry = v - (double)n;
    return n;
}

static int64_t amount_of(const struct jfr_value *slots)
{
    const struct jfr_value *v = &slots[JFR_SLOT_AMOUNT];
    double none = 0;

    if (v->kind == JFR_STRUCT)
        return 1;
    if (v->kind == JFR_FLOAT || v->kind == JFR_DOUBLE)
        return whole(jfr_real(v), &none);
    return saturate(v->number);
}

static void weigh(struct jfr_samples *s, const struct jfr_value *slots, struct jfr_row *row)
{
    double weight = jfr_real(&slots[JFR_SLOT_WEIGHT]);
    double *carry = s->carry[row->source];

    row->value[0] = whole(weight, &carry[0]);
    row->value[1] = whole(weight * (double)amount_of(slots), &carry[1]);
}

static void evaluate(struct jfr_samples *s, const struct jfr_binding *b,
                     const struct jfr_value *slots, struct jfr_row *row)
{
    row->value[0] = row->value[1] = 0;
    switch (b->type->rule) {
    case JFR_RULE_INTERVAL:
        row->value[0] = multiply(amount_of(slots), s->settings->interval[row->source]);
        s->journal->interval[row->source] = s->settings->interval[row->source];
        break;
    case JFR_RULE_TIME:
        row->value[0] = time_ns(s, b, slots);
        break;
    case JFR_RULE_ONE_AMOUNT:
        row->value[1] = amount_of(slots);
        row->value[0] = 1;
        break;
    case JFR_RULE_ONE_TIME:
        row->value[1] = time_ns(s, b, slots);
        row->value[0] = 1;
        break;
    case JFR_RULE_ONE:
        row->value[0] = 1;
        break;
    case JFR_RULE_TIME_AMOUNT:
        row->value[0] = time_ns(s, b, slots);
        row->value[1] = amount_of(slots);
        break;
    case JFR_RULE_WEIGHTED:
        weigh(s, slots, row);
        break;
    case JFR_RULE_SETTING:
    case JFR_RULE_CONFIG:
    case JFR_RULE_ENDPOINT:
        break;
    }
}

/* --- labels and spans ----------------------------------------------------------------------------
 */

static int push_label(struct jfr_samples *s, uint32_t key, uint32_t value)
{
    if (s->n_labels >= s->rd->limits->labels_max)
        return jfr_above_limit(s->rd, "a sample with too many labels", s->n_labels + 1,
                               s->rd->limits->labels_max, "labels_max");
    XGROW(s->label, s->label_cap, s->n_labels + 1);
    s->label[s->n_labels++] = (struct jfr_label){key, value};
    return 0;
}

/* A label by its key's text, which may say that it is none. */
static int take_label(struct jfr_samples *s, struct bytes key, uint32_t value)
{
    struct bytes text = symbols_text(s->rd->into->symbols, value);
    enum label_kind kind;

    if (key.len == 0 || text.len == 0)
        return 0;
    kind = label_kind_of(key);
    if (kind == LABEL_IDENTITY || kind == LABEL_ENDPOINT) {
        if (kind == LABEL_ENDPOINT)
            key = BYTES_LIT("endpoint");
        return push_label(s, jfr_symbol(s->rd, key, &s->text), value);
    }
    if (kind == LABEL_SET_ASIDE)
        s->rd->stats->labels_set_aside++;
    else if (kind == LABEL_SPAN)
        span_id_parse(text, &s->span.id);
    else if (kind == LABEL_ROOT_SPAN)
        span_id_parse(text, &s->span.root);
    else
        trace_id_parse(text, &s->span.trace_hi, &s->span.trace_lo);
    return 0;
}

static uint32_t intern_text(struct jfr_samples *s, const struct jfr_value *v, bool is_type)
{
    struct bytes text = jfr_value_text(s->pools, v, &s->text);

    if (!is_type)
        return jfr_symbol(s->rd, text, &s->name);
    buf_reset(&s->name);
    jfr_type_name(text, &s->name);
    return jfr_symbol(s->rd, buf_bytes(&s->name), &s->text);
}

/* The text of a field as a symbol. The pool's class says whether it is a type's name, so the cache
 * does not mix them. */
static uint32_t text_symbol(struct jfr_samples *s, const struct jfr_value *v, bool is_type)
{
    uint64_t at = hash_pair(s->secret, v->number, v->class) % JFR_TEXT_CACHE;
    uint32_t class = v->class << 1 | is_type;

    if (v->kind != JFR_REF)
        return intern_text(s, v, is_type);
    if (v->number == 0)
        return 0;
    if (s->texts[at].symbol == JFR_NONE || s->texts[at].key != v->number ||
        s->texts[at].class != class) {
        s->texts[at].key = v->number;
        s->texts[at].class = class;
        s->texts[at].symbol = intern_text(s, v, is_type);
    }
    return s->texts[at].symbol;
}

static int take_context(struct jfr_samples *s, uint64_t context)
{
    struct jfr_label_walk walk = {0};
    struct bytes key, value;

    while (context && jfr_labels_next(s->snapshot, context, &walk, &key, &value))
        if (take_label(s, key, jfr_symbol(s->rd, value, &s->text)))
            return FAILURE;
    return 0;
}

/* Pyroscope's agent gives the name's number among the strings of its labels. */
static int take_span_name(struct jfr_samples *s, const struct jfr_value *v)
{
    uint32_t name;

    if (v->kind == JFR_STRUCT)
        return 0;
    if (v->kind == JFR_STRING || v->kind == JFR_REF)
        name = text_symbol(s, v, false);
    else
        name =
            v->number ? jfr_symbol(s->rd, jfr_labels_string(s->snapshot, v->number), &s->text) : 0;
    return name ? take_label(s, BYTES_LIT("span_name"), name) : 0;
}

static int take_labels(struct jfr_samples *s, const struct jfr_binding *b,
                       const struct jfr_value *slots)
{
    uint32_t value;

    s->n_labels = 0;
    if (take_context(s, slots[JFR_SLOT_CONTEXT].number) ||
        take_span_name(s, &slots[JFR_SLOT_SPAN_NAME]))
        return FAILURE;
    if (slots[JFR_SLOT_LABEL].kind != JFR_STRUCT &&
        (value = text_symbol(s, &slots[JFR_SLOT_LABEL], true)) &&
        push_label(s, symbols_string(s->rd->into->symbols, bytes_str(b->type->label)), value))
        return FAILURE;
    for (uint32_t i = 0; i < b->n_attributes; i++)
        if ((value = text_symbol(s, &slots[JFR_SLOT_ATTRIBUTE + i], false)) &&
            take_label(s, b->attribute[i], value))
            return FAILURE;
    return 0;
}

/* Without spans the root is kept until its endpoint is known. */
static void take_span(struct jfr_samples *s, const struct jfr_value *slots)
{
    s->span = (struct span){
        .trace_hi = slots[JFR_SLOT_TRACE_HI].number,
        .trace_lo = slots[JFR_SLOT_TRACE_LO].number,
        .root = slots[JFR_SLOT_ROOT].number,
        .id = slots[JFR_SLOT_SPAN].number,
    };
}

static uint32_t span_of(struct jfr_samples *s)
{
    if (!s->rd->with_spans)
        s->span = (struct span){.root = s->span.root};
    return jfr_journal_span(s->journal, &s->span);
}

/* --- events --------------------------------------------------------------------------------------
 */

static enum jfr_state read_state(struct jfr_samples *s, const struct jfr_value *v)
{
    struct bytes text = jfr_value_text(s->pools, v, &s->text);

    if (bytes_equal(text, BYTES_LIT("STATE_SLEEPING")))
        return JFR_STATE_SLEEPING;
    return bytes_equal(text, BYTES_LIT("STATE_RUNNABLE")) ? JFR_STATE_RUNNABLE : JFR_STATE_OTHER;
}

static enum jfr_state state_of(struct jfr_samples *s, const struct jfr_value *v)
{
    unsigned at = (unsigned)(v->number % JFR_STATE_CACHE);

    if (v->kind != JFR_REF)
        return read_state(s, v);
    if (!s->states[at].taken || s->states[at].key != v->number) {
        s->states[at].key = v->number;
        s->states[at].state = read_state(s, v);
        s->states[at].taken = true;
    }
    return s->states[at].state;
}

static int add_row(struct jfr_samples *s, const struct jfr_binding *b,
                   const struct jfr_value *slots, struct jfr_row *row, enum jfr_source source)
{
    row->source = source;
    evaluate(s, b, slots, row);
    if (row->value[0] == 0 && row->value[1] == 0) {
        s->rd->stats->zero_samples++;
        return 0;
    }
    return jfr_journal_add(s->journal, row);
}

/* jdk.ExecutionSample, whose meaning is the profiler's setting: a wall sample of a thread that does
 * not sleep is one of CPU time too, as Pyroscope counts it. */
static int add_execution_sample(struct jfr_samples *s, const struct jfr_binding *b,
                                const struct jfr_value *slots, struct jfr_row *row)
{
    bool sleeps = state_of(s, &slots[JFR_SLOT_STATE]) == JFR_STATE_SLEEPING;

    if (s->settings->sampled == JFR_SAMPLED_EVENTS) {
        memcpy(s->journal->event, s->settings->event, sizeof s->journal->event);
        return add_row(s, b, slots, row, JFR_OTHER_EVENT);
    }
    if (s->settings->sampled == JFR_SAMPLED_WALL && add_row(s, b, slots, row, JFR_WALL_SAMPLE))
        return FAILURE;
    if (!sleeps)
        return add_row(s, b, slots, row, JFR_CPU_SAMPLE);
    s->rd->stats->events_skipped += s->settings->sampled != JFR_SAMPLED_WALL;
    return 0;
}

static int add_wall_clock_sample(struct jfr_samples *s, const struct jfr_binding *b,
                                 const struct jfr_value *slots, struct jfr_row *row)
{
    if (s->settings->sampled == JFR_SAMPLED_WALL &&
        state_of(s, &slots[JFR_SLOT_STATE]) == JFR_STATE_RUNNABLE &&
        add_row(s, b, slots, row, JFR_CPU_OF_WALL))
        return FAILURE;
    return add_row(s, b, slots, row, JFR_WALL_CLOCK);
}

int jfr_samples_add(struct jfr_samples *s, const struct jfr_binding *b,
                    const struct jfr_value *slots)
{
    struct jfr_row row;

    s->rd->stats->samples++;
    take_span(s, slots);
    if (jfr_frames_stack(s->frames, &slots[JFR_SLOT_STACK], &row.stack) || take_labels(s, b, slots))
        return FAILURE;
    row.labels = jfr_journal_labels(s->journal, s->label, s->n_labels);
    row.span = span_of(s);
    if (b->type->source == JFR_CPU_SAMPLE)
        return add_execution_sample(s, b, slots, &row);
    if (b->type->source == JFR_WALL_CLOCK)
        return add_wall_clock_sample(s, b, slots, &row);
    return add_row(s, b, slots, &row, b->type->source);
}
