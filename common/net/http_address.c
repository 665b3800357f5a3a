/*
 * A port's holder is found the way ss(8) does it: the listening socket's inode in /proc/net/tcp*,
 * then the process that has it among its descriptors. Other users' processes cannot be looked into;
 * then the message names the address and the setting alone.
 */
#include "net/http_address.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <libgen.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

static int fail_address(struct failure *f, const char *text, const char *setting, const char *why)
{
    char hint[120];

    snprintf(hint, sizeof hint, "setting: %s", setting);
    return fail(f, 500, "bad_address", hint, "cannot listen on \"%s\": %s", text, why);
}

static int parse_unix(struct http_address *a, const char *path, const char *setting,
                      struct failure *f)
{
    if (path[0] != '/' || strlen(path) >= sizeof a->path)
        return fail_address(f, a->text, setting,
                            "a socket path begins with '/' and has at most 107 bytes");
    a->is_unix = true;
    snprintf(a->path, sizeof a->path, "%s", path);
    return 0;
}

static int parse_port(const char *text)
{
    char *end;
    unsigned long port = strtoul(text, &end, 10);

    return text[0] >= '0' && text[0] <= '9' && !*end && port <= 65535 ? (int)port : -1;
}

bool http_address_is_off(const char *text)
{
    return !text || !*text || strcmp(text, "off") == 0;
}

int http_address_parse(struct http_address *a, const char *text, const char *setting,
                       struct failure *f)
{
    const char *colon = strrchr(text, ':');
    char host[64];
    size_t n;
    int port;

    memset(a, 0, sizeof *a);
    a->text = text;
    if (strncmp(text, "unix:", 5) == 0)
        return parse_unix(a, text + 5, setting, f);
    port = colon ? parse_port(colon + 1) : -1;
    n = colon ? (size_t)(colon - text) : 0;
    if (port < 0 || n >= sizeof host)
        return fail_address(f, text, setting, "it is not ADDRESS:PORT or unix:/PATH");
    memcpy(host, text, n);
    host[n] = '\0';
    if (n > 1 && host[0] == '[' && host[n - 1] == ']') {
        host[n - 1] = '\0';
        if (uv_ip6_addr(host + 1, port, (struct sockaddr_in6 *)&a->ss) == 0)
            return 0;
    }
    if (uv_ip4_addr(n == 0                           ? "0.0.0.0"
                    : strcmp(host, "localhost") == 0 ? "127.0.0.1"
                                                     : host,
                    port, (struct sockaddr_in *)&a->ss))
        return fail_address(f, text, setting, "the host is not a numeric address");
    return 0;
}

bool http_unix_answers(const char *path)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    int fd, r;

    if (strlen(path) >= sizeof sun.sun_path)
        return false;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    snprintf(sun.sun_path, sizeof sun.sun_path, "%s", path);
    r = connect(fd, (struct sockaddr *)&sun, sizeof sun);
    /* EAGAIN: somebody listens and its backlog is full. EACCES: somebody else's. */
    r = r == 0 || (errno != ECONNREFUSED && errno != ENOENT);
    close(fd);
    return r;
}

/* libuv would call a missing directory "permission denied". */
static int check_directory(const struct http_address *a, const char *setting, struct failure *f)
{
    char path[sizeof a->path], why[sizeof a->path + 40];
    const char *dir;
    struct stat st;

    memcpy(path, a->path, sizeof path);
    dir = dirname(path);
    if (stat(dir, &st) == 0 || errno != ENOENT)
        return 0;
    snprintf(why, sizeof why, "the directory %s does not exist", dir);
    return fail_address(f, a->text, setting, why);
}

int http_address_prepare(const struct http_address *a, const char *setting, struct failure *f)
{
    struct stat st;

    if (!a->is_unix)
        return 0;
    if (lstat(a->path, &st))
        return check_directory(a, setting, f);
    if (!S_ISSOCK(st.st_mode))
        return fail_address(f, a->text, setting, "the file is there and is not a socket");
    if (http_unix_answers(a->path))
        return fail_address(f, a->text, setting, "another process answers on this socket");
    if (unlink(a->path))
        return fail_address(f, a->text, setting, strerror(errno));
    return 0;
}

