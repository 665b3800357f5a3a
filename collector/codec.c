/*
 * A queue under a mutex towards the threads, a mailbox back to the loop.
 *
 * A thread's tables of names and stacks stay from upload to upload while they are small: services
 * push the same code again and again, and to find a name costs a third of making it. When they have
 * grown they are emptied, and keep their memory. After an upload that was large, or that failed (a
 * bomb looks small from outside), all of it is freed and made anew, and the allocator gives the
 * pages back: one bad profile must not set the process's size for good.
 */
#include "collector/codec.h"

#include "base/clock.h"
#include "base/logger.h"
#include "base/xalloc.h"
#include "collector/collector_metrics.h"
#include "profile/types.h"

#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    ZSTD_LEVEL = 1,
    STACK_BYTES = 1 << 20,
    /* Entries of tables, some 60 bytes each, above which they are emptied. A record is chosen from
     * all of them, so a small profile must not stand beside many: one for eight of its bytes. */
    WARM_ENTRIES = 30000,
    WARM_ENTRIES_MAX = 120000,
    WARM_BYTES_PER_ENTRY = 8,
    KEEP_BYTES_MAX = 8 << 20, /* of memory; above, the thread begins anew */
    KEEP_SAMPLES_MAX = 50000,
    ARENA_CHUNK_BYTES = 16 << 10,
    /* A record is chosen from tables that all profiles of an item share: their entries, looked
     * through once for each profile. A second or two of work. */
    LOOKED_THROUGH_MAX = 1 << 29,
    /* Compressed profiles within a compressed upload: all of them may be so many times
     * inflated_max. A second or two of work. */
    INFLATED_TIMES_MAX = 8,
    TYPES_LISTED_MAX = 256, /* in the job's list; what an upload of many more has is not named */
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
    struct arena arena;
    struct buf scratch;

    /* of the job in work */
    struct codec_job *job;
    const struct codec_item *item;
    struct intake intake; /* of the profile that was emitted: the item's, and its own attributes */
    uint32_t partition;
    size_t record_bytes, n_types_listed, n_looked_through;
    struct profile_type type_names[PROFILE_TYPES_MAX];
    struct bytes types[PROFILE_TYPES_MAX];
};

struct codecs {
    struct decode_limits limits;
    struct series_cap *caps;
    uint32_t profiles_max;
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
    arena_init(&k->arena, ARENA_CHUNK_BYTES);
}

static void tools_deinit(struct codec *k)
{
    buf_deinit(&k->scratch);
    arena_deinit(&k->arena);
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
           symbols_bytes(k->symbols) + stacks_bytes(k->stacks) + arena_reserved(&k->arena) >
               KEEP_BYTES_MAX;
}

/* So many entries may stay after an item that was so large when inflated. */
static uint64_t warm_entries(uint64_t bytes)
{
    uint64_t n = bytes / WARM_BYTES_PER_ENTRY;

    return n < WARM_ENTRIES ? WARM_ENTRIES : n < WARM_ENTRIES_MAX ? n : WARM_ENTRIES_MAX;
}

/* What was in the profile is forgotten; names and stacks are, too, when they have become many. */
static void tables_reset(struct codec *k, uint64_t item_bytes)
{
    uint64_t entries = (uint64_t)symbols_n_strings(k->symbols) + symbols_n_frames(k->symbols) +
                       stacks_n_nodes(k->stacks);

    profile_reset(&k->profile);
    if (entries <= warm_entries(item_bytes))
        return;
    stacks_reset(k->stacks);
    symbols_reset(k->symbols);
}

static void tidy(struct codec *k, const struct codec_job *job)
{
    if (was_large(k, job)) {
        tools_deinit(k);
        tools_init(k);
        k->trims_due = 2;
    } else {
        arena_reset(&k->arena); /* codec_item() has seen to the tables */
    }
    /* Once now, and once when the loop has freed its part, the body and the records. */
    if (k->trims_due) {
        malloc_trim(0);
        k->trims_due--;
    }
}

