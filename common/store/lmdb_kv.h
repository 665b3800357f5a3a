/*
 * The local store's tables, and the only file that speaks LMDB: blobs that end at a time, hashes,
 * and the order in which blobs end. Everything happens in a transaction: any number of readers
 * beside one writer, each seeing the state of one moment. Nothing here has a thread or a queue.
 *
 * Functions return 0 or -errno. After an error in a writing transaction it must be aborted.
 * -ENOSPC: the file has reached its size; -ENOENT: there is none. What a read returns is valid
 * until the transaction ends.
 */
#ifndef HEARTH_STORE_LMDB_KV_H
#define HEARTH_STORE_LMDB_KV_H

#include "base/bytes.h"

struct kv;
struct kv_txn;

/* LMDB's limit on a key; a composite key adds a length or a time to what the caller gives. */
enum { KV_KEY_MAX = 511, KV_KEY_EXTRA = 8 };

/* dir exists. max_bytes is the largest size of the file, ever. */
int kv_open(const char *dir, int64_t max_bytes, struct kv **ret);
void kv_close(struct kv *kv);
int64_t kv_max_bytes(const struct kv *kv);

int kv_begin_read(struct kv *kv, struct kv_txn **ret);
int kv_begin_write(struct kv *kv, struct kv_txn **ret);
int kv_commit(struct kv_txn *t); /* durable when it returns 0; ends t either way */
void kv_abort(struct kv_txn *t); /* also the end of a read */

int kv_blob_get(struct kv_txn *t, struct bytes key, int64_t now_ms, struct bytes *ret);
int kv_blob_put(struct kv_txn *t, struct bytes key, struct bytes value, int64_t expires_ms);
int kv_blob_expire(struct kv_txn *t, struct bytes key, int64_t expires_ms); /* 0 if there is none */
int kv_hash_get(struct kv_txn *t, struct bytes key, struct bytes field, struct bytes *ret);
int kv_hash_set(struct kv_txn *t, struct bytes key, struct bytes field, struct bytes value);
int kv_hash_del(struct kv_txn *t, struct bytes key, struct bytes field); /* 0 if there is none */
int kv_del(struct kv_txn *t, struct bytes key); /* blob and hash of that name; 0 if there is none */

/* Every field of a hash, in order. each returns 0 to go on. */
typedef int kv_each_cb(void *ctx, struct bytes field, struct bytes value);
int kv_hash_each(struct kv_txn *t, struct bytes key, kv_each_cb *each, void *ctx);

/* Removes the blob that ends first, if it ends at or before limit_ms; else -ENOENT. */
int kv_drop_first(struct kv_txn *t, int64_t limit_ms, int64_t *ret_expires_ms);

struct kv_usage {
    int64_t used_bytes; /* pages in use; the rest of the file is free for reuse */
    int64_t blobs;
};
int kv_usage(struct kv_txn *t, struct kv_usage *ret);

#endif
