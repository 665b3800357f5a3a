/* The JSON of docs/api.md: columns in preorder, names and files as indexes into lists of their own.
 */
#include "query/answer.h"

#include "base/clock.h"
#include "base/json_writer.h"
#include "base/xalloc.h"
#include "profile/step.h"
#include "query/top.h"

#include <stdio.h>
#include <stdlib.h>

/* What a frame is called: its places in the lists "names" and "files". */
struct called {
    uint32_t name; /* + 1; 0: not asked for yet */
    uint32_t file;
};

/* The lists: strings interned in tables of their own, numbered as they come. */
struct names {
    const struct answer *answer;
    struct symbols *names, *files;
    struct called *of_frame;
    uint32_t *name, *file; /* per node */
    struct buf text;
};

static int64_t ms_of(int64_t ns)
{
    return ns / NS_PER_MS - (ns % NS_PER_MS < 0);
}

static void json_freshness(struct json_writer *j, const struct answer_side *s)
{
    jw_object(j, "complete");
    jw_uint(j, "windows", s->windows);
    jw_uint(j, "gaps", s->gaps);
    if (s->saturated)
        jw_uint(j, "saturated", s->saturated);
    jw_array(j, "partitions");
    for (size_t i = 0; i < s->n_partitions; i++) {
        jw_object(j, NULL);
        jw_uint(j, "p", s->partitions[i].partition);
        jw_uint(j, "offset", s->partitions[i].offset);
        jw_int(j, "updated", s->partitions[i].updated_ms);
        jw_end(j);
    }
    jw_end(j);
    jw_end(j);
}

static void json_type(struct json_writer *j, const struct answer *a)
{
    struct bytes type = buf_bytes(&a->sides[0].type);
    bool snapshot = profile_type_kind(type) == TYPE_SNAPSHOT;

    jw_bytes(j, "unit", profile_type_unit(type));
    jw_str(j, "kind", snapshot ? "snapshot" : "flow");
}

/* What one side is and sums to, without "unit" and "kind". */
static void json_side(struct json_writer *j, const struct answer_side *s, int64_t sum)
{
    jw_bytes(j, "service", buf_bytes(&s->service));
    jw_bytes(j, "type", buf_bytes(&s->type));
    jw_int(j, "from", ms_of(s->range.from_ns));
    jw_int(j, "until", ms_of(s->range.until_ns));
    jw_int(j, "sum", sum);
    jw_uint(j, "profiles", s->profiles);
    jw_int(j, "duration_ns", s->duration_ns);
    jw_int(j, "instances", (int64_t)(sketch_estimate(&s->instances) + 0.5));
    if (profile_type_kind(buf_bytes(&s->type)) == TYPE_SNAPSHOT && s->profiles)
        jw_real(j, "mean", (double)sum / (double)s->profiles);
    json_freshness(j, s);
}

static struct called call(struct names *names, struct bytes name, struct bytes file)
{
    return (struct called){symbols_string(names->names, name) + 1,
                           symbols_string(names->files, file)};
}

static struct called call_frame(struct names *names, uint32_t frame)
{
    struct called *known = &names->of_frame[frame];

    if (known->name)
        return *known;
    buf_reset(&names->text);
    symbols_frame_name(names->answer->symbols, frame, &names->text);
    *known =
        call(names, buf_bytes(&names->text), symbols_frame_file(names->answer->symbols, frame));
    return *known;
}

static struct called call_node(struct names *names, const struct tree *t, uint32_t node)
{
    if (node == 0)
        return call(names, BYTES_LIT("total"), BYTES_LIT(""));
    if (t->frame[node] == TREE_OTHER)
        return call(names, BYTES_LIT("(other)"), BYTES_LIT(""));
    return call_frame(names, t->frame[node]);
}

static void names_init(struct names *names, const struct answer *a, const struct tree *t)
{
    *names = (struct names){
        .answer = a,
        .names = symbols_new(),
        .files = symbols_new(),
        .of_frame = xcalloc(symbols_n_frames(a->symbols), sizeof *names->of_frame),
        .name = xreallocarray(NULL, t->n, sizeof *names->name),
        .file = xreallocarray(NULL, t->n, sizeof *names->file),
    };
    for (uint32_t i = 0; i < t->n; i++) {
        struct called called = call_node(names, t, i);

        names->name[i] = called.name - 1;
        names->file[i] = called.file;
    }
}

static void names_deinit(struct names *names)
{
    symbols_free(names->names);
    symbols_free(names->files);
    free(names->of_frame);
    free(names->name);
    free(names->file);
    buf_deinit(&names->text);
}

static void json_strings(struct json_writer *j, const char *key, const struct symbols *strings)
{
    jw_array(j, key);
    for (uint32_t i = 0; i < symbols_n_strings(strings); i++)
        jw_bytes(j, NULL, symbols_text(strings, i));
    jw_end(j);
}

static void json_names(struct json_writer *j, const struct answer *a, const struct tree *t)
{
    struct names names;

    names_init(&names, a, t);
    json_strings(j, "names", names.names);
    json_strings(j, "files", names.files);
    jw_ids(j, "name", names.name, t->n);
    jw_ids(j, "file", names.file, t->n);
    names_deinit(&names);
}

