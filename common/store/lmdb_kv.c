/*
 * Four tables in one file:
 *
 *   blob    key                    → value
 *   end     key                    → time it ends, Unix ms, big-endian
 *   ends    time ++ key            → nothing: the order in which blobs end
 *   hash    length of key (16 bit) ++ key ++ field → value
 *
 * The end of a blob is not kept in front of its value: what a flush replaces is given a new end (in
 * a minute), and that would write the whole value again. The length in front of a hash's key keeps
 * "ab"+"c" apart from "a"+"bc" whatever bytes are in them, and all fields of a hash together.
 *
 * A reader is a snapshot, so it never waits; but pages that it may still see are not reused, so it
 * must be short. MDB_NOTLS ties a reader to its transaction instead of to a thread of the pool.
 */
#include "store/lmdb_kv.h"

#include "base/err.h"
#include "base/xalloc.h"

#include <errno.h>
#include <lmdb.h>
#include <stdlib.h>
#include <unistd.h>

enum table { TABLE_BLOB, TABLE_END, TABLE_ENDS, TABLE_HASH, TABLES };
static const char *const table_names[TABLES] = {"blob", "end", "ends", "hash"};

/* Tables that LMDB keeps for itself: free pages, and the names of ours. */
enum { LMDB_FREE = 0, LMDB_MAIN = 1 };

struct kv {
    MDB_env *env;
    MDB_dbi tables[TABLES];
    int64_t max_bytes;
};

struct kv_txn {
    MDB_txn *txn;
    struct kv *kv;
};

/* ---- what LMDB says ---------------------------------------------------------------------------
 */

static int errno_of(int rc)
{
    switch (rc) {
    case MDB_SUCCESS:
        return 0;
    case MDB_NOTFOUND:
        return -ENOENT;
    case MDB_MAP_FULL:
        return -ENOSPC;
    case MDB_VERSION_MISMATCH:
    case MDB_INVALID:
        return -EBADMSG;
    case MDB_BAD_VALSIZE:
        return -EINVAL;
    case MDB_READERS_FULL:
        return -EAGAIN;
    default:
        return rc > 0 ? -rc : -EIO;
    }
}

static MDB_val val_of(struct bytes s)
{
    return (MDB_val){.mv_size = s.len, .mv_data = (void *)(uintptr_t)s.data};
}

static struct bytes bytes_of_val(MDB_val v)
{
    return bytes_of(v.mv_data, v.mv_size);
}

/* ---- open and close ---------------------------------------------------------------------------
 */

static int open_tables(struct kv *kv)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(kv->env, NULL, 0, &txn);

    if (rc)
        return rc;
    for (int i = 0; i < TABLES && rc == 0; i++)
        rc = mdb_dbi_open(txn, table_names[i], MDB_CREATE, &kv->tables[i]);
    if (rc) {
        mdb_txn_abort(txn);
        return rc;
    }
    return mdb_txn_commit(txn);
}

static int open_env(struct kv *kv, const char *dir)
{
    int rc = mdb_env_set_maxdbs(kv->env, TABLES);

    if (rc == 0)
        rc = mdb_env_set_mapsize(kv->env, (size_t)kv->max_bytes);
    if (rc == 0)
        rc = mdb_env_open(kv->env, dir, MDB_NOTLS, 0600);
    return rc ? rc : open_tables(kv);
}

int kv_open(const char *dir, int64_t max_bytes, struct kv **ret)
{
    int64_t page = sysconf(_SC_PAGESIZE);
    struct kv *kv = xcalloc(1, sizeof *kv);
    int rc = mdb_env_create(&kv->env);

    kv->max_bytes = max_bytes / page * page;
    if (rc == 0)
        rc = open_env(kv, dir);
    if (rc) {
        kv_close(kv);
        return errno_of(rc);
    }
    *ret = kv;
    return 0;
}

void kv_close(struct kv *kv)
{
    if (kv->env)
        mdb_env_close(kv->env);
    free(kv);
}

int64_t kv_max_bytes(const struct kv *kv)
{
    return kv->max_bytes;
}

/* ---- transactions -----------------------------------------------------------------------------
 */

static int begin(struct kv *kv, unsigned flags, struct kv_txn **ret)
{
    struct kv_txn *t = xcalloc(1, sizeof *t);
    int rc = mdb_txn_begin(kv->env, NULL, flags, &t->txn);

    if (rc) {
        free(t);
        return errno_of(rc);
    }
    t->kv = kv;
    *ret = t;
    return 0;
}

int kv_begin_read(struct kv *kv, struct kv_txn **ret)
{
    return begin(kv, MDB_RDONLY, ret);
}

int kv_begin_write(struct kv *kv, struct kv_txn **ret)
{
    return begin(kv, 0, ret);
}

