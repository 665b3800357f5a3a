/*
 * How it works. Two growing arrays, whose index is the id, and a table for each that finds an id by
 * content. Nearly all locations have one line, which stands with them; the lines of others stand in
 * a third array, one location's behind the other's.
 *
 * Locations are looked up some at a time, and what that will read is asked for first: thousands of
 * profiles of addresses do not fit a cache.
 */
#include "profile/locations.h"

#include "base/err.h"
#include "base/hash.h"
#include "base/xalloc.h"
#include "profile/table.h"

#include <stdlib.h>

enum { PAGE = 0x1000 };
enum { BATCH = 32 }; /* as many look-ups wait for memory at once */

struct entry {
    struct location at;
    union {
        struct location_line only; /* where it has one */
        size_t first;              /* of more, in `line` */
    };
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
    XGROW(l->line, l->line_cap, 1); /* there is a place for lines, also of those that have none */
    table_begin(&l->by_location);
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

static inline const struct location_line *lines_of(const struct locations *l, const struct entry *e)
{
    return e->at.n_lines == 1 ? &e->only : l->line + e->first;
}

/* Few lines say their column. */
static inline uint64_t place_of(const struct locations *l, const struct location *at,
                                const struct location_line *lines)
{
    uint64_t place = hash_pair(l->secret, (uint64_t)at->mapping << 32 | at->folded, at->address);

    for (uint32_t i = 0; i < at->n_lines; i++) {
        place = hash_pair(l->secret, place ^ lines[i].function, (uint64_t)lines[i].line);
        if (lines[i].column)
            place = hash_pair(l->secret, place, (uint64_t)lines[i].column);
    }
    return place;
}

static inline bool same_lines(const struct location_line *a, const struct location_line *b,
                              uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (a[i].function != b[i].function || a[i].line != b[i].line || a[i].column != b[i].column)
            return false;
    return true;
}

static inline bool is_same(const struct locations *l, const struct entry *e,
                           const struct location *at, const struct location_line *lines)
{
    return e->at.address == at->address && e->at.mapping == at->mapping &&
           e->at.n_lines == at->n_lines && e->at.folded == at->folded &&
           same_lines(lines_of(l, e), lines, at->n_lines);
}

static uint32_t new_location(struct locations *l, const struct location *at,
                             const struct location_line *lines, uint64_t place)
{
    struct entry *e;

    CHECK(l->n < UINT32_MAX);
    XGROW(l->entry, l->entry_cap, (size_t)l->n + 1);
    e = &l->entry[l->n];
    *e = (struct entry){.at = *at, .first = l->n_lines};
    if (at->n_lines == 1) {
        e->only = lines[0];
    } else if (at->n_lines) {
        XGROW(l->line, l->line_cap, l->n_lines + at->n_lines);
        memcpy(l->line + l->n_lines, lines, at->n_lines * sizeof *lines);
        l->n_lines += at->n_lines;
    }
    table_insert(&l->by_location, place, l->n);
    return l->n++;
}

static inline uint32_t intern(struct locations *l, const struct location *at,
                              const struct location_line *lines, uint64_t place)
{
    for (struct probe p = table_probe(&l->by_location, place); table_next(&l->by_location, &p);)
        if (is_same(l, &l->entry[p.id], at, lines))
            return p.id;
    return new_location(l, at, lines, place);
}

/* n ≤ BATCH. Returns where the lines of the next location stand. */
static const struct location_line *intern_batch(struct locations *l, const struct location *at,
                                                const struct location_line *lines, size_t n,
                                                uint32_t *ret)
{
    const struct location_line *next = lines;
    uint64_t place[BATCH];

    for (size_t i = 0; i < n; next += at[i++].n_lines) {
        CHECK(at[i].mapping < l->n_mappings);
        place[i] = place_of(l, &at[i], next);
        table_prefetch(&l->by_location, place[i]);
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t first = table_first(&l->by_location, place[i]);

        if (first)
            __builtin_prefetch(&l->entry[first - 1]);
    }
    for (size_t i = 0; i < n; lines += at[i++].n_lines)
        ret[i] = intern(l, &at[i], lines, place[i]);
    return lines;
}

void locations_intern(struct locations *l, const struct location *at,
                      const struct location_line *lines, size_t n, uint32_t *ret)
{
    for (size_t done = 0; done < n; done += BATCH)
        lines = intern_batch(l, at + done, lines, n - done < BATCH ? n - done : BATCH, ret + done);
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
    *ret_lines = lines_of(l, &l->entry[id]);
    return &l->entry[id].at;
}
