/*
 * The directory of a local log: who holds it, and what it is. One process at a time, by flock(2),
 * which the kernel gives back however the process ends.
 */
#ifndef HEARTH_LOG_LOCAL_DIR_H
#define HEARTH_LOG_LOCAL_DIR_H

#include "base/err.h"

#include <stdint.h>

struct local_dir {
    int fd, lock_fd;
    char *path;
};

/* Makes the directory if need be and takes its lock. -EAGAIN with f when another process has it. */
int local_dir_open(const char *path, struct local_dir *ret, struct failure *f);
void local_dir_close(struct local_dir *d);
/* The number of partitions that the log was made with; writes `wanted` into a new one. */
int local_dir_partitions(struct local_dir *d, uint32_t wanted, uint32_t *ret, struct failure *f);
/* The open directory of one partition, made if need be. */
int local_dir_partition(struct local_dir *d, uint32_t partition, int *ret_fd);

#endif
