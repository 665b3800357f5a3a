/*
 * How it works. The place of an entry is the top bits of its tag, so the slots stand nearly sorted
 * by tag, and doubling the table moves each entry to about twice its place: growing is one pass in
 * order, reading nothing but the slots.
 *
 * hash_keyed is the scheme of fast keyed string hashes: 16 bytes at a time are xored with secret
 * words, multiplied, folded, and chained through the next multiplication. Whoever does not know the
 * secret cannot aim at one place of the table.
 */
#include "profile/table.h"

#include "base/err.h"
#include "base/xalloc.h"

#include <stdlib.h>

enum { SLOTS_MIN = 64, ARRAY_MIN = 4096, SHRINK_BELOW = 16 };

void table_deinit(struct table *t)
{
    free(t->slots);
    *t = (struct table){0};
}

static void resize(struct table *t, uint32_t n_slots)
{
    t->slots = xcalloc(n_slots, sizeof *t->slots);
    t->mask = n_slots - 1;
    t->shift = 32 - (unsigned)__builtin_ctz(n_slots);
}

void table_begin(struct table *t)
{
    resize(t, SLOTS_MIN);
}

static void place(struct table *t, uint64_t slot)
{
    uint32_t at = (uint32_t)(slot >> 32) >> t->shift;

    while (t->slots[at])
        at = (at + 1) & t->mask;
    t->slots[at] = slot;
}

static void grow(struct table *t)
{
    uint64_t *old = t->slots;
    size_t n_old = old ? (size_t)t->mask + 1 : 0;

    CHECK(n_old < UINT32_C(1) << 31);
    resize(t, old ? (uint32_t)(n_old * 2) : SLOTS_MIN);
    for (size_t i = 0; i < n_old; i++)
        if (old[i])
            place(t, old[i]);
    free(old);
}

void *array_settle(void *p, size_t *cap, size_t used, size_t size)
{
    if (*cap <= ARRAY_MIN || used > *cap / SHRINK_BELOW)
        return p;
    *cap /= 2;
    return xreallocarray(p, *cap, size);
}

void table_reset(struct table *t)
{
    size_t n_slots = (size_t)t->mask + 1;

    if (!t->slots)
        return;
    if (n_slots > SLOTS_MIN && t->n < n_slots / SHRINK_BELOW) {
        free(t->slots);
        resize(t, (uint32_t)(n_slots / 2));
    } else {
        memset(t->slots, 0, n_slots * sizeof *t->slots);
    }
    t->n = 0;
}

void table_insert(struct table *t, uint64_t hash, uint32_t id)
{
    if (!t->slots || t->n >= t->mask / 2)
        grow(t);
    place(t, (hash >> 32) << 32 | (id + UINT64_C(1)));
    t->n++;
}

/* The last 16 bytes, or all where there are fewer, as two words; short texts overlap themselves. */
static inline void last_words(const uint8_t *p, size_t n, uint64_t *a, uint64_t *b)
{
    if (n >= 16) {
        *a = load64(p + n - 16);
        *b = load64(p + n - 8);
    } else if (n >= 8) {
        *a = load64(p);
        *b = load64(p + n - 8);
    } else if (n >= 4) {
        *a = load32(p);
        *b = load32(p + n - 4);
    } else {
        *a = n ? (uint64_t)p[0] << 16 | (uint64_t)p[n / 2] << 8 | p[n - 1] : 0;
        *b = 0;
    }
}

uint64_t hash_keyed(const uint64_t *secret, struct bytes s)
{
    uint64_t h = secret[8] ^ s.len, a, b;

    for (size_t i = 0; i + 16 < s.len; i += 16)
        h = fold_multiply(load64(s.data + i) ^ secret[9] ^ h, load64(s.data + i + 8) ^ secret[10]);
    last_words(s.data, s.len, &a, &b);
    h = fold_multiply(a ^ secret[11] ^ h, b ^ secret[12]);
    return fold_multiply(h ^ secret[13], secret[14]);
}
