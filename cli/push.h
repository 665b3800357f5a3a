/* hearth push, inside: what push.c (options, one POST for each file) and push_stream.c (all files
 * over one connection) share. */
#ifndef HEARTH_CLI_PUSH_H
#define HEARTH_CLI_PUSH_H

#include "base/bytes.h"
#include "base/err.h"

enum { PUSH_TAGS_MAX = 64, PUSH_TRIES_MAX = 8 };

struct push {
    const char *server, *tenant, *service, *from, *until; /* NULL: not said */
    const char *format, *sample_type, *unit, *sample_rate;
    const char *tags[PUSH_TAGS_MAX]; /* "key=value" */
    size_t n_tags;
    bool quiet, stream;
};

/* "a.pb.gz: taken: " and what was told of it, which may be nothing; unless quiet. */
void push_taken(const struct push *p, const char *path, struct buf *told);
/* In words, appended: what the answer to a POST says of the upload (push_told.c). *ret_until_ns:
 * its end, 0: it does not say. */
void push_told(struct buf *out, struct bytes answer, int64_t *ret_until_ns);
/* "from 2026-11-24 10:00:00 to 2026-11-24 10:00:30 UTC" */
void push_told_range(struct buf *out, int64_t from_ns, int64_t until_ns);
/* The collector takes what the aggregator may find too old: its default for late_max is a day.
 * end_ns: of the profile's time, 0: not known. */
void push_warn_if_old(const char *path, int64_t end_ns);
/* Complains of the file; returns 1. */
int push_refused(const char *path, const struct failure *f);

/* Sends the files over one framed stream (docs/protocol.md). The exit status. */
int push_stream(const struct push *p, char *const *paths, size_t n);

#endif
