/* The CRC comes last so that a blob is written front to back into one buffer. */
#include "wire/blob.h"

#include "base/crc32c.h"

#include <endian.h>
#include <errno.h>

enum { AT_VERSION = 4, AT_CODEC = 5 };

size_t blob_begin(struct buf *out, const char magic[4], uint8_t version)
{
    size_t begin = out->len;
    uint8_t header[BLOB_HEADER_BYTES] = {[AT_VERSION] = version};

    memcpy(header, magic, 4);
    buf_append(out, header, sizeof header);
    return begin;
}

void blob_set_codec(struct buf *out, size_t begin, uint8_t codec)
{
    out->data[begin + AT_CODEC] = codec;
}

void blob_end(struct buf *out, size_t begin)
{
    uint32_t crc = htole32(crc32c(0, bytes_of(out->data + begin, out->len - begin)));

    buf_append(out, &crc, sizeof crc);
}

static bool crc_is_right(struct bytes in)
{
    size_t len = in.len - BLOB_CRC_BYTES;

    return load32(in.data + len) == crc32c(0, bytes_of(in.data, len));
}

int blob_open(struct bytes in, const char magic[4], uint8_t version, bool check_crc,
              uint8_t *ret_codec, struct cursor *ret_body)
{
    if (in.len < BLOB_HEADER_BYTES + BLOB_CRC_BYTES || memcmp(in.data, magic, 4) != 0)
        return -EBADMSG;
    if (in.data[AT_VERSION] != version || in.data[6] != 0 || in.data[7] != 0)
        return -EBADMSG;
    if (check_crc && !crc_is_right(in))
        return -EBADMSG;
    *ret_codec = in.data[AT_CODEC];
    *ret_body = cursor_of(
        bytes_of(in.data + BLOB_HEADER_BYTES, in.len - BLOB_HEADER_BYTES - BLOB_CRC_BYTES));
    return 0;
}
