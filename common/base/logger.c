/*
 * A line is built in memory and leaves in one write(2), so lines of threads and processes that
 * share stderr do not mix. Text is escaped as JSON escapes it in both forms (go-logfmt does the
 * same), and what is not UTF-8, or could move a terminal's cursor, never gets out raw.
 *
 * Repeats: a call site may print LOG_SITE_PER_WINDOW lines in a window that starts with its first
 * one. The counters are relaxed: two threads that meet at the turn of a window may let a line more
 * through. A write to stderr may block when nobody reads it; that is the administrator's pipe to
 * mind.
 */
#include "base/logger.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/utf8.h"

#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { LOG_SITE_PER_WINDOW = 5, LOG_VALUE_BYTES_MAX = 1024 };

static const char *const level_names[] = {"debug", "info", "warn", "error"};

static struct {
    const char *program;
    enum log_level level;
    bool json;
} config = {.program = "hearth", .level = LOG_INFO};

void logger_init(const char *program, enum log_level level, bool json)
{
    config.program = program;
    config.level = level;
    config.json = json;
}

enum log_level logger_level(void)
{
    return config.level;
}

int log_level_parse(const char *s, enum log_level *ret)
{
    for (unsigned i = 0; i < sizeof level_names / sizeof *level_names; i++) {
        if (strcmp(s, level_names[i]) == 0) {
            *ret = (enum log_level)i;
            return 0;
        }
    }
    return -EINVAL;
}

/* Controls (C0, DEL, C1), line separators, and the marks that turn the direction of text. */
static bool must_escape(uint32_t cp)
{
    return cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || (cp >= 0x2028 && cp <= 0x202e) ||
           (cp >= 0x2066 && cp <= 0x2069) || cp == '"' || cp == '\\';
}

static void escape(struct buf *out, uint32_t cp)
{
    switch (cp) {
    case '"':
    case '\\':
        buf_append_u8(out, '\\');
        buf_append_u8(out, (uint8_t)cp);
        return;
    case '\n':
        return buf_append_str(out, "\\n");
    case '\r':
        return buf_append_str(out, "\\r");
    case '\t':
        return buf_append_str(out, "\\t");
    default:
        buf_printf(out, "\\u%04x", (unsigned)cp);
    }
}

static void append_quoted(struct buf *out, struct bytes s)
{
    size_t end = s.len < LOG_VALUE_BYTES_MAX ? s.len : LOG_VALUE_BYTES_MAX;

    buf_append_u8(out, '"');
    for (size_t i = 0; i < end;) {
        uint32_t cp;
        size_t n = utf8_char(bytes_of(s.data + i, s.len - i), &cp);

        if (n == 0)
            buf_append_str(out, "\xef\xbf\xbd"); /* U+FFFD */
        else if (must_escape(cp))
            escape(out, cp);
        else
            buf_append(out, s.data + i, n);
        i += n ? n : 1;
    }
    if (end < s.len)
        buf_append_str(out, "...");
    buf_append_u8(out, '"');
}

static bool is_plain(struct bytes s)
{
    if (s.len == 0 || s.len > LOG_VALUE_BYTES_MAX)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.data[i];

        if (c <= ' ' || c >= 0x7f || c == '"' || c == '=' || c == '\\')
            return false;
    }
    return true;
}

static void append_text(struct buf *out, struct bytes s)
{
    if (!config.json && is_plain(s))
        buf_append_bytes(out, s);
    else
        append_quoted(out, s);
}

static void append_key(struct buf *out, const char *key)
{
    if (config.json)
        buf_printf(out, "%s\"%s\":", out->len > 1 ? "," : "", key);
    else
        buf_printf(out, "%s%s=", out->len > 0 ? " " : "", key);
}

/* JSON has no word for what is not a number. */
static void append_real(struct buf *out, double real)
{
    if (isfinite(real))
        buf_printf(out, "%.9g", real);
    else
        buf_append_str(out, "null");
}

static void append_field(struct buf *out, const struct log_field *f)
{
    append_key(out, f->key);
    switch (f->kind) {
    case LOG_FIELD_STR:
        append_text(out, f->str);
        break;
    case LOG_FIELD_INT:
        buf_printf(out, "%lld", (long long)f->num);
        break;
    case LOG_FIELD_FLOAT:
        append_real(out, f->real);
        break;
    }
}

static void append_time(struct buf *out)
{
    int64_t now_ms = clock_wall_ms();
    time_t now_s = (time_t)(now_ms / MS_PER_S);
    char text[32];
    struct tm tm;

    gmtime_r(&now_s, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    append_key(out, "time");
    buf_printf(out, config.json ? "\"%s.%03dZ\"" : "%s.%03dZ", text, (int)(now_ms % MS_PER_S));
}

static void append_head(struct buf *out, enum log_level level, const char *event)
{
    const struct log_field head[] = {
        F_STR("level", level_names[level]),
        F_STR("program", config.program),
        F_STR("event", event),
    };

    append_time(out);
    for (unsigned i = 0; i < sizeof head / sizeof *head; i++)
        append_field(out, &head[i]);
}

/* False: this one is only counted. Otherwise ret_repeats is what was counted since the last line.
 */
static bool may_print(struct log_site *site, unsigned *ret_repeats)
{
    int64_t now_ms = clock_mono_ms();
    int64_t start_ms = atomic_load_explicit(&site->window_ms, memory_order_relaxed);

    if (now_ms - start_ms >= MS_PER_S &&
        atomic_compare_exchange_strong(&site->window_ms, &start_ms, now_ms))
        atomic_store_explicit(&site->printed, 0, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&site->printed, 1, memory_order_relaxed) >= LOG_SITE_PER_WINDOW) {
        atomic_fetch_add_explicit(&site->suppressed, 1, memory_order_relaxed);
        return false;
    }
    *ret_repeats = atomic_exchange_explicit(&site->suppressed, 0, memory_order_relaxed);
    return true;
}

static void write_out(struct bytes line)
{
    while (line.len > 0) {
        ssize_t n = write(STDERR_FILENO, line.data, line.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* nowhere left to say so */
        line = bytes_of(line.data + n, line.len - (size_t)n);
    }
}

void logger_write(struct log_site *site, enum log_level level, const char *event,
                  const struct log_field *fields, size_t n)
{
    int saved_errno = errno;
    struct buf line = {0};
    unsigned repeats = 0;

    if (site && !may_print(site, &repeats))
        return;
    if (config.json)
        buf_append_u8(&line, '{');
    append_head(&line, level, event);
    for (size_t i = 0; i < n; i++)
        append_field(&line, &fields[i]);
    if (repeats > 0)
        append_field(&line, &F_INT("repeats", repeats));
    buf_append_str(&line, config.json ? "}\n" : "\n");
    write_out(buf_bytes(&line));
    buf_deinit(&line);
    errno = saved_errno;
}
