/*
 * JFR journal: what the events of a whole body count, kept until the last one is read, then emitted
 * as one profile for each family of types.
 *
 * Only the end tells all: which endpoint a root span had (any chunk may say so), and which of the
 * events that measure one thing, if there are several, is taken (enum jfr_source, in order of
 * preference). One thread.
 */
#ifndef HEARTH_FORMATS_JFR_JOURNAL_H
#define HEARTH_FORMATS_JFR_JOURNAL_H

#include "formats/jfr/ids.h"
#include "formats/reader.h"

/* What was measured. Sources of one thing exclude each other: the first that occurs counts. */
enum jfr_source {
    JFR_CPU_DATADOG,
    JFR_CPU_TIME,
    JFR_CPU_SAMPLE,
    JFR_CPU_OF_WALL,
    JFR_WALL_DATADOG,
    JFR_WALL_CLOCK,
    JFR_WALL_SAMPLE,
    JFR_NATIVE_SAMPLE,
    JFR_ALLOC_IN_NEW_TLAB,
    JFR_ALLOC_OUTSIDE_TLAB,
    JFR_ALLOC_SAMPLE,
    JFR_ALLOC_DATADOG,
    JFR_LIVE,
    JFR_LIVE_DATADOG,
    JFR_MALLOC,
    JFR_MUTEX,
    JFR_BLOCK,
    JFR_FILE_READ,
    JFR_FILE_WRITE,
    JFR_SOCKET_READ,
    JFR_SOCKET_WRITE,
    JFR_EXCEPTION,
    JFR_METHOD,
    JFR_OTHER_EVENT, /* what async-profiler was told to count: cache-misses … */
    JFR_N_SOURCES,
};

enum { JFR_VALUES = 2, JFR_EVENT_NAME_MAX = 40 };

struct jfr_label {
    uint32_t key, value; /* string ids */
};

struct jfr_row {
    uint32_t stack, labels, span;
    enum jfr_source source;
    int64_t value[JFR_VALUES];
};

struct jfr_journal {
    struct reading *rd;
    struct jfr_row *row;
    struct jfr_label *label; /* of all sets, one behind the other */
    uint32_t *set_end;       /* [set]; set 0 is empty */
    struct span *span;       /* [span]; span 0 is none */
    size_t row_cap, label_cap, set_cap, span_cap;
    uint32_t n_rows, n_labels, n_sets, n_spans;
    struct table sets, spans;
    const uint64_t *secret; /* hash_secret() */
    struct jfr_ids roots;   /* of endpoints */
    uint32_t *endpoint;     /* [root] string id */
    size_t endpoint_cap;
    uint32_t n_of[JFR_N_SOURCES]; /* rows */
    char event[JFR_EVENT_NAME_MAX];
    int64_t begin_ns, end_ns;        /* of all chunks; 0: unknown */
    int64_t interval[JFR_N_SOURCES]; /* of the samples, in ns; 0: they have none */
};

void jfr_journal_deinit(struct jfr_journal *j);
size_t jfr_journal_bytes(const struct jfr_journal *j);
void jfr_journal_begin(struct jfr_journal *j, struct reading *rd);

/* Ids for rows; 0 for no labels, and for an empty span. Labels are sorted here. */
uint32_t jfr_journal_labels(struct jfr_journal *j, struct jfr_label *labels, size_t n);
uint32_t jfr_journal_span(struct jfr_journal *j, const struct span *span);
/* Adds a row. 0, FAILURE: more than samples_max. */
int jfr_journal_add(struct jfr_journal *j, const struct jfr_row *row);
/* The endpoint (string id) of a root span: the last one told holds. */
void jfr_journal_endpoint(struct jfr_journal *j, uint64_t root, uint32_t endpoint);
/* Extends the time that the profiles are of. */
void jfr_journal_time(struct jfr_journal *j, int64_t begin_ns, int64_t duration_ns);

/* Emits a profile for each family that has rows. 0 or FAILURE. */
int jfr_journal_emit(struct jfr_journal *j);

#endif
