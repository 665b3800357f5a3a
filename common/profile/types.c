/*
 * How it works. One table, read from the top: the first row whose sample type and condition fit
 * gives the canonical parts. A sample type may end in '*'; a condition is a word that must begin
 * the agent's own period type or the hint, or, behind a '/', its unit. Canonical names have the
 * period that the table gives, not the agent's: what a Node wall profiler and a Go CPU profiler
 * call cpu/nanoseconds is one type to a user who asks for CPU, and only equal names are added up.
 */
#include "profile/types.h"

#include "base/utf8.h"

#define OWN  "="     /* the agent's own word stays */
#define UNIT "=unit" /* the unit of the values */

struct alias {
    const char *sample_type, *when;
    const char *name, *type, *unit, *period_type, *period_unit;
    enum type_kind kind;
};

/* clang-format off */
static const struct alias aliases[] = {
    /* agent's type        when         name           type             unit           period type    period unit    kind */
    {"cpu",                "/count",    "process_cpu", "samples",       "count",       "cpu",         "nanoseconds", TYPE_FLOW},
    {"cpu",                NULL,        "process_cpu", "cpu",           OWN,           "cpu",         "nanoseconds", TYPE_FLOW},
    {"itimer",             "/count",    "process_cpu", "samples",       "count",       "cpu",         "nanoseconds", TYPE_FLOW},
    {"ctimer",             "/count",    "process_cpu", "samples",       "count",       "cpu",         "nanoseconds", TYPE_FLOW},
    {"itimer",              NULL,        "process_cpu", "cpu",           OWN,           "cpu",         "nanoseconds", TYPE_FLOW},
    {"ctimer",              NULL,        "process_cpu", "cpu",           OWN,           "cpu",         "nanoseconds", TYPE_FLOW},
    {"cpu-time",           NULL,        "process_cpu", "cpu",           OWN,           "cpu",         "nanoseconds", TYPE_FLOW},
    {"cpu-samples",        NULL,        "process_cpu", "samples",       "count",       "cpu",         "nanoseconds", TYPE_FLOW},
    {"samples",            "cpu",       "process_cpu", "samples",       "count",       "cpu",         "nanoseconds", TYPE_FLOW},
    {"sample",             "cpu",       "process_cpu", "samples",       "count",       "cpu",         "nanoseconds", TYPE_FLOW},
    {"wall",               "/count",    "wall",        "samples",       "count",       "wall",        "nanoseconds", TYPE_FLOW},
    {"wall",               NULL,        "wall",        "wall",          OWN,           "wall",        UNIT,          TYPE_FLOW},
    {"wall-time",          NULL,        "wall",        "wall",          OWN,           "wall",        UNIT,          TYPE_FLOW},
    {"native",             "wall",      "wall",        "native",        OWN,           "wall",        "nanoseconds", TYPE_FLOW},
    {"wall-samples",       NULL,        "wall",        "samples",       "count",       "wall",        "nanoseconds", TYPE_FLOW},
    {"samples",            "wall",      "wall",        "samples",       "count",       "wall",        "nanoseconds", TYPE_FLOW},
    {"sample",             "wall",      "wall",        "samples",       "count",       "wall",        "nanoseconds", TYPE_FLOW},
    {"off_cpu",            NULL,        "off_cpu",     "off_cpu",       OWN,           "",            "",            TYPE_FLOW},
    {"events",             "/nanoseconds", "off_cpu",  "off_cpu",       OWN,           "",            "",            TYPE_FLOW},
    {"alloc_objects",      NULL,        "memory",      "alloc_objects", "count",       "space",       "bytes",       TYPE_FLOW},
    {"alloc-samples",      NULL,        "memory",      "alloc_objects", "count",       "space",       "bytes",       TYPE_FLOW},
    {"alloc_samples",      NULL,        "memory",      "alloc_objects", "count",       "space",       "bytes",       TYPE_FLOW},
    {"alloc",              "/count",    "memory",      "alloc_objects", "count",       "space",       "bytes",       TYPE_FLOW},
    {"alloc",              "/bytes",    "memory",      "alloc_space",   OWN,           "space",       "bytes",       TYPE_FLOW},
    {"alloc_space",        NULL,        "memory",      "alloc_space",   OWN,           "space",       "bytes",       TYPE_FLOW},
    {"alloc-space",        NULL,        "memory",      "alloc_space",   OWN,           "space",       "bytes",       TYPE_FLOW},
    {"alloc-size",         NULL,        "memory",      "alloc_space",   OWN,           "space",       "bytes",       TYPE_FLOW},
    {"alloc_size",         NULL,        "memory",      "alloc_space",   OWN,           "space",       "bytes",       TYPE_FLOW},
    {"alloc_in_new_tlab_*", NULL,       "memory",      OWN,             OWN,           "space",       "bytes",       TYPE_FLOW},
    {"alloc_outside_tlab_*", NULL,      "memory",      OWN,             OWN,           "space",       "bytes",       TYPE_FLOW},
    {"alloc_sample_*",     NULL,        "memory",      OWN,             OWN,           "space",       "bytes",       TYPE_FLOW},
    {"malloc_*",           NULL,        "memory",      OWN,             OWN,           "",            "",            TYPE_FLOW},
    {"inuse_objects",      NULL,        "memory",      "inuse_objects", "count",       "space",       "bytes",       TYPE_SNAPSHOT},
    {"inuse-objects",      NULL,        "memory",      "inuse_objects", "count",       "space",       "bytes",       TYPE_SNAPSHOT},
    {"heap-live-samples",  NULL,        "memory",      "inuse_objects", "count",       "space",       "bytes",       TYPE_SNAPSHOT},
    {"objects",            "space",     "memory",      "inuse_objects", "count",       "space",       "bytes",       TYPE_SNAPSHOT},
    {"inuse_space",        NULL,        "memory",      "inuse_space",   OWN,           "space",       "bytes",       TYPE_SNAPSHOT},
    {"inuse-space",        NULL,        "memory",      "inuse_space",   OWN,           "space",       "bytes",       TYPE_SNAPSHOT},
    {"heap-space",         NULL,        "memory",      "inuse_space",   OWN,           "space",       "bytes",       TYPE_SNAPSHOT},
    {"heap-live-size",     NULL,        "memory",      "inuse_space",   OWN,           "space",       "bytes",       TYPE_SNAPSHOT},
    {"space",              "space",     "memory",      "inuse_space",   OWN,           "space",       "bytes",       TYPE_SNAPSHOT},
    {"live",               "/bytes",    "memory",      "inuse_space",   OWN,           "space",       "bytes",       TYPE_SNAPSHOT},
    {"live",               NULL,        "memory",      "live",          "count",       "objects",     "count",       TYPE_SNAPSHOT},
    {"contentions",        "java_mutex", "mutex",      "contentions",   "count",       "mutex",       "count",       TYPE_FLOW},
    {"delay",              "java_mutex", "mutex",      "delay",         OWN,           "mutex",       "count",       TYPE_FLOW},
    {"contentions",        "java_block", "block",      "contentions",   "count",       "block",       "count",       TYPE_FLOW},
    {"delay",              "java_block", "block",      "delay",         OWN,           "block",       "count",       TYPE_FLOW},
    {"contentions",        "mutex",     "mutex",       "contentions",   "count",       "contentions", "count",       TYPE_FLOW},
    {"delay",              "mutex",     "mutex",       "delay",         OWN,           "contentions", "count",       TYPE_FLOW},
    {"contentions",        "block",     "block",       "contentions",   "count",       "contentions", "count",       TYPE_FLOW},
    {"delay",              "block",     "block",       "delay",         OWN,           "contentions", "count",       TYPE_FLOW},
    {"lock-acquire",       NULL,        "mutex",       "contentions",   "count",       "contentions", "count",       TYPE_FLOW},
    {"lock-count",         NULL,        "mutex",       "contentions",   "count",       "contentions", "count",       TYPE_FLOW},
    {"lock_count",         NULL,        "mutex",       "contentions",   "count",       "contentions", "count",       TYPE_FLOW},
    {"lock-acquire-wait",  NULL,        "mutex",       "delay",         OWN,           "contentions", "count",       TYPE_FLOW},
    {"lock-time",          NULL,        "mutex",       "delay",         OWN,           "contentions", "count",       TYPE_FLOW},
    {"lock_time",          NULL,        "mutex",       "delay",         OWN,           "contentions", "count",       TYPE_FLOW},
    {"lock",               "/count",    "mutex",       "contentions",   "count",       "contentions", "count",       TYPE_FLOW},
    {"lock",               "/nanoseconds", "mutex",    "delay",         OWN,           "contentions", "count",       TYPE_FLOW},
    {"lock-release*",      NULL,        "lock",        OWN,             OWN,           "",            "",            TYPE_FLOW},
    {"goroutine",          NULL,        "goroutines",  "goroutine",     "count",       "goroutine",   "count",       TYPE_SNAPSHOT},
    {"goroutines",         NULL,        "goroutines",  "goroutine",     "count",       "goroutine",   "count",       TYPE_SNAPSHOT},
    {"goroutineleak",      NULL,        "goroutines",  "goroutineleak", "count",       "goroutine",   "count",       TYPE_SNAPSHOT},
    {"exception",          NULL,        "exception",   "exception",     "count",       "",            "",            TYPE_FLOW},
    {"exception-samples",  NULL,        "exception",   "exception",     "count",       "",            "",            TYPE_FLOW},
    {"method_calls",       NULL,        "method",      "calls",         "count",       "",            "",            TYPE_FLOW},
    {"method_time",        NULL,        "method",      "time",          OWN,           "",            "",            TYPE_FLOW},
    {"file-io-*",          NULL,        "io",          OWN,             OWN,           "",            "",            TYPE_FLOW},
    {"socket-*",           NULL,        "io",          OWN,             OWN,           "",            "",            TYPE_FLOW},
    {"gpu-*",              NULL,        "gpu",         OWN,             OWN,           "",            "",            TYPE_FLOW},
    {"request-time",       NULL,        "request",     OWN,             OWN,           "",            "",            TYPE_FLOW},
    {"timeline",           NULL,        "timeline",    OWN,             OWN,           "",            "",            TYPE_FLOW},
};
/* clang-format on */

