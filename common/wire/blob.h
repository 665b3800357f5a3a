/*
 * Blob: what the stored things of this folder have in common: magic (4), version u8, codec u8, flags
 * u16 (0), a body, and at the end the CRC32C of all before it (u32 LE).
 */
#ifndef HEARTH_WIRE_BLOB_H
#define HEARTH_WIRE_BLOB_H

#include "base/varint.h"

enum { BLOB_HEADER_BYTES = 8, BLOB_CRC_BYTES = 4 };

/* Appends the header; returns where it begins. The codec is set once it is known. */
size_t blob_begin(struct buf *out, const char magic[4], uint8_t version);
void blob_set_codec(struct buf *out, size_t begin, uint8_t codec);
void blob_end(struct buf *out, size_t begin);

/* The body of a blob of this magic and version. check_crc = false: for a glance at the figures.
 * 0 or -EBADMSG. */
int blob_open(struct bytes in, const char magic[4], uint8_t version, bool check_crc,
              uint8_t *ret_codec, struct cursor *ret_body);

#endif