static int too_much(struct failure *f, const char *what, size_t max, const char *setting)
{
    return fail(f, 413, "limit_exceeded", setting, "the upload has more than %zu %s (setting: %s)",
                max, what, setting);
}

/* Called with each part of the record; the bytes are the encoder's. */
static int on_part(void *ctx, uint32_t part, uint32_t parts, struct bytes value)
{
    struct codec *k = ctx;
    struct codec_job *job = k->job;
    struct codec_record *record;

    (void)part;
    /* Many small profiles, each with all the tags, could be far more than what was sent. */
    k->record_bytes += value.len;
    if (k->record_bytes > k->all->limits.inflated_max_bytes)
        return too_much(&job->failure, "bytes of records", k->all->limits.inflated_max_bytes,
                        "inflated_max");
    XGROW(job->records, job->cap_records, job->n_records + parts - part);
    record = &job->records[job->n_records++];
    *record = (struct codec_record){.partition = k->partition};
    buf_reserve(&record->value, value.len);
    buf_append_bytes(&record->value, value);
    return 0;
}

static bool is_listed(const struct codec_job *job, struct bytes type)
{
    const struct buf *list = &job->types;

    for (size_t at = 0; at < list->len; at += strlen((const char *)list->data + at) + 1)
        if (bytes_equal(bytes_str((const char *)list->data + at), type))
            return true;
    return false;
}

static void list_type(struct codec *k, struct bytes type)
{
    if (k->n_types_listed == TYPES_LISTED_MAX || is_listed(k->job, type))
        return;
    buf_append(&k->job->types, type.data, type.len + 1);
    k->n_types_listed++;
}

static struct bytes family_of(const struct codec *k, struct bytes sample_type,
                              const struct profile_about *about)
{
    const struct codec_item *item = k->item;
    struct bytes said = {0};

    if (item->family)
        said = item->family(item->family_ctx, sample_type);
    return said.len ? said : about->hint;
}

static bool is_named_already(const struct codec *k, uint32_t type)
{
    for (uint32_t i = 0; i < type; i++)
        if (bytes_equal(k->types[i], k->types[type]))
            return true;
    return false;
}

/* Two of an agent's types may be one to us (cpu, cpu-time): to keep both would count it twice. */
static void name_types(struct codec *k, struct profile *p, const struct profile_about *about)
{
    for (uint32_t i = 0; i < p->n_types;) {
        struct bytes name = symbols_text(k->symbols, p->types[i].name);

        profile_type_of(&k->type_names[i], name, symbols_text(k->symbols, p->types[i].unit),
                        symbols_text(k->symbols, p->period_type.name),
                        symbols_text(k->symbols, p->period_type.unit), family_of(k, name, about));
        k->types[i] = bytes_str(k->type_names[i].name);
        if (is_named_already(k, i)) {
            codec_skip(k, "same_type");
            profile_drop_type(p, i);
            continue;
        }
        list_type(k, k->types[i++]);
    }
}

static void cap_series(struct codec *k)
{
    struct intake *in = &k->intake;
    enum series_verdict v = series_cap_admit(k->all->caps, in->tenant, in->service, &in->series,
                                             in->times.now_ns / NS_PER_MS);

    if (v == SERIES_KNOWN)
        return;
    metric_add(&collector_metrics[M_SERIES_OTHER], v == SERVICE_OTHER, 1);
    LOG(LOG_WARN, "counted_under_other", F_BYTES("service", in->service),
        F_STR("limit", v == SERVICE_OTHER ? "services_max" : "series_max"),
        F_INT("value", series_cap_limit(k->all->caps, v)));
    for (uint32_t i = 0; i < in->series.n; i++)
        in->series.at[i].value = BYTES_LIT("__other__");
    if (v == SERVICE_OTHER)
        in->service = BYTES_LIT("__other__");
}

