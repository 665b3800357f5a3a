/*
 * One YAML document: a flat mapping of names to scalars or, for lists, sequences of scalars.
 * libyaml's events carry line and column of everything; a tree would not. What YAML offers beyond
 * that (anchors, tags, nesting, several documents) is refused, each with its place.
 *
 * Reading goes on after every error but one of syntax, so that all of them are reported at once.
 */
#include "base/options_impl.h"

#include <errno.h>
#include <stdio.h>
#include <yaml.h>

enum { OPTIONS_FILE_BYTES_MAX = 1 << 20 };

struct file {
    struct options *o;
    const char *path;
    yaml_parser_t parser;
    yaml_event_t event; /* the current one */
    int errors;
    bool broken; /* a syntax error: nothing more can be read */
};

static void place(struct buf *out, const struct file *f, const yaml_mark_t *at)
{
    buf_printf(out, "%s:%zu:%zu", f->path, at->line + 1, at->column + 1);
}

static void fail_at(struct file *f, const yaml_mark_t *at, const char *message)
{
    struct buf source = {0};

    place(&source, f, at);
    f->errors += options_fail(f->o, buf_cstr(&source), "%s", message);
    buf_deinit(&source);
}

static void fail_syntax(struct file *f)
{
    f->broken = true;
    fail_at(f, &f->parser.problem_mark,
            f->parser.problem ? f->parser.problem : "not readable as YAML");
}

/* Moves to the next event. After a syntax error the type is YAML_NO_EVENT for ever. */
static yaml_event_type_t next(struct file *f)
{
    yaml_event_delete(&f->event);
    if (!f->broken && !yaml_parser_parse(&f->parser, &f->event)) {
        memset(&f->event, 0, sizeof f->event);
        fail_syntax(f);
    }
    return f->event.type;
}

/* Moves to the end of the node whose first event is current. */
static void skip_node(struct file *f)
{
    int depth = 0;

    for (;; next(f)) {
        yaml_event_type_t type = f->event.type;

        depth += type == YAML_MAPPING_START_EVENT || type == YAML_SEQUENCE_START_EVENT;
        depth -= type == YAML_MAPPING_END_EVENT || type == YAML_SEQUENCE_END_EVENT;
        if (depth == 0 || f->broken)
            return;
    }
}

static void refuse_node(struct file *f, const char *message)
{
    fail_at(f, &f->event.start_mark, message);
    skip_node(f);
}

static struct bytes scalar(const yaml_event_t *e)
{
    return bytes_of(e->data.scalar.value, e->data.scalar.length);
}

static bool is_null(const yaml_event_t *e)
{
    struct bytes s = scalar(e);

    return e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (s.len == 0 || bytes_equal(s, BYTES_LIT("~")) || bytes_equal(s, BYTES_LIT("null")));
}

/* False: the current scalar cannot be a value, and why has been added. */
static bool check_scalar(struct file *f)
{
    if (f->event.data.scalar.tag)
        fail_at(f, &f->event.start_mark, "tags are not supported");
    else if (is_null(&f->event))
        fail_at(f, &f->event.start_mark,
                "no value: leave the key out, or write '' for an empty text");
    else
        return true;
    return false;
}

static void assign(struct file *f, struct option *opt, const yaml_mark_t *at, struct bytes text)
{
    struct buf source = {0};

    place(&source, f, at);
    f->errors += option_assign(f->o, opt, text, RANK_FILE, buf_cstr(&source));
    buf_deinit(&source);
}

static void read_item(struct file *f, struct buf *list)
{
    struct bytes s = scalar(&f->event);

    if (!check_scalar(f))
        return;
    if (s.len == 0 || memchr(s.data, ',', s.len))
        return fail_at(f, &f->event.start_mark, "an entry of a list is empty or holds a comma");
    if (list->len > 0)
        buf_append_u8(list, ',');
    buf_append_bytes(list, s);
}

