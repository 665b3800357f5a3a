/*
 * Decode: one upload's body, compressed or not, in any known format, told apart by its first bytes or
 * by the request's word, to profiles. The list of formats grows here and nowhere else.
 */
#ifndef HEARTH_FORMATS_DECODE_H
#define HEARTH_FORMATS_DECODE_H

#include "formats/reader.h"

struct decode_limits {
    size_t inflated_max_bytes;
    struct profile_limits profile;
};

struct decoder;                 /* inflater, readers and their scratch; one thread */

struct decoder *decoder_new(const struct decode_limits *limits);
void decoder_free(struct decoder *d);

/*
 * Reads body into profiles: each is emitted once (rd->emit). rd->limits is set here. 0, or FAILURE:
 * 415 unknown_format, or what inflate and the format's reader say. An upload without profiles (OTLP
 * may have none) emits nothing and is 0.
 */
int decode(struct decoder *d, struct bytes body, struct reading *rd);
/* What plain bytes look like, as decode() would take them; NULL: nothing that is known. */
const char *decode_format_of(struct bytes plain);
/* The bytes under the compression (formats/inflate.h) under the decoder's cap; the view is of body or
 * of the decoder's memory, valid until its next call. */
int decoder_inflate(struct decoder *d, struct bytes body, struct bytes *ret, struct failure *f);

#endif
