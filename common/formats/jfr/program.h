/*
 * JFR programs: a class of the metadata compiled to the steps in which its values stand on the
 * wire, to pass a value or to pick some of its fields.
 *
 * Programs live in the metadata and are valid as long as it is. One thread.
 */
#ifndef HEARTH_FORMATS_JFR_PROGRAM_H
#define HEARTH_FORMATS_JFR_PROGRAM_H

#include "formats/jfr/metadata.h"

/*
 * The program of all fields of a class; slot_of says which slot a field goes to (JFR_NO_SLOT: it is
 * only passed), may be NULL. False: a class that cannot be read (a field of an unknown class, or
 * structs in structs without end). slot_of must not compile.
 */
typedef uint8_t jfr_slot_of(void *ctx, const struct jfr_field *field);
bool jfr_compile(struct jfr_metadata *m, uint32_t class, jfr_slot_of *slot_of, void *ctx,
                 struct jfr_program *ret);
/* The class's own program, without slots; compiled once. NULL: it cannot be read. */
const struct jfr_program *jfr_program_of(struct jfr_metadata *m, uint32_t class);
/* A field picked from an event or a constant. */
struct jfr_value {
    uint64_t number; /* as it stands: sign and width are the caller's. JFR_REF: the key; floats: see
                        jfr_real() */
    const uint8_t *text; /* JFR_STRING: where it begins */
    uint32_t class;      /* JFR_REF */
    uint8_t kind;        /* JFR_STRUCT: absent */
};
/* The value as a real number, whatever it is on the wire. */
double jfr_real(const struct jfr_value *v);
/* Runs a program at c: the fields that have slots are written to slots[], the others are passed,
 * those behind the last one are not looked at. */
bool jfr_pick(struct jfr_metadata *m, struct jfr_cursor *c, const struct jfr_program *p,
              struct jfr_value *slots);

/* Passes one value of a class. False: malformed, or a class that cannot be read. */
bool jfr_skip_value(struct jfr_metadata *m, struct jfr_cursor *c, uint32_t class);

#endif
