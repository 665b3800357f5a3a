/*
 * Id map: the ids that a file gives its entries → what became of them.
 *
 * An array for ids that are at most twice as many as entries, which nearly all are, and a table for
 * the others, so that a file with one entry and id 2^60 costs what it should. A zeroed map is
 * valid; begin it for each file. One thread owns it.
 */
#ifndef HEARTH_FORMATS_ID_MAP_H
#define HEARTH_FORMATS_ID_MAP_H

#include "profile/table.h"

#define ID_NONE UINT32_MAX

struct far_id {
    uint64_t id;
    uint32_t value;
};

struct id_map {
    uint32_t *near; /* [id] value, or ID_NONE */
    uint64_t n_near;
    size_t near_cap;
    struct far_id *far;
    uint32_t n_far;
    size_t far_cap;
    struct table table; /* of far */
};

/* Forgets all, keeps the memory; for n entries. */
void id_map_begin(struct id_map *m, uint32_t n);
void id_map_deinit(struct id_map *m);
size_t id_map_bytes(const struct id_map *m);

uint32_t id_map_find_far(const struct id_map *m, uint64_t id);
void id_map_enter_far(struct id_map *m, uint64_t id, uint32_t value);

/* Its value, or ID_NONE. */
static inline uint32_t id_map_find(const struct id_map *m, uint64_t id)
{
    return id < m->n_near ? m->near[id] : id_map_find_far(m, id);
}

/* An id that is not there yet. */
static inline void id_map_enter(struct id_map *m, uint64_t id, uint32_t value)
{
    if (id < m->n_near)
        m->near[id] = value;
    else
        id_map_enter_far(m, id, value);
}

#endif
