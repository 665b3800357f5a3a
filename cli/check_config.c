/* hearth check-config: the program that would read the file is asked, so that they never disagree.
 */
#include "cli/cli.h"

#include "base/xalloc.h"

#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "Usage: hearth check-config [PROGRAM] [--config FILE] [--OPTION VALUE]…\n"
    "\n"
    "Lists every error of a configuration: file, environment and flags. PROGRAM is standalone "
    "(the\n"
    "default), collector, aggregator or query. Exit status: 0 it is good, 1 it is not.\n";

/* The programs stand beside this one; else the PATH is asked. */
static char *program_path(const char *name)
{
    char self[PATH_MAX], *path;
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

    if (n <= 0)
        return xstrdup(name);
    self[n] = '\0';
    path = xasprintf("%s/%s", dirname(self), name);
    if (access(path, X_OK) == 0)
        return path;
    free(path);
    return xstrdup(name);
}

/* Takes args, of which the program may drop some. */
static int run_standalone(int n, char **args)
{
    int status = verb_standalone(n, args);

    free(args);
    return status;
}

static int run(const char *program, int argc, char **argv)
{
    static char flag[] = "--check-config";
    char **args = xcalloc((size_t)argc + 3, sizeof *args), *path, name[40];
    struct failure f;

    snprintf(name, sizeof name, "hearth-%s", program);
    args[0] = name;
    args[1] = flag;
    for (int i = 0; i < argc; i++)
        args[i + 2] = argv[i];
    if (strcmp(program, "standalone") == 0)
        return run_standalone(argc + 2, args);
    path = program_path(name);
    execvp(path, args);
    fail(&f, 500, "exec", NULL, "cannot run %s", path);
    free(path);
    free(args);
    return complain("check-config", &f);
}

int verb_check_config(int argc, char **argv)
{
    static const char *const programs[] = {"standalone", "collector", "aggregator", "query"};
    const char *name = argc > 1 && argv[1][0] != '-' ? argv[1] : NULL;

    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
        return fputs(help, stdout), 0;
    if (!name)
        return run(programs[0], argc - 1, argv + 1);
    if (strncmp(name, "hearth-", 7) == 0)
        name += 7;
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++)
        if (strcmp(name, programs[i]) == 0)
            return run(name, argc - 2, argv + 2);
    return wrong_usage("check-config", "there is no program \"%s\"", name);
}