static void json_lines(struct json_writer *j, const struct answer *a, const struct tree *t)
{
    jw_array(j, "line");
    for (uint32_t i = 0; i < t->n; i++) {
        bool real = i > 0 && t->frame[i] != TREE_OTHER;
        const struct frame *f = real ? symbols_get_frame(a->symbols, t->frame[i]) : NULL;

        jw_uint(j, NULL, f && f->function ? f->line_or_address : 0);
    }
    jw_end(j);
}

static int64_t minus(int64_t b, int64_t a)
{
    int64_t r;

    if (__builtin_sub_overflow(b, a, &r))
        return b < 0 ? INT64_MIN : INT64_MAX;
    return r;
}

static void json_column_pair(struct json_writer *j, const char *key,
                             int64_t *const values[SIDES_MAX], uint32_t n)
{
    static const char *const suffix[SIDES_MAX] = {"_a", "_b"};
    char name[16];

    jw_array(j, key);
    for (uint32_t i = 0; i < n; i++)
        jw_int(j, NULL, minus(values[1][i], values[0][i]));
    jw_end(j);
    for (int s = 0; s < SIDES_MAX; s++) {
        snprintf(name, sizeof name, "%s%s", key, suffix[s]);
        jw_ints(j, name, values[s], n);
    }
}

static void json_columns(struct json_writer *j, const struct tree *t,
                         int64_t *const total[SIDES_MAX])
{
    jw_ids(j, "depth", t->depth, t->n);
    if (t->n_columns == 1) {
        jw_ints(j, "self", t->self[0], t->n);
        jw_ints(j, "total", total[0], t->n);
    } else {
        json_column_pair(j, "self", t->self, t->n);
        json_column_pair(j, "total", total, t->n);
    }
}

static void json_hidden(struct json_writer *j, const struct tree *t, uint32_t hidden)
{
    uint64_t weight = 0;

    for (uint32_t i = 0; i < t->n; i++)
        for (uint32_t c = 0; t->frame[i] == TREE_OTHER && c < t->n_columns; c++)
            weight += magnitude(t->self[c][i]);
    jw_object(j, "hidden");
    jw_uint(j, "nodes", hidden);
    jw_uint(j, "weight", weight);
    jw_end(j);
    jw_array(j, "other");
    for (uint32_t i = 1; i < t->n; i++)
        if (t->frame[i] == TREE_OTHER)
            jw_uint(j, NULL, i);
    jw_end(j);
}

static void json_sides(struct json_writer *j, const struct answer *a,
                       int64_t *const total[SIDES_MAX])
{
    if (a->n_sides == 1) {
        json_side(j, &a->sides[0], total[0][0]);
        return;
    }
    jw_object(j, "a");
    json_side(j, &a->sides[0], total[0][0]);
    jw_end(j);
    jw_object(j, "b");
    json_side(j, &a->sides[1], total[1][0]);
    jw_end(j);
    jw_int(j, "sum", minus(total[1][0], total[0][0]));
}

void answer_flamegraph_json(const struct answer *a, uint32_t max_nodes, struct buf *out)
{
    struct json_writer w, *j = &w;
    struct tree pruned = {0};
    uint32_t hidden = tree_prune(&pruned, &a->tree, max_nodes);
    int64_t *total[SIDES_MAX] = {NULL, NULL};

    CHECK(pruned.n_columns == a->n_sides);
    jw_begin(j, out);
    for (uint32_t s = 0; s < a->n_sides; s++) {
        total[s] = xreallocarray(NULL, pruned.n, sizeof *total[s]);
        tree_totals(&pruned, s, total[s]);
    }
    jw_object(j, NULL);
    json_type(j, a);
    json_sides(j, a, total);
    jw_str(j, "granularity", a->granularity == GRANULARITY_LINE ? "line" : "function");
    jw_uint(j, "nodes", pruned.n);
    json_hidden(j, &pruned, hidden);
    json_names(j, a, &pruned);
    if (a->granularity == GRANULARITY_LINE)
        json_lines(j, a, &pruned);
    json_columns(j, &pruned, total);
    jw_end(j);
    free(total[0]);
    free(total[1]);
    tree_deinit(&pruned);
}

static void json_top_row(struct json_writer *j, const struct answer *a, const struct top_row *row,
                         struct buf *name)
{
    buf_reset(name);
    symbols_frame_name(a->symbols, row->frame, name);
    jw_object(j, NULL);
    jw_bytes(j, "name", buf_bytes(name));
    jw_bytes(j, "file", symbols_frame_file(a->symbols, row->frame));
    jw_int(j, "self", row->self[0]);
    jw_int(j, "total", row->total[0]);
    jw_end(j);
}

void answer_top_json(const struct answer *a, enum top_sort sort, uint32_t limit, struct buf *out)
{
    struct answer_side side = a->sides[0];
    struct json_writer w, *j = &w;
    struct buf name = {0};
    struct top top;

    top_init(&top, a, sort);
    jw_begin(j, out);
    jw_object(j, NULL);
    json_type(j, a);
    side.saturated += top.saturated;
    json_side(j, &side, top.sum[0]);
    jw_array(j, "functions");
    for (size_t i = 0; i < top.n && i < limit; i++)
        json_top_row(j, a, &top.rows[i], &name);
    jw_end(j);
    jw_uint(j, "n_functions", top.n);
    jw_end(j);
    top_deinit(&top);
    buf_deinit(&name);
}
