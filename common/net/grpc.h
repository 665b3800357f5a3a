/*
 * gRPC server over HTTP/2 without TLS (h2c, prior knowledge): unary calls only. nghttp2 stands
 * behind grpc_session.c and nowhere else. A call reaches its handler when its message is whole; the
 * handler answers now or later, exactly once, on the loop's thread. A peer that goes away is not
 * the handler's concern: the answer is then dropped.
 *
 * A message is handed on as it was sent, without its frame: a loop's thread does not inflate. Its
 * grpc-encoding is identity, gzip or zstd (others are refused); which one its first bytes tell.
 *
 * Messages and metadata are charged to the budget before they are read, as bodies are in HTTP. What
 * breaks a limit or a rule is answered here, by its status, and counted.
 */
#ifndef HEARTH_NET_GRPC_H
#define HEARTH_NET_GRPC_H

#include "net/http.h"

struct grpc_server;
struct grpc_call;

/* The codes of google.rpc.Code that we answer. */
enum grpc_status {
    GRPC_OK = 0,
    GRPC_INVALID_ARGUMENT = 3,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
};

typedef void grpc_handler(struct grpc_call *call, void *ctx);

/* Of limits: header_bytes_max bounds a call's metadata; header_timeout the wait for HTTP/2's first
 * words, body_timeout that for a whole call; idle_timeout ends a connection without calls. */
struct grpc_server *grpc_server_new(uv_loop_t *loop, const struct http_limits *limits);
/* path: "/package.Service/Method". Borrowed for ever. */
void grpc_method(struct grpc_server *s, const char *path, grpc_handler *h, void *ctx);
/* As http_listen and http_unix_mode. */
int grpc_listen(struct grpc_server *s, const char *address, const char *setting, int *ret_port,
                struct failure *f);
void grpc_unix_mode(struct grpc_server *s, mode_t mode);
/* Stops accepting, tells peers to go away, lets running calls finish within grace_ms, closes; then
 * closed, once. */
void grpc_server_close(struct grpc_server *s, uint32_t grace_ms, void (*closed)(void *ctx),
                       void *ctx);

/* Views are valid until the call is answered. */
struct bytes grpc_message(const struct grpc_call *c);
struct bytes grpc_metadata(const struct grpc_call *c, const char *name); /* empty: absent */
/* message: the answer's protobuf, for GRPC_OK; text: grpc-message, may be NULL. */
void grpc_respond(struct grpc_call *c, enum grpc_status status, struct bytes message,
                  const char *text);
/* The status of an HTTP one. 429 and 503 are UNAVAILABLE: OTLP's clients send those calls again,
 * and give RESOURCE_EXHAUSTED (413) up. */
enum grpc_status grpc_status_of(int http_status);

#endif
