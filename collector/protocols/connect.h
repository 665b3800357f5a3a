/*
 * Errors in Connect's JSON, {"code", "message"}: how Pyroscope answers on /ingest and
 * push.v1.PusherService, so that its agents log what was wrong and know what to try again. The code
 * is one of Connect's words, told from the failure's HTTP status; our own code leads the message.
 */
#ifndef HEARTH_COLLECTOR_PROTOCOLS_CONNECT_H
#define HEARTH_COLLECTOR_PROTOCOLS_CONNECT_H

#include "net/http.h"

/* "invalid_argument", "resource_exhausted", "unavailable" … of an HTTP status. */
const char *connect_code(int http_status);
/* Answers with status, and Retry-After where it is 429 or 503. 501 is told as Connect tells it: 404
 * "unimplemented". */
void connect_respond_failure(struct http_request *req, int status, const struct failure *f);

#endif
