/*
 * Intake: what is known about a profile beside its samples, whatever protocol it came by: service,
 * tags sorted into series and instance tags, time bounds, agent. A protocol begins one from the
 * request and adds what the body says; views only, into memory that lives as long as the upload.
 *
 * Pure: any thread, one at a time.
 */
#ifndef HEARTH_COLLECTOR_INTAKE_H
#define HEARTH_COLLECTOR_INTAKE_H

#include "collector/interval.h"
#include "net/http.h"
#include "profile/series.h"

struct intake_rules {
    const char *series_tags;    /* option */
    const char *default_service;    /* option; agents' own protocols fall back to it */
    int64_t now_ns, future_max_ms;
};

struct intake {
    const struct intake_rules *rules;   /* borrowed: the upload's */
    struct bytes tenant, service, agent;
    struct tags series, instance;
    struct interval_rules times;
};

/* Empty but for the rules, the clock and the tenant (X-Scope-OrgID's value; empty: the default one).
 * 0 or FAILURE (400 bad_tenant). */
int intake_begin(struct intake *in, const struct intake_rules *rules, struct bytes tenant,
                 struct failure *f);

/* Adds a tag in any agent's spelling (profile/series.h): `service` and its kin set the service, the
 * first one holds; dropped keys and empty values are passed over. _tag refuses (400) what is no clean
 * text, too long or too much: for what a person typed. _attribute repairs and cuts instead, and
 * returns false when the tag was left out: for what an agent sends by itself. */
int intake_tag(struct intake *in, struct bytes key, struct bytes value, struct failure *f);
bool intake_attribute(struct intake *in, struct bytes key, struct bytes value);
/* "k:v,k:v" as Datadog writes it: values may hold ':'; a tag without value is passed over. */
void intake_datadog_tags(struct intake *in, struct bytes list);

/* The parameters from and until (net/timeparam.h). 0 or FAILURE (400). */
int intake_times(struct intake *in, const struct http_request *r, struct failure *f);
void intake_agent(struct intake *in, struct bytes agent);   /* cut, or dropped when no clean text */
/* The configured default where no service was found. */
void intake_default_service(struct intake *in);

/* Runtime-id, else host and pid, else host: what spreads a hot service. Appends to out. */
void intake_instance(const struct intake *in, struct buf *out);

#endif
