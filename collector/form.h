/* The parts of a Pyroscope upload's form that matter: the profile, and what its types are called.
 */
#ifndef HEARTH_COLLECTOR_FORM_H
#define HEARTH_COLLECTOR_FORM_H

#include "base/bytes.h"
#include "base/err.h"

enum { FORM_HINTS_MAX = 64, FORM_CONFIG_MAX = 16 << 10 };

/* The family of a sample type ("mutex", "block" …), told by its display name. */
struct form_hint {
    char type[64], family[16];
};

struct form {
    struct bytes profile; /* view into the body */
    struct form_hint hints[FORM_HINTS_MAX];
    size_t n_hints;
};

/* 0 or FAILURE (400). */
int form_read(struct form *form, struct bytes content_type, struct bytes body, struct failure *f);
/* Empty when the form says nothing. */
struct bytes form_hint_of(const struct form *form, struct bytes sample_type);

#endif
