/*
 * The wire has labels and samples of a series in any order: a series is walked once for its labels
 * and once for its samples. Field numbers, as api/push/v1/push.proto has them:
 *
 *   PushRequest {1 series}   RawProfileSeries {1 labels, 2 samples, 3 annotations (passed over)}
 *   LabelPair {1 name, 2 value}   RawSample {1 raw_profile, 2 ID}
 *
 * JSON is turned into these bytes first, by a walk (formats/json_walk.h) that keeps one series and
 * one of its members at a time.
 */
#include "collector/protocols/push_request.h"

#include "base/base64.h"
#include "formats/json_walk.h"
#include "formats/protobuf.h"

static int malformed(struct failure *f, const char *what)
{
    return fail(f, 400, "malformed", NULL, "the PushRequest is malformed: %s", what);
}

/* A message whose fields 1 and 2 are bytes; of one given twice the last counts. */
static bool read_pair(struct bytes message, struct bytes *first, struct bytes *second)
{
    struct cursor c = cursor_of(message);
    enum pb_step step;
    struct pb_field field;

    *first = *second = (struct bytes){0};
    while ((step = pb_next(&c, &field)) == PB_FIELD) {
        if (field.number > 2)
            continue;
        if (field.type != PB_LEN)
            return false;
        *(field.number == 1 ? first : second) = field.data;
    }
    return step == PB_END;
}

struct labels {
    struct tag at[PUSH_LABELS_MAX];
    size_t n;
};

static int add_label(struct labels *labels, struct bytes message, struct failure *f)
{
    struct tag *t = &labels->at[labels->n];

    if (labels->n == PUSH_LABELS_MAX)
        return fail(f, 400, "too_many_tags", NULL, "a series has more than %d labels",
                    PUSH_LABELS_MAX);
    if (!read_pair(message, &t->key, &t->value))
        return malformed(f, "a label");
    labels->n++;
    return 0;
}

static int read_labels(struct bytes series, struct labels *ret, struct failure *f)
{
    struct cursor c = cursor_of(series);
    enum pb_step step;
    struct pb_field field;

    ret->n = 0;
    while ((step = pb_next(&c, &field)) == PB_FIELD) {
        if (field.number <= 2 && field.type != PB_LEN)
            return malformed(f, "a series");
        if (field.number == 1 && add_label(ret, field.data, f))
            return FAILURE;
    }
    return step == PB_END ? 0 : malformed(f, "a series");
}

static int read_series(struct bytes series, push_sample_cb *on_sample, void *ctx, struct failure *f)
{
    struct cursor c = cursor_of(series);
    struct push_sample sample;
    struct labels labels;
    struct pb_field field;
    int r = read_labels(series, &labels, f);

    sample.labels = labels.at;
    sample.n_labels = labels.n;
    while (r == 0 && pb_next(&c, &field) == PB_FIELD) {
        if (field.number != 2)
            continue;
        if (!read_pair(field.data, &sample.profile, &sample.id))
            return malformed(f, "a sample");
        r = on_sample(ctx, &sample);
    }
    return r;
}

int push_read(struct bytes message, push_sample_cb *on_sample, void *ctx, struct failure *f)
{
    struct cursor c = cursor_of(message);
    enum pb_step step;
    struct pb_field field;
    int r;

    while ((step = pb_next(&c, &field)) == PB_FIELD) {
        if (field.number != 1)
            continue;
        if (field.type != PB_LEN)
            return malformed(f, "its series");
        if ((r = read_series(field.data, on_sample, ctx, f)) != 0)
            return r;
    }
    return step == PB_END ? 0 : malformed(f, "it is cut off, or no protobuf");
}

/* ---- JSON -------------------------------------------------------------------------------------
 */

enum state {
    TOP = JSON_TOP,
    LIST,
    SERIES,
    LABELS,
    LABEL,
    NAME,
    VALUE,
    SAMPLES,
    SAMPLE,
    RAW_PROFILE,
    ID,
};

static const struct json_rule rules[] = {
    {TOP, "series", LIST},
    {LIST, "[]", SERIES},
    {SERIES, "labels", LABELS},
    {LABELS, "[]", LABEL},
    {LABEL, "name", NAME},
    {LABEL, "value", VALUE},
    {SERIES, "samples", SAMPLES},
    {SAMPLES, "[]", SAMPLE},
    {SAMPLE, "rawProfile", RAW_PROFILE},
    {SAMPLE, "raw_profile", RAW_PROFILE},
    {SAMPLE, "ID", ID},
    {0, NULL, 0},
};

struct converter {
    struct buf *out, series, member, bytes;
    struct failure *f;
};

static void put_field(struct buf *out, unsigned number, struct bytes data)
{
    buf_varint(out, number << 3 | PB_LEN);
    buf_varbytes(out, data);
}

static bool is_string(unsigned state)
{
    return state == NAME || state == VALUE || state == RAW_PROFILE || state == ID;
}

static int put_string(struct converter *c, unsigned state, struct bytes text)
{
    if (state == RAW_PROFILE) {
        buf_reset(&c->bytes);
        if (base64_decode(text, &c->bytes))
            return malformed(c->f, "rawProfile is no base64");
        text = buf_bytes(&c->bytes);
    }
    put_field(&c->member, state == NAME || state == RAW_PROFILE ? 1 : 2, text);
    return 0;
}

/* Objects open and close here; what is in them has been added to the one around it by then. */
static int on_json(void *ctx, unsigned state, enum json_event event, struct bytes text)
{
    struct converter *c = ctx;
    bool is_member = state == LABEL || state == SAMPLE;

    if (event == JSON_BEGIN && state == SERIES)
        buf_reset(&c->series);
    else if (event == JSON_BEGIN && is_member)
        buf_reset(&c->member);
    else if (event == JSON_END && is_member)
        put_field(&c->series, state == LABEL ? 1 : 2, buf_bytes(&c->member));
    else if (event == JSON_END && state == SERIES)
        put_field(c->out, 1, buf_bytes(&c->series));
    else if (event == JSON_STRING && is_string(state))
        return put_string(c, state, text);
    else if (is_string(state) && !bytes_equal(text, BYTES_LIT("null")))
        return malformed(c->f, "there is no string where one must be");
    return 0;
}

int push_from_json(struct bytes json, struct buf *out, struct failure *f)
{
    struct converter c = {.out = out, .f = f};
    const struct json_walk walk = {
        .rules = rules, .depth_max = 64, .cb = on_json, .ctx = &c, .f = f};
    int r = json_walk(&walk, json, "PushRequest");

    buf_deinit(&c.series);
    buf_deinit(&c.member);
    buf_deinit(&c.bytes);
    return r;
}
