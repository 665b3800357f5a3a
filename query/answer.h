/*
 * Answer: a merged tree (one value column, or two when it compares) with the figures of its sides,
 * and how it is written. The query service and the command line (over files) both end here. One
 * thread.
 */
#ifndef HEARTH_QUERY_ANSWER_H
#define HEARTH_QUERY_ANSWER_H

#include "base/err.h"
#include "profile/by_function.h"
#include "profile/tree.h"
#include "profile/types.h"
#include "query/plan.h"
#include "wire/sketch.h"

enum granularity { GRANULARITY_FUNCTION, GRANULARITY_LINE };
enum answer_format { FORMAT_JSON, FORMAT_PPROF, FORMAT_FOLDED, FORMAT_TEXT };
enum { SIDES_MAX = 2 };
enum { NODES_ALL = UINT32_MAX }; /* max_nodes: do not prune */

/* How far a partition has been read, as its meta said when the query began. */
struct freshness {
    uint32_t partition;
    uint64_t offset;
    int64_t updated_ms;
};

struct answer_side {
    struct buf service, type;
    struct range range; /* covered */
    uint64_t profiles;
    int64_t duration_ns;
    struct sketch instances;
    uint64_t windows, gaps;
    uint64_t saturated;
    struct freshness *partitions;
    size_t n_partitions;
};

struct answer {
    uint32_t n_sides;
    struct answer_side sides[SIDES_MAX];
    enum granularity granularity;
    const struct symbols *symbols;
    const struct by_function *functions; /* of symbols; NULL: not known */
    struct tree tree; /* frames of symbols (by function: the first of each); column i is side i */
    struct symbols *own_symbols; /* what symbols is, unless borrowed */
};

/* Before the first part: all parts are of one table, which stays until answer_give_back, behind
 * which nothing is asked of its names. */
void answer_borrow(struct answer *a, const struct symbols *symbols, const struct by_function *b);
void answer_give_back(struct answer *a);
void answer_deinit(struct answer *a);

/*
 * Adds a tree to an answer while it is put together: takes it into parts (it is empty then), the
 * frames that it uses translated from `from` to the answer's own table, unless that is the borrowed
 * one. answer_zip merges the parts into a->tree at the answer's granularity.
 */
struct answer_parts {
    struct tree *trees;
    uint8_t *column_of;
    size_t n, cap, cap_columns;
};
void answer_add(struct answer *a, struct answer_parts *parts, uint8_t column, struct tree *t,
                const struct symbols *from);
void answer_zip(struct answer *a, struct answer_parts *parts); /* empties and frees parts */

enum top_sort { TOP_BY_SELF, TOP_BY_TOTAL };

/* Writers; they append to out. */
void answer_flamegraph_json(const struct answer *a, uint32_t max_nodes, struct buf *out);
void answer_top_json(const struct answer *a, enum top_sort sort, uint32_t limit, struct buf *out);
/* Tables for people; of a difference: a, b, b − a. Values are sums, those of a snapshot means of
 * one profile (query/top.h). */
void answer_top_text(const struct answer *a, enum top_sort sort, uint32_t limit, struct buf *out);
void answer_folded(const struct answer *a, uint32_t max_nodes, struct buf *out);
void answer_pprof(const struct answer *a, uint32_t max_nodes, struct buf *out); /* not gzip'd */

#endif
