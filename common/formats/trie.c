/*
 * Pyroscope's binary trie and tree: nodes in preorder, each
 *
 *     varint length of name | name | varint value | varint number of children
 *
 * In a tree a name is a frame. In a trie it is the part by which a path ("main;work") goes on from
 * its parent's, and it may end in the middle of a frame's name. The first node is the root, mostly
 * without a name.
 *
 * How it works. The open nodes are a stack of their own, with the children each still waits for. A
 * node keeps where its path stands: the frames that are complete, as a node of the stacks, and the
 * bytes of the frame that is not, at the end of one buffer. So a path is never built twice. What a
 * few bytes of a trie can be blown up to, names that share long beginnings, has a cap of its own.
 */
#include "formats/text_int.h"

#include "base/varint.h"
#include "base/xalloc.h"

#include <stdlib.h>

enum { LEVELS_MAX = 1 << 16, NAME_BYTES_MAX = 64 << 20 };

struct level {
    uint64_t children; /* still to come */
    uint32_t node;     /* of the stacks: the frames that are complete */
    uint32_t depth;    /* their number */
    size_t begin, end; /* of the unfinished frame's bytes, in walk.name */
};

struct walk {
    struct text_reader *r;
    bool is_trie;
    struct level *level;
    size_t n_levels, level_cap;
    struct buf name;
    size_t name_bytes; /* interned in all */
};

/* Completes the unfinished frame: one step further down. */
static int step(struct walk *w, struct level *at, struct bytes name)
{
    struct text_reader *r = w->r;

    w->name_bytes += name.len;
    if (w->name_bytes > NAME_BYTES_MAX)
        return text_limit(r, "bytes of names, repeated ones counted,", NAME_BYTES_MAX, "fixed");
    if (at->depth >= r->rd->limits->depth_max)
        return text_limit(r, "frames in one stack", r->rd->limits->depth_max, "depth_max");
    at->node = stacks_child(r->st, at->node, text_frame(r, name, BYTES_LIT(""), 0, 0));
    at->depth++;
    return text_check_tables(r);
}

static struct bytes unfinished(const struct walk *w, const struct level *at)
{
    return bytes_of(w->name.data + at->begin, at->end - at->begin);
}

/* The bytes a trie's node adds; what stands before a ';' becomes frames. */
static int extend(struct walk *w, struct level *at, struct bytes part)
{
    const uint8_t *semicolon;

    w->name.len = at->end;
    while (part.len > 0 && (semicolon = memchr(part.data, ';', part.len))) {
        size_t len = (size_t)(semicolon - part.data);

        buf_append(&w->name, part.data, len);
        at->end = w->name.len;
        if (at->end > at->begin && step(w, at, unfinished(w, at)))
            return FAILURE;
        at->begin = at->end;
        part = bytes_of(semicolon + 1, part.len - len - 1);
    }
    buf_append_bytes(&w->name, part);
    at->end = w->name.len;
    return 0;
}

static int add_value(struct walk *w, const struct level *at, int64_t worth, uint64_t value)
{
    struct level leaf = *at;
    int64_t v;

    if (value == 0)
        return 0;
    if (leaf.end > leaf.begin && step(w, &leaf, unfinished(w, &leaf)))
        return FAILURE;
    if (text_count_sample(w->r))
        return FAILURE;
    if (value > INT64_MAX || __builtin_mul_overflow((int64_t)value, worth, &v))
        v = INT64_MAX;
    text_add(w->r, stacks_at(w->r->st, leaf.node), &v);
    return text_check_tables(w->r);
}

static int read_node(struct walk *w, struct cursor *c, int64_t worth)
{
    struct level at = {.end = 0};
    uint64_t value;
    struct bytes name;
    int r;

    if (w->n_levels > 0) {
        at = w->level[w->n_levels - 1];
        w->level[w->n_levels - 1].children--;
    }
    if (!varbytes_get(c, &name) || !varint_get(c, &value) || !varint_get(c, &at.children))
        return text_malformed(w->r, "it ends within a node");
    if (w->is_trie)
        r = extend(w, &at, name);
    else
        r = name.len > 0 || w->n_levels > 0 ? step(w, &at, name) : 0;
    if (r || add_value(w, &at, worth, value))
        return FAILURE;
    if (w->n_levels >= LEVELS_MAX)
        return text_limit(w->r, "levels of nodes", LEVELS_MAX, "fixed");
    XGROW(w->level, w->level_cap, w->n_levels + 1);
    w->level[w->n_levels++] = at;
    while (w->n_levels > 0 && w->level[w->n_levels - 1].children == 0)
        w->n_levels--;
    return 0;
}

static int read_nodes(struct walk *w, struct bytes raw)
{
    struct cursor c = cursor_of(raw);
    int64_t worth = text_set_counted_type(w->r);

    do {
        if (read_node(w, &c, worth))
            return FAILURE;
    } while (w->n_levels > 0);
    if (cursor_left(&c) > 0)
        return text_malformed(w->r, "bytes follow its last node");
    return text_emit(w->r);
}

static int read_all(struct text_reader *r, struct bytes raw, bool is_trie)
{
    struct walk w = {.r = r, .is_trie = is_trie};
    int e = read_nodes(&w, raw);

    free(w.level);
    buf_deinit(&w.name);
    return e;
}

int trie_read(struct text_reader *r, struct bytes raw)
{
    return read_all(r, raw, true);
}

int trie_read_tree(struct text_reader *r, struct bytes raw)
{
    return read_all(r, raw, false);
}
