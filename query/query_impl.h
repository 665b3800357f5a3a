/* Query, inside: what the handlers share. Nobody outside of query/ includes this. */
#ifndef HEARTH_QUERY_QUERY_IMPL_H
#define HEARTH_QUERY_QUERY_IMPL_H

#include "base/metrics.h"
#include "query/directory.h"
#include "query/generations.h"
#include "query/query.h"
#include "query/request.h"

enum { QUERIES_MAX = 64 }; /* that run at once; more get 503 */

struct query {
    uv_loop_t *loop;
    struct store *store;
    const struct query_options *options;
    struct directory *directory;
    struct generations generations;
    uint32_t active; /* requests in work */
    bool closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* Bracket every request that waits for the store. begin: false, answered with 503, if there are too
 * many. */
bool query_begin(struct query *q, struct http_request *req);
void query_end(struct query *q);

void respond_json(struct http_request *req, struct buf *body_taken);
/* What a store error is to a reader: 503 store_unavailable. */
void failure_of_store(struct failure *f, int r);

/* read.c: flamegraph, diff, top */
void read_start(struct query *q, struct http_request *req, enum endpoint endpoint);
/* listing.c; ctx: struct query */
http_handler listing_services, listing_types, listing_labels, listing_series, listing_status;
/* page.c: routes of the web page */
void page_routes(struct query *q, struct http_server *http);

enum { M_REQUESTS, M_SECONDS, M_GAPS, M_REFUSED, QUERY_METRICS };
extern struct metric query_metrics[QUERY_METRICS];
enum { REQUEST_FLAMEGRAPH, REQUEST_DIFF, REQUEST_TOP, REQUEST_LISTING }; /* label of M_REQUESTS */

#endif
