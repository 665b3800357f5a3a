/* What the server says it has taken, in one line for people. */
#include "base/bytes.h"
#include "base/clock.h"
#include "cli/push.h"

#include <inttypes.h>
#include <jansson.h>
#include <time.h>

enum { TYPES_SHOWN = 8 };

static void put_count(struct buf *out, const char *before, int64_t n, const char *what)
{
    buf_printf(out, "%s%" PRId64 " %s%s", before, n, what, n == 1 ? "" : "s");
}

static void put_time(struct buf *out, int64_t ns)
{
    time_t s = (time_t)(ns / NS_PER_S);
    char text[32];
    struct tm tm;

    if (gmtime_r(&s, &tm) && strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &tm))
        buf_append_str(out, text);
}

void push_told_range(struct buf *out, int64_t from_ns, int64_t until_ns)
{
    buf_append_str(out, "from ");
    put_time(out, from_ns);
    buf_append_str(out, " to ");
    put_time(out, until_ns);
    buf_append_str(out, " UTC");
}

static void put_types(struct buf *out, const json_t *types)
{
    size_t n = json_array_size(types);

    for (size_t i = 0; i < n && i < TYPES_SHOWN; i++) {
        const char *name = json_string_value(json_array_get(types, i));

        buf_printf(out, ", %s", name ? name : "?");
    }
    if (n > TYPES_SHOWN)
        buf_printf(out, " and %zu types more", n - TYPES_SHOWN);
}

static void put_repaired(struct buf *out, json_t *repaired)
{
    const char *name, *before = "; repaired or skipped: ";
    json_t *n;

    json_object_foreach(repaired, name, n)
    {
        buf_printf(out, "%s%s %" PRId64, before, name, (int64_t)json_integer_value(n));
        before = ", ";
    }
}

void push_told(struct buf *out, struct bytes answer, int64_t *ret_until_ns)
{
    json_t *j = json_loadb((const char *)answer.data, answer.len, 0, NULL);
    int64_t n = json_integer_value(json_object_get(j, "profiles"));
    int64_t from_ns = json_integer_value(json_object_get(j, "from"));

    *ret_until_ns = json_integer_value(json_object_get(j, "until"));
    if (json_object_get(j, "profiles")) {
        put_count(out, "", n, "profile");
        put_count(out, ", ", json_integer_value(json_object_get(j, "samples")), "sample");
        put_types(out, json_object_get(j, "types"));
        if (n > 0) {
            buf_append_str(out, ", ");
            push_told_range(out, from_ns, *ret_until_ns);
        }
        put_repaired(out, json_object_get(j, "repaired"));
    }
    json_decref(j);
}
