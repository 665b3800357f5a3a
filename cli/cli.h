/*
 * The command line: one function a verb, in a file of its own. argv[0] is the verb. A verb returns
 * the exit status: 0 done, 1 it did not work (said on stderr), 2 wrong usage, 3 nothing matched
 * (what, is said on stderr).
 */
#ifndef HEARTH_CLI_CLI_H
#define HEARTH_CLI_CLI_H

#include "base/err.h"

#include <stdbool.h>

enum { EXIT_USAGE = 2, EXIT_NOTHING = 3 };

typedef int verb(int argc, char **argv);
verb verb_standalone, verb_push, verb_top, verb_query, verb_diff, verb_merge, verb_check_config,
    verb_create_topic;

/* "hearth push: message (hint)" on stderr; returns 1. */
int complain(const char *verb_name, const struct failure *f);
/* "hearth push: …, see hearth push --help" on stderr; returns EXIT_USAGE. */
int wrong_usage(const char *verb_name, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
