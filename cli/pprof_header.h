/*
 * What a pprof says beside its samples and Hearth's profiles have no place for: comments, the
 * documentation's address, the patterns of frames to drop and keep. Gathered from files, and added
 * to the file they are merged into, as google/pprof merges them: every comment once, the first
 * address, the patterns of the first file.
 */
#ifndef HEARTH_CLI_PPROF_HEADER_H
#define HEARTH_CLI_PPROF_HEADER_H

#include "base/bytes.h"

struct pprof_header {
    struct buf doc_url, drop_frames, keep_frames;
    struct buf *comments;
    size_t n_comments, cap_comments;
    bool seen; /* a first file */
};

void pprof_header_deinit(struct pprof_header *h);
/* raw: plain protobuf that pprof_read() has accepted. */
void pprof_header_read(struct pprof_header *h, struct bytes raw);
/* Appends to a whole profile that pprof_write() wrote. */
void pprof_header_write(const struct pprof_header *h, struct buf *profile);

#endif
