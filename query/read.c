/*
 * One reading's way, on the loop but for the steps in brackets, which run on the pool:
 *
 *   parameters → catalogues → series → index of each series → windows
 *   → rounds of: blobs → symbols that they need → [take symbols in] → [decode, add up] a side
 *   → [merge, prune, write] → answer
 *
 * The order is what makes it right. Index before blobs: a blob that is replaced meanwhile lives for
 * a minute more, so what the index said is a consistent cut. Symbols after both: the symbols of a
 * blob were committed no later than its index entry. What the index names and the store does not
 * have is a gap, and is reported.
 *
 * Any store error or broken limit ends the reading with a failure once nothing is on its way any
 * more.
 */
#include "base/clock.h"
#include "base/logger.h"
#include "base/xalloc.h"
#include "formats/inflate.h"
#include "query/choose.h"
#include "query/merge.h"
#include "query/plan.h"
#include "query/query_impl.h"
#include "store/keys.h"

#include <stdio.h>
#include <stdlib.h>

enum { INDEXES_IN_FLIGHT = 64, ROUND_BLOBS = 256, BATCH_KEYS = 32 };

struct target {
    uint32_t source;
    struct window window;
};

struct read {
    struct query *q;
    struct http_request *http;
    struct request request;
    int64_t began_ms;

    struct catalogue **catalogues; /* those of side 0, then those of side 1 if it has its own */
    size_t n_catalogues, n_catalogues_of[SIDES_MAX], first_catalogue[SIDES_MAX];
    uint32_t loading; /* side whose catalogues are on their way */
    struct sources sources;
    size_t next_source;

    struct target *targets;
    size_t n_targets, cap_targets, next_target;
    struct window *windows; /* scratch of one index */
    size_t cap_windows;

    struct merge merge;
    struct answer answer;
    struct buf out;
    uv_work_t work;
    struct side_work {
        struct read *read;
        uint32_t side;
        uv_work_t work;
    } side_works[SIDES_MAX];

    size_t waiting;         /* replies on their way */
    struct failure failure; /* status 0: none yet */
};

static void load_side(struct read *r, uint32_t side);
static void fetch_indexes(struct read *r);
static void begin_round(struct read *r);
static void fetch_symbols(struct read *r);

static void read_free(struct read *r)
{
    struct query *q = r->q;

    for (size_t i = 0; i < r->merge.n_held; i++)
        generation_put(&q->generations, r->merge.held[i].generation);
    for (size_t i = 0; i < r->n_catalogues; i++)
        catalogue_unref(r->catalogues[i]);
    free(r->catalogues);
    free(r->sources.at);
    free(r->targets);
    free(r->windows);
    merge_deinit(&r->merge);
    answer_deinit(&r->answer);
    request_deinit(&r->request);
    buf_deinit(&r->out);
    free(r);
    query_end(q);
}

static void read_fail(struct read *r)
{
    http_respond_failure(r->http, &r->failure);
    read_free(r);
}

static void note_store_error(struct read *r, int error)
{
    if (error != 0 && r->failure.status == 0)
        failure_of_store(&r->failure, error);
}

/* A reply has come, or work of the pool is done. True: it was the last one, and the reading goes
 * on; false: wait, or it has ended. */
static bool all_here(struct read *r)
{
    if (--r->waiting > 0)
        return false;
    if (r->failure.status == 0)
        return true;
    read_fail(r);
    return false;
}

/* ---- catalogues and series --------------------------------------------------------------------
 */

static void side_figures(struct read *r, uint32_t side)
{
    struct answer_side *s = &r->answer.sides[side];
    uint32_t res_s = 1;

    buf_append_bytes(&s->service, buf_bytes(&r->request.sides[side].service));
    buf_append_bytes(&s->type, buf_bytes(&r->request.sides[side].type));
    s->partitions = xcalloc(r->n_catalogues_of[side], sizeof *s->partitions);
    for (size_t i = 0; i < r->sources.n; i++) {
        const struct source *source = &r->sources.at[i];
        const struct catalogue *catalogue = r->catalogues[source->catalogue];

        if (source->side != side)
            continue;
        res_s = source->res_s > res_s ? source->res_s : res_s;
        if (s->n_partitions == 0 ||
            s->partitions[s->n_partitions - 1].partition != catalogue->number)
            s->partitions[s->n_partitions++] = (struct freshness){
                catalogue->number, catalogue->meta.offset, catalogue->meta.updated_ms};
    }
    s->range = range_widen(r->request.sides[side].range, res_s);
}

