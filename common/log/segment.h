/*
 * Segment: one append-only file of records with consecutive offsets, each under a CRC32C. The local
 * log and a spool are directories of segments, named by the offset that each begins with; this file
 * knows the format (docs/local-log.md) and nothing of threads, partitions or retention.
 *
 * A writer appends, then syncs; a record counts as kept only after a sync that succeeded. After a
 * failed sync nothing is known of the file: abandon it, never sync it again. A reader may be on
 * another thread: it has a file descriptor of its own and never looks behind the `limit` it is
 * given.
 */
#ifndef HEARTH_LOG_SEGMENT_H
#define HEARTH_LOG_SEGMENT_H

#include "base/bytes.h"

enum {
    SEGMENT_HEADER_BYTES = 32,
    SEGMENT_RECORD_BYTES = 28, /* in front of each value */
    SEGMENT_VALUE_MAX = 16 << 20,
};

struct segment {
    int fd; /* -1: closed */
    uint32_t salt;
    uint64_t base, next; /* offsets: of the first record, of the next one */
    int64_t created_ms;
    uint64_t bytes; /* size of what has been appended */
};

/* ---- writing ----------------------------------------------------------------------------------
 */

/* Makes the file and its name durable; a file of that name is replaced, in one step. */
int segment_create(int dirfd, uint64_t base, int64_t now_ms, struct segment *ret);
/* Appends; the record's offset is s->next before. -EMSGSIZE above SEGMENT_VALUE_MAX. A write that
 * fails (-ENOSPC) leaves the segment as it was. */
int segment_append(struct segment *s, int64_t time_ms, struct bytes value);
int segment_sync(struct segment *s); /* fdatasync */
void segment_close(struct segment *s);

struct segment_damage {
    uint64_t torn_bytes; /* cut off behind the last valid record */
    uint64_t lost_bytes; /* invalid, with valid records behind them */
};

enum {
    SEGMENT_E_END = 1, /* no further record */
    SEGMENT_E_BAD = 2, /* the file's header is not valid */
};

/* Opens the newest segment after a crash: reads all of it, cuts off a torn tail, syncs.
 * SEGMENT_E_BAD leaves the file alone. */
int segment_recover(int dirfd, uint64_t base, struct segment *ret,
                    struct segment_damage *ret_damage);

/* ---- reading ----------------------------------------------------------------------------------
 */

struct segment_record {
    uint64_t offset;
    int64_t time_ms;
    struct bytes value; /* valid until the next read */
};

struct segment_reader {
    int fd; /* -1: closed */
    uint32_t salt;
    uint64_t base, next; /* next: lowest offset that can follow */
    int64_t created_ms;
    uint64_t pos;        /* in the file: where the next record should begin */
    uint64_t lost_bytes; /* invalid bytes skipped so far */
    struct buf window;   /* bytes of the file from window_pos on */
    uint64_t window_pos;
};

int segment_reader_open(int dirfd, uint64_t base, struct segment_reader *ret);
/*
 * The next record that ends within the first `limit` bytes of the file; SEGMENT_E_END if there is
 * none. Invalid bytes with valid records behind them are skipped and counted in lost_bytes: the
 * record's offset then says what is missing.
 */
int segment_read(struct segment_reader *r, uint64_t limit, struct segment_record *ret);
/* Gives up on the bytes before pos; the record there is `next` or a later one. */
void segment_reader_skip(struct segment_reader *r, uint64_t pos, uint64_t next);
void segment_reader_close(struct segment_reader *r);

/* ---- directories ------------------------------------------------------------------------------
 */

/* The bases of a directory's segments in rising order; *ret is the caller's to free. */
int segment_list(int dirfd, uint64_t **ret, size_t *ret_n);
int segment_size(int dirfd, uint64_t base, uint64_t *ret_bytes);
int segment_delete(int dirfd, uint64_t base);
/* Puts a file that nothing can be made of out of the way, as <name>.damaged. */
int segment_set_aside(int dirfd, uint64_t base);

#endif
