#include "collector/protocols/connect.h"

#include "base/clock.h"
#include "base/json_writer.h"

#include <stdio.h>

const char *connect_code(int http_status)
{
    static const struct {
        int status;
        const char *code;
    } codes[] = {
        {501, "unimplemented"},      {401, "unauthenticated"},   {403, "permission_denied"},
        {404, "not_found"},          {408, "deadline_exceeded"}, {413, "resource_exhausted"},
        {429, "resource_exhausted"}, {503, "unavailable"},       {504, "deadline_exceeded"},
    };

    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (codes[i].status == http_status)
            return codes[i].code;
    return http_status < 500 ? "invalid_argument" : "internal";
}

static void write_error(int status, const struct failure *f, struct buf *out)
{
    struct buf message = {0};
    struct json_writer j;

    buf_printf(&message, "%s: %s", f->code, f->message);
    if (f->hint[0])
        buf_printf(&message, " (%s)", f->hint);
    jw_begin(&j, out);
    jw_object(&j, NULL);
    jw_str(&j, "code", connect_code(status));
    jw_bytes(&j, "message", buf_bytes(&message));
    jw_end(&j);
    buf_deinit(&message);
}

void connect_respond_failure(struct http_request *req, int status, const struct failure *f)
{
    struct buf body = {0};
    char retry[40];

    /* Spread, so that all who were refused do not come back in the same second. */
    snprintf(retry, sizeof retry, "Retry-After: %u\r\n", 5 + (unsigned)(clock_mono_ms() % 11));
    write_error(status, f, &body);
    http_respond_buf(req, status == 501 ? 404 : status, "application/json", &body,
                     status == 429 || status == 503 ? retry : NULL);
}
