/*
 * Options: one table row per setting gives its field, default, bounds and documentation.
 *
 * Values come from, in rising order: the default, the YAML file, the environment HEARTH_<NAME>,
 * the flag --<name> (in flags '_' is written '-'). Names are flat: `kafka_brokers`. Parsing is
 * strict: an unknown key, a key given twice or a bad value is an error with its source (file, line
 * and column, or variable, or flag); all errors are collected, so that --check-config lists all.
 * A program's options are several tables (its modules'), each bound to a struct of its own.
 *
 * Durations: 500ms 10s 5m 24h 7d, `unlimited` (INT64_MAX), stored in ms. Sizes: 4096, 64KiB, 10MiB,
 * 1GiB, 1TiB, stored in bytes. Lists: comma separated, or a YAML sequence; stored as a string with
 * commas. Numbers are decimal and the whole text must be one.
 */
#ifndef HEARTH_BASE_OPTIONS_H
#define HEARTH_BASE_OPTIONS_H

#include "base/bytes.h"
#include "base/err.h"

enum option_kind {
    OPTION_INT,      /* int64_t, min..max */
    OPTION_BOOL,     /* bool: true/false */
    OPTION_STRING,   /* char *, owned by the options object */
    OPTION_LIST,     /* char *, comma separated; flags may be repeated and then add up */
    OPTION_ENUM,     /* char *, one of the words of `choices`, separated by '|' */
    OPTION_DURATION, /* int64_t milliseconds, min..max */
    OPTION_SIZE,     /* int64_t bytes, min..max */
};

struct option_row {
    const char *name;
    enum option_kind kind;
    size_t offset;   /* of the field in the bound struct */
    const char *def; /* as text; NULL: unset (NULL string) */
    int64_t min, max;
    const char *choices;
    const char *help; /* one sentence, with the unit */
};

/*
 * A module declares its options once:
 *
 *   #define KAFKA_OPTIONS(X)                                                           \
 *       X(LIST, kafka_brokers, "", 0, 0, NULL, "addresses of the brokers")             \
 *       X(DURATION, kafka_timeout, "60s", 100, 3600000, NULL, "…")
 *   struct kafka_options { KAFKA_OPTIONS(OPTION_FIELD) };
 *   const struct option_row kafka_option_rows[] = { KAFKA_OPTIONS(KAFKA_ROW) {0} };
 *   with  #define KAFKA_ROW(...) OPTION_ROW(struct kafka_options, __VA_ARGS__)
 */
#define OPTION_TYPE_INT                                        int64_t
#define OPTION_TYPE_BOOL                                       bool
#define OPTION_TYPE_STRING                                     char *
#define OPTION_TYPE_LIST                                       char *
#define OPTION_TYPE_ENUM                                       char *
#define OPTION_TYPE_DURATION                                   int64_t
#define OPTION_TYPE_SIZE                                       int64_t
#define OPTION_FIELD(kind, name, def, min, max, choices, help) OPTION_TYPE_##kind name;
#define OPTION_ROW(type, kind, name, def, min, max, choices, help)                                 \
    {#name, OPTION_##kind, offsetof(type, name), def, min, max, choices, help},

struct options;

struct options *options_new(void);
void options_free(struct options *o); /* frees the strings in the bound structs too */
/* Adds a table (ends with a row whose name is NULL) and writes its defaults into target. */
void options_bind(struct options *o, const struct option_row *rows, void *target,
                  const char *title);

/* Each returns the number of errors it added. They may come in any order: a value is only replaced
 * by one of the same or a higher source. options_load_yaml reads text as if it were that file. */
int options_load_file(struct options *o, const char *path);
int options_load_yaml(struct options *o, struct bytes text, const char *path);
/* A variable HEARTH_* that no bound table knows is a warning, not an error: programs share an
 * environment. Names that belong to another program do not even warn: see options_foreign_env.
 * environ_ may be NULL, as clearenv(3) leaves it. */
int options_load_env(struct options *o, char *const *environ_);
/* Option names (lower case, NULL at the end, borrowed) that other programs of Hearth know. */
void options_foreign_env(struct options *o, const char *const *names);
/* Eats the flags: "--name value", "--name=value", bools "--name" and "--no-name". An unknown flag
 * is an error; "--" ends the flags; "-" is positional.
 * Positional arguments are moved to the front of argv; *argc becomes their number + 1 (argv[0]). */
int options_load_args(struct options *o, int *argc, char **argv);
/* For programs without positional arguments: each that is left is an error, for it is a slip, such
 * as a directory without --data-dir. Returns their number. */
int options_refuse_words(struct options *o, int argc, char **argv);

/* What no row can say of itself: whether an address is one, whether two options go together. check
 * is called by options_run_checks and tells each thing that is wrong to options_refuse. */
typedef void options_check_cb(void *ctx, struct options *o);
void options_check(struct options *o, options_check_cb *check, void *ctx);
/* After everything was loaded without an error, for checks trust the rows. Returns the number of
 * errors they added. */
size_t options_run_checks(struct options *o);
void options_refuse(struct options *o, const struct failure *f);

/* Sets one by name from text, as a flag would; source is for the message. */
int options_set(struct options *o, const char *name, const char *value, const char *source);

size_t options_errors(const struct options *o);
/* "conf.yaml:3:9: unknown key …" */
const char *options_error(const struct options *o, size_t i);
size_t options_warnings(const struct options *o);
const char *options_warning(const struct options *o, size_t i);

/* Documentation from the same rows: as text for --options, as Markdown for docs/options.md. */
void options_help(const struct options *o, struct buf *out);
void options_markdown(const struct options *o, struct buf *out);

/* The parsers of single values, for query parameters too: 0 or -EINVAL / -ERANGE. */
int option_parse_int(const char *s, int64_t min, int64_t max, int64_t *ret);
int option_parse_duration(const char *s, int64_t *ret_ms);
int option_parse_size(const char *s, int64_t *ret_bytes);

#endif
