/* Report: what top, query and diff share: their arguments, where profiles come from, what is
 * written. */
#ifndef HEARTH_CLI_REPORT_H
#define HEARTH_CLI_REPORT_H

#include "query/answer.h"

struct report_side {
    const char *service, *type, *from, *until, *match;
};

struct report {
    const char *verb; /* "top", "query", "diff" */
    uint32_t n_sides;
    char **files; /* NULL-terminated; diff: two */
    size_t n_files;
    const char *input_format; /* NULL: by first bytes */
    const char *server;       /* NULL: files */
    const char *tenant;       /* NULL: the default one */
    struct report_side sides[SIDES_MAX];
    enum answer_format format;
    const char *out; /* "-": standard output */
    enum granularity granularity;
    enum top_sort sort;
    uint32_t limit;
};

/* -1 to go on; else the exit status (help was printed, or the usage was wrong). */
int report_args(struct report *r, int argc, char **argv);
/* Reads, merges, writes; the exit status. */
int report_run(struct report *r);

/* Says on stderr which sides nothing matched; EXIT_NOTHING if that is all of them, else 0. */
int report_nothing(const struct report *r, const struct answer *a, const bool nothing[SIDES_MAX]);

#endif
