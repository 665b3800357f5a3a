/*
 * The local store of a process: its directory, and the one thread that writes to it. Jobs that wait
 * together are made durable together. lmdb_env_open and _close are in store.h.
 */
#ifndef HEARTH_STORE_LMDB_ENV_H
#define HEARTH_STORE_LMDB_ENV_H

#include "base/list.h"
#include "store/lmdb_kv.h"
#include "store/store.h"

/*
 * A write. run is called in a transaction, perhaps more than once (after what it did was rolled
 * back): it returns 0 with its answer in r (0 or above), or -errno: roll back. done comes once,
 * from the writer or from lmdb_env_cancel; r is then durable, or an error and nothing was changed.
 */
struct lmdb_job {
    struct list link;
    int (*run)(struct lmdb_job *job, struct kv_txn *t);
    void (*done)(struct lmdb_job *job);
    const void *owner;
    size_t bytes; /* about what it adds */
    int r;
};

/* Any thread. The job is the environment's until done. */
void lmdb_env_submit(struct lmdb_env *e, struct lmdb_job *job);
/* Ends the owner's jobs that have not begun, with -ECANCELED. */
void lmdb_env_cancel(struct lmdb_env *e, const void *owner);
/* For reads, from any thread. */
struct kv *lmdb_env_kv(struct lmdb_env *e);
bool lmdb_env_ready(struct lmdb_env *e);

#endif
