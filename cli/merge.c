/* hearth merge: files added up into one, all types and labels kept. */
#include "cli/cli.h"
#include "cli/files.h"
#include "formats/inflate.h"
#include "formats/pprof.h"

#include <getopt.h>
#include <stdio.h>
#include <unistd.h>

enum { GZIP_LEVEL = 6 };

static const char help[] =
    "Usage: hearth merge FILE… -o OUT\n"
    "\n"
    "Adds profiles of the same types up into one gzip'd pprof. OUT - is standard output.\n"
    "Labels that would make every sample unique (time stamps, span ids) are left out.\n";

static int merge(char **files, int n, const char *out_path, struct failure *f)
{
    struct buf body = {0}, raw = {0}, packed = {0};
    struct loaded l;
    int e = 0;

    loaded_init(&l);
    for (int i = 0; i < n && e == 0; i++) {
        buf_reset(&body);
        e = file_read(files[i], &body, f);
        if (e == 0)
            e = loaded_add(&l, buf_bytes(&body), files[i], f);
    }
    if (e == 0) {
        pprof_write(&l.profile, &raw);
        gzip(buf_bytes(&raw), GZIP_LEVEL, &packed);
        e = file_write(out_path, buf_bytes(&packed), f);
    }
    loaded_deinit(&l);
    buf_deinit(&body);
    buf_deinit(&raw);
    buf_deinit(&packed);
    return e;
}

int verb_merge(int argc, char **argv)
{
    static const struct option long_options[] = {
        {"help", no_argument, NULL, 'h'}, {"output", required_argument, NULL, 'o'}, {0}};
    const char *out = NULL;
    struct failure f;
    int arg;

    opterr = 0;
    optind = 0; /* begin anew: GNU */
    while ((arg = getopt_long(argc, argv, "ho:", long_options, NULL)) != -1) {
        if (arg == 'h')
            return fputs(help, stdout), 0;
        if (arg != 'o')
            return wrong_usage("merge", "an option that is not known, or without its value");
        out = optarg;
    }
    if (optind == argc)
        return wrong_usage("merge", "no files were given");
    if (!out && isatty(STDOUT_FILENO))
        return wrong_usage("merge", "-o OUT says where to write");
    return merge(argv + optind, argc - optind, out ? out : "-", &f) == 0 ? 0
                                                                         : complain("merge", &f);
}
