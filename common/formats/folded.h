/* Folded stacks ("main;work 5" a line) of a tree. ';' and control bytes in names become '_'. A
 * difference has two counts a line: a, then b, as difffolded.pl has it. */
#ifndef HEARTH_FORMATS_FOLDED_H
#define HEARTH_FORMATS_FOLDED_H

#include "profile/tree.h"

void folded_write(const struct tree *t, const struct symbols *sym, struct buf *out);

#endif
