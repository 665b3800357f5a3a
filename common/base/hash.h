/*
 * Hashes. hash64/hash128 are XXH3 without a seed: their values are stored and shared between
 * processes, so they never change. hash_secret is drawn at start: multiply it in where an attacker
 * could otherwise choose collisions of a table that lives in this process only.
 */
#ifndef HEARTH_BASE_HASH_H
#define HEARTH_BASE_HASH_H

#include "base/bytes.h"

struct hash128 {
    uint64_t hi, lo;
};

uint64_t hash64(struct bytes s);
struct hash128 hash128(struct bytes s);
/* 32 lower-case hex digits and a NUL. */
void hash128_hex(struct hash128 h, char out[33]);
/* Reads what hash128_hex wrote; false for anything else. */
bool hash128_unhex(struct bytes hex, struct hash128 *ret);

/* Finaliser of a 64-bit value (full avalanche). */
static inline uint64_t hash_mix(uint64_t x)
{
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    x ^= x >> 32;
    return x;
}

/* 64 random odd multipliers of this process, drawn once by getrandom(2). Any thread. */
const uint64_t *hash_secret(void);
uint64_t random_u64(void);

#endif
