/*
 * JFR labels: the LabelsSnapshot that Pyroscope's Java agent sends beside a recording. Events carry
 * a context id; the snapshot says which labels that context had:
 *
 *     LabelsSnapshot { 1: contexts  map<int64, Context>,  2: strings  map<int64, string> }
 *     Context        { 1: labels    map<int64, int64> }       string id of a key → of its value
 *
 * Views are of the bytes read, which the caller keeps. One thread.
 */
#ifndef HEARTH_FORMATS_JFR_LABELS_H
#define HEARTH_FORMATS_JFR_LABELS_H

#include "base/varint.h"
#include "formats/jfr/ids.h"
#include "formats/reader.h"

struct jfr_label_map {
    struct jfr_ids ids;
    struct bytes *value; /* [index] */
    size_t value_cap;
};

struct jfr_labels {
    struct jfr_label_map contexts, strings;
};

void jfr_labels_deinit(struct jfr_labels *l);
size_t jfr_labels_bytes(const struct jfr_labels *l);
/* Reads a snapshot (plain protobuf); none if raw is empty. 0 or FAILURE. */
int jfr_labels_read(struct jfr_labels *l, struct bytes raw, struct reading *rd);
/* A string of the snapshot; empty if it has none of this id. */
struct bytes jfr_labels_string(const struct jfr_labels *l, uint64_t id);
/* The labels of a context, one by one, from a zeroed walk; false at the end. */
struct jfr_label_walk {
    struct cursor c;
    bool begun;
};
bool jfr_labels_next(const struct jfr_labels *l, uint64_t context, struct jfr_label_walk *w,
                     struct bytes *ret_key, struct bytes *ret_value);

#endif
