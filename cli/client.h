/* HTTP to a server, by libcurl. Blocking: for the command line. */
#ifndef HEARTH_CLI_CLIENT_H
#define HEARTH_CLI_CLIENT_H

#include "base/bytes.h"
#include "base/err.h"

#define CLIENT_DEFAULT_SERVER "http://127.0.0.1:4040"

struct client;

struct client *client_new(const char *server);
void client_free(struct client *c);
/* Whose data is asked for; NULL: the default tenant's. A name that tenant_check takes, borrowed. */
void client_tenant(struct client *c, const char *tenant);

/* The path and query of a request, put together and escaped: url_add("service", "web") … A NULL or
 * empty value is left out. */
void url_path(struct buf *url, const char *path);
void url_add(struct client *c, struct buf *url, const char *name, const char *value);

struct client_reply {
    int status;
    struct buf body;
    int retry_after_s; /* -1: not said */
};
void client_reply_deinit(struct client_reply *r);

/* 0 with the reply, whatever its status; FAILURE if there is none (no connection, a time-out). */
int client_get(struct client *c, struct buf *url, struct client_reply *ret, struct failure *f);
int client_post(struct client *c, struct buf *url, struct bytes body, struct client_reply *ret,
                struct failure *f);
/* client_get with 200 or nothing: what the server says otherwise becomes f. */
int client_get_ok(struct client *c, struct buf *url, struct buf *ret_body, struct failure *f);
/* The bare connection, for a protocol of its own. Each: 0 or FAILURE. host: as the header Host has
 * it. */
int client_connect(struct client *c, struct failure *f);
const char *client_host(const struct client *c);
int client_send(struct client *c, struct bytes data, struct failure *f);
/* *ret_n: what has come, up to size; 0: nothing within timeout_ms. FAILURE: the peer closed, too.
 */
int client_recv(struct client *c, void *to, size_t size, int timeout_ms, size_t *ret_n,
                struct failure *f);
/* {code, message, hint} of a refusal as a failure; returns FAILURE. */
int client_refused(const struct client_reply *r, struct failure *f);

#endif
