/* The framed stream, inside: what stream.c (the connection and its frames) and stream_upload.c (a
 * profile's way to the log, and its answer) share. Nobody else includes this. */
#ifndef HEARTH_COLLECTOR_PROTOCOLS_STREAM_INT_H
#define HEARTH_COLLECTOR_PROTOCOLS_STREAM_INT_H

#include "collector/retries.h"
#include "collector/upload.h"
#include "net/http_stream.h"
#include "wire/frame.h"

enum session_state {
    SESSION_HELLO, /* waits for it */
    SESSION_OPEN,
    SESSION_BYE, /* reads no more; waits for its uploads */
    SESSION_OVER,
};

struct session {
    struct collector *collector;
    struct http_stream *io; /* NULL: gone */
    enum session_state state;
    unsigned refs; /* the connection, each upload, and who is at work on it */
    unsigned n_in_flight;
    struct buf tenant, agent;
    struct buf hello_payload;
    struct frame_hello hello; /* views into hello_payload */

    /* The frame that is being read. */
    uint8_t head[FRAME_HEAD];
    size_t n_head;
    enum frame_type type;
    uint32_t payload, left;
    struct buf control;            /* its payload, or the beginning of a PROFILE's */
    struct stream_upload *filling; /* the rest of it */
    bool skipping;                 /* the rest of a PROFILE that was refused */

    uint32_t idle_ms;
    bool feeding, paused;
    struct buf held; /* had arrived when it was paused */
};

struct stream_upload {
    struct upload upload;
    struct session *session;
    struct http_charge *charge;
    struct buf payload;
    struct frame_profile profile; /* views into payload */
    struct hash128 key;
    int64_t begun_ms;
    struct retry_wait wait;
};

/* stream.c */
void session_nack(struct session *s, uint64_t seq, const struct failure *f);
void session_ack(struct session *s, const struct frame_ack *ack);
/* One of its uploads has its answer, and is no more. */
void session_upload_over(struct session *s);

/* stream_upload.c */
/* payload is whole: takes u, whatever comes of it, and counts among those in flight. FAILURE: it is
 * no PROFILE, and u is freed; nothing was counted. */
int stream_upload_send(struct stream_upload *u);
void stream_upload_free(struct stream_upload *u); /* NULL is fine */
int stream_add_tags(struct intake *in, const struct frame_tag *tags, size_t n, struct failure *f);

#endif
