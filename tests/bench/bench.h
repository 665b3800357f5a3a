/* What the benchmarks of the merge core share: the files of a series, clocks, memory, medians. */
#ifndef HEARTH_BENCH_H
#define HEARTH_BENCH_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/xalloc.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct series_files {
    size_t n, bytes;
    char **path;
    struct bytes *at; /* NULL until load_series */
};

static inline double clock_s(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* CPU time of this thread. */
static inline double cpu_s(void)
{
    return clock_s(CLOCK_THREAD_CPUTIME_ID);
}

static inline void read_file(const char *path, struct buf *out)
{
    FILE *in = fopen(path, "re");
    size_t n;

    if (!in) {
        fprintf(stderr, "cannot read %s\n", path);
        exit(1);
    }
    buf_reset(out);
    do {
        buf_reserve(out, 1 << 16);
        n = fread(out->data + out->len, 1, out->cap - out->len, in);
        out->len += n;
    } while (n > 0);
    fclose(in);
}

static inline struct series_files find_series(const char *dir)
{
    char *pattern = xasprintf("%s/*.pb.gz", dir);
    struct series_files s = {0};
    glob_t found;

    if (glob(pattern, 0, NULL, &found) != 0) {
        fprintf(stderr, "no *.pb.gz in %s: `./dev bench` makes them\n", dir);
        exit(1);
    }
    s.n = found.gl_pathc;
    s.path = found.gl_pathv;
    free(pattern);
    return s;
}

static inline void load_series(struct series_files *s)
{
    s->at = xcalloc(s->n, sizeof *s->at);
    for (size_t i = 0; i < s->n; i++) {
        struct buf file = {0};

        read_file(s->path[i], &file);
        s->at[i] = buf_bytes(&file);
        s->bytes += file.len;
    }
}

static inline int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static inline double median(double *v, size_t n)
{
    qsort(v, n, sizeof *v, by_size);
    return v[n / 2];
}

/* Prints "  name   figure unit", and the target where there is one. */
static inline void print_ratio(const char *name, double value, const char *target)
{
    printf("  %-44s %8.2f x   %s\n", name, value, target);
}

#endif
