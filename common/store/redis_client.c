/*
 *   DOWN ──backoff──▶ RESOLVING ──▶ CONNECTING ──▶ GREETING ──▶ UP
 *     ▲                   │              │             │         │
 *     └───────────────────┴──────────────┴─────────────┴─────────┘   connection_lost()
 *
 * Happy path: look the name up on the pool, connect, AUTH, SELECT and PING, then hand the waiting
 * requests to hiredis, a window's worth at a time; each reply opens the window for more. Anything
 * else (refused, timeout, an error while greeting, the peer closing) ends in connection_lost(),
 * which fails what was sent and what waits, and tries again after a backoff. A unix socket skips
 * RESOLVING.
 *
 * One timer: the deadline of the attempt, the backoff, or when UP a tick that looks for a server
 * that has stopped answering. hiredis sets no deadline of its own, and a peer that accepts and
 * stays silent, or drops our packets, is otherwise never heard of.
 *
 * hiredis owns its context and frees it before or after we ask; it calls every reply callback with
 * NULL then. So a context counts only as long as it is c->ac. It must not be freed from its connect
 * callback, only from others: greeting errors arrive in reply callbacks. It writes with write(2),
 * so the program has to ignore SIGPIPE (daemon.h does).
 */
#include "store/redis_client.h"

#include "base/backoff.h"
#include "base/bytes.h"
#include "base/logger.h"
#include "base/xalloc.h"
#include "store/store_impl.h"
#include "store/uv_redis.h"

#include <errno.h>
#include <stdlib.h>

enum state { DOWN, RESOLVING, CONNECTING, GREETING, UP, CLOSING };

enum {
    /* Sent and not yet answered. More would only wait in hiredis' buffer (which it moves at every
     * partial write) and in the server's; a single larger command goes alone. */
    WINDOW_BYTES = 1 << 20,
    WINDOW_REQUESTS = 128,
    QUEUE_BYTES_MAX = 512 << 20, /* sent and waiting; beyond it requests are refused */
    BACKOFF_MIN_MS = 50,
    BACKOFF_MAX_MS = 5000,
    /* A command's deadline in ticks of the timer. Ticks are counted, not time: when this process
     * was stopped or its loop busy, the answer may lie in the socket already. */
    TICKS_OF_TIMEOUT = 8,
    IDLE_PING_MS = 5000,
};

struct redis_client {
    uv_loop_t *loop;
    struct redis_url url;
    int64_t connect_timeout_ms, command_timeout_ms;
    enum state state;
    redisAsyncContext *ac;
    uv_timer_t timer;
    uv_getaddrinfo_t lookup;
    bool looking_up;  /* the lookup is libuv's */
    uint32_t attempt; /* which of several addresses */
    struct backoff backoff;
    struct list waiting, sent;
    size_t sent_bytes, sent_n, queued_bytes;
    int quiet_ticks; /* since the last reply, or since the first request after none */
    int lost_r;      /* what the requests of a lost connection are told, and why */
    enum store_reason lost_reason;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

static void connection_lost(struct redis_client *c, int r, enum store_reason reason,
                            const char *why);

static void count_error(enum store_reason reason)
{
    metric_add(&store_metrics[STORE_M_ERRORS], reason, 1);
}

/* ---- errors that Redis answers ----------------------------------------------------------------
 */

struct refusal {
    const char *code;
    int r;
    enum store_reason reason;
    bool reconnect; /* another server may have the role by now */
};

static const struct refusal refusals[] = {
    {"LOADING", -EAGAIN, STORE_REASON_LOADING, false},
    {"READONLY", -EAGAIN, STORE_REASON_READONLY, true},
    {"MASTERDOWN", -EAGAIN, STORE_REASON_READONLY, true},
    {"NOREPLICAS", -EAGAIN, STORE_REASON_NOREPLICAS, false},
    {"OOM", -EAGAIN, STORE_REASON_OOM, false},
    {"BUSY", -EAGAIN, STORE_REASON_BUSY, false},
    {"MISCONF", -EAGAIN, STORE_REASON_MISCONF, false},
    {"NOAUTH", -EACCES, STORE_REASON_AUTH, true},
    {"WRONGPASS", -EACCES, STORE_REASON_AUTH, true},
    {"NOPERM", -EACCES, STORE_REASON_AUTH, false},
    {"MOVED", -ENOTSUP, STORE_REASON_CLUSTER, false},
    {"ASK", -ENOTSUP, STORE_REASON_CLUSTER, false},
    {"CROSSSLOT", -ENOTSUP, STORE_REASON_CLUSTER, false},
    {"CLUSTERDOWN", -EAGAIN, STORE_REASON_CLUSTER, false},
    {"WRONGTYPE", -EBADMSG, STORE_REASON_OTHER, false},
};
static const struct refusal refusal_unknown = {"ERR", -EIO, STORE_REASON_OTHER, false};

/* "CODE text"; before Redis 7 an error inside a script hides in "ERR Error running script …: -CODE
 * text". */
static struct bytes refusal_code(struct bytes text)
{
    static const char wrapper[] = "ERR Error running script";
    struct bytes code = text;

