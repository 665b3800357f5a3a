/*
 * sample_type_config is a small JSON object, type → {"units", "display-name", "cumulative" …}. Go's
 * agent names its mutex and its block profile's types alike and tells them apart there alone:
 * "mutex_count", "block_count". yajl's tree reader is enough, under a cap on the part.
 */
#include "collector/protocols/form.h"

#include "formats/inflate.h"
#include "net/multipart.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <yajl/yajl_tree.h>

static const char *const families[] = {"cpu", "wall", "mutex", "block", "goroutines", "memory"};

static const char *family_of(const char *display)
{
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (strncmp(display, families[i], strlen(families[i])) == 0)
            return families[i];
    return NULL;
}

static int read_type(struct form *form, const char *type, yajl_val config, struct failure *f)
{
    const char *const display_path[] = {"display-name", NULL};
    const char *const cumulative_path[] = {"cumulative", NULL};
    yajl_val display = yajl_tree_get(config, (const char **)display_path, yajl_t_string);
    const char *name = YAJL_GET_STRING(display), *family = name ? family_of(name) : NULL;
    struct form_hint *h = &form->hints[form->n_hints];

    if (YAJL_IS_TRUE(yajl_tree_get(config, (const char **)cumulative_path, yajl_t_any)))
        return fail(f, 400, "cumulative_unsupported", "use an agent that sends differences",
                    "sample_type_config calls the type \"%.60s\" cumulative", type);
    if (family && form->n_hints < FORM_HINTS_MAX && strlen(type) < sizeof h->type) {
        snprintf(h->type, sizeof h->type, "%s", type);
        snprintf(h->family, sizeof h->family, "%s", family);
        form->n_hints++;
    }
    return 0;
}

static int read_types(struct form *form, yajl_val root, struct failure *f)
{
    for (size_t i = 0; i < YAJL_GET_OBJECT(root)->len; i++)
        if (read_type(form, YAJL_GET_OBJECT(root)->keys[i], YAJL_GET_OBJECT(root)->values[i], f))
            return FAILURE;
    return 0;
}

static int read_config(struct form *form, struct bytes json, struct failure *f)
{
    char text[FORM_CONFIG_MAX + 1];
    yajl_val root;
    int r;

    if (json.len > FORM_CONFIG_MAX || memchr(json.data, '\0', json.len))
        return fail(f, 400, "bad_sample_type_config", NULL,
                    "sample_type_config has more than %d bytes, or a NUL", FORM_CONFIG_MAX);
    memcpy(text, json.data, json.len);
    text[json.len] = '\0';
    root = yajl_tree_parse(text, NULL, 0);
    if (!YAJL_IS_OBJECT(root))
        r = fail(f, 400, "bad_sample_type_config", NULL, "sample_type_config is no JSON object");
    else
        r = read_types(form, root, f);
    yajl_tree_free(root);
    return r;
}

static bool is(const struct part *p, const char *name)
{
    return bytes_equal(p->name, bytes_str(name));
}

static int read_part(struct form *form, const struct part *p, struct failure *f)
{
    if (is(p, "prev_profile"))
        return fail(f, 400, "prev_profile_unsupported", "use an agent that sends differences",
                    "the form has a previous profile to be subtracted");
    if (is(p, "sample_type_config") && p->body.len)
        return read_config(form, p->body, f);
    if (is(p, "labels"))
        form->labels = p->body;
    if (!is(p, "profile") && !is(p, "jfr"))
        return 0;
    /* To take one and say 200 would lose the other. */
    if (form->profile.data)
        return fail(f, 400, "bad_multipart", "push each profile in a request of its own",
                    "the form has more than one profile");
    form->profile = p->body;
    return 0;
}

int form_read(struct form *form, struct bytes content_type, struct bytes body, struct failure *f)
{
    struct part parts[PARTS_MAX];
    size_t n;

    form->n_hints = 0;
    form->profile = form->labels = (struct bytes){0};
    if (multipart_parse(content_type, body, parts, &n, f))
        return FAILURE;
    for (size_t i = 0; i < n; i++)
        if (read_part(form, &parts[i], f))
            return FAILURE;
    if (!form->profile.data)
        return fail(f, 400, "no_profile", NULL, "the form has no part named \"profile\"");
    return 0;
}

bool form_is_multipart(struct bytes content_type)
{
    return content_type.len >= 10 &&
           strncasecmp((const char *)content_type.data, "multipart/", 10) == 0;
}

int form_open(struct codec *k, struct form *form, struct bytes content_type, struct bytes body)
{
    if (!form_is_multipart(content_type)) {
        form->n_hints = 0;
        form->profile = body;
        form->labels = (struct bytes){0};
        return 0;
    }
    if (compression_of(body) != COMPRESSION_NONE && codec_inflate(k, body, &body))
        return FAILURE;
    return form_read(form, content_type, body, codec_failure(k));
}

int form_check_coding(struct bytes coding, struct failure *f)
{
    static const char *const known[] = {"", "identity", "gzip", "zstd", "lz4"};

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (bytes_equal(coding, bytes_str(known[i])))
            return 0;
    return fail(f, 415, "content_encoding", "gzip, zstd, lz4 or plain",
                "the Content-Encoding \"%.*s\" is not known",
                (int)(coding.len < 40 ? coding.len : 40), (const char *)coding.data);
}

struct bytes form_family(const void *ctx, struct bytes sample_type)
{
    const struct form *form = ctx;

    for (size_t i = 0; i < form->n_hints; i++)
        if (bytes_equal(bytes_str(form->hints[i].type), sample_type))
            return bytes_str(form->hints[i].family);
    return (struct bytes){0};
}
