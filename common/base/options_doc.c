/* The rows as documentation: text for a terminal, Markdown for docs/options.md. */
#include "base/options_impl.h"

static const char *kind_word(enum option_kind kind)
{
    static const char *const words[] = {
        [OPTION_INT] = "number", [OPTION_BOOL] = "true/false", [OPTION_STRING] = "text",
        [OPTION_LIST] = "list",  [OPTION_ENUM] = "word",       [OPTION_DURATION] = "duration",
        [OPTION_SIZE] = "size",
    };

    return words[kind];
}

static bool has_bounds(const struct option_row *row)
{
    return row->kind == OPTION_INT || row->kind == OPTION_DURATION || row->kind == OPTION_SIZE;
}

/* "1KiB to 4GiB", "at least 1s", "debug, info", or nothing. */
static void print_range(struct buf *out, const struct option_row *row)
{
    if (row->kind == OPTION_ENUM) {
        for (const char *s = row->choices; *s; s++)
            buf_append_str(out, *s == '|' ? ", " : (char[]){*s, '\0'});
        return;
    }
    if (!has_bounds(row))
        return;
    if (row->max == INT64_MAX)
        buf_append_str(out, "at least ");
    option_print_number(out, row->kind, row->min);
    if (row->max == INT64_MAX)
        return;
    buf_append_str(out, " to ");
    option_print_number(out, row->kind, row->max);
}

static bool has_default(const struct option_row *row)
{
    return row->def && *row->def;
}

static bool begins_table(const struct options *o, size_t i)
{
    return i == 0 || o->list[i].title != o->list[i - 1].title;
}

static void help_row(struct buf *out, const struct option_row *row)
{
    buf_append_str(out, "  ");
    option_flag_name(out, row);
    if (row->kind != OPTION_BOOL)
        buf_printf(out, " <%s>", kind_word(row->kind));
    buf_printf(out, "\n      %s\n      ", row->help);
    option_env_name(out, row);
    if (has_default(row))
        buf_printf(out, "; default %s", row->def);
    if (row->kind == OPTION_ENUM || has_bounds(row)) {
        buf_append_str(out, "; ");
        print_range(out, row);
    }
    buf_append_u8(out, '\n');
}

void options_help(const struct options *o, struct buf *out)
{
    for (size_t i = 0; i < o->n; i++) {
        if (begins_table(o, i))
            buf_printf(out, "%s%s\n", i > 0 ? "\n" : "", o->list[i].title);
        help_row(out, o->list[i].row);
    }
}

/* A bar would end the cell. */
static void cell(struct buf *out, const char *s)
{
    for (; *s; s++) {
        if (*s == '|')
            buf_append_u8(out, '\\');
        buf_append_u8(out, (uint8_t)*s);
    }
    buf_append_str(out, " | ");
}

static void markdown_row(struct buf *out, const struct option_row *row)
{
    struct buf range = {0};

    buf_printf(out, "| `%s` | %s | ", row->name, kind_word(row->kind));
    if (has_default(row))
        buf_printf(out, "`%s`", row->def);
    buf_append_str(out, " | ");
    print_range(&range, row);
    cell(out, buf_cstr(&range));
    cell(out, row->help);
    out->len--; /* the blank behind the last bar */
    buf_append_u8(out, '\n');
    buf_deinit(&range);
}

void options_markdown(const struct options *o, struct buf *out)
{
    for (size_t i = 0; i < o->n; i++) {
        if (begins_table(o, i))
            buf_printf(out,
                       "%s### %s\n\n| name | kind | default | range | what it is |\n"
                       "|---|---|---|---|---|\n",
                       i > 0 ? "\n" : "", o->list[i].title);
        markdown_row(out, o->list[i].row);
    }
}
