#include "base/base64.h"

#include <errno.h>

static int digit(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    return c == '/' || c == '_' ? 63 : -1;
}

static struct bytes without_padding(struct bytes text)
{
    for (int i = 0; i < 2 && text.len && text.data[text.len - 1] == '='; i++)
        text.len--;
    return text;
}

/* Up to four digits; their number of bytes, or -1. */
static int read_group(const uint8_t *text, size_t n, uint8_t *out)
{
    uint32_t bits = 0;

    for (size_t i = 0; i < 4; i++) {
        int d = i < n ? digit(text[i]) : 0;

        if (d < 0)
            return -1;
        bits = bits << 6 | (uint32_t)d;
    }
    out[0] = (uint8_t)(bits >> 16);
    out[1] = (uint8_t)(bits >> 8);
    out[2] = (uint8_t)bits;
    return n == 1 ? -1 : (int)n - 1; /* one digit is less than a byte */
}

int base64_decode(struct bytes text, struct buf *out)
{
    size_t before = out->len;

    text = without_padding(text);
    buf_reserve(out, text.len / 4 * 3 + 3);
    for (size_t at = 0; at < text.len; at += 4) {
        size_t left = text.len - at;
        int n = read_group(text.data + at, left < 4 ? left : 4, out->data + out->len);

        if (n < 0) {
            out->len = before;
            return -EBADMSG;
        }
        out->len += (size_t)n;
    }
    return 0;
}
