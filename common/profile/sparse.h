/*
 * Sparse: an array of 32-bit numbers by dense ids, of which few are set: the rows of one series by
 * the stacks of all.
 *
 * A tree of three levels. A number costs four bytes where its neighbours are set, too, and at most
 * 320 (a page of 16 and a block of 64 pages); an array with a number at id n another n / 256. A
 * zeroed one is valid and empty. One thread owns it.
 */
#ifndef HEARTH_PROFILE_SPARSE_H
#define HEARTH_PROFILE_SPARSE_H

#include "base/bytes.h"

enum { SPARSE_NONE = UINT32_MAX };
enum { SPARSE_PAGE = 16, SPARSE_BLOCK = 64 };

struct sparse_page {
    uint32_t value[SPARSE_PAGE];
};

struct sparse_block {
    uint32_t page[SPARSE_BLOCK]; /* + 1; 0: none */
};

struct sparse {
    uint32_t *top; /* block + 1; 0: none */
    struct sparse_block *block;
    struct sparse_page *page;
    size_t n_top, n_blocks, n_pages;
    size_t top_cap, block_cap, page_cap;
};

void sparse_deinit(struct sparse *s);
void sparse_reset(struct sparse *s); /* forgets all; halves the memory if little of it was used */
size_t sparse_bytes(const struct sparse *s);

/* The number at id, with SPARSE_NONE if it was not there. Valid until another is asked for. */
uint32_t *sparse_make(struct sparse *s, uint32_t id);
static inline uint32_t *sparse_at(struct sparse *s, uint32_t id)
{
    size_t at = id / (SPARSE_PAGE * SPARSE_BLOCK);
    uint32_t block = at < s->n_top ? s->top[at] : 0, page = 0;

    if (block)
        page = s->block[block - 1].page[id / SPARSE_PAGE % SPARSE_BLOCK];
    return page ? &s->page[page - 1].value[id % SPARSE_PAGE] : sparse_make(s, id);
}

#endif
