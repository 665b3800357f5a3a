/*
 * How it works. Two growing arrays, whose index is the id, and a table for each that finds an id by
 * content. The lines of all locations stand in a third array, one location's behind the other's.
 */
#include "profile/locations.h"

#include "base/err.h"
#include "base/hash.h"
#include "base/xalloc.h"
#include "profile/table.h"

#include <stdlib.h>

enum { PAGE = 0x1000 };

struct entry {
    struct location at;
    size_t line; /* its first one */
};

struct locations {
    const uint64_t *secret;
    struct table by_mapping, by_location;
    struct location_mapping *mapping;
    struct entry *entry;
    struct location_line *line;
    uint32_t n_mappings, n;
    size_t n_lines, mapping_cap, entry_cap, line_cap;
};

struct locations *locations_new(void)
{
    struct locations *l = xcalloc(1, sizeof *l);

    l->secret = hash_secret();
    XGROW(l->mapping, l->mapping_cap, 1);
    XGROW(l->entry, l->entry_cap, 1);
    l->mapping[0] = (struct location_mapping){0};
    l->entry[0] = (struct entry){0};
    l->n_mappings = l->n = 1;
    return l;
}

void locations_free(struct locations *l)
{
    if (!l)
        return;
    table_deinit(&l->by_mapping);
    table_deinit(&l->by_location);
    free(l->mapping);
    free(l->entry);
    free(l->line);
    free(l);
}

/* ---- mappings ----------------------------------------------------------------------------------
 */

/* Rounded up: the last page is not always counted in whole. */
static uint64_t pages(const struct location_mapping *m)
{
    return (m->limit - m->start + PAGE - 1) / PAGE;
}

/* A build id names a file better than its path does. */
static uint32_t name_of(const struct location_mapping *m)
{
    return m->build_id ? m->build_id : m->file;
}

uint32_t locations_mapping(struct locations *l, const struct location_mapping *m)
{
    uint64_t place = hash_pair(l->secret, hash_pair(l->secret, pages(m), m->offset), name_of(m));

    for (struct probe p = table_probe(&l->by_mapping, place); table_next(&l->by_mapping, &p);) {
        const struct location_mapping *known = &l->mapping[p.id];

        if (pages(known) == pages(m) && known->offset == m->offset && name_of(known) == name_of(m))
            return p.id;
    }
    CHECK(l->n_mappings < UINT32_MAX);
    XGROW(l->mapping, l->mapping_cap, (size_t)l->n_mappings + 1);
    l->mapping[l->n_mappings] = *m;
    table_insert(&l->by_mapping, place, l->n_mappings);
    return l->n_mappings++;
}

/* ---- locations ---------------------------------------------------------------------------------
 */

static uint64_t place_of(const struct locations *l, const struct location *at,
                         const struct location_line *lines)
{
    uint64_t place = hash_pair(l->secret, (uint64_t)at->mapping << 32 | at->folded, at->address);

    for (uint32_t i = 0; i < at->n_lines; i++) {
        place = hash_pair(l->secret, place ^ lines[i].function, (uint64_t)lines[i].line);
        place = hash_pair(l->secret, place, (uint64_t)lines[i].column);
    }
    return place;
}

static bool same_lines(const struct location_line *a, const struct location_line *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (a[i].function != b[i].function || a[i].line != b[i].line || a[i].column != b[i].column)
            return false;
    return true;
}

static bool is_same(const struct locations *l, uint32_t id, const struct location *at,
                    const struct location_line *lines)
{
    const struct entry *e = &l->entry[id];

    return e->at.mapping == at->mapping && e->at.address == at->address &&
           e->at.folded == at->folded && e->at.n_lines == at->n_lines &&
           same_lines(l->line + e->line, lines, at->n_lines);
}

uint32_t locations_location(struct locations *l, const struct location *at,
                            const struct location_line *lines)
{
    uint64_t place = place_of(l, at, lines);

    CHECK(at->mapping < l->n_mappings && l->n < UINT32_MAX);
    for (struct probe p = table_probe(&l->by_location, place); table_next(&l->by_location, &p);)
        if (is_same(l, p.id, at, lines))
            return p.id;
    XGROW(l->entry, l->entry_cap, (size_t)l->n + 1);
    XGROW(l->line, l->line_cap, l->n_lines + at->n_lines);
    l->entry[l->n] = (struct entry){*at, l->n_lines};
    for (uint32_t i = 0; i < at->n_lines; i++)
        l->line[l->n_lines++] = lines[i];
    table_insert(&l->by_location, place, l->n);
    return l->n++;
}

/* ---- reading -----------------------------------------------------------------------------------
 */

uint32_t locations_count(const struct locations *l)
{
    return l->n;
}

uint32_t locations_n_mappings(const struct locations *l)
{
    return l->n_mappings;
}

const struct location_mapping *locations_get_mapping(const struct locations *l, uint32_t id)
{
    CHECK(id < l->n_mappings);
    return &l->mapping[id];
}

const struct location *locations_get(const struct locations *l, uint32_t id,
                                     const struct location_line **ret_lines)
{
    CHECK(id < l->n);
    *ret_lines = l->line + l->entry[id].line;
    return &l->entry[id].at;
}
