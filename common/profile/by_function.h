/*
 * By function: which frames of a table a reader takes for one when he asks for functions and not for
 * lines: those whose functions have one name and one file, whatever their lines, system names and
 * start lines. Each is stood for by the first of them, so that trees grouped so (tree_group) need
 * no table of their own. A frame without a function stands for itself.
 *
 * Brought up to date as the table grows, at the cost of what is new. One thread, as the table.
 */
#ifndef HEARTH_PROFILE_BY_FUNCTION_H
#define HEARTH_PROFILE_BY_FUNCTION_H

#include "profile/symbols.h"
#include "profile/table.h"

/* A zeroed one is of no frames. */
struct by_function {
    uint32_t *first; /* [frame id] the least id that is the same function */
    uint32_t n;      /* frames that it knows */
    size_t cap;
    uint32_t *frame_of; /* [function id] the first frame of its name and file; 0: not met yet */
    size_t frame_of_cap;
    struct table names; /* (name, file) → the first frame */
};

void by_function_deinit(struct by_function *b);
void by_function_update(struct by_function *b, const struct symbols *s);
size_t by_function_bytes(const struct by_function *b);

#endif
