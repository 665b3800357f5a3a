/*
 * The syntax tree of a regular expression: what regex_parse.c makes of the text and regex.c makes
 * into a machine. Nodes are in one array and name each other by index. Nobody else includes this.
 */
#ifndef HEARTH_QUERY_REGEX_PARSE_H
#define HEARTH_QUERY_REGEX_PARSE_H

#include "base/bytes.h"
#include "base/err.h"

enum { REPEAT_NO_END = -1 };

struct byteset {
    uint64_t bits[4];
};

static inline bool byteset_has(const struct byteset *s, unsigned b)
{
    return s->bits[b / 64] >> (b % 64) & 1;
}

enum node_kind { NODE_EMPTY, NODE_SET, NODE_CAT, NODE_ALT, NODE_REPEAT, NODE_BOL, NODE_EOL };
struct node {
    enum node_kind kind;
    struct byteset set;
    uint32_t left, right;
    int min, max; /* NODE_REPEAT; max REPEAT_NO_END: no end */
};

struct syntax {
    struct node *nodes;
    size_t cap;
    uint32_t n, root;
};

/* out is zeroed. 0, or FAILURE (400 regex_bad) with the place. Its nodes are to be freed either
 * way. */
int regex_parse(struct bytes pattern, struct syntax *out, struct failure *f);

#endif
