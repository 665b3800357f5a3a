/*
 * The collector as a whole, between real sockets and a real local log, for tests: what goes in over
 * HTTP, or gRPC, can be read as the records that an aggregator would read.
 */
#ifndef TESTS_LIB_COLLECTOR_FIXTURE_H
#define TESTS_LIB_COLLECTOR_FIXTURE_H

#include "base/clock.h"
#include "base/xalloc.h"
#include "collector/collector.h"
#include "collector/protocols/otlp.h"
#include "lib/http_client.h"
#include "log/log_local.h"
#include "net/grpc.h"
#include "wire/record.h"

#include <ftw.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>

#include <cmocka.h>

enum { RECORDS_MAX = 100 };

/* One record as it stands on the log, printed. */
struct seen {
    struct hash128 source;
    uint64_t seq, low;
    int64_t start_ns, end_ns;
    uint32_t partition, part, parts;
    char labels[1000]; /* service|series|instance|agent|format */
    char totals[4000]; /* type=total in the order of the columns */
};

struct fixture {
    char dir[64];
    uv_loop_t loop;
    uv_async_t stop;
    pthread_t thread;
    struct options *options;
    struct collector_options collector_options;
    struct log_local_options local_options;
    struct log_local *local;
    struct log_producer *producer;
    struct log_consumer *consumer;
    struct http_server *http;
    struct grpc_server *grpc;
    struct collector *collector;
    struct record_decoder *decoder;
    int port, grpc_port;

    pthread_mutex_t lock;
    pthread_cond_t more;
    struct seen *seen;
    size_t n_seen;
};

static inline void print_tags(char *out, const struct tags *t)
{
    for (uint32_t i = 0; i < t->n; i++)
        out += sprintf(out, "%s%.*s=%.*s", i ? "," : "", (int)t->at[i].key.len,
                       (const char *)t->at[i].key.data, (int)t->at[i].value.len,
                       (const char *)t->at[i].value.data);
}

static inline void print_labels(struct seen *s, const struct record_header *h)
{
    char series[400] = "", instance[400] = "";

    print_tags(series, &h->series);
    print_tags(instance, &h->instance);
    snprintf(s->labels, sizeof s->labels, "%.*s|%s|%s|%.*s|%.*s", (int)h->service.len,
             (const char *)h->service.data, series, instance, (int)h->agent.len,
             (const char *)h->agent.data, (int)h->format.len, (const char *)h->format.data);
}

static inline void print_totals(struct seen *s, struct record_decoder *d)
{
    struct symbols *symbols = symbols_new();
    struct stacks *stacks = stacks_new();
    struct profile p;
    char *out = s->totals;

    profile_init(&p, symbols, stacks);
    assert_int_equal(record_read(d, &p, true, true), 0);
    for (uint32_t i = 0; i < p.n_types; i++) {
        struct bytes name = symbols_text(symbols, p.types[i].name);

        out += sprintf(out, "%s%.*s=%lld", i ? " " : "", (int)name.len, (const char *)name.data,
                       (long long)profile_total(&p, i));
    }
    profile_deinit(&p);
    stacks_free(stacks);
    symbols_free(symbols);
}

static inline void on_message(void *ctx, const struct log_message *m)
{
    struct fixture *f = ctx;
    struct record_header h;
    struct failure failure;
    struct seen *s = &f->seen[f->n_seen];

    assert_int_equal(record_open(f->decoder, m->value, &h, &failure), 0);
    s->source = h.source;
    s->seq = h.seq;
    s->low = h.low;
    s->start_ns = h.start_ns;
    s->end_ns = h.end_ns;
    s->partition = m->partition;
    s->part = h.part;
    s->parts = h.parts;
    print_labels(s, &h);
    print_totals(s, f->decoder);
    pthread_mutex_lock(&f->lock);
    assert_in_range(++f->n_seen, 1, RECORDS_MAX - 1);
    pthread_cond_signal(&f->more);
    pthread_mutex_unlock(&f->lock);
}

static inline void on_assigned(void *ctx, const uint32_t *partitions, size_t n)
{
    struct fixture *f = ctx;

    for (size_t i = 0; i < n; i++)
        log_consumer_start(f->consumer, partitions[i], LOG_BEGIN);
}

static inline void on_revoked(void *ctx, const uint32_t *partitions, size_t n, bool lost)
{
    struct fixture *f = ctx;

    (void)partitions;
    (void)n;
    (void)lost;
    log_consumer_released(f->consumer);
}

static const struct log_consumer_events events = {
    .assigned = on_assigned,
    .revoked = on_revoked,
    .message = on_message,
};

static inline void on_consumer_closed(void *ctx)
{
    struct fixture *f = ctx;

    uv_close((uv_handle_t *)&f->stop, NULL);
}

static inline void on_producer_closed(void *ctx)
{
    struct fixture *f = ctx;

    log_consumer_close(f->consumer, on_consumer_closed, f);
}

static inline void on_collector_closed(void *ctx)
{
    struct fixture *f = ctx;

    log_producer_close(f->producer, on_producer_closed, f);
}

