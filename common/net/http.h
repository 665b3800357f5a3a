/*
 * HTTP/1.1 server on libuv and llhttp: TCP and unix listeners, keep-alive, Content-Length and
 * chunked bodies, Expect: 100-continue, deadlines, caps, backpressure. One loop thread.
 *
 * A request reaches its handler when its body is there, whole, in memory that was charged to the
 * server's body budget before it was read (Content-Length; a growing reservation for chunked
 * bodies). The handler answers now or later, exactly once, on the loop's thread; further requests
 * of the connection wait for that. A peer that goes away is not the handler's concern: the answer
 * is then dropped. What breaks a limit is answered here, with JSON {code, message, hint} unless the
 * path has a way of its own, and counted.
 */
#ifndef HEARTH_NET_HTTP_H
#define HEARTH_NET_HTTP_H

#include "base/bytes.h"
#include "base/err.h"
#include "net/body_budget.h"

#include <uv.h>

struct http_server;
struct http_request;

struct http_limits {
    size_t header_bytes_max; /* 16 KiB */
    size_t body_bytes_max;   /* of one body, as sent */
    size_t budget_bytes_max; /* of all bodies in memory, where the budget is its own; above: 503 */
    struct body_budget *budget; /* shared with other servers of the loop; NULL: one of its own */
    uint32_t connections_max;
    uint32_t header_timeout_ms, body_timeout_ms, idle_timeout_ms;
    uint32_t stall_ms; /* a body that stood still so long gives its memory up when others need it */
};
extern const struct http_limits http_limits_default;

typedef void http_handler(struct http_request *req, void *ctx);
/* Answers with the failure in a protocol's own way. */
typedef void http_refusal(struct http_request *req, const struct failure *f);

struct http_server *http_server_new(uv_loop_t *loop, const struct http_limits *limits);
/* path: exact, or "/prefix*", or "*" and what paths end in; methods: "GET", "POST", or "GET|POST".
 * An exact path wins, then the longest; a known path with another method is 405. GET serves HEAD.
 * Strings are borrowed for ever. */
void http_route(struct http_server *s, const char *methods, const char *path, http_handler *h,
                void *ctx);
/* What breaks a limit on a path that was given to http_route is answered by refuse. */
void http_route_refusal(struct http_server *s, const char *path, http_refusal *refuse);
/* A body sent to a path that was given to http_route is thrown away as it comes: it takes no memory
 * and has no limit but that of time, and the handler sees an empty one. */
void http_route_discard(struct http_server *s, const char *path);
/* "127.0.0.1:4040", "[::1]:4040", ":4040" (any), "unix:/path". setting: the option's name, for the
 * message when the port is busy. ret_port (may be NULL): the port bound, for port 0.
 * 0, or FAILURE with f naming address and setting. A unix socket nobody answers on is replaced. */
int http_listen(struct http_server *s, const char *address, const char *setting, int *ret_port,
                struct failure *f);
/* The permissions of unix sockets listened on from now on. 0666 at first: everybody on this machine
 * may send, as through the loopback port. */
void http_unix_mode(struct http_server *s, mode_t mode);
/* Stops accepting, lets running requests finish within grace_ms, closes; then closed, once. */
void http_server_close(struct http_server *s, uint32_t grace_ms, void (*closed)(void *ctx),
                       void *ctx);

/* The request. Views are valid until it is answered. */
struct bytes http_method(const struct http_request *r);
struct bytes http_path(const struct http_request *r); /* percent-decoded, without query */
struct bytes http_header(const struct http_request *r, const char *name); /* empty: absent */
struct bytes http_body(const struct http_request *r);
/* The value of a query parameter, percent- and plus-decoded; data NULL: absent. */
struct bytes http_param(const struct http_request *r, const char *name);
size_t http_n_params(const struct http_request *r);
void http_param_at(const struct http_request *r, size_t i, struct bytes *ret_name,
                   struct bytes *ret_value);
/* The name of a parameter that is given more than once; data NULL: there is none. */
struct bytes http_param_twice(const struct http_request *r);

/* Answers. body is copied unless take is used. extra_headers: "Name: value\r\n…" or NULL. */
void http_respond(struct http_request *r, int status, const char *content_type, struct bytes body,
                  const char *extra_headers);
void http_respond_buf(struct http_request *r, int status, const char *content_type,
                      struct buf *body_taken, const char *extra_headers);
/* {code, message, hint} with the failure's status; adds Retry-After to 429 and 503. */
void http_respond_failure(struct http_request *r, const struct failure *f);
/* Frees the body early (the handler keeps what it needs): gives its memory back to the budget. */
void http_release_body(struct http_request *r);

/* JSON text of a failure, for other transports. */
void failure_json(const struct failure *f, struct buf *out);

#endif
