/*
 * By function: which frames of a table a reader takes for one when he asks for functions and not
 * for lines: those whose functions have one name and one file, whatever their lines, system names
 * and start lines. Each is stood for by the first of them, so that trees grouped so (tree_group)
 * need no table of their own. A frame without a function stands for itself.
 *
 * Functions have an order, too, by a hash of name and file (then by their bytes), so that equal
 * content gives equal answers, whichever line came first.
 *
 * Brought up to date as the table grows, at the cost of what is new and a pass over the rest. One
 * thread, as the table.
 */
#ifndef HEARTH_PROFILE_BY_FUNCTION_H
#define HEARTH_PROFILE_BY_FUNCTION_H

#include "profile/order.h"
#include "profile/symbols.h"
#include "profile/table.h"

/* A zeroed one is of no frames. */
struct by_function {
    uint32_t n;      /* frames that it knows */
    uint32_t *first; /* [frame id] the least id that is the same function */
    uint32_t *rank;  /* [frame id] the function's place in the order */
    size_t first_cap, rank_cap;

    /* private: the functions, numbered as they come; 0 is the root's */
    struct named {
        uint32_t frame; /* the first */
        uint64_t hash;  /* of name and file */
    } * function;
    uint32_t n_functions;
    size_t function_cap;
    uint32_t *number_of; /* [function id of the table] its number; 0: not met yet */
    size_t number_of_cap;
    uint32_t *number; /* [frame id] */
    size_t number_cap;
    struct table names; /* (name, file) → number */
    struct order order;
    uint32_t *place; /* [number] in the order */
    size_t place_cap;
};

void by_function_deinit(struct by_function *b);
void by_function_update(struct by_function *b, const struct symbols *s);
size_t by_function_bytes(const struct by_function *b);

/* Two frames by their functions' names, then files, as a person sorts them; then by their own order. */
int by_function_cmp(const struct symbols *s, uint32_t x, uint32_t y);

#endif
