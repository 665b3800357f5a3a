/*
 * How it works. A name is a library's if it has ".so" in it or begins with '/' or './'; then
 * runs of digits that no person chose are cut. Else it is a class's: cut at the first address, then
 * at what a generator numbers, then '/' becomes '.'.
 */
#include "formats/jfr/names.h"

enum {
    HEX_RUN = 12,      /* so many hex digits in a row, one a decimal, are a hash or an id */
    ADDRESS_DIGITS = 4 /* of a hidden class, behind 0x */
};

#define WORD(s)                                                                                    \
    {                                                                                              \
        (const uint8_t *)(s), sizeof(s) - 1                                                        \
    }

/* Digits behind these are different in every process. */
static const struct bytes numbered_ends[] = {
    WORD("GeneratedMethodAccessor"),
    WORD("GeneratedConstructorAccessor"),
    WORD("GeneratedSerializationConstructorAccessor"),
    WORD("$Proxy"),
};

/* Whatever is behind these is; each begins with '$'. */
static const struct bytes generated_ends[] = {
    WORD("$$EnhancerBySpringCGLIB$$"),
    WORD("$$FastClassBySpringCGLIB$$"),
    WORD("$$EnhancerByCGLIB$$"),
    WORD("$$FastClassByCGLIB$$"),
    WORD("$$KeyFactoryByCGLIB$$"),
    WORD("$ByteBuddy$"),
    WORD("$MockitoMock$"),
    WORD("$HibernateProxy$"),
    WORD("$auxiliary$"),
};

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(uint8_t c)
{
    return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

static bool all_digits(struct bytes s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!is_digit(s.data[i]))
            return false;
    return s.len > 0;
}

static struct bytes from(struct bytes s, size_t at)
{
    return bytes_of(s.data + at, s.len - at);
}

static bool ends_with(struct bytes s, struct bytes end)
{
    return s.len >= end.len && memcmp(s.data + s.len - end.len, end.data, end.len) == 0;
}

/* Dots are rare in names that are written with slashes. */
static bool has_so(struct bytes s)
{
    return memchr(s.data, '.', s.len) && memmem(s.data, s.len, ".so", 3);
}

static bool is_library(struct bytes raw)
{
    return raw.len > 0 && (raw.data[0] == '/' || bytes_starts(raw, BYTES_LIT("./")) || has_so(raw));
}

static struct bytes without_temporary_folder(struct bytes raw)
{
    size_t folder = 0;

    if (bytes_starts(raw, BYTES_LIT("./")))
        raw = from(raw, 1);
    if (!bytes_starts(raw, BYTES_LIT("/tmp/")) && !bytes_starts(raw, BYTES_LIT("tmp/")))
        return raw;
    for (size_t i = 0; i < raw.len; i++)
        if (raw.data[i] == '/')
            folder = i + 1;
    return from(raw, folder);
}

static size_t hex_digits(struct bytes s, size_t at)
{
    size_t n = at;

    while (n < s.len && is_hex(s.data[n]))
        n++;
    return n - at;
}

/* Length of the UUID that s begins with, or 0. */
static size_t uuid(struct bytes s)
{
    static const uint8_t groups[] = {8, 4, 4, 4, 12};
    size_t at = 0;

    for (size_t i = 0; i < sizeof groups; i++) {
        if (i > 0 && (at >= s.len || s.data[at++] != '-'))
            return 0;
        if (hex_digits(s, at) != groups[i])
            return 0;
        at += groups[i];
    }
    return at;
}

/* Length of what s begins with, if it is digits that nobody chose; else 0. */
static size_t random_run(struct bytes s)
{
    size_t n = hex_digits(s, 0), decimals = 0;

    if (n == 8)
        return uuid(s);
    for (size_t i = 0; i < n; i++)
        decimals += is_digit(s.data[i]);
    return n >= HEX_RUN && decimals > 0 ? n : 0;
}

static void library_name(struct bytes raw, struct buf *out)
{
    struct bytes deleted = BYTES_LIT(" (deleted)");

    if (ends_with(raw, deleted))
        raw.len -= deleted.len;
    raw = without_temporary_folder(raw);
    for (size_t i = 0; i < raw.len;) {
        bool inside = i > 0 && is_hex(raw.data[i - 1]);
        size_t run = inside ? 0 : random_run(from(raw, i));

        if (run)
            buf_append_u8(out, '_');
        else
            buf_append_u8(out, raw.data[i]);
        i += run ? run : 1;
    }
}

