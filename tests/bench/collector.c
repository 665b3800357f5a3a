/*
 * What a collector costs: idle and peak RSS, profiles a second, CPU a profile, latency, against the
 * real program with a local log (every answer is an fdatasync), or Kafka.
 *
 *   bench_collector [--profiles 10000] [--connections 20] [--bytes 38000] [--input FILE.pb.gz]
 *                   [--collector PATH] [--kafka BROKERS] [--keep FILE] [--spread]
 *
 * The collector has one core to itself and the load the others, so that "a core" is what it says:
 * threads that move between cores find their caches cold, which costs a tenth (--spread lets them).
 * What inflating takes is measured on the collector's core.
 *
 * The profile is made from a real one: a part of its samples, or copies of them under other names,
 * until it has the size asked for. Exits 1 when an upload failed, and above the limits that the
 * design sets: 12 MiB idle; at the peak 24 MiB for up to 20 connections and 40 MiB for more, and
 * for bodies above 38 KB as much again as the bodies may take together.
 */
#include "base/clock.h"
#include "bench.h"
#include "formats/decode.h"
#include "formats/inflate.h"
#include "formats/pprof.h"
#include "lib/http_client.h"

#include <dirent.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/utsname.h>
#include <sys/wait.h>

enum { IDLE_MAX_KIB = 12 << 10, COPIES_MAX = 1000, FRAMES_MAX = 4096 };

static struct {
    long profiles, connections, bytes;
    const char *input, *collector, *kafka, *keep;
    bool spread;
} options = {
    .profiles = 10000,
    .connections = 20,
    .bytes = 38000,
    .input = TEST_DATA "/pprof/pyroscope-nodejs-wall.pb.gz",
    .collector = BIN_DIR "/hearth-collector",
};

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    exit(1);
}

/* ---- the input --------------------------------------------------------------------------------
 */

struct source {
    struct symbols *symbols;
    struct stacks *stacks;
    struct profile profile;
};

/* Of a file with several profiles the last. */
static int take_profile(void *ctx, struct profile *p, const struct profile_about *about,
                        struct failure *f)
{
    struct source *s = ctx;
    struct profile before = s->profile;

    (void)about;
    (void)f;
    s->profile = *p;
    *p = before;
    return 0;
}

static void source_read(struct source *s, const char *path)
{
    const struct decode_limits limits = {1 << 30, profile_limits_default};
    struct decoder *d = decoder_new(&limits);
    struct decode_stats stats = {0};
    struct buf body = {0};
    struct profile scratch;
    struct failure f;
    struct reading rd = {
        .into = &scratch, .stats = &stats, .emit = take_profile, .ctx = s, .f = &f};
    FILE *in = fopen(path, "re");

    if (!in)
        die("cannot read %s", path);
    buf_reserve(&body, 64 << 20);
    body.len = fread(body.data, 1, 64 << 20, in);
    fclose(in);
    s->symbols = symbols_new();
    s->stacks = stacks_new();
    profile_init(&s->profile, s->symbols, s->stacks);
    profile_init(&scratch, s->symbols, s->stacks);
    if (decode(d, buf_bytes(&body), &rd))
        die("%s: %s", path, f.message);
    profile_deinit(&scratch);
    buf_deinit(&body);
    decoder_free(d);
}

/* The stack under functions whose names end in "~copy"; copy 0 is the stack itself. */
static uint32_t copy_stack(struct source *s, uint32_t stack, unsigned copy)
{
    uint32_t frames[FRAMES_MAX];
    size_t n = stacks_frames(s->stacks, stack, frames, FRAMES_MAX);
    struct buf name = {0};

    for (size_t i = 0; copy && i < n; i++) {
        struct frame frame = *symbols_get_frame(s->symbols, frames[i]);
        struct function fn = *symbols_get_function(s->symbols, frame.function);

        buf_reset(&name);
        buf_append_bytes(&name, symbols_text(s->symbols, fn.name));
        buf_printf(&name, "~%u", copy);
        fn.name = symbols_string(s->symbols, buf_bytes(&name));
        frame.function = frame.function ? symbols_function(s->symbols, &fn) : 0;
        frames[i] = symbols_frame(s->symbols, &frame);
    }
    buf_deinit(&name);
    return stacks_intern(s->stacks, frames, n);
}

static void take_header(struct profile *p, const struct profile *from)
{
    CHECK(profile_set_types(p, from->types, from->n_types) == 0);
    p->period_type = from->period_type;
    p->period = from->period;
    p->duration_ns = from->duration_ns;
}

