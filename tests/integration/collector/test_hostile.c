/*
 * The real hearth-collector, given what nobody should send. The table says what each input is, what
 * the answer must be, and what is repaired instead of refused. After each one a good profile must
 * go through; the process may use at most 256 MiB above what it uses idle, enforced by a limit on
 * it; and it must end cleanly when asked to.
 */
#include "base/clock.h"
#include "base/varint.h"
#include "formats/inflate.h"
#include "lib/http_client.h"

#include <libgen.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <zstd.h>

#include <cmocka.h>

enum { MIB = 1 << 20, GROWTH_MAX_BYTES = 256 * MIB };

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) ||                               \
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
enum { MEMORY_IS_MEASURED = 0 }; /* a sanitizer's own memory is most of it */
#else
enum { MEMORY_IS_MEASURED = 1 };
#endif

/* ---- profiles, field by field ------------------------------------------------------------------
 */

static void put_tag(struct buf *b, unsigned field, unsigned wire)
{
    buf_varint(b, field << 3 | wire);
}

static void put_number(struct buf *b, unsigned field, uint64_t v)
{
    put_tag(b, field, 0);
    buf_varint(b, v);
}

static void put_bytes(struct buf *b, unsigned field, struct bytes s)
{
    put_tag(b, field, 2);
    buf_varbytes(b, s);
}

/* Takes what is in message as a field of b, and empties it. */
static void put_message(struct buf *b, unsigned field, struct buf *message)
{
    put_bytes(b, field, buf_bytes(message));
    buf_reset(message);
}

static void put_string(struct buf *b, const char *s)
{
    put_bytes(b, 6, bytes_str(s));
}

/* Strings 0 … 4, one sample type cpu/nanoseconds, function 1 "work" and location 1 in it. */
static void put_basics(struct buf *b, const char *function_name)
{
    struct buf m = {0}, line = {0};

    put_number(&m, 1, 1);
    put_number(&m, 2, 2);
    put_message(b, 1, &m);
    put_string(b, "");
    put_string(b, "cpu");
    put_string(b, "nanoseconds");
    put_string(b, function_name);
    put_string(b, "work.c");
    put_number(&m, 1, 1);
    put_number(&m, 2, 3);
    put_number(&m, 4, 4);
    put_message(b, 5, &m);
    put_number(&m, 1, 1);
    put_number(&line, 1, 1);
    put_number(&line, 2, 42);
    put_message(&m, 4, &line);
    put_message(b, 4, &m);
    buf_deinit(&m);
    buf_deinit(&line);
}

static void put_sample(struct buf *b, uint64_t location, uint64_t value)
{
    struct buf m = {0};

    put_number(&m, 1, location);
    put_number(&m, 2, value);
    put_message(b, 2, &m);
    buf_deinit(&m);
}

typedef void make_fn(struct buf *out);

static void make_good(struct buf *out)
{
    put_basics(out, "work");
    put_sample(out, 1, 5);
}

static void make_truncated_gzip(struct buf *out)
{
    struct buf raw = {0};

    make_good(&raw);
    gzip(buf_bytes(&raw), 6, out);
    out->len -= 10;
    buf_deinit(&raw);
}

/* 1 GiB of zeros in 16 members. */
static void make_gzip_bomb(struct buf *out)
{
    struct buf zeros = {0}, member = {0};

    buf_reserve(&zeros, 64 * MIB);
    memset(zeros.data, 0, 64 * MIB);
    zeros.len = 64 * MIB;
    gzip(buf_bytes(&zeros), 1, &member);
    for (int i = 0; i < 16; i++)
        buf_append_bytes(out, buf_bytes(&member));
    buf_deinit(&zeros);
    buf_deinit(&member);
}

/* The same in one frame of zstd, which does not tell its size. */
static void make_zstd_bomb(struct buf *out)
{
    ZSTD_CCtx *z = ZSTD_createCCtx();
    char *zeros = calloc(1, MIB);
    size_t more = 1;

    buf_reserve(out, MIB);
    ZSTD_CCtx_setParameter(z, ZSTD_c_compressionLevel, 1);
    for (int i = 0; i < 1024; i++) {
        ZSTD_inBuffer in = {zeros, MIB, 0};

        while (in.pos < in.size) {
            ZSTD_outBuffer o = {out->data + out->len, out->cap - out->len, 0};

            ZSTD_compressStream2(z, &o, &in, ZSTD_e_continue);
            out->len += o.pos;
        }
    }
    while (more) {
        ZSTD_inBuffer in = {0};
        ZSTD_outBuffer o = {out->data + out->len, out->cap - out->len, 0};

        more = ZSTD_compressStream2(z, &o, &in, ZSTD_e_end);
        out->len += o.pos;
    }
    ZSTD_freeCCtx(z);
    free(zeros);
}