    if (bytes_starts(text, bytes_str(wrapper))) {
        const char *inner = memmem(text.data, text.len, ": -", 3);

        if (inner)
            code = bytes_of(inner + 3, text.len - (size_t)((const uint8_t *)inner + 3 - text.data));
    }
    for (size_t i = 0; i < code.len; i++)
        if (code.data[i] == ' ')
            code.len = i;
    return code;
}

static const struct refusal *refusal_of(const redisReply *reply)
{
    struct bytes code = refusal_code(bytes_of(reply->str, reply->len));

    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        if (bytes_equal(code, bytes_str(refusals[i].code)))
            return &refusals[i];
    return &refusal_unknown;
}

/* ---- requests ---------------------------------------------------------------------------------
 */

static void end_request(struct redis_client *c, struct redis_request *req, int r,
                        const redisReply *reply)
{
    list_remove(&req->link);
    c->queued_bytes -= req->len;
    metric_add(&store_metrics[STORE_M_IN_FLIGHT], 0, -(int64_t)req->len);
    if (req->cmd)
        redisFreeCommand(req->cmd);
    req->cmd = NULL;
    req->done(req, r, reply);
}

static void fail_waiting(struct redis_client *c, int r)
{
    struct list *l;

    while ((l = list_pop(&c->waiting))) {
        count_error(c->lost_reason);
        end_request(c, container_of(l, struct redis_request, link), r, NULL);
    }
}

static const char *why_closed(const redisAsyncContext *ac)
{
    return ac->c.errstr[0] ? ac->c.errstr : "the server closed it";
}

static void pump(struct redis_client *c);

static void on_reply(redisAsyncContext *ac, void *reply, void *privdata)
{
    struct redis_client *c = ac->data;
    struct redis_request *req = privdata;
    const redisReply *answer = reply;
    const struct refusal *refusal = NULL;

    c->sent_bytes -= req->len;
    c->sent_n--;
    c->quiet_ticks = 0;
    if (!answer) {
        if (ac == c->ac)
            connection_lost(c, -ENOTCONN, STORE_REASON_NOT_CONNECTED, why_closed(ac));
        count_error(c->lost_reason);
        end_request(c, req, c->lost_r, NULL);
        return;
    }
    if (answer->type == REDIS_REPLY_ERROR) {
        refusal = refusal_of(answer);
        count_error(refusal->reason);
        LOG(LOG_WARN, "redis_refused", F_STR("address", c->url.address),
            F_BYTES("error", bytes_of(answer->str, answer->len)));
    }
    end_request(c, req, refusal ? refusal->r : 0, refusal ? NULL : answer);
    if (refusal && refusal->reconnect && ac == c->ac)
        connection_lost(c, refusal->r, refusal->reason, refusal->code);
    pump(c);
}

static void send_request(struct redis_client *c, struct redis_request *req)
{
    if (c->sent_n == 0)
        c->quiet_ticks = 0;
    list_append(&c->sent, &req->link);
    c->sent_bytes += req->len;
    c->sent_n++;
    CHECK(redisAsyncFormattedCommand(c->ac, on_reply, req, req->cmd, req->len) == REDIS_OK);
    redisFreeCommand(req->cmd); /* hiredis has copied it */
    req->cmd = NULL;
}

static void pump(struct redis_client *c)
{
    while (c->state == UP && !list_empty(&c->waiting) && c->sent_n < WINDOW_REQUESTS) {
        struct list *l = c->waiting.next;
        struct redis_request *req = container_of(l, struct redis_request, link);

        if (c->sent_n > 0 && c->sent_bytes + req->len > WINDOW_BYTES)
            return;
        list_remove(l);
        send_request(c, req);
    }
}

/* Why a request cannot even wait; 0 if it can. */
static int refuse_request(const struct redis_client *c, enum store_reason *ret_reason)
{
    *ret_reason = STORE_REASON_NOT_CONNECTED;
    if (c->state == CLOSING)
        return -ECANCELED;
    if (c->state == DOWN)
        return c->lost_r == -EACCES || c->lost_r == -EAGAIN ? c->lost_r : -ENOTCONN;
    *ret_reason = STORE_REASON_OVERFLOW;
    return c->queued_bytes > QUEUE_BYTES_MAX ? -ENOBUFS : 0;
}

void redis_client_send(struct redis_client *c, struct redis_request *req, size_t argc,
                       const char **argv, const size_t *lens)
{
    enum store_reason reason;
    int r = refuse_request(c, &reason), len;

    list_init(&req->link);
    req->cmd = NULL;
    if (r < 0) {
        count_error(reason);
        req->done(req, r, NULL);
        return;
    }
    len = redisFormatCommandArgv(&req->cmd, (int)argc, argv, lens);
    CHECK(len > 0);
    req->len = (size_t)len;
    c->queued_bytes += req->len;
    metric_add(&store_metrics[STORE_M_IN_FLIGHT], 0, (int64_t)req->len);
    list_append(&c->waiting, &req->link);
    pump(c);
}

/* ---- connecting -------------------------------------------------------------------------------
 */

static void on_timer(uv_timer_t *timer);

static void arm(struct redis_client *c, int64_t ms, bool repeat)
{
    uv_timer_start(&c->timer, on_timer, (uint64_t)ms, repeat ? (uint64_t)ms : 0);
}

/* The one way from anywhere to DOWN. */
static void connection_lost(struct redis_client *c, int r, enum store_reason reason,
                            const char *why)
{
    redisAsyncContext *ac = c->ac;
    bool was_up = c->state == UP;
    uint32_t wait_ms = backoff_next(&c->backoff);

    LOG(LOG_WARN, "redis_down", F_STR("address", c->url.address), F_STR("reason", why),
        F_INT("retry_ms", wait_ms), F_INT("requests", c->sent_n));
    if (was_up)
        metric_add(&store_metrics[STORE_M_CONNECTED], 0, -1);
    else
        count_error(reason);
    c->ac = NULL;
    c->state = DOWN;
    c->lost_r = r;
    c->lost_reason = reason;
    c->attempt++;
    arm(c, wait_ms, false);
    if (ac)
        redisAsyncFree(ac); /* in one of its callbacks this only marks it */
    fail_waiting(c, r);
}

static int64_t tick_ms(const struct redis_client *c)
{
    return c->command_timeout_ms / TICKS_OF_TIMEOUT + 1;
}

static void on_up(struct redis_client *c)
{
    c->state = UP;
    c->quiet_ticks = 0;
    backoff_reset(&c->backoff);
    metric_add(&store_metrics[STORE_M_CONNECTS], 0, 1);
    metric_add(&store_metrics[STORE_M_CONNECTED], 0, 1);
    LOG(LOG_INFO, "redis_connected", F_STR("address", c->url.address));
    arm(c, tick_ms(c), true);
    pump(c);
}

static char greeting_auth[] = "AUTH", greeting_select[] = "SELECT", greeting_ping[] = "PING";

static void on_greeting_refused(struct redis_client *c, const char *command, const redisReply *e)
{
    const struct refusal *refusal = refusal_of(e);
    bool auth = refusal->r == -EACCES || (command == greeting_auth && refusal->r == -EIO);

    if (refusal->r != -EAGAIN)
        LOG(LOG_ERROR, "redis_refused", F_STR("address", c->url.address), F_STR("command", command),
            F_BYTES("error", bytes_of(e->str, e->len)),
            F_STR("hint", auth ? "check user and password in redis_url" : "check redis_url"));
    connection_lost(c, auth ? -EACCES : refusal->r, auth ? STORE_REASON_AUTH : refusal->reason,
                    refusal == &refusal_unknown ? command : refusal->code);
}

/* AUTH, SELECT and PING go together: the first error ends the connection, the last reply opens it.
 */
static void on_greeting(redisAsyncContext *ac, void *reply, void *privdata)
{
    struct redis_client *c = ac->data;
    const redisReply *answer = reply;

    if (ac != c->ac)
        return;
    if (!answer)
        connection_lost(c, -ENOTCONN, STORE_REASON_NOT_CONNECTED, why_closed(ac));
    else if (answer->type == REDIS_REPLY_ERROR)
        on_greeting_refused(c, privdata, answer);
    else if (privdata == greeting_ping)
        on_up(c);
}

static void greet(struct redis_client *c)
{
    struct redis_url *u = &c->url;

    c->state = GREETING;
    if (u->user)
        redisAsyncCommand(c->ac, on_greeting, greeting_auth, "AUTH %s %s", u->user, u->password);
    else if (u->password)
        redisAsyncCommand(c->ac, on_greeting, greeting_auth, "AUTH %s", u->password);
    if (u->db > 0)
        redisAsyncCommand(c->ac, on_greeting, greeting_select, "SELECT %d", u->db);
    redisAsyncCommand(c->ac, on_greeting, greeting_ping, "PING");
}

static void on_connect(const redisAsyncContext *ac, int status)
{
    struct redis_client *c = ac->data;

    if (ac != c->ac)
        return;
    if (status == REDIS_OK) {
        greet(c);
        return;
    }
    c->ac = NULL; /* hiredis frees it when we return */
    connection_lost(c, -ENOTCONN, STORE_REASON_NOT_CONNECTED, ac->c.errstr);
}

/* With nothing under way: otherwise the first reply callback has said so already. */
static void on_disconnect(const redisAsyncContext *ac, int status)
{
    struct redis_client *c = ac->data;

    (void)status;
    if (ac != c->ac)
        return;
    c->ac = NULL;
    connection_lost(c, -ENOTCONN, STORE_REASON_NOT_CONNECTED, why_closed(ac));
}

static void connect_with(struct redis_client *c, redisAsyncContext *ac)
{
    int r;

    if (!ac) {
        connection_lost(c, -ENOTCONN, STORE_REASON_NOT_CONNECTED, "out of memory");
        return;
    }
    c->state = CONNECTING;
    c->ac = ac;
    ac->data = c;
    if (ac->err) {
        connection_lost(c, -ENOTCONN, STORE_REASON_NOT_CONNECTED, ac->errstr);
        return;
    }
    r = uv_redis_attach(ac, c->loop);
    if (r < 0) {
        connection_lost(c, -ENOTCONN, STORE_REASON_NOT_CONNECTED, uv_strerror(r));
        return;
    }
    redisAsyncSetConnectCallback(ac, on_connect);
    redisAsyncSetDisconnectCallback(ac, on_disconnect);
}

/* Tries the addresses of a name in turn, one each attempt. */
static void connect_to(struct redis_client *c, const struct addrinfo *list)
{
    const struct addrinfo *at = list;
    char host[64] = "";
    uint32_t n = 0;

    for (; at; at = at->ai_next)
        n++;
    at = list;
    for (uint32_t i = 0; i < c->attempt % n; i++)
        at = at->ai_next;
    uv_ip_name(at->ai_addr, host, sizeof host);
    connect_with(c, redisAsyncConnect(host, atoi(c->url.port)));
}

static void finish_close(struct redis_client *c);

static void on_lookup(uv_getaddrinfo_t *lookup, int status, struct addrinfo *list)
{
    struct redis_client *c = lookup->data;

    c->looking_up = false;
    if (c->state == CLOSING)
        finish_close(c);
    else if (c->state == RESOLVING && status < 0)
        connection_lost(c, -ENOTCONN, STORE_REASON_NOT_CONNECTED, uv_strerror(status));
    else if (c->state == RESOLVING)
        connect_to(c, list);
    uv_freeaddrinfo(list);
}

static int look_up(struct redis_client *c)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    int r = uv_getaddrinfo(c->loop, &c->lookup, on_lookup, c->url.host, c->url.port, &hints);

