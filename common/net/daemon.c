/*
 * Happy path: run, a signal says stop, on_stop begins to drain, the program calls daemon_exit when
 * it has, the daemon's own handles close, the loop stops, daemon_run returns.
 *
 * A drain that takes longer than drain_timeout, and a second signal, end the process where it
 * stands by _exit: whatever hangs then would hang an orderly end too. Nothing acknowledged is lost
 * by that; it is the same as a crash, which every program here survives.
 */
#include "net/daemon.h"

#include "base/err.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "base/xalloc.h"
#include "net/http_address.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum { DAEMON_SIGNALS = 3, EXIT_STATUS_SIGNAL = 130, ADMIN_GRACE_MS = 500 };
static const int stop_signals[DAEMON_SIGNALS] = {SIGTERM, SIGINT, SIGHUP};

struct daemon {
    uv_loop_t *loop;
    int64_t drain_timeout_ms;
    void (*on_stop)(void *ctx);
    void *stop_ctx;
    uv_signal_t signals[DAEMON_SIGNALS];
    uv_timer_t drain;
    struct http_server *admin;
    bool (*ready)(void *ctx, struct buf *why);
    void *ready_ctx;
    bool stopping, exiting;
    int open; /* own handles, the admin server as one, that have not closed */
    int status;
};

static void on_drain_timeout(uv_timer_t *timer)
{
    struct daemon *d = timer->data;

    LOG(LOG_ERROR, "drain_timeout", F_INT("timeout_ms", d->drain_timeout_ms),
        F_STR("hint", "drain_timeout sets the longest wait for a clean stop"));
    _exit(EXIT_FAILURE);
}

static void begin_stop(struct daemon *d, int signum)
{
    d->stopping = true;
    LOG(LOG_INFO, "stopping", F_STR("signal", sigabbrev_np(signum)));
    uv_timer_start(&d->drain, on_drain_timeout, (uint64_t)d->drain_timeout_ms, 0);
    d->on_stop(d->stop_ctx);
}

static void on_signal(uv_signal_t *handle, int signum)
{
    struct daemon *d = handle->data;

    if (signum == SIGHUP) {
        LOG(LOG_INFO, "reload_ignored", F_STR("reason", "nothing can be reloaded yet: restart"));
        return;
    }
    if (d->stopping) {
        LOG(LOG_WARN, "killed", F_STR("reason", "a second signal while stopping"));
        _exit(EXIT_STATUS_SIGNAL);
    }
    if (!d->exiting)
        begin_stop(d, signum);
}

struct daemon *daemon_new(uv_loop_t *loop, const char *program, const struct daemon_options *o,
                          void (*on_stop)(void *ctx), void *ctx)
{
    struct daemon *d = xcalloc(1, sizeof *d);

    *d = (struct daemon){.loop = loop, .on_stop = on_stop, .stop_ctx = ctx};
    d->drain_timeout_ms = o->drain_timeout;
    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < DAEMON_SIGNALS; i++) {
        CHECK(uv_signal_init(loop, &d->signals[i]) == 0);
        d->signals[i].data = d;
        CHECK(uv_signal_start(&d->signals[i], on_signal, stop_signals[i]) == 0);
    }
    CHECK(uv_timer_init(loop, &d->drain) == 0);
    d->drain.data = d;
    d->open = DAEMON_SIGNALS + 1;
    LOG(LOG_INFO, "starting", F_STR("name", program), F_STR("version", HEARTH_VERSION),
        F_INT("pid", getpid()));
    return d;
}

static void on_healthz(struct http_request *req, void *ctx)
{
    (void)ctx;
    http_respond(req, 200, "text/plain", BYTES_LIT("ok\n"), NULL);
}

static void on_readyz(struct http_request *req, void *ctx)
{
    struct daemon *d = ctx;
    struct buf why = {0};
    bool ready = true;

    if (d->stopping || d->exiting) {
        ready = false;
        buf_append_str(&why, "stopping");
    } else if (d->ready) {
        ready = d->ready(d->ready_ctx, &why);
    }
    if (ready)
        buf_reset(&why);
    buf_append_str(&why, ready ? "ready\n" : "\n");
    http_respond_buf(req, ready ? 200 : 503, "text/plain", &why, NULL);
}

static void on_metrics(struct http_request *req, void *ctx)
{
    struct buf text = {0};

    (void)ctx;
    metrics_render(&text);
    http_respond_buf(req, 200, "text/plain; version=0.0.4; charset=utf-8", &text, NULL);
}

static struct http_limits admin_limits(void)
{
    struct http_limits limits = http_limits_default;

    limits.body_bytes_max = 0;
    limits.budget_bytes_max = 0;
    limits.connections_max = 64;
    return limits;
}

int daemon_admin(struct daemon *d, const char *address, bool (*ready)(void *ctx, struct buf *why),
                 void *ctx, struct failure *f)
{
    struct http_limits limits = admin_limits();

    if (http_address_is_off(address))
        return 0;
    CHECK(!d->admin);
    d->ready = ready;
    d->ready_ctx = ctx;
    d->admin = http_server_new(d->loop, &limits);
    d->open++;
    http_route(d->admin, "GET", "/healthz", on_healthz, d);
    http_route(d->admin, "GET", "/readyz", on_readyz, d);
    http_route(d->admin, "GET", "/metrics", on_metrics, d);
    return http_listen(d->admin, address, "admin", NULL, f);
}

int daemon_run(struct daemon *d)
{
    while (!d->exiting || d->open > 0)
        uv_run(d->loop, UV_RUN_DEFAULT);
    LOG(LOG_INFO, "stopped", F_INT("status", d->status));
    return d->status;
}

static void own_closed(struct daemon *d)
{
    if (--d->open == 0)
        uv_stop(d->loop);
}

static void on_handle_closed(uv_handle_t *handle)
{
    own_closed(handle->data);
}

static void on_admin_closed(void *ctx)
{
    own_closed(ctx);
}

void daemon_exit(struct daemon *d, int status)
{
    if (d->exiting)
        return;
    d->exiting = true;
    d->status = status;
    for (int i = 0; i < DAEMON_SIGNALS; i++)
        uv_close((uv_handle_t *)&d->signals[i], on_handle_closed);
    uv_close((uv_handle_t *)&d->drain, on_handle_closed);
    if (d->admin)
        http_server_close(d->admin, ADMIN_GRACE_MS, on_admin_closed, d);
}

void daemon_free(struct daemon *d)
{
    if (!d)
        return;
    daemon_exit(d, EXIT_FAILURE); /* a start that failed half-way */
    while (d->open > 0)
        uv_run(d->loop, UV_RUN_ONCE);
    free(d);
}
