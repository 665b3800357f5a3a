#include "cli/report.h"

#include "base/options.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/given.h"
#include "profile/series.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static const char help_of_both[] =
    "\n"
    "From files (any format of docs/formats.md; plain, gzip, zstd or lz4; - is standard input):\n"
    "  --type NAME          sample type, such as cpu; default: the profile's own default, else its "
    "last;\n"
    "                       of several profiles that of CPU time, else the first\n"
    "  --input-format NAME  what the files are, where their first bytes do not say\n"
    "From a server (when no file is given):\n"
    "  --server URL         default " CLIENT_DEFAULT_SERVER "\n"
    "  --service NAME       required\n"
    "  --tenant NAME        whose service it is (X-Scope-OrgID); default: " TENANT_DEFAULT "\n"
    "  --type NAME          five-part name, or one part of it; default: CPU time\n"
    "  --from, --until TIME Unix time, RFC 3339 or now-1h; default: the last hour\n"
    "  --match SELECTOR     which series: '{env=\"prod\",version=~\"v1.*\"}' or 'env:prod "
    "version:v1'\n"
    "Each at most once.\n";

static const char help_of_sides[] = "  --a, --b SELECTOR    --match of one side; also --a-service, "
                                    "--b-from and so on for what differs\n";

static const char help_of_output[] =
    "Output:\n"
    "  -o FORMAT            text, json, folded or pprof\n"
    "  -o FILE              that file; .pb.gz is pprof, .json JSON, .folded folded stacks, else "
    "text\n"
    "  --lines              by line, not by function (folded, json)\n"
    "  --limit N            rows of the table (default 30)\n"
    "  --sort self|total    order of the table (default self)\n"
    "\n"
    "Exit status: 0 done, 1 it did not work, 2 wrong usage, 3 nothing matched: no such service or "
    "type,\n"
    "no profile of that selector and time, or none with samples (of diff: on both sides). What, is "
    "said on\n"
    "stderr.\n";

static void print_help(const struct report *r)
{
    static const char *const what[][2] = {
        {"top",
         "The functions that cost most: what they spend themselves, and with what they call.\n"},
        {"query", "One merged profile, as folded stacks unless -o says otherwise.\n"},
        {"diff",
         "What changed: value of b minus value of a. Of two files -o FILE.pb.gz is the difference "
         "of\n"
         "all types, locations and labels, as `go tool pprof -proto -base A B` makes it.\n"},
    };
    const char *text = "";

    for (size_t i = 0; i < sizeof what / sizeof *what; i++)
        if (strcmp(what[i][0], r->verb) == 0)
            text = what[i][1];
    printf("Usage: hearth %s %s\n       hearth %s [--server URL] --service NAME [OPTION]…\n\n%s",
           r->verb, r->n_sides == 2 ? "A B [OPTION]…" : "FILE… [OPTION]…", r->verb, text);
    printf("%s%s%s", help_of_both, r->n_sides == 2 ? help_of_sides : "", help_of_output);
}

enum {
    ARG_HELP = 'h',
    ARG_OUT = 'o',
    ARG_SERVER = 256,
    ARG_TENANT,
    ARG_LINES,
    ARG_LIMIT,
    ARG_SORT,
    ARG_INPUT_FORMAT,
    ARG_OUT_FORMAT, /* -o with the name of a format */
    ARG_SIDE,       /* + field * 3 + (0 both, 1 a, 2 b) */
};
enum { FIELD_SERVICE, FIELD_TYPE, FIELD_FROM, FIELD_UNTIL, FIELD_MATCH };

#define SIDE_ARG(field, side) (ARG_SIDE + (field)*3 + (side))
#define SIDE_ROWS(name, field)                                                                     \
    {name, required_argument, NULL, SIDE_ARG(field, 0)},                                           \
        {"a-" name, required_argument, NULL, SIDE_ARG(field, 1)},                                  \
    {                                                                                              \
        "b-" name, required_argument, NULL, SIDE_ARG(field, 2)                                     \
    }

static const struct option long_options[] = {
    {"help", no_argument, NULL, ARG_HELP},
    {"output", required_argument, NULL, ARG_OUT},
    {"server", required_argument, NULL, ARG_SERVER},
    {"tenant", required_argument, NULL, ARG_TENANT},
    {"lines", no_argument, NULL, ARG_LINES},
    {"limit", required_argument, NULL, ARG_LIMIT},
    {"sort", required_argument, NULL, ARG_SORT},
    {"input-format", required_argument, NULL, ARG_INPUT_FORMAT},
    {"a", required_argument, NULL, SIDE_ARG(FIELD_MATCH, 1)},
    {"b", required_argument, NULL, SIDE_ARG(FIELD_MATCH, 2)},
    SIDE_ROWS("service", FIELD_SERVICE),
    SIDE_ROWS("type", FIELD_TYPE),
    SIDE_ROWS("from", FIELD_FROM),
    SIDE_ROWS("until", FIELD_UNTIL),
    SIDE_ROWS("match", FIELD_MATCH),
    {0},
};

static const char **field_of(struct report_side *s, int field)
{
    const char **fields[] = {&s->service, &s->type, &s->from, &s->until, &s->match};

    return fields[field];
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);

    return n >= m && strcmp(s + n - m, end) == 0;
}

