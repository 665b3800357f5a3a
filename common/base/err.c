/*
 * The trace of an error is its way up, printed line by line as it passes each err_trace. It is not
 * subject to the counting of repeats: a trace with holes in it misleads.
 */
#include "base/err.h"

#include "base/logger.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void log_trace(int r, const char *file, int line, const char *func)
{
    const struct log_field fields[] = {
        F_STR("error", strerrordesc_np(-r)),
        F_INT("code", r),
        F_STR("file", file),
        F_INT("line", line),
        F_STR("func", func),
    };

    logger_write(NULL, LOG_DEBUG, "err_trace", fields, sizeof fields / sizeof *fields);
}

int err_trace_at(int r, const char *file, int line, const char *func)
{
    if (r < 0 && logger_level() <= LOG_DEBUG)
        log_trace(r, file, line, func);
    return r;
}

/* Straight to stderr: what was found broken may be the logger. */
void check_failed(const char *cond, const char *file, int line)
{
    fprintf(stderr, "hearth: %s:%d: bug: CHECK(%s) failed\n", file, line, cond);
    abort();
}

static void copy_text(char *out, size_t size, const char *s)
{
    snprintf(out, size, "%s", s ? s : "");
}

int fail(struct failure *f, int status, const char *code, const char *hint, const char *fmt, ...)
{
    va_list args;

    f->status = status;
    copy_text(f->code, sizeof f->code, code);
    copy_text(f->hint, sizeof f->hint, hint);
    va_start(args, fmt);
    vsnprintf(f->message, sizeof f->message, fmt, args);
    va_end(args);
    return FAILURE;
}
