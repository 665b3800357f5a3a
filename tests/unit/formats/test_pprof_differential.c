/*
 * pprof_read against protobuf-c: the same profile is unpacked into objects, and its samples are
 * added up in the plainest way there is. Both must agree on what is a profile, and on every row:
 * over all recorded profiles, and over mutations of them.
 *
 * A row is compared by the hash of its text (names, files, lines, addresses, labels), so neither
 * side's ids matter.
 */
#include "base/hash.h"
#include "base/utf8.h"
#include "formats/pprof.h"
#include "lib/random.h"
#include "lib/recordings.h"

#include <profile.pb-c.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

typedef Perftools__Profiles__Profile Pb;
typedef Perftools__Profiles__Location PbLocation;

enum { MUTATIONS = 60, MUTATED_BYTES_MAX = 200000 };

struct row {
    struct hash128 key;
    size_t order; /* of equal keys: saturating sums depend on it */
    int64_t *values;
};

struct rows {
    struct row *at;
    size_t n, cap;
    uint32_t n_types;
};

static void rows_free(struct rows *rows)
{
    for (size_t i = 0; i < rows->n; i++)
        free(rows->at[i].values);
    free(rows->at);
}

static void rows_add(struct rows *rows, struct bytes key, const int64_t *values)
{
    if (rows->n == rows->cap) {
        rows->cap = rows->cap ? 2 * rows->cap : 64;
        rows->at = realloc(rows->at, rows->cap * sizeof *rows->at);
    }
    rows->at[rows->n].key = hash128(key);
    rows->at[rows->n].order = rows->n;
    rows->at[rows->n].values = malloc(rows->n_types * sizeof *values);
    memcpy(rows->at[rows->n++].values, values, rows->n_types * sizeof *values);
}

static int row_cmp(const void *va, const void *vb)
{
    const struct row *a = va, *b = vb;

    if (a->key.hi != b->key.hi)
        return a->key.hi < b->key.hi ? -1 : 1;
    return (a->key.lo > b->key.lo) - (a->key.lo < b->key.lo);
}

static bool row_is_zero(const struct row *row, uint32_t n_types)
{
    for (uint32_t t = 0; t < n_types; t++)
        if (row->values[t])
            return false;
    return true;
}

static int row_order_cmp(const void *va, const void *vb)
{
    const struct row *a = va, *b = vb;
    int c = row_cmp(a, b);

    return c ? c : (a->order > b->order) - (a->order < b->order);
}

/* Sorted, equal keys summed, rows without any value left out. */
static void rows_normalise(struct rows *rows)
{
    size_t kept = 0;

    if (rows->n > 1)
        qsort(rows->at, rows->n, sizeof *rows->at, row_order_cmp);
    for (size_t i = 0; i < rows->n; i++) {
        if (kept && row_cmp(&rows->at[kept - 1], &rows->at[i]) == 0) {
            uint64_t saturated = 0;

            for (uint32_t t = 0; t < rows->n_types; t++)
                rows->at[kept - 1].values[t] =
                    add_saturating(rows->at[kept - 1].values[t], rows->at[i].values[t], &saturated);
            free(rows->at[i].values);
        } else {
            rows->at[kept++] = rows->at[i];
        }
    }
    rows->n = kept;
    kept = 0;
    for (size_t i = 0; i < rows->n; i++)
        if (row_is_zero(&rows->at[i], rows->n_types))
            free(rows->at[i].values);
        else
            rows->at[kept++] = rows->at[i];
    rows->n = kept;
}

/* --- protobuf-c's side --------------------------------------------------------------------------
 */

static void put_string(struct buf *key, const Pb *pb, int64_t index)
{
    if (index > 0 && (uint64_t)index < pb->n_string_table)
        utf8_repair(bytes_of(pb->string_table[index].data, pb->string_table[index].len), key);
    buf_append_u8(key, 0);
}

