/* RFC 3629, table 3-7 of Unicode: no overlong forms, no surrogates, nothing above U+10FFFF. Almost
 * every name is ASCII, so eight bytes at a time are tried first, the last eight over the others
 * rather than byte by byte. */
#include "base/utf8.h"

static bool is_tail(uint8_t c)
{
    return (c & 0xc0) == 0x80;
}

/* Length of the character that begins at p, or 0 if none does. */
static size_t char_len(const uint8_t *p, size_t left)
{
    uint8_t c = p[0];
    uint8_t second_min = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    uint8_t second_max = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    size_t n = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;

    if (n <= 1)
        return n;
    if (left < n || p[1] < second_min || p[1] > second_max)
        return 0;
    for (size_t i = 2; i < n; i++)
        if (!is_tail(p[i]))
            return 0;
    return n;
}

#define HIGH_BITS UINT64_C(0x8080808080808080)

static bool is_ascii(struct bytes s)
{
    uint64_t any = 0;

    if (s.len < sizeof any) {
        for (size_t i = 0; i < s.len; i++)
            any |= s.data[i];
        return (any & HIGH_BITS) == 0;
    }
    for (size_t i = 0; i + sizeof any < s.len; i += sizeof any)
        any |= load64(s.data + i);
    any |= load64(s.data + s.len - sizeof any);
    return (any & HIGH_BITS) == 0;
}

static size_t ascii_prefix(struct bytes s)
{
    size_t i = 0;

    while (i + 8 <= s.len && !(load64(s.data + i) & HIGH_BITS))
        i += 8;
    while (i < s.len && s.data[i] < 0x80)
        i++;
    return i;
}

size_t utf8_char(struct bytes s, uint32_t *ret)
{
    size_t n = s.len ? char_len(s.data, s.len) : 0;
    uint32_t c = n <= 1 ? 0xff : 0x7f >> n; /* the bits of the first byte that count */

    if (n == 0)
        return 0;
    c &= s.data[0];
    for (size_t i = 1; i < n; i++)
        c = c << 6 | (s.data[i] & 0x3f);
    *ret = c;
    return n;
}

bool utf8_valid(struct bytes s)
{
    size_t i, n;

    if (is_ascii(s))
        return true;
    for (i = ascii_prefix(s); i < s.len; i += n) {
        n = char_len(s.data + i, s.len - i);
        if (n == 0)
            return false;
    }
    return true;
}

void utf8_repair(struct bytes s, struct buf *out)
{
    for (size_t i = 0; i < s.len;) {
        size_t n = char_len(s.data + i, s.len - i);

        if (n)
            buf_append(out, s.data + i, n);
        else
            buf_append_str(out, "\xef\xbf\xbd");
        i += n ? n : 1;
    }
}

size_t utf8_count_bad(struct bytes s)
{
    size_t bad = 0;

    for (size_t i = ascii_prefix(s), n; i < s.len; i += n ? n : 1) {
        n = char_len(s.data + i, s.len - i);
        bad += n == 0;
    }
    return bad;
}

struct bytes utf8_cut(struct bytes s, size_t max)
{
    enum { TAILS_MAX = 3 };
    size_t len = max;

    if (s.len <= max)
        return s;
    while (len > 0 && max - len < TAILS_MAX && is_tail(s.data[len]))
        len--;
    return bytes_of(s.data, len);
}
