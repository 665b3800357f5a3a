/*
 * V8's .cpuprofile (node --cpu-prof, DevTools) and .heapprofile.
 *
 * A .cpuprofile is a list of nodes of a call tree, whose ids are any numbers and whose children are
 * named by them, a list of samples (node ids) and the microseconds between them. A .heapprofile is
 * the tree itself, nested, with the bytes that each node's function still holds.
 *
 * How it works. Both become an array of nodes with the index of their parent; of a .cpuprofile the
 * ids are looked up in a table at the end of the text, for children may stand before their parents.
 * An id given twice, a child of two parents or of itself by any way round is refused. Then each
 * node is given its place in the stacks, from its nearest ancestor that has one.
 *
 * A sample lasts until the next one; the last until endTime. Time that runs back counts nothing
 * until it has caught up. All of it is wall time; what is not (idle) is CPU time of the thread.
 * Without timeDeltas the hit counts are all there is. Lines count from 0 there, from 1 here.
 * "(root)" is no frame.
 */
#include "formats/json_walk.h"
#include "formats/text_int.h"

#include "base/hash.h"
#include "base/xalloc.h"
#include "profile/table.h"

#include <stdlib.h>

enum { JSON_DEPTH_MAX = 32, NONE = UINT32_MAX };

/* clang-format off */
enum {
    TOP = JSON_TOP,
    NODES, NODE, NODE_ID, HIT_COUNT, CHILDREN, CHILD,
    CALL_FRAME, FRAME_NAME, FRAME_URL, FRAME_LINE,
    SAMPLES, SAMPLE, DELTAS, DELTA, START_TIME, END_TIME,
    SELF_SIZE, SUBTREES,
};

static const struct json_rule rules_of_cpu[] = {
    {TOP, "nodes", NODES},              {NODES, "[]", NODE},
    {NODE, "id", NODE_ID},              {NODE, "hitCount", HIT_COUNT},
    {NODE, "children", CHILDREN},       {CHILDREN, "[]", CHILD},
    {NODE, "callFrame", CALL_FRAME},    {CALL_FRAME, "functionName", FRAME_NAME},
    {CALL_FRAME, "url", FRAME_URL},     {CALL_FRAME, "lineNumber", FRAME_LINE},
    {TOP, "samples", SAMPLES},          {SAMPLES, "[]", SAMPLE},
    {TOP, "timeDeltas", DELTAS},        {DELTAS, "[]", DELTA},
    {TOP, "startTime", START_TIME},     {TOP, "endTime", END_TIME},
    {0, NULL, 0},
};

static const struct json_rule rules_of_heap[] = {
    {TOP, "head", NODE},                {NODE, "selfSize", SELF_SIZE},
    {NODE, "children", SUBTREES},       {SUBTREES, "[]", NODE},
    {NODE, "callFrame", CALL_FRAME},    {CALL_FRAME, "functionName", FRAME_NAME},
    {CALL_FRAME, "url", FRAME_URL},     {CALL_FRAME, "lineNumber", FRAME_LINE},
    {0, NULL, 0},
};
/* clang-format on */

struct node {
    int64_t id, value; /* hit count, or bytes */
    uint32_t parent;   /* index, or NONE */
    uint32_t frame;
    uint32_t place, depth; /* in the stacks; place NONE: not known yet */
    bool is_root, is_idle;
};

struct edge {
    uint32_t parent;
    int64_t child;
};

struct v8 {
    struct text_reader *r;
    struct node *node;
    size_t n_nodes, node_cap;
    struct edge *edge;
    size_t n_edges, edge_cap;
    int64_t *sample, *delta;
    size_t n_samples, sample_cap, n_deltas, delta_cap;
    int64_t start_us, end_us;

    struct table ids;
    uint32_t *walk; /* nodes on the way up */
    size_t n_walk, walk_cap;

    struct buf name, url; /* of the call frame being read */
    int64_t line;
    uint32_t at; /* the innermost open node */
};

/* ---- call frames ------------------------------------------------------------------------------
 */

static void set_text(struct buf *b, enum json_event event, struct bytes s)
{
    buf_reset(b);
    if (event == JSON_STRING)
        buf_append_bytes(b, s);
}

