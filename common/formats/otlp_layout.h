/*
 * Which release of opentelemetry.proto.profiles.v1development an upload was written by. The
 * messages name no version, and three releases gave the numbers of Sample's fields new meanings;
 * read by the wrong one, an upload has no error and no values.
 */
#ifndef HEARTH_FORMATS_OTLP_LAYOUT_H
#define HEARTH_FORMATS_OTLP_LAYOUT_H

#include "formats/otlp_dict.h"

enum otlp_layout {
    OTLP_LAYOUT_110,     /* 1.10 and later */
    OTLP_LAYOUT_18,      /* 1.8 and 1.9 */
    OTLP_LAYOUT_OLD,     /* 1.7 and before: not read */
    OTLP_LAYOUT_UNCLEAR, /* by no layout do the indexes fit */
};

/* True when the top level alone says 1.6 or before: then the dictionary is none. */
bool otlp_top_level_is_old(struct bytes raw);
/* d: noted, for the sizes of its tables. 0 or FAILURE (malformed). */
int otlp_layout_detect(const struct otlp_dict *d, struct bytes raw, enum otlp_layout *ret);
/* Profile messages of the upload, whatever their layout. */
uint32_t otlp_count_profiles(struct bytes raw);

#endif
