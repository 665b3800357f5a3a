/*
 * redis://[user:password@]host[:port][/db] and unix://[user:password@]/path. User and password are
 * percent-decoded; a password alone is written ":password@".
 */
#ifndef HEARTH_STORE_REDIS_URL_H
#define HEARTH_STORE_REDIS_URL_H

#include "base/err.h"

struct redis_url {
    char *user, *password; /* NULL: none */
    char *host;            /* NULL: a unix socket */
    char port[8];
    char *path; /* of the unix socket */
    int db;
    char address[128]; /* for messages: no secrets */
};

/* 0, or FAILURE with f; the messages never show the URL, which may hold a password. */
int redis_url_parse(const char *text, struct redis_url *ret, struct failure *f);
void redis_url_deinit(struct redis_url *u);

#endif
