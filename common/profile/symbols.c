/*
 * How it works. Four kinds of entry, each a growing array (the id is the index) and a table that
 * finds an entry's id by its content. A string's bytes stand in an arena, so views stay valid while
 * the arrays move. A table only proposes ids; content decides.
 *
 * Beside each entry stands its content hash: of a string XXH3-64 of its bytes, of the others
 * XXH3-64 of their numbers and of the content hashes of what they refer to. It is the same in every
 * process, so it can be stored and order siblings in trees; and it is unkeyed, so it must not place
 * anything in a table: an attacker could aim. The tables use keyed hashes.
 *
 * Entry 0 of each kind is "none" and stands in no table, so that a function with no name or a frame
 * at address 0 gets an id of its own and is not taken for the root. Its content hash is 0, also
 * that of the empty string.
 */
#include "profile/symbols.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/xalloc.h"
#include "profile/table.h"

#include <stdlib.h>

enum { TEXT_CHUNK_BYTES = 64 * 1024 };
enum { BATCH = 32 }; /* as many look-ups wait for memory at once */

enum kind { STRINGS, FUNCTIONS, MAPPINGS, FRAMES, KINDS };

/* One kind's ids: how many there are, their content hashes, and the table that finds them. */
struct index {
    struct table table;
    uint64_t *hash;
    uint32_t n;
    size_t hash_cap, entry_cap;
};

struct symbols {
    const uint64_t *secret;
    struct arena text;
    struct index of[KINDS];
    struct bytes *string;
    uint32_t *last_of_name; /* [string] the function of this name asked for last, or 0 */
    size_t last_of_name_cap;
    struct function *function;
    struct mapping *mapping;
    struct frame *frame;
    struct ranks ranks;
    struct order texts;
};

/* Appends an entry and its content hash, and enters it in the table. XGROW is a call, so it is made
 * only where there is no room. */
#define APPEND(s_, kind_, array_, entry_, content_, place_)                                        \
    ({                                                                                             \
        struct index *ix_ = &(s_)->of[kind_];                                                      \
        CHECK(ix_->n < UINT32_MAX - 1);                                                            \
        if (ix_->n == ix_->entry_cap)                                                              \
            XGROW((s_)->array_, ix_->entry_cap, (size_t)ix_->n + 1);                               \
        if (ix_->n == ix_->hash_cap)                                                               \
            XGROW(ix_->hash, ix_->hash_cap, (size_t)ix_->n + 1);                                   \
        (s_)->array_[ix_->n] = (entry_);                                                           \
        ix_->hash[ix_->n] = (content_);                                                            \
        table_insert(&ix_->table, (place_), ix_->n);                                               \
        ix_->n++;                                                                                  \
    })

static void index_deinit(struct index *ix)
{
    table_deinit(&ix->table);
    free(ix->hash);
}

static void index_reset(struct index *ix)
{
    table_reset(&ix->table);
    SETTLE(ix->hash, ix->hash_cap, ix->n);
    ix->n = 1;
}

/* Entry 0 of each kind. */
static void begin(struct symbols *s)
{
    XGROW(s->string, s->of[STRINGS].entry_cap, 1);
    XGROW(s->function, s->of[FUNCTIONS].entry_cap, 1);
    XGROW(s->mapping, s->of[MAPPINGS].entry_cap, 1);
    XGROW(s->frame, s->of[FRAMES].entry_cap, 1);
    XGROW(s->last_of_name, s->last_of_name_cap, 1);
    s->last_of_name[0] = 0;
    s->string[0] = BYTES_LIT("");
    s->function[0] = (struct function){0};
    s->mapping[0] = (struct mapping){0};
    s->frame[0] = (struct frame){0};
    for (struct index *ix = s->of; ix < s->of + KINDS; ix++) {
        XGROW(ix->hash, ix->hash_cap, 1);
        table_begin(&ix->table);
        ix->hash[0] = 0;
        ix->n = 1;
    }
}

struct symbols *symbols_new(void)
{
    struct symbols *s = xcalloc(1, sizeof *s);

    s->secret = hash_secret();
    arena_init(&s->text, TEXT_CHUNK_BYTES);
    begin(s);
    return s;
}

void symbols_free(struct symbols *s)
{
    if (!s)
        return;
    for (struct index *ix = s->of; ix < s->of + KINDS; ix++)
        index_deinit(ix);
    free(s->string);
    free(s->last_of_name);
    free(s->function);
    free(s->mapping);
    free(s->frame);
    ranks_deinit(&s->ranks);
    order_deinit(&s->texts);
    arena_deinit(&s->text);
    free(s);
}

