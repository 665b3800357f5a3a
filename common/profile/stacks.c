/*
 * How it works. Two tables: one finds a child by (parent, frame), exactly, unless it is its
 * parent's first, which the parent knows: most nodes have one child, and take no place in the
 * table. The other finds a whole stack by the hash of all its frames. A stack that was seen before
 * costs one probe of the second, whatever its depth; only a new one walks the first from root to
 * leaf, which is a cache miss per frame.
 *
 * The hash of a stack is a multilinear one, twice: Σ frame[i] · secret[i] modulo 2^64, once with
 * the lower halves of the secret words and once with the upper. Frames and multipliers have 32
 * bits, so that where two stacks differ in a frame, no two multipliers make the same difference of
 * sums, and the stacks agree in one sum with a chance of at most 2^-31 over the secret (whose words
 * are odd), in both with 2^-63, whatever an attacker sends (Lemire and Kaser, Strongly universal
 * string hashing is fast). There are 64 secret words: frames are taken in blocks of 64, chained by
 * a full mix, or swapping two frames 64 apart would not be seen. A hit must agree in all 64 bits
 * and in the leaf frame: over 10^7 stacks the chance that any two are taken for one is below
 * 10^-5, and no input can raise it.
 */
#include "profile/stacks.h"

#include "base/err.h"
#include "base/hash.h"
#include "base/xalloc.h"
#include "profile/table.h"

#include <stdlib.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { BLOCK_FRAMES = 64 }; /* as many multipliers as hash_secret() has */
enum { SLOTS_MIN = 64, SHRINK_BELOW = 16 };
enum { BATCH = 32 }; /* as many look-ups wait for memory at once */

/* A slot of the table of stacks: all that a hit must agree in stands in it. */
struct known {
    uint64_t hash;
    uint32_t id; /* + 1; 0: free */
    uint32_t leaf_frame;
};

struct stacks {
    const uint64_t *secret;
    struct table children;
    struct known *known;
    uint32_t n_known, known_mask;
    unsigned known_shift; /* of a hash, to its place */
    struct stack_node *node;
    uint32_t *leaf; /* [stack] its node */
    uint32_t *mark; /* [node] 0, made when it is asked for */
    uint32_t n_nodes, n_stacks;
    size_t node_cap, leaf_cap, mark_cap;
};

static uint32_t new_node(struct stacks *st, uint32_t parent, uint32_t frame)
{
    CHECK(st->n_nodes < UINT32_MAX - 1);
    if (st->n_nodes == st->node_cap)
        XGROW(st->node, st->node_cap, (size_t)st->n_nodes + 1);
    st->node[st->n_nodes] = (struct stack_node){parent, frame, 0, STACK_NONE};
    return st->n_nodes++;
}

/* --- the table of stacks ------------------------------------------------------------------------
 */

static void known_resize(struct stacks *st, size_t n_slots)
{
    st->known = xcalloc(n_slots, sizeof *st->known);
    st->known_mask = (uint32_t)(n_slots - 1);
    st->known_shift = 64 - (unsigned)__builtin_ctzll(n_slots);
}

static inline struct known *known_at(const struct stacks *st, uint64_t hash)
{
    return &st->known[hash >> st->known_shift];
}

static void known_place(struct stacks *st, const struct known *k)
{
    uint32_t at = (uint32_t)(k->hash >> st->known_shift);

    while (st->known[at].id)
        at = (at + 1) & st->known_mask;
    st->known[at] = *k;
}

static void known_grow(struct stacks *st)
{
    struct known *old = st->known;
    size_t n_old = (size_t)st->known_mask + 1;

    known_resize(st, n_old * 2);
    for (size_t i = 0; i < n_old; i++)
        if (old[i].id)
            known_place(st, &old[i]);
    free(old);
}

static void known_insert(struct stacks *st, uint64_t hash, uint32_t leaf_frame, uint32_t id)
{
    if (st->n_known >= st->known_mask - st->known_mask / 4)
        known_grow(st);
    known_place(st, &(struct known){hash, id + 1, leaf_frame});
    st->n_known++;
}

/* Forgets all; halves the memory if little of it was used. */
static void known_reset(struct stacks *st)
{
    size_t n_slots = (size_t)st->known_mask + 1;

    if (n_slots > SLOTS_MIN && st->n_known < n_slots / SHRINK_BELOW) {
        free(st->known);
        known_resize(st, n_slots / 2);
    } else {
        memset(st->known, 0, n_slots * sizeof *st->known);
    }
    st->n_known = 0;
}

/* ------------------------------------------------------------------------------------------------
 */