static const struct {
    const char *word, *extension;
    enum answer_format format;
} formats[] = {
    {"text", ".txt", FORMAT_TEXT},        {"json", ".json", FORMAT_JSON},
    {"folded", ".folded", FORMAT_FOLDED}, {"pprof", ".pb.gz", FORMAT_PPROF},
    {"pprof", ".pprof", FORMAT_PPROF},
};

enum { N_FORMATS = sizeof formats / sizeof *formats };

static bool is_format(const char *value)
{
    for (size_t i = 0; i < N_FORMATS; i++)
        if (strcmp(value, formats[i].word) == 0)
            return true;
    return false;
}

static void set_output(struct report *r, const char *value)
{
    bool by_word = is_format(value);

    if (!by_word)
        r->out = value;
    for (size_t i = 0; i < N_FORMATS; i++)
        if (by_word ? strcmp(value, formats[i].word) == 0 : ends_with(value, formats[i].extension))
            r->format = formats[i].format;
}

/* A file and its format may stand beside each other: they are two options. */
static int check_output_once(const struct report *r, struct given *g, const char *value)
{
    bool format = is_format(value);

    if (!given_before(g, format ? ARG_OUT_FORMAT : ARG_OUT))
        return -1;
    return wrong_usage(r->verb, "-o %s is given twice", format ? "FORMAT" : "FILE");
}

static bool is_match(int arg)
{
    return arg >= ARG_SIDE && (arg - ARG_SIDE) / 3 == FIELD_MATCH;
}

static int check_once(const struct report *r, struct given *g, int arg, const char *value)
{
    if (arg == ARG_OUT)
        return check_output_once(r, g, value);
    if (is_match(arg) && given_before(g, arg))
        return wrong_usage(r->verb,
                           "--%s is given twice; one selector takes several terms: "
                           "'{env=\"prod\",version=\"2\"}' or 'env:prod version:2'",
                           given_name(long_options, arg));
    return is_match(arg) ? -1 : given_once(g, r->verb, long_options, arg);
}

static int set_side(struct report *r, int arg, const char *value)
{
    int field = (arg - ARG_SIDE) / 3, side = (arg - ARG_SIDE) % 3;

    if (side > 0 && r->n_sides == 1)
        return wrong_usage(r->verb, "--a and --b are for diff");
    for (uint32_t s = 0; s < r->n_sides; s++) {
        const char **at = field_of(&r->sides[s], field);

        if (side == (int)s + 1 || (side == 0 && !*at))
            *at = value;
    }
    return -1;
}

static int set_tenant(struct report *r, const char *value)
{
    struct failure f;

    if (tenant_check(bytes_str(value), &f) != 0)
        return wrong_usage(r->verb, "--tenant: %s (%s)", f.message, f.hint);
    r->tenant = value;
    return -1;
}

/* text: the argument it came from. */
static int set_one(struct report *r, int arg, const char *value, const char *text)
{
    int64_t limit;

    switch (arg) {
    case ARG_HELP:
        print_help(r);
        return 0;
    case ARG_OUT:
        set_output(r, value);
        return -1;
    case ARG_SERVER:
        r->server = value;
        return -1;
    case ARG_TENANT:
        return set_tenant(r, value);
    case ARG_INPUT_FORMAT:
        r->input_format = value;
        return -1;
    case ARG_LINES:
        r->granularity = GRANULARITY_LINE;
        return -1;
    case ARG_LIMIT:
        if (option_parse_int(value, 1, INT32_MAX, &limit) != 0)
            return wrong_usage(r->verb, "--limit %s is not a number from 1 up", value);
        r->limit = (uint32_t)limit;
        return -1;
    case ARG_SORT:
        if (strcmp(value, "self") != 0 && strcmp(value, "total") != 0)
            return wrong_usage(r->verb, "--sort %s: self or total", value);
        r->sort = strcmp(value, "self") == 0 ? TOP_BY_SELF : TOP_BY_TOTAL;
        return -1;
    case '?':
    case ':':
        return wrong_usage(r->verb, "%s: an option that is not known, or without its value", text);
    default:
        return set_side(r, arg, value);
    }
}

static int check(const struct report *r)
{
    if (r->n_files > 0 && r->server)
        return wrong_usage(r->verb, "files or --server, not both");
    if (r->n_sides == 2 && r->n_files != 0 && r->n_files != 2)
        return wrong_usage(r->verb, "two files are compared; given: %zu", r->n_files);
    for (uint32_t s = 0; s < r->n_sides && r->n_files == 0; s++)
        if (!r->sides[s].service)
            return wrong_usage(r->verb, "give files, or --service to ask a server");
    return -1;
}

int report_args(struct report *r, int argc, char **argv)
{
    struct given given = {{false}};
    int arg, status = -1;

    opterr = 0;
    optind = 0; /* begin anew: GNU */
    while (status < 0 && (arg = getopt_long(argc, argv, ":ho:", long_options, NULL)) != -1) {
        status = check_once(r, &given, arg, optarg);
        if (status < 0)
            status = set_one(r, arg, optarg, argv[optind - 1]);
    }
    if (status >= 0)
        return status;
    r->files = argv + optind;
    r->n_files = (size_t)(argc - optind);
    if (r->n_files == 0 && !r->server)
        r->server = CLIENT_DEFAULT_SERVER;
    return check(r);
}
