/*
 * A real redis-server for a test: on a unix socket in a folder of its own, killed with the test
 * whatever happens to it.
 */
#ifndef HEARTH_TESTS_REDIS_H
#define HEARTH_TESTS_REDIS_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { REDIS_START_MS = 10000, TEST_SKIPPED = 77 };

struct redis_server {
    pid_t pid;
    char dir[64];
    char socket[96];
    char url[112];
};

/* Ends the program with 77 ("skipped"), loudly, if redis-server is absent and may be. */
static inline void redis_require(void)
{
    if (system("command -v redis-server >/dev/null 2>&1") == 0)
        return;
    fprintf(stderr, "SKIPPED: redis-server is not installed; these tests need the real one\n");
    exit(getenv("HEARTH_REQUIRE_SERVICES") ? 1 : TEST_SKIPPED);
}

/* A connected unix socket, or -1. */
static inline int redis_dial(const char *path)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(sun.sun_path, sizeof sun.sun_path, "%s", path);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&sun, sizeof sun) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Sends inline commands (one line) and returns the first bytes of the answer. */
static inline bool redis_say(const char *path, const char *line, char *answer, size_t size)
{
    int fd = redis_dial(path);
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    ssize_t n = -1;

    if (fd < 0)
        return false;
    if (dprintf(fd, "%s\r\n", line) > 0 && poll(&ready, 1, 2000) == 1)
        n = read(fd, answer, size - 1);
    close(fd);
    answer[n > 0 ? n : 0] = '\0';
    return n > 0;
}

static inline bool redis_answers(const struct redis_server *s)
{
    char answer[64];

    return redis_say(s->socket, "PING", answer, sizeof answer) && strchr("+-", answer[0]);
}

static inline void redis_exec(const struct redis_server *s, const char *const *extra)
{
    const char *argv[32] = {"redis-server", "--port",     "0",      "--unixsocket", s->socket,
                            "--save",       "",           "--dir",  s->dir,         "--daemonize",
                            "no",           "--loglevel", "warning"};
    int n = 13, null = open("/dev/null", O_RDWR);

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (; extra && *extra && n < 31; extra++)
        argv[n++] = *extra;
    dup2(null, 1);
    execvp(argv[0], (char *const *)argv);
    _exit(127);
}

/* Starts it in s->dir (again, if it was there before) and waits until it answers. extra:
 * NULL-ended. */
static inline bool redis_start(struct redis_server *s, const char *const *extra)
{
    if (!s->dir[0]) {
        snprintf(s->dir, sizeof s->dir, "/tmp/hearth-redis-XXXXXX");
        if (!mkdtemp(s->dir))
            return false;
        snprintf(s->socket, sizeof s->socket, "%s/s", s->dir);
        snprintf(s->url, sizeof s->url, "unix://%s", s->socket);
    }
    s->pid = fork();
    if (s->pid == 0)
        redis_exec(s, extra);
    for (int ms = 0; s->pid > 0 && ms < REDIS_START_MS; ms += 5) {
        if (redis_answers(s))
            return true;
        if (waitpid(s->pid, NULL, WNOHANG) == s->pid)
            break;
        usleep(5000);
    }
    return false;
}

static inline void redis_kill(struct redis_server *s)
{
    if (s->pid <= 0)
        return;
    kill(s->pid, SIGKILL);
    waitpid(s->pid, NULL, 0);
    s->pid = 0;
}

static inline int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static inline void remove_dir(const char *dir)
{
    nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void redis_stop(struct redis_server *s)
{
    redis_kill(s);
    if (s->dir[0])
        remove_dir(s->dir);
    s->dir[0] = '\0';
}

#endif