static int choose(struct read *r, uint32_t side)
{
    size_t first = r->first_catalogue[side], begin = r->sources.n;
    int e =
        choose_sources(&r->request.sides[side], (uint8_t)side, buf_bytes(&r->request.tenant),
                       r->catalogues + first, r->n_catalogues_of[side], &r->sources, &r->failure);

    if (e != 0)
        return e;
    for (size_t i = begin; i < r->sources.n; i++)
        r->sources.at[i].catalogue += (uint32_t)first;
    side_figures(r, side);
    return 0;
}

static int check_units(struct read *r)
{
    struct bytes a = buf_bytes(&r->request.sides[0].type), b = buf_bytes(&r->request.sides[1].type);

    if (r->request.n_sides == 1 || bytes_equal(profile_type_unit(a), profile_type_unit(b)))
        return 0;
    return fail(&r->failure, 400, "parameter_bad", "compare types of one unit",
                "a.type is in %.*s, b.type in %.*s", (int)profile_type_unit(a).len,
                (const char *)profile_type_unit(a).data, (int)profile_type_unit(b).len,
                (const char *)profile_type_unit(b).data);
}

static void choose_series(struct read *r)
{
    for (uint32_t side = 0; side < r->request.n_sides; side++) {
        if (choose(r, side) != 0) {
            read_fail(r);
            return;
        }
    }
    if (check_units(r) != 0)
        read_fail(r);
    else
        fetch_indexes(r);
}

static void on_catalogues(void *ctx, int error, struct catalogue **catalogues, size_t n)
{
    struct read *r = ctx;
    uint32_t side = r->loading;

    if (error != 0) {
        failure_of_store(&r->failure, error);
        read_fail(r);
        return;
    }
    r->catalogues = xreallocarray(r->catalogues, r->n_catalogues + n + 1, sizeof *r->catalogues);
    r->first_catalogue[side] = r->n_catalogues;
    r->n_catalogues_of[side] = n;
    for (size_t i = 0; i < n; i++)
        r->catalogues[r->n_catalogues++] = catalogues[i];
    load_side(r, side + 1);
}

static bool shares_service(const struct request *request)
{
    return request->n_sides == 2 && bytes_equal(buf_bytes(&request->sides[0].service),
                                                buf_bytes(&request->sides[1].service));
}

static void load_side(struct read *r, uint32_t side)
{
    if (side == 1 && shares_service(&r->request))
        r->n_catalogues_of[side++] = r->n_catalogues_of[0];
    r->loading = side;
    if (side >= r->request.n_sides)
        choose_series(r);
    else
        directory_load(r->q->directory, buf_bytes(&r->request.tenant),
                       buf_bytes(&r->request.sides[side].service), on_catalogues, r);
}

/* ---- windows ----------------------------------------------------------------------------------
 */

/* One index on its way. */
struct index_fetch {
    struct read *read;
    uint32_t source;
};

static void add_targets(struct read *r, uint32_t source, const struct store_reply *reply)
{
    const struct source *s = &r->sources.at[source];
    size_t n = 0, bad = 0;

    plan_windows(reply->fields, reply->values, reply->n, r->request.sides[s->side].range, s->res_s,
                 clock_wall_ms(), &r->windows, &r->cap_windows, &n, &bad);
    r->answer.sides[s->side].gaps += bad;
    XGROW(r->targets, r->cap_targets, r->n_targets + n);
    for (size_t i = 0; i < n; i++)
        r->targets[r->n_targets++] = (struct target){source, r->windows[i]};
}

