#include "cli/files.h"

#include "base/xalloc.h"
#include "formats/decode.h"
#include "formats/inflate.h"
#include "formats/pprof.h"
#include "profile/locations.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { FILE_BYTES_MAX = 1 << 30 };

/* Files are the user's own: limits are for what would not fit into the machine. */
static const struct profile_limits file_limits = {
    .samples_max = 50000000,
    .depth_max = 65536,
    .locations_max = 20000000,
    .functions_max = 20000000,
    .strings_max = 20000000,
    .labels_max = 1000,
    .values_max = 200000000,
    .lines_max = 50000000,
    .nodes_max = 100000000,
};

static int failed(const char *path, const char *what, struct failure *f)
{
    return fail(f, 500, "file", NULL, "cannot %s %s: %s", what, path, strerror(errno));
}

static int read_all(FILE *in, const char *path, struct buf *out, struct failure *f)
{
    size_t n;

    do {
        buf_reserve(out, 64 << 10);
        n = fread(out->data + out->len, 1, out->cap - out->len, in);
        out->len += n;
        if (out->len > FILE_BYTES_MAX)
            return fail(f, 413, "file", NULL, "%s is larger than %d bytes", path, FILE_BYTES_MAX);
    } while (n > 0);
    return ferror(in) ? failed(path, "read", f) : 0;
}

int file_read(const char *path, struct buf *out, struct failure *f)
{
    bool is_stdin = strcmp(path, "-") == 0;
    FILE *in = is_stdin ? stdin : fopen(path, "rbe");
    int r;

    if (!in)
        return failed(path, "open", f);
    r = read_all(in, path, out, f);
    if (!is_stdin)
        fclose(in);
    return r;
}

int file_write(const char *path, struct bytes data, struct failure *f)
{
    bool is_stdout = strcmp(path, "-") == 0;
    FILE *out = is_stdout ? stdout : fopen(path, "wbe");
    bool good;

    if (!out)
        return failed(path, "open", f);
    good = data.len == 0 || fwrite(data.data, 1, data.len, out) == data.len;
    good = (is_stdout ? fflush(out) : fclose(out)) == 0 && good;
    return good ? 0 : failed(path, "write", f);
}

void loaded_init(struct loaded *l, bool whole)
{
    const struct decode_limits limits = {FILE_BYTES_MAX, file_limits};

    *l = (struct loaded){.symbols = symbols_new(),
                         .stacks = stacks_new(),
                         .locations = whole ? locations_new() : NULL,
                         .decoder = decoder_new(&limits),
                         .pprof = pprof_reader_new()};
}

void loaded_deinit(struct loaded *l)
{
    for (size_t i = 0; i < l->n_sums; i++) {
        profile_deinit(l->sums[i]);
        free(l->sums[i]);
    }
    free(l->sums);
    pprof_header_deinit(&l->header);
    pprof_reader_free(l->pprof);
    decoder_free(l->decoder);
    locations_free(l->locations);
    stacks_free(l->stacks);
    symbols_free(l->symbols);
}

/* ---- adding up --------------------------------------------------------------------------------
 */

static bool same_type(struct sample_type a, struct sample_type b)
{
    return a.name == b.name && a.unit == b.unit;
}

static bool same_types(const struct profile *a, const struct profile *b)
{
    if (a->n_types != b->n_types || !same_type(a->period_type, b->period_type))
        return false;
    for (uint32_t i = 0; i < a->n_types; i++)
        if (!same_type(a->types[i], b->types[i]))
            return false;
    return true;
}

/* The sum of p's types, made if there is none. */
static struct profile *sum_of(struct loaded *l, const struct profile *p)
{
    struct profile *sum;

    for (size_t i = 0; i < l->n_sums; i++)
        if (same_types(l->sums[i], p))
            return l->sums[i];
    XGROW(l->sums, l->cap_sums, l->n_sums + 1);
    sum = l->sums[l->n_sums++] = xcalloc(1, sizeof *sum);
    profile_init(sum, l->symbols, l->stacks);
    sum->locations = l->locations;
    CHECK(profile_set_types(sum, p->types, p->n_types) == 0); /* it is new */
    sum->period_type = p->period_type;
    return sum;
}

static void add_header(struct profile *sum, const struct profile *p)
{
    sum->period = p->period > sum->period ? p->period : sum->period;
    sum->default_type = sum->default_type ? sum->default_type : p->default_type;
    if (p->time_ns && (!sum->time_ns || p->time_ns < sum->time_ns))
        sum->time_ns = p->time_ns;
    sum->duration_ns = add_saturating(sum->duration_ns, p->duration_ns, &sum->saturated);
}