void symbols_reset(struct symbols *s)
{
    SETTLE(s->string, s->of[STRINGS].entry_cap, s->of[STRINGS].n);
    SETTLE(s->last_of_name, s->last_of_name_cap, s->of[STRINGS].n);
    s->last_of_name[0] = 0;
    SETTLE(s->function, s->of[FUNCTIONS].entry_cap, s->of[FUNCTIONS].n);
    SETTLE(s->mapping, s->of[MAPPINGS].entry_cap, s->of[MAPPINGS].n);
    SETTLE(s->frame, s->of[FRAMES].entry_cap, s->of[FRAMES].n);
    for (struct index *ix = s->of; ix < s->of + KINDS; ix++)
        index_reset(ix);
    arena_reset(&s->text);
    s->ranks.frames.n = s->texts.n = 0;
}

/* Nearly always the first candidate is it. */
uint32_t symbols_find_string(const struct symbols *s, struct bytes text, uint64_t *ret_place)
{
    const struct table *t = &s->of[STRINGS].table;
    uint64_t place;
    uint32_t first;

    if (text.len == 0)
        return 0;
    *ret_place = place = hash_keyed(s->secret, text);
    first = table_first(t, place);
    if (first && bytes_equal(s->string[first - 1], text))
        return first - 1;
    for (struct probe p = table_probe(t, place); table_next(t, &p);)
        if (bytes_equal(s->string[p.id], text))
            return p.id;
    return 0;
}

uint32_t symbols_new_string(struct symbols *s, struct bytes text, uint64_t place)
{
    XGROW(s->last_of_name, s->last_of_name_cap, (size_t)s->of[STRINGS].n + 1);
    s->last_of_name[s->of[STRINGS].n] = 0;
    return APPEND(s, STRINGS, string, arena_copy(&s->text, text), hash64(text), place);
}

uint32_t symbols_string(struct symbols *s, struct bytes text)
{
    uint64_t place;
    uint32_t id = symbols_find_string(s, text, &place);

    return id || text.len == 0 ? id : symbols_new_string(s, text, place);
}

/* Content hashes are of these words in memory order: little endian, as every machine we run on. */
static uint64_t hash_words(const uint64_t *words, size_t n)
{
    return hash64(bytes_of(words, n * sizeof *words));
}

static bool function_same(const struct function *a, const struct function *b)
{
    return a->name == b->name && a->system_name == b->system_name && a->file == b->file &&
           a->start_line == b->start_line;
}

static uint32_t new_function(struct symbols *s, const struct function *f, uint64_t place)
{
    const uint64_t *text = s->of[STRINGS].hash;
    uint64_t words[] = {text[f->name], text[f->system_name], text[f->file],
                        (uint64_t)f->start_line};

    return APPEND(s, FUNCTIONS, function, *f, hash_words(words, 4), place);
}

static uint32_t find_function(struct symbols *s, const struct function *f)
{
    const struct table *t = &s->of[FUNCTIONS].table;
    uint64_t place = hash_pair(s->secret, (uint64_t)f->name << 32 | f->file,
                               (uint64_t)f->system_name << 32 ^ (uint64_t)f->start_line);

    for (struct probe p = table_probe(t, place); table_next(t, &p);)
        if (function_same(&s->function[p.id], f))
            return p.id;
    return new_function(s, f, place);
}

/* Nearly always it is the function that had the name last. */
uint32_t symbols_function(struct symbols *s, const struct function *function)
{
    struct function f = *function;
    uint32_t *last;

    CHECK(f.name < s->of[STRINGS].n && f.system_name < s->of[STRINGS].n &&
          f.file < s->of[STRINGS].n);
    if (f.system_name == f.name)
        f.system_name = 0;
    last = &s->last_of_name[f.name];
    if (*last == 0 || !function_same(&s->function[*last], &f))
        *last = find_function(s, &f);
    return *last;
}