enum { N_ALIASES = sizeof aliases / sizeof *aliases, PARTS = 5, PART_MAX = 48 };

static bool pattern_matches(const char *pattern, struct bytes s)
{
    struct bytes p = bytes_str(pattern);

    if (p.len && p.data[p.len - 1] == '*')
        return bytes_starts(s, bytes_of(p.data, p.len - 1));
    return bytes_equal(s, p);
}

static bool condition_holds(const char *when, struct bytes unit, struct bytes period_type,
                            struct bytes hint)
{
    if (!when)
        return true;
    if (when[0] == '/')
        return bytes_starts(unit, bytes_str(when + 1));
    return bytes_starts(period_type, bytes_str(when)) || bytes_starts(hint, bytes_str(when));
}

static const struct alias *find_alias(struct bytes sample_type, struct bytes unit,
                                      struct bytes period_type, struct bytes hint)
{
    for (size_t i = 0; i < N_ALIASES; i++)
        if (pattern_matches(aliases[i].sample_type, sample_type) &&
            condition_holds(aliases[i].when, unit, period_type, hint))
            return &aliases[i];
    return NULL;
}

/* Appends one part, cleaned, and cut between characters. */
static size_t put_part(char *out, size_t at, struct bytes s)
{
    s = utf8_cut(s, PART_MAX);
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.data[i];

        out[at++] = (char)(c == ':' || c < 0x20 || c == 0x7f ? '_' : c);
    }
    return at;
}