static void on_index(void *ctx, int error, const struct store_reply *reply)
{
    struct index_fetch *fetch = ctx;
    struct read *r = fetch->read;

    if (error == 0)
        add_targets(r, fetch->source, reply);
    note_store_error(r, error);
    free(fetch);
    if (r->failure.status != 0)
        r->next_source = r->sources.n; /* ask for no more */
    if (r->next_source < r->sources.n) {
        r->waiting--;
        fetch_indexes(r);
    } else if (all_here(r)) {
        begin_round(r);
    }
}

static void fetch_indexes(struct read *r)
{
    while (r->waiting < INDEXES_IN_FLIGHT && r->next_source < r->sources.n) {
        struct index_fetch *fetch = xmalloc(sizeof *fetch);
        const struct source *s = &r->sources.at[r->next_source];
        struct key key = key_index(r->catalogues[s->catalogue]->number, s->res_s, s->kid);

        *fetch = (struct index_fetch){r, (uint32_t)r->next_source++};
        r->waiting++;
        store_hash(r->q->store, key_bytes(&key), on_index, fetch);
    }
    if (r->waiting == 0)
        begin_round(r);
}

/* ---- the end ----------------------------------------------------------------------------------
 */

static void write_answer(struct read *r)
{
    const struct request *q = &r->request;

    if (q->endpoint == ENDPOINT_TOP)
        answer_top_json(&r->answer, q->sort, q->limit, &r->out);
    else if (q->format == FORMAT_PPROF)
        answer_pprof(&r->answer, q->max_nodes, &r->out);
    else if (q->format == FORMAT_FOLDED)
        answer_folded(&r->answer, q->max_nodes, &r->out);
    else
        answer_flamegraph_json(&r->answer, q->max_nodes, &r->out);
}

/* Pool thread. */
static void finish_on_pool(uv_work_t *work)
{
    struct read *r = work->data;

    merge_finish(&r->merge, &r->answer);
    write_answer(r);
    merge_let_go(&r->merge, &r->answer);
    /* Without the lock: it takes longer than all the rest. */
    if (r->request.format == FORMAT_PPROF)
        gzip_in_place(&r->out, GZIP_LEVEL);
}

static void respond(struct read *r)
{
    switch (r->request.format) {
    case FORMAT_PPROF:
        http_respond_buf(r->http, 200, "application/octet-stream", &r->out,
                         "Content-Disposition: attachment; filename=\"profile.pb.gz\"\r\n"
                         "Cache-Control: no-store\r\n");
        return;
    case FORMAT_FOLDED:
        http_respond_buf(r->http, 200, "text/plain; charset=utf-8", &r->out,
                         "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n");
        return;
    default:
        respond_json(r->http, &r->out);
    }
}

static void on_finished(uv_work_t *work, int status)
{
    struct read *r = work->data;
    double seconds = (double)(clock_mono_ms() - r->began_ms) / MS_PER_S;

    (void)status; /* never cancelled */
    metric_observe(&query_metrics[M_SECONDS], seconds);
    for (uint32_t s = 0; s < r->answer.n_sides; s++)
        metric_add(&query_metrics[M_GAPS], 0, (int64_t)r->answer.sides[s].gaps);
    respond(r);
    read_free(r);
}

static void finish(struct read *r)
{
    r->work.data = r;
    CHECK(uv_queue_work(r->q->loop, &r->work, finish_on_pool, on_finished) == 0);
}

/* ---- rounds -----------------------------------------------------------------------------------
 */

static void end_round(struct read *r)
{
    int64_t max = r->q->options->query_memory_max;
    size_t bytes = merge_end_round(&r->merge);

    if ((int64_t)bytes > max) {
        fail(&r->failure, 400, "query_too_large",
             "narrow the range or the selector, or raise query_memory_max",
             "the merged trees need %zu bytes, query_memory_max is %lld", bytes, (long long)max);
        read_fail(r);
        return;
    }
    begin_round(r);
}

/* Pool thread, one for each side. */
static void side_on_pool(uv_work_t *work)
{
    struct side_work *w = work->data;

    merge_side(&w->read->merge, &w->read->answer, w->side);
}

