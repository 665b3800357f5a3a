/*
 * A table is always made here, from profiles: of files, or of pprof that the server merged. Other
 * forms of a server's data are the server's own answer, passed on.
 */
#include "cli/report.h"

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/files.h"
#include "cli/progress.h"
#include "formats/inflate.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { EMPTY_BYTES_MAX = 16 << 10 }; /* no answer without samples is longer */

/* ---- from files -------------------------------------------------------------------------------
 */

/* A table says its type; what is left out of it is said here. */
static void say_which(const struct report *r, const struct loaded *l, const struct answer_side *s,
                      const char *name)
{
    if (l->n_sums > 1)
        fprintf(stderr,
                "hearth %s: %s holds %zu kinds of profile; this is %.*s, --type says another\n",
                r->verb, name, l->n_sums, (int)s->type.len, (const char *)s->type.data);
}

static int add_body(const struct report *r, struct bytes body, const char *name, uint32_t side,
                    struct answer *a, struct answer_parts *parts, struct failure *f)
{
    const char *type = r->server ? NULL : r->sides[side].type;
    struct loaded l;
    int e;

    loaded_init(&l, false);
    e = loaded_add(&l, body, name, r->server ? NULL : r->input_format, f);
    if (e == 0)
        e = loaded_into_answer(&l, type, a, parts, (uint8_t)side, f);
    if (e == 0 && !type)
        say_which(r, &l, &a->sides[side], name);
    loaded_deinit(&l);
    return e;
}

static int add_file(const struct report *r, const char *path, uint32_t side, struct answer *a,
                    struct answer_parts *parts, struct failure *f)
{
    struct buf body = {0};
    int e = file_read(path, &body, f);

    if (e == 0)
        e = add_body(r, buf_bytes(&body), path, side, a, parts, f);
    a->sides[side].profiles += e == 0;
    buf_deinit(&body);
    return e;
}

/* Types that the user named may differ. */
static int check_sides(const struct report *r, const struct answer *a, struct failure *f)
{
    const struct buf *one = &a->sides[0].type, *two = &a->sides[1].type;

    if (a->n_sides < 2 || (r->sides[0].type && r->sides[1].type) ||
        bytes_equal(buf_bytes(one), buf_bytes(two)))
        return 0;
    return fail(f, 400, "types_differ", "--type says which", "%.*s and %.*s do not compare",
                (int)one->len, (const char *)one->data, (int)two->len, (const char *)two->data);
}

static int add_files(const struct report *r, struct answer *a, struct answer_parts *parts,
                     struct failure *f)
{
    struct progress progress;
    int e = 0;

    progress_begin(&progress, r->verb, r->n_files);
    for (size_t i = 0; i < r->n_files && e == 0; i++) {
        e = add_file(r, r->files[i], r->n_sides == 2 ? (uint32_t)i : 0, a, parts, f);
        progress_step(&progress, i + 1);
    }
    progress_end(&progress);
    return e ? e : check_sides(r, a, f);
}

static int load(struct loaded *l, const struct report *r, size_t file, struct failure *f)
{
    struct buf body = {0};
    int e = file_read(r->files[file], &body, f);

    if (e == 0)
        e = loaded_add(l, buf_bytes(&body), r->files[file], r->input_format, f);
    buf_deinit(&body);
    return e;
}

static void keep_type(struct profile *p, uint32_t type)
{
    for (uint32_t i = p->n_types; i-- > 0;)
        if (i != type)
            profile_drop_type(p, i);
}

static int write_difference(const struct report *r, const struct loaded *l, struct buf *out,
                            struct failure *f)
{
    const char *type = r->sides[0].type;
    struct loaded_type found;

    if (type && loaded_find(l, type, &found, f) != 0)
        return FAILURE;
    if (type)
        keep_type(l->sums[0], found.index);
    loaded_write(l, l->sums[0], out);
    return 0;
}

/*
 * The second file less the first in whole: every type, label and location, as google/pprof has it
 * with -base. Of files of different kinds there is no such thing: then nothing is written.
 */
static int subtract_whole(const struct report *r, struct buf *out, struct failure *f)
{
    struct loaded l;
    int e;

    loaded_init(&l, true);
    e = load(&l, r, 1, f);
    l.minus = true;
    if (e == 0)
        e = load(&l, r, 0, f);
    if (e == 0 && l.n_sums == 1)
        e = write_difference(r, &l, out, f);
    loaded_deinit(&l);
    return e;
}

static bool is_same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* ---- from a server ----------------------------------------------------------------------------
 */

static void add_params(struct client *c, struct buf *url, const char *prefix,
                       const struct report_side *s)
{
    const char *const names[] = {"service", "type", "from", "until", "match"};
    const char *const values[] = {s->service, s->type, s->from, s->until, s->match};
    char name[32];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(name, sizeof name, "%s%s", prefix, names[i]);
        url_add(c, url, name, values[i]);
    }
}

static struct client *client_of(const struct report *r)
{
    struct client *c = client_new(r->server);

    client_tenant(c, r->tenant);
    return c;
}

