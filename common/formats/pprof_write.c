/*
 * Writing pprof.
 *
 * How it works. Samples come first. A frame that they mention gets a location when it is mentioned
 * first, as do a location's function or mapping, and every string its place in the string table;
 * what was mentioned is kept in that order and written behind the samples. So nothing is written
 * that is not referred to.
 *
 * The reader makes one frame of one line; so a frame becomes a location with one line, or with an
 * address in a mapping that begins at 0. Locations that were kept whole are written as they were. A
 * tree is written by way of a profile.
 */
#include "formats/pprof.h"

#include "base/varint.h"
#include "base/xalloc.h"
#include "profile/locations.h"
#include "profile/numbering.h"
#include "profile/translation.h"
#include "profile/tree.h"

#include <stdlib.h>

struct writer {
    const struct profile *p;
    const struct symbols *sym;
    struct buf *out;
    struct buf message, part; /* the message being written, and one inside it */
    struct label *labels;     /* of the sample being written */
    size_t labels_cap;
    struct numbering strings, functions, mappings, locations;
};

static void put_number(struct buf *b, unsigned field, uint64_t v)
{
    if (v == 0)
        return;
    buf_varint(b, field << 3);
    buf_varint(b, v);
}

static void put_string(struct writer *w, struct buf *b, unsigned field, uint32_t string)
{
    put_number(b, field, numbering_of(&w->strings, string));
}

/* Appends a finished message to b as a field, and empties it for the next. */
static void put_message(struct buf *b, unsigned field, struct buf *message)
{
    buf_varint(b, field << 3 | 2);
    buf_varbytes(b, buf_bytes(message));
    buf_reset(message);
}

static void write_type(struct writer *w, unsigned field, struct sample_type type)
{
    put_string(w, &w->message, 1, type.name);
    put_string(w, &w->message, 2, type.unit);
    put_message(w->out, field, &w->message);
}

/* By text: so what is written does not depend on the order in which they were read. */
static void write_labels(struct writer *w, uint32_t set)
{
    size_t n;

    if (set == 0)
        return;
    profile_label_set(w->p, set, &n);
    XGROW(w->labels, w->labels_cap, n);
    profile_label_set_by_text(w->p, set, w->labels);
    for (size_t i = 0; i < n; i++) {
        const struct label *l = &w->labels[i];

        put_string(w, &w->part, 1, l->key);
        put_string(w, &w->part, 2, l->str);
        put_number(&w->part, 3, (uint64_t)l->num);
        put_string(w, &w->part, 4, l->unit);
        put_message(&w->message, 3, &w->part);
    }
}

/* What adds up to nothing is no sample: a difference has such rows. */
static bool is_zero(const struct profile *p, uint32_t row)
{
    for (uint32_t t = 0; t < p->n_types; t++)
        if (p->values[t][row] != 0)
            return false;
    return true;
}

static void write_sample(struct writer *w, uint32_t row)
{
    const struct profile *p = w->p;
    const struct stack_node *nodes = stacks_nodes(p->stacks);

    if (is_zero(p, row))
        return;

    for (uint32_t at = stacks_leaf(p->stacks, p->row_stack[row]); at; at = nodes[at].parent)
        buf_varint(&w->part, numbering_of(&w->locations, nodes[at].frame));
    put_message(&w->message, 1, &w->part);
    for (uint32_t t = 0; t < p->n_types; t++)
        buf_varint(&w->part, (uint64_t)p->values[t][row]);
    put_message(&w->message, 2, &w->part);
    write_labels(w, p->row_labels[row]);
    put_message(w->out, 2, &w->message);
}

static void write_line(struct writer *w, uint32_t function, uint64_t line, uint64_t column)
{
    put_number(&w->part, 1, numbering_of(&w->functions, function));
    put_number(&w->part, 2, line);
    put_number(&w->part, 3, column);
    put_message(&w->message, 4, &w->part);
}

