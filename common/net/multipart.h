/*
 * multipart/form-data over a body in memory (RFC 7578, RFC 2046). Views into the body, no copies.
 * Bounded: PARTS_MAX parts, header block of a part 8 KiB.
 */
#ifndef HEARTH_NET_MULTIPART_H
#define HEARTH_NET_MULTIPART_H

#include "base/bytes.h"
#include "base/err.h"

enum { PARTS_MAX = 64 };

struct part {
    struct bytes name, filename, content_type, body;    /* empty where absent */
};

/* content_type: the request's header. 0 with parts[*ret_n], or FAILURE (400). */
int multipart_parse(struct bytes content_type, struct bytes body, struct part parts[PARTS_MAX],
                    size_t *ret_n, struct failure *f);

#endif
