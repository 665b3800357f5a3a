/* Files of the command line: read whole, written whole; profiles decoded into an answer. */
#ifndef HEARTH_CLI_FILES_H
#define HEARTH_CLI_FILES_H

#include "base/err.h"
#include "profile/profile.h"
#include "query/answer.h"

/* "-" is standard input or output. */
int file_read(const char *path, struct buf *out, struct failure *f);
int file_write(const char *path, struct bytes data, struct failure *f);

/* A profile with tables of its own. */
struct loaded {
    struct symbols *symbols;
    struct stacks *stacks;
    struct profile profile;
};
void loaded_init(struct loaded *l);
void loaded_deinit(struct loaded *l);
/* Adds an encoded profile; name is for messages. Several must have the same types. */
int loaded_add(struct loaded *l, struct bytes body, const char *name, struct failure *f);

/*
 * Adds one type of the profile to a side of the answer. type: a sample type ("cpu"), a full name,
 * or NULL: the profile's default, else its last (the convention of pprof).
 */
int loaded_into_answer(const struct loaded *l, const char *type, struct answer *a,
                       struct answer_parts *parts, uint8_t side, struct failure *f);

#endif