static int64_t negative(int64_t v, uint64_t *saturated)
{
    *saturated += v == INT64_MIN;
    return v == INT64_MIN ? INT64_MAX : -v;
}

/* Symbols and stacks are the same: only label sets have other ids. */
static void add_rows(struct profile *sum, const struct profile *p, bool minus)
{
    uint32_t n_sets = profile_n_label_sets(p);
    uint32_t *set = xcalloc((size_t)n_sets + 1, sizeof *set);
    int64_t values[PROFILE_TYPES_MAX];

    for (uint32_t i = 1; i < n_sets; i++)
        set[i] = profile_copy_labels(sum, p, i);
    for (uint32_t i = 0; i < p->n_rows; i++) {
        for (uint32_t t = 0; t < p->n_types; t++)
            values[t] = minus ? negative(p->values[t][i], &sum->saturated) : p->values[t][i];
        profile_add(sum, p->row_stack[i], set[p->row_labels[i]], values);
    }
    free(set);
}

/* Returns the sum that it went to. */
static struct profile *add_profile(struct loaded *l, const struct profile *p)
{
    struct profile *sum = sum_of(l, p);

    add_header(sum, p);
    add_rows(sum, p, l->minus);
    return sum;
}

static int on_profile(void *ctx, struct profile *p, const struct profile_about *about,
                      struct failure *f)
{
    (void)about, (void)f;
    add_profile(ctx, p);
    return 0;
}

/* One of frames, where locations are kept: it is taken as the pprof that it would be. */
static int on_other(void *ctx, struct profile *p, const struct profile_about *about,
                    struct failure *f)
{
    struct loaded *l = ctx;
    struct buf raw = {0};
    struct profile whole;
    int e;

    pprof_write(p, &raw);
    profile_init(&whole, l->symbols, l->stacks);
    whole.locations = l->locations;
    e = pprof_read(l->pprof, buf_bytes(&raw), &file_limits, PPROF_LABELS_ALL, &whole, NULL, f);
    if (e == 0)
        e = on_profile(l, &whole, about, f);
    profile_deinit(&whole);
    buf_deinit(&raw);
    return e;
}

static int read_into(struct loaded *l, struct bytes plain, struct profile *into, struct reading *rd)
{
    if (pprof_read(l->pprof, plain, &file_limits, PPROF_LABELS_ALL, into, rd->stats, rd->f))
        return FAILURE;
    pprof_header_read(&l->header, pprof_has_notes(l->pprof) ? plain : BYTES_LIT(""));
    return 0;
}

/* Of many files nearly all are of one kind, so it is added to the last one's sum at once; if it is
 * of another, that has added nothing. */
static int read_pprof(struct loaded *l, struct bytes plain, struct reading *rd)
{
    if (l->last && !l->minus) {
        if (read_into(l, plain, l->last, rd) == 0)
            return 0;
        if (strcmp(rd->f->code, "types_differ") != 0)
            return FAILURE;
    }
    rd->into->locations = l->locations;
    if (read_into(l, plain, rd->into, rd))
        return FAILURE;
    l->last = add_profile(l, rd->into);
    return 0;
}

static int read_any(struct loaded *l, struct bytes body, struct reading *rd)
{
    struct bytes plain, format = rd->hints.format;

    if (decoder_inflate(l->decoder, body, &plain, rd->f))
        return FAILURE;
    if (format.len == 0)
        format = bytes_str(decode_format_of(plain));
    /* Files of the user's own: decode() would set labels aside that make each sample unique. */
    return bytes_equal(format, BYTES_LIT("pprof")) ? read_pprof(l, plain, rd)
                                                   : decode(l->decoder, body, rd);
}

int loaded_add(struct loaded *l, struct bytes body, const char *name, const char *format,
               struct failure *f)
{
    struct decode_stats stats = {0};
    struct profile scratch;
    struct failure why;
    struct reading rd = {.hints.format = bytes_str(format),
                         .into = &scratch,
                         .stats = &stats,
                         .emit = l->locations ? on_other : on_profile,
                         .ctx = l,
                         .f = &why};
    int r;

    profile_init(&scratch, l->symbols, l->stacks);
    r = read_any(l, body, &rd);
    profile_deinit(&scratch);
    if (r == 0)
        return 0;
    return fail(f, why.status, why.code, why.hint[0] ? why.hint : NULL, "%s: %s", name,
                why.message);
}

