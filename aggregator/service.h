/*
 * Service: one service in one partition: its symbols and stacks, and the generations of symbols in
 * the store.
 *
 * Deltas intern into `symbols`. That is the current generation's own table once it is loaded, or was
 * begun here; until then it is a table that starts empty, so that counting never waits for the store.
 * The first flush loads the generation, and service_adopt moves everything over: for the length of that
 * flush, frame ids of deltas are those of `staging` and become the generation's through `staging_map`.
 *
 * All series have their stacks in one table, from one flush to the next: what is kept longer would
 * be in no budget.
 *
 * A generation ends at a byte cap and is deleted after its newest blob has expired. Pure.
 */
#ifndef HEARTH_AGGREGATOR_SERVICE_H
#define HEARTH_AGGREGATOR_SERVICE_H

#include "aggregator/ops.h"
#include "profile/stacks.h"
#include "wire/symchunk.h"

enum { GENERATIONS_MAX = 4096 };

struct generation {
    uint64_t id;
    int64_t expires_ms;         /* no blob that names it lives longer */
};

struct service {
    struct hash128 sid;
    uint32_t n_series;          /* kids of it in the roster */
    int64_t touched_ms;

    struct generation *generations;     /* oldest first; the last is current */
    size_t n_generations, cap_generations;
    bool generations_changed;
    bool rolled;                /* the current one is full: begin another, do not load it */

    struct symbols *symbols;            /* NULL: not touched since it was acquired or put aside */
    struct stacks *stacks;              /* NULL: not touched since the last flush */
    bool loaded;                        /* symbols is the current generation's */
    struct symbols_mark written;        /* of symbols, when loaded: what the store has */
    struct symbols *staging;
    uint32_t *staging_map;
};

struct service *service_new(struct hash128 sid);
void service_free(struct service *s);
void service_touch(struct service *s, int64_t now_ms);      /* symbols and stacks are there from now on */
size_t service_bytes(const struct service *s);              /* of these two, touched */

/* The field of h:{p}:gen. 0 or -EBADMSG. */
int service_load(struct service *s, struct bytes value);

/* 0: it has no generation yet, or not this one. */
uint64_t service_current(const struct service *s);
bool service_has(const struct service *s, uint64_t generation);
/* Makes loaded (taken; what the store has of the current generation) the service's symbols. */
void service_adopt(struct service *s, struct symbols *loaded);
/* A new generation of that id: the symbols of the deltas are its beginning. Not when loaded. */
void service_begin(struct service *s, uint64_t id);
void service_end_staging(struct service *s);

/*
 * What a commit has to write: new symbols under h:{p}:sym:…, and the list under h:{p}:gen with the
 * current generation living until expires_ms at least. expires_ms 0: the service has nothing in this
 * flush. Generations that expired before now_ms are deleted.
 */
void service_ops(struct service *s, struct zcodec *z, uint32_t p, int64_t now_ms,
                 int64_t expires_ms, struct ops *ops);
bool service_has_expired(const struct service *s, int64_t now_ms);
/* After the commit; deltas are gone. Ends the current generation if its symbols exceed max_bytes. */
void service_committed(struct service *s, size_t max_bytes);
/* Puts the symbols aside; the store has them. Only between flushes, without deltas. */
void service_unload(struct service *s);
/* Nothing in memory or store needs it any more. */
bool service_forgettable(const struct service *s);

/* Chunks (by the first frame id in them, decimal) as read by store_hash → the generation's symbols, or
 * NULL if they do not fit together. */
struct symbols *symbols_of_chunks(struct zcodec *z, const struct store_reply *reply);

#endif
