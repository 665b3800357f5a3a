/*
 * Bytes as a record: opening and reading refuse or succeed, never more; and what was read, encoded
 * and read again, is the same profile under the same header. The CRC is made to fit, so that what
 * is behind it is reached.
 */
#include "base/crc32c.h"
#include "base/err.h"
#include "wire/record.h"

#include <stdlib.h>

struct side {
    struct symbols *symbols;
    struct stacks *stacks;
    struct profile profile;
    struct record_decoder *decoder;
    struct record_header header;
};

static void side_init(struct side *s)
{
    s->symbols = symbols_new();
    s->stacks = stacks_new();
    s->decoder = record_decoder_new();
    profile_init(&s->profile, s->symbols, s->stacks);
}

static void side_deinit(struct side *s)
{
    profile_deinit(&s->profile);
    record_decoder_free(s->decoder);
    stacks_free(s->stacks);
    symbols_free(s->symbols);
}

static void fix(uint8_t *value, size_t len)
{
    uint32_t crc;

    if (len < 16)
        return;
    memcpy(value, "HRec\3", 5);
    value[6] = value[7] = 0;
    crc = crc32c(0, bytes_of(value + 16, len - 16));
    memcpy(value + 12, &crc, 4);
}

static bool read_side(struct side *s, struct bytes value)
{
    struct failure f;

    return record_open(s->decoder, value, &s->header, &f) == 0 &&
           record_read(s->decoder, &s->profile, true, true) == 0;
}

/* ---- sameness ------------------------------------------------------------------------------ */

static void print_row(const struct side *s, uint32_t row, struct buf *out)
{
    const struct profile *p = &s->profile;
    const struct stack_node *nodes = stacks_nodes(s->stacks);
    size_t n = 0;
    struct label *l;

    profile_label_set(p, p->row_labels[row], &n);
    l = calloc(n + 1, sizeof *l);
    profile_label_set_by_text(p, p->row_labels[row], l);

    for (uint32_t at = stacks_leaf(s->stacks, p->row_stack[row]); at; at = nodes[at].parent) {
        uint64_t hash = symbols_frame_hashes(s->symbols)[nodes[at].frame];

        buf_append(out, &hash, sizeof hash);
    }
    for (size_t i = 0; i < n; i++) {
        buf_append_bytes(out, symbols_text(s->symbols, l[i].key));
        buf_append_bytes(out, symbols_text(s->symbols, l[i].str));
        buf_append_bytes(out, symbols_text(s->symbols, l[i].unit));
        buf_append(out, &l[i].num, sizeof l[i].num);
    }
    free(l);
    if (p->row_span)
        buf_append(out, profile_get_span(p, p->row_span[row]), sizeof(struct span));
    for (uint32_t t = 0; t < p->n_types; t++)
        buf_append(out, &p->values[t][row], sizeof p->values[t][row]);
}

/* The rows in any order. */
static uint64_t digest(const struct side *s)
{
    struct buf row = {0};
    uint64_t sum = 0;

    for (uint32_t i = 0; i < s->profile.n_rows; i++) {
        buf_reset(&row);
        print_row(s, i, &row);
        sum += hash64(buf_bytes(&row));
    }
    buf_deinit(&row);
    return sum;
}

static void check_headers(const struct record_header *a, const struct record_header *b)
{
    CHECK(a->source.hi == b->source.hi && a->source.lo == b->source.lo && a->seq == b->seq);
    CHECK(a->low == b->low && a->start_ns == b->start_ns && a->end_ns == b->end_ns);
    CHECK(bytes_equal(a->tenant, b->tenant) && bytes_equal(a->service, b->service));
    CHECK(bytes_equal(a->format, b->format) && bytes_equal(a->agent, b->agent));
    CHECK(a->series.n == b->series.n && a->instance.n == b->instance.n);
    CHECK(a->cumulative == b->cumulative);
}

static int on_part(void *ctx, uint32_t part, uint32_t parts, struct bytes value)
{
    struct side *b = ctx;

    (void)part;
    CHECK(parts >= 1 && value.len <= RECORD_BYTES_MAX);
    CHECK(read_side(b, value));
    return 0;
}

static void check_round_trip(struct side *a)
{
    struct record_encoder *e = record_encoder_new(1);
    const struct bytes *types;
    struct failure f;
    struct side b;
    uint32_t n;

    side_init(&b);
    CHECK(record_types(a->decoder, &types, &n) == 0);
    if (record_encode(e, &a->profile, types, &a->header, on_part, &b, &f) == 0) {
        check_headers(&a->header, &b.header);
        CHECK(a->profile.n_rows == b.profile.n_rows && a->profile.n_types == b.profile.n_types);
        CHECK(digest(a) == digest(&b));
    }
    side_deinit(&b);
    record_encoder_free(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint8_t *value = malloc(len + 1);
    struct side a;

    memcpy(value, data, len);
    fix(value, len);
    side_init(&a);
    if (read_side(&a, bytes_of(value, len)))
        check_round_trip(&a);
    side_deinit(&a);
    free(value);
    return 0;
}
