/*
 * How it works. The metadata event has a list of strings and a tree of elements whose names and
 * attributes are indexes into it: root > metadata > class > field > annotation. The tree is walked
 * by recursion to a small depth; every element consumes bytes, so its counts need no caps.
 */
#include "formats/jfr/metadata.h"

#include "base/xalloc.h"

#include <errno.h>
#include <stdlib.h>

enum {
    TREE_DEPTH_MAX = 16,
    ARENA_CHUNK_BYTES = 16 << 10,
};

void jfr_metadata_init(struct jfr_metadata *m)
{
    *m = (struct jfr_metadata){0};
    arena_init(&m->arena, ARENA_CHUNK_BYTES);
}

void jfr_metadata_deinit(struct jfr_metadata *m)
{
    free(m->strings);
    free(m->classes);
    free(m->fields);
    free(m->ops);
    jfr_ids_deinit(&m->ids);
    arena_deinit(&m->arena);
}

size_t jfr_metadata_bytes(const struct jfr_metadata *m)
{
    return m->string_cap * sizeof *m->strings + m->class_cap * sizeof *m->classes +
           m->field_cap * sizeof *m->fields + m->op_cap * sizeof *m->ops + jfr_ids_bytes(&m->ids) +
           arena_reserved(&m->arena);
}

/* --- the tree ------------------------------------------------------------------------------------
 */

/* The strings that the reader asks for, as indexes; JFR_NONE where the chunk has no such string. */
enum word {
    WORD_CLASS,
    WORD_FIELD,
    WORD_ANNOTATION,
    WORD_NAME,
    WORD_ID,
    WORD_POOLED,
    WORD_DIMENSION,
    WORD_VALUE,
    N_WORDS,
};

static const char *const words[N_WORDS] = {
    "class", "field", "annotation", "name", "id", "constantPool", "dimension", "value",
};

struct tree {
    struct jfr_metadata *m;
    struct jfr_cursor c;
    uint32_t word[N_WORDS];
    uint32_t max;
};

struct element {
    uint32_t name;
    uint32_t value[N_WORDS]; /* its attributes' values, as string indexes */
};

static int read_strings(struct tree *t)
{
    struct jfr_metadata *m = t->m;
    struct buf scratch = {0};
    uint64_t n;
    int e = 0;

    if (!jfr_int(&t->c, &n) || n > jfr_left(&t->c))
        return -EBADMSG;
    if (n > t->max)
        return -E2BIG;
    XGROW(m->strings, m->string_cap, n);
    for (m->n_strings = 0; e == 0 && m->n_strings < n;) {
        struct jfr_text text;

        if (!jfr_read_text(&t->c, &text)) {
            e = -EBADMSG;
            break;
        }
        struct bytes s = jfr_text_utf8(&text, &scratch);
        m->strings[m->n_strings++] = s.data == scratch.data ? arena_copy(&m->arena, s) : s;
    }
    buf_deinit(&scratch);
    return e;
}

static void find_words(struct tree *t)
{
    memset(t->word, 0xff, sizeof t->word);
    for (uint32_t i = 0; i < t->m->n_strings; i++)
        for (unsigned w = 0; w < N_WORDS; w++)
            if (t->word[w] == JFR_NONE && bytes_equal(t->m->strings[i], bytes_str(words[w])))
                t->word[w] = i;
}

static struct bytes string_at(const struct jfr_metadata *m, uint32_t i)
{
    return i < m->n_strings ? m->strings[i] : BYTES_LIT("");
}

static uint64_t decimal(struct bytes s)
{
    uint64_t v = 0;

    for (size_t i = 0; i < s.len && s.data[i] >= '0' && s.data[i] <= '9'; i++)
        v = v * 10 + (uint64_t)(s.data[i] - '0');
    return v;
}

static enum jfr_kind kind_of(struct bytes name)
{
    static const struct {
        const char *name;
        enum jfr_kind kind;
    } kinds[] = {
        {"boolean", JFR_INT8}, {"byte", JFR_INT8},     {"short", JFR_INT16},
        {"char", JFR_INT16},   {"int", JFR_INT32},     {"long", JFR_INT64},
        {"float", JFR_FLOAT},  {"double", JFR_DOUBLE}, {"java.lang.String", JFR_STRING},
    };

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (bytes_equal(name, bytes_str(kinds[i].name)))
            return kinds[i].kind;
    return JFR_STRUCT;
}

static enum jfr_unit unit_of(struct bytes word)
{
    static const struct {
        const char *word;
        enum jfr_unit unit;
    } units[] = {
        {"TICKS", JFR_TICKS},     {"NANOSECONDS", JFR_NS}, {"MICROSECONDS", JFR_US},
        {"MILLISECONDS", JFR_MS}, {"SECONDS", JFR_S},
    };

    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (bytes_equal(word, bytes_str(units[i].word)))
            return units[i].unit;
    return JFR_NO_UNIT;
}

static int add_class(struct tree *t, const struct element *e)
{
    struct jfr_metadata *m = t->m;
    struct bytes name = string_at(m, e->value[WORD_NAME]);

    if (m->n_classes >= t->max)
        return -E2BIG;
    XGROW(m->classes, m->class_cap, (size_t)m->n_classes + 1);
    m->classes[m->n_classes++] = (struct jfr_class){
        .id = decimal(string_at(m, e->value[WORD_ID])),
        .name = name,
        .kind = kind_of(name),
        .first_field = m->n_fields,
        .pool = JFR_NONE,
    };
    return 0;
}

