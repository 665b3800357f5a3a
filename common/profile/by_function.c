/* How it works: a function is looked up by name and file once; then its frames follow it. */
#include "profile/by_function.h"

#include "base/hash.h"
#include "base/xalloc.h"

#include <stdlib.h>

void by_function_deinit(struct by_function *b)
{
    free(b->first);
    free(b->frame_of);
    table_deinit(&b->names);
    *b = (struct by_function){0};
}

/* The first frame of a function's name and file, which is `frame` if there was none. */
static uint32_t find_first(struct by_function *b, const struct symbols *s, const struct function *f,
                           uint32_t frame)
{
    const struct function *functions = symbols_all_functions(s);
    const struct frame *frames = symbols_all_frames(s);
    uint64_t place = hash_pair(hash_secret(), f->name, f->file);

    for (struct probe p = table_probe(&b->names, place); table_next(&b->names, &p);) {
        const struct function *known = &functions[frames[p.id].function];

        if (known->name == f->name && known->file == f->file)
            return p.id;
    }
    table_insert(&b->names, place, frame);
    return frame;
}

static uint32_t first_of(struct by_function *b, const struct symbols *s, uint32_t frame)
{
    uint32_t function = symbols_all_frames(s)[frame].function;

    if (function == 0)
        return frame;
    if (b->frame_of[function] == 0)
        b->frame_of[function] = find_first(b, s, &symbols_all_functions(s)[function], frame);
    return b->frame_of[function];
}

void by_function_update(struct by_function *b, const struct symbols *s)
{
    uint32_t n = symbols_n_frames(s);
    size_t had = b->frame_of_cap;

    XGROW(b->first, b->cap, n);
    XGROW(b->frame_of, b->frame_of_cap, symbols_n_functions(s));
    memset(b->frame_of + had, 0, (b->frame_of_cap - had) * sizeof *b->frame_of);
    for (; b->n < n; b->n++)
        b->first[b->n] = first_of(b, s, b->n);
}

size_t by_function_bytes(const struct by_function *b)
{
    return b->cap * sizeof *b->first + b->frame_of_cap * sizeof *b->frame_of +
           table_bytes(&b->names);
}
