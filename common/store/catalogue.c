/* One entry is one flat string of varints: there are as many as series and types of a partition,
 * and query reads them all at once. */
#include "store/catalogue.h"

#include "base/varint.h"

#include <errno.h>

enum { CATALOGUE_VERSION = 1 };

void catalogue_encode(const struct catalogue_entry *e, struct buf *out)
{
    struct buf tags = {0};

    buf_append_u8(out, CATALOGUE_VERSION);
    buf_varint(out, (uint64_t)e->first_s);
    buf_varint(out, (uint64_t)e->last_s);
    buf_varbytes(out, e->tenant);
    buf_varbytes(out, e->service);
    buf_varbytes(out, e->type);
    tags_encode(&e->series, &tags);
    buf_varbytes(out, buf_bytes(&tags));
    buf_varint(out, e->res_s);
    buf_deinit(&tags);
}

int catalogue_decode(struct catalogue_entry *e, struct bytes in)
{
    struct cursor c = cursor_of(in);
    struct bytes version, tags;
    uint64_t first, last, res;

    if (!cursor_take(&c, 1, &version) || version.data[0] != CATALOGUE_VERSION)
        return -EBADMSG;
    if (!varint_get(&c, &first) || !varint_get(&c, &last) || !varbytes_get(&c, &e->tenant) ||
        !varbytes_get(&c, &e->service) || !varbytes_get(&c, &e->type) || !varbytes_get(&c, &tags) ||
        !varint_get(&c, &res) || cursor_left(&c) > 0)
        return -EBADMSG;
    if (first > INT64_MAX || last > INT64_MAX || res == 0 || res > UINT32_MAX)
        return -EBADMSG;
    e->first_s = (int64_t)first;
    e->last_s = (int64_t)last;
    e->res_s = (uint32_t)res;
    return tags_decode(&e->series, tags);
}
