/*
 * OTLP profiles (opentelemetry.proto.profiles.v1development), as ExportProfilesServiceRequest or
 * ProfilesData: the layouts ≥ 1.10 and 1.8 / 1.9, told apart by what the request's samples hold
 * (otlp_layout.c has the rules); older ones refused. A hand-written two-pass reader: the dictionary
 * is located first, nothing is allocated per message, every index is bounded, and nested
 * AnyValues are not looked into: nothing recurses.
 *
 * Each Profile message is emitted by itself, with the attributes of its resource and scope.
 */
#ifndef HEARTH_FORMATS_OTLP_H
#define HEARTH_FORMATS_OTLP_H

#include "formats/reader.h"

struct otlp_reader; /* scratch; one thread */

struct otlp_reader *otlp_reader_new(void);
void otlp_reader_free(struct otlp_reader *r);
bool is_otlp(struct bytes raw); /* protobuf of this shape, and not a pprof */
int otlp_read(struct otlp_reader *r, struct bytes raw, struct reading *rd);
/* The JSON encoding of it, whatever the layout: JSON has names. */
bool is_otlp_json(struct bytes raw);
int otlp_read_json(struct otlp_reader *r, struct bytes json, struct reading *rd);

/* JSON as the same message in protobuf (layout ≥ 1.10), appended to out. 0 or
 * FAILURE. */
int otlp_from_json(struct bytes json, struct buf *out, struct failure *f);

/* The layout of the last upload read: "1.10", "1.8", and "1.7" or "unclear" when it was refused. */
const char *otlp_layout(const struct otlp_reader *r);

#endif