static void find_partition(struct codec *k)
{
    const struct codec_job *job = k->job;

    buf_reset(&k->scratch);
    intake_instance(&k->intake, &k->scratch);
    k->partition = partition_of(k->intake.tenant, k->intake.service, buf_bytes(&k->scratch),
                                job->spread, job->n_partitions);
}

/* The request's word counts before the profile's own: a tag that is there stays. */
static void read_about(struct codec *k, const struct profile_about *about)
{
    k->intake = *k->item->intake;
    for (size_t i = 0; i < about->n_attributes; i++)
        intake_attribute(&k->intake, about->attributes[i].key, about->attributes[i].value);
    intake_default_service(&k->intake);
    if (k->job->service[0] == '\0')
        snprintf(k->job->service, sizeof k->job->service, "%.*s", (int)k->intake.service.len,
                 (const char *)k->intake.service.data);
}

static void widen_bounds(struct codec_job *job, int64_t start_ns, int64_t end_ns)
{
    if (job->n_profiles == 0 || start_ns < job->start_ns)
        job->start_ns = start_ns;
    if (job->n_profiles == 0 || end_ns > job->end_ns)
        job->end_ns = end_ns;
}

static int encode(struct codec *k, struct profile *p, const struct profile_about *about)
{
    struct codec_job *job = k->job;
    struct record_header h = {.format = bytes_str(about->format)};

    read_about(k, about);
    if (interval_of(&k->intake.times, p->time_ns, p->duration_ns, &h.start_ns, &h.end_ns,
                    &job->failure))
        return FAILURE;
    cap_series(k);
    find_partition(k);
    name_types(k, p, about);
    widen_bounds(job, h.start_ns, h.end_ns);
    h.tenant = k->intake.tenant;
    h.service = k->intake.service;
    h.series = k->intake.series;
    h.instance = k->intake.instance;
    h.agent = k->intake.agent;
    return record_encode(k->encoder, p, k->types, &h, on_part, k, &job->failure);
}

static bool is_zero(const struct profile *p, uint32_t type)
{
    for (uint32_t row = 0; row < p->n_rows; row++)
        if (p->values[type][row])
            return false;
    return true;
}

/* Has the list "a_b_c" the word? */
static bool has_word(struct bytes list, struct bytes word)
{
    while (list.len) {
        const uint8_t *end = memchr(list.data, '_', list.len);
        size_t len = end ? (size_t)(end - list.data) : list.len;

        if (bytes_equal(bytes_of(list.data, len), word))
            return true;
        len += end != NULL;
        list = bytes_of(list.data + len, list.len - len);
    }
    return false;
}

/* ddtrace lists exceptions also where it cannot see them (CPython below 3.12). profiler_config
 * says what it does: "stack_v2_lock_mem_heap_exception_exp_dd_CAP1.0_MAXF64". */
static bool is_not_collected(const struct codec *k, struct bytes type)
{
    struct bytes config = tags_get(&k->item->intake->instance, "profiler_config");

    return bytes_equal(type, BYTES_LIT("exception-samples")) && config.len > 0 &&
           !has_word(config, BYTES_LIT("exception"));
}

/*
 * Leaves out what is no type to look at: "timeline", whose values lie on one nameless frame and are
 * for a view by time, and types that some agents always list (GPU) when they have nothing to say.
 * No exceptions are something to say, where they would have been seen.
 */
static void drop_types(struct codec *k, struct profile *p)
{
    for (uint32_t i = p->n_types; i-- > 0;) {
        struct bytes name = symbols_text(k->symbols, p->types[i].name);
        bool timeline = bytes_equal(name, BYTES_LIT("timeline"));

        if (timeline)
            codec_skip(k, "timeline");
        if (timeline ||
            ((bytes_starts(name, BYTES_LIT("gpu-")) || is_not_collected(k, name)) && is_zero(p, i)))
            profile_drop_type(p, i);
    }
}

