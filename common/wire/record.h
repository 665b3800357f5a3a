/*
 * Record: one normalised profile as it stands on the log (the Kafka value).
 *
 *   offset 0  4  magic "HRec"          8   4  raw length of the columns (u32 LE)
 *          4  1  version (3)           12  4  CRC32C of everything after byte 16 (u32 LE)
 *          5  1  codec (0 none, 1 zstd)
 *          6  2  flags (0)
 *   16 varint length, RecordHeader (proto/record.proto, by protobuf-c), then the columns, which are
 *   tagged sections (varint tag, varint length, bytes) under the codec, in one zstd frame or several.
 *   Unknown sections are skipped.
 *
 * Columns: strings and their texts, functions, mappings, frames, stacks as a prefix trie (a parent's
 * index is always smaller: no cycles by construction), label sets, spans, rows (node, label set,
 * span), one value column per profile type. A record is self-contained. Above RECORD_BYTES_MAX a
 * profile is split by rows into parts k of n, which count as one profile.
 *
 * Decoding trusts nothing: CRC first, every index checked, the raw length capped.
 */
#ifndef HEARTH_WIRE_RECORD_H
#define HEARTH_WIRE_RECORD_H

#include "base/err.h"
#include "base/hash.h"
#include "profile/profile.h"
#include "profile/series.h"

enum {
    RECORD_BYTES_MAX = 900 * 1000,          /* of a whole record, under the broker's 1 MB */
    RECORD_RAW_MAX = 64 << 20,              /* of the inflated columns */
    RECORD_HEADER_MAX = 128 << 10,          /* of RecordHeader */
};

struct record_header {
    struct hash128 source;      /* a collector's start; with (seq, low) it makes resends harmless */
    uint64_t seq, low;          /* per source and partition; low: smallest seq not yet acknowledged */
    struct bytes tenant, service;
    struct tags series;         /* env, version and the other series tags; service is not in it */
    struct tags instance;       /* host, pod, runtime-id, pid …: never a key */
    int64_t start_ns, end_ns;   /* Unix time; the midpoint places the profile in a window */
    struct bytes format, agent;
    uint32_t part, parts;       /* part < parts; parts ≥ 1 */
    bool cumulative;
};

struct record_encoder;          /* zstd context and scratch; one thread */

struct record_encoder *record_encoder_new(int zstd_level);    /* ≥ 1 */
void record_encoder_free(struct record_encoder *e);

/* Called once a part; seq has to be given then, so that each part has its own. value is the encoder's
 * and valid during the call. A nonzero return stops and is returned. */
typedef int record_emit_cb(void *ctx, uint32_t part, uint32_t parts, struct bytes value);

/* types[n_types of p]: the five-part name of each value column. The header's part and parts are
 * filled here; record_stamp sets the sequence later. p is not changed. 0, the callback's, or FAILURE
 * when one row alone exceeds the limit. */
int record_encode(struct record_encoder *e, const struct profile *p, const struct bytes *types,
                  const struct record_header *h, record_emit_cb *emit, void *ctx, struct failure *f);

/*
 * (source, seq, low) stand at a fixed place behind RecordHeader's length, so that the publisher can
 * stamp them on its own thread when the record goes out, and again nothing when it is resent: a
 * resend is byte for byte the same. Recomputes the CRC. value is the whole record.
 */
void record_stamp(uint8_t *value, size_t len, struct hash128 source, uint64_t seq, uint64_t low);

struct record_decoder;

struct record_decoder *record_decoder_new(void);
void record_decoder_free(struct record_decoder *d);

/* Checks magic, version and CRC and reads the header, no more: what a duplicate costs. Views in h are
 * valid until the next call. 0 or -EBADMSG (f says what is wrong). */
int record_open(struct record_decoder *d, struct bytes value, struct record_header *h,
                struct failure *f);
/* Of the opened record, whose value has to be there still. The five-part names of its value columns,
 * valid until the next record_open. 0 or -EBADMSG. */
int record_types(struct record_decoder *d, const struct bytes **ret_types, uint32_t *ret_n);
/* Adds the opened record's rows to into, whose types become the five-part names (unit id 0). All or
 * nothing: of a bad record only symbols and stacks without values may stay. Labels are read only if
 * with_labels, spans only if with_spans. 0, -EBADMSG, or PROFILE_E_TYPES. */
int record_read(struct record_decoder *d, struct profile *into, bool with_labels, bool with_spans);

#endif