int kv_commit(struct kv_txn *t)
{
    int rc = mdb_txn_commit(t->txn);

    free(t);
    return errno_of(rc);
}

void kv_abort(struct kv_txn *t)
{
    mdb_txn_abort(t->txn);
    free(t);
}

static int table_get(struct kv_txn *t, enum table table, struct bytes key, struct bytes *ret)
{
    MDB_val k = val_of(key), v;
    int rc = mdb_get(t->txn, t->kv->tables[table], &k, &v);

    if (rc == 0)
        *ret = bytes_of_val(v);
    return errno_of(rc);
}

static int table_put(struct kv_txn *t, enum table table, struct bytes key, struct bytes value)
{
    MDB_val k = val_of(key), v = val_of(value);

    return errno_of(mdb_put(t->txn, t->kv->tables[table], &k, &v, 0));
}

static int table_del(struct kv_txn *t, enum table table, struct bytes key)
{
    MDB_val k = val_of(key);

    return errno_of(mdb_del(t->txn, t->kv->tables[table], &k, NULL));
}

/* ---- composite keys ---------------------------------------------------------------------------
 */

struct composite {
    uint8_t data[KV_KEY_MAX];
    size_t len;
};

static struct bytes composite_bytes(const struct composite *c)
{
    return bytes_of(c->data, c->len);
}

static void composite_add(struct composite *c, struct bytes s)
{
    CHECK(c->len + s.len <= sizeof c->data); /* STORE_KEY_MAX was checked */
    if (s.len > 0)
        memcpy(c->data + c->len, s.data, s.len);
    c->len += s.len;
}

static void composite_add_number(struct composite *c, uint64_t v, size_t width)
{
    uint8_t be[8];

    for (size_t i = 0; i < width; i++)
        be[i] = (uint8_t)(v >> (8 * (width - 1 - i)));
    composite_add(c, bytes_of(be, width));
}

static struct composite ends_key(int64_t expires_ms, struct bytes key)
{
    struct composite c = {.len = 0};

    composite_add_number(&c, (uint64_t)expires_ms, 8);
    composite_add(&c, key);
    return c;
}

static struct composite hash_key(struct bytes key, struct bytes field)
{
    struct composite c = {.len = 0};

    composite_add_number(&c, key.len, 2);
    composite_add(&c, key);
    composite_add(&c, field);
    return c;
}

static int64_t read_time(struct bytes be)
{
    uint64_t v = 0;

    for (size_t i = 0; i < 8 && i < be.len; i++)
        v = v << 8 | be.data[i];
    return (int64_t)v;
}

/* ---- blobs ------------------------------------------------------------------------------------
 */

static int end_of(struct kv_txn *t, struct bytes key, int64_t *ret_expires_ms)
{
    struct bytes be;
    int r = table_get(t, TABLE_END, key, &be);

    if (r == 0)
        *ret_expires_ms = read_time(be);
    return r;
}

int kv_blob_get(struct kv_txn *t, struct bytes key, int64_t now_ms, struct bytes *ret)
{
    int64_t expires_ms;
    int r = end_of(t, key, &expires_ms);

    if (r < 0)
        return r;
    return expires_ms > now_ms ? table_get(t, TABLE_BLOB, key, ret) : -ENOENT;
}

/* Takes a blob's end out of both tables; -ENOENT if there is no such blob. */
static int forget_end(struct kv_txn *t, struct bytes key)
{
    int64_t expires_ms;
    struct composite at;
    int r = end_of(t, key, &expires_ms);

    if (r < 0)
        return r;
    at = ends_key(expires_ms, key);
    r = table_del(t, TABLE_ENDS, composite_bytes(&at));
    return r < 0 ? r : table_del(t, TABLE_END, key);
}

static int set_end(struct kv_txn *t, struct bytes key, int64_t expires_ms)
{
    struct composite at = ends_key(expires_ms, key);
    struct composite be = ends_key(expires_ms, bytes_of(NULL, 0));
    int r = table_put(t, TABLE_ENDS, composite_bytes(&at), bytes_of("", 0));

    return r < 0 ? r : table_put(t, TABLE_END, key, composite_bytes(&be));
}

int kv_blob_put(struct kv_txn *t, struct bytes key, struct bytes value, int64_t expires_ms)
{
    int r = forget_end(t, key);

    if (r < 0 && r != -ENOENT)
        return r;
    r = set_end(t, key, expires_ms);
    return r < 0 ? r : table_put(t, TABLE_BLOB, key, value);
}

int kv_blob_expire(struct kv_txn *t, struct bytes key, int64_t expires_ms)
{
    int r = forget_end(t, key);

    if (r < 0)
        return r == -ENOENT ? 0 : r;
    return set_end(t, key, expires_ms);
}

