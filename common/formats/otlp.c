/*
 * Reading OTLP profiles.
 *
 * How it works. Pass one notes where the dictionary's entries stand, for producers write it before
 * the profiles or behind them, and finds out the layout (otlp_layout.c). Pass two goes down
 * resource, scope and profile; each Profile message becomes a profile of its own, with the
 * attributes of all three, and is emitted before the next one is begun. What samples refer to is
 * looked up in the dictionary (otlp_dict.c).
 *
 * Values. A Profile has one type, and a sample one number of it: the sum of its values; or, without
 * values, the number of its timestamps. Units are UCUM's or words ("ns", "By"): words here.
 * Samples that count ticks of a clock ("samples/count", period "cpu/nanoseconds") become two types,
 * samples and nanoseconds, which is what all other agents send; but not where the same resource
 * has a profile with the nanoseconds already (the Collector makes several of one pprof).
 *
 * Refused, counted and said in decode_stats: a profile whose indexes do not fit, with stacks or
 * label sets above the limits, or whose samples have neither values nor timestamps; and all
 * profiles of an upload in a layout that is not read. The others count. The upload is refused as a
 * whole when it is malformed, when no layout makes its indexes fit, or above the limits.
 *
 * A sample may have a service of its own (attribute service.name: a profiler of a whole machine).
 * Such samples are put by, and emitted as profiles of their services.
 */
#include "formats/otlp.h"

#include "base/xalloc.h"
#include "formats/otlp_layout.h"
#include "formats/protobuf.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    ATTRIBUTES_MAX = 256, /* of resource, scope and profile together */
    INDEXES_MAX = 1024,   /* attributes of one sample, set aside or not */
    NUMBER_MAX = 24,      /* an int64 as text */
    TEXT_MAX = 2048,      /* of a tag; of a type's name */
    SERVICE_BYTES_MAX = 512,
    SCRATCH_BYTES_MAX = 16 << 20, /* kept for the next upload */
};

#define TABLE_ENTRIES_MAX (UINT64_C(1) << 31)

/* Numbers of Sample's fields, by layout. */
struct sample_fields {
    uint8_t attributes, link, values;
};

/* One Profile message. */
struct message {
    struct bytes at, sample_type, period_type;
    uint64_t time_ns, duration_ns, period;
    uint32_t n_samples;
    bool is_18; /* where field 11 is not the attributes */
};

struct type {
    struct bytes name, unit;
};

struct sample {
    uint64_t stack, link;
    int64_t value;
    uint64_t n_values, n_times;
    uint32_t n_indexes;
};

/* What the attributes of a sample make of it; kept while they stay the same. */
struct identity {
    uint32_t labels, service; /* string id of the service; 0: the resource's */
    uint32_t set_aside;
    struct span span;
};

struct put_by {
    uint32_t service;
    struct bytes sample;
};

struct otlp_reader {
    struct reading *rd;
    struct otlp_dict dict;
    struct buf converted; /* from JSON */
    enum otlp_layout layout;
    struct sample_fields fields;

    /* the resource, scope and profile being read */
    struct tag tags[ATTRIBUTES_MAX];
    char number[ATTRIBUTES_MAX][NUMBER_MAX]; /* texts of tags that are numbers */
    size_t n_tags, n_resource_tags;
    bool has_cpu_time, has_wall_time; /* the resource has a profile of this */
    uint64_t table_entries;           /* of all emitted profiles */
    struct message profile;
    struct type type, period;
    const char *clock; /* not NULL: the type's unit is ticks of this clock, of profile.period ns */

    /* its samples */
    uint32_t service; /* of those being read: string id, 0: the resource's */
    uint32_t n_valued;
    int64_t first_ns, last_ns; /* timestamps, when the profile has no time */
    uint64_t index[INDEXES_MAX], last_index[INDEXES_MAX];
    uint32_t n_last; /* UINT32_MAX: identity is none's */
    struct identity identity;
    struct label *label;
    size_t label_cap;
    struct put_by *put_by;
    size_t n_put_by, put_by_cap;
};

struct otlp_reader *otlp_reader_new(void)
{
    return xcalloc(1, sizeof(struct otlp_reader));
}

