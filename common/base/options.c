/*
 * All bound tables lie in one array of struct option; a name is found by walking it, because there
 * are some dozens and they are looked up at start only.
 *
 * Each value remembers the rank of its source, so the order in which sources are read does not
 * matter: a program reads its flags first to learn the file's name, and the file then fills in what
 * flags and environment left alone. A value that loses by rank is still checked.
 *
 * Errors are texts, kept in the order of discovery. Unknown variables are only warnings: an
 * environment is shared by programs that know different names.
 */
#include "base/options.h"

#include "base/err.h"
#include "base/options_impl.h"
#include "base/xalloc.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { OPTION_ERRORS_MAX = 1000, OPTION_NAME_MAX = 64 };

struct options *options_new(void)
{
    return xcalloc(1, sizeof(struct options));
}

static void free_texts(struct texts *t)
{
    for (size_t i = 0; i < t->n; i++)
        free(t->list[i]);
    free(t->list);
}

void options_free(struct options *o)
{
    if (!o)
        return;
    for (size_t i = 0; i < o->n; i++) {
        char **text = o->list[i].field;

        if (!option_is_text(o->list[i].row->kind))
            continue;
        free(*text);
        *text = NULL;
    }
    free(o->list);
    free(o->checks);
    free_texts(&o->errors);
    free_texts(&o->warnings);
    free(o);
}

/* Takes text. What a source may hold is bounded here: the thousandth error says that there are
 * more. */
static void add_text(struct texts *t, char *text)
{
    if (t->n == OPTION_ERRORS_MAX) {
        free(text);
        return;
    }
    if (t->n == OPTION_ERRORS_MAX - 1) {
        free(text);
        text = xstrdup("too many errors: the rest is not listed");
    }
    XGROW(t->list, t->cap, t->n + 1);
    t->list[t->n++] = text;
}

__attribute__((format(printf, 3, 0))) static void add_message(struct texts *t, const char *source,
                                                              const char *fmt, va_list args)
{
    char *message = NULL;

    if (vasprintf(&message, fmt, args) < 0)
        xalloc_failed(0);
    add_text(t, xasprintf("%s: %s", source, message));
    free(message);
}

int options_fail(struct options *o, const char *source, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    add_message(&o->errors, source, fmt, args);
    va_end(args);
    return 1;
}

__attribute__((format(printf, 3, 4))) static void warn(struct options *o, const char *source,
                                                       const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    add_message(&o->warnings, source, fmt, args);
    va_end(args);
}

void options_check(struct options *o, options_check_cb *check, void *ctx)
{
    XGROW(o->checks, o->cap_checks, o->n_checks + 1);
    o->checks[o->n_checks++] = (struct check){check, ctx};
}

size_t options_run_checks(struct options *o)
{
    size_t before = o->errors.n;

    for (size_t i = 0; i < o->n_checks; i++)
        o->checks[i].check(o->checks[i].ctx, o);
    return o->errors.n - before;
}

void options_refuse(struct options *o, const struct failure *f)
{
    add_text(&o->errors,
             f->hint[0] ? xasprintf("%s (%s)", f->message, f->hint) : xstrdup(f->message));
}

size_t options_errors(const struct options *o)
{
    return o->errors.n;
}

const char *options_error(const struct options *o, size_t i)
{
    CHECK(i < o->errors.n);
    return o->errors.list[i];
}

size_t options_warnings(const struct options *o)
{
    return o->warnings.n;
}

const char *options_warning(const struct options *o, size_t i)
{
    CHECK(i < o->warnings.n);
    return o->warnings.list[i];
}

struct option *options_find(const struct options *o, struct bytes name)
{
    for (size_t i = 0; i < o->n; i++) {
        if (bytes_equal(bytes_str(o->list[i].row->name), name))
            return &o->list[i];
    }
    return NULL;
}

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Levenshtein's distance, by one row of his table. */
static size_t distance(struct bytes a, struct bytes b)
{
    size_t row[OPTION_NAME_MAX + 1];

    for (size_t j = 0; j <= b.len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t replaced = diagonal + (a.data[i - 1] != b.data[j - 1]);

            diagonal = row[j];
            row[j] = min_size(replaced, 1 + min_size(row[j], row[j - 1]));
        }
    }
    return row[b.len];
}

