/* Choose: which profile type and which series a side of a request means, from the catalogues. Pure.
 */
#ifndef HEARTH_QUERY_CHOOSE_H
#define HEARTH_QUERY_CHOOSE_H

#include "query/directory.h"
#include "query/request.h"

/* A series to be read. */
struct source {
    uint8_t side;
    uint32_t catalogue; /* index into the catalogues of the reading */
    struct hash128 kid, sid;
    uint32_t res_s;
};

struct sources {
    struct source *at;
    size_t n, cap;
};

/*
 * Completes the side's type (the one asked for, by full name or by one part; else the service's CPU
 * time, wall time, or only type) and appends the series that match. 0, or FAILURE: 404
 * service_not_found, 404 type_not_found, 400 type_ambiguous.
 */
int choose_sources(struct request_side *side, uint8_t number, struct bytes tenant,
                   struct catalogue *const *catalogues, size_t n_catalogues, struct sources *out,
                   struct failure *f);

#endif