static int charge_tables(struct codec *k, struct failure *f)
{
    k->n_looked_through += (size_t)symbols_n_strings(k->symbols) + symbols_n_functions(k->symbols) +
                           symbols_n_frames(k->symbols) + stacks_n_nodes(k->stacks);
    if (k->n_looked_through <= LOOKED_THROUGH_MAX)
        return 0;
    return fail(f, 413, "limit_exceeded", "send them in several uploads",
                "the upload has too many profiles (%u) for tables of %u stack nodes and %u "
                "strings",
                k->job->n_profiles, stacks_n_nodes(k->stacks), symbols_n_strings(k->symbols));
}

/* One profile of the item has been read. */
static int on_profile(void *ctx, struct profile *p, const struct profile_about *about,
                      struct failure *f)
{
    struct codec *k = ctx;
    uint64_t t0 = uv_hrtime();
    int r;

    CHECK(f == &k->job->failure);
    if (k->job->n_profiles == k->all->profiles_max)
        return too_much(f, "profiles", k->all->profiles_max, "profiles_max");
    drop_types(k, p);
    if (p->n_types == 0)
        return 0;
    r = charge_tables(k, f) ? FAILURE : encode(k, p, about);
    k->job->n_profiles++;
    k->job->encode_s += (double)(uv_hrtime() - t0) / 1e9;
    return r;
}

static int check_inflated(struct codec *k)
{
    size_t max = k->all->limits.inflated_max_bytes;

    if (k->job->stats.inflated_bytes / INFLATED_TIMES_MAX < max)
        return 0;
    return fail(&k->job->failure, 413, "inflated_too_large", "the limit is inflated_max",
                "the profiles of the upload are larger than %d times %zu bytes when inflated",
                INFLATED_TIMES_MAX, max);
}

int codec_item(struct codec *k, const struct codec_item *item)
{
    struct codec_job *job = k->job;
    struct reading rd = {
        .hints = item->hints,
        .with_spans = true,
        .into = &k->profile,
        .stats = &job->stats,
        .emit = on_profile,
        .ctx = k,
        .f = &job->failure,
    };
    uint64_t inflated = job->stats.inflated_bytes;
    int r;

    if (check_inflated(k))
        return FAILURE;
    k->item = item;
    r = decode(k->decoder, item->data, &rd);
    inflated = job->stats.inflated_bytes - inflated;
    /* The next one has symbols of its own: many that it does not share must not weigh on it. */
    tables_reset(k, inflated > item->data.len ? inflated : item->data.len);
    return r;
}

struct arena *codec_arena(struct codec *k)
{
    return &k->arena;
}

struct failure *codec_failure(struct codec *k)
{
    return &k->job->failure;
}

int codec_inflate(struct codec *k, struct bytes in, struct bytes *ret)
{
    struct bytes plain;

    if (decoder_inflate(k->decoder, in, &plain, &k->job->failure))
        return FAILURE;
    *ret = arena_copy(&k->arena, plain);
    return 0;
}

void codec_skip(struct codec *k, const char *kind)
{
    (void)k;
    collector_count_skipped(kind);
}

static void run_job(struct codec *k, struct codec_job *job)
{
    uint64_t t0 = uv_hrtime();
    int r;

    k->job = job;
    k->record_bytes = k->n_types_listed = k->n_looked_through = 0;
    r = job->unpack(k, job);
    CHECK(r == 0 || job->failure.code[0]);
    if (r == 0)
        job->failure.code[0] = '\0'; /* a reader may have tried something and gone on */
    job->decode_s = (double)(uv_hrtime() - t0) / 1e9 - job->encode_s;
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
                          struct series_cap *caps, uint32_t profiles_max, codec_done_cb *done,
                          void *ctx)
{
    struct codecs *all = xcalloc(1, sizeof *all);

    all->limits = *limits;
    all->caps = caps;
    all->profiles_max = profiles_max;
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
        buf_deinit(&job->records[i].value);
    free(job->records);
    buf_deinit(&job->types);
}
