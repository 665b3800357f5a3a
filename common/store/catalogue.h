/*
 * Catalogue entry: what a kid is, as aggregators write it and query reads it. Canonical bytes:
 * version u8, varint first and last seen (Unix seconds, of event time), varbytes tenant, service,
 * profile type, varbytes tags (series.h canonical form), varint window width in seconds.
 */
#ifndef HEARTH_STORE_CATALOGUE_H
#define HEARTH_STORE_CATALOGUE_H

#include "profile/series.h"

struct catalogue_entry {
    int64_t first_s, last_s;
    struct bytes tenant, service, type;
    struct tags series;             /* without service */
    uint32_t res_s;                 /* base window width */
};

void catalogue_encode(const struct catalogue_entry *e, struct buf *out);
int catalogue_decode(struct catalogue_entry *e, struct bytes in);   /* 0 or -EBADMSG; views into in */

#endif
