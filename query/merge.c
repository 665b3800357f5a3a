#include "query/merge.h"

#include "base/logger.h"
#include "base/xalloc.h"

#include <stdlib.h>

/* Trees wait to be zipped together until they have this many nodes: a wide merge is cheaper than
 * many narrow ones, and memory stays bounded however many windows there are. */
enum { WAITING_NODES_MAX = 1 << 20, WAITING_TREES_MAX = 64 };

void merge_init(struct merge *m, uint32_t n_sides)
{
    *m = (struct merge){.n_sides = n_sides};
    for (uint32_t s = 0; s < n_sides; s++)
        m->z[s] = zcodec_new();
}

static void drop_blobs(struct merge *m)
{
    for (size_t i = 0; i < m->n_blobs; i++)
        buf_deinit(&m->blobs[i].bytes);
    m->n_blobs = 0;
}

void merge_deinit(struct merge *m)
{
    for (size_t i = 0; i < m->n_held; i++)
        chunks_deinit(&m->held[i].chunks);
    for (size_t i = 0; i < m->n_accumulators; i++)
        tree_deinit(&m->accumulators[i].sum);
    drop_blobs(m);
    free(m->held);
    free(m->accumulators);
    free(m->blobs);
    for (uint32_t s = 0; s < m->n_sides; s++)
        zcodec_free(m->z[s]);
    *m = (struct merge){0};
}

/* Decoded blobs of one accumulator on their way into its sum. */
struct waiting {
    struct accumulator *to;
    const struct symbols *symbols;
    struct aggregate figures; /* of the one that was read last */
    struct tree_run at[WAITING_TREES_MAX];
    size_t n, nodes;
};

static void waiting_flush(struct waiting *w)
{
    const struct tree_run *in[WAITING_TREES_MAX];
    struct tree sum = {0};

    if (w->n == 0)
        return;
    for (size_t i = 0; i < w->n; i++)
        in[i] = &w->at[i];
    tree_zip_runs(&sum, &w->to->sum, in, w->n, w->symbols);
    tree_deinit(&w->to->sum);
    w->to->sum = sum;
    w->n = w->nodes = 0;
}

static void side_add(struct answer_side *side, const struct aggregate *a)
{
    side->windows++;
    side->profiles += a->profiles;
    if (__builtin_add_overflow(side->duration_ns, a->duration_ns, &side->duration_ns))
        side->duration_ns = INT64_MAX;
    sketch_union(&side->instances, &a->instances);
}

static int decode_next(struct waiting *w, struct zcodec *z, struct bytes bytes)
{
    struct tree_run *run = &w->at[w->n];
    int r = aggregate_decode_run(z, &w->figures, run, bytes, symbols_n_frames(w->symbols),
                                 symbols_ranks(w->symbols));

    if (r != 0)
        return r;
    w->nodes += run->n;
    w->n++;
    return 0;
}

/* A side of one window needs no merging, and most differences are of such. */
static int decode_only(struct waiting *w, struct zcodec *z, struct bytes bytes)
{
    int r = aggregate_decode(z, &w->figures, bytes, symbols_n_frames(w->symbols));

    tree_deinit(&w->to->sum);
    w->to->sum = w->figures.tree;
    w->figures.tree = (struct tree){0};
    return r;
}

static void waiting_add(struct waiting *w, struct zcodec *z, struct bytes bytes, bool is_only,
                        struct answer_side *side)
{
    if (is_only ? decode_only(w, z, bytes) : decode_next(w, z, bytes)) {
        side->gaps++;
        LOG(LOG_WARN, "blob_bad", F_INT("bytes", bytes.len),
            F_INT("generation", w->figures.generation));
        return;
    }
    side_add(side, &w->figures);
    if (w->n == WAITING_TREES_MAX || w->nodes > WAITING_NODES_MAX)
        waiting_flush(w);
}

static size_t count_blobs(const struct merge *m, uint32_t which)
{
    size_t n = 0;

    for (size_t i = 0; i < m->n_blobs; i++)
        n += m->blobs[i].accumulator == which;
    return n;
}