static void put_address(struct buf *key, const Pb *pb, const PbLocation *l)
{
    uint64_t address = l->address;
    int64_t file = 0, build_id = 0;

    for (size_t i = 0; i < pb->n_mapping && l->mapping_id; i++) {
        const Perftools__Profiles__Mapping *m = pb->mapping[i];

        if (m->id != l->mapping_id)
            continue;
        file = m->filename;
        build_id = m->build_id;
        if (address >= m->memory_start && (!m->memory_limit || address < m->memory_limit))
            address += m->file_offset - m->memory_start;
        break;
    }
    buf_append_str(key, "A");
    put_string(key, pb, file);
    put_string(key, pb, build_id);
    buf_append(key, &address, sizeof address);
}

static bool all_functions_are_0(const Pb *pb)
{
    for (size_t i = 0; i < pb->n_function; i++)
        if (pb->function[i]->id)
            return false;
    return pb->n_function > 1 && pb->n_function == pb->n_location;
}

static const Perftools__Profiles__Function *find_function(const Pb *pb, size_t location,
                                                          uint64_t id)
{
    if (all_functions_are_0(pb))
        return id == 0 ? pb->function[location] : NULL;
    for (size_t i = 0; i < pb->n_function; i++)
        if (pb->function[i]->id == id)
            return pb->function[i];
    return NULL;
}

static void put_line(struct buf *key, const Pb *pb, size_t location, size_t line)
{
    const PbLocation *l = pb->location[location];
    int64_t number = l->line[line]->line;
    const Perftools__Profiles__Function *f =
        find_function(pb, location, l->line[line]->function_id);

    if (!f) {
        put_address(key, pb, l);
        return;
    }
    if (number > UINT32_MAX)
        number = (uint32_t)number;
    buf_append_str(key, "F");
    put_string(key, pb, f->name);
    put_string(key, pb, f->filename);
    buf_append(key, &f->start_line, sizeof f->start_line);
    buf_append(key, &number, sizeof number);
}

/* Sorted by index for look-up: naive search over all would take minutes. */
struct by_id {
    uint64_t id;
    size_t index;
};

static int by_id_cmp(const void *va, const void *vb)
{
    const struct by_id *a = va, *b = vb;

    if (a->id != b->id)
        return a->id < b->id ? -1 : 1;
    return (a->index > b->index) - (a->index < b->index);
}

static bool put_stack(struct buf *key, const Pb *pb, const Perftools__Profiles__Sample *s,
                      const struct buf *location_key, const struct by_id *ids)
{
    for (size_t i = 0; i < s->n_location_id; i++) {
        size_t low = 0, high = pb->n_location;

        while (low < high) {
            size_t middle = (low + high) / 2;

            if (ids[middle].id < s->location_id[i])
                low = middle + 1;
            else
                high = middle;
        }
        if (low == pb->n_location || ids[low].id != s->location_id[i])
            return false;
        buf_append_bytes(key, buf_bytes(&location_key[ids[low].index]));
    }
    return true;
}

static void put_key(struct buf *key, const Pb *pb, int64_t index)
{
    static const char *const endpoint[] = {"spanName", "span_name", "trace endpoint",
                                           "trace_endpoint"};

    for (size_t i = 0; i < sizeof endpoint / sizeof *endpoint; i++)
        if (index > 0 && (uint64_t)index < pb->n_string_table &&
            bytes_equal(bytes_str(endpoint[i]),
                        bytes_of(pb->string_table[index].data, pb->string_table[index].len))) {
            buf_append_bytes(key, BYTES_LIT("endpoint\0"));
            return;
        }
    put_string(key, pb, index);
}

/* Kept labels have string values and no key that is set aside. They are sorted by their text, and a
 * label given twice counts once. */
static int text_cmp(const void *a, const void *b)
{
    return bytes_cmp(*(const struct bytes *)a, *(const struct bytes *)b);
}

