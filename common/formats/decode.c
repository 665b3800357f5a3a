/*
 * How it works. Inflate, look at the first bytes, hand over. A pprof has no magic, so it is
 * recognised by what nothing else has: its first fields are ones that Profile defines, with their
 * wire types, and some byte among the first is one that no text would hold.
 */
#include "formats/decode.h"

#include "base/xalloc.h"
#include "formats/inflate.h"
#include "formats/protobuf.h"

#include <stdio.h>
#include <stdlib.h>

enum { SNIFF_BYTES = 64, SNIFF_FIELDS = 4 };

struct decoder {
    struct decode_limits limits;
    struct inflater *inflater;
    struct buf inflated;
    struct pprof_reader *pprof;
};

struct decoder *decoder_new(const struct decode_limits *limits)
{
    struct decoder *d = xcalloc(1, sizeof *d);

    d->limits = *limits;
    d->inflater = inflater_new();
    d->pprof = pprof_reader_new();
    return d;
}

void decoder_free(struct decoder *d)
{
    if (!d)
        return;
    inflater_free(d->inflater);
    buf_deinit(&d->inflated);
    pprof_reader_free(d->pprof);
    free(d);
}

static bool is_text(struct bytes s)
{
    for (size_t i = 0; i < s.len && i < SNIFF_BYTES; i++)
        if (s.data[i] == 0x7f || (s.data[i] < 0x20 && !strchr("\t\n\r", s.data[i])) || !s.data[i])
            return false;
    return true;
}

/* Is this byte the tag of a field of Profile, with the wire type that belongs to it? */
static bool is_profile_tag(uint8_t tag)
{
    enum { MESSAGES = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 11 | 1 << 13 };
    enum { NUMBERS = 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 15 };
    unsigned number = tag >> 3, type = tag & 7;

    if (number > 15)
        return false;
    return type == PB_LEN ? MESSAGES >> number & 1 : type == PB_VARINT && (NUMBERS >> number & 1);
}

/* What is cut short within these fields is a damaged pprof, and pprof_read will say so. */
static bool is_pprof(struct bytes s)
{
    struct cursor c = cursor_of(s);
    struct pb_field f;

    if (is_text(s))
        return false;
    for (int i = 0; i < SNIFF_FIELDS && c.at < c.end; i++) {
        if (!is_profile_tag(*c.at))
            return false;
        if (pb_next(&c, &f) != PB_FIELD)
            return true;
    }
    return true;
}

static int unknown_format(struct bytes s, struct failure *f)
{
    char hex[3 * 8 + 1] = "";

    if (s.len == 0)
        return fail(f, 400, "malformed", NULL, "the profile is empty");
    for (size_t i = 0; i < s.len && i < 8; i++)
        snprintf(hex + 3 * i, 4, "%02x ", s.data[i]);
    return fail(f, 415, "unknown_format", "pprof is understood, plain or in gzip, zstd or lz4",
                "not a profile in a known format; it begins with the bytes %s", hex);
}

int decode(struct decoder *d, struct bytes body, struct profile *into, const char **ret_format,
           struct pprof_stats *stats, struct failure *f)
{
    struct bytes plain;

    if (inflate(d->inflater, body, d->limits.inflated_max_bytes, &d->inflated, &plain, f))
        return FAILURE;
    if (!is_pprof(plain))
        return unknown_format(plain, f);
    if (pprof_read(d->pprof, plain, &d->limits.pprof, 0, into, stats, f))
        return FAILURE;
    *ret_format = "pprof";
    return 0;
}