uint32_t symbols_mapping(struct symbols *s, const struct mapping *m)
{
    uint64_t place;

    CHECK(m->file < s->of[STRINGS].n && m->build_id < s->of[STRINGS].n);
    if (m->file == 0 && m->build_id == 0)
        return 0;
    place = hash_pair(s->secret, m->file, m->build_id);
    for (struct probe p = table_probe(&s->of[MAPPINGS].table, place);
         table_next(&s->of[MAPPINGS].table, &p);)
        if (s->mapping[p.id].file == m->file && s->mapping[p.id].build_id == m->build_id)
            return p.id;

    uint64_t words[] = {s->of[STRINGS].hash[m->file], s->of[STRINGS].hash[m->build_id]};
    return APPEND(s, MAPPINGS, mapping, *m, hash_words(words, 2), place);
}

static bool frame_same(const struct frame *a, const struct frame *b)
{
    return a->function == b->function && a->mapping == b->mapping &&
           a->line_or_address == b->line_or_address;
}

/* A symbolised frame has no mapping. */
static inline struct frame frame_normal(const struct symbols *s, const struct frame *f)
{
    CHECK(f->function < s->of[FUNCTIONS].n && f->mapping < s->of[MAPPINGS].n);
    return (struct frame){f->function, f->function ? 0 : f->mapping, f->line_or_address};
}

static inline uint64_t frame_place(const struct symbols *s, const struct frame *f)
{
    return hash_pair(s->secret, (uint64_t)f->function << 32 | f->mapping, f->line_or_address);
}

static uint32_t new_frame(struct symbols *s, const struct frame *f, uint64_t place)
{
    /* The first word keeps a function at a line apart from a module at an address. */
    uint64_t words[] = {f->function ? 1 : 2,
                        f->function ? s->of[FUNCTIONS].hash[f->function]
                                    : s->of[MAPPINGS].hash[f->mapping],
                        f->line_or_address};

    return APPEND(s, FRAMES, frame, *f, hash_words(words, 3), place);
}

static uint32_t find_frame(struct symbols *s, const struct frame *f, uint64_t place)
{
    for (struct probe p = table_probe(&s->of[FRAMES].table, place);
         table_next(&s->of[FRAMES].table, &p);)
        if (frame_same(&s->frame[p.id], f))
            return p.id;
    return new_frame(s, f, place);
}

static inline uint32_t intern_frame(struct symbols *s, const struct frame *f, uint64_t place)
{
    uint32_t first = table_first(&s->of[FRAMES].table, place);

    return first && frame_same(&s->frame[first - 1], f) ? first - 1 : find_frame(s, f, place);
}

uint32_t symbols_frame(struct symbols *s, const struct frame *frame)
{
    struct frame f = frame_normal(s, frame);

    return intern_frame(s, &f, frame_place(s, &f));
}

void symbols_frames(struct symbols *s, const struct frame *frame, size_t n, uint32_t *ret)
{
    struct frame f[BATCH];
    uint64_t place[BATCH];

    for (size_t done = 0; done < n; done += BATCH) {
        size_t len = n - done < BATCH ? n - done : BATCH;

        for (size_t i = 0; i < len; i++) {
            f[i] = frame_normal(s, &frame[done + i]);
            place[i] = frame_place(s, &f[i]);
            table_prefetch(&s->of[FRAMES].table, place[i]);
        }
        for (size_t i = 0; i < len; i++)
            ret[done + i] = intern_frame(s, &f[i], place[i]);
    }
}

uint32_t symbols_n_strings(const struct symbols *s)
{
    return s->of[STRINGS].n;
}

uint32_t symbols_n_functions(const struct symbols *s)
{
    return s->of[FUNCTIONS].n;
}

uint32_t symbols_n_mappings(const struct symbols *s)
{
    return s->of[MAPPINGS].n;
}

uint32_t symbols_n_frames(const struct symbols *s)
{
    return s->of[FRAMES].n;
}

struct bytes symbols_text(const struct symbols *s, uint32_t string)
{
    CHECK(string < s->of[STRINGS].n);
    return s->string[string];
}

const struct function *symbols_get_function(const struct symbols *s, uint32_t id)
{
    CHECK(id < s->of[FUNCTIONS].n);
    return &s->function[id];
}

const struct mapping *symbols_get_mapping(const struct symbols *s, uint32_t id)
{
    CHECK(id < s->of[MAPPINGS].n);
    return &s->mapping[id];
}

const struct frame *symbols_get_frame(const struct symbols *s, uint32_t id)
{
    CHECK(id < s->of[FRAMES].n);
    return &s->frame[id];
}

const struct function *symbols_all_functions(const struct symbols *s)
{
    return s->function;
}

