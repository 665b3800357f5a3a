/*
 * How it works. A function of the table is looked up by name and file once; then its frames follow
 * it. What new ones there are is put into the order, and every frame gets its function's place: so
 * who walks a tree asks one array.
 */
#include "profile/by_function.h"

#include "base/hash.h"
#include "base/xalloc.h"

#include <stdlib.h>

void by_function_deinit(struct by_function *b)
{
    free(b->first);
    free(b->rank);
    free(b->function);
    free(b->number_of);
    free(b->number);
    free(b->place);
    table_deinit(&b->names);
    order_deinit(&b->order);
    *b = (struct by_function){0};
}

static uint32_t new_number(struct by_function *b, uint32_t frame, uint64_t hash)
{
    XGROW(b->function, b->function_cap, (size_t)b->n_functions + 1);
    b->function[b->n_functions] = (struct named){frame, hash};
    return b->n_functions++;
}

static const struct function *function_of(const struct symbols *s, uint32_t frame)
{
    return &symbols_all_functions(s)[symbols_all_frames(s)[frame].function];
}

/* The number of a function's name and file; `frame` is its first if there was none. */
static uint32_t find_number(struct by_function *b, const struct symbols *s,
                            const struct function *f, uint32_t frame)
{
    uint64_t place = hash_pair(hash_secret(), f->name, f->file), text[2];
    uint32_t number;

    for (struct probe p = table_probe(&b->names, place); table_next(&b->names, &p);) {
        const struct function *known = function_of(s, b->function[p.id].frame);

        if (known->name == f->name && known->file == f->file)
            return p.id;
    }
    text[0] = hash64(symbols_text(s, f->name));
    text[1] = hash64(symbols_text(s, f->file));
    number = new_number(b, frame, hash64(bytes_of(text, sizeof text)));
    table_insert(&b->names, place, number);
    return number;
}

static uint32_t number_of(struct by_function *b, const struct symbols *s, uint32_t frame)
{
    uint32_t function = symbols_all_frames(s)[frame].function;

    if (function == 0)
        return new_number(b, frame, symbols_frame_hashes(s)[frame]);
    if (b->number_of[function] == 0)
        b->number_of[function] = find_number(b, s, &symbols_all_functions(s)[function], frame);
    return b->number_of[function];
}

/* What order_update is given: numbers mean something only with both. */
struct functions {
    const struct by_function *b;
    const struct symbols *s;
};

int by_function_cmp(const struct symbols *s, uint32_t x, uint32_t y)
{
    const struct function *a = function_of(s, x), *b = function_of(s, y);
    int c = bytes_cmp(symbols_text(s, a->name), symbols_text(s, b->name));

    if (c == 0)
        c = bytes_cmp(symbols_text(s, a->file), symbols_text(s, b->file));
    return c ? c : symbols_frame_cmp(s, x, y);
}

/* Hashes that are equal are as good as never. */
static int function_cmp(const void *vf, uint32_t x, uint32_t y)
{
    const struct functions *f = vf;
    const struct named *a = &f->b->function[x], *b = &f->b->function[y];

    if (a->hash != b->hash)
        return a->hash < b->hash ? -1 : 1;
    return by_function_cmp(f->s, a->frame, b->frame);
}

static void order_functions(struct by_function *b, const struct symbols *s)
{
    order_update(&b->order, b->n_functions, function_cmp, &(struct functions){b, s});
    XGROW(b->place, b->place_cap, b->n_functions);
    for (uint32_t i = 0; i < b->n_functions; i++)
        b->place[b->order.id[i]] = i;
}

void by_function_update(struct by_function *b, const struct symbols *s)
{
    uint32_t n = symbols_n_frames(s);
    size_t had = b->number_of_cap;

    if (b->n == n)
        return;
    XGROW(b->first, b->first_cap, n);
    XGROW(b->rank, b->rank_cap, n);
    XGROW(b->number, b->number_cap, n);
    XGROW(b->number_of, b->number_of_cap, symbols_n_functions(s));
    memset(b->number_of + had, 0, (b->number_of_cap - had) * sizeof *b->number_of);
    for (; b->n < n; b->n++)
        b->number[b->n] = number_of(b, s, b->n);
    order_functions(b, s);
    for (uint32_t i = 0; i < n; i++) {
        b->first[i] = b->function[b->number[i]].frame;
        b->rank[i] = b->place[b->number[i]];
    }
}

size_t by_function_bytes(const struct by_function *b)
{
    return (b->first_cap + b->rank_cap + b->number_of_cap + b->number_cap + b->order.cap +
            b->place_cap) *
               sizeof(uint32_t) +
           b->function_cap * sizeof *b->function + table_bytes(&b->names);
}
