/*
 * The unix socket agents look for. "auto": Datadog's, /var/run/datadog/apm.socket, when its
 * directory may be written and nobody answers on it: a real agent's socket is never taken over. ""
 * or "off": none. Else the path, which must work.
 */
#ifndef HEARTH_COLLECTOR_SOCKET_H
#define HEARTH_COLLECTOR_SOCKET_H

#include "base/options.h"
#include "net/http.h"

#define COLLECTOR_SOCKET_AUTO "/var/run/datadog/apm.socket"

/* For checks (options_check): socket and socket_mode. */
void collector_socket_check(struct options *o, const char *socket, const char *mode);
/* Permissions of unix sockets: "0666". 0 or FAILURE. */
int collector_socket_mode(const char *option, mode_t *ret, struct failure *f);
/* 0, also when "auto" finds no place (logged); or FAILURE. */
int collector_listen_socket(struct http_server *http, const char *option, struct failure *f);

#endif