static void write_locations(struct writer *w)
{
    for (uint32_t i = 0; i < w->locations.n; i++) {
        const struct frame *f = symbols_get_frame(w->sym, w->locations.order[i]);

        put_number(&w->message, 1, i + 1);
        if (f->function) {
            write_line(w, f->function, f->line_or_address, 0);
        } else {
            put_number(&w->message, 2, numbering_of(&w->mappings, f->mapping));
            put_number(&w->message, 3, f->line_or_address);
        }
        put_message(w->out, 4, &w->message);
    }
}

static void write_mappings(struct writer *w)
{
    for (uint32_t i = 0; i < w->mappings.n; i++) {
        const struct mapping *m = symbols_get_mapping(w->sym, w->mappings.order[i]);

        put_number(&w->message, 1, i + 1);
        put_string(w, &w->message, 5, m->file);
        put_string(w, &w->message, 6, m->build_id);
        put_message(w->out, 3, &w->message);
    }
}

static void write_whole_locations(struct writer *w)
{
    const struct locations *all = w->p->locations;

    for (uint32_t i = 0; i < w->locations.n; i++) {
        const struct location_line *lines;
        const struct location *l = locations_get(all, w->locations.order[i], &lines);

        put_number(&w->message, 1, i + 1);
        put_number(&w->message, 2, numbering_of(&w->mappings, l->mapping));
        put_number(&w->message, 3, locations_get_mapping(all, l->mapping)->start + l->address);
        for (uint32_t k = 0; k < l->n_lines; k++)
            write_line(w, lines[k].function, (uint64_t)lines[k].line, (uint64_t)lines[k].column);
        put_number(&w->message, 5, l->folded);
        put_message(w->out, 4, &w->message);
    }
}

static void write_whole_mappings(struct writer *w)
{
    for (uint32_t i = 0; i < w->mappings.n; i++) {
        const struct location_mapping *m =
            locations_get_mapping(w->p->locations, w->mappings.order[i]);

        put_number(&w->message, 1, i + 1);
        put_number(&w->message, 2, m->start);
        put_number(&w->message, 3, m->limit);
        put_number(&w->message, 4, m->offset);
        put_string(w, &w->message, 5, m->file);
        put_string(w, &w->message, 6, m->build_id);
        for (unsigned has = 0; has < 4; has++)
            put_number(&w->message, 7 + has, m->has >> has & 1);
        put_message(w->out, 3, &w->message);
    }
}

static void write_functions(struct writer *w)
{
    for (uint32_t i = 0; i < w->functions.n; i++) {
        const struct function *f = symbols_get_function(w->sym, w->functions.order[i]);

        put_number(&w->message, 1, i + 1);
        put_string(w, &w->message, 2, f->name);
        put_string(w, &w->message, 3, f->system_name ? f->system_name : f->name);
        put_string(w, &w->message, 4, f->file);
        put_number(&w->message, 5, (uint64_t)f->start_line);
        put_message(w->out, 5, &w->message);
    }
}

static void write_strings(struct writer *w)
{
    put_message(w->out, 6, &w->message); /* the first is "" */
    for (uint32_t i = 0; i < w->strings.n; i++) {
        buf_append_bytes(&w->message, symbols_text(w->sym, w->strings.order[i]));
        put_message(w->out, 6, &w->message);
    }
}

static void writer_init(struct writer *w, const struct profile *p, struct buf *out)
{
    const struct locations *whole = p->locations;

    *w = (struct writer){.p = p, .sym = p->symbols, .out = out};
    numbering_init(&w->strings, symbols_n_strings(w->sym));
    numbering_init(&w->functions, symbols_n_functions(w->sym));
    numbering_init(&w->mappings, whole ? locations_n_mappings(whole) : symbols_n_mappings(w->sym));
    numbering_init(&w->locations, whole ? locations_count(whole) : symbols_n_frames(w->sym));
}

