/*
 * What an implementation of store.h fills in, and what the implementations share: the fields of a
 * partition's meta hash (keys.h) as decimal text, so that both stores hold the same bytes, and the
 * metrics.
 */
#ifndef HEARTH_STORE_STORE_IMPL_H
#define HEARTH_STORE_STORE_IMPL_H

#include "base/arena.h"
#include "base/metrics.h"
#include "store/store.h"

struct store_ops {
    void (*get)(struct store *, const struct bytes *, size_t, store_cb *, void *);
    void (*hash)(struct store *, struct bytes, store_cb *, void *);
    void (*hash_get)(struct store *, struct bytes, const struct bytes *, size_t, store_cb *,
                     void *);
    void (*put)(struct store *, const struct store_put *, size_t, store_cb *, void *);
    void (*agree)(struct store *, struct bytes, struct bytes, struct bytes, store_cb *, void *);
    void (*acquire)(struct store *, uint32_t, uint64_t, int64_t, store_meta_cb *, void *);
    void (*meta)(struct store *, uint32_t, store_meta_cb *, void *);
    void (*commit)(struct store *, const struct store_commit *, store_cb *, void *);
    bool (*ready)(const struct store *);
    void (*close)(struct store *, void (*)(void *), void *);
};

/* First member of every implementation's own struct. */
struct store {
    const struct store_ops *ops;
};

/* What both take: LMDB's keys are the shorter ones. */
static inline bool store_key_fits(struct bytes key, struct bytes field)
{
    return key.len > 0 && key.len + field.len <= STORE_KEY_MAX;
}

/* ---- meta -------------------------------------------------------------------------------------
 */

enum { META_EPOCH, META_TOKEN, META_SEQ, META_OFFSET, META_UPDATED, META_FIELDS };
extern const struct bytes meta_field_names[META_FIELDS];

/* From values as stored (data == NULL: the field is absent); 0 or -EBADMSG. */
int meta_read(struct store_meta *m, const struct bytes values[META_FIELDS]);

/* One number of meta as stored. */
struct decimal {
    char text[24];
    size_t len;
};
struct decimal decimal_of(uint64_t v);

static inline struct bytes decimal_bytes(const struct decimal *d)
{
    return bytes_of(d->text, d->len);
}

/* ---- metrics ----------------------------------------------------------------------------------
 */

enum store_metric {
    STORE_M_COMMITS,
    STORE_M_ERRORS,
    STORE_M_CONNECTS,
    STORE_M_CONNECTED,
    STORE_M_IN_FLIGHT,
    STORE_M_DISK_USED,
    STORE_M_BLOBS,
    STORE_M_EXPIRED,
    STORE_M_EVICTED,
    STORE_M_EVICTED_BYTES,
    STORE_METRICS
};
/* Label values of STORE_M_COMMITS. */
enum { STORE_COMMIT_APPLIED, STORE_COMMIT_FENCED, STORE_COMMIT_FAILED };
/* Label values of STORE_M_ERRORS. */
enum store_reason {
    STORE_REASON_NOT_CONNECTED,
    STORE_REASON_TIMEOUT,
    STORE_REASON_LOADING,
    STORE_REASON_READONLY,
    STORE_REASON_NOREPLICAS,
    STORE_REASON_OOM,
    STORE_REASON_BUSY,
    STORE_REASON_MISCONF,
    STORE_REASON_AUTH,
    STORE_REASON_CLUSTER,
    STORE_REASON_OVERFLOW,
    STORE_REASON_DISK_FULL,
    STORE_REASON_OTHER,
};
extern struct metric store_metrics[STORE_METRICS];
void store_metrics_register(void);
void store_count_commit(int r);

#endif