/* n rows: the source's, then copies of them. */
static void write_rows(struct source *s, uint32_t n, struct buf *out)
{
    struct profile p;
    struct buf raw = {0};

    profile_init(&p, s->symbols, s->stacks);
    take_header(&p, &s->profile);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t row = i % s->profile.n_rows;
        int64_t values[PROFILE_TYPES_MAX];

        for (uint32_t t = 0; t < p.n_types; t++)
            values[t] = s->profile.values[t][row];
        profile_add(&p, copy_stack(s, s->profile.row_stack[row], i / s->profile.n_rows), 0, values);
    }
    pprof_write(&p, &raw);
    buf_reset(out);
    gzip(buf_bytes(&raw), 6, out);
    buf_deinit(&raw);
    profile_deinit(&p);
}

static uint32_t make_input(struct buf *out)
{
    uint32_t low = 1, high = 1;
    struct source s;

    source_read(&s, options.input);
    do {
        high *= 2;
        write_rows(&s, high, out);
    } while ((long)out->len < options.bytes && high < s.profile.n_rows * COPIES_MAX);
    while (low + 1 < high) {
        uint32_t mid = low + (high - low) / 2;

        write_rows(&s, mid, out);
        if ((long)out->len < options.bytes)
            low = mid;
        else
            high = mid;
    }
    write_rows(&s, high, out);
    profile_deinit(&s.profile);
    stacks_free(s.stacks);
    symbols_free(s.symbols);
    return high;
}

/* For bench_transcode, which then says what of the collector's time is the decoding. */
static void keep_input(struct bytes gz)
{
    FILE *out = options.keep ? fopen(options.keep, "we") : NULL;

    if (options.keep && (!out || fwrite(gz.data, 1, gz.len, out) != gz.len || fclose(out) != 0))
        die("cannot write %s", options.keep);
}

/* ---- the collector ----------------------------------------------------------------------------
 */

static char log_dir[] = "/tmp/hearth-bench-XXXXXX";
static pid_t collector;
static int port, admin_port;

/* Free a moment ago: below the ephemeral range nobody takes it by chance. */
static int free_port(void)
{
    static int next = 23000;

    for (; next < 32000; next++) {
        struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons((uint16_t)next)};
        int fd = socket(AF_INET, SOCK_STREAM, 0), r;

        sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        r = bind(fd, (struct sockaddr *)&sin, sizeof sin);
        close(fd);
        if (r == 0)
            return next++;
    }
    die("no free port");
}

enum cores { COLLECTORS_CORE, OTHER_CORES };

/* The calling thread, and what it starts, run there from now on. */
static void run_on(enum cores which)
{
    size_t last = (size_t)sysconf(_SC_NPROCESSORS_ONLN) - 1;
    cpu_set_t set;

    if (options.spread || last == 0)
        return;
    CPU_ZERO(&set);
    if (which == COLLECTORS_CORE)
        CPU_SET(last, &set);
    for (size_t i = 0; which == OTHER_CORES && i < last; i++)
        CPU_SET(i, &set);
    if (sched_setaffinity(0, sizeof set, &set))
        fprintf(stderr, "cannot bind to a core: %s\n", strerror(errno));
}

static void exec_collector(void)
{
    char listen[40], admin[40];

    run_on(COLLECTORS_CORE);
    snprintf(listen, sizeof listen, "127.0.0.1:%d", port);
    snprintf(admin, sizeof admin, "127.0.0.1:%d", admin_port);
    if (options.kafka)
        execl(options.collector, options.collector, "--listen", listen, "--admin", admin,
              "--socket", "off", "--kafka-brokers", options.kafka, NULL);
    else
        execl(options.collector, options.collector, "--listen", listen, "--admin", admin,
              "--socket", "off", "--log-dir", log_dir, NULL);
    die("cannot run %s", options.collector);
}

static void stop_collector(void)
{
    char command[200];

    if (collector > 0) {
        kill(collector, SIGTERM);
        waitpid(collector, NULL, 0);
    }
    snprintf(command, sizeof command, "rm -rf %s", log_dir);
    if (!options.kafka && system(command))
        fprintf(stderr, "left behind: %s\n", log_dir);
}