static void put_texts(struct buf *key, struct buf *texts, size_t n)
{
    struct bytes *views = calloc(n + 1, sizeof *views);

    for (size_t i = 0; i < n; i++)
        views[i] = buf_bytes(&texts[i]);
    qsort(views, n, sizeof *views, text_cmp);
    buf_append_str(key, "L");
    for (size_t i = 0; i < n; i++)
        if (i == 0 || !bytes_equal(views[i], views[i - 1]))
            buf_append_bytes(key, views[i]);
    for (size_t i = 0; i < n; i++)
        buf_deinit(&texts[i]);
    free(views);
}

static bool is_set_aside(const Pb *pb, int64_t key)
{
    static const char *const keys[] = {
        "address",
        "addresses",
        "allocation id",
        "async id",
        "bytes",
        "end_timestamp_ns",
        "fd",
        "local root span id",
        "localRootSpanId",
        "local_root_span_id",
        "object id",
        "origin task id",
        "os thread id",
        "profile_id",
        "root_span_id",
        "span id",
        "spanId",
        "span_id",
        "task id",
        "thread id",
        "thread native id",
        "thread.id",
        "thread_id",
        "time",
        "timestamp",
        "timestamp_ns",
        "timestamps",
        "trace id",
        "traceId",
        "trace_id",
    };

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (key > 0 && (uint64_t)key < pb->n_string_table &&
            bytes_equal(bytes_str(keys[i]),
                        bytes_of(pb->string_table[key].data, pb->string_table[key].len)))
            return true;
    return false;
}

/* Also what no string has. */
static bool is_empty(const Pb *pb, int64_t string)
{
    return string <= 0 || (uint64_t)string >= pb->n_string_table ||
           pb->string_table[string].len == 0;
}

static void put_labels(struct buf *key, const Pb *pb, const Perftools__Profiles__Sample *s)
{
    struct buf *texts = calloc(s->n_label + 1, sizeof *texts);
    size_t n = 0;

    for (size_t i = 0; i < s->n_label; i++) {
        const Perftools__Profiles__Label *l = s->label[i];

        if (is_empty(pb, l->str) || is_set_aside(pb, l->key))
            continue;
        put_key(&texts[n], pb, l->key);
        put_string(&texts[n++], pb, l->str);
    }
    put_texts(key, texts, n);
    free(texts);
}

static bool add_sample(struct rows *rows, const Pb *pb, const Perftools__Profiles__Sample *s,
                       const struct buf *location_key, const struct by_id *ids)
{
    struct buf key = {0};
    bool ok = s->n_value == pb->n_sample_type && put_stack(&key, pb, s, location_key, ids);

    if (ok) {
        put_labels(&key, pb, s);
        rows_add(rows, buf_bytes(&key), s->value);
    }
    buf_deinit(&key);
    return ok;
}

/* False: not a profile that may be accepted. */
static bool rows_of_pb(struct rows *rows, const Pb *pb)
{
    struct buf *location_key = calloc(pb->n_location + 1, sizeof *location_key);
    struct by_id *ids = calloc(pb->n_location + 1, sizeof *ids);
    bool ok = pb->n_sample_type > 0 && pb->n_sample_type <= PROFILE_TYPES_MAX &&
              (pb->n_string_table == 0 || pb->string_table[0].len == 0);

    rows->n_types = (uint32_t)pb->n_sample_type;
    for (size_t i = 0; i < pb->n_location; i++) {
        ids[i] = (struct by_id){pb->location[i]->id, i};
        for (size_t k = 0; k < pb->location[i]->n_line; k++)
            put_line(&location_key[i], pb, i, k);
        if (pb->location[i]->n_line == 0)
            put_address(&location_key[i], pb, pb->location[i]);
    }
    qsort(ids, pb->n_location, sizeof *ids, by_id_cmp);
    for (size_t i = 0; ok && i < pb->n_sample; i++)
        ok = add_sample(rows, pb, pb->sample[i], location_key, ids);
    for (size_t i = 0; i < pb->n_location; i++)
        buf_deinit(&location_key[i]);
    free(location_key);
    free(ids);
    rows_normalise(rows);
    return ok;
}

