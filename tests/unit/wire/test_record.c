#include "base/crc32c.h"
#include "base/varint.h"
#include "wire/record.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct bytes types[] = {BYTES_LIT("process_cpu:cpu:nanoseconds:cpu:nanoseconds"),
                                     BYTES_LIT("process_cpu:samples:count:cpu:nanoseconds")};

/* A profile with symbols and stacks of its own, and how to print one: a line per row, sorted. */
struct sample {
    struct symbols *symbols;
    struct stacks *stacks;
    struct profile profile;
};

static void sample_init(struct sample *s)
{
    s->symbols = symbols_new();
    s->stacks = stacks_new();
    profile_init(&s->profile, s->symbols, s->stacks);
}

static void sample_deinit(struct sample *s)
{
    profile_deinit(&s->profile);
    stacks_free(s->stacks);
    symbols_free(s->symbols);
}

static void declare(struct sample *s, uint32_t n)
{
    struct sample_type t[2] = {0};

    for (uint32_t i = 0; i < n; i++)
        t[i].name = symbols_string(s->symbols, types[i]);
    assert_int_equal(profile_set_types(&s->profile, t, n), 0);
}

static uint32_t frame(struct sample *s, const char *name, int64_t line)
{
    struct function f = {.name = symbols_string(s->symbols, bytes_str(name)),
                         .file = symbols_string(s->symbols, BYTES_LIT("/src/a.go")),
                         .start_line = line - 1};
    struct frame fr = {.function = symbols_function(s->symbols, &f),
                       .line_or_address = (uint64_t)line};

    return symbols_frame(s->symbols, &fr);
}

static uint32_t raw_frame(struct sample *s, const char *module, uint64_t address)
{
    struct mapping m = {.file = symbols_string(s->symbols, bytes_str(module)),
                        .build_id = symbols_string(s->symbols, BYTES_LIT("abcd"))};
    struct frame fr = {.mapping = symbols_mapping(s->symbols, &m), .line_or_address = address};

    return symbols_frame(s->symbols, &fr);
}

static uint32_t label_set(struct sample *s, const char *key, const char *value, int64_t num)
{
    struct label l[2] = {
        {.key = symbols_string(s->symbols, bytes_str(key)),
         .str = symbols_string(s->symbols, bytes_str(value))},
        {.key = symbols_string(s->symbols, BYTES_LIT("bytes")),
         .num = num,
         .unit = symbols_string(s->symbols, BYTES_LIT("b"))},
    };

    return profile_labels(&s->profile, l, 2);
}

static void fill(struct sample *s)
{
    uint32_t main_ = frame(s, "main", 10), work = frame(s, "work", 20);
    uint32_t raw = raw_frame(s, "/lib/libc.so.6", 0x1234);

    frame(s, "never_called", 1);
    declare(s, 2);
    profile_add(&s->profile, stacks_intern(s->stacks, (uint32_t[]){work, main_}, 2), 0,
                (int64_t[]){100, 1});
    profile_add(&s->profile, stacks_intern(s->stacks, (uint32_t[]){raw, work, main_}, 3),
                label_set(s, "endpoint", "/pay", -5), (int64_t[]){-7, INT64_MAX});
    profile_add(&s->profile, stacks_intern(s->stacks, NULL, 0), 0, (int64_t[]){INT64_MIN, 0});
}

static void print_labels(const struct profile *p, uint32_t set, struct buf *out)
{
    size_t n = 0;
    struct label *l;

    profile_label_set(p, set, &n);
    l = calloc(n + 1, sizeof *l);
    profile_label_set_by_text(p, set, l);
    for (size_t i = 0; i < n; i++) {
        buf_append_bytes(out, symbols_text(p->symbols, l[i].key));
        buf_append_str(out, "=");
        buf_append_bytes(out, symbols_text(p->symbols, l[i].str));
        buf_printf(out, "/%lld", (long long)l[i].num);
        buf_append_bytes(out, symbols_text(p->symbols, l[i].unit));
        buf_append_str(out, ",");
    }
    free(l);
}