static int port_of(const struct http_address *a)
{
    return a->ss.ss_family == AF_INET6 ? ntohs(((const struct sockaddr_in6 *)&a->ss)->sin6_port)
                                       : ntohs(((const struct sockaddr_in *)&a->ss)->sin_port);
}

/*
 * A line of the table: "sl local:port remote:port state queues timer retransmits uid timeout inode
 * …", addresses, ports and state in hex. 0 unless it listens on port.
 */
static unsigned long inode_of_line(const char *line, int port)
{
    char local_port[8], state[4], inode[24];

    if (sscanf(line, " %*[0-9]: %*[0-9A-F]:%7s %*[0-9A-F:] %3s %*s %*s %*s %*s %*s %23s",
               local_port, state, inode) != 3 ||
        strtoul(local_port, NULL, 16) != (unsigned long)port || strcmp(state, "0A") != 0)
        return 0;
    return strtoul(inode, NULL, 10);
}

/* The inode of the socket that listens on port; 0: none in this table. */
static unsigned long listening_inode(const char *table, int port)
{
    FILE *in = fopen(table, "re");
    unsigned long found = 0;
    char line[512];

    while (in && !found && fgets(line, sizeof line, in))
        found = inode_of_line(line, port);
    if (in)
        fclose(in);
    return found;
}

static bool has_socket(const char *pid, unsigned long inode)
{
    char dir[300], want[40], link[64];
    struct dirent *e;
    bool found = false;
    DIR *d;

    snprintf(want, sizeof want, "socket:[%lu]", inode);
    snprintf(dir, sizeof dir, "/proc/%s/fd", pid);
    d = opendir(dir);
    while (d && !found && (e = readdir(d))) {
        ssize_t n = readlinkat(dirfd(d), e->d_name, link, sizeof link - 1);

        link[n > 0 ? n : 0] = '\0';
        found = strcmp(link, want) == 0;
    }
    if (d)
        closedir(d);
    return found;
}

/* The program's name, from its command line: /proc's comm is cut at 15 bytes. */
static void read_command(const char *pid, char *out, size_t size)
{
    char path[300], line[512] = "";
    const char *name;
    FILE *in;

    snprintf(path, sizeof path, "/proc/%s/cmdline", pid);
    in = fopen(path, "re");
    if (in) {
        line[fread(line, 1, sizeof line - 1, in)] = '\0';
        fclose(in);
    }
    name = strrchr(line, '/');
    snprintf(out, size, "%.60s", name ? name + 1 : *line ? line : "a process");
}

/* "redis-server (pid 4711)"; false when nobody is found. */
static bool find_holder(const struct http_address *a, char *out, size_t size)
{
    unsigned long inode = listening_inode("/proc/net/tcp", port_of(a));
    struct dirent *e;
    bool found = false;
    char command[64];
    DIR *d;

    if (!inode)
        inode = listening_inode("/proc/net/tcp6", port_of(a));
    d = inode ? opendir("/proc") : NULL;
    while (d && !found && (e = readdir(d))) {
        if (e->d_name[0] < '0' || e->d_name[0] > '9' || !has_socket(e->d_name, inode))
            continue;
        read_command(e->d_name, command, sizeof command);
        snprintf(out, size, "%s (pid %.20s)", command, e->d_name);
        found = true;
    }
    if (d)
        closedir(d);
    return found;
}

int http_address_fail(const struct http_address *a, const char *setting, int r, struct failure *f)
{
    char holder[128], why[200];

    if (r != -EADDRINUSE)
        return fail_address(f, a->text, setting, uv_strerror(r));
    if (!a->is_unix && find_holder(a, holder, sizeof holder))
        snprintf(why, sizeof why, "the address is in use by %s", holder);
    else
        snprintf(why, sizeof why, "the address is in use by another process");
    return fail_address(f, a->text, setting, why);
}