static int add_field(struct tree *t, const struct element *e)
{
    struct jfr_metadata *m = t->m;

    if (m->n_fields >= t->max)
        return -E2BIG;
    XGROW(m->fields, m->field_cap, (size_t)m->n_fields + 1);
    m->fields[m->n_fields++] = (struct jfr_field){
        .name = string_at(m, e->value[WORD_NAME]),
        .class_id = decimal(string_at(m, e->value[WORD_CLASS])),
        .pooled = bytes_equal(string_at(m, e->value[WORD_POOLED]), BYTES_LIT("true")),
        .array = decimal(string_at(m, e->value[WORD_DIMENSION])) > 0,
    };
    m->classes[m->n_classes - 1].n_fields++;
    return 0;
}

static int read_element(struct tree *t, struct element *e, uint64_t *ret_children)
{
    uint64_t name, n, key, value;

    memset(e->value, 0xff, sizeof e->value);
    if (!jfr_int(&t->c, &name) || !jfr_int(&t->c, &n))
        return -EBADMSG;
    e->name = name < JFR_NONE ? (uint32_t)name : JFR_NONE;
    for (uint64_t i = 0; i < n; i++) {
        if (!jfr_int(&t->c, &key) || !jfr_int(&t->c, &value) || value >= t->m->n_strings)
            return -EBADMSG;
        for (unsigned w = 0; w < N_WORDS; w++)
            if (key == t->word[w])
                e->value[w] = (uint32_t)value;
    }
    return jfr_int(&t->c, ret_children) ? 0 : -EBADMSG;
}

/* What its place in the tree makes of an element. Annotations of the chunk's own are known by the
 * words they hold: no other annotation of a number has one of these for its value. */
static int take_element(struct tree *t, const struct element *e, bool in_class, bool in_field)
{
    enum jfr_unit unit;

    if (e->name == t->word[WORD_CLASS] && !in_class)
        return add_class(t, e);
    if (e->name == t->word[WORD_FIELD] && in_class && !in_field)
        return add_field(t, e);
    if (e->name == t->word[WORD_ANNOTATION] && in_field) {
        unit = unit_of(string_at(t->m, e->value[WORD_VALUE]));
        if (unit != JFR_NO_UNIT)
            t->m->fields[t->m->n_fields - 1].unit = unit;
    }
    return 0;
}

static int read_tree(struct tree *t, unsigned depth, bool in_class, bool in_field)
{
    struct element e;
    uint64_t children;
    int r;

    if (depth == TREE_DEPTH_MAX)
        return -EBADMSG;
    if ((r = read_element(t, &e, &children)) || (r = take_element(t, &e, in_class, in_field)))
        return r;
    in_field |= in_class && e.name == t->word[WORD_FIELD];
    in_class |= e.name == t->word[WORD_CLASS];
    while (children-- > 0)
        if ((r = read_tree(t, depth + 1, in_class, in_field)))
            return r;
    return 0;
}

int jfr_metadata_read(struct jfr_metadata *m, struct bytes body, bool compressed,
                      uint32_t strings_max)
{
    struct tree t = {.m = m, .c = jfr_cursor_of(body, compressed), .max = strings_max};
    uint64_t ignored;
    int r;

    m->n_strings = m->n_classes = m->n_fields = m->n_ops = 0;
    m->compressed = compressed;
    arena_reset(&m->arena);
    jfr_ids_reset(&m->ids);
    for (unsigned i = 0; i < 3; i++) /* start, duration, id */
        if (!jfr_long(&t.c, &ignored))
            return -EBADMSG;
    if ((r = read_strings(&t)))
        return r;
    find_words(&t);
    if ((r = read_tree(&t, 0, false, false)))
        return r;
    for (uint32_t i = 0; i < m->n_classes; i++)
        jfr_ids_add(&m->ids, m->classes[i].id);
    jfr_ids_build(&m->ids);
    return 0;
}

uint32_t jfr_class_by_id(const struct jfr_metadata *m, uint64_t id)
{
    return jfr_ids_find(&m->ids, id);
}

uint32_t jfr_class_by_name(const struct jfr_metadata *m, struct bytes name)
{
    for (uint32_t i = 0; i < m->n_classes; i++)
        if (bytes_equal(m->classes[i].name, name))
            return i;
    return JFR_NONE;
}

struct jfr_field *jfr_fields(const struct jfr_metadata *m, uint32_t class, uint32_t *ret_n)
{
    *ret_n = m->classes[class].n_fields;
    return *ret_n ? m->fields + m->classes[class].first_field : NULL;
}

const struct jfr_field *jfr_field_of(const struct jfr_metadata *m, uint32_t class, const char *name)
{
    uint32_t n;
    const struct jfr_field *f = jfr_fields(m, class, &n);

    for (uint32_t i = 0; i < n; i++)
        if (bytes_equal(f[i].name, bytes_str(name)))
            return &f[i];
    return NULL;
}
