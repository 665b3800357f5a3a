#include "query/choose.h"

#include "base/xalloc.h"
#include "profile/types.h"

#include <stdlib.h>

enum { NAME_SHOWN = 60 }; /* bytes of a name in a message: the list needs the rest */

/* The distinct types of a service. Few: compared one by one. */
struct types {
    struct bytes *at;
    size_t n, cap;
};

static bool is_of(const struct catalogue_entry *e, struct bytes tenant, struct bytes service)
{
    return bytes_equal(e->tenant, tenant) && bytes_equal(e->service, service);
}

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void types_add(struct types *t, struct bytes type)
{
    for (size_t i = 0; i < t->n; i++)
        if (bytes_equal(t->at[i], type))
            return;
    XGROW(t->at, t->cap, t->n + 1);
    t->at[t->n++] = type;
}

static int bytes_order(const void *a, const void *b)
{
    return bytes_cmp(*(const struct bytes *)a, *(const struct bytes *)b);
}

static struct types types_of(struct bytes tenant, struct bytes service,
                             struct catalogue *const *catalogues, size_t n_catalogues)
{
    struct types types = {0};

    for (size_t s = 0; s < n_catalogues; s++)
        for (size_t i = 0; i < catalogues[s]->n; i++)
            if (is_of(&catalogues[s]->entries[i], tenant, service))
                types_add(&types, catalogues[s]->entries[i].type);
    if (types.n > 1)
        qsort(types.at, types.n, sizeof *types.at, bytes_order);
    return types;
}

/* Part i of a five-part name. */
static struct bytes part_of(struct bytes type, int i)
{
    size_t begin = 0, end = 0;

    for (; end < type.len && (type.data[end] != ':' || i-- > 0); end++)
        if (type.data[end] == ':')
            begin = end + 1;
    return bytes_of(type.data + begin, end - begin);
}

static bool has_sample_type(struct bytes type, const char *sample_type, const char *unit)
{
    char text[64];
    int n = snprintf(text, sizeof text, ":%s:%s:", sample_type, unit);

    return memmem(type.data, type.len, text, (size_t)n) != NULL;
}

/* What a person means who names no type. NULL: cannot be guessed. */
static const struct bytes *usual_type(const struct types *types)
{
    static const char *const usual[][2] = {{"cpu", "nanoseconds"},
                                           {"cpu-time", "nanoseconds"},
                                           {"wall", "nanoseconds"},
                                           {"samples", "count"}};

    for (size_t u = 0; u < sizeof usual / sizeof *usual; u++)
        for (size_t i = 0; i < types->n; i++)
            if (has_sample_type(types->at[i], usual[u][0], usual[u][1]))
                return &types->at[i];
    return types->n == 1 ? types->at : NULL;
}

/* Whole names, as many as fit into room. */
static void list_types(const struct types *types, size_t room, struct buf *out)
{
    size_t n = 0;

    for (; n < types->n && out->len + types->at[n].len + 2 <= room; n++) {
        buf_append_str(out, n ? ", " : "");
        buf_append_bytes(out, types->at[n]);
    }
    if (n < types->n)
        buf_printf(out, "%s%zu more", n ? " and " : "", types->n - n);
}

/* what: what is wrong, before the list of candidates. */
static int no_type(const struct types *candidates, const struct request_side *side, int status,
                   const char *code, const char *what, struct failure *f)
{
    struct buf list = {0}, head = {0};

    if (side->type.len)
        buf_printf(&head, "type \"%.*s\" of ", (int)min_size(side->type.len, NAME_SHOWN),
                   (const char *)side->type.data);
    buf_printf(&head, "service \"%.*s\": %s ", (int)min_size(side->service.len, NAME_SHOWN),
               (const char *)side->service.data, what);
    list_types(candidates, sizeof f->message - sizeof " and 1000000 more" - head.len, &list);
    fail(f, status, code, "GET /api/v1/types lists them; name one with type=", "%s%s",
         buf_cstr(&head), buf_cstr(&list));
    buf_deinit(&list);
    buf_deinit(&head);
    return FAILURE;
}

enum { PART_NAME = 0, PART_SAMPLE_TYPE = 1 };

/* Those that a word may stand for: the full name, else the sample type, else the first part. */
static struct types types_meant(const struct types *types, struct bytes word)
{
    static const int parts[] = {PART_SAMPLE_TYPE, PART_NAME};
    struct types meant = {0};

    for (size_t i = 0; i < types->n; i++)
        if (bytes_equal(types->at[i], word))
            types_add(&meant, types->at[i]);
    for (size_t p = 0; p < sizeof parts / sizeof *parts && meant.n == 0; p++)
        for (size_t i = 0; i < types->n; i++)
            if (bytes_equal(part_of(types->at[i], parts[p]), word))
                types_add(&meant, types->at[i]);
    return meant;
}

static int take_type(struct request_side *side, struct bytes type)
{
    buf_reset(&side->type);
    buf_append_bytes(&side->type, type);
    return 0;
}

static int choose_usual(struct request_side *side, const struct types *types, struct failure *f)
{
    const struct bytes *usual = usual_type(types);

    if (!usual)
        return no_type(types, side, 400, "type_ambiguous", "say which type; it has", f);
    return take_type(side, *usual);
}

static int choose_asked(struct request_side *side, const struct types *types, struct failure *f)
{
    struct types meant = types_meant(types, buf_bytes(&side->type));
    int r;

    if (meant.n == 0)
        r = no_type(types, side, 404, "type_not_found", "there is none; it has", f);
    else if (meant.n > 1)
        r = no_type(&meant, side, 400, "type_ambiguous", "it may be", f);
    else
        r = take_type(side, meant.at[0]);
    free(meant.at);
    return r;
}

static int choose_type(struct request_side *side, const struct types *types, struct failure *f)
{
    return side->type.len ? choose_asked(side, types, f) : choose_usual(side, types, f);
}

static void add_sources(const struct request_side *side, uint8_t number, struct bytes tenant,
                        struct catalogue *const *catalogues, size_t n_catalogues,
                        struct sources *out)
{
    struct bytes service = buf_bytes(&side->service);
    struct hash128 sid = service_id(tenant, service);

    for (size_t s = 0; s < n_catalogues; s++) {
        for (size_t i = 0; i < catalogues[s]->n; i++) {
            const struct catalogue_entry *e = &catalogues[s]->entries[i];

            if (!is_of(e, tenant, service) || !bytes_equal(e->type, buf_bytes(&side->type)) ||
                !selector_matches(&side->selector, service, &e->series) || e->res_s == 0)
                continue;
            XGROW(out->at, out->cap, out->n + 1);
            out->at[out->n++] =
                (struct source){number, (uint32_t)s, catalogues[s]->kids[i], sid, e->res_s};
        }
    }
}

int choose_sources(struct request_side *side, uint8_t number, struct bytes tenant,
                   struct catalogue *const *catalogues, size_t n_catalogues, struct sources *out,
                   struct failure *f)
{
    struct types types = types_of(tenant, buf_bytes(&side->service), catalogues, n_catalogues);
    int r;

    if (types.n == 0)
        r = fail(f, 404, "service_not_found", "GET /api/v1/services lists the services",
                 "no profile of a service \"%.*s\" has been counted", (int)side->service.len,
                 (const char *)side->service.data);
    else
        r = choose_type(side, &types, f);
    if (r == 0)
        add_sources(side, number, tenant, catalogues, n_catalogues, out);
    free(types.at);
    return r;
}