static void forget_scratch(struct otlp_reader *r)
{
    otlp_dict_deinit(&r->dict);
    buf_deinit(&r->converted);
    free(r->label);
    free(r->put_by);
    r->label = NULL;
    r->put_by = NULL;
    r->label_cap = r->put_by_cap = 0;
}

void otlp_reader_free(struct otlp_reader *r)
{
    if (!r)
        return;
    forget_scratch(r);
    free(r);
}

const char *otlp_layout(const struct otlp_reader *r)
{
    static const char *const names[] = {[OTLP_LAYOUT_110] = "1.10",
                                        [OTLP_LAYOUT_18] = "1.8",
                                        [OTLP_LAYOUT_OLD] = "1.7",
                                        [OTLP_LAYOUT_UNCLEAR] = "unclear"};

    return names[r->layout];
}

/* Calls fn with every field of a message that is one itself; numbers go to number, or nowhere. */
typedef int field_fn(struct otlp_reader *r, const struct pb_field *f);

static int walk(struct otlp_reader *r, struct bytes message, const char *what, field_fn *fn)
{
    struct cursor c = cursor_of(message);
    enum pb_step step;
    struct pb_field f;
    int e;

    while ((step = pb_next(&c, &f)) == PB_FIELD)
        if ((e = fn(r, &f)) != 0)
            return e;
    return step == PB_END ? 0 : otlp_malformed(r->rd, what);
}

/* --- attributes of resource, scope and profile --------------------------------------------------
 */

static void add_tag(struct otlp_reader *r, struct bytes key, const struct otlp_any *value)
{
    struct bytes text = value->text;
    char *number = r->number[r->n_tags % ATTRIBUTES_MAX];

    if (r->n_tags == ATTRIBUTES_MAX)
        return;
    if (value->kind == OTLP_ANY_INT) {
        snprintf(number, NUMBER_MAX, "%lld", (long long)value->number);
        text = bytes_str(number);
    } else if (value->kind == OTLP_ANY_BOOL) {
        text = value->number ? BYTES_LIT("true") : BYTES_LIT("false");
    }
    if (text.len > TEXT_MAX)
        text.len = TEXT_MAX; /* whoever takes it cuts it shorter, and between characters */
    if (key.len && key.len <= TEXT_MAX && text.len)
        r->tags[r->n_tags++] = (struct tag){key, text};
}

static int add_key_value(struct otlp_reader *r, struct bytes message)
{
    struct otlp_any value;
    struct bytes key;

    if (otlp_key_value(&r->dict, message, &key, &value))
        return FAILURE;
    add_tag(r, key, &value);
    return 0;
}

static int on_resource_field(struct otlp_reader *r, const struct pb_field *f)
{
    return f->number == 1 && f->type == PB_LEN ? add_key_value(r, f->data) : 0;
}

static int on_scope_field(struct otlp_reader *r, const struct pb_field *f)
{
    return f->number == 3 && f->type == PB_LEN ? add_key_value(r, f->data) : 0;
}

/* Attributes of profiles that describe a pprof it was made of say nothing about who sent it. */
static int add_profile_attribute(struct otlp_reader *r, uint64_t index)
{
    struct otlp_pair pair;

    if (otlp_pair(&r->dict, index, &pair))
        return FAILURE;
    if (!bytes_starts(pair.key, BYTES_LIT("pprof.")))
        add_tag(r, pair.key, &pair.value);
    return 0;
}

static struct bytes find_tag(const struct otlp_reader *r, const char *key)
{
    for (size_t i = 0; i < r->n_tags; i++)
        if (bytes_equal(r->tags[i].key, bytes_str(key)))
            return r->tags[i].value;
    return BYTES_LIT("");
}

/* The service of a process of which no more is known, as Pyroscope calls it; written to text. */
static struct bytes executable_service(const struct otlp_reader *r, char text[SERVICE_BYTES_MAX])
{
    struct bytes name = find_tag(r, "process.executable.name");
    int room = SERVICE_BYTES_MAX - 32;

    if (name.len == 0 || find_tag(r, "service.name").len)
        return BYTES_LIT("");
    snprintf(text, SERVICE_BYTES_MAX, "unknown_service:%.*s",
             name.len < (size_t)room ? (int)name.len : room, (const char *)name.data);
    return bytes_str(text);
}

/* --- types --------------------------------------------------------------------------------------
 */

