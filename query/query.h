/*
 * Query: answers from the store over HTTP (docs/api.md), and serves the web page. Adds its routes
 * to an HTTP server. Stateless but for caches of catalogues and, under a byte
 * budget, symbols. The loop does the I/O; merging runs on libuv's pool.
 */
#ifndef HEARTH_QUERY_QUERY_H
#define HEARTH_QUERY_QUERY_H

#include "base/options.h"
#include "net/http.h"
#include "store/store.h"

#define QUERY_OPTIONS(X)                                                                           \
    X(SIZE, cache_max, "64MiB", 0, INT64_C(1) << 40, NULL, "memory of the symbol cache") \
    X(INT, nodes_max, "1048576", 16, 100000000, NULL,                                              \
      "largest max_nodes a JSON query may ask for")                                                \
    X(SIZE, query_memory_max, "512MiB", 1 << 20, INT64_C(1) << 40, NULL,                           \
      "memory of the trees of one query")                                                          \
    X(STRING, web_dir, NULL, 0, 0, NULL,                                                           \
      "serve the web page from this directory instead of the built-in one")

struct query_options {
    QUERY_OPTIONS(OPTION_FIELD)
};
extern const struct option_row query_option_rows[];

void query_metrics_register(void); /* query_new does it; --metrics needs it before */

struct query;

struct query *query_new(uv_loop_t *loop, struct http_server *http, struct store *store,
                        const struct query_options *o);
bool query_ready(const struct query *q, struct buf *why);
/* After the HTTP server has closed. Closes the store handle too; then closed, once; frees. */
void query_close(struct query *q, void (*closed)(void *ctx), void *ctx);

#endif
