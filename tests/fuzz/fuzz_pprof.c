/*
 * Any bytes as a pprof. What is refused says why with a 4xx and has added no rows. What is accepted
 * is written and read again: the same rows, and written once more, the same bytes. In both ways of
 * reading labels, and with locations kept whole.
 */
#include "base/err.h"
#include "formats/pprof.h"
#include "profile/locations.h"

#include <stdlib.h>

enum { WHOLE = 1 << 8 }; /* beside the flags of pprof_read() */

struct side {
    struct symbols *sym;
    struct stacks *st;
    struct locations *locations;
    struct profile p;
};

static const struct profile_limits limits = {
    .samples_max = 10000,
    .depth_max = 256,
    .locations_max = 10000,
    .functions_max = 10000,
    .strings_max = 10000,
    .labels_max = 8,
    .values_max = 100000,
    .lines_max = 20000,
    .nodes_max = 100000,
};

static void side_init(struct side *s, bool whole)
{
    s->locations = whole ? locations_new() : NULL;
    s->sym = symbols_new();
    s->st = stacks_new();
    profile_init(&s->p, s->sym, s->st);
    s->p.locations = s->locations;
}

static void side_deinit(struct side *s)
{
    profile_deinit(&s->p);
    locations_free(s->locations);
    stacks_free(s->st);
    symbols_free(s->sym);
}

static void check_round_trip(struct pprof_reader *r, const struct profile *p)
{
    struct side again;
    struct buf one = {0}, two = {0};
    struct failure f;

    side_init(&again, p->locations != NULL);
    pprof_write(p, &one);
    CHECK(pprof_read(r, buf_bytes(&one), &limits, PPROF_LABELS_ALL, &again.p, NULL, &f) == 0);
    CHECK(again.p.n_rows <= p->n_rows);
    for (uint32_t t = 0; p->saturated == 0 && t < p->n_types; t++)
        CHECK(profile_total(&again.p, t) == profile_total(p, t));
    if (again.p.n_rows == p->n_rows) {
        pprof_write(&again.p, &two);
        CHECK(bytes_equal(buf_bytes(&one), buf_bytes(&two)));
    }
    buf_deinit(&one);
    buf_deinit(&two);
    side_deinit(&again);
}

static void read_one(struct pprof_reader *r, struct bytes in, unsigned flags)
{
    struct side s;
    struct failure f = {0};
    struct decode_stats stats;

    side_init(&s, flags & WHOLE);
    if (pprof_read(r, in, &limits, flags & ~(unsigned)WHOLE, &s.p, &stats, &f) == 0) {
        CHECK(s.p.n_rows <= stats.samples && s.p.n_types > 0);
        check_round_trip(r, &s.p);
    } else {
        CHECK(f.status == 400 && f.code[0] && f.message[0] && s.p.n_rows == 0 && s.p.n_types == 0);
    }
    side_deinit(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct pprof_reader *reader; /* one for all: what is kept must not leak over */

    if (!reader)
        reader = pprof_reader_new();
    read_one(reader, bytes_of(data, len), 0);
    read_one(reader, bytes_of(data, len), PPROF_LABELS_ALL);
    read_one(reader, bytes_of(data, len), PPROF_LABELS_ALL | WHOLE);
    return 0;
}
