/*
 * The holder writes its pid and name into the lock file, so that whoever is refused can say by
 * whom. log.meta is written beside its place and renamed: it is there whole or not at all.
 */
#include "log/local_dir.h"

#include "base/xalloc.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define DATA_DIR_HINT "choose another directory with --data-dir, or stop that process"

static int failed(struct failure *f, int e, const char *what, const char *path)
{
    fail(f, 500, "log_dir_unusable", "the directory is set by --data-dir", "%s %s: %s", what, path,
         strerror(-e));
    return e;
}

/* ---- the lock ---------------------------------------------------------------------------------
 */

static int held_by_another(const struct local_dir *d, struct failure *f)
{
    char holder[160] = "";
    ssize_t n = pread(d->lock_fd, holder, sizeof holder - 1, 0);

    holder[n > 0 ? n : 0] = '\0';
    holder[strcspn(holder, "\n")] = '\0';
    fail(f, 503, "log_dir_in_use", DATA_DIR_HINT, "the log directory %s is in use by %s", d->path,
         holder[0] ? holder : "another process");
    return -EAGAIN;
}

static int lock(struct local_dir *d, struct failure *f)
{
    char holder[160];
    int n;

    d->lock_fd = openat(d->fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (d->lock_fd < 0)
        return failed(f, -errno, "cannot lock", d->path);
    if (flock(d->lock_fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? held_by_another(d, f)
                                    : failed(f, -errno, "cannot lock", d->path);
    n = snprintf(holder, sizeof holder, "process %ld (%s)\n", (long)getpid(),
                 program_invocation_short_name);
    if (ftruncate(d->lock_fd, 0) < 0 || pwrite(d->lock_fd, holder, (size_t)n, 0) != n)
        return failed(f, errno ? -errno : -EIO, "cannot write the lock of", d->path);
    return 0;
}

int local_dir_open(const char *path, struct local_dir *ret, struct failure *f)
{
    struct local_dir d = {-1, -1, NULL};
    int r;

    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return failed(f, -errno, "cannot make the log directory", path);
    d.fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d.fd < 0)
        return failed(f, -errno, "cannot open the log directory", path);
    d.path = xstrdup(path);
    r = lock(&d, f);
    if (r < 0)
        local_dir_close(&d);
    else
        *ret = d;
    return r;
}

void local_dir_close(struct local_dir *d)
{
    if (d->lock_fd >= 0)
        close(d->lock_fd);
    if (d->fd >= 0)
        close(d->fd);
    free(d->path);
    *d = (struct local_dir){-1, -1, NULL};
}

/* ---- what it is -------------------------------------------------------------------------------
 */

static int write_whole(int fd, const char *text)
{
    size_t n = strlen(text);

    if (write(fd, text, n) != (ssize_t)n || fsync(fd) < 0)
        return errno ? -errno : -EIO;
    return 0;
}

static int meta_write(struct local_dir *d, uint32_t partitions)
{
    char text[64];
    int fd = openat(d->fd, "log.meta.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int r;

    if (fd < 0)
        return err_trace(-errno);
    snprintf(text, sizeof text, "hearth-log 1\npartitions %" PRIu32 "\n", partitions);
    errno = 0;
    r = write_whole(fd, text);
    close(fd);
    if (r == 0 && (renameat(d->fd, "log.meta.new", d->fd, "log.meta") < 0 || fsync(d->fd) < 0))
        r = -errno;
    return err_trace(r);
}

/* -ENOENT: a new log. */
static int meta_read(struct local_dir *d, uint32_t *ret)
{
    char text[64] = "";
    int fd = openat(d->fd, "log.meta", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n;

    if (fd < 0)
        return -errno;
    n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n < 0 || sscanf(text, "hearth-log 1\npartitions %" SCNu32, ret) != 1 || *ret == 0)
        return -EBADMSG;
    return 0;
}

int local_dir_partitions(struct local_dir *d, uint32_t wanted, uint32_t *ret, struct failure *f)
{
    uint32_t have = wanted;
    int r = meta_read(d, &have);

    if (r == -ENOENT)
        r = meta_write(d, wanted);
    if (r < 0)
        return failed(f, r, "cannot use log.meta of", d->path);
    if (have != wanted) {
        fail(f, 500, "log_partitions_differ", "set log_partitions to what the log has",
             "the log in %s has %" PRIu32 " partitions, log_partitions asks for %" PRIu32, d->path,
             have, wanted);
        return -EINVAL;
    }
    *ret = have;
    return 0;
}

int local_dir_partition(struct local_dir *d, uint32_t partition, int *ret_fd)
{
    char name[16];

    snprintf(name, sizeof name, "p%04" PRIu32, partition);
    if (mkdirat(d->fd, name, 0700) < 0 && errno != EEXIST)
        return err_trace(-errno);
    if (fsync(d->fd) < 0)
        return err_trace(-errno);
    *ret_fd = openat(d->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return *ret_fd < 0 ? err_trace(-errno) : 0;
}