/* The figures above the table: the type's full name, how many profiles, what is lost. */
static int read_figures(struct answer_side *s, struct bytes body, bool *ret_nothing,
                        struct failure *f)
{
    json_t *j = json_loadb((const char *)body.data, body.len, 0, NULL);
    const char *type = json_string_value(json_object_get(j, "type"));
    const char *service = json_string_value(json_object_get(j, "service"));
    json_t *complete = json_object_get(j, "complete");

    if (!type || !service) {
        json_decref(j);
        return fail(f, 502, "no_answer", "is it a hearth server?",
                    "the server's answer makes no sense");
    }
    buf_reset(&s->type);
    buf_append_str(&s->type, type);
    buf_append_str(&s->service, service);
    s->profiles = (uint64_t)json_integer_value(json_object_get(j, "profiles"));
    s->gaps = (uint64_t)json_integer_value(json_object_get(complete, "gaps"));
    s->range.from_ns = json_integer_value(json_object_get(j, "from")) * NS_PER_MS;
    s->range.until_ns = json_integer_value(json_object_get(j, "until")) * NS_PER_MS;
    *ret_nothing = json_integer_value(json_object_get(j, "n_functions")) == 0;
    json_decref(j);
    return 0;
}

static int fetch_figures(const struct report *r, struct client *c, uint32_t side, struct answer *a,
                         bool *ret_nothing, struct failure *f)
{
    struct buf url = {0}, body = {0};
    int e;

    url_path(&url, "/api/v1/top");
    add_params(c, &url, "", &r->sides[side]);
    url_add(c, &url, "limit", "1");
    e = client_get_ok(c, &url, &body, f);
    if (e == 0)
        e = read_figures(&a->sides[side], buf_bytes(&body), ret_nothing, f);
    buf_deinit(&url);
    buf_deinit(&body);
    return e;
}

static int fetch_side(const struct report *r, struct client *c, uint32_t side, struct answer *a,
                      struct answer_parts *parts, struct failure *f)
{
    struct buf url = {0}, body = {0};
    bool nothing;
    int e;

    url_path(&url, "/api/v1/flamegraph");
    add_params(c, &url, "", &r->sides[side]);
    url_add(c, &url, "format", "pprof");
    e = client_get_ok(c, &url, &body, f);
    if (e == 0)
        e = add_body(r, buf_bytes(&body), r->server, side, a, parts, f);
    if (e == 0)
        e = fetch_figures(r, c, side, a, &nothing, f);
    buf_deinit(&url);
    buf_deinit(&body);
    return e;
}

static int fetch_sides(const struct report *r, struct answer *a, struct answer_parts *parts,
                       struct failure *f)
{
    struct client *c = client_of(r);
    int e = 0;

    for (uint32_t s = 0; s < r->n_sides && e == 0; s++)
        e = fetch_side(r, c, s, a, parts, f);
    client_free(c);
    return e;
}

static const char *endpoint_of(const struct report *r)
{
    if (r->n_sides == 2)
        return "/api/v1/diff";
    return strcmp(r->verb, "top") == 0 && r->format == FORMAT_JSON ? "/api/v1/top"
                                                                   : "/api/v1/flamegraph";
}

/* Of an answer that is not read here the server is asked whether there is anything in it: when it
 * is so short that there may be nothing. */
static int judge_passed(const struct report *r, struct client *c, size_t len, int *ret_status,
                        struct failure *f)
{
    struct answer a = {.n_sides = r->n_sides};
    bool nothing[SIDES_MAX];
    int e = 0;

    if (len > EMPTY_BYTES_MAX)
        return 0;
    for (uint32_t s = 0; s < r->n_sides && e == 0; s++)
        e = fetch_figures(r, c, s, &a, &nothing[s], f);
    if (e == 0)
        *ret_status = report_nothing(r, &a, nothing);
    answer_deinit(&a);
    return e;
}

/* The server's own answer. */
static int pass_on(const struct report *r, struct buf *out, int *ret_status, struct failure *f)
{
    static const char *const formats[] = {"json", "pprof", "folded"};
    struct client *c = client_of(r);
    const char *endpoint = endpoint_of(r);
    char limit[16];
    struct buf url = {0};
    int e;

    url_path(&url, endpoint);
    for (uint32_t s = 0; s < r->n_sides; s++)
        add_params(c, &url, r->n_sides == 1 ? "" : s ? "b." : "a.", &r->sides[s]);
    if (strcmp(endpoint, "/api/v1/top") == 0) {
        snprintf(limit, sizeof limit, "%u", r->limit);
        url_add(c, &url, "limit", limit);
        url_add(c, &url, "sort", r->sort == TOP_BY_SELF ? "self" : "total");
    } else {
        url_add(c, &url, "format", formats[r->format]);
        url_add(c, &url, "granularity", r->granularity == GRANULARITY_LINE ? "line" : "function");
    }
    e = client_get_ok(c, &url, out, f);
    if (e == 0)
        e = judge_passed(r, c, out->len, ret_status, f);
    buf_deinit(&url);
    client_free(c);
    return e;
}

