/* Options that have one value: of two given, one would be dropped in silence. */
#ifndef HEARTH_CLI_GIVEN_H
#define HEARTH_CLI_GIVEN_H

#include <getopt.h>
#include <stdbool.h>

enum { GIVEN_MAX = 512 };

struct given {
    bool arg[GIVEN_MAX]; /* by what getopt calls it */
};

/* Remembers arg, below GIVEN_MAX. True: it was given before. */
bool given_before(struct given *g, int arg);
/* The long name of an option that takes a value; NULL: arg is none. */
const char *given_name(const struct option *options, int arg);
/* For options of which every one with a value may be given once: -1, or EXIT_USAGE, said on stderr.
 */
int given_once(struct given *g, const char *verb_name, const struct option *options, int arg);

#endif