static void on_side(uv_work_t *work, int status)
{
    struct side_work *w = work->data;

    (void)status; /* never cancelled */
    if (all_here(w->read))
        end_round(w->read);
}

static void merge_sides(struct read *r)
{
    for (uint32_t s = 0; s < r->request.n_sides; s++) {
        struct side_work *w = &r->side_works[s];

        if (!merge_has_blobs(&r->merge, s))
            continue;
        *w = (struct side_work){.read = r, .side = s, .work.data = w};
        r->waiting++;
        CHECK(uv_queue_work(r->q->loop, &w->work, side_on_pool, on_side) == 0);
    }
    if (r->waiting == 0)
        end_round(r);
}

/* Pool thread. */
static void symbols_on_pool(uv_work_t *work)
{
    struct read *r = work->data;

    merge_symbols(&r->merge);
}

static void on_symbols_merged(uv_work_t *work, int status)
{
    struct read *r = work->data;

    (void)status;
    merge_sides(r);
}

static void merge_the_round(struct read *r)
{
    r->work.data = r;
    if (merge_has_symbols(&r->merge))
        CHECK(uv_queue_work(r->q->loop, &r->work, symbols_on_pool, on_symbols_merged) == 0);
    else
        merge_sides(r);
}

/* A batch of blobs on its way. */
struct blob_fetch {
    struct read *read;
    size_t first_target, n;
};

static uint32_t held_of(struct read *r, uint32_t catalogue, struct hash128 sid, uint64_t number)
{
    const struct catalogue *s = r->catalogues[catalogue];
    struct generation *g =
        generation_get(&r->q->generations, s->number, sid, number, s->meta.epoch);

    for (uint32_t i = 0; i < r->merge.n_held; i++) {
        if (r->merge.held[i].generation == g) {
            generation_put(&r->q->generations, g);
            return i;
        }
    }
    XGROW(r->merge.held, r->merge.cap_held, r->merge.n_held + 1);
    r->merge.held[r->merge.n_held] = (struct held){.generation = g};
    return (uint32_t)r->merge.n_held++;
}

static uint32_t accumulator_of(struct read *r, const struct source *s, uint64_t generation)
{
    struct merge *m = &r->merge;
    uint32_t held = held_of(r, s->catalogue, s->sid, generation);

    for (uint32_t i = 0; i < m->n_accumulators; i++)
        if (m->accumulators[i].held == held && m->accumulators[i].side == s->side)
            return i;
    XGROW(m->accumulators, m->cap_accumulators, m->n_accumulators + 1);
    m->accumulators[m->n_accumulators] = (struct accumulator){.side = s->side, .held = held};
    return (uint32_t)m->n_accumulators++;
}

static void take_blob(struct read *r, const struct target *t, struct bytes value)
{
    const struct source *s = &r->sources.at[t->source];
    struct aggregate figures = {0};
    struct blob *blob;

    if (!value.data || aggregate_peek(&figures, value) != 0) {
        r->answer.sides[s->side].gaps++;
        return;
    }
    XGROW(r->merge.blobs, r->merge.cap_blobs, r->merge.n_blobs + 1);
    blob = &r->merge.blobs[r->merge.n_blobs++];
    *blob = (struct blob){.accumulator = accumulator_of(r, s, figures.generation)};
    buf_append_bytes(&blob->bytes, value);
}

static void on_blobs(void *ctx, int error, const struct store_reply *reply)
{
    struct blob_fetch *fetch = ctx;
    struct read *r = fetch->read;

    for (size_t i = 0; error == 0 && i < fetch->n; i++)
        take_blob(r, &r->targets[fetch->first_target + i], reply->values[i]);
    note_store_error(r, error);
    free(fetch);
    if (all_here(r))
        fetch_symbols(r);
}

