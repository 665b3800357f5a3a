/*
 * Recorded profiles, for tests that run over all of them: the project's own in tests/data, and
 * those of ../shared/data where it exists. Bodies of recorded requests are taken apart as far as
 * needed: chunks, multipart parts, compression.
 */
#ifndef TESTS_LIB_RECORDINGS_H
#define TESTS_LIB_RECORDINGS_H

#include "base/bytes.h"
#include "base/err.h"
#include "formats/inflate.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

typedef void recording_cb(void *ctx, const char *name, struct bytes plain);

static inline struct buf recording_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    struct buf b = {0};
    size_t n;

    CHECK(f != NULL);
    do {
        buf_reserve(&b, 65536);
        n = fread(b.data + b.len, 1, 65536, f);
        b.len += n;
    } while (n > 0);
    fclose(f);
    return b;
}

static inline struct bytes recording_from(struct bytes s, size_t at)
{
    return bytes_of(s.data + at, s.len - at);
}

/* Where needle begins in s, or s.len. */
static inline size_t recording_find(struct bytes s, const char *needle)
{
    const uint8_t *p = memmem(s.data, s.len, needle, strlen(needle));

    return p ? (size_t)(p - s.data) : s.len;
}

/* Only what can be a pprof, plain bytes whose first tag is one of its fields, or a JFR recording. */
static inline void recording_body(struct bytes body, const char *name, recording_cb *cb, void *ctx)
{
    struct inflater *inf = inflater_new();
    struct buf out = {0};
    struct failure f;
    struct bytes plain;

    if (inflate(inf, body, 64 << 20, &out, &plain, &f) == 0 && plain.len > 16 &&
        memchr("\x0a\x12\x48\x5a\x1a" "F", plain.data[0], 6))
        cb(ctx, name, plain);
    buf_deinit(&out);
    inflater_free(inf);
}

static inline struct buf recording_unchunk(struct bytes s)
{
    struct buf out = {0};

    for (;;) {
        size_t n = strtoul((const char *)s.data, NULL, 16), line = recording_find(s, "\r\n") + 2;

        if (n == 0 || line + n + 2 > s.len)
            return out;
        buf_append(&out, s.data + line, n);
        s = recording_from(s, line + n + 2);
    }
}

static inline void recording_multipart(struct bytes body, const char *name, recording_cb *cb,
                                       void *ctx)
{
    char boundary[256] = "\r\n";
    size_t len = recording_find(body, "\r\n");

    CHECK(len < 250);
    memcpy(boundary + 2, body.data, len);
    boundary[len + 2] = '\0';
    while (body.len > len + 4) {
        struct bytes part = recording_from(body, len);
        size_t head = recording_find(part, "\r\n\r\n") + 4, end;

        if (head > part.len)
            return;
        part = recording_from(part, head);
        end = recording_find(part, boundary);
        recording_body(bytes_of(part.data, end), name, cb, ctx);
        body = recording_from(part, end < part.len ? end + 2 : end);
    }
}

static inline void recording_http(struct bytes s, const char *name, recording_cb *cb, void *ctx)
{
    size_t head = recording_find(s, "\r\n\r\n");
    bool chunked = memmem(s.data, head, "hunked", 6) != NULL;
    bool multipart = memmem(s.data, head, "boundary=", 9) != NULL;
    struct bytes body = recording_from(s, head + 4);
    struct buf plain = {0};

    if (chunked) {
        plain = recording_unchunk(body);
        body = buf_bytes(&plain);
    }
    if (multipart)
        recording_multipart(body, name, cb, ctx);
    else if (body.len > 0)
        recording_body(body, name, cb, ctx);
    buf_deinit(&plain);
}

static inline void recordings_glob(const char *pattern, recording_cb *cb, void *ctx)
{
    glob_t g = {0};

    glob(pattern, 0, NULL, &g);
    for (size_t i = 0; i < g.gl_pathc; i++) {
        struct buf b = recording_file(g.gl_pathv[i]);

        if (strstr(g.gl_pathv[i], ".http"))
            recording_http(buf_bytes(&b), g.gl_pathv[i], cb, ctx);
        else
            recording_body(buf_bytes(&b), g.gl_pathv[i], cb, ctx);
        buf_deinit(&b);
    }
    globfree(&g);
}

/* Calls cb for every recorded profile, inflated. */
static inline void recordings_each(recording_cb *cb, void *ctx)
{
    struct stat st;

    recordings_glob(TEST_DATA "/pprof/*.gz", cb, ctx);
    if (stat(SHARED_DATA, &st) != 0) {
        CHECK(!getenv("HEARTH_REQUIRE_DATA"));
        printf("SKIPPED: the recordings of %s are absent\n", SHARED_DATA);
        return;
    }
    recordings_glob(SHARED_DATA "/go/*.gz", cb, ctx);
    recordings_glob(SHARED_DATA "/go/heap-series/*.gz", cb, ctx);
    recordings_glob(SHARED_DATA "/agents/dd-trace-*/request*.http", cb, ctx);
    recordings_glob(SHARED_DATA "/agents/pyroscope-[gn]*/request*.http", cb, ctx);
    recordings_glob(SHARED_DATA "/agents/go-pprof-*/response*.http", cb, ctx);
}

#endif
