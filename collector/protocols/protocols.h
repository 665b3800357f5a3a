/*
 * The protocols agents speak, one file each. Every one adds its routes to the HTTP server and turns a
 * request into an upload (collector/upload.h). collector_new() calls them all; order does not matter.
 */
#ifndef HEARTH_COLLECTOR_PROTOCOLS_H
#define HEARTH_COLLECTOR_PROTOCOLS_H

#include "collector/collector.h"

void api_routes(struct http_server *http, struct collector *c);      /* POST /api/v1/profiles */
void ingest_routes(struct http_server *http, struct collector *c);   /* Pyroscope's POST /ingest */
void push_routes(struct http_server *http, struct collector *c);     /* push.v1.PusherService/Push */
/* /profiling/v1/input, /api/v2/profile, /v1/input, /info, and what tracers ask of their agent. */
void datadog_routes(struct http_server *http, struct collector *c);
void otlp_routes(struct http_server *http, struct collector *c);     /* /v1development/profiles */
void stream_routes(struct http_server *http, struct collector *c);   /* docs/protocol.md */

#endif
