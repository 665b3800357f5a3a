/*
 * How it works. Inflate, look at the first bytes, hand over. A pprof has no magic, and its fields
 * may come in any order, so that its first bytes may be those of a text: "` 8\n" is a period and
 * the frames to drop. It is recognised by what nothing else has: field after field is of the types
 * that Profile defines, until there are more of them than chance would make, or up to its end with
 * the first string an empty one. OTLP has but two fields at its top, a text no NUL.
 *
 * One that is short, and cut or without strings, is recognised, when nothing else is, by its first
 * fields and by some byte among the first that no text would hold, to be told what is wrong with
 * it.
 */
#include "formats/decode.h"

#include "base/utf8.h"
#include "base/xalloc.h"
#include "formats/inflate.h"
#include "formats/jfr.h"
#include "formats/otlp.h"
#include "formats/pprof.h"
#include "formats/protobuf.h"
#include "formats/text.h"

#include <stdio.h>
#include <stdlib.h>

enum { SNIFF_BYTES = 64, SNIFF_FIELDS = 4, PROFILE_FIELDS = 15 };

struct decoder {
    struct decode_limits limits;
    struct inflater *inflater;
    struct buf inflated;
    struct pprof_reader *pprof;
    struct jfr_reader *jfr;
    struct otlp_reader *otlp;
    struct text_reader *text;
};

struct decoder *decoder_new(const struct decode_limits *limits)
{
    struct decoder *d = xcalloc(1, sizeof *d);

    d->limits = *limits;
    d->inflater = inflater_new();
    d->pprof = pprof_reader_new();
    d->jfr = jfr_reader_new();
    d->otlp = otlp_reader_new();
    d->text = text_reader_new();
    return d;
}

void decoder_free(struct decoder *d)
{
    if (!d)
        return;
    inflater_free(d->inflater);
    buf_deinit(&d->inflated);
    pprof_reader_free(d->pprof);
    jfr_reader_free(d->jfr);
    otlp_reader_free(d->otlp);
    text_reader_free(d->text);
    free(d);
}

static bool is_text(struct bytes s)
{
    for (size_t i = 0; i < s.len && i < SNIFF_BYTES; i++)
        if (utf8_is_control(s.data[i]))
            return false;
    return true;
}

/* Is it a field of Profile, with the wire type that belongs to it? */
static bool is_profile_field(unsigned number, unsigned type)
{
    enum { MESSAGES = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 11 | 1 << 13 };
    enum { NUMBERS = 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 15 };

    if (number > PROFILE_FIELDS)
        return false;
    return type == PB_LEN ? MESSAGES >> number & 1 : type == PB_VARINT && (NUMBERS >> number & 1);
}

/* Fields that a later version may have are passed, as protobuf wants it. OTLP's are 1 and 2. A text
 * can go on as fields for long ("p;" is one), so of what begins as text all is looked at. */
static bool is_plainly_pprof(struct bytes s)
{
    enum { OTLP_FIELDS = 2, STRING = 6, ENOUGH = 16 };
    struct cursor c = cursor_of(s);
    bool text = is_text(s), strings = false;
    int n_others = 0;
    enum pb_step step;
    struct pb_field f;

    while ((step = pb_next(&c, &f)) == PB_FIELD) {
        if (f.number <= PROFILE_FIELDS && !is_profile_field((unsigned)f.number, f.type))
            return false;
        if (f.number == STRING && !strings && f.data.len > 0)
            return false;
        strings |= f.number == STRING;
        n_others += f.number > OTLP_FIELDS && f.number <= PROFILE_FIELDS;
        if (n_others == ENOUGH && !text)
            return true;
    }
    return step == PB_END && strings;
}

/* What is cut short within these fields is a damaged pprof, and pprof_read will say so. */
static bool is_pprof(struct bytes s)
{
    struct cursor c = cursor_of(s);
    struct pb_field f;

    if (is_text(s))
        return false;
    for (int i = 0; i < SNIFF_FIELDS && c.at < c.end; i++) {
        if (!is_profile_field(*c.at >> 3, *c.at & 7))
            return false;
        if (pb_next(&c, &f) != PB_FIELD)
            return true;
    }
    return true;
}

static void add_stats(struct decode_stats *sum, const struct decode_stats *st)
{
    sum->samples += st->samples;
    sum->zero_samples += st->zero_samples;
    sum->duplicate_ids += st->duplicate_ids;
    sum->dangling_refs += st->dangling_refs;
    sum->bad_strings += st->bad_strings;
    sum->labels_set_aside += st->labels_set_aside;
    sum->utf8_repaired += st->utf8_repaired;
    sum->strings_cut += st->strings_cut;
    sum->events_skipped += st->events_skipped;
}

