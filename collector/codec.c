/*
 * A queue under a mutex towards the threads, a mailbox back to the loop.
 *
 * A thread's tables are reset after each upload and keep their memory, which is what makes the next
 * one cheap: pages that are there already cost nothing. After an upload that was large, or that
 * failed (a bomb looks small from outside), all of it is freed and made anew, and the allocator
 * gives the pages back: one bad profile must not set the process's size for good.
 */
#include "collector/codec.h"

#include "base/xalloc.h"
#include "collector/form.h"
#include "profile/types.h"

#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>

enum {
    ZSTD_LEVEL = 1,
    STACK_BYTES = 1 << 20,
    KEEP_BYTES_MAX = 2 << 20, /* of tables; above, the thread begins anew */
    KEEP_SAMPLES_MAX = 50000,
};

struct codec {
    struct codecs *all;
    pthread_t thread;
    unsigned trims_due;
    struct decoder *decoder;
    struct record_encoder *encoder;
    struct symbols *symbols;
    struct stacks *stacks;
    struct profile profile;
    struct form form;
    struct profile_type type_names[PROFILE_TYPES_MAX];
    struct bytes types[PROFILE_TYPES_MAX];
};

struct codecs {
    struct decode_limits limits;
    codec_done_cb *done;
    void *ctx;
    struct mailbox *mailbox;
    unsigned n;
    struct codec *codecs;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct list queue; /* these two under the lock */
    bool stop;
};

static void tools_init(struct codec *k)
{
    k->decoder = decoder_new(&k->all->limits);
    k->encoder = record_encoder_new(ZSTD_LEVEL);
    k->symbols = symbols_new();
    k->stacks = stacks_new();
    profile_init(&k->profile, k->symbols, k->stacks);
}

static void tools_deinit(struct codec *k)
{
    profile_deinit(&k->profile);
    stacks_free(k->stacks);
    symbols_free(k->symbols);
    record_encoder_free(k->encoder);
    decoder_free(k->decoder);
}

static bool was_large(const struct codec *k, const struct codec_job *job)
{
    return job->failure.code[0] || job->stats.samples > KEEP_SAMPLES_MAX ||
           job->body.len > KEEP_BYTES_MAX ||
           symbols_bytes(k->symbols) + stacks_bytes(k->stacks) > KEEP_BYTES_MAX;
}

static void tidy(struct codec *k, const struct codec_job *job)
{
    if (was_large(k, job)) {
        tools_deinit(k);
        tools_init(k);
        k->trims_due = 2;
    } else {
        profile_reset(&k->profile);
        stacks_reset(k->stacks);
        symbols_reset(k->symbols);
    }
    /* Once now, and once when the loop has freed its part, the body and the records. */
    if (k->trims_due) {
        malloc_trim(0);
        k->trims_due--;
    }
}

/* Called with each part of the record; the bytes are the encoder's. */
static int on_part(void *ctx, uint32_t part, uint32_t parts, struct bytes value)
{
    struct codec_job *job = ctx;
    struct buf copy = {0};

    (void)part;
    XGROW(job->records, job->cap_records, (size_t)parts);
    buf_reserve(&copy, value.len);
    buf_append_bytes(&copy, value);
    job->records[job->n_records++] = copy;
    return 0;
}

static void name_types(struct codec *k, struct codec_job *job)
{
    const struct profile *p = &k->profile;

    for (uint32_t i = 0; i < p->n_types; i++) {
        struct bytes name = symbols_text(k->symbols, p->types[i].name);

        profile_type_of(&k->type_names[i], name, symbols_text(k->symbols, p->types[i].unit),
                        symbols_text(k->symbols, p->period_type.name),
                        symbols_text(k->symbols, p->period_type.unit),
                        form_hint_of(&k->form, name));
        k->types[i] = bytes_str(k->type_names[i].name);
        buf_append(&job->types, k->types[i].data, k->types[i].len + 1);
    }
}

