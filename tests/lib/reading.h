/*
 * What a reader emits, as text: for each profile a line of its attributes and types, then its rows,
 * sorted, root first.
 *
 *   service.name=web | samples/count cpu/nanoseconds | cpu/nanoseconds 10 | 1000+50
 *   main;work {thread=a} <trace 1:2 root 3 span 4> 5 50
 *
 * Include before cmocka.h, which defines `fail` as a macro.
 */
#ifndef TESTS_LIB_READING_H
#define TESTS_LIB_READING_H

#include "base/err.h"
#include "formats/reader.h"

#include <stdio.h>
#include <stdlib.h>

struct told {
    struct symbols *symbols;
    struct stacks *stacks;
    struct profile profile;
    struct profile_limits limits;
    struct decode_stats stats;
    struct failure f;
    struct reading rd;
    struct buf text;
    unsigned n_profiles;
};

static inline void told_text(struct told *t, uint32_t string)
{
    buf_append_bytes(&t->text, symbols_text(t->symbols, string));
}

static inline void told_type(struct told *t, struct sample_type type)
{
    told_text(t, type.name);
    buf_append_u8(&t->text, '/');
    told_text(t, type.unit);
    buf_append_u8(&t->text, ' ');
}

static inline void told_header(struct told *t, const struct profile *p,
                               const struct profile_about *about)
{
    for (size_t i = 0; i < about->n_attributes; i++) {
        buf_append_bytes(&t->text, about->attributes[i].key);
        buf_append_u8(&t->text, '=');
        buf_append_bytes(&t->text, about->attributes[i].value);
        buf_append_u8(&t->text, ' ');
    }
    buf_append_str(&t->text, "| ");
    for (uint32_t i = 0; i < p->n_types; i++)
        told_type(t, p->types[i]);
    buf_append_str(&t->text, "| ");
    told_type(t, p->period_type);
    buf_printf(&t->text, "%lld | %lld+%lld\n", (long long)p->period, (long long)p->time_ns,
               (long long)p->duration_ns);
}

static inline void told_labels(struct told *t, const struct profile *p, uint32_t set)
{
    struct label *labels;
    size_t n;

    profile_label_set(p, set, &n);
    labels = calloc(n + 1, sizeof *labels);
    profile_label_set_by_text(p, set, labels);
    for (size_t i = 0; i < n; i++) {
        buf_append_str(&t->text, i ? "," : " {");
        told_text(t, labels[i].key);
        buf_append_u8(&t->text, '=');
        told_text(t, labels[i].str);
        if (!labels[i].str)
            buf_printf(&t->text, "%lld", (long long)labels[i].num);
    }
    buf_append_str(&t->text, n ? "}" : "");
    free(labels);
}

static inline void told_span(struct told *t, const struct span *s)
{
    if (s->trace_hi || s->trace_lo || s->root || s->id)
        buf_printf(&t->text, " <trace %llx:%llx root %llx span %llx>",
                   (unsigned long long)s->trace_hi, (unsigned long long)s->trace_lo,
                   (unsigned long long)s->root, (unsigned long long)s->id);
}

static inline void told_row(struct told *t, const struct profile *p, uint32_t row)
{
    static uint32_t frames[65536];
    size_t n = stacks_frames(t->stacks, p->row_stack[row], frames, 65536);

    while (n-- > 0) {
        const struct frame *frame = symbols_get_frame(t->symbols, frames[n]);

        symbols_frame_name(t->symbols, frames[n], &t->text);
        if (frame->function && frame->line_or_address)
            buf_printf(&t->text, ":%llu", (unsigned long long)frame->line_or_address);
        buf_append_str(&t->text, n ? ";" : "");
    }
    told_labels(t, p, p->row_labels[row]);
    if (p->row_span)
        told_span(t, profile_get_span(p, p->row_span[row]));
    for (uint32_t i = 0; i < p->n_types; i++)
        buf_printf(&t->text, " %lld", (long long)p->values[i][row]);
    buf_append_u8(&t->text, '\n');
}

static inline int told_line_cmp(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorts the lines from `begin` on. A row whose texts hold line ends is several. */
static inline void told_sort(struct told *t, size_t begin)
{
    char *copy = strdup(buf_cstr(&t->text) + begin), *save = NULL, *line, **lines;
    size_t i = 0, n = 0;

    for (const char *c = copy; *c; c++)
        n += *c == '\n';
    lines = calloc(n + 1, sizeof *lines);

    for (line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        lines[i++] = line;
    qsort(lines, i, sizeof *lines, told_line_cmp);
    t->text.len = begin;
    for (size_t k = 0; k < i; k++)
        buf_printf(&t->text, "%s\n", lines[k]);
    free(lines);
    free(copy);
}

static inline int told_emit(void *ctx, struct profile *p, const struct profile_about *about,
                            struct failure *f)
{
    struct told *t = ctx;
    size_t begin;

    (void)f;
    t->n_profiles++;
    told_header(t, p, about);
    begin = t->text.len;
    for (uint32_t i = 0; i < p->n_rows; i++)
        told_row(t, p, i);
    told_sort(t, begin);
    return 0;
}

static inline void told_init(struct told *t)
{
    *t = (struct told){.symbols = symbols_new(), .stacks = stacks_new()};
    profile_init(&t->profile, t->symbols, t->stacks);
    t->limits = profile_limits_default;
    t->rd = (struct reading){.limits = &t->limits,
                             .with_spans = true,
                             .into = &t->profile,
                             .stats = &t->stats,
                             .emit = told_emit,
                             .ctx = t,
                             .f = &t->f};
}

/* Empties it for the next reading, as a codec thread does. */
static inline void told_reset(struct told *t)
{
    profile_reset(&t->profile);
    stacks_reset(t->stacks);
    symbols_reset(t->symbols);
    buf_reset(&t->text);
    t->stats = (struct decode_stats){0};
    t->f = (struct failure){0};
    t->n_profiles = 0;
}

static inline void told_deinit(struct told *t)
{
    profile_deinit(&t->profile);
    stacks_free(t->stacks);
    symbols_free(t->symbols);
    buf_deinit(&t->text);
}

#endif