struct stacks *stacks_new(void)
{
    struct stacks *st = xcalloc(1, sizeof *st);

    st->secret = hash_secret();
    known_resize(st, SLOTS_MIN);
    new_node(st, 0, 0);
    return st;
}

void stacks_free(struct stacks *st)
{
    if (!st)
        return;
    table_deinit(&st->children);
    free(st->known);
    free(st->node);
    free(st->leaf);
    free(st->mark);
    free(st);
}

void stacks_reset(struct stacks *st)
{
    table_reset(&st->children);
    known_reset(st);
    SETTLE(st->node, st->node_cap, st->n_nodes);
    SETTLE(st->leaf, st->leaf_cap, st->n_stacks);
    SETTLE(st->mark, st->mark_cap, st->n_nodes);
    st->n_nodes = st->n_stacks = 0;
    new_node(st, 0, 0);
}

/* The two sums of a block of n ≤ 64 frames. */
struct sums {
    uint64_t low, high;
};

#ifdef __SSE2__
static inline uint64_t sum_lanes(__m128i v)
{
    return (uint64_t)_mm_cvtsi128_si64(v) + (uint64_t)_mm_cvtsi128_si64(_mm_unpackhi_epi64(v, v));
}

struct lanes {
    __m128i low, high;
};

/* Adds four frames by the lower and the upper halves of four secret words. Lanes have 64 bits, so
 * the even frames go first, with the first two words, then the odd ones. */
static inline struct lanes add_four(struct lanes sum, __m128i even, const uint64_t *secret)
{
    __m128i odd = _mm_srli_epi64(even, 32);
    __m128i s_even = _mm_loadu_si128((const __m128i *)secret);
    __m128i s_odd = _mm_loadu_si128((const __m128i *)(secret + 2));

    sum.low = _mm_add_epi64(sum.low, _mm_mul_epu32(even, s_even));
    sum.low = _mm_add_epi64(sum.low, _mm_mul_epu32(odd, s_odd));
    sum.high = _mm_add_epi64(sum.high, _mm_mul_epu32(even, _mm_srli_epi64(s_even, 32)));
    sum.high = _mm_add_epi64(sum.high, _mm_mul_epu32(odd, _mm_srli_epi64(s_odd, 32)));
    return sum;
}

/* The last one to three come as the last four, of which the others are masked. */
static inline struct sums hash_block(const uint64_t *secret, const uint32_t *frames, size_t n)
{
    static const uint32_t mask[8] = {0, 0, 0, 0, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};
    struct lanes sum = {_mm_setzero_si128(), _mm_setzero_si128()};
    size_t i = 0;

    for (; i + 4 <= n; i += 4)
        sum = add_four(sum, _mm_loadu_si128((const __m128i *)(frames + i)), secret + i);
    if (i < n && n >= 4) {
        __m128i last = _mm_loadu_si128((const __m128i *)(frames + n - 4));
        __m128i keep = _mm_loadu_si128((const __m128i *)(mask + (n - i)));

        sum = add_four(sum, _mm_and_si128(last, keep), secret + i);
    } else if (i < n) {
        uint32_t few[4] = {frames[0], n > 1 ? frames[1] : 0, n > 2 ? frames[2] : 0, 0};

        sum = add_four(sum, _mm_loadu_si128((const __m128i *)few), secret);
    }
    return (struct sums){sum_lanes(sum.low), sum_lanes(sum.high)};
}
#else
static inline struct sums hash_block(const uint64_t *secret, const uint32_t *frames, size_t n)
{
    struct sums s = {0, 0};

    for (size_t i = 0; i < n; i++) {
        s.low += (uint64_t)frames[i] * (uint32_t)secret[i];
        s.high += (uint64_t)frames[i] * (secret[i] >> 32);
    }
    return s;
}
#endif

static inline uint64_t hash_frames(const uint64_t *secret, const uint32_t *frames, size_t n)
{
    uint64_t h = n;

    for (size_t begin = 0; begin < n; begin += BLOCK_FRAMES) {
        size_t len = n - begin < BLOCK_FRAMES ? n - begin : BLOCK_FRAMES;
        struct sums s = hash_block(secret, frames + begin, len);

        h = fold_multiply(fold_multiply(h ^ s.low ^ secret[1], secret[2]) ^ s.high, secret[3]);
    }
    return h;
}