void loaded_end_reading(struct loaded *l)
{
    pprof_reader_free(l->pprof);
    decoder_free(l->decoder);
    l->pprof = NULL;
    l->decoder = NULL;
}

void loaded_write(const struct loaded *l, const struct profile *sum, struct buf *out)
{
    struct buf raw = {0};

    pprof_write(sum, &raw);
    pprof_header_write(&l->header, &raw);
    gzip(buf_bytes(&raw), GZIP_LEVEL, out);
    buf_deinit(&raw);
}

/* ---- types ------------------------------------------------------------------------------------
 */

void loaded_name(const struct loaded_type *t, struct profile_type *ret)
{
    const struct profile *p = t->profile;
    const struct symbols *s = p->symbols;

    profile_type_of(ret, symbols_text(s, p->types[t->index].name),
                    symbols_text(s, p->types[t->index].unit), symbols_text(s, p->period_type.name),
                    symbols_text(s, p->period_type.unit), bytes_of(NULL, 0));
}

static int no_type(const struct loaded *l, const char *type, struct failure *f)
{
    struct buf list = {0};

    for (size_t s = 0; s < l->n_sums; s++) {
        for (uint32_t i = 0; i < l->sums[s]->n_types; i++) {
            buf_append_str(&list, list.len ? ", " : "");
            buf_append_bytes(&list, symbols_text(l->symbols, l->sums[s]->types[i].name));
        }
    }
    fail(f, 404, "type_not_found", NULL, "there is no type \"%s\"; the profile has %s", type,
         buf_cstr(&list));
    buf_deinit(&list);
    return FAILURE;
}

static uint32_t default_of(const struct profile *p)
{
    for (uint32_t i = 0; p->default_type && i < p->n_types; i++)
        if (p->types[i].name == p->default_type)
            return i;
    return p->n_types - 1;
}

/* CPU time is what is asked for when nothing is; of a file with one profile it is as pprof has it.
 */
static void find_default(const struct loaded *l, struct loaded_type *ret)
{
    static const char cpu[] = "process_cpu:cpu:";
    struct profile_type full;

    for (size_t i = 0; i < l->n_sums; i++) {
        struct loaded_type t = {l->sums[i], default_of(l->sums[i])};

        loaded_name(&t, &full);
        if (i == 0 || strncmp(full.name, cpu, sizeof cpu - 1) == 0)
            *ret = t;
        if (strncmp(full.name, cpu, sizeof cpu - 1) == 0)
            return;
    }
}

static bool is_called(const struct loaded_type *t, const char *type)
{
    const struct profile *p = t->profile;
    struct profile_type full;

    loaded_name(t, &full);
    return strcmp(full.name, type) == 0 ||
           bytes_equal(symbols_text(p->symbols, p->types[t->index].name), bytes_str(type));
}

int loaded_find(const struct loaded *l, const char *type, struct loaded_type *ret,
                struct failure *f)
{
    if (l->n_sums == 0)
        return fail(f, 400, "malformed", NULL, "there is no profile in it");
    if (!type) {
        find_default(l, ret);
        return 0;
    }
    for (size_t s = 0; s < l->n_sums; s++) {
        for (uint32_t i = 0; i < l->sums[s]->n_types; i++) {
            *ret = (struct loaded_type){l->sums[s], i};
            if (is_called(ret, type))
                return 0;
        }
    }
    return no_type(l, type, f);
}

/* Files that are added up, or compared, are of one type. */
static int check_type(const struct answer_side *s, const char *name, struct failure *f)
{
    if (s->type.len == 0 || bytes_equal(buf_bytes(&s->type), bytes_str(name)))
        return 0;
    return fail(f, 400, "types_differ", "--type says which", "%s and %.*s do not add up", name,
                (int)s->type.len, (const char *)s->type.data);
}

int loaded_into_answer(const struct loaded *l, const char *type, struct answer *a,
                       struct answer_parts *parts, uint8_t side, struct failure *f)
{
    struct answer_side *s = &a->sides[side];
    struct profile_type full;
    struct loaded_type found;
    struct tree tree = {0};

    if (loaded_find(l, type, &found, f) != 0)
        return FAILURE;
    loaded_name(&found, &full);
    if (check_type(s, full.name, f) != 0)
        return FAILURE;
    tree_of_profile(&tree, found.profile, found.index);
    answer_add(a, parts, side, &tree, l->symbols);
    buf_reset(&s->type);
    buf_append_str(&s->type, full.name);
    s->duration_ns += found.profile->duration_ns;
    s->range =
        (struct range){found.profile->time_ns, found.profile->time_ns + found.profile->duration_ns};
    return 0;
}
