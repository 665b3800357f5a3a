/*
 * Retries: which uploads have been acknowledged lately or are on their way, so that an agent that
 * did not hear our answer, and sends the same upload again, is answered and not counted twice.
 *
 * The caller makes the key of what an agent repeats unchanged (its run, its window, its bytes). Of
 * acknowledged keys the newest are remembered, up to a number; memory is bounded by it. An upload
 * on its way is remembered until it ends; a second one with its key waits for that end, because the
 * first may still fail, and then nothing was counted.
 *
 * retries_begin: any thread. The rest: loop thread.
 */
#ifndef HEARTH_COLLECTOR_RETRIES_H
#define HEARTH_COLLECTOR_RETRIES_H

#include "base/err.h"
#include "base/hash.h"
#include "base/list.h"

struct retries;

/* n_max: acknowledged uploads to remember, rounded up to a multiple of 8. */
struct retries *retries_new(uint32_t n_max);
/* When no upload is on its way. NULL is fine. */
void retries_free(struct retries *r);

enum retry {
    RETRY_NEW,        /* on its way from now: whoever asked calls retries_end() */
    RETRY_ON_ITS_WAY, /* another has the key: retries_wait() */
    RETRY_ACKNOWLEDGED,
};
enum retry retries_begin(struct retries *r, struct hash128 key);

/* Embedded in what waits. f NULL: the first upload was acknowledged. Called once. */
struct retry_wait {
    struct list link; /* private */
    void (*ended)(struct retry_wait *w, const struct failure *f);
};
/* The upload with the key has been answered: f NULL, or why not. Calls those who wait for it. */
void retries_end(struct retries *r, struct hash128 key, const struct failure *f);
/* Waits for the upload that has the key. It may have ended since retries_begin(): then ended is
 * called at once, with 503 if it has failed. */
void retries_wait(struct retries *r, struct hash128 key, struct retry_wait *w);

#endif
