/*
 * How it works. Two tables: one finds a child by (parent, frame), exactly, unless it is its
 * parent's first, which the parent knows: most nodes have one child, and take no place in the
 * table. The other finds a whole stack by the hash of all its frames. A stack that was seen before
 * costs one probe of the second, whatever its depth; only a new one walks the first from root to
 * leaf (performance.md: 2.7 to 9 times cheaper than walking always, which is a cache miss per
 * frame).
 *
 * The hash of a stack is a multilinear one: Σ frame[i] · secret[i], in 128 bits. Frames have 32
 * bits and multipliers 64, so the sum does not wrap within a block of 64 frames, and two different
 * blocks are equal with a chance of at most 2^-63 over the secret, whatever an attacker sends.
 * Blocks are chained by a full mix, or swapping two frames 64 apart would not be seen. A hit must
 * agree in all 64 bits, in depth and in the leaf frame: over 10^7 stacks the chance that any two
 * are taken for one is about 3·10^-6, and no input can raise it.
 */
#include "profile/stacks.h"

#include "base/err.h"
#include "base/hash.h"
#include "base/xalloc.h"
#include "profile/table.h"

#include <stdlib.h>

enum { BLOCK_FRAMES = 64 };          /* as many multipliers as hash_secret() has */
enum { DEPTH_UNKNOWN = UINT32_MAX }; /* made by stacks_at: not yet in the table of stacks */

struct stack {
    uint64_t hash;
    uint32_t leaf, depth;
    uint32_t leaf_frame; /* node[leaf].frame, beside the rest of what a hit must agree in */
};

struct stacks {
    const uint64_t *secret;
    struct table children, by_hash;
    struct stack_node *node;
    struct stack *stack;
    uint32_t n_nodes, n_stacks;
    size_t node_cap, stack_cap;
};

static uint32_t new_node(struct stacks *st, uint32_t parent, uint32_t frame)
{
    CHECK(st->n_nodes < UINT32_MAX - 1);
    if (st->n_nodes == st->node_cap)
        XGROW(st->node, st->node_cap, (size_t)st->n_nodes + 1);
    st->node[st->n_nodes] = (struct stack_node){parent, frame, 0, STACK_NONE};
    return st->n_nodes++;
}

struct stacks *stacks_new(void)
{
    struct stacks *st = xcalloc(1, sizeof *st);

    st->secret = hash_secret();
    new_node(st, 0, 0);
    return st;
}

void stacks_free(struct stacks *st)
{
    if (!st)
        return;
    table_deinit(&st->children);
    table_deinit(&st->by_hash);
    free(st->node);
    free(st->stack);
    free(st);
}

void stacks_reset(struct stacks *st)
{
    table_reset(&st->children);
    table_reset(&st->by_hash);
    SETTLE(st->node, st->node_cap, st->n_nodes);
    SETTLE(st->stack, st->stack_cap, st->n_stacks);
    st->n_nodes = st->n_stacks = 0;
    new_node(st, 0, 0);
}

static uint64_t hash_frames(const uint64_t *secret, const uint32_t *frames, size_t n)
{
    uint64_t h = n;

    for (size_t begin = 0; begin < n; begin += BLOCK_FRAMES) {
        size_t len = n - begin < BLOCK_FRAMES ? n - begin : BLOCK_FRAMES;
        unsigned __int128 sum = h;

        for (size_t i = 0; i < len; i++)
            sum += (unsigned __int128)secret[i] * frames[begin + i];
        h = hash_mix((uint64_t)sum ^ fold_multiply((uint64_t)(sum >> 64) ^ secret[1], secret[0]));
    }
    return h;
}

