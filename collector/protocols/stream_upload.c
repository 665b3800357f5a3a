/*
 * One PROFILE's way: intake, then upload.h, then its ACK or NACK. What has the key of another
 * upload waits for that one's end, or is acknowledged at once (collector/retries.h).
 */
#include "base/xalloc.h"
#include "collector/collector_int.h"
#include "collector/protocols/hints.h"
#include "collector/protocols/stream_int.h"

#include <stdlib.h>

void stream_upload_free(struct stream_upload *u)
{
    if (!u)
        return;
    http_charge_free(u->charge);
    buf_deinit(&u->payload);
    free(u);
}

/* The upload has its answer. */
static void upload_over(struct stream_upload *u)
{
    struct session *s = u->session;

    stream_upload_free(u);
    session_upload_over(s);
}

static void refuse_upload(struct stream_upload *u, const struct failure *f)
{
    session_nack(u->session, u->profile.seq, f);
    upload_over(u);
}

/* When it counts was told with the first ACK. */
static void ack_again(struct stream_upload *u)
{
    struct frame_ack ack = {.seq = u->profile.seq, .again = true};

    session_ack(u->session, &ack);
    upload_over(u);
}

static void ack_first(struct stream_upload *u, const struct upload_result *result)
{
    struct frame_ack ack = {.seq = u->profile.seq};

    if (result->n_profiles) {
        ack.from_ns = result->start_ns;
        ack.until_ns = result->end_ns;
    }
    session_ack(u->session, &ack);
    upload_over(u);
}

static void on_done(void *ctx, const struct upload_result *result)
{
    struct stream_upload *u = ctx;
    struct collector *c = u->session->collector;
    struct hash128 key = u->key;

    if (result->failure)
        refuse_upload(u, result->failure);
    else
        ack_first(u, result);
    retries_end(c->retries, key, result->failure);
}

static void on_first_ended(struct retry_wait *w, const struct failure *f)
{
    struct stream_upload *u = container_of(w, struct stream_upload, wait);

    if (f)
        refuse_upload(u, f);
    else
        ack_again(u);
}

/* They were read before, without a failure. */
static void add_hints(struct read_hints *h, const struct frame_tag *tags, size_t n)
{
    struct failure f;

    for (size_t i = 0; i < n; i++)
        hint_read(h, tags[i].key, tags[i].value, &f);
}

/* On a codec thread: what HELLO said does not change any more. */
static int unpack(struct codec *k, struct codec_job *job)
{
    const struct stream_upload *u = job->request;
    const struct frame_hello *hello = &u->session->hello;
    struct codec_item item = {.data = job->body, .intake = &job->intake};

    add_hints(&item.hints, u->profile.tags, u->profile.n_tags);
    add_hints(&item.hints, hello->tags, hello->n_tags);
    return codec_item(k, &item);
}

int stream_add_tags(struct intake *in, const struct frame_tag *tags, size_t n, struct failure *f)
{
    struct read_hints hints = {{0}};

    for (size_t i = 0; i < n; i++) {
        int r = hint_read(&hints, tags[i].key, tags[i].value, f);

        if (r == HINT_E_OTHER)
            r = intake_tag(in, tags[i].key, tags[i].value, f);
        if (r)
            return FAILURE;
    }
    return 0;
}

/* The first to name a tag is right: the profile before the stream. */
static int begin_upload(struct session *s, struct upload *u, const struct frame_profile *p,
                        struct failure *f)
{
    struct intake *in = &u->job.intake;

    if (upload_init(u, s->collector, ROUTE_STREAM, buf_bytes(&s->tenant), f))
        return FAILURE;
    intake_agent(in, buf_bytes(&s->agent));
    in->times.from = (struct time_bound){p->from_ns > 0, p->from_ns};
    in->times.until = (struct time_bound){p->until_ns > 0, p->until_ns};
    if (stream_add_tags(in, p->tags, p->n_tags, f) ||
        stream_add_tags(in, s->hello.tags, s->hello.n_tags, f))
        return FAILURE;
    if (in->service.len == 0)
        return fail(f, 400, "no_service", "send the tag service with HELLO or PROFILE",
                    "no tag names the service");
    return 0;
}

static struct hash128 key_of(const struct session *s, uint64_t seq)
{
    struct buf text = {0};
    struct hash128 key;

    buf_append_str(&text, "stream");
    buf_append_bytes(&text, buf_bytes(&s->tenant));
    buf_append(&text, s->hello.stream_id, FRAME_ID);
    buf_append(&text, &seq, sizeof seq);
    key = hash128(buf_bytes(&text));
    buf_deinit(&text);
    return key;
}

static void send_upload(struct stream_upload *u)
{
    struct retries *retries = u->session->collector->retries;

    u->upload.job.unpack = unpack;
    u->upload.job.request = u;
    u->upload.job.body = u->profile.body;
    u->upload.done = on_done;
    u->upload.ctx = u;
    u->key = key_of(u->session, u->profile.seq);
    switch (retries_begin(retries, u->key)) {
    case RETRY_NEW:
        upload_send(&u->upload);
        break;
    case RETRY_ON_ITS_WAY:
        u->wait.ended = on_first_ended;
        retries_wait(retries, u->key, &u->wait);
        break;
    case RETRY_ACKNOWLEDGED:
        ack_again(u);
        break;
    }
}

int stream_upload_send(struct stream_upload *u)
{
    struct session *s = u->session;
    struct failure f;

    if (frame_profile_read(buf_bytes(&u->payload), &u->profile)) {
        stream_upload_free(u);
        return FAILURE;
    }
    s->n_in_flight++;
    s->refs++;
    if (begin_upload(s, &u->upload, &u->profile, &f)) {
        upload_count_refused(ROUTE_STREAM, "", &f);
        refuse_upload(u, &f);
        return 0;
    }
    send_upload(u);
    return 0;
}
