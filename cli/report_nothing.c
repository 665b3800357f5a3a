/* What is said of a side that nothing matched: a table without rows explains itself badly, and a
 * selector that is misspelt looks like a service at rest. */
#include "cli/report.h"

#include "base/clock.h"
#include "cli/cli.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

static void put_time(int64_t ns, struct buf *out)
{
    time_t s = (time_t)(ns / NS_PER_S);
    char text[32];

    strftime(text, sizeof text, "%Y-%m-%d %H:%M", gmtime(&s));
    buf_append_str(out, text);
}

static void put_asked(const struct report *r, const struct report_side *asked,
                      const struct answer_side *s, struct buf *out)
{
    buf_printf(out, "%s service \"%.*s\", type %.*s", s->profiles ? "no samples in" : "nothing of",
               (int)s->service.len, (const char *)s->service.data, (int)s->type.len,
               (const char *)s->type.data);
    if (r->tenant)
        buf_printf(out, ", tenant %s", r->tenant);
    if (asked->match)
        buf_printf(out, ", match %s", asked->match);
    buf_append_str(out, ", from ");
    put_time(s->range.from_ns, out);
    buf_append_str(out, " to ");
    put_time(s->range.until_ns, out);
    buf_append_str(out, " UTC");
    if (s->gaps)
        buf_printf(out, "; %" PRIu64 " windows are lost", s->gaps);
    if (!asked->from && !asked->until)
        buf_append_str(out, " (--from and --until ask for another time than the last hour)");
}

static void put_files(const struct report *r, uint32_t side, const struct answer_side *s,
                      struct buf *out)
{
    buf_printf(out, "no samples in %s", r->files[side]);
    if (r->n_sides == 1 && r->n_files > 1)
        buf_printf(out, " and %zu more", r->n_files - 1);
    buf_printf(out, ", type %.*s", (int)s->type.len, (const char *)s->type.data);
}

static void say(const struct report *r, uint32_t side, const struct answer_side *s)
{
    struct buf text = {0};

    if (r->n_sides > 1)
        buf_printf(&text, "%s: ", side ? "b" : "a");
    if (r->server)
        put_asked(r, &r->sides[side], s, &text);
    else
        put_files(r, side, s, &text);
    fprintf(stderr, "hearth %s: %s\n", r->verb, buf_cstr(&text));
    buf_deinit(&text);
}

int report_nothing(const struct report *r, const struct answer *a, const bool nothing[SIDES_MAX])
{
    bool all = true;

    for (uint32_t s = 0; s < r->n_sides; s++) {
        if (nothing[s])
            say(r, s, &a->sides[s]);
        all = all && nothing[s];
    }
    return all ? EXIT_NOTHING : 0;
}
