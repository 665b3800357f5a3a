/*
 * A file is a header and records, all little-endian:
 *
 *   header  "HSEG" | u16 version | u16 0 | u64 base | i64 created_ms | u32 salt | u32 crc
 *   record  u32 length of value | u32 crc of value | u64 offset | i64 time_ms | u32 crc | value
 *
 * The second CRC covers the record's first 24 bytes and starts from the segment's random salt. It
 * is there for the reader that looks for the next valid record behind damaged bytes: values come
 * from outside, and one that contains the image of a record must not pass for it, nor cost more
 * than a look.
 *
 * There is no index: offsets are consecutive, file names say where a segment begins, and a reader
 * that looks for an offset walks one segment, which the page cache serves in a few milliseconds.
 */
#include "log/segment.h"

#include "base/crc32c.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/xalloc.h"

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { VERSION = 1, READ_BYTES = 256 << 10, NAME_BYTES = 40 };
static const char magic[4] = {'H', 'S', 'E', 'G'};

/* ---- bytes ------------------------------------------------------------------------------------
 */

static void put32(uint8_t *at, uint32_t v)
{
    v = htole32(v);
    memcpy(at, &v, sizeof v);
}

static void put64(uint8_t *at, uint64_t v)
{
    v = htole64(v);
    memcpy(at, &v, sizeof v);
}

static void header_encode(const struct segment *s, uint8_t out[SEGMENT_HEADER_BYTES])
{
    memcpy(out, magic, sizeof magic);
    put32(out + 4, VERSION);
    put64(out + 8, s->base);
    put64(out + 16, (uint64_t)s->created_ms);
    put32(out + 24, s->salt);
    put32(out + 28, crc32c(0, bytes_of(out, 28)));
}

static uint32_t record_crc(uint32_t salt, const uint8_t *header)
{
    return crc32c(salt, bytes_of(header, SEGMENT_RECORD_BYTES - 4));
}

static void name_of(uint64_t base, char out[NAME_BYTES])
{
    snprintf(out, NAME_BYTES, "%020" PRIu64 ".seg", base);
}

/* ---- writing ----------------------------------------------------------------------------------
 */

/* All of it at this place of the file, or an error. */
static int write_at(int fd, struct iovec *iov, int n, uint64_t pos)
{
    while (n > 0) {
        ssize_t w = pwritev(fd, iov, n, (off_t)pos);

        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0)
            return -errno;
        if (w == 0)
            return -EIO;
        pos += (uint64_t)w;
        for (; n > 0 && (size_t)w >= iov->iov_len; iov++, n--)
            w -= (ssize_t)iov->iov_len;
        if (n > 0) {
            iov->iov_base = (uint8_t *)iov->iov_base + w;
            iov->iov_len -= (size_t)w;
        }
    }
    return 0;
}

static int header_write(struct segment *s)
{
    uint8_t header[SEGMENT_HEADER_BYTES];
    struct iovec iov = {header, sizeof header};
    int r;

    header_encode(s, header);
    r = write_at(s->fd, &iov, 1, 0);
    return r == 0 && fdatasync(s->fd) < 0 ? -errno : r;
}

/* Under another name until the header is kept, so that a segment always has one. */
int segment_create(int dirfd, uint64_t base, int64_t now_ms, struct segment *ret)
{
    struct segment s = {.salt = (uint32_t)random_u64(),
                        .base = base,
                        .next = base,
                        .created_ms = now_ms,
                        .bytes = SEGMENT_HEADER_BYTES};
    char name[NAME_BYTES];
    int r;

    name_of(base, name);
    s.fd = openat(dirfd, "new", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s.fd < 0)
        return err_trace(-errno);
    r = header_write(&s);
    if (r == 0 && (renameat(dirfd, "new", dirfd, name) < 0 || fsync(dirfd) < 0))
        r = -errno;
    if (r < 0) {
        close(s.fd);
        return err_trace(r);
    }
    *ret = s;
    return 0;
}

int segment_append(struct segment *s, int64_t time_ms, struct bytes value)
{
    uint8_t header[SEGMENT_RECORD_BYTES];
    struct iovec iov[2] = {{header, sizeof header}, {(void *)(uintptr_t)value.data, value.len}};
    int r;

    if (value.len > SEGMENT_VALUE_MAX)
        return -EMSGSIZE;
    put32(header, (uint32_t)value.len);
    put32(header + 4, crc32c(0, value));
    put64(header + 8, s->next);
    put64(header + 16, (uint64_t)time_ms);
    put32(header + 24, record_crc(s->salt, header));
    r = write_at(s->fd, iov, value.len > 0 ? 2 : 1, s->bytes);
    if (r < 0) {
        /* Half a record may be there. The next one is written over it; a reader stops before it. */
        if (ftruncate(s->fd, (off_t)s->bytes) < 0)
            return err_trace(-errno);
        return err_trace(r);
    }
    s->bytes += sizeof header + value.len;
    s->next++;
    return 0;
}

