#include "collector/pull_target.h"

#include "base/options.h"
#include "base/xalloc.h"

#include <stdlib.h>

#define FORM "SERVICE@http://HOST:PORT[/debug/pprof][;TAG=VALUE]…"

static int bad(const char *text, const char *why, struct failure *f)
{
    return fail(f, 400, "bad_option", FORM, "pull_targets: \"%.100s\": %s", text, why);
}

static int split_host(struct pull_target *t, char *host, const char *text, struct failure *f)
{
    char *colon, *end = host[0] == '[' ? strchr(host, ']') : NULL;
    int64_t port;

    if (host[0] == '[' && !end)
        return bad(text, "a bracket is left open", f);
    colon = strrchr(end ? end : host, ':');
    if (!colon || option_parse_int(colon + 1, 1, UINT16_MAX, &port) != 0)
        return bad(text, "the port is missing", f);
    t->instance = xstrdup(host);
    *colon = '\0';
    if (end)
        *end = '\0';
    t->host = end ? host + 1 : host;
    t->port = (uint16_t)port;
    return t->host[0] ? 0 : bad(text, "the host is missing", f);
}

static bool is_clean(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s <= ' ' || *s == 0x7f || *s == '#')
            return false;
    return true;
}

/* Without slashes at its end. */
static char *path_of(const char *url)
{
    const char *slash = strchr(url, '/');
    size_t len = slash ? strlen(slash) : 0;

    while (len > 0 && slash[len - 1] == '/')
        len--;
    return len ? xstrndup(slash, len) : xstrdup("/debug/pprof");
}

static int check_tags(const struct pull_target *t, const char *text, struct failure *f)
{
    const struct intake_rules rules = {.series_tags = "", .default_service = ""};
    struct intake in;

    if (intake_begin(&in, &rules, BYTES_LIT(""), f) || pull_target_intake(t, &in, f)) {
        struct failure why = *f;

        return bad(text, why.message, f);
    }
    return 0;
}

int pull_target_parse(struct pull_target *t, const char *text, struct failure *f)
{
    static const char scheme[] = "http://";
    char *at, *url;

    *t = (struct pull_target){.text = xstrdup(text)};
    at = strstr(t->text, "@");
    if (!at || at == t->text)
        return bad(text, "the service is missing", f);
    *at = '\0';
    t->service = t->text;
    url = at + 1;
    t->tags = strchr(url, ';');
    if (t->tags)
        *t->tags++ = '\0';
    if (strncmp(url, scheme, sizeof scheme - 1) != 0)
        return bad(text, "only http:// is spoken", f);
    if (!is_clean(url))
        return bad(text, "the address has a character that does not belong there", f);
    url += sizeof scheme - 1;
    t->path = path_of(url);
    url[strcspn(url, "/")] = '\0';
    if (strchr(url, '@'))
        return bad(t->service, "the address has a user's name; no credentials are sent", f);
    return split_host(t, url, text, f) || check_tags(t, text, f);
}

void pull_target_deinit(struct pull_target *t)
{
    free(t->text);
    free(t->path);
    free(t->instance);
    *t = (struct pull_target){.text = NULL};
}

int pull_target_intake(const struct pull_target *t, struct intake *in, struct failure *f)
{
    const char *at = t->tags;

    if (intake_tag(in, BYTES_LIT("service"), bytes_str(t->service), f))
        return FAILURE;
    while (at && *at) {
        size_t len = strcspn(at, ";"), key = strcspn(at, "=;");

        if (key == 0 || at[key] != '=')
            return fail(f, 400, "bad_tag", NULL, "a tag is TAG=VALUE");
        if (intake_tag(in, bytes_of(at, key), bytes_of(at + key + 1, len - key - 1), f))
            return FAILURE;
        at += len + (at[len] == ';');
    }
    intake_attribute(in, BYTES_LIT("host"), bytes_str(t->instance));
    return 0;
}
