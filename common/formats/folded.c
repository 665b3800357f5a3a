/*
 * How it works. Preorder means that the path to a node is the path to the one before it, cut at the
 * node's depth, and one name more: one buffer with the ends of its prefixes is enough.
 */
#include "formats/folded.h"

#include "base/xalloc.h"

#include <stdlib.h>

struct path {
    struct buf names;
    size_t *end; /* [depth] length of names up to that frame */
    size_t end_cap;
};

static void append_name(struct buf *out, const struct symbols *sym, uint32_t frame)
{
    size_t begin = out->len;

    if (frame == TREE_OTHER)
        buf_append_str(out, "(other)");
    else
        symbols_frame_name(sym, frame, out);
    for (size_t i = begin; i < out->len; i++)
        if (out->data[i] == ';' || out->data[i] < 0x20 || out->data[i] == 0x7f)
            out->data[i] = '_';
}

static void path_step(struct path *p, const struct symbols *sym, uint32_t depth, uint32_t frame)
{
    p->names.len = p->end[depth - 1];
    if (depth > 1)
        buf_append_u8(&p->names, ';');
    append_name(&p->names, sym, frame);
    XGROW(p->end, p->end_cap, (size_t)depth + 1);
    p->end[depth] = p->names.len;
}

static void append_line(struct buf *out, struct bytes names, const struct tree *t, uint32_t node)
{
    int64_t any = 0;

    for (uint32_t c = 0; c < t->n_columns; c++)
        any |= t->self[c][node];
    if (any == 0)
        return;
    buf_append_bytes(out, node ? names : BYTES_LIT("(no stack)"));
    for (uint32_t c = 0; c < t->n_columns; c++)
        buf_printf(out, " %lld", (long long)t->self[c][node]);
    buf_append_u8(out, '\n');
}

void folded_write(const struct tree *t, const struct symbols *sym, struct buf *out)
{
    struct path p = {0};

    XGROW(p.end, p.end_cap, 1);
    p.end[0] = 0;
    for (uint32_t i = 0; i < t->n; i++) {
        if (i > 0)
            path_step(&p, sym, t->depth[i], t->frame[i]);
        append_line(out, buf_bytes(&p.names), t, i);
    }
    buf_deinit(&p.names);
    free(p.end);
}
