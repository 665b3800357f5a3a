/*
 * What a Datadog tracer asks of its agent beside taking profiles: /info, and paths for traces,
 * statistics, configuration, telemetry and more. They are answered so that clients are content and
 * quiet, and counted by kind as what they are: not profiles. Nothing of them is kept.
 */
#ifndef HEARTH_COLLECTOR_DATADOG_SIBLINGS_H
#define HEARTH_COLLECTOR_DATADOG_SIBLINGS_H

#include "net/http.h"

void datadog_sibling_routes(struct http_server *http);

#endif