const char *options_nearest(const struct options *o, struct bytes name)
{
    const char *nearest = NULL;
    size_t least = name.len / 3 < 3 ? name.len / 3 + 1 : 4;

    if (name.len > OPTION_NAME_MAX)
        return NULL;
    for (size_t i = 0; i < o->n; i++) {
        size_t d = distance(bytes_str(o->list[i].row->name), name);

        if (d >= least)
            continue;
        least = d;
        nearest = o->list[i].row->name;
    }
    return nearest;
}

int options_fail_unknown(struct options *o, const char *source, const char *what, struct bytes name)
{
    const char *nearest = options_nearest(o, name);
    struct buf quoted = {0};

    option_quote(&quoted, name);
    options_fail(o, source, "unknown %s %s%s%s%s", what, buf_cstr(&quoted),
                 nearest ? ": did you mean " : "", nearest ? nearest : "", nearest ? "?" : "");
    buf_deinit(&quoted);
    return 1;
}

static void store(struct option *opt, union option_value v)
{
    switch (opt->row->kind) {
    case OPTION_BOOL:
        *(bool *)opt->field = v.on;
        break;
    case OPTION_STRING:
    case OPTION_LIST:
    case OPTION_ENUM:
        free(*(char **)opt->field);
        *(char **)opt->field = v.text;
        break;
    default:
        *(int64_t *)opt->field = v.num;
    }
}

/* Repeated list flags add up. Takes more. */
static char *join(const char *list, char *more)
{
    char *both;

    if (!list || !*list || !*more)
        return more;
    both = xasprintf("%s,%s", list, more);
    free(more);
    return both;
}

int option_assign(struct options *o, struct option *opt, struct bytes text, enum option_rank rank,
                  const char *source)
{
    struct buf why = {0};
    union option_value v;

    if (!option_parse(opt->row, text, &v, &why)) {
        options_fail(o, source, "%s: %s", opt->row->name, buf_cstr(&why));
        buf_deinit(&why);
        return 1;
    }
    if (opt->row->kind == OPTION_LIST && rank == RANK_FLAG && opt->rank == RANK_FLAG)
        v.text = join(*(char **)opt->field, v.text);
    if (rank >= opt->rank) {
        store(opt, v);
        opt->rank = rank;
    } else if (option_is_text(opt->row->kind)) {
        free(v.text);
    }
    return 0;
}

/* The table is the program's own, so what is wrong with it is a bug. */
static void add_option(struct options *o, const struct option_row *row, void *field,
                       const char *title)
{
    struct option *opt;

    CHECK(strlen(row->name) <= OPTION_NAME_MAX);
    CHECK(!options_find(o, bytes_str(row->name)));
    XGROW(o->list, o->cap, o->n + 1);
    opt = &o->list[o->n++];
    *opt = (struct option){.row = row, .title = title, .field = field};
    if (option_is_text(row->kind))
        *(char **)field = NULL;
    if (row->def)
        CHECK(option_assign(o, opt, bytes_str(row->def), RANK_DEFAULT, "default") == 0);
    else
        CHECK(option_is_text(row->kind));
}

void options_bind(struct options *o, const struct option_row *rows, void *target, const char *title)
{
    for (const struct option_row *row = rows; row->name; row++)
        add_option(o, row, (char *)target + row->offset, title);
}

void options_begin_source(struct options *o)
{
    for (size_t i = 0; i < o->n; i++)
        o->list[i].given = false;
}

int options_set(struct options *o, const char *name, const char *value, const char *source)
{
    struct option *opt = options_find(o, bytes_str(name));

    if (!opt)
        return options_fail_unknown(o, source, "option", bytes_str(name));
    return option_assign(o, opt, bytes_str(value), RANK_FLAG, source);
}

void options_foreign_env(struct options *o, const char *const *names)
{
    o->foreign_env = names;
}

static bool is_foreign(const struct options *o, const char *name)
{
    for (const char *const *s = o->foreign_env; s && *s; s++) {
        if (strcmp(*s, name) == 0)
            return true;
    }
    return false;
}

static void warn_variable(struct options *o, const char *variable, const char *name)
{
    const char *nearest = options_nearest(o, bytes_str(name));
    struct buf source = {0};

    if (is_foreign(o, name))
        return;
    option_quote(&source, bytes_str(variable));
    warn(o, buf_cstr(&source), "this program has no such option%s%s%s",
         nearest ? ": did you mean " : "", nearest ? nearest : "", nearest ? "?" : "");
    buf_deinit(&source);
}

