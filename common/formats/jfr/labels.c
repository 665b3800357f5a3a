/*
 * How it works. A protobuf map is a list of messages {1: key, 2: value}; both maps are entered as
 * views of their values, and a context is decoded when a sample asks for it.
 */
#include "formats/jfr/labels.h"

#include "base/xalloc.h"
#include "formats/protobuf.h"

#include <stdlib.h>

static void map_deinit(struct jfr_label_map *m)
{
    jfr_ids_deinit(&m->ids);
    free(m->value);
}

void jfr_labels_deinit(struct jfr_labels *l)
{
    map_deinit(&l->contexts);
    map_deinit(&l->strings);
}

size_t jfr_labels_bytes(const struct jfr_labels *l)
{
    return jfr_ids_bytes(&l->contexts.ids) + jfr_ids_bytes(&l->strings.ids) +
           (l->contexts.value_cap + l->strings.value_cap) * sizeof(struct bytes);
}

static int malformed(struct reading *rd)
{
    return fail(rd->f, 400, "malformed", NULL, "the labels of the recording are not valid");
}

static int take_entry(struct jfr_label_map *m, struct bytes message, struct reading *rd)
{
    struct cursor c = cursor_of(message);
    struct bytes value = {0};
    enum pb_step step;
    struct pb_field f;
    uint64_t key = 0;

    while ((step = pb_next(&c, &f)) == PB_FIELD) {
        if (f.number == 1 && f.type == PB_VARINT)
            key = f.value;
        else if (f.number == 2 && f.type == PB_LEN)
            value = f.data;
    }
    if (step != PB_END)
        return malformed(rd);
    if (m->ids.n >= rd->limits->strings_max)
        return fail(rd->f, 400, "limit_exceeded", "the limit is strings_max",
                    "the labels of the recording have too many entries: at most %u are allowed",
                    rd->limits->strings_max);
    XGROW(m->value, m->value_cap, (size_t)m->ids.n + 1);
    m->value[m->ids.n] = value;
    jfr_ids_add(&m->ids, key);
    return 0;
}

int jfr_labels_read(struct jfr_labels *l, struct bytes raw, struct reading *rd)
{
    struct cursor c = cursor_of(raw);
    enum pb_step step;
    struct pb_field f;

    jfr_ids_reset(&l->contexts.ids);
    jfr_ids_reset(&l->strings.ids);
    while ((step = pb_next(&c, &f)) == PB_FIELD)
        if (f.type == PB_LEN && f.number <= 2 &&
            take_entry(f.number == 1 ? &l->contexts : &l->strings, f.data, rd))
            return FAILURE;
    if (step != PB_END)
        return malformed(rd);
    jfr_ids_build(&l->contexts.ids);
    jfr_ids_build(&l->strings.ids);
    return 0;
}

static struct bytes find(const struct jfr_label_map *m, uint64_t id)
{
    uint32_t i = m->ids.n ? jfr_ids_find(&m->ids, id) : UINT32_MAX;

    return i == UINT32_MAX ? BYTES_LIT("") : m->value[i];
}

struct bytes jfr_labels_string(const struct jfr_labels *l, uint64_t id)
{
    return find(&l->strings, id);
}

bool jfr_labels_next(const struct jfr_labels *l, uint64_t context, struct jfr_label_walk *w,
                     struct bytes *ret_key, struct bytes *ret_value)
{
    struct pb_field f;
    uint64_t pair[3]; /* key, value */

    if (!w->begun)
        *w = (struct jfr_label_walk){cursor_of(find(&l->contexts, context)), true};
    while (pb_next(&w->c, &f) == PB_FIELD) {
        if (f.number != 1 || f.type != PB_LEN || !PB_NUMBERS(f.data, pair))
            continue;
        *ret_key = jfr_labels_string(l, pair[1]);
        *ret_value = jfr_labels_string(l, pair[2]);
        return true;
    }
    return false;
}
