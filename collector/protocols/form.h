/*
 * The parts of a Pyroscope upload's form that matter: the profile, a recording's labels, and what
 * the types are called. Codec threads.
 */
#ifndef HEARTH_COLLECTOR_PROTOCOLS_FORM_H
#define HEARTH_COLLECTOR_PROTOCOLS_FORM_H

#include "collector/codec.h"

enum { FORM_HINTS_MAX = 64, FORM_CONFIG_MAX = 16 << 10 };

/* The family of a sample type ("mutex", "block" …), told by its display name. */
struct form_hint {
    char type[64], family[16];
};

struct form {
    struct bytes profile, labels; /* views into the body */
    struct form_hint hints[FORM_HINTS_MAX];
    size_t n_hints;
};

/* 0 or FAILURE (400). */
int form_read(struct form *form, struct bytes content_type, struct bytes body, struct failure *f);
/* The same of a body that is a form, compressed as a whole or not, or the profile itself, by its
 * content type. */
int form_open(struct codec *k, struct form *form, struct bytes content_type, struct bytes body);
/* Empty when the form says nothing. ctx: the form. For struct codec_item. */
struct bytes form_family(const void *ctx, struct bytes sample_type);

bool form_is_multipart(struct bytes content_type);
/* A Content-Encoding that bodies may have: what it says is told by their first bytes, too. 0 or
 * FAILURE (415). */
int form_check_coding(struct bytes coding, struct failure *f);

#endif
