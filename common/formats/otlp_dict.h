/*
 * The dictionary of one OTLP upload: where its entries stand on the wire, and what has been read of
 * them. Every entry is read when it is first referred to, and once: profiles of one upload share
 * strings, frames and whole stacks.
 *
 * Private to the OTLP reader. Views point into the upload; ids are of the reading's symbols and
 * stacks, which live as long.
 */
#ifndef HEARTH_FORMATS_OTLP_DICT_H
#define HEARTH_FORMATS_OTLP_DICT_H

#include "formats/protobuf.h"
#include "formats/reader.h"

/* What one profile of an upload is refused for, and the others are not; `why` says it. */
enum { OTLP_E_REFUSED = 2 };

/* Field numbers of ProfilesDictionary. */
enum otlp_table_number {
    OTLP_MAPPINGS = 1,
    OTLP_LOCATIONS,
    OTLP_FUNCTIONS,
    OTLP_LINKS,
    OTLP_STRINGS,
    OTLP_ATTRIBUTES,
    OTLP_STACKS,
    OTLP_N_TABLES,
};

struct otlp_table {
    struct bytes *at;
    size_t cap;
    uint32_t n; /* counted on beyond the limit, but not stored */
};

/* An AnyValue, of which only the flat ones are looked into: there is no recursion. */
enum otlp_any_kind { OTLP_ANY_NONE, OTLP_ANY_TEXT, OTLP_ANY_BOOL, OTLP_ANY_INT, OTLP_ANY_OTHER };
struct otlp_any {
    enum otlp_any_kind kind;
    struct bytes text;
    uint64_t ref; /* of text, when it is a string of the dictionary; else 0 */
    int64_t number;
};

/* An entry of attribute_table as it stands on the wire. */
struct otlp_pair {
    struct bytes key;
    uint64_t key_ref;
    struct otlp_any value;
};

/* An attribute of samples, by what becomes of it. */
enum otlp_attribute_kind {
    OTLP_ATTRIBUTE_UNREAD,
    OTLP_ATTRIBUTE_SET_ASIDE,
    OTLP_ATTRIBUTE_LABEL,
    OTLP_ATTRIBUTE_SERVICE, /* the service of these samples: label.str */
    OTLP_ATTRIBUTE_SPAN,    /* any of its ids: span */
};
struct otlp_attribute {
    enum otlp_attribute_kind kind;
    struct label label;
    struct span span;
};

struct otlp_mapping {
    bool read;
    uint32_t id; /* of symbols */
    uint64_t start, limit, offset;
};

struct otlp_run {
    uint32_t begin, n; /* of otlp_dict.frame; n = UINT32_MAX: not read yet */
};

struct otlp_dict {
    struct reading *rd;
    struct otlp_table table[OTLP_N_TABLES];
    char why[160]; /* of the last OTLP_E_REFUSED */

    /* private */
    uint32_t *string_id, *function_id, *stack_id; /* UINT32_MAX: not read yet */
    size_t string_id_cap, function_id_cap, stack_id_cap;
    struct otlp_mapping *mapping;
    size_t mapping_cap;
    struct otlp_run *location;
    size_t location_cap;
    struct otlp_attribute *attribute;
    size_t attribute_cap;
    uint32_t *frame; /* frames of the locations read */
    size_t n_frame, frame_cap;
    uint32_t *stack; /* scratch, leaf first */
    size_t stack_cap;
    struct buf text;
    uint64_t frames_left; /* the work that stacks may cause */
    uint32_t nodes_before;
};

void otlp_dict_deinit(struct otlp_dict *d);
size_t otlp_dict_bytes(const struct otlp_dict *d);

/* Pass one: begin, note every dictionary message of the upload (protobuf merges them), then open.
 */
void otlp_dict_begin(struct otlp_dict *d, struct reading *rd);
int otlp_dict_note(struct otlp_dict *d, struct bytes message);
int otlp_dict_open(struct otlp_dict *d, size_t upload_bytes);

/* A string of the wire as it stands there (empty where there is none), and as a symbol id. */
struct bytes otlp_text(struct otlp_dict *d, uint64_t index);
uint32_t otlp_string(struct otlp_dict *d, uint64_t index);
uint32_t otlp_intern(struct otlp_dict *d, struct bytes text);
/* The stack's id. 0, OTLP_E_REFUSED or FAILURE. */
int otlp_stack(struct otlp_dict *d, uint64_t index, uint32_t *ret);
/* 0, OTLP_E_REFUSED or FAILURE. */
int otlp_attribute(struct otlp_dict *d, uint64_t index, const struct otlp_attribute **ret);
/* 0 or FAILURE; an index out of range reads as no attribute. */
int otlp_pair(struct otlp_dict *d, uint64_t index, struct otlp_pair *ret);
/* Adds trace and span id of a link. 0 or FAILURE. */
int otlp_link(struct otlp_dict *d, uint64_t index, struct span *span);
/* A KeyValue: its key inline, or by reference (since 1.10), or both. 0 or FAILURE. */
int otlp_key_value(struct otlp_dict *d, struct bytes message, struct bytes *ret_key,
                   struct otlp_any *ret_value);

/* The failures of a whole upload. */
int otlp_malformed(const struct reading *rd, const char *what);
int otlp_above_limit(const struct reading *rd, const char *what, uint64_t n, uint64_t max,
                     const char *setting);
/* Notes why and returns OTLP_E_REFUSED. */
int otlp_refuse(struct otlp_dict *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