    c->looking_up = r == 0;
    return r;
}

static void connect_start(struct redis_client *c)
{
    int r;

    arm(c, c->connect_timeout_ms, false);
    if (c->url.path) {
        connect_with(c, redisAsyncConnectUnix(c->url.path));
        return;
    }
    c->state = RESOLVING;
    r = c->looking_up ? 0 : look_up(c); /* an old one may still be under way: its answer will do */
    if (r < 0)
        connection_lost(c, -ENOTCONN, STORE_REASON_NOT_CONNECTED, uv_strerror(r));
}

/* ---- time -------------------------------------------------------------------------------------
 */

static void on_ping_done(struct redis_request *req, int r, const redisReply *reply)
{
    (void)r, (void)reply;
    free(req);
}

/* An idle connection whose peer is gone is found before somebody needs it. */
static void ping(struct redis_client *c)
{
    const char *argv[] = {"PING"};
    struct redis_request *req = xcalloc(1, sizeof *req);

    req->done = on_ping_done;
    redis_client_send(c, req, 1, argv, (const size_t[]){4});
}

static void tick(struct redis_client *c)
{
    c->quiet_ticks++;
    if (c->sent_n > 0 && c->quiet_ticks > TICKS_OF_TIMEOUT)
        connection_lost(c, -ETIMEDOUT, STORE_REASON_TIMEOUT, "timeout of a command");
    else if (c->sent_n == 0 && c->quiet_ticks * tick_ms(c) >= IDLE_PING_MS)
        ping(c);
}