int segment_sync(struct segment *s)
{
    return fdatasync(s->fd) < 0 ? err_trace(-errno) : 0;
}

void segment_close(struct segment *s)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

/* ---- reading ----------------------------------------------------------------------------------
 */

static int read_at(int fd, uint8_t *out, size_t n, uint64_t pos, size_t *ret_n)
{
    size_t have = 0;

    while (have < n) {
        ssize_t got = pread(fd, out + have, n - have, (off_t)(pos + have));

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_trace(-errno);
        if (got == 0)
            break;
        have += (size_t)got;
    }
    *ret_n = have;
    return 0;
}

static int header_read(struct segment_reader *r)
{
    uint8_t header[SEGMENT_HEADER_BYTES];
    size_t n;
    int e = read_at(r->fd, header, sizeof header, 0, &n);

    if (e < 0)
        return e;
    if (n < sizeof header || memcmp(header, magic, sizeof magic) != 0 ||
        load32(header + 4) != VERSION || load64(header + 8) != r->base ||
        load32(header + 28) != crc32c(0, bytes_of(header, 28)))
        return SEGMENT_E_BAD;
    r->created_ms = (int64_t)load64(header + 16);
    r->salt = load32(header + 24);
    return 0;
}

static int reader_open(int dirfd, uint64_t base, int flags, struct segment_reader *ret)
{
    struct segment_reader r = {.base = base, .next = base, .pos = SEGMENT_HEADER_BYTES};
    char name[NAME_BYTES];
    int e;

    name_of(base, name);
    r.fd = openat(dirfd, name, flags | O_CLOEXEC | O_NOFOLLOW);
    if (r.fd < 0)
        return -errno;
    e = header_read(&r);
    if (e != 0)
        close(r.fd);
    else
        *ret = r;
    return e;
}

int segment_reader_open(int dirfd, uint64_t base, struct segment_reader *ret)
{
    return reader_open(dirfd, base, O_RDONLY, ret);
}

void segment_reader_skip(struct segment_reader *r, uint64_t pos, uint64_t next)
{
    r->lost_bytes += pos - r->pos;
    r->pos = pos;
    r->next = next;
}

void segment_reader_close(struct segment_reader *r)
{
    if (r->fd >= 0)
        close(r->fd);
    r->fd = -1;
    buf_deinit(&r->window);
}

/* The n bytes at pos, which are within the limit; NULL when the file is shorter than it should be.
 */
static int window_get(struct segment_reader *r, uint64_t pos, size_t n, uint64_t limit,
                      const uint8_t **ret)
{
    uint64_t end = r->window_pos + r->window.len;
    size_t want = n > READ_BYTES ? n : READ_BYTES;
    int e;

    if (pos < r->window_pos || pos + n > end) {
        if (want > limit - pos)
            want = (size_t)(limit - pos);
        buf_reset(&r->window);
        buf_reserve(&r->window, want);
        r->window_pos = pos;
        e = read_at(r->fd, r->window.data, want, pos, &r->window.len);
        if (e < 0)
            return e;
    }
    *ret = r->window_pos + r->window.len >= pos + n ? r->window.data + (pos - r->window_pos) : NULL;
    return 0;
}

/* A valid record at pos, or SEGMENT_E_END. offset_max bounds what its offset may be. */
static int record_at(struct segment_reader *r, uint64_t pos, uint64_t limit, uint64_t offset_max,
                     struct segment_record *ret)
{
    struct segment_record rec;
    const uint8_t *at;
    uint64_t offset;
    size_t len;
    int e;

    if (limit < SEGMENT_RECORD_BYTES || pos > limit - SEGMENT_RECORD_BYTES)
        return SEGMENT_E_END;
    e = window_get(r, pos, SEGMENT_RECORD_BYTES, limit, &at);
    if (e < 0 || !at)
        return e < 0 ? e : SEGMENT_E_END;
    len = load32(at);
    offset = load64(at + 8);
    if (len > SEGMENT_VALUE_MAX || len > limit - pos - SEGMENT_RECORD_BYTES || offset < r->next ||
        offset > offset_max || load32(at + 24) != record_crc(r->salt, at))
        return SEGMENT_E_END;
    e = window_get(r, pos, SEGMENT_RECORD_BYTES + len, limit, &at);
    if (e < 0 || !at)
        return e < 0 ? e : SEGMENT_E_END;
    rec.value = bytes_of(at + SEGMENT_RECORD_BYTES, len);
    if (load32(at + 4) != crc32c(0, rec.value))
        return SEGMENT_E_END;
    rec.offset = offset;
    rec.time_ms = (int64_t)load64(at + 16);
    *ret = rec;
    return 0;
}

