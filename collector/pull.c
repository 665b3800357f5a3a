/*
 * Happy path of a round: the timer → for each kind of profile: scrape → codec thread (difference,
 * decode, encode) → the log has it: what was read is kept for the next round → the next kind; after
 * the last the timer again. A failure is counted, said once until it is over, and ends that kind;
 * one that the others would meet too (no such address, nobody there) ends the round. What was kept
 * before a failure stays, so the next difference spans it.
 */
#include "collector/pull.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/logger.h"
#include "base/xalloc.h"
#include "collector/collector_int.h"
#include "collector/pull_delta.h"
#include "collector/pull_target.h"
#include "collector/scrape.h"
#include "collector/upload.h"

#include <stdlib.h>

enum kind { HEAP, MUTEX, BLOCK, GOROUTINE, CPU, N_KINDS };

/* In the order they are asked for: the one that takes long comes last. */
static const struct {
    const char *name, *path, *family;
    bool counts_from_start;
} kinds[N_KINDS] = {
    [HEAP] = {"heap", "heap", "memory", true},
    [MUTEX] = {"mutex", "mutex", "mutex", true},
    [BLOCK] = {"block", "block", "block", true},
    [GOROUTINE] = {"goroutine", "goroutine", "goroutines", false},
    [CPU] = {"cpu", "profile", "process_cpu", false},
};

struct target {
    struct pull *pull;
    struct pull_target name;
    uv_timer_t timer;
    int64_t round_ms; /* when it began, by the monotonic clock */
    int kind;         /* being asked for; N_KINDS: none */
    struct buf kept[N_KINDS];
    bool failing[N_KINDS];

    char *path;
    struct scrape_request request;
    struct scrape *scrape; /* one of these two, or none */
    struct upload *upload;
    struct buf body, difference;
};

struct pull {
    uv_loop_t *loop;
    struct collector *collector;
    const struct collector_options *options;
    struct networks allowed;
    struct target *targets;
    size_t n_targets, n_open;
    bool wanted[N_KINDS];
    struct profile_limits limits;
    void (*closed)(void *ctx); /* set: closing */
    void *closed_ctx;
};

static void next_kind(struct target *t);

/* ---- the end ----------------------------------------------------------------------------------
 */

static void target_deinit(struct target *t)
{
    pull_target_deinit(&t->name);
    for (int k = 0; k < N_KINDS; k++)
        buf_deinit(&t->kept[k]);
    buf_deinit(&t->body);
    buf_deinit(&t->difference);
}

static void on_target_closed(uv_handle_t *handle)
{
    struct target *t = handle->data;
    struct pull *p = t->pull;
    void (*closed)(void *ctx) = p->closed;
    void *ctx = p->closed_ctx;

    target_deinit(t);
    if (--p->n_open)
        return;
    networks_deinit(&p->allowed);
    free(p->targets);
    free(p);
    closed(ctx);
}

/* When nothing of it is under way. */
static void close_if_idle(struct target *t)
{
    if (t->pull->closed && !t->scrape && !t->upload)
        uv_close((uv_handle_t *)&t->timer, on_target_closed);
}

void pull_close(struct pull *p, void (*closed)(void *ctx), void *ctx)
{
    p->closed = closed;
    p->closed_ctx = ctx;
    for (size_t i = 0; i < p->n_targets; i++) {
        struct target *t = &p->targets[i];

        if (t->scrape)
            scrape_cancel(t->scrape);
        else
            close_if_idle(t);
    }
}

/* ---- a round ----------------------------------------------------------------------------------
 */

static void on_timer(uv_timer_t *timer)
{
    struct target *t = timer->data;

    t->round_ms = clock_mono_ms();
    t->kind = -1;
    next_kind(t);
}

/* Up to a tenth of the interval early, so that targets that fell into step part again. */
static void end_round(struct target *t)
{
    int64_t interval = t->pull->options->pull_interval, jitter = interval / 10;
    int64_t spare = interval - (clock_mono_ms() - t->round_ms);

    jitter = spare > jitter ? (int64_t)(random_u64() % (uint64_t)(jitter + 1)) : 0;
    spare -= jitter;
    t->kind = N_KINDS;
    if (t->pull->closed)
        close_if_idle(t);
    else
        uv_timer_start(&t->timer, on_timer, spare > 0 ? (uint64_t)spare : 0, 0);
}

