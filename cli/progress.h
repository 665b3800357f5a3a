/* Progress of long work over many files: a bar on a terminal's standard error, nothing elsewhere,
 * and nothing for work that takes less than a second. */
#ifndef HEARTH_CLI_PROGRESS_H
#define HEARTH_CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct progress {
    const char *verb;
    size_t n_all;
    int64_t begun_ms, drawn_ms; /* drawn_ms 0: not yet */
    bool on;
};

void progress_begin(struct progress *p, const char *verb, size_t n_all);
void progress_step(struct progress *p, size_t n_done);
void progress_end(struct progress *p); /* leaves the line empty */

#endif
