/*
 * OTLP profiles, by HTTP (otlp.c) and by gRPC (otlp_grpc.c): what both share.
 *
 * An upload whose profiles are all taken, or which holds none, succeeds with an empty answer. One
 * of which some were refused (formats/otlp.h) succeeds with partial_success; one of which all were
 * is a failure, for nothing of it was accepted: agents log that, and do not send it again.
 */
#ifndef HEARTH_COLLECTOR_PROTOCOLS_OTLP_H
#define HEARTH_COLLECTOR_PROTOCOLS_OTLP_H

#include "collector/upload.h"

struct grpc_server;

/* ProfilesService/Export, and its name of before, which is answered with what to do. */
void otlp_grpc_method(struct grpc_server *s, struct collector *c);

/* Unpacks a message in protobuf. */
codec_unpack otlp_unpack;
/* ExportProfilesServiceResponse, appended to out. */
void otlp_response(const struct upload_result *result, struct buf *out);
/* OTLP-Profiles-Development-Version, a header or gRPC metadata: absent or "1". 0 or FAILURE (400).
 */
int otlp_check_version(struct bytes version, struct failure *f);

#endif