const struct frame *symbols_all_frames(const struct symbols *s)
{
    return s->frame;
}

const struct bytes *symbols_all_texts(const struct symbols *s)
{
    return s->string;
}

const uint64_t *symbols_frame_hashes(const struct symbols *s)
{
    return s->of[FRAMES].hash;
}

static int number_cmp(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

/* By content, for two frames whose hashes are equal: as good as never. */
static int frame_content_cmp(const struct symbols *s, const struct frame *a, const struct frame *b)
{
    const struct function *fa = &s->function[a->function], *fb = &s->function[b->function];
    const struct mapping *ma = &s->mapping[a->mapping], *mb = &s->mapping[b->mapping];
    const uint32_t texts[][2] = {{fa->name, fb->name},
                                 {fa->system_name, fb->system_name},
                                 {fa->file, fb->file},
                                 {ma->file, mb->file},
                                 {ma->build_id, mb->build_id}};
    int c = number_cmp(a->function != 0, b->function != 0);

    for (size_t i = 0; c == 0 && i < sizeof texts / sizeof *texts; i++)
        c = bytes_cmp(s->string[texts[i][0]], s->string[texts[i][1]]);
    if (c == 0)
        c = number_cmp((uint64_t)fa->start_line, (uint64_t)fb->start_line);
    return c ? c : number_cmp(a->line_or_address, b->line_or_address);
}

int symbols_frame_cmp(const struct symbols *s, uint32_t a, uint32_t b)
{
    CHECK(a < s->of[FRAMES].n && b < s->of[FRAMES].n);
    if (a == b)
        return 0;
    if (s->of[FRAMES].hash[a] != s->of[FRAMES].hash[b])
        return s->of[FRAMES].hash[a] < s->of[FRAMES].hash[b] ? -1 : 1;
    return frame_content_cmp(s, &s->frame[a], &s->frame[b]);
}

void symbols_rank(struct symbols *s)
{
    ranks_update(&s->ranks, s);
}

const struct ranks *symbols_ranks(const struct symbols *s)
{
    return &s->ranks;
}

static int text_cmp(const void *symbols, uint32_t a, uint32_t b)
{
    const struct symbols *s = symbols;

    return bytes_cmp(s->string[a], s->string[b]);
}

const struct order *symbols_texts_in_order(struct symbols *s)
{
    order_update(&s->texts, s->of[STRINGS].n, text_cmp, s);
    return &s->texts;
}

static struct bytes base_name(struct bytes path)
{
    for (size_t i = path.len; i > 0; i--)
        if (path.data[i - 1] == '/' || path.data[i - 1] == '\\')
            return bytes_of(path.data + i, path.len - i);
    return path;
}

static struct bytes module_name(const struct symbols *s, const struct mapping *m)
{
    struct bytes file = base_name(s->string[m->file]);

    if (file.len)
        return file;
    return m->build_id ? s->string[m->build_id] : BYTES_LIT("??");
}

void symbols_frame_name(const struct symbols *s, uint32_t frame, struct buf *out)
{
    const struct frame *f = symbols_get_frame(s, frame);

    if (f->function) {
        buf_append_bytes(out, s->string[s->function[f->function].name]);
        return;
    }
    buf_append_bytes(out, module_name(s, &s->mapping[f->mapping]));
    buf_printf(out, "+0x%llx", (unsigned long long)f->line_or_address);
}

struct bytes symbols_frame_file(const struct symbols *s, uint32_t frame)
{
    const struct frame *f = symbols_get_frame(s, frame);

    return s->string[f->function ? s->function[f->function].file : s->mapping[f->mapping].file];
}

static size_t index_bytes(const struct index *ix, size_t entry_bytes)
{
    return table_bytes(&ix->table) + ix->hash_cap * sizeof *ix->hash + ix->entry_cap * entry_bytes;
}

size_t symbols_bytes(const struct symbols *s)
{
    return arena_reserved(&s->text) + index_bytes(&s->of[STRINGS], sizeof *s->string) +
           index_bytes(&s->of[FUNCTIONS], sizeof *s->function) +
           index_bytes(&s->of[MAPPINGS], sizeof *s->mapping) +
           index_bytes(&s->of[FRAMES], sizeof *s->frame) +
           s->last_of_name_cap * sizeof *s->last_of_name +
           (s->ranks.rank_cap + s->ranks.frames.cap + s->texts.cap) * sizeof(uint32_t);
}