static void start_collector(void)
{
    if (!options.kafka && !mkdtemp(log_dir))
        die("no temporary directory");
    port = free_port();
    admin_port = free_port();
    collector = fork();
    if (collector == 0)
        exec_collector();
    atexit(stop_collector);
    for (int i = 0; i < 200; i++) {
        struct http_answer a =
            http_talk(admin_port, BYTES_LIT("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"), 0);
        int status = a.status;

        http_answer_deinit(&a);
        if (status == 200)
            return;
        usleep(50000);
    }
    die("the collector does not become ready");
}

/* A "VmRSS:"-like line of /proc/PID/status, in KiB. */
static long memory_kib(const char *key)
{
    char path[64], line[200];
    long kib = -1;
    FILE *in;

    snprintf(path, sizeof path, "/proc/%d/status", collector);
    in = fopen(path, "re");
    while (in && fgets(line, sizeof line, in))
        if (strncmp(line, key, strlen(key)) == 0)
            kib = atol(line + strlen(key));
    if (in)
        fclose(in);
    return kib;
}

static double cpu_seconds(void)
{
    unsigned long user = 0, system_ = 0;
    char path[64];
    FILE *in;

    snprintf(path, sizeof path, "/proc/%d/stat", collector);
    in = fopen(path, "re");
    if (!in || fscanf(in, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                      &system_) != 2)
        die("cannot read %s", path);
    fclose(in);
    return (double)(user + system_) / (double)sysconf(_SC_CLK_TCK);
}

/* ---- the load ---------------------------------------------------------------------------------
 */

static struct buf request;
static _Atomic long left, failed;
static float *latency_ms;

static double now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void *send_profiles(void *arg)
{
    int fd = http_connect(port);
    long i;

    (void)arg;
    while ((i = --left) >= 0) {
        double start = now_ms();
        struct http_answer a = {0};

        if (fd >= 0 && http_send(fd, buf_bytes(&request), 0))
            a = http_read_answer(fd, false);
        if (a.status != 200 && failed++ == 0)
            fprintf(stderr, "first failure: %d %s\n", a.status, buf_cstr(&a.body));
        latency_ms[i] = (float)(now_ms() - start);
        http_answer_deinit(&a);
    }
    close(fd);
    return NULL;
}

/* What inflating the upload takes meanwhile, on the same core with the same neighbours: a few
 * times in a row, of which the first finds cold caches and is not counted. That is a hundredth of a
 * core for 38 KB, and an eighth of one for 300 KB. */
struct meter {
    struct bytes gz;
    _Atomic bool stop;
    size_t raw; /* of all n times */
    double cpu_s;
    long n;
};

static void *measure_inflating(void *arg)
{
    enum { TIMES = 5, PAUSE_US = 100000 };
    struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
    uint8_t *out = xmalloc(INFLATE_MAX);
    struct meter *m = arg;
    size_t ignored = 0;

    run_on(COLLECTORS_CORE);
    do {
        inflate_one(d, m->gz, out, &ignored);
        for (int i = 1; i < TIMES; i++, m->n++)
            m->cpu_s += inflate_one(d, m->gz, out, &m->raw);
        usleep(PAUSE_US);
    } while (!m->stop);
    free(out);
    libdeflate_free_decompressor(d);
    return NULL;
}

