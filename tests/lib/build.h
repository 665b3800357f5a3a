/*
 * Profiles and trees from text, for tests: "main;work 5\nmain;idle -3" is two stacks, root first. A
 * name "work:12" has line 12; "libc.so+0x10" is an unsymbolised frame of that module. A difference
 * has two numbers a line. And back: the text of a tree, its lines sorted.
 *
 * Include before cmocka.h, which defines `fail` as a macro.
 */
#ifndef TESTS_LIB_BUILD_H
#define TESTS_LIB_BUILD_H

#include "base/err.h"
#include "profile/tree.h"

#include <stdio.h>
#include <stdlib.h>

static inline uint32_t build_frame(struct symbols *sym, const char *name)
{
    const char *plus = strstr(name, "+0x"), *colon = strrchr(name, ':');
    struct frame frame = {0};

    if (plus) {
        struct mapping m = {.file = symbols_string(sym, bytes_of(name, (size_t)(plus - name)))};

        frame.mapping = symbols_mapping(sym, &m);
        frame.line_or_address = strtoull(plus + 1, NULL, 16);
    } else {
        size_t len = colon ? (size_t)(colon - name) : strlen(name);
        struct function f = {.name = symbols_string(sym, bytes_of(name, len))};

        frame.function = symbols_function(sym, &f);
        frame.line_or_address = colon ? strtoull(colon + 1, NULL, 10) : 0;
    }
    return symbols_frame(sym, &frame);
}

/* "main;work" → its stack id. An empty text is the stack without frames. */
static inline uint32_t build_stack(struct symbols *sym, struct stacks *st, const char *text)
{
    char copy[4096], *save, *name;
    uint32_t node = 0;

    snprintf(copy, sizeof copy, "%s", text);
    for (name = strtok_r(copy, ";", &save); name; name = strtok_r(NULL, ";", &save))
        node = stacks_child(st, node, build_frame(sym, name));
    return stacks_at(st, node);
}

/* Column `column` of the lines' numbers (0: the first) as a one-column tree. */
static inline void build_tree(struct tree *out, struct symbols *sym, const char *text)
{
    struct stacks *st = stacks_new();
    uint32_t *stack = calloc(strlen(text) + 1, sizeof *stack);
    int64_t *value = calloc(strlen(text) + 1, sizeof *value);
    char *copy = strdup(text), *save, *line;
    size_t n = 0;

    for (line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *space = strrchr(line, ' ');

        CHECK(space != NULL);
        *space = '\0';
        stack[n] = build_stack(sym, st, line);
        value[n++] = strtoll(space + 1, NULL, 10);
    }
    tree_of_stacks(out, st, sym, stack, value, n);
    free(copy);
    free(value);
    free(stack);
    stacks_free(st);
}

static inline int build_line_cmp(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The tree as sorted lines with a "\n" between them; the caller frees. */
static inline char *build_text(const struct tree *t, const struct symbols *sym)
{
    uint32_t path[4096];
    char **lines = calloc(t->n + 1, sizeof *lines), *text;
    struct buf out = {0};
    size_t n = 0;

    for (uint32_t i = 0; i < t->n; i++) {
        struct buf line = {0};
        bool any = false;

        CHECK(t->depth[i] < 4096);
        path[t->depth[i]] = t->frame[i];
        for (uint32_t d = 1; d <= t->depth[i]; d++) {
            if (d > 1)
                buf_append_u8(&line, ';');
            if (path[d] == TREE_OTHER)
                buf_append_str(&line, "(other)");
            else
                symbols_frame_name(sym, path[d], &line);
            if (path[d] != TREE_OTHER && symbols_get_frame(sym, path[d])->function &&
                symbols_get_frame(sym, path[d])->line_or_address)
                buf_printf(&line, ":%llu",
                           (unsigned long long)symbols_get_frame(sym, path[d])->line_or_address);
        }
        for (uint32_t c = 0; c < t->n_columns; c++) {
            any |= t->self[c][i] != 0;
            buf_printf(&line, " %lld", (long long)t->self[c][i]);
        }
        if (any)
            lines[n++] = strdup(buf_cstr(&line));
        buf_deinit(&line);
    }
    qsort(lines, n, sizeof *lines, build_line_cmp);
    for (size_t i = 0; i < n; i++) {
        buf_printf(&out, "%s%s", i ? "\n" : "", lines[i]);
        free(lines[i]);
    }
    free(lines);
    text = strdup(buf_cstr(&out));
    buf_deinit(&out);
    return text;
}

#define ASSERT_FOLDED(tree, sym, expected)                                                         \
    do {                                                                                           \
        char *text_ = build_text((tree), (sym));                                                   \
        assert_string_equal(text_, (expected));                                                    \
        free(text_);                                                                               \
    } while (0)

/* Sorted preorder without weightless leaves: what every tree must be. */
static inline void build_check_canonical(const struct tree *t, const struct symbols *sym)
{
    uint32_t *last = calloc(t->n + 1, sizeof *last); /* [depth] frame of the last node there */

    CHECK(t->n >= 1 && t->depth[0] == 0 && t->frame[0] == 0);
    for (uint32_t i = 1; i < t->n; i++) {
        uint32_t d = t->depth[i];
        bool leaf = i + 1 == t->n || t->depth[i + 1] <= d, any = false;

        CHECK(d >= 1 && d <= t->depth[i - 1] + 1);
        if (d <= t->depth[i - 1])
            CHECK(symbols_frame_cmp(sym, last[d], t->frame[i]) < 0);
        last[d] = t->frame[i];
        for (uint32_t c = 0; c < t->n_columns; c++)
            any |= t->self[c][i] != 0;
        CHECK(!leaf || any);
    }
    free(last);
}

#endif