/* A change is said once, so it is never among the lines that the logger leaves out. */
static void say(const struct target *t, const struct failure *f)
{
    const struct log_field fields[] = {
        F_STR("service", t->name.service),     F_STR("target", t->name.instance),
        F_STR("profile", kinds[t->kind].name), F_STR("reason", f ? f->code : ""),
        F_STR("message", f ? f->message : ""),
    };
    enum { N_FIELDS = sizeof fields / sizeof *fields, N_WITHOUT_REASON = 3 };
    enum log_level level = f ? LOG_WARN : LOG_INFO;

    if (level >= logger_level())
        logger_write(NULL, level, f ? "scrape_failed" : "scrape_recovered", fields,
                     f ? N_FIELDS : N_WITHOUT_REASON);
}

static void count(struct target *t, const char *result, const struct failure *f)
{
    collector_count_scrape(result);
    if (t->failing[t->kind] != (f != NULL))
        say(t, f);
    t->failing[t->kind] = f != NULL;
}

static void kind_done(struct target *t, const char *result, const struct failure *f)
{
    static const char *const of_all[] = {"resolve", "not_allowed", "connect", "cancelled"};
    bool end = t->pull->closed != NULL;

    count(t, result, f);
    for (size_t i = 0; i < sizeof of_all / sizeof *of_all; i++)
        end |= strcmp(result, of_all[i]) == 0;
    if (end)
        end_round(t);
    else
        next_kind(t);
}

/* ---- what was read ----------------------------------------------------------------------------
 */

static struct bytes family_of(const void *ctx, struct bytes sample_type)
{
    const struct target *t = ctx;

    (void)sample_type;
    return bytes_str(kinds[t->kind].family);
}

/* On a codec thread; the loop leaves the target alone meanwhile. */
static int unpack(struct codec *k, struct codec_job *job)
{
    struct target *t = job->request;
    struct codec_item item = {.data = job->body,
                              .intake = &job->intake,
                              .hints.format = BYTES_LIT("pprof"),
                              .family = family_of,
                              .family_ctx = t};
    struct bytes now, before = {0};

    if (!kinds[t->kind].counts_from_start)
        return codec_item(k, &item);
    if (codec_inflate(k, job->body, &now) ||
        (t->kept[t->kind].len && codec_inflate(k, buf_bytes(&t->kept[t->kind]), &before)))
        return FAILURE;
    buf_reset(&t->difference);
    if (pull_delta(now, before, bytes_str(kinds[t->kind].family), &t->pull->limits, &t->difference,
                   codec_failure(k)))
        return FAILURE;
    item.data = buf_bytes(&t->difference);
    return item.data.len ? codec_item(k, &item) : 0;
}

static void on_uploaded(void *ctx, const struct upload_result *result)
{
    struct target *t = ctx;

    free(t->upload);
    t->upload = NULL;
    if (!result->failure && kinds[t->kind].counts_from_start) {
        struct buf before = t->kept[t->kind];

        t->kept[t->kind] = t->body;
        t->body = before;
    }
    buf_deinit(&t->body);
    buf_deinit(&t->difference);
    kind_done(t, result->failure ? "refused" : "ok", result->failure);
}

static void on_scraped(void *ctx, const struct failure *failure, struct buf *body)
{
    struct target *t = ctx;
    struct failure f;

    t->scrape = NULL;
    free(t->path);
    t->path = NULL;
    if (failure) {
        kind_done(t, failure->code, failure);
        return;
    }
    t->body = *body;
    *body = (struct buf){.data = NULL};
    t->upload = xcalloc(1, sizeof *t->upload);
    if (upload_init(t->upload, t->pull->collector, ROUTE_PULL, BYTES_LIT(""), &f) ||
        pull_target_intake(&t->name, &t->upload->job.intake, &f)) {
        on_uploaded(t, &(struct upload_result){.failure = &f});
        return;
    }
    intake_agent(&t->upload->job.intake, BYTES_LIT("pull"));
    t->upload->job.body = buf_bytes(&t->body);
    t->upload->job.unpack = unpack;
    t->upload->job.request = t;
    t->upload->done = on_uploaded;
    t->upload->ctx = t;
    upload_send(t->upload);
}

/* ---- asking -----------------------------------------------------------------------------------
 */

static void ask(struct target *t)
{
    const struct collector_options *o = t->pull->options;
    int64_t seconds = t->kind == CPU ? o->pull_cpu / MS_PER_S : 0;

    t->path = seconds ? xasprintf("%s/%s?seconds=%lld", t->name.path, kinds[t->kind].path,
                                  (long long)seconds)
                      : xasprintf("%s/%s", t->name.path, kinds[t->kind].path);
    t->request = (struct scrape_request){
        .host = t->name.host,
        .port = t->name.port,
        .path = t->path,
        .allowed = &t->pull->allowed,
        .body_max = (size_t)o->pull_body_max,
        .timeout_ms = (uint64_t)(o->pull_timeout + seconds * MS_PER_S),
    };
    t->scrape = scrape_start(t->pull->loop, &t->request, on_scraped, t);
}

