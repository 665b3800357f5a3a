/* How it works: the array is cleared for each file, since its size is bounded by the entries; the
 * far ids stand in a list, and the table says where. */
#include "formats/id_map.h"

#include "base/hash.h"
#include "base/xalloc.h"

#include <stdlib.h>

void id_map_begin(struct id_map *m, uint32_t n)
{
    m->n_near = 2 * (uint64_t)n + 1;
    XGROW(m->near, m->near_cap, m->n_near);
    memset(m->near, 0xff, m->n_near * sizeof *m->near);
    m->n_far = 0;
    if (m->table.n)
        table_reset(&m->table);
}

void id_map_deinit(struct id_map *m)
{
    free(m->near);
    free(m->far);
    table_deinit(&m->table);
}

size_t id_map_bytes(const struct id_map *m)
{
    return m->near_cap * sizeof *m->near + m->far_cap * sizeof *m->far + table_bytes(&m->table);
}

static uint64_t place_of(uint64_t id)
{
    return hash_pair(hash_secret(), id, 0);
}

uint32_t id_map_find_far(const struct id_map *m, uint64_t id)
{
    for (struct probe p = table_probe(&m->table, place_of(id)); table_next(&m->table, &p);)
        if (m->far[p.id].id == id)
            return m->far[p.id].value;
    return ID_NONE;
}

void id_map_enter_far(struct id_map *m, uint64_t id, uint32_t value)
{
    XGROW(m->far, m->far_cap, (size_t)m->n_far + 1);
    m->far[m->n_far] = (struct far_id){id, value};
    table_insert(&m->table, place_of(id), m->n_far++);
}
