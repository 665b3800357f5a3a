/* The verbs of store.h, handed to the implementation that made the store; and what both share. */
#include "store/store_impl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

void store_get(struct store *s, const struct bytes *keys, size_t n, store_cb *cb, void *ctx)
{
    s->ops->get(s, keys, n, cb, ctx);
}

void store_hash(struct store *s, struct bytes key, store_cb *cb, void *ctx)
{
    s->ops->hash(s, key, cb, ctx);
}

void store_hash_get(struct store *s, struct bytes key, const struct bytes *fields, size_t n,
                    store_cb *cb, void *ctx)
{
    s->ops->hash_get(s, key, fields, n, cb, ctx);
}

void store_put(struct store *s, const struct store_put *puts, size_t n, store_cb *cb, void *ctx)
{
    s->ops->put(s, puts, n, cb, ctx);
}

void store_agree(struct store *s, struct bytes key, struct bytes field, struct bytes value,
                 store_cb *cb, void *ctx)
{
    s->ops->agree(s, key, field, value, cb, ctx);
}

void store_acquire(struct store *s, uint32_t p, uint64_t token, int64_t now_ms, store_meta_cb *cb,
                   void *ctx)
{
    s->ops->acquire(s, p, token, now_ms, cb, ctx);
}

void store_meta(struct store *s, uint32_t p, store_meta_cb *cb, void *ctx)
{
    s->ops->meta(s, p, cb, ctx);
}

void store_commit(struct store *s, const struct store_commit *c, store_cb *cb, void *ctx)
{
    s->ops->commit(s, c, cb, ctx);
}

bool store_ready(const struct store *s)
{
    return s->ops->ready(s);
}

void store_close(struct store *s, void (*closed)(void *ctx), void *ctx)
{
    s->ops->close(s, closed, ctx);
}

/* ---- meta -------------------------------------------------------------------------------------
 */

const struct bytes meta_field_names[META_FIELDS] = {
    [META_EPOCH] = BYTES_LIT("epoch"),
    [META_TOKEN] = BYTES_LIT("token"),
    [META_SEQ] = BYTES_LIT("seq"),
    [META_OFFSET] = BYTES_LIT("offset"),
    [META_UPDATED] = BYTES_LIT("updated_ms"),
};

struct decimal decimal_of(uint64_t v)
{
    struct decimal d;

    d.len = (size_t)snprintf(d.text, sizeof d.text, "%" PRIu64, v);
    return d;
}

static int read_decimal(struct bytes text, uint64_t absent, uint64_t *ret)
{
    uint64_t v = 0;

    if (!text.data) {
        *ret = absent;
        return 0;
    }
    if (text.len == 0)
        return -EBADMSG;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = text.data[i] - (unsigned)'0';

        if (digit > 9 || __builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, digit, &v))
            return -EBADMSG;
    }
    *ret = v;
    return 0;
}

int meta_read(struct store_meta *m, const struct bytes values[META_FIELDS])
{
    uint64_t updated_ms;

    if (read_decimal(values[META_EPOCH], 0, &m->epoch) < 0 ||
        read_decimal(values[META_TOKEN], 0, &m->token) < 0 ||
        read_decimal(values[META_SEQ], 0, &m->seq) < 0 ||
        read_decimal(values[META_OFFSET], STORE_OFFSET_NONE, &m->offset) < 0 ||
        read_decimal(values[META_UPDATED], 0, &updated_ms) < 0)
        return -EBADMSG;
    m->updated_ms = (int64_t)updated_ms;
    return 0;
}

/* ---- metrics ----------------------------------------------------------------------------------
 */

/* clang-format off */
struct metric store_metrics[STORE_METRICS] = {
    [STORE_M_COMMITS] = METRIC_COUNTER_BY("hearth_store_commits_total", "atomic steps of partitions",
        "outcome", "applied|fenced|failed"),
    [STORE_M_ERRORS] = METRIC_COUNTER_BY("hearth_store_errors_total", "requests to the store and connection attempts that failed",
        "reason", "not_connected|timeout|loading|readonly|noreplicas|oom|busy|misconf|auth|cluster|"
                  "overflow|disk_full|other"),
    [STORE_M_CONNECTS] = METRIC_COUNTER("hearth_store_connects_total", "connections made to Redis"),
    [STORE_M_CONNECTED] = METRIC_GAUGE("hearth_store_connected", "connections to Redis that are up now"),
    [STORE_M_IN_FLIGHT] = METRIC_GAUGE("hearth_store_in_flight_bytes", "bytes of Redis commands without an answer"),
    [STORE_M_DISK_USED] = METRIC_GAUGE("hearth_store_disk_used_bytes", "bytes in use in the local store's file"),
    [STORE_M_BLOBS] = METRIC_GAUGE("hearth_store_blobs", "blobs in the local store"),
    [STORE_M_EXPIRED] = METRIC_COUNTER("hearth_store_expired_total", "blobs the local store removed at their end"),
    [STORE_M_EVICTED] = METRIC_COUNTER("hearth_store_evicted_total", "blobs the local store gave up before their end for want of disk"),
    [STORE_M_EVICTED_BYTES] = METRIC_COUNTER("hearth_store_evicted_bytes_total", "bytes freed by giving up blobs before their end"),
};
/* clang-format on */

void store_metrics_register(void)
{
    metrics_register(store_metrics, STORE_METRICS);
}

void store_count_commit(int r)
{
    unsigned outcome = r == 0                ? STORE_COMMIT_APPLIED
                       : r == STORE_E_FENCED ? STORE_COMMIT_FENCED
                                             : STORE_COMMIT_FAILED;

    metric_add(&store_metrics[STORE_M_COMMITS], outcome, 1);
}
