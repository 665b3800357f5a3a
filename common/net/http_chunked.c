/* A byte at a time through the framing, a view at a time through the data. */
#include "net/http_chunked.h"

enum { SIZE_DIGITS_MAX = 8, LINE_BYTES_MAX = 4096 };

enum {
    AT_SIZE, /* hex digits */
    IN_EXTENSION,
    SIZE_LF,
    IN_DATA,
    DATA_CR,
    DATA_LF,
    AT_TRAILER, /* first byte of a line behind the last chunk */
    IN_TRAILER,
    TRAILER_LF,
    END_LF,
};

static int hex(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_text(uint8_t c)
{
    return c == '\t' || (c >= ' ' && c != 0x7f);
}

static bool on_size(struct http_chunked *c, uint8_t b)
{
    int digit = hex(b);

    if (digit >= 0) {
        c->left = c->left << 4 | (uint32_t)digit;
        return ++c->digits <= SIZE_DIGITS_MAX;
    }
    c->line = 0;
    c->state = b == '\r' ? SIZE_LF : IN_EXTENSION;
    return c->digits > 0 && (b == '\r' || b == ';');
}

/* Text up to a CR: an extension, or a trailer's line. */
static bool on_text(struct http_chunked *c, uint8_t b, int next)
{
    if (b == '\r') {
        c->state = next;
        return true;
    }
    return is_text(b) && ++c->line <= LINE_BYTES_MAX;
}

static bool on_exact(struct http_chunked *c, uint8_t b, uint8_t want, int next)
{
    c->state = next;
    return b == want;
}

static bool on_framing(struct http_chunked *c, uint8_t b)
{
    switch (c->state) {
    case AT_SIZE:
        return on_size(c, b);
    case IN_EXTENSION:
        return on_text(c, b, SIZE_LF);
    case SIZE_LF:
        return on_exact(c, b, '\n', c->left ? IN_DATA : AT_TRAILER);
    case DATA_CR:
        return on_exact(c, b, '\r', DATA_LF);
    case DATA_LF:
        c->digits = 0;
        return on_exact(c, b, '\n', AT_SIZE);
    case AT_TRAILER:
        if (b == '\r')
            return on_exact(c, b, '\r', END_LF);
        c->trailers = true;
        c->state = IN_TRAILER;
        return is_text(b) && b != ' ' && b != '\t';
    case IN_TRAILER:
        /* line is not set back: all trailers together have the limit */
        return on_text(c, b, TRAILER_LF);
    case TRAILER_LF:
        return on_exact(c, b, '\n', AT_TRAILER);
    default:
        return b == '\n';
    }
}

static enum chunked_result take_data(struct http_chunked *c, struct bytes *in, struct bytes *ret)
{
    size_t n = in->len < c->left ? in->len : c->left;

    *ret = bytes_of(in->data, n);
    in->data += n;
    in->len -= n;
    c->left -= (uint32_t)n;
    if (c->left == 0)
        c->state = DATA_CR;
    return CHUNKED_DATA;
}

enum chunked_result http_chunked_next(struct http_chunked *c, struct bytes *in, struct bytes *ret)
{
    while (in->len) {
        bool last = c->state == END_LF;

        if (c->state == IN_DATA)
            return take_data(c, in, ret);
        if (!on_framing(c, *in->data))
            return CHUNKED_BAD;
        in->data++;
        in->len--;
        if (last)
            return CHUNKED_END;
    }
    return CHUNKED_MORE;
}