static void print_span(const struct profile *p, uint32_t span, struct buf *out)
{
    const struct span *s = profile_get_span(p, span);

    if (span)
        buf_printf(out, "in %llx.%llx/%llx/%llx", (unsigned long long)s->trace_hi,
                   (unsigned long long)s->trace_lo, (unsigned long long)s->root,
                   (unsigned long long)s->id);
}

static void print_row(const struct profile *p, uint32_t row, struct buf *out)
{
    uint32_t frames[64];
    size_t n = stacks_frames(p->stacks, p->row_stack[row], frames, 64);

    for (size_t i = n; i-- > 0;) {
        const struct frame *f = symbols_get_frame(p->symbols, frames[i]);

        symbols_frame_name(p->symbols, frames[i], out);
        buf_printf(out, ":%llu:%lld;", (unsigned long long)f->line_or_address,
                   (long long)symbols_get_function(p->symbols, f->function)->start_line);
    }
    buf_append_str(out, " ");
    print_labels(p, p->row_labels[row], out);
    print_span(p, p->row_span ? p->row_span[row] : 0, out);
    for (uint32_t t = 0; t < p->n_types; t++)
        buf_printf(out, " %lld", (long long)p->values[t][row]);
    buf_append_str(out, "\n");
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *print(const struct profile *p)
{
    char **lines = calloc(p->n_rows + 1, sizeof *lines);
    struct buf out = {0};

    for (uint32_t i = 0; i < p->n_rows; i++) {
        struct buf line = {0};

        print_row(p, i, &line);
        lines[i] = strdup(buf_cstr(&line));
        buf_deinit(&line);
    }
    qsort(lines, p->n_rows, sizeof *lines, by_text);
    for (uint32_t i = 0; i < p->n_rows; i++) {
        buf_append_str(&out, lines[i]);
        free(lines[i]);
    }
    free(lines);
    buf_cstr(&out);
    return (char *)out.data; /* malloc'ed: freed by the caller */
}

static void assert_same(const struct profile *a, const struct profile *b)
{
    char *x = print(a), *y = print(b);

    assert_string_equal(x, y);
    free(x);
    free(y);
}

static struct record_header header(void)
{
    struct record_header h = {
        .source = {1, 2},
        .seq = 3,
        .low = 2,
        .tenant = BYTES_LIT("t"),
        .service = BYTES_LIT("checkout"),
        .start_ns = INT64_C(1700000000000000000),
        .end_ns = INT64_C(1700000010000000000),
        .format = BYTES_LIT("pprof"),
        .agent = BYTES_LIT("pyroscope-go/1.4"),
        .cumulative = true,
    };

    tags_add(&h.series, BYTES_LIT("env"), BYTES_LIT("prod"));
    tags_add(&h.instance, BYTES_LIT("host"), BYTES_LIT("a"));
    tags_add(&h.instance, BYTES_LIT("pid"), BYTES_LIT("1"));
    return h;
}

/* Collects what the encoder emits. */
struct parts {
    struct buf value[64];
    uint32_t n;
};

static int collect(void *ctx, uint32_t part, uint32_t parts, struct bytes value)
{
    struct parts *p = ctx;

    assert_int_equal(part, p->n);
    assert_true(parts <= 64 && part < parts);
    assert_true(value.len <= RECORD_BYTES_MAX);
    buf_append_bytes(&p->value[p->n++], value);
    return 0;
}

static void parts_deinit(struct parts *p)
{
    for (uint32_t i = 0; i < p->n; i++)
        buf_deinit(&p->value[i]);
}

static void encode(const struct sample *s, struct parts *out)
{
    struct record_encoder *e = record_encoder_new(1);
    struct record_header h = header();
    struct failure f;

    assert_int_equal(record_encode(e, &s->profile, types, &h, collect, out, &f), 0);
    record_encoder_free(e);
}

static int read_into(struct bytes value, struct sample *to, bool with_labels)
{
    struct record_decoder *d = record_decoder_new();
    struct record_header h;
    struct failure f;
    int r = record_open(d, value, &h, &f);

    if (r == 0)
        r = record_read(d, &to->profile, with_labels, with_labels);
    record_decoder_free(d);
    return r;
}

static void add_in_span(struct sample *s, struct span span, int64_t value)
{
    uint32_t stack = stacks_intern(s->stacks, (uint32_t[]){frame(s, "main", 10)}, 1);

    profile_add_in_span(&s->profile, stack, label_set(s, "endpoint", "/pay", 0),
                        profile_span(&s->profile, &span), (int64_t[]){value, 1});
}

static void spans_read_back_and_fold_where_nobody_wants_them(void **state)
{
    struct parts parts = {0};
    struct sample from, with, without;

    (void)state;
    sample_init(&from);
    sample_init(&with);
    sample_init(&without);
    fill(&from);
    add_in_span(&from, (struct span){.root = 1, .id = UINT64_MAX}, 10);
    add_in_span(&from, (struct span){.trace_hi = 1, .trace_lo = 2, .id = 3}, 20);
    add_in_span(&from, (struct span){0}, 40);
    encode(&from, &parts);
    assert_int_equal(read_into(buf_bytes(&parts.value[0]), &with, true), 0);
    assert_same(&from.profile, &with.profile);
    assert_int_equal(profile_n_spans(&with.profile), 3);
    assert_int_equal(read_into(buf_bytes(&parts.value[0]), &without, false), 0);
    assert_null(without.profile.row_span);
    assert_int_equal(without.profile.n_rows, 4);
    assert_int_equal(profile_total(&without.profile, 0), profile_total(&from.profile, 0));
    parts_deinit(&parts);
    sample_deinit(&from);
    sample_deinit(&with);
    sample_deinit(&without);
}

static void a_record_reads_back_with_its_header_and_every_row(void **state)
{
    struct record_decoder *d = record_decoder_new();
    struct parts parts = {0};
    struct sample from, to;
    struct record_header h;
    const struct bytes *names;
    struct failure f;
    uint32_t n;

    (void)state;
    sample_init(&from);
    sample_init(&to);
    fill(&from);
    encode(&from, &parts);
    assert_int_equal(parts.n, 1);
    assert_int_equal(record_open(d, buf_bytes(&parts.value[0]), &h, &f), 0);
    assert_true(h.source.hi == 1 && h.source.lo == 2 && h.seq == 3 && h.low == 2);
    assert_true(bytes_equal(h.service, BYTES_LIT("checkout")));
    assert_true(bytes_equal(h.tenant, BYTES_LIT("t")));
    assert_true(bytes_equal(h.agent, BYTES_LIT("pyroscope-go/1.4")));
    assert_true(bytes_equal(tags_get(&h.series, "env"), BYTES_LIT("prod")));
    assert_int_equal(h.instance.n, 2);
    assert_int_equal(h.start_ns, header().start_ns);
    assert_int_equal(h.end_ns, header().end_ns);
    assert_true(h.part == 0 && h.parts == 1 && h.cumulative);
    assert_int_equal(record_types(d, &names, &n), 0);
    assert_int_equal(n, 2);
    assert_true(bytes_equal(names[1], types[1]));
    assert_int_equal(record_read(d, &to.profile, true, true), 0);
    assert_same(&from.profile, &to.profile);
    record_decoder_free(d);
    parts_deinit(&parts);
    sample_deinit(&from);
    sample_deinit(&to);
}

static void it_carries_only_the_symbols_that_its_rows_use(void **state)
{
    struct parts parts = {0};
    struct sample from, to;

    (void)state;
    sample_init(&from);
    sample_init(&to);
    fill(&from);
    encode(&from, &parts);
    assert_int_equal(read_into(buf_bytes(&parts.value[0]), &to, false), 0);
    assert_int_equal(symbols_n_functions(to.symbols), symbols_n_functions(from.symbols) - 1);
    for (uint32_t i = 0; i < symbols_n_strings(to.symbols); i++) /* a label's, not read */
        assert_false(bytes_equal(symbols_text(to.symbols, i), BYTES_LIT("/pay")));
    parts_deinit(&parts);
    sample_deinit(&from);
    sample_deinit(&to);
}

static void without_labels_rows_of_one_stack_become_one(void **state)
{
    struct parts parts = {0};
    struct sample from, to;
    uint32_t stack;

    (void)state;
    sample_init(&from);
    sample_init(&to);
    declare(&from, 1);
    stack = stacks_intern(from.stacks, (uint32_t[]){frame(&from, "main", 1)}, 1);
    profile_add(&from.profile, stack, label_set(&from, "endpoint", "/a", 1), (int64_t[]){3});
    profile_add(&from.profile, stack, label_set(&from, "endpoint", "/b", 1), (int64_t[]){4});
    encode(&from, &parts);
    assert_int_equal(read_into(buf_bytes(&parts.value[0]), &to, false), 0);
    assert_int_equal(to.profile.n_rows, 1);
    assert_int_equal(to.profile.values[0][0], 7);
    parts_deinit(&parts);
    sample_deinit(&from);
    sample_deinit(&to);
}

static void reading_two_records_into_one_profile_adds_them(void **state)
{
    struct parts parts = {0};
    struct sample from, to;

    (void)state;
    sample_init(&from);
    sample_init(&to);
    declare(&from, 1);
    profile_add(&from.profile, stacks_intern(from.stacks, (uint32_t[]){frame(&from, "main", 1)}, 1),
                0, (int64_t[]){21});
    encode(&from, &parts);
    assert_int_equal(read_into(buf_bytes(&parts.value[0]), &to, false), 0);
    assert_int_equal(read_into(buf_bytes(&parts.value[0]), &to, false), 0);
    assert_int_equal(to.profile.n_rows, 1);
    assert_int_equal(profile_total(&to.profile, 0), 42);
    parts_deinit(&parts);
    sample_deinit(&from);
    sample_deinit(&to);
}

static void a_profile_without_samples_is_a_record_too(void **state)
{
    struct parts parts = {0};
    struct sample from, to;

    (void)state;
    sample_init(&from);
    sample_init(&to);
    declare(&from, 2);
    encode(&from, &parts);
    assert_int_equal(read_into(buf_bytes(&parts.value[0]), &to, true), 0);
    assert_int_equal(to.profile.n_rows, 0);
    assert_int_equal(to.profile.n_types, 2);
    parts_deinit(&parts);
    sample_deinit(&from);
    sample_deinit(&to);
}

static void other_types_than_the_profile_has_are_told_apart(void **state)
{
    struct parts parts = {0};
    struct sample from, to;

    (void)state;
    sample_init(&from);
    sample_init(&to);
    declare(&from, 2);
    declare(&to, 1);
    encode(&from, &parts);
    assert_int_equal(read_into(buf_bytes(&parts.value[0]), &to, false), PROFILE_E_TYPES);
    parts_deinit(&parts);
    sample_deinit(&from);
    sample_deinit(&to);
}

/* Random names do not compress: 40,000 stacks of them need several parts. */
static void a_large_profile_is_split_and_its_parts_sum_to_it(void **state)
{
    struct parts parts = {0};
    struct sample from, to;
    uint64_t seed = 42;
    char name[80];

    (void)state;
    sample_init(&from);
    sample_init(&to);
    declare(&from, 1);
    for (int i = 0; i < 40000; i++) {
        size_t at = 0;

        while (at < 64) {
            seed = hash_mix(seed + 1);
            at += (size_t)snprintf(name + at, sizeof name - at, "%llx", (unsigned long long)seed);
        }
        profile_add(&from.profile,
                    stacks_intern(from.stacks, (uint32_t[]){frame(&from, name, 1)}, 1), 0,
                    (int64_t[]){i});
    }
    encode(&from, &parts);
    assert_true(parts.n > 1);
    for (uint32_t i = 0; i < parts.n; i++)
        assert_int_equal(read_into(buf_bytes(&parts.value[i]), &to, false), 0);
    assert_same(&from.profile, &to.profile);
    parts_deinit(&parts);
    sample_deinit(&from);
    sample_deinit(&to);
}

static void a_sample_that_alone_exceeds_a_record_is_refused(void **state)
{
    struct record_encoder *e = record_encoder_new(1);
    struct record_header h = header();
    struct parts parts = {0};
    struct failure f = {0};
    struct sample s;
    char *name = malloc(4 << 20);
    uint64_t seed = 7;

    (void)state;
    for (size_t i = 0; i < 4 << 20; i++)
        name[i] = (char)(seed = hash_mix(seed + 1)) | 1;
    name[(4 << 20) - 1] = 0;
    sample_init(&s);
    declare(&s, 1);
    profile_add(&s.profile, stacks_intern(s.stacks, (uint32_t[]){frame(&s, name, 1)}, 1), 0,
                (int64_t[]){1});
    assert_int_equal(record_encode(e, &s.profile, types, &h, collect, &parts, &f), FAILURE);
    assert_int_equal(f.status, 413);
    assert_int_equal(parts.n, 0);
    record_encoder_free(e);
    sample_deinit(&s);
    free(name);
}

/* Functions are written as differences to the next new one; here most are another. */
static void functions_of_frames_come_in_any_order(void **state)
{
    static const char *const names[] = {"a", "b", "c", "d"};
    static const uint32_t order[] = {2, 0, 3, 1, 2, 0};
    enum { N = sizeof order / sizeof *order };
    struct parts parts = {0};
    struct sample from, to;
    uint32_t frames[N], functions[4];

    (void)state;
    sample_init(&from);
    sample_init(&to);
    declare(&from, 1);
    for (uint32_t i = 0; i < 4; i++) {
        struct function f = {.name = symbols_string(from.symbols, bytes_str(names[i]))};

        functions[i] = symbols_function(from.symbols, &f);
    }
    for (uint32_t i = 0; i < N; i++)
        frames[i] = symbols_frame(
            from.symbols, &(struct frame){.function = functions[order[i]], .line_or_address = i});
    profile_add(&from.profile, stacks_intern(from.stacks, frames, N), 0, (int64_t[]){1});
    encode(&from, &parts);
    assert_int_equal(read_into(buf_bytes(&parts.value[0]), &to, true), 0);
    assert_same(&from.profile, &to.profile);
    parts_deinit(&parts);
    sample_deinit(&from);
    sample_deinit(&to);
}

static void stamping_changes_the_sequence_and_nothing_else(void **state)
{
    struct record_decoder *d = record_decoder_new();
    struct parts parts = {0};
    struct record_header h;
    struct failure f;
    struct sample from, to;
    struct buf *value = &parts.value[0];

    (void)state;
    sample_init(&from);
    sample_init(&to);
    fill(&from);
    encode(&from, &parts);
    record_stamp(value->data, value->len, (struct hash128){0, UINT64_MAX}, 0, 0);
    assert_int_equal(record_open(d, buf_bytes(value), &h, &f), 0);
    assert_true(h.source.hi == 0 && h.source.lo == UINT64_MAX && h.seq == 0 && h.low == 0);
    record_stamp(value->data, value->len, (struct hash128){5, 6}, 1 << 20, 77);
    assert_int_equal(record_open(d, buf_bytes(value), &h, &f), 0);
    assert_true(h.source.hi == 5 && h.source.lo == 6 && h.seq == 1 << 20 && h.low == 77);
    assert_int_equal(record_read(d, &to.profile, true, true), 0);
    assert_same(&from.profile, &to.profile);
    record_decoder_free(d);
    parts_deinit(&parts);
    sample_deinit(&from);
    sample_deinit(&to);
}

static void every_flipped_bit_and_every_cut_is_noticed(void **state)
{
    struct record_decoder *d = record_decoder_new();
    struct parts parts = {0};
    struct record_header h;
    struct failure f;
    struct sample s, to;

    (void)state;
    sample_init(&s);
    sample_init(&to);
    fill(&s);
    encode(&s, &parts);
    for (size_t i = 0; i < parts.value[0].len; i++) {
        parts.value[0].data[i] ^= 0x10;
        if (record_open(d, buf_bytes(&parts.value[0]), &h, &f) == 0)
            assert_int_equal(record_read(d, &to.profile, true, true), -EBADMSG);
        parts.value[0].data[i] ^= 0x10;
    }
    for (size_t len = 0; len < parts.value[0].len; len++)
        assert_int_equal(record_open(d, bytes_of(parts.value[0].data, len), &h, &f), -EBADMSG);
    assert_int_equal(to.profile.n_rows, 0);
    record_decoder_free(d);
    parts_deinit(&parts);
    sample_deinit(&s);
    sample_deinit(&to);
}

/* ---- records made by hand: what only a liar writes ------------------------------------------- */

static void section(struct buf *columns, uint64_t tag, const char *hex)
{
    struct buf body = {0};
    unsigned byte;

    for (; *hex; hex += 2) {
        while (*hex == ' ')
            hex++;
        assert_int_equal(sscanf(hex, "%2x", &byte), 1);
        buf_append_u8(&body, (uint8_t)byte);
    }
    buf_varint(columns, tag);
    buf_varbytes(columns, buf_bytes(&body));
    buf_deinit(&body);
}

/* Takes the header of a real record and puts other columns behind it. */
static int read_columns(const struct buf *columns, struct sample *to)
{
    struct parts parts = {0};
    struct buf value = {0};
    struct cursor c;
    struct bytes head;
    struct sample s;
    uint32_t raw = (uint32_t)columns->len, crc;
    int r;

    sample_init(&s);
    declare(&s, 1);
    encode(&s, &parts);
    c = cursor_of(bytes_of(parts.value[0].data + 16, parts.value[0].len - 16));
    assert_true(varbytes_get(&c, &head));
    buf_append(&value, parts.value[0].data, (size_t)(c.at - parts.value[0].data));
    buf_append_bytes(&value, buf_bytes(columns));
    value.data[5] = 0;
    memcpy(value.data + 8, &raw, 4);
    crc = crc32c(0, bytes_of(value.data + 16, value.len - 16));
    memcpy(value.data + 12, &crc, 4);
    r = read_into(buf_bytes(&value), to, true);
    buf_deinit(&value);
    parts_deinit(&parts);
    sample_deinit(&s);
    return r;
}

/* The sections of a record with one type "x" and one row of value 1 at main:7; each may be
 * replaced. */
static int read_with(unsigned tag, const char *hex, struct sample *to)
{
    static const char *const good[] = {
        [1] = "01 01 78",          /* types: "x" */
        [2] = "01 00 04",          /* strings: one, which shares nothing */
        [3] = "01 01 00 00 00",    /* functions: name 1 */
        [4] = "00",                /* mappings */
        [5] = "01 01 00 07",       /* frames: the next function, line 7 */
        [6] = "01 00 02",          /* nodes: one, no break: under the root; frame 0 + 1 */
        [7] = "01 01 01 00 02 00", /* labels: one set of one, main=1 */
        [8] = "01 01 01",          /* rows: node 1, set 1 */
        [9] = "01 02",             /* values: step 1, 1 */
        [12] = "6d61696e",         /* texts: "main" */
    };
    struct buf columns = {0};
    int r;

    for (unsigned i = 1; i < sizeof good / sizeof *good; i++)
        if (i != tag && good[i])
            section(&columns, i, good[i]);
    if (hex)
        section(&columns, tag, hex);
    r = read_columns(&columns, to);
    buf_deinit(&columns);
    return r;
}

static void sections_of_later_versions_are_skipped(void **state)
{
    struct sample to;

    (void)state;
    sample_init(&to);
    assert_int_equal(read_with(77, "de ad be ef", &to), 0);
    assert_int_equal(profile_total(&to.profile, 0), 1);
    sample_deinit(&to);
}

static void a_record_that_lies_adds_no_row(void **state)
{
    static const struct {
        unsigned tag;
        const char *hex, *why;
    } lies[] = {
        {1, NULL, "no types"},
        {1, "00", "zero types"},
        {1, "02 01 78 01 79", "more types than value columns"},
        {1, "01 01 78 00", "bytes behind the types"},
        {2, "ff ff ff ff 0f", "more strings than bytes"},
        {2, "01 00 05", "a string longer than the texts"},
        {2, "01 00 03", "texts longer than the strings"},
        {2, "01 00 04 00", "bytes behind the strings"},
        {2, "01 01 03", "a string that shares more than there is before it"},
        {2, "02 00 05 04 00", "a second one that does"},
        {2, "01 00 ff ff ff 7f", "a string of many bytes"},
        {12, NULL, "strings without texts"},
        {12, "6d61696e 00", "bytes behind the texts"},
        {3, "01 02 00 00 00", "a function's name out of range"},
        {3, "01 01 00 00", "a function without a start line"},
        {4, "01 02 00", "a mapping's file out of range"},
        {5, "01 03 00 07", "a frame's function out of range"},
        {5, "01 02 00 07", "a frame's function that is none"},
        {5, "01 04 00 07", "a frame's function below all"},
        {5, "01 fe ff ff ff ff ff ff ff ff 01 00 07", "a frame's function far above all"},
        {5, "01 ff ff ff ff ff ff ff ff ff 01 00 07", "a frame's function far below all"},
        {5, "01 00 01 07", "a frame's mapping out of range"},
        {6, "01 01 00 00 02", "a node that is its own parent"},
        {6, "01 01 00 02 02", "a node whose parent is before the root"},
        {6, "01 00 04", "a node's frame out of range"},
        {6, "01 00 01", "a node's frame below all"},
        {6, "01 02 00 00 01 01 02", "a node's parent told twice"},
        {6, "01 01 01 01 02", "the parent of a node that is not there"},
        {6, "01 7f 02", "more parents than bytes"},
        {6, "01 00 02 00", "bytes behind the nodes"},
        {7, "01 01 02 00 02 00", "a label's key out of range"},
        {7, "01 ff ff 7f", "a label set too large"},
        {7, "01 02 01 00 02 00", "more labels than bytes"},
        {7, "02 01 00 01 00 02", "a label without a unit"},
        {7, "01 01 01 00 02 00 00", "bytes behind the labels"},
        {8, "01 02 00", "a row's node out of range"},
        {8, "01 01 02", "a row's label set out of range"},
        {8, "02 01 01 01 01", "more rows than values"},
        {9, "01 02 02", "more values than rows"},
        {9, "01 80", "a value cut off"},
        {9, "01", "a step and no value"},
        {9, "00 02", "a step of nothing"},
        {9, NULL, "no values"},
    };
    struct sample to;

    (void)state;
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        sample_init(&to);
        if (read_with(lies[i].tag, lies[i].hex, &to) != -EBADMSG)
            fail_msg("accepted: %s", lies[i].why);
        assert_int_equal(to.profile.n_rows, 0);
        sample_deinit(&to);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_reads_back_with_its_header_and_every_row),
        cmocka_unit_test(spans_read_back_and_fold_where_nobody_wants_them),
        cmocka_unit_test(it_carries_only_the_symbols_that_its_rows_use),
        cmocka_unit_test(without_labels_rows_of_one_stack_become_one),
        cmocka_unit_test(reading_two_records_into_one_profile_adds_them),
        cmocka_unit_test(a_profile_without_samples_is_a_record_too),
        cmocka_unit_test(other_types_than_the_profile_has_are_told_apart),
        cmocka_unit_test(a_large_profile_is_split_and_its_parts_sum_to_it),
        cmocka_unit_test(a_sample_that_alone_exceeds_a_record_is_refused),
        cmocka_unit_test(functions_of_frames_come_in_any_order),
        cmocka_unit_test(stamping_changes_the_sequence_and_nothing_else),
        cmocka_unit_test(every_flipped_bit_and_every_cut_is_noticed),
        cmocka_unit_test(sections_of_later_versions_are_skipped),
        cmocka_unit_test(a_record_that_lies_adds_no_row),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
