/* The segment's file format, against files on a disk. */
#include "base/crc32c.h"
#include "base/hash.h"
#include "base/xalloc.h"
#include "log/segment.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/hearth-segment-XXXXXX";
static int dirfd_;

static int make_dir(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/hearth-segment-XXXXXX");
    assert_non_null(mkdtemp(dir));
    dirfd_ = open(dir, O_RDONLY | O_DIRECTORY);
    return dirfd_ < 0;
}

static int remove_dir(void **state)
{
    char *command = xasprintf("rm -rf '%s'", dir);
    int r = system(command);

    (void)state;
    free(command);
    close(dirfd_);
    return r;
}

static struct segment segment_with(uint64_t base, unsigned n)
{
    struct segment s;

    assert_int_equal(segment_create(dirfd_, base, 7, &s), 0);
    for (unsigned i = 0; i < n; i++) {
        char text[32];

        snprintf(text, sizeof text, "record %u", i);
        assert_int_equal(segment_append(&s, 1000 + i, bytes_str(text)), 0);
    }
    assert_int_equal(segment_sync(&s), 0);
    return s;
}

static int open_file(uint64_t base)
{
    char *path = xasprintf("%s/%020llu.seg", dir, (unsigned long long)base);
    int fd = open(path, O_RDWR);

    free(path);
    assert_true(fd >= 0);
    return fd;
}

static void flip(uint64_t base, off_t at)
{
    int fd = open_file(base);
    uint8_t c;

    assert_int_equal(pread(fd, &c, 1, at), 1);
    c ^= 0x10;
    assert_int_equal(pwrite(fd, &c, 1, at), 1);
    close(fd);
}

/* ---- tests ------------------------------------------------------------------------------------
 */

static void what_is_appended_is_read_back_in_order(void **state)
{
    struct segment s = segment_with(100, 3);
    struct segment_reader r;
    struct segment_record rec;

    (void)state;
    assert_int_equal(segment_reader_open(dirfd_, 100, &r), 0);
    assert_int_equal(r.created_ms, 7);
    for (unsigned i = 0; i < 3; i++) {
        char text[32];

        snprintf(text, sizeof text, "record %u", i);
        assert_int_equal(segment_read(&r, s.bytes, &rec), 0);
        assert_int_equal(rec.offset, 100 + i);
        assert_int_equal(rec.time_ms, 1000 + i);
        assert_true(bytes_equal(rec.value, bytes_str(text)));
    }
    assert_int_equal(segment_read(&r, s.bytes, &rec), SEGMENT_E_END);
    segment_reader_close(&r);
    segment_close(&s);
}

static void a_reader_sees_nothing_behind_its_limit(void **state)
{
    struct segment s = segment_with(0, 1);
    uint64_t limit = s.bytes;
    struct segment_reader r;
    struct segment_record rec;

    (void)state;
    assert_int_equal(segment_append(&s, 0, BYTES_LIT("not committed yet")), 0);
    assert_int_equal(segment_reader_open(dirfd_, 0, &r), 0);
    assert_int_equal(segment_read(&r, limit, &rec), 0);
    assert_int_equal(segment_read(&r, limit, &rec), SEGMENT_E_END);
    assert_int_equal(segment_read(&r, limit + 5, &rec), SEGMENT_E_END);
    assert_int_equal(segment_read(&r, s.bytes, &rec), 0); /* once it is */
    assert_true(bytes_equal(rec.value, BYTES_LIT("not committed yet")));
    segment_reader_close(&r);
    segment_close(&s);
}

static void an_empty_value_and_the_largest_pass_and_more_is_refused(void **state)
{
    uint8_t *data = xcalloc(1, SEGMENT_VALUE_MAX + 1);
    struct segment s = segment_with(0, 0);
    struct segment_reader r;
    struct segment_record rec;

    (void)state;
    assert_int_equal(segment_append(&s, 0, bytes_of(data, 0)), 0);
    assert_int_equal(segment_append(&s, 0, bytes_of(data, SEGMENT_VALUE_MAX)), 0);
    assert_int_equal(segment_append(&s, 0, bytes_of(data, SEGMENT_VALUE_MAX + 1)), -EMSGSIZE);
    assert_int_equal(segment_reader_open(dirfd_, 0, &r), 0);
    assert_int_equal(segment_read(&r, s.bytes, &rec), 0);
    assert_int_equal(rec.value.len, 0);
    assert_int_equal(segment_read(&r, s.bytes, &rec), 0);
    assert_int_equal(rec.value.len, SEGMENT_VALUE_MAX);
    assert_int_equal(segment_read(&r, s.bytes, &rec), SEGMENT_E_END);
    segment_reader_close(&r);
    segment_close(&s);
    free(data);
}

