#include "cli/files.h"

#include "base/xalloc.h"
#include "formats/decode.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { FILE_BYTES_MAX = 1 << 30 };

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
    good = fwrite(data.data, 1, data.len, out) == data.len;
    good = (is_stdout ? fflush(out) : fclose(out)) == 0 && good;
    return good ? 0 : failed(path, "write", f);
}

void loaded_init(struct loaded *l)
{
    l->symbols = symbols_new();
    l->stacks = stacks_new();
    profile_init(&l->profile, l->symbols, l->stacks);
}

void loaded_deinit(struct loaded *l)
{
    profile_deinit(&l->profile);
    stacks_free(l->stacks);
    symbols_free(l->symbols);
}

static uint32_t copy_labels(struct profile *to, const struct profile *from, uint32_t id)
{
    size_t n;
    const struct label *set = profile_label_set(from, id, &n);
    struct label *copy = xmalloc(n * sizeof *copy + 1);
    uint32_t r;

    memcpy(copy, set, n * sizeof *copy);
    r = profile_labels(to, copy, n);
    free(copy);
    return r;
}

/* Adds p, of the same symbols and stacks. */
static int on_profile(void *ctx, struct profile *p, const struct profile_about *about,
                      struct failure *f)
{
    struct profile *sum = &((struct loaded *)ctx)->profile;
    int64_t values[PROFILE_TYPES_MAX];

    (void)about;
    if (profile_set_types(sum, p->types, p->n_types) != 0)
        return fail(f, 400, "types_differ", NULL,
                    "profiles of different sample types or periods cannot be merged");
    sum->period_type = p->period_type;
    sum->period = p->period;
    sum->default_type = p->default_type;
    if (p->time_ns && (!sum->time_ns || p->time_ns < sum->time_ns))
        sum->time_ns = p->time_ns;
    sum->duration_ns += p->duration_ns;
    for (uint32_t i = 0; i < p->n_rows; i++) {
        for (uint32_t t = 0; t < p->n_types; t++)
            values[t] = p->values[t][i];
        profile_add(sum, p->row_stack[i], copy_labels(sum, p, p->row_labels[i]), values);
    }
    return 0;
}

int loaded_add(struct loaded *l, struct bytes body, const char *name, struct failure *f)
{
    struct decode_limits limits = {FILE_BYTES_MAX, profile_limits_default};
    struct decoder *d = decoder_new(&limits);
    struct decode_stats stats = {0};
    struct profile scratch;
    struct failure why;
    struct reading rd = {
        .into = &scratch, .stats = &stats, .emit = on_profile, .ctx = l, .f = &why};
    int r;

    profile_init(&scratch, l->symbols, l->stacks);
    r = decode(d, body, &rd);
    profile_deinit(&scratch);
    decoder_free(d);
    if (r == 0)
        return 0;
    return fail(f, why.status, why.code, why.hint[0] ? why.hint : NULL, "%s: %s", name,
                why.message);
}

static struct bytes text(const struct loaded *l, uint32_t string)
{
    return symbols_text(l->symbols, string);
}

static void full_name(const struct loaded *l, uint32_t i, struct profile_type *out)
{
    const struct profile *p = &l->profile;

    profile_type_of(out, text(l, p->types[i].name), text(l, p->types[i].unit),
                    text(l, p->period_type.name), text(l, p->period_type.unit), bytes_of(NULL, 0));
}

static int no_type(const struct loaded *l, const char *type, struct failure *f)
{
    struct buf list = {0};

    for (uint32_t i = 0; i < l->profile.n_types; i++) {
        buf_append_str(&list, i ? ", " : "");
        buf_append_bytes(&list, text(l, l->profile.types[i].name));
    }
    fail(f, 404, "type_not_found", NULL, "there is no type \"%s\"; the profile has %s", type,
         buf_cstr(&list));
    buf_deinit(&list);
    return FAILURE;
}

static int pick_type(const struct loaded *l, const char *type, uint32_t *ret, struct failure *f)
{
    const struct profile *p = &l->profile;
    struct profile_type full;

    if (p->n_types == 0)
        return fail(f, 400, "malformed", NULL, "the profile has no sample types");
    *ret = p->n_types - 1;
    for (uint32_t i = 0; i < p->n_types; i++) {
        if (!type && p->default_type && p->types[i].name == p->default_type)
            *ret = i;
        full_name(l, i, &full);
        if (type && (strcmp(full.name, type) == 0 ||
                     bytes_equal(text(l, p->types[i].name), bytes_str(type)))) {
            *ret = i;
            return 0;
        }
    }
    return type ? no_type(l, type, f) : 0;
}

int loaded_into_answer(const struct loaded *l, const char *type, struct answer *a,
                       struct answer_parts *parts, uint8_t side, struct failure *f)
{
    uint32_t i = 0, n = stacks_count(l->stacks);
    struct answer_side *s = &a->sides[side];
    struct profile_type full;
    struct tree tree = {0};
    int64_t *values;

    if (pick_type(l, type, &i, f) != 0)
        return FAILURE;
    values = xcalloc((size_t)n + 1, sizeof *values);
    profile_by_stack(&l->profile, i, values);
    tree_of_stacks(&tree, l->stacks, l->symbols, values, n);
    answer_add(a, parts, side, &tree, l->symbols);
    tree_deinit(&tree);
    free(values);
    full_name(l, i, &full);
    buf_reset(&s->type);
    buf_append_str(&s->type, full.name);
    s->duration_ns += l->profile.duration_ns;
    s->range = (struct range){l->profile.time_ns, l->profile.time_ns + l->profile.duration_ns};
    return 0;
}
