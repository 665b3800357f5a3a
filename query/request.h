/*
 * Request: the parameters of a reading, checked (docs/api.md). An unknown parameter is an error: a
 * misspelt filter must not silently widen an answer.
 */
#ifndef HEARTH_QUERY_REQUEST_H
#define HEARTH_QUERY_REQUEST_H

#include "net/http.h"
#include "query/answer.h"
#include "query/selector.h"

enum endpoint { ENDPOINT_FLAMEGRAPH, ENDPOINT_DIFF, ENDPOINT_TOP };

struct request_side {
    struct buf service, type; /* type empty: to be chosen */
    struct range range;       /* as asked for */
    struct selector selector;
};

struct request {
    enum endpoint endpoint;
    struct buf tenant;
    uint32_t n_sides;
    struct request_side sides[SIDES_MAX];
    enum granularity granularity;
    enum answer_format format;
    uint32_t max_nodes, limit;
    enum top_sort sort;
};

/* out is zeroed. 0, or FAILURE with what was filled to be freed by request_deinit all the same. */
int request_read(struct request *out, enum endpoint endpoint, const struct http_request *req,
                 int64_t now_ns, int64_t nodes_max, struct failure *f);
void request_deinit(struct request *r);

/* X-Scope-OrgID, else TENANT_DEFAULT. 0, or FAILURE: nobody can have that name. */
int request_tenant(const struct http_request *req, struct buf *out, struct failure *f);

/* 0, or FAILURE unless every parameter is one of names (NULL-terminated), and given once. */
int request_only(const struct http_request *req, const char *const *names, struct failure *f);
/* The parameters from and until. missing: what stands for both when neither is given. */
int request_range(const struct http_request *req, const char *from, const char *until,
                  int64_t now_ns, struct range missing, struct range *ret, struct failure *f);

#endif
