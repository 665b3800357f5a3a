#include "profile/ranks.h"

#include "base/xalloc.h"
#include "profile/symbols.h"

#include <stdlib.h>

/* The hash stands beside the id, for nearly all comparisons end there. */
struct item {
    uint64_t hash;
    uint32_t frame;
};

static int item_cmp(const void *va, const void *vb, void *symbols)
{
    const struct item *a = va, *b = vb;

    if (a->hash != b->hash)
        return a->hash < b->hash ? -1 : 1;
    return symbols_frame_cmp(symbols, a->frame, b->frame);
}

void ranks_deinit(struct ranks *r)
{
    free(r->rank);
    free(r->frame);
    *r = (struct ranks){0};
}

/* The frames from first on, in order. The caller frees. */
static struct item *sorted_items(const struct symbols *s, uint32_t first, uint32_t n)
{
    const uint64_t *hash = symbols_frame_hashes(s);
    struct item *item = xreallocarray(NULL, n - first, sizeof *item);

    for (uint32_t i = first; i < n; i++)
        item[i - first] = (struct item){hash[i], i};
    qsort_r(item, n - first, sizeof *item, item_cmp, (void *)(uintptr_t)s);
    return item;
}

/* From the end, so that the old ones move at most once. */
void ranks_update(struct ranks *r, const struct symbols *s)
{
    uint32_t n = symbols_n_frames(s), n_old = r->n, n_new = n - r->n, at = n;
    struct item *item;

    if (n_new == 0)
        return;
    item = sorted_items(s, n_old, n);
    XGROW(r->rank, r->rank_cap, n);
    XGROW(r->frame, r->frame_cap, n);
    while (n_new > 0)
        if (n_old > 0 && symbols_frame_cmp(s, r->frame[n_old - 1], item[n_new - 1].frame) > 0)
            r->frame[--at] = r->frame[--n_old];
        else
            r->frame[--at] = item[--n_new].frame;
    for (uint32_t i = 0; i < n; i++)
        r->rank[r->frame[i]] = i;
    r->n = n;
    free(item);
}
