/* What the benchmarks of the merge core share: the files of a series, clocks, memory, medians. */
#ifndef HEARTH_BENCH_H
#define HEARTH_BENCH_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/xalloc.h"

#include <glob.h>
#include <libdeflate.h>
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

static inline void keep_less(double *best, double value)
{
    if (*best == 0 || value < *best)
        *best = value;
}

enum { INFLATE_MAX = 64 << 20 };

/* CPU seconds of inflating it into out[INFLATE_MAX]; its size is added to *raw. */
static inline double inflate_one(struct libdeflate_decompressor *d, struct bytes gz, uint8_t *out,
                                 size_t *raw)
{
    double start = cpu_s();
    size_t made;

    CHECK(libdeflate_gzip_decompress(d, gz.data, gz.len, out, INFLATE_MAX, &made) ==
          LIBDEFLATE_SUCCESS);
    *raw += made;
    return cpu_s() - start;
}

/*
 * What libdeflate takes for inflating these and nothing else, CPU seconds; *ret_raw: how many bytes
 * they are then. It is the floor of whatever reads gzip, and the unit in which figures of different
 * machines, or of one at different hours, can be compared.
 */
static inline double inflate_floor(const struct bytes *gz, size_t n, size_t *ret_raw)
{
    struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
    uint8_t *out = xmalloc(INFLATE_MAX);
    double sum = 0;

    *ret_raw = 0;
    for (size_t i = 0; i < n; i++)
        sum += inflate_one(d, gz[i], out, ret_raw);
    free(out);
    libdeflate_free_decompressor(d);
    return sum;
}

/* What the machine inflates of the jvm series that targets in seconds were set on. */
enum { TARGETS_MB_S = 741 };

/* How much longer this machine takes, now, than that one. */
static inline double slowness(double floor_s, size_t raw)
{
    return TARGETS_MB_S * 1e6 / ((double)raw / floor_s);
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
