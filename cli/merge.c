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

static void put_type(const struct merge *m, const char *before, struct sample_type type,
                     bool with_unit, struct buf *out)
{
    buf_append_str(out, before);
    buf_append_bytes(out, symbols_text(m->loaded.symbols, type.name));
    if (with_unit) {
        buf_append_str(out, ".");
        buf_append_bytes(out, symbols_text(m->loaded.symbols, type.unit));
    }
}

/* Of a kind the family and its last type: "process_cpu-cpu". In full: all that tells it from other
 * kinds, which are its types, their units, and what its period is of. */
static char *name_of_kind(const struct merge *m, size_t kind, bool in_full)
{
    const struct profile *p = m->loaded.sums[kind];
    struct loaded_type last = {p, p->n_types - 1};
    struct profile_type full;
    struct buf name = {0};
    char *r;

    loaded_name(&last, &full);
    buf_printf(&name, "%.*s", (int)strcspn(full.name, ":"), full.name);
    for (uint32_t i = in_full ? 0 : last.index; i < p->n_types; i++)
        put_type(m, "-", p->types[i], in_full, &name);
    if (in_full && p->period_type.name)
        put_type(m, "-per-", p->period_type, true, &name);
    r = xstrdup(buf_cstr(&name));
    buf_deinit(&name);
    return r;
}

/* Whatever the order of the files, so that it is the same for the same kinds. */
static char *own_name_of_kind(const struct merge *m, size_t kind)
{
    char *name = name_of_kind(m, kind, false);
    bool is_own = true;

    for (size_t i = 0; i < m->loaded.n_sums && is_own; i++) {
        char *other = name_of_kind(m, i, false);

        is_own = i == kind || strcmp(name, other) != 0;
        free(other);
    }
    if (is_own)
        return name;
    free(name);
    return name_of_kind(m, kind, true);
}

static int write_kind(const struct merge *m, size_t kind, struct failure *f)
{
    const struct profile *p = m->loaded.sums[kind];
    char *type = own_name_of_kind(m, kind), *path;
    int e;

    path = path_of_type(m->out, type);
    e = write_profile(m, p, path, f);
    if (e == 0)
        fprintf(stderr, "hearth merge: %s\n", path);
    free(path);
    free(type);
    return e;
}

static size_t n_kinds_with(const struct merge *m, const char *type)
{
    size_t n = 0;

    for (size_t k = 0; k < m->loaded.n_sums; k++) {
        const struct profile *p = m->loaded.sums[k];
        bool has = false;

        for (uint32_t i = 0; i < p->n_types && !has; i++)
            has = bytes_equal(symbols_text(m->loaded.symbols, p->types[i].name), bytes_str(type));
        n += has;
    }
    return n;
}

static int write_all(const struct merge *m, struct failure *f)
{
    struct loaded_type found;

    if (m->type && n_kinds_with(m, m->type) > 1)
        return fail(f, 400, "types_differ", "leave out --type for a file of each",
                    "several kinds of profile in the files have the type \"%s\"", m->type);
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
