#include "profile/translation.h"

#include "base/xalloc.h"

#include <stdlib.h>

/* calloc gives untouched pages, so that a few entries of a large table cost little. */
void translation_init(struct translation *x, struct symbols *to, const struct symbols *from)
{
    *x = (struct translation){to,
                              from,
                              xcalloc(symbols_n_strings(from), sizeof *x->string),
                              xcalloc(symbols_n_functions(from), sizeof *x->function),
                              xcalloc(symbols_n_mappings(from), sizeof *x->mapping),
                              xcalloc(symbols_n_frames(from), sizeof *x->frame)};
}

void translation_deinit(struct translation *x)
{
    free(x->string);
    free(x->function);
    free(x->mapping);
    free(x->frame);
    *x = (struct translation){0};
}

static uint32_t translate_string(struct translation *x, uint32_t id)
{
    if (id && !x->string[id])
        x->string[id] = symbols_string(x->to, symbols_text(x->from, id));
    return x->string[id];
}

static uint32_t translate_function(struct translation *x, uint32_t id)
{
    const struct function *f = symbols_get_function(x->from, id);

    if (id && !x->function[id])
        x->function[id] = symbols_function(
            x->to,
            &(struct function){translate_string(x, f->name), translate_string(x, f->system_name),
                               translate_string(x, f->file), f->start_line});
    return x->function[id];
}

static uint32_t translate_mapping(struct translation *x, uint32_t id)
{
    const struct mapping *m = symbols_get_mapping(x->from, id);

    if (id && !x->mapping[id])
        x->mapping[id] =
            symbols_mapping(x->to, &(struct mapping){translate_string(x, m->file),
                                                     translate_string(x, m->build_id)});
    return x->mapping[id];
}

uint32_t translation_frame(struct translation *x, uint32_t frame)
{
    const struct frame *f = symbols_get_frame(x->from, frame);

    if (frame && !x->frame[frame])
        x->frame[frame] = symbols_frame(x->to, &(struct frame){translate_function(x, f->function),
                                                               translate_mapping(x, f->mapping),
                                                               f->line_or_address});
    return x->frame[frame];
}

void symbols_merge(struct symbols *s, const struct symbols *from, uint32_t first_frame,
                   uint32_t *ret_frames)
{
    uint32_t n = symbols_n_frames(from);
    struct translation x;

    translation_init(&x, s, from);
    for (uint32_t i = first_frame; i < n; i++)
        ret_frames[i] = translation_frame(&x, i);
    translation_deinit(&x);
}
