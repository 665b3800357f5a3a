/*
 * hearth push: each file is one POST (with --stream: push_stream.c). An overloaded server says when
 * to come again (429, 503); it is asked again until the tries are used up. A profile that was
 * refused for good does not keep the others back.
 */
#include "cli/push.h"
#include "base/backoff.h"
#include "base/clock.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/files.h"
#include "cli/given.h"
#include "collector/interval.h"
#include "profile/series.h"

#include <getopt.h>
#include <stdio.h>
#include <unistd.h>

enum { RETRY_AFTER_MAX_S = 60 };

static const char help[] =
    "Usage: hearth push FILE… --service NAME [OPTION]…\n"
    "\n"
    "Sends profiles (any format of docs/formats.md; plain, gzip, zstd or lz4; - is standard "
    "input).\n"
    "Go's heap, mutex and block profiles count from the start of the process: pushed one after the "
    "other\n"
    "they add up, so fetch ?seconds=10 of them, or have the collector pull, which takes "
    "differences.\n"
    "Each is acknowledged when it will survive a crash. Exit status: 0 all were taken, 1 some "
    "were\n"
    "not, 2 wrong usage.\n"
    "\n"
    "  --service NAME       whose profiles these are\n"
    "  --tenant NAME        whose service it is (X-Scope-OrgID); default: " TENANT_DEFAULT "\n"
    "  --tag KEY=VALUE      env=prod, version=v2, region=… make series; others are kept beside; "
    "repeat it,\n"
    "                       once for each key\n"
    "  --format NAME        what the files are, where their first bytes do not tell: lines, trie "
    "or tree\n"
    "                       (docs/formats.md has all names)\n"
    "  --sample-type NAME   what was counted, in formats that do not say it (folded, lines, trie, "
    "tree):\n"
    "                       cpu, wall, alloc_space, inuse_objects …; default samples\n"
    "  --unit NAME          of what was counted: bytes, nanoseconds …; default count. Counts of "
    "cpu "
    "and\n"
    "                       wall become nanoseconds by the sample rate\n"
    "  --sample-rate HZ     how often cpu or wall were sampled in a second; default 100\n"
    "  --from, --until TIME when it was recorded: Unix time, RFC 3339 or now-1m; default: what "
    "the\n"
    "                       profile says\n"
    "  --server URL         default " CLIENT_DEFAULT_SERVER "\n"
    "  --stream             all files over one connection, several at once; of each only the "
    "time is told\n"
    "  --quiet              say nothing of what went well\n";

static void add_tag(struct client *c, struct buf *url, const char *tag)
{
    const char *equals = strchr(tag, '=');
    char key[256];

    snprintf(key, sizeof key, "%.*s", (int)(equals - tag), tag);
    url_add(c, url, key, equals + 1);
}

static void make_url(const struct push *p, struct client *c, struct buf *url)
{
    url_path(url, "/api/v1/profiles");
    url_add(c, url, "service", p->service);
    url_add(c, url, "from", p->from);
    url_add(c, url, "until", p->until);
    url_add(c, url, "format", p->format);
    url_add(c, url, "sample_type", p->sample_type);
    url_add(c, url, "unit", p->unit);
    url_add(c, url, "sample_rate", p->sample_rate);
    for (size_t i = 0; i < p->n_tags; i++)
        add_tag(c, url, p->tags[i]);
}

static bool is_busy(const struct client_reply *r)
{
    return r->status == 429 || r->status == 503;
}

static void wait_before_retry(const struct client_reply *r, struct backoff *b)
{
    int s = r->retry_after_s;

    if (s < 0)
        usleep(backoff_next(b) * 1000);
    else
        sleep((unsigned)(s < RETRY_AFTER_MAX_S ? s : RETRY_AFTER_MAX_S));
}

void push_warn_if_old(const char *path, int64_t end_ns)
{
    char text[INTERVAL_WARNING_MAX];

    if (interval_warning(end_ns, clock_wall_ns(), "--until now", text))
        fprintf(stderr, "hearth push: %s: %s\n", path, text);
}

static int push_body(const struct push *p, struct client *c, struct bytes body,
                     struct buf *ret_answer, struct failure *f)
{
    struct backoff backoff = {.min_ms = 200, .max_ms = 5000};
    struct client_reply reply = {0};
    struct buf url = {0};
    int e = FAILURE;

    make_url(p, c, &url);
    for (int i = 0; i < PUSH_TRIES_MAX; i++) {
        client_reply_deinit(&reply);
        e = client_post(c, &url, body, &reply, f);
        if (e != 0 || !is_busy(&reply))
            break;
        if (i + 1 < PUSH_TRIES_MAX)
            wait_before_retry(&reply, &backoff);
    }
    if (e == 0 && reply.status != 200)
        e = client_refused(&reply, f);
    else if (e == 0)
        buf_append_bytes(ret_answer, buf_bytes(&reply.body));
    client_reply_deinit(&reply);
    buf_deinit(&url);
    return e;
}

void push_taken(const struct push *p, const char *path, struct buf *told)
{
    if (!p->quiet)
        printf("%s: taken%s%s\n", path, told->len ? ": " : "", told->len ? buf_cstr(told) : "");
}

int push_refused(const char *path, const struct failure *f)
{
    struct failure with_path;

    fail(&with_path, f->status, f->code, f->hint[0] ? f->hint : NULL, "%s: %s", path, f->message);
    return complain("push", &with_path);
}