/* --- our side -----------------------------------------------------------------------------------
 */

static void put_text(struct buf *key, const struct symbols *sym, uint32_t string)
{
    buf_append_bytes(key, symbols_text(sym, string));
    buf_append_u8(key, 0);
}

static void put_frame(struct buf *key, const struct symbols *sym, uint32_t id)
{
    const struct frame *f = symbols_get_frame(sym, id);
    const struct function *fn = symbols_get_function(sym, f->function);
    const struct mapping *m = symbols_get_mapping(sym, f->mapping);

    buf_append_str(key, f->function ? "F" : "A");
    put_text(key, sym, f->function ? fn->name : m->file);
    put_text(key, sym, f->function ? fn->file : m->build_id);
    if (f->function)
        buf_append(key, &fn->start_line, sizeof fn->start_line);
    buf_append(key, &f->line_or_address, sizeof f->line_or_address);
}

static void put_label_set(struct buf *key, const struct profile *p, uint32_t set)
{
    size_t n;
    const struct label *labels = profile_label_set(p, set, &n);
    struct buf *texts = calloc(n + 1, sizeof *texts);

    for (size_t i = 0; i < n; i++) {
        put_text(&texts[i], p->symbols, labels[i].key);
        put_text(&texts[i], p->symbols, labels[i].str);
    }
    put_texts(key, texts, n);
    free(texts);
}

static void rows_of_profile(struct rows *rows, const struct profile *p)
{
    static uint32_t frames[4096];
    int64_t values[PROFILE_TYPES_MAX];

    rows->n_types = p->n_types;
    for (uint32_t i = 0; i < p->n_rows; i++) {
        size_t n = stacks_frames(p->stacks, p->row_stack[i], frames, 4096);
        struct buf key = {0};

        for (size_t k = 0; k < n; k++)
            put_frame(&key, p->symbols, frames[k]);
        put_label_set(&key, p, p->row_labels[i]);
        for (uint32_t t = 0; t < p->n_types; t++)
            values[t] = p->values[t][i];
        rows_add(rows, buf_bytes(&key), values);
        buf_deinit(&key);
    }
    rows_normalise(rows);
}

/* --- comparing ----------------------------------------------------------------------------------
 */

struct world {
    struct symbols *sym;
    struct stacks *st;
    struct profile p;
    struct pprof_reader *reader;
    uint64_t random;
    size_t n_compared, n_accepted, n_recordings;
};

/* A field of number 0, which protobuf does not allow: protobuf-c keeps it as an unknown one. */
static bool has_field_zero(const ProtobufCMessage *m)
{
    for (unsigned i = 0; i < m->n_unknown_fields; i++)
        if (m->unknown_fields[i].tag == 0)
            return true;
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        const uint8_t *member = (const uint8_t *)m + f->offset;
        ProtobufCMessage *const *parts = (ProtobufCMessage *const *)member;
        size_t n = f->type == PROTOBUF_C_TYPE_MESSAGE && *parts != NULL;

        if (n && f->label == PROTOBUF_C_LABEL_REPEATED) {
            n = *(const size_t *)((const uint8_t *)m + f->quantifier_offset);
            parts = *(ProtobufCMessage *const *const *)member;
        }
        for (size_t k = 0; k < n; k++)
            if (has_field_zero(parts[k]))
                return true;
    }
    return false;
}

/* Refusals that an unpacked message no longer shows the reason for. */
static bool is_unseen_by_objects(const struct failure *f)
{
    return strstr(f->message, "one id for two") || strstr(f->message, "in a row") ||
           strcmp(f->code, "limit_exceeded") == 0;
}

