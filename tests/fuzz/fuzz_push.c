/*
 * A PushRequest, as protobuf or as JSON (told apart by '{'). What is handed on lies in the message;
 * a failure says what is wrong. JSON that is understood is, as protobuf, understood too, and holds
 * the same.
 */
#include "base/err.h"
#include "collector/protocols/push_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct seen {
    struct bytes message;
    size_t n, stop_at;
};

enum { STOPPED = -5 };

static void check_view(const struct seen *seen, struct bytes view)
{
    const uint8_t *from = seen->message.data, *to = from + seen->message.len;

    CHECK(view.len == 0 || (view.data >= from && view.data + view.len <= to));
}

static int on_sample(void *ctx, const struct push_sample *sample)
{
    struct seen *seen = ctx;

    CHECK(sample->n_labels <= PUSH_LABELS_MAX);
    for (size_t i = 0; i < sample->n_labels; i++) {
        check_view(seen, sample->labels[i].key);
        check_view(seen, sample->labels[i].value);
    }
    check_view(seen, sample->profile);
    check_view(seen, sample->id);
    return ++seen->n == seen->stop_at ? STOPPED : 0;
}

static int read_all(struct bytes message)
{
    struct seen all = {.message = message}, one = {.message = message, .stop_at = 1};
    struct failure f = {0};
    int r = push_read(message, on_sample, &all, &f);

    CHECK(r == 0 || (r == FAILURE && f.status == 400 && f.code[0]));
    r = push_read(message, on_sample, &one, &f);
    CHECK((r == STOPPED) == (all.n > 0));
    return r == STOPPED ? 0 : r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct buf proto = {0};
    struct failure f = {0};

    read_all(bytes_of(data, len));
    if (push_from_json(bytes_of(data, len), &proto, &f) == 0) {
        struct seen all = {.message = buf_bytes(&proto)};
        int r = push_read(buf_bytes(&proto), on_sample, &all, &f);

        /* JSON may have more labels than a series may. */
        CHECK(r == 0 || strcmp(f.code, "too_many_tags") == 0);
    } else {
        CHECK(f.status == 400 && f.code[0]);
    }
    buf_deinit(&proto);
    return 0;
}