/* Length of the name before a hidden class's address or number: "+0x…", ".0x…", "/0x…", "/123". */
static size_t before_address(struct bytes s)
{
    for (size_t i = 1; i + 1 < s.len; i++) {
        struct bytes rest = from(s, i + 1);

        if (s.data[i] != '+' && s.data[i] != '.' && s.data[i] != '/')
            continue;
        if (rest.len >= 2 + ADDRESS_DIGITS && bytes_starts(rest, BYTES_LIT("0x")) &&
            is_hex(rest.data[2]))
            return i;
        if (s.data[i] == '/' && all_digits(rest))
            return i;
    }
    return s.len;
}

/* Length of the name up to the number at its end, if that is one of numbered_ends'; else 0. */
static size_t before_number(struct bytes s)
{
    struct bytes head = s;

    while (head.len && is_digit(head.data[head.len - 1]))
        head.len--;
    if (head.len == s.len)
        return 0;
    for (size_t i = 0; i < sizeof numbered_ends / sizeof *numbered_ends; i++)
        if (ends_with(head, numbered_ends[i]))
            return head.len;
    return 0;
}

/* Length of the part of s, which begins with '$', that stays when a generator's mark is there: of a
 * lambda too, behind which stand a '$' or digits, or nothing once its address is cut. Else 0. */
static size_t mark(struct bytes s, bool cut)
{
    struct bytes lambda = BYTES_LIT("$$Lambda");

    if (bytes_starts(s, lambda) &&
        (s.len == lambda.len ? cut : s.data[lambda.len] == '$' || is_digit(s.data[lambda.len])))
        return lambda.len;
    for (size_t i = 0; i < sizeof generated_ends / sizeof *generated_ends; i++)
        if (s.len > generated_ends[i].len && bytes_starts(s, generated_ends[i]))
            return generated_ends[i].len;
    return 0;
}

/* Length of the part that stays; *cut: something follows it that does not. */
static size_t kept(struct bytes s, bool *cut)
{
    size_t n = before_address(s), end;

    *cut = n < s.len;
    s.len = n;
    for (const uint8_t *at = s.data; (at = memchr(at, '$', n - (size_t)(at - s.data))); at++)
        if ((end = mark(from(s, (size_t)(at - s.data)), *cut))) {
            *cut = true;
            return (size_t)(at - s.data) + end;
        }
    if ((end = before_number(s))) {
        *cut = true;
        return end;
    }
    return n;
}

/* The packages of dynamic proxies are numbered too: jdk/proxy2/$Proxy12. */
static struct bytes without_proxy_number(struct bytes s, struct buf *out)
{
    struct bytes prefix = BYTES_LIT("jdk/proxy");
    size_t i = prefix.len;

    if (s.len <= i || memcmp(s.data, prefix.data, i - 6) != 0 ||
        memcmp(s.data + 4, "proxy", 5) != 0 || !is_digit(s.data[i]))
        return s;
    while (i < s.len && is_digit(s.data[i]))
        i++;
    buf_append_str(out, "jdk.proxy_");
    return from(s, i);
}

void jfr_class_name(struct bytes raw, struct buf *out)
{
    bool cut;
    size_t begin;

    if (raw.len == 0)
        return;
    if (is_library(raw)) {
        library_name(raw, out);
        return;
    }
    raw.len = kept(raw, &cut);
    raw = without_proxy_number(raw, out);
    begin = out->len;
    buf_append_bytes(out, raw);
    for (size_t i = begin; i < out->len; i++)
        if (out->data[i] == '/')
            out->data[i] = '.';
    if (cut)
        buf_append_u8(out, '_');
}

static const char *primitive(uint8_t c)
{
    static const struct {
        char letter;
        const char *name;
    } names[] = {{'Z', "boolean"}, {'B', "byte"}, {'C', "char"},  {'S', "short"},
                 {'I', "int"},     {'J', "long"}, {'F', "float"}, {'D', "double"}};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].letter == (char)c)
            return names[i].name;
    return NULL;
}

void jfr_type_name(struct bytes raw, struct buf *out)
{
    size_t dimensions = 0;

    while (dimensions < raw.len && raw.data[dimensions] == '[')
        dimensions++;
    if (dimensions)
        raw = from(raw, dimensions);
    if (dimensions && raw.len == 1 && primitive(raw.data[0]))
        buf_append_str(out, primitive(raw.data[0]));
    else if (dimensions && raw.len > 2 && raw.data[0] == 'L' && raw.data[raw.len - 1] == ';')
        jfr_class_name(bytes_of(raw.data + 1, raw.len - 2), out);
    else
        jfr_class_name(raw, out);
    while (dimensions-- > 0)
        buf_append_str(out, "[]");
}

void jfr_method_name(struct bytes class, struct bytes method, struct buf *out)
{
    if (class.len) {
        jfr_class_name(class, out);
        buf_append_u8(out, '.');
    } else if (is_library(method)) {
        library_name(method, out);
        return;
    }
    buf_append_bytes(out, method);
}