static struct bytes unit_word(struct bytes unit)
{
    static const char *const words[][2] = {
        {"ns", "nanoseconds"},  {"us", "microseconds"}, {"µs", "microseconds"},
        {"ms", "milliseconds"}, {"s", "seconds"},       {"By", "bytes"},
        {"1", "count"},
    };

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (bytes_equal(unit, bytes_str(words[i][0])))
            return bytes_str(words[i][1]);
    return unit.len && unit.data[0] == '{' ? BYTES_LIT("count") : unit; /* UCUM: "{sample}" */
}

static int read_type(struct otlp_reader *r, struct bytes message, struct type *ret)
{
    uint64_t n[3]; /* type, unit */

    if (!PB_NUMBERS(message, n))
        return otlp_malformed(r->rd, "a sample type");
    ret->name = otlp_text(&r->dict, n[1]);
    ret->unit = unit_word(otlp_text(&r->dict, n[2]));
    return 0;
}

static bool is_one_of(struct bytes s, const char *const *words)
{
    for (; *words; words++)
        if (bytes_equal(s, bytes_str(*words)))
            return true;
    return false;
}

/* The clock that a type's name stands for: "cpu" by any of its timers, "wall", or NULL. */
static const char *clock_of(struct bytes name)
{
    static const char *const cpu[] = {"cpu", "itimer", "ctimer", "cpu-clock", NULL};

    if (is_one_of(name, cpu))
        return "cpu";
    return bytes_equal(name, BYTES_LIT("wall")) ? "wall" : NULL;
}

static bool is_time(const struct type *t)
{
    return bytes_equal(t->unit, BYTES_LIT("nanoseconds"));
}

/* Do samples of this type count ticks of the period's clock? */
static const char *ticks_of(const struct otlp_reader *r)
{
    static const char *const samples[] = {"samples", "sample", NULL};
    const char *clock = clock_of(r->period.name);

    if (!clock || !is_time(&r->period) || (int64_t)r->profile.period <= 0 ||
        !bytes_equal(r->type.unit, BYTES_LIT("count")) ||
        !(is_one_of(r->type.name, samples) || clock_of(r->type.name) == clock))
        return NULL;
    if (*clock == 'c' ? r->has_cpu_time : r->has_wall_time)
        return NULL;
    return clock;
}

static struct bytes cut(struct bytes s)
{
    return s.len <= TEXT_MAX ? s : bytes_of(s.data, TEXT_MAX);
}

static struct sample_type type_id(struct otlp_reader *r, struct bytes name, struct bytes unit)
{
    return (struct sample_type){otlp_intern(&r->dict, cut(name)), otlp_intern(&r->dict, cut(unit))};
}

static int read_types(struct otlp_reader *r)
{
    if (read_type(r, r->profile.sample_type, &r->type) ||
        read_type(r, r->profile.period_type, &r->period))
        return FAILURE;
    if (r->type.name.len == 0)
        return otlp_refuse(&r->dict, "it has no sample type");
    r->clock = ticks_of(r);
    return 0;
}

static void set_types(struct otlp_reader *r)
{
    struct profile *p = r->rd->into;
    struct sample_type types[2];

    if (r->clock) {
        types[0] = type_id(r, BYTES_LIT("samples"), BYTES_LIT("count"));
        types[1] = type_id(r, bytes_str(r->clock), BYTES_LIT("nanoseconds"));
        p->period_type = types[1];
        p->default_type = types[1].name;
    } else {
        types[0] = type_id(r, r->type.name, r->type.unit);
        p->period_type = type_id(r, r->period.name, r->period.unit);
    }
    CHECK(profile_set_types(p, types, r->clock ? 2 : 1) == 0);
}

/* --- samples ------------------------------------------------------------------------------------
 */

static int add_index(struct otlp_reader *r, struct sample *s, uint64_t index)
{
    if (s->n_indexes == INDEXES_MAX)
        return otlp_refuse(&r->dict, "a sample has more than %d attributes", INDEXES_MAX);
    r->index[s->n_indexes++] = index;
    return 0;
}

static void add_value(struct otlp_reader *r, struct sample *s, uint64_t value)
{
    s->value = add_saturating(s->value, (int64_t)value, &r->rd->into->saturated);
    s->n_values++;
}

