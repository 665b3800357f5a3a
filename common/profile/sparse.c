/* How it works: what is missing of the three levels is made when it is asked for, and nothing is
 * ever taken out but all. */
#include "profile/sparse.h"

#include "base/xalloc.h"
#include "profile/table.h"

#include <stdlib.h>

void sparse_deinit(struct sparse *s)
{
    free(s->top);
    free(s->block);
    free(s->page);
    *s = (struct sparse){0};
}

void sparse_reset(struct sparse *s)
{
    SETTLE(s->top, s->top_cap, s->n_top);
    SETTLE(s->block, s->block_cap, s->n_blocks);
    SETTLE(s->page, s->page_cap, s->n_pages);
    s->n_top = s->n_blocks = s->n_pages = 0;
}

size_t sparse_bytes(const struct sparse *s)
{
    return s->top_cap * sizeof *s->top + s->block_cap * sizeof *s->block +
           s->page_cap * sizeof *s->page;
}

static struct sparse_block *block_of(struct sparse *s, size_t at)
{
    if (at >= s->n_top) {
        XGROW(s->top, s->top_cap, at + 1);
        memset(s->top + s->n_top, 0, (at + 1 - s->n_top) * sizeof *s->top);
        s->n_top = at + 1;
    }
    if (s->top[at] == 0) {
        XGROW(s->block, s->block_cap, s->n_blocks + 1);
        s->block[s->n_blocks] = (struct sparse_block){{0}};
        s->top[at] = (uint32_t)++s->n_blocks;
    }
    return &s->block[s->top[at] - 1];
}

uint32_t *sparse_make(struct sparse *s, uint32_t id)
{
    struct sparse_block *block = block_of(s, id / (SPARSE_PAGE * SPARSE_BLOCK));
    uint32_t *page = &block->page[id / SPARSE_PAGE % SPARSE_BLOCK];

    if (*page == 0) {
        XGROW(s->page, s->page_cap, s->n_pages + 1);
        memset(&s->page[s->n_pages], 0xff, sizeof *s->page); /* SPARSE_NONE */
        *page = (uint32_t)++s->n_pages;
    }
    return &s->page[*page - 1].value[id % SPARSE_PAGE];
}