static int encode(struct codec *k, struct codec_job *job, const char *format)
{
    const struct intake *in = job->intake;
    struct record_header h = {
        .tenant = job->tenant,
        .service = in->service,
        .series = in->series,
        .instance = in->instance,
        .format = bytes_str(format),
        .agent = in->agent,
    };

    if (interval_of(&in->times, k->profile.time_ns, k->profile.duration_ns, &job->start_ns,
                    &job->end_ns, &job->failure))
        return FAILURE;
    h.start_ns = job->start_ns;
    h.end_ns = job->end_ns;
    name_types(k, job);
    return record_encode(k->encoder, &k->profile, k->types, &h, on_part, job, &job->failure);
}

static void run_job(struct codec *k, struct codec_job *job)
{
    uint64_t t0 = uv_hrtime(), t1;
    const char *format = "";
    int r;

    k->form.n_hints = 0;
    k->form.profile = job->body;
    if (job->intake->multipart &&
        form_read(&k->form, job->intake->content_type, job->body, &job->failure))
        return;
    r = decode(k->decoder, k->form.profile, &k->profile, &format, &job->stats, &job->failure);
    t1 = uv_hrtime();
    job->decode_s = (double)(t1 - t0) / 1e9;
    if (r)
        return;
    encode(k, job, format);
    job->encode_s = (double)(uv_hrtime() - t1) / 1e9;
}

static struct codec_job *next_job(struct codecs *all)
{
    struct list *l;

    pthread_mutex_lock(&all->lock);
    while (!(l = list_pop(&all->queue)) && !all->stop)
        pthread_cond_wait(&all->wake, &all->lock);
    pthread_mutex_unlock(&all->lock);
    return l ? container_of(l, struct codec_job, msg.link) : NULL;
}

static void *run(void *arg)
{
    struct codec *k = arg;
    struct codec_job *job;

    tools_init(k);
    while ((job = next_job(k->all))) {
        run_job(k, job);
        tidy(k, job);
        CHECK(mailbox_post(k->all->mailbox, &job->msg) == 0);
    }
    tools_deinit(k);
    return NULL;
}

static void on_mail(struct mailbox *m, void *ctx)
{
    struct codecs *all = ctx;
    struct list done, *l;

    list_init(&done);
    mailbox_drain(m, &done);
    while ((l = list_pop(&done)))
        all->done(container_of(l, struct codec_job, msg.link), all->ctx);
}

static void start_thread(struct codec *k)
{
    pthread_attr_t attr;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    CHECK(pthread_create(&k->thread, &attr, run, k) == 0);
    pthread_attr_destroy(&attr);
}

struct codecs *codecs_new(uv_loop_t *loop, unsigned n_threads, const struct decode_limits *limits,
                          codec_done_cb *done, void *ctx)
{
    struct codecs *all = xcalloc(1, sizeof *all);

    all->limits = *limits;
    all->done = done;
    all->ctx = ctx;
    all->mailbox = mailbox_new(loop, SIZE_MAX, on_mail, all);
    list_init(&all->queue);
    pthread_mutex_init(&all->lock, NULL);
    pthread_cond_init(&all->wake, NULL);
    all->n = n_threads;
    all->codecs = xcalloc(n_threads, sizeof *all->codecs);
    for (unsigned i = 0; i < n_threads; i++) {
        all->codecs[i].all = all;
        start_thread(&all->codecs[i]);
    }
    return all;
}

void codecs_submit(struct codecs *all, struct codec_job *job)
{
    job->failure.code[0] = '\0';
    pthread_mutex_lock(&all->lock);
    list_append(&all->queue, &job->msg.link);
    pthread_cond_signal(&all->wake);
    pthread_mutex_unlock(&all->lock);
}

void codecs_close(struct codecs *all)
{
    pthread_mutex_lock(&all->lock);
    all->stop = true;
    pthread_cond_broadcast(&all->wake);
    pthread_mutex_unlock(&all->lock);
    for (unsigned i = 0; i < all->n; i++)
        pthread_join(all->codecs[i].thread, NULL);
    mailbox_close(all->mailbox);
    pthread_mutex_destroy(&all->lock);
    pthread_cond_destroy(&all->wake);
    free(all->codecs);
    free(all);
}

void codec_job_deinit(struct codec_job *job)
{
    for (size_t i = 0; i < job->n_records; i++)
        buf_deinit(&job->records[i]);
    free(job->records);
    buf_deinit(&job->types);
}
