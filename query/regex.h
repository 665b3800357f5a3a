/*
 * Regular expressions that run in time linear in the text, whatever the expression: a Thompson
 * machine over bytes, without captures. Always matches the whole text. docs/api.md lists the
 * syntax.
 *
 * Libraries with this promise have no C interface in Debian (RE2), or do not keep it (PCRE2,
 * POSIX): a selector comes from outside, so the promise matters more than the features. Pure; a
 * compiled expression may be used by several threads.
 */
#ifndef HEARTH_QUERY_REGEX_H
#define HEARTH_QUERY_REGEX_H

#include "base/bytes.h"
#include "base/err.h"

enum {
    REGEX_BYTES_MAX = 1024,  /* of the expression */
    REGEX_STATES_MAX = 4096, /* of the machine, after counted repeats are written out */
};

struct regex;

/* 0, or FAILURE (400 regex_bad) with the place. */
int regex_new(struct bytes pattern, struct regex **ret, struct failure *f);
void regex_free(struct regex *re);
bool regex_matches(const struct regex *re, struct bytes text);

#endif
