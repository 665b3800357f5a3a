/*
 * How a program comes by its settings: the words that only ask for something (--help, --options …)
 * are taken out of the arguments first, then flags, environment and the file that they named are
 * read, and only then is anything said, so that a user sees all mistakes at once.
 */
#include "base/logger.h"
#include "base/metrics.h"
#include "base/xalloc.h"
#include "net/daemon.h"
#include "net/http_address.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define DAEMON_ROW(...) OPTION_ROW(struct daemon_options, __VA_ARGS__)
const struct option_row daemon_option_rows[] = {DAEMON_OPTIONS(DAEMON_ROW){0}};

/* Design: what one environment sets for all programs, whether or not they use it. */
static const char *const shared_env[] = {"kafka_brokers", "kafka_topic", "redis_url", "late_max",
                                         NULL};

enum request { REQUEST_NONE, HELP, VERSION, OPTIONS, OPTIONS_MARKDOWN, METRICS, CHECK_CONFIG };

static const struct {
    const char *flag;
    const char *help;
} requests[] = {
    [HELP] = {"--help", "print this"},
    [VERSION] = {"--version", "print the version"},
    [OPTIONS] = {"--options", "print the options"},
    [OPTIONS_MARKDOWN] = {"--options-markdown", "print the options as Markdown"},
    [METRICS] = {"--metrics", "print the metrics that /metrics serves"},
    [CHECK_CONFIG] = {"--check-config", "list every error of the configuration and exit"},
};

enum { N_REQUESTS = sizeof requests / sizeof *requests };

static enum request request_of(const char *arg)
{
    for (int i = 1; i < N_REQUESTS; i++) {
        if (strcmp(arg, requests[i].flag) == 0)
            return (enum request)i;
    }
    return REQUEST_NONE;
}

/* Takes the requests out of argv; the first one counts. */
static enum request take_request(int *argc, char **argv)
{
    enum request first = REQUEST_NONE;
    bool flags = true;
    int n = 1;

    for (int i = 1; i < *argc; i++) {
        enum request r;

        flags = flags && strcmp(argv[i], "--") != 0;
        r = flags ? request_of(argv[i]) : REQUEST_NONE;
        if (r == REQUEST_NONE)
            argv[n++] = argv[i];
        else if (first == REQUEST_NONE)
            first = r;
    }
    *argc = n;
    return first;
}

static void print_help(const struct options *o, const char *program, struct buf *out)
{
    buf_printf(out, "Usage: %s [--config FILE] [--OPTION VALUE]...\n\n", program);
    for (int i = 1; i < N_REQUESTS; i++)
        buf_printf(out, "  %-20s %s\n", requests[i].flag, requests[i].help);
    buf_append_str(out, "\nEvery option is also a key of the YAML file (with '_' for '-') and a "
                        "variable.\nA flag beats the variable, the variable the file.\n\n");
    options_help(o, out);
}

/* Answers what needs no configuration. False: there is nothing of that kind to answer. */
static bool answer(enum request request, const struct options *o, const char *program)
{
    struct buf out = {0};

    switch (request) {
    case HELP:
        print_help(o, program, &out);
        break;
    case VERSION:
        buf_printf(&out, "%s %s\n", program, HEARTH_VERSION);
        break;
    case OPTIONS:
        options_help(o, &out);
        break;
    case OPTIONS_MARKDOWN:
        buf_printf(&out, "## %s\n\n", program);
        options_markdown(o, &out);
        break;
    case METRICS:
        metrics_describe(&out);
        break;
    default:
        return false;
    }
    fwrite(out.data, 1, out.len, stdout);
    buf_deinit(&out);
    return true;
}

static void print_errors(const struct options *o, const char *program)
{
    for (size_t i = 0; i < options_errors(o); i++)
        fprintf(stderr, "%s: %s\n", program, options_error(o, i));
}

static void print_warnings(const struct options *o, const char *program)
{
    for (size_t i = 0; i < options_warnings(o); i++)
        fprintf(stderr, "%s: warning: %s\n", program, options_warning(o, i));
}

static void log_warnings(const struct options *o)
{
    for (size_t i = 0; i < options_warnings(o); i++)
        LOG(LOG_WARN, "option_ignored", F_STR("reason", options_warning(o, i)));
}

static void start_logger(const struct daemon_options *d, const char *program)
{
    enum log_level level = LOG_INFO;

    log_level_parse(d->log_level, &level); /* one of the words: the row saw to it */
    logger_init(program, level, strcmp(d->log_format, "json") == 0);
}

/* Addresses that can be parsed, each of a setting. */
struct taken {
    struct {
        struct http_address address;
        const char *setting;
    } * at;
    size_t n, cap;
};

static bool has_port_0(const struct http_address *a)
{
    return !a->is_unix && ((const struct sockaddr_in *)&a->ss)->sin_port == 0; /* as of sin6_port */
}

static bool same_address(const struct http_address *a, const struct http_address *b)
{
    return memcmp(&a->ss, &b->ss, sizeof a->ss) == 0 && strcmp(a->path, b->path) == 0;
}

/* Refuses one that was taken before; port 0 is any. */
static void take_address(struct options *o, struct taken *t, const char *address,
                         const char *setting)
{
    struct http_address a;
    struct failure f;

    if (http_address_parse(&a, address, setting, &f)) {
        options_refuse(o, &f);
        return;
    }
    for (size_t i = 0; i < t->n; i++)
        if (same_address(&a, &t->at[i].address) && !has_port_0(&a)) {
            fail(&f, 400, "bad_address", NULL,
                 "cannot listen on \"%s\" twice: it is an address of %s already (setting: %s)",
                 address, t->at[i].setting, setting);
            options_refuse(o, &f);
            return;
        }
    XGROW(t->at, t->cap, t->n + 1);
    t->at[t->n].address = a;
    t->at[t->n++].setting = setting;
}

void daemon_check_listeners(struct options *o, const struct daemon_listener *listeners, size_t n)
{
    struct taken taken = {0};

    for (size_t i = 0; i < n; i++) {
        const char *list = listeners[i].addresses;
        char *copy = xstrdup(list ? list : ""), *rest = copy, *address;

        while ((address = strsep(&rest, ",")))
            if (*address && !(listeners[i].may_be_off && http_address_is_off(address)))
                take_address(o, &taken, address, listeners[i].setting);
        free(copy);
    }
    free(taken.at);
}

int daemon_options_load(struct options *o, struct daemon_options *d, const char *program, int *argc,
                        char **argv, int *ret_exit)
{
    enum request request = take_request(argc, argv);

    options_bind(o, daemon_option_rows, d, "Process");
    options_foreign_env(o, shared_env);
    *ret_exit = 0;
    if (answer(request, o, program))
        return 1;
    options_load_args(o, argc, argv);
    options_refuse_words(o, *argc, argv);
    options_load_env(o, environ);
    if (d->config)
        options_load_file(o, d->config);
    options_run_checks(o); /* also where names are wrong: all that is wrong is said at once */
    if (options_errors(o) > 0) {
        print_errors(o, program);
        *ret_exit = 1;
        return 1;
    }
    if (request == CHECK_CONFIG) {
        print_warnings(o, program);
        puts("ok");
        return 1;
    }
    start_logger(d, program);
    log_warnings(o);
    xalloc_tune(0);
    return 0;
}
