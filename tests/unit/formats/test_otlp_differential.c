/*
 * otlp_read against protobuf-c: random uploads are packed, unpacked into objects again, and added
 * up in the plainest way there is. Both must agree on what is a profile, on its attributes, and on
 * every row: names, lines, addresses, labels, spans and values. Now and then an index does not fit,
 * and both must refuse the same profiles.
 */
#include "formats/otlp.h"
#include "lib/random.h"
#include "lib/reading.h"

#include <otlp_oracle.pb-c.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { UPLOADS = 4000, PIECES_MAX = 4096 };

typedef Oracle__Request Request;
typedef Oracle__Dictionary Dictionary;
typedef Oracle__Profile Profile;

/* --- random uploads -----------------------------------------------------------------------------
 */

static uint64_t rng;
static void *pieces[PIECES_MAX];
static unsigned n_pieces;

static void *piece(size_t n)
{
    CHECK(n_pieces < PIECES_MAX);
    return pieces[n_pieces++] = calloc(1, n + 1);
}

static void forget_pieces(void)
{
    while (n_pieces)
        free(pieces[--n_pieces]);
}

static uint32_t below(uint32_t n)
{
    return random_below(&rng, n);
}

static bool one_in(uint32_t n)
{
    return below(n) == 0;
}

static ProtobufCBinaryData binary(const char *text)
{
    return (ProtobufCBinaryData){strlen(text), (uint8_t *)(uintptr_t)text};
}

#define NEW(Type, type, name)                                                                      \
    Type *name = piece(sizeof *name);                                                              \
    oracle__##type##__init(name)
