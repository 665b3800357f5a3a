/*
 * hearth merge: files added up into one, all types and labels kept. A pprof has one list of sample
 * types: of files with several (perf's events, JFR) each list becomes a file of its own.
 */
#include "base/xalloc.h"
#include "cli/cli.h"
#include "cli/files.h"
#include "cli/given.h"
#include "cli/progress.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char help[] =
    "Usage: hearth merge FILE… -o OUT [OPTION]…\n"
    "\n"
    "Adds profiles of the same types up into one gzip'd pprof, as `go tool pprof -proto` does: "
    "locations\n"
    "with their addresses, lines and mappings, labels and comments are kept.\n"
    "OUT - is standard output. Files may be of any format (docs/formats.md). Where they hold "
    "several\n"
    "kinds of profile, each kind is written to a file of its own, named by family and type: "
    "OUT.pb.gz\n"
    "becomes OUT.process_cpu-cpu.pb.gz.\n"
    "\n"
    "  --type NAME            only the kind that has this sample type, into OUT\n"
    "  --input-format NAME    what the files are, where their first bytes do not say\n";

struct merge {
    char **files;
    int n_files;
    const char *out, *type, *input_format;
    struct loaded loaded;
};

static int read_files(struct merge *m, struct failure *f)
{
    struct progress progress;
    struct buf body = {0};
    int e = 0;

    progress_begin(&progress, "merge", (size_t)m->n_files);
    for (int i = 0; i < m->n_files && e == 0; i++) {
        buf_reset(&body);
        e = file_read(m->files[i], &body, f);
        if (e == 0)
            e = loaded_add(&m->loaded, buf_bytes(&body), m->files[i], m->input_format, f);
        progress_step(&progress, (size_t)i + 1);
    }
    progress_end(&progress);
    buf_deinit(&body);
    return e;
}

static int write_profile(const struct merge *m, const struct profile *p, const char *path,
                         struct failure *f)
{
    struct buf out = {0};
    int e;

    loaded_write(&m->loaded, p, &out);
    e = file_write(path, buf_bytes(&out), f);
    buf_deinit(&out);
    return e;
}

/* "m.pb.gz" → "m.process_cpu-cpu.pb.gz"; the first dot of the file's own name is where the type
 * goes. */
static char *path_of_type(const char *out, const char *type)
{
    const char *slash = strrchr(out, '/'), *name = slash ? slash + 1 : out;
    const char *dot = strchr(*name ? name + 1 : name, '.');
    int stem = dot ? (int)(dot - out) : (int)strlen(out);
    char *path = xasprintf("%.*s.%s%s", stem, out, type, out + stem);

    for (char *c = path + stem + 1; c < path + stem + 1 + strlen(type); c++)
        if (*c == '/' || (unsigned char)*c <= ' ')
            *c = '_';
    return path;
}

/* Several kinds may have one last type: the family goes before it. */
static int write_kind(const struct merge *m, size_t kind, struct failure *f)
{
    const struct profile *p = m->loaded.sums[kind];
    struct loaded_type t = {p, p->n_types - 1};
    struct bytes name = symbols_text(m->loaded.symbols, p->types[t.index].name);
    struct profile_type full;
    char *type, *path;
    int e;

    loaded_name(&t, &full);
    type = xasprintf("%.*s-%.*s", (int)strcspn(full.name, ":"), full.name, (int)name.len,
                     (const char *)name.data);
    path = path_of_type(m->out, type);
    e = write_profile(m, p, path, f);
    if (e == 0)
        fprintf(stderr, "hearth merge: %s\n", path);
    free(path);
    free(type);
    return e;
}

static int write_all(const struct merge *m, struct failure *f)
{
    struct loaded_type found;

    if (m->type || m->loaded.n_sums < 2) {
        if (loaded_find(&m->loaded, m->type, &found, f) != 0)
            return FAILURE;
        return write_profile(m, found.profile, m->out, f);
    }
    if (strcmp(m->out, "-") == 0)
        return fail(f, 400, "types_differ", "--type says which, or -o OUT for a file of each",
                    "the files hold profiles of %zu kinds", m->loaded.n_sums);
    for (size_t i = 0; i < m->loaded.n_sums; i++)
        if (write_kind(m, i, f) != 0)
            return FAILURE;
    return 0;
}

static int merge(struct merge *m, struct failure *f)
{
    int e;

    loaded_init(&m->loaded, true);
    e = read_files(m, f);
    loaded_end_reading(&m->loaded);
    if (e == 0)
        e = write_all(m, f);
    loaded_deinit(&m->loaded);
    return e;
}

int verb_merge(int argc, char **argv)
{
    static const struct option long_options[] = {{"help", no_argument, NULL, 'h'},
                                                 {"output", required_argument, NULL, 'o'},
                                                 {"type", required_argument, NULL, 't'},
                                                 {"input-format", required_argument, NULL, 'i'},
                                                 {0}};
    struct merge m = {.out = NULL};
    struct given given = {{false}};
    struct failure f;
    int arg;

    opterr = 0;
    optind = 0; /* begin anew: GNU */
    while ((arg = getopt_long(argc, argv, "ho:", long_options, NULL)) != -1) {
        if (arg == 'h')
            return fputs(help, stdout), 0;
        if (given_once(&given, "merge", long_options, arg) >= 0)
            return EXIT_USAGE;
        if (arg == 'o')
            m.out = optarg;
        else if (arg == 't')
            m.type = optarg;
        else if (arg == 'i')
            m.input_format = optarg;
        else
            return wrong_usage("merge", "an option that is not known, or without its value");
    }
    if (optind == argc)
        return wrong_usage("merge", "no files were given");
    if (!m.out && isatty(STDOUT_FILENO))
        return wrong_usage("merge", "-o OUT says where to write");
    m.files = argv + optind;
    m.n_files = argc - optind;
    m.out = m.out ? m.out : "-";
    return merge(&m, &f) == 0 ? 0 : complain("merge", &f);
}