static void accumulate(struct merge *m, struct answer *a, uint32_t which, struct waiting *w)
{
    struct held *h = &m->held[m->accumulators[which].held];
    bool is_only = m->accumulators[which].sum.n == 0 && count_blobs(m, which) == 1;

    w->to = &m->accumulators[which];
    pthread_rwlock_rdlock(&h->generation->lock);
    w->symbols = h->generation->symbols;
    for (size_t i = 0; i < m->n_blobs; i++)
        if (m->blobs[i].accumulator == which)
            waiting_add(w, m->z[w->to->side], buf_bytes(&m->blobs[i].bytes), is_only,
                        &a->sides[w->to->side]);
    waiting_flush(w);
    pthread_rwlock_unlock(&h->generation->lock);
}

static void count_lost(const struct merge *m, struct answer *a, uint32_t which)
{
    a->sides[m->accumulators[which].side].gaps += count_blobs(m, which);
}

bool merge_has_symbols(const struct merge *m)
{
    for (size_t i = 0; i < m->n_held; i++)
        if (m->held[i].chunks.n > 0)
            return true;
    return false;
}

static void apply_chunks(struct held *h, struct zcodec *z)
{
    h->broken = generation_apply(h->generation, z, &h->chunks) != 0;
    chunks_deinit(&h->chunks);
    if (h->broken)
        LOG(LOG_WARN, "symbols_bad", F_INT("partition", h->generation->partition),
            F_INT("generation", h->generation->number));
}

void merge_symbols(struct merge *m)
{
    for (size_t i = 0; i < m->n_held; i++)
        if (m->held[i].chunks.n > 0)
            apply_chunks(&m->held[i], m->z[0]);
}

bool merge_has_blobs(const struct merge *m, uint32_t side)
{
    for (size_t i = 0; i < m->n_blobs; i++)
        if (m->accumulators[m->blobs[i].accumulator].side == side)
            return true;
    return false;
}

void merge_side(struct merge *m, struct answer *a, uint32_t side)
{
    struct waiting *w = xcalloc(1, sizeof *w);

    for (uint32_t i = 0; i < m->n_accumulators; i++) {
        if (m->accumulators[i].side != side)
            continue;
        if (m->held[m->accumulators[i].held].broken)
            count_lost(m, a, i);
        else
            accumulate(m, a, i, w);
    }
    for (size_t i = 0; i < WAITING_TREES_MAX; i++)
        tree_run_deinit(&w->at[i]);
    aggregate_deinit(&w->figures);
    free(w);
}

static size_t tree_bytes(const struct tree *t)
{
    return t->cap * (sizeof *t->depth + sizeof *t->frame + sizeof *t->self[0]);
}

size_t merge_end_round(struct merge *m)
{
    size_t bytes = 0;

    drop_blobs(m);
    for (uint32_t i = 0; i < m->n_accumulators; i++)
        bytes += tree_bytes(&m->accumulators[i].sum);
    return bytes;
}

/* The generation that all sums are of, or NULL. */
static struct generation *only_generation(const struct merge *m)
{
    struct generation *only = NULL;

    for (size_t i = 0; i < m->n_accumulators; i++) {
        struct generation *g = m->held[m->accumulators[i].held].generation;

        if (m->accumulators[i].sum.n == 0)
            continue;
        if (only && only != g)
            return NULL;
        only = g;
    }
    return only;
}

static void borrow(struct merge *m, struct answer *a, struct generation *g)
{
    pthread_rwlock_rdlock(&g->lock);
    answer_borrow(a, g->symbols, &g->by_function);
    m->borrowed = g;
}

void merge_finish(struct merge *m, struct answer *a)
{
    struct answer_parts parts = {0};
    struct generation *only = only_generation(m);

    if (only)
        borrow(m, a, only);
    for (size_t i = 0; i < m->n_accumulators; i++) {
        struct accumulator *acc = &m->accumulators[i];
        struct generation *g = m->held[acc->held].generation;

        if (!only)
            pthread_rwlock_rdlock(&g->lock);
        answer_add(a, &parts, acc->side, &acc->sum, g->symbols);
        if (!only)
            pthread_rwlock_unlock(&g->lock);
    }
    answer_zip(a, &parts);
}

void merge_let_go(struct merge *m, struct answer *a)
{
    answer_give_back(a);
    if (m->borrowed)
        pthread_rwlock_unlock(&m->borrowed->lock);
    m->borrowed = NULL;
}
