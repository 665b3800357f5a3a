/* A blocking client of the framed stream for tests: sends what it is told, reads frame by frame. */
#ifndef HEARTH_TESTS_STREAM_CLIENT_H
#define HEARTH_TESTS_STREAM_CLIENT_H

#include "lib/http_client.h"
#include "wire/frame.h"

struct got {
    int type; /* 0: the connection has ended */
    struct buf payload;
};

static inline int stream_upgrade(int port, const char *headers)
{
    struct buf request = {0}, head = {0};
    int fd = http_connect(port);
    bool ok;

    buf_printf(&request,
               "GET " FRAME_PATH " HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\n"
               "Upgrade: " FRAME_PROTOCOL "\r\nUser-Agent: test/1\r\n%s\r\n",
               headers);
    http_send(fd, buf_bytes(&request), 0);
    ok = http_read_head(fd, &head) && strstr(buf_cstr(&head), "HTTP/1.1 101 ");
    buf_deinit(&request);
    buf_deinit(&head);
    CHECK(ok);
    return fd;
}

static inline struct got stream_read(int fd)
{
    struct got got = {0};
    uint8_t head[FRAME_HEAD];
    enum frame_type type;
    uint32_t n;

    if (recv(fd, head, sizeof head, MSG_WAITALL) != sizeof head)
        return got;
    CHECK(frame_head_read(head, &type, &n) == 0);
    buf_reserve(&got.payload, n + 1);
    if (n && recv(fd, got.payload.data, n, MSG_WAITALL) != (ssize_t)n)
        return got;
    got.payload.len = n;
    got.type = type;
    return got;
}

/* tags: "key=value,key=value" */
static inline size_t stream_tags(const char *text, struct frame_tag tags[FRAME_TAGS_MAX])
{
    size_t n = 0;

    while (text && *text) {
        size_t len = strcspn(text, ","), key = strcspn(text, "=");

        tags[n++] =
            (struct frame_tag){bytes_of(text, key), bytes_of(text + key + 1, len - key - 1)};
        text += len + (text[len] == ',');
    }
    return n;
}

static inline void put_hello(struct buf *out, uint8_t id, const char *tags)
{
    struct frame_hello hello;

    memset(hello.stream_id, id, FRAME_ID);
    hello.n_tags = stream_tags(tags, hello.tags);
    frame_hello_write(out, &hello);
}

static inline void put_profile(struct buf *out, uint64_t seq, const char *tags, struct bytes body)
{
    struct frame_profile p = {.seq = seq, .body = body};

    p.n_tags = stream_tags(tags, p.tags);
    frame_profile_write(out, &p);
    buf_append_bytes(out, body);
}

static inline void stream_send(int fd, struct buf *out, size_t step)
{
    http_send(fd, buf_bytes(out), step);
    buf_deinit(out);
}

/* Upgraded and welcomed. */
static inline int stream_open(int port, uint8_t id, const char *tags)
{
    int fd = stream_upgrade(port, "");
    struct buf out = {0};
    struct got got;

    put_hello(&out, id, tags);
    stream_send(fd, &out, 0);
    got = stream_read(fd);
    CHECK(got.type == FRAME_WELCOME);
    buf_deinit(&got.payload);
    return fd;
}

#endif