/* The child of parent under frame, 0: there is none. */
static inline uint32_t find_child(const struct stacks *st, uint32_t parent, uint32_t frame)
{
    const struct stack_node *node = st->node;
    uint32_t first = node[parent].first_child;
    uint64_t place;

    if (first == 0 || node[first].frame == frame)
        return first;
    place = hash_pair(st->secret, parent, frame);
    for (struct probe p = table_probe(&st->children, place); table_next(&st->children, &p);)
        if (node[p.id].parent == parent && node[p.id].frame == frame)
            return p.id;
    return 0;
}

static uint32_t add_child(struct stacks *st, uint32_t parent, uint32_t frame)
{
    uint32_t child = new_node(st, parent, frame);

    if (st->node[parent].first_child == 0)
        st->node[parent].first_child = child;
    else
        table_insert(&st->children, hash_pair(st->secret, parent, frame), child);
    return child;
}

uint32_t stacks_child(struct stacks *st, uint32_t parent, uint32_t frame)
{
    uint32_t child;

    CHECK(parent < st->n_nodes);
    child = find_child(st, parent, frame);
    return child ? child : add_child(st, parent, frame);
}

uint32_t stacks_at(struct stacks *st, uint32_t node)
{
    CHECK(node < st->n_nodes);
    if (st->node[node].stack == STACK_NONE) {
        if (st->n_stacks == st->leaf_cap)
            XGROW(st->leaf, st->leaf_cap, (size_t)st->n_stacks + 1);
        st->leaf[st->n_stacks] = node;
        st->node[node].stack = st->n_stacks++;
    }
    return st->node[node].stack;
}

/* Finds or makes the stack by its steps, and enters it under its hash. */
static uint32_t walk(struct stacks *st, const uint32_t *frames, size_t n, uint64_t hash)
{
    uint32_t node = 0, child, id;
    size_t left = n;

    while (left && (child = find_child(st, node, frames[left - 1])) != 0) {
        node = child;
        left--;
    }
    while (left)
        node = add_child(st, node, frames[--left]);
    id = stacks_at(st, node);
    known_insert(st, hash, frames[0], id);
    return id;
}

static uint32_t intern_hashed(struct stacks *st, const uint32_t *frames, size_t n, uint64_t hash)
{
    if (n == 0)
        return stacks_at(st, 0);
    for (uint32_t at = (uint32_t)(hash >> st->known_shift); st->known[at].id;
         at = (at + 1) & st->known_mask)
        if (st->known[at].hash == hash && st->known[at].leaf_frame == frames[0])
            return st->known[at].id - 1;
    return walk(st, frames, n, hash);
}

uint32_t stacks_intern(struct stacks *st, const uint32_t *frames, size_t n)
{
    return intern_hashed(st, frames, n, hash_frames(st->secret, frames, n));
}

void stacks_intern_many(struct stacks *st, const uint32_t *frames, const uint32_t *end, size_t n,
                        uint32_t *ret)
{
    uint64_t hash[BATCH];

    for (size_t done = 0; done < n; done += BATCH) {
        size_t len = n - done < BATCH ? n - done : BATCH;
        uint32_t begin = done ? end[done - 1] : 0, at = begin;

        for (size_t i = 0; i < len; at = end[done + i++]) {
            hash[i] = hash_frames(st->secret, frames + at, end[done + i] - at);
            __builtin_prefetch(known_at(st, hash[i]));
        }
        at = begin;
        for (size_t i = 0; i < len; at = end[done + i++])
            ret[done + i] = intern_hashed(st, frames + at, end[done + i] - at, hash[i]);
    }
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

const uint32_t *stacks_leaves(const struct stacks *st)
{
    return st->leaf;
}

uint32_t stacks_leaf(const struct stacks *st, uint32_t stack)
{
    CHECK(stack < st->n_stacks);
    return st->leaf[stack];
}

size_t stacks_frames(const struct stacks *st, uint32_t stack, uint32_t *frames, size_t max)
{
    size_t n = 0;

    for (uint32_t node = stacks_leaf(st, stack); node; node = st->node[node].parent, n++)
        if (n < max)
            frames[n] = st->node[node].frame;
    return n;
}

uint32_t *stacks_marks(struct stacks *st)
{
    size_t had = st->mark_cap;

    XGROW(st->mark, st->mark_cap, st->n_nodes);
    memset(st->mark + had, 0, (st->mark_cap - had) * sizeof *st->mark);
    return st->mark;
}

size_t stacks_bytes(const struct stacks *st)
{
    return table_bytes(&st->children) + ((size_t)st->known_mask + 1) * sizeof *st->known +
           st->node_cap * sizeof *st->node + st->leaf_cap * sizeof *st->leaf +
           st->mark_cap * sizeof *st->mark;
}