/* An array of n random messages in a field. */
#define FILL(object, field, max, make)                                                             \
    do {                                                                                           \
        (object)->n_##field = below((max) + 1);                                                    \
        (object)->field = piece(((max) + 1) * sizeof(void *));                                     \
        for (size_t i_ = 0; i_ < (object)->n_##field; i_++)                                        \
            (object)->field[i_] = make;                                                            \
    } while (0)

enum { N_FUNCTIONS = 8, N_LOCATIONS = 12, N_MAPPINGS = 4, N_STACKS = 10, N_LINKS = 4 };
enum { N_ATTRIBUTES = 14 };

static const char *const strings[] = {
    "",
    "samples",
    "count",
    "cpu",
    "nanoseconds",
    "main",
    "work",
    "a.c",
    "libx.so",
    "/lib/y",
    "thread.name",
    "endpoint",
    "span_id",
    "k",
    "value",
    ("ab\xff"
     "c"),
    "profile.frame.type",
    "cpython",
    "native",
    "process.executable.build_id.gnu",
    "00000000000000ff",
    "trace_id",
    "000000000000000100000000000000aa",
    "thread.id",
    "wall",
};
enum { N_STRINGS = sizeof strings / sizeof *strings };
enum { S_SAMPLES = 1, S_COUNT, S_CPU, S_NS, S_FIRST_NAME };

/* An index below n, hardly ever one that does not fit. */
static int32_t index_below(uint32_t n)
{
    return one_in(400) ? (one_in(2) ? -1 : 1000) : (int32_t)below(n);
}

static int32_t *indexes(size_t *ret_n, uint32_t max, uint32_t n)
{
    int32_t *at = piece((max + 1) * sizeof *at);

    *ret_n = below(max + 1);
    for (size_t i = 0; i < *ret_n; i++)
        at[i] = index_below(n);
    return at;
}

static Oracle__Any *random_any(void)
{
    NEW(Oracle__Any, any, any);

    switch (below(8)) {
    case 0:
        any->value_case = ORACLE__ANY__VALUE_FLAG;
        any->flag = one_in(2);
        break;
    case 1:
        any->value_case = ORACLE__ANY__VALUE_NUMBER;
        any->number = (int64_t)below(300) - 20;
        break;
    case 2:
        any->value_case = ORACLE__ANY__VALUE_LIST;
        any->list = binary("");
        break;
    case 3:
        any->value_case = ORACLE__ANY__VALUE_REAL;
        any->real = 1.5;
        break;
    case 4:
    case 5:
        any->value_case = ORACLE__ANY__VALUE_TEXT;
        any->text = binary(strings[below(N_STRINGS)]);
        break;
    default:
        any->value_case = ORACLE__ANY__VALUE_TEXT_REF;
        any->text_ref = (int32_t)below(N_STRINGS);
    }
    return any;
}

static Oracle__KeyValue *random_pair(void)
{
    static const char *const keys[] = {"service.name", "env", "process.executable.name", ""};
    NEW(Oracle__KeyValue, key_value, pair);

    pair->key = binary(keys[below(4)]);
    pair->key_ref = (int32_t)below(N_STRINGS);
    pair->value = random_any();
    return pair;
}

static Oracle__Attribute *random_attribute(void)
{
    NEW(Oracle__Attribute, attribute, a);

    a->key = (int32_t)below(N_STRINGS);
    a->value = random_any();
    return a;
}

static Oracle__Line *random_line(void)
{
    NEW(Oracle__Line, line, line);

    line->function = index_below(N_FUNCTIONS);
    line->line = below(50);
    return line;
}

static Oracle__Location *random_location(void)
{
    NEW(Oracle__Location, location, loc);

    loc->mapping = index_below(N_MAPPINGS);
    loc->address = 4000 + below(200);
    FILL(loc, lines, 3, random_line());
    loc->attributes = indexes(&loc->n_attributes, 2, N_ATTRIBUTES);
    return loc;
}

static Oracle__Mapping *random_mapping(void)
{
    NEW(Oracle__Mapping, mapping, m);

    m->start = 4000 + below(50);
    m->limit = one_in(3) ? 0 : 4150;
    m->offset = below(100);
    m->file = (int32_t)below(N_STRINGS);
    m->attributes = indexes(&m->n_attributes, 2, N_ATTRIBUTES);
    return m;
}

static Oracle__Function *random_function(void)
{
    NEW(Oracle__Function, function, f);

    f->name = one_in(4) ? 0 : S_FIRST_NAME + (int32_t)below(5);
    f->system_name = S_FIRST_NAME + (int32_t)below(5);
    f->file = (int32_t)below(N_STRINGS);
    return f;
}

static Oracle__Link *random_link(void)
{
    static const uint8_t ids[4][16] = {{0}, {1, 2}, {[15] = 3}, {9, [7] = 8, [15] = 7}};
    NEW(Oracle__Link, link, link);

    link->trace = (ProtobufCBinaryData){one_in(5) ? 3 : 16, (uint8_t *)(uintptr_t)ids[below(4)]};
    link->span = (ProtobufCBinaryData){one_in(5) ? 3 : 8, (uint8_t *)(uintptr_t)ids[below(4)]};
    return link;
}

static Oracle__Stack *random_stack(void)
{
    NEW(Oracle__Stack, stack, stack);

    stack->locations = indexes(&stack->n_locations, 5, N_LOCATIONS);
    return stack;
}

static Oracle__Sample *random_sample(bool ticks)
{
    NEW(Oracle__Sample, sample, s);

    s->stack = index_below(N_STACKS);
    s->attributes = indexes(&s->n_attributes, 3, N_ATTRIBUTES);
    s->link = index_below(N_LINKS);
    s->values = piece(3 * sizeof *s->values);
    s->times = piece(4 * sizeof *s->times);
    s->n_values = ticks ? 0 : below(4);
    s->n_times = ticks || one_in(3) ? below(5) : 0;
    for (size_t i = 0; i < s->n_values; i++)
        s->values[i] = (int64_t)below(100) - 30;
    for (size_t i = 0; i < s->n_times; i++)
        s->times[i] = 1000 + below(500);
    return s;
}

static Oracle__Type *random_type(bool ticks)
{
    static const int32_t names[] = {S_SAMPLES, S_CPU, S_COUNT, S_FIRST_NAME};
    NEW(Oracle__Type, type, type);

    type->name = ticks ? S_SAMPLES : names[below(4)];
    type->unit = ticks || one_in(3) ? S_COUNT : S_NS;
    return type;
}

static Profile *random_profile(void)
{
    NEW(Profile, profile, p);
    bool ticks = one_in(3);

    p->sample_type = random_type(ticks);
    FILL(p, samples, 8, random_sample(ticks));
    p->time = one_in(3) ? 0 : 7777;
    p->duration = below(3);
    p->period = below(3) * 10;
    if (!one_in(3)) {
        p->period_type = random_type(false);
        p->period_type->name = S_CPU;
    }
    return p;
}

static Oracle__ScopeProfiles *random_scope(void)
{
    NEW(Oracle__ScopeProfiles, scope_profiles, sp);

    if (one_in(2)) {
        NEW(Oracle__Scope, scope, scope);
        FILL(scope, attributes, 2, random_pair());
        sp->scope = scope;
    }
    FILL(sp, profiles, 3, random_profile());
    return sp;
}

static Oracle__ResourceProfiles *random_resource(void)
{
    NEW(Oracle__ResourceProfiles, resource_profiles, rp);

    if (!one_in(3)) {
        NEW(Oracle__Resource, resource, resource);
        FILL(resource, attributes, 4, random_pair());
        rp->resource = resource;
    }
    FILL(rp, scopes, 2, random_scope());
    return rp;
}

/* A packed value: the first sample of all, so that the layout is never in doubt. */
static Oracle__ResourceProfiles *plain_resource(void)
{
    NEW(Oracle__ResourceProfiles, resource_profiles, rp);
    NEW(Oracle__ScopeProfiles, scope_profiles, sp);
    NEW(Profile, profile, p);
    NEW(Oracle__Sample, sample, s);

    rp->scopes = piece(sizeof(void *));
    rp->scopes[rp->n_scopes++] = sp;
    sp->profiles = piece(sizeof(void *));
    sp->profiles[sp->n_profiles++] = p;
    p->sample_type = random_type(true);
    p->time = 5;
    p->samples = piece(sizeof(void *));
    p->samples[p->n_samples++] = s;
    s->values = piece(sizeof *s->values);
    s->values[s->n_values++] = 1;
    return rp;
}

#define FILL_ALL(object, field, n, make)                                                           \
    do {                                                                                           \
        (object)->n_##field = (n);                                                                 \
        (object)->field = piece((object)->n_##field * sizeof *(object)->field);                    \
        for (size_t i_ = 0; i_ < (object)->n_##field; i_++)                                        \
            (object)->field[i_] = make;                                                            \
    } while (0)

static void random_upload(struct buf *out)
{
    NEW(Request, request, request);
    NEW(Dictionary, dictionary, d);

    FILL_ALL(d, strings, N_STRINGS, binary(strings[i_]));
    FILL_ALL(d, functions, N_FUNCTIONS, random_function());
    FILL_ALL(d, locations, N_LOCATIONS, random_location());
    FILL_ALL(d, mappings, N_MAPPINGS, random_mapping());
    FILL_ALL(d, links, N_LINKS, random_link());
    FILL_ALL(d, attributes, N_ATTRIBUTES, random_attribute());
    FILL_ALL(d, stacks, N_STACKS, random_stack());
    request->dictionary = d;
    FILL_ALL(request, resources, 1 + below(3), i_ ? random_resource() : plain_resource());
    out->len = 0;
    buf_reserve(out, oracle__request__get_packed_size(request));
    out->len = oracle__request__pack(request, out->data);
}

/* --- the plain way ------------------------------------------------------------------------------
 */

struct row {
    char *text;
    int64_t values[2];
};

struct plain {
    const Dictionary *d;
    struct buf *out;
    struct row rows[16];
    size_t n_rows;
    unsigned n_refused;
    bool refused;
};

static struct bytes text_at(const Dictionary *d, int32_t i)
{
    if (i < 0 || (size_t)i >= d->n_strings)
        return BYTES_LIT("");
    return bytes_of(d->strings[i].data, d->strings[i].len);
}

static bool is(struct bytes s, const char *word)
{
    return bytes_equal(s, bytes_str(word));
}

/* Bytes as they are kept: the one string that is no UTF-8 is repaired. */
static void put(struct buf *out, struct bytes s)
{
    if (is(s, "ab\xff"
              "c"))
        s = BYTES_LIT("ab\xef\xbf\xbd"
                      "c");
    buf_append_bytes(out, s);
}

/* An attribute's text: strings, and with numbers also those. */
static struct bytes any_text(const Dictionary *d, const Oracle__Any *any, bool numbers,
                             char num[24])
{
    if (!any)
        return BYTES_LIT("");
    switch (any->value_case) {
    case ORACLE__ANY__VALUE_TEXT:
        return bytes_of(any->text.data, any->text.len);
    case ORACLE__ANY__VALUE_TEXT_REF:
        return text_at(d, any->text_ref);
    case ORACLE__ANY__VALUE_FLAG:
        return any->flag ? BYTES_LIT("true") : BYTES_LIT("false");
    case ORACLE__ANY__VALUE_NUMBER:
        snprintf(num, 24, "%lld", (long long)any->number);
        return numbers ? bytes_str(num) : BYTES_LIT("");
    default:
        return BYTES_LIT("");
    }
}

static bool is_string(const Oracle__Any *any)
{
    return any && (any->value_case == ORACLE__ANY__VALUE_TEXT ||
                   any->value_case == ORACLE__ANY__VALUE_TEXT_REF);
}

static const Oracle__Attribute *attribute_at(const Dictionary *d, int32_t i)
{
    return i >= 0 && (size_t)i < d->n_attributes ? d->attributes[i] : NULL;
}

/* The value of the last of these attributes that has this key and is a string. */
static struct bytes string_of(const Dictionary *d, const int32_t *at, size_t n, const char *key,
                              bool last)
{
    struct bytes found = BYTES_LIT("");
    char num[24];

    for (size_t i = 0; i < n; i++) {
        const Oracle__Attribute *a = attribute_at(d, at[i]);

        if (a && is(text_at(d, a->key), key) && (last || !found.len))
            found = is_string(a->value) ? any_text(d, a->value, false, num) : BYTES_LIT("");
    }
    return found;
}

static void put_unsymbolised(struct plain *p, const Oracle__Location *loc, struct buf *out)
{
    struct bytes type =
        string_of(p->d, loc->attributes, loc->n_attributes, "profile.frame.type", true);
    uint64_t address = loc->address;
    struct bytes file = BYTES_LIT(""), id = BYTES_LIT(""), name;
    const uint8_t *slash;

    if (type.len && !is(type, "native") && !is(type, "kernel")) {
        buf_append_str(out, "[");
        put(out, type);
        buf_append_str(out, "]");
        return;
    }
    if (loc->mapping > 0 && (size_t)loc->mapping < p->d->n_mappings) {
        const Oracle__Mapping *m = p->d->mappings[loc->mapping];

        file = text_at(p->d, m->file);
        id = string_of(p->d, m->attributes, m->n_attributes, "process.executable.build_id.gnu",
                       false);
        if (address >= m->start && (!m->limit || address < m->limit))
            address += m->offset - m->start;
    }
    name = file.len ? file : id.len ? id : BYTES_LIT("??");
    slash = file.len ? memrchr(file.data, '/', file.len) : NULL;
    if (slash)
        name = bytes_of(slash + 1, (size_t)(file.data + file.len - slash - 1));
    put(out, name);
    buf_printf(out, "+0x%llx", (unsigned long long)address);
}

static void put_line(struct plain *p, const Oracle__Location *loc, const Oracle__Line *line,
                     struct buf *out)
{
    const Oracle__Function *f;

    if (line->function <= 0 || (size_t)line->function >= p->d->n_functions) {
        put_unsymbolised(p, loc, out);
        return;
    }
    f = p->d->functions[line->function];
    put(out, text_at(p->d, f->name ? f->name : f->system_name));
    if (line->line)
        buf_printf(out, ":%lld", (long long)line->line);
}

/* Root first: from the last location's last line to the first one's first. */
static void put_stack(struct plain *p, int32_t index, struct buf *out)
{
    const Oracle__Stack *stack;
    bool first = true;

    if (index < 0 || (size_t)index >= p->d->n_stacks) {
        p->refused = true;
        return;
    }
    stack = p->d->stacks[index];
    for (size_t i = stack->n_locations; i-- > 0;) {
        const Oracle__Location *loc;

        if (stack->locations[i] < 0 || (size_t)stack->locations[i] >= p->d->n_locations) {
            p->refused = true;
            return;
        }
        loc = p->d->locations[stack->locations[i]];
        for (size_t k = loc->n_lines ? loc->n_lines : 1; k-- > 0; first = false) {
            buf_append_str(out, first ? "" : ";");
            if (loc->n_lines)
                put_line(p, loc, loc->lines[k], out);
            else
                put_unsymbolised(p, loc, out);
        }
    }
}

static uint64_t hex(struct bytes s)
{
    char copy[17] = "";

    memcpy(copy, s.data, s.len < 16 ? s.len : 16);
    return strtoull(copy, NULL, 16);
}

static uint64_t big_endian(const uint8_t *b)
{
    uint64_t v = 0;

    for (int i = 0; i < 8; i++)
        v = v << 8 | b[i];
    return v;
}

static int text_cmp(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A span id in hex of 16 digits or decimal; other strings are none. */
static bool span_number(struct bytes s, uint64_t *ret)
{
    bool digits = s.len > 0;

    for (size_t i = 0; i < s.len; i++)
        digits &= s.data[i] >= '0' && s.data[i] <= '9';
    if (s.len == 16)
        return *ret = hex(s), true;
    return *ret = 0, digits && s.len < 16;
}

/* Labels and span of a sample, as told_row prints them. */
static void put_labels(struct plain *p, const Oracle__Sample *s, struct buf *out)
{
    char *labels[8];
    size_t n = 0;
    struct span span = {0};

    for (size_t i = 0; i < s->n_attributes; i++) {
        const Oracle__Attribute *a = attribute_at(p->d, s->attributes[i]);
        struct buf label = {0};
        struct bytes key, value;
        uint64_t id;
        char num[24];

        if (!a) {
            p->refused = true;
            continue;
        }
        key = text_at(p->d, a->key);
        value = any_text(p->d, a->value, false, num);
        if (is(key, "span_id")) {
            if (a->value && a->value->value_case == ORACLE__ANY__VALUE_NUMBER)
                id = (uint64_t)a->value->number;
            else if (!is_string(a->value) || !span_number(value, &id))
                id = 0;
            span.id = span.id ? span.id : id;
        } else if (is(key, "trace_id")) {
            if (is_string(a->value) && !span.trace_hi && !span.trace_lo) {
                if (value.len == 32) {
                    span.trace_hi = hex(value);
                    span.trace_lo = hex(bytes_of(value.data + 16, 16));
                } else if (span_number(value, &id)) {
                    span.trace_lo = id;
                }
            }
        } else if (key.len && value.len && !is(key, "thread.id")) {
            put(&label, key);
            buf_append_u8(&label, '=');
            put(&label, value);
            labels[n++] = strdup(buf_cstr(&label));
            buf_deinit(&label);
        }
    }
    if (s->link > 0 && (size_t)s->link < p->d->n_links) {
        const Oracle__Link *link = p->d->links[s->link];

        if (link->trace.len == 16) {
            span.trace_hi = big_endian(link->trace.data);
            span.trace_lo = big_endian(link->trace.data + 8);
        }
        if (link->span.len == 8)
            span.id = big_endian(link->span.data);
    }
    qsort(labels, n, sizeof *labels, text_cmp);
    for (size_t i = 0, printed = 0; i < n; i++)
        if (i == 0 || strcmp(labels[i], labels[i - 1]) != 0)
            buf_printf(out, "%s%s", printed++ ? "," : " {", labels[i]);
    buf_append_str(out, n ? "}" : "");
    for (size_t i = 0; i < n; i++)
        free(labels[i]);
    if (span.trace_hi || span.trace_lo || span.id)
        buf_printf(out, " <trace %llx:%llx root 0 span %llx>", (unsigned long long)span.trace_hi,
                   (unsigned long long)span.trace_lo, (unsigned long long)span.id);
}

static void add_row(struct plain *p, const char *text, int64_t value, int64_t scaled)
{
    size_t i = 0;

    while (i < p->n_rows && strcmp(p->rows[i].text, text) != 0)
        i++;
    if (i == p->n_rows)
        p->rows[p->n_rows++] = (struct row){.text = strdup(text)};
    p->rows[i].values[0] += value;
    p->rows[i].values[1] += scaled;
}

static void add_sample(struct plain *p, const Profile *profile, const Oracle__Sample *s)
{
    struct buf labels = {0}, text = {0};
    int64_t value = s->n_values ? 0 : (int64_t)s->n_times;

    for (size_t i = 0; i < s->n_values; i++)
        value += s->values[i];
    put_labels(p, s, &labels);
    if (value && !p->refused) {
        put_stack(p, s->stack, &text);
        buf_append_bytes(&text, buf_bytes(&labels));
        add_row(p, buf_cstr(&text), value, value * profile->period);
    }
    buf_deinit(&labels);
    buf_deinit(&text);
}

static void put_pairs(struct plain *p, Oracle__KeyValue *const *pairs, size_t n, struct buf *out,
                      struct bytes *service, struct bytes *executable)
{
    for (size_t i = 0; i < n; i++) {
        struct bytes key = bytes_of(pairs[i]->key.data, pairs[i]->key.len), value;
        char num[24];

        if (key.len == 0)
            key = text_at(p->d, pairs[i]->key_ref);
        value = any_text(p->d, pairs[i]->value, true, num);
        if (key.len == 0 || value.len == 0)
            continue;
        if (is(key, "service.name") && !service->len)
            *service = BYTES_LIT("some");
        if (is(key, "process.executable.name") && !executable->len)
            *executable = bytes_of(pairs[i]->value->value_case == ORACLE__ANY__VALUE_NUMBER
                                       ? (uint8_t *)strcpy(piece(24), num)
                                       : value.data,
                                   value.len);
        buf_append_bytes(out, key);
        buf_append_u8(out, '=');
        buf_append_bytes(out, value);
        buf_append_u8(out, ' ');
    }
}

static void put_attributes(struct plain *p, const Oracle__Resource *resource,
                           const Oracle__Scope *scope)
{
    struct bytes service = BYTES_LIT(""), executable = BYTES_LIT("");
    struct buf pairs = {0};

    if (resource)
        put_pairs(p, resource->attributes, resource->n_attributes, &pairs, &service, &executable);
    if (scope)
        put_pairs(p, scope->attributes, scope->n_attributes, &pairs, &service, &executable);
    if (!service.len && executable.len) {
        buf_append_str(p->out, "service.name=unknown_service:");
        buf_append_bytes(p->out, executable);
        buf_append_str(p->out, " ");
    }
    buf_append_bytes(p->out, buf_bytes(&pairs));
    buf_deinit(&pairs);
}

static bool is_cpu_time(const Profile *p)
{
    return p->sample_type && p->sample_type->name == S_CPU && p->sample_type->unit == S_NS;
}

static bool has_cpu_time(const Oracle__ResourceProfiles *rp)
{
    for (size_t i = 0; i < rp->n_scopes; i++)
        for (size_t k = 0; k < rp->scopes[i]->n_profiles; k++)
            if (is_cpu_time(rp->scopes[i]->profiles[k]))
                return true;
    return false;
}

static bool are_ticks(const Oracle__ResourceProfiles *rp, const Profile *p)
{
    return p->sample_type->unit == S_COUNT && p->period_type && p->period_type->name == S_CPU &&
           p->period_type->unit == S_NS && p->period > 0 && !has_cpu_time(rp) &&
           (p->sample_type->name == S_SAMPLES || p->sample_type->name == S_CPU);
}

static void put_types(struct plain *p, const Profile *profile, bool ticks)
{
    const Oracle__Type *t = profile->sample_type, *period = profile->period_type;
    uint64_t time = profile->time, duration = profile->duration, first = 0, last = 0;

    for (size_t i = 0; i < profile->n_samples; i++)
        for (size_t k = 0; k < profile->samples[i]->n_times; k++) {
            uint64_t at = profile->samples[i]->times[k];

            first = !first || at < first ? at : first;
            last = at > last ? at : last;
        }
    if (!time && first) {
        time = first;
        duration = duration ? duration : last - first;
    }
    buf_printf(p->out, "| %s/%s ", ticks ? "samples" : strings[t->name], strings[t->unit]);
    if (ticks)
        buf_append_str(p->out, "cpu/nanoseconds ");
    buf_printf(p->out, "| %s/%s %lld | %lld+%lld\n", period ? strings[period->name] : "",
               period ? strings[period->unit] : "", (long long)profile->period, (long long)time,
               (long long)duration);
}

static int row_cmp(const void *a, const void *b)
{
    return strcmp(((const struct row *)a)->text, ((const struct row *)b)->text);
}

static void put_profile(struct plain *p, const Oracle__ResourceProfiles *rp,
                        const Oracle__Scope *scope, const Profile *profile)
{
    bool ticks = are_ticks(rp, profile), any = profile->n_samples == 0;

    p->refused = false;
    p->n_rows = 0;
    for (size_t i = 0; i < profile->n_samples && !p->refused; i++) {
        any |= profile->samples[i]->n_values || profile->samples[i]->n_times;
        add_sample(p, profile, profile->samples[i]);
    }
    p->n_refused += p->refused || !any;
    if (!p->refused && p->n_rows) {
        put_attributes(p, rp->resource, scope);
        put_types(p, profile, ticks);
        qsort(p->rows, p->n_rows, sizeof *p->rows, row_cmp);
        for (size_t i = 0; i < p->n_rows; i++) {
            buf_printf(p->out, "%s %lld", p->rows[i].text, (long long)p->rows[i].values[0]);
            if (ticks)
                buf_printf(p->out, " %lld", (long long)p->rows[i].values[1]);
            buf_append_str(p->out, "\n");
        }
    }
    while (p->n_rows)
        free(p->rows[--p->n_rows].text);
}

static unsigned plain_text(const Request *request, struct buf *out)
{
    struct plain p = {.d = request->dictionary, .out = out};

    for (size_t i = 0; i < request->n_resources; i++) {
        const Oracle__ResourceProfiles *rp = request->resources[i];

        for (size_t k = 0; k < rp->n_scopes; k++)
            for (size_t n = 0; n < rp->scopes[k]->n_profiles; n++)
                put_profile(&p, rp, rp->scopes[k]->scope, rp->scopes[k]->profiles[n]);
    }
    return p.n_refused;
}

/* --- both ---------------------------------------------------------------------------------------
 */

/* Rows whose frames differ in what is not printed (a file, a build id) have the same text: summed
 * here, as the plain way sums them. */
static int on_profile(void *ctx, struct profile *profile, const struct profile_about *about,
                      struct failure *f)
{
    struct told *t = ctx;
    struct plain sums = {0};

    (void)f;
    told_header(t, profile, about);
    for (uint32_t i = 0; i < profile->n_rows; i++) {
        size_t begin = t->text.len, end;

        told_row(t, profile, i);
        end = t->text.len;
        for (uint32_t spaces = profile->n_types; spaces; spaces -= t->text.data[end] == ' ')
            end--; /* its values are taken from the profile */
        t->text.data[end] = '\0';
        add_row(&sums, (char *)t->text.data + begin, profile->values[0][i],
                profile->n_types > 1 ? profile->values[1][i] : 0);
        t->text.len = begin;
    }
    qsort(sums.rows, sums.n_rows, sizeof *sums.rows, row_cmp);
    for (size_t i = 0; i < sums.n_rows; i++) {
        buf_printf(&t->text, "%s %lld", sums.rows[i].text, (long long)sums.rows[i].values[0]);
        if (profile->n_types > 1)
            buf_printf(&t->text, " %lld", (long long)sums.rows[i].values[1]);
        buf_append_str(&t->text, "\n");
    }
    while (sums.n_rows)
        free(sums.rows[--sums.n_rows].text);
    return 0;
}

static void check_upload(struct otlp_reader *r, struct told *t, struct bytes raw)
{
    Request *request = oracle__request__unpack(NULL, raw.len, raw.data);
    struct buf expected = {0};
    unsigned n_refused;

    assert_non_null(request);
    n_refused = plain_text(request, &expected);
    told_reset(t);
    if (otlp_read(r, raw, &t->rd))
        fail_msg("refused: %s", t->f.message);
    assert_string_equal(buf_cstr(&t->text), buf_cstr(&expected));
    assert_int_equal(t->stats.profiles_refused, n_refused);
    buf_deinit(&expected);
    oracle__request__free_unpacked(request, NULL);
}

static void random_uploads_are_read_as_protobuf_c_has_them(void **state)
{
    struct otlp_reader *r = otlp_reader_new();
    uint64_t n_rows = 0, n_refused = 0;
    struct buf raw = {0};
    struct told t;

    (void)state;
    rng = random_seed();
    told_init(&t);
    t.rd.emit = on_profile;
    t.rd.ctx = &t;
    for (unsigned i = 0; i < UPLOADS; i++) {
        random_upload(&raw);
        check_upload(r, &t, buf_bytes(&raw));
        forget_pieces();
        n_rows += t.stats.samples;
        n_refused += t.stats.profiles_refused;
    }
    printf("samples %llu, profiles refused %llu\n", (unsigned long long)n_rows,
           (unsigned long long)n_refused);
    assert_true(n_rows > 5 * UPLOADS && n_refused > UPLOADS / 100 && n_refused < UPLOADS / 2);
    buf_deinit(&raw);
    told_deinit(&t);
    otlp_reader_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_uploads_are_read_as_protobuf_c_has_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
