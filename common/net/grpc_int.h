/*
 * gRPC server, inside: what grpc.c (server, methods, its end), grpc_conn.c (a connection on its
 * socket), grpc_session.c (HTTP/2, the only file that calls nghttp2) and grpc_call.c (metadata,
 * message, answer) share. Nobody else includes this, but for the fuzz target.
 *
 * Sessions and calls know of no socket and no clock: bytes in, bytes out, the time from outside.
 *
 * Ownership: a session owns its calls until a handler has them. From then on a call frees itself
 * when it is answered and its stream has closed; its `session` becomes NULL if the stream goes
 * first.
 */
#ifndef HEARTH_NET_GRPC_INT_H
#define HEARTH_NET_GRPC_INT_H

#include "base/list.h"
#include "base/metrics.h"
#include "net/grpc.h"
#include "net/listener.h"

enum {
    GRPC_STREAMS_MAX = 100, /* calls at once of one connection */
    GRPC_METADATA_MAX = 64,
    GRPC_PREFIX = 5, /* flag, length: before each message */
    /* What a call is charged beside its metadata and message: itself, and its handler's work. */
    GRPC_CALL_BYTES = 8 << 10,
    GRPC_OUT_BYTES = 256 << 10, /* taken from the session for one write */
};

struct grpc_route {
    const char *path;
    grpc_handler *handler;
    void *ctx;
};

/* What the sessions of a server share. */
struct grpc_core {
    struct http_limits limits;
    struct grpc_route *routes;
    size_t n_routes, cap_routes;
    size_t n_calls;
    void (*call_gone)(void *ctx); /* may be NULL */
    void *ctx;
};

struct grpc_session {
    struct grpc_core *core;
    void *h2; /* nghttp2_session */
    struct list calls;
    int64_t now_ms;
    bool greeted;            /* the peer's SETTINGS have come */
    void (*wake)(void *ctx); /* there may be something to send */
    void *ctx;
};

struct grpc_pair {
    uint32_t name, name_len, value, value_len; /* in `metadata` */
};

struct grpc_call {
    struct grpc_core *core;
    struct grpc_session *session; /* NULL: the peer is gone, the answer goes nowhere */
    struct list link;
    int32_t stream;
    const struct grpc_route *route;
    struct buf metadata;
    struct grpc_pair pairs[GRPC_METADATA_MAX];
    size_t n_pairs, charged;
    uint8_t prefix[GRPC_PREFIX];
    uint32_t n_prefix, length; /* length: of the message, once the prefix is whole */
    struct buf message;
    int64_t since_ms, heard_ms; /* when it began, when something of it came last */
    bool head_done, done, handled, answered; /* done: the peer has sent all */
    struct failure failure;                  /* why it is refused; code empty: it is not */
    bool unimplemented;                      /* the failure's status says too little */

    struct buf out; /* the answer's message, with its prefix */
    size_t out_at;
    enum grpc_status status;
    char *text; /* grpc-message, as it goes over the wire; may be NULL */
};

/* grpc_call.c */
struct grpc_call *grpc_call_new(struct grpc_session *s, int32_t stream);
void grpc_call_free(struct grpc_call *c);
/* Each: 0, or FAILURE with c->failure. */
int grpc_call_add(struct grpc_call *c, struct bytes name, struct bytes value);
int grpc_call_check_head(struct grpc_call *c);
int grpc_call_feed(struct grpc_call *c, struct bytes in);
int grpc_call_finish(struct grpc_call *c);
void grpc_call_refuse(struct grpc_call *c); /* answers c->failure */
/* "a b%" as the header grpc-message has it; the caller frees. */
char *grpc_percent_encode(const char *text);

/* grpc_session.c */
void grpc_session_init(struct grpc_session *s, struct grpc_core *core, void (*wake)(void *ctx),
                       void *ctx);
void grpc_session_deinit(struct grpc_session *s);
/* 0, or -EPROTO: the peer does not speak HTTP/2, or breaks its rules. */
int grpc_session_feed(struct grpc_session *s, struct bytes in, int64_t now_ms);
void grpc_session_output(struct grpc_session *s, struct buf *out);
void grpc_session_go_away(struct grpc_session *s);
/* Some call has no answer yet. */
bool grpc_session_is_working(const struct grpc_session *s);
bool grpc_session_is_over(const struct grpc_session *s);
/* Refuses calls that took too long to arrive. -ETIMEDOUT: one stopped within its header. */
int grpc_session_expire(struct grpc_session *s, int64_t now_ms);
/* Refuses calls that have stood still for limits.stall_ms, for others need their memory. */
void grpc_session_give_way(struct grpc_session *s, int64_t now_ms);
/* Sends the answer in c. */
void grpc_session_answer(struct grpc_call *c);
/* HTTP's own refusal, for what is not gRPC. */
void grpc_session_answer_http(struct grpc_call *c, int status);

/* grpc.c */
struct grpc_server {
    struct grpc_core core;
    uv_loop_t *loop;
    struct body_budget own_budget; /* where limits have none to share */
    struct body_budget_holder holder;
    struct listeners listeners;
    struct list conns;
    uint8_t *read_buf; /* made with the first connection */
    uv_timer_t grace;
    bool closing, closed_told;
    void (*closed)(void *ctx);
    void *closed_ctx;
};
void grpc_server_conn_gone(struct grpc_server *s);

/* grpc_conn.c */
struct grpc_conn;
void grpc_conn_accept(struct listener *l);
void grpc_conn_drain(struct list *link);
void grpc_conn_close_link(struct list *link);
void grpc_conn_give_way(struct list *link);

enum { M_GRPC_CONNECTIONS, M_GRPC_ACCEPTED, M_GRPC_CALLS, M_GRPC_READ_BYTES, M_GRPC_N };
extern struct metric grpc_metrics[M_GRPC_N];
void grpc_count(enum grpc_status status);
void grpc_count_not_grpc(void);

#endif
