/*
 * OTLP over gRPC: opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export. One
 * call is one upload; metadata stand in for the headers that HTTP has.
 *
 * Happy path: message un-framed by net/grpc, inflated on a codec thread → version and tenant →
 * upload → OK with the response. Any failure is answered with its code; what may be sent again (a
 * log that is not there) is UNAVAILABLE, which exporters retry.
 */
#include "base/xalloc.h"
#include "collector/protocols/otlp.h"
#include "net/grpc.h"

#include <stdio.h>
#include <stdlib.h>

struct call {
    struct upload upload;
    struct grpc_call *grpc;
};

static void respond_failure(struct grpc_call *grpc, const struct failure *f)
{
    char text[sizeof f->code + sizeof f->message + sizeof f->hint + 8];

    snprintf(text, sizeof text, "%s: %s%s%s", f->code, f->message, f->hint[0] ? "; " : "", f->hint);
    grpc_respond(grpc, grpc_status_of(f->status), BYTES_LIT(""), text);
}

static void on_done(void *ctx, const struct upload_result *result)
{
    struct call *call = ctx;
    struct buf message = {0};

    if (result->failure) {
        respond_failure(call->grpc, result->failure);
    } else {
        otlp_response(result, &message);
        grpc_respond(call->grpc, GRPC_OK, buf_bytes(&message), NULL);
        buf_deinit(&message);
    }
    free(call);
}

static int begin(struct call *call, struct collector *c, struct failure *f)
{
    struct grpc_call *grpc = call->grpc;

    if (otlp_check_version(grpc_metadata(grpc, "otlp-profiles-development-version"), f) ||
        upload_init(&call->upload, c, ROUTE_OTLP_GRPC, grpc_metadata(grpc, "x-scope-orgid"), f))
        return FAILURE;
    intake_agent(&call->upload.job.intake, grpc_metadata(grpc, "user-agent"));
    call->upload.job.unpack = otlp_unpack;
    call->upload.job.body = grpc_message(grpc);
    call->upload.done = on_done;
    call->upload.ctx = call;
    return 0;
}

static void on_export(struct grpc_call *grpc, void *ctx)
{
    struct call *call = xcalloc(1, sizeof *call);
    struct failure f;

    call->grpc = grpc;
    if (begin(call, ctx, &f)) {
        upload_count_refused(ROUTE_OTLP_GRPC, "", &f);
        respond_failure(grpc, &f);
        free(call);
        return;
    }
    upload_send(&call->upload);
}

/* fluent-bit's default, and what was sent before the tables moved into a dictionary. */
static void on_experimental(struct grpc_call *grpc, void *ctx)
{
    (void)ctx;
    grpc_respond(
        grpc, GRPC_UNIMPLEMENTED, BYTES_LIT(""),
        "v1experimental is not read: send to opentelemetry.proto.collector.profiles."
        "v1development.ProfilesService/Export, written with opentelemetry-proto 1.8 or later");
}

void otlp_grpc_method(struct grpc_server *s, struct collector *c)
{
    grpc_method(s, "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export",
                on_export, c);
    grpc_method(s, "/opentelemetry.proto.collector.profiles.v1experimental.ProfilesService/Export",
                on_experimental, c);
}
