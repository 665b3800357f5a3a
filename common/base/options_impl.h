/*
 * What the parts of the options module share: options.c (tables, environment, flags),
 * options_file.c (YAML), options_doc.c (documentation), option_value.c (texts to values).
 */
#ifndef HEARTH_BASE_OPTIONS_IMPL_H
#define HEARTH_BASE_OPTIONS_IMPL_H

#include "base/options.h"

/* A value is stored unless one of a higher rank is there: sources may be read in any order. */
enum option_rank { RANK_DEFAULT, RANK_FILE, RANK_ENV, RANK_FLAG };

struct option {
    const struct option_row *row;
    const char *title; /* of its table; the same pointer for all rows of a table */
    void *field;
    enum option_rank rank; /* of the stored value */
    bool given;            /* already, in the source that is being read */
    size_t line;           /* where, in a file */
};

struct texts {
    char **list;
    size_t n, cap;
};

struct check {
    options_check_cb *check;
    void *ctx;
};

struct options {
    struct option *list;
    size_t n, cap;
    struct check *checks;
    size_t n_checks, cap_checks;
    struct texts errors, warnings;
    const char *const *foreign_env;
};

union option_value {
    int64_t num;
    bool on;
    char *text; /* the holder's to free, for the kinds that are text */
};

struct option *options_find(const struct options *o, struct bytes name);
/* The bound name that an unknown one probably meant, or NULL. */
const char *options_nearest(const struct options *o, struct bytes name);
void options_begin_source(struct options *o);
/* Adds "source: message" to the errors; returns 1. */
int options_fail(struct options *o, const char *source, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
int options_fail_unknown(struct options *o, const char *source, const char *what,
                         struct bytes name);
/* Checks text and stores it if its rank allows. Returns the number of errors added, 0 or 1. */
int option_assign(struct options *o, struct option *opt, struct bytes text, enum option_rank rank,
                  const char *source);

/* option_value.c. False: why says what is wrong with text, as the end of "name: …". */
bool option_parse(const struct option_row *row, struct bytes text, union option_value *ret,
                  struct buf *why);
/* Between single quotes, shortened, control bytes as '?'. */
void option_quote(struct buf *out, struct bytes text);
bool option_is_text(enum option_kind kind);
/* A value as an administrator would write it: 10MiB, 24h, unlimited. */
void option_print_number(struct buf *out, enum option_kind kind, int64_t value);
/* kafka_brokers -> "--kafka-brokers", "HEARTH_KAFKA_BROKERS" */
void option_flag_name(struct buf *out, const struct option_row *row);
void option_env_name(struct buf *out, const struct option_row *row);

#endif
