/*
 * What people say about bytes that do not say it themselves: the same words as parameters of a POST
 * and as tags of the framed stream (docs/api.md has the table). They are no tags of the profile.
 */
#ifndef HEARTH_COLLECTOR_PROTOCOLS_HINTS_H
#define HEARTH_COLLECTOR_PROTOCOLS_HINTS_H

#include "base/err.h"
#include "formats/reader.h"

enum { HINT_E_OTHER = 2 }; /* the name is not one of these */

/* Sets what name says, if it was not said before; the value stays the caller's. 0, HINT_E_OTHER, or
 * FAILURE (400) for a value that it cannot have. */
int hint_read(struct read_hints *h, struct bytes name, struct bytes value, struct failure *f);

#endif