static void fetch_batch(struct read *r, size_t n)
{
    struct blob_fetch *fetch = xmalloc(sizeof *fetch);
    struct key names[BATCH_KEYS];
    struct bytes keys[BATCH_KEYS];

    *fetch = (struct blob_fetch){r, r->next_target, n};
    for (size_t i = 0; i < n; i++) {
        const struct target *t = &r->targets[r->next_target++];
        const struct source *s = &r->sources.at[t->source];

        names[i] = key_blob(r->catalogues[s->catalogue]->number, s->res_s, t->window.t_s, s->kid,
                            t->window.version.epoch, t->window.version.seq);
        keys[i] = key_bytes(&names[i]);
    }
    r->waiting++;
    store_get(r->q->store, keys, n, on_blobs, fetch);
}

static void begin_round(struct read *r)
{
    size_t end =
        r->n_targets - r->next_target < ROUND_BLOBS ? r->n_targets : r->next_target + ROUND_BLOBS;

    if (r->next_target == r->n_targets) {
        finish(r);
        return;
    }
    while (r->next_target < end) {
        size_t left = end - r->next_target;

        fetch_batch(r, left < BATCH_KEYS ? left : BATCH_KEYS);
    }
}

/* ---- symbols ----------------------------------------------------------------------------------
 */

/* Symbols on their way. */
struct symbols_fetch {
    struct read *read;
    uint32_t held;
};

static void symbols_here(struct symbols_fetch *fetch, int error)
{
    struct read *r = fetch->read;

    note_store_error(r, error);
    free(fetch);
    if (all_here(r))
        merge_the_round(r);
}

static void on_symbols(void *ctx, int error, const struct store_reply *reply)
{
    struct symbols_fetch *fetch = ctx;

    if (error == 0)
        chunks_add(&fetch->read->merge.held[fetch->held].chunks, reply);
    symbols_here(fetch, error);
}

static void fetch_whole(struct symbols_fetch *fetch)
{
    struct read *r = fetch->read;
    const struct generation *g = r->merge.held[fetch->held].generation;
    struct key key = key_symbols(g->partition, g->sid, g->number);

    store_hash(r->q->store, key_bytes(&key), on_symbols, fetch);
}

/* The chunk behind the last one known: if there is one, there may be more. */
static void on_tail(void *ctx, int error, const struct store_reply *reply)
{
    struct symbols_fetch *fetch = ctx;

    if (error == 0 && reply->values[0].data)
        fetch_whole(fetch);
    else
        symbols_here(fetch, error);
}

static void fetch_tail(struct symbols_fetch *fetch)
{
    struct read *r = fetch->read;
    const struct generation *g = r->merge.held[fetch->held].generation;
    struct key key = key_symbols(g->partition, g->sid, g->number);
    char text[16];
    struct bytes field = bytes_of(text, (size_t)snprintf(text, sizeof text, "%u", g->n_frames));

    store_hash_get(r->q->store, key_bytes(&key), &field, 1, on_tail, fetch);
}

static void fetch_symbols(struct read *r)
{
    for (uint32_t i = 0; i < r->merge.n_held; i++) {
        struct held *h = &r->merge.held[i];
        struct symbols_fetch *fetch;

        if (h->fresh)
            continue;
        h->fresh = true;
        fetch = xmalloc(sizeof *fetch);
        *fetch = (struct symbols_fetch){r, i};
        r->waiting++;
        if (h->generation->n_frames > 1)
            fetch_tail(fetch);
        else
            fetch_whole(fetch);
    }
    if (r->waiting == 0)
        merge_the_round(r);
}

/* ---- begin ------------------------------------------------------------------------------------
 */

void read_start(struct query *q, struct http_request *req, enum endpoint endpoint)
{
    struct read *r;

    if (!query_begin(q, req))
        return;
    r = xcalloc(1, sizeof *r);
    r->q = q;
    r->http = req;
    r->began_ms = clock_mono_ms();
    if (request_read(&r->request, endpoint, req, clock_wall_ns(), q->options->nodes_max,
                     &r->failure) != 0) {
        read_fail(r);
        return;
    }
    merge_init(&r->merge, r->request.n_sides);
    r->answer.n_sides = r->request.n_sides;
    r->answer.granularity = r->request.granularity;
    load_side(r, 0);
}
