/*
 * A lock on a directory, for as long as the process lives, in a file `lock` that says who holds it.
 * The kernel frees it with the process, however that ends; the file stays.
 */
#ifndef HEARTH_STORE_DIR_LOCK_H
#define HEARTH_STORE_DIR_LOCK_H

#include "base/err.h"

/* Makes dir (0700, parents too) if it is absent. Returns 0, or FAILURE with f naming the holder and
 * `setting`. */
int dir_lock(const char *dir, const char *setting, int *ret_fd, struct failure *f);
/* Adds where the holder can be reached. */
void dir_lock_announce(int fd, const char *address);
void dir_unlock(int fd);

#endif
