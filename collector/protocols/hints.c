#include "collector/protocols/hints.h"

enum { RATE_MAX = 1000000000 };

static int read_rate(uint32_t *hz, struct bytes text, struct failure *f)
{
    uint64_t n = 0;

    for (size_t i = 0; i < text.len && n <= RATE_MAX; i++)
        n = text.data[i] >= '0' && text.data[i] <= '9' ? n * 10 + (uint64_t)(text.data[i] - '0')
                                                       : UINT64_MAX;
    if (n == 0 || n > RATE_MAX)
        return fail(f, 400, "bad_parameter", NULL, "the parameter sample_rate is 1 to %d, in Hz",
                    RATE_MAX);
    *hz = *hz ? *hz : (uint32_t)n;
    return 0;
}

static int check_cumulative(struct bytes v, struct failure *f)
{
    if (bytes_equal(v, BYTES_LIT("0")) || bytes_equal(v, BYTES_LIT("false")))
        return 0;
    if (!bytes_equal(v, BYTES_LIT("1")) && !bytes_equal(v, BYTES_LIT("true")))
        return fail(f, 400, "bad_parameter", NULL, "the parameter cumulative is 0 or 1");
    return fail(f, 400, "cumulative_unsupported",
                "ask for a difference (net/http/pprof: ?seconds=10) and push that",
                "values counted from the start of a process cannot be pushed");
}

int hint_read(struct read_hints *h, struct bytes name, struct bytes value, struct failure *f)
{
    struct bytes *text = bytes_equal(name, BYTES_LIT("format"))        ? &h->format
                         : bytes_equal(name, BYTES_LIT("sample_type")) ? &h->sample_type
                         : bytes_equal(name, BYTES_LIT("unit"))        ? &h->unit
                                                                       : NULL;

    if (text) {
        *text = text->len ? *text : value;
        return 0;
    }
    if (bytes_equal(name, BYTES_LIT("sample_rate")))
        return value.len ? read_rate(&h->sample_rate_hz, value, f) : 0;
    if (bytes_equal(name, BYTES_LIT("cumulative")))
        return value.len ? check_cumulative(value, f) : 0;
    return HINT_E_OTHER;
}