static void run_load(struct bytes body, struct meter *m)
{
    pthread_t threads[1000], inflating;

    buf_printf(&request,
               "POST /api/v1/profiles?service=bench&env=test&version=1&host=h HTTP/1.1\r\n"
               "Host: x\r\nContent-Length: %zu\r\n\r\n",
               body.len);
    buf_append_bytes(&request, body);
    left = options.profiles;
    latency_ms = calloc((size_t)options.profiles, sizeof *latency_ms);
    m->gz = body;
    run_on(OTHER_CORES);
    pthread_create(&inflating, NULL, measure_inflating, m);
    for (long i = 0; i < options.connections; i++)
        pthread_create(&threads[i], NULL, send_profiles, NULL);
    for (long i = 0; i < options.connections; i++)
        pthread_join(threads[i], NULL);
    m->stop = true;
    pthread_join(inflating, NULL);
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

static void print_machine(void)
{
    char line[200] = "", model[120] = "unknown CPU";
    FILE *in = fopen("/proc/cpuinfo", "re");
    struct utsname u;

    while (in && fgets(line, sizeof line, in))
        if (strncmp(line, "model name", 10) == 0)
            snprintf(model, sizeof model, "%s", strchr(line, ':') + 2);
    if (in)
        fclose(in);
    model[strcspn(model, "\n")] = '\0';
    uname(&u);
    printf("machine        %s, %ld cores, Linux %s\n", model, sysconf(_SC_NPROCESSORS_ONLN),
           u.release);
}

static long peak_max_kib(void)
{
    enum { USUAL_BYTES = 38000, BODY_BUDGET_KIB = 64 << 10 };
    long kib = options.connections <= 20 ? 24 << 10 : 40 << 10;
    long bodies_kib = options.connections * options.bytes >> 10;

    if (options.bytes <= USUAL_BYTES)
        return kib;
    return kib + (bodies_kib < BODY_BUDGET_KIB ? bodies_kib : BODY_BUDGET_KIB);
}

static bool print_memory(const char *name, long kib, long limit_kib)
{
    printf("%-14s %.1f MiB (limit %ld MiB)%s\n", name, (double)kib / 1024, limit_kib >> 10,
           kib > limit_kib ? "  TOO MUCH" : "");
    return kib <= limit_kib;
}

static void read_options(int argc, char **argv)
{
    static const struct option longs[] = {
        {"profiles", 1, NULL, 'p'}, {"connections", 1, NULL, 'c'}, {"bytes", 1, NULL, 'b'},
        {"input", 1, NULL, 'i'},    {"collector", 1, NULL, 'x'},   {"kafka", 1, NULL, 'k'},
        {"keep", 1, NULL, 'o'},     {"spread", 0, NULL, 's'},      {0},
    };

    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        if (c == 'p')
            options.profiles = atol(optarg);
        else if (c == 'c')
            options.connections = atol(optarg) < 1000 ? atol(optarg) : 1000;
        else if (c == 'b')
            options.bytes = atol(optarg);
        else if (c == 'i')
            options.input = optarg;
        else if (c == 'x')
            options.collector = optarg;
        else if (c == 'k')
            options.kafka = optarg;
        else if (c == 'o')
            options.keep = optarg;
        else if (c == 's')
            options.spread = true;
        else
            exit(2);
    }
}

int main(int argc, char **argv)
{
    struct buf body = {0};
    struct meter meter = {0};
    double wall, cpu, cpu_each, floor_s;
    uint32_t rows;
    long idle, peak;
    bool good;

    read_options(argc, argv);
    rows = make_input(&body);
    keep_input(buf_bytes(&body));
    start_collector();
    sleep(1);
    idle = memory_kib("VmRSS:");
    cpu = cpu_seconds();
    wall = now_ms();
    run_load(buf_bytes(&body), &meter);
    wall = (now_ms() - wall) / 1e3;
    cpu = cpu_seconds() - cpu;
    peak = memory_kib("VmHWM:");
    floor_s = meter.cpu_s / (double)meter.n;
    cpu_each = cpu / (double)options.profiles;
    qsort(latency_ms, (size_t)options.profiles, sizeof *latency_ms, by_value);

    print_machine();
    printf("input          %zu bytes of gzip, %zu raw, %u samples; log: %s\n", body.len,
           meter.raw / (size_t)meter.n, rows, options.kafka ? "Kafka" : "local, fdatasync");
    good = print_memory("idle RSS", idle, IDLE_MAX_KIB);
    good &= print_memory("peak RSS", peak, peak_max_kib());
    printf("RSS after      %.1f MiB\n", (double)memory_kib("VmRSS:") / 1024);
    printf("uploads        %ld from %ld connections, %ld failed\n", options.profiles,
           options.connections, (long)failed);
    printf("rate           %.0f profiles/s, %.1f MB/s of gzip\n", (double)options.profiles / wall,
           (double)options.profiles * (double)body.len / wall / 1e6);
    printf("CPU            %.0f us a profile, %.0f profiles/s a core\n", cpu_each * 1e6,
           1 / cpu_each);
    printf("               %.2f x inflating it, which took %.0f us meanwhile (%.0f MB/s)\n",
           cpu_each / floor_s, floor_s * 1e6, (double)meter.raw / meter.cpu_s / 1e6);
    printf("               %.0f profiles/s a core where inflating does %d MB/s\n",
           slowness(meter.cpu_s, meter.raw) / cpu_each, TARGETS_MB_S);
    printf("latency        p50 %.1f ms, p99 %.1f ms, max %.1f ms\n",
           (double)latency_ms[options.profiles / 2],
           (double)latency_ms[options.profiles * 99 / 100],
           (double)latency_ms[options.profiles - 1]);
    return good && failed == 0 ? 0 : 1;
}