static void writer_deinit(struct writer *w)
{
    buf_deinit(&w->message);
    buf_deinit(&w->part);
    free(w->labels);
    numbering_deinit(&w->strings);
    numbering_deinit(&w->functions);
    numbering_deinit(&w->mappings);
    numbering_deinit(&w->locations);
}

static void write_samples(struct writer *w)
{
    for (uint32_t row = 0; row < w->p->n_rows; row++)
        write_sample(w, row);
}

static void write_tables(struct writer *w)
{
    if (w->p->locations && locations_n_mappings(w->p->locations) > 1)
        numbering_of(&w->mappings, 1); /* by custom the first is the program itself */
    if (w->p->locations) {
        write_whole_locations(w);
        write_whole_mappings(w);
    } else {
        write_locations(w);
        write_mappings(w);
    }
    write_functions(w);
}

void pprof_write(const struct profile *p, struct buf *out)
{
    struct writer w;

    writer_init(&w, p, out);
    for (uint32_t t = 0; t < p->n_types; t++)
        write_type(&w, 1, p->types[t]);
    write_samples(&w);
    write_tables(&w);
    put_number(out, 9, (uint64_t)p->time_ns);
    put_number(out, 10, (uint64_t)p->duration_ns);
    if (p->period_type.name || p->period_type.unit)
        write_type(&w, 11, p->period_type);
    put_number(out, 12, (uint64_t)p->period);
    put_string(&w, out, 14, p->default_type);
    write_strings(&w);
    writer_deinit(&w);
}

/* --- a tree as a profile ------------------------------------------------------------------------
 */

static uint32_t other_frame(struct symbols *sym)
{
    struct function f = {.name = symbols_string(sym, BYTES_LIT("(other)"))};

    return symbols_frame(sym, &(struct frame){.function = symbols_function(sym, &f)});
}

static int64_t node_value(const struct tree *t, uint32_t node, uint64_t *saturated)
{
    int64_t r;

    if (t->n_columns == 1)
        return t->self[0][node];
    if (!__builtin_sub_overflow(t->self[1][node], t->self[0][node], &r))
        return r;
    ++*saturated;
    return t->self[0][node] < 0 ? INT64_MAX : INT64_MIN;
}

static void add_nodes(struct profile *p, const struct tree *t, struct translation *x)
{
    uint32_t *path = NULL; /* [depth] stack node */
    uint32_t other = other_frame(p->symbols);
    size_t cap = 0;

    XGROW(path, cap, 1);
    path[0] = 0;
    for (uint32_t i = 0; i < t->n; i++) {
        uint32_t depth = t->depth[i];
        int64_t value = node_value(t, i, &p->saturated);

        XGROW(path, cap, (size_t)depth + 1);
        if (depth > 0)
            path[depth] =
                stacks_child(p->stacks, path[depth - 1],
                             t->frame[i] == TREE_OTHER ? other : translation_frame(x, t->frame[i]));
        if (value != 0)
            profile_add(p, stacks_at(p->stacks, path[depth]), 0, &value);
    }
    free(path);
}

void pprof_write_tree(const struct tree *t, const struct symbols *sym, struct bytes type,
                      struct bytes unit, int64_t time_ns, int64_t duration_ns, struct buf *out)
{
    struct symbols *symbols = symbols_new();
    struct stacks *stacks = stacks_new();
    struct sample_type types[1] = {{symbols_string(symbols, type), symbols_string(symbols, unit)}};
    struct translation x;
    struct profile p;

    translation_init(&x, symbols, sym);
    profile_init(&p, symbols, stacks);
    profile_set_types(&p, types, 1);
    p.time_ns = time_ns;
    p.duration_ns = duration_ns;
    add_nodes(&p, t, &x);
    pprof_write(&p, out);
    profile_deinit(&p);
    translation_deinit(&x);
    stacks_free(stacks);
    symbols_free(symbols);
}
