#include "cli/progress.h"

#include "base/clock.h"

#include <stdio.h>
#include <unistd.h>

enum { PATIENCE_MS = 1000, REDRAW_MS = 100, CELLS = 30 };

void progress_begin(struct progress *p, const char *verb, size_t n_all)
{
    *p = (struct progress){.verb = verb,
                           .n_all = n_all,
                           .begun_ms = clock_mono_ms(),
                           .on = n_all > 1 && isatty(STDERR_FILENO)};
}

void progress_step(struct progress *p, size_t n_done)
{
    static const char full[] = "##############################";
    static const char rest[] = "..............................";
    int64_t now = p->on ? clock_mono_ms() : 0;
    int cells = p->n_all ? (int)(n_done * CELLS / p->n_all) : 0;

    if (!p->on || now - p->begun_ms < PATIENCE_MS || now - p->drawn_ms < REDRAW_MS)
        return;
    p->drawn_ms = now;
    fprintf(stderr, "\rhearth %s [%.*s%.*s] %zu of %zu files", p->verb, cells, full, CELLS - cells,
            rest, n_done, p->n_all);
    fflush(stderr);
}

void progress_end(struct progress *p)
{
    if (p->on && p->drawn_ms)
        fprintf(stderr, "\r\033[K");
}
