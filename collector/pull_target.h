/* A target of pull mode: SERVICE@http://HOST:PORT[/PATH][;TAG=VALUE]…, taken apart. */
#ifndef HEARTH_COLLECTOR_PULL_TARGET_H
#define HEARTH_COLLECTOR_PULL_TARGET_H

#include "collector/intake.h"

struct pull_target {
    char *text; /* a copy that is cut up; the rest points into it */
    const char *service, *host;
    char *path;     /* "/debug/pprof" */
    char *tags;     /* "TAG=VALUE;TAG=VALUE", or NULL */
    char *instance; /* "host:port" */
    uint16_t port;
};

/* 0 or FAILURE (bad_option). */
int pull_target_parse(struct pull_target *t, const char *text, struct failure *f);
void pull_target_deinit(struct pull_target *t);
/* Sets service, tags and the instance's address. 0 or FAILURE (400). Views into t. */
int pull_target_intake(const struct pull_target *t, struct intake *in, struct failure *f);

#endif
