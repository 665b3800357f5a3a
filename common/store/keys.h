/*
 * Key names of the store (design, "Keys in the store"). No label text in a key. Each writes a
 * NUL-terminated name and returns a view of it.
 *
 *   h:conf                                       N, hash version
 *   h:{p}:meta                                   epoch token seq offset updated_ms
 *   h:{p}:dd                                     one field per source: its counted intervals
 *   h:{p}:cat                                    kid → catalogue entry (catalogue.h)
 *   h:{p}:gen                                    sid → generations of its symbols
 *   h:{p}:sym:<sid>:<generation>                 first frame id → symbol chunk
 *   h:{p}:ix:<res>:<kid>                         t → version of the blob and its expiry
 *   h:{p}:a:<res>:<t>:<kid>:<version>            aggregate blob; version = <epoch>-<seq>
 *
 * res: width of the window in seconds, decimal. t: its start, Unix seconds, decimal.
 */
#ifndef HEARTH_STORE_KEYS_H
#define HEARTH_STORE_KEYS_H

#include "base/bytes.h"
#include "base/hash.h"

struct key {
    char text[160];
    size_t len;
};

static inline struct bytes key_bytes(const struct key *k)
{
    return bytes_of(k->text, k->len);
}

struct key key_conf(void);
struct key key_meta(uint32_t p);
struct key key_dedup(uint32_t p);
struct key key_catalogue(uint32_t p);
struct key key_generations(uint32_t p);
struct key key_symbols(uint32_t p, struct hash128 sid, uint64_t generation);
struct key key_index(uint32_t p, uint32_t res_s, struct hash128 kid);
struct key key_blob(uint32_t p, uint32_t res_s, int64_t t_s, struct hash128 kid, uint64_t epoch,
                    uint64_t seq);

/* The value of an index entry: which blob, and until when (Unix ms) it lives. */
struct index_entry {
    uint64_t epoch, seq;
    int64_t expires_ms;
};
size_t index_entry_write(const struct index_entry *e, char out[64]);    /* "<epoch>-<seq>:<ms>" */
int index_entry_read(struct index_entry *e, struct bytes in);           /* 0 or -EBADMSG */

#endif