static void on_timer(uv_timer_t *timer)
{
    struct redis_client *c = timer->data;

    if (c->state == DOWN)
        connect_start(c);
    else if (c->state == UP)
        tick(c);
    else
        connection_lost(c, -ETIMEDOUT, STORE_REASON_TIMEOUT, "timeout while connecting");
}

/* ---- open and close ---------------------------------------------------------------------------
 */

struct redis_client *redis_client_new(uv_loop_t *loop, struct redis_url *url,
                                      int64_t connect_timeout_ms, int64_t command_timeout_ms)
{
    struct redis_client *c = xcalloc(1, sizeof *c);

    c->loop = loop;
    c->url = *url;
    *url = (struct redis_url){0};
    c->connect_timeout_ms = connect_timeout_ms;
    c->command_timeout_ms = command_timeout_ms;
    c->backoff = (struct backoff){.min_ms = BACKOFF_MIN_MS, .max_ms = BACKOFF_MAX_MS};
    c->lookup.data = c;
    list_init(&c->waiting);
    list_init(&c->sent);
    CHECK(uv_timer_init(loop, &c->timer) == 0);
    c->timer.data = c;
    uv_update_time(loop); /* the program may have been busy since the loop last ran */
    connect_start(c);
    return c;
}

bool redis_client_up(const struct redis_client *c)
{
    return c->state == UP;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct redis_client *c = handle->data;

    c->closed(c->closed_ctx);
    redis_url_deinit(&c->url);
    free(c);
}

static void finish_close(struct redis_client *c)
{
    if (!c->looking_up)
        uv_close((uv_handle_t *)&c->timer, on_timer_closed);
}

void redis_client_close(struct redis_client *c, void (*closed)(void *ctx), void *ctx)
{
    redisAsyncContext *ac = c->ac;

    CHECK(c->state != CLOSING);
    if (c->state == UP)
        metric_add(&store_metrics[STORE_M_CONNECTED], 0, -1);
    c->state = CLOSING;
    c->closed = closed;
    c->closed_ctx = ctx;
    c->lost_r = -ECANCELED;
    c->ac = NULL;
    uv_timer_stop(&c->timer);
    if (ac)
        redisAsyncFree(ac);
    fail_waiting(c, -ECANCELED);
    if (c->looking_up)
        uv_cancel((uv_req_t *)&c->lookup);
    finish_close(c);
}
