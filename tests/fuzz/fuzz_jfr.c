/*
 * Any bytes as a JFR recording, and as the labels beside one. What is refused says why with a 400
 * and has emitted nothing; what is accepted reads the same again by a reader that has read others.
 */
#include "base/err.h"
#include "formats/jfr.h"
#include "formats/jfr/labels.h"
#include "lib/reading.h"

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

static uint64_t read_one(struct jfr_reader *r, struct bytes raw)
{
    struct told t;
    uint64_t hash = 0;

    told_init(&t);
    t.limits = limits;
    if (jfr_read(r, raw, &t.rd) == 0) {
        CHECK(t.n_profiles == 0 || t.stats.samples > 0);
        hash = hash64(buf_bytes(&t.text));
    } else {
        CHECK(t.f.status == 400 && t.f.code[0] && t.f.message[0] && t.n_profiles == 0);
    }
    told_deinit(&t);
    return hash;
}

static void read_labels(struct bytes raw)
{
    static struct jfr_labels labels;
    struct jfr_label_walk walk = {0};
    struct bytes key, value;
    struct told t;
    size_t n = 0;

    told_init(&t);
    t.limits = limits;
    if (jfr_labels_read(&labels, raw, &t.rd) == 0)
        while (jfr_labels_next(&labels, 1, &walk, &key, &value))
            CHECK(++n <= raw.len && key.len <= raw.len && value.len <= raw.len);
    else
        CHECK(t.f.status == 400);
    told_deinit(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct jfr_reader *kept;
    struct jfr_reader *fresh = jfr_reader_new();
    struct bytes raw = bytes_of(data, len);

    if (!kept)
        kept = jfr_reader_new();
    CHECK(read_one(kept, raw) == read_one(fresh, raw));
    jfr_reader_free(fresh);
    read_labels(raw);
    return 0;
}