static void assert_same_rows(const struct rows *a, const struct rows *b, const char *name)
{
    if (a->n != b->n || a->n_types != b->n_types)
        fail_msg("%s: %zu rows against %zu", name, a->n, b->n);
    for (size_t i = 0; i < a->n; i++)
        if (row_cmp(&a->at[i], &b->at[i]) != 0 ||
            memcmp(a->at[i].values, b->at[i].values, a->n_types * sizeof(int64_t)) != 0)
            fail_msg("%s: row %zu differs: %lld, not %lld", name, i, (long long)a->at[i].values[0],
                     (long long)b->at[i].values[0]);
}

static void compare(struct world *w, const char *name, struct bytes raw)
{
    struct rows ours = {0}, theirs = {0};
    struct failure failure = {0};
    Pb *pb = perftools__profiles__profile__unpack(NULL, raw.len, raw.data);
    bool valid = pb && !has_field_zero(&pb->base) && rows_of_pb(&theirs, pb);
    int r;

    profile_reset(&w->p);
    stacks_reset(w->st);
    symbols_reset(w->sym);
    r = pprof_read(w->reader, raw, &profile_limits_default, 0, &w->p, NULL, &failure);
    w->n_compared++;
    if (r == 0) {
        w->n_accepted++;
        if (!valid)
            fail_msg("%s: accepted, but protobuf-c's is no valid profile", name);
        rows_of_profile(&ours, &w->p);
        assert_same_rows(&ours, &theirs, name);
        assert_true(w->p.time_ns == pb->time_nanos && w->p.duration_ns == pb->duration_nanos);
    } else if (valid && !is_unseen_by_objects(&failure)) {
        fail_msg("%s: refused: %s", name, failure.message);
    }
    rows_free(&ours);
    rows_free(&theirs);
    if (pb)
        perftools__profiles__profile__free_unpacked(pb, NULL);
}

/* Bits flipped, bytes set, runs repeated or taken out. */
static void mutate(struct world *w, struct buf *b)
{
    uint32_t n = 1 + random_below(&w->random, 2);

    while (n-- > 0 && b->len > 16) {
        size_t at = random_below(&w->random, (uint32_t)b->len);
        size_t len = 1 + random_below(&w->random, 16);

        len = len < b->len - at ? len : b->len - at;
        switch (random_below(&w->random, 4)) {
        case 0:
            b->data[at] ^= (uint8_t)(1 << random_below(&w->random, 8));
            break;
        case 1:
            b->data[at] = (uint8_t)random_next(&w->random);
            break;
        case 2:
            memmove(b->data + at, b->data + at + len, b->len - at - len);
            b->len -= len;
            break;
        default:
            buf_reserve(b, len);
            memmove(b->data + at + len, b->data + at, b->len - at);
            b->len += len;
        }
    }
}

static void compare_recording(void *ctx, const char *name, struct bytes plain)
{
    struct world *w = ctx;

    compare(w, name, plain);
    w->n_recordings++;
    for (int i = 0; i < MUTATIONS && plain.len <= MUTATED_BYTES_MAX; i++) {
        struct buf b = {0};

        buf_append_bytes(&b, plain);
        mutate(w, &b);
        compare(w, name, buf_bytes(&b));
        buf_deinit(&b);
    }
}

static void protobuf_c_reads_the_same(void **state)
{
    struct world w = {.sym = symbols_new(), .st = stacks_new(), .reader = pprof_reader_new()};

    (void)state;
    w.random = random_seed();
    profile_init(&w.p, w.sym, w.st);
    recordings_each(compare_recording, &w);
    printf("%zu recordings, %zu profiles compared, %zu accepted\n", w.n_recordings, w.n_compared,
           w.n_accepted);
    assert_true(w.n_recordings >= 10 && w.n_accepted > w.n_recordings);
    profile_deinit(&w.p);
    pprof_reader_free(w.reader);
    stacks_free(w.st);
    symbols_free(w.sym);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(protobuf_c_reads_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