static void end_call_frame(struct v8 *v)
{
    const struct bytes scheme = BYTES_LIT("file://");
    struct node *n = &v->node[v->at];
    struct bytes name = buf_bytes(&v->name), url = buf_bytes(&v->url);
    int64_t line = v->line >= 0 && v->line < INT32_MAX ? v->line + 1 : 0;

    if (bytes_starts(url, scheme))
        url = bytes_of(url.data + scheme.len, url.len - scheme.len);
    n->is_root = bytes_equal(name, BYTES_LIT("(root)"));
    n->is_idle = bytes_equal(name, BYTES_LIT("(idle)"));
    n->frame = text_frame(v->r, name.len ? name : BYTES_LIT("(anonymous)"), url, line, line);
}

static int on_call_frame(struct v8 *v, unsigned state, enum json_event event, struct bytes text)
{
    if (state == FRAME_NAME)
        set_text(&v->name, event, text);
    else if (state == FRAME_URL)
        set_text(&v->url, event, text);
    else if (state == FRAME_LINE)
        v->line = event == JSON_NUMBER && text_number(text, 1, &v->line) ? v->line : -1;
    else if (event == JSON_END)
        end_call_frame(v);
    else {
        buf_reset(&v->name);
        buf_reset(&v->url);
        v->line = -1;
    }
    return text_check_tables(v->r);
}

static int begin_node(struct v8 *v, uint32_t parent)
{
    const struct profile_limits *l = v->r->rd->limits;

    /* A node is a place in code with all that is known of it: it weighs as much as a location. */
    if (v->n_nodes >= l->locations_max)
        return text_limit(v->r, "nodes", l->locations_max, "locations_max");
    XGROW(v->node, v->node_cap, v->n_nodes + 1);
    v->at = (uint32_t)v->n_nodes;
    v->node[v->n_nodes++] = (struct node){.parent = parent, .place = NONE};
    buf_reset(&v->name);
    buf_reset(&v->url);
    v->line = -1;
    end_call_frame(v); /* what holds when the node has none */
    return 0;
}

/* ---- .cpuprofile ------------------------------------------------------------------------------
 */

static int number(struct v8 *v, enum json_event event, struct bytes text, int64_t *ret)
{
    return event == JSON_NUMBER && text_number(text, 1, ret)
               ? 0
               : text_malformed(v->r, "a number was expected");
}

static int add_edge(struct v8 *v, int64_t child)
{
    const struct profile_limits *l = v->r->rd->limits;

    if (v->n_edges >= l->locations_max)
        return text_limit(v->r, "children", l->locations_max, "locations_max");
    XGROW(v->edge, v->edge_cap, v->n_edges + 1);
    v->edge[v->n_edges++] = (struct edge){v->at, child};
    return 0;
}

static int add_number(struct v8 *v, int64_t **array, size_t *n, size_t *cap, int64_t value)
{
    const struct profile_limits *l = v->r->rd->limits;

    if (*n >= l->samples_max)
        return text_limit(v->r, "samples", l->samples_max, "samples_max");
    XGROW(*array, *cap, *n + 1);
    (*array)[(*n)++] = value;
    return 0;
}

static int on_number(struct v8 *v, unsigned state, int64_t value)
{
    switch (state) {
    case NODE_ID:
        v->node[v->at].id = value;
        return 0;
    case HIT_COUNT:
    case SELF_SIZE:
        v->node[v->at].value = value;
        return 0;
    case CHILD:
        return add_edge(v, value);
    case SAMPLE:
        return add_number(v, &v->sample, &v->n_samples, &v->sample_cap, value);
    case DELTA:
        return add_number(v, &v->delta, &v->n_deltas, &v->delta_cap, value);
    case START_TIME:
        v->start_us = value;
        return 0;
    default:
        v->end_us = value;
        return 0;
    }
}

static int on_cpu(void *ctx, unsigned state, enum json_event event, struct bytes text)
{
    struct v8 *v = ctx;
    int64_t value;

    switch (state) {
    case TOP:
    case NODES:
    case CHILDREN:
    case SAMPLES:
    case DELTAS:
        return 0;
    case NODE:
        if (event == JSON_END)
            return 0;
        return event == JSON_BEGIN ? begin_node(v, NONE)
                                   : text_malformed(v->r, "a node that is no object");
    case CALL_FRAME:
    case FRAME_NAME:
    case FRAME_URL:
    case FRAME_LINE:
        return on_call_frame(v, state, event, text);
    default:
        return number(v, event, text, &value) ? FAILURE : on_number(v, state, value);
    }
}

