/*
 * How it works. Whether an array will do is known when all ids are, so nothing is indexed before
 * jfr_ids_build(): JDK stack traces and symbols count from 1, its classes and methods do not.
 */
#include "formats/jfr/ids.h"

#include "base/xalloc.h"

#include <stdlib.h>

/* An array of up to 128 places an id is worth it: the classes of a JDK's chunk have such ids, and
 * one is looked up for each event. No larger: it would be cleared for every chunk of a body. */
enum { DENSE_PLACES_MAX = 128, DENSE_MAX = 8192 };

void jfr_ids_deinit(struct jfr_ids *m)
{
    free(m->id);
    free(m->dense);
    table_deinit(&m->sparse);
    *m = (struct jfr_ids){0};
}

void jfr_ids_reset(struct jfr_ids *m)
{
    m->n = 0;
    m->dense_n = 0;
    table_reset(&m->sparse);
}

void jfr_ids_add(struct jfr_ids *m, uint64_t id)
{
    if (m->n == m->id_cap)
        XGROW(m->id, m->id_cap, (size_t)m->n + 1);
    m->id[m->n++] = id;
}

size_t jfr_ids_bytes(const struct jfr_ids *m)
{
    return m->id_cap * sizeof *m->id + m->dense_cap * sizeof *m->dense + table_bytes(&m->sparse);
}

uint32_t jfr_ids_find_sparse(const struct jfr_ids *m, uint64_t id)
{
    if (!m->secret)
        return UINT32_MAX;
    for (struct probe p = table_probe(&m->sparse, hash_pair(m->secret, id, 0));
         table_next(&m->sparse, &p);)
        if (m->id[p.id] == id)
            return p.id;
    return UINT32_MAX;
}

static void build_dense(struct jfr_ids *m, uint64_t n)
{
    XGROW(m->dense, m->dense_cap, n);
    memset(m->dense, 0xff, n * sizeof *m->dense);
    m->dense_n = n;
    for (uint32_t i = m->n; i-- > 0;) /* backwards: the first of equal ids is written last */
        m->dense[m->id[i]] = i;
}

void jfr_ids_build(struct jfr_ids *m)
{
    uint64_t max = 0;

    m->secret = hash_secret();
    for (uint32_t i = 0; i < m->n; i++)
        max = m->id[i] > max ? m->id[i] : max;
    if (max <= 4 * (uint64_t)m->n + 16 ||
        (max < DENSE_MAX && max < DENSE_PLACES_MAX * (uint64_t)m->n)) {
        build_dense(m, max + 1);
        return;
    }
    for (uint32_t i = 0; i < m->n; i++)
        if (jfr_ids_find_sparse(m, m->id[i]) == UINT32_MAX)
            table_insert(&m->sparse, hash_pair(m->secret, m->id[i], 0), i);
}
