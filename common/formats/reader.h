/*
 * What every reader of a format is given, and where its profiles go.
 *
 * The bytes of one upload may hold several profiles: OTLP has one for each resource and type, a JFR
 * recording one for each kind of event. A reader fills `into` with one of them, calls
 * reading_emit(), which hands it on and empties it, and goes on with the next. Symbols and stacks
 * stay from one to the next, so what was interned stays valid. A reader that fails has emitted what
 * it emitted: whoever collects them drops all (an upload counts as a whole or not at all).
 *
 * Readers bind their own views and scratch; the plain bytes they are given stay valid while they run.
 */
#ifndef HEARTH_FORMATS_READER_H
#define HEARTH_FORMATS_READER_H

#include "base/err.h"
#include "profile/profile.h"
#include "profile/series.h"

struct profile_limits {
    uint32_t samples_max;       /* refuse above */
    uint32_t depth_max;         /* refuse above: frames of one stack, inlined ones counted */
    uint32_t locations_max, functions_max, strings_max;     /* mappings: as functions */
    uint32_t labels_max;        /* per sample, not counting those set aside */
    uint32_t values_max;        /* samples * sample types */
    uint32_t lines_max;         /* of all locations together */
    uint32_t nodes_max;         /* new nodes in the tree of stacks */
};
extern const struct profile_limits profile_limits_default;

/* What a reader counted, repaired or set aside in one upload. Adds up over its profiles. */
struct decode_stats {
    uint32_t samples;           /* as sent, before equal ones were summed */
    uint32_t zero_samples;      /* all values 0: nothing to count */
    uint32_t duplicate_ids;     /* mapping, function or location ids given twice: the first holds */
    uint32_t dangling_refs;     /* lines without their function, locations without their mapping */
    uint32_t bad_strings;       /* string indexes out of range, read as "" */
    uint32_t labels_set_aside;  /* timestamps, addresses: they would make samples unique */
    uint32_t utf8_repaired;     /* strings whose bad bytes became U+FFFD */
    uint32_t strings_cut;       /* longer than 65,535 bytes */
    uint32_t events_skipped;    /* JFR events and chunks, text lines, that carry no profile */
    uint64_t inflated_bytes;    /* of bodies that came compressed */
    uint32_t profiles_refused;  /* OTLP: profiles of an upload that could not be taken … */
    char refused_why[160];      /* … and the first one's reason */
};

/* What the request says about bytes that do not say it themselves. Empty: unknown. Views. */
struct read_hints {
    struct bytes format;        /* "pprof", "jfr", "folded", "lines", "trie", "tree", "speedscope",
                                   "perf", "cpuprofile", "otlp", "otlp_json"; empty: by first bytes */
    struct bytes sample_type, unit;     /* of formats without types of their own; else samples, count */
    uint32_t sample_rate_hz;    /* folded stacks of CPU samples become nanoseconds by it; 0: 100 */
    struct bytes jfr_labels;    /* Pyroscope's LabelsSnapshot (protobuf, may be gzip), or empty */
};

/* About one emitted profile. Views, valid during the call. */
struct profile_about {
    const char *format;         /* "pprof", "otlp" … */
    const struct tag *attributes;       /* of the resource, in the agent's spelling */
    size_t n_attributes;
    struct bytes hint;          /* the family of its types (profile/types.h), or empty */
};

typedef int read_emit_cb(void *ctx, struct profile *p, const struct profile_about *about,
                         struct failure *f);

struct reading {
    const struct profile_limits *limits;
    struct read_hints hints;
    bool with_spans;            /* keep span and trace ids (struct span) */
    struct profile *into;       /* empty when a reader begins */
    struct decode_stats *stats; /* never NULL */
    read_emit_cb *emit;
    void *ctx;
    struct failure *f;
};

/* Hands `into` on and resets it (rows, types, label sets; not symbols and stacks). 0 or the
 * callback's FAILURE, which ends the reading. */
int reading_emit(struct reading *rd, const struct profile_about *about);

/*
 * A sample label in any agent's spelling, sorted by what it is (reader.c has the table):
 * identity labels keep their name, "trace endpoint" and its kin become "endpoint"; span, root span and
 * trace ids, as decimal or hex text or as the bits of an int64, go to the sample's span; timestamps,
 * thread numbers and the like that make each sample unique are set aside.
 */
enum label_kind {
    LABEL_IDENTITY,
    LABEL_ENDPOINT,             /* identity, under the name "endpoint" */
    LABEL_SPAN, LABEL_ROOT_SPAN, LABEL_TRACE,
    LABEL_SET_ASIDE,
};
enum label_kind label_kind_of(struct bytes key);
/* Reads a span id: decimal, or hex of 16 digits; a trace id: hex of 32 digits (span: hi 0). 0 or -1. */
int span_id_parse(struct bytes text, uint64_t *ret);
int trace_id_parse(struct bytes text, uint64_t *ret_hi, uint64_t *ret_lo);

#endif
