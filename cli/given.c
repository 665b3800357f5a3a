#include "cli/given.h"

#include "cli/cli.h"

#include <stddef.h>

bool given_before(struct given *g, int arg)
{
    bool before;

    CHECK(arg >= 0 && arg < GIVEN_MAX);
    before = g->arg[arg];
    g->arg[arg] = true;
    return before;
}

const char *given_name(const struct option *options, int arg)
{
    for (; options->name; options++)
        if (options->val == arg && options->has_arg == required_argument)
            return options->name;
    return NULL;
}

int given_once(struct given *g, const char *verb_name, const struct option *options, int arg)
{
    const char *name = given_name(options, arg);

    if (!name || !given_before(g, arg))
        return -1;
    return wrong_usage(verb_name, "--%s is given twice", name);
}
