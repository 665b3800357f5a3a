/*
 * Pyroscope's application name: `app{key=value,key2=value2}`, or `app` alone. Read leniently, as
 * what agents send is: keys may hold dots, values slashes and spaces, quotes around a value are
 * taken off, white space around everything too, an empty label is passed over. Views into the name.
 */
#ifndef HEARTH_COLLECTOR_PROTOCOLS_APP_NAME_H
#define HEARTH_COLLECTOR_PROTOCOLS_APP_NAME_H

#include "base/err.h"
#include "profile/series.h"

struct app_name {
    struct bytes app; /* may be empty */
    uint32_t n;
    struct tag labels[TAGS_MAX];
};

/* 0 or FAILURE (400). */
int app_name_parse(struct bytes name, struct app_name *ret, struct failure *f);

#endif
