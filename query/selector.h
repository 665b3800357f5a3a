/*
 * Selector: which series a query asks for. Prometheus matchers in braces, `{env="prod",
 * version=~"v1.*"}`, or the sugar `env:prod version:v1`. All matchers must hold; a label that a
 * series does not have is the empty string. Pure.
 */
#ifndef HEARTH_QUERY_SELECTOR_H
#define HEARTH_QUERY_SELECTOR_H

#include "base/err.h"
#include "profile/series.h"
#include "query/regex.h"

enum { MATCHERS_MAX = 32 };

enum match_op { MATCH_EQUAL, MATCH_NOT_EQUAL, MATCH_REGEX, MATCH_NOT_REGEX };

struct matcher {
    enum match_op op;
    struct buf name, value; /* name in its canonical spelling (series.h) */
    struct regex *re;       /* MATCH_REGEX, MATCH_NOT_REGEX */
};

/* Zeroed: matches everything. */
struct selector {
    uint32_t n;
    struct matcher at[MATCHERS_MAX];
};

/* Replaces s, which is zeroed. 0, or FAILURE (400 selector_bad, regex_bad) with s zeroed again. */
int selector_parse(struct selector *s, struct bytes text, struct failure *f);
void selector_deinit(struct selector *s);

/* service stands for the label "service", which is not among the tags. */
bool selector_matches(const struct selector *s, struct bytes service, const struct tags *series);

#endif