/* Attributes or values, packed. */
static int add_packed(struct otlp_reader *r, struct sample *s, const struct pb_field *f)
{
    struct cursor c = cursor_of(f->data);
    bool values = f->number == r->fields.values;
    uint64_t v;
    int e = 0;

    while (c.at < c.end && e == 0) {
        if (!varint_get(&c, &v))
            return otlp_malformed(r->rd, "a sample");
        if (values)
            add_value(r, s, v);
        else
            e = add_index(r, s, v);
    }
    return e;
}

static uint64_t little_endian(const uint8_t *p)
{
    uint64_t v = 0;

    for (unsigned i = 8; i-- > 0;)
        v = v << 8 | p[i];
    return v;
}

/* Timestamps are counted. Only a profile without a time gets it from them. */
static int add_times(struct otlp_reader *r, struct sample *s, struct bytes times)
{
    if (times.len % 8)
        return otlp_malformed(r->rd, "a sample's timestamps");
    s->n_times += times.len / 8;
    if (r->profile.time_ns)
        return 0;
    for (size_t at = 0; at < times.len; at += 8) {
        int64_t t = (int64_t)little_endian(times.data + at);

        if (t > 0 && (r->first_ns == 0 || t < r->first_ns))
            r->first_ns = t;
        if (t > r->last_ns)
            r->last_ns = t;
    }
    return 0;
}

static int add_number(struct otlp_reader *r, struct sample *s, const struct pb_field *f)
{
    if (f->number == 1)
        s->stack = f->value;
    else if (f->number == r->fields.values)
        add_value(r, s, f->value);
    else if (f->number == r->fields.link)
        s->link = f->value;
    else if (f->number == r->fields.attributes)
        return add_index(r, s, f->value);
    else if (f->number == 5)
        return otlp_malformed(r->rd, "a sample's timestamps");
    return 0;
}

static int read_sample(struct otlp_reader *r, struct bytes message, struct sample *s)
{
    struct cursor c = cursor_of(message);
    enum pb_step step;
    struct pb_field f;
    int e = 0;

    while ((step = pb_next(&c, &f)) == PB_FIELD) {
        if (f.type == PB_VARINT)
            e = add_number(r, s, &f);
        else if (f.number == 5)
            e = add_times(r, s, f.data);
        else if (f.type == PB_LEN &&
                 (f.number == r->fields.values || f.number == r->fields.attributes))
            e = add_packed(r, s, &f);
        else if (f.number <= 4)
            e = otlp_malformed(r->rd, "a sample");
        if (e)
            return e;
    }
    return step == PB_END ? 0 : otlp_malformed(r->rd, "a sample");
}

/* Later attributes do not overwrite an id that one before them gave. */
static void merge_span(struct span *into, const struct span *from)
{
    if (!into->trace_hi && !into->trace_lo) {
        into->trace_hi = from->trace_hi;
        into->trace_lo = from->trace_lo;
    }
    into->root = into->root ? into->root : from->root;
    into->id = into->id ? into->id : from->id;
}

static int add_attribute(struct otlp_reader *r, uint64_t index, uint32_t *n_labels)
{
    const struct otlp_attribute *a;
    int e = otlp_attribute(&r->dict, index, &a);

    if (e)
        return e;
    if (a->kind == OTLP_ATTRIBUTE_SERVICE) {
        r->identity.service = a->label.str;
    } else if (a->kind == OTLP_ATTRIBUTE_SPAN) {
        merge_span(&r->identity.span, &a->span);
    } else if (a->kind == OTLP_ATTRIBUTE_SET_ASIDE) {
        r->identity.set_aside += index != 0;
    } else {
        if (*n_labels == r->rd->limits->labels_max)
            return otlp_refuse(&r->dict,
                               "a sample has more than %u labels (the limit is labels_max)",
                               r->rd->limits->labels_max);
        XGROW(r->label, r->label_cap, (size_t)*n_labels + 1);
        r->label[(*n_labels)++] = a->label;
    }
    return 0;
}

