/*
 * gRPC server over HTTP/2 without TLS (h2c, prior knowledge): unary calls only. nghttp2 stands behind
 * grpc.c and nowhere else. Messages are un-framed and inflated (grpc-encoding gzip, identity) under the
 * limits; a call reaches its handler when its message is whole. The handler answers now or later,
 * exactly once, on the loop's thread. Bodies are charged to the same kind of budget as HTTP's.
 */
#ifndef HEARTH_NET_GRPC_H
#define HEARTH_NET_GRPC_H

#include "net/http.h"

struct grpc_server;
struct grpc_call;

/* The codes of google.rpc.Code that we answer. */
enum grpc_status {
    GRPC_OK = 0, GRPC_INVALID_ARGUMENT = 3, GRPC_DEADLINE_EXCEEDED = 4, GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_UNIMPLEMENTED = 12, GRPC_INTERNAL = 13, GRPC_UNAVAILABLE = 14,
};

typedef void grpc_handler(struct grpc_call *call, void *ctx);

struct grpc_server *grpc_server_new(uv_loop_t *loop, const struct http_limits *limits);
/* path: "/package.Service/Method". Borrowed for ever. */
void grpc_method(struct grpc_server *s, const char *path, grpc_handler *h, void *ctx);
/* As http_listen. */
int grpc_listen(struct grpc_server *s, const char *address, const char *setting, int *ret_port,
                struct failure *f);
void grpc_server_close(struct grpc_server *s, uint32_t grace_ms, void (*closed)(void *ctx), void *ctx);

struct bytes grpc_message(const struct grpc_call *c);           /* inflated; valid until answered */
struct bytes grpc_metadata(const struct grpc_call *c, const char *name);    /* empty: absent */
/* message: the answer's protobuf, for GRPC_OK; text: grpc-message, may be NULL. */
void grpc_respond(struct grpc_call *c, enum grpc_status status, struct bytes message,
                  const char *text);
/* The status that stands for an HTTP one: 400, 415 → INVALID_ARGUMENT, 413, 429 → RESOURCE_EXHAUSTED,
 * 503 → UNAVAILABLE … */
enum grpc_status grpc_status_of(int http_status);

#endif
