/*
 * JFR events: which of them count, what, and by which of their fields. docs/formats.md publishes
 * the table. An event is bound to its chunk's metadata once, by names; its fields are then picked
 * from each event into slots.
 */
#ifndef HEARTH_FORMATS_JFR_EVENTS_H
#define HEARTH_FORMATS_JFR_EVENTS_H

#include "formats/jfr/journal.h"
#include "formats/jfr/pools.h"

/* How an event's fields become its one or two values. */
enum jfr_rule {
    JFR_RULE_INTERVAL,    /* amount × the interval of the source */
    JFR_RULE_TIME,        /* time */
    JFR_RULE_ONE,         /* 1 */
    JFR_RULE_ONE_AMOUNT,  /* 1, amount */
    JFR_RULE_ONE_TIME,    /* 1, time */
    JFR_RULE_TIME_AMOUNT, /* time, amount */
    JFR_RULE_WEIGHTED,    /* weight, amount × weight */
    JFR_RULE_SETTING,     /* these count nothing: they say how others count */
    JFR_RULE_CONFIG,
    JFR_RULE_ENDPOINT,
};

struct jfr_event_type {
    const char *name;
    enum jfr_rule rule;
    enum jfr_source source;
    const char *amount; /* NULL: 1 each */
    const char *time;
    const char *label_field, *label; /* a class or string that becomes a label */
};

enum jfr_slot {
    JFR_SLOT_STACK,
    JFR_SLOT_STATE,
    JFR_SLOT_AMOUNT,
    JFR_SLOT_WEIGHT,
    JFR_SLOT_TIME,
    JFR_SLOT_LABEL,
    JFR_SLOT_SPAN,
    JFR_SLOT_ROOT,
    JFR_SLOT_TRACE_HI,
    JFR_SLOT_TRACE_LO,
    JFR_SLOT_CONTEXT,
    JFR_SLOT_SPAN_NAME,
    JFR_SLOT_ID, /* of JFR_RULE_SETTING */
    JFR_SLOT_NAME,
    JFR_SLOT_VALUE,
    JFR_SLOT_CPU, /* of JFR_RULE_CONFIG */
    JFR_SLOT_WALL,
    JFR_SLOT_ENDPOINT,
    JFR_SLOT_ATTRIBUTE, /* the first of Datadog's context attributes */
    JFR_SLOTS = JFR_SLOT_ATTRIBUTE + 16,
};

/* An event type as one chunk writes it. */
struct jfr_binding {
    const struct jfr_event_type *type;
    struct jfr_program program;
    uint32_t n_attributes;
    struct bytes attribute[JFR_SLOTS - JFR_SLOT_ATTRIBUTE]; /* names: views of the metadata */
    enum jfr_unit unit[JFR_SLOTS];
};

struct jfr_bindings {
    struct jfr_binding *at;
    size_t cap;
    uint32_t n;
    uint16_t *of_class; /* [class] binding + 1; 0: none */
    size_t of_class_cap;
};

void jfr_bindings_deinit(struct jfr_bindings *b);
/* Binds what the chunk's metadata has of the table, and wants the pools that hold its texts. */
void jfr_bindings_make(struct jfr_bindings *b, struct jfr_pools *pools);
/* The binding of an event's type id, or NULL. */
const struct jfr_binding *jfr_binding_of(const struct jfr_bindings *b, const struct jfr_metadata *m,
                                         uint64_t type);

#endif