static int read_pprof(struct decoder *d, const char *format, struct bytes raw, struct reading *rd)
{
    const struct profile_about about = {.format = format};
    struct decode_stats stats = {0};
    int r = pprof_read(d->pprof, raw, rd->limits, rd->with_spans ? PPROF_SPANS : 0, rd->into,
                       &stats, rd->f);

    add_stats(rd->stats, &stats);
    return r ? FAILURE : reading_emit(rd, &about);
}

static int read_jfr(struct decoder *d, const char *format, struct bytes raw, struct reading *rd)
{
    (void)format;
    return jfr_read(d->jfr, raw, rd);
}

static int read_otlp(struct decoder *d, const char *format, struct bytes raw, struct reading *rd)
{
    (void)format;
    return otlp_read(d->otlp, raw, rd);
}

static int read_otlp_json(struct decoder *d, const char *format, struct bytes raw,
                          struct reading *rd)
{
    (void)format;
    return otlp_read_json(d->otlp, raw, rd);
}

static int read_text(struct decoder *d, const char *format, struct bytes raw, struct reading *rd)
{
    return text_read(d->text, format, raw, rd);
}

/* Every format by its name, which is also what the record says. */
static const struct format {
    const char *name;
    int (*read)(struct decoder *d, const char *format, struct bytes raw, struct reading *rd);
} formats[] = {
    {"pprof", read_pprof},         {"jfr", read_jfr},         {"otlp", read_otlp},
    {"otlp_json", read_otlp_json}, {"folded", read_text},     {"lines", read_text},
    {"trie", read_text},           {"tree", read_text},       {"perf", read_text},
    {"speedscope", read_text},     {"cpuprofile", read_text}, {"heapprofile", read_text},
};

static const struct format *format_named(struct bytes name)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (bytes_equal(name, bytes_str(formats[i].name)))
            return &formats[i];
    return NULL;
}

/* The most certain first: a magic, a pprof that can be nothing else, then what text shows, then
 * protobuf of which only the shape is there to be recognised. */
const char *decode_format_of(struct bytes plain)
{
    const char *text;

    if (is_jfr(plain))
        return "jfr";
    if (is_plainly_pprof(plain))
        return "pprof";
    if (is_otlp_json(plain))
        return "otlp_json";
    if ((text = text_format_of(plain)) != NULL)
        return text;
    if (is_otlp(plain))
        return "otlp";
    return is_pprof(plain) ? "pprof" : NULL;
}

static int unknown_format(struct bytes s, struct failure *f)
{
    char hex[3 * 8 + 1] = "";

    if (s.len == 0)
        return fail(f, 400, "malformed", NULL, "the profile is empty");
    for (size_t i = 0; i < s.len && i < 8; i++)
        snprintf(hex + 3 * i, 4, "%02x ", s.data[i]);
    return fail(f, 415, "unknown_format", "docs/formats.md lists what is understood",
                "not a profile in a known format; it begins with the bytes %s", hex);
}

static int no_such_format(struct bytes name, struct failure *f)
{
    struct buf list = {0};

    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        buf_append_str(&list, i ? ", " : "");
        buf_append_str(&list, formats[i].name);
    }
    fail(f, 415, "unknown_format", buf_cstr(&list), "there is no format \"%.*s\"",
         (int)(name.len < 40 ? name.len : 40), (const char *)name.data);
    buf_deinit(&list);
    return FAILURE;
}

int decoder_inflate(struct decoder *d, struct bytes body, struct bytes *ret, struct failure *f)
{
    return inflate(d->inflater, body, d->limits.inflated_max_bytes, &d->inflated, ret, f);
}

int decode(struct decoder *d, struct bytes body, struct reading *rd)
{
    struct bytes named = rd->hints.format, plain;
    const struct format *format;

    rd->limits = &d->limits.profile;
    if (decoder_inflate(d, body, &plain, rd->f))
        return FAILURE;
    rd->stats->inflated_bytes += plain.data == body.data ? 0 : plain.len;
    format = format_named(named.len ? named : bytes_str(decode_format_of(plain)));
    if (named.len && !format)
        return no_such_format(named, rd->f);
    /* An OTLP message without a byte is one without profiles. */
    if (!format || (plain.len == 0 && format->read != read_otlp))
        return unknown_format(plain, rd->f);
    return format->read(d, format->name, plain, rd);
}
