/*
 * JFR constant pools: where each constant of a chunk stands, by its class and key.
 *
 * Only pools that were asked for are kept; the others are passed. A constant is decoded when it is
 * looked at, not before. Of a key given twice the first holds. Views are of the chunk. One thread.
 */
#ifndef HEARTH_FORMATS_JFR_POOLS_H
#define HEARTH_FORMATS_JFR_POOLS_H

#include "formats/jfr/program.h"

struct jfr_pool {
    uint32_t class;
    uint32_t max; /* constants */
    struct jfr_ids ids;
    uint32_t *at; /* [index] offset in the chunk */
    size_t at_cap;
    struct jfr_program text; /* picks what its constants are read as text by */
    bool has_text;
};

struct jfr_pools {
    struct jfr_metadata *m;
    struct bytes chunk;
    struct jfr_pool *pool;
    size_t pool_cap; /* all of them initialised: their memory is used again */
    uint32_t n;
    uint32_t strings; /* the pool of java.lang.String, or JFR_NONE */
    uint32_t strings_max;
};

void jfr_pools_deinit(struct jfr_pools *p);
size_t jfr_pools_bytes(const struct jfr_pools *p);

/* Begins a chunk; java.lang.String is wanted always. */
void jfr_pools_begin(struct jfr_pools *p, struct jfr_metadata *m, struct bytes chunk,
                     uint32_t strings_max);
/* Wants the constants of a class, at most max of them. Returns the pool. */
uint32_t jfr_pools_want(struct jfr_pools *p, uint32_t class, uint32_t max);
/* Wants what a constant of this class is read as text by: the class, and those it refers to for it.
 */
void jfr_pools_want_text(struct jfr_pools *p, uint32_t class);
/* Takes a checkpoint event (its body). 0, -EBADMSG, or -E2BIG: more than max. */
int jfr_pools_take(struct jfr_pools *p, struct bytes body);
/* After the last checkpoint, before the first look-up. */
void jfr_pools_build(struct jfr_pools *p);

/* Number of constants of a pool, and the index of one: JFR_NONE if it is not there. */
uint32_t jfr_pool_n(const struct jfr_pools *p, uint32_t pool);
uint32_t jfr_pool_find(const struct jfr_pools *p, uint32_t pool, uint64_t key);
struct jfr_cursor jfr_pool_at(const struct jfr_pools *p, uint32_t pool, uint32_t index);

/*
 * The text of a picked field: a string, or the constant it refers to, of which it is the name, else
 * the first string, else what it first refers to (jdk.types.Symbol.string, java.lang.Class.name).
 * Empty if there is none, or if the class was not wanted as text. A view of the chunk or of
 * scratch; valid until either changes.
 */
struct bytes jfr_value_text(struct jfr_pools *p, const struct jfr_value *v, struct buf *scratch);

#endif
