#include "query/json_writer.h"

#include "base/err.h"
#include "base/xalloc.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <yajl/yajl_gen.h>

enum { NESTING_MAX = 16 };

struct json_writer {
    yajl_gen gen;
    bool in_array[NESTING_MAX];
    unsigned depth;
    struct buf text; /* scratch of a string's repair */
};

struct json_writer *jw_new(void)
{
    struct json_writer *j = xcalloc(1, sizeof *j);

    j->gen = yajl_gen_alloc(NULL);
    CHECK(j->gen);
    return j;
}

void jw_finish(struct json_writer *j, struct buf *out)
{
    const unsigned char *text;
    size_t len;

    CHECK(j->depth == 0);
    yajl_gen_get_buf(j->gen, &text, &len);
    buf_append(out, text, len);
    yajl_gen_free(j->gen);
    buf_deinit(&j->text);
    free(j);
}

/* The length of the valid UTF-8 sequence that s begins with, 0 if it begins with none. */
static size_t sequence(const uint8_t *s, size_t left)
{
    uint8_t lead = s[0];
    size_t n = lead < 0x80                   ? 1
               : lead >= 0xc2 && lead < 0xe0 ? 2
               : lead >= 0xe0 && lead < 0xf0 ? 3
               : lead >= 0xf0 && lead < 0xf5 ? 4
                                             : 0;

    if (n == 0 || n > left)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((lead == 0xe0 && s[1] < 0xa0) || (lead == 0xed && s[1] > 0x9f) ||
        (lead == 0xf0 && s[1] < 0x90) || (lead == 0xf4 && s[1] > 0x8f))
        return 0;
    return n;
}

/* s, its invalid bytes as U+FFFD: names come from agents. */
static struct bytes repaired(struct json_writer *j, struct bytes s)
{
    buf_reset(&j->text);
    for (size_t i = 0, n; i < s.len; i += n ? n : 1) {
        n = sequence(s.data + i, s.len - i);
        if (n)
            buf_append(&j->text, s.data + i, n);
        else
            buf_append_str(&j->text, "\xef\xbf\xbd");
    }
    return buf_bytes(&j->text);
}

static void string(struct json_writer *j, struct bytes s)
{
    s = repaired(j, s);
    CHECK(yajl_gen_string(j->gen, s.data ? s.data : (const unsigned char *)"", s.len) ==
          yajl_gen_status_ok);
}

static void key_(struct json_writer *j, const char *key)
{
    if (key)
        string(j, bytes_str(key));
}

static void enter(struct json_writer *j, bool array)
{
    CHECK(j->depth < NESTING_MAX);
    j->in_array[j->depth++] = array;
    if (array)
        yajl_gen_array_open(j->gen);
    else
        yajl_gen_map_open(j->gen);
}

void jw_object(struct json_writer *j, const char *key)
{
    key_(j, key);
    enter(j, false);
}

void jw_array(struct json_writer *j, const char *key)
{
    key_(j, key);
    enter(j, true);
}

void jw_end(struct json_writer *j)
{
    CHECK(j->depth > 0);
    if (j->in_array[--j->depth])
        yajl_gen_array_close(j->gen);
    else
        yajl_gen_map_close(j->gen);
}

void jw_int(struct json_writer *j, const char *key, int64_t v)
{
    key_(j, key);
    yajl_gen_integer(j->gen, v);
}

void jw_uint(struct json_writer *j, const char *key, uint64_t v)
{
    char text[24];
    int n = snprintf(text, sizeof text, "%" PRIu64, v);

    key_(j, key);
    yajl_gen_number(j->gen, text, (size_t)n);
}

void jw_real(struct json_writer *j, const char *key, double v)
{
    key_(j, key);
    if (isfinite(v))
        yajl_gen_double(j->gen, v);
    else
        yajl_gen_null(j->gen);
}

void jw_bool(struct json_writer *j, const char *key, bool v)
{
    key_(j, key);
    yajl_gen_bool(j->gen, v);
}

void jw_str(struct json_writer *j, const char *key, const char *s)
{
    jw_bytes(j, key, bytes_str(s));
}

void jw_bytes(struct json_writer *j, const char *key, struct bytes s)
{
    key_(j, key);
    string(j, s);
}

void jw_pair(struct json_writer *j, struct bytes key, struct bytes value)
{
    string(j, key);
    string(j, value);
}
