/*
 * A blocking HTTP client for tests, with nothing between the test and the bytes: sends what it is
 * told, in pieces of a given size, and reads one answer by its Content-Length.
 */
#ifndef HEARTH_TESTS_HTTP_CLIENT_H
#define HEARTH_TESTS_HTTP_CLIENT_H

#include "base/bytes.h"
#include "base/err.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { HTTP_CLIENT_TIMEOUT_S = 20 };

static inline int http_connect_unix(const char *path)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(sun.sun_path, sizeof sun.sun_path, "%s", path);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&sun, sizeof sun)) {
        close(fd);
        return -1;
    }
    return fd;
}

static inline int http_connect(int port)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct timeval timeout = {.tv_sec = HTTP_CLIENT_TIMEOUT_S};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&sin, sizeof sin)) {
        close(fd);
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

/* step 0: all at once. False when the peer stops reading. */
static inline bool http_send(int fd, struct bytes s, size_t step)
{
    while (s.len) {
        ssize_t n = send(fd, s.data, step && step < s.len ? step : s.len, MSG_NOSIGNAL);

        if (n <= 0)
            return false;
        s.data += n;
        s.len -= (size_t)n;
    }
    return true;
}

/* One answer. status 0: the connection ended (or stood still) before a whole one had come. */
struct http_answer {
    int status;
    bool closing; /* it said Connection: close */
    struct buf head, body;
};

static inline void http_answer_deinit(struct http_answer *a)
{
    buf_deinit(&a->head);
    buf_deinit(&a->body);
}

/* The value of a header, or NULL; valid until the next call of this thread. */
static inline const char *http_answer_header(struct http_answer *a, const char *name)
{
    static _Thread_local char value[512];
    const char *line = strchr(buf_cstr(&a->head), '\n');
    size_t n = strlen(name);

    for (; line; line = strchr(line + 1, '\n'))
        if (strncasecmp(line + 1, name, n) == 0 && line[1 + n] == ':') {
            snprintf(value, sizeof value, "%.*s", (int)strcspn(line + n + 3, "\r"), line + n + 3);
            return value;
        }
    return NULL;
}

static inline bool http_read_head(int fd, struct buf *head)
{
    char c;

    while (head->len < 4 || memcmp(head->data + head->len - 4, "\r\n\r\n", 4) != 0) {
        if (recv(fd, &c, 1, 0) != 1)
            return false;
        buf_append_u8(head, (uint8_t)c);
    }
    return true;
}

/* no_body: the answer to HEAD. */
static inline struct http_answer http_read_answer(int fd, bool no_body)
{
    struct http_answer a = {0};
    const char *length, *connection;
    size_t want;

    if (!http_read_head(fd, &a.head) || sscanf(buf_cstr(&a.head), "HTTP/1.1 %d", &a.status) != 1) {
        a.status = 0;
        return a;
    }
    connection = http_answer_header(&a, "Connection");
    a.closing = connection && strcasecmp(connection, "close") == 0;
    length = http_answer_header(&a, "Content-Length");
    want = length && !no_body ? strtoul(length, NULL, 10) : 0;
    buf_reserve(&a.body, want + 1);
    while (a.body.len < want) {
        ssize_t n = recv(fd, a.body.data + a.body.len, want - a.body.len, 0);

        if (n <= 0) {
            a.status = 0;
            break;
        }
        a.body.len += (size_t)n;
    }
    return a;
}

/* True when the peer closes and nothing more comes. */
static inline bool http_is_closed(int fd)
{
    char c;

    return recv(fd, &c, 1, 0) == 0;
}

/* Connect, send in pieces of step bytes, read one answer, close. */
static inline struct http_answer http_talk(int port, struct bytes request, size_t step)
{
    int fd = http_connect(port);
    struct http_answer a = {0};

    if (fd < 0)
        return a;
    http_send(fd, request, step);
    a = http_read_answer(fd, bytes_starts(request, BYTES_LIT("HEAD ")));
    close(fd);
    return a;
}

#endif
