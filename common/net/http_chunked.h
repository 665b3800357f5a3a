/*
 * The chunked transfer coding (RFC 9112, 7.1), strictly: a size of 1 to 8 hex digits, CRLF and
 * nothing like it at the end of each line and of each chunk, extensions passed over, trailers
 * skipped. Of our own because llhttp 8.1.0 takes any two bytes for the end of a chunk. Pure; no
 * allocation.
 */
#ifndef HEARTH_NET_HTTP_CHUNKED_H
#define HEARTH_NET_HTTP_CHUNKED_H

#include "base/bytes.h"

struct http_chunked {
    int state;
    uint32_t left; /* of the chunk's size or, in a line, of the bytes it may have */
    uint32_t digits, line;
    bool trailers; /* there were some */
};

enum chunked_result {
    CHUNKED_MORE, /* the input is used up */
    CHUNKED_DATA, /* *ret is a piece of the body */
    CHUNKED_END,  /* of the message; what is left of the input is not of it */
    CHUNKED_BAD,
};

/* A zeroed struct is the start. Call again with what is left of `in` until MORE, END or BAD. */
enum chunked_result http_chunked_next(struct http_chunked *c, struct bytes *in, struct bytes *ret);

#endif
