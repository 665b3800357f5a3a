/*
 * Stacks: every distinct call stack once, under a dense id, as a tree of nodes (parent, frame). A
 * whole stack is hashed once (multilinear, with secret multipliers) and probed; only a stack never
 * seen walks the tree.
 *
 * One table may serve many profiles over the same symbols, such as all series of a service: each has
 * rows of its own for the stacks that it has (profile.h), and a stack that one of them had is not
 * new to the next.
 *
 * Node 0 is the root; a parent's node id is always smaller than its children's. Stack ids count
 * from 0 in order of first appearance. One thread owns the table.
 */
#ifndef HEARTH_PROFILE_STACKS_H
#define HEARTH_PROFILE_STACKS_H

#include "base/bytes.h"

enum { STACK_NONE = UINT32_MAX };

struct stack_node {
    uint32_t parent, frame;
    uint32_t first_child; /* the first that was made, 0: none yet; the others are in a table */
    uint32_t stack;       /* that ends here, or STACK_NONE */
};

struct stacks;

struct stacks *stacks_new(void);
void stacks_free(struct stacks *st);
void stacks_reset(struct stacks *st); /* forgets all, keeps the memory */

/* The id of the stack of n frames, leaf first (n may be 0: the root's own stack). */
uint32_t stacks_intern(struct stacks *st, const uint32_t *frames, size_t n);
/* The same for n stacks that stand one behind the other in frames and end at end[0 … n): all are
 * hashed before the first is looked up, so that they do not wait for each other's memory. */
void stacks_intern_many(struct stacks *st, const uint32_t *frames, const uint32_t *end, size_t n,
                        uint32_t *ret);

/* The same by steps, root first, for input that is a tree already: the child node of parent under
 * frame, made if new; then the stack that ends at a node. */
uint32_t stacks_child(struct stacks *st, uint32_t parent, uint32_t frame);
uint32_t stacks_at(struct stacks *st, uint32_t node);

uint32_t stacks_count(const struct stacks *st);
uint32_t stacks_n_nodes(const struct stacks *st);
const struct stack_node *stacks_nodes(const struct stacks *st); /* [0]: the root */
const uint32_t *stacks_leaves(const struct stacks *st);              /* [stack] its leaf node */
uint32_t stacks_leaf(const struct stacks *st, uint32_t stack);  /* its leaf node */
/* Writes the frames of a stack, leaf first; returns their number (at most max are written). */
size_t stacks_frames(const struct stacks *st, uint32_t stack, uint32_t *frames, size_t max);
/* [node] 0: scratch for who walks up from some stacks and has to know where it has been. Leave it
 * zeroed. Valid until the next stack is added. */
uint32_t *stacks_marks(struct stacks *st);
size_t stacks_bytes(const struct stacks *st);

#endif
