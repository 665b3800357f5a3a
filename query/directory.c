/*
 * How many partitions there are stands in h:conf and never changes once it does, so it is asked for
 * until it is known. Then meta is read for each partition; where its (epoch, seq) is that of the
 * cached catalogue, that is all. A catalogue that is read after its meta may be newer than it,
 * which costs a second reading next time and nothing else.
 */
#include "query/directory.h"

#include "base/logger.h"
#include "base/xalloc.h"
#include "store/keys.h"

#include <errno.h>
#include <stdlib.h>

struct directory {
    struct store *store;
    uint32_t n;                /* partitions; 0: not known yet */
    struct catalogue **cached; /* [n] NULL: not read yet */
};

struct load {
    struct directory *d;
    struct buf tenant, service;
    directory_cb *cb;
    void *ctx;
    struct catalogue **partitions;
    size_t n, waiting;
    int r;
};

/* One partition of a load. */
struct slot {
    struct load *load;
    size_t i;
    uint32_t number;
    struct store_meta meta;
};

void catalogue_unref(struct catalogue *p)
{
    if (!p || --p->refs > 0)
        return;
    free(p->kids);
    free(p->entries);
    buf_deinit(&p->bytes);
    free(p);
}

struct directory *directory_new(struct store *store)
{
    struct directory *d = xcalloc(1, sizeof *d);

    d->store = store;
    return d;
}

void directory_free(struct directory *d)
{
    if (!d)
        return;
    for (uint32_t p = 0; p < d->n; p++)
        catalogue_unref(d->cached[p]);
    free(d->cached);
    free(d);
}

/* ---- a catalogue ------------------------------------------------------------------------------
 */

static struct catalogue *catalogue_new(const struct slot *slot, const struct store_reply *reply)
{
    struct catalogue *p = xcalloc(1, sizeof *p);
    size_t at = 0;

    p->number = slot->number;
    p->meta = slot->meta;
    p->refs = 1;
    p->kids = xcalloc(reply->n, sizeof *p->kids);
    p->entries = xcalloc(reply->n, sizeof *p->entries);
    for (size_t i = 0; i < reply->n; i++)
        buf_append_bytes(&p->bytes, reply->values[i]);
    for (size_t i = 0; i < reply->n; at += reply->values[i++].len) {
        struct bytes value = bytes_of(p->bytes.data + at, reply->values[i].len);

        if (hash128_unhex(reply->fields[i], &p->kids[p->n]) &&
            catalogue_decode(&p->entries[p->n], value) == 0)
            p->n++;
        else
            LOG(LOG_WARN, "catalogue_entry_bad", F_INT("partition", slot->number));
    }
    return p;
}

/* ---- loading ----------------------------------------------------------------------------------
 */

static void load_finish(struct load *l)
{
    l->cb(l->ctx, l->r, l->partitions, l->n);
    for (size_t i = 0; l->r != 0 && i < l->n; i++)
        catalogue_unref(l->partitions[i]);
    free(l->partitions);
    buf_deinit(&l->tenant);
    buf_deinit(&l->service);
    free(l);
}

static void slot_done(struct slot *s, int r)
{
    struct load *l = s->load;

    if (r != 0)
        l->r = r;
    free(s);
    if (--l->waiting == 0)
        load_finish(l);
}

static void slot_take(struct slot *s, struct catalogue *p)
{
    p->refs++;
    s->load->partitions[s->i] = p;
}

static void on_catalogue(void *ctx, int r, const struct store_reply *reply)
{
    struct slot *s = ctx;
    struct directory *d = s->load->d;

    if (r == 0) {
        catalogue_unref(d->cached[s->number]);
        d->cached[s->number] = catalogue_new(s, reply);
        slot_take(s, d->cached[s->number]);
    }
    slot_done(s, r);
}

static void on_meta(void *ctx, int r, const struct store_meta *meta)
{
    struct slot *s = ctx;
    struct directory *d = s->load->d;
    struct catalogue *cached = d->cached[s->number];
    struct key key = key_catalogue(s->number);

    if (r != 0) {
        slot_done(s, r);
    } else if (cached && cached->meta.epoch == meta->epoch && cached->meta.seq == meta->seq) {
        cached->meta = *meta;
        slot_take(s, cached);
        slot_done(s, 0);
    } else {
        s->meta = *meta;
        store_hash(d->store, key_bytes(&key), on_catalogue, s);
    }
}

static void load_partitions(struct load *l)
{
    struct directory *d = l->d;
    bool all = l->service.len == 0;
    uint32_t base = all ? 0
                        : partition_of(buf_bytes(&l->tenant), buf_bytes(&l->service),
                                       bytes_of(NULL, 0), 1, d->n);

    l->n = all || d->n < SPREAD_MAX ? d->n : SPREAD_MAX;
    l->partitions = xcalloc(l->n, sizeof *l->partitions);
    l->waiting = l->n;
    for (size_t i = 0, n = l->n; i < n; i++) {
        struct slot *s = xcalloc(1, sizeof *s);

        *s = (struct slot){.load = l, .i = i, .number = (base + (uint32_t)i) % d->n};
        store_meta(d->store, s->number, on_meta, s);
    }
}

static uint32_t conf_partitions(const struct store_reply *reply)
{
    uint32_t n = 0;

    if (reply->n == 0 || !reply->values[0].data || reply->values[0].len > 7)
        return 0;
    for (size_t i = 0; i < reply->values[0].len; i++) {
        if (reply->values[0].data[i] < '0' || reply->values[0].data[i] > '9')
            return 0;
        n = n * 10 + (reply->values[0].data[i] - '0');
    }
    return n;
}

static void on_conf(void *ctx, int r, const struct store_reply *reply)
{
    struct load *l = ctx;
    struct directory *d = l->d;
    uint32_t n = r == 0 ? conf_partitions(reply) : 0;

    if (d->n == 0 && n > 0) {
        d->cached = xcalloc(n, sizeof *d->cached);
        d->n = n;
    }
    l->r = r;
    if (r != 0 || d->n == 0)
        load_finish(l);
    else
        load_partitions(l);
}

void directory_load(struct directory *d, struct bytes tenant, struct bytes service,
                    directory_cb *cb, void *ctx)
{
    struct load *l = xcalloc(1, sizeof *l);
    struct key key = key_conf();

    l->d = d;
    l->cb = cb;
    l->ctx = ctx;
    buf_append_bytes(&l->tenant, tenant);
    buf_append_bytes(&l->service, service);
    if (d->n > 0)
        load_partitions(l);
    else
        store_hash_get(d->store, key_bytes(&key), &BYTES_LIT("n"), 1, on_conf, l);
}