/* ---- what is written --------------------------------------------------------------------------
 */

static void write_answer(const struct report *r, const struct answer *a, struct buf *out)
{
    switch (r->format) {
    case FORMAT_TEXT:
        answer_top_text(a, r->sort, r->limit, out);
        return;
    case FORMAT_FOLDED:
        answer_folded(a, NODES_ALL, out);
        return;
    case FORMAT_PPROF:
        answer_pprof(a, NODES_ALL, out);
        gzip_in_place(out, GZIP_LEVEL);
        return;
    case FORMAT_JSON:
        if (strcmp(r->verb, "top") == 0)
            answer_top_json(a, r->sort, r->limit, out);
        else
            answer_flamegraph_json(a, NODES_ALL, out);
        buf_append_str(out, "\n");
    }
}

static enum granularity granularity_of(const struct report *r)
{
    bool table = r->format == FORMAT_TEXT || strcmp(r->verb, "top") == 0;

    return table || r->format == FORMAT_PPROF ? GRANULARITY_LINE : r->granularity;
}

static bool is_empty(const struct tree *t, uint32_t column)
{
    for (uint32_t i = 0; i < t->n; i++)
        if (t->self[column][i])
            return false;
    return true;
}

static int judge(const struct report *r, const struct answer *a)
{
    bool nothing[SIDES_MAX];

    for (uint32_t s = 0; s < r->n_sides; s++)
        nothing[s] = is_empty(&a->tree, s);
    return report_nothing(r, a, nothing);
}

static int make_answer(const struct report *r, struct buf *out, int *ret_status, struct failure *f)
{
    struct answer a = {.n_sides = r->n_sides, .granularity = granularity_of(r)};
    struct answer_parts parts = {0};
    int e;

    e = r->server ? fetch_sides(r, &a, &parts, f) : add_files(r, &a, &parts, f);
    answer_zip(&a, &parts);
    if (e == 0) {
        *ret_status = judge(r, &a);
        write_answer(r, &a, out);
    }
    answer_deinit(&a);
    return e;
}

/* One without rows is not printed. A file is written nevertheless: an older one would pass for the
 * answer. */
static bool is_table_on_screen(const struct report *r)
{
    return r->format == FORMAT_TEXT && strcmp(r->out, "-") == 0;
}

/* What is not known is what nothing matched. */
static bool is_unknown(const struct failure *f)
{
    return strcmp(f->code, "service_not_found") == 0 || strcmp(f->code, "type_not_found") == 0;
}

/* The server's hints are for those who speak HTTP. */
static void hint_by_option(const struct report *r, struct failure *f)
{
    if (!r->server)
        return;
    if (strcmp(f->code, "service_not_found") == 0)
        snprintf(f->hint, sizeof f->hint, "--service says which; %s/api/v1/services lists them",
                 r->server);
    else if (strcmp(f->code, "type_not_found") == 0 || strcmp(f->code, "type_ambiguous") == 0)
        snprintf(f->hint, sizeof f->hint, "--type says which");
}

static int complain_of(const struct report *r, struct failure *f)
{
    hint_by_option(r, f);
    complain(r->verb, f);
    return is_unknown(f) ? EXIT_NOTHING : 1;
}

int report_run(struct report *r)
{
    bool pass = r->server && r->format != FORMAT_TEXT;
    bool whole = !r->server && r->n_sides == 2 && r->format == FORMAT_PPROF &&
                 is_same(r->sides[0].type, r->sides[1].type);
    struct buf out = {0};
    struct failure f;
    int e = 0, status = 0;

    if (r->format == FORMAT_PPROF && strcmp(r->out, "-") == 0 && isatty(STDOUT_FILENO))
        return wrong_usage(r->verb, "pprof is not for a terminal: redirect it, or -o FILE.pb.gz");
    if (whole)
        e = subtract_whole(r, &out, &f);
    if (e == 0 && out.len == 0)
        e = pass ? pass_on(r, &out, &status, &f) : make_answer(r, &out, &status, &f);
    if (e == 0 && !(status == EXIT_NOTHING && is_table_on_screen(r)))
        e = file_write(r->out, buf_bytes(&out), &f);
    buf_deinit(&out);
    return e == 0 ? status : complain_of(r, &f);
}

/* ---- the verbs --------------------------------------------------------------------------------
 */

enum { LIMIT_DEFAULT = 30 };

static int run(const char *name, uint32_t n_sides, enum answer_format format, int argc, char **argv)
{
    struct report r = {
        .verb = name, .n_sides = n_sides, .format = format, .out = "-", .limit = LIMIT_DEFAULT};
    int status = report_args(&r, argc, argv);

    return status >= 0 ? status : report_run(&r);
}

int verb_top(int argc, char **argv)
{
    return run("top", 1, FORMAT_TEXT, argc, argv);
}

int verb_query(int argc, char **argv)
{
    return run("query", 1, FORMAT_FOLDED, argc, argv);
}

int verb_diff(int argc, char **argv)
{
    return run("diff", 2, FORMAT_TEXT, argc, argv);
}