static inline void on_grpc_closed(void *ctx)
{
    struct fixture *f = ctx;

    collector_close(f->collector, on_collector_closed, f);
}

static inline void on_http_closed(void *ctx)
{
    struct fixture *f = ctx;

    grpc_server_close(f->grpc, 1000, on_grpc_closed, f);
}

static inline void on_stop(uv_async_t *async)
{
    struct fixture *f = async->data;

    http_server_close(f->http, 1000, on_http_closed, f);
}

static inline void *run_loop(void *arg)
{
    struct fixture *f = arg;

    uv_run(&f->loop, UV_RUN_DEFAULT);
    return NULL;
}

static inline void open_log(struct fixture *f)
{
    struct failure failure;

    strcpy(f->dir, "/tmp/hearth-test-collector-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    assert_int_equal(log_local_open(f->dir, &f->local_options, &f->local, &failure), 0);
    f->producer = log_local_producer_new(&f->loop, f->local);
    f->consumer = log_local_consumer_new(&f->loop, f->local, &events, f);
}

/* settings: name, value, …, NULL */
static inline struct fixture *start(const char *const *settings)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct http_limits limits = http_limits_default;
    struct failure failure;

    f->options = options_new();
    options_bind(f->options, collector_option_rows, &f->collector_options, "collector");
    options_bind(f->options, log_local_option_rows, &f->local_options, "log");
    for (; settings && *settings; settings += 2)
        options_set(f->options, settings[0], settings[1], "test");
    assert_int_equal(options_errors(f->options), 0);
    f->seen = calloc(RECORDS_MAX, sizeof *f->seen);
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->more, NULL);
    f->decoder = record_decoder_new();
    uv_loop_init(&f->loop);
    uv_async_init(&f->loop, &f->stop, on_stop);
    f->stop.data = f;
    open_log(f);
    limits.body_bytes_max = (size_t)f->collector_options.body_max;
    limits.budget_bytes_max = (size_t)f->collector_options.body_budget;
    f->http = http_server_new(&f->loop, &limits);
    f->collector = collector_new(&f->loop, f->http, f->producer, &f->collector_options);
    assert_int_equal(http_listen(f->http, "127.0.0.1:0", "listen", &f->port, &failure), 0);
    f->grpc = grpc_server_new(&f->loop, &limits);
    otlp_grpc_method(f->grpc, f->collector);
    assert_int_equal(grpc_listen(f->grpc, "127.0.0.1:0", "grpc", &f->grpc_port, &failure), 0);
    pthread_create(&f->thread, NULL, run_loop, f);
    return f;
}

static inline int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline void stop(struct fixture *f)
{
    uv_async_send(&f->stop);
    pthread_join(f->thread, NULL);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    log_local_close(f->local);
    nftw(f->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    record_decoder_free(f->decoder);
    pthread_mutex_destroy(&f->lock);
    pthread_cond_destroy(&f->more);
    options_free(f->options);
    free(f->seen);
    free(f);
}

static inline int set_up(void **state)
{
    *state = start(NULL);
    return 0;
}

static inline int tear_down(void **state)
{
    stop(*state);
    return 0;
}

/* Waits until n records have been read back. */
static const struct seen *wait_for(struct fixture *f, size_t n)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    pthread_mutex_lock(&f->lock);
    while (f->n_seen < n)
        assert_int_equal(pthread_cond_timedwait(&f->more, &f->lock, &until), 0);
    pthread_mutex_unlock(&f->lock);
    return f->seen;
}

static inline struct buf read_file(const char *path)
{
    struct buf b = {0};
    FILE *in = fopen(path, "re");
    size_t n;

    if (!in)
        fail_msg("cannot read %s", path);
    do {
        buf_reserve(&b, 65536);
        n = fread(b.data + b.len, 1, 65536, in);
        b.len += n;
    } while (n);
    fclose(in);
    return b;
}

static inline struct http_answer replay(struct fixture *f, const char *name)
{
    char path[400];
    struct buf request;
    struct http_answer a;

    snprintf(path, sizeof path, TEST_DATA "/agents/%s", name);
    request = read_file(path);
    a = http_talk(f->port, buf_bytes(&request), 0);
    buf_deinit(&request);
    return a;
}

static inline struct http_answer post(struct fixture *f, const char *target, struct bytes body)
{
    struct buf request = {0};
    struct http_answer a;

    buf_printf(&request, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n", target,
               body.len);
    buf_append_bytes(&request, body);
    a = http_talk(f->port, buf_bytes(&request), 0);
    buf_deinit(&request);
    return a;
}

/* A whole profile: one sample type (cpu, nanoseconds), one sample of 7 without a stack. */
#define TINY                                                                                       \
    BYTES_LIT("\x0a\x04\x08\x01\x10\x02" /* sample_type {1, 2} */                                  \
              "\x12\x03\x12\x01\x07"     /* sample {value: [7]} */                                 \
              "\x32\x00"                 /* "" */                                                  \
              "\x32\x03"                                                                           \
              "cpu"                                                                                \
              "\x32\x0b"                                                                           \
              "nanoseconds")

#endif