/* Cut anywhere, recovery keeps exactly the whole records, and appending goes on behind them. */
static void a_tail_torn_at_any_byte_is_cut_off(void **state)
{
    (void)state;
    for (uint64_t cut = SEGMENT_HEADER_BYTES;; cut++) {
        struct segment s = segment_with(5, 3);
        uint64_t ends[4] = {SEGMENT_HEADER_BYTES}, size = s.bytes, kept = 0;
        struct segment_damage damage;
        int fd = open_file(5);

        for (int i = 0; i < 3; i++)
            ends[i + 1] = ends[i] + SEGMENT_RECORD_BYTES + strlen("record 0");
        segment_close(&s);
        assert_int_equal(ftruncate(fd, (off_t)cut), 0);
        close(fd);
        while (kept < 3 && ends[kept + 1] <= cut)
            kept++;
        assert_int_equal(segment_recover(dirfd_, 5, &s, &damage), 0);
        assert_int_equal(s.next, 5 + kept);
        assert_int_equal(s.bytes, ends[kept]);
        assert_int_equal(damage.torn_bytes, cut - ends[kept]);
        assert_int_equal(damage.lost_bytes, 0);
        segment_close(&s);
        if (cut == size)
            break;
    }
}

static void a_flipped_bit_costs_its_record_only(void **state)
{
    const uint64_t record_bytes = SEGMENT_RECORD_BYTES + strlen("record 0");

    (void)state;
    for (uint64_t at = 0; at < record_bytes; at++) {
        struct segment s = segment_with(0, 3);
        struct segment_reader r;
        struct segment_record rec;

        flip(0, (off_t)(SEGMENT_HEADER_BYTES + record_bytes + at));
        assert_int_equal(segment_reader_open(dirfd_, 0, &r), 0);
        assert_int_equal(segment_read(&r, s.bytes, &rec), 0);
        assert_int_equal(rec.offset, 0);
        assert_int_equal(segment_read(&r, s.bytes, &rec), 0);
        assert_int_equal(rec.offset, 2);
        assert_int_equal(r.lost_bytes, record_bytes);
        assert_int_equal(segment_read(&r, s.bytes, &rec), SEGMENT_E_END);
        segment_reader_close(&r);
        segment_close(&s);
    }
}

static void a_bad_header_is_told_and_can_be_set_aside(void **state)
{
    struct segment_damage damage;
    struct segment_reader r;
    struct segment s;
    uint64_t *bases;
    size_t n;

    (void)state;
    for (off_t at = 0; at < SEGMENT_HEADER_BYTES; at++) {
        s = segment_with(3, 1);
        segment_close(&s);
        flip(3, at);
        assert_int_equal(segment_reader_open(dirfd_, 3, &r), SEGMENT_E_BAD);
        assert_int_equal(segment_recover(dirfd_, 3, &s, &damage), SEGMENT_E_BAD);
    }
    assert_int_equal(segment_set_aside(dirfd_, 3), 0);
    assert_int_equal(segment_list(dirfd_, &bases, &n), 0);
    assert_int_equal(n, 0);
    free(bases);
}

/* A value comes from outside: the image of a record in it, right in all but the salt, must not be
 * taken for one. */
static void the_image_of_a_record_inside_a_damaged_value_is_not_believed(void **state)
{
    struct segment s = segment_with(0, 1);
    uint8_t image[SEGMENT_RECORD_BYTES + 4] = {4};
    uint32_t crc = htole32(crc32c(0, BYTES_LIT("evil")));
    struct segment_reader r;
    struct segment_record rec;

    (void)state;
    memcpy(image + SEGMENT_RECORD_BYTES, "evil", 4);
    memcpy(image + 4, &crc, 4);
    image[8] = 1; /* the very offset that is due */
    crc = htole32(crc32c(0, bytes_of(image, SEGMENT_RECORD_BYTES - 4)));
    memcpy(image + SEGMENT_RECORD_BYTES - 4, &crc, 4);
    assert_int_equal(segment_append(&s, 0, bytes_of(image, sizeof image)), 0);
    flip(0, (off_t)(s.bytes - sizeof image - SEGMENT_RECORD_BYTES));
    assert_int_equal(segment_reader_open(dirfd_, 0, &r), 0);
    assert_int_equal(segment_read(&r, s.bytes, &rec), 0);
    assert_int_equal(segment_read(&r, s.bytes, &rec), SEGMENT_E_END);
    r.salt = 0; /* the test can fail: without the salt it would be */
    assert_int_equal(segment_read(&r, s.bytes, &rec), 0);
    assert_true(bytes_equal(rec.value, BYTES_LIT("evil")));
    segment_reader_close(&r);
    segment_close(&s);
}

