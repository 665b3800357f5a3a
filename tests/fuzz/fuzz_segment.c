/*
 * A damaged segment is read to its end, and recovering it changes nothing of what can be read.
 *
 * CRCs keep a fuzzer out, so the input damages a segment that is valid: byte 0 says how many
 * records it has, byte 1 how much is cut off, then come changes of three bytes (position, position,
 * xor).
 */
#include "base/crc32c.h"
#include "base/err.h"
#include "log/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { RECORDS_MAX = 16, VALUE_BYTES = 37 };

static char dir[] = "/dev/shm/hearth-fuzz-segment-XXXXXX"; /* in memory: it syncs a lot */
static int dirfd_ = -1;

static void remove_dir(void)
{
    segment_delete(dirfd_, 0);
    rmdir(dir);
}

static void make_dir(void)
{
    CHECK(mkdtemp(dir) != NULL);
    dirfd_ = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(dirfd_ >= 0 && atexit(remove_dir) == 0);
}

static void make_valid(unsigned n, struct segment *s)
{
    uint8_t value[RECORDS_MAX + VALUE_BYTES];

    for (size_t i = 0; i < sizeof value; i++)
        value[i] = (uint8_t)(i * 7);
    CHECK(segment_create(dirfd_, 0, 1, s) == 0);
    for (unsigned i = 0; i < n; i++)
        CHECK(segment_append(s, i, bytes_of(value, VALUE_BYTES + i)) == 0);
}

static void damage(struct segment *s, const uint8_t *data, size_t len)
{
    for (; len >= 3; data += 3, len -= 3) {
        off_t at = (off_t)((data[0] << 8 | data[1]) % s->bytes);
        uint8_t c;

        CHECK(pread(s->fd, &c, 1, at) == 1);
        c ^= data[2];
        CHECK(pwrite(s->fd, &c, 1, at) == 1);
    }
}

/* A digest of all that can be read; the number of records and the offset behind the last. */
static uint32_t read_all(uint64_t limit, unsigned *ret_n, uint64_t *ret_next)
{
    struct segment_reader r;
    struct segment_record rec;
    uint32_t digest = 0;
    int e = segment_reader_open(dirfd_, 0, &r);

    *ret_n = 0;
    *ret_next = 0;
    if (e != 0)
        return digest;
    while ((e = segment_read(&r, limit, &rec)) == 0) {
        CHECK(rec.offset >= *ret_next);
        digest = crc32c(crc32c(digest, bytes_of(&rec.offset, sizeof rec.offset)), rec.value);
        *ret_next = rec.offset + 1;
        ++*ret_n;
    }
    CHECK(e == SEGMENT_E_END && r.pos <= limit);
    segment_reader_close(&r);
    return digest;
}

static void recover_and_compare(uint64_t size)
{
    unsigned n_before, n_after;
    uint64_t next_before, next_after;
    uint32_t before = read_all(size, &n_before, &next_before);
    struct segment_damage first, second;
    struct segment s;
    int e = segment_recover(dirfd_, 0, &s, &first);

    if (e == SEGMENT_E_BAD) {
        CHECK(n_before == 0);
        return;
    }
    CHECK(e == 0 && s.bytes + first.torn_bytes == size && s.next == next_before);
    CHECK(read_all(s.bytes, &n_after, &next_after) == before && n_after == n_before);
    segment_close(&s);
    CHECK(segment_recover(dirfd_, 0, &s, &second) == 0);
    CHECK(second.torn_bytes == 0 && second.lost_bytes == first.lost_bytes);
    segment_close(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct segment s;
    uint64_t size;

    if (len < 2)
        return 0;
    if (dirfd_ < 0)
        make_dir();
    make_valid(data[0] % RECORDS_MAX, &s);
    damage(&s, data + 2, len - 2);
    size = s.bytes - s.bytes * data[1] / 256;
    CHECK(ftruncate(s.fd, (off_t)size) == 0);
    segment_close(&s);
    recover_and_compare(size);
    return 0;
}
