/*
 * The formats' table, and how one is told from another by its first bytes: JSON by the first key at
 * its top that only one of them has; perf script by the head of a sample; folded stacks by a line
 * that ends in a number. Lines, tries and trees have nothing that tells: the request names them.
 */
#include "formats/text_int.h"

#include "base/xalloc.h"

#include <stdlib.h>

enum { SCRATCH_BYTES_MAX = 4 << 20, SNIFF_LINES = 32, SNIFF_LINE_BYTES = 1 << 16 };
enum { SNIFF_JSON_BYTES = 1 << 16 };

static const struct {
    const char *name;
    int (*read)(struct text_reader *r, struct bytes raw);
    bool is_binary;
} formats[] = {
    {"folded", folded_read, false},
    {"lines", lines_read, false},
    {"trie", trie_read, true},
    {"tree", trie_read_tree, true},
    {"perf", perf_script_read, false},
    {"speedscope", speedscope_read, false},
    {"cpuprofile", cpuprofile_read, false},
    {"heapprofile", heapprofile_read, false},
};

enum { N_FORMATS = sizeof formats / sizeof *formats };

struct text_reader *text_reader_new(void)
{
    return xcalloc(1, sizeof(struct text_reader));
}

static void forget_scratch(struct text_reader *r)
{
    free(r->frame);
    free(r->row);
    buf_deinit(&r->text);
    *r = (struct text_reader){0};
}

void text_reader_free(struct text_reader *r)
{
    if (!r)
        return;
    forget_scratch(r);
    free(r);
}

/* ---- which one --------------------------------------------------------------------------------
 */

static bool is_utf16(struct bytes s)
{
    return bytes_starts(s, BYTES_LIT("\xff\xfe")) || bytes_starts(s, BYTES_LIT("\xfe\xff"));
}

static struct bytes without_mark(struct bytes s)
{
    return bytes_starts(s, BYTES_LIT("\xef\xbb\xbf")) ? bytes_of(s.data + 3, s.len - 3) : s;
}

static const char *format_of_key(struct bytes key)
{
    static const char *const keys[][2] = {
        {"shared", "speedscope"},  {"profiles", "speedscope"},   {"exporter", "speedscope"},
        {"nodes", "cpuprofile"},   {"timeDeltas", "cpuprofile"}, {"startTime", "cpuprofile"},
        {"endTime", "cpuprofile"}, {"head", "heapprofile"},
    };

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (bytes_equal(key, bytes_str(keys[i][0])))
            return keys[i][1];
    return NULL;
}

static size_t skip_string(struct bytes s, size_t at)
{
    for (at++; at < s.len && s.data[at] != '"'; at++)
        at += s.data[at] == '\\';
    return at;
}

static bool is_key(struct bytes s, size_t end)
{
    for (end++; end < s.len && memchr(" \t\r\n", s.data[end], 4);)
        end++;
    return end < s.len && s.data[end] == ':';
}

static const char *format_of_json(struct bytes s)
{
    int depth = 0;

    s.len = s.len < SNIFF_JSON_BYTES ? s.len : SNIFF_JSON_BYTES;
    for (size_t i = 0; i < s.len; i++) {
        size_t begin = i + 1;
        const char *format;

        depth += memchr("{[", s.data[i], 2) != NULL;
        depth -= memchr("}]", s.data[i], 2) != NULL;
        if (s.data[i] != '"')
            continue;
        i = skip_string(s, i);
        if (depth == 1 && i < s.len && is_key(s, i) &&
            (format = format_of_key(bytes_of(s.data + begin, i - begin))))
            return format;
    }
    return NULL;
}

static const char *format_of_lines(struct bytes s)
{
    struct bytes line;

    for (int i = 0; i < SNIFF_LINES && text_line(&s, &line); i++) {
        if (memchr(line.data, '\0', line.len))
            return NULL;
        if (perf_script_is_header(
                bytes_of(line.data, line.len < SNIFF_LINE_BYTES ? line.len : SNIFF_LINE_BYTES)))
            return "perf";
        if (folded_is_line(line))
            return "folded";
    }
    return NULL;
}

const char *text_format_of(struct bytes raw)
{
    struct bytes s = without_mark(raw);

    if (is_utf16(raw))
        return "folded"; /* to be told what is wrong with it */
    while (s.len > 0 && memchr(" \t\r\n", s.data[0], 4))
        s = bytes_of(s.data + 1, s.len - 1);
    if (s.len == 0)
        return NULL;
    return s.data[0] == '{' ? format_of_json(s) : format_of_lines(s);
}

/* ---- reading ----------------------------------------------------------------------------------
 */

static void begin(struct text_reader *r, const char *format, struct reading *rd)
{
    r->rd = rd;
    r->format = format;
    r->sym = rd->into->symbols;
    r->st = rd->into->stacks;
    r->strings_before = symbols_n_strings(r->sym);
    r->functions_before = symbols_n_functions(r->sym);
    r->nodes_before = stacks_n_nodes(r->st);
    r->n_samples = 0;
    r->n_frame = 0;
    r->n_rows = 0;
}

int text_read(struct text_reader *r, const char *format, struct bytes raw, struct reading *rd)
{
    int e, i = 0;

    while (i < N_FORMATS && strcmp(formats[i].name, format) != 0)
        i++;
    CHECK(i < N_FORMATS);
    begin(r, formats[i].name, rd);
    if (!formats[i].is_binary && is_utf16(raw))
        return fail(rd->f, 400, "malformed", "convert it, as by iconv -f UTF-16 -t UTF-8",
                    "the text is UTF-16; UTF-8 is understood");
    e = formats[i].read(r, formats[i].is_binary ? raw : without_mark(raw));
    if (r->row_cap * sizeof *r->row > SCRATCH_BYTES_MAX)
        forget_scratch(r);
    return e;
}
