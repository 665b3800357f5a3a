/*
 * How it works. The table of labels is a small sorted list that is searched once a key and profile:
 * readers remember the answer by the key's number. What decides about a label is whether its values
 * repeat: a thread's name does, a thread's number does not, or not in the next process.
 */
#include "formats/reader.h"

#include <stdlib.h>

const struct profile_limits profile_limits_default = {
    .samples_max = 1000000,
    .depth_max = 4096,
    .locations_max = 500000,
    .functions_max = 500000,
    .strings_max = 1000000,
    .labels_max = 100,
    .values_max = 8 << 20,
    .lines_max = 1000000,
    .nodes_max = 2000000,
};

int reading_emit(struct reading *rd, const struct profile_about *about)
{
    int r = rd->emit(rd->ctx, rd->into, about, rd->f);

    profile_reset(rd->into);
    return r;
}

struct label_row {
    const char *key;
    enum label_kind kind;
};

/* Sorted by key: bytes' order, so capitals first and '_' behind them. */
static const struct label_row labels[] = {
    {"address", LABEL_SET_ASIDE},
    {"addresses", LABEL_SET_ASIDE},
    {"allocation id", LABEL_SET_ASIDE},
    {"async id", LABEL_SET_ASIDE},         /* dd-trace-js */
    {"bytes", LABEL_SET_ASIDE},            /* Go's heap profile: size of the object */
    {"end_timestamp_ns", LABEL_SET_ASIDE}, /* libdatadog */
    {"endpoint", LABEL_ENDPOINT},
    {"fd", LABEL_SET_ASIDE},
    {"local root span id", LABEL_ROOT_SPAN}, /* Datadog */
    {"localRootSpanId", LABEL_ROOT_SPAN},    /* Datadog's JFR */
    {"local_root_span_id", LABEL_ROOT_SPAN},
    {"object id", LABEL_SET_ASIDE},
    {"origin task id", LABEL_SET_ASIDE}, /* ddtrace */
    {"os thread id", LABEL_SET_ASIDE},   /* dd-trace-js */
    {"profile_id", LABEL_SPAN},          /* Pyroscope's older name of the span */
    {"root_span_id", LABEL_ROOT_SPAN},
    {"span id", LABEL_SPAN},       /* Datadog */
    {"spanId", LABEL_SPAN},        /* JFR */
    {"spanName", LABEL_ENDPOINT},  /* Pyroscope's JFR */
    {"span_id", LABEL_SPAN},       /* Pyroscope, OTLP */
    {"span_name", LABEL_ENDPOINT}, /* Pyroscope: of the root span only */
    {"task id", LABEL_SET_ASIDE},
    {"thread id", LABEL_SET_ASIDE},
    {"thread native id", LABEL_SET_ASIDE},
    {"thread.id", LABEL_SET_ASIDE}, /* OTLP */
    {"thread_id", LABEL_SET_ASIDE},
    {"time", LABEL_SET_ASIDE},
    {"timestamp", LABEL_SET_ASIDE},
    {"timestamp_ns", LABEL_SET_ASIDE}, /* Datadog's host profiler */
    {"timestamps", LABEL_SET_ASIDE},
    {"trace endpoint", LABEL_ENDPOINT}, /* Datadog */
    {"trace id", LABEL_TRACE},
    {"traceId", LABEL_TRACE},
    {"trace_endpoint", LABEL_ENDPOINT},
    {"trace_id", LABEL_TRACE}, /* Pyroscope, OTLP */
};

static int row_cmp(const void *key, const void *row)
{
    const struct bytes *k = key;

    return bytes_cmp(*k, bytes_str(((const struct label_row *)row)->key));
}

enum label_kind label_kind_of(struct bytes key)
{
    const struct label_row *row =
        bsearch(&key, labels, sizeof labels / sizeof *labels, sizeof *labels, row_cmp);

    return row ? row->kind : LABEL_IDENTITY;
}

/* 16 digits at most. */
static int hex_parse(struct bytes s, uint64_t *ret)
{
    uint64_t v = 0;

    for (size_t i = 0; i < s.len; i++) {
        int digit = hex_digit(s.data[i]);

        if (digit < 0)
            return -1;
        v = v << 4 | (uint64_t)digit;
    }
    *ret = v;
    return 0;
}

static int decimal_parse(struct bytes s, uint64_t *ret)
{
    uint64_t v = 0;

    for (size_t i = 0; i < s.len; i++)
        if (s.data[i] < '0' || s.data[i] > '9' || __builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(s.data[i] - '0'), &v))
            return -1;
    if (s.len == 0 || s.len > 20)
        return -1;
    *ret = v;
    return 0;
}

/*
 * Sixteen digits are hex, whatever they look like: who writes hex always writes all sixteen. Of
 * Datadog's random ids, in decimal, one in a thousand has sixteen digits and is misread, the same
 * way in every sample.
 */
int span_id_parse(struct bytes text, uint64_t *ret)
{
    return text.len == 16 ? hex_parse(text, ret) : decimal_parse(text, ret);
}

int trace_id_parse(struct bytes text, uint64_t *ret_hi, uint64_t *ret_lo)
{
    uint64_t hi = 0, lo;

    if (text.len == 32) {
        if (hex_parse(bytes_of(text.data, 16), &hi) || hex_parse(bytes_of(text.data + 16, 16), &lo))
            return -1;
    } else if (span_id_parse(text, &lo)) {
        return -1;
    }
    *ret_hi = hi;
    *ret_lo = lo;
    return 0;
}
