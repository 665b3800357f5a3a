/*
 * Daemon: what every long-running program does around its loop. Options (file, environment, flags,
 * --help, --version, --options, --options-markdown, --metrics, --check-config), log, allocator
 * thresholds (xalloc_tune(0); a program that must stay small tunes again), the admin listener with
 * /healthz, /readyz and /metrics, and signals:
 *
 *   SIGTERM, SIGINT   on_stop, once; a second one exits at once with status 130
 *   SIGHUP            logged and ignored: nothing can be reloaded yet
 *   SIGPIPE           ignored
 *
 * A drain that outlives drain_timeout ends in exit status 1. One thread, that of the loop.
 */
#ifndef HEARTH_NET_DAEMON_H
#define HEARTH_NET_DAEMON_H

#include "base/options.h"
#include "net/http.h"

#define DAEMON_OPTIONS(X)                                                                          \
    X(STRING, config, NULL, 0, 0, NULL, "YAML file with options")                                  \
    X(ENUM, log_level, "info", 0, 0, "debug|info|warn|error", "least severe event that is logged") \
    X(ENUM, log_format, "logfmt", 0, 0, "logfmt|json", "form of the log lines on stderr")          \
    X(DURATION, drain_timeout, "10s", 0, 3600000, NULL, "longest wait for a clean stop")

struct daemon_options {
    DAEMON_OPTIONS(OPTION_FIELD)
};
extern const struct option_row daemon_option_rows[];

struct daemon;

/*
 * Loads the options that were bound to o, after binding its own. Returns 0 to go on; 1: done, exit
 * with *ret_exit (help, --check-config, errors printed). argv keeps positional arguments only.
 * What the rows take the checks (options_check) look at, whether it then starts or not: what
 * --check-config passes starts, as far as it does not depend on the machine.
 * program is borrowed for ever. --metrics prints what is registered by now: register metrics first.
 */
int daemon_options_load(struct options *o, struct daemon_options *d, const char *program, int *argc,
                        char **argv, int *ret_exit);

/* A setting and its addresses, a list with commas; NULL and "" are none, and if it may be, "off". */
struct daemon_listener {
    const char *setting, *addresses;
    bool may_be_off;
};
/* For checks: can all of a program's addresses be listened on, for all that their texts say? */
void daemon_check_listeners(struct options *o, const struct daemon_listener *listeners, size_t n);

/* on_stop: begin to drain; call daemon_exit when done. It is called once, on the loop's thread. */
struct daemon *daemon_new(uv_loop_t *loop, const char *program, const struct daemon_options *o,
                          void (*on_stop)(void *ctx), void *ctx);
/* ready: answers /readyz; fills why (a short text) when not; NULL: ready from the start. Once a
 * stop began the answer is "stopping". address may be NULL, "" or "off": no listener. */
int daemon_admin(struct daemon *d, const char *address, bool (*ready)(void *ctx, struct buf *why),
                 void *ctx, struct failure *f);
/* Runs the loop until daemon_exit; returns the exit status. Other handles may be open still: close
 * them, and run the loop until they are. */
int daemon_run(struct daemon *d);
/* The first call decides the status. */
void daemon_exit(struct daemon *d, int status);
void daemon_free(struct daemon *d);

#endif