/* A child that is not its parent's first, or is new. */
static uint32_t other_child(struct stacks *st, uint32_t parent, uint32_t frame)
{
    uint64_t place = hash_pair(st->secret, parent, frame);
    uint32_t node;

    if (st->node[parent].first_child == 0) {
        node = new_node(st, parent, frame);
        st->node[parent].first_child = node;
        return node;
    }
    for (struct probe p = table_probe(&st->children, place); table_next(&st->children, &p);)
        if (st->node[p.id].parent == parent && st->node[p.id].frame == frame)
            return p.id;
    node = new_node(st, parent, frame);
    table_insert(&st->children, place, node);
    return node;
}

/* Node 0 is nobody's child, so what it has for a frame must not be found. */
static inline uint32_t child_of(struct stacks *st, uint32_t parent, uint32_t frame)
{
    uint32_t first = st->node[parent].first_child;

    if (first && st->node[first].frame == frame)
        return first;
    return other_child(st, parent, frame);
}

uint32_t stacks_child(struct stacks *st, uint32_t parent, uint32_t frame)
{
    CHECK(parent < st->n_nodes);
    return child_of(st, parent, frame);
}

uint32_t stacks_at(struct stacks *st, uint32_t node)
{
    CHECK(node < st->n_nodes);
    if (st->node[node].stack == STACK_NONE) {
        if (st->n_stacks == st->stack_cap)
            XGROW(st->stack, st->stack_cap, (size_t)st->n_stacks + 1);
        st->stack[st->n_stacks] = (struct stack){
            .leaf = node, .depth = DEPTH_UNKNOWN, .leaf_frame = st->node[node].frame};
        st->node[node].stack = st->n_stacks++;
    }
    return st->node[node].stack;
}

/* Finds or makes the stack by its steps, and enters it under its hash. */
static uint32_t walk(struct stacks *st, const uint32_t *frames, size_t n, uint64_t hash)
{
    uint32_t node = 0, id;

    for (size_t i = n; i > 0; i--)
        node = child_of(st, node, frames[i - 1]);
    id = stacks_at(st, node);
    st->stack[id].hash = hash;
    st->stack[id].depth = (uint32_t)n;
    table_insert(&st->by_hash, hash, id);
    return id;
}

uint64_t stacks_hash(const struct stacks *st, const uint32_t *frames, size_t n)
{
    return hash_frames(st->secret, frames, n);
}

void stacks_prefetch(const struct stacks *st, uint64_t hash)
{
    table_prefetch(&st->by_hash, hash);
}

uint32_t stacks_intern_hashed(struct stacks *st, const uint32_t *frames, size_t n, uint64_t hash)
{
    if (n == 0)
        return stacks_at(st, 0);
    for (struct probe p = table_probe(&st->by_hash, hash); table_next(&st->by_hash, &p);) {
        const struct stack *s = &st->stack[p.id];

        if (s->hash == hash && s->depth == n && s->leaf_frame == frames[0])
            return p.id;
    }
    return walk(st, frames, n, hash);
}

uint32_t stacks_intern(struct stacks *st, const uint32_t *frames, size_t n)
{
    return stacks_intern_hashed(st, frames, n, hash_frames(st->secret, frames, n));
}

uint32_t stacks_count(const struct stacks *st)
{
    return st->n_stacks;
}

uint32_t stacks_n_nodes(const struct stacks *st)
{
    return st->n_nodes;
}

const struct stack_node *stacks_nodes(const struct stacks *st)
{
    return st->node;
}

uint32_t stacks_leaf(const struct stacks *st, uint32_t stack)
{
    CHECK(stack < st->n_stacks);
    return st->stack[stack].leaf;
}

size_t stacks_frames(const struct stacks *st, uint32_t stack, uint32_t *frames, size_t max)
{
    size_t n = 0;

    for (uint32_t node = stacks_leaf(st, stack); node; node = st->node[node].parent, n++)
        if (n < max)
            frames[n] = st->node[node].frame;
    return n;
}

size_t stacks_bytes(const struct stacks *st)
{
    return table_bytes(&st->children) + table_bytes(&st->by_hash) +
           st->node_cap * sizeof *st->node + st->stack_cap * sizeof *st->stack;
}
