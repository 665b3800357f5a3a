#include "cli/cli.h"

#include <stdarg.h>
#include <stdio.h>

int complain(const char *name, const struct failure *f)
{
    fprintf(stderr, "hearth %s: %s%s%s%s\n", name, f->message, f->hint[0] ? " (" : "", f->hint,
            f->hint[0] ? ")" : "");
    return 1;
}

int wrong_usage(const char *name, const char *fmt, ...)
{
    va_list args;

    fprintf(stderr, "hearth %s: ", name);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fprintf(stderr, "; see hearth %s --help\n", name);
    return EXIT_USAGE;
}
