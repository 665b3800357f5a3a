/*
 * How it works. Reading looks at the few fields of the top level and at those strings they name.
 * Writing uses that protobuf messages add up when they are put behind one another: new strings go
 * to the end of the string table, and their numbers are known by counting those that are there.
 */
#include "cli/pprof_header.h"

#include "base/xalloc.h"
#include "formats/protobuf.h"

#include <stdlib.h>

enum { STRING = 6, DROP_FRAMES = 7, KEEP_FRAMES = 8, COMMENT = 13, DOC_URL = 15 };
enum { COMMENTS_MAX = 1000 };

/* The numbers of strings, 0: none. */
struct numbers {
    uint64_t drop, keep, doc;
    uint64_t comments[COMMENTS_MAX];
    size_t n_comments;
};

void pprof_header_deinit(struct pprof_header *h)
{
    for (size_t i = 0; i < h->n_comments; i++)
        buf_deinit(&h->comments[i]);
    free(h->comments);
    buf_deinit(&h->doc_url);
    buf_deinit(&h->drop_frames);
    buf_deinit(&h->keep_frames);
    *h = (struct pprof_header){.seen = false};
}

static void add_comment_number(struct numbers *n, uint64_t string)
{
    if (n->n_comments < COMMENTS_MAX)
        n->comments[n->n_comments++] = string;
}

static void read_packed(struct numbers *n, struct bytes packed)
{
    struct cursor c = cursor_of(packed);
    uint64_t v;

    while (cursor_left(&c) > 0 && varint_get(&c, &v))
        add_comment_number(n, v);
}

static void read_number(struct numbers *n, const struct pb_field *f)
{
    if (f->number == DROP_FRAMES)
        n->drop = f->value;
    else if (f->number == KEEP_FRAMES)
        n->keep = f->value;
    else if (f->number == DOC_URL)
        n->doc = f->value;
    else if (f->number == COMMENT && f->type == PB_LEN)
        read_packed(n, f->data);
    else if (f->number == COMMENT)
        add_comment_number(n, f->value);
}

static void set_once(struct buf *b, bool wanted, struct bytes text)
{
    if (wanted && b->len == 0)
        buf_append_bytes(b, text);
}

static void add_comment(struct pprof_header *h, struct bytes text)
{
    for (size_t i = 0; i < h->n_comments; i++)
        if (bytes_equal(buf_bytes(&h->comments[i]), text))
            return;
    if (text.len == 0 || h->n_comments >= COMMENTS_MAX)
        return;
    XGROW(h->comments, h->cap_comments, h->n_comments + 1);
    h->comments[h->n_comments] = (struct buf){0};
    buf_append_bytes(&h->comments[h->n_comments++], text);
}

static void take_string(struct pprof_header *h, const struct numbers *n, uint64_t i,
                        struct bytes text)
{
    set_once(&h->doc_url, n->doc == i, text);
    set_once(&h->drop_frames, n->drop == i && !h->seen, text);
    set_once(&h->keep_frames, n->keep == i && !h->seen, text);
    for (size_t c = 0; c < n->n_comments; c++)
        if (n->comments[c] == i)
            add_comment(h, text);
}

void pprof_header_read(struct pprof_header *h, struct bytes raw)
{
    struct numbers n = {0};
    struct cursor c = cursor_of(raw);
    struct pb_field f;
    uint64_t i = 0;

    while (pb_next(&c, &f) == PB_FIELD)
        read_number(&n, &f);
    if (n.drop || n.keep || n.doc || n.n_comments) {
        c = cursor_of(raw);
        while (pb_next(&c, &f) == PB_FIELD)
            if (f.number == STRING && i++ > 0)
                take_string(h, &n, i - 1, f.data);
    }
    h->seen = true;
}

static uint64_t count_strings(struct bytes raw)
{
    struct cursor c = cursor_of(raw);
    struct pb_field f;
    uint64_t n = 0;

    while (pb_next(&c, &f) == PB_FIELD)
        n += f.number == STRING;
    return n;
}

static void put(struct buf *out, unsigned field, const struct buf *text, uint64_t *n_strings)
{
    if (text->len == 0)
        return;
    buf_varint(out, STRING << 3 | PB_LEN);
    buf_varbytes(out, buf_bytes(text));
    buf_varint(out, field << 3 | PB_VARINT);
    buf_varint(out, (*n_strings)++);
}

void pprof_header_write(const struct pprof_header *h, struct buf *profile)
{
    uint64_t n_strings = count_strings(buf_bytes(profile));

    put(profile, DROP_FRAMES, &h->drop_frames, &n_strings);
    put(profile, KEEP_FRAMES, &h->keep_frames, &n_strings);
    put(profile, DOC_URL, &h->doc_url, &n_strings);
    for (size_t i = 0; i < h->n_comments; i++)
        put(profile, COMMENT, &h->comments[i], &n_strings);
}