static uint64_t id_place(int64_t id)
{
    return hash_pair(hash_secret(), (uint64_t)id, 0);
}

static uint32_t find_node(const struct v8 *v, int64_t id)
{
    for (struct probe p = table_probe(&v->ids, id_place(id)); table_next(&v->ids, &p);)
        if (v->node[p.id].id == id)
            return p.id;
    return NONE;
}

static int index_nodes(struct v8 *v)
{
    for (size_t i = 0; i < v->n_nodes; i++) {
        if (find_node(v, v->node[i].id) != NONE)
            return text_malformed(v->r, "two nodes of one id");
        table_insert(&v->ids, id_place(v->node[i].id), (uint32_t)i);
    }
    for (size_t i = 0; i < v->n_edges; i++) {
        uint32_t child = find_node(v, v->edge[i].child);

        if (child == NONE)
            return text_malformed(v->r, "a child that does not exist");
        if (v->node[child].parent != NONE)
            return text_malformed(v->r, "a child of two parents");
        v->node[child].parent = v->edge[i].parent;
    }
    return 0;
}

/* ---- places -----------------------------------------------------------------------------------
 */

static int set_place(struct v8 *v, struct node *n)
{
    const struct node *parent = n->parent == NONE ? NULL : &v->node[n->parent];
    const struct profile_limits *l = v->r->rd->limits;

    n->place = parent ? parent->place : 0;
    n->depth = parent ? parent->depth : 0;
    if (n->is_root && !parent)
        return 0;
    if (n->depth >= l->depth_max)
        return text_limit(v->r, "frames in one stack", l->depth_max, "depth_max");
    n->place = stacks_child(v->r->st, n->place, n->frame);
    n->depth++;
    return text_check_tables(v->r);
}

/* Up to the nearest ancestor that has its place, and down again. A way up of more steps than there
 * are nodes is a circle. */
static int place_node(struct v8 *v, uint32_t i)
{
    v->n_walk = 0;
    for (; i != NONE && v->node[i].place == NONE; i = v->node[i].parent) {
        if (v->n_walk >= v->n_nodes)
            return text_malformed(v->r, "a node is its own ancestor");
        XGROW(v->walk, v->walk_cap, v->n_walk + 1);
        v->walk[v->n_walk++] = i;
    }
    while (v->n_walk > 0)
        if (set_place(v, &v->node[v->walk[--v->n_walk]]))
            return FAILURE;
    return 0;
}

static int place_nodes(struct v8 *v)
{
    for (size_t i = 0; i < v->n_nodes; i++)
        if (place_node(v, (uint32_t)i))
            return FAILURE;
    return 0;
}

/* ---- values -----------------------------------------------------------------------------------
 */

static int add(struct v8 *v, const struct node *n, const int64_t *values)
{
    if (text_count_sample(v->r))
        return FAILURE;
    text_add(v->r, stacks_at(v->r->st, n->place), values);
    return text_check_tables(v->r);
}

static const struct text_type cpu_types[] = {
    {{(const uint8_t *)"samples", 7}, {(const uint8_t *)"count", 5}},
    {{(const uint8_t *)"wall", 4}, {(const uint8_t *)"nanoseconds", 11}},
    {{(const uint8_t *)"cpu", 3}, {(const uint8_t *)"nanoseconds", 11}},
};

static int add_hits(struct v8 *v)
{
    text_set_types(v->r, cpu_types, 1, cpu_types[1], 0);
    for (size_t i = 0; i < v->n_nodes; i++)
        if (v->node[i].value && add(v, &v->node[i], &v->node[i].value))
            return FAILURE;
    return text_emit(v->r);
}

static int add_sample(struct v8 *v, int64_t id, int64_t us)
{
    enum { NS_PER_US = 1000 };
    uint32_t i = find_node(v, id);
    int64_t values[TEXT_VALUES] = {1};

    if (i == NONE)
        return text_malformed(v->r, "a sample of a node that does not exist");
    if (__builtin_mul_overflow(us, NS_PER_US, &values[1]))
        values[1] = INT64_MAX;
    values[2] = v->node[i].is_idle ? 0 : values[1];
    return add(v, &v->node[i], values);
}