_Static_assert(PARTS *(PART_MAX + 1) <= TYPE_NAME_MAX, "five parts fit");

static void join(struct profile_type *out, const char *const parts[PARTS],
                 const struct bytes own[PARTS])
{
    size_t at = 0;

    for (size_t i = 0; i < PARTS; i++) {
        if (i > 0)
            out->name[at++] = ':';
        if (!parts[i] || strcmp(parts[i], OWN) == 0)
            at = put_part(out->name, at, own[i]);
        else if (strcmp(parts[i], UNIT) == 0)
            at = put_part(out->name, at, own[2]);
        else
            at = put_part(out->name, at, bytes_str(parts[i]));
    }
    out->name[at] = '\0';
}

void profile_type_of(struct profile_type *out, struct bytes sample_type, struct bytes unit,
                     struct bytes period_type, struct bytes period_unit, struct bytes hint)
{
    const struct alias *a = find_alias(sample_type, unit, period_type, hint);
    struct bytes name = hint.len ? hint : period_type.len ? period_type : sample_type;
    const struct bytes own[PARTS] = {name, sample_type, unit, period_type, period_unit};
    static const char *const all_own[PARTS];

    if (a)
        join(out,
             (const char *const[PARTS]){a->name, a->type, a->unit, a->period_type, a->period_unit},
             own);
    else
        join(out, all_own, own);
    out->kind = a ? a->kind : profile_type_kind(bytes_str(out->name));
}

/* Part i of a five-part name; empty if there are not that many. */
static struct bytes part_of(struct bytes name, unsigned i)
{
    size_t begin = 0;

    for (size_t at = 0; at <= name.len; at++) {
        if (at < name.len && name.data[at] != ':')
            continue;
        if (i-- == 0)
            return bytes_of(name.data + begin, at - begin);
        begin = at + 1;
    }
    return BYTES_LIT("");
}

enum type_kind profile_type_kind(struct bytes name)
{
    struct bytes family = part_of(name, 0), type = part_of(name, 1);

    for (size_t i = 0; i < N_ALIASES; i++)
        if (bytes_equal(family, bytes_str(aliases[i].name)) &&
            bytes_equal(type, bytes_str(aliases[i].type)))
            return aliases[i].kind;
    return bytes_starts(type, BYTES_LIT("inuse")) || bytes_starts(type, BYTES_LIT("heap-live"))
               ? TYPE_SNAPSHOT
               : TYPE_FLOW;
}

struct bytes profile_type_unit(struct bytes name)
{
    return part_of(name, 2);
}

static const char *word(const char *part)
{
    if (!part)
        return "";
    if (strcmp(part, UNIT) == 0)
        return "(the unit)";
    return strcmp(part, OWN) == 0 ? "(its own)" : part;
}

void profile_types_markdown(struct buf *out)
{
    buf_append_str(out,
                   "| agent's sample type | when | Hearth's type | adds up |\n|---|---|---|---|\n");
    for (size_t i = 0; i < N_ALIASES; i++) {
        const struct alias *a = &aliases[i];

        buf_printf(out, "| `%s` | %s%s | `%s:%s:%s:%s:%s` | %s |\n", a->sample_type,
                   !a->when            ? ""
                   : a->when[0] == '/' ? "unit "
                                       : "period or hint ",
                   a->when && a->when[0] == '/' ? a->when + 1 : word(a->when), a->name,
                   word(a->type), word(a->unit), word(a->period_type), word(a->period_unit),
                   a->kind == TYPE_SNAPSHOT ? "snapshot" : "flow");
    }
}
