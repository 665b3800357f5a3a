/*
 * How it works. A comma is written before whatever follows something. Numbers are made from their
 * last digits on, two at a time; an array of them asks for room once in a while, not once for each.
 */
#include "base/json_writer.h"

#include "base/err.h"
#include "base/utf8.h"

#include <math.h>
#include <stdio.h>

enum { NUMBER_MAX = 20 }; /* bytes: -9223372036854775808 */

void jw_begin(struct json_writer *j, struct buf *out)
{
    *j = (struct json_writer){.out = out};
}

/* --- text ---------------------------------------------------------------------------------------
 */

static bool is_escaped(uint8_t c)
{
    return c < ' ' || c == '"' || c == '\\';
}

static void escape(struct buf *out, uint8_t c)
{
    static const char from[] = "\b\f\n\r\t\"\\", to[] = "bfnrt\"\\";
    const char *known = c ? strchr(from, c) : NULL;

    if (known)
        buf_printf(out, "\\%c", to[known - from]);
    else
        buf_printf(out, "\\u%04x", c);
}

/* In runs of what stands for itself. */
static void append_escaped(struct buf *out, struct bytes s)
{
    size_t begin = 0;

    for (size_t i = 0; i < s.len; i++) {
        if (!is_escaped(s.data[i]))
            continue;
        buf_append(out, s.data + begin, i - begin);
        escape(out, s.data[i]);
        begin = i + 1;
    }
    buf_append(out, s.data + begin, s.len - begin);
}

static void append_string(struct buf *out, struct bytes s)
{
    struct buf repaired = {0};

    if (!utf8_valid(s)) {
        utf8_repair(s, &repaired);
        s = buf_bytes(&repaired);
    }
    buf_append_u8(out, '"');
    if (s.len)
        append_escaped(out, s);
    buf_append_u8(out, '"');
    buf_deinit(&repaired);
}

/* --- structure ----------------------------------------------------------------------------------
 */

/* Before a value. */
static void begin_value(struct json_writer *j, const char *key)
{
    if (j->follows)
        buf_append_u8(j->out, ',');
    j->follows = true;
    if (key) {
        append_string(j->out, bytes_str(key));
        buf_append_u8(j->out, ':');
    }
}

static void enter(struct json_writer *j, bool array)
{
    CHECK(j->depth < JSON_NESTING_MAX);
    j->in_array[j->depth++] = array;
    j->follows = false;
    buf_append_u8(j->out, array ? '[' : '{');
}

void jw_object(struct json_writer *j, const char *key)
{
    begin_value(j, key);
    enter(j, false);
}

void jw_array(struct json_writer *j, const char *key)
{
    begin_value(j, key);
    enter(j, true);
}

void jw_end(struct json_writer *j)
{
    CHECK(j->depth > 0);
    buf_append_u8(j->out, j->in_array[--j->depth] ? ']' : '}');
    j->follows = true;
}

/* --- numbers ------------------------------------------------------------------------------------
 */

/* Writes v so that it ends before end; returns where it begins. */
static inline uint8_t *digits_before(uint8_t *end, uint64_t v)
{
    static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                                "25262728293031323334353637383940414243444546474849"
                                "50515253545556575859606162636465666768697071727374"
                                "75767778798081828384858687888990919293949596979899";

    for (; v >= 100; v /= 100) {
        end -= 2;
        memcpy(end, pairs + 2 * (v % 100), 2);
    }
    if (v >= 10) {
        end -= 2;
        memcpy(end, pairs + 2 * v, 2);
    } else {
        *--end = (uint8_t)('0' + v);
    }
    return end;
}

/* There is room for NUMBER_MAX bytes, and as many are copied: that is no call. */
static inline void put_number(struct buf *out, bool negative, uint64_t magnitude)
{
    uint8_t text[2 * NUMBER_MAX] = {0}, *const end = text + NUMBER_MAX;
    uint8_t *at = digits_before(end, magnitude);

    if (negative)
        *--at = '-';
    memcpy(out->data + out->len, at, NUMBER_MAX);
    out->len += (size_t)(end - at);
}

static void put_int(struct buf *out, int64_t v)
{
    put_number(out, v < 0, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

void jw_int(struct json_writer *j, const char *key, int64_t v)
{
    begin_value(j, key);
    buf_reserve(j->out, NUMBER_MAX);
    put_int(j->out, v);
}

void jw_uint(struct json_writer *j, const char *key, uint64_t v)
{
    begin_value(j, key);
    buf_reserve(j->out, NUMBER_MAX);
    put_number(j->out, false, v);
}

/* Room for the numbers of an array from i on, when it is needed next: their commas are counted in.
 */
static void reserve_numbers(struct buf *out, size_t i, size_t n)
{
    enum { AT_ONCE = 512 };

    if (i % AT_ONCE == 0)
        buf_reserve(out, (n - i < AT_ONCE ? n - i : AT_ONCE) * (NUMBER_MAX + 1));
}

/* Of one of the two; inlined for each. */
static inline __attribute__((always_inline)) void put_array(struct json_writer *j, const char *key,
                                                            const int64_t *ints,
                                                            const uint32_t *ids, size_t n)
{
    struct buf *out = j->out;

    jw_array(j, key);
    for (size_t i = 0; i < n; i++) {
        reserve_numbers(out, i, n);
        if (i)
            out->data[out->len++] = ',';
        put_int(out, ints ? ints[i] : (int64_t)ids[i]);
    }
    jw_end(j);
}

void jw_ints(struct json_writer *j, const char *key, const int64_t *v, size_t n)
{
    put_array(j, key, v, NULL, n);
}

void jw_ids(struct json_writer *j, const char *key, const uint32_t *v, size_t n)
{
    put_array(j, key, NULL, v, n);
}

/* Seventeen digits tell any two doubles apart. A whole one keeps its point: who reads it by the
 * type of the first is not to be surprised. */
void jw_real(struct json_writer *j, const char *key, double v)
{
    char text[32];

    begin_value(j, key);
    snprintf(text, sizeof text, "%.17g", v);
    buf_append_str(j->out, isfinite(v) ? text : "null");
    if (isfinite(v) && !strpbrk(text, ".e"))
        buf_append_str(j->out, ".0");
}

/* --- the rest -----------------------------------------------------------------------------------
 */

void jw_bool(struct json_writer *j, const char *key, bool v)
{
    begin_value(j, key);
    buf_append_str(j->out, v ? "true" : "false");
}

void jw_str(struct json_writer *j, const char *key, const char *s)
{
    jw_bytes(j, key, bytes_str(s));
}

void jw_bytes(struct json_writer *j, const char *key, struct bytes s)
{
    begin_value(j, key);
    append_string(j->out, s);
}

void jw_pair(struct json_writer *j, struct bytes key, struct bytes value)
{
    begin_value(j, NULL);
    append_string(j->out, key);
    buf_append_u8(j->out, ':');
    append_string(j->out, value);
}
