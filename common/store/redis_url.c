#include "store/redis_url.h"

#include "base/options.h"
#include "base/xalloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char form[] = "redis_url: redis://[user:password@]host[:port][/db] or "
                           "unix://[user:password@]/path";

static int bad_url(struct failure *f, const char *what)
{
    return fail(f, 400, "bad_redis_url", form, "redis_url %s", what);
}

/* Decodes %XX in place; false if there is a '%' that begins none, or one that hides a NUL. */
static bool percent_decode(char *s)
{
    char *out = s;

    for (; *s; s++, out++) {
        int hi, lo;

        *out = *s;
        if (*s != '%')
            continue;
        hi = hex_digit((uint8_t)s[1]);
        lo = hi < 0 ? -1 : hex_digit((uint8_t)s[2]);
        if (lo < 0 || hi * 16 + lo == 0)
            return false;
        *out = (char)(hi * 16 + lo);
        s += 2;
    }
    *out = '\0';
    return true;
}

/* "user:password@" in front of the rest: takes it and returns what follows. */
static int parse_user(struct redis_url *u, char **rest, struct failure *f)
{
    char *slash = strchr(*rest, '/'), *at, *colon;

    if (slash)
        *slash = '\0';
    at = strrchr(*rest, '@');
    if (slash)
        *slash = '/';
    if (!at)
        return 0;
    *at = '\0';
    colon = strchr(*rest, ':');
    if (!colon)
        return bad_url(f, "has a user without a password");
    *colon = '\0';
    if (!percent_decode(*rest) || !percent_decode(colon + 1))
        return bad_url(f, "has a '%' that is no percent-encoding in its user or password");
    u->user = **rest ? xstrdup(*rest) : NULL;
    u->password = xstrdup(colon + 1);
    *rest = at + 1;
    return 0;
}

/* host, or [v6 address]; returns what follows, or NULL. */
static char *parse_host(struct redis_url *u, char *rest)
{
    size_t len = strcspn(rest, ":/");
    bool brackets = rest[0] == '[';

    if (brackets) {
        rest++;
        len = strcspn(rest, "]");
        if (rest[len] != ']')
            return NULL;
    }
    if (len == 0)
        return NULL;
    u->host = xstrndup(rest, len);
    return rest + len + brackets;
}

static int parse_tcp(struct redis_url *u, char *rest, struct failure *f)
{
    int64_t port = 6379, db = 0;
    char *slash;

    rest = parse_host(u, rest);
    if (!rest || (*rest && *rest != ':' && *rest != '/'))
        return bad_url(f, "has no host");
    slash = strchr(rest, '/');
    if (slash)
        *slash = '\0';
    if (*rest == ':' && option_parse_int(rest + 1, 1, 65535, &port) < 0)
        return bad_url(f, "has a port that is not 1 to 65535");
    if (slash && slash[1] && option_parse_int(slash + 1, 0, 65535, &db) < 0)
        return bad_url(f, "has a database that is not a number");
    u->db = (int)db;
    snprintf(u->port, sizeof u->port, "%d", (int)port);
    snprintf(u->address, sizeof u->address, strchr(u->host, ':') ? "[%.100s]:%s" : "%.100s:%s",
             u->host, u->port);
    return 0;
}

static int parse_unix(struct redis_url *u, char *rest, struct failure *f)
{
    if (rest[0] != '/')
        return bad_url(f, "names a unix socket by a path that is not absolute");
    if (strlen(rest) > 107)
        return bad_url(f, "names a unix socket by a path of more than 107 bytes");
    u->path = xstrdup(rest);
    snprintf(u->address, sizeof u->address, "%s", rest);
    return 0;
}

static int parse(struct redis_url *u, char *text, struct failure *f)
{
    char *rest = strstr(text, "://");
    bool local = strncmp(text, "unix://", 7) == 0;

    if (strncmp(text, "rediss://", 9) == 0)
        return fail(f, 400, "redis_tls_unsupported",
                    "use redis:// over a trusted network, or a TLS tunnel such as stunnel",
                    "redis_url asks for TLS, which needs hiredis 1.0 or newer");
    if (!local && strncmp(text, "redis://", 8) != 0)
        return bad_url(f, "begins with neither redis:// nor unix://");
    rest += 3;
    if (parse_user(u, &rest, f) != 0)
        return FAILURE;
    return local ? parse_unix(u, rest, f) : parse_tcp(u, rest, f);
}

int redis_url_parse(const char *text, struct redis_url *ret, struct failure *f)
{
    struct redis_url u = {0};
    char *copy = xstrdup(text ? text : "");
    int r = parse(&u, copy, f);

    explicit_bzero(copy, strlen(text ? text : ""));
    free(copy);
    if (r)
        redis_url_deinit(&u);
    else
        *ret = u;
    return r;
}

void redis_url_deinit(struct redis_url *u)
{
    if (u->password)
        explicit_bzero(u->password, strlen(u->password));
    free(u->user);
    free(u->password);
    free(u->host);
    free(u->path);
    *u = (struct redis_url){0};
}