/* Most samples have the attributes of the one before them. */
static int read_identity(struct otlp_reader *r, const struct sample *s)
{
    uint32_t n_labels = 0;
    int e;

    if (s->n_indexes == r->n_last &&
        memcmp(r->index, r->last_index, s->n_indexes * sizeof *r->index) == 0)
        return 0;
    r->n_last = UINT32_MAX;
    r->identity = (struct identity){0};
    for (uint32_t i = 0; i < s->n_indexes; i++)
        if ((e = add_attribute(r, r->index[i], &n_labels)) != 0)
            return e;
    r->identity.labels = profile_labels(r->rd->into, r->label, n_labels);
    memcpy(r->last_index, r->index, s->n_indexes * sizeof *r->index);
    r->n_last = s->n_indexes;
    return 0;
}

static int64_t scaled(struct otlp_reader *r, int64_t ticks)
{
    int64_t ns;

    if (!__builtin_mul_overflow(ticks, (int64_t)r->profile.period, &ns))
        return ns;
    r->rd->into->saturated++;
    return ticks < 0 ? INT64_MIN : INT64_MAX;
}

static int add_row(struct otlp_reader *r, const struct sample *s)
{
    int64_t values[2] = {s->n_values ? s->value : (int64_t)s->n_times, 0};
    struct span span = r->identity.span;
    uint32_t stack, span_id = 0;
    int e;

    r->rd->stats->labels_set_aside += r->identity.set_aside;
    if (values[0] == 0) {
        r->rd->stats->zero_samples++;
        return 0;
    }
    if ((e = otlp_stack(&r->dict, s->stack, &stack)) != 0)
        return e;
    if (r->rd->with_spans) {
        if (s->link && otlp_link(&r->dict, s->link, &span))
            return FAILURE;
        span_id = profile_span(r->rd->into, &span);
    }
    if (r->clock)
        values[1] = scaled(r, values[0]);
    profile_add_in_span(r->rd->into, stack, r->identity.labels, span_id, values);
    return 0;
}

static int put_by(struct otlp_reader *r, struct bytes message)
{
    if (r->n_put_by == r->put_by_cap)
        XGROW(r->put_by, r->put_by_cap, r->n_put_by + 1);
    r->put_by[r->n_put_by++] = (struct put_by){r->identity.service, message};
    return 0;
}

static int take_sample(struct otlp_reader *r, struct bytes message)
{
    struct sample s = {0};
    int e;

    if ((e = read_sample(r, message, &s)) != 0 || (e = read_identity(r, &s)) != 0)
        return e;
    r->n_valued += s.n_values || s.n_times;
    return r->identity.service == r->service ? add_row(r, &s) : put_by(r, message);
}

/* --- one profile --------------------------------------------------------------------------------
 */

static int64_t time_or_0(uint64_t t)
{
    return t <= INT64_MAX ? (int64_t)t : 0;
}

static void set_times(struct otlp_reader *r)
{
    struct profile *p = r->rd->into;

    p->period = (int64_t)r->profile.period;
    p->time_ns = time_or_0(r->profile.time_ns);
    p->duration_ns = time_or_0(r->profile.duration_ns);
    if (p->time_ns == 0 && r->first_ns) {
        p->time_ns = r->first_ns;
        p->duration_ns = p->duration_ns ? p->duration_ns : r->last_ns - r->first_ns;
    }
}

/* Whoever takes a profile clears arrays as large as all symbols and stacks of the upload: thousands
 * of profiles of one sample each must not do that to the largest tables. */
static int charge_tables(struct otlp_reader *r)
{
    const struct profile *p = r->rd->into;

    r->table_entries += stacks_n_nodes(p->stacks) + stacks_count(p->stacks) +
                        symbols_n_strings(p->symbols) + symbols_n_frames(p->symbols);
    if (r->table_entries <= TABLE_ENTRIES_MAX)
        return 0;
    return otlp_above_limit(r->rd, "profiles for tables of this size (entries read)",
                            r->table_entries, TABLE_ENTRIES_MAX, "fixed");
}

/* Emits what the samples of r->service came to. */
static int emit(struct otlp_reader *r)
{
    struct profile_about about = {.format = "otlp"};
    struct tag tags[ATTRIBUTES_MAX + 1];
    char text[SERVICE_BYTES_MAX];
    struct bytes service;

    if (r->rd->into->n_rows == 0)
        return 0;
    if (charge_tables(r))
        return FAILURE;
    service =
        r->service ? symbols_text(r->rd->into->symbols, r->service) : executable_service(r, text);
    if (service.len)
        tags[about.n_attributes++] = (struct tag){BYTES_LIT("service.name"), service};
    for (size_t i = 0; i < r->n_tags; i++)
        if (!service.len || !bytes_equal(r->tags[i].key, BYTES_LIT("service.name")))
            tags[about.n_attributes++] = r->tags[i];
    about.attributes = tags;
    set_times(r);
    return reading_emit(r->rd, &about);
}

