/*
 * Any bytes as OTLP's JSON. What is refused says why with a 400; what is accepted is protobuf that
 * can be walked, of a bounded size, and no reader of it finds it malformed.
 */
#include "base/err.h"
#include "formats/otlp.h"
#include "formats/protobuf.h"

static void check_walk(struct bytes message)
{
    struct cursor c = cursor_of(message);
    enum pb_step step;
    struct pb_field f;

    while ((step = pb_next(&c, &f)) == PB_FIELD)
        CHECK(f.number <= 2 && f.type == PB_LEN);
    CHECK(step == PB_END);
}

static int count(void *ctx, struct profile *p, const struct profile_about *about, struct failure *f)
{
    (void)about;
    (void)f;
    CHECK(p->n_rows > 0);
    ++*(unsigned *)ctx;
    return 0;
}

static void check_read(struct otlp_reader *r, struct bytes json)
{
    struct symbols *symbols = symbols_new();
    struct stacks *stacks = stacks_new();
    struct decode_stats stats = {0};
    struct failure f = {0};
    unsigned n = 0;
    struct profile p;
    struct reading rd = {.limits = &profile_limits_default,
                         .with_spans = true,
                         .into = &p,
                         .stats = &stats,
                         .emit = count,
                         .ctx = &n,
                         .f = &f};

    profile_init(&p, symbols, stacks);
    if (otlp_read_json(r, json, &rd))
        CHECK(bytes_equal(bytes_str(f.code), BYTES_LIT("limit_exceeded")));
    profile_deinit(&p);
    stacks_free(stacks);
    symbols_free(symbols);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct otlp_reader *reader;
    struct failure f = {0};
    struct buf out = {0};

    if (!reader)
        reader = otlp_reader_new();
    is_otlp_json(bytes_of(data, len));
    if (otlp_from_json(bytes_of(data, len), &out, &f)) {
        CHECK(f.status == 400 && f.code[0] && f.message[0]);
    } else {
        CHECK(out.len <= 2 * len + 32);
        check_walk(buf_bytes(&out));
        check_read(reader, bytes_of(data, len));
    }
    buf_deinit(&out);
    return 0;
}
