/*
 * What a Datadog upload's event and its request's header say of it: tags, service, times and agent
 * for its intake, and the key that tells whether it came before.
 *
 * Pure; views into the event, the header and the caller's arena.
 */
#ifndef HEARTH_COLLECTOR_DATADOG_TAGS_H
#define HEARTH_COLLECTOR_DATADOG_TAGS_H

#include "collector/intake.h"
#include "collector/protocols/datadog_form.h"

/* What the request's header says; empty: absent. */
struct datadog_headers {
    struct bytes origin, origin_version; /* "dd-trace-go", "v2.12.0" */
    struct bytes container_id, entity_id, external_env;
    struct bytes container_tags, additional_tags; /* from an agent that passed it on */
};

/* Time bounds, tags, service and agent into in. arena: for what is put together. 0 or FAILURE. */
int datadog_describe(struct intake *in, const struct datadog_event *ev,
                     const struct datadog_headers *h, struct arena *arena, struct failure *f);

/* What a client repeats unchanged when it sends an upload again (collector/retries.h): who, which
 * window, what attachments. False when the event does not tell two uploads apart. */
bool datadog_upload_key(const struct datadog_form *form, struct bytes tenant, struct hash128 *ret);

#endif