static void a_directory_is_listed_in_order_and_other_files_are_ignored(void **state)
{
    const uint64_t wanted[] = {0, 9, 10, UINT64_MAX};
    char *path = xasprintf("%s/%s", dir, "12.seg");
    uint64_t *bases;
    size_t n;

    (void)state;
    close(open(path, O_CREAT | O_WRONLY, 0600));
    free(path);
    for (int i = 3; i >= 0; i--) {
        struct segment s = segment_with(wanted[i], 0);

        segment_close(&s);
    }
    assert_int_equal(segment_list(dirfd_, &bases, &n), 0);
    assert_int_equal(n, 4);
    assert_memory_equal(bases, wanted, sizeof wanted);
    free(bases);
    assert_int_equal(segment_delete(dirfd_, 9), 0);
    assert_int_equal(segment_list(dirfd_, &bases, &n), 0);
    assert_int_equal(n, 3);
    free(bases);
}

/* ---- random operations against a model --------------------------------------------------------
 */

enum { MODEL_MAX = 400, OPERATIONS = 300, ROUNDS = 30 };

struct model {
    uint32_t hash[MODEL_MAX]; /* of each value appended */
    unsigned n, n_synced;
};

static void append_random(struct segment *s, struct model *m)
{
    uint8_t value[3000];
    size_t len = (size_t)rand() % sizeof value;

    if (m->n == MODEL_MAX)
        return;
    for (size_t i = 0; i < len; i++)
        value[i] = (uint8_t)rand();
    assert_int_equal(segment_append(s, m->n, bytes_of(value, len)), 0);
    m->hash[m->n++] = crc32c(0, bytes_of(value, len));
}

static void check_all(const struct segment *s, const struct model *m, uint64_t limit, unsigned n)
{
    struct segment_reader r;
    struct segment_record rec;

    assert_int_equal(segment_reader_open(dirfd_, s->base, &r), 0);
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(segment_read(&r, limit, &rec), 0);
        assert_int_equal(rec.offset, s->base + i);
        assert_int_equal(rec.time_ms, i);
        assert_int_equal(crc32c(0, rec.value), m->hash[i]);
    }
    assert_int_equal(segment_read(&r, limit, &rec), SEGMENT_E_END);
    segment_reader_close(&r);
}

/* A crash: what was synced stays, of the rest any number of bytes does. */
static void crash(struct segment *s, struct model *m, uint64_t synced_bytes)
{
    uint64_t base = s->base, size = synced_bytes + (uint64_t)rand() % (s->bytes - synced_bytes + 1);
    struct segment_damage damage;
    int fd = open_file(base);

    segment_close(s);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    close(fd);
    assert_int_equal(segment_recover(dirfd_, base, s, &damage), 0);
    assert_int_equal(s->bytes + damage.torn_bytes, size);
    assert_true(s->next >= base + m->n_synced && s->next <= base + m->n);
    m->n = m->n_synced = (unsigned)(s->next - base);
}

static void random_operations_agree_with_a_model(void **state)
{
    unsigned seed = (unsigned)random_u64();

    (void)state;
    printf("seed %u\n", seed);
    srand(seed);
    for (int round = 0; round < ROUNDS; round++) {
        struct model m = {.n = 0};
        struct segment s;
        uint64_t synced_bytes = SEGMENT_HEADER_BYTES;

        assert_int_equal(segment_create(dirfd_, (uint64_t)rand(), 0, &s), 0);
        for (int i = 0; i < OPERATIONS; i++) {
            int dice = rand() % 100;

            if (dice < 90) {
                append_random(&s, &m);
                continue;
            }
            if (dice < 96)
                assert_int_equal(segment_sync(&s), 0);
            else if (dice < 98)
                crash(&s, &m, synced_bytes);
            else
                check_all(&s, &m, synced_bytes, m.n_synced);
            if (dice < 98) {
                m.n_synced = m.n;
                synced_bytes = s.bytes;
            }
        }
        check_all(&s, &m, s.bytes, m.n);
        segment_delete(dirfd_, s.base);
        segment_close(&s);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_appended_is_read_back_in_order),
        TEST(a_reader_sees_nothing_behind_its_limit),
        TEST(an_empty_value_and_the_largest_pass_and_more_is_refused),
        TEST(a_tail_torn_at_any_byte_is_cut_off),
        TEST(a_flipped_bit_costs_its_record_only),
        TEST(a_bad_header_is_told_and_can_be_set_aside),
        TEST(the_image_of_a_record_inside_a_damaged_value_is_not_believed),
        TEST(a_directory_is_listed_in_order_and_other_files_are_ignored),
        TEST(random_operations_agree_with_a_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
