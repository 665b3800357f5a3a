/*
 * Intake: what a request says about its profile, whatever protocol it came by: service, tags sorted
 * into series and instance tags, time bounds, and how the body is wrapped. Views into the request.
 */
#ifndef HEARTH_COLLECTOR_INTAKE_H
#define HEARTH_COLLECTOR_INTAKE_H

#include "collector/interval.h"
#include "net/http.h"
#include "profile/series.h"

struct intake {
    struct bytes tenant, service, agent;
    struct tags series, instance;
    struct interval_rules times;
    struct bytes content_type;
    bool multipart; /* the body is a form; else it is the profile */
};

struct intake_rules {
    const char *series_tags; /* option */
    int64_t now_ns, future_max_ms;
};

/* POST /api/v1/profiles: parameters that are not reserved are tags. 0 or FAILURE (400, 415). */
int intake_api(struct intake *in, const struct http_request *r, const struct intake_rules *rules,
               struct failure *f);
/* POST /ingest, Pyroscope's: the parameter `name` has the service and tags. */
int intake_pyroscope(struct intake *in, const struct http_request *r,
                     const struct intake_rules *rules, struct failure *f);

/* Runtime-id, else host and pid, else host: what spreads a hot service. Appends to out. */
void intake_instance(const struct intake *in, struct buf *out);

#endif