static void read_sequence(struct file *f, struct option *opt)
{
    yaml_mark_t start = f->event.start_mark;
    int errors = f->errors;
    struct buf list = {0};

    while (next(f) != YAML_SEQUENCE_END_EVENT && !f->broken) {
        if (f->event.type == YAML_SCALAR_EVENT)
            read_item(f, &list);
        else
            refuse_node(f, "an entry of a list must be a single value");
    }
    if (f->errors == errors)
        assign(f, opt, &start, buf_bytes(&list));
    buf_deinit(&list);
}

static void read_value(struct file *f, struct option *opt)
{
    switch (f->event.type) {
    case YAML_SCALAR_EVENT:
        if (check_scalar(f))
            assign(f, opt, &f->event.start_mark, scalar(&f->event));
        return;
    case YAML_SEQUENCE_START_EVENT:
        if (opt->row->kind == OPTION_LIST)
            return read_sequence(f, opt);
        return refuse_node(f, "a list where one value is expected");
    case YAML_ALIAS_EVENT:
        return refuse_node(f, "aliases are not supported");
    default:
        return refuse_node(f, "a mapping where a value is expected: names are flat");
    }
}

static void refuse_key(struct file *f, const struct option *opt)
{
    struct buf source = {0};

    place(&source, f, &f->event.start_mark);
    if (opt)
        f->errors += options_fail(f->o, buf_cstr(&source), "%s: given twice, first in line %zu",
                                  opt->row->name, opt->line);
    else
        f->errors += options_fail_unknown(f->o, buf_cstr(&source), "key", scalar(&f->event));
    buf_deinit(&source);
}

static void read_pair(struct file *f)
{
    struct option *opt = options_find(f->o, scalar(&f->event));

    if (!opt || opt->given) {
        refuse_key(f, opt);
        next(f);
        return skip_node(f);
    }
    opt->given = true;
    opt->line = f->event.start_mark.line + 1;
    next(f);
    read_value(f, opt);
}

static void read_mapping(struct file *f)
{
    while (next(f) != YAML_MAPPING_END_EVENT && !f->broken) {
        if (f->event.type == YAML_SCALAR_EVENT) {
            read_pair(f);
        } else {
            refuse_node(f, "a key must be a name");
            next(f);
            skip_node(f);
        }
    }
}

static void read_document(struct file *f)
{
    if (next(f) == YAML_MAPPING_START_EVENT)
        read_mapping(f);
    else if (f->event.type != YAML_SCALAR_EVENT || !is_null(&f->event))
        refuse_node(f, "expected a mapping of option names to values");
}

static void read_stream(struct file *f)
{
    next(f); /* the start of the stream */
    if (next(f) != YAML_DOCUMENT_START_EVENT)
        return;
    read_document(f);
    next(f); /* the end of the document */
    if (next(f) == YAML_DOCUMENT_START_EVENT)
        fail_at(f, &f->event.start_mark, "a second document: one is expected");
}

int options_load_yaml(struct options *o, struct bytes text, const char *path)
{
    struct file f = {.o = o, .path = path};

    if (!yaml_parser_initialize(&f.parser))
        return options_fail(o, path, "%s", strerror(ENOMEM));
    yaml_parser_set_input_string(&f.parser, text.data ? text.data : (const uint8_t *)"", text.len);
    options_begin_source(o);
    read_stream(&f);
    yaml_event_delete(&f.event);
    yaml_parser_delete(&f.parser);
    return f.errors;
}

/* 0, or -errno; -EFBIG beyond the cap. */
static int read_file(const char *path, struct buf *out)
{
    FILE *in = fopen(path, "re");
    int r = 0;

    if (!in)
        return -errno;
    buf_reserve(out, OPTIONS_FILE_BYTES_MAX + 1);
    out->len = fread(out->data, 1, OPTIONS_FILE_BYTES_MAX + 1, in);
    if (ferror(in))
        r = -errno;
    else if (out->len > OPTIONS_FILE_BYTES_MAX)
        r = -EFBIG;
    fclose(in);
    return r;
}

int options_load_file(struct options *o, const char *path)
{
    struct buf text = {0};
    int r = read_file(path, &text);

    if (r < 0)
        r = options_fail(o, path, "cannot be read: %s", strerror(-r));
    else
        r = options_load_yaml(o, buf_bytes(&text), path);
    buf_deinit(&text);
    return r;
}
