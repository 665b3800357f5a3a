/* Base64 (RFC 4648), either alphabet, with or without padding: as JSON's mapping of protobuf reads
 * it. */
#ifndef HEARTH_BASE_BASE64_H
#define HEARTH_BASE_BASE64_H

#include "base/bytes.h"

/* Appends the bytes to out. 0, or -EBADMSG with out as it was. */
int base64_decode(struct bytes text, struct buf *out);

#endif
