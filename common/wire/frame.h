/*
 * Frames of the native stream (docs/protocol.md has the states): a length of four bytes,
 * big-endian, of what follows it; a type of one byte; the payload. Numbers are big-endian, a string
 * is a length of two bytes and its bytes.
 *
 * Pure. Reading gives views into the payload and checks every length; what text may hold is the
 * receiver's concern. Bytes that are left over at the end of a payload are malformed.
 */
#ifndef HEARTH_WIRE_FRAME_H
#define HEARTH_WIRE_FRAME_H

#include "base/bytes.h"
#include "base/err.h"

#define FRAME_PROTOCOL "hearth-stream/1"
#define FRAME_PATH     "/api/v1/stream"

enum {
    FRAME_HEAD = 5,               /* length and type */
    FRAME_PROFILE_HEAD = 26,      /* seq, from, until, number of tags */
    FRAME_CONTROL_MAX = 64 << 10, /* payload of all others */
    FRAME_TAGS_MAX = 128,
    FRAME_ID = 16,
};

enum frame_type {
    /* from the client */
    FRAME_HELLO = 1,
    FRAME_PROFILE = 2,
    FRAME_PING = 3,
    FRAME_BYE = 4, /* from either */
    /* from the server */
    FRAME_WELCOME = 16,
    FRAME_ACK = 17,
    FRAME_NACK = 18,
    FRAME_PONG = 19,
    FRAME_ERROR = 20,
};

struct frame_tag {
    struct bytes key, value;
};

struct frame_hello {
    uint8_t stream_id[FRAME_ID];
    struct frame_tag tags[FRAME_TAGS_MAX];
    size_t n_tags;
};

struct frame_profile {
    uint64_t seq;
    int64_t from_ns, until_ns; /* 0: not said */
    struct frame_tag tags[FRAME_TAGS_MAX];
    size_t n_tags;
    struct bytes body;
};

struct frame_welcome {
    uint32_t body_max, in_flight_max, idle_ms;
};

struct frame_ack {
    uint64_t seq;
    bool again;                /* it had been acknowledged before */
    int64_t from_ns, until_ns; /* when it counts; 0: not known (again), or there was no profile */
};

struct frame_nack {
    uint64_t seq; /* NACK only */
    uint16_t status;
    uint32_t retry_ms; /* 0: it will be the same the next time */
    struct bytes code, message, hint;
};

/* The head of a frame: FRAME_HEAD bytes. The payload's length, or -EPROTO for a length of 0. */
int frame_head_read(const uint8_t head[FRAME_HEAD], enum frame_type *ret_type,
                    uint32_t *ret_payload);

/* Payloads. 0 or -EPROTO. */
int frame_hello_read(struct bytes payload, struct frame_hello *ret);
int frame_profile_read(struct bytes payload, struct frame_profile *ret);
int frame_welcome_read(struct bytes payload, struct frame_welcome *ret);
int frame_ack_read(struct bytes payload, struct frame_ack *ret);
int frame_nack_read(enum frame_type type, struct bytes payload, struct frame_nack *ret);
/* The sequence number that a PROFILE begins with; payload has 8 bytes or more. */
uint64_t frame_seq(const uint8_t *payload);

/* Whole frames, appended. Strings are cut at 65535 bytes, tags at FRAME_TAGS_MAX. */
void frame_hello_write(struct buf *out, const struct frame_hello *f);
/* Without the body, which the caller sends after it. */
void frame_profile_write(struct buf *out, const struct frame_profile *f);
void frame_welcome_write(struct buf *out, const struct frame_welcome *f);
void frame_ack_write(struct buf *out, const struct frame_ack *f);
void frame_nack_write(struct buf *out, enum frame_type type, const struct frame_nack *f);
/* PING, PONG, BYE. */
void frame_plain_write(struct buf *out, enum frame_type type, struct bytes payload);

#endif