static void next_kind(struct target *t)
{
    do
        t->kind++;
    while (t->kind < N_KINDS && !t->pull->wanted[t->kind]);
    if (t->kind < N_KINDS)
        ask(t);
    else
        end_round(t);
}

/* ---- options ----------------------------------------------------------------------------------
 */

typedef int word_cb(void *ctx, const char *word, struct failure *f);

static int each_word(const char *list, word_cb *cb, void *ctx, struct failure *f)
{
    char *copy = xstrdup(list ? list : ""), *rest = copy, *word;
    int r = 0;

    while (!r && (word = strsep(&rest, ",")))
        if (*word)
            r = cb(ctx, word, f);
    free(copy);
    return r;
}

struct refusing {
    struct options *options;
    word_cb *cb;
    void *ctx;
};

static int refuse_word(void *ctx, const char *word, struct failure *unused)
{
    const struct refusing *r = ctx;
    struct failure f;

    (void)unused;
    if (r->cb(r->ctx, word, &f))
        options_refuse(r->options, &f);
    return 0;
}

static int want_kind(void *ctx, const char *word, struct failure *f)
{
    bool *wanted = ctx;

    for (int k = 0; k < N_KINDS; k++) {
        if (strcmp(word, kinds[k].name) == 0) {
            wanted[k] = true;
            return 0;
        }
    }
    return fail(f, 400, "bad_option", "cpu, heap, mutex, block, goroutine",
                "pull_profiles: there is no profile \"%.60s\"", word);
}

static int check_target(void *ctx, const char *word, struct failure *f)
{
    struct pull_target t;
    int r = pull_target_parse(&t, word, f);

    ++*(size_t *)ctx;
    pull_target_deinit(&t);
    return r;
}

/* Calls cb for each word, and tells of each that it refuses. */
static void check_words(struct options *o, const char *list, word_cb *cb, void *ctx)
{
    struct refusing r = {o, cb, ctx};

    each_word(list, refuse_word, &r, NULL);
}

void pull_check(void *ctx, struct options *options)
{
    const struct collector_options *o = ctx;
    bool wanted[N_KINDS];
    struct networks allowed;
    struct failure f;
    size_t n = 0;

    check_words(options, o->pull_profiles, want_kind, wanted);
    check_words(options, o->pull_targets, check_target, &n);
    if (n > 0 && o->pull_cpu >= o->pull_interval) {
        fail(&f, 400, "bad_option", "such as pull_interval 15s, pull_cpu 14s",
             "pull_cpu (%lld ms) is not less than pull_interval (%lld ms)", (long long)o->pull_cpu,
             (long long)o->pull_interval);
        options_refuse(options, &f);
    }
    if (networks_parse(&allowed, o->pull_allow, "pull_allow", &f))
        options_refuse(options, &f);
    networks_deinit(&allowed);
}

/* Targets start at moments of their own within the first interval. */
static int add_target(void *ctx, const char *word, struct failure *f)
{
    struct pull *p = ctx;
    struct target *t = &p->targets[p->n_open++];
    uint64_t first_ms = random_u64() % (uint64_t)p->options->pull_interval;

    t->pull = p;
    t->kind = N_KINDS;
    CHECK(pull_target_parse(&t->name, word, f) == 0); /* pull_check has said so */
    uv_timer_init(p->loop, &t->timer);
    t->timer.data = t;
    uv_timer_start(&t->timer, on_timer, first_ms, 0);
    return 0;
}

struct pull *pull_new(uv_loop_t *loop, struct collector *c, const struct collector_options *o,
                      const struct profile_limits *limits)
{
    struct pull *p = xcalloc(1, sizeof *p);
    struct failure f;

    p->loop = loop;
    p->collector = c;
    p->options = o;
    p->limits = *limits;
    each_word(o->pull_targets, check_target, &p->n_targets, &f);
    if (p->n_targets == 0) {
        free(p);
        return NULL;
    }
    networks_parse(&p->allowed, o->pull_allow, "pull_allow", &f);
    each_word(o->pull_profiles, want_kind, p->wanted, &f);
    p->targets = xcalloc(p->n_targets, sizeof *p->targets);
    each_word(o->pull_targets, add_target, p, &f);
    return p;
}