static void make_dangling_location(struct buf *out)
{
    put_basics(out, "work");
    put_sample(out, 99, 5);
}

static void make_dangling_function(struct buf *out)
{
    struct buf m = {0}, line = {0};

    put_basics(out, "work");
    put_number(&m, 1, 2);
    put_number(&line, 1, 77);
    put_message(&m, 4, &line);
    put_message(out, 4, &m);
    put_sample(out, 2, 5);
    buf_deinit(&m);
    buf_deinit(&line);
}

static void make_dangling_string(struct buf *out)
{
    struct buf m = {0};

    put_basics(out, "work");
    put_number(&m, 1, 2);
    put_number(&m, 2, 12345);
    put_message(out, 5, &m);
    put_sample(out, 1, 5);
    buf_deinit(&m);
}

static void make_wrong_arity(struct buf *out)
{
    struct buf m = {0};

    put_basics(out, "work");
    put_number(&m, 1, 1);
    put_number(&m, 2, 5);
    put_number(&m, 2, 6);
    put_message(out, 2, &m);
    buf_deinit(&m);
}

static void put_samples(struct buf *out, int n, uint64_t value)
{
    put_basics(out, "work");
    for (int i = 0; i < n; i++)
        put_sample(out, 1, value);
}

static void make_a_million_empty_messages(struct buf *out)
{
    put_basics(out, "work");
    for (int i = 0; i < 1000000; i++)
        put_bytes(out, 2, BYTES_LIT(""));
}

static void make_a_million_zero_samples(struct buf *out)
{
    put_samples(out, 1000000, 0);
}

static void make_one_sample_too_many(struct buf *out)
{
    put_samples(out, 1000001, 1);
}

static void make_deep_stack(struct buf *out)
{
    struct buf m = {0}, ids = {0};

    put_basics(out, "work");
    for (int i = 0; i < 200000; i++)
        buf_varint(&ids, 1);
    put_bytes(&m, 1, buf_bytes(&ids));
    put_number(&m, 2, 5);
    put_message(out, 2, &m);
    buf_deinit(&m);
    buf_deinit(&ids);
}

static void make_bad_utf8(struct buf *out)
{
    put_basics(out, "w\xff\xc0\xafrk");
    put_sample(out, 1, 5);
}

static void make_no_types(struct buf *out)
{
    put_string(out, "");
    put_bytes(out, 2, BYTES_LIT(""));
}

static void put_location(struct buf *out, uint64_t id, uint64_t line_number)
{
    struct buf m = {0}, line = {0};

    put_number(&m, 1, id);
    put_number(&line, 1, 1);
    put_number(&line, 2, line_number);
    put_message(&m, 4, &line);
    put_message(out, 4, &m);
    buf_deinit(&m);
    buf_deinit(&line);
}

/* As many locations as are allowed, and many deep stacks over them that share nothing. */
static void make_unlike_stacks(struct buf *out)
{
    struct buf m = {0}, ids = {0};
    uint64_t x = 1;

    put_basics(out, "work");
    for (uint64_t i = 2; i < 400000; i++)
        put_location(out, i, i);
    for (int i = 0; i < 6000; i++) {
        for (int k = 0; k < 1000; k++) {
            x = x * 6364136223846793005u + 1442695040888963407u;
            buf_varint(&ids, 1 + (x >> 33) % 399998);
        }
        put_bytes(&m, 1, buf_bytes(&ids));
        put_number(&m, 2, 1);
        put_message(out, 2, &m);
        buf_reset(&ids);
    }
    buf_deinit(&m);
    buf_deinit(&ids);
}

/* Every sample a stack of its own, up to the limits: all of it is counted. */
static void make_many_stacks(struct buf *out)
{
    put_basics(out, "work");
    for (uint64_t i = 2; i < 300000; i++)
        put_location(out, i, i);
    for (uint64_t i = 2; i < 300000; i++)
        put_sample(out, i, 1);
}

/* Names that fill the inflated limit almost whole. */
static void make_many_names(struct buf *out)
{
    struct buf m = {0};
    char name[200];

    put_basics(out, "work");
    for (unsigned i = 0; i < 250000; i++) {
        snprintf(name, sizeof name, "%0150u", i);
        put_string(out, name);
        put_number(&m, 1, i + 2);
        put_number(&m, 2, i + 5);
        put_message(out, 5, &m);
    }
    put_sample(out, 1, 1);
    buf_deinit(&m);
}