/* Begins the rows of a service: with types, and without an identity, whose ids were of rows before.
 */
static void begin_rows(struct otlp_reader *r, uint32_t service)
{
    profile_reset(r->rd->into);
    r->service = service;
    r->n_last = UINT32_MAX;
    set_types(r);
}

static int put_by_cmp(const void *va, const void *vb)
{
    const struct put_by *a = va, *b = vb;

    if (a->service != b->service)
        return a->service < b->service ? -1 : 1;
    return (a->sample.data > b->sample.data) - (a->sample.data < b->sample.data);
}

/* The samples with services of their own. */
static int emit_put_by(struct otlp_reader *r)
{
    size_t n = r->n_put_by;
    int e;

    if (n > 1)
        qsort(r->put_by, n, sizeof *r->put_by, put_by_cmp);
    for (size_t i = 0; i < n;) {
        begin_rows(r, r->put_by[i].service);
        for (; i < n && r->put_by[i].service == r->service; i++)
            if ((e = take_sample(r, r->put_by[i].sample)) != 0)
                return e;
        if (emit(r))
            return FAILURE;
    }
    return 0;
}

static int read_samples(struct otlp_reader *r)
{
    struct cursor c = cursor_of(r->profile.at);
    struct pb_field f;
    int e;

    while (pb_next(&c, &f) == PB_FIELD)
        if (f.number == 2 && (e = take_sample(r, f.data)) != 0)
            return e;
    if (r->n_valued == 0)
        return otlp_refuse(&r->dict, "its samples have neither values nor timestamps");
    return 0;
}

static int on_profile_field(struct otlp_reader *r, const struct pb_field *f)
{
    static const enum pb_type types[7] = {0,         PB_LEN, PB_LEN,   PB_FIXED64,
                                          PB_VARINT, PB_LEN, PB_VARINT};
    struct message *p = &r->profile;

    if (f->number < 7 && f->type != types[f->number])
        return otlp_malformed(r->rd, "a profile");
    switch (f->number) {
    case 1:
        p->sample_type = f->data;
        return 0;
    case 2:
        p->n_samples++;
        return 0;
    case 3:
        p->time_ns = little_endian(f->data.data);
        return 0;
    case 4:
        p->duration_ns = f->value;
        return 0;
    case 5:
        p->period_type = f->data;
        return 0;
    case 6:
        p->period = f->value;
        return 0;
    case 8:
        p->is_18 |= f->type == PB_LEN;
        return 0;
    default:
        return 0;
    }
}

static int on_profile_attributes(struct otlp_reader *r, const struct pb_field *f)
{
    struct cursor c = cursor_of(f->data);
    uint64_t index;

    if (f->number != 11 || r->profile.is_18)
        return 0;
    if (f->type == PB_VARINT)
        return add_profile_attribute(r, f->value);
    while (c.at < c.end)
        if (!varint_get(&c, &index))
            return otlp_malformed(r->rd, "a profile's attributes");
        else if (add_profile_attribute(r, index))
            return FAILURE;
    return 0;
}

static int check_n_samples(struct otlp_reader *r)
{
    struct decode_stats *stats = r->rd->stats;
    uint64_t n = (uint64_t)stats->samples + r->profile.n_samples;

    if (n > r->rd->limits->samples_max)
        return otlp_above_limit(r->rd, "samples", n, r->rd->limits->samples_max, "samples_max");
    stats->samples = (uint32_t)n;
    return 0;
}

/* 0, OTLP_E_REFUSED or FAILURE. */
static int try_profile(struct otlp_reader *r)
{
    int e;

    if (walk(r, r->profile.at, "a profile", on_profile_field) || check_n_samples(r))
        return FAILURE;
    if (r->profile.n_samples == 0)
        return 0;
    if (walk(r, r->profile.at, "a profile", on_profile_attributes))
        return FAILURE;
    if ((e = read_types(r)) != 0)
        return e;
    begin_rows(r, 0);
    if ((e = read_samples(r)) != 0)
        return e;
    return emit(r) ? FAILURE : emit_put_by(r);
}

