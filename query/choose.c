#include "query/choose.h"

#include "base/xalloc.h"
#include "profile/types.h"

#include <stdlib.h>

enum { TYPES_LISTED = 8 };

/* The distinct types of a service. Few: compared one by one. */
struct types {
    struct bytes *at;
    size_t n, cap;
};

static bool is_of(const struct catalogue_entry *e, struct bytes tenant, struct bytes service)
{
    return bytes_equal(e->tenant, tenant) && bytes_equal(e->service, service);
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

static void list_types(const struct types *types, struct buf *out)
{
    for (size_t i = 0; i < types->n && i < TYPES_LISTED; i++) {
        buf_append_str(out, i ? ", " : "it has ");
        buf_append_bytes(out, types->at[i]);
    }
    if (types->n > TYPES_LISTED)
        buf_append_str(out, ", …");
}

static int no_type(const struct types *types, const struct request_side *side, int status,
                   const char *code, const char *what, struct failure *f)
{
    struct buf list = {0}, asked = {0};

    list_types(types, &list);
    if (side->type.len)
        buf_printf(&asked, "type \"%.*s\" of ", (int)side->type.len, (const char *)side->type.data);
    fail(f, status, code, NULL, "%sservice \"%.*s\": %s; %s", buf_cstr(&asked),
         (int)side->service.len, (const char *)side->service.data, what, buf_cstr(&list));
    snprintf(f->hint, sizeof f->hint, "GET /api/v1/types lists them; name one with type=");
    buf_deinit(&list);
    buf_deinit(&asked);
    return FAILURE;
}

enum { PART_NAME = 0, PART_SAMPLE_TYPE = 1 };

/* The only type whose part is `asked`. *ret_several: more than one has it. */
static const struct bytes *type_by_part(const struct types *types, int part, struct bytes asked,
                                        bool *ret_several)
{
    const struct bytes *found = NULL;

    for (size_t i = 0; i < types->n; i++) {
        if (!bytes_equal(part_of(types->at[i], part), asked))
            continue;
        *ret_several = found != NULL;
        found = &types->at[i];
        if (*ret_several)
            return NULL;
    }
    return found;
}

static const struct bytes *asked_type(const struct types *types, struct bytes asked,
                                      bool *ret_several)
{
    const struct bytes *found;

    for (size_t i = 0; i < types->n; i++)
        if (bytes_equal(types->at[i], asked))
            return &types->at[i];
    found = type_by_part(types, PART_SAMPLE_TYPE, asked, ret_several);
    return found || *ret_several ? found : type_by_part(types, PART_NAME, asked, ret_several);
}

static int choose_type(struct request_side *side, const struct types *types, struct failure *f)
{
    struct bytes asked = buf_bytes(&side->type);
    bool several = asked.len == 0;
    const struct bytes *found = asked.len ? asked_type(types, asked, &several) : usual_type(types);

    if (!found && asked.len == 0)
        return no_type(types, side, 400, "type_ambiguous", "say which type", f);
    if (!found && several)
        return no_type(types, side, 400, "type_ambiguous", "it has to be given in full", f);
    if (!found)
        return no_type(types, side, 404, "type_not_found", "there is none", f);
    buf_reset(&side->type);
    buf_append_bytes(&side->type, *found);
    return 0;
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