static void make_unknown_format(struct buf *out)
{
    buf_append_str(out, "FLR\001 or something of that kind");
}

static void make_nothing(struct buf *out)
{
    (void)out;
}

static void make_too_large_a_body(struct buf *out)
{
    buf_reserve(out, 33 * MIB);
    memset(out->data, 'x', 33 * MIB);
    out->len = 33 * MIB;
}

static void make_noise(struct buf *out)
{
    uint64_t x = 88172645463325252u;

    for (int i = 0; i < 100000; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        buf_append(out, &x, sizeof x);
    }
}

static void make_gzipped_noise(struct buf *out)
{
    struct buf noise = {0};

    put_basics(&noise, "work");
    make_noise(&noise);
    gzip(buf_bytes(&noise), 1, out);
    buf_deinit(&noise);
}

/* ---- the table ---------------------------------------------------------------------------------
 */

enum how { PLAIN, CHUNKED, GZIPPED, FORM, FORM_CUT };

static const struct {
    const char *what, *target;
    make_fn *make;
    enum how how;
    int status;
    const char *word; /* the code, or for 200 what the answer tells of the repair */
} cases[] = {
    {"a good profile", NULL, make_good, PLAIN, 200, "\"samples\":1"},
    {"a good profile, chunked", NULL, make_good, CHUNKED, 200, "\"samples\":1"},
    {"a truncated gzip", NULL, make_truncated_gzip, PLAIN, 400, "malformed"},
    {"a gzip bomb", NULL, make_gzip_bomb, PLAIN, 413, "inflated_too_large"},
    {"a zstd bomb", NULL, make_zstd_bomb, PLAIN, 413, "inflated_too_large"},
    {"a sample without its location", NULL, make_dangling_location, PLAIN, 400, "malformed"},
    {"a line without its function", NULL, make_dangling_function, PLAIN, 200,
     "\"dangling_refs\":1"},
    {"a name without its string", NULL, make_dangling_string, PLAIN, 200, "\"bad_strings\":1"},
    {"a sample with two values for one type", NULL, make_wrong_arity, PLAIN, 400, "malformed"},
    {"10^6 empty messages for samples", NULL, make_a_million_empty_messages, PLAIN, 400,
     "malformed"},
    {"10^6 samples of nothing", NULL, make_a_million_zero_samples, GZIPPED, 200,
     "\"zero_samples\":1000000"},
    {"a sample above the limit", NULL, make_one_sample_too_many, GZIPPED, 400, "limit_exceeded"},
    {"a stack of 200,000 frames", NULL, make_deep_stack, PLAIN, 400, "limit_exceeded"},
    {"a name that is no UTF-8", NULL, make_bad_utf8, PLAIN, 200, "\"utf8_repaired\":1"},
    {"a profile without types", NULL, make_no_types, PLAIN, 400, "malformed"},
    {"6,000 stacks of 1,000 frames, all unlike", NULL, make_unlike_stacks, PLAIN, 400,
     "limit_exceeded"},
    {"300,000 stacks", NULL, make_many_stacks, GZIPPED, 200, "\"samples\":299998"},
    {"250,000 long names", NULL, make_many_names, GZIPPED, 200, "\"samples\":1"},
    {"a body over the cap", NULL, make_too_large_a_body, PLAIN, 413, "body_too_large"},
    {"a body over the cap, chunked", NULL, make_too_large_a_body, CHUNKED, 413, "body_too_large"},
    {"an unknown format", NULL, make_unknown_format, PLAIN, 415, "unknown_format"},
    {"an empty body", NULL, make_nothing, PLAIN, 400, "malformed"},
    {"noise", NULL, make_noise, PLAIN, 415, "unknown_format"},
    {"noise behind a good beginning", NULL, make_gzipped_noise, PLAIN, 400, "malformed"},
    {"a path that climbs", "/api/v1/../../etc/passwd?service=s", make_good, PLAIN, 400, "bad_path"},
    {"a path that climbs in disguise", "/ui/%2e%2e/%2e%2e/etc/passwd", make_good, PLAIN, 400,
     "bad_path"},
    {"a service of bad bytes", "/api/v1/profiles?service=%c3%28", make_good, PLAIN, 400, "bad_tag"},
    {"no service", "/api/v1/profiles", make_good, PLAIN, 400, "no_service"},
    {"a form", "/ingest?name=s", make_good, FORM, 200, ""},
    {"a form with a gzip bomb", "/ingest?name=s", make_gzip_bomb, FORM, 413, "inflated_too_large"},
    {"a form that is cut off", "/ingest?name=s", make_good, FORM_CUT, 400, "bad_multipart"},
    {"a name that does not close", "/ingest?name=s%7Ba%3D1", make_good, PLAIN, 400, "bad_name"},
    {"a profile from tomorrow", "/ingest?name=s&until=now%2B1d", make_good, PLAIN, 400,
     "future_profile"},
};

