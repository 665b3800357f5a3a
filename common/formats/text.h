/*
 * Formats that are text, or that people's tools write: folded stacks ("main;work 5"), lines (a
 * stack a line, each counting 1), Pyroscope's binary trie and tree, perf script, speedscope's JSON,
 * V8's .cpuprofile and .heapprofile. One file each, one reader (scratch) for all; docs/formats.md.
 *
 * Counts without a type of their own (folded, lines, trie, tree, weights without unit) have that of
 * the hints. Of type cpu or wall they become nanoseconds, as Pyroscope has it: when the hints have
 * a sample rate, or when their unit says counts (empty, samples, count), then by 100 a second.
 */
#ifndef HEARTH_FORMATS_TEXT_H
#define HEARTH_FORMATS_TEXT_H

#include "formats/reader.h"

struct text_reader; /* scratch; one thread */

struct text_reader *text_reader_new(void);
void text_reader_free(struct text_reader *r);

/* What the first bytes look like: "folded", "perf", "speedscope", "cpuprofile", "heapprofile";
 * NULL: none of them. */
const char *text_format_of(struct bytes raw);
/* format: one of those, or "lines", "trie", "tree". */
int text_read(struct text_reader *r, const char *format, struct bytes raw, struct reading *rd);

#endif
