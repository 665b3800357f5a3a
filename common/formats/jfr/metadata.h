/*
 * JFR metadata: the classes of one chunk, as the chunk itself describes them. jfr/program.h reads
 * values by them.
 *
 * Everything is known by its index in `classes`; ids are the chunk's. Names are views of the chunk
 * or of the arena. Valid until the next jfr_metadata_read. One thread.
 */
#ifndef HEARTH_FORMATS_JFR_METADATA_H
#define HEARTH_FORMATS_JFR_METADATA_H

#include "base/arena.h"
#include "base/err.h"
#include "formats/jfr/ids.h"
#include "formats/jfr/wire.h"

enum { JFR_NONE = UINT32_MAX, JFR_NO_SLOT = 0xff };

/* How a value stands on the wire. JFR_REF: a key of the pool of the field's class. */
enum jfr_kind {
    JFR_STRUCT,
    JFR_INT8,
    JFR_INT16,
    JFR_INT32,
    JFR_INT64,
    JFR_FLOAT,
    JFR_DOUBLE,
    JFR_STRING,
    JFR_REF,
};

/* What a number of time counts (jdk.jfr.Timespan). */
enum jfr_unit { JFR_NO_UNIT, JFR_TICKS, JFR_NS, JFR_US, JFR_MS, JFR_S };

struct jfr_field {
    struct bytes name;
    uint64_t class_id;
    bool pooled, array;
    enum jfr_unit unit;
};

/* One step of a program: a value, or an array of them. A JFR_STRUCT is an array always: single ones
 * are compiled in. */
struct jfr_op {
    uint8_t kind, slot;
    bool array;
    uint32_t class; /* JFR_REF, JFR_STRUCT */
};

struct jfr_program {
    uint32_t first, n;
    uint32_t n_picked; /* steps to the last one with a slot */
    bool varints;      /* compressed numbers and nothing else */
    uint8_t state;
};

struct jfr_class {
    uint64_t id;
    struct bytes name;
    enum jfr_kind kind;
    uint32_t first_field, n_fields;
    struct jfr_program program; /* compiled when first needed */
    uint32_t pool;              /* of jfr_pools, or JFR_NONE: not wanted */
};

struct jfr_metadata {
    struct bytes *strings;
    struct jfr_class *classes;
    struct jfr_field *fields;
    struct jfr_op *ops;
    size_t string_cap, class_cap, field_cap, op_cap;
    uint32_t n_strings, n_classes, n_fields, n_ops;
    struct jfr_ids ids; /* of classes */
    struct arena arena;
    bool compressed;
};

void jfr_metadata_init(struct jfr_metadata *m);
void jfr_metadata_deinit(struct jfr_metadata *m);
size_t jfr_metadata_bytes(const struct jfr_metadata *m); /* memory held */

/* Reads the metadata event (its body). 0, or -EBADMSG; -E2BIG above strings_max strings, classes or
 * fields. */
int jfr_metadata_read(struct jfr_metadata *m, struct bytes body, bool compressed,
                      uint32_t strings_max);

/* Index of a class, or JFR_NONE. */
uint32_t jfr_class_by_id(const struct jfr_metadata *m, uint64_t id);
uint32_t jfr_class_by_name(const struct jfr_metadata *m, struct bytes name);
/* A class's field of this name, or NULL. */
const struct jfr_field *jfr_field_of(const struct jfr_metadata *m, uint32_t class,
                                     const char *name);
struct jfr_field *jfr_fields(const struct jfr_metadata *m, uint32_t class, uint32_t *ret_n);

#endif