static void wrap_form(struct buf *b, const struct buf *body, bool cut)
{
    buf_append_str(b, "--BOUND\r\nContent-Disposition: form-data; name=\"profile\"\r\n\r\n");
    buf_append_bytes(b, buf_bytes(body));
    buf_append_str(b, cut ? "\r\n--BOU" : "\r\n--BOUND--\r\n");
}

static void put_chunked(struct buf *b, struct bytes body)
{
    while (body.len) {
        size_t n = body.len < 100000 ? body.len : 100000;

        buf_printf(b, "%zx\r\n", n);
        buf_append(b, body.data, n);
        buf_append_str(b, "\r\n");
        body = bytes_of(body.data + n, body.len - n);
    }
    buf_append_str(b, "0\r\n\r\n");
}

static void make_request(struct buf *out, const char *target, make_fn *make, enum how how)
{
    struct buf body = {0}, wrapped = {0};

    make(&body);
    if (how == GZIPPED)
        gzip(buf_bytes(&body), 1, &wrapped);
    else if (how == FORM || how == FORM_CUT)
        wrap_form(&wrapped, &body, how == FORM_CUT);
    else
        buf_append_bytes(&wrapped, buf_bytes(&body));
    buf_printf(out, "POST %s HTTP/1.1\r\nHost: x\r\n",
               target ? target : "/api/v1/profiles?service=hostile&until=now");
    if (how == FORM || how == FORM_CUT)
        buf_append_str(out, "Content-Type: multipart/form-data; boundary=BOUND\r\n");
    if (how == CHUNKED) {
        buf_append_str(out, "Transfer-Encoding: chunked\r\n\r\n");
        put_chunked(out, buf_bytes(&wrapped));
    } else {
        buf_printf(out, "Content-Length: %zu\r\n\r\n", wrapped.len);
        buf_append_bytes(out, buf_bytes(&wrapped));
    }
    buf_deinit(&body);
    buf_deinit(&wrapped);
}

/* ---- the process -------------------------------------------------------------------------------
 */

struct process {
    pid_t pid;
    char dir[64], socket[80];
    long idle_kib;
};

static long status_kib(const struct process *p, const char *key)
{
    char path[64], line[200];
    long kib = -1;
    FILE *in;

    snprintf(path, sizeof path, "/proc/%d/status", p->pid);
    in = fopen(path, "re");
    assert_non_null(in);
    while (fgets(line, sizeof line, in))
        if (strncmp(line, key, strlen(key)) == 0)
            kib = atol(line + strlen(key));
    fclose(in);
    return kib;
}

/* hearth-collector stands beside this test. */
static void exec_collector(const struct process *p)
{
    char self[400], program[500], listen[100], log_dir[100];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

    self[n > 0 ? n : 0] = '\0';
    snprintf(program, sizeof program, "%s/hearth-collector", dirname(self));
    snprintf(listen, sizeof listen, "unix:%s", p->socket);
    snprintf(log_dir, sizeof log_dir, "%s/log", p->dir);
    execl(program, program, "--listen", listen, "--socket", "off", "--admin", "off", "--log-dir",
          log_dir, NULL);
    fprintf(stderr, "cannot run %s: %s\n", program, strerror(errno));
    _exit(127);
}