static void say_taken(const struct push *p, const char *path, struct bytes answer)
{
    struct buf told = {0};
    int64_t until_ns;

    push_told(&told, answer, &until_ns);
    push_warn_if_old(path, until_ns);
    push_taken(p, path, &told);
    buf_deinit(&told);
}

static int push_file(const struct push *p, struct client *c, const char *path)
{
    struct buf body = {0}, answer = {0};
    struct failure f;
    int e = file_read(path, &body, &f);

    if (e == 0)
        e = push_body(p, c, buf_bytes(&body), &answer, &f);
    if (e == 0)
        say_taken(p, path, buf_bytes(&answer));
    buf_deinit(&answer);
    buf_deinit(&body);
    return e ? push_refused(path, &f) : 0;
}

static int push_files(const struct push *p, char *const *paths, size_t n)
{
    struct client *c = client_new(p->server);
    int status = 0;

    client_tenant(c, p->tenant);
    for (size_t i = 0; i < n; i++)
        status |= push_file(p, c, paths[i]);
    client_free(c);
    return status;
}

/* Words of the server's that are no tags: NULL, or the option that says it. */
static const char *option_of_key(const char *key, size_t len)
{
    static const char *const words[][2] = {
        {"service", "--service"},
        {"from", "--from"},
        {"until", "--until"},
        {"format", "--format"},
        {"sample_type", "--sample-type"},
        {"unit", "--unit"},
        {"sample_rate", "--sample-rate"},
    };

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strlen(words[i][0]) == len && memcmp(words[i][0], key, len) == 0)
            return words[i][1];
    return NULL;
}

static bool has_tag(const struct push *p, const char *key, size_t len)
{
    for (size_t i = 0; i < p->n_tags; i++)
        if (strncmp(p->tags[i], key, len) == 0 && p->tags[i][len] == '=')
            return true;
    return false;
}

static int add_tag_option(struct push *p, const char *value)
{
    size_t len = strcspn(value, "=");
    const char *option = option_of_key(value, len);

    if (len == 0 || value[len] == '\0')
        return wrong_usage("push", "--tag %s is not KEY=VALUE", value);
    if (option)
        return wrong_usage("push", "--tag %s: that is no tag, but the option %s", value, option);
    if (has_tag(p, value, len))
        return wrong_usage("push", "--tag %.*s is given twice: a tag has one value", (int)len,
                           value);
    if (p->n_tags == PUSH_TAGS_MAX)
        return wrong_usage("push", "more than %d tags", PUSH_TAGS_MAX);
    p->tags[p->n_tags++] = value;
    return -1;
}

static int set_tenant(struct push *p, const char *value)
{
    struct failure f;

    if (tenant_check(bytes_str(value), &f) != 0)
        return wrong_usage("push", "--tenant: %s (%s)", f.message, f.hint);
    p->tenant = value;
    return -1;
}

static bool is_repeatable(int arg)
{
    return arg == 'g';
}

/* text: the argument it came from. */
static int set_one(struct push *p, int arg, const char *value, const char *text)
{
    switch (arg) {
    case 'h':
        fputs(help, stdout);
        return 0;
    case 's':
        p->service = value;
        return -1;
    case 'u':
        p->server = value;
        return -1;
    case 'i':
        return set_tenant(p, value);
    case 'f':
        p->from = value;
        return -1;
    case 't':
        p->until = value;
        return -1;
    case 'q':
        p->quiet = true;
        return -1;
    case 'm':
        p->stream = true;
        return -1;
    case 'o':
        p->format = value;
        return -1;
    case 'y':
        p->sample_type = value;
        return -1;
    case 'n':
        p->unit = value;
        return -1;
    case 'r':
        p->sample_rate = value;
        return -1;
    case 'g':
        return add_tag_option(p, value);
    default:
        return wrong_usage("push", "%s: an option that is not known, or without its value", text);
    }
}

int verb_push(int argc, char **argv)
{
    static const struct option long_options[] = {{"help", no_argument, NULL, 'h'},
                                                 {"service", required_argument, NULL, 's'},
                                                 {"server", required_argument, NULL, 'u'},
                                                 {"tenant", required_argument, NULL, 'i'},
                                                 {"tag", required_argument, NULL, 'g'},
                                                 {"from", required_argument, NULL, 'f'},
                                                 {"until", required_argument, NULL, 't'},
                                                 {"format", required_argument, NULL, 'o'},
                                                 {"sample-type", required_argument, NULL, 'y'},
                                                 {"unit", required_argument, NULL, 'n'},
                                                 {"sample-rate", required_argument, NULL, 'r'},
                                                 {"quiet", no_argument, NULL, 'q'},
                                                 {"stream", no_argument, NULL, 'm'},
                                                 {0}};
    struct push p = {0};
    struct given given = {{false}};
    int arg, status = -1;

    opterr = 0;
    optind = 0; /* begin anew: GNU */
    while (status < 0 && (arg = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
        if (!is_repeatable(arg))
            status = given_once(&given, "push", long_options, arg);
        if (status < 0)
            status = set_one(&p, arg, optarg, argv[optind - 1]);
    }
    if (status >= 0)
        return status;
    if (optind == argc)
        return wrong_usage("push", "no files were given");
    if (!p.service)
        return wrong_usage("push", "--service is missing");
    return p.stream ? push_stream(&p, argv + optind, (size_t)(argc - optind))
                    : push_files(&p, argv + optind, (size_t)(argc - optind));
}
