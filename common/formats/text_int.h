/*
 * Inside the text formats: what their readers share. Names are cleaned and interned, frames
 * gathered into a stack, the limits held against what an upload has added, and rows that belong to
 * several profiles kept until each can be emitted as a whole.
 */
#ifndef HEARTH_FORMATS_TEXT_INT_H
#define HEARTH_FORMATS_TEXT_INT_H

#include "formats/text.h"

enum { TEXT_VALUES = 3 };

/* A sample of profile `group`, kept until that one is emitted. */
struct text_row {
    uint32_t group, stack;
    int64_t values[TEXT_VALUES];
};

struct text_reader {
    struct reading *rd;
    const char *format;
    struct symbols *sym;
    struct stacks *st;
    uint32_t strings_before, functions_before, nodes_before;
    uint32_t n_samples;

    uint32_t *frame; /* of the stack being read */
    size_t n_frame, frame_cap;
    struct text_row *row;
    size_t n_rows, row_cap;
    struct buf text;
};

/* One value column: its name and unit. */
struct text_type {
    struct bytes name, unit;
};

int text_malformed(struct text_reader *r, const char *what);
int text_limit(struct text_reader *r, const char *what, uint32_t max, const char *setting);

/* A name from outside: valid UTF-8, cut where too long, interned. */
uint32_t text_string(struct text_reader *r, struct bytes s);
/* The frame of a function; file may be empty, line 0. start_line: where the function begins, or 0.
 */
uint32_t text_frame(struct text_reader *r, struct bytes name, struct bytes file, int64_t start_line,
                    int64_t line);

/* Adds a frame to the stack being read. 0 or FAILURE (depth_max). */
int text_push(struct text_reader *r, uint32_t frame);
/* Interns the stack that was pushed, and begins the next. 0 or FAILURE (nodes_max and others). */
int text_stack(struct text_reader *r, bool root_first, uint32_t *ret);
/* Counts a sample. 0 or FAILURE (samples_max). */
int text_count_sample(struct text_reader *r);
/* What was interned since the upload began, against the limits. */
int text_check_tables(struct text_reader *r);

/* Declares the types of `into`; the period type is that of the last one when period is set. */
void text_set_types(struct text_reader *r, const struct text_type *types, uint32_t n,
                    struct text_type period_type, int64_t period);
/* The one type of counts without a type of their own, by the request's hints. Returns what a count
 * of 1 is worth. */
int64_t text_set_counted_type(struct text_reader *r);
/* Adds to `into`; all zeros count nothing. */
void text_add(struct text_reader *r, uint32_t stack, const int64_t *values);
/* Keeps a row for later. 0 or FAILURE (samples_max). */
int text_keep(struct text_reader *r, uint32_t group, uint32_t stack, const int64_t *values);
/* Adds the kept rows of a group to `into`, times worth. */
void text_add_kept(struct text_reader *r, uint32_t group, int64_t worth);
int text_emit(struct text_reader *r);

/* "5", "-3", "5.25", "1e+06", times worth, rounded. */
bool text_number(struct bytes s, int64_t worth, int64_t *ret);
/* x rounded, its ends those of int64_t. */
int64_t text_round(double x);
/* Takes a line off the front, without its end (LF or CRLF). False at the end. */
bool text_line(struct bytes *rest, struct bytes *ret);
struct bytes text_trim(struct bytes s);

/* The readers, one a file. raw has no byte order mark. */
int folded_read(struct text_reader *r, struct bytes raw);
int lines_read(struct text_reader *r, struct bytes raw);
int trie_read(struct text_reader *r, struct bytes raw);
int trie_read_tree(struct text_reader *r, struct bytes raw);
int perf_script_read(struct text_reader *r, struct bytes raw);
int speedscope_read(struct text_reader *r, struct bytes raw);
int cpuprofile_read(struct text_reader *r, struct bytes raw);
int heapprofile_read(struct text_reader *r, struct bytes raw);

/* Is this line one of theirs? */
bool folded_is_line(struct bytes line);
bool perf_script_is_header(struct bytes line);

#endif
