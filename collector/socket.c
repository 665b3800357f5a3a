#include "collector/socket.h"

#include "base/logger.h"
#include "net/http_address.h"

#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ADDRESS_MAX = 160 };

/* Why "auto" must not listen; NULL: it may. */
static const char *auto_obstacle(void)
{
    char path[] = COLLECTOR_SOCKET_AUTO;
    const char *dir = dirname(path);

    if (access(dir, F_OK))
        return "its directory does not exist";
    if (access(dir, W_OK))
        return "its directory cannot be written";
    return http_unix_answers(COLLECTOR_SOCKET_AUTO) ? "another agent answers on it" : NULL;
}

/* What is cut here is too long for a socket, too. */
static void write_address(char address[ADDRESS_MAX], const char *path)
{
    snprintf(address, ADDRESS_MAX, "unix:%s", path);
}

static int listen_on(struct http_server *http, const char *path, struct failure *f)
{
    char address[ADDRESS_MAX];

    write_address(address, path);
    return http_listen(http, address, "socket", NULL, f);
}

static int listen_auto(struct http_server *http)
{
    const char *obstacle = auto_obstacle();
    struct failure f;

    if (!obstacle && listen_on(http, COLLECTOR_SOCKET_AUTO, &f))
        obstacle = f.message;
    LOG(LOG_INFO, obstacle ? "socket_skipped" : "listening",
        F_STR("address", COLLECTOR_SOCKET_AUTO),
        F_STR("reason", obstacle ? obstacle : "nobody else does"));
    return 0;
}

int collector_socket_mode(const char *option, mode_t *ret, struct failure *f)
{
    char *end;
    unsigned long mode = strtoul(option, &end, 8);

    if (*option < '0' || *option > '7' || *end || mode > 0777)
        return fail(f, 400, "bad_mode", "setting: socket_mode",
                    "\"%.40s\" is no mode of a file in octal, such as 0660", option);
    *ret = (mode_t)mode;
    return 0;
}

void collector_socket_check(struct options *o, const char *socket, const char *mode)
{
    struct http_address a;
    char address[ADDRESS_MAX];
    struct failure f;
    mode_t m;

    if (collector_socket_mode(mode, &m, &f))
        options_refuse(o, &f);
    if (http_address_is_off(socket) || strcmp(socket, "auto") == 0)
        return;
    write_address(address, socket);
    if (http_address_parse(&a, address, "socket", &f))
        options_refuse(o, &f);
}

int collector_listen_socket(struct http_server *http, const char *option, struct failure *f)
{
    if (http_address_is_off(option))
        return 0;
    if (strcmp(option, "auto") == 0)
        return listen_auto(http);
    return listen_on(http, option, f);
}
