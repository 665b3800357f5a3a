/* How it works: the order is brought up to date (order.h), and a frame's place in it is its rank.
 */
#include "profile/ranks.h"

#include "base/xalloc.h"
#include "profile/symbols.h"

#include <stdlib.h>

void ranks_deinit(struct ranks *r)
{
    free(r->rank);
    order_deinit(&r->frames);
    *r = (struct ranks){0};
}

static int frame_cmp(const void *symbols, uint32_t a, uint32_t b)
{
    return symbols_frame_cmp(symbols, a, b);
}

void ranks_update(struct ranks *r, const struct symbols *s)
{
    uint32_t n = symbols_n_frames(s);

    if (r->frames.n == n)
        return;
    order_update(&r->frames, n, frame_cmp, s);
    XGROW(r->rank, r->rank_cap, n);
    for (uint32_t i = 0; i < n; i++)
        r->rank[r->frames.id[i]] = i;
}