static void count_refused(struct otlp_reader *r, uint32_t n, const char *why)
{
    struct decode_stats *stats = r->rd->stats;

    if (n && stats->profiles_refused == 0)
        snprintf(stats->refused_why, sizeof stats->refused_why, "%s", why);
    stats->profiles_refused += n;
}

static int read_profile(struct otlp_reader *r, struct bytes message)
{
    size_t n_tags = r->n_tags;
    int e;

    r->profile = (struct message){.at = message};
    r->n_valued = 0;
    r->n_put_by = 0;
    r->first_ns = r->last_ns = 0;
    e = try_profile(r);
    r->n_tags = n_tags;
    if (e == OTLP_E_REFUSED) {
        profile_reset(r->rd->into);
        count_refused(r, 1, r->dict.why);
        return 0;
    }
    return e;
}

/* --- resources and scopes -----------------------------------------------------------------------
 */

static int on_scope_profiles_scope(struct otlp_reader *r, const struct pb_field *f)
{
    if (f->number <= 2 && f->type != PB_LEN)
        return otlp_malformed(r->rd, "profiles of a scope");
    return f->number == 1 ? walk(r, f->data, "a scope", on_scope_field) : 0;
}

static int on_scope_profiles_profile(struct otlp_reader *r, const struct pb_field *f)
{
    return f->number == 2 ? read_profile(r, f->data) : 0;
}

static int read_scope_profiles(struct otlp_reader *r, struct bytes message)
{
    r->n_tags = r->n_resource_tags;
    if (walk(r, message, "profiles of a scope", on_scope_profiles_scope))
        return FAILURE;
    return walk(r, message, "profiles of a scope", on_scope_profiles_profile);
}

/* The sample type of a profile that is time of a clock: then no other is made from ticks of it. */
static int note_time_type(struct otlp_reader *r, const struct pb_field *f)
{
    struct type type;
    const char *clock;

    if (f->number != 1 || f->type != PB_LEN)
        return 0;
    if (read_type(r, f->data, &type))
        return FAILURE;
    clock = is_time(&type) ? clock_of(type.name) : NULL;
    if (clock)
        *(*clock == 'c' ? &r->has_cpu_time : &r->has_wall_time) = true;
    return 0;
}

static int note_scope_types(struct otlp_reader *r, const struct pb_field *f)
{
    return f->number == 2 && f->type == PB_LEN ? walk(r, f->data, "a profile", note_time_type) : 0;
}

static int on_resource_profiles_resource(struct otlp_reader *r, const struct pb_field *f)
{
    if (f->number <= 2 && f->type != PB_LEN)
        return otlp_malformed(r->rd, "profiles of a resource");
    if (f->number == 1)
        return walk(r, f->data, "a resource", on_resource_field);
    return f->number == 2 ? walk(r, f->data, "profiles of a scope", note_scope_types) : 0;
}

static int on_resource_profiles_scope(struct otlp_reader *r, const struct pb_field *f)
{
    return f->number == 2 ? read_scope_profiles(r, f->data) : 0;
}

static int on_request(struct otlp_reader *r, const struct pb_field *f)
{
    if (f->number != 1)
        return 0;
    r->n_tags = 0;
    r->has_cpu_time = r->has_wall_time = false;
    if (walk(r, f->data, "profiles of a resource", on_resource_profiles_resource))
        return FAILURE;
    r->n_resource_tags = r->n_tags;
    return walk(r, f->data, "profiles of a resource", on_resource_profiles_scope);
}

/* --- the upload ---------------------------------------------------------------------------------
 */

static int on_dictionary(struct otlp_reader *r, const struct pb_field *f)
{
    if (f->number <= 2 && f->type != PB_LEN)
        return otlp_malformed(r->rd, "a message was expected");
    return f->number == 2 ? otlp_dict_note(&r->dict, f->data) : 0;
}

static void refuse_old(struct otlp_reader *r, struct bytes raw)
{
    r->layout = OTLP_LAYOUT_OLD;
    count_refused(r, otlp_count_profiles(raw),
                  "written with opentelemetry-proto 1.7 or before, or without a dictionary: an "
                  "agent or Collector with 1.8 or later is needed");
}

