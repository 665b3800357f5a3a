/*
 * Store: hot aggregates and what is needed to find them, and the one atomic step that makes a flush
 * count. Two implementations: Redis (store_redis.c, hiredis behind it) and LMDB (store_lmdb.c).
 *
 * Plain keys hold immutable blobs with a time to live. Hashes (field → value) hold metadata without
 * one. Key names are made by keys.h; all keys of a partition share its hash tag {p}.
 *
 * Every call is asynchronous: it never blocks the loop; its callback comes later, on the loop's
 * thread, exactly once. r = 0, or -errno: -ENOTCONN and -ETIMEDOUT say that the outcome is unknown
 * (a put may be repeated; a commit may too: one that already took effect answers 0 again). Arguments
 * are copied before the call returns; replies are views, valid during the callback.
 *
 * Writes of one handle take effect in the order of the calls. A read sees the writes whose callback
 * has come; it may or may not see later ones.
 *
 *   -ENOTCONN       no connection now; a call made while one is being built waits for it
 *   -EAGAIN         the server refuses for a while: loading, read-only, no replicas, out of memory, busy
 *   -ENOBUFS        too much is waiting in this handle already
 *   -ENOSPC         the local store is full and nothing more can be given up
 *   -EACCES         user or password
 *   -EINVAL         an argument that no store could take (a key beyond STORE_KEY_MAX, ttl_ms <= 0)
 *   -EBADMSG        what the store holds under that name is not what this program writes
 *   -ECANCELED      the handle was closed meanwhile (outcome unknown)
 */
#ifndef HEARTH_STORE_STORE_H
#define HEARTH_STORE_STORE_H

#include "base/bytes.h"
#include "base/err.h"

#include <uv.h>

struct store;

enum { STORE_KEY_MAX = 500 };   /* bytes of a key and a field together; a key has at least one */

/* values[i] for what was asked, in order; data == NULL: there is none. For whole hashes, fields too. */
struct store_reply {
    size_t n;
    const struct bytes *fields;         /* store_hash only */
    const struct bytes *values;
};
typedef void store_cb(void *ctx, int r, const struct store_reply *reply);

void store_get(struct store *s, const struct bytes *keys, size_t n, store_cb *cb, void *ctx);
void store_hash(struct store *s, struct bytes key, store_cb *cb, void *ctx);
void store_hash_get(struct store *s, struct bytes key, const struct bytes *fields, size_t n,
                    store_cb *cb, void *ctx);

struct store_put {
    struct bytes key, value;
    int64_t ttl_ms;                     /* > 0 */
};
/* All or an error; on an error some may be there (names are never reused, so that is harmless). */
void store_put(struct store *s, const struct store_put *puts, size_t n, store_cb *cb, void *ctx);

/* Sets the field if it has no value yet and answers the value it has now (values[0]): how N and the
 * hash version are agreed on once, in h:conf. */
void store_agree(struct store *s, struct bytes key, struct bytes field, struct bytes value,
                 store_cb *cb, void *ctx);

/* What a partition's meta says. */
#define STORE_OFFSET_NONE UINT64_MAX    /* the same number as LOG_BEGIN of log.h */
struct store_meta {
    uint64_t epoch, token;
    uint64_t seq;                       /* of the last flush, 0: none */
    uint64_t offset;                    /* next offset not yet contained; STORE_OFFSET_NONE: none */
    int64_t updated_ms;
};
typedef void store_meta_cb(void *ctx, int r, const struct store_meta *meta);

/* Takes partition p: epoch = max(stored + 1, now_ms), the given random token; answers the meta. */
void store_acquire(struct store *s, uint32_t p, uint64_t token, int64_t now_ms, store_meta_cb *cb,
                   void *ctx);
void store_meta(struct store *s, uint32_t p, store_meta_cb *cb, void *ctx);   /* reads; epoch 0: none */

enum store_op_kind {
    STORE_OP_HSET,          /* key, field, value */
    STORE_OP_HDEL,          /* key, field */
    STORE_OP_EXPIRE,        /* key of a blob: ttl_ms from now */
    STORE_OP_DEL,           /* key (blob or whole hash) */
};
struct store_op {
    enum store_op_kind kind;
    struct bytes key, field, value;
    int64_t ttl_ms;
};

enum { STORE_E_FENCED = 1 };    /* another owner, or a store that went back in time: acquire again */

/*
 * One atomic step of partition p: if the stored (epoch, token, seq) are (epoch, token, prev_seq), does
 * the ops and writes meta {seq, offset, updated_ms}; else changes nothing and answers STORE_E_FENCED.
 * If the stored seq is already `seq` under the same epoch and token, it answers 0 (a repeat).
 */
struct store_commit {
    uint32_t partition;
    uint64_t epoch, token, prev_seq, seq, offset;
    int64_t now_ms;
    const struct store_op *ops;
    size_t n_ops;
};
void store_commit(struct store *s, const struct store_commit *c, store_cb *cb, void *ctx);

bool store_ready(const struct store *s);
/* Fails what is pending with -ECANCELED, then closed, once; the handle is gone then. Callbacks and
 * closed come from the loop, not from within this call. */
void store_close(struct store *s, void (*closed)(void *ctx), void *ctx);

/* ---- implementations -------------------------------------------------------------------------- */

struct store_redis_options;             /* store_redis.h: redis_url, timeouts */
/* FAILURE: the URL is bad. A server that is not there is no failure: the handle goes on trying.
 * The program ignores SIGPIPE. */
int store_redis_new(uv_loop_t *loop, const struct store_redis_options *o, struct store **ret,
                    struct failure *f);

/*
 * One environment per process and directory (made if absent), with a lock on it, a thread that writes
 * and a sweep of what has expired; stores of several loops share it. The file never grows beyond
 * max_bytes: blobs nearest to their end go first, which is logged and counted.
 * FAILURE with f naming the holder when the directory is in use.
 */
struct lmdb_env;
int lmdb_env_open(const char *dir, int64_t max_bytes, struct lmdb_env **ret, struct failure *f);
/* Says in the lock file where this process can be reached, for the error of whoever comes second. */
void lmdb_env_announce(struct lmdb_env *e, const char *admin_address);
/* After its stores have closed. */
void lmdb_env_close(struct lmdb_env *e);
struct store *store_lmdb_new(uv_loop_t *loop, struct lmdb_env *e);

#endif