static int64_t add_capped(int64_t a, int64_t b)
{
    uint64_t ignored = 0;

    return add_saturating(a, b, &ignored);
}

/* The time between two moments, 0 when it runs back. */
static int64_t span_us(int64_t from, int64_t to)
{
    int64_t us;

    if (to <= from)
        return 0;
    return __builtin_sub_overflow(to, from, &us) ? INT64_MAX : us;
}

/* now: as the deltas say; high: as far as time has come. */
static int add_samples(struct v8 *v)
{
    int64_t now, high;

    if (v->n_deltas != v->n_samples)
        return text_malformed(v->r, "it has not as many timeDeltas as samples");
    text_set_types(v->r, cpu_types, 3, cpu_types[1], 0);
    high = now = add_capped(v->start_us, v->n_deltas ? v->delta[0] : 0);
    for (size_t i = 0; i < v->n_samples; i++) {
        now = i + 1 < v->n_samples ? add_capped(now, v->delta[i + 1]) : v->end_us;
        if (add_sample(v, v->sample[i], span_us(high, now)))
            return FAILURE;
        high = now > high ? now : high;
    }
    return text_emit(v->r);
}

static int read_cpu(struct v8 *v, struct bytes raw)
{
    const struct json_walk walk = {rules_of_cpu, JSON_DEPTH_MAX, on_cpu, v, v->r->rd->f};

    if (json_walk(&walk, raw, "cpuprofile"))
        return FAILURE;
    if (v->n_nodes == 0)
        return text_malformed(v->r, "it has no nodes");
    if (index_nodes(v) || place_nodes(v))
        return FAILURE;
    return v->n_samples > 0 ? add_samples(v) : add_hits(v);
}

/* ---- .heapprofile -----------------------------------------------------------------------------
 */

static int on_heap(void *ctx, unsigned state, enum json_event event, struct bytes text)
{
    struct v8 *v = ctx;
    int64_t value;

    switch (state) {
    case TOP:
    case SUBTREES:
        return 0;
    case NODE:
        if (event == JSON_BEGIN)
            return begin_node(v, v->at);
        v->at = event == JSON_END ? v->node[v->at].parent : v->at;
        return event == JSON_END ? 0 : text_malformed(v->r, "a node that is no object");
    case CALL_FRAME:
    case FRAME_NAME:
    case FRAME_URL:
    case FRAME_LINE:
        return on_call_frame(v, state, event, text);
    default:
        return number(v, event, text, &value) ? FAILURE : on_number(v, state, value);
    }
}

static int add_sizes(struct v8 *v)
{
    struct text_type space = {BYTES_LIT("inuse_space"), BYTES_LIT("bytes")};

    text_set_types(v->r, &space, 1, (struct text_type){BYTES_LIT("space"), BYTES_LIT("bytes")}, 0);
    for (size_t i = 0; i < v->n_nodes; i++)
        if (v->node[i].value && add(v, &v->node[i], &v->node[i].value))
            return FAILURE;
    return text_emit(v->r);
}

/* An object and an array a frame, and what stands around the tree and within a node. */
static int read_heap(struct v8 *v, struct bytes raw)
{
    const size_t depth = 2 * (size_t)v->r->rd->limits->depth_max + JSON_DEPTH_MAX;
    const struct json_walk walk = {rules_of_heap, depth, on_heap, v, v->r->rd->f};

    v->at = NONE;
    if (json_walk(&walk, raw, "heapprofile"))
        return FAILURE;
    if (v->n_nodes == 0)
        return text_malformed(v->r, "it has no nodes");
    return place_nodes(v) ? FAILURE : add_sizes(v);
}

static int read_with(struct text_reader *r, struct bytes raw,
                     int (*read)(struct v8 *v, struct bytes raw))
{
    struct v8 v = {.r = r};
    int e = read(&v, raw);

    free(v.node);
    free(v.edge);
    free(v.sample);
    free(v.delta);
    free(v.walk);
    table_deinit(&v.ids);
    buf_deinit(&v.name);
    buf_deinit(&v.url);
    return e;
}

int cpuprofile_read(struct text_reader *r, struct bytes raw)
{
    return read_with(r, raw, read_cpu);
}

int heapprofile_read(struct text_reader *r, struct bytes raw)
{
    return read_with(r, raw, read_heap);
}