/* Of a layout that is known (JSON has names) nothing is looked for. */
static int find_layout(struct otlp_reader *r, struct bytes raw, bool known)
{
    static const struct sample_fields of[] = {
        [OTLP_LAYOUT_110] = {.attributes = 2, .link = 3, .values = 4},
        [OTLP_LAYOUT_18] = {.values = 2, .attributes = 3, .link = 4},
    };

    r->layout = OTLP_LAYOUT_110;
    if (!known && otlp_layout_detect(&r->dict, raw, &r->layout))
        return FAILURE;
    if (r->layout == OTLP_LAYOUT_UNCLEAR)
        return otlp_malformed(r->rd,
                              "attribute or link indexes are out of range, whichever release "
                              "of opentelemetry-proto wrote it (1.8 to 1.11 are read)");
    r->fields = of[r->layout == OTLP_LAYOUT_18 ? OTLP_LAYOUT_18 : OTLP_LAYOUT_110];
    return 0;
}

static int read_upload(struct otlp_reader *r, struct bytes raw, bool known)
{
    if (!known && otlp_top_level_is_old(raw)) {
        refuse_old(r, raw);
        return 0;
    }
    otlp_dict_begin(&r->dict, r->rd);
    if (walk(r, raw, "truncated, or not protobuf", on_dictionary) ||
        otlp_dict_open(&r->dict, raw.len) || find_layout(r, raw, known))
        return FAILURE;
    if (r->layout == OTLP_LAYOUT_OLD) {
        refuse_old(r, raw);
        return 0;
    }
    return walk(r, raw, "truncated, or not protobuf", on_request);
}

static int read_any(struct otlp_reader *r, struct bytes raw, bool known, struct reading *rd)
{
    int e;

    r->rd = rd;
    r->n_put_by = 0;
    r->table_entries = 0;
    r->layout = OTLP_LAYOUT_110;
    e = read_upload(r, raw, known);
    if (otlp_dict_bytes(&r->dict) + r->put_by_cap * sizeof *r->put_by + r->converted.cap >
        SCRATCH_BYTES_MAX)
        forget_scratch(r);
    return e;
}

int otlp_read(struct otlp_reader *r, struct bytes raw, struct reading *rd)
{
    return read_any(r, raw, false, rd);
}

int otlp_read_json(struct otlp_reader *r, struct bytes json, struct reading *rd)
{
    buf_reset(&r->converted);
    if (otlp_from_json(json, &r->converted, rd->f))
        return FAILURE;
    return read_any(r, buf_bytes(&r->converted), true, rd);
}

/* --- telling it from pprof ----------------------------------------------------------------------
 */

/* A dictionary has messages and texts in fields 1 … 7, with strings among them; a pprof Sample has
 * no field 5. */
static bool looks_like_dictionary(struct bytes message)
{
    struct cursor c = cursor_of(message);
    bool strings = false;
    enum pb_step step;
    struct pb_field f;

    while ((step = pb_next(&c, &f)) == PB_FIELD) {
        if (f.type != PB_LEN || f.number >= OTLP_N_TABLES)
            return false;
        strings |= f.number == OTLP_STRINGS;
    }
    return step == PB_END && strings;
}

/* A pprof's field 1 is two numbers. */
static bool looks_like_resource_profiles(struct bytes message)
{
    struct cursor c = cursor_of(message);
    bool scopes = false;
    enum pb_step step;
    struct pb_field f;

    while ((step = pb_next(&c, &f)) == PB_FIELD) {
        if (f.type != PB_LEN || f.number > 3)
            return false;
        scopes |= f.number == 2;
    }
    return step == PB_END && scopes;
}

bool is_otlp(struct bytes raw)
{
    struct cursor c = cursor_of(raw);
    bool any = false;
    enum pb_step step;
    struct pb_field f;

    while ((step = pb_next(&c, &f)) == PB_FIELD) {
        if (f.type != PB_LEN || f.number > 2)
            return false;
        any = f.number == 1 ? looks_like_resource_profiles(f.data) : looks_like_dictionary(f.data);
        if (!any)
            return false;
    }
    return step == PB_END && any;
}
