/* hearth: the user's command line. */
#include "cli/cli.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    verb *run;
    const char *help;
} verbs[] = {
    {"standalone", verb_standalone, "collect, aggregate and answer in this one process"},
    {"push", verb_push, "send profiles to a server"},
    {"top", verb_top, "the functions that cost most"},
    {"query", verb_query, "one merged profile: folded, JSON or pprof"},
    {"diff", verb_diff, "what changed between two profiles"},
    {"merge", verb_merge, "add files up into one"},
    {"check-config", verb_check_config, "list every error of a configuration"},
    {"create-topic", verb_create_topic, "make the Kafka topic"},
};

enum { N_VERBS = sizeof verbs / sizeof *verbs };

static const char introduction[] =
    "Hearth: continuous profiling. What does a service spend its resources on, and what changed?\n"
    "\n"
    "  hearth standalone                        start it here; the page is on "
    "http://127.0.0.1:4040\n"
    "  hearth push cpu.pb.gz --service web      send it a profile\n"
    "  hearth top cpu.pb.gz                     look at a file\n"
    "  hearth diff before.pb.gz after.pb.gz     compare two\n"
    "  hearth top --service web --from now-1h   ask the server; also query and diff\n"
    "\n"
    "Commands (hearth COMMAND --help says more):\n";

static void print_help(FILE *to)
{
    fputs(introduction, to);
    for (int i = 0; i < N_VERBS; i++)
        fprintf(to, "  %-14s %s\n", verbs[i].name, verbs[i].help);
}

static bool is_one_of(const char *arg, const char *a, const char *b, const char *c)
{
    return strcmp(arg, a) == 0 || strcmp(arg, b) == 0 || strcmp(arg, c) == 0;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    if (is_one_of(argv[1], "--help", "-h", "help")) {
        print_help(stdout);
        return 0;
    }
    if (is_one_of(argv[1], "--version", "-V", "version")) {
        puts("hearth " HEARTH_VERSION);
        return 0;
    }
    for (int i = 0; i < N_VERBS; i++)
        if (strcmp(argv[1], verbs[i].name) == 0)
            return verbs[i].run(argc - 1, argv + 1);
    fprintf(stderr, "hearth: there is no command \"%s\"; see hearth --help\n", argv[1]);
    return EXIT_USAGE;
}