/* KAFKA_TOPIC -> kafka_topic */
static char *name_of_variable(const char *s)
{
    char *name = xstrdup(s);

    for (char *c = name; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return name;
}

static bool is_variable_of(const struct option *opt, const char *variable)
{
    struct buf own = {0};
    bool same;

    option_env_name(&own, opt->row);
    same = strcmp(buf_cstr(&own), variable) == 0; /* the case too */
    buf_deinit(&own);
    return same;
}

static int load_variable(struct options *o, const char *entry)
{
    static const char prefix[] = "HEARTH_";
    const char *equals = strchr(entry, '=');
    struct option *opt;
    char *variable, *name;
    int errors = 0;

    if (!equals || strncmp(entry, prefix, sizeof prefix - 1) != 0)
        return 0;
    variable = xstrndup(entry, (size_t)(equals - entry));
    name = name_of_variable(variable + sizeof prefix - 1);
    opt = options_find(o, bytes_str(name));
    if (opt && is_variable_of(opt, variable))
        errors = option_assign(o, opt, bytes_str(equals + 1), RANK_ENV, variable);
    else
        warn_variable(o, variable, name);
    free(variable);
    free(name);
    return errors;
}

int options_load_env(struct options *o, char *const *environ_)
{
    int errors = 0;

    for (char *const *entry = environ_; entry && *entry; entry++)
        errors += load_variable(o, *entry);
    return errors;
}

/* One flag as it stands in argv; value is NULL where none was joined by '='. */
struct flag {
    char *text; /* "--kafka-topic", for messages */
    char *name; /* "kafka_topic" */
    const char *value;
};

static struct flag flag_of(const char *arg)
{
    size_t len = strcspn(arg, "=");
    struct flag f = {.text = xstrndup(arg, len), .name = xstrndup(arg + 2, len - 2)};

    f.value = arg[len] == '=' ? arg + len + 1 : NULL;
    for (char *s = f.name; *s; s++)
        *s = *s == '-' ? '_' : *s;
    return f;
}

static struct option *find_negated(const struct options *o, const struct flag *f)
{
    struct option *opt = NULL;

    if (strncmp(f->name, "no_", 3) == 0 && !f->value)
        opt = options_find(o, bytes_str(f->name + 3));
    return opt && opt->row->kind == OPTION_BOOL ? opt : NULL;
}

static int assign_flag(struct options *o, struct option *opt, const struct flag *f,
                       const char *value)
{
    if (opt->given && opt->row->kind != OPTION_LIST)
        return options_fail(o, f->text, "given twice");
    opt->given = true;
    return option_assign(o, opt, bytes_str(value), RANK_FLAG, f->text);
}

/* Returns the errors; *i moves past a value that is an argument of its own. */
static int load_flag(struct options *o, const struct flag *f, int argc, char **argv, int *i)
{
    struct option *opt = options_find(o, bytes_str(f->name));
    const char *value = f->value;

    if (!opt && find_negated(o, f))
        return assign_flag(o, find_negated(o, f), f, "false");
    if (!opt)
        return options_fail_unknown(o, f->text, "flag", bytes_str(f->name));
    if (!value && opt->row->kind == OPTION_BOOL)
        value = "true";
    if (!value) {
        if (*i + 1 >= argc || strncmp(argv[*i + 1], "--", 2) == 0)
            return options_fail(o, f->text, "needs a value");
        value = argv[++*i];
    }
    return assign_flag(o, opt, f, value);
}

static bool is_positional(const char *arg)
{
    return arg[0] != '-' || arg[1] == '\0';
}

int options_load_args(struct options *o, int *argc, char **argv)
{
    int errors = 0, n_positional = 1;
    bool only_positional = false;

    options_begin_source(o);
    for (int i = 1; i < *argc; i++) {
        if (only_positional || is_positional(argv[i])) {
            argv[n_positional++] = argv[i];
        } else if (strcmp(argv[i], "--") == 0) {
            only_positional = true;
        } else if (argv[i][1] != '-') {
            errors += options_fail(o, argv[i], "unknown flag: names are long and begin with --");
        } else {
            struct flag f = flag_of(argv[i]);

            errors += load_flag(o, &f, *argc, argv, &i);
            free(f.text);
            free(f.name);
        }
    }
    *argc = n_positional;
    return errors;
}

int options_refuse_words(struct options *o, int argc, char **argv)
{
    struct buf quoted = {0};

    for (int i = 1; i < argc; i++) {
        buf_reset(&quoted);
        option_quote(&quoted, bytes_str(argv[i]));
        options_fail(o, buf_cstr(&quoted), "is no option: options begin with --");
    }
    buf_deinit(&quoted);
    return argc - 1;
}
