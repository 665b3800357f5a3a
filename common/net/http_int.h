/*
 * HTTP server, inside: what http.c (server, listeners, routes), http_conn.c (the life of a
 * connection), http_parse.c (bytes to request, the only file that calls llhttp), http_request.c
 * (what handlers ask of a request), http_response.c (answers) and http_stream.c (upgrades) share.
 * Nobody else includes this.
 *
 * Ownership: a connection owns its request until the handler has it; from then on the request frees
 * itself when it is answered, and its `conn` becomes NULL if the connection dies first. The
 * server's memory goes with the last connection and the last request.
 */
#ifndef HEARTH_NET_HTTP_INT_H
#define HEARTH_NET_HTTP_INT_H

#include "base/list.h"
#include "base/metrics.h"
#include "net/http.h"
#include "net/http_chunked.h"
#include "net/http_stream.h"
#include "net/listener.h"

#include <llhttp.h>

enum {
    HTTP_HEADERS_MAX = 100,
    HTTP_PARAMS_MAX = 64,
    HTTP_READ_BYTES = 64 << 10,   /* the one buffer that all connections read into */
    HTTP_CHUNKED_STEP = 64 << 10, /* first reservation of a body whose length is not told */
};

struct http_route {
    const char *methods, *path; /* path: without the '*' */
    size_t path_len;
    bool prefix, suffix;
    http_handler *handler;
    void *ctx;
    http_refusal *refuse; /* NULL: JSON */
    bool discards;        /* bodies */
};

struct http_server {
    uv_loop_t *loop;
    struct http_limits limits;
    struct http_route *routes;
    size_t n_routes, cap_routes;
    struct listeners listeners;
    struct list conns;
    uint32_t n_requests;
    struct body_budget own_budget; /* where limits have none to share */
    struct body_budget_holder holder;
    uint8_t *read_buf;  /* made with the first connection */
    uv_timer_t grace;
    bool closing, closed_told;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

enum conn_state {
    CONN_HEAD, /* idle, or reading a header block */
    CONN_BODY,
    CONN_WAIT,   /* the handler has the request */
    CONN_ANSWER, /* writing */
    CONN_STREAM, /* upgraded: its bytes are no concern of HTTP's any more */
    CONN_LINGER, /* answered without reading the body: let the peer read the answer first */
    CONN_CLOSING,
};

struct http_conn {
    union net_stream u;
    uv_timer_t timer;
    uv_write_t write;
    uv_shutdown_t shutdown;
    struct http_server *server;
    struct list link;
    enum conn_state state;
    struct http_request *req; /* NULL while idle */
    uint64_t heard_ms;        /* CONN_BODY, CONN_STREAM: the loop's time when something came last */
    struct buf rest;          /* read, but of a later request */
    struct buf out_head, out_body;
    size_t unsent_bytes; /* at the last look of the write deadline */
    unsigned open_handles;
    bool close_after;

    /* CONN_STREAM */
    const struct http_stream_events *events;
    void *events_ctx;
    uint32_t idle_ms;
    bool writing; /* out_body; out_head waits */
    bool ended;   /* the peer sends no more */
};

struct http_pair {
    struct bytes name, value;
};

struct http_request {
    struct http_server *server;
    struct http_conn *conn; /* NULL: the peer is gone, the answer goes nowhere */
    llhttp_t parser;
    struct buf head; /* the header block; what follows are views into it */
    struct buf body;
    size_t charged; /* of the server's budget */
    struct bytes method, target, path;
    struct http_pair headers[HTTP_HEADERS_MAX], params[HTTP_PARAMS_MAX];
    size_t n_headers, n_params;
    struct http_chunked chunks;
    uint64_t content_length, arrived; /* bytes of the body */
    bool head_done, done, keep_alive, http10, chunked, expects, handled, discards;
    const struct http_route *route;
    struct failure failure; /* why parsing stopped; code empty: it did not */
};

/* http_parse.c. What arrives goes into r->head until the block ends. FAILURE fills r->failure. */
/* Takes bytes of the header block; *ret_used of them. 0: more is needed, 1: the block is whole. */
enum { HTTP_HEAD_MORE = 0, HTTP_HEAD_WHOLE = 1, HTTP_HEAD_BAD = 2 };
int http_parse_take_head(struct http_request *r, struct bytes in, size_t *ret_used);
int http_parse_head(struct http_request *r);
/* Appends body bytes, unless it discards them; r->done at the end of the message. */
int http_parse_body(struct http_request *r, struct bytes in, size_t *ret_used);

/* http_request.c */
struct http_request *http_request_new(struct http_conn *conn);
void http_request_free(struct http_request *r);
int http_request_read_target(struct http_request *r); /* path and parameters; 0 or FAILURE */
int http_request_charge(struct http_request *r, size_t more);

/* http.c */
const struct http_route *http_route_find(const struct http_server *s, struct bytes method,
                                         struct bytes path, struct buf *ret_allow);
void http_server_conn_gone(struct http_server *s);
void http_server_try_free(struct http_server *s);

/* http_conn.c */
void http_conn_accept(struct listener *l);
void http_conn_answer(struct http_conn *c, bool keep_alive);
/* Refuses the bodies that stand still (limits.stall_ms), and so frees what they hold of the budget.
 */
void http_conns_give_way(struct http_server *s);
void http_conn_stop(struct http_conn *c, bool now);
void http_conn_close(struct http_conn *c);
/* For http_stream.c. */
void http_conn_become_stream(struct http_conn *c);
void http_conn_read(struct http_conn *c);
void http_conn_heard(struct http_conn *c); /* the idle time begins anew */
void http_conn_write_stream(struct http_conn *c);

/* Metrics of all servers of the process. */
enum {
    M_HTTP_CONNECTIONS,
    M_HTTP_ACCEPTED,
    M_HTTP_RESPONSES,
    M_HTTP_REFUSED,
    M_HTTP_READ_BYTES,
    M_HTTP_BODY_BYTES,
    M_HTTP_UPGRADES,
    M_HTTP_N,
};
extern struct metric http_metrics[M_HTTP_N];

/* Reasons of M_HTTP_REFUSED, in the order of its label values. */
enum http_reason {
    REFUSED_MALFORMED,
    REFUSED_HEADER_TOO_LARGE,
    REFUSED_BODY_TOO_LARGE,
    REFUSED_BUDGET,
    REFUSED_TIMEOUT,
    REFUSED_NOT_FOUND,
    REFUSED_METHOD,
    REFUSED_UNSUPPORTED,
};
/* Answers f to a request that no handler sees, and counts it. */
void http_refuse(struct http_request *r, enum http_reason why);

#endif
