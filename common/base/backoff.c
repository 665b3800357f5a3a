/*
 * Full jitter: the whole span is random, not a little around its end, because what has to be spread
 * out are hundreds of agents that lost the same server in the same second.
 */
#include "base/backoff.h"

#include "base/hash.h"

static uint32_t ceiling_ms(const struct backoff *b)
{
    uint64_t ms = b->tries < 32 ? (uint64_t)b->min_ms << b->tries : b->max_ms;

    return ms < b->max_ms ? (uint32_t)ms : b->max_ms;
}

uint32_t backoff_next(struct backoff *b)
{
    uint32_t high_ms = ceiling_ms(b);
    uint32_t low_ms = b->min_ms < high_ms ? b->min_ms : high_ms;

    b->tries += b->tries < UINT32_MAX;
    return low_ms + (uint32_t)(random_u64() % ((uint64_t)high_ms - low_ms + 1));
}