static int set_up(void **state)
{
    struct process *p = calloc(1, sizeof *p);
    int fd = -1;

    strcpy(p->dir, "/tmp/hearth-hostile-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    snprintf(p->socket, sizeof p->socket, "%s/s", p->dir);
    p->pid = fork();
    if (p->pid == 0)
        exec_collector(p);
    for (int i = 0; fd < 0 && i < 400; i++) {
        assert_int_equal(waitpid(p->pid, NULL, WNOHANG), 0);
        usleep(25000);
        fd = http_connect_unix(p->socket);
    }
    assert_in_range(fd, 0, 10000);
    close(fd);
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct process *p = *state;
    char command[100];
    int status;

    kill(p->pid, SIGTERM);
    assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
    snprintf(command, sizeof command, "rm -rf %s", p->dir);
    assert_int_equal(system(command), 0);
    free(p);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    return 0;
}

/* From here on it cannot have more than the allowance, whatever it is sent. */
static void limit_memory(struct process *p)
{
    struct rlimit limit;

    p->idle_kib = status_kib(p, "VmHWM:");
    limit.rlim_cur = limit.rlim_max = (rlim_t)status_kib(p, "VmData:") * 1024 + GROWTH_MAX_BYTES;
    if (MEMORY_IS_MEASURED)
        assert_int_equal(prlimit(p->pid, RLIMIT_DATA, &limit, NULL), 0);
}

/* A peer that is refused early may not read on: then the rest of the body cannot be sent. */
static struct http_answer talk(const struct process *p, const struct buf *request)
{
    int fd = http_connect_unix(p->socket);
    struct timeval timeout = {.tv_sec = 60};
    struct http_answer a;

    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    http_send(fd, buf_bytes(request), 0);
    a = http_read_answer(fd, false);
    close(fd);
    return a;
}

static void send_good(const struct process *p, const char *after)
{
    struct buf request = {0};
    struct http_answer a;

    make_request(&request, NULL, make_good, PLAIN);
    a = talk(p, &request);
    if (a.status != 200)
        fail_msg("after %s a good profile got %d: %s", after, a.status, buf_cstr(&a.body));
    http_answer_deinit(&a);
    buf_deinit(&request);
}

static void send_case(const struct process *p, size_t i)
{
    struct buf request = {0};
    struct http_answer a;
    int64_t start_ms;

    make_request(&request, cases[i].target, cases[i].make, cases[i].how);
    start_ms = clock_mono_ms();
    a = talk(p, &request);
    print_message("%-42s %3d  %5lld ms  peak %3ld MiB\n", cases[i].what, a.status,
                  (long long)(clock_mono_ms() - start_ms), status_kib(p, "VmHWM:") >> 10);
    if (a.status != cases[i].status || !strstr(buf_cstr(&a.body), cases[i].word))
        fail_msg("%s: want %d %s, got %d %s", cases[i].what, cases[i].status, cases[i].word,
                 a.status, buf_cstr(&a.body));
    if (a.status != 200)
        assert_non_null(strstr(buf_cstr(&a.body), "{\"code\":\""));
    http_answer_deinit(&a);
    buf_deinit(&request);
}

static void every_bad_input_has_its_answer_and_the_process_goes_on(void **state)
{
    struct process *p = *state;

    limit_memory(p);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        send_case(p, i);
        send_good(p, cases[i].what);
    }
    if (MEMORY_IS_MEASURED)
        assert_in_range(status_kib(p, "VmHWM:") - p->idle_kib, 0, GROWTH_MAX_BYTES >> 10);
}

/* All at once, again and again: the limit is the process's, not an upload's. */
struct sender {
    const struct process *process;
    size_t first;
    int wrong;
};

static void *send_many(void *arg)
{
    struct sender *s = arg;

    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        size_t i = (s->first + k) % (sizeof cases / sizeof *cases);
        struct buf request = {0};
        struct http_answer a;

        make_request(&request, cases[i].target, cases[i].make, cases[i].how);
        a = talk(s->process, &request);
        s->wrong += a.status != cases[i].status && a.status != 503;
        http_answer_deinit(&a);
        buf_deinit(&request);
    }
    return NULL;
}

static void four_of_them_at_a_time_change_nothing(void **state)
{
    struct process *p = *state;
    struct sender senders[4] = {0};
    pthread_t threads[4];

    limit_memory(p);
    for (size_t i = 0; i < 4; i++) {
        senders[i] = (struct sender){p, i * 8, 0};
        pthread_create(&threads[i], NULL, send_many, &senders[i]);
    }
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(senders[i].wrong, 0);
    }
    send_good(p, "all of it");
    if (MEMORY_IS_MEASURED) {
        print_message("idle %ld KiB, peak %ld KiB, now %ld KiB\n", p->idle_kib,
                      status_kib(p, "VmHWM:"), status_kib(p, "VmRSS:"));
        assert_in_range(status_kib(p, "VmHWM:") - p->idle_kib, 0, GROWTH_MAX_BYTES >> 10);
        /* Large uploads do not set the size of the process for good. */
        assert_in_range(status_kib(p, "VmRSS:") - p->idle_kib, 0, 16 << 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_bad_input_has_its_answer_and_the_process_goes_on,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(four_of_them_at_a_time_change_nothing, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