static int drop_blob(struct kv_txn *t, struct bytes key)
{
    int r = forget_end(t, key);

    return r < 0 ? r : table_del(t, TABLE_BLOB, key);
}

int kv_drop_first(struct kv_txn *t, int64_t limit_ms, int64_t *ret_expires_ms)
{
    MDB_cursor *cursor;
    MDB_val k, v;
    struct composite first = {.len = 0};
    int rc = mdb_cursor_open(t->txn, t->kv->tables[TABLE_ENDS], &cursor);

    if (rc)
        return errno_of(rc);
    rc = mdb_cursor_get(cursor, &k, &v, MDB_FIRST);
    if (rc == 0)
        composite_add(&first, bytes_of_val(k)); /* the page may move when we write */
    mdb_cursor_close(cursor);
    if (rc)
        return errno_of(rc);
    if (first.len <= 8)
        return -EBADMSG;
    if (read_time(composite_bytes(&first)) > limit_ms)
        return -ENOENT;
    *ret_expires_ms = read_time(composite_bytes(&first));
    return drop_blob(t, bytes_of(first.data + 8, first.len - 8));
}

/* ---- hashes -----------------------------------------------------------------------------------
 */

int kv_hash_get(struct kv_txn *t, struct bytes key, struct bytes field, struct bytes *ret)
{
    struct composite c = hash_key(key, field);

    return table_get(t, TABLE_HASH, composite_bytes(&c), ret);
}

int kv_hash_set(struct kv_txn *t, struct bytes key, struct bytes field, struct bytes value)
{
    struct composite c = hash_key(key, field);

    return table_put(t, TABLE_HASH, composite_bytes(&c), value);
}

int kv_hash_del(struct kv_txn *t, struct bytes key, struct bytes field)
{
    struct composite c = hash_key(key, field);
    int r = table_del(t, TABLE_HASH, composite_bytes(&c));

    return r == -ENOENT ? 0 : r;
}

int kv_hash_each(struct kv_txn *t, struct bytes key, kv_each_cb *each, void *ctx)
{
    struct composite prefix = hash_key(key, bytes_of(NULL, 0));
    MDB_val k = val_of(composite_bytes(&prefix)), v;
    MDB_cursor *cursor;
    int r = 0, rc = mdb_cursor_open(t->txn, t->kv->tables[TABLE_HASH], &cursor);

    if (rc)
        return errno_of(rc);
    rc = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
    while (rc == 0 && r == 0 && bytes_starts(bytes_of_val(k), composite_bytes(&prefix))) {
        struct bytes whole = bytes_of_val(k);

        r = each(ctx, bytes_of(whole.data + prefix.len, whole.len - prefix.len), bytes_of_val(v));
        rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    return rc == 0 || rc == MDB_NOTFOUND ? r : errno_of(rc);
}

static int drop_hash(struct kv_txn *t, struct bytes key)
{
    struct composite prefix = hash_key(key, bytes_of(NULL, 0));
    MDB_val k = val_of(composite_bytes(&prefix)), v;
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(t->txn, t->kv->tables[TABLE_HASH], &cursor);

    if (rc)
        return errno_of(rc);
    rc = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
    while (rc == 0 && bytes_starts(bytes_of_val(k), composite_bytes(&prefix))) {
        rc = mdb_cursor_del(cursor, 0);
        if (rc == 0)
            rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT); /* after a removal: what moved up */
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : errno_of(rc);
}

int kv_del(struct kv_txn *t, struct bytes key)
{
    int r = drop_blob(t, key);

    return r < 0 && r != -ENOENT ? r : drop_hash(t, key);
}

/* ---- usage ------------------------------------------------------------------------------------
 */

static int add_pages(struct kv_txn *t, MDB_dbi dbi, int64_t *used_bytes, int64_t *ret_entries)
{
    MDB_stat s;
    int rc = mdb_stat(t->txn, dbi, &s);

    if (rc)
        return errno_of(rc);
    *used_bytes +=
        (int64_t)(s.ms_branch_pages + s.ms_leaf_pages + s.ms_overflow_pages) * s.ms_psize;
    *ret_entries = (int64_t)s.ms_entries;
    return 0;
}

int kv_usage(struct kv_txn *t, struct kv_usage *ret)
{
    struct kv_usage u = {0};
    int64_t entries;
    int r = add_pages(t, LMDB_FREE, &u.used_bytes, &entries);

    if (r == 0)
        r = add_pages(t, LMDB_MAIN, &u.used_bytes, &entries);
    for (int i = 0; i < TABLES && r == 0; i++) {
        r = add_pages(t, t->kv->tables[i], &u.used_bytes, &entries);
        if (i == TABLE_BLOB)
            u.blobs = entries;
    }
    if (r == 0)
        *ret = u;
    return r;
}
