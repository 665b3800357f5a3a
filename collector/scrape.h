/*
 * Scrape: one GET of one address by HTTP/1.1, as strict as a scraper has to be: the name is
 * resolved once and only an allowed address is talked to, redirects are not followed, and the time
 * and the body have caps. A connection is used once. Loop thread.
 */
#ifndef HEARTH_COLLECTOR_SCRAPE_H
#define HEARTH_COLLECTOR_SCRAPE_H

#include "base/bytes.h"
#include "base/err.h"

#include <sys/socket.h>
#include <uv.h>

/* Networks in CIDR form, comma separated ("10.0.0.0/8,::1/128"); an address is a network of one. */
struct networks {
    struct network *at;
    size_t n, cap;
};
int networks_parse(struct networks *n, const char *list, const char *setting, struct failure *f);
void networks_deinit(struct networks *n);
bool networks_hold(const struct networks *n, const struct sockaddr *address);

struct scrape_request { /* borrowed until done */
    const char *host;   /* name or address, without brackets */
    uint16_t port;
    const char *path; /* with its query */
    const struct networks *allowed;
    size_t body_max;
    uint64_t timeout_ms;
};

struct scrape;
/*
 * Exactly once, when all handles are closed; not before scrape_start returned. failure NULL: body
 * has the answer's (its memory may be taken by zeroing it). Codes: resolve, not_allowed, connect,
 * timeout, status, too_large, malformed, cancelled.
 */
typedef void scrape_done_cb(void *ctx, const struct failure *failure, struct buf *body);

struct scrape *scrape_start(uv_loop_t *loop, const struct scrape_request *request,
                            scrape_done_cb *done, void *ctx);
void scrape_cancel(struct scrape *s);

#endif
