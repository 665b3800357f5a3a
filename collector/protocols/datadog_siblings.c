/*
 * How it works. One table: path, kind, answer. Clients ask for the features of /info only, so it
 * names what is answered usefully, profiles, and what clients complain about when it is not named:
 * a tracer without any path for traces logs errors for ever, ddtrace warns of an agent without the
 * debugger's. It says no to computed statistics and dropped traces (client_drop_p0s): both would
 * cost the application work for something that is thrown away here.
 *
 * Answers that were seen to content Python's, Node's, Go's and Java's clients: 200 with a JSON
 * object; for traces one with rate_by_service (none changed), for configuration an empty one (no
 * update). 404 would have them ask again every second, and no answer holds up their start.
 */
#include "collector/protocols/datadog_siblings.h"

#include "base/hash.h"
#include "collector/collector_metrics.h"

#include <stdio.h>

#define VERSION "7.70.0" /* of the agent we stand in for: clients compare, old ones get less */

static const char info[] =
    "{\"version\":\"" VERSION "\",\"endpoints\":[\"/v0.3/traces\",\"/v0.4/traces\","
    "\"/v0.5/traces\",\"/profiling/v1/input\",\"/telemetry/proxy/\",\"/debugger/v1/input\","
    "\"/debugger/v1/diagnostics\",\"/debugger/v2/input\"],"
    "\"client_drop_p0s\":false,\"peer_tags\":[],\"obfuscation_version\":0,\"config\":{}}\n";

#define NOTHING "{}\n"
#define RATES   "{\"rate_by_service\":{}}\n"

static const struct sibling {
    const char *methods, *path, *kind, *answer;
} siblings[] = {
    {"PUT|POST", "/v0.1/traces", "traces", RATES},
    {"PUT|POST", "/v0.2/traces", "traces", RATES},
    {"PUT|POST", "/v0.3/traces", "traces", RATES},
    {"PUT|POST", "/v0.4/traces", "traces", RATES},
    {"PUT|POST", "/v0.5/traces", "traces", RATES},
    {"PUT|POST", "/v0.7/traces", "traces", RATES},
    {"PUT|POST", "/v1.0/traces", "traces", RATES},
    {"PUT|POST", "/v0.6/stats", "stats", NOTHING},
    {"PUT|POST", "/v0.1/pipeline_stats", "stats", NOTHING},
    {"GET|PUT|POST", "/v0.7/config", "config", NOTHING},
    {"GET|PUT|POST", "/v0.*", "other", NOTHING},
    {"PUT|POST", "/telemetry/proxy/*", "telemetry", NOTHING},
    {"PUT|POST", "/dogstatsd/*", "metrics", NOTHING},
    {"GET|PUT|POST", "/evp_proxy/*", "evp", NOTHING},
    {"PUT|POST", "/debugger/*", "debugger", NOTHING},
    {"PUT|POST", "/debugger/v1/input", "debugger", NOTHING}, /* ends as a profile's path does */
    {"PUT|POST", "/symdb/v1/input", "symbols", NOTHING},
    {"PUT|POST", "/symdb/*", "symbols", NOTHING},
    {"PUT|POST", "/tracer_flare*", "logs", NOTHING},
    {"PUT|POST", "/openlineage/*", "other", NOTHING},
};

static void on_info(struct http_request *req, void *ctx)
{
    char state[33], headers[64];

    (void)ctx;
    hash128_hex(hash128(bytes_str(info)), state);
    snprintf(headers, sizeof headers, "Datadog-Agent-State: %s\r\n", state);
    http_respond(req, 200, "application/json", bytes_str(info), headers);
}

static void on_sibling(struct http_request *req, void *ctx)
{
    const struct sibling *s = ctx;

    collector_count_skipped(s->kind);
    http_respond(req, 200, "application/json", bytes_str(s->answer), NULL);
}

void datadog_sibling_routes(struct http_server *http)
{
    http_route(http, "GET", "/info", on_info, NULL);
    for (size_t i = 0; i < sizeof siblings / sizeof *siblings; i++) {
        http_route(http, siblings[i].methods, siblings[i].path, on_sibling,
                   (void *)(uintptr_t)&siblings[i]);
        http_route_discard(http, siblings[i].path);
    }
}
