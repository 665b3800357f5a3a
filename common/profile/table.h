/*
 * Table: an open-addressing index from a hash to dense 32-bit ids.
 *
 * It stores no keys: a slot is 32 bits of the hash (the tag) and an id, and the caller verifies
 * each candidate against the entry that the id names. The place of a slot is the top of its tag, so
 * the table grows without asking for hashes again. Linear probing, at most half full.
 *
 *     for (struct probe p = table_probe(&t, hash); table_next(&t, &p);)
 *         if (entry[p.id] is the key)
 *             return p.id;
 *     table_insert(&t, hash, n_entries++);
 *
 * Keys come from outside, so hashes must be keyed by hash_secret(): hash_keyed() and hash_pair()
 * are. A zeroed table is valid and empty. One thread owns it.
 */
#ifndef HEARTH_PROFILE_TABLE_H
#define HEARTH_PROFILE_TABLE_H

#include "base/bytes.h"

struct table {
    uint64_t *slots; /* tag << 32 | id + 1; 0: free */
    uint32_t n, mask;
    unsigned shift; /* of a tag, to its place */
};

struct probe {
    uint32_t tag, at;
    uint32_t id; /* the candidate, after table_next said true */
};

void table_begin(struct table *t); /* gives an empty one its first slots */
void table_deinit(struct table *t);
void table_reset(struct table *t); /* forgets all; halves the memory if little of it was used */
/* The key must not be in the table. */
void table_insert(struct table *t, uint64_t hash, uint32_t id);

static inline struct probe table_probe(const struct table *t, uint64_t hash)
{
    uint32_t tag = (uint32_t)(hash >> 32);

    return (struct probe){.tag = tag, .at = t->slots ? tag >> t->shift : 0};
}

static inline bool table_next(const struct table *t, struct probe *p)
{
    uint64_t slot;

    if (!t->slots)
        return false;
    while ((slot = t->slots[p->at]) != 0) {
        p->at = (p->at + 1) & t->mask;
        if ((uint32_t)(slot >> 32) == p->tag) {
            p->id = (uint32_t)slot - 1;
            return true;
        }
    }
    return false;
}

/* The candidate that stands first where the hash points, + 1; 0: there is none, or it has another
 * tag. For tables that table_begin() has given slots. */
static inline uint32_t table_first(const struct table *t, uint64_t hash)
{
    uint64_t slot = t->slots[(uint32_t)(hash >> 32) >> t->shift];

    return slot >> 32 == hash >> 32 ? (uint32_t)slot : 0;
}

static inline void table_prefetch(const struct table *t, uint64_t hash)
{
    if (t->slots)
        __builtin_prefetch(&t->slots[(uint32_t)(hash >> 32) >> t->shift]);
}

static inline size_t table_bytes(const struct table *t)
{
    return t->slots ? ((size_t)t->mask + 1) * sizeof *t->slots : 0;
}

/* At a reset: halves an array of which little was used in the round that ends, so that one huge
 * round does not hold its memory for ever. */
#define SETTLE(ptr, cap, used) ((ptr) = array_settle((ptr), &(cap), (used), sizeof *(ptr)))
void *array_settle(void *p, size_t *cap, size_t used, size_t size);

/* a * b in 128 bits, its halves folded together. */
static inline uint64_t fold_multiply(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* secret: hash_secret(). Twice: ids come in sequence, and a sequence once multiplied is still one, of
 * which some multipliers make clusters in a table. */
static inline uint64_t hash_pair(const uint64_t *secret, uint64_t a, uint64_t b)
{
    return fold_multiply(fold_multiply(a ^ secret[0], secret[1]) ^ b ^ secret[2], secret[3]);
}

/* Of bytes; not stable between processes. */
uint64_t hash_keyed(const uint64_t *secret, struct bytes s);

#endif
