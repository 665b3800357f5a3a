/*
 * Addresses to listen on: "127.0.0.1:4040", "[::1]:4040", "[::]:4040" (any), ":4040" (any of IPv4),
 * "unix:/path"; and what to tell a person whose address is taken: who has it, and which setting
 * moves ours.
 */
#ifndef HEARTH_NET_HTTP_ADDRESS_H
#define HEARTH_NET_HTTP_ADDRESS_H

#include "base/err.h"

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

struct http_address {
    const char *text; /* as given, borrowed */
    bool is_unix;
    char path[sizeof((struct sockaddr_un *)0)->sun_path];
    struct sockaddr_storage ss;
};

/* NULL, "" and "off": nothing is to be listened on. */
bool http_address_is_off(const char *text);
/* 0 or FAILURE. */
int http_address_parse(struct http_address *a, const char *text, const char *setting,
                       struct failure *f);
/* Unix: removes a socket that nobody answers on; FAILURE if somebody does, or if it is no socket.
 */
int http_address_prepare(const struct http_address *a, const char *setting, struct failure *f);
/* Fills f for a bind or listen that failed with -errno r; names the holder when it can be found. */
int http_address_fail(const struct http_address *a, const char *setting, int r, struct failure *f);
/* True when a connect to the unix socket at path is answered. */
bool http_unix_answers(const char *path);

#endif