static void reader_advance(struct segment_reader *r, uint64_t pos, const struct segment_record *rec)
{
    r->pos = pos + SEGMENT_RECORD_BYTES + rec->value.len;
    r->next = rec->offset + 1;
}

/* The first valid record behind damage. Offsets are consecutive, so one that is further ahead than
 * the skipped bytes have room for is not believed. */
static int resync(struct segment_reader *r, uint64_t limit, struct segment_record *ret)
{
    for (uint64_t pos = r->pos + 1; pos + SEGMENT_RECORD_BYTES <= limit; pos++) {
        uint64_t offset_max = r->next + (pos - r->pos) / SEGMENT_RECORD_BYTES;
        int e = record_at(r, pos, limit, offset_max, ret);

        if (e == SEGMENT_E_END)
            continue;
        if (e == 0) {
            r->lost_bytes += pos - r->pos;
            reader_advance(r, pos, ret);
        }
        return e;
    }
    return SEGMENT_E_END;
}

int segment_read(struct segment_reader *r, uint64_t limit, struct segment_record *ret)
{
    int e = record_at(r, r->pos, limit, r->next, ret);

    if (e == SEGMENT_E_END)
        return resync(r, limit, ret);
    if (e == 0)
        reader_advance(r, r->pos, ret);
    return e;
}

/* ---- recovery ---------------------------------------------------------------------------------
 */

static int file_size(int fd, uint64_t *ret)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return err_trace(-errno);
    *ret = (uint64_t)st.st_size;
    return 0;
}

/* Reads to the end; what is behind the last valid record is torn. */
static int recover(struct segment_reader *r, struct segment_damage *damage)
{
    struct segment_record rec;
    uint64_t size = 0;
    int e = file_size(r->fd, &size);

    while (e == 0)
        e = segment_read(r, size, &rec);
    if (e != SEGMENT_E_END)
        return e;
    *damage = (struct segment_damage){size - r->pos, r->lost_bytes};
    if (damage->torn_bytes > 0 && ftruncate(r->fd, (off_t)r->pos) < 0)
        return err_trace(-errno);
    return fdatasync(r->fd) < 0 ? err_trace(-errno) : 0;
}

int segment_recover(int dirfd, uint64_t base, struct segment *ret,
                    struct segment_damage *ret_damage)
{
    struct segment_reader r;
    int e = reader_open(dirfd, base, O_RDWR, &r);

    if (e != 0)
        return e;
    e = recover(&r, ret_damage);
    if (e == 0) {
        *ret = (struct segment){r.fd, r.salt, base, r.next, r.created_ms, r.pos};
        r.fd = -1; /* the segment's now */
    }
    segment_reader_close(&r);
    return e;
}

/* ---- directories ------------------------------------------------------------------------------
 */

static bool base_of(const char *name, uint64_t *ret)
{
    char canonical[NAME_BYTES];

    if (sscanf(name, "%20" SCNu64, ret) != 1)
        return false;
    name_of(*ret, canonical);
    return strcmp(name, canonical) == 0;
}

static int by_number(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

int segment_list(int dirfd, uint64_t **ret, size_t *ret_n)
{
    int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    uint64_t *bases = NULL;
    size_t n = 0, cap = 0;

    if (!dir) {
        int e = -errno;

        if (fd >= 0)
            close(fd);
        return err_trace(e);
    }
    for (struct dirent *d; (d = readdir(dir)) != NULL;) {
        XGROW(bases, cap, n + 1);
        n += base_of(d->d_name, &bases[n]);
    }
    closedir(dir);
    if (n > 0)
        qsort(bases, n, sizeof *bases, by_number);
    *ret = bases;
    *ret_n = n;
    return 0;
}

int segment_size(int dirfd, uint64_t base, uint64_t *ret_bytes)
{
    char name[NAME_BYTES];
    struct stat st;

    name_of(base, name);
    if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return err_trace(-errno);
    *ret_bytes = (uint64_t)st.st_size;
    return 0;
}

int segment_delete(int dirfd, uint64_t base)
{
    char name[NAME_BYTES];

    name_of(base, name);
    return unlinkat(dirfd, name, 0) < 0 ? err_trace(-errno) : 0;
}

int segment_set_aside(int dirfd, uint64_t base)
{
    char name[NAME_BYTES], aside[NAME_BYTES + 8];

    name_of(base, name);
    snprintf(aside, sizeof aside, "%s.damaged", name);
    return renameat(dirfd, name, dirfd, aside) < 0 ? err_trace(-errno) : 0;
}
