/*
 * flock, not fcntl: a lock of fcntl is lost when any descriptor of the file is closed, and does not
 * keep two parts of one process apart.
 */
#include "store/dir_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int make_dirs(const char *dir)
{
    char path[PATH_MAX];

    if ((size_t)snprintf(path, sizeof path, "%s", dir) >= sizeof path)
        return -ENAMETOOLONG;
    for (char *slash = path + 1; *slash; slash++) {
        if (*slash != '/')
            continue;
        *slash = '\0';
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
            return -errno;
        *slash = '/';
    }
    return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static void read_holder(int fd, char *out, size_t size)
{
    ssize_t n = pread(fd, out, size - 1, 0);

    out[n > 0 ? n : 0] = '\0';
    out[strcspn(out, "\n")] = '\0';
    for (char *c = out; *c; c++)
        *c = *c < ' ' || *c == '\x7f' ? '?' : *c;
    if (!*out)
        snprintf(out, size, "another process");
}

static void write_holder(int fd, const char *address)
{
    char text[256];
    int n = snprintf(text, sizeof text, address ? "pid %ld, admin address %s\n" : "pid %ld\n",
                     (long)getpid(), address);

    /* For people only: a lock whose holder cannot be read is a lock all the same. */
    if (n <= 0 || (size_t)n >= sizeof text || pwrite(fd, text, (size_t)n, 0) != n ||
        ftruncate(fd, n) < 0)
        return;
}

static int open_lock(const char *dir, int *ret_fd)
{
    char path[PATH_MAX];
    int fd, r = make_dirs(dir);

    if (r < 0)
        return r;
    if ((size_t)snprintf(path, sizeof path, "%s/lock", dir) >= sizeof path)
        return -ENAMETOOLONG;
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return 0;
}

int dir_lock(const char *dir, const char *setting, int *ret_fd, struct failure *f)
{
    char hint[160], holder[128];
    int fd, r = open_lock(dir, &fd);

    snprintf(hint, sizeof hint, "set %s to a directory that this user may write to", setting);
    if (r < 0)
        return fail(f, 500, "data_dir_unusable", hint, "cannot use %.128s: %s", dir, strerror(-r));
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
        write_holder(fd, NULL);
        *ret_fd = fd;
        return 0;
    }
    read_holder(fd, holder, sizeof holder);
    close(fd);
    snprintf(hint, sizeof hint, "set %s to another directory, or stop that process", setting);
    return fail(f, 503, "data_dir_in_use", hint, "%.128s is in use by %s", dir, holder);
}

void dir_lock_announce(int fd, const char *address)
{
    write_holder(fd, address);
}

void dir_unlock(int fd)
{
    close(fd);
}
